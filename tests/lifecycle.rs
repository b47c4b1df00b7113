//! The decision, for whatever may be observed: the laws as properties.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use certkeeper::{
    certificate::{Context, Facts, Pair, Supplied, judge, read},
    lifecycle::{
        Action, Leftover, Object, ObjectName, Observed, Plan, Policy, Probe, Reason, Settings, Slot, Source, Status,
        Stored, Supply, Undo, Version, Wants, Write,
        client_ca::ClientCa,
        decide,
        gardener::Gardener,
        gateway_object::{GatewayWants, Gateways},
        reload::{Record, Rung},
        serving::{Answer, GatewaySight, Mesh, PodSight, PodState, ServedLeaf},
        targets::{Copies, Namespaces},
    },
};
use certkeeper_simulator::ca::{Ca, Validity};
use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;

const DOMAIN: &str = "example.com";

static NOW: LazyLock<DateTime<Utc>> = LazyLock::new(|| DateTime::from_timestamp(1_780_000_000, 0).expect("a time"));

/// Everything that may lie in a Secret: good pairs, and every kind of bad one.
static MATERIALS: LazyLock<Vec<Arc<Facts>>> = LazyLock::new(|| {
    let ca = Ca::root("Root", *NOW - Duration::days(1000)).expect("a root");
    let span =
        |from: i64, until: i64| Validity { from: *NOW + Duration::days(from), until: *NOW + Duration::days(until) };
    let issue = |host: &str, validity| ca.leaf(&[host]).valid(validity).issue().expect("a leaf");
    let wildcard = "*.example.com";
    let pairs = [
        issue(wildcard, span(-1, 90)),
        issue(wildcard, span(-1, 60)),
        issue(wildcard, span(-90, -1)),
        issue(wildcard, span(-120, -30)),
        issue(wildcard, span(1, 90)),
        issue("*.elsewhere.example", span(-1, 90)),
        issue("*.elsewhere.example", span(-90, -1)),
    ];
    let both = |certificate: &str, key: &str| {
        let (certificate, key) = (Some(certificate.as_bytes()), Some(key.as_bytes()));
        Arc::new(read(&Supplied { certificate, key, staple: None }))
    };
    let mut facts: Vec<Arc<Facts>> = pairs.iter().map(|pair| both(&pair.certificate(), pair.key())).collect();
    facts.push(both(&pairs[0].certificate(), pairs[1].key()));
    facts.push(both("garbage", pairs[1].key()));
    facts.push(both("", ""));
    facts
});

fn us() -> ObjectName {
    ObjectName::new("home", "x")
}

fn gateway() -> ObjectName {
    ObjectName::new("mesh", "gw-certs")
}

fn settings() -> Settings {
    Settings { allow: vec![gateway().to_string()], namespaces: vec!["home".to_owned()], ..Settings::default() }
}

fn context<'a>(hosts: &'a [String], now: DateTime<Utc>) -> Context<'a> {
    Context { hosts, expires_soon: settings().expires_soon, ..Context::new(now) }
}

fn material() -> impl Strategy<Value = Arc<Facts>> {
    (0..MATERIALS.len()).prop_map(|index| MATERIALS[index].clone())
}

fn source() -> impl Strategy<Value = Source> {
    let present = material().prop_map(|facts| {
        Source::Present(Supply {
            version: "1".to_owned(),
            keys: "keys tls.crt and tls.key".to_owned(),
            facts,
            staple: None,
            requested: None,
            revoked: false,
        })
    });
    prop_oneof![1 => Just(Source::Absent), 1 => Just(Source::Denied("a rule".to_owned())), 8 => present]
}

fn stored() -> impl Strategy<Value = Stored> {
    let flags = (prop::bool::weighted(0.1), prop::bool::weighted(0.1), any::<bool>());
    let owner =
        prop_oneof![3 => Just(Some(us().to_string())), 2 => Just(None), 1 => Just(Some("else/where".to_owned()))];
    let foreign = prop::option::weighted(0.1, Just("cert-manager's Certificate wild".to_owned()));
    let leftovers = prop::sample::subsequence(vec![Leftover::Generic, Leftover::Staple, Leftover::LastApplied], 0..=3);
    let writer = prop::option::of(Just(Undo { manager: "a-person".to_owned(), at: *NOW }));
    (material(), flags, owner, foreign, leftovers, writer).prop_map(
        |(facts, (immutable, deleting, marked), owner, foreign, leftovers, last_writer)| {
            let fingerprint = facts.pair().map(|pair| pair.fingerprint().to_string());
            Stored {
                version: Version { uid: "u".to_owned(), resource_version: "7".to_owned() },
                immutable,
                deleting,
                facts,
                canonical: !leftovers.contains(&Leftover::Generic),
                leftovers,
                staple: None,
                owner,
                foreign,
                mark: if marked { fingerprint } else { Some("another".to_owned()) },
                undone: Vec::new(),
                nudged: Vec::new(),
                refused: Vec::new(),
                last_writer,
            }
        },
    )
}

