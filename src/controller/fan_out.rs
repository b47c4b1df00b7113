//! Many calls at once, but not too many, and nobody waits for the slow one.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedRwLockReadGuard, OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use crate::{cluster::copies::CopyHands, lifecycle::targets::CopyAction};

/// Calls about copies under way at the same time, of all objects together.
const CALLS: usize = 16;
/// … of which this many may be about copies that failed before: whoever hangs takes no more than these.
const SECOND_TRIES: usize = 4;
/// How long one look at the world is acted upon, unless what is copied changes before.
const SLICE: Duration = Duration::from_secs(2);
/// How long calls are waited for when nothing more can be begun: a new source is not kept waiting by whoever hangs.
const PATIENCE: Duration = Duration::from_millis(500);
/// How soon calls that are still under way are looked after.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Bounds the calls about copies.
#[derive(Debug, Clone)]
pub(super) struct FanOut {
    calls: Arc<Semaphore>,
    second_tries: Arc<Semaphore>,
}

impl FanOut {
    pub(super) fn new() -> Self {
        Self { calls: Arc::new(Semaphore::new(CALLS)), second_tries: Arc::new(Semaphore::new(SECOND_TRIES)) }
    }

    /// Carries out what can be within a slice of time and until what is copied has `changed`, and says when to look
    /// again. A call that takes longer goes on by itself; `working` is held until it ends.
    pub(super) async fn carry_out(
        &self,
        actions: Vec<CopyAction>,
        hands: &CopyHands,
        working: impl Fn() -> Option<OwnedRwLockReadGuard<()>>,
        changed: impl Fn() -> bool,
    ) -> Duration {
        let end = Instant::now() + SLICE;
        let mut calls = JoinSet::new();
        let mut postponed = false;
        for action in actions {
            if Instant::now() >= end || changed() {
                break;
            }
            let permits = match self.permits(action.again).await {
                Room::Here(permits) => permits,
                Room::Later => {
                    postponed = true;
                    continue;
                }
                Room::None => {
                    postponed = true;
                    break;
                }
            };
            let Some(working) = working() else { break };
            if !hands.store.begin(&action.place) {
                continue;
            }
            let hands = hands.clone();
            // A call that has ended holds its memory until it is joined.
            while calls.try_join_next().is_some() {}
            calls.spawn(async move {
                let _held = (permits, working);
                hands.carry_out(&action).await;
            });
        }
        let end = Instant::now() + PATIENCE;
        while !calls.is_empty() && !changed() && timeout_at(end, calls.join_next()).await.is_ok() {}
        let under_way = !calls.is_empty();
        calls.detach_all();
        if under_way || postponed { LOOK_AGAIN } else { Duration::from_millis(1) }
    }

    async fn permits(&self, again: bool) -> Room {
        let mut permits = Vec::with_capacity(2);
        if again {
            let Ok(permit) = self.second_tries.clone().try_acquire_owned() else { return Room::Later };
            permits.push(permit);
        }
        match timeout(PATIENCE, self.calls.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permits.push(permit),
            _ => return Room::None,
        }
        Room::Here(permits)
    }
}

/// Whether another call may be begun.
enum Room {
    Here(Vec<OwnedSemaphorePermit>),
    /// What failed before does not wait for room, it comes later.
    Later,
    /// Every call hangs.
    None,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kube::{Client, client::Body};
    use tokio::sync::RwLock;

    use super::*;
    use crate::{
        clock::SystemClock,
        cluster::{copies::CopyStore, single::Watches},
        lifecycle::{ObjectName, Version, targets::CopyTask},
    };

    /// Hands whose API server never answers.
    fn hands() -> CopyHands {
        let silent = tower::service_fn(|_: http::Request<Body>| {
            std::future::pending::<Result<http::Response<Body>, kube::Error>>()
        });
        let client = Client::new(silent, "default");
        let (wake, _) = tokio::sync::mpsc::channel(1);
        let store = CopyStore::new(client.clone(), Watches::new(client.clone()), wake);
        CopyHands { client, store, clock: Arc::new(SystemClock), owner: ObjectName::new("home", "x") }
    }

    fn action(number: usize, again: bool) -> CopyAction {
        let base = Version { uid: "u".to_owned(), resource_version: "1".to_owned() };
        let place = ObjectName::new(format!("n-{number}"), "copy");
        CopyAction { place, task: CopyTask::Delete { base }, again }
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_is_looked_at_later_and_not_at_once() {
        let (fan_out, hands, working) = (FanOut::new(), hands(), Arc::new(RwLock::new(())));
        let run = async |actions: Vec<CopyAction>| {
            let working = || working.clone().try_read_owned().ok();
            fan_out.carry_out(actions, &hands, working, || false).await
        };
        let second_tries = (0..SECOND_TRIES).map(|number| action(number, true)).collect();
        assert_eq!(run(second_tries).await, LOOK_AGAIN, "they hang");
        assert_eq!(run(vec![action(100, true)]).await, LOOK_AGAIN, "no room for another second try");
        let first_tries = (200..200 + CALLS).map(|number| action(number, false)).collect();
        assert_eq!(run(first_tries).await, LOOK_AGAIN, "and now no room at all");
        assert_eq!(run(vec![action(300, false)]).await, LOOK_AGAIN);
        assert_eq!(run(Vec::new()).await, Duration::from_millis(1), "nothing to do is looked at anew at once");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_begun_once_what_is_copied_has_changed_or_the_end_was_asked_for() {
        let (fan_out, hands, working) = (FanOut::new(), hands(), Arc::new(RwLock::new(())));
        let now = Duration::from_millis(1);
        let held = || working.clone().try_read_owned().ok();
        assert_eq!(fan_out.carry_out(vec![action(1, false)], &hands, held, || true).await, now);
        assert_eq!(fan_out.carry_out(vec![action(1, false)], &hands, || None, || false).await, now);
        assert!(hands.store.begin(&ObjectName::new("n-1", "copy")), "nobody had begun");
    }
}
