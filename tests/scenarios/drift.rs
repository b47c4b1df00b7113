//! Somebody edits what is ours.

use crate::pki::{self, Ca, Pair};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{
    scenarios,
    world::{World, holds, value},
};

scenarios!(
    an_edited_gateway_secret_is_restored_and_the_editor_is_named,
    generic_keys_that_would_mask_the_pair_are_removed,
    kubectls_last_applied_annotation_is_removed_because_it_holds_the_key,
    whoever_undoes_us_three_times_in_an_hour_is_observed_and_no_longer_fought,
    an_immutable_secret_is_a_condition_and_never_deleted,
    an_edited_keep_sake_is_restored,
);

async fn edit(world: &World, pair: &Pair) {
    let data = json!({"data": {"tls.crt": pki::base64(&pair.certificate), "tls.key": pki::base64(&pair.key)}});
    let params = PatchParams { field_manager: Some("a-person".to_owned()), ..PatchParams::default() };
    world.secrets(&world.mesh).patch("gw-certs", &params, &Patch::Merge(data)).await.expect("patched");
}

async fn an_edited_gateway_secret_is_restored_and_the_editor_is_named(world: World) {
    let ca = Ca::new();
    let (ours, theirs) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    let _keeper = world.started_with(&ours).await;
    edit(&world, &theirs).await;
    world.promoted(&ours).await;
    let entry = world
        .eventually("the history tells", || async {
            let status = world.status("x").await;
            status.history.into_iter().find(|entry| entry.reason == "Restored")
        })
        .await;
    assert_eq!(entry.manager.as_deref(), Some("a-person"));
    assert!(entry.message.contains("a-person"), "{}", entry.message);
    world.is_silent().await;
}

async fn generic_keys_that_would_mask_the_pair_are_removed(world: World) {
    let ca = Ca::new();
    let (ours, theirs) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    let _keeper = world.started_with(&ours).await;
    let data = json!({"data": {"cert": pki::base64(&theirs.certificate), "key": pki::base64(&theirs.key)}});
    world.secrets(&world.mesh).patch("gw-certs", &PatchParams::default(), &Patch::Merge(data)).await.expect("patched");
    world
        .eventually("the masking keys go", || async {
            let secret = world.gateway_secret().await.expect("there");
            (value(&secret, "cert").is_none() && value(&secret, "key").is_none()).then_some(())
        })
        .await;
    assert!(holds(&world.gateway_secret().await.expect("there"), &ours));
}

async fn kubectls_last_applied_annotation_is_removed_because_it_holds_the_key(world: World) {
    let ours = Ca::new().issue(&[pki::WILDCARD]);
    let _keeper = world.started_with(&ours).await;
    let name = "kubectl.kubernetes.io/last-applied-configuration";
    let patch = json!({"metadata": {"annotations": {name: ours.key, "somebody/else": "kept"}}});
    world.secrets(&world.mesh).patch("gw-certs", &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    world
        .eventually("the annotation goes", || async {
            let annotations = world.gateway_secret().await.expect("there").metadata.annotations.unwrap_or_default();
            assert_eq!(annotations.get("somebody/else").map(String::as_str), Some("kept"));
            (!annotations.contains_key(name)).then_some(())
        })
        .await;
}

async fn whoever_undoes_us_three_times_in_an_hour_is_observed_and_no_longer_fought(world: World) {
    let ca = Ca::new();
    let ours = ca.issue(&[pki::WILDCARD]);
    let _keeper = world.started_with(&ours).await;
    for round in 0..3 {
        edit(&world, &ca.issue(&[pki::WILDCARD])).await;
        world.promoted(&ours).await;
        world
            .eventually("the history counts", || async {
                let restored = world.status("x").await.history.iter().filter(|e| e.reason == "Restored").count();
                (restored > round).then_some(())
            })
            .await;
    }
    let theirs = ca.issue(&[pki::WILDCARD]);
    edit(&world, &theirs).await;
    let message = world.condition("x", "SecretCurrent", "False", "ForeignOwner").await;
    assert!(message.contains("a-person"), "{message}");
    world.is_silent().await;
    assert!(holds(&world.gateway_secret().await.expect("there"), &theirs), "not fought any more");
    world.patch_object("x", json!({"spec": {"managementPolicy": "Manage"}})).await;
    world.promoted(&ours).await;
}

async fn an_immutable_secret_is_a_condition_and_never_deleted(world: World) {
    let ca = Ca::new();
    let (first, second) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    let _keeper = world.started_with(&first).await;
    let patch = json!({"immutable": true});
    world.secrets(&world.mesh).patch("gw-certs", &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    world.supply(&second).await;
    let message = world.condition("x", "SecretCurrent", "False", "Immutable").await;
    assert!(message.contains("kubectl"), "it says what to do: {message}");
    world.is_silent().await;
    assert!(holds(&world.gateway_secret().await.expect("there"), &first));
    world.secrets(&world.mesh).delete("gw-certs", &Default::default()).await.expect("deleted");
    world.promoted(&second).await;
}

async fn an_edited_keep_sake_is_restored(world: World) {
    let ca = Ca::new();
    let ours = ca.issue(&[pki::WILDCARD]);
    let _keeper = world.started_with(&ours).await;
    let patch = json!({"data": {"tls.crt": pki::base64("garbage")}});
    let api = world.secrets(&world.mesh);
    api.patch("gw-certs-last-good", &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    world
        .eventually("the keep-sake is whole again", || async {
            let kept = world.secrets(&world.mesh).get("gw-certs-last-good").await.expect("there");
            holds(&kept, &ours).then_some(())
        })
        .await;
}
