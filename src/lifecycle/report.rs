//! What the status says and which events are told. Messages hold no relative times, so that a status changes only
//! when something did (law 4).

use chrono::{DateTime, SecondsFormat, Utc};

use super::{
    MAX_LISTED,
    choice::{Candidates, Choice, Judged, is_ours, same_pair},
    client_ca::Decision,
    gardener, gateway_object,
    observed::{FailureKind, ObjectName, Observed, Slot},
    plan::{Action, Condition, ConditionStatus, Entry, FindingSummary, Plan, Status, Write},
    policy::with_policy,
    reason::Reason,
    reload::{Climb, Rung},
    served::Served,
    stance::Stance,
    targets::Distribution,
};
use crate::certificate::{Facts, Pair, Verdict};

/// Longest message of a condition, a finding or an event. Events are bounded at 1 KiB by the API.
const MAX_MESSAGE: usize = 1000;

/// Cuts a message that is too long, at a character's edge.
pub(super) fn bounded(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let cut = (0..=MAX_MESSAGE - 3).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(cut);
        message.push('…');
    }
    message
}

pub(super) fn entry(
    time: DateTime<Utc>,
    reason: Reason,
    message: String,
    manager: Option<String>,
    warning: bool,
) -> Entry {
    Entry { time, reason: reason.as_str().to_owned(), message: bounded(message), manager, warning }
}

pub(super) fn promoted(secret: &ObjectName, pair: &Pair) -> String {
    format!("Secret {secret} holds a new pair now: fingerprint {}", pair.fingerprint())
}

pub(super) fn timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Everything that the status is made of.
pub(super) struct Report<'a> {
    pub(super) observed: &'a Observed,
    pub(super) now: DateTime<Utc>,
    pub(super) candidates: &'a Candidates<'a>,
    pub(super) choice: Choice,
    pub(super) stance: &'a Stance,
    pub(super) actions: &'a [Action],
    pub(super) distribution: &'a Distribution,
    pub(super) served: Served,
    pub(super) climb: Option<&'a Climb>,
    pub(super) client_ca: &'a Decision<'a>,
    pub(super) gateway: &'a gateway_object::Decision,
    pub(super) gardener: &'a gardener::Decision,
}

/// The status of an object that is not accepted. What was known of its certificate stays.
pub(super) fn not_accepted(observed: &Observed, now: DateTime<Utc>, reason: Reason, message: String) -> Plan {
    use ConditionStatus::{False, Unknown};
    let unknown = |kind| Condition::new(kind, Unknown, Reason::NotAccepted, "see the condition Accepted");
    let conditions = vec![
        Condition::new("Accepted", False, reason, message),
        unknown("SourceValid"),
        unknown("SecretCurrent"),
        unknown("Distributed"),
        unknown("Served"),
        Condition::new("Ready", False, Reason::NotAccepted, "see the condition Accepted"),
    ];
    let previous = &observed.object.previous;
    let status = Status {
        mode: previous.mode.clone(),
        domain: observed.object.wants.domain.clone(),
        certificate: previous.certificate.clone(),
        issuance: previous.issuance.clone(),
        targets: previous.targets.clone(),
        reload: previous.reload.clone(),
        client_ca: previous.client_ca.clone(),
        conditions,
        ..Status::default()
    };
    let (status, events) = finish(observed, now, status, Vec::new());
    Plan { status, events, ..Plan::default() }
}

/// The status of an object that goes and waits for copies that cannot be deleted; `None` while none is in the way.
pub(super) fn departing(observed: &Observed, now: DateTime<Utc>) -> (Option<Status>, Vec<Entry>) {
    let mut troubles = observed.copies.places.iter().filter_map(|(place, seen)| Some((place, seen.trouble.as_ref()?)));
    let Some((place, trouble)) = troubles.next() else { return (None, Vec::new()) };
    let more = troubles.count();
    let others = if more > 0 { format!("; and {more} more") } else { String::new() };
    let message = format!(
        "copies are deleted with the object (deletionPolicy), and {place} cannot be: {}{others}",
        trouble.message
    );
    let condition = Condition::new("Distributed", ConditionStatus::False, Reason::TargetsFailed, message);
    let mut status = observed.object.previous.clone();
    match status.conditions.iter_mut().find(|known| known.kind == condition.kind) {
        Some(known) => *known = condition,
        None => status.conditions.push(condition),
    }
    finish(observed, now, status, Vec::new())
}

