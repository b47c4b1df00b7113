//! Whose a copy is, and what happens when somebody else lays hands on it (laws 9 and 10).

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::{
    pki::{self, Ca, Pair},
    scenarios,
    world::{Keeper, World, normalised},
};

scenarios!(
    deleted_and_edited_copies_are_restored,
    edited_marks_of_ours_are_put_right,
    a_foreign_secret_in_the_way_is_left_alone_and_its_owner_is_named,
    the_same_values_written_by_somebody_else_are_read_once_and_left_alone,
    whoever_undoes_a_copy_three_times_is_left_alone,
    what_others_put_into_a_copys_metadata_stays,
    a_copy_that_an_owner_left_behind_is_taken_up,
    an_immutable_copy_is_said_and_not_deleted,
    a_suspended_object_writes_no_copies,
    a_copy_without_our_annotation_is_no_longer_ours,
);

/// One copy in one namespace, written and told.
async fn one_copy(world: &World) -> (Pair, Keeper, String, String) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let (namespace, copy) = (world.own("a"), world.own("copy"));
    world.namespace(&namespace).await;
    world.supply(&pair).await;
    world
        .ask(json!({"targets": [{"name": "t", "secretName": copy, "layout": "tls", "namespaces": [namespace]}]}))
        .await;
    let keeper = keeper(world);
    copied(world, &namespace, &copy, &pair).await;
    world.condition("x", "Distributed", "True", "Distributed").await;
    (pair, keeper, namespace, copy)
}

fn keeper(world: &World) -> Keeper {
    let grant = format!("*/{}", world.own("copy"));
    world.keeper_with(world.settings_with(&[&grant]), world.client.clone())
}

async fn copied(world: &World, namespace: &str, copy: &str, pair: &Pair) -> Secret {
    let (chain, key) = normalised(pair);
    world.copied(namespace, copy, &[("tls.crt", &chain), ("tls.key", &key)]).await
}

/// Edits one value as `kubectl edit` would.
async fn edit(world: &World, namespace: &str, copy: &str, key: &str, value: &str, manager: &str) {
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let data = json!({"data": {key: ByteString(value.as_bytes().to_vec())}});
    world.secrets(namespace).patch(copy, &params, &Patch::Merge(data)).await.expect("edited");
}

async fn deleted_and_edited_copies_are_restored(world: World) {
    let (pair, keeper, namespace, copy) = one_copy(&world).await;
    world.secrets(&namespace).delete(&copy, &DeleteParams::default()).await.expect("deleted");
    copied(&world, &namespace, &copy, &pair).await;
    edit(&world, &namespace, &copy, "tls.crt", "edited", "kubectl-edit").await;
    copied(&world, &namespace, &copy, &pair).await;
    edit(&world, &namespace, &copy, "extra", "more", "kubectl-edit").await;
    copied(&world, &namespace, &copy, &pair).await;
    world.condition("x", "Distributed", "True", "Distributed").await;
    let history = world.status("x").await.history;
    let told = |reason: &str| history.iter().filter(|entry| entry.reason == reason).collect::<Vec<_>>();
    assert_eq!(told("Restored").len(), 2, "whoever edits is named, once an edit");
    assert!(told("Restored")[0].message.contains("kubectl-edit"));
    assert_eq!(told("Distributed").len(), 1, "that all is well is told once a certificate");
    keeper.stop().await;
    // And while nobody looks.
    edit(&world, &namespace, &copy, "tls.key", "edited", "another").await;
    let _keeper = self::keeper(&world);
    copied(&world, &namespace, &copy, &pair).await;
    world.is_silent().await;
}

async fn edited_marks_of_ours_are_put_right(world: World) {
    let (_, _keeper, namespace, copy) = one_copy(&world).await;
    let api = world.secrets(&namespace);
    let marks = |secret: &Secret| {
        ["copy", "fingerprint"].map(|mark| secret.annotations().get(&format!("certs.kyma-project.io/{mark}")).cloned())
    };
    let right = marks(&api.get(&copy).await.expect("there"));
    assert!(right.iter().all(Option::is_some));
    // Each by another manager: one that undoes ours three times within an hour is left alone.
    let edits = [
        ("copy", json!("tls:0"), "first"),
        ("copy", json!("opaque:0"), "second"),
        ("fingerprint", json!("AA:BB"), "third"),
        ("fingerprint", json!(null), "fourth"),
    ];
    for (mark, value, manager) in edits {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let patch = json!({"metadata": {"annotations": {format!("certs.kyma-project.io/{mark}"): value}}});
        let edited = api.patch(&copy, &params, &Patch::Merge(patch)).await.expect("edited");
        assert_ne!(marks(&edited), right);
        world
            .eventually("the marks are put right", || async {
                (marks(&api.get_opt(&copy).await.expect("readable")?) == right).then_some(())
            })
            .await;
        assert_eq!(api.get(&copy).await.expect("there").uid(), edited.uid(), "in place");
    }
    world.condition("x", "Distributed", "True", "Distributed").await;
    world.is_silent().await;
}

