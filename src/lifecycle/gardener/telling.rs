//! What is said of Gardener: the condition Issued, and what happened.

use chrono::{DateTime, Utc};

use super::{
    Issuance, Step,
    ladder::{self, What},
    plan::{Standing, is_exhausted},
};
use crate::lifecycle::{
    observed::{FailureKind, Settings},
    plan::{Condition, ConditionStatus, Entry},
    reason::Reason,
    report::{entry, timestamp},
};

/// What a person can do where Gardener's issuer fails.
const REMEDY: &str = "ask whoever runs the landscape about its issuer, look at the Certificate with kubectl describe, or supply a \
                      certificate of your own in spec.byo.secretRef";

/// The condition Issued.
pub(super) fn condition(standing: &Standing<'_>, settings: &Settings) -> Condition {
    use ConditionStatus::{False, True, Unknown};
    let condition = |status, reason, message: String| Condition::new("Issued", status, reason, message);
    let name = &standing.wants.certificate;
    if let Some((reason, why)) = &standing.obstacle {
        let status = if *reason == Reason::NotRequested { Unknown } else { False };
        return condition(status, *reason, why.clone());
    }
    if let Some((kind, why)) = &standing.observed.gardener.failure {
        let reason = if *kind == FailureKind::Denied { Reason::AccessDenied } else { Reason::RequestFailed };
        return condition(False, reason, format!("Certificate {name} could not be written and is tried again: {why}"));
    }
    let Some(certificate) = standing.certificate else {
        return condition(False, Reason::Issuing, format!("Certificate {name} is being requested"));
    };
    if certificate.deleting {
        let words = format!("Certificate {name} is being deleted; it is requested again once it is gone");
        return condition(False, Reason::Issuing, words);
    }
    if standing.issued.is_some_and(|issued| issued.revoked) {
        let words = format!("Certificate {name} is revoked, and another was asked for{}", lasts(standing));
        return condition(False, Reason::Revoked, words);
    }
    if certificate.state == "Error" {
        let since = certificate.since.map(|at| format!(" since {}", timestamp(at))).unwrap_or_default();
        let again = certificate.retry_at.map(|at| format!("; it tries again at {}", timestamp(at))).unwrap_or_default();
        let words = format!(
            "Gardener cannot issue Certificate {name}{since}: \"{}\"{again}{}; {REMEDY}",
            certificate.message,
            lasts(standing)
        );
        return condition(False, Reason::IssuerFailing, words);
    }
    if let Some(what) = is_exhausted(standing) {
        return condition(False, Reason::RenewalOverdue, overdue(standing, what, settings));
    }
    match standing.issued.filter(|issued| issued.satisfied) {
        Some(issued) => {
            let due = ladder::renewal(certificate, issued.facts);
            let due = due.map(|(due, _)| format!("; its renewal is due at {}", timestamp(due))).unwrap_or_default();
            let fingerprint = issued.facts.leaf().map(|leaf| leaf.fingerprint.to_string()).unwrap_or_default();
            let words = format!("Certificate {name} is issued: fingerprint {fingerprint}{}{due}", lasts(standing));
            condition(True, Reason::Issued, words)
        }
        None => {
            let state = match certificate.state.as_str() {
                "" | "Ready" => String::new(),
                state => format!(" (Gardener says {state})"),
            };
            condition(
                False,
                Reason::Issuing,
                format!("Certificate {name} is requested and waited for{state}{}", lasts(standing)),
            )
        }
    }
}

/// How long there is time.
fn lasts(standing: &Standing<'_>) -> String {
    let leaf = standing.observed.gateway.stored().and_then(|stored| stored.facts.leaf());
    leaf.map(|leaf| format!("; the one in the gateway's Secret is valid until {}", timestamp(leaf.not_after)))
        .unwrap_or_default()
}

/// Everything was tried.
fn overdue(standing: &Standing<'_>, what: What, settings: &Settings) -> String {
    let name = &standing.wants.certificate;
    let due = standing.expected.map(|(expected, _)| timestamp(expected.due)).unwrap_or_default();
    let late = match what {
        What::Vanished => format!("Gardener says that it has issued Certificate {name}, but its Secret is not there"),
        What::Issuance => format!("Certificate {name} was asked for at {due} and is not issued"),
        What::Renewal => format!("the renewal of Certificate {name} was due at {due} and is not done"),
    };
    let state = standing.certificate.map(|certificate| certificate.state.as_str()).unwrap_or_default();
    let tried = match (standing.wants.watched, settings.permits_heal(&standing.wants.certificate)) {
        (true, true) => "touching it did not help",
        (true, false) => "nothing was tried, as the operator does not grant that (run --allow-heal)",
        (false, _) => "neither touching it nor asking for another helped",
    };
    format!("{late}, though its state is \"{state}\"; {tried}{}; {REMEDY}", lasts(standing))
}

/// What happened since the last status: what was asked for, how Gardener was pushed, what came of it. All of it is told by
/// what lies in the API server, so that nothing is told twice or lost with a crash.
pub(super) fn entries(standing: &Standing<'_>, issuance: &Issuance, now: DateTime<Utc>) -> Vec<Entry> {
    let mut entries = Vec::new();
    let name = &standing.wants.certificate;
    let before = standing.observed.object.previous.issuance.clone().unwrap_or_default();
    let Some(certificate) = standing.certificate else { return entries };
    if issuance.requested.is_some() && issuance.requested != before.requested {
        let names = certificate.request.names.join(" and ");
        let again = match certificate.undone.last().filter(|undo| Some(undo.at) == issuance.requested) {
            Some(undo) => format!(" again, as field manager \"{}\" had changed it", undo.manager),
            None => String::new(),
        };
        let message = format!("Certificate {name} is requested for {names}{again}");
        entries.push(entry(now, Reason::Requested, message, None, false));
    }
    for push in certificate.pushes.iter().filter(|push| Some(push.at) > before.pushed) {
        let message = match push.step {
            Step::Touch => format!("Certificate {name} was touched, so that Gardener looks at it at once"),
            Step::Renew => format!("another certificate was asked for Certificate {name} (ensureRenewedAfter)"),
        };
        let reason = if push.step == Step::Touch { Reason::Touched } else { Reason::RenewalRequested };
        entries.push(entry(push.at, reason, message, None, push.step == Step::Touch));
    }
    if issuance.revoked.len() > before.revoked.len() || issuance.revoked.last() != before.revoked.last() {
        let message = format!(
            "Certificate {name} is revoked: fingerprint {} is never promoted or brought back, and another is asked for",
            issuance.revoked.last().cloned().unwrap_or_default()
        );
        entries.push(entry(now, Reason::Revoked, message, None, true));
    }
    if let Some(leaf) = standing.issued.filter(|_| !standing.wants.watched).and_then(|issued| issued.facts.leaf())
        && issuance.fingerprint != before.fingerprint
    {
        let message = format!(
            "Gardener issued Certificate {name}: fingerprint {}, valid until {}",
            leaf.fingerprint,
            timestamp(leaf.not_after)
        );
        entries.push(entry(now, Reason::Issued, message, None, false));
    }
    entries
}

/// What is worth an entry of its own: that nothing comes, and why.
pub(in crate::lifecycle) fn is_trouble(condition: &Condition) -> bool {
    let quiet = [Reason::Issuing, Reason::Revoked].map(Reason::as_str);
    condition.status == ConditionStatus::False && !quiet.contains(&condition.reason.as_str())
}
