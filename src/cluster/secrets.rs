//! The Secrets that were named, and no others: one watch each (`fieldSelector metadata.name=…`, which RBAC by
//! `resourceNames` allows), and the last state that was seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, runtime::watcher};
use tokio::{sync::mpsc, task::AbortHandle};
use zeroize::Zeroize;

use super::{
    error::describe,
    single::{Part, Single, Watches},
};
use crate::{
    certificate::{Authorities, Facts},
    lifecycle::ObjectName,
};

/// A dead watch is noticed this many seconds (and five) after it died.
pub(super) const WATCH_TIMEOUT: u32 = 200;

/// A Secret as it was read. Its values are wiped when it is dropped and never printed.
pub struct Seen {
    secret: Secret,
    pub(super) slot_facts: OnceLock<Arc<Facts>>,
    pub(super) source_facts: OnceLock<(String, Arc<Facts>)>,
    pub(super) authorities: OnceLock<(&'static str, Arc<Authorities>)>,
}

impl Seen {
    pub(super) fn new(secret: Secret) -> Self {
        Self { secret, slot_facts: OnceLock::new(), source_facts: OnceLock::new(), authorities: OnceLock::new() }
    }

    /// The Secret itself.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    fn is_newer_than(&self, other: &Self) -> bool {
        // Resource versions of one resource are ordered numbers (KEP-5504); whatever is not, counts as newer.
        let version = |seen: &Self| seen.secret.resource_version().and_then(|version| version.parse::<u64>().ok());
        match (version(self), version(other)) {
            (Some(ours), Some(theirs)) => ours > theirs,
            _ => true,
        }
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        wipe(&mut self.secret);
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({}/{})", self.secret.namespace().unwrap_or_default(), self.secret.name_any())
    }
}

/// Overwrites every value of a Secret.
pub(super) fn wipe(secret: &mut Secret) {
    for value in secret.data.iter_mut().flat_map(BTreeMap::values_mut) {
        value.0.zeroize();
    }
    for value in secret.string_data.iter_mut().flat_map(BTreeMap::values_mut) {
        value.zeroize();
    }
    // kubectl's last-applied annotation repeats them in clear.
    for value in secret.metadata.annotations.iter_mut().flat_map(BTreeMap::values_mut) {
        value.zeroize();
    }
}

/// What is known of one named Secret.
#[derive(Debug, Clone)]
pub enum Sight {
    /// The first list has not come in.
    Pending,
    /// The API server refuses: the rule that is missing.
    Denied(String),
    /// There is none.
    Absent,
    /// There is one.
    Present(Arc<Seen>),
}

