//! The demo is run as people run it. It must be able to fail, too: that is what its exit code is worth.

use std::{
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

/// How many steps the demo has.
const STEPS: usize = 18;
/// From this one on a step waits for the deadlines of the reload ladder, 5 s each.
const SLOW: usize = 15;

fn demo(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.args(arguments).output().expect("the demo runs")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The demo's text with its lines joined, so that where they break does not matter.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_demo_sees_every_step_happen_and_says_so() {
    let began = Instant::now();
    let output = demo(&[]);
    let (text, took) = (text(&output), began.elapsed());
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(took < Duration::from_secs(90), "it took {took:?}");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let joined = joined(&text);
    let said = [
        "1 Three gateways have nothing to serve",
        "SourceValid=False (SourceMissing): Secret kyma-system/my-certificate does not exist",
        "Promoted: Secret istio-system/kyma-gateway-certs",
        "findings: pair-mismatch (error)",
        "findings: expired (error)",
        "findings: key-missing (error)",
        "SecretCurrent=True (LastGoodKept)",
        "Secret istio-system/kyma-gateway-certs was deleted and is restored",
        "field manager \"old-installer\"",
        "without keys \"cert\" and \"key\"",
        "from the last good pair",
        "field manager \"kubectl-edit\"",
        "namespace shop does not exist: create it, or take it off the list",
        "Secret shop/gateway-certificate is there after",
        "Secret shop/gateway-pair is there after",
        "Secret blog/gateway-certificate is there after",
        "all three copies hold",
        "Distributed=True (Distributed): all 3 copies hold fingerprint",
        "Secret shop/gateway-pair is there again after",
        "Secret attic/gateway-certificate belongs to field manager \"attic-tenant\"",
        "the Secret is as it was",
        "Secret attic/gateway-certificate is there after",
        "Distributed=True (Distributed): all 4 copies hold fingerprint",
        "(nudge 1 of 3)",
        "Served=True (Served): all 3 ready pods serve fingerprint",
        "Evicted: pod istio-system/gateway-1 was evicted",
        "its successor gateway-4 starts",
        "RolledBack: Secret istio-system/kyma-gateway-certs holds fingerprint",
        "SourceValid=False (RefusedByGateway)",
        "0 writes in 1.0 s, by anybody",
        "told as Events, each thing once: 1 Evicted, 1 ForeignOwner, 1 NamespaceMissing, 3 Nudged, 11 Promoted, 4 Refused, \
         4 Restored, 1 RolledBack",
        "steps seen 18 of 18",
        "completed, 0 failed",
        "cause to copy",
        "rights it lacked none",
        "Every step was seen to happen.",
    ];
    let mut rest = joined.as_str();
    for part in said {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("\"{part}\" is missing, or out of order:\n{text}")).1;
    }
}

#[test]
fn what_is_piped_is_plain_fits_the_page_and_holds_no_key() {
    // Even the demo's beginning is enough for this, and its end as a failure is looked at, too.
    let output = demo(&["--withhold-from", "4", "--patience", "1"]);
    let text = text(&output);
    assert!(text.contains("NOT SEEN"), "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "longer than 100 characters: {line}");
        assert!(!line.contains('\u{1b}'), "an escape sequence: {line:?}");
        assert!(!line.contains("PRIVATE"), "key material: {line}");
    }
}

#[test]
fn without_certkeeper_every_single_step_fails_and_says_what_was_seen_instead() {
    // Three at a time: they mostly wait.
    let steps: Vec<usize> = (1..=STEPS).collect();
    for some in steps.chunks(3) {
        let runs: Vec<_> = some
            .iter()
            .map(|step| {
                let step = *step;
                let patience = if step >= SLOW { "12" } else { "3" };
                thread::spawn(move || (step, demo(&["--withhold-from", &step.to_string(), "--patience", patience])))
            })
            .collect();
        for run in runs {
            let (step, output) = run.join().expect("the thread ends");
            let text = text(&output);
            assert_eq!(output.status.code(), Some(1), "step {step}:\n{text}");
            let joined = joined(&text);
            assert!(joined.contains("NOT SEEN") && joined.contains(" but "), "step {step}:\n{text}");
            let seen = format!("steps seen {} of {STEPS}", step - 1);
            assert!(joined.contains(&seen), "not \"{seen}\":\n{text}");
            assert!(joined.ends_with("FAILED: not every step was seen to happen."), "step {step}:\n{text}");
        }
    }
}
