//! Secrets: what each verb does and refuses.

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;

use super::{ApiServer, refused, secret, secrets};

#[tokio::test]
async fn a_secret_is_created_read_replaced_and_deleted() {
    let server = ApiServer::with_seed(1);
    let api = secrets(&server);
    let made = api.create(&PostParams::default(), &secret("a", &[("x", "1")])).await.unwrap();
    assert_eq!(made.type_.as_deref(), Some("Opaque"));
    assert!(made.uid().is_some() && made.resource_version().is_some() && made.creation_timestamp().is_some());
    let mut next = made.clone();
    next.data = secret("a", &[("x", "2")]).data;
    let next = api.replace("a", &PostParams::default(), &next).await.unwrap();
    assert_ne!(next.resource_version(), made.resource_version());
    assert_eq!(api.get("a").await.unwrap().data, next.data);
    let gone = api.delete("a", &DeleteParams::default()).await.unwrap().right().expect("a Status, as for all Secrets");
    assert_eq!(gone.details.unwrap().uid, made.uid().unwrap());
    assert_eq!(refused(api.get("a").await).message, "secrets \"a\" not found");
    assert_eq!(server.writes(), 3);
}

#[tokio::test]
async fn a_stale_version_or_a_foreign_uid_is_a_conflict_and_changes_nothing() {
    let server = ApiServer::with_seed(1);
    let api = secrets(&server);
    let old = api.create(&PostParams::default(), &secret("a", &[("x", "1")])).await.unwrap();
    let mut next = old.clone();
    next.data = secret("a", &[("x", "2")]).data;
    api.replace("a", &PostParams::default(), &next).await.unwrap();
    let status = refused(api.replace("a", &PostParams::default(), &next).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    next.metadata.resource_version = None;
    next.metadata.uid = Some("other".into());
    assert_eq!(refused(api.replace("a", &PostParams::default(), &next).await).code, 409);
    let preconditions = Preconditions { uid: Some("other".into()), resource_version: None };
    let delete = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    assert_eq!(refused(api.delete("a", &delete).await).code, 409);
    assert_eq!(server.writes(), 2);
}

#[tokio::test]
async fn a_write_that_changes_nothing_keeps_the_version() {
    let server = ApiServer::with_seed(1);
    let api = secrets(&server);
    let made = api.create(&PostParams::default(), &secret("a", &[("x", "1")])).await.unwrap();
    let again = api.replace("a", &PostParams::default(), &made).await.unwrap();
    assert_eq!(again.resource_version(), made.resource_version());
    let patch = Patch::Merge(json!({"type": "Opaque"}));
    let patched = api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.resource_version(), made.resource_version());
    assert_eq!(server.writes(), 1);
}

#[tokio::test]
async fn a_secret_needs_its_namespace() {
    let server = ApiServer::with_seed(1);
    let api: Api<Secret> = Api::namespaced(server.client(), "elsewhere");
    let status = refused(api.create(&PostParams::default(), &secret("a", &[])).await);
    assert_eq!((status.code, status.message.as_str()), (404, "namespaces \"elsewhere\" not found"));
    let namespaces: Api<Namespace> = Api::all(server.client());
    let elsewhere = serde_json::from_value(json!({"metadata": {"name": "elsewhere"}})).unwrap();
    namespaces.create(&PostParams::default(), &elsewhere).await.unwrap();
    api.create(&PostParams::default(), &secret("a", &[])).await.unwrap();
    namespaces.delete("elsewhere", &DeleteParams::default()).await.unwrap();
    assert_eq!(refused(api.create(&PostParams::default(), &secret("b", &[])).await).code, 403);
}

