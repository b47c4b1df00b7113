//! The decision on the Gateway itself, case by case: what is written, what is said, and that it ends.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use certkeeper::{
    certificate::{Facts, Supplied, read, read_authorities},
    lifecycle::{
        Entry, FailureKind, Object, ObjectName, Observed, Plan, Policy, Probe, Settings, Slot, Source, Status, Stored,
        Supply, Undo, Version, Wants,
        client_ca::{ClientCa, Kept, KeptBundle},
        decide,
        gardener::Gardener,
        gateway_object::{GatewayObject, GatewayWants, GatewayWrite, Gateways, Holder, ObjectFacts},
        reload::Rung,
        serving::{Gateway, Mesh, Server},
        targets::{Copies, Namespaces},
    },
};
use certkeeper_simulator::ca::{Algorithm, Ca};
use chrono::{DateTime, Duration, Utc};

static NOW: LazyLock<DateTime<Utc>> = LazyLock::new(|| DateTime::from_timestamp(1_780_000_000, 0).expect("a time"));

static PAIR: LazyLock<Arc<Facts>> = LazyLock::new(|| {
    let issuer = Ca::root("Root", *NOW).expect("a root").intermediate("Intermediate").expect("an intermediate");
    // What the documented cipher suites are for.
    let issued = issuer.leaf(&["*.example.com"]).algorithm(Algorithm::Rsa2048).issue().expect("a leaf");
    let (certificate, key) = (issued.certificate(), issued.key().to_owned());
    let supplied = Supplied { certificate: Some(certificate.as_bytes()), key: Some(key.as_bytes()), staple: None };
    Arc::new(read(&supplied))
});

fn us() -> ObjectName {
    ObjectName::new("home", "x")
}

fn name() -> ObjectName {
    ObjectName::new("kyma-system", "kyma-gateway")
}

fn settings() -> Settings {
    Settings {
        allow: vec!["mesh/gw".to_owned()],
        allow_gateway: vec![name().to_string()],
        namespaces: vec!["home".to_owned()],
        ..Settings::default()
    }
}

fn stored() -> Stored {
    Stored {
        version: Version { uid: "u".to_owned(), resource_version: "7".to_owned() },
        immutable: false,
        deleting: false,
        facts: PAIR.clone(),
        canonical: true,
        leftovers: Vec::new(),
        staple: None,
        owner: Some(us().to_string()),
        foreign: None,
        mark: PAIR.pair().map(|pair| pair.fingerprint().to_string()),
        undone: Vec::new(),
        nudged: Vec::new(),
        refused: Vec::new(),
        last_writer: None,
    }
}

/// Everything else is at rest: the Secret holds the pair, and so does the keep-sake.
fn observed(gateways: Gateways) -> Observed {
    let wants = Wants {
        policy: Policy::IfUnowned,
        suspend: false,
        domain: Some("example.com".to_owned()),
        roots: None,
        warn: Vec::new(),
        ignore: Vec::new(),
        source: Some(ObjectName::new("home", "supplied")),
        client_ca: None,
        gateway: name(),
        gateway_named: true,
        gateway_object: GatewayWants { manage: true, watch: true, ..GatewayWants::default() },
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
        gateways,
        object,
        source: Source::Present(supply),
        gateway: Slot::Present(Box::new(stored())),
        keepsake: Slot::Present(Box::new(stored())),
        gardener: Gardener::default(),
        orphan: None,
        client_ca: ClientCa::default(),
        rivals: Vec::new(),
        peers: BTreeSet::from([us().to_string(), "home/y".to_owned()]),
        keepers: BTreeSet::new(),
        namespaces: Namespaces::NotNeeded,
        copies: Copies::default(),
        failure: None,
        not_evicted: None,
    }
}

/// What this write makes of the Gateway, as ours.
fn written(write: &GatewayWrite) -> GatewayObject {
    let servers: Vec<Server> = write.servers.iter().map(|placed| placed.server.clone()).collect();
    GatewayObject {
        gateway: Gateway { name: name(), selector: write.selector.clone(), servers },
        facts: ObjectFacts {
            version: Version { uid: "g".to_owned(), resource_version: "5".to_owned() },
            deleting: false,
            owner: Some(us().to_string()),
            foreign: None,
            holders: Vec::new(),
            undone: write.undone.clone(),
        },
        here: true,
        selects: None,
    }
}

/// The Gateway as we made it.
fn ours() -> GatewayObject {
    let plan = decide(&observed(Gateways::Known(Vec::new())), *NOW, &settings());
    written(&plan.gateway.expect("it is created"))
}

