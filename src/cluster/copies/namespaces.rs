//! The cluster's namespaces, their labels alone: one metadata-only watch, and only while a target asks for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace as Object;
use kube::{
    Api, Client, ResourceExt,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{sync::mpsc, task::AbortHandle};

use crate::{
    cluster::{
        copies::PAGE,
        secrets::{WATCH_TIMEOUT, refusal, words},
    },
    lifecycle::{
        ObjectName,
        targets::{Namespace, Namespaces},
    },
};

/// The watch on namespaces. Cloning shares it.
#[derive(Clone)]
pub struct NamespaceWatch {
    client: Client,
    inner: Arc<Mutex<Inner>>,
    wake: mpsc::Sender<ObjectName>,
}

#[derive(Default)]
struct Inner {
    sight: Namespaces,
    interested: BTreeSet<ObjectName>,
    task: Option<AbortHandle>,
}

impl std::fmt::Debug for NamespaceWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NamespaceWatch").finish_non_exhaustive()
    }
}

impl NamespaceWatch {
    /// No watch yet. The name of each GatewayCertificate that a change may concern is sent to `wake`.
    #[must_use]
    pub fn new(client: Client, wake: mpsc::Sender<ObjectName>) -> Self {
        Self { client, inner: Arc::default(), wake }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the namespaces; starts the watch if it does not run.
    #[must_use]
    pub fn look(&self, by: &ObjectName) -> Namespaces {
        let mut inner = self.lock();
        inner.interested.insert(by.clone());
        if inner.task.is_none() {
            inner.sight = Namespaces::Pending;
            inner.task = Some(tokio::spawn(self.clone().watch()).abort_handle());
        }
        inner.sight.clone()
    }

    /// Ends the interest of this GatewayCertificate, and the watch with the last interest.
    pub fn forget(&self, by: &ObjectName) {
        let mut inner = self.lock();
        inner.interested.remove(by);
        inner.rest();
    }

    /// Ends the interest of every GatewayCertificate that is not among these.
    pub fn sweep(&self, alive: &BTreeSet<ObjectName>) {
        let mut inner = self.lock();
        inner.interested.retain(|by| alive.contains(by));
        inner.rest();
    }

    async fn watch(self) {
        let config = watcher::Config::default().timeout(WATCH_TIMEOUT).page_size(PAGE);
        let api: Api<PartialObjectMeta<Object>> = Api::all(self.client.clone());
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        let mut listed = BTreeMap::new();
        while let Some(event) = events.next().await {
            let news = match event {
                Ok(watcher::Event::Init) => {
                    listed.clear();
                    false
                }
                Ok(watcher::Event::InitApply(object)) => {
                    listed.insert(object.name_any(), facts(object));
                    false
                }
                Ok(watcher::Event::InitDone) => {
                    self.lock().sight = Namespaces::Known(Arc::new(std::mem::take(&mut listed)));
                    true
                }
                Ok(watcher::Event::Apply(object)) => self.lock().changed(object),
                Ok(watcher::Event::Delete(object)) => self.lock().deleted(&object.name_any()),
                Err(error) => self.lock().failed(&error),
            };
            if news {
                let interested: Vec<ObjectName> = self.lock().interested.iter().cloned().collect();
                for by in interested {
                    // The receiver is gone only at shutdown.
                    let _ = self.wake.send(by).await;
                }
            }
        }
    }
}

impl Inner {
    fn rest(&mut self) {
        if self.interested.is_empty()
            && let Some(task) = self.task.take()
        {
            task.abort();
            self.sight = Namespaces::NotNeeded;
        }
    }

    fn changed(&mut self, object: PartialObjectMeta<Object>) -> bool {
        let Namespaces::Known(known) = &mut self.sight else { return false };
        let name = object.name_any();
        let namespace = facts(object);
        if known.get(&name) == Some(&namespace) {
            return false;
        }
        Arc::make_mut(known).insert(name, namespace);
        true
    }

    fn deleted(&mut self, name: &str) -> bool {
        let Namespaces::Known(known) = &mut self.sight else { return false };
        Arc::make_mut(known).remove(name).is_some()
    }

    fn failed(&mut self, error: &watcher::Error) -> bool {
        let Some(refusal) = refusal(error) else {
            tracing::debug!(error = %words(error), "the watch on namespaces failed and is taken up again");
            return false;
        };
        if !matches!(self.sight, Namespaces::Pending) {
            return false;
        }
        let rule = format!("grant the verbs list and watch on namespaces in a ClusterRole (API server: {refusal})");
        self.sight = Namespaces::Denied(rule);
        true
    }
}

/// What is known of a namespace by its metadata.
pub(super) fn facts(object: PartialObjectMeta<Object>) -> Namespace {
    let terminating = object.metadata.deletion_timestamp.is_some();
    Namespace { labels: object.metadata.labels.into_iter().flatten().collect(), terminating }
}
