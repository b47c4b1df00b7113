//! What goes wrong in Gardener mode, by Gardener's doing or somebody's.

use certkeeper::lifecycle::Settings;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    pki::{self, Ca},
    scenarios,
    shoot::{Shoot, fingerprint, gateways_secret},
    three_ways,
    world::World,
};

three_ways!(
    what_an_issuer_says_is_told_and_it_is_issued_once_the_issuer_is_there,
    a_broken_issuer_leaves_what_is_served_and_its_words_are_told,
    other_names_are_requested_and_the_old_certificate_is_served_until_then,
    a_certificate_of_somebody_else_is_not_taken,
    what_a_person_changes_in_our_certificate_is_put_right_three_times,
    the_certificate_and_its_secret_go_with_the_object,
    from_gardener_to_byo_and_back_what_is_served_stays_until_the_other_has_passed,
    a_key_that_the_gateways_suites_are_not_for_is_not_asked_for,
    somebody_elses_gateway_secret_is_observed_and_a_stalled_certificate_touched_where_that_is_granted,
    two_replicas_ask_and_touch_once,
    killed_after_any_write_it_asks_once_and_converges,
);

async fn what_an_issuer_says_is_told_and_it_is_issued_once_the_issuer_is_there(shoot: Shoot) {
    let late = shoot.world.own("late");
    shoot.ask(json!({"issuerRef": {"name": late}})).await;
    let _keeper = shoot.world.keeper();
    let message = shoot.world.condition("x", "Issued", "False", "IssuerFailing").await;
    let words = format!("fetching issuer failed: issuers.cert.gardener.cloud \"{late}\" not found");
    assert!(message.contains(&words) && message.contains("it tries again at"), "{message}");
    assert!(shoot.world.gateway_secret().await.is_none());
    shoot.world.condition("x", "SourceValid", "False", "NotIssued").await;
    shoot.world.is_silent().await;
    shoot.another_issuer("late").await;
    // Gardener's own second try comes after two minutes at the earliest.
    shoot.edit("x", json!({"metadata": {"annotations": {"gardener.cloud/operation": "reconcile"}}})).await;
    shoot.world.condition("x", "Ready", "True", "Ready").await;
    assert_eq!(shoot.told("IssuerFailing").await, 1, "{}", shoot.story().await);
}

