//! The CA certificates of mutual TLS, kept in the Secret beside the gateway's.

use certkeeper_simulator::ca;
use chrono::{Duration, Utc};
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, api::PostParams};
use serde_json::json;

use crate::{
    pki::{self, Ca},
    scenarios,
    world::{Keeper, World, holds, normalised, value},
};

scenarios!(
    a_client_ca_is_promoted_beside_the_pair_and_follows_its_source,
    a_bad_client_ca_of_every_kind_is_refused_and_the_old_one_stays,
    a_missing_client_ca_is_said_and_the_pair_is_promoted_all_the_same,
    an_edited_or_deleted_client_ca_is_restored,
    whoever_edits_the_client_ca_again_and_again_is_observed_in_the_end,
    a_client_ca_of_somebody_else_is_left_alone_and_its_owner_named,
    a_client_ca_that_was_there_is_adopted_in_the_key_that_istio_reads,
    other_ca_certificates_in_the_gateways_own_secret_are_neither_lost_nor_overridden_in_silence,
    a_client_ca_that_is_no_longer_asked_for_stays_and_is_released,
    the_client_ca_must_not_come_from_a_secret_that_certkeeper_writes,
    a_private_key_in_a_client_ca_is_never_handed_on_nor_told,
    killed_between_the_write_and_its_status_it_tells_the_promotion_once,
    two_active_replicas_end_with_the_same_client_ca_and_in_silence,
    what_was_a_copy_becomes_the_client_ca_and_is_not_deleted,
    the_end_and_the_beginning_of_a_client_ca_are_noticed_without_any_event,
);

const KEPT: &str = "gw-certs-cacert";

fn authority(name: &str) -> String {
    ca::Ca::root(name, Utc::now()).expect("a root").pem()
}

fn expired_authority() -> String {
    ca::Ca::root("Former CA", Utc::now() - Duration::days(365 * 11)).expect("a root").pem()
}

/// PEM as certkeeper writes it.
fn plain(pem: &str) -> String {
    certkeeper::certificate::read_authorities(Some(pem.as_bytes()), false).pem()
}

impl World {
    async fn supply_ca(&self, bundle: &str) {
        self.put_secret(&self.home, "ca", &[("ca.crt", bundle.as_bytes())]).await;
    }

    async fn kept_ca(&self) -> Option<Secret> {
        self.secrets(&self.mesh).get_opt(KEPT).await.expect("readable")
    }

    /// Waits until the Secret beside the gateway's holds these certificates.
    async fn ca_promoted(&self, bundle: &str) -> Secret {
        self.eventually("the client CA is promoted", || async {
            let secret = self.kept_ca().await?;
            (value(&secret, "cacert").as_deref() == Some(plain(bundle).as_bytes())).then_some(secret)
        })
        .await
    }

    /// Supplies a pair and this CA, asks for both and waits until they are there.
    async fn mutual(&self, bundle: &str) -> (Keeper, pki::Pair) {
        let pair = Ca::new().issue(&[pki::WILDCARD]);
        self.supply_ca(bundle).await;
        self.supply(&pair).await;
        self.ask(json!({"clientCA": {"secretRef": {"name": "ca"}}})).await;
        let keeper = self.keeper();
        self.promoted(&pair).await;
        self.ca_promoted(bundle).await;
        self.condition("x", "SecretCurrent", "True", "Current").await;
        (keeper, pair)
    }

    async fn told(&self, reason: &str) -> Vec<String> {
        let history = self.status("x").await.history;
        history.into_iter().filter(|entry| entry.reason == reason).map(|entry| entry.message).collect()
    }
}

