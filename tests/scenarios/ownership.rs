//! Whose Secret it is.

use std::time::Duration;

use crate::pki::{self, Ca};
use certkeeper::{api::GatewayCertificate, lifecycle::Settings};
use certkeeper_simulator::server::{Before, Gate, RequestInfo};
use futures::future::BoxFuture;
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    scenarios,
    world::{World, holds},
};

scenarios!(
    a_secret_with_another_owners_mark_is_observed_until_a_person_says_manage,
    of_two_objects_over_one_secret_the_owner_annotation_decides,
    of_two_objects_over_an_unowned_secret_the_older_one_writes,
    a_suspended_object_writes_nothing_but_status,
    an_observing_object_writes_nothing_but_status,
    a_foreign_keep_sake_is_left_alone_and_said,
);

async fn a_secret_with_another_owners_mark_is_observed_until_a_person_says_manage(world: World) {
    let ca = Ca::new();
    let (theirs, ours) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    let data: &[(&str, &[u8])] = &[("tls.crt", theirs.certificate.as_bytes()), ("tls.key", theirs.key.as_bytes())];
    world.put_secret(&world.mesh, "gw-certs", data).await;
    let mark = json!({"metadata": {"annotations": {"cert-manager.io/certificate-name": "wild"}}});
    world.secrets(&world.mesh).patch("gw-certs", &PatchParams::default(), &Patch::Merge(mark)).await.expect("patched");
    world.supply(&ours).await;
    world.ask(json!({})).await;
    let _keeper = world.keeper();
    let message = world.condition("x", "SecretCurrent", "False", "ForeignOwner").await;
    assert!(message.contains("cert-manager"), "{message}");
    world.is_silent().await;
    assert!(holds(&world.gateway_secret().await.expect("there"), &theirs));
    assert!(world.secrets(&world.mesh).get_opt("gw-certs-last-good").await.expect("readable").is_none());
    world.patch_object("x", json!({"spec": {"managementPolicy": "Manage"}})).await;
    world.promoted(&ours).await;
}

async fn of_two_objects_over_one_secret_the_owner_annotation_decides(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let _keeper = world.started_with(&pair).await;
    // Sorted before x, created after it: neither name nor age counts once somebody owns it.
    world.ask_as("a", json!({})).await;
    let message = world.condition("a", "SecretCurrent", "False", "Conflict").await;
    assert!(message.contains(&format!("{}/x", world.home)), "{message}");
    world.is_silent().await;
    promoted_nothing(&world, "a").await;
    world.objects().delete("x", &Default::default()).await.expect("deleted");
    world.condition("a", "SecretCurrent", "True", "Current").await;
    let owner = world.gateway_secret().await.expect("there").metadata.annotations.unwrap_or_default();
    assert_eq!(owner.get("certs.kyma-project.io/owner"), Some(&format!("{}/a", world.home)));
}

async fn of_two_objects_over_an_unowned_secret_the_older_one_writes(world: World) {
    world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
    world.ask_as("older", json!({})).await;
    // Times of creation are whole seconds, and with equal ones the name would decide: "a" would win.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    world.ask_as("a", json!({})).await;
    let _keeper = world.keeper();
    world.condition("older", "SecretCurrent", "True", "Current").await;
    world.condition("a", "SecretCurrent", "False", "Conflict").await;
    world.is_silent().await;
    promoted_nothing(&world, "a").await;
}

/// Neither history nor events tell that this object wrote anything.
async fn promoted_nothing(world: &World, name: &str) {
    let history = world.status(name).await.history;
    assert!(!history.iter().any(|entry| entry.reason == "Promoted"), "{history:?}");
    let events = world.events().await;
    let told = |reason| {
        let about = |of: &Event| of.regarding.as_ref().is_some_and(|object| object.name.as_deref() == Some(name));
        events.iter().any(|event| about(event) && event.reason.as_deref() == Some(reason))
    };
    assert!(!told("Promoted"), "{events:?}");
}

