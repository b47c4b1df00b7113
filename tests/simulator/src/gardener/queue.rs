//! What is to be looked at, and when: as the real controller's work queue has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

/// The first wait after something that could not be done yet; it doubles each time.
const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1000);

/// A namespace and a name.
pub(super) type Key = (String, String);

/// An object to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    Issuer(String),
    Certificate(Key),
}

/// One entry an item: of several times the earliest stays, which is how the real one loses renewals.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: BTreeSet<Item>,
    waiting: BTreeMap<Item, Instant>,
    /// Renewals that are not lost, where that vice is mended.
    kept: BTreeMap<Item, Instant>,
    failures: BTreeMap<Item, u32>,
}

impl Queue {
    /// Now.
    pub(super) fn add(&mut self, item: Item) {
        self.ready.insert(item);
    }

    /// Later, unless it is due earlier anyway.
    pub(super) fn add_after(&mut self, item: Item, now: Instant, wait: Duration) {
        // Further than tokio's timers reach is as good as never.
        let at = now + wait.min(Duration::from_secs(86_400 * 365));
        self.waiting.entry(item).and_modify(|due| *due = at.min(*due)).or_insert(at);
    }

    /// Later, come what may.
    pub(super) fn keep(&mut self, item: Item, now: Instant, wait: Duration) {
        self.kept.insert(item, now + wait.min(Duration::from_secs(86_400 * 365)));
    }

    /// Soon, and later each time.
    pub(super) fn add_rate_limited(&mut self, item: Item, now: Instant) {
        let failures = self.failures.entry(item.clone()).or_default();
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(*failures)).min(LONGEST);
        *failures += 1;
        self.add_after(item, now, wait);
    }

    /// It went well: the next failure is the first.
    pub(super) fn forget(&mut self, item: &Item) {
        self.failures.remove(item);
    }

    /// When something is due next; `None`: never, so far.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(now);
        }
        self.waiting.values().chain(self.kept.values()).min().copied()
    }

    /// What is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Item> {
        for waiting in [&mut self.waiting, &mut self.kept] {
            let due: Vec<Item> = waiting.iter().filter(|(_, at)| **at <= now).map(|(item, _)| item.clone()).collect();
            for item in due {
                waiting.remove(&item);
                self.ready.insert(item);
            }
        }
        self.ready.pop_first()
    }
}
