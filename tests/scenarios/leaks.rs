//! No key material in anything that is not a Secret.

use crate::pki::{self, Ca};

use crate::{
    scenarios,
    shoot::Shoot,
    three_ways,
    world::{World, normalised, value},
};
use kube::ResourceExt;
use serde_json::json;

scenarios!(
    neither_status_nor_events_nor_annotations_hold_key_material,
    of_a_copy_only_its_value_holds_the_key_and_a_certificate_only_copy_does_not,
);

three_ways!(of_what_gardener_issued_only_the_secrets_hold_the_key);

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

async fn of_what_gardener_issued_only_the_secrets_hold_the_key(shoot: Shoot) {
    let _keeper = shoot.served(json!({})).await;
    let world = &shoot.world;
    let mut staging = shoot.staging().await.expect("issued");
    let gateway = world.gateway_secret().await.expect("promoted");
    let keys =
        [&staging, &gateway].map(|secret| String::from_utf8(value(secret, "tls.key").expect("a key")).expect("PEM"));
    // The key where the certificate should be, and where people and Gardener write words.
    let data = staging.data.get_or_insert_default();
    let key = data.get("tls.key").cloned().expect("a key");
    data.insert("tls.crt".to_owned(), key);
    staging.metadata.managed_fields = None;
    world.secrets(&world.home).replace(&staging.name_any(), &Default::default(), &staging).await.expect("replaced");
    world.condition("x", "SourceValid", "False", "Refused").await;
    shoot.edit("x", json!({"metadata": {"annotations": {"certs.kyma-project.io/pushed": keys[0]}}})).await;
    world.patch_object("x", json!({"spec": {"gardener": {"includeApex": false}}})).await;
    let asked = || async { (shoot.certificate().await?.spec.dns_names == [pki::WILDCARD]).then_some(()) };
    world.eventually("other names are asked for", asked).await;
    let mut certificate = shoot.certificate().await.expect("there");
    // What a person put there is the person's own.
    certificate.annotations_mut().remove("certs.kyma-project.io/pushed");
    let mut seen = serde_json::to_string(&world.objects().get("x").await.expect("there")).expect("JSON");
    seen += &serde_json::to_string(&world.events().await).expect("JSON");
    seen += &serde_json::to_string(&certificate).expect("JSON");
    for secret in [shoot.staging().await, world.gateway_secret().await] {
        seen += &serde_json::to_string(&secret.expect("there").metadata).expect("JSON");
    }
    for line in keys.iter().flat_map(|key| key.lines()).filter(|line| !line.starts_with("-----")) {
        assert!(!seen.contains(line), "a line of a private key was found");
    }
}
