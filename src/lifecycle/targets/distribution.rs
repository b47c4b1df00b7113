//! What is to be done about the copies, and what the status says of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::{
    Contents, Copy, CopyAction, CopyTask, Observation, ScopeSight, Sight, Target, TargetsReport,
    marks::{is_fought_over, is_unedited, stranger},
    places::{self, Desired, desired, failure},
};
use crate::{
    certificate::{Facts, Pair},
    lifecycle::{
        observed::{FailureKind, ObjectName, Observed, Settings, Undo},
        plan::{Condition, Entry},
        reason::Reason,
        stance::Stance,
    },
};

/// What shall happen to the copies.
#[derive(Debug)]
pub(in crate::lifecycle) struct Distribution {
    /// What to do, in an order that lets nobody wait for one that failed before.
    pub(in crate::lifecycle) actions: Vec<CopyAction>,
    /// For the status.
    pub(in crate::lifecycle) report: Option<TargetsReport>,
    /// The condition Distributed.
    pub(in crate::lifecycle) condition: Condition,
    /// What is new.
    pub(in crate::lifecycle) entries: Vec<Entry>,
    /// When to try again.
    pub(in crate::lifecycle) wake_at: Option<DateTime<Utc>>,
}

/// Why the copies are not settled yet.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    /// Something was not looked at yet.
    pub(super) pending: bool,
    /// Something is to be done or under way.
    pub(super) coming: bool,
}

/// How a copy stands.
enum State {
    /// As it should be.
    Current,
    /// It was not looked at yet.
    Pending,
    /// Its namespace is being deleted.
    Gone { task: Option<CopyTask>, retry_at: DateTime<Utc> },
    /// Something is to be done or under way.
    Coming(Option<CopyTask>),
    /// It failed. Its task, if any, is another attempt.
    Failed { reason: Reason, message: String, task: Option<CopyTask>, retry_at: Option<DateTime<Utc>> },
}

/// The pair that the copies should hold, once the gateway's Secret has it.
pub(in crate::lifecycle) struct Promoted<'a> {
    pub(in crate::lifecycle) pair: &'a Pair,
    pub(in crate::lifecycle) facts: &'a Facts,
}

/// Decides about all copies of one object. `promoted`: none while the gateway's Secret has no pair of ours.
pub(in crate::lifecycle) fn distribute(
    observed: &Observed,
    now: DateTime<Utc>,
    settings: &Settings,
    stance: &Stance,
    promoted: Option<&Promoted<'_>>,
) -> Distribution {
    let mut work = Work::new(observed, now, settings);
    let desired = desired(&observed.object.wants, &observed.namespaces);
    let contents = work.contents(promoted);
    let mut report =
        TargetsReport { desired: desired.places.len() + desired.failures.len(), ..TargetsReport::default() };
    report.failures.clone_from(&desired.failures);
    let mut progress = Progress { pending: desired.pending, coming: false };
    for (place, index) in &desired.places {
        let Some(target) = observed.object.wants.targets.get(*index) else { continue };
        let state = match contents.get(*index) {
            Some(Ok(contents)) => work.state(place, target, contents),
            Some(Err((reason, message))) => {
                State::Failed { reason: *reason, message: message.clone(), task: None, retry_at: None }
            }
            None => State::Pending,
        };
        match state {
            State::Current => report.current += 1,
            State::Pending => progress.pending = true,
            State::Gone { task, retry_at } => {
                report.desired -= 1;
                work.retry(place, task, Some(retry_at));
            }
            State::Coming(task) => {
                progress.coming = true;
                work.actions.extend(task.map(|task| CopyAction { place: place.clone(), task, again: false }));
            }
            State::Failed { reason, message, task, retry_at } => {
                report.failures.push(failure(&target.name, &place.namespace, reason, message));
                work.retry(place, task, retry_at);
            }
        }
    }
    let still = work.clean_up(&desired);
    let writes = matches!(stance, Stance::Manage) && promoted.is_some();
    let settled = work.settled(&desired);
    report.placed =
        if settled { places::record(&observed.object.wants, settings, &still, work.placed()) } else { work.widened() };
    progress.coming |= !still.is_empty();
    work.finish(report, stance, promoted, progress, writes)
}

