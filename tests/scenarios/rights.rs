//! The rules of docs/permissions.md are enough, and a missing one is named. On the real API server only: it is the one
//! that decides.

use serde_json::{Value, json};

use crate::{
    pki::{self, Ca},
    world::{World, holds},
};

/// The rules as the page has them, with the names of the scenario.
fn documented() -> (Value, Value) {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/permissions.md")).expect("the page");
    let page = page.replace("kyma-gateway-certs", "gw-certs").replace("my-certificate", "supplied");
    let mut blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("an end"));
    let mut next = || serde_saphyr::from_str(blocks.next().expect("two blocks of rules")).expect("YAML");
    (next(), next())
}

#[tokio::test]
async fn the_documented_rules_are_enough_for_a_whole_life() {
    let (home, mesh) = documented();
    let Some((world, client)) = World::restricted("rights", home, mesh).await else { return };
    let ca = Ca::new();
    let (first, second) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    world.supply(&first).await;
    world.ask(json!({})).await;
    let _keeper = world.keeper_with(world.settings(), client);
    world.promoted(&first).await;
    world.condition("x", "SecretCurrent", "True", "Current").await;
    world.supply(&second).await;
    world.promoted(&second).await;
    world.secrets(&world.mesh).delete("gw-certs", &Default::default()).await.expect("deleted");
    world.promoted(&second).await;
    world.eventually("events are recorded", || async { (!world.events().await.is_empty()).then_some(()) }).await;
    world.objects().delete("x", &Default::default()).await.expect("deleted");
    world
        .eventually("the object is gone", || async {
            world.objects().get_opt("x").await.expect("readable").is_none().then_some(())
        })
        .await;
    assert!(holds(&world.gateway_secret().await.expect("there"), &second));
}

#[tokio::test]
async fn a_missing_right_to_read_is_a_condition_that_names_the_rule() {
    let (mut home, mesh) = documented();
    home.as_array_mut().expect("rules").retain(|rule| rule["resources"][0] != "secrets");
    let Some((world, client)) = World::restricted("rights: read", home, mesh).await else { return };
    world.ask(json!({})).await;
    let _keeper = world.keeper_with(world.settings(), client);
    let message = world.condition("x", "SourceValid", "False", "AccessDenied").await;
    assert!(message.contains("resourceNames [\"supplied\"]") && message.contains(&world.home), "{message}");
}

#[tokio::test]
async fn a_missing_right_to_write_is_a_condition_that_names_the_rule() {
    let (home, mut mesh) = documented();
    mesh[0]["verbs"] = json!(["get", "list", "watch"]);
    let Some((world, client)) = World::restricted("rights: write", home, mesh).await else { return };
    world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
    world.ask(json!({})).await;
    let _keeper = world.keeper_with(world.settings(), client);
    let message = world.condition("x", "SecretCurrent", "False", "AccessDenied").await;
    assert!(message.contains("resourceNames [\"gw-certs\"]") && message.contains("create"), "{message}");
    world.is_silent().await;
}
