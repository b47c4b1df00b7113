//! The decision on the client CA, case by case and as a property: what is written, what stays, what is told.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use certkeeper::{
    certificate::{Authorities, Facts, Supplied, read, read_authorities},
    lifecycle::{
        Action, Object, ObjectName, Observed, Plan, Policy, Probe, Settings, Slot, Source, Status, Supply, Undo,
        Version, Wants,
        client_ca::{Beside, Bundle, ClientCa, ClientCaWrite, Kept, KeptBundle},
        decide,
        gardener::Gardener,
        gateway_object::{GatewayWants, Gateways},
        reload::Rung,
        serving::Mesh,
        targets::{Copies, Namespaces},
    },
};
use certkeeper_simulator::ca::Ca;
use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;

static NOW: LazyLock<DateTime<Utc>> = LazyLock::new(|| DateTime::from_timestamp(1_780_000_000, 0).expect("a time"));

fn bundle(pem: &str) -> Arc<Authorities> {
    Arc::new(read_authorities(Some(pem.as_bytes()), false))
}

fn root(name: &str, age: i64) -> String {
    Ca::root(name, *NOW - Duration::days(365 * age)).expect("a root").pem()
}

/// Two good ones, a good one with an expired one, one that ends within the notice, and every kind of bad one.
static BUNDLES: LazyLock<Vec<Arc<Authorities>>> = LazyLock::new(|| {
    let (one, other, expired) = (root("One", 0), root("Other", 0), root("Former", 11));
    let ending = Ca::root("Ending", *NOW - Duration::days(3650 - 10)).expect("a root").pem();
    let leaf = Ca::root("Root", *NOW).expect("a root").leaf(&["a.example"]).issue().expect("a leaf");
    let with_key = format!("{one}{}", leaf.key());
    let leaf = leaf.leaf().to_owned();
    [&one, &other, &format!("{one}{expired}"), &ending, &expired, &leaf, &with_key, "", "garbage"].map(bundle).into()
});
const GOOD: usize = 0;
const OTHER: usize = 1;
const EXPIRED: usize = 4;
const GARBAGE: usize = 8;

static PAIR: LazyLock<Arc<Facts>> = LazyLock::new(|| {
    let issuer = Ca::root("Root", *NOW).expect("a root").intermediate("Intermediate").expect("an intermediate");
    let issued = issuer.leaf(&["*.example.com"]).issue().expect("a leaf");
    let (certificate, key) = (issued.certificate(), issued.key().to_owned());
    let supplied = Supplied { certificate: Some(certificate.as_bytes()), key: Some(key.as_bytes()), staple: None };
    Arc::new(read(&supplied))
});

fn us() -> ObjectName {
    ObjectName::new("home", "x")
}

fn settings() -> Settings {
    Settings { allow: vec!["mesh/gw".to_owned()], namespaces: vec!["home".to_owned()], ..Settings::default() }
}

fn fingerprint(facts: &Authorities) -> Option<String> {
    facts.fingerprint().map(|fingerprint| fingerprint.to_string())
}

fn supplied(index: usize) -> Bundle {
    Bundle::Present(Beside { key: "ca.crt", facts: BUNDLES[index].clone() })
}

/// As we wrote it.
fn kept(index: usize) -> KeptBundle {
    let facts = BUNDLES[index].clone();
    KeptBundle {
        version: Version { uid: "u".to_owned(), resource_version: "7".to_owned() },
        immutable: false,
        deleting: false,
        key: "cacert",
        owner: Some(us().to_string()),
        foreign: None,
        mark: fingerprint(&facts),
        facts,
        undone: Vec::new(),
        last_writer: None,
    }
}

fn observed(source: Bundle, stored: Kept) -> Observed {
    let wants = Wants {
        policy: Policy::IfUnowned,
        suspend: false,
        domain: Some("example.com".to_owned()),
        roots: None,
        warn: Vec::new(),
        ignore: Vec::new(),
        source: Some(ObjectName::new("home", "supplied")),
        client_ca: Some(ObjectName::new("home", "ca")),
        gateway: ObjectName::new("kyma-system", "kyma-gateway"),
        gateway_named: false,
        gateway_object: GatewayWants::default(),
        server: None,
        probe: Probe::default(),
        up_to: Rung::Nudge,
        deadline: Duration::seconds(30),
        gateway_secret: ObjectName::new("mesh", "gw"),
        targets: Vec::new(),
        delete_targets: false,
        gardener: None,
        domain_given: true,
        invalid: None,
    };
    let object = Object {
        name: us(),
        version: Version { uid: "o".to_owned(), resource_version: "3".to_owned() },
        generation: 1,
        created: *NOW,
        deleting: false,
        finalizer: true,
        wants,
        forget: Vec::new(),
        previous: Status::default(),
    };
    let supply = Supply {
        version: "1".to_owned(),
        keys: "keys tls.crt and tls.key".to_owned(),
        facts: PAIR.clone(),
        staple: None,
        requested: None,
        revoked: false,
    };
    Observed {
        mesh: Mesh::Off,
        gateways: Gateways::default(),
        object,
        source: Source::Present(supply),
        gateway: Slot::Absent,
        keepsake: Slot::Absent,
        gardener: Gardener::default(),
        orphan: None,
        client_ca: ClientCa { source, stored, beside: None },
        rivals: Vec::new(),
        peers: BTreeSet::from([us().to_string()]),
        keepers: BTreeSet::new(),
        namespaces: Namespaces::NotNeeded,
        copies: Copies::default(),
        failure: None,
        not_evicted: None,
    }
}

