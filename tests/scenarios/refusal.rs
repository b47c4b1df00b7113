//! Bad input is refused with its reason, and the last good pair stays.

use crate::pki::{self, Ca, Leaf};
use chrono::Duration;
use serde_json::json;

use crate::{
    scenarios,
    world::{World, holds},
};

scenarios!(
    bad_input_of_every_kind_is_refused_with_its_reason_and_the_old_pair_stays,
    a_missing_source_is_said_and_the_old_pair_stays,
    a_deleted_source_takes_nothing_away,
    with_nothing_better_the_least_bad_pair_is_used_and_said,
    a_retired_pair_is_neither_promoted_nor_brought_back,
    a_check_can_be_lowered_but_never_one_that_envoy_would_fail,
    a_chain_that_leads_to_no_given_root_is_refused,
);

async fn bad_input_of_every_kind_is_refused_with_its_reason_and_the_old_pair_stays(world: World) {
    let ca = Ca::new();
    let good = ca.issue(&[pki::WILDCARD]);
    let other = ca.issue(&[pki::WILDCARD]);
    let expired = ca.issue_leaf(&Leaf { age: Duration::days(40), ends: Duration::days(-10) });
    let elsewhere = ca.issue(&["*.elsewhere.example"]);
    let _keeper = world.started_with(&good).await;
    let cases: [(&str, &[u8], &[u8], &str); 6] = [
        ("a mismatched pair", other.certificate.as_bytes(), good.key.as_bytes(), "key"),
        ("an expired certificate", expired.certificate.as_bytes(), expired.key.as_bytes(), "expired"),
        ("another host", elsewhere.certificate.as_bytes(), elsewhere.key.as_bytes(), pki::DOMAIN),
        ("half a pair", other.certificate.as_bytes(), b"", "key"),
        ("garbage", b"garbage", other.key.as_bytes(), "certificate"),
        ("an encrypted key", other.certificate.as_bytes(), ENCRYPTED.as_bytes(), "encrypted"),
    ];
    for (what, certificate, key, word) in cases {
        world.supply_data(&[("tls.crt", certificate), ("tls.key", key)]).await;
        let message = world
            .eventually(what, || async {
                let status = world.status("x").await;
                let refused = status.conditions.iter().find(|c| c.type_ == "SourceValid")?;
                (refused.reason == "Refused" && refused.message.contains(word)).then(|| refused.message.clone())
            })
            .await;
        assert!(message.contains("supplied"), "{what}: the Secret is named: {message}");
        let secret = world.gateway_secret().await.expect("there");
        assert!(holds(&secret, &good), "{what}: the old pair stays");
        world.condition("x", "SecretCurrent", "True", "LastGoodKept").await;
        world.condition("x", "Ready", "False", "SourceRefused").await;
    }
    world.is_silent().await;
    world.supply(&other).await;
    world.promoted(&other).await;
    world.condition("x", "SourceValid", "True", "Valid").await;
}

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";

async fn a_missing_source_is_said_and_the_old_pair_stays(world: World) {
    world.ask(json!({})).await;
    let _keeper = world.keeper();
    let message = world.condition("x", "SourceValid", "False", "SourceMissing").await;
    assert!(message.contains(&format!("{}/supplied", world.home)) && message.contains("tls.key"), "{message}");
    world.condition("x", "SecretCurrent", "False", "NothingToWrite").await;
    assert!(world.gateway_secret().await.is_none(), "nothing is written for nothing");
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    world.supply(&pair).await;
    world.promoted(&pair).await;
}

async fn a_deleted_source_takes_nothing_away(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let _keeper = world.started_with(&pair).await;
    world.secrets(&world.home).delete("supplied", &Default::default()).await.expect("deleted");
    world.condition("x", "SourceValid", "False", "SourceMissing").await;
    assert!(holds(&world.gateway_secret().await.expect("there"), &pair));
    // Even the gateway's own Secret comes back without a source.
    world.secrets(&world.mesh).delete("gw-certs", &Default::default()).await.expect("deleted");
    world.promoted(&pair).await;
    world.is_silent().await;
}

async fn with_nothing_better_the_least_bad_pair_is_used_and_said(world: World) {
    let ca = Ca::new();
    let expired = ca.issue_leaf(&Leaf { age: Duration::days(40), ends: Duration::days(-10) });
    let _keeper = world.started_with(&expired).await;
    world.condition("x", "SourceValid", "False", "NothingBetter").await;
    world.condition("x", "Ready", "False", "SourceRefused").await;
    // One that expired earlier is worse and is refused.
    let older = ca.issue_leaf(&Leaf { age: Duration::days(60), ends: Duration::days(-30) });
    world.supply(&older).await;
    world.condition("x", "SourceValid", "False", "Refused").await;
    assert!(holds(&world.gateway_secret().await.expect("there"), &expired));
}

async fn a_retired_pair_is_neither_promoted_nor_brought_back(world: World) {
    let ca = Ca::new();
    let (old, new) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    let _keeper = world.started_with(&old).await;
    let annotation = json!({"metadata": {"annotations": {"certs.kyma-project.io/forget": old.fingerprint()}}});
    world.patch_object("x", annotation).await;
    world.condition("x", "SourceValid", "False", "Retired").await;
    world.secrets(&world.mesh).delete("gw-certs", &Default::default()).await.expect("deleted");
    world.condition("x", "SecretCurrent", "False", "NothingToWrite").await;
    assert!(world.gateway_secret().await.is_none(), "a retired pair is not brought back");
    world.supply(&new).await;
    world.promoted(&new).await;
}

async fn a_check_can_be_lowered_but_never_one_that_envoy_would_fail(world: World) {
    let ca = Ca::new();
    let elsewhere = ca.issue(&["*.elsewhere.example"]);
    let good = ca.issue(&[pki::WILDCARD]);
    let _keeper = world.started_with(&good).await;
    world.supply(&elsewhere).await;
    world.condition("x", "SourceValid", "False", "Refused").await;
    let check = world.status("x").await.findings[0].check.clone();
    world.patch_object("x", json!({"spec": {"checks": {"warn": [check]}}})).await;
    world.promoted(&elsewhere).await;
    world.condition("x", "SourceValid", "True", "ValidWithWarnings").await;
    let mixed: &[(&str, &[u8])] = &[("tls.crt", good.certificate.as_bytes()), ("tls.key", elsewhere.key.as_bytes())];
    world.supply_data(mixed).await;
    world.condition("x", "SourceValid", "False", "Refused").await;
    let check = world.status("x").await.findings[0].check.clone();
    world.patch_object("x", json!({"spec": {"checks": {"warn": [check], "ignore": null}}})).await;
    world.is_silent().await;
    assert!(holds(&world.gateway_secret().await.expect("there"), &elsewhere), "a mismatched pair is never written");
}

async fn a_chain_that_leads_to_no_given_root_is_refused(world: World) {
    let (ours, theirs) = (Ca::new(), Ca::new());
    let (good, foreign) = (ours.issue(&[pki::WILDCARD]), theirs.issue(&[pki::WILDCARD]));
    world.supply(&good).await;
    world.ask(json!({"byo": {"secretRef": {"name": "supplied"}, "trust": {"roots": ours.root_pem()}}})).await;
    let _keeper = world.keeper();
    world.promoted(&good).await;
    world.supply(&foreign).await;
    world.condition("x", "SourceValid", "False", "Refused").await;
    assert!(holds(&world.gateway_secret().await.expect("there"), &good));
}