/// Decides about the copies of an object that goes: those that are ours and unedited are deleted. The answer is empty
/// once none is left: the last part says whether some are.
pub(in crate::lifecycle) fn remove_all(
    observed: &Observed,
    now: DateTime<Utc>,
    settings: &Settings,
) -> (Vec<CopyAction>, Option<DateTime<Utc>>, bool) {
    let mut work = Work::new(observed, now, settings);
    let still = work.clean_up(&Desired::default());
    let pending = observed.copies.scopes().any(|sight| *sight == ScopeSight::Pending);
    work.actions.append(&mut work.retries);
    (work.actions, work.wake_at, pending || !still.is_empty())
}

pub(super) struct Work<'a> {
    pub(super) observed: &'a Observed,
    pub(super) now: DateTime<Utc>,
    settings: &'a Settings,
    /// Our own name, as copies carry it.
    us: String,
    /// Secrets that are no copies whatever a spec says.
    own: BTreeSet<ObjectName>,
    pub(super) actions: Vec<CopyAction>,
    /// Attempts at what failed before: after all others.
    pub(super) retries: Vec<CopyAction>,
    pub(super) wake_at: Option<DateTime<Utc>>,
    /// Copies that somebody else edited and that are put right now, and who it was.
    pub(super) edited: Vec<(ObjectName, String)>,
}

type Refusal = (Reason, String);

impl<'a> Work<'a> {
    fn new(observed: &'a Observed, now: DateTime<Utc>, settings: &'a Settings) -> Self {
        let us = observed.object.name.to_string();
        let own = places::our_own(&observed.object.wants);
        Self {
            observed,
            now,
            settings,
            us,
            own,
            actions: Vec::new(),
            retries: Vec::new(),
            wake_at: None,
            edited: Vec::new(),
        }
    }

    fn placed(&self) -> &[super::Placed] {
        self.observed.object.previous.targets.as_ref().map_or(&[], |targets| &targets.placed)
    }

    /// What the copies of each target hold.
    fn contents(&self, promoted: Option<&Promoted<'_>>) -> Vec<Result<Arc<Contents>, Refusal>> {
        let Some(promoted) = promoted else { return Vec::new() };
        let wants = &self.observed.object.wants;
        let roots = wants.roots.as_ref().and_then(|roots| roots.as_ref().ok());
        let contents = |target: &Target| {
            Contents::new(target, promoted.pair, promoted.facts, roots).map(Arc::new).ok_or_else(|| {
                let message = "the chain has no CA certificate to hand on: supply the full chain, or give its root in \
                               spec.byo.trust.roots";
                (Reason::NoAuthority, message.to_owned())
            })
        };
        wants.targets.iter().map(contents).collect()
    }

    fn seen(&self, place: &ObjectName) -> Option<&Observation> {
        self.observed.copies.places.get(place)
    }

    fn state(&mut self, place: &ObjectName, target: &Target, contents: &Arc<Contents>) -> State {
        let seen = self.seen(place);
        let task = match self.observed.copies.sight(place) {
            Sight::Pending => return State::Pending,
            Sight::Denied(rule) => {
                let message = format!("Secret {place} cannot be seen: {rule}");
                return State::Failed { reason: Reason::AccessDenied, message, task: None, retry_at: None };
            }
            Sight::Absent => CopyTask::Create(contents.clone()),
            Sight::Present(copy) => match self.judge(place, copy, contents) {
                Ok(Some(task)) => task,
                Ok(None) => return self.current(place, target, contents),
                Err((reason, message)) => return State::Failed { reason, message, task: None, retry_at: None },
            },
        };
        let look = matches!(task, CopyTask::Compare { .. });
        let editor = match &task {
            CopyTask::Replace { undone, .. } => undone.last().filter(|undo| undo.at == self.now),
            _ => None,
        };
        let editor = editor.map(|undo| undo.manager.clone());
        match self.attempt(place, seen, task) {
            // Whether it is news is what the look will tell.
            State::Coming(task) if look => {
                self.actions.extend(task.map(|task| CopyAction { place: place.clone(), task, again: false }));
                State::Pending
            }
            State::Coming(Some(task)) => {
                self.edited.extend(editor.map(|manager| (place.clone(), manager)));
                State::Coming(Some(task))
            }
            other => other,
        }
    }

