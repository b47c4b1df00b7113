//! The last rung: one stale pod at a time, and only while each successor proves that it helps.

use chrono::{DateTime, Utc};

use super::{Allowance, Climb, Eviction, Record, Rung, Step, Tally, waiting};

/// Evicts one stale pod, or says why not.
pub(super) fn next(record: Record, tally: &Tally<'_>, allowance: &Allowance<'_>, now: DateTime<Utc>) -> Climb {
    let stop = |record: Record, note: &str| Climb::wait(Some(record), None, note);
    if allowance.up_to < Rung::Restart {
        let note = "nothing more is done about it, as spec.gateway.reload.upTo does not allow restarts: set it to \
                    Restart, or restart the pods that differ one by one";
        return stop(record, note);
    }
    if !allowance.may_write {
        let note = "nobody is evicted, as the gateway's Secret is not certkeeper's to write: see the condition \
                    SecretCurrent";
        return stop(record, note);
    }
    let stale: Vec<_> =
        tally.ready.iter().filter(|(_, standing)| standing.is_evidence()).map(|(pod, _)| *pod).collect();
    let since = record.since.unwrap_or(now);
    if stale.iter().any(|pod| pod.created > since) {
        let note = "a pod that began after the pair was written does not serve it either, so no other is evicted: look \
                    at the log of istiod and at the gateway's events";
        return stop(record, note);
    }
    if tally.ready.len() < 2 {
        let note = "the only ready pod is never evicted: scale the gateway up to two pods, then it is";
        return stop(record, note);
    }
    let first = record.rung < Rung::Restart;
    let before = if first { tally.ready.len() } else { record.pods };
    if !first && tally.ready.len() < before {
        let note = "fewer pods are ready than before the eviction: the successor is waited for";
        return Climb::wait(Some(record), Some(now + allowance.deadline), note);
    }
    // Whoever is still there was not evicted, for want of a right or because a PodDisruptionBudget forbids it.
    let again = stale.iter().find(|pod| record.pod.as_ref() == Some(&pod.name.to_string()));
    // Each pod is evicted once at most: with clocks apart a successor may look older than the pair.
    if again.is_none() && record.evicted >= before {
        return stop(record, "as many pods were evicted as there are, so no other is: look at the log of istiod");
    }
    let Some(pod) = again.or(stale.first()) else { return stop(record, "") };
    let eviction = Eviction { pod: pod.name.clone(), uid: pod.uid.clone() };
    let evicted = record.evicted + usize::from(again.is_none());
    let last = Some(pod.name.to_string());
    let record = Record { rung: Rung::Restart, time: now, pods: before, evicted, pod: last, ..record };
    let note = waiting(&record);
    Climb { record: Some(record), step: Step::Evict(eviction), wake_at: Some(now + allowance.deadline), note }
}
