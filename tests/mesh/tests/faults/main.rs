//! What is known of Istio and Envoy when something is wrong with the gateway's Secret and nobody keeps it: each case is
//! played on a real mesh and judged by handshakes. It ties what certkeeper and its simulator take for granted to the
//! real programs. [`kept`] plays faults with certkeeper at work, [`conformance`] some beside the simulator's gateway.

mod conformance;
mod kept;
mod materials;
mod seen;
mod stage;
mod steps;

use certkeeper_mesh::{
    load::{Load, LoadConfig},
    rotate, with_mesh,
};
use certkeeper_simulator::ca::Ca as Authority;
use chrono::Utc;

use materials::Material::{self, *};
use serde_json::{Value, json};
use stage::{Bare, Stage};
use steps::{
    Change::{self, *},
    ClientCa as Ca, Expected,
    Expected::*,
    Generic,
    Leaf::{self, New, Old},
    Step,
    Told::{self, *},
};

const fn act(change: Change) -> Step {
    Step::Do(change)
}

const fn see(expected: Expected) -> Step {
    Step::See(expected)
}

const fn says(told: Told) -> Step {
    Step::See(Says(told))
}

/// Each case is a test of its own; the mesh is one.
macro_rules! cases {
    ($($name:ident: [$($step:expr),* $(,)?];)*) => {
        $(#[test] fn $name() {
            let name = stringify!($name);
            with_mesh(name, async |mesh| Stage::set(mesh, Bare, name).await.play(&[$($step),*]).await);
        })*
    };
}