    /// The copy is as it should be; whether the workloads that read it were rolled is looked at beside: after a restart
    /// that is no news.
    fn current(&mut self, place: &ObjectName, target: &Target, contents: &Contents) -> State {
        let seen = self.seen(place);
        let Some(task) = roll(target, contents, seen) else { return State::Current };
        match self.attempt(place, seen, task) {
            State::Coming(task) => {
                self.actions.extend(task.map(|task| CopyAction { place: place.clone(), task, again: false }));
                State::Current
            }
            other => other,
        }
    }

    /// A task is due, unless a call is under way or the last one failed a short while ago.
    fn attempt(&self, place: &ObjectName, seen: Option<&Observation>, task: CopyTask) -> State {
        let busy = seen.is_some_and(|seen| seen.busy);
        let due = |retry_at: DateTime<Utc>| (retry_at <= self.now && !busy).then_some(());
        match seen.and_then(|seen| seen.trouble.as_ref()) {
            // It goes with its namespace: no failure, and whether the namespace comes back is asked now and then.
            Some(trouble) if trouble.kind == FailureKind::Terminating => {
                State::Gone { task: due(trouble.retry_at).map(|()| task), retry_at: trouble.retry_at }
            }
            Some(trouble) => State::Failed {
                reason: match trouble.kind {
                    FailureKind::Denied => Reason::AccessDenied,
                    FailureKind::Rejected | FailureKind::Conflict => Reason::WriteRejected,
                    FailureKind::Transient | FailureKind::Terminating => Reason::WriteFailed,
                },
                message: format!("{place}: {}", trouble.message),
                task: due(trouble.retry_at).map(|()| task),
                retry_at: Some(trouble.retry_at),
            },
            None => State::Coming((!busy).then_some(task)),
        }
    }

    /// What a Secret at the place of a copy needs: nothing, a task, or a person.
    fn judge(&self, place: &ObjectName, copy: &Copy, contents: &Arc<Contents>) -> Result<Option<CopyTask>, Refusal> {
        if let Some(who) = self.stranger(copy) {
            let message = format!(
                "Secret {place} belongs to {who}: remove it, or name the copy otherwise (secretName); it is left alone"
            );
            return Err((Reason::ForeignOwner, message));
        }
        if copy.deleting {
            let message = format!("Secret {place} is being deleted and held by a finalizer: remove its finalizers");
            return Err((Reason::BeingDeleted, message));
        }
        let base = copy.version.clone();
        let noted = copy.note.as_deref() == Some(contents.note.as_str())
            && copy.fingerprint.as_deref() == Some(&*contents.fingerprint);
        let whole = copy.foreign_writer.is_none() && copy.our_keys == contents.key_list;
        let ours = copy.owner.as_ref() == Some(&self.us);
        if noted && ours && (whole || copy.compared == Some(true)) {
            return Ok(None);
        }
        if noted && ours && copy.compared.is_none() {
            return Ok(Some(CopyTask::Compare { base, contents: contents.clone() }));
        }
        // What somebody else noted tells nothing of the type.
        if !copy.note_edited && copy.note.as_deref().is_some_and(|note| contents.kind.differs_in(note)) {
            if is_unedited(copy) {
                return Ok(Some(CopyTask::Delete { base }));
            }
            let message = format!(
                "Secret {place} was edited by somebody else and has a type that cannot be changed in place: delete it \
                 (kubectl -n {} delete secret {}); it is made again at once",
                place.namespace, place.name
            );
            return Err((Reason::WriteRejected, message));
        }
        let mut undone = copy.undone.clone();
        if let Some(writer) = &copy.foreign_writer {
            if is_fought_over(copy) {
                let message = format!(
                    "Secret {place} is written by field manager \"{}\", which undid certkeeper's write three times \
                     within an hour: stop it, or name the copy otherwise (secretName); it is left alone",
                    writer.manager
                );
                return Err((Reason::ForeignOwner, message));
            }
            undone.push(Undo { manager: writer.manager.clone(), at: self.now });
        }
        let undone = undone.split_off(undone.len().saturating_sub(3));
        Ok(Some(CopyTask::Replace { base, contents: contents.clone(), undone }))
    }