async fn a_broken_issuer_leaves_what_is_served_and_its_words_are_told(shoot: Shoot) {
    let _keeper = shoot.served(json!({})).await;
    let before = shoot.stored().await.expect("a leaf");
    shoot.issuer.damage().await.expect("damaged");
    shoot.issuer.wait_for("Error").await.expect("it notices");
    shoot.renew().await;
    let message = shoot.world.condition("x", "Issued", "False", "IssuerFailing").await;
    for part in ["since", "referenced issuer not ready: state=Error", "it tries again at", "is valid until"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(shoot.stored().await.as_deref(), Some(before.as_str()));
    // What is served is good, whatever the issuer is at.
    shoot.world.condition("x", "Served", "True", "Served").await;
    shoot.world.condition("x", "Ready", "True", "Ready").await;
    shoot.mend().await;
    shoot.renewed(&before).await;
    shoot.world.condition("x", "Issued", "True", "Issued").await;
}

async fn other_names_are_requested_and_the_old_certificate_is_served_until_then(shoot: Shoot) {
    let _keeper = shoot.served(json!({"includeApex": false})).await;
    assert_eq!(shoot.certificate().await.expect("there").spec.dns_names, [pki::WILDCARD]);
    let before = shoot.stored().await.expect("a leaf");
    shoot.issuer.damage().await.expect("damaged");
    shoot.issuer.wait_for("Error").await.expect("it notices");
    shoot.world.patch_object("x", json!({"spec": {"gardener": {"includeApex": null}}})).await;
    shoot.world.condition("x", "Issued", "False", "IssuerFailing").await;
    let message = shoot.world.condition("x", "SourceValid", "False", "NothingBetter").await;
    assert!(message.contains(pki::DOMAIN), "{message}");
    assert_eq!(shoot.stored().await.as_deref(), Some(before.as_str()));
    shoot.world.condition("x", "Served", "True", "Served").await;
    shoot.mend().await;
    shoot.renewed(&before).await;
    let held = shoot.world.status("x").await.certificate.expect("a certificate");
    assert_eq!(held.dns_names, [pki::WILDCARD, pki::DOMAIN]);
    shoot.world.condition("x", "Ready", "True", "Ready").await;
}

async fn a_certificate_of_somebody_else_is_not_taken(shoot: Shoot) {
    shoot.request_by_hand("x", "helm", (&shoot.world.home, "theirs"), json!({})).await;
    let before = shoot.certificate().await.expect("there").spec;
    shoot.ask(json!({})).await;
    let _keeper = shoot.world.keeper();
    let message = shoot.world.condition("x", "Issued", "False", "ForeignOwner").await;
    assert!(message.contains("is not taken"), "{message}");
    shoot.world.is_silent().await;
    let after = shoot.certificate().await.expect("there");
    assert_eq!((after.spec.dns_names.clone(), after.spec.secret_ref.clone()), (before.dns_names, before.secret_ref));
    assert!(!after.annotations().contains_key("certs.kyma-project.io/owner"));
    shoot.certificates().delete("x", &DeleteParams::default()).await.expect("deleted");
    shoot.world.condition("x", "Ready", "True", "Ready").await;
}

async fn what_a_person_changes_in_our_certificate_is_put_right_three_times(shoot: Shoot) {
    let _keeper = shoot.served(json!({})).await;
    for _ in 0..3 {
        shoot.edit("x", json!({"spec": {"dnsNames": ["somewhere.else.example"]}})).await;
        let right = || async {
            let names = shoot.certificate().await?.spec.dns_names;
            (names == [pki::WILDCARD, pki::DOMAIN]).then_some(())
        };
        shoot.world.eventually("the names are put right", right).await;
        // Law 9 counts to the second.
        let second = shoot.world.clock.now();
        shoot.world.eventually("a second passes", || async { (shoot.world.clock.now() > second).then_some(()) }).await;
    }
    shoot.edit("x", json!({"spec": {"dnsNames": ["somewhere.else.example"]}})).await;
    let message = shoot.world.condition("x", "Issued", "False", "ForeignOwner").await;
    assert!(message.contains("a-person"), "{message}");
    assert_eq!(shoot.certificate().await.expect("there").spec.dns_names, ["somewhere.else.example"]);
    shoot.world.condition("x", "Served", "True", "Served").await;
    shoot.world.is_silent().await;
}

async fn the_certificate_and_its_secret_go_with_the_object(shoot: Shoot) {
    let _keeper = shoot.served(json!({})).await;
    let before = shoot.stored().await;
    shoot.world.objects().delete("x", &DeleteParams::default()).await.expect("deleted");
    let gone = || async { shoot.world.objects().get_opt("x").await.expect("readable").is_none().then_some(()) };
    shoot.world.eventually("the object is gone", gone).await;
    assert!(shoot.certificate().await.is_none() && shoot.staging().await.is_none());
    assert_eq!(shoot.stored().await, before, "what is served stays");
    shoot.world.gone(&shoot.world.mesh, "gw-certs-last-good").await;
}

async fn from_gardener_to_byo_and_back_what_is_served_stays_until_the_other_has_passed(shoot: Shoot) {
    let _keeper = shoot.served(json!({})).await;
    let issued = shoot.stored().await.expect("a leaf");
    let byo = json!({"spec": {"gardener": null, "byo": {"secretRef": {"name": "supplied"}}}});
    shoot.world.patch_object("x", byo).await;
    shoot.world.condition("x", "SourceValid", "False", "SourceMissing").await;
    assert_eq!(shoot.stored().await.as_deref(), Some(issued.as_str()), "the last good pair stays");
    assert!(shoot.certificate().await.is_some(), "it is needed until the other one is there");
    let pair = Ca::new().issue_rsa();
    shoot.world.supply(&pair).await;
    shoot.world.promoted(&pair).await;
    shoot.world.condition("x", "Ready", "True", "Ready").await;
    let gone = || async { (shoot.certificate().await.is_none() && shoot.staging().await.is_none()).then_some(()) };
    shoot.world.eventually("what was requested is gone", gone).await;
    shoot.world.is_silent().await;
    let status = shoot.world.status("x").await;
    assert_eq!((status.mode.as_deref(), status.issuance), (Some("BYO"), None));
    assert!(status.conditions.iter().all(|one| one.type_ != "Issued"));
    shoot.world.patch_object("x", json!({"spec": {"byo": null, "gardener": shoot.request(json!({}))}})).await;
    shoot.renewed(&pair.fingerprint()).await;
    shoot.world.condition("x", "Issued", "True", "Issued").await;
    shoot.world.condition("x", "Ready", "True", "Ready").await;
}

async fn a_key_that_the_gateways_suites_are_not_for_is_not_asked_for(shoot: Shoot) {
    let rsa = ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"];
    shoot.suites(&rsa).await;
    shoot.ask(json!({"privateKey": {"algorithm": "ECDSA"}})).await;
    let _keeper = shoot.world.keeper();
    let message = shoot.world.condition("x", "Issued", "False", "KeyUnfit").await;
    assert!(message.contains("ask for RSA"), "{message}");
    shoot.world.is_silent().await;
    assert!(shoot.certificate().await.is_none());
    shoot.suites(&[rsa[0], "ECDHE-ECDSA-AES128-GCM-SHA256"]).await;
    shoot.world.condition("x", "Ready", "True", "Ready").await;
    let key = shoot.certificate().await.expect("requested").spec.private_key.expect("a kind of key");
    assert_eq!((key.algorithm.as_deref(), key.size), (Some("ECDSA"), Some(256)));
}

/// As on a Kyma whose API Gateway controller keeps the Certificate, which fills the gateway's Secret itself.
async fn somebody_elses_gateway_secret_is_observed_and_a_stalled_certificate_touched_where_that_is_granted(
    shoot: Shoot,
) {
    let (home, mesh) = (shoot.world.home.clone(), shoot.world.mesh.clone());
    shoot.request_by_hand("theirs", "kyma", (&mesh, "gw-certs"), json!({})).await;
    shoot.world.eventually("it is issued", || async { shoot.stored().await }).await;
    let written = gateways_secret(&shoot.world).await;
    shoot.world.ask(json!({"byo": null})).await;
    let keeper = shoot.world.keeper();
    shoot.world.condition("x", "SecretCurrent", "True", "ForeignOwner").await;
    shoot.world.condition("x", "Issued", "Unknown", "NotRequested").await;
    shoot.world.condition("x", "Ready", "True", "Ready").await;
    shoot.world.is_silent().await;
    assert_eq!(gateways_secret(&shoot.world).await, written, "nothing is written but the status");
    assert!(shoot.certificate().await.is_none());
    // Watched over.
    let watched = json!({"spec": {"gardener": {"certificateRef": {"name": "theirs"}}}});
    shoot.world.patch_object("x", watched).await;
    shoot.world.condition("x", "Issued", "True", "Issued").await;
    drop(keeper);
    let settings = Settings { allow_heal: vec![format!("{home}/theirs")], ..shoot.world.settings() };
    let _keeper = shoot.world.keeper_with(settings, shoot.world.client.clone());
    // The Secret vanishes, and Gardener does not look.
    shoot.world.secrets(&mesh).delete("gw-certs", &DeleteParams::default()).await.expect("deleted");
    let again = || async {
        gateways_secret(&shoot.world).await.filter(|(uid, _)| Some(uid) != written.as_ref().map(|(uid, _)| uid))
    };
    shoot.world.eventually("it is issued anew", again).await;
    shoot.world.condition("x", "Ready", "True", "Ready").await;
    assert_eq!((shoot.told("Touched").await, shoot.told("RenewalRequested").await), (1, 0));
    // The others go on writing: what they do is reported, and nothing is written but the status.
    for _ in 0..3 {
        let before = shoot.stored().await.expect("a leaf");
        let now = shoot.world.clock.now() + chrono::Duration::seconds(2);
        let later = || async { (shoot.world.clock.now() > now).then_some(()) };
        shoot.world.eventually("what was issued is older", later).await;
        let now = now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        shoot.request_by_hand("theirs", "kyma", (&mesh, "gw-certs"), json!({"ensureRenewedAfter": now})).await;
        shoot.renewed(&before).await;
    }
    shoot.world.is_silent().await;
    shoot.world.condition("x", "Ready", "True", "Ready").await;
    let secret = shoot.world.gateway_secret().await.expect("there");
    assert!(
        secret
            .managed_fields()
            .iter()
            .all(|entry| { !entry.manager.as_deref().is_some_and(|manager| manager.starts_with("certkeeper")) })
    );
    let certificate = shoot.certificates().get("theirs").await.expect("there");
    let touched = certificate.annotations().get("certs.kyma-project.io/pushed").cloned().unwrap_or_default();
    assert_eq!(touched.matches('@').count(), 1, "{touched}");
}

async fn two_replicas_ask_and_touch_once(shoot: Shoot) {
    let _other = shoot.world.keeper();
    let _keeper = shoot.served(json!({})).await;
    let before = shoot.stored().await.expect("a leaf");
    shoot.world.secrets(&shoot.world.home).delete("x-staging", &DeleteParams::default()).await.expect("deleted");
    shoot.renewed(&before).await;
    shoot.world.is_silent().await;
    let marks = shoot.certificate().await.expect("there").annotations().get("certs.kyma-project.io/pushed").cloned();
    assert_eq!(marks.map(|marks| marks.matches('@').count()), Some(1));
    for (reason, times) in [("Requested", 1), ("Touched", 1), ("Issued", 2), ("Promoted", 2)] {
        assert_eq!(shoot.told(reason).await, times, "{reason}: {}", shoot.story().await);
    }
}

async fn killed_after_any_write_it_asks_once_and_converges(shoot: Shoot) {
    shoot.ask(json!({})).await;
    let mut deaths = 0;
    for fatal in 0.. {
        let (client, _, dead) = crate::crash::mortal(&shoot.world, fatal, true);
        let keeper = shoot.world.keeper_with(shoot.world.settings(), client);
        let settled = async {
            shoot.world.condition("x", "Ready", "True", "Ready").await;
            shoot.world.is_silent().await;
        };
        let died = tokio::select! {
            biased;
            () = dead.notified() => true,
            () = settled => false,
        };
        drop(keeper);
        if !died {
            break;
        }
        deaths += 1;
    }
    assert!(deaths >= 3, "it died {deaths} times only");
    let marks = shoot.certificate().await.expect("there").annotations().get("certs.kyma-project.io/pushed").cloned();
    assert_eq!(marks, None, "nothing was late");
    for reason in ["Requested", "Issued", "Promoted", "Served"] {
        assert_eq!(shoot.told(reason).await, 1, "{reason}: {}", shoot.story().await);
    }
}

scenarios!(
    certificates_that_gardener_forgets_to_renew_are_renewed_all_the_same,
    a_revoked_certificate_is_replaced_and_never_brought_back,
);

/// With its own default Gardener loses each renewal.
async fn certificates_that_gardener_forgets_to_renew_are_renewed_all_the_same(world: World) {
    let quick = world.server.is_some();
    let shoot = Shoot::forgetful(world).await.patient(240);
    let _keeper = shoot.served(json!({"duration": "150s"})).await;
    let mut stored = shoot.stored().await.expect("a leaf");
    for _ in 0..if quick { 10 } else { 1 } {
        let held = shoot.world.status("x").await.certificate.expect("a certificate");
        let end = chrono::DateTime::parse_from_rfc3339(&held.not_after).expect("a time");
        stored = shoot.renewed(&stored).await;
        assert!(shoot.world.clock.now() < end, "the one before was served past its end, {end}");
    }
    assert!(shoot.told("Touched").await > 0);
    assert_eq!(shoot.told("RenewalRequested").await, 0, "touching is enough");
}

/// In memory alone: it takes as long as a certificate lives.
#[tokio::test(start_paused = true)]
async fn a_dead_issuer_is_pushed_step_by_step_and_then_a_person_is_asked() {
    let mut shoot = Shoot::forgetful(World::in_memory().await).await.patient(240);
    let _keeper = shoot.served(json!({"duration": "150s"})).await;
    let before = shoot.stored().await.expect("a leaf");
    shoot.freeze();
    let message = shoot.world.condition("x", "Issued", "False", "RenewalOverdue").await;
    for part in
        ["was due at", "state is \"Ready\"", "neither touching it nor asking for another helped", "spec.byo.secretRef"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!((shoot.told("Touched").await, shoot.told("RenewalRequested").await), (1, 1));
    shoot.world.condition("x", "Ready", "False", "SourceRefused").await;
    shoot.world.condition("x", "Served", "True", "Served").await;
    assert_eq!(shoot.stored().await, Some(before), "the expired one is better than none");
}

async fn a_revoked_certificate_is_replaced_and_never_brought_back(world: World) {
    let shoot = Shoot::virtually(world).await;
    let _keeper = shoot.served(json!({})).await;
    let before = shoot.stored().await.expect("a leaf");
    let second = shoot.world.clock.now();
    shoot.world.eventually("a second passes", || async { (shoot.world.clock.now() > second).then_some(()) }).await;
    shoot.gardener.as_ref().expect("a virtual one").revoke(&shoot.world.home, "x").await.expect("revoked");
    let after = shoot.renewed(&before).await;
    shoot.world.condition("x", "Issued", "True", "Issued").await;
    assert_eq!((shoot.told("Revoked").await, shoot.told("RenewalRequested").await), (1, 1), "{}", shoot.story().await);
    shoot.world.is_silent().await;
    let kept = shoot.world.secrets(&shoot.world.mesh).get("gw-certs-last-good").await.expect("kept");
    assert_eq!(fingerprint(&kept), Some(after.clone()));
    assert_eq!(shoot.world.status("x").await.issuance.expect("issued").revoked, [before]);
}

/// In memory alone: it takes as long as a certificate lives.
#[tokio::test(start_paused = true)]
async fn somebody_elses_late_certificate_is_told_of_where_touching_it_is_not_granted() {
    let mut shoot = Shoot::forgetful(World::in_memory().await).await.patient(240);
    let mesh = shoot.world.mesh.clone();
    shoot.request_by_hand("theirs", "kyma", (&mesh, "gw-certs"), json!({"duration": "2m30s"})).await;
    shoot.world.eventually("it is issued", || async { shoot.stored().await }).await;
    shoot.freeze();
    shoot.world.ask(json!({"byo": null, "gardener": {"certificateRef": {"name": "theirs"}}})).await;
    let _keeper = shoot.world.keeper();
    shoot.world.condition("x", "Issued", "True", "Issued").await;
    let message = shoot.world.condition("x", "Issued", "False", "RenewalOverdue").await;
    assert!(message.contains("nothing was tried") && message.contains("--allow-heal"), "{message}");
    let certificate = shoot.certificates().get("theirs").await.expect("there");
    assert!(certificate.annotations().keys().all(|key| !key.starts_with("certs.kyma-project.io")));
}

/// People may name what was issued as their own: then it is theirs.
#[tokio::test(start_paused = true)]
async fn a_staging_secret_that_people_name_as_their_source_is_not_deleted() {
    let shoot = Shoot::in_memory().await;
    let _keeper = shoot.served(json!({})).await;
    let before = shoot.stored().await;
    let byo = json!({"spec": {"gardener": null, "byo": {"secretRef": {"name": "x-staging"}}}});
    shoot.world.patch_object("x", byo).await;
    let gone = || async { shoot.certificate().await.is_none().then_some(()) };
    shoot.world.eventually("nothing is requested any more", gone).await;
    shoot.world.is_silent().await;
    assert!(shoot.staging().await.is_some());
    assert_eq!(shoot.stored().await, before);
    shoot.world.objects().delete("x", &DeleteParams::default()).await.expect("deleted");
    let gone = || async { shoot.world.objects().get_opt("x").await.expect("readable").is_none().then_some(()) };
    shoot.world.eventually("the object is gone", gone).await;
    assert!(shoot.staging().await.is_some());
}

/// Without a grant for its Secret, no call is made for it: not even for the cluster's domain (law 9).
#[tokio::test(start_paused = true)]
async fn an_object_that_is_not_permitted_has_no_call_made_for_it() {
    let world = World::in_memory().await;
    world.ask(json!({"byo": null, "domain": null})).await;
    let settings = Settings { allow: vec!["elsewhere/gw-certs".to_owned()], ..world.settings() };
    let _keeper = world.keeper_with(settings, world.client.clone());
    world.condition("x", "Accepted", "False", "NotPermitted").await;
    world.is_silent().await;
    let server = world.server.as_ref().expect("the one in memory");
    let asked: Vec<String> = server.requests().iter().map(|request| request.info.resource.clone()).collect();
    for resource in ["configmaps", "certificates"] {
        assert!(!asked.iter().any(|one| one == resource), "{resource} were asked for: {asked:?}");
    }
}

/// What only an API server of one's own can have: definitions that come and go, and the cluster's own ConfigMap.
mod in_memory {
    use super::*;

    async fn shoot_info(world: &World, data: Value) {
        let api: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(world.client.clone(), "kube-system");
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shoot-info"}, "data": data});
        api.patch("shoot-info", &PatchParams::apply("gardener").force(), &Patch::Apply(map)).await.expect("written");
    }

    #[tokio::test(start_paused = true)]
    async fn the_domain_is_the_clusters_and_follows_it() {
        let shoot = Shoot::in_memory().await;
        let world = &shoot.world;
        if Api::<k8s_openapi::api::core::v1::Namespace>::all(world.client.clone())
            .get_opt("kube-system")
            .await
            .expect("readable")
            .is_none()
        {
            world.namespace("kube-system").await;
        }
        world.ask(json!({"byo": null, "domain": null, "gardener": shoot.request(json!({}))})).await;
        let _keeper = world.keeper();
        let message = world.condition("x", "Issued", "False", "DomainMissing").await;
        assert!(message.contains("ConfigMap kube-system/shoot-info does not exist; set spec.domain"), "{message}");
        shoot_info(world, json!({"region": "here"})).await;
        world
            .eventually("the missing key is told", || async {
                let status = world.status("x").await;
                let issued = status.conditions.iter().find(|one| one.type_ == "Issued")?;
                issued.message.contains("has no key domain").then_some(())
            })
            .await;
        shoot_info(world, json!({"domain": "Gateway.example.com."})).await;
        world.condition("x", "Ready", "True", "Ready").await;
        assert_eq!(world.status("x").await.domain.as_deref(), Some(pki::DOMAIN));
        let before = shoot.stored().await.expect("a leaf");
        shoot_info(world, json!({"domain": "b.gateway.example.com"})).await;
        let after = shoot.changed(&before).await;
        assert_ne!(after, before);
        let held = world.status("x").await.certificate.expect("a certificate");
        assert_eq!(held.dns_names, ["*.b.gateway.example.com", "b.gateway.example.com"]);
        let long = format!("{}.example.com", "a".repeat(64));
        shoot_info(world, json!({ "domain": long })).await;
        let message = world.condition("x", "Accepted", "False", "InvalidSpec").await;
        assert!(message.contains("at most 63 in a label"), "{message}");
        assert_eq!(shoot.stored().await, Some(after));
        shoot_info(world, json!({"domain": pki::DOMAIN})).await;
        world.condition("x", "Ready", "True", "Ready").await;
        assert_eq!(world.status("x").await.certificate.expect("one").dns_names, [pki::WILDCARD, pki::DOMAIN]);
    }

    #[tokio::test(start_paused = true)]
    async fn certificate_management_may_come_later_and_go() {
        let world = World::in_memory().await;
        world.ask(json!({"byo": null})).await;
        let keeper = world.keeper();
        let message = world.condition("x", "Issued", "False", "GardenerMissing").await;
        assert!(message.contains("name a Secret with your own certificate and key in spec.byo.secretRef"), "{message}");
        world.is_silent().await;
        let shoot = Shoot::virtually(world).await;
        shoot.world.patch_object("x", json!({"spec": {"gardener": shoot.request(json!({}))}})).await;
        shoot.world.condition("x", "Issued", "True", "Issued").await;
        // Its pods were not reachable for the controller of before.
        drop(keeper);
        let _keeper = shoot.world.keeper();
        shoot.world.condition("x", "Ready", "True", "Ready").await;
        let before = shoot.stored().await;
        let crds: Api<DynamicObject> = Api::all_with(
            shoot.world.client.clone(),
            &kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk(
                "apiextensions.k8s.io",
                "v1",
                "CustomResourceDefinition",
            )),
        );
        crds.delete("certificates.cert.gardener.cloud", &DeleteParams::default()).await.expect("deleted");
        let shoot = shoot.patient(600);
        shoot.world.condition("x", "Issued", "False", "GardenerMissing").await;
        shoot.world.condition("x", "Served", "True", "Served").await;
        assert_eq!(shoot.stored().await, before);
    }
}