async fn a_client_ca_is_promoted_beside_the_pair_and_follows_its_source(world: World) {
    let (first, second) = (authority("First CA"), authority("Second CA"));
    let (_keeper, pair) = world.mutual(&first).await;
    let kept = world.kept_ca().await.expect("there");
    assert_eq!(kept.annotations()["certs.kyma-project.io/owner"], format!("{}/x", world.home));
    assert_eq!(kept.data.as_ref().map(|data| data.len()), Some(1), "nothing but the certificates");
    assert!(kept.owner_references().is_empty(), "it outlives the object");
    let message = world.condition("x", "SourceValid", "True", "Valid").await;
    assert!(message.contains("client CA: Secret") && message.contains("1 CA certificate, valid until"), "{message}");
    let message = world.condition("x", "SecretCurrent", "True", "Current").await;
    assert!(message.contains(KEPT), "{message}");
    world.is_silent().await;
    // As it is renewed: both for a while.
    let both = format!("{first}{second}");
    world.supply_ca(&both).await;
    world.ca_promoted(&both).await;
    let status = world
        .eventually("the status follows", || async {
            let status = world.status("x").await;
            (status.client_ca.as_ref()?.certificates == 2).then_some(status)
        })
        .await;
    let kept = world.kept_ca().await.expect("there");
    let summary = status.client_ca.expect("a client CA");
    assert_eq!(kept.annotations()["certs.kyma-project.io/fingerprint"], summary.fingerprint);
    assert!(summary.not_after.is_some());
    assert_eq!(world.told("ClientCaPromoted").await.len(), 2);
    assert!(world.events().await.iter().any(|event| event.reason.as_deref() == Some("ClientCaPromoted")));
    assert!(holds(&world.gateway_secret().await.expect("there"), &pair));
    // The same certificates in other bytes are the same.
    world.supply_ca(&pki::base64(&both.replace('\n', "\r\n"))).await;
    world.is_silent().await;
    world.ca_promoted(&both).await;
}

