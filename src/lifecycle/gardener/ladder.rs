//! What Gardener is late with, and what is done about it: at first it is touched, which makes it look at the Certificate
//! and forget its wait; then it is asked to issue another; then only a person can help, and the two are tried again once
//! in a while. Each step is noted on the Certificate in the write that makes it, so that neither a restart nor a second
//! replica repeats it.

use chrono::{DateTime, Duration, Utc};

use super::{Certificate, Push, Step};
use crate::certificate::Facts;

/// What Gardener is late with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// It says that it has issued, and the Secret is not there.
    Vanished,
    /// What is asked for was not issued.
    Issuance,
    /// What is there was not renewed.
    Renewal,
}

/// What is expected of Gardener, and by when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) what: What,
    /// Since when it could have been done.
    pub(super) due: DateTime<Utc>,
    /// How long it has before the first step.
    patience: Duration,
    /// How long each step has to work.
    step: Duration,
    /// The same step is not repeated within this time.
    period: Duration,
}

/// What the ladder says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Climb {
    /// The step to make now.
    pub(super) push: Option<Step>,
    /// When to look again.
    pub(super) wake_at: Option<DateTime<Utc>>,
    /// It is late, and every step was made.
    pub(super) exhausted: bool,
}

/// From an ACME order with its DNS challenge to the certificate it takes minutes.
const ISSUANCE: Duration = Duration::minutes(10);
/// A Secret that Gardener has just written is seen this much later at the latest.
const SEEN_WITHIN: Duration = Duration::seconds(3);

impl Expected {
    pub(super) fn vanished(due: DateTime<Utc>) -> Self {
        let (step, period) = (Duration::minutes(1), Duration::minutes(30));
        Self { what: What::Vanished, due, patience: SEEN_WITHIN, step, period }
    }

    pub(super) fn issuance(due: DateTime<Utc>) -> Self {
        Self { what: What::Issuance, due, patience: ISSUANCE, step: ISSUANCE, period: Duration::hours(2) }
    }

    /// What is left from the day of the renewal to the end is divided by four: there is time for each step and for a
    /// person, whether that is a month or a minute.
    pub(super) fn renewal(due: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        let step = ((end - due) / 4).clamp(Duration::seconds(5), Duration::minutes(30));
        Self { what: What::Renewal, due, patience: step, step, period: step * 12 }
    }

    /// Where the ladder stands. `allowed`: the steps that may be made, in their order; with none of them, what is late is
    /// at its end at once.
    pub(super) fn climb(&self, pushes: &[Push], allowed: &[Step], now: DateTime<Utc>) -> Climb {
        let wait = |until: DateTime<Utc>| Climb { wake_at: Some(until), ..Climb::default() };
        if now < self.due + self.patience {
            return wait(self.due + self.patience);
        }
        let made = |step: Step| {
            let recent = |push: &&Push| push.step == step && push.at >= self.due && push.at > now - self.period;
            pushes.iter().filter(recent).map(|push| push.at).max()
        };
        let mut first = None;
        for step in allowed {
            match made(*step) {
                None => return Climb { push: Some(*step), ..Climb::default() },
                Some(at) if now < at + self.step => return wait(at + self.step),
                Some(at) => first = first.min(Some(at)).or(Some(at)),
            }
        }
        Climb { push: None, wake_at: first.map(|at| at + self.period), exhausted: true }
    }
}

/// When a renewal of this leaf is due: what Gardener says, if that may be; else when a third of its life is left.
pub(super) fn renewal(certificate: &Certificate, facts: &Facts) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let leaf = facts.leaf()?;
    let said = certificate.renewal.filter(|at| (leaf.not_before..leaf.not_after).contains(at));
    Some((said.unwrap_or(leaf.not_after - (leaf.not_after - leaf.not_before) / 3), leaf.not_after))
}

/// What is expected of Gardener. `issued`: what lies in the Secret that it fills, if anything, and whether that is what is
/// asked for; `asked`: since when something else is asked for.
pub(super) fn expected(
    certificate: &Certificate,
    issued: Option<(&Facts, bool)>,
    asked: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Expected {
    let done = certificate.state == "Ready" && certificate.observed_generation == Some(certificate.generation);
    match issued {
        None if done => Expected::vanished(certificate.since.unwrap_or(asked).max(asked)),
        None => Expected::issuance(asked),
        Some((facts, satisfied)) => match renewal(certificate, facts) {
            Some((due, end)) if satisfied || now >= due => Expected::renewal(due, end),
            _ => Expected::issuance(asked),
        },
    }
}