impl Report<'_> {
    /// The status, if it differs from what is published, and the new events.
    pub(super) fn publish(&self) -> (Option<Status>, Vec<Entry>) {
        let source_valid = self.client_ca.source_valid(self.source_valid());
        let secret_current = self.client_ca.secret_current(self.secret_current());
        let ready = self.gateway.ready(self.observed, self.ready(&source_valid, &secret_current));
        let judged = self.candidates.source.as_ref().or(self.candidates.stored.as_ref());
        let found = judged.map(|judged| findings(&judged.verdict)).unwrap_or_default();
        let status = Status {
            mode: Some(self.mode().to_owned()),
            domain: self.observed.object.wants.domain.clone(),
            certificate: self.holds().and_then(|facts| self.summary(facts)),
            issuance: self.gardener.issuance.clone(),
            served: self.served.count,
            gateways: self.served.gateways.clone(),
            reload: self.climb.and_then(|climb| climb.record.clone()),
            targets: self.distribution.report.clone(),
            client_ca: self.client_ca.summary(),
            findings: with_policy(
                self.observed,
                self.gateway.with_findings(self.observed, self.client_ca.with_findings(found)),
            ),
            conditions: [
                Some(Condition::new("Accepted", ConditionStatus::True, Reason::Accepted, "the spec is understood")),
                Some(source_valid),
                self.gardener.condition.clone(),
                Some(secret_current),
                Some(self.distribution.condition.clone()),
                Some(self.served.condition.clone()),
                Some(ready),
            ]
            .into_iter()
            .flatten()
            .collect(),
            ..Status::default()
        };
        let entries = self.entries(&status);
        finish(self.observed, self.now, status, entries)
    }

    /// What the gateway's Secret holds once the plan is carried out.
    fn holds(&self) -> Option<&Facts> {
        if self.writes_gateway().is_some() {
            return self.candidates.judged(self.choice).map(|judged| judged.facts);
        }
        self.observed.gateway.stored().map(|stored| stored.facts.as_ref())
    }

    fn writes_gateway(&self) -> Option<&Write> {
        self.actions.iter().find_map(|action| match action {
            Action::WriteGatewaySecret(write) => Some(write),
            _ => None,
        })
    }

    fn entries(&self, status: &Status) -> Vec<Entry> {
        let failed = self.observed.failure.iter().flat_map(|failure| failure.done.iter().cloned());
        let mut entries: Vec<Entry> = failed.collect();
        entries.extend(self.writes_gateway().and_then(|write| write.entry.clone()));
        let previous = &self.observed.object.previous;
        let fingerprint = status.certificate.as_ref().map(|certificate| certificate.fingerprint.clone());
        let known = previous.certificate.as_ref().map(|certificate| certificate.fingerprint.clone());
        // Ours: one that another GatewayCertificate wrote looks just as untouched.
        let stored = self.observed.gateway.stored();
        let untouched = stored.is_some_and(|stored| stored.is_as_we_wrote() && is_ours(self.observed, stored));
        // A crash between the write and its status: the Secret itself tells that it was promoted.
        if entries.is_empty()
            && untouched
            && fingerprint != known
            && let Some(pair) = self.holds().and_then(Facts::pair)
        {
            let secret = &self.observed.object.wants.gateway_secret;
            entries.push(entry(self.now, Reason::Promoted, promoted(secret, pair), None, false));
        }
        entries.extend(self.client_ca.entries());
        entries.extend(self.gardener.entries.iter().cloned());
        let source_waits = status.condition("SourceValid").is_some_and(|one| one.reason == Reason::NotIssued.as_str());
        for kind in ["SourceValid", "SecretCurrent", "Issued"] {
            let (Some(now), before) = (status.condition(kind), previous.condition(kind)) else { continue };
            // Each of Gardener's tries changes its words: that it fails is told once.
            let told = before.is_some_and(|before| {
                before.reason == now.reason && (kind == "Issued" || before.message == now.message)
            });
            // Before anything was issued there is nothing yet, as the condition Issued says.
            let waits = self.observed.object.wants.gardener.is_some() && source_waits;
            let quiet = waits && now.reason == Reason::NothingToWrite.as_str()
                || kind == "Issued" && !gardener::is_trouble(now)
                || now.reason == Reason::NotIssued.as_str();
            if now.status == ConditionStatus::False && !told && !quiet {
                let (reason, message) = (now.reason.clone(), now.message.clone());
                entries.push(Entry { time: self.now, reason, message, manager: None, warning: true });
            }
        }
        if let Some(ready) = status.condition("Ready") {
            entries.extend(self.gateway.entries(self.observed, self.now, ready));
        }
        entries.extend(self.distribution.entries.iter().cloned());
        entries.extend(self.of_pods(status));
        entries
    }

    /// What there is to tell of the pods: that they serve another pair now, that the ladder helped, that it is at its end.
    fn of_pods(&self, status: &Status) -> Vec<Entry> {
        let now = &self.served.condition;
        let previous = &self.observed.object.previous;
        let before = previous.condition("Served");
        let told = |reason: &str| before.is_some_and(|before| before.reason == reason);
        let mut entries = Vec::new();
        if let (Some(record), Some(before)) = (&status.reload, &previous.reload)
            && record.fingerprint == before.fingerprint
            && record.evicted > before.evicted
        {
            let pod = record.pod.as_deref().unwrap_or_default();
            let message = format!("pod {pod} was evicted, as it did not take up the certificate");
            entries.push(entry(self.now, Reason::Evicted, message, None, true));
        }
        // A nudge whose status was lost, with a crash or to another replica: the Secret itself tells of it.
        let nudged = |status: &Status| {
            status.reload.as_ref().filter(|record| record.rung == Rung::Nudge).map(|record| record.fingerprint.clone())
        };
        if let Some(fingerprint) = nudged(status)
            && nudged(previous).as_ref() != Some(&fingerprint)
            && self.writes_gateway().is_none()
        {
            let message =
                format!("fingerprint {fingerprint} was written again in other bytes, as some pod does not serve it");
            entries.push(entry(self.now, Reason::Nudged, message, None, true));
        }
        let another = |status: &Status| status.certificate.as_ref().map(|one| one.fingerprint.clone());
        let differs = Reason::Differs.as_str();
        if now.status == ConditionStatus::True
            && (told(differs) || !told(&now.reason) || another(status) != another(previous))
        {
            entries.push(entry(self.now, Reason::Served, now.message.clone(), None, false));
        }
        for reason in [Reason::Differs, Reason::EvictionFailed] {
            if now.reason == reason.as_str() && !told(&now.reason) {
                entries.push(entry(self.now, reason, now.message.clone(), None, true));
            }
        }
        entries
    }

    fn secret_current(&self) -> Condition {
        use ConditionStatus::{False, True};
        let secret = &self.observed.object.wants.gateway_secret;
        let condition = |status, reason, message: String| Condition::new("SecretCurrent", status, reason, message);
        if let Some((reason, message)) = self.write_failure() {
            return condition(False, reason, message);
        }
        if let Slot::Denied(rule) = &self.observed.gateway {
            return condition(False, Reason::AccessDenied, format!("Secret {secret} cannot be read: {rule}"));
        }
        let pair = self.candidates.pair(self.choice);
        let stored = self.observed.gateway.stored();
        let holds = pair.is_some_and(|pair| stored.is_some_and(|stored| same_pair(&stored.facts, pair)));
        let written = self.writes_gateway().is_some();
        if let Stance::Observe(reason, message) = self.stance {
            // Written by somebody else, and right: that is current, too.
            let status =
                if holds && self.choice != Choice::Nothing && *reason != Reason::Conflict { True } else { False };
            return condition(status, *reason, message.clone());
        }
        let Some(pair) = pair else {
            let message =
                format!("Secret {secret}: no usable pair, neither supplied nor stored; see the condition SourceValid");
            return condition(False, Reason::NothingToWrite, message);
        };
        if !holds && !written {
            return condition(False, self.blocked().0, self.blocked().1);
        }
        let describe = self.candidates.judged(self.choice).map(|judged| describe(judged.facts)).unwrap_or_default();
        let kept = self.keepsake_note();
        let fingerprint = pair.fingerprint();
        let holds = format!("Secret {secret} holds {describe}, fingerprint {fingerprint}{kept}");
        match self.choice {
            Choice::Source => condition(True, Reason::Current, holds),
            _ => condition(
                True,
                Reason::LastGoodKept,
                format!("{holds}; the source is not usable, so the last good pair stays"),
            ),
        }
    }

    /// The desired pair is not in the Secret, and no write is planned.
    fn blocked(&self) -> (Reason, String) {
        let secret = &self.observed.object.wants.gateway_secret;
        match self.observed.gateway.stored() {
            Some(stored) if stored.deleting => (
                Reason::BeingDeleted,
                format!(
                    "Secret {secret} is being deleted and held by a finalizer: remove its finalizers; it is written again at once"
                ),
            ),
            Some(stored) if stored.immutable => (
                Reason::Immutable,
                format!(
                    "Secret {secret} is immutable and holds another pair: delete it (kubectl -n {} delete secret {}); it is written again at once",
                    secret.namespace, secret.name
                ),
            ),
            _ => (Reason::WriteFailed, format!("Secret {secret} is not written yet")),
        }
    }

    fn write_failure(&self) -> Option<(Reason, String)> {
        let failure = self.observed.failure.as_ref()?;
        let reason = match failure.kind {
            FailureKind::Denied => Reason::AccessDenied,
            FailureKind::Rejected | FailureKind::Conflict => Reason::WriteRejected,
            FailureKind::Transient | FailureKind::Terminating => Reason::WriteFailed,
        };
        let what = if failure.gateway { "the gateway's Secret" } else { "beside the gateway's Secret," };
        Some((
            reason,
            format!("{what} {} could not be written and is tried again: {}", failure.target, failure.message),
        ))
    }

    /// A keep-sake that cannot be written is told, though the gateway's Secret is right.
    fn keepsake_note(&self) -> String {
        let name = self.observed.object.wants.gateway_secret.keepsake();
        match &self.observed.keepsake {
            Slot::Denied(rule) => format!("; no last good pair is kept in Secret {name}: {rule}"),
            Slot::Present(kept) if !is_ours(self.observed, kept) => {
                format!("; no last good pair is kept: Secret {name} belongs to somebody else, rename or remove it")
            }
            Slot::Present(kept) if kept.immutable => {
                format!("; no last good pair is kept: Secret {name} is immutable, delete it")
            }
            _ => String::new(),
        }
    }

    fn ready(&self, source: &Condition, secret: &Condition) -> Condition {
        use ConditionStatus::{False, True, Unknown};
        let condition = |status, reason, message: &str| Condition::new("Ready", status, reason, message);
        if secret.status == False {
            return condition(False, Reason::SecretNotCurrent, &secret.message);
        }
        if source.status == False {
            return condition(False, Reason::SourceRefused, &source.message);
        }
        let expired = self.candidates.judged(self.choice).is_some_and(|judged| {
            judged.verdict.errors().any(|finding| finding.check.class == crate::certificate::Class::Time)
        });
        if expired {
            return condition(
                False,
                Reason::CertificateExpired,
                "the certificate is outside of its time: supply another",
            );
        }
        let served = &self.served.condition;
        match served.status {
            True => condition(True, Reason::Ready, &served.message),
            False => condition(False, Reason::NotServed, &served.message),
            Unknown => {
                let message =
                    format!("the gateway's Secret is current; what its pods serve is not proven: {}", served.message);
                Condition { reason: served.reason.clone(), ..condition(Unknown, Reason::NotProbed, &message) }
            }
        }
    }
}

