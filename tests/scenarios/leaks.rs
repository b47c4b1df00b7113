//! No key material in anything that is not a Secret.

use crate::pki::{self, Ca};

use crate::{scenarios, world::World};

scenarios!(neither_status_nor_events_nor_annotations_hold_key_material);

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
