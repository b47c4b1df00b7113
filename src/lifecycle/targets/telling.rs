//! What the status says of the copies, and which events are told.

use super::{
    CopyFailure, TargetsReport,
    distribution::{Distribution, Progress, Promoted, Work},
};
use crate::lifecycle::{
    MAX_LISTED,
    observed::ObjectName,
    plan::{Condition, ConditionStatus, Entry},
    reason::Reason,
    report,
    stance::Stance,
};

/// How many new failures are told one by one at a time.
const MAX_TOLD: usize = 5;

impl Work<'_> {
    /// Makes up the report.
    pub(super) fn finish(
        mut self,
        mut report: TargetsReport,
        stance: &Stance,
        promoted: Option<&Promoted<'_>>,
        progress: Progress,
        writes: bool,
    ) -> Distribution {
        let previous = &self.observed.object.previous;
        if writes {
            self.actions.append(&mut self.retries);
        } else {
            self.actions.clear();
            self.edited.clear();
        }
        report.failures.sort_by(|a, b| (&a.target, &a.namespace).cmp(&(&b.target, &b.namespace)));
        let failed = report.failures.len();
        let mut condition = self.condition(&report, stance, promoted, progress);
        report.failures.truncate(MAX_LISTED);
        let distributing = Reason::Distributing.as_str();
        if condition.reason == distributing
            && let (Some(was), Some(before)) = (previous.condition("Distributed"), &previous.targets)
            && (was.reason == distributing || !progress.coming)
        {
            // While copies are being written the figures stand still: a status for each would double the writes. And
            // what was only not looked at yet, as after a restart, is no news at all.
            if !progress.coming {
                condition = was.clone();
            }
            (report.desired, report.current) = (before.desired, before.current);
            report.failures.clone_from(&before.failures);
        }
        let entries = self.entries(&report, failed, &condition);
        let nothing = report.desired == 0 && report.placed.is_empty() && self.observed.object.wants.targets.is_empty();
        Distribution {
            actions: self.actions,
            report: (!nothing).then_some(report),
            condition,
            entries,
            wake_at: self.wake_at.filter(|_| writes),
        }
    }

    fn condition(
        &self,
        report: &TargetsReport,
        stance: &Stance,
        promoted: Option<&Promoted<'_>>,
        progress: Progress,
    ) -> Condition {
        use ConditionStatus::{False, True, Unknown};
        let condition = |status, reason, message: String| Condition::new("Distributed", status, reason, message);
        let TargetsReport { desired, current, failures, .. } = report;
        if self.observed.object.wants.targets.is_empty() && !progress.coming {
            return condition(True, Reason::NoTargets, "the spec names no targets".to_owned());
        }
        let Some(promoted) = promoted else {
            let message =
                "no copy is written: the gateway's Secret has no pair of ours yet, see the condition SecretCurrent";
            return condition(Unknown, Reason::NothingToDistribute, message.to_owned());
        };
        let fingerprint = promoted.pair.fingerprint();
        if let Stance::Observe(reason, message) = stance {
            return match current == desired {
                true => condition(True, *reason, format!("all {desired} copies hold fingerprint {fingerprint}")),
                false => condition(False, *reason, format!("no copy is written: {message}")),
            };
        }
        if progress.coming || progress.pending {
            let message = format!("copies of fingerprint {fingerprint} are being written");
            return condition(False, Reason::Distributing, message);
        }
        if let Some(first) = failures.first() {
            let more = match failures.len() - 1 {
                0 => String::new(),
                n => format!(" (and {n} more, see status.targets.failures)"),
            };
            // The figure of what is current is in status.targets: here it would change with each copy.
            let message = format!(
                "{} of {desired} copies are not as they should be; target {}, namespace {}: {}{more}",
                failures.len(),
                first.target,
                first.namespace,
                first.message
            );
            return condition(False, Reason::TargetsFailed, message);
        }
        condition(True, Reason::Distributed, format!("all {desired} copies hold fingerprint {fingerprint}"))
    }

    /// An event for each first failure, a few at a time, and one when all is well again.
    fn entries(&self, report: &TargetsReport, failed: usize, condition: &Condition) -> Vec<Entry> {
        let previous = &self.observed.object.previous;
        let before = previous.targets.as_ref().map(|targets| targets.failures.as_slice()).unwrap_or_default();
        let same = |a: &CopyFailure, b: &CopyFailure| {
            (&a.target, &a.namespace, &a.reason) == (&b.target, &b.namespace, &b.reason)
        };
        let fresh = report.failures.iter().filter(|failure| !before.iter().any(|told| same(told, failure)));
        let fresh: Vec<&CopyFailure> = fresh.collect();
        let tell = |failure: &&CopyFailure| Entry {
            time: self.now,
            reason: failure.reason.clone(),
            message: report::bounded(format!(
                "target {}, namespace {}: {}",
                failure.target, failure.namespace, failure.message
            )),
            manager: None,
            warning: true,
        };
        let mut entries: Vec<Entry> = fresh.iter().take(MAX_TOLD).map(tell).collect();
        if fresh.len() > MAX_TOLD {
            let message = format!("{failed} of {} copies failed, see status.targets", report.desired);
            entries.push(report::entry(self.now, Reason::TargetsFailed, message, None, true));
        }
        entries.extend(self.restorations());
        entries.extend(self.distributed(report, condition));
        entries
    }

    /// Whose edits are put right. The manager is in the words alone: the history's field counts who undoes us at the
    /// gateway's own Secret.
    fn restorations(&self) -> Vec<Entry> {
        let tell = |(place, manager): &(ObjectName, String)| {
            let message = format!("copy {place} was changed by field manager \"{manager}\" and is restored");
            report::entry(self.now, Reason::Restored, message, None, true)
        };
        let mut entries: Vec<Entry> = self.edited.iter().take(MAX_TOLD).map(tell).collect();
        if let Some(more) = self.edited.len().checked_sub(MAX_TOLD).filter(|more| *more > 0) {
            let message = format!("{more} more copies were changed by others and are restored");
            entries.push(report::entry(self.now, Reason::Restored, message, None, true));
        }
        entries
    }

    /// Told once a certificate, and after a failure: not with every namespace that comes or goes.
    fn distributed(&self, report: &TargetsReport, condition: &Condition) -> Option<Entry> {
        let previous = &self.observed.object.previous;
        let reason = Reason::Distributed.as_str();
        if condition.reason != reason || report.desired == 0 {
            return None;
        }
        let mended = previous.condition("Distributed").is_some_and(|b| b.reason == Reason::TargetsFailed.as_str());
        let fingerprint = condition.message.rsplit(' ').next().unwrap_or_default();
        let told = previous.history.iter().any(|entry| entry.reason == reason && entry.message.ends_with(fingerprint));
        (mended || !told).then(|| report::entry(self.now, Reason::Distributed, condition.message.clone(), None, false))
    }
}