/// Sets times and generations, adds the history, and drops a status that says nothing new.
fn finish(
    observed: &Observed,
    now: DateTime<Utc>,
    mut status: Status,
    entries: Vec<Entry>,
) -> (Option<Status>, Vec<Entry>) {
    let object = &observed.object;
    let previous = &object.previous;
    status.observed_generation = object.generation;
    for condition in &mut status.conditions {
        let before = previous.condition(&condition.kind).filter(|before| before.status == condition.status);
        condition.since = before.map_or(now, |before| before.since);
        condition.generation = object.generation;
    }
    status.history_total = previous.history_total + i64::try_from(entries.len()).unwrap_or(0);
    status.history = entries.iter().rev().chain(&previous.history).take(MAX_LISTED).cloned().collect();
    let news = (status != *previous).then_some(status);
    (news, entries)
}

pub(super) fn describe(facts: &Facts) -> String {
    facts.leaf().map_or_else(
        || "no certificate".to_owned(),
        |leaf| {
            let names = match leaf.dns_names.as_slice() {
                [] => leaf.subject.clone(),
                [one] => one.clone(),
                [first, second] => format!("{first} and {second}"),
                [first, rest @ ..] => format!("{first} and {} more names", rest.len()),
            };
            format!("a certificate for {names}, valid until {}", timestamp(leaf.not_after))
        },
    )
}

