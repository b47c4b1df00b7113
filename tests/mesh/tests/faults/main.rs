//! What is known of Istio and Envoy when something is wrong with the gateway's Secret and nobody keeps it: each case is
//! played on a real mesh and judged by handshakes. It ties what certkeeper and its simulator take for granted to the
//! real programs.

mod materials;
mod seen;
mod stage;
mod steps;

use certkeeper_mesh::with_mesh;

use materials::Material::*;
use stage::{Bare, Stage};
use steps::{
    Change::{self, *},
    ClientCa as Ca, Expected,
    Expected::*,
    Generic,
    Leaf::{self, New, Old},
    Step,
};

const fn act(change: Change) -> Step {
    Step::Do(change)
}

const fn see(expected: Expected) -> Step {
    Step::See(expected)
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
