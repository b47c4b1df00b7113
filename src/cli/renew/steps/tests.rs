use serde_json::{Value, json};

use super::*;

const OLD: &str = "0001";
const NEW: &str = "0002";

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

fn ask() -> Ask {
    Ask { at: at("2026-11-23T10:00:00Z"), before: OLD.to_owned() }
}

fn condition_of(kind: &str, status: &str, reason: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": format!("{kind} speaks"),
        "lastTransitionTime": "2026-11-23T09:00:00Z"})
}

fn status(value: Value) -> GatewayCertificateStatus {
    serde_json::from_value(value).expect("a status")
}

/// A status whose certificate is issued and in the Secret, with these fingerprints.
fn with(issued: &str, held: &str, served: (&str, &str, &str), conditions: &[Value]) -> GatewayCertificateStatus {
    let mut conditions = conditions.to_vec();
    conditions.push(condition_of("Served", served.0, served.1));
    status(json!({
        "mode": "Gardener", "served": served.2, "conditions": conditions,
        "issuance": {"certificate": "x", "fingerprint": issued},
        "certificate": {"fingerprint": held, "serial": "1", "issuer": "i", "notBefore": "2026-11-01T00:00:00Z",
            "notAfter": "2027-02-01T00:00:00Z"},
    }))
}

#[test]
fn each_status_is_at_one_step() {
    let issued = |status: &str, reason: &str| condition_of("Issued", status, reason);
    let served = ("True", "Served", "2/2");
    let entry = |time: &str, reason: &str| json!([{"time": time, "reason": reason, "message": "m"}]);
    let history = |time: &str, reason: &str| {
        let told: Vec<crate::api::HistoryEntry> = serde_json::from_value(entry(time, reason)).expect("a history");
        GatewayCertificateStatus { history: told, ..with(OLD, OLD, served, &[]) }
    };
    let pushed = |time: &str| {
        let mut status = with(OLD, OLD, served, &[]);
        status.issuance.as_mut().expect("requested").pushed_at = Some(time.to_owned());
        status
    };
    let cases = [
        ("nothing is known", GatewayCertificateStatus::default(), Step::Asked),
        ("as it was", with(OLD, OLD, served, &[]), Step::Asked),
        ("renewed a second before the ask", history("2026-11-23T09:59:59Z", "RenewalRequested"), Step::Asked),
        ("renewed in the second of the ask", history("2026-11-23T10:00:00Z", "RenewalRequested"), Step::Requested),
        ("something else happened", history("2026-11-23T10:00:01Z", "Promoted"), Step::Asked),
        ("no time at all", history("soon", "RenewalRequested"), Step::Asked),
        ("pushed before", pushed("2026-11-23T09:59:59Z"), Step::Asked),
        ("pushed since, told in another zone", pushed("2026-11-23T11:00:00+01:00"), Step::Requested),
        ("issued, not seen to be requested", with(NEW, OLD, served, &[]), Step::Issued),
        ("issued, and says so", with(NEW, OLD, served, &[issued("True", "Issued")]), Step::Issued),
        ("one that was on its way", with(NEW, NEW, served, &[issued("False", "Issuing")]), Step::Asked),
        ("another thing is in the Secret", with(NEW, "0003", served, &[]), Step::Issued),
        ("promoted, some pods differ", with(NEW, NEW, ("False", "Differs", "1/2"), &[]), Step::Promoted),
        ("promoted, the condition is ahead", with(NEW, NEW, ("True", "Served", "1/2"), &[]), Step::Promoted),
        ("promoted, the count is ahead", with(NEW, NEW, ("Unknown", "Reloading", "2/2"), &[]), Step::Promoted),
        ("promoted, no pods", with(NEW, NEW, ("True", "Served", "0/0"), &[]), Step::Promoted),
        ("promoted, not counted", with(NEW, NEW, ("True", "Served", ""), &[]), Step::Promoted),
        ("served", with(NEW, NEW, served, &[]), Step::Served),
        (
            "served, though the issuer fails again",
            with(NEW, NEW, served, &[issued("False", "IssuerFailing")]),
            Step::Served,
        ),
        ("the old one is put back", with(NEW, OLD, served, &[]), Step::Issued),
    ];
    for (what, status, step) in cases {
        assert_eq!(reached(&status, &ask()), step, "{what}");
    }
}

