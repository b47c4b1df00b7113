//! The loop: watches, the queue, and what follows from the outcome of a look.

use std::{
    collections::BTreeMap,
    future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use certkeeper::clock::SharedClock;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{WatchStreamExt, watcher},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    Settings, Shared,
    issuers::Issuer,
    material::Answer,
    queue::{Item, Key, Queue},
};

/// What a look at an object came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Done; the next look is the resync.
    Done,
    /// Done; a look is due after this time.
    After(Duration),
    /// Not done; a look after this time.
    Recheck(Duration),
    /// Nothing is to be done before something changes.
    Rest,
    /// Not done yet: soon again.
    Delay,
    /// At once again.
    Repeat,
}

/// A request to an issuer that is under way.
pub(super) struct Request {
    pub(super) ready: Instant,
    pub(super) answer: Result<Answer, String>,
}

pub(super) struct Worker {
    pub(super) client: Client,
    clock: SharedClock,
    shared: Arc<Mutex<Shared>>,
    queue: Queue,
    pub(super) issuers: BTreeMap<String, Issuer>,
    /// Which issuer each Certificate asked: whom an issuer's change wakes.
    pub(super) asked: BTreeMap<Key, String>,
    pub(super) requests: BTreeMap<Key, Request>,
    /// The renewals that are believed to be planned.
    pub(super) scheduled: BTreeMap<Key, DateTime<Utc>>,
}

impl Worker {
    pub(super) fn new(client: Client, clock: SharedClock, shared: Arc<Mutex<Shared>>) -> Self {
        Self {
            client,
            clock,
            shared,
            queue: Queue::default(),
            issuers: BTreeMap::new(),
            asked: BTreeMap::new(),
            requests: BTreeMap::new(),
            scheduled: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Key>) {
        let settings = self.settings();
        let mut certificates = pin!(changes(match &settings.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource("Certificate")),
            None => Api::all_with(self.client.clone(), &resource("Certificate")),
        }));
        let mut issuers = pin!(changes(self.api("Issuer", &settings.issuers)));
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &settings.issuers);
        let mut secrets = pin!(watched(watcher(secrets, watcher::Config::default())));
        loop {
            let next = self.queue.next(Instant::now());
            let due = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(key) = certificates.next() => self.queue.add(Item::Certificate(key)),
                Some((_, name)) = issuers.next() => self.queue.add(Item::Issuer(name)),
                Some((_, secret)) = secrets.next() => self.wake_issuers(&secret),
                Some(key) = commands.recv() => self.queue.add(Item::Certificate(key)),
                () = due => self.look().await,
            }
        }
    }

    /// Looks at what is due, and plans the next look at it.
    async fn look(&mut self) {
        let Some(item) = self.queue.pop(Instant::now()) else { return };
        let outcome = match &item {
            Item::Issuer(name) => self.look_at_issuer(name).await,
            Item::Certificate(key) => self.look_at_certificate(key).await,
        };
        // What an API server refuses or loses is tried again.
        let outcome = outcome.unwrap_or(Outcome::Delay);
        let now = Instant::now();
        // Issuers are looked at when they change, without a resync.
        let resync = match &item {
            Item::Issuer(_) => None,
            Item::Certificate(_) => Some(self.settings().resync),
        };
        match outcome {
            Outcome::Done | Outcome::After(_) => {
                self.queue.forget(&item);
                let wanted = if let Outcome::After(wait) = outcome { Some(wait) } else { None };
                if let Some(wait) = [wanted, resync].into_iter().flatten().min() {
                    self.queue.add_after(item, now, wait);
                }
            }
            Outcome::Recheck(wait) => self.queue.add_after(item, now, wait),
            Outcome::Rest => {}
            Outcome::Delay => self.queue.add_rate_limited(item, now),
            Outcome::Repeat => self.queue.add(item),
        }
    }

    fn wake_issuers(&mut self, secret: &str) {
        let concerned = self.issuers.iter().filter(|(_, issuer)| issuer.secret == secret);
        for name in concerned.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.queue.add(Item::Issuer(name));
        }
    }

    /// Has the Certificates of an issuer looked at.
    pub(super) fn wake_certificates(&mut self, issuer: &str) {
        for (key, asked) in &self.asked {
            if asked == issuer {
                self.queue.add(Item::Certificate(key.clone()));
            }
        }
    }

    /// Has a Certificate looked at after this time.
    pub(super) fn wake_after(&mut self, key: &Key, wait: Duration) {
        let item = Item::Certificate(key.clone());
        if wait.is_zero() {
            self.queue.add(item);
        } else {
            // The real one is told by its issuer, whatever else is due before or after.
            self.queue.keep(item, Instant::now(), wait);
        }
    }

    /// Plans a renewal. It is lost like any other look, unless that vice is mended.
    pub(super) fn plan_renewal(&mut self, key: &Key, wait: Duration) {
        if !self.settings().loses_renewals {
            self.queue.keep(Item::Certificate(key.clone()), Instant::now(), wait);
        }
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(super) fn settings(&self) -> Settings {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).settings.clone()
    }

    /// What every request is to be answered with, if there is such a word.
    pub(super) fn refusal(&self) -> Option<String> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).refusal.clone()
    }

    pub(super) fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(kind))
    }
}

pub(super) fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("cert.gardener.cloud", "v1alpha1", kind))
}

/// The keys of objects that are there, change or go.
fn changes(api: Api<DynamicObject>) -> impl Stream<Item = Key> {
    watched(watcher(api, watcher::Config::default()))
}

fn watched<K: kube::Resource>(
    events: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>>,
) -> impl Stream<Item = Key> {
    events.default_backoff().filter_map(|event| {
        let object = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object) | watcher::Event::Delete(object)) => {
                Some((object.namespace().unwrap_or_default(), object.name_any()))
            }
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => None,
        };
        future::ready(object)
    })
}