struct Watched {
    sight: Sight,
    interested: BTreeSet<ObjectName>,
    task: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The watches. Cloning shares them.
#[derive(Clone)]
pub struct Secrets {
    watches: Arc<Watches>,
    watched: Arc<Mutex<BTreeMap<ObjectName, Watched>>>,
    /// How often each GatewayCertificate was woken.
    changes: Arc<Mutex<BTreeMap<ObjectName, u64>>>,
    wake: mpsc::Sender<ObjectName>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    /// No watches yet. The name of each GatewayCertificate that a change concerns is sent to `wake`.
    #[must_use]
    pub fn new(watches: Arc<Watches>, wake: mpsc::Sender<ObjectName>) -> Self {
        Self { watches, watched: Arc::default(), changes: Arc::default(), wake }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectName, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of this Secret; starts its watch if there is none. Changes wake `by`.
    #[must_use]
    pub fn look(&self, secret: &ObjectName, by: &ObjectName) -> Sight {
        let mut watched = self.lock();
        if let Some(known) = watched.get_mut(secret) {
            known.interested.insert(by.clone());
            return known.sight.clone();
        }
        let task = tokio::spawn(self.clone().watch(secret.clone())).abort_handle();
        let interested = BTreeSet::from([by.clone()]);
        watched.insert(secret.clone(), Watched { sight: Sight::Pending, interested, task });
        Sight::Pending
    }

    /// Ends the interest of `by` in every Secret but these, and the watches that nobody is interested in.
    pub fn keep_only(&self, by: &ObjectName, secrets: &[ObjectName]) {
        self.lock().retain(|name, watched| {
            if !secrets.contains(name) {
                watched.interested.remove(by);
            }
            !watched.interested.is_empty()
        });
    }

    /// Ends the interest of every GatewayCertificate that is not among these.
    pub fn sweep(&self, alive: &BTreeSet<ObjectName>) {
        self.lock().retain(|_, watched| {
            watched.interested.retain(|by| alive.contains(by));
            !watched.interested.is_empty()
        });
        self.lock_changes().retain(|by, _| alive.contains(by));
    }

    /// Takes note of a state that a write or a read returned, unless the watch already brought a newer one.
    pub fn note(&self, name: &ObjectName, secret: Option<Secret>) {
        let mut watched = self.lock();
        let Some(known) = watched.get_mut(name) else { return };
        known.sight = match secret {
            None => Sight::Absent,
            Some(secret) => {
                let seen = Seen::new(secret);
                match &known.sight {
                    Sight::Present(before) if !seen.is_newer_than(before) => return,
                    _ => Sight::Present(Arc::new(seen)),
                }
            }
        };
    }

    /// How many changes of its Secrets this GatewayCertificate was woken for: whoever sees another figure than before
    /// has old news.
    #[must_use]
    pub fn changes(&self, by: &ObjectName) -> u64 {
        self.lock_changes().get(by).copied().unwrap_or_default()
    }

    fn lock_changes(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectName, u64>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many watches there are.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.lock().len()
    }

    async fn watch(self, name: ObjectName) {
        let mut single = Single::<Secret>::new(self.watches.clone(), name.clone(), Part::Whole);
        // Between the start and the end of a (re-)list nothing is believed to be gone.
        let mut listed: Option<Secret> = None;
        loop {
            match single.next().await {
                Ok(watcher::Event::Init) => listed = None,
                Ok(watcher::Event::InitApply(secret)) => listed = Some(secret),
                Ok(watcher::Event::InitDone) => {
                    let sight = listed.take().map_or(Sight::Absent, |s| Sight::Present(Arc::new(Seen::new(s))));
                    self.set(&name, sight, true).await;
                }
                Ok(watcher::Event::Apply(secret)) => {
                    self.set(&name, Sight::Present(Arc::new(Seen::new(secret))), false).await;
                }
                Ok(watcher::Event::Delete(secret)) => self.deleted(&name, &Seen::new(secret)).await,
                Err(error) => self.failed(&name, &error).await,
            }
        }
    }

    async fn set(&self, name: &ObjectName, sight: Sight, listed: bool) {
        {
            let mut watched = self.lock();
            let Some(known) = watched.get_mut(name) else { return };
            if !listed
                && let (Sight::Present(new), Sight::Present(old)) = (&sight, &known.sight)
                && !new.is_newer_than(old)
            {
                return;
            }
            known.sight = sight;
        }
        self.wake(name).await;
    }

    async fn deleted(&self, name: &ObjectName, gone: &Seen) {
        {
            let mut watched = self.lock();
            let Some(known) = watched.get_mut(name) else { return };
            // We may have created it anew already.
            if matches!(&known.sight, Sight::Present(seen) if seen.secret.uid() != gone.secret.uid()) {
                return;
            }
            known.sight = Sight::Absent;
        }
        self.wake(name).await;
    }

    async fn failed(&self, name: &ObjectName, error: &watcher::Error) {
        let Some(refusal) = refusal(error) else {
            tracing::debug!(secret = %name, error = %words(error), "a watch failed and is taken up again");
            return;
        };
        let rule = format!(
            "grant the verbs get, list and watch on secrets with resourceNames [\"{}\"] in namespace {} (API server: {})",
            name.name, name.namespace, refusal
        );
        {
            let mut watched = self.lock();
            let Some(known) = watched.get_mut(name) else { return };
            if matches!(&known.sight, Sight::Denied(before) if *before == rule) {
                return;
            }
            known.sight = Sight::Denied(rule);
        }
        self.wake(name).await;
    }

    async fn wake(&self, name: &ObjectName) {
        let interested: Vec<ObjectName> =
            self.lock().get(name).map(|watched| watched.interested.iter().cloned().collect()).unwrap_or_default();
        for by in interested {
            *self.lock_changes().entry(by.clone()).or_default() += 1;
            // The receiver is gone only at shutdown.
            let _ = self.wake.send(by).await;
        }
    }
}

/// What the API server said, where it refused to start a watch for want of a right.
pub(super) fn refusal(error: &watcher::Error) -> Option<String> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 403 =>
        {
            Some(super::error::sanitize(&status.message))
        }
        _ => None,
    }
}

/// What a watch's error says, without key material.
pub(crate) fn words(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e) | watcher::Error::WatchFailed(e) => {
            describe(e)
        }
        watcher::Error::WatchError(status) => super::error::sanitize(&status.message),
        other => super::error::sanitize(&other.to_string()),
    }
}
