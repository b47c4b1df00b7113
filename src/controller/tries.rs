//! What became of the last try to write an object, beside the Secrets. It lives in memory: after a restart one earlier
//! try is the only effect.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{FIRST_RETRY, LAST_RETRY};
use crate::lifecycle::{FailureKind, ObjectName, Version};

/// The state that a try was made on, and the generation of the GatewayCertificate: with others it may succeed.
pub(super) type State = (Option<Version>, i64);

/// The last try for each GatewayCertificate, where it failed.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<BTreeMap<ObjectName, Failed>>);

#[derive(Debug)]
struct Failed {
    on: State,
    kind: FailureKind,
    words: String,
    count: u32,
    again: Instant,
}

impl Tries {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Failed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets objects that are gone.
    pub(super) fn sweep(&self, alive: &BTreeSet<ObjectName>) {
        self.lock().retain(|name, _| alive.contains(name));
    }

    /// The failure of the last try on this state, until it is time for another.
    pub(super) fn recall(&self, name: &ObjectName, on: &State) -> Option<(FailureKind, String)> {
        let mut tries = self.lock();
        let failed = tries.get(name)?;
        if failed.on != *on {
            tries.remove(name);
            return None;
        }
        (Instant::now() < failed.again).then(|| (failed.kind, failed.words.clone()))
    }

    /// How long until another try, where one is due.
    pub(super) fn wait(&self, name: &ObjectName) -> Option<Duration> {
        let again = self.lock().get(name)?.again;
        // One that is past was made, or nothing is left to be written.
        again.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }

    /// Forgets the failure.
    pub(super) fn succeeded(&self, name: &ObjectName) {
        self.lock().remove(name);
    }

    /// Notes a failure; how long it takes until another try.
    pub(super) fn failed(&self, name: &ObjectName, on: State, kind: FailureKind, words: &str) -> Duration {
        let mut tries = self.lock();
        let same = tries.get(name).filter(|failed| failed.on == on);
        let count = same.map_or(0, |failed| failed.count.saturating_add(1));
        let wait = match kind {
            FailureKind::Denied | FailureKind::Conflict => LAST_RETRY,
            _ => FIRST_RETRY.saturating_mul(1 << count.min(6)).min(LAST_RETRY),
        };
        let failed = Failed { on, kind, words: words.to_owned(), count, again: Instant::now() + wait };
        tries.insert(name.clone(), failed);
        wait
    }
}
