//! The copies: metadata-only watches on the Secrets of the targets' names, what is known of each, and the writes.

mod facts;
mod found;
mod hands;
mod look;
mod namespaces;
mod roll;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{sync::mpsc, task::AbortHandle};

use super::{
    secrets::{WATCH_TIMEOUT, words},
    single::{Part, Single, Watches},
};
use crate::lifecycle::{
    FailureKind, ObjectName,
    targets::{Copies, Observation, Scope, ScopeSight, Trouble},
};

pub use hands::CopyHands;
pub use look::{all_namespaces, look_once};
pub use namespaces::NamespaceWatch;

use facts::{Known, Others};
use found::Found;

/// Objects that a list brings at a time: as many as are decoded at once, and so what a first look costs in memory.
pub(super) const PAGE: u32 = 100;

/// What a watch brings.
type Seen = watcher::Result<watcher::Event<PartialObjectMeta<Secret>>>;

/// The copies that are watched. Cloning shares them.
#[derive(Clone)]
pub struct CopyStore {
    /// For a watch across all namespaces: one, and busy.
    client: Arc<Client>,
    /// For watches in one namespace each: as many as there are namespaces.
    watches: Arc<Watches>,
    inner: Arc<Mutex<Inner>>,
    wake: mpsc::Sender<ObjectName>,
}

#[derive(Default)]
struct Inner {
    watched: BTreeMap<Scope, Watched>,
    /// What is known of places beside the Secret that lies there. Only places with something to say are here.
    notes: BTreeMap<ObjectName, Note>,
}

#[derive(Default)]
struct Note {
    trouble: Option<Arc<Trouble>>,
    busy: bool,
    rolled: Option<Arc<str>>,
    conflicts: u32,
}

struct Watched {
    sight: ScopeSight,
    found: Found,
    /// Mostly one.
    interested: Vec<ObjectName>,
    task: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inner {
    fn scope_of(&self, place: &ObjectName) -> Option<Scope> {
        let scope = |namespace| Scope { secret_name: place.name.clone(), namespace };
        let single = scope(Some(place.namespace.clone()));
        [single, scope(None)].into_iter().find(|scope| self.watched.contains_key(scope))
    }

    fn known(&self, place: &ObjectName) -> Option<&Known> {
        self.watched.get(&self.scope_of(place)?)?.found.get(&place.namespace)
    }
}

impl std::fmt::Debug for CopyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyStore").finish_non_exhaustive()
    }
}

impl CopyStore {
    /// No watches yet. The name of each GatewayCertificate that a change concerns is sent to `wake`.
    #[must_use]
    pub fn new(client: Client, watches: Arc<Watches>, wake: mpsc::Sender<ObjectName>) -> Self {
        Self { client: Arc::new(client), watches, inner: Arc::default(), wake }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known under these watches; starts those that do not run and ends the interest of `by` in all others.
    #[must_use]
    pub fn look(&self, scopes: &BTreeSet<Scope>, by: &ObjectName) -> Copies {
        let mut inner = self.lock();
        inner.watched.retain(|scope, watched| {
            if !scopes.contains(scope) {
                watched.interested.retain(|other| other != by);
            }
            !watched.interested.is_empty()
        });
        let mut copies = Copies::default();
        for scope in scopes {
            let watched = inner.watched.entry(scope.clone()).or_insert_with(|| Watched {
                sight: ScopeSight::Pending,
                found: Found::under(scope),
                interested: Vec::with_capacity(1),
                task: tokio::spawn(self.clone().watch(scope.clone())).abort_handle(),
            });
            if !watched.interested.contains(by) {
                watched.interested.push(by.clone());
            }
            copies.insert(scope, watched.sight.clone());
            for (namespace, known) in watched.found.each(scope) {
                let place = ObjectName::new(namespace, &scope.secret_name);
                copies.places.insert(place, Observation { copy: Some(known.copy.clone()), ..Observation::default() });
            }
        }
        let concerned = |place: &ObjectName| {
            let scope = |namespace| Scope { secret_name: place.name.clone(), namespace };
            scopes.contains(&scope(Some(place.namespace.clone()))) || scopes.contains(&scope(None))
        };
        for (place, note) in inner.notes.iter().filter(|(place, _)| concerned(place)) {
            let seen = copies.places.entry(place.clone()).or_default();
            (seen.trouble, seen.busy, seen.rolled) = (note.trouble.clone(), note.busy, note.rolled.clone());
        }
        copies
    }

    /// Ends the interest of every GatewayCertificate that is not among these.
    pub fn sweep(&self, alive: &BTreeSet<ObjectName>) {
        let mut inner = self.lock();
        inner.watched.retain(|_, watched| {
            watched.interested.retain(|by| alive.contains(by));
            !watched.interested.is_empty()
        });
        let mut notes = std::mem::take(&mut inner.notes);
        notes.retain(|place, note| note.busy || inner.scope_of(place).is_some());
        inner.notes = notes;
    }

    /// How many watches there are.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.lock().watched.len()
    }

