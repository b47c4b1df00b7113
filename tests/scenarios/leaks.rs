//! No key material in anything that is not a Secret.

use crate::pki::{self, Ca};

use crate::{
    scenarios,
    world::{World, normalised, value},
};
use serde_json::json;

scenarios!(
    neither_status_nor_events_nor_annotations_hold_key_material,
    of_a_copy_only_its_value_holds_the_key_and_a_certificate_only_copy_does_not,
);

async fn of_a_copy_only_its_value_holds_the_key_and_a_certificate_only_copy_does_not(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let (namespace, copy, open) = (world.own("a"), world.own("copy"), world.own("open"));
    world.namespace(&namespace).await;
    world.supply(&pair).await;
    let target = |name: &str, layout: &str| json!({"name": name, "secretName": name, "layout": layout, "namespaces": [namespace]});
    world.ask(json!({"targets": [target(&copy, "tls"), target(&open, "certificate-only")]})).await;
    let grants = [format!("*/{copy}"), format!("*/{open}")];
    let _keeper = world.keeper_with(world.settings_with(&grants.each_ref().map(String::as_str)), world.client.clone());
    world.condition("x", "Distributed", "True", "Distributed").await;
    let (_, key) = normalised(&pair);
    let bearing = world.secrets(&namespace).get(&copy).await.expect("there");
    assert_eq!(value(&bearing, "tls.key").as_deref(), Some(key.as_bytes()), "the needle is the right one");
    let open = world.secrets(&namespace).get(&open).await.expect("there");
    let mut seen = serde_json::to_string(&world.objects().get("x").await.expect("there")).expect("JSON");
    seen += &serde_json::to_string(&world.events().await).expect("JSON");
    seen += &serde_json::to_string(&bearing.metadata).expect("JSON");
    seen += &serde_json::to_string(&open.metadata).expect("JSON");
    seen += &String::from_utf8(value(&open, "tls.crt").expect("a certificate")).expect("PEM");
    for line in key.lines().filter(|line| !line.starts_with("-----")) {
        assert!(!seen.contains(line), "a line of a private key was found");
    }
}

async fn neither_status_nor_events_nor_annotations_hold_key_material(world: World) {
    let ca = Ca::new();
    let (first, second) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    let _keeper = world.started_with(&first).await;
    // The key where the certificate should be: the likeliest way to have one quoted.
    let swapped: &[(&str, &[u8])] = &[("tls.crt", second.key.as_bytes()), ("tls.key", second.certificate.as_bytes())];
    world.supply_data(swapped).await;
    world.condition("x", "SourceValid", "False", "Refused").await;
    let both = format!("{}{}", second.certificate, second.key);
    world.supply_data(&[("tls.crt", both.as_bytes()), ("tls.key", second.key.as_bytes())]).await;
    world.eventually("it is judged anew", || async { (world.status("x").await.history.len() > 2).then_some(()) }).await;
    let mut seen = serde_json::to_string(&world.objects().get("x").await.expect("there")).expect("JSON");
    seen += &serde_json::to_string(&world.events().await).expect("JSON");
    let gateway = world.gateway_secret().await.expect("there");
    seen += &serde_json::to_string(&gateway.metadata).expect("JSON");
    for pair in [&first, &second] {
        for line in pair.key.lines().filter(|line| !line.starts_with("-----")) {
            assert!(!seen.contains(line), "a line of a private key was found");
        }
    }
}
