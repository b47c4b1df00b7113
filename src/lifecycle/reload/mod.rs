//! The reload ladder (law 6): what is done to have the desired pair served, and when. SDS does its work first; after
//! a deadline one nudge; then, where some pod serves the pair already and the spec allows it, one stale pod is evicted
//! after the other. If no pod serves it though it was nudged, it counts as refused.
//!
//! Whatever the ladder must remember lies in the status ([`Record`]) and on the Secret ([`Nudge`], [`Refusal`]).

mod marks;
mod restart;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Duration, Utc};

use super::{
    observed::ObjectName,
    serving::{Mesh, PodSight, PodState, Standing},
};

use marks::next_nudge;
pub use marks::{NUDGES, Nudge, REFUSALS, REMEMBERED, Refusal};
pub(super) use marks::{nudges, refusals};

/// How long a pod that is not ready counts as one that somebody is just replacing.
const STARTING: Duration = Duration::minutes(5);

/// The highest rung that may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Only wait for Istio's own push.
    Observe,
    /// Write the same pair in other bytes.
    #[default]
    Nudge,
    /// Evict stale pods, one at a time.
    Restart,
}

impl Rung {
    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "Observe",
            Self::Nudge => "Nudge",
            Self::Restart => "Restart",
        }
    }

    /// From the word in the API.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "Restart" => Self::Restart,
            "Nudge" => Self::Nudge,
            _ => Self::Observe,
        }
    }
}

/// How far the ladder was climbed for a pair, as the status has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The leaf it is about.
    pub fingerprint: String,
    /// The rung that was used last.
    pub rung: Rung,
    /// When that rung was used; of the first: since when some pod was seen not to serve the leaf.
    pub time: DateTime<Utc>,
    /// Since when some pod was seen not to serve it; `None` once all did.
    pub since: Option<DateTime<Utc>>,
    /// How many ready pods there were when the first was evicted: so many must be back before the next follows.
    pub pods: usize,
    /// How many were seen to go after that.
    pub evicted: usize,
    /// The one that was chosen last, as `namespace/name`.
    pub pod: Option<String>,
    /// Its uid, until it was seen to go.
    pub uid: Option<String>,
}

/// What the ladder is climbed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance<'a> {
    /// The highest rung.
    pub up_to: Rung,
    /// How long each rung has to work.
    pub deadline: Duration,
    /// The gateway's Secret holds the pair, is ours, and may be written.
    pub may_write: bool,
    /// The nudges that this pair has had.
    pub nudges: &'a [Nudge],
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, or nothing yet.
    Wait,
    /// Write the pair in other bytes.
    Nudge,
    /// Evict this pod: the status has named it already.
    Evict(Eviction),
    /// No pod serves it though it was nudged: the evidence.
    Refused(String),
}

/// One pod to evict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eviction {
    /// Its name.
    pub pod: ObjectName,
    /// Its uid: no other pod of that name is meant.
    pub uid: String,
}

/// Where the ladder stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Climb {
    /// To be remembered.
    pub(super) record: Option<Record>,
    /// To be done.
    pub(super) step: Step,
    /// When time alone changes the answer.
    pub(super) wake_at: Option<DateTime<Utc>>,
    /// What is done about it, for people; empty where all is well or nothing is known.
    pub(super) note: String,
}

impl Climb {
    fn wait(record: Option<Record>, wake_at: Option<DateTime<Utc>>, note: impl Into<String>) -> Self {
        Self { record, step: Step::Wait, wake_at, note: note.into() }
    }
}

/// The ready pods and what they mean for one leaf.
pub(super) struct Tally<'a> {
    pub(super) ready: Vec<(&'a PodSight, Standing<'a>)>,
    pods: &'a [PodSight],
}

impl<'a> Tally<'a> {
    pub(super) fn new(pods: &'a [PodSight], fingerprint: &str) -> Self {
        let ready = pods.iter().filter(|pod| pod.state == PodState::Ready);
        Self { ready: ready.map(|pod| (pod, pod.standing(fingerprint))).collect(), pods }
    }