async fn a_foreign_secret_in_the_way_is_left_alone_and_its_owner_is_named(world: World) {
    let ca = Ca::new();
    let pair = ca.issue(&[pki::WILDCARD]);
    let (namespace, copy) = (world.own("a"), world.own("copy"));
    world.namespace(&namespace).await;
    world.put_secret(&namespace, &copy, &[("tls.crt", b"theirs")]).await;
    world.supply(&pair).await;
    let target = json!([{"name": "t", "secretName": copy, "layout": "tls", "namespaces": [namespace]}]);
    world.ask(json!({"targets": target})).await;
    let _keeper = keeper(&world);
    let message = world.condition("x", "Distributed", "False", "TargetsFailed").await;
    assert!(message.contains("\"a-person\"") && message.contains("left alone"), "{message}");
    let next = ca.issue(&[pki::WILDCARD]);
    world.supply(&next).await;
    world.promoted(&next).await;
    world
        .eventually("it is told", || async {
            (world.status("x").await.certificate?.fingerprint == next.fingerprint()).then_some(())
        })
        .await;
    world.is_silent().await;
    world.copied(&namespace, &copy, &[("tls.crt", "theirs")]).await;
    let told = world.events().await;
    assert_eq!(told.iter().filter(|event| event.reason.as_deref() == Some("ForeignOwner")).count(), 1);
    // Once it is out of the way, the copy is there.
    world.secrets(&namespace).delete(&copy, &DeleteParams::default()).await.expect("deleted");
    world.condition("x", "Distributed", "True", "Distributed").await;
}

async fn the_same_values_written_by_somebody_else_are_read_once_and_left_alone(world: World) {
    let (pair, _keeper, namespace, copy) = one_copy(&world).await;
    let (chain, key) = normalised(&pair);
    let same: Secret = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": copy, "namespace": namespace},
        "type": "kubernetes.io/tls", "stringData": {},
        "data": {"tls.crt": ByteString(chain.into_bytes()), "tls.key": ByteString(key.into_bytes())},
    }))
    .expect("a Secret");
    let before = reads(&world, &copy);
    let params = PatchParams::apply("gitops").force();
    world.secrets(&namespace).patch(&copy, &params, &Patch::Apply(&same)).await.expect("applied");
    world.is_silent().await;
    world.condition("x", "Distributed", "True", "Distributed").await;
    if let Some((before, after)) = before.zip(reads(&world, &copy)) {
        assert_eq!(after - before, 1, "what somebody else wrote is read, and read once");
    }
}

/// How often values of the copy were read, where the API server tells.
fn reads(world: &World, copy: &str) -> Option<usize> {
    let server = world.server.as_ref()?;
    let of_it = |request: &certkeeper_simulator::server::Request| {
        request.info.verb == "get" && request.info.name.as_deref() == Some(copy)
    };
    Some(server.requests().iter().filter(|request| of_it(request)).count())
}

async fn whoever_undoes_a_copy_three_times_is_left_alone(world: World) {
    let (pair, _keeper, namespace, copy) = one_copy(&world).await;
    for round in 0..3 {
        edit(&world, &namespace, &copy, "tls.crt", &format!("theirs {round}"), "gitops").await;
        copied(&world, &namespace, &copy, &pair).await;
    }
    edit(&world, &namespace, &copy, "tls.crt", "theirs for good", "gitops").await;
    let message = world.condition("x", "Distributed", "False", "TargetsFailed").await;
    assert!(message.contains("gitops") && message.contains("three times"), "{message}");
    world.is_silent().await;
    let secret = world.secrets(&namespace).get(&copy).await.expect("there");
    assert_eq!(crate::world::value(&secret, "tls.crt").as_deref(), Some(b"theirs for good".as_slice()));
}