#[tokio::test]
async fn an_apply_creates_and_with_a_stale_version_recreates() {
    let server = ApiServer::with_seed(1);
    let api = secrets(&server);
    let params = PatchParams::apply("keeper");
    let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"x": "MQ=="}});
    let made = api.patch("a", &params, &Patch::Apply(&body)).await.unwrap();
    let owner = &made.managed_fields()[0];
    assert_eq!((owner.manager.as_deref(), owner.operation.as_deref()), (Some("keeper"), Some("Apply")));

    let mut stale = body.clone();
    stale["metadata"] = json!({"name": "a", "resourceVersion": "1"});
    assert_eq!(refused(api.patch("a", &params, &Patch::Apply(&stale)).await).code, 409, "it exists in another version");
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let again = api.patch("a", &params, &Patch::Apply(&stale)).await.unwrap();
    assert_ne!(again.uid(), made.uid(), "a stale version does not stop an apply from recreating");
    let codes: Vec<u16> = server.requests().iter().map(|request| request.code).collect();
    assert_eq!(codes, [201, 409, 200, 201]);

    api.delete("a", &DeleteParams::default()).await.unwrap();
    stale["metadata"] = json!({"name": "a", "uid": made.uid()});
    let status = refused(api.patch("a", &params, &Patch::Apply(&stale)).await);
    assert!(status.code == 409 && status.message.contains("uid mismatch"), "{}", status.message);
}

#[tokio::test]
async fn a_dry_run_answers_but_stores_nothing() {
    let server = ApiServer::with_seed(1);
    let api = secrets(&server);
    api.create(&PostParams { dry_run: true, ..PostParams::default() }, &secret("a", &[])).await.unwrap();
    assert_eq!(refused(api.get("a").await).code, 404);
    assert_eq!(server.writes(), 0);
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_one_is_gone() {
    let server = ApiServer::with_seed(1);
    let api = secrets(&server);
    let mut held = secret("a", &[]);
    held.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    api.create(&PostParams::default(), &held).await.unwrap();
    let marked = api.delete("a", &DeleteParams::default()).await.unwrap().left().expect("the object, still there");
    assert!(marked.metadata.deletion_timestamp.is_some());
    let more = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}));
    assert_eq!(refused(api.patch("a", &PatchParams::default(), &more).await).code, 422);
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("a", &PatchParams::default(), &none).await.unwrap();
    assert_eq!(refused(api.get("a").await).code, 404);
}

#[tokio::test]
async fn a_paged_list_shows_one_moment_and_a_compaction_ends_it() {
    let server = ApiServer::with_seed(1);
    let api = secrets(&server);
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &secret(name, &[])).await.unwrap();
    }
    let first = api.list(&ListParams::default().limit(2)).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (2, Some(1)));
    api.delete("c", &DeleteParams::default()).await.unwrap();
    api.create(&PostParams::default(), &secret("d", &[])).await.unwrap();
    let rest = api.list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
    let names: Vec<_> = rest.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["c"], "what was there when the list began");
    server.compact();
    let status = refused(api.list(&ListParams::default().continue_token(&token)).await);
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
}

#[tokio::test]
async fn metadata_alone_can_be_asked_for() {
    let server = ApiServer::with_seed(1);
    let api = secrets(&server);
    api.create(&PostParams::default(), &secret("a", &[("x", "1")])).await.unwrap();
    assert_eq!(api.get_metadata("a").await.unwrap().name_any(), "a");
    let list = api.list_metadata(&ListParams::default().fields("metadata.name=a")).await.unwrap();
    assert_eq!(list.items.len(), 1);
    assert_eq!(list.types.kind, "PartialObjectMetadataList");
}

/// What a short life of two Secrets looks like to a client.
async fn life(seed: u64) -> String {
    let server = ApiServer::with_seed(seed);
    let api = secrets(&server);
    let mut told = Vec::new();
    for name in ["a", "b"] {
        tokio::time::sleep(std::time::Duration::from_secs(90)).await;
        told.push(serde_json::to_string(
            &api.create(&PostParams::default(), &secret(name, &[("x", "1")])).await.unwrap(),
        ));
    }
    api.delete("a", &DeleteParams::default()).await.unwrap();
    told.push(serde_json::to_string(&api.list(&ListParams::default()).await.unwrap()));
    format!("{told:?}")
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_answers_with_times_from_the_paused_clock() {
    let first = life(7).await;
    assert_eq!(first, life(7).await);
    assert_ne!(first, life(8).await);
    assert!(first.contains("2026-06-01T00:01:30Z") && first.contains("2026-06-01T00:03:00Z"), "{first}");
}
