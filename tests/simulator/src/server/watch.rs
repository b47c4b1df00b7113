//! Watches: a stream of changes from a version on, with bookmarks, time-outs and the end of history.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    Shared,
    read::present,
    registry::Resource,
    request::Call,
    selectors::Selector,
    status::ApiError,
    store::{Change, Signal, Store},
};

/// How often a bookmark tells the client how far it is.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// A last bookmark is sent this long before the time-out.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// The life of a watch whose client names none, in seconds; the real server draws one from 30 to 60 minutes.
const DEFAULT_TIMEOUT: u64 = 1800;

/// One open watch.
pub(crate) struct Watch {
    shared: Shared,
    resource: Arc<Resource>,
    selector: Selector,
    metadata_only: bool,
    bookmarks: bool,
    /// All changes up to this version are sent or queued.
    seen: u64,
    queue: VecDeque<Value>,
    ended: bool,
    signal: tokio::sync::watch::Receiver<Signal>,
    cuts: u64,
    deadline: Instant,
    next_bookmark: Instant,
}

impl Watch {
    /// Opens a watch. What is too old is told in the stream, as the real server does, unless `shared` says that
    /// it shall be an HTTP 410.
    pub(crate) fn open(
        shared: &Shared,
        resource: Arc<Resource>,
        selector: Selector,
        call: &Call,
    ) -> Result<Self, ApiError> {
        let inner = shared.lock();
        let store = &inner.store;
        let asked = call.query("resourceVersion").unwrap_or_default();
        let asked: u64 = match asked {
            "" => 0,
            text => text.parse().map_err(|_| invalid_version(text))?,
        };
        let timeout = call.query("timeoutSeconds").and_then(|text| text.parse().ok()).filter(|&seconds| seconds > 0);
        let deadline = Instant::now() + Duration::from_secs(timeout.unwrap_or(DEFAULT_TIMEOUT));
        let signal = store.subscribe();
        let cuts = signal.borrow().cuts;
        let mut watch = Self {
            shared: shared.clone(),
            metadata_only: call.metadata_only(),
            bookmarks: call.flag("allowWatchBookmarks"),
            seen: if asked == 0 { store.version() } else { asked },
            queue: VecDeque::new(),
            ended: false,
            cuts,
            deadline,
            next_bookmark: Instant::now() + BOOKMARK_EVERY,
            signal,
            resource,
            selector,
        };
        let initial = match call.query("sendInitialEvents") {
            Some(text) => text == "true",
            None => asked == 0,
        };
        if initial {
            watch.send_initial(store, call.flag("sendInitialEvents"));
        } else if asked < store.compacted() {
            let gone = too_old(asked, store.compacted());
            if inner.gone_as_http {
                return Err(gone);
            }
            watch.fail(&gone);
        }
        watch.pace_bookmark(Instant::now());
        drop(inner);
        Ok(watch)
    }

    fn send_initial(&mut self, store: &Store, mark_end: bool) {
        let storage = self.resource.storage();
        let matching = store.all(&storage).filter(|(_, object)| self.selector.matches(object));
        let events: Vec<Value> = matching.map(|(_, object)| self.event("ADDED", object)).collect();
        self.queue.extend(events);
        self.seen = store.version();
        if mark_end {
            let mut bookmark = self.bookmark();
            bookmark["object"]["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
            self.queue.push_back(bookmark);
        }
    }

    fn event(&self, kind: &str, object: &Value) -> Value {
        json!({"type": kind, "object": present(&self.resource, object, self.metadata_only)})
    }

    fn bookmark(&self) -> Value {
        let version = self.seen.to_string();
        self.event("BOOKMARK", &json!({"metadata": {"resourceVersion": version, "creationTimestamp": null}}))
    }

    fn fail(&mut self, error: &ApiError) {
        self.queue.push_back(json!({"type": "ERROR", "object": error.body()}));
        self.ended = true;
    }

    fn pace_bookmark(&mut self, now: Instant) {
        let last = self.deadline.checked_sub(BOOKMARK_BEFORE_END).filter(|last| *last > now);
        self.next_bookmark = match last {
            Some(last) => last.min(now + BOOKMARK_EVERY),
            None => now + BOOKMARK_EVERY,
        };
    }

    /// Queues what happened since the last look.
    fn catch_up(&mut self) {
        let shared = self.shared.clone();
        let inner = shared.lock();
        let store = &inner.store;
        if self.signal.borrow_and_update().cuts != self.cuts {
            self.ended = true;
        } else if self.seen < store.compacted() {
            let gone = too_old(self.seen, store.compacted());
            self.fail(&gone);
        } else {
            let storage = self.resource.storage();
            let events: Vec<Value> =
                store.changes(&storage, self.seen).filter_map(|change| self.translate(change)).collect();
            self.queue.extend(events);
            // A watch may start ahead of the present.
            self.seen = self.seen.max(store.version());
        }
    }

    /// What a change means to this watch: objects come into and leave the selection.
    fn translate(&self, change: &Change) -> Option<Value> {
        let before = change.before.as_ref().is_some_and(|object| self.selector.matches(object));
        let after = !change.deleted && self.selector.matches(&change.object);
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(self.event("ADDED", &change.object)),
            (true, true) => Some(self.event("MODIFIED", &change.object)),
            (true, false) if change.deleted => Some(self.event("DELETED", &change.object)),
            (true, false) => {
                // The client gets the object as it last matched, under the version at which it stopped to.
                let mut last = change.before.as_deref().cloned().unwrap_or_default();
                last["metadata"]["resourceVersion"] = change.version.to_string().into();
                Some(self.event("DELETED", &last))
            }
        }
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            self.catch_up();
            if !self.queue.is_empty() || self.ended {
                continue;
            }
            let wake = if self.bookmarks { self.next_bookmark.min(self.deadline) } else { self.deadline };
            tokio::select! {
                biased;
                changed = self.signal.changed() => self.ended |= changed.is_err(),
                () = sleep_until(wake) => {
                    let now = Instant::now();
                    if now >= self.deadline {
                        self.ended = true;
                    } else {
                        let bookmark = self.bookmark();
                        self.queue.push_back(bookmark);
                        self.pace_bookmark(now);
                    }
                }
            }
        }
    }

    /// The lines of the answer's body.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(self, |mut watch| async move {
            let event = watch.next().await?;
            Some((Bytes::from(format!("{event}\n")), watch))
        })
    }
}

fn too_old(asked: u64, oldest: u64) -> ApiError {
    ApiError::expired(format!("too old resource version: {asked} ({oldest})"))
}

pub(crate) fn invalid_version(text: &str) -> ApiError {
    ApiError::bad_request(format!("Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"))
}
