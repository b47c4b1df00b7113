//! When each step was reached, and how that is told.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::steps::{Ask, Step, another};
use crate::{
    api::GatewayCertificateStatus,
    cli::answer::{time, visible},
    lifecycle::ObjectName,
};

/// The steps so far, each with the time since the ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Journal(Vec<(Step, Duration)>);

impl Journal {
    /// Right after the ask.
    pub(super) fn new() -> Self {
        Self(vec![(Step::Asked, Duration::ZERO)])
    }

    /// The last step reached.
    pub(super) fn last(&self) -> Step {
        self.0.last().map_or(Step::Asked, |(step, _)| *step)
    }

    /// Notes how far it is now; tells the steps that are new. Where it is less far than it was (something else was issued
    /// meanwhile), the steps after that are to be reached again.
    pub(super) fn note(&mut self, reached: Step, since: Duration) -> Vec<Step> {
        self.0.retain(|(step, _)| *step <= reached);
        let last = self.last();
        let new: Vec<Step> = Step::ALL.into_iter().filter(|step| *step > last && *step <= reached).collect();
        self.0.extend(new.iter().map(|step| (*step, since)));
        new
    }

    /// Since the ask, and since the step before.
    pub(super) fn of(&self, step: Step) -> Option<(Duration, Duration)> {
        let at = self.0.iter().position(|(reached, _)| *reached == step)?;
        let before = at.checked_sub(1).map_or(Duration::ZERO, |before| self.0[before].1);
        Some((self.0[at].1, self.0[at].1.saturating_sub(before)))
    }

    /// A step in a line.
    pub(super) fn line(&self, step: Step, status: &GatewayCertificateStatus, ask: &Ask) -> String {
        let (since, before) = self.of(step).unwrap_or_default();
        let more = match step {
            Step::Asked => format!("as of {}; until now: fingerprint {}", time(ask.at), ask.before),
            Step::Requested => {
                status.issuance.as_ref().map(|issued| format!("Certificate {}", issued.certificate)).unwrap_or_default()
            }
            Step::Issued => another(status, ask).map(|leaf| format!("fingerprint {leaf}")).unwrap_or_default(),
            Step::Promoted => {
                let end = status.certificate.as_ref().map(|certificate| certificate.not_after.as_str());
                end.map(|end| format!("valid until {end}")).unwrap_or_default()
            }
            Step::Served => format!("by {} gateway pods", status.served.as_deref().unwrap_or_default()),
        };
        let (since, before) = (seconds(since), seconds(before));
        visible(&format!("  {:<9}  {since:>7.1} s  {:>10}  {more}", step.as_str(), format!("+{before:.1} s")))
            .trim_end()
            .to_owned()
    }

    /// The answer for programs: documented in docs/renew.md.
    pub(super) fn json(&self, name: &ObjectName, ask: &Ask, status: &GatewayCertificateStatus) -> Value {
        let step = |step: Step| {
            let of = self.of(step);
            json!({
                "step": step.as_str(),
                "reached": of.is_some(),
                "seconds": of.map(|(since, _)| seconds(since)),
                "sincePrevious": of.map(|(_, before)| seconds(before)),
            })
        };
        let after = another(status, ask);
        let promoted = status.certificate.as_ref().filter(|one| after == Some(one.fingerprint.as_str()));
        json!({
            "name": name.name,
            "namespace": name.namespace,
            "askedAt": time(ask.at),
            "steps": Step::ALL.map(step),
            "before": { "fingerprint": ask.before },
            "after": { "fingerprint": after, "notAfter": promoted.map(|one| one.not_after.as_str()) },
        })
    }
}

/// To the millisecond.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// What is said where nobody waits.
pub(super) fn asked(name: &ObjectName, at: DateTime<Utc>, before: &str) -> String {
    format!(
        "{name}: a renewal is asked for as of {}\n  until now: fingerprint {before}\n  follow it with `certkeeper status {} \
         -n {}`; with --wait the next one is followed here",
        time(at),
        name.name,
        name.namespace
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_time_since_the_ask_and_since_the_step_before() {
        let mut journal = Journal::new();
        assert_eq!(journal.note(Step::Asked, Duration::from_secs(1)), []);
        assert_eq!(journal.note(Step::Requested, Duration::from_secs(2)), [Step::Requested]);
        assert_eq!(journal.note(Step::Requested, Duration::from_secs(3)), []);
        assert_eq!(journal.note(Step::Promoted, Duration::from_secs(7)), [Step::Issued, Step::Promoted]);
        assert_eq!(journal.of(Step::Requested), Some((Duration::from_secs(2), Duration::from_secs(2))));
        assert_eq!(journal.of(Step::Issued), Some((Duration::from_secs(7), Duration::from_secs(5))));
        assert_eq!(journal.of(Step::Promoted), Some((Duration::from_secs(7), Duration::ZERO)));
        assert_eq!(journal.of(Step::Served), None);
    }

    #[test]
    fn a_step_that_is_undone_is_reached_again_later() {
        let mut journal = Journal::new();
        journal.note(Step::Promoted, Duration::from_secs(2));
        assert_eq!(journal.note(Step::Requested, Duration::from_secs(3)), []);
        assert_eq!((journal.last(), journal.of(Step::Issued)), (Step::Requested, None));
        assert_eq!(journal.note(Step::Issued, Duration::from_secs(5)), [Step::Issued]);
        assert_eq!(journal.of(Step::Issued), Some((Duration::from_secs(5), Duration::from_secs(3))));
    }
}
