//! Two are harmless: writes can only change the state they were decided on.

use crate::pki::{self, Ca};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{
    scenarios,
    world::{World, holds, value},
};

scenarios!(
    an_apply_that_names_a_version_which_never_was_creates_and_never_merges,
    two_active_replicas_end_in_the_same_place_and_in_silence,
    changes_faster_than_certkeeper_follows_end_with_the_last_one,
);

/// What `cluster::apply` builds its creates on.
async fn an_apply_that_names_a_version_which_never_was_creates_and_never_merges(world: World) {
    let api = world.secrets(&world.mesh);
    let apply = |manager: &str| {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": "once", "resourceVersion": "1"}, "data": {manager: "YQ=="},
        });
        (PatchParams::apply(manager), Patch::Apply(secret))
    };
    let (params, patch) = apply("first");
    let created: Secret = api.patch("once", &params, &patch).await.expect("an absent object is created");
    let (params, patch) = apply("second");
    let error = api.patch("once", &params, &patch).await.expect_err("there is one now");
    assert!(matches!(&error, kube::Error::Api(status) if status.code == 409), "{error}");
    let after = api.get("once").await.expect("there");
    assert_eq!(after.metadata.resource_version, created.metadata.resource_version, "nothing was merged into it");
    assert_eq!(value(&after, "second"), None);
}

async fn two_active_replicas_end_in_the_same_place_and_in_silence(world: World) {
    let ca = Ca::new();
    let first = ca.issue(&[pki::WILDCARD]);
    world.supply(&first).await;
    world.ask(json!({})).await;
    let _one = world.keeper();
    let _other = world.keeper();
    world.promoted(&first).await;
    world.condition("x", "SecretCurrent", "True", "Current").await;
    for _ in 0..3 {
        let next = ca.issue(&[pki::WILDCARD]);
        world.supply(&next).await;
        world.promoted(&next).await;
        world.secrets(&world.mesh).delete("gw-certs", &Default::default()).await.expect("deleted");
        world.promoted(&next).await;
        world
            .eventually("the status follows", || async {
                let certificate = world.status("x").await.certificate?;
                (certificate.fingerprint == next.fingerprint()).then_some(())
            })
            .await;
    }
    world.is_silent().await;
}

async fn changes_faster_than_certkeeper_follows_end_with_the_last_one(world: World) {
    let ca = Ca::new();
    world.ask(json!({})).await;
    let _keeper = world.keeper();
    let mut last = ca.issue(&[pki::WILDCARD]);
    for _ in 0..20 {
        last = ca.issue(&[pki::WILDCARD]);
        world.supply(&last).await;
        world.supply_data(&[("tls.crt", b"in between")]).await;
    }
    world.supply(&last).await;
    world.promoted(&last).await;
    world.condition("x", "SourceValid", "True", "Valid").await;
    world.is_silent().await;
    assert!(holds(&world.gateway_secret().await.expect("there"), &last));
}