async fn what_others_put_into_a_copys_metadata_stays(world: World) {
    let (_, _keeper, namespace, copy) = one_copy(&world).await;
    let patch = json!({"metadata": {
        "labels": {"team": "a"},
        "annotations": {"note": "b", "long": "c".repeat(10_000), "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{}}"},
        "finalizers": ["example.com/hold"],
    }});
    world.secrets(&namespace).patch(&copy, &PatchParams::default(), &Patch::Merge(patch)).await.expect("labelled");
    world.is_silent().await;
    let next = Ca::new().issue(&[pki::WILDCARD]);
    world.supply(&next).await;
    let secret = copied(&world, &namespace, &copy, &next).await;
    assert_eq!(secret.labels().get("team").map(String::as_str), Some("a"));
    assert_eq!(secret.annotations().get("note").map(String::as_str), Some("b"));
    assert_eq!(secret.annotations().get("long").map(String::len), Some(10_000), "what is not kept is read");
    assert_eq!(secret.finalizers(), ["example.com/hold"]);
    // kubectl's own record of what was applied holds the key in clear.
    assert!(!secret.annotations().contains_key("kubectl.kubernetes.io/last-applied-configuration"));
}

async fn a_copy_that_an_owner_left_behind_is_taken_up(world: World) {
    let (pair, keeper, namespace, copy) = one_copy(&world).await;
    world.objects().delete("x", &DeleteParams::default()).await.expect("deleted");
    world
        .eventually("the object is gone", || async {
            world.objects().get_opt("x").await.expect("readable").is_none().then_some(())
        })
        .await;
    let target = json!([{"name": "t", "secretName": copy, "layout": "tls", "namespaces": [namespace]}]);
    world.ask_as("successor", json!({"targets": target})).await;
    world.condition("successor", "Distributed", "True", "Distributed").await;
    let secret = copied(&world, &namespace, &copy, &pair).await;
    let owner = format!("{}/successor", world.home);
    assert_eq!(secret.annotations().get("certs.kyma-project.io/owner"), Some(&owner));
    // One whose owner is there is not.
    world
        .ask_as("third", json!({"targets": target, "gateway": {"secretRef": {"namespace": world.mesh, "name": "gw2"}}}))
        .await;
    keeper.stop().await;
    let grants = [format!("*/{copy}"), format!("{}/gw2", world.mesh)];
    let _keeper = world.keeper_with(world.settings_with(&grants.each_ref().map(String::as_str)), world.client.clone());
    let message = world.condition("third", "Distributed", "False", "TargetsFailed").await;
    assert!(message.contains(&owner), "{message}");
    world.is_silent().await;
}

async fn an_immutable_copy_is_said_and_not_deleted(world: World) {
    let (_, _keeper, namespace, copy) = one_copy(&world).await;
    let immutable = Patch::Merge(json!({"immutable": true}));
    world.secrets(&namespace).patch(&copy, &PatchParams::default(), &immutable).await.expect("patched");
    let uid = world.secrets(&namespace).get(&copy).await.expect("there").uid();
    let next = Ca::new().issue(&[pki::WILDCARD]);
    world.supply(&next).await;
    let message = world.condition("x", "Distributed", "False", "TargetsFailed").await;
    assert!(message.contains("immutable"), "{message}");
    assert_eq!(world.secrets(&namespace).get(&copy).await.expect("there").uid(), uid);
    // What was refused was refused for that Secret: once it is gone nothing is waited for.
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    world.secrets(&namespace).delete(&copy, &DeleteParams::default()).await.expect("deleted");
    let deleted = tokio::time::Instant::now();
    copied(&world, &namespace, &copy, &next).await;
    assert!(deleted.elapsed() < std::time::Duration::from_secs(3), "{:?}", deleted.elapsed());
}

async fn a_suspended_object_writes_no_copies(world: World) {
    let (_, _keeper, namespace, copy) = one_copy(&world).await;
    world.patch_object("x", json!({"spec": {"suspend": true}})).await;
    world.condition("x", "Distributed", "True", "Suspended").await;
    world.secrets(&namespace).delete(&copy, &DeleteParams::default()).await.expect("deleted");
    world.condition("x", "Distributed", "False", "Suspended").await;
    world.is_silent().await;
    world.patch_object("x", json!({"spec": {"suspend": false}})).await;
    world.condition("x", "Distributed", "True", "Distributed").await;
}

async fn a_copy_without_our_annotation_is_no_longer_ours(world: World) {
    let (_, _keeper, namespace, copy) = one_copy(&world).await;
    let api = world.secrets(&namespace);
    let mut secret = api.get(&copy).await.expect("there");
    secret.metadata.annotations = Some(BTreeMap::new());
    secret.metadata.managed_fields = None;
    let params = PostParams { field_manager: Some("a-person".to_owned()), ..PostParams::default() };
    api.replace(&copy, &params, &secret).await.expect("replaced");
    world.condition("x", "Distributed", "False", "TargetsFailed").await;
    let version = api.get(&copy).await.expect("there").resource_version();
    world.is_silent().await;
    assert_eq!(api.get(&copy).await.expect("there").resource_version(), version);
}