#[test]
fn what_a_person_has_to_see_to_is_told_and_what_takes_its_time_is_not() {
    let cases = [
        ("Issued", "False", "IssuerFailing", true),
        ("Issued", "False", "Revoked", true),
        ("Issued", "False", "AccessDenied", true),
        ("Issued", "False", "RequestFailed", true),
        ("Issued", "False", "RenewalOverdue", true),
        ("Issued", "Unknown", "NotRequested", true),
        ("Issued", "False", "Issuing", false),
        ("Issued", "True", "Issued", false),
        ("SourceValid", "False", "Refused", true),
        ("SourceValid", "False", "NotIssued", false),
        ("SourceValid", "True", "Valid", false),
        ("Distributed", "False", "TargetsFailed", false),
    ];
    for (kind, state, reason, expected) in cases {
        let told = troubles(&status(json!({"conditions": [condition_of(kind, state, reason)]})));
        let words = format!("{kind}={state} ({reason}): {kind} speaks");
        assert_eq!(told, if expected { vec![words] } else { vec![] }, "{kind} {state} {reason}");
    }
}

#[test]
fn where_it_hangs_the_condition_that_knows_why_is_told() {
    let accepted = condition_of("Accepted", "False", "Conflict");
    let fine = condition_of("Accepted", "True", "Accepted");
    let issued = condition_of("Issued", "False", "Issuing");
    let refused = condition_of("SourceValid", "False", "Refused");
    let valid = condition_of("SourceValid", "True", "Valid");
    let secret = condition_of("SecretCurrent", "False", "WriteFailed");
    let served = condition_of("Served", "False", "Differs");
    let cases = [
        (Step::Asked, vec![accepted, issued.clone()], "Accepted=False (Conflict)"),
        (Step::Asked, vec![fine, issued.clone()], "Issued=False (Issuing)"),
        (Step::Requested, vec![issued], "Issued=False (Issuing)"),
        (Step::Issued, vec![refused, secret.clone()], "SourceValid=False (Refused)"),
        (Step::Issued, vec![valid, secret], "SecretCurrent=False (WriteFailed)"),
        (Step::Promoted, vec![served], "Served=False (Differs)"),
        (Step::Promoted, vec![], "there is no condition Served"),
    ];
    for (step, conditions, words) in cases {
        let told = hangs(&status(json!({"conditions": conditions})), step);
        assert!(told.starts_with(words), "{step:?}: {told}");
        assert_eq!(told.contains("is `certkeeper run` serving"), step == Step::Asked, "{told}");
    }
}

#[test]
fn each_renewal_has_a_time_of_its_own_and_a_plan_of_somebody_is_not_overwritten() {
    let now = at("2026-11-23T10:00:00Z");
    let annotated = |there: Option<&str>| {
        let mut object = object(json!({}), json!(null));
        object.annotations_mut().extend(there.map(|there| (api::RENEW.to_owned(), there.to_owned())));
        object
    };
    let cases = [
        (None, "2026-11-23T10:00:00Z"),
        (Some("when there is time"), "2026-11-23T10:00:00Z"),
        (Some("2026-11-22T00:00:00Z"), "2026-11-23T10:00:00Z"),
        (Some("2026-11-23T09:59:58Z"), "2026-11-23T10:00:00Z"),
        (Some("2026-11-23T09:59:59Z"), "2026-11-23T10:00:01Z"),
        (Some("2026-11-23T10:00:00Z"), "2026-11-23T10:00:02Z"),
        (Some("2026-11-23T10:05:00Z"), "2026-11-23T10:05:02Z"),
    ];
    for (there, expected) in cases {
        assert_eq!(ask_at(now, &annotated(there)), Ok(at(expected)), "{there:?}");
    }
    let planned = ask_at(now, &annotated(Some("2026-11-23T10:05:01Z"))).expect_err("it is for later");
    assert!(planned.contains("2026-11-23T10:05:01Z") && planned.contains("certs.kyma-project.io/renew"), "{planned}");
}