/// As somebody made it weaker and holds it.
fn edited() -> GatewayObject {
    let mut object = ours();
    object.gateway.servers[0].tls.as_mut().expect("TLS").min_version = "TLSV1_0".to_owned();
    object.facts.holders.push(Holder { manager: "editor".to_owned(), field: ".spec.servers".to_owned(), at: None });
    object
}

fn changed(mut object: GatewayObject, change: impl FnOnce(&mut GatewayObject)) -> Observed {
    change(&mut object);
    observed(Gateways::Known(vec![object]))
}

fn with(mut seen: Observed, change: impl FnOnce(&mut Observed)) -> Observed {
    change(&mut seen);
    seen
}

/// `reason` was told so often, so long ago.
fn told(seen: &mut Observed, times: usize, reason: &str, ago: Duration) {
    let message = format!("Gateway {} was or says or lost something", name());
    let entry = Entry { time: *NOW - ago, reason: reason.to_owned(), message, manager: None, warning: false };
    seen.object.previous.history.extend(std::iter::repeat_n(entry, times));
}

/// Whether it is written, and by force; the reason of Ready; the checks that are said of it.
fn answer(plan: &Plan) -> (Option<bool>, String, Vec<String>) {
    let status = plan.status.as_ref().expect("a first status");
    let findings = status.findings.iter().map(|finding| finding.check.clone());
    (
        plan.gateway.as_ref().map(|write| write.force),
        status.condition("Ready").expect("there").reason.clone(),
        findings.filter(|check| check.starts_with("gateway-")).collect(),
    )
}

/// What it is, what is seen; whether it is written (by force), the reason of Ready, the checks that are said.
type Case = (&'static str, Observed, Option<bool>, &'static str, &'static [&'static str]);

const AT_REST: &str = "ProbingDisabled";

fn judge(cases: Vec<Case>) {
    for (case, seen, write, reason, checks) in cases {
        let plan = decide(&seen, *NOW, &settings());
        let (found_write, found_reason, found_checks) = answer(&plan);
        assert_eq!((found_write, found_reason.as_str()), (write, reason), "{case}");
        assert_eq!(found_checks, checks, "{case}");
        assert!(plan.actions.is_empty(), "{case}: the pair's work is another");
    }
}

#[test]
fn what_nobody_else_holds_is_written_and_what_somebody_holds_is_not() {
    let refused = |kind| observed(Gateways::Refused(Vec::new(), kind, "words".to_owned()));
    let foreign = |object: &mut GatewayObject| {
        object.facts.owner = None;
        object.facts.foreign = Some("Chart c".to_owned());
        object.gateway.servers.clear();
    };
    let unowned = |object: &mut GatewayObject| object.facts.owner = None;
    let of = |owner: &str| changed(ours(), |object| object.facts.owner = Some(owner.to_owned()));
    judge(vec![
        ("there is none", observed(Gateways::Known(Vec::new())), Some(false), AT_REST, &[]),
        ("as it should be", changed(ours(), |_| {}), None, AT_REST, &[]),
        ("as it should be, of nobody", changed(ours(), unowned), Some(false), AT_REST, &[]),
        (
            "as it should be, held by somebody, of nobody",
            changed(ours(), |object| {
                unowned(object);
                object.facts.holders = edited().facts.holders;
            }),
            None,
            AT_REST,
            &[],
        ),
        (
            "another server with the same Secret is weaker",
            changed(ours(), |object| {
                let mut second = edited().gateway.servers.remove(0);
                (second.name, second.hosts) = ("second".to_owned(), vec!["*.example.org".to_owned()]);
                object.gateway.servers.push(second);
            }),
            None,
            AT_REST,
            &["gateway-min-version"],
        ),
        ("edited, held by nobody", changed(edited(), |object| object.facts.holders.clear()), Some(false), AT_REST, &[]),
        ("its servers are gone", changed(ours(), |object| object.gateway.servers.clear()), Some(false), AT_REST, &[]),
        ("edited", changed(edited(), |_| {}), None, "GatewayConflict", &["gateway-conflict", "gateway-min-version"]),
        (
            "a label of somebody else",
            changed(ours(), |object| {
                let (manager, field) = ("editor".to_owned(), ".spec.selector.a".to_owned());
                object.gateway.selector.insert("a".to_owned(), "b".to_owned());
                object.facts.holders.push(Holder { manager, field, at: None });
            }),
            None,
            "GatewayConflict",
            &["gateway-conflict"],
        ),
        (
            "of another kind of owner",
            changed(ours(), foreign),
            None,
            "GatewayConflict",
            &["gateway-conflict", "gateway-credential"],
        ),
        (
            "of one that manages it",
            with(of("home/y"), |seen| {
                seen.keepers.insert("home/y".to_owned());
            }),
            None,
            "GatewayConflict",
            &["gateway-conflict"],
        ),
        ("of one that manages it no longer", of("home/y"), Some(false), AT_REST, &[]),
        (
            "the API server refused over fields",
            refused(FailureKind::Conflict),
            None,
            "GatewayConflict",
            &["gateway-conflict", "gateway-missing"],
        ),
        (
            "a right is missing",
            refused(FailureKind::Denied),
            None,
            "AccessDenied",
            &["gateway-denied", "gateway-missing"],
        ),
        (
            "it takes too long",
            refused(FailureKind::Transient),
            None,
            "GatewayNotCurrent",
            &["gateway-not-written", "gateway-missing"],
        ),
        (
            "it may not be seen",
            observed(Gateways::Denied("a rule".to_owned())),
            None,
            "AccessDenied",
            &["gateway-denied"],
        ),
        ("without Istio", observed(Gateways::NotInstalled), None, "GatewayNotCurrent", &["gateway-istio-missing"]),
        ("not read yet", observed(Gateways::Pending), None, AT_REST, &[]),
        (
            "observed only",
            with(changed(edited(), |_| {}), |seen| seen.object.wants.gateway_object.manage = false),
            None,
            AT_REST,
            &["gateway-min-version"],
        ),
        (
            "suspended",
            with(changed(edited(), |_| {}), |seen| seen.object.wants.suspend = true),
            None,
            AT_REST,
            &["gateway-not-written", "gateway-min-version"],
        ),
    ]);
}