    fn count(&self, is: impl Fn(&Standing<'_>) -> bool) -> usize {
        self.ready.iter().filter(|(_, standing)| is(standing)).count()
    }

    pub(super) fn serving(&self) -> usize {
        self.count(|standing| *standing == Standing::Serves)
    }

    /// There are ready pods, and each serves the leaf.
    pub(super) fn all_serve(&self) -> bool {
        !self.ready.is_empty() && self.serving() == self.ready.len()
    }

    /// Some pod was seen not to serve the leaf.
    pub(super) fn has_evidence(&self) -> bool {
        self.count(|standing| standing.is_evidence()) > 0
    }

    /// Some pod is about to be asked.
    pub(super) fn is_unasked(&self) -> bool {
        self.ready.iter().any(|(pod, _)| pod.answers.iter().any(Option::is_none))
    }

    /// Every ready pod was seen not to serve it, and at least one shows another leaf.
    fn is_refused(&self) -> bool {
        let against = self.count(|standing| standing.is_evidence());
        against > 0 && against == self.ready.len() && self.count(|one| matches!(one, Standing::Differs(_))) > 0
    }

    /// Somebody is replacing pods: one is on its way out, or has just begun and is not ready yet.
    fn is_being_replaced(&self, now: DateTime<Utc>) -> bool {
        self.pods.iter().any(|pod| match pod.state {
            PodState::Terminating => true,
            PodState::NotReady => now - pod.created < STARTING,
            PodState::Ready | PodState::Ended => false,
        })
    }

    /// All that do not serve it have the pair in files: no push ever reaches them.
    fn only_files(&self) -> bool {
        self.ready.iter().filter(|(_, standing)| standing.is_evidence()).all(|(pod, _)| pod.files)
    }
}

/// Where the ladder stands for the pair with this fingerprint. Total: any observation has an answer.
pub(super) fn climb(
    fingerprint: &str,
    mesh: &Mesh,
    previous: Option<&Record>,
    allowance: &Allowance<'_>,
    now: DateTime<Utc>,
) -> Climb {
    let pods = mesh.pods();
    let tally = Tally::new(&pods, fingerprint);
    let previous = previous.filter(|record| record.fingerprint == fingerprint);
    let previous = previous.map(|record| restart::seen(record, mesh, &pods, now));
    if tally.all_serve() {
        // The first rung alone is nothing to remember.
        let climbed = previous.filter(|record| record.rung > Rung::Observe);
        return Climb::wait(climbed.map(|record| restart::called_off(Record { since: None, ..record })), None, "");
    }
    if !tally.has_evidence() {
        return Climb::wait(previous, None, "");
    }
    let record = begun(fingerprint, previous, allowance, now);
    let until = record.time + allowance.deadline;
    if now < until && record.uid.is_none() {
        let note = waiting(&record);
        return Climb::wait(Some(record), Some(until), note);
    }
    if let Some(why) = hindered(mesh, &tally, now) {
        return Climb::wait(Some(record), Some(now + allowance.deadline), why);
    }
    match record.rung {
        Rung::Observe if tally.only_files() => restart::next(record, &tally, allowance, now),
        Rung::Observe => nudge(record, &tally, allowance, now),
        Rung::Nudge if tally.serving() == 0 && !tally.only_files() => refused(record, &tally, allowance, now),
        Rung::Nudge | Rung::Restart => restart::next(record, &tally, allowance, now),
    }
}

/// What was done last: said with the step itself, too, so that the status is the same after it.
fn waiting(record: &Record) -> String {
    match (record.rung, &record.pod) {
        (Rung::Restart, Some(pod)) => {
            let is = if record.uid.is_some() { "is being" } else { "was" };
            format!("pod {pod} {is} evicted; its successor decides whether the next follows")
        }
        (Rung::Observe | Rung::Restart, _) => "Istio's own push is waited for".to_owned(),
        (Rung::Nudge, _) => "the pair is written again in other bytes (nudge), and the effect is waited for".to_owned(),
    }
}

/// The record that counts: that of before or, if all was well in between, a new one. A nudge that is noted on the
/// Secret counts though no status remembers it.
fn begun(fingerprint: &str, previous: Option<Record>, allowance: &Allowance<'_>, now: DateTime<Utc>) -> Record {
    let record = previous.filter(|record| record.since.is_some()).unwrap_or_else(|| Record {
        fingerprint: fingerprint.to_owned(),
        rung: Rung::Observe,
        time: now,
        since: Some(now),
        pods: 0,
        evicted: 0,
        pod: None,
        uid: None,
    });
    match allowance.nudges.last() {
        Some(nudge) if record.rung == Rung::Observe && record.since.is_some_and(|since| nudge.at >= since) => {
            Record { rung: Rung::Nudge, time: nudge.at, ..record }
        }
        _ => record,
    }
}

/// What forbids every rung.
fn hindered(mesh: &Mesh, tally: &Tally<'_>, now: DateTime<Utc>) -> Option<String> {
    let Mesh::Known(gateways) = mesh else { return Some("the Gateways cannot be seen".to_owned()) };
    if let Some(rival) = gateways.iter().flat_map(|gateway| &gateway.rivals).next() {
        return Some(format!(
            "nothing is done about it, as {rival} may be what is served: remove one of the two servers, or give both \
             the same credentialName"
        ));
    }
    tally.is_being_replaced(now).then(|| "the gateway's pods are being replaced: that is waited for".to_owned())
}

fn nudge(record: Record, tally: &Tally<'_>, allowance: &Allowance<'_>, now: DateTime<Utc>) -> Climb {
    if allowance.up_to < Rung::Nudge {
        let note = "nothing is done about it, as spec.gateway.reload.upTo is Observe: set it to Nudge, or restart the \
                    pods that differ one by one";
        return Climb::wait(Some(record), None, note);
    }
    if !allowance.may_write {
        let note = "nothing is done about it, as the gateway's Secret is not certkeeper's to write: see the condition \
                    SecretCurrent";
        return Climb::wait(Some(record), None, note);
    }
    match next_nudge(allowance.nudges, now) {
        Some(at) if at <= now => {
            let record = Record { rung: Rung::Nudge, time: now, ..record };
            let wake_at = Some(now + allowance.deadline);
            let note = waiting(&record);
            Climb { record: Some(record), step: Step::Nudge, wake_at, note }
        }
        _ if tally.serving() > 0 && allowance.up_to == Rung::Restart => restart::next(record, tally, allowance, now),
        Some(at) => {
            Climb::wait(Some(record), Some(at), "it was nudged within a day: the next nudge follows after that")
        }
        None => Climb::wait(
            Some(record),
            None,
            format!("nothing more is done about it, as it was nudged {NUDGES} times: restart the pods that differ"),
        ),
    }
}

fn refused(record: Record, tally: &Tally<'_>, allowance: &Allowance<'_>, now: DateTime<Utc>) -> Climb {
    if !tally.is_refused() {
        let note = "some pods cannot be asked, so that nothing is known for certain, and nothing is done about it";
        return Climb::wait(Some(record), None, note);
    }
    if !allowance.may_write {
        let note = "no pod took it up, and the gateway's Secret is not certkeeper's to write";
        return Climb::wait(Some(record), None, note);
    }
    let wait = (now - record.time).num_seconds();
    let (pod, standing) = tally.ready[0];
    let seen = match standing {
        Standing::Differs(leaf) => format!("serves fingerprint {}", leaf.fingerprint),
        Standing::Silent(reason, _) => format!("answers no more ({reason})"),
        _ => String::new(),
    };
    let ready = tally.ready.len();
    let evidence = format!("{wait} s after a nudge none of {ready} ready pods serves it; {} {seen}", pod.name);
    Climb { record: Some(record), step: Step::Refused(evidence), wake_at: None, note: "no pod took it up".to_owned() }
}
