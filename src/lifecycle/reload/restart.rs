//! The last rung: one stale pod at a time, and only while each successor proves that it helps.
//!
//! A pod is chosen in one round, and the status names it; it is evicted in the next, and again until it goes; that it
//! went is told once it is seen. So a crash or a refusal in between neither loses nor repeats anything.

use chrono::{DateTime, Duration, Utc};

use super::{Allowance, Climb, Eviction, Mesh, PodSight, PodState, Record, Rung, Standing, Step, Tally, waiting};

/// What became of the pod that was chosen: once it is seen to go, it counts as evicted.
pub(super) fn seen(record: &Record, mesh: &Mesh, pods: &[PodSight], now: DateTime<Utc>) -> Record {
    let (Some(uid), Mesh::Known(_)) = (&record.uid, mesh) else { return record.clone() };
    let state = pods.iter().find(|pod| pod.uid == *uid).map(|pod| pod.state);
    match state {
        Some(PodState::Ready | PodState::NotReady) => record.clone(),
        Some(PodState::Terminating | PodState::Ended) | None => {
            Record { uid: None, time: now, evicted: record.evicted + 1, ..record.clone() }
        }
    }
}

/// The record without the pod that was chosen and is still there.
pub(super) fn called_off(record: Record) -> Record {
    match record.uid {
        Some(_) => Record { uid: None, pod: None, ..record },
        None => record,
    }
}

/// Chooses or evicts one stale pod, or says why not.
pub(super) fn next(record: Record, tally: &Tally<'_>, allowance: &Allowance<'_>, now: DateTime<Utc>) -> Climb {
    let stop = |record: Record, note: &str| Climb::wait(Some(called_off(record)), None, note);
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
    let proven = |pod: &PodSight, standing: &Standing<'_>| pod.created <= since || *standing == Standing::Serves;
    if !tally.ready.iter().all(|(pod, standing)| proven(pod, standing)) {
        // Ready is what it says of itself: only its handshake decides whether the next follows (law 6).
        let note = "a pod that began after the pair was written was not seen to serve it yet, so no other is evicted";
        return Climb::wait(Some(record), Some(now + allowance.deadline), note);
    }
    if tally.ready.len() < 2 {
        let note = "the only ready pod is never evicted: scale the gateway up to two pods, then it is";
        return stop(record, note);
    }
    let before = if record.rung < Rung::Restart { tally.ready.len() } else { record.pods };
    if tally.ready.len() < before {
        let note = "fewer pods are ready than before the eviction: the successor is waited for";
        return Climb::wait(Some(record), Some(now + allowance.deadline), note);
    }
    let chosen = stale.iter().find(|pod| record.uid.as_ref() == Some(&pod.uid));
    if let Some(pod) = chosen {
        let eviction = Eviction { pod: pod.name.clone(), uid: pod.uid.clone() };
        let (note, wake_at) = (waiting(&record), Some(now + allowance.deadline));
        return Climb { record: Some(record), step: Step::Evict(eviction), wake_at, note };
    }
    // Each pod is evicted once at most: with clocks apart a successor may look older than the pair.
    if record.evicted >= before {
        return stop(record, "as many pods were evicted as there are, so no other is: look at the log of istiod");
    }
    let Some(pod) = stale.first() else { return stop(record, "") };
    let (name, uid) = (Some(pod.name.to_string()), Some(pod.uid.clone()));
    let record = Record { rung: Rung::Restart, time: now, pods: before, pod: name, uid, ..record };
    let note = waiting(&record);
    // The next round evicts it: the status that names it brings that about, and this does at the latest.
    Climb::wait(Some(record), Some(now + Duration::seconds(1)), note)
}