fn slot() -> impl Strategy<Value = Slot> {
    let present = stored().prop_map(|stored| Slot::Present(Box::new(stored)));
    prop_oneof![2 => Just(Slot::Absent), 1 => Just(Slot::Denied("a rule".to_owned())), 8 => present]
}

fn leaf_fingerprint() -> impl Strategy<Value = String> {
    material().prop_map(|facts| facts.leaf().map_or("none".to_owned(), |leaf| leaf.fingerprint.to_string()))
}

/// Up to three pods that serve whatever may lie in a Secret, or fail in some way, or were not asked.
fn mesh() -> impl Strategy<Value = Mesh> {
    let leaf = leaf_fingerprint().prop_map(|fingerprint| {
        Some(Answer::Leaf(ServedLeaf { fingerprint, serial: "1".to_owned(), not_after: None }))
    });
    let failed = any::<bool>().prop_map(|answered_before| {
        Some(Answer::Failed { reason: "Reset".to_owned(), message: "reset".to_owned(), answered_before })
    });
    let answer = prop_oneof![6 => leaf, 2 => failed, 1 => Just(None)];
    let state =
        prop_oneof![6 => Just(PodState::Ready), 1 => Just(PodState::NotReady), 1 => Just(PodState::Terminating)];
    let pods = prop::collection::vec((answer, state, any::<bool>()), 0..4).prop_map(|pods| {
        let pod = |(index, (answer, state, files)): (usize, (Option<Answer>, PodState, bool))| PodSight {
            name: ObjectName::new("mesh", format!("pod-{index}")),
            uid: format!("uid-{index}"),
            created: *NOW - Duration::hours(1),
            state,
            files,
            answers: vec![answer],
        };
        let pods = pods.into_iter().enumerate().map(pod).collect();
        let name = ObjectName::new("kyma-system", "kyma-gateway");
        Mesh::Known(vec![GatewaySight {
            name,
            generation: 1,
            pods,
            unasked: Vec::new(),
            missing: false,
            policy: None,
            rivals: Vec::new(),
        }])
    });
    prop_oneof![1 => Just(Mesh::Off), 1 => Just(Mesh::Pending), 1 => Just(Mesh::NotInstalled), 8 => pods]
}

fn observed() -> impl Strategy<Value = Observed> {
    let policy = prop_oneof![4 => Just(Policy::IfUnowned), 1 => Just(Policy::Manage), 1 => Just(Policy::Observe)];
    let forget = prop::option::weighted(0.2, 0..MATERIALS.len());
    let seen = (mesh(), prop::option::of((leaf_fingerprint(), any::<bool>(), 0..100_i64)));
    (source(), slot(), slot(), policy, prop::bool::weighted(0.1), forget, any::<bool>(), seen).prop_map(
        |(source, gateway_slot, keepsake, policy, suspend, forget, finalizer, (mesh, climbed))| {
            let reload = climbed.map(|(fingerprint, nudged, ago)| Record {
                fingerprint,
                rung: if nudged { Rung::Nudge } else { Rung::Observe },
                time: *NOW - Duration::seconds(ago),
                since: Some(*NOW - Duration::seconds(200)),
                pods: 0,
                evicted: 0,
                pod: None,
                uid: None,
            });
            let forget = forget.and_then(|index| MATERIALS[index].leaf().map(|leaf| leaf.fingerprint.to_string()));
            let wants = Wants {
                policy,
                suspend,
                domain: Some(DOMAIN.to_owned()),
                roots: None,
                warn: Vec::new(),
                ignore: Vec::new(),
                source: Some(ObjectName::new("home", "supplied")),
                client_ca: None,
                gateway_secret: gateway(),
                gateway: ObjectName::new("kyma-system", "kyma-gateway"),
                gateway_named: false,
                gateway_object: GatewayWants::default(),
                server: None,
                probe: Probe { enabled: true, ..Probe::default() },
                up_to: Rung::Restart,
                deadline: Duration::seconds(30),
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
                finalizer,
                wants,
                forget: forget.into_iter().collect(),
                previous: Status { reload, ..Status::default() },
            };
            Observed {
                object,
                source,
                gateway: gateway_slot,
                keepsake,
                gardener: Gardener::default(),
                orphan: None,
                client_ca: ClientCa::default(),
                rivals: Vec::new(),
                peers: BTreeSet::new(),
                keepers: BTreeSet::new(),
                gateways: Gateways::default(),
                mesh,
                namespaces: Namespaces::NotNeeded,
                copies: Copies::default(),
                failure: None,
                not_evicted: None,
            }
        },
    )
}