async fn a_bad_client_ca_of_every_kind_is_refused_and_the_old_one_stays(world: World) {
    let good = authority("Client CA");
    let (_keeper, pair) = world.mutual(&good).await;
    let leaf = Ca::new().issue(&["client.example.com"]).certificate;
    let leaf = leaf.split_inclusive("-----END CERTIFICATE-----\n").next().expect("a leaf").to_owned();
    let cases = [
        ("an empty one", String::new(), "no CA certificate"),
        ("garbage", "garbage".to_owned(), "PEM was expected"),
        ("a broken block", good.replacen("MII", "!!!", 1), "cannot be read"),
        ("an expired one", expired_authority(), "expired at"),
        ("a leaf", leaf, "no CA"),
        (
            "a good one and a broken one",
            format!("{good}-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
            "X.509",
        ),
        ("one with a key", format!("{good}{}", pair.key), "private key"),
    ];
    for (what, bundle, word) in cases {
        world.supply_ca(&bundle).await;
        let message = world
            .eventually(what, || async {
                let status = world.status("x").await;
                let refused = status.conditions.iter().find(|c| c.type_ == "SourceValid")?;
                (refused.reason == "ClientCaRefused" && refused.message.contains(word)).then(|| refused.message.clone())
            })
            .await;
        assert!(message.contains(&format!("client CA: Secret {}/ca", world.home)), "{what}: {message}");
        let finding = world.status("x").await.findings[0].clone();
        assert!(finding.check.starts_with("client-ca-") && finding.severity == "error", "{what}: {finding:?}");
        world.condition("x", "SecretCurrent", "True", "LastGoodKept").await;
        world.condition("x", "Ready", "False", "SourceRefused").await;
        world.ca_promoted(&good).await;
    }
    world.is_silent().await;
    // One of several that has expired is told, and in the way of nobody.
    let mixed = format!("{}{good}", expired_authority());
    world.supply_ca(&mixed).await;
    world.ca_promoted(&mixed).await;
    world.condition("x", "SourceValid", "True", "ValidWithWarnings").await;
    let findings = world.status("x").await.findings;
    assert!(findings.iter().any(|finding| finding.check == "client-ca-expired" && finding.severity == "warning"));
}

async fn a_missing_client_ca_is_said_and_the_pair_is_promoted_all_the_same(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    world.supply(&pair).await;
    world.ask(json!({"clientCA": {"secretRef": {"name": "ca"}}})).await;
    let _keeper = world.keeper();
    world.promoted(&pair).await;
    let message = world.condition("x", "SourceValid", "False", "ClientCaMissing").await;
    assert!(message.contains(&format!("{}/ca", world.home)) && message.contains("ca.crt"), "{message}");
    world.condition("x", "SecretCurrent", "False", "NothingToWrite").await;
    assert!(world.kept_ca().await.is_none(), "nothing is written for nothing");
    world.is_silent().await;
    let good = authority("Client CA");
    world.supply_ca(&good).await;
    world.ca_promoted(&good).await;
    world.condition("x", "SourceValid", "True", "Valid").await;
    // A deleted source takes nothing away.
    world.secrets(&world.home).delete("ca", &Default::default()).await.expect("deleted");
    world.condition("x", "SourceValid", "False", "ClientCaMissing").await;
    world.condition("x", "SecretCurrent", "True", "LastGoodKept").await;
    world.ca_promoted(&good).await;
}

async fn an_edited_or_deleted_client_ca_is_restored(world: World) {
    let good = authority("Client CA");
    let (_keeper, _) = world.mutual(&good).await;
    let theirs = authority("Somebody's CA");
    world.put_secret(&world.mesh, KEPT, &[("cacert", theirs.as_bytes())]).await;
    world.ca_promoted(&good).await;
    world
        .eventually("it is told, with who it was", || async {
            let told = world.told("ClientCaRestored").await;
            told.iter().any(|message| message.contains("a-person")).then_some(())
        })
        .await;
    world.secrets(&world.mesh).delete(KEPT, &Default::default()).await.expect("deleted");
    world.ca_promoted(&good).await;
    world
        .eventually("both are told", || async { (world.told("ClientCaRestored").await.len() == 2).then_some(()) })
        .await;
    // In the gateway's own Secret nobody undid anything.
    let undone =
        world.gateway_secret().await.expect("there").annotations().get("certs.kyma-project.io/undone").cloned();
    assert_eq!(undone, None);
    world.is_silent().await;
}

async fn whoever_edits_the_client_ca_again_and_again_is_observed_in_the_end(world: World) {
    let good = authority("Client CA");
    let (_keeper, pair) = world.mutual(&good).await;
    for edit in 0..3 {
        let theirs = authority(&format!("Their CA {edit}"));
        world.put_secret(&world.mesh, KEPT, &[("cacert", theirs.as_bytes())]).await;
        world.ca_promoted(&good).await;
        world
            .eventually("it is told", || async { (world.told("ClientCaRestored").await.len() > edit).then_some(()) })
            .await;
    }
    let theirs = authority("Their last CA");
    world.put_secret(&world.mesh, KEPT, &[("cacert", theirs.as_bytes())]).await;
    let message = world.condition("x", "SecretCurrent", "False", "ForeignOwner").await;
    assert!(message.contains("a-person") && message.contains(KEPT), "{message}");
    world.is_silent().await;
    world.ca_promoted(&theirs).await;
    // The pair is kept all the while: its Secret is another matter.
    world.put_secret(&world.mesh, "gw-certs", &[("tls.crt", b"garbage"), ("tls.key", b"garbage")]).await;
    world.promoted(&pair).await;
}

async fn a_client_ca_of_somebody_else_is_left_alone_and_its_owner_named(world: World) {
    let theirs = authority("Their CA");
    let mut secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": KEPT, "annotations": {"cert-manager.io/certificate-name": "clients"}},
    }))
    .expect("a Secret");
    secret.string_data = Some([("cacert".to_owned(), theirs.clone())].into());
    world.secrets(&world.mesh).create(&PostParams::default(), &secret).await.expect("created");
    let (pair, ours) = (Ca::new().issue(&[pki::WILDCARD]), authority("Our CA"));
    world.supply(&pair).await;
    world.supply_ca(&ours).await;
    world.ask(json!({"clientCA": {"secretRef": {"name": "ca"}}})).await;
    let _keeper = world.keeper();
    world.promoted(&pair).await;
    let message = world.condition("x", "SecretCurrent", "False", "ForeignOwner").await;
    assert!(message.contains("cert-manager's Certificate clients") && message.contains(KEPT), "{message}");
    world.is_silent().await;
    let left = world.kept_ca().await.expect("there");
    assert_eq!(value(&left, "cacert").as_deref(), Some(theirs.as_bytes()));
    // A person's word takes over.
    world.patch_object("x", json!({"spec": {"managementPolicy": "Manage"}})).await;
    world.ca_promoted(&ours).await;
    world.condition("x", "SecretCurrent", "True", "Current").await;
}