async fn a_suspended_object_writes_nothing_but_status(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    world.supply(&pair).await;
    world.ask(json!({"suspend": true})).await;
    let _keeper = world.keeper();
    world.condition("x", "SecretCurrent", "False", "Suspended").await;
    assert!(world.gateway_secret().await.is_none());
    world.patch_object("x", json!({"spec": {"suspend": false}})).await;
    world.promoted(&pair).await;
}

async fn an_observing_object_writes_nothing_but_status(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    world.supply(&pair).await;
    world.ask(json!({"managementPolicy": "Observe"})).await;
    let _keeper = world.keeper();
    world.condition("x", "SecretCurrent", "False", "ObserveOnly").await;
    world.is_silent().await;
    assert!(world.gateway_secret().await.is_none());
    let data: &[(&str, &[u8])] = &[("tls.crt", pair.certificate.as_bytes()), ("tls.key", pair.key.as_bytes())];
    world.put_secret(&world.mesh, "gw-certs", data).await;
    world.condition("x", "SecretCurrent", "True", "ObserveOnly").await;
}

async fn a_foreign_keep_sake_is_left_alone_and_said(world: World) {
    let ca = Ca::new();
    let (theirs, ours) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    let data: &[(&str, &[u8])] = &[("tls.crt", theirs.certificate.as_bytes()), ("tls.key", theirs.key.as_bytes())];
    world.put_secret(&world.mesh, "gw-certs-last-good", data).await;
    let _keeper = world.started_with(&ours).await;
    let message = world.condition("x", "SecretCurrent", "True", "Current").await;
    assert!(message.contains("gw-certs-last-good belongs to somebody else"), "{message}");
    assert!(holds(&world.secrets(&world.mesh).get("gw-certs-last-good").await.expect("there"), &theirs));
}

/// Lists of GatewayCertificates in this namespace take their time.
struct Late(String);

impl Gate for Late {
    fn before<'a>(&'a self, request: &'a RequestInfo) -> BoxFuture<'a, Before> {
        let late = request.resource == "gatewaycertificates"
            && request.verb == "list"
            && request.namespace.as_ref() == Some(&self.0);
        Box::pin(async move {
            if late {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            Before::Apply
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_in_a_namespace_that_is_not_listed_yet_is_not_gone() {
    let world = World::in_memory().await;
    let ca = Ca::new();
    let (theirs, ours) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    drop(world.started_with(&theirs).await);
    let other = world.own("other");
    world.labelled_namespace(&other, json!({})).await;
    let data = [("tls.crt", ours.certificate.as_bytes()), ("tls.key", ours.key.as_bytes())];
    world.put_secret(&other, "supplied", &data).await;
    let object: GatewayCertificate = serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": {
        "domain": pki::DOMAIN, "byo": {"secretRef": {"name": "supplied"}},
        "gateway": {"secretRef": {"namespace": world.mesh, "name": "gw-certs"}}}}))
    .expect("an object");
    let objects: Api<GatewayCertificate> = Api::namespaced(world.client.clone(), &other);
    objects.create(&Default::default(), &object).await.expect("created");
    world.server.as_ref().expect("in memory").set_gate(Late(world.home.clone()));
    let settings = Settings { namespaces: vec![other.clone(), world.home.clone()], ..world.settings() };
    let _keeper = world.keeper_with(settings, world.client.clone());
    let conflict = || async {
        let status = objects.get("a").await.expect("there").status?;
        status.conditions.iter().any(|one| one.type_ == "SecretCurrent" && one.reason == "Conflict").then_some(())
    };
    world.eventually("the owner is respected", conflict).await;
    assert!(holds(&world.gateway_secret().await.expect("there"), &theirs));
    let history = objects.get("a").await.expect("there").status.expect("a status").history;
    assert!(!history.iter().any(|entry| entry.reason == "Promoted"), "{history:?}");
}