fn present(stored: KeptBundle) -> Kept {
    Kept::Present(Box::new(stored))
}

fn write(plan: &Plan) -> Option<&ClientCaWrite> {
    plan.actions.iter().find_map(|action| match action {
        Action::WriteClientCa(write) => Some(write),
        _ => None,
    })
}

/// Which bundle is written, and the reasons of SourceValid and SecretCurrent.
fn answer(observed: &Observed) -> (Option<String>, String, String) {
    let plan = decide(observed, *NOW, &settings());
    let status = plan.status.as_ref().expect("a first status");
    let reason = |kind| status.condition(kind).expect("there").reason.clone();
    (write(&plan).map(|write| write.fingerprint.clone()), reason("SourceValid"), reason("SecretCurrent"))
}

/// What it is, the source, what is stored; which fingerprint is written, the reasons of SourceValid and SecretCurrent.
type Case = (&'static str, Bundle, Kept, Option<String>, &'static str, &'static str);

#[test]
fn which_bundle_the_gateway_gets_and_what_is_said_of_it() {
    let unowned = |index| KeptBundle { owner: None, mark: None, ..kept(index) };
    let edited = |index| KeptBundle {
        mark: fingerprint(&BUNDLES[GOOD]),
        last_writer: Some(Undo { manager: "kubectl".to_owned(), at: *NOW }),
        ..kept(index)
    };
    let denied = || Bundle::Denied("a rule".to_owned());
    let of = |owner: &str| KeptBundle { owner: Some(owner.to_owned()), ..kept(OTHER) };
    let good = || fingerprint(&BUNDLES[GOOD]);
    let cases: [Case; 20] = [
        ("a first one", supplied(GOOD), Kept::Absent, good(), "Valid", "Current"),
        ("the same again", supplied(GOOD), present(kept(GOOD)), None, "Valid", "Current"),
        ("another", supplied(GOOD), present(kept(OTHER)), good(), "Valid", "Current"),
        ("over an expired one", supplied(GOOD), present(kept(EXPIRED)), good(), "Valid", "Current"),
        (
            "an expired one over a good one",
            supplied(EXPIRED),
            present(kept(GOOD)),
            None,
            "ClientCaRefused",
            "LastGoodKept",
        ),
        (
            "an expired one over an expired one",
            supplied(EXPIRED),
            present(kept(EXPIRED)),
            None,
            "ClientCaRefused",
            "NothingToWrite",
        ),
        ("garbage with nothing there", supplied(GARBAGE), Kept::Absent, None, "ClientCaRefused", "NothingToWrite"),
        ("no source, a good one", Bundle::Absent, present(kept(GOOD)), None, "ClientCaMissing", "LastGoodKept"),
        ("no source, nothing", Bundle::Absent, Kept::Absent, None, "ClientCaMissing", "NothingToWrite"),
        ("a source that may not be read", denied(), present(kept(GOOD)), None, "AccessDenied", "LastGoodKept"),
        (
            "a Secret that may not be read",
            supplied(GOOD),
            Kept::Denied("a rule".to_owned()),
            None,
            "Valid",
            "AccessDenied",
        ),
        ("adopted", supplied(GOOD), present(unowned(GOOD)), good(), "Valid", "Current"),
        ("an edit", supplied(GOOD), present(edited(OTHER)), good(), "Valid", "Current"),
        (
            "an edit to garbage with a bad source",
            supplied(GARBAGE),
            present(edited(GARBAGE)),
            None,
            "ClientCaRefused",
            "NothingToWrite",
        ),
        ("a peer's", supplied(GOOD), present(of("home/y")), None, "Valid", "Conflict"),
        ("one of a peer that is gone", supplied(GOOD), present(of("home/gone")), good(), "Valid", "Current"),
        ("another installation's", supplied(GOOD), present(of("else/where")), None, "Valid", "ForeignOwner"),
        (
            "an immutable one",
            supplied(GOOD),
            present(KeptBundle { immutable: true, ..kept(OTHER) }),
            None,
            "Valid",
            "Immutable",
        ),
        (
            "an immutable one that is right",
            supplied(GOOD),
            present(KeptBundle { immutable: true, ..kept(GOOD) }),
            None,
            "Valid",
            "Current",
        ),
        (
            "one that is going",
            supplied(GOOD),
            present(KeptBundle { deleting: true, ..kept(OTHER) }),
            None,
            "Valid",
            "BeingDeleted",
        ),
    ];
    for (what, source, stored, wanted, valid, current) in cases {
        let mut seen = observed(source, stored);
        seen.peers.insert("home/y".to_owned());
        let (written, source_valid, secret_current) = answer(&seen);
        assert_eq!((written, source_valid.as_str(), secret_current.as_str()), (wanted, valid, current), "{what}");
    }
}

#[test]
fn nothing_is_decided_before_both_were_read_and_nothing_written_by_who_only_observes() {
    for (source, stored) in [(Bundle::Pending, Kept::Absent), (supplied(GOOD), Kept::Pending)] {
        let plan = decide(&observed(source, stored), *NOW, &settings());
        assert!(plan.actions.is_empty() && plan.status.is_none());
    }
    let mut suspended = observed(supplied(GOOD), present(kept(OTHER)));
    suspended.object.wants.suspend = true;
    let (written, _, current) = answer(&suspended);
    assert_eq!((written, current.as_str()), (None, "Suspended"));
}

#[test]
fn an_edit_counts_against_its_manager_and_not_against_the_pairs_secret() {
    let undo = |minutes| Undo { manager: "kubectl".to_owned(), at: *NOW - Duration::minutes(minutes) };
    let mut stored = kept(OTHER);
    (stored.mark, stored.last_writer) = (fingerprint(&BUNDLES[GOOD]), Some(undo(0)));
    stored.undone = vec![undo(20), undo(10)];
    let plan = decide(&observed(supplied(GOOD), present(stored.clone())), *NOW, &settings());
    let again = write(&plan).expect("twice is not too often");
    assert_eq!((again.undone.len(), again.entry.reason.as_str()), (3, "ClientCaRestored"));
    assert!(!plan.actions.iter().any(|a| matches!(a, Action::WriteGatewaySecret(write) if !write.undone.is_empty())));
    stored.undone = vec![undo(30), undo(20), undo(10)];
    let (written, _, current) = answer(&observed(supplied(GOOD), present(stored.clone())));
    assert_eq!((written, current.as_str()), (None, "ForeignOwner"));
    let mut manage = observed(supplied(GOOD), present(stored));
    manage.object.wants.policy = Policy::Manage;
    assert!(answer(&manage).0.is_some(), "a person's word");
}

#[test]
fn a_revocation_list_is_never_lost_in_silence() {
    let list = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
    let with_list = bundle(&format!("{}{list}", BUNDLES[GOOD].pem()));
    // In what is supplied it is an error: refused where a good one is stored, told where nothing is.
    let source = || Bundle::Present(Beside { key: "ca.crt", facts: with_list.clone() });
    assert_eq!(answer(&observed(source(), present(kept(OTHER)))).1, "ClientCaRefused");
    let (written, valid, _) = answer(&observed(source(), Kept::Absent));
    assert_eq!((written, valid.as_str()), (fingerprint(&with_list), "NothingBetter"));
    // Among what is stored it goes with the value that is replaced, and the event says so.
    let stored = KeptBundle { facts: with_list, owner: None, mark: None, ..kept(GOOD) };
    for index in [GOOD, OTHER] {
        let plan = decide(&observed(supplied(index), present(stored.clone())), *NOW, &settings());
        let entry = &write(&plan).expect("written").entry;
        assert!(entry.warning && entry.message.contains("put it into key crl"), "{}", entry.message);
    }
}

#[test]
fn the_client_ca_comes_last_and_in_the_key_that_is_read() {
    let stored = KeptBundle { key: "ca.crt", ..kept(OTHER) };
    let plan = decide(&observed(supplied(GOOD), present(stored)), *NOW, &settings());
    assert!(matches!(plan.actions[0], Action::WriteGatewaySecret(_)));
    assert!(matches!(plan.actions.last(), Some(Action::WriteClientCa(write)) if write.key == "ca.crt"));
}

#[test]
fn whoever_asks_no_longer_releases_once_and_a_farewell_does_too() {
    let mut seen = observed(Bundle::NotNamed, present(kept(GOOD)));
    seen.object.wants.client_ca = None;
    let plan = decide(&seen, *NOW, &settings());
    let release = |plan: &Plan| plan.actions.iter().filter(|a| matches!(a, Action::Release { .. })).count();
    assert_eq!(release(&plan), 1);
    assert!(plan.events.iter().any(|entry| entry.reason == "ClientCaReleased"));
    seen.client_ca.stored = present(KeptBundle { owner: None, ..kept(GOOD) });
    assert_eq!(release(&decide(&seen, *NOW, &settings())), 0);
    let mut going = observed(supplied(GOOD), present(kept(GOOD)));
    going.object.deleting = true;
    assert_eq!(release(&decide(&going, *NOW, &settings())), 1);
}

/// What the world looks like once the plan was carried out, as far as the client CA goes.
fn carried_out(before: &Observed, plan: &Plan) -> Observed {
    let mut after = before.clone();
    if let Some(write) = write(plan) {
        let old = before.client_ca.stored.stored();
        after.client_ca.stored = present(KeptBundle {
            facts: bundle(&write.pem),
            mark: Some(write.fingerprint.clone()),
            undone: write.undone.clone(),
            foreign: old.and_then(|old| old.foreign.clone()),
            last_writer: old.and_then(|old| old.last_writer.clone()),
            key: write.key,
            ..kept(GOOD)
        });
    }
    if let Some(status) = &plan.status {
        after.object.previous = status.clone();
    }
    for entry in &mut after.object.previous.history {
        entry.warning = false; // as the API gives it back
    }
    after
}

fn any_kept() -> impl Strategy<Value = Kept> {
    let owner =
        prop_oneof![3 => Just(Some(us().to_string())), 2 => Just(None), 1 => Just(Some("else/where".to_owned()))];
    let foreign = prop::option::weighted(0.1, Just("cert-manager's Certificate clients".to_owned()));
    let writer = prop::option::of(Just(Undo { manager: "a-person".to_owned(), at: *NOW }));
    let flags = (prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    let stored = (0..BUNDLES.len(), prop::option::of(0..BUNDLES.len()), flags, owner, foreign, writer).prop_map(
        |(index, mark, (immutable, deleting), owner, foreign, last_writer)| {
            let mark = mark.and_then(|mark| fingerprint(&BUNDLES[mark]));
            present(KeptBundle { immutable, deleting, owner, foreign, last_writer, mark, ..kept(index) })
        },
    );
    prop_oneof![1 => Just(Kept::Absent), 1 => Just(Kept::Denied("a rule".to_owned())), 8 => stored]
}

fn any_source() -> impl Strategy<Value = Bundle> {
    let present = (0..BUNDLES.len()).prop_map(supplied);
    prop_oneof![1 => Just(Bundle::Absent), 1 => Just(Bundle::Denied("a rule".to_owned())), 8 => present]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn laws_1_and_8_what_is_written_lets_somebody_in_and_holds_no_key(source in any_source(), stored in any_kept()) {
        let plan = decide(&observed(source, stored), *NOW, &settings());
        if let Some(write) = write(&plan) {
            prop_assert!(bundle(&write.pem).usable(*NOW) > 0);
            prop_assert!(!write.pem.contains("PRIVATE KEY"));
        }
    }

    #[test]
    fn law_4_a_plan_that_was_carried_out_leaves_nothing_to_do_and_nothing_to_say(
        source in any_source(),
        stored in any_kept(),
    ) {
        let mut seen = observed(source, stored);
        // The pair is there: only the client CA is of interest.
        seen.gateway = Slot::Denied("a rule".to_owned());
        seen.keepsake = Slot::Denied("a rule".to_owned());
        for _ in 0..2 {
            seen = carried_out(&seen, &decide(&seen, *NOW, &settings()));
        }
        let plan = decide(&seen, *NOW + Duration::seconds(1), &settings());
        prop_assert!(plan.actions.is_empty(), "{:?}", plan.actions);
        prop_assert!(plan.status.is_none(), "{:?}\nafter\n{:?}", plan.status, seen.object.previous);
        // Law 11: until the moment that was named, time alone changes nothing.
        if let Some(at) = plan.wake_at {
            let plan = decide(&seen, at - Duration::seconds(1), &settings());
            prop_assert!(plan.actions.is_empty() && plan.status.is_none(), "{:?}", plan.status);
        }
    }

    #[test]
    fn law_9_a_foreign_secret_is_not_written(source in any_source(), stored in any_kept()) {
        let seen = observed(source, stored);
        let kept = seen.client_ca.stored.stored();
        let foreign = kept.is_some_and(|kept| {
            kept.foreign.is_some() || kept.owner.as_deref() == Some("else/where")
        });
        let plan = decide(&seen, *NOW, &settings());
        prop_assert!(!(foreign && write(&plan).is_some()));
    }
}