async fn a_client_ca_that_was_there_is_adopted_in_the_key_that_istio_reads(world: World) {
    let good = plain(&authority("Client CA"));
    world.put_secret(&world.mesh, KEPT, &[("ca.crt", good.as_bytes()), ("ca.crl", b"a list")]).await;
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    world.supply(&pair).await;
    world.supply_ca(&good).await;
    world.ask(json!({"clientCA": {"secretRef": {"name": "ca"}}})).await;
    let _keeper = world.keeper();
    world.condition("x", "SecretCurrent", "True", "Current").await;
    world.eventually("it is adopted", || async { world.told("Adopted").await.pop() }).await;
    let next = authority("Next CA");
    world.supply_ca(&next).await;
    let kept = world
        .eventually("the key that is in force is written", || async {
            let secret = world.kept_ca().await?;
            (value(&secret, "ca.crt").as_deref() == Some(plain(&next).as_bytes())).then_some(secret)
        })
        .await;
    assert_eq!(value(&kept, "cacert"), None, "else ca.crl would be out of force in silence");
    assert_eq!(value(&kept, "ca.crl").as_deref(), Some(&b"a list"[..]));
    world.is_silent().await;
}

async fn other_ca_certificates_in_the_gateways_own_secret_are_neither_lost_nor_overridden_in_silence(world: World) {
    let (before, after) = (authority("Former client CA"), authority("Client CA"));
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let (chain, key) = normalised(&pair);
    let data: [(&str, &[u8]); 3] =
        [("tls.crt", chain.as_bytes()), ("tls.key", key.as_bytes()), ("ca.crt", before.as_bytes())];
    world.put_secret(&world.mesh, "gw-certs", &data).await;
    let next = Ca::new().issue(&[pki::WILDCARD]);
    world.supply(&next).await;
    world.supply_ca(&after).await;
    world.ask(json!({"clientCA": {"secretRef": {"name": "ca"}}})).await;
    let _keeper = world.keeper();
    world.promoted(&next).await;
    world.ca_promoted(&after).await;
    let message = world.condition("x", "SecretCurrent", "True", "Current").await;
    assert!(message.contains("key ca.crt") && message.contains("out of force"), "{message}");
    let told = world.told("ClientCaPromoted").await;
    assert!(told[0].contains("key ca.crt") && told[0].contains("let in no more"), "{told:?}");
    let warned = world.events().await;
    let warned = warned.iter().find(|event| event.reason.as_deref() == Some("ClientCaPromoted")).expect("an event");
    assert_eq!(warned.type_.as_deref(), Some("Warning"));
    let gateway = world.gateway_secret().await.expect("there");
    assert_eq!(value(&gateway, "ca.crt").as_deref(), Some(before.as_bytes()), "it stays");
    world.is_silent().await;
}

async fn a_client_ca_that_is_no_longer_asked_for_stays_and_is_released(world: World) {
    let good = authority("Client CA");
    let (_keeper, pair) = world.mutual(&good).await;
    world.patch_object("x", json!({"spec": {"clientCA": null}})).await;
    world.eventually("it is told", || async { world.told("ClientCaReleased").await.pop() }).await;
    let kept = world.ca_promoted(&good).await;
    assert!(
        kept.annotations().keys().all(|key| !key.starts_with("certs.kyma-project.io/")),
        "{:?}",
        kept.annotations()
    );
    assert_eq!(world.status("x").await.client_ca, None);
    world.is_silent().await;
    let edited = authority("A person's CA");
    world.put_secret(&world.mesh, KEPT, &[("cacert", edited.as_bytes())]).await;
    world.is_silent().await;
    world.ca_promoted(&edited).await;
    // Asked for again, it is kept again; when the object goes, it stays once more.
    world.patch_object("x", json!({"spec": {"clientCA": {"secretRef": {"name": "ca"}}}})).await;
    world.ca_promoted(&good).await;
    world.condition("x", "SecretCurrent", "True", "Current").await;
    world.objects().delete("x", &Default::default()).await.expect("deleted");
    world
        .eventually("the object is gone", || async {
            world.objects().get_opt("x").await.expect("readable").is_none().then_some(())
        })
        .await;
    let kept = world.ca_promoted(&good).await;
    assert!(!kept.annotations().contains_key("certs.kyma-project.io/owner"), "it is released");
    assert!(holds(&world.gateway_secret().await.expect("there"), &pair));
}

