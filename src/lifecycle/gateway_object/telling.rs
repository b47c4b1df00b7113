//! The words of a status about the Gateway.

use chrono::{DateTime, Utc};

use super::plan::{CONFLICT, DENIED, Decision, Saying};
use crate::lifecycle::{
    observed::Observed,
    plan::{Condition, ConditionStatus, Entry, FindingSummary},
    reason::Reason,
    report::{bounded, entry, ranked},
};

/// What names of these findings begin with.
const PREFIX: &str = "gateway-";

impl Decision {
    /// What there is to say of Gateways. Before they were read, what was said last holds: a restart is no news.
    fn findings(&self, observed: &Observed) -> Vec<FindingSummary> {
        if self.held {
            let before = observed.object.previous.findings.iter();
            return before.filter(|finding| finding.check.starts_with(PREFIX)).cloned().collect();
        }
        let ignored = |check: &str| observed.object.wants.ignore.iter().any(|name| name == check);
        self.saying.iter().filter(|saying| saying.grave || !ignored(saying.difference.check)).map(finding).collect()
    }

    /// What there is to say of Gateways, after the other findings of its severity.
    pub(in crate::lifecycle) fn with_findings(
        &self,
        observed: &Observed,
        mut others: Vec<FindingSummary>,
    ) -> Vec<FindingSummary> {
        others.extend(self.findings(observed));
        ranked(others)
    }

    /// The condition Ready with what there is to say of the Gateway: one that is managed and not as the spec asks for
    /// makes it False.
    pub(in crate::lifecycle) fn ready(&self, observed: &Observed, ready: Condition) -> Condition {
        let findings = self.findings(observed);
        let grave = findings.iter().find(|finding| finding.severity == "error");
        match (grave, findings.as_slice()) {
            (Some(grave), _) if ready.status != ConditionStatus::False => {
                let message = format!("{}: {}; {}", grave.location, grave.message, grave.remedy);
                Condition::new(&ready.kind, ConditionStatus::False, reason_of(&grave.check), bounded(message))
            }
            (_, []) => ready,
            (_, [one]) => with_note(ready, &format!("{}: {}", one.location, one.message)),
            (_, several) => {
                with_note(ready, &format!("{} findings on the Gateway, see status.findings", several.len()))
            }
        }
    }

    /// What this plan adds to the history: the write, or that it cannot be made.
    pub(in crate::lifecycle) fn entries(
        &self,
        observed: &Observed,
        now: DateTime<Utc>,
        ready: &Condition,
    ) -> Vec<Entry> {
        if let Some(write) = &self.write {
            return vec![write.entry.clone()];
        }
        let before = observed.object.previous.condition("Ready");
        let told = before.is_some_and(|before| before.reason == ready.reason && before.message == ready.message);
        let grave = self.findings(observed).into_iter().find(|finding| finding.severity == "error");
        match grave.map(|grave| reason_of(&grave.check)).filter(|reason| ready.reason == reason.as_str() && !told) {
            Some(reason) => vec![entry(now, reason, ready.message.clone(), None, true)],
            None => Vec::new(),
        }
    }
}

/// What the condition Ready says for a finding that makes it False. The name alone tells: it survives a restart.
fn reason_of(check: &str) -> Reason {
    match check {
        CONFLICT => Reason::GatewayConflict,
        DENIED => Reason::AccessDenied,
        _ => Reason::GatewayNotCurrent,
    }
}

fn finding(saying: &Saying) -> FindingSummary {
    let (gateway, difference) = (&saying.gateway, &saying.difference);
    let field = &difference.field;
    let place = if field.is_empty() { String::new() } else { format!(", {field}") };
    FindingSummary {
        check: difference.check.to_owned(),
        severity: if saying.grave { "error" } else { "warning" }.to_owned(),
        message: bounded(format!("found {}; expected {}", difference.found, difference.expected)),
        location: bounded(format!("Gateway {gateway}{place}")),
        remedy: bounded(difference.remedy.clone()),
    }
}

fn with_note(condition: Condition, note: &str) -> Condition {
    Condition { message: bounded(format!("{}; {note}", condition.message)), ..condition }
}
