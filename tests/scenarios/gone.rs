//! Things disappear: the gateway's Secret, the GatewayCertificate.

use crate::pki::{self, Ca};

use crate::{
    scenarios,
    world::{World, holds},
};

scenarios!(
    a_deleted_gateway_secret_is_restored_at_once,
    a_gateway_secret_deleted_while_certkeeper_was_down_is_restored_from_the_keep_sake,
    deleting_the_object_removes_the_keep_sake_and_keeps_what_is_served,
);

async fn a_deleted_gateway_secret_is_restored_at_once(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let _keeper = world.started_with(&pair).await;
    world.secrets(&world.mesh).delete("gw-certs", &Default::default()).await.expect("deleted");
    world.promoted(&pair).await;
    world
        .eventually("it is told", || async {
            world.status("x").await.history.into_iter().find(|entry| entry.message.contains("was deleted"))
        })
        .await;
    world.is_silent().await;
}

async fn a_gateway_secret_deleted_while_certkeeper_was_down_is_restored_from_the_keep_sake(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let keeper = world.started_with(&pair).await;
    keeper.stop().await;
    world.secrets(&world.mesh).delete("gw-certs", &Default::default()).await.expect("deleted");
    world.supply_data(&[("tls.crt", b"bad")]).await;
    let _keeper = world.keeper();
    world.promoted(&pair).await;
    world.condition("x", "SourceValid", "False", "Refused").await;
    world.condition("x", "SecretCurrent", "True", "LastGoodKept").await;
}

async fn deleting_the_object_removes_the_keep_sake_and_keeps_what_is_served(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let _keeper = world.started_with(&pair).await;
    world.objects().delete("x", &Default::default()).await.expect("deleted");
    world
        .eventually("the object is gone", || async {
            world.objects().get_opt("x").await.expect("readable").is_none().then_some(())
        })
        .await;
    assert!(world.secrets(&world.mesh).get_opt("gw-certs-last-good").await.expect("readable").is_none());
    let secret = world.gateway_secret().await.expect("the gateway's Secret is never deleted");
    assert!(holds(&secret, &pair));
    let annotations = secret.metadata.annotations.unwrap_or_default();
    assert!(!annotations.contains_key("certs.kyma-project.io/owner"), "it is released");
}