async fn the_client_ca_must_not_come_from_a_secret_that_certkeeper_writes(world: World) {
    let gateway = json!({"secretRef": {"namespace": world.home, "name": "gw"}});
    for name in ["gw", "gw-last-good", "gw-cacert"] {
        let object = format!("from-{name}");
        world.ask_as(&object, json!({"gateway": gateway, "clientCA": {"secretRef": {"name": name}}})).await;
    }
    let _keeper = world.keeper_with(world.settings_with(&[&format!("{}/gw", world.home)]), world.client.clone());
    for name in ["gw", "gw-last-good", "gw-cacert"] {
        let message = world.condition(&format!("from-{name}"), "Accepted", "False", "InvalidSpec").await;
        assert!(message.contains("spec.clientCA.secretRef"), "{message}");
    }
}

async fn a_private_key_in_a_client_ca_is_never_handed_on_nor_told(world: World) {
    let good = authority("Client CA");
    let (_keeper, pair) = world.mutual(&good).await;
    let stolen = Ca::new().issue(&[pki::WILDCARD]);
    for bundle in [format!("{good}{}", stolen.key), stolen.key.clone(), pki::base64(&stolen.key)] {
        world.supply_ca(&bundle).await;
        world
            .eventually("it is refused", || async {
                let status = world.status("x").await;
                status.findings.iter().any(|finding| finding.check == "client-ca-private-key").then_some(())
            })
            .await;
        // Judged anew each time: a good one in between.
        world.supply_ca(&good).await;
        world.condition("x", "SourceValid", "True", "Valid").await;
    }
    // In the Secret itself, and in kubectl's annotation on it.
    let mut secret = world.kept_ca().await.expect("there");
    let applied = json!({"data": {"cacert": stolen.key}}).to_string();
    secret.annotations_mut().insert("kubectl.kubernetes.io/last-applied-configuration".to_owned(), applied);
    secret.string_data = Some([("cacert".to_owned(), format!("{good}{}", stolen.key))].into());
    secret.metadata.managed_fields = None;
    world.secrets(&world.mesh).replace(KEPT, &PostParams::default(), &secret).await.expect("replaced");
    let kept = world.ca_promoted(&good).await;
    world.eventually("it is told", || async { world.told("ClientCaRestored").await.pop() }).await;
    let mut seen = serde_json::to_string(&world.objects().get("x").await.expect("there")).expect("JSON");
    seen += &serde_json::to_string(&world.events().await).expect("JSON");
    seen += &serde_json::to_string(&kept.metadata).expect("JSON");
    for bytes in kept.data.expect("data").into_values() {
        seen += &String::from_utf8_lossy(&bytes.0);
    }
    for line in stolen.key.lines().chain(pair.key.lines()).filter(|line| !line.starts_with("-----")) {
        assert!(!seen.contains(line) && !seen.contains(&pki::base64(line)), "a line of a private key was found");
    }
}