cases! {
    a_good_pair_is_served_by_all_within_a_moment: [
        act(Pair(Good)), see(Serve(New)),
        act(Pair(Good)), see(Serve(New)), see(Keep(New)), see(Tls12(true)), see(OtherNamesGetNothing),
    ];
    a_key_of_another_certificate_is_refused_and_the_old_leaf_stays: [
        act(Pair(MismatchedKey)), see(Refused), see(Keep(Old)), see(Live),
        act(Pair(Good)), see(Serve(New)),
    ];
    a_garbage_key_is_refused_and_the_old_leaf_stays: [
        act(Pair(GarbageKey)), see(Refused), see(Keep(Old)), see(Live),
        act(Pair(Good)), see(Serve(New)),
    ];
    a_garbage_certificate_is_refused_and_the_old_leaf_stays: [
        act(Pair(GarbageCertificate)), see(Refused), see(Keep(Old)), see(Live),
        act(Pair(Good)), see(Serve(New)),
    ];
    an_encrypted_key_is_refused_and_the_old_leaf_stays: [
        act(Pair(EncryptedKey)), see(Refused), see(Keep(Old)), see(Live),
        act(Pair(Good)), see(Serve(New)),
    ];
    an_rsa_key_of_1024_bits_is_refused_and_the_old_leaf_stays: [
        act(Pair(Rsa1024)), see(Refused), see(Keep(Old)), see(Live),
        act(Pair(Good)), see(Serve(New)),
    ];
    a_key_of_ed25519_with_its_public_key_is_refused_and_the_old_leaf_stays: [
        act(Pair(Ed25519WithPublicKey)), see(Refused), see(Keep(Old)), see(Live),
        act(Pair(Good)), see(Serve(New)),
    ];
    what_envoy_tells_of_itself_is_the_pair_it_refused: [
        act(Pair(MismatchedKey)), see(Refused), see(DumpShowsStored), see(Keep(Old)),
    ];
    an_empty_key_is_not_even_noticed: [
        act(Pair(EmptyKey)), see(Unnoticed), see(Keep(Old)),
        act(Pair(Good)), see(Serve(New)),
    ];
    a_deleted_secret_is_not_even_noticed: [
        act(Delete), see(Unnoticed), see(Keep(Old)),
        act(Pair(Good)), see(Serve(New)),
    ];
    left_over_generic_keys_win: [
        act(Beside(Generic::Pair)), see(Serve(Leaf::Generic)),
        act(Pair(Good)), see(Keep(Leaf::Generic)),
    ];
    half_a_generic_pair_does_not_win: [
        act(Beside(Generic::CertificateAlone)), see(Keep(Old)),
        act(Pair(Good)), see(Serve(New)),
    ];
    empty_generic_keys_do_not_win: [
        act(Beside(Generic::Empty)), see(Keep(Old)),
        act(Pair(Good)), see(Serve(New)),
    ];
    an_expired_pair_is_served: [
        act(Pair(Expired)), see(Serve(New)), see(Keep(New)),
    ];
    keys_of_other_kinds_are_served: [
        // None of Kyma's five suites goes with an ECDSA key.
        act(Pair(P256)), see(Serve(New)), see(Tls12(false)),
        act(Pair(P384)), see(Serve(New)),
        act(Pair(P521)), see(Serve(New)),
        act(Pair(Ed25519)), see(Serve(New)),
        act(Pair(Rsa4096)), see(Serve(New)), see(Tls12(true)),
    ];
    a_bad_pair_when_envoy_starts_is_live_and_serves_nothing_until_it_is_good: [
        act(Pair(MismatchedKey)), see(Refused),
        act(RestartAll), see(Live), see(Nothing),
        act(Pair(Good)), see(Serve(New)),
    ];
    an_absent_secret_when_envoy_starts_is_live_and_serves_nothing_until_it_is_there: [
        act(Delete), see(Unnoticed),
        act(RestartAll), see(Live), see(Nothing),
        act(Pair(Good)), see(Serve(New)),
    ];
    an_edit_of_the_policy_while_a_bad_pair_is_stored_is_lost: [
        act(Pair(MismatchedKey)), see(Refused), see(Tls12(true)),
        act(Floor("TLSV1_3")), see(Keep(Old)), see(Tls12(true)),
        act(Pair(Good)), see(Serve(New)), see(Keep(New)), see(Tls12(true)),
        // A restart applies it.
        act(RestartAll), see(Serve(New)), see(Tls12(false)),
    ];
    a_client_ca_that_was_garbage_holds_a_new_pair_back_until_it_is_mended: [
        act(ClientCa(Ca::Good)), act(Mode("MUTUAL")), see(AskClients), see(Keep(Old)),
        act(ClientCa(Ca::Garbage)), see(Refused), see(Keep(Old)),
        act(Pair(Good)), see(Keep(Old)),
        act(ClientCa(Ca::Good)), see(Serve(New)), see(Keep(New)),
    ];
    // The stuck leaf: the listener's former version, which is MUTUAL too and drains, fails first over the garbage and the
    // present one is never asked; later the pair's bytes are known already.
    a_client_ca_that_was_garbage_while_a_former_listener_drains_leaves_the_old_leaf_until_other_bytes_come: [
        act(ClientCa(Ca::Good)), act(Mode("MUTUAL")), see(AskClients),
        act(Floor("TLSV1_3")), see(Tls12(false)), see(Keep(Old)),
        act(ClientCa(Ca::Garbage)), see(Refused), see(Keep(Old)),
        act(Pair(Good)), see(Keep(Old)),
        act(ClientCa(Ca::Good)), see(Keep(Old)), see(DumpShowsStored),
        act(Touch), see(Keep(Old)),
        act(SameInOtherBytes), see(Serve(New)),
    ];
    a_client_ca_that_is_missing_when_mutual_tls_begins_has_every_connection_reset: [
        act(Mode("MUTUAL")), see(Nothing), see(Live),
        act(ClientCa(Ca::Good)), see(AskClients), see(Keep(Old)),
    ];
    a_client_ca_that_is_deleted_stays_in_force: [
        act(ClientCa(Ca::Good)), act(Mode("MUTUAL")), see(AskClients), see(Keep(Old)),
        act(ClientCa(Ca::Deleted)), see(Keep(Old)), see(AskClients),
        act(Pair(Good)), see(Serve(New)), see(AskClients),
    ];
    what_is_written_while_istiod_is_away_is_served_once_it_is_back: [
        act(StopIstiod), act(Pair(Good)), see(Keep(Old)),
        act(StartIstiod), see(Serve(New)),
    ];
    a_pod_that_is_restarted_while_istiod_is_away_serves_nothing_until_it_is_back: [
        act(StopIstiod), act(RestartFirst), see(FirstNothingOthers(Old)),
        act(Pair(Good)), see(FirstNothingOthers(Old)),
        act(StartIstiod), see(Serve(New)),
    ];
    the_successor_of_a_deleted_pod_serves_what_the_others_do: [
        act(ReplaceFirst), see(Serve(Old)),
        act(Pair(Good)), see(Serve(New)),
    ];
    without_the_right_to_secrets_a_pod_keeps_what_it_has_and_serves_nothing_after_a_restart: [
        act(Deny), act(Pair(Good)), see(Keep(Old)),
        act(RestartAll), see(Live), see(Nothing),
        act(Grant), see(Serve(New)),
    ];
}