    /// Who owns it, if it is neither ours nor left behind by a GatewayCertificate that is gone.
    fn stranger(&self, copy: &Copy) -> Option<String> {
        let gone = |owner: &str| {
            let served = owner.split_once('/').is_some_and(|(ns, _)| self.settings.namespaces.iter().any(|s| s == ns));
            served && !self.observed.peers.contains(owner)
        };
        stranger(copy, &self.us, gone)
    }

    /// Deletes what is ours, unedited and no longer asked for. Returns the copies that are still there for that.
    fn clean_up(&mut self, desired: &Desired) -> BTreeSet<ObjectName> {
        let mut still = BTreeSet::new();
        if desired.pending || desired.denied {
            return still;
        }
        for (place, seen) in &self.observed.copies.places {
            let Some(copy) = &seen.copy else { continue };
            if desired.places.contains_key(place) {
                continue;
            }
            let ours = copy.owner.as_ref() == Some(&self.us) && copy.note.is_some() && copy.foreign.is_none();
            let granted = self.settings.permits(place) && !self.own.contains(place);
            if !ours || !granted || !is_unedited(copy) || copy.deleting {
                continue;
            }
            // It goes with its namespace.
            if matches!(&self.observed.namespaces, super::Namespaces::Known(known)
                if known.get(&place.namespace).is_none_or(|namespace| namespace.terminating))
            {
                continue;
            }
            still.insert(place.clone());
            match self.attempt(place, Some(seen), CopyTask::Delete { base: copy.version.clone() }) {
                State::Coming(task) => {
                    self.actions.extend(task.map(|task| CopyAction { place: place.clone(), task, again: false }))
                }
                State::Failed { task, retry_at, .. } => self.retry(place, task, retry_at),
                State::Current | State::Pending | State::Gone { .. } => {}
            }
        }
        still
    }

    fn retry(&mut self, place: &ObjectName, task: Option<CopyTask>, retry_at: Option<DateTime<Utc>>) {
        match task {
            Some(task) => self.retries.push(CopyAction { place: place.clone(), task, again: true }),
            None => self.wake_at = [self.wake_at, retry_at].into_iter().flatten().min(),
        }
    }

    /// Everything that was recorded has been looked at, so that the record may be cut to what is there.
    fn settled(&self, desired: &Desired) -> bool {
        !desired.pending && !desired.denied && self.observed.copies.scopes().all(|sight| *sight == ScopeSight::Known)
    }

    /// The record and what the spec names beside: nothing is cut from it.
    fn widened(&self) -> Vec<super::Placed> {
        let mut named: BTreeMap<String, Option<BTreeSet<String>>> = BTreeMap::new();
        let now = places::record(&self.observed.object.wants, self.settings, &BTreeSet::new(), &[]);
        for placed in now.iter().chain(self.placed()) {
            let entry = named.entry(placed.secret_name.clone()).or_insert_with(|| Some(BTreeSet::new()));
            match entry {
                Some(namespaces) if !placed.namespaces.is_empty() => namespaces.extend(placed.namespaces.clone()),
                entry => *entry = None,
            }
        }
        let list = |namespaces: Option<BTreeSet<String>>| namespaces.unwrap_or_default().into_iter().collect();
        named.into_iter().map(|(secret_name, n)| super::Placed { secret_name, namespaces: list(n) }).collect()
    }
}

fn roll(target: &Target, contents: &Contents, seen: Option<&Observation>) -> Option<CopyTask> {
    let rolled = seen.and_then(|seen| seen.rolled.as_deref());
    if target.restart.is_empty() || rolled == Some(&*contents.fingerprint) {
        return None;
    }
    Some(CopyTask::Roll { workloads: target.restart.clone(), fingerprint: contents.fingerprint.clone() })
}