#[test]
fn what_was_issued_in_the_same_second_does_not_pass_for_what_is_asked_for() {
    let now = at("2026-11-23T10:00:00Z");
    let told = |time: &str, reason: &str| {
        object(json!({}), json!({"history": [{"time": time, "reason": reason, "message": "m"}]}))
    };
    let cases = [
        ("2026-11-23T10:00:00Z", "Issued", "2026-11-23T10:00:02Z"),
        ("2026-11-23T09:59:59Z", "Issued", "2026-11-23T10:00:01Z"),
        ("2026-11-23T09:59:58Z", "Issued", "2026-11-23T10:00:00Z"),
        ("2026-11-23T10:00:00Z", "Served", "2026-11-23T10:00:00Z"),
        // A clock that is far ahead is not followed.
        ("2026-11-23T10:05:01Z", "Issued", "2026-11-23T10:00:00Z"),
    ];
    for (time, reason, expected) in cases {
        assert_eq!(ask_at(now, &told(time, reason)), Ok(at(expected)), "{reason} at {time}");
    }
}

fn object(spec: Value, status: Value) -> GatewayCertificate {
    let object = json!({"apiVersion": "certs.kyma-project.io/v1alpha1", "kind": "GatewayCertificate",
        "metadata": {"name": "x", "namespace": "home"}, "spec": spec, "status": status});
    serde_json::from_value(object).expect("an object")
}

#[test]
fn what_nobody_would_renew_is_refused_with_what_to_do() {
    let issuance = json!({"certificate": "x", "fingerprint": OLD});
    let working = |conditions: Value| json!({"mode": "Gardener", "issuance": issuance, "conditions": conditions});
    let blocked = |kind: &str, state: &str, reason: &str| working(json!([condition_of(kind, state, reason)]));
    let supplied = json!({"byo": {"secretRef": {"name": "supplied"}}});
    let watched = json!({"gardener": {"certificateRef": {"name": "theirs"}}});
    let first = json!({"issuance": {"certificate": "x"}, "conditions": [condition_of("Issued", "False", "Issuing")]});
    let cases = [
        (supplied.clone(), working(json!([])), "into Secret home/supplied"),
        (supplied, json!(null), "into Secret home/supplied"),
        (json!({}), json!({"mode": "BYO"}), "spec.byo.secretRef names"),
        (json!({"suspend": true}), working(json!([])), "set spec.suspend to false"),
        (json!({"managementPolicy": "Observe"}), working(json!([])), "spec.managementPolicy"),
        (watched, working(json!([])), "Certificate home/theirs is somebody else's"),
        (json!({}), json!(null), "is `certkeeper run` serving"),
        (json!({}), json!({"mode": "Gardener"}), "is `certkeeper run` serving"),
        (json!({}), blocked("Accepted", "False", "NotPermitted"), "Accepted=False (NotPermitted): Accepted speaks"),
        (json!({}), blocked("Issued", "Unknown", "NotRequested"), "Issued=Unknown (NotRequested): Issued speaks"),
        (json!({}), blocked("Issued", "False", "GardenerMissing"), "Issued=False (GardenerMissing)"),
        (json!({}), blocked("Issued", "False", "DomainMissing"), "Issued=False (DomainMissing)"),
        (json!({}), blocked("Issued", "False", "ForeignOwner"), "Issued=False (ForeignOwner)"),
        (json!({}), first, "wait for the first\n  Issued=False (Issuing)"),
    ];
    for (spec, status, words) in cases {
        let why = renewable(&object(spec.clone(), status.clone())).expect_err("refused");
        assert!(why.contains(words), "{spec} {status}: {why}");
    }
    for (kind, state, reason) in
        [("Issued", "True", "Issued"), ("Issued", "False", "IssuerFailing"), ("Issued", "False", "RenewalOverdue")]
    {
        let fine = object(json!({}), blocked(kind, state, reason));
        assert_eq!(renewable(&fine), Ok(OLD.to_owned()), "{reason}");
    }
}

#[test]
fn what_is_being_deleted_is_not_renewed() {
    let mut doomed = object(json!({}), json!({"issuance": {"certificate": "x", "fingerprint": OLD}}));
    assert_eq!(renewable(&doomed), Ok(OLD.to_owned()));
    doomed.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-23T10:00:00Z")).ok();
    assert!(renewable(&doomed).expect_err("refused").contains("is being deleted"));
}