async fn killed_between_the_write_and_its_status_it_tells_the_promotion_once(world: World) {
    let good = authority("Client CA");
    let (keeper, _) = world.mutual(&good).await;
    // What a crash leaves behind: the Secret is written, the status knows of the one before.
    keeper.stop().await;
    let next = authority("Next CA");
    let mut kept = world.kept_ca().await.expect("there");
    let facts = certkeeper::certificate::read_authorities(Some(next.as_bytes()), false);
    let fingerprint = facts.fingerprint().expect("one").to_string();
    kept.annotations_mut().insert("certs.kyma-project.io/fingerprint".to_owned(), fingerprint.clone());
    kept.string_data = Some([("cacert".to_owned(), facts.pem())].into());
    kept.metadata.managed_fields = None;
    let params = PostParams { field_manager: Some("certkeeper".to_owned()), ..PostParams::default() };
    let written = world.secrets(&world.mesh).replace(KEPT, &params, &kept).await.expect("written");
    world.supply_ca(&next).await;
    let _keeper = world.keeper();
    let told = world
        .eventually("the promotion is told", || async {
            let told = world.told("ClientCaPromoted").await;
            told.first().is_some_and(|newest| newest.contains(&fingerprint)).then_some(told)
        })
        .await;
    assert_eq!(told.len(), 2, "{told:?}");
    world.is_silent().await;
    let after = world.kept_ca().await.expect("there");
    assert_eq!(after.resource_version(), written.resource_version(), "and nothing is written again");
}

async fn two_active_replicas_end_with_the_same_client_ca_and_in_silence(world: World) {
    let (_one, _) = world.mutual(&authority("Client CA")).await;
    let _other = world.keeper();
    for round in 0..3 {
        let next = authority(&format!("Client CA {round}"));
        world.supply_ca(&next).await;
        world.ca_promoted(&next).await;
        world.secrets(&world.mesh).delete(KEPT, &Default::default()).await.expect("deleted");
        world.ca_promoted(&next).await;
        world.condition("x", "SecretCurrent", "True", "Current").await;
    }
    world.is_silent().await;
    let kept = world.kept_ca().await.expect("there");
    assert!(!kept.annotations().contains_key("certs.kyma-project.io/undone"), "one undoes not the other");
}

async fn what_was_a_copy_becomes_the_client_ca_and_is_not_deleted(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let target = json!({"name": "ca", "secretName": KEPT, "layout": "ca", "namespaces": [world.mesh]});
    world.supply(&pair).await;
    world.ask(json!({"targets": [target]})).await;
    let _keeper = world.keeper_with(world.settings_with(&[&format!("{}/{KEPT}", world.mesh)]), world.client.clone());
    world.condition("x", "Distributed", "True", "Distributed").await;
    let good = authority("Client CA");
    world.supply_ca(&good).await;
    world.patch_object("x", json!({"spec": {"clientCA": {"secretRef": {"name": "ca"}}}})).await;
    world.ca_promoted(&good).await;
    let message = world.condition("x", "Distributed", "False", "TargetsFailed").await;
    assert!(message.contains(KEPT), "the target has to go: {message}");
    world.patch_object("x", json!({"spec": {"targets": null}})).await;
    world.condition("x", "Distributed", "True", "NoTargets").await;
    world.is_silent().await;
    world.ca_promoted(&good).await;
}

async fn the_end_and_the_beginning_of_a_client_ca_are_noticed_without_any_event(world: World) {
    // The simulator's roots begin a year and a day before the given time and end ten years after it.
    let root = |name, given| ca::Ca::root(name, given).expect("a root").pem();
    let ending = root("Ending CA", world.clock.now() - Duration::days(3650) + Duration::seconds(12));
    let (_keeper, _) = world.mutual(&ending).await;
    let message = world.condition("x", "SourceValid", "False", "ClientCaRefused").await;
    assert!(message.contains("expired at"), "{message}");
    world.condition("x", "SecretCurrent", "False", "NothingToWrite").await;
    world.is_silent().await;
    let later = root("Later CA", world.clock.now() + Duration::days(366) + Duration::seconds(12));
    world.supply_ca(&later).await;
    world
        .eventually("it is refused until then", || async {
            let status = world.status("x").await;
            status.findings.iter().any(|finding| finding.check == "client-ca-not-yet-valid").then_some(())
        })
        .await;
    world.ca_promoted(&later).await;
    world.condition("x", "SourceValid", "True", "Valid").await;
}