pub(super) fn first_error(judged: &Judged<'_>) -> String {
    let count = judged.verdict.errors().count();
    let Some(first) = judged.verdict.errors().next() else { return String::new() };
    let more = if count > 1 { format!(" (and {} more errors, see status.findings)", count - 1) } else { String::new() };
    format!("{}: {}; {}{more}", first.location, first.message, first.remedy)
}

pub(super) fn findings(verdict: &Verdict) -> Vec<FindingSummary> {
    verdict.findings.iter().take(MAX_LISTED).map(|finding| finding_summary(finding, "")).collect()
}

/// A finding as a status has it; `place` goes before its own location.
#[must_use]
pub fn finding_summary(finding: &crate::certificate::Finding, place: &str) -> FindingSummary {
    let location =
        [place, &finding.location].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    FindingSummary {
        check: finding.check.name.to_owned(),
        severity: finding.severity.as_str().to_owned(),
        message: bounded(finding.message.clone()),
        location: bounded(location),
        remedy: bounded(finding.remedy.clone()),
    }
}

/// Gravest first, bounded.
pub(super) fn ranked(mut findings: Vec<FindingSummary>) -> Vec<FindingSummary> {
    findings.sort_by_key(|finding| match finding.severity.as_str() {
        "error" => 0,
        "warning" => 1,
        _ => 2,
    });
    findings.truncate(MAX_LISTED);
    findings
}
