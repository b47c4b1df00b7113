//! The watch on a single Secret, made to be there a thousand times: what waits for the next event is a body and three
//! short strings, a few hundred bytes, where kube-runtime's watcher keeps some 10 kB. It says the same in the same
//! words (`watcher::Event`), lists and watches as that does, and waits as long after a failure.

use std::{sync::Arc, time::Duration};

use http_body_util::{BodyExt, Limited};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Client, Resource, ResourceExt,
    api::{ListParams, WatchParams},
    client::Body,
    core::{ObjectList, Request, Status, WatchEvent},
    runtime::watcher::{Error, Event, Result},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use zeroize::{Zeroize, Zeroizing};

use super::secrets::WATCH_TIMEOUT;
use crate::lifecycle::ObjectName;

/// The server ends a watch after [`WATCH_TIMEOUT`]; one that it has not ended this much later is dead.
const GRACE: Duration = Duration::from_secs(5);
/// The first wait after a failure, doubled with each.
const FIRST_WAIT: Duration = Duration::from_millis(800);
/// The longest wait.
const LAST_WAIT: Duration = Duration::from_secs(30);
/// A watch that ends sooner and brought nothing is a failure: its next would end as soon.
const SHORT: Duration = Duration::from_secs(1);
/// An object has 1.5 MB at most (etcd's limit), and an event is little more.
const LONGEST_EVENT: usize = 16 << 20;
/// Lists and beginnings of watches under way at the same time.
const AT_ONCE: usize = 16;
/// A watch whose beginning is not answered within this time holds up no other any longer.
const TURN: Duration = Duration::from_secs(2);
/// What is read of an answer that tells of a failure.
const LONGEST_STATUS: usize = 64 << 10;

/// How watches on single objects begin: so many at a time, for a thousand may be wanted at once, and what has begun to
/// ask takes much more memory than what waits for its turn.
pub struct Watches {
    client: Client,
    turns: Semaphore,
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watches").finish_non_exhaustive()
    }
}

impl Watches {
    /// Watches by this client.
    #[must_use]
    pub fn new(client: Client) -> Arc<Self> {
        Arc::new(Self { client, turns: Semaphore::new(AT_ONCE) })
    }
}

/// What is asked for of the Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// Its metadata.
    Metadata,
}

/// The watch on one Secret. `K` is what `part` brings: a Secret, or its metadata.
pub(super) struct Single<K> {
    watches: Arc<Watches>,
    name: ObjectName,
    part: Part,
    /// The state that was seen last. Empty: what is there has to be listed.
    version: String,
    lines: Option<Lines>,
    /// What a list brought and was not handed out yet, the last first.
    ahead: Vec<Event<K>>,
    /// Failures in a row.
    failures: u32,
}

impl<K> Single<K>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned,
{
    pub(super) fn new(watches: Arc<Watches>, name: ObjectName, part: Part) -> Self {
        Self { watches, name, part, version: String::new(), lines: None, ahead: Vec::new(), failures: 0 }
    }

    /// What happens next to the Secret. It never ends.
    pub(super) async fn next(&mut self) -> Result<Event<K>> {
        loop {
            if let Some(event) = self.ahead.pop() {
                if self.ahead.is_empty() {
                    self.ahead = Vec::new();
                }
                return Ok(event);
            }
            let event = match &mut self.lines {
                None => self.begin().await.map(|()| None),
                Some(lines) => match timeout(Duration::from_secs(WATCH_TIMEOUT.into()) + GRACE, lines.next()).await {
                    Ok(Ok(Some(line))) => self.understand(&line),
                    Ok(Err(error)) => Err(Error::WatchFailed(error)),
                    Ok(Ok(None)) | Err(_) => {
                        self.ended();
                        Ok(None)
                    }
                },
            };
            match event {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => {}
                Err(error) => {
                    self.lines = None;
                    self.failures = self.failures.saturating_add(1);
                    return Err(error);
                }
            }
        }
    }