#[test]
fn a_persons_word_takes_over_unless_another_object_manages_it_or_it_was_undone_three_times() {
    let word = |seen: Observed| with(seen, |seen| seen.object.wants.policy = Policy::Manage);
    let undone = |within: i64| {
        let undo = |minutes| Undo { manager: "editor".to_owned(), at: *NOW - Duration::minutes(minutes) };
        changed(edited(), |object| object.facts.undone = vec![undo(within + 1), undo(30), undo(1)])
    };
    let asks = |object: &mut GatewayObject| {
        object.facts.owner = None;
        object.gateway.servers[0].tls.as_mut().expect("TLS").mode = "MUTUAL".to_owned();
    };
    let simple = |seen: &mut Observed| seen.object.wants.gateway_object.mode = Some("SIMPLE".to_owned());
    let other_labels = |object: &mut GatewayObject| {
        object.facts.owner = None;
        object.gateway.selector = [("istio".to_owned(), "other".to_owned())].into();
    };
    judge(vec![
        ("edited", word(changed(edited(), |_| {})), Some(true), AT_REST, &[]),
        ("undone three times, in more than an hour", word(undone(61)), Some(true), AT_REST, &[]),
        (
            "undone three times within an hour",
            word(undone(60)),
            None,
            "GatewayConflict",
            &["gateway-conflict", "gateway-min-version"],
        ),
        (
            "another object manages it",
            with(
                word(changed(edited(), |object| {
                    object.facts.owner = Some("home/y".to_owned());
                })),
                |seen| {
                    seen.keepers.insert("home/y".to_owned());
                },
            ),
            None,
            "GatewayConflict",
            &["gateway-conflict", "gateway-min-version"],
        ),
        (
            "another installation's",
            word(changed(edited(), |object| object.facts.owner = Some("far/z".to_owned()))),
            Some(true),
            AT_REST,
            &[],
        ),
        (
            "it asks clients, and the spec says nothing of that",
            word(changed(ours(), asks)),
            None,
            "GatewayNotCurrent",
            &["gateway-not-written", "gateway-mode"],
        ),
        (
            "it asks clients, and the spec says SIMPLE",
            with(word(changed(ours(), asks)), simple),
            Some(true),
            AT_REST,
            &[],
        ),
        (
            "another selector that nobody named",
            word(changed(ours(), other_labels)),
            None,
            "GatewayNotCurrent",
            &["gateway-not-written"],
        ),
    ]);
}