/// The same with certkeeper at work: `more` goes into its object's spec.
macro_rules! kept_cases {
    ($($name:ident with $more:expr, [$($step:expr),* $(,)?];)*) => {
        $(#[test] fn $name() {
            let name = stringify!($name);
            with_mesh(name, async |mesh| kept::play(mesh, name, $more, &[$($step),*]).await);
        })*
    };
}

fn default() -> Value {
    json!({})
}

/// Long enough for nothing to be done about what is only waited for.
fn patient() -> Value {
    json!({"gateway": {"reload": {"deadline": "2m"}}})
}

fn up_to_restart() -> Value {
    json!({"gateway": {"reload": {"deadline": "5s", "upTo": "Restart"}}})
}

/// What is supplied and cannot be used never reaches the gateway, and a good pair follows as if it had not been.
fn supplied_and_refused(name: &'static str, material: Material) {
    with_mesh(name, async |mesh| {
        let refused = [
            act(Pair(material)),
            says(Condition("SourceValid", "False", "Refused")),
            see(Unnoticed),
            see(Keep(Old)),
            says(Proven(Old)),
            act(Pair(Good)),
            see(Serve(New)),
            says(Proven(New)),
            says(Times("Nudged", 0)),
        ];
        kept::play(mesh, name, default(), &refused).await;
    });
}

/// What somebody else writes into the gateway's Secret is put right before anybody is served worse.
fn written_by_another_and_put_right(name: &'static str, material: Material) {
    with_mesh(name, async |mesh| {
        let restored = [
            act(Foreign(material)),
            see(Stored(Old)),
            see(Keep(Old)),
            says(Proven(Old)),
            says(Times("Restored", 1)),
            act(Pair(Good)),
            see(Serve(New)),
            says(Proven(New)),
            says(Times("Nudged", 0)),
        ];
        kept::play(mesh, name, default(), &restored).await;
    });
}

