//! The two walls: what the operator granted, and what the API server allows.

use crate::pki::{self, Ca};
use certkeeper::lifecycle::Settings;
use serde_json::json;

use crate::{scenarios, world::World};

scenarios!(
    an_ungranted_secret_is_not_touched_and_no_call_is_made,
    a_selector_that_kubernetes_would_refuse_is_not_taken_by_its_letter,
    the_source_must_not_be_the_gateways_own_secret,
);

async fn an_ungranted_secret_is_not_touched_and_no_call_is_made(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    world.supply(&pair).await;
    world.ask(json!({})).await;
    let settings = Settings { allow: vec!["elsewhere/gw-certs".to_owned()], ..world.settings() };
    let _keeper = world.keeper_with(settings, world.client.clone());
    let message = world.condition("x", "Accepted", "False", "NotPermitted").await;
    assert!(message.contains(&format!("--allow {}/gw-certs", world.mesh)), "{message}");
    world.condition("x", "Ready", "False", "NotAccepted").await;
    assert!(world.gateway_secret().await.is_none());
    if let Some(server) = &world.server {
        let ours = |request: &certkeeper_simulator::server::Request| {
            request.info.resource == "secrets" && request.info.verb == "watch"
        };
        assert!(!server.requests().iter().any(ours), "no Secret was even watched");
    }
}

async fn a_selector_that_kubernetes_would_refuse_is_not_taken_by_its_letter(world: World) {
    world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
    for expression in [
        json!({"key": "a", "operator": "in", "values": ["b"]}),
        json!({"key": "a", "operator": "NotIn", "values": []}),
        json!({"key": "a", "operator": "Exists", "values": ["b"]}),
    ] {
        let target = json!({"name": "t", "secretName": "copy", "layout": "certificate-only",
            "namespaceSelector": {"matchExpressions": [expression]}});
        world.ask(json!({"targets": [target]})).await;
        let keeper = world.keeper();
        let message = world.condition("x", "Accepted", "False", "InvalidSpec").await;
        assert!(message.contains("of target t"), "{message}");
        drop(keeper);
        world.objects().delete("x", &Default::default()).await.expect("deleted");
    }
}

async fn the_source_must_not_be_the_gateways_own_secret(world: World) {
    let gateway = json!({"secretRef": {"namespace": world.home, "name": "supplied"}});
    world.ask(json!({"gateway": gateway})).await;
    let settings = Settings { allow: vec![format!("{}/supplied", world.home)], ..world.settings() };
    let _keeper = world.keeper_with(settings, world.client.clone());
    world.condition("x", "Accepted", "False", "InvalidSpec").await;
}