    fn ended(&mut self) {
        if self.lines.take().is_some_and(|lines| lines.began.elapsed() < SHORT && !lines.brought) {
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Waits if need be; then lists, or watches from what was seen last.
    async fn begin(&mut self) -> Result<()> {
        if let Some(doublings) = self.failures.checked_sub(1) {
            let wait = FIRST_WAIT.saturating_mul(1 << doublings.min(6)).min(LAST_WAIT);
            Box::pin(sleep(wait.mul_f64(1.0 + fastrand::f64()))).await;
        }
        let watches = self.watches.clone();
        let turn = watches.turns.acquire().await;
        // Boxed: this takes much more memory than waiting, and a moment only.
        if self.version.is_empty() {
            return Box::pin(self.list()).await;
        }
        let mut begun = Box::pin(self.watch());
        if let Ok(done) = timeout(TURN, &mut begun).await {
            return done;
        }
        drop(turn);
        begun.await
    }

    fn request(&self) -> (Request, String) {
        (Request::new(Secret::url_path(&(), Some(&self.name.namespace))), format!("metadata.name={}", self.name.name))
    }

    async fn list(&mut self) -> Result<()> {
        let (request, fields) = self.request();
        let params = ListParams::default().fields(&fields);
        let built = match self.part {
            Part::Whole => request.list(&params),
            Part::Metadata => request.list_metadata(&params),
        };
        let failed = |error| Error::InitialListFailed(error);
        let request = built.map_err(|error| failed(kube::Error::BuildRequest(error)))?;
        let list: ObjectList<K> = self.watches.client.request(request).await.map_err(failed)?;
        self.version = list.metadata.resource_version.unwrap_or_default();
        if self.version.is_empty() {
            return Err(Error::NoResourceVersion);
        }
        self.failures = 0;
        self.ahead.push(Event::InitDone);
        self.ahead.extend(list.items.into_iter().map(Event::InitApply));
        self.ahead.push(Event::Init);
        Ok(())
    }

    async fn watch(&mut self) -> Result<()> {
        let (request, fields) = self.request();
        let params = WatchParams::default().fields(&fields).timeout(WATCH_TIMEOUT);
        let built = match self.part {
            Part::Whole => request.watch(&params, &self.version),
            Part::Metadata => request.watch_metadata(&params, &self.version),
        };
        let failed = |error| Error::WatchStartFailed(error);
        let request = built.map_err(|error| failed(kube::Error::BuildRequest(error)))?;
        let response = self.watches.client.send(request.map(Body::from)).await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            return Err(failed(kube::Error::Api(refused(status, response.into_body()).await.boxed())));
        }
        self.lines = Some(Lines::new(response.into_body()));
        Ok(())
    }

    fn understand(&mut self, line: &[u8]) -> Result<Option<Event<K>>> {
        let event = match serde_json::from_slice::<WatchEvent<K>>(line) {
            Ok(event) => event,
            // Some failures come bare.
            Err(error) => match serde_json::from_slice::<Status>(line) {
                Ok(status) => WatchEvent::Error(status.boxed()),
                Err(_) => return Err(Error::WatchFailed(kube::Error::SerdeError(error))),
            },
        };
        let (version, event) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                (object.resource_version(), Some(Event::Apply(object)))
            }
            WatchEvent::Deleted(object) => (object.resource_version(), Some(Event::Delete(object))),
            WatchEvent::Bookmark(mark) => (Some(mark.metadata.resource_version), None),
            WatchEvent::Error(status) => {
                // Too far back: only a list tells what is there now.
                if status.code == 410 {
                    self.version.clear();
                }
                return Err(Error::WatchError(status));
            }
        };
        self.version = version.unwrap_or_default();
        if self.version.is_empty() {
            return Err(Error::NoResourceVersion);
        }
        self.failures = 0;
        Ok(event)
    }
}

async fn refused(status: http::StatusCode, body: Body) -> Status {
    let told = Limited::new(body, LONGEST_STATUS).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    serde_json::from_slice(&told).unwrap_or_else(|_| {
        let reason = status.canonical_reason().unwrap_or("Failed");
        Status::failure(&String::from_utf8_lossy(&told), reason).with_code(status.as_u16())
    })
}

/// A body, line by line. What is put aside of it is wiped: it holds keys.
struct Lines {
    body: Body,
    begun: Zeroizing<Vec<u8>>,
    /// Where in it no line ends.
    searched: usize,
    began: Instant,
    brought: bool,
}

impl Lines {
    fn new(body: Body) -> Self {
        Self { body, begun: Zeroizing::default(), searched: 0, began: Instant::now(), brought: false }
    }

    /// The next whole line; `None` at the end.
    async fn next(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, kube::Error> {
        loop {
            if let Some(line) = self.whole() {
                self.brought = true;
                return Ok(Some(line));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(bytes) = frame?.into_data() {
                self.add(&bytes)?;
            }
        }
    }

    fn whole(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let Some(end) = self.begun[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.begun.len();
            return None;
        };
        let end = self.searched + end + 1;
        let rest = Zeroizing::new(self.begun[end..].to_vec());
        let mut line = std::mem::replace(&mut self.begun, rest);
        self.searched = 0;
        line[end..].zeroize();
        line.truncate(end);
        Some(line)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), kube::Error> {
        let length = self.begun.len() + bytes.len();
        if length > LONGEST_EVENT {
            let message = format!("an event of more than {LONGEST_EVENT} bytes");
            return Err(kube::Error::ReadEvents(std::io::Error::other(message)));
        }
        if length > self.begun.capacity() {
            // Not by `reserve`: that leaves the old bytes behind.
            let mut larger = Zeroizing::new(Vec::with_capacity(length.max(self.begun.capacity() * 2)));
            larger.extend_from_slice(&self.begun);
            self.begun = larger;
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }
}