macro_rules! of_each_material {
    ($play:ident: $($name:ident of $material:ident,)*) => {
        $(#[test] fn $name() { $play(stringify!($name), $material); })*
    };
}

of_each_material! { supplied_and_refused:
    kept_a_key_of_another_certificate_that_is_supplied_reaches_nobody of MismatchedKey,
    kept_a_garbage_key_that_is_supplied_reaches_nobody of GarbageKey,
    kept_a_garbage_certificate_that_is_supplied_reaches_nobody of GarbageCertificate,
    kept_an_encrypted_key_that_is_supplied_reaches_nobody of EncryptedKey,
    kept_an_empty_key_that_is_supplied_reaches_nobody of EmptyKey,
    kept_an_rsa_key_of_1024_bits_that_is_supplied_reaches_nobody of Rsa1024,
    kept_an_expired_pair_that_is_supplied_reaches_nobody of Expired,
}

of_each_material! { written_by_another_and_put_right:
    kept_a_key_of_another_certificate_in_the_gateways_secret_is_put_right of MismatchedKey,
    kept_an_empty_key_in_the_gateways_secret_is_put_right of EmptyKey,
    kept_an_rsa_key_of_1024_bits_in_the_gateways_secret_is_put_right of Rsa1024,
}

kept_cases! {
    kept_a_good_pair_is_served_by_all_and_proven with default(), [
        act(Pair(Good)), see(Serve(New)), says(Proven(New)),
        act(Pair(Good)), see(Serve(New)), says(Proven(New)), see(Keep(New)),
        says(Times("Nudged", 0)), says(Times("RolledBack", 0)),
    ];
    kept_a_deleted_secret_is_back_before_anybody_misses_it with default(), [
        act(Delete), see(Stored(Old)), see(Keep(Old)), says(Proven(Old)),
        act(Pair(Good)), see(Serve(New)), says(Proven(New)),
    ];
    kept_left_over_generic_keys_are_taken_away with default(), [
        act(Beside(Generic::Pair)), see(Stored(Old)), see(Serve(Old)), see(Keep(Old)), says(Proven(Old)),
    ];
    kept_an_expired_pair_in_the_gateways_secret_is_put_right with default(), [
        act(Foreign(Expired)), see(Stored(Old)), see(Serve(Old)), see(Keep(Old)), says(Proven(Old)),
    ];
    kept_envoys_that_start_after_a_bad_pair_was_written_find_the_good_one with default(), [
        act(Foreign(MismatchedKey)), act(RestartAll), see(Serve(Old)), says(Proven(Old)),
    ];
    kept_envoys_that_start_after_the_secret_was_deleted_find_it with default(), [
        act(Delete), act(RestartAll), see(Serve(Old)), says(Proven(Old)),
    ];
    // FACTS, "Stuck leaf": certkeeper's nudge does what other bytes do without it, and nobody is restarted.
    kept_a_leaf_that_is_stuck_after_a_garbage_client_ca_is_freed_by_one_nudge with default(), [
        act(ClientCa(Ca::Good)), act(Mode("MUTUAL")), see(AskClients),
        act(Floor("TLSV1_3")), see(Tls12(false)), see(Keep(Old)), says(Proven(Old)),
        act(ClientCa(Ca::Garbage)), see(Refused), see(Keep(Old)),
        act(Pair(Good)), see(Keep(Old)), says(Condition("Served", "False", "Reloading")),
        act(ClientCa(Ca::Good)), see(Keep(Old)),
        see(Serve(New)), says(Proven(New)), says(Times("Nudged", 1)), says(Times("RolledBack", 0)), says(NobodyEvicted),
    ];
    kept_a_garbage_client_ca_that_is_supplied_reaches_nobody with
        json!({"clientCA": {"secretRef": {"name": "supplied-ca"}}}), [
        act(ClientCa(Ca::Good)), says(Condition("SourceValid", "True", "Valid")),
        act(Mode("MUTUAL")), see(AskClients), see(Keep(Old)), says(Proven(Old)),
        act(ClientCa(Ca::Garbage)), says(Condition("SourceValid", "False", "ClientCaRefused")), see(Unnoticed), see(Keep(Old)),
        act(Pair(Good)), see(Serve(New)), see(AskClients), says(Proven(New)),
    ];
    kept_what_is_supplied_while_istiod_is_away_is_served_and_proven_once_it_is_back with patient(), [
        act(StopIstiod), act(Pair(Good)), says(Condition("Served", "False", "Reloading")), see(Keep(Old)),
        act(StartIstiod), see(Serve(New)), says(Proven(New)), says(Times("Nudged", 0)),
    ];
    kept_a_pod_that_is_restarted_while_istiod_is_away_is_told_and_proven_once_it_is_back with patient(), [
        act(StopIstiod), act(RestartFirst), see(FirstNothingOthers(Old)),
        act(StartIstiod), act(AllReady), see(Serve(Old)), says(Proven(Old)), says(Times("Nudged", 0)),
    ];
    kept_the_successor_of_a_deleted_pod_is_asked_too with default(), [
        act(ReplaceFirst), see(Serve(Old)), says(Proven(Old)),
        act(Pair(Good)), see(Serve(New)), says(Proven(New)),
    ];
    kept_pods_without_the_right_to_secrets_are_told_and_proven_once_they_have_it with patient(), [
        act(Deny), act(Pair(Good)), says(Condition("Served", "False", "Reloading")), see(Keep(Old)),
        act(Grant), see(Serve(New)), says(Proven(New)),
    ];
    // One of three that answers no more: the others serve the pair, so it is nudged in vain and then evicted.
    kept_one_pod_of_three_that_stands_still_is_evicted_and_its_successor_serves with up_to_restart(), [
        act(PauseFirst), act(Pair(Good)), says(Condition("Served", "False", "Reloading")),
        see(Serve(New)), says(Proven(New)), says(Times("Nudged", 1)), says(Times("Evicted", 1)), says(Times("RolledBack", 0)),
    ];
}

#[test]
fn kept_ten_rotations_under_load_fail_no_handshake_and_nobody_sees_the_old_leaf_once_it_is_proven() {
    with_mesh("ten rotations under load", async |mesh| {
        // Every case begins with pods that serve a good pair; this one needs no more of it.
        Stage::set(mesh, Bare, "ten rotations under load").await;
        let ca = Authority::root("Root", Utc::now()).expect("a root");
        let load = Load::start(&mesh.addresses(), &LoadConfig::default());
        let times = rotate::kept(mesh, &load, &ca, 10).await.expect("all are served and proven");
        let report = load.stop().await;
        assert_eq!(times.proven.len(), 10);
        assert!(report.handshakes() > 100 && report.requests > 100, "{report:?}");
        let wrong = (report.failed(), report.stale_handshakes, report.failed_requests);
        assert_eq!(wrong, (0, 0, 0), "{report:?}");
    });
}
