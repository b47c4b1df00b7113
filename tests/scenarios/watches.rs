//! Watches end, and history is forgotten: on the in-memory API server only, where both can be made to happen.

use serde_json::json;

use crate::{
    pki::{self, Ca},
    world::World,
};

/// Changes that happen while no watch is open and that no watch can replay.
async fn forgotten(gone_as_http: bool) {
    let world = World::in_memory().await;
    let server = world.server.clone().expect("in memory");
    let ca = Ca::new();
    let (first, second) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    let _keeper = world.started_with(&first).await;
    server.set_gone_as_http(gone_as_http);
    server.cut_watches();
    world.supply(&second).await;
    world.secrets(&world.mesh).delete("gw-certs", &Default::default()).await.expect("deleted");
    server.compact();
    world.promoted(&second).await;
    world.condition("x", "SecretCurrent", "True", "Current").await;
    world.is_silent().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_forgotten_is_listed_anew_when_the_stream_says_so() {
    forgotten(false).await;
}

/// kube-runtime alone would ask for the forgotten version for ever.
#[tokio::test(start_paused = true)]
async fn what_was_forgotten_is_listed_anew_when_the_answer_is_an_http_410() {
    forgotten(true).await;
}

#[tokio::test(start_paused = true)]
async fn one_watch_a_named_secret_and_no_other_secret_is_ever_read() {
    let world = World::in_memory().await;
    let server = world.server.clone().expect("in memory");
    world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
    world.ask(json!({})).await;
    server.clear_requests();
    let keeper = world.keeper();
    world.eventually("it is promoted", || async { world.gateway_secret().await }).await;
    drop(keeper);
    let named = ["gw-certs", "gw-certs-last-good", "supplied"].map(|name| format!("metadata.name={name}"));
    for request in server.requests().iter().filter(|request| request.info.resource == "secrets") {
        let selected = request.info.query.get("fieldSelector").is_some_and(|selector| named.contains(selector));
        assert!(selected || request.info.name.is_some(), "a Secret that nobody named may be read: {:?}", request.info);
    }
}