/// What the world looks like once the plan was carried out.
fn carried_out(observed: &Observed, plan: &Plan) -> Observed {
    let mut after = observed.clone();
    for action in &plan.actions {
        match action {
            Action::WriteGatewaySecret(write) => after.gateway = written(&after.gateway, write),
            Action::WriteKeepSake(write) => after.keepsake = written(&after.keepsake, write),
            Action::AddFinalizer(_) => after.object.finalizer = true,
            other => panic!("not for an object that stays: {other:?}"),
        }
    }
    if let Some(status) = &plan.status {
        after.object.previous = status.clone();
        for entry in &mut after.object.previous.history {
            entry.warning = false; // as the API gives it back
        }
    }
    after
}

fn written(slot: &Slot, write: &Write) -> Slot {
    let pair: &Pair = &write.pair;
    let (certificate, key) = (Some(pair.certificate_pem().as_bytes()), Some(pair.key_pem().as_bytes()));
    let facts = Arc::new(read(&Supplied { certificate, key, staple: None }));
    let left = slot.stored().map(|stored| stored.leftovers.clone()).unwrap_or_default();
    let leftovers: Vec<Leftover> = left.into_iter().filter(|leftover| !write.remove.contains(leftover)).collect();
    Slot::Present(Box::new(Stored {
        version: Version { uid: "u".to_owned(), resource_version: "8".to_owned() },
        immutable: false,
        deleting: false,
        facts,
        canonical: !leftovers.contains(&Leftover::Generic),
        leftovers,
        staple: None,
        owner: Some(us().to_string()),
        foreign: slot.stored().and_then(|stored| stored.foreign.clone()),
        mark: Some(pair.fingerprint().to_string()),
        undone: write.undone.clone(),
        nudged: write.nudged.clone(),
        refused: write.refused.clone(),
        last_writer: slot.stored().and_then(|stored| stored.last_writer.clone()),
    }))
}

fn gateway_write(plan: &Plan) -> Option<&Write> {
    plan.actions.iter().find_map(|action| match action {
        Action::WriteGatewaySecret(write) => Some(write),
        _ => None,
    })
}

