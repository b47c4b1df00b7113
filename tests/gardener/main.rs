//! The virtual Gardener against the real cert-controller-manager: the same scripts, one trace.
//!
//! Each script is played on a real API server with the real controller, and in memory with the virtual one. Every
//! change of the Certificate and of its Secret is compared, in order: spec, status with its words, labels,
//! annotations, who owns which field, the keys of the Secret, and whether leaf and key are new ones. What cannot be
//! equal (names, times, serial numbers, digests) is replaced by a word or by its order first (`trace.rs`).

mod scripts;
mod stage;
mod trace;

use std::sync::atomic::{AtomicUsize, Ordering};

use certkeeper_control_plane::shared_with_gardener_or_left_out;
use certkeeper_simulator::{
    ApiServer,
    gardener::{Settings, VirtualGardener, install},
};
use tokio::runtime::{Builder, Runtime};

use scripts::Step;
use stage::{Stage, clock};

static NUMBER: AtomicUsize = AtomicUsize::new(0);

fn runtime(paused: bool) -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(paused).build().expect("a runtime")
}

/// Plays a script with the virtual Gardener, in paused time.
fn virtually(name: &str, steps: &[Step], loosely: bool) -> Vec<String> {
    runtime(true).block_on(async {
        let client = ApiServer::new().client();
        install(&client).await.expect("the definitions are taken");
        let clock = clock();
        let _gardener = VirtualGardener::start(client.clone(), clock.clone(), Settings::brisk());
        Stage::new(client, clock, name).await.play(steps, loosely).await
    })
}

/// Plays a script on both, and compares. Nothing where the real one is left out of this run.
fn alike(test: &str, steps: &[Step], loosely: bool) {
    let real = runtime(false);
    let shared = real.block_on(shared_with_gardener_or_left_out(test)).expect("the real controller starts");
    let Some((plane, _)) = shared else { return };
    let name = format!("conformance-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let really = real.block_on(async {
        let client = plane.client().expect("a client");
        Stage::new(client, clock(), &name).await.play(steps, loosely).await
    });
    let virtually = virtually(&name, steps, loosely);
    if really == virtually {
        return;
    }
    let first = really.iter().zip(&virtually).take_while(|(real, other)| real == other).count();
    let list =
        |trace: &[String]| trace.iter().skip(first).take(4).map(|line| format!("  {line}\n")).collect::<String>();
    panic!(
        "alike for {first} changes, then the real one (of {} changes):\n{}and the virtual one (of {}):\n{}",
        really.len(),
        list(&really),
        virtually.len(),
        list(&virtually)
    );
}

macro_rules! conformance {
    ($loosely:expr; $($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            alike(stringify!($name), &scripts::$name(), $loosely);
        })+
    };
}

conformance!(
    false;
    a_certificate_is_created_and_a_short_form_of_its_duration_rewritten,
    a_deleted_secret_is_missed_by_nobody_until_a_touch,
    a_renewal_is_forced_by_a_time_and_by_renew,
    an_issuer_that_is_missing_and_then_there_is_noticed_at_a_touch,
    an_issuer_without_its_ca_is_waited_for_in_silence,
    a_damaged_ca_fails_a_forced_renewal_until_it_is_mended_and_touched,
    a_certificate_that_is_created_again_takes_its_secret_over,
    a_spec_that_cannot_be_met_is_told_and_waited_out_for_a_day,
    what_somebody_adds_to_the_secret_goes_or_stays_alike,
    a_renewal_is_made_before_the_end,
);
// After other names the real one looks again at once, at what may be an older copy.
conformance!(true; other_names_are_issued_at_once);