    fn update_note<T>(&self, place: &ObjectName, change: impl FnOnce(&mut Note) -> T) -> T {
        let mut inner = self.lock();
        let note = inner.notes.entry(place.clone()).or_default();
        let result = change(note);
        if note.trouble.is_none() && !note.busy && note.rolled.is_none() && note.conflicts == 0 {
            inner.notes.remove(place);
        }
        result
    }

    /// Some call about a copy is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.lock().notes.values().any(|note| note.busy)
    }

    /// Marks a place as being worked on; `false` if somebody is at it already.
    pub fn begin(&self, place: &ObjectName) -> bool {
        self.update_note(place, |note| !std::mem::replace(&mut note.busy, true))
    }

    /// What others put into the metadata of a place, if its state is still the one that was decided on.
    fn others(&self, place: &ObjectName, resource_version: &str) -> Option<Others> {
        let inner = self.lock();
        let known = inner.known(place).filter(|known| known.copy.version.resource_version == resource_version)?;
        Some(known.others.clone())
    }

    /// Takes note of a state that a write or a read returned, unless the watch already brought a newer one.
    fn note(&self, place: &ObjectName, found: Option<&PartialObjectMeta<Secret>>) {
        let known = found.map(Known::new);
        let mut inner = self.lock();
        let Some(scope) = inner.scope_of(place) else { return };
        let Some(watched) = inner.watched.get_mut(&scope) else { return };
        match known {
            None => watched.found.remove(&place.namespace),
            Some(known) => {
                let before = watched.found.get(&place.namespace);
                if before.is_none_or(|before| known.is_newer_than(before)) {
                    watched.found.insert(&place.namespace, known);
                }
            }
        }
    }

    /// Takes note of what a comparison of the values found.
    fn compared(&self, place: &ObjectName, resource_version: &str, same: bool) {
        let mut inner = self.lock();
        let Some(scope) = inner.scope_of(place) else { return };
        let known = inner.watched.get_mut(&scope).and_then(|watched| watched.found.get_mut(&place.namespace));
        if let Some(known) = known.filter(|known| known.copy.version.resource_version == resource_version) {
            Arc::make_mut(&mut known.copy).compared = Some(same);
        }
    }

    async fn watch(self, scope: Scope) {
        match &scope.namespace {
            Some(namespace) => {
                let name = ObjectName::new(namespace.as_str(), &scope.secret_name);
                let mut single = Single::new(self.watches.clone(), name, Part::Metadata);
                let mut listed = BTreeMap::new();
                loop {
                    // What it brings is not kept while somebody is woken: there may be thousands of these.
                    let news = self.take(&scope, single.next().await, &mut listed);
                    if news {
                        self.wake(&scope).await;
                    }
                }
            }
            None => Box::pin(self.watch_everywhere(&scope)).await,
        }
    }

    async fn watch_everywhere(&self, scope: &Scope) {
        let fields = format!("metadata.name={}", scope.secret_name);
        let config = watcher::Config::default().fields(&fields).timeout(WATCH_TIMEOUT).page_size(PAGE);
        let api: Api<PartialObjectMeta<Secret>> = Api::all(self.client.as_ref().clone());
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        let mut listed = BTreeMap::new();
        while let Some(event) = events.next().await {
            if self.take(scope, event, &mut listed) {
                self.wake(scope).await;
            }
        }
    }

    /// Takes note of an event; whether it is news.
    fn take(&self, scope: &Scope, event: Seen, listed: &mut BTreeMap<String, Known>) -> bool {
        match event {
            Ok(watcher::Event::Init) => {
                listed.clear();
                false
            }
            Ok(watcher::Event::InitApply(secret)) => {
                listed.insert(secret.metadata.namespace.clone().unwrap_or_default(), Known::new(&secret));
                false
            }
            Ok(watcher::Event::InitDone) => self.listed(scope, std::mem::take(listed)),
            Ok(watcher::Event::Apply(secret)) => self.changed(scope, &secret),
            Ok(watcher::Event::Delete(secret)) => self.deleted(scope, &secret),
            Err(error) => self.failed(scope, &error),
        }
    }

    fn listed(&self, scope: &Scope, mut listed: BTreeMap<String, Known>) -> bool {
        let mut inner = self.lock();
        let Some(watched) = inner.watched.get_mut(scope) else { return false };
        // What was compared stays compared as long as the Secret is the same.
        for (namespace, known) in &mut listed {
            let before = watched.found.get(namespace).filter(|before| before.copy.version == known.copy.version);
            if let Some(before) = before {
                *known = before.clone();
            }
        }
        watched.found = match scope.namespace {
            Some(_) => Found::One(listed.into_values().next()),
            None => Found::Many(listed),
        };
        watched.sight = ScopeSight::Known;
        true
    }

    fn changed(&self, scope: &Scope, secret: &PartialObjectMeta<Secret>) -> bool {
        let known = Known::new(secret);
        let namespace = secret.metadata.namespace.clone().unwrap_or_default();
        let mut inner = self.lock();
        let Some(watched) = inner.watched.get_mut(scope) else { return false };
        // Mostly the echo of our own write.
        if watched.found.get(&namespace).is_some_and(|before| !known.is_newer_than(before)) {
            return false;
        }
        watched.found.insert(&namespace, known);
        true
    }

    fn deleted(&self, scope: &Scope, gone: &PartialObjectMeta<Secret>) -> bool {
        let namespace = gone.metadata.namespace.clone().unwrap_or_default();
        let mut inner = self.lock();
        let Some(watched) = inner.watched.get_mut(scope) else { return false };
        // We may have created it anew already.
        let same = |known: &Known| Some(&known.copy.version.uid) == gone.metadata.uid.as_ref();
        if watched.found.get(&namespace).is_none_or(|known| !same(known)) {
            return false;
        }
        watched.found.remove(&namespace);
        // What was refused was refused for that Secret: nothing is waited for any more.
        let place = ObjectName::new(namespace, &scope.secret_name);
        if let Some(note) = inner.notes.get_mut(&place)
            && note.trouble.as_ref().is_some_and(|trouble| trouble.kind == FailureKind::Rejected)
        {
            note.trouble = None;
        }
        true
    }

    fn failed(&self, scope: &Scope, error: &watcher::Error) -> bool {
        let Some(refusal) = super::secrets::refusal(error) else {
            tracing::debug!(secret = %scope.secret_name, error = %words(error), "a watch failed and is taken up again");
            return false;
        };
        let place = match &scope.namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None => "in a ClusterRole".to_owned(),
        };
        let rule = format!(
            "grant the verbs get, list, watch, create, patch, update and delete on secrets with resourceNames [\"{}\"] \
             {place} (API server: {refusal})",
            scope.secret_name
        );
        let mut inner = self.lock();
        let Some(watched) = inner.watched.get_mut(scope) else { return false };
        let denied = ScopeSight::Denied(rule);
        // A watch that worked before keeps what it brought: a moment's refusal takes nothing away.
        if watched.sight == denied || watched.sight == ScopeSight::Known {
            return false;
        }
        watched.sight = denied;
        true
    }

    async fn wake(&self, scope: &Scope) {
        let interested: Vec<ObjectName> =
            self.lock().watched.get(scope).map(|watched| watched.interested.clone()).unwrap_or_default();
        for by in interested {
            // The receiver is gone only at shutdown.
            let _ = self.wake.send(by).await;
        }
    }
}
