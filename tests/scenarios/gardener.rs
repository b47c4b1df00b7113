//! Gardener mode: a certificate is requested, watched over, checked and promoted.

use kube::{ResourceExt, api::DeleteParams};
use serde_json::json;

use crate::{
    pki,
    shoot::{Shoot, fingerprint},
    three_ways,
    world::value,
};

three_ways!(
    what_was_asked_for_is_issued_checked_promoted_and_served,
    a_deleted_staging_secret_is_issued_anew_after_one_touch,
    a_deleted_gateway_secret_is_restored_at_once,
    a_deleted_certificate_is_requested_again_and_nothing_changes_at_the_gateway,
    a_renewal_that_a_person_asked_for_is_served,
);

async fn what_was_asked_for_is_issued_checked_promoted_and_served(shoot: Shoot) {
    let _keeper = shoot.served(json!({})).await;
    let world = &shoot.world;
    let message = world.condition("x", "Issued", "True", "Issued").await;
    assert!(message.contains("its renewal is due at"), "{message}");
    world.condition("x", "SourceValid", "True", "Valid").await;
    world.condition("x", "SecretCurrent", "True", "Current").await;
    let status = world.status("x").await;
    assert_eq!(status.mode.as_deref(), Some("Gardener"));
    assert_eq!(status.served.as_deref(), Some("2/2"));
    let held = status.certificate.expect("a certificate");
    assert_eq!(held.dns_names, [pki::WILDCARD, pki::DOMAIN]);
    assert!(held.renew_at.is_some());
    let certificate = shoot.certificate().await.expect("requested");
    assert_eq!(certificate.spec.dns_names, [pki::WILDCARD, pki::DOMAIN]);
    assert_eq!(certificate.spec.common_name, None);
    assert_eq!(certificate.annotations().get("certs.kyma-project.io/owner"), Some(&format!("{}/x", world.home)));
    assert!(!certificate.annotations().contains_key("cert.gardener.cloud/class"));
    // The CA's certificate is the root: it came along, and goes no further.
    let (staging, gateway) = (shoot.staging().await.expect("issued"), world.gateway_secret().await.expect("promoted"));
    let blocks = |pem: &[u8]| String::from_utf8_lossy(pem).matches("BEGIN CERTIFICATE").count();
    assert_eq!(blocks(&value(&staging, "tls.crt").expect("a chain")), 2);
    assert_eq!(blocks(&value(&gateway, "tls.crt").expect("a chain")), 1);
    assert!(value(&staging, "ca.crt").is_some() && value(&gateway, "ca.crt").is_none());
    assert!(gateway.labels().keys().all(|label| !label.starts_with("cert.gardener.cloud")));
    for reason in ["Requested", "Issued", "Promoted", "Served"] {
        assert_eq!(shoot.told(reason).await, 1, "{reason}: {}", shoot.story().await);
    }
    world.is_silent().await;
}

async fn a_deleted_staging_secret_is_issued_anew_after_one_touch(shoot: Shoot) {
    let _keeper = shoot.served(json!({})).await;
    let before = shoot.stored().await.expect("a leaf");
    shoot.world.secrets(&shoot.world.home).delete("x-staging", &DeleteParams::default()).await.expect("deleted");
    let after = shoot.renewed(&before).await;
    assert_eq!(shoot.staging().await.as_ref().and_then(fingerprint), Some(after));
    assert_eq!(shoot.told("Touched").await, 1);
    assert_eq!(shoot.told("RenewalRequested").await, 0);
    shoot.world.is_silent().await;
}

async fn a_deleted_gateway_secret_is_restored_at_once(shoot: Shoot) {
    let _keeper = shoot.served(json!({})).await;
    let before = shoot.stored().await.expect("a leaf");
    shoot.world.secrets(&shoot.world.mesh).delete("gw-certs", &DeleteParams::default()).await.expect("deleted");
    let what = "the same leaf is there again";
    shoot.world.eventually(what, || async { shoot.stored().await.filter(|stored| *stored == before) }).await;
    shoot.world.condition("x", "Ready", "True", "Ready").await;
    assert_eq!((shoot.told("Touched").await, shoot.told("Issued").await), (0, 1));
}

async fn a_deleted_certificate_is_requested_again_and_nothing_changes_at_the_gateway(shoot: Shoot) {
    let _keeper = shoot.served(json!({})).await;
    // What is asked for in the same second again looks just as it did.
    let second = shoot.world.clock.now();
    let passed = || async { (shoot.world.clock.now() > second).then_some(()) };
    shoot.world.eventually("a second passes", passed).await;
    let (before, uid) = (shoot.stored().await, shoot.certificate().await.and_then(|one| one.uid()));
    shoot.certificates().delete("x", &DeleteParams::default()).await.expect("deleted");
    let another = || async {
        let certificate = shoot.certificate().await.filter(|one| one.uid() != uid)?;
        certificate.status.filter(|status| status.state == "Ready")
    };
    shoot.world.eventually("it is requested again, and the Secret taken over", another).await;
    shoot.world.condition("x", "Issued", "True", "Issued").await;
    shoot.world.is_silent().await;
    assert_eq!(shoot.stored().await, before);
    assert_eq!((shoot.told("Requested").await, shoot.told("Promoted").await), (2, 1), "{}", shoot.story().await);
}

async fn a_renewal_that_a_person_asked_for_is_served(shoot: Shoot) {
    let _keeper = shoot.served(json!({})).await;
    let before = shoot.stored().await.expect("a leaf");
    shoot.renew().await;
    shoot.renewed(&before).await;
    shoot.world.is_silent().await;
    for (reason, times) in [("RenewalRequested", 1), ("Issued", 2), ("Promoted", 2), ("Touched", 0)] {
        assert_eq!(shoot.told(reason).await, times, "{reason}: {}", shoot.story().await);
    }
}
