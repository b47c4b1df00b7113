//! A supplied pair reaches the gateway's Secret, and every rotation after it.

use crate::pki::{self, Ca};

use crate::{
    scenarios,
    world::{World, holds, value},
};

scenarios!(
    a_supplied_pair_is_promoted_and_then_there_is_silence,
    a_rotation_replaces_the_pair_in_one_write,
    every_layout_of_a_source_is_understood,
    an_existing_secret_keeps_its_type_labels_and_other_keys,
    left_over_keys_go_with_the_next_write,
    without_a_domain_any_host_will_do_and_that_is_said,
);

async fn a_supplied_pair_is_promoted_and_then_there_is_silence(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let _keeper = world.started_with(&pair).await;
    let message = world.condition("x", "SecretCurrent", "True", "Current").await;
    assert!(message.contains(&pair.fingerprint()), "{message}");
    world.condition("x", "SourceValid", "True", "Valid").await;
    // Whether it is Istio or a Gateway that is missing here depends on what else runs on this API server.
    world
        .eventually("what is served is not known", || async {
            let status = world.status("x").await;
            status.conditions.iter().find(|one| one.type_ == "Ready" && one.status == "Unknown").map(drop)
        })
        .await;
    let kept = world.secrets(&world.mesh).get("gw-certs-last-good").await.expect("a keep-sake");
    assert!(holds(&kept, &pair));
    let status = world.status("x").await;
    assert_eq!(status.certificate.expect("a certificate").fingerprint, pair.fingerprint());
    assert_eq!(status.history[0].reason, "Promoted");
    let told: Vec<_> = world.events().await.into_iter().filter_map(|event| event.reason).collect();
    assert_eq!(told, ["Promoted"]);
    world.is_silent().await;
}

async fn a_rotation_replaces_the_pair_in_one_write(world: World) {
    let ca = Ca::new();
    let (first, second) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    let _keeper = world.started_with(&first).await;
    let uid = world.gateway_secret().await.and_then(|secret| secret.metadata.uid);
    world.supply(&second).await;
    world
        .eventually("the second pair", || async {
            let secret = world.gateway_secret().await.expect("never missing");
            assert!(holds(&secret, &first) || holds(&secret, &second), "never a mixture");
            holds(&secret, &second).then_some(())
        })
        .await;
    assert_eq!(uid, world.gateway_secret().await.and_then(|secret| secret.metadata.uid), "never deleted");
    world
        .eventually("the keep-sake follows", || async {
            let kept = world.secrets(&world.mesh).get("gw-certs-last-good").await.expect("there");
            holds(&kept, &second).then_some(())
        })
        .await;
}

async fn every_layout_of_a_source_is_understood(world: World) {
    let ca = Ca::new();
    let (first, second, third) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    let _keeper = world.started_with(&first).await;
    world.supply_data(&[("cert", second.certificate.as_bytes()), ("key", second.key.as_bytes())]).await;
    world.promoted(&second).await;
    let (certificate, key) = (pki::base64(&third.certificate), pki::base64(&third.key));
    world.supply_data(&[("tlsCrt", certificate.as_bytes()), ("tlsKey", key.as_bytes())]).await;
    world.promoted(&third).await;
}

async fn an_existing_secret_keeps_its_type_labels_and_other_keys(world: World) {
    let ca = Ca::new();
    let (old, new) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    let data: &[(&str, &[u8])] =
        &[("tls.crt", old.certificate.as_bytes()), ("tls.key", old.key.as_bytes()), ("other", b"kept")];
    world.put_secret(&world.mesh, "gw-certs", data).await;
    let _keeper = world.started_with(&new).await;
    let secret = world.gateway_secret().await.expect("there");
    assert_eq!(secret.type_.as_deref(), Some("Opaque"));
    assert_eq!(value(&secret, "other").as_deref(), Some(b"kept".as_slice()));
}

async fn left_over_keys_go_with_the_next_write(world: World) {
    let ca = Ca::new();
    let (old, new) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    let data: &[(&str, &[u8])] = &[
        ("tls.crt", old.certificate.as_bytes()),
        ("tls.key", old.key.as_bytes()),
        ("cert", old.certificate.as_bytes()),
        ("key", old.key.as_bytes()),
        ("tls.ocsp-staple", b"of another leaf"),
    ];
    world.put_secret(&world.mesh, "gw-certs", data).await;
    let _keeper = world.started_with(&new).await;
    let secret = world.gateway_secret().await.expect("there");
    for gone in ["cert", "key", "tls.ocsp-staple"] {
        assert_eq!(value(&secret, gone), None, "{gone} would mask or break the pair");
    }
    world.condition("x", "SecretCurrent", "True", "Current").await;
    // Put back by somebody, they go again, though the pair itself never changed.
    let data: &[(&str, &[u8])] =
        &[("tls.crt", new.certificate.as_bytes()), ("tls.key", new.key.as_bytes()), ("cert", b"half")];
    world.put_secret(&world.mesh, "gw-certs", data).await;
    world
        .eventually("the half of a generic pair is removed", || async {
            let secret = world.gateway_secret().await.expect("there");
            value(&secret, "cert").is_none().then_some(())
        })
        .await;
}

async fn without_a_domain_any_host_will_do_and_that_is_said(world: World) {
    let pair = Ca::new().issue(&["*.elsewhere.example"]);
    world.supply(&pair).await;
    world.ask(serde_json::json!({"domain": null})).await;
    let _keeper = world.keeper();
    world.promoted(&pair).await;
    let message = world.condition("x", "SourceValid", "True", "Valid").await;
    assert!(message.contains("spec.domain is not set"), "{message}");
}