/// Law 1's order, said a second time and in other words: (errors by class, gravest first), then the end.
fn badness(facts: &Facts, now: DateTime<Utc>) -> ([usize; 5], i64) {
    use certkeeper::certificate::Class;
    let hosts = vec![format!("*.{DOMAIN}")];
    let verdict = judge(facts, &context(&hosts, now));
    let classes = [Class::Unusable, Class::Time, Class::Hosts, Class::Chain, Class::Rest];
    let counts = classes.map(|class| verdict.errors().filter(|finding| finding.check.class == class).count());
    (counts, -facts.leaf().map_or(0, |leaf| leaf.not_after.timestamp()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn law_1_nothing_unusable_is_written_and_nothing_bad_that_is_worse_than_what_is_there(observed in observed()) {
        let plan = decide(&observed, *NOW, &settings());
        if let Some(write) = gateway_write(&plan) {
            let (certificate, key) = (Some(write.pair.certificate_pem().as_bytes()), Some(write.pair.key_pem().as_bytes()));
            let new = badness(&read(&Supplied { certificate, key, staple: None }), *NOW);
            prop_assert_eq!(new.0[0], 0, "unusable");
            let bad = new.0.iter().any(|count| *count > 0);
            if let (true, Some(stored)) = (bad, observed.gateway.stored()) {
                let old = badness(&stored.facts, *NOW);
                let retired = stored.fingerprint().is_some_and(|f| observed.object.forget.contains(&f));
                // What goes back is compared by its errors, not by its end: it always ends earlier.
                let goes_back = plan.events.iter().any(|entry| entry.reason == Reason::RolledBack.as_str());
                let no_worse = if goes_back { new.0 <= old.0 } else { new <= old };
                prop_assert!(retired || old.0[0] > 0 || no_worse, "{:?} over {:?}", new, old);
            }
        }
    }

    #[test]
    fn law_2_a_retired_pair_is_never_written_and_a_good_one_never_lost(observed in observed()) {
        let plan = decide(&observed, *NOW, &settings());
        for action in &plan.actions {
            if let Action::WriteGatewaySecret(write) | Action::WriteKeepSake(write) = action {
                prop_assert!(!observed.object.forget.contains(&write.pair.fingerprint().to_string()));
            }
        }
        // A good last pair in a keep-sake of ours stays good.
        let good = |slot: &Slot| slot.stored().is_some_and(|kept| {
            kept.owner == Some(us().to_string()) && badness(&kept.facts, *NOW).0 == [0; 5]
                && !kept.fingerprint().is_some_and(|f| observed.object.forget.contains(&f))
        });
        if good(&observed.keepsake) {
            prop_assert!(good(&carried_out(&observed, &plan).keepsake));
        }
    }

    #[test]
    fn law_3_left_overs_go_in_the_very_write(observed in observed()) {
        let plan = decide(&observed, *NOW, &settings());
        if gateway_write(&plan).is_some() {
            let after = carried_out(&observed, &plan);
            let left = &after.gateway.stored().expect("written").leftovers;
            prop_assert!(!left.contains(&Leftover::Generic) && !left.contains(&Leftover::LastApplied), "{:?}", left);
        }
    }

    #[test]
    fn law_4_a_plan_that_was_carried_out_leaves_nothing_to_do_and_nothing_to_say(observed in observed()) {
        let mut now = observed;
        // Three rounds: one may find out that the other's write settled a question.
        for _ in 0..3 {
            let plan = decide(&now, *NOW, &settings());
            now = carried_out(&now, &plan);
        }
        let later = *NOW + Duration::seconds(1);
        // The next rung of the ladder may be due by then.
        prop_assume!(decide(&now, *NOW, &settings()).wake_at.is_none_or(|at| at > later));
        let plan = decide(&now, later, &settings());
        prop_assert!(plan.actions.is_empty(), "{:?}", plan.actions);
        prop_assert!(plan.status.is_none(), "{:?}\nafter\n{:?}", plan.status, now.object.previous);
    }

    #[test]
    fn law_9_whoever_observes_writes_nothing_and_a_foreign_owner_makes_one_observe(observed in observed()) {
        let plan = decide(&observed, *NOW, &settings());
        let wants = &observed.object.wants;
        let foreign = observed.gateway.stored().is_some_and(|stored| {
            stored.foreign.is_some() || stored.owner.as_deref() == Some("else/where")
        });
        if wants.suspend || wants.policy == Policy::Observe || (foreign && wants.policy == Policy::IfUnowned) {
            prop_assert!(plan.actions.is_empty(), "{:?}", plan.actions);
        }
        let ours = |slot: &Slot| slot.stored().is_none_or(|kept| kept.owner == Some(us().to_string()));
        if !ours(&observed.keepsake) {
            prop_assert!(!plan.actions.iter().any(|action| matches!(action, Action::WriteKeepSake(_))));
        }
    }

    #[test]
    fn law_11_the_next_moment_that_matters_is_always_known(observed in observed()) {
        let plan = decide(&observed, *NOW, &settings());
        if let Some(at) = plan.wake_at {
            prop_assert!(at > *NOW);
            // Until then, time alone changes nothing.
            let mut settled = observed;
            for _ in 0..3 {
                let plan = decide(&settled, *NOW, &settings());
                settled = carried_out(&settled, &plan);
            }
            let wake_at = decide(&settled, *NOW, &settings()).wake_at;
            if let Some(at) = wake_at {
                let plan = decide(&settled, at - Duration::seconds(1), &settings());
                prop_assert!(plan.actions.is_empty(), "{:?}", plan.actions);
                prop_assert!(plan.status.is_none(), "{:?}\nafter\n{:?}", plan.status, settled.object.previous);
            }
        }
    }
}