#[test]
fn it_waits_for_a_pair_and_for_a_client_ca_before_mutual() {
    let mutual = |seen: &mut Observed| seen.object.wants.client_ca = Some(ObjectName::new("home", "ca"));
    let bundle = |age: i64| {
        let pem = Ca::root("Clients", *NOW - Duration::days(365 * age)).expect("a root").pem();
        let facts = Arc::new(read_authorities(Some(pem.as_bytes()), false));
        KeptBundle {
            version: Version { uid: "u".to_owned(), resource_version: "7".to_owned() },
            immutable: false,
            deleting: false,
            key: "cacert",
            owner: Some(us().to_string()),
            foreign: None,
            mark: facts.fingerprint().map(|fingerprint| fingerprint.to_string()),
            facts,
            undone: Vec::new(),
            last_writer: None,
        }
    };
    let with_ca = |age| {
        with(observed(Gateways::Known(Vec::new())), |seen| {
            mutual(seen);
            seen.client_ca.stored = Kept::Present(Box::new(bundle(age)));
        })
    };
    let said = |seen: &Observed| {
        let plan = decide(seen, *NOW, &settings());
        let status = plan.status.expect("a status");
        let finding = status.findings.into_iter().find(|finding| finding.check == "gateway-not-written");
        let mode = plan.gateway.map(|write| write.servers[0].server.tls.as_ref().expect("TLS").mode.clone());
        (mode, finding.map(|finding| finding.message))
    };
    let none = with(observed(Gateways::Known(Vec::new())), mutual);
    for (case, seen) in [("no CA", none), ("an expired one", with_ca(11))] {
        let (mode, message) = said(&seen);
        assert_eq!(mode, None, "{case}");
        assert!(message.expect(case).contains("Secret mesh/gw-cacert holds no usable client CA"), "{case}");
    }
    assert_eq!(said(&with_ca(0)), (Some("MUTUAL".to_owned()), None));
    let no_pair = with(observed(Gateways::Known(Vec::new())), |seen| {
        (seen.source, seen.gateway, seen.keepsake) = (Source::Absent, Slot::Absent, Slot::Absent);
    });
    assert!(said(&no_pair).1.expect("a word").contains("holds no pair yet"));
}

#[test]
fn what_is_removed_comes_back_three_times_an_hour_and_nothing_is_written_more_than_ten_times() {
    let missing = || observed(Gateways::Known(Vec::new()));
    let differs = || changed(edited(), |object| object.facts.holders.clear());
    let lately = Duration::minutes(59);
    let earlier = Duration::minutes(60);
    for (seen, times, reason, ago, wanted) in [
        (missing(), 2, "GatewayRestored", lately, Some("GatewayRestored")),
        (missing(), 3, "GatewayRestored", lately, None),
        (missing(), 3, "GatewayRestored", earlier, Some("GatewayRestored")),
        (missing(), 1, "GatewayWritten", lately, Some("GatewayRestored")),
        (missing(), 0, "GatewayWritten", lately, Some("GatewayWritten")),
        (differs(), 9, "GatewayWritten", lately, Some("GatewayWritten")),
        (differs(), 10, "GatewayWritten", lately, None),
        (differs(), 10, "GatewayWritten", earlier, Some("GatewayWritten")),
    ] {
        let seen = with(seen, |seen| told(seen, times, reason, ago));
        let plan = decide(&seen, *NOW, &settings());
        let write = plan.gateway.map(|write| write.entry.reason);
        assert_eq!(write.as_deref(), wanted, "{times} times {reason}, {ago} ago");
        if wanted.is_none() {
            let status = plan.status.expect("a status");
            assert_eq!(status.condition("Ready").expect("there").reason, "GatewayConflict");
        }
    }
}

#[test]
fn after_a_write_there_is_nothing_to_write_and_after_its_status_nothing_to_say() {
    let spec: [fn(&mut Observed); 4] = [
        |_| {},
        |seen| seen.object.wants.gateway_object.apex = true,
        |seen| seen.object.wants.gateway_object.plain = true,
        |seen| seen.object.wants.gateway_object.min_version = Some("TLSV1_3".to_owned()),
    ];
    for change in spec {
        for before in [Vec::new(), vec![ours()], vec![edited()]] {
            let mut seen = with(observed(Gateways::Known(before)), change);
            for _ in 0..2 {
                let plan = decide(&seen, *NOW, &settings());
                if let Some(write) = &plan.gateway {
                    seen.gateways = Gateways::Known(vec![written(write)]);
                }
                seen.object.previous = plan.status.unwrap_or(seen.object.previous);
                for entry in &mut seen.object.previous.history {
                    entry.warning = false; // as the API gives it back
                }
            }
            let plan = decide(&seen, *NOW, &settings());
            assert_eq!(plan.gateway, None);
            assert!(plan.status.is_none_or(|status| status == seen.object.previous), "said again");
            assert_eq!(plan.events, []);
        }
    }
}
