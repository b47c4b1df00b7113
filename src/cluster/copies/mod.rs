//! The copies: metadata-only watches on the Secrets of the targets' names, what is known of each, and the writes.

mod facts;
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

use super::{secrets::WATCH_TIMEOUT, secrets::words};
use crate::lifecycle::{
    ObjectName,
    targets::{Copies, Copy, Observation, Scope, ScopeSight, Trouble},
};

pub use hands::CopyHands;
pub use look::{all_namespaces, look_once};
pub use namespaces::NamespaceWatch;

use facts::{Extra, Known};

/// Objects that a list brings at a time: as many as are decoded at once, and so what a first look costs in memory.
pub(super) const PAGE: u32 = 100;

/// The copies that are watched. Cloning shares them.
#[derive(Clone)]
pub struct CopyStore {
    client: Client,
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
    known: BTreeMap<String, Known>,
    interested: BTreeSet<ObjectName>,
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
        self.watched.get(&self.scope_of(place)?)?.known.get(&place.namespace)
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
    pub fn new(client: Client, wake: mpsc::Sender<ObjectName>) -> Self {
        Self { client, inner: Arc::default(), wake }
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
                watched.interested.remove(by);
            }
            !watched.interested.is_empty()
        });
        let mut copies = Copies::default();
        for scope in scopes {
            let watched = inner.watched.entry(scope.clone()).or_insert_with(|| Watched {
                sight: ScopeSight::Pending,
                known: BTreeMap::new(),
                interested: BTreeSet::new(),
                task: tokio::spawn(self.clone().watch(scope.clone())).abort_handle(),
            });
            watched.interested.insert(by.clone());
            copies.insert(scope, watched.sight.clone());
            for (namespace, known) in &watched.known {
                let place = ObjectName::new(namespace.as_str(), &scope.secret_name);
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

    /// Marks a place as being worked on; `false` if somebody is at it already.
    pub fn begin(&self, place: &ObjectName) -> bool {
        self.update_note(place, |note| !std::mem::replace(&mut note.busy, true))
    }

    /// The state of a place that was decided on, if it is still that.
    fn base(&self, place: &ObjectName, resource_version: &str) -> Option<(Arc<Copy>, Option<Arc<Extra>>)> {
        let inner = self.lock();
        let known = inner.known(place).filter(|known| known.copy.version.resource_version == resource_version)?;
        Some((known.copy.clone(), known.extra.clone()))
    }

    /// Takes note of a state that a write or a read returned, unless the watch already brought a newer one.
    fn note(&self, place: &ObjectName, found: Option<&PartialObjectMeta<Secret>>) {
        let known = found.map(Known::new);
        let mut inner = self.lock();
        let Some(scope) = inner.scope_of(place) else { return };
        let Some(watched) = inner.watched.get_mut(&scope) else { return };
        match known {
            None => drop(watched.known.remove(&place.namespace)),
            Some(known) => {
                let before = watched.known.get(&place.namespace);
                if before.is_none_or(|before| known.is_newer_than(before)) {
                    watched.known.insert(place.namespace.clone(), known);
                }
            }
        }
    }

    /// Takes note of what a comparison of the values found.
    fn compared(&self, place: &ObjectName, resource_version: &str, same: bool) {
        let mut inner = self.lock();
        let Some(scope) = inner.scope_of(place) else { return };
        let known = inner.watched.get_mut(&scope).and_then(|watched| watched.known.get_mut(&place.namespace));
        if let Some(known) = known.filter(|known| known.copy.version.resource_version == resource_version) {
            Arc::make_mut(&mut known.copy).compared = Some(same);
        }
    }

    async fn watch(self, scope: Scope) {
        let api: Api<PartialObjectMeta<Secret>> = match &scope.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let fields = format!("metadata.name={}", scope.secret_name);
        let config = watcher::Config::default().fields(&fields).timeout(WATCH_TIMEOUT).page_size(PAGE);
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        let mut listed = BTreeMap::new();
        while let Some(event) = events.next().await {
            let news = match event {
                Ok(watcher::Event::Init) => {
                    listed.clear();
                    false
                }
                Ok(watcher::Event::InitApply(secret)) => {
                    listed.insert(secret.metadata.namespace.clone().unwrap_or_default(), Known::new(&secret));
                    false
                }
                Ok(watcher::Event::InitDone) => self.listed(&scope, std::mem::take(&mut listed)),
                Ok(watcher::Event::Apply(secret)) => self.changed(&scope, &secret),
                Ok(watcher::Event::Delete(secret)) => self.deleted(&scope, &secret),
                Err(error) => self.failed(&scope, &error),
            };
            if news {
                self.wake(&scope).await;
            }
        }
    }

    fn listed(&self, scope: &Scope, mut listed: BTreeMap<String, Known>) -> bool {
        let mut inner = self.lock();
        let Some(watched) = inner.watched.get_mut(scope) else { return false };
        // What was compared stays compared as long as the Secret is the same.
        for (namespace, known) in &mut listed {
            let before = watched.known.get(namespace).filter(|before| before.copy.version == known.copy.version);
            if let Some(before) = before {
                *known = before.clone();
            }
        }
        watched.known = listed;
        watched.sight = ScopeSight::Known;
        true
    }

    fn changed(&self, scope: &Scope, secret: &PartialObjectMeta<Secret>) -> bool {
        let known = Known::new(secret);
        let namespace = secret.metadata.namespace.clone().unwrap_or_default();
        let mut inner = self.lock();
        let Some(watched) = inner.watched.get_mut(scope) else { return false };
        // Mostly the echo of our own write.
        if watched.known.get(&namespace).is_some_and(|before| !known.is_newer_than(before)) {
            return false;
        }
        watched.known.insert(namespace, known);
        true
    }

    fn deleted(&self, scope: &Scope, gone: &PartialObjectMeta<Secret>) -> bool {
        let namespace = gone.metadata.namespace.clone().unwrap_or_default();
        let mut inner = self.lock();
        let Some(watched) = inner.watched.get_mut(scope) else { return false };
        // We may have created it anew already.
        let same = |known: &Known| Some(&known.copy.version.uid) == gone.metadata.uid.as_ref();
        if watched.known.get(&namespace).is_none_or(|known| !same(known)) {
            return false;
        }
        watched.known.remove(&namespace);
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
            self.lock().watched.get(scope).map(|w| w.interested.iter().cloned().collect()).unwrap_or_default();
        for by in interested {
            // The receiver is gone only at shutdown.
            let _ = self.wake.send(by).await;
        }
    }
}
