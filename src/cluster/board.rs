//! All objects of a kind in a namespace, or in the cluster, kept as plain facts: one watch each, and only while a
//! GatewayCertificate asks for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use kube::{
    Api, Client, Resource,
    api::ListParams,
    core::{ApiResource, DynamicResourceScope, NamespaceResourceScope},
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{sync::mpsc, task::AbortHandle};

use crate::{
    cluster::{
        copies::PAGE,
        error::{CALL_TIMEOUT, is_unknown_resource, sanitize},
        gather::name_of,
        secrets::{WATCH_TIMEOUT, refusal, words},
    },
    lifecycle::ObjectName,
};

/// How long it takes until a kind that the API server would not show is asked for again.
const AGAIN: Duration = Duration::from_secs(60);
/// The same for one that it has just forgotten: another version of it may be there.
const SOON: Duration = Duration::from_secs(1);
/// The same for one that it does not know: Istio is seldom installed later.
const UNKNOWN_AGAIN: Duration = Duration::from_secs(300);

/// A kind, and what is kept of its objects.
pub(in crate::cluster) trait Kind: 'static {
    /// The object.
    type Object: Resource<DynamicType = Self::Type> + Clone + DeserializeOwned + Debug + Send + 'static;
    /// What names its API.
    type Type: Clone + Send + Sync;
    /// What is kept.
    type Plain: Clone + PartialEq + Send + Sync + 'static;
    /// The resource, for messages.
    const RESOURCE: &'static str;
    /// The one object of this name is meant, and no other.
    const NAME: Option<&'static str> = None;
    /// How long it takes until a kind that the API server does not know is asked for again.
    const UNKNOWN_AGAIN: Duration = UNKNOWN_AGAIN;
    /// Its APIs, the newest first.
    fn apis(client: &Client, scope: Option<&str>) -> Vec<Api<Self::Object>>;
    /// The facts of one.
    fn plain(object: &Self::Object) -> Self::Plain;
}

/// The API of a resource in a scope.
pub(in crate::cluster) fn scoped<K>(client: &Client, scope: Option<&str>, resource: &ApiResource) -> Api<K>
where
    K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    match scope {
        None => Api::all_with(client.clone(), resource),
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
    }
}

/// The API of a resource of Kubernetes' own in a scope.
pub(in crate::cluster) fn core<K>(client: &Client, scope: Option<&str>) -> Vec<Api<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    vec![match scope {
        None => Api::all(client.clone()),
        Some(namespace) => Api::namespaced(client.clone(), namespace),
    }]
}

/// What is known of a kind in one scope.
pub(in crate::cluster) enum View<P> {
    /// The first list has not come in.
    Pending,
    /// The API server refuses: what is missing.
    Denied(String),
    /// The API server does not know the kind.
    Unknown,
    /// All there are.
    Known(Arc<BTreeMap<ObjectName, P>>),
}

impl<P> View<P> {
    /// The rule that is missing, if one is.
    pub(in crate::cluster) fn denied(&self) -> Option<String> {
        match self {
            Self::Denied(rule) => Some(rule.clone()),
            Self::Pending | Self::Unknown | Self::Known(_) => None,
        }
    }
}

impl<P> Clone for View<P> {
    fn clone(&self) -> Self {
        match self {
            Self::Pending => Self::Pending,
            Self::Denied(rule) => Self::Denied(rule.clone()),
            Self::Unknown => Self::Unknown,
            Self::Known(known) => Self::Known(known.clone()),
        }
    }
}

type Scope = Option<String>;

struct Watched<P> {
    view: View<P>,
    interested: BTreeSet<ObjectName>,
    task: AbortHandle,
}

impl<P> Drop for Watched<P> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The watches of one kind. Cloning shares them.
pub(in crate::cluster) struct Board<K: Kind> {
    client: Client,
    watched: Arc<Mutex<BTreeMap<Scope, Watched<K::Plain>>>>,
    wake: mpsc::Sender<ObjectName>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Clone for Board<K> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), watched: self.watched.clone(), wake: self.wake.clone(), kind: PhantomData }
    }
}

impl<K: Kind> Board<K> {
    pub(in crate::cluster) fn new(client: Client, wake: mpsc::Sender<ObjectName>) -> Self {
        Self { client, watched: Arc::default(), wake, kind: PhantomData }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Scope, Watched<K::Plain>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known in this scope (`None`: the cluster); starts the watch if there is none. Changes wake `by`.
    pub(in crate::cluster) fn look(&self, scope: Option<&str>, by: &ObjectName) -> View<K::Plain> {
        let scope = scope.map(str::to_owned);
        let mut watched = self.lock();
        if let Some(known) = watched.get_mut(&scope) {
            known.interested.insert(by.clone());
            return known.view.clone();
        }
        let task = tokio::spawn(self.clone().watch(scope.clone())).abort_handle();
        let interested = BTreeSet::from([by.clone()]);
        watched.insert(scope, Watched { view: View::Pending, interested, task });
        View::Pending
    }

    /// Ends the interest of `by` in every scope but these, and the watches that nobody is interested in.
    pub(in crate::cluster) fn keep_only(&self, by: &ObjectName, scopes: &[Scope]) {
        self.lock().retain(|scope, watched| {
            if !scopes.contains(scope) {
                watched.interested.remove(by);
            }
            !watched.interested.is_empty()
        });
    }

    /// Takes note of a state that a call of `by` returned, before the watch brings it. The watch then has no news in it,
    /// so that all others are woken here.
    pub(in crate::cluster) fn note(&self, name: &ObjectName, found: Option<&K::Object>, by: &ObjectName) {
        let mut others = BTreeSet::new();
        for (scope, watched) in self.lock().iter_mut() {
            if scope.as_ref().is_none_or(|namespace| *namespace == name.namespace)
                && let View::Known(known) = &mut watched.view
            {
                let plain = found.map(K::plain);
                if known.get(name) == plain.as_ref() {
                    continue;
                }
                let known = Arc::make_mut(known);
                match plain {
                    Some(plain) => drop(known.insert(name.clone(), plain)),
                    None => drop(known.remove(name)),
                }
                others.extend(watched.interested.iter().filter(|other| *other != by).cloned());
            }
        }
        let wake = self.wake.clone();
        // Not waited for: whoever calls is at work, and the queue may be full.
        drop(tokio::spawn(async move {
            for other in others {
                let _ = wake.send(other).await;
            }
        }));
    }

    /// Ends the interest of every GatewayCertificate that is not among these.
    pub(in crate::cluster) fn sweep(&self, alive: &BTreeSet<ObjectName>) {
        self.lock().retain(|_, watched| {
            watched.interested.retain(|by| alive.contains(by));
            !watched.interested.is_empty()
        });
    }

    async fn watch(self, scope: Scope) {
        loop {
            let wait = match self.served(scope.as_deref()).await {
                Ok(api) => match self.follow(&scope, api).await {
                    End::Refused => AGAIN,
                    End::Gone => SOON,
                },
                Err(view) => {
                    let wait = if matches!(view, View::Unknown) { K::UNKNOWN_AGAIN } else { AGAIN };
                    self.set(&scope, view).await;
                    wait
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// The newest API that the server has.
    async fn served(&self, scope: Option<&str>) -> Result<Api<K::Object>, View<K::Plain>> {
        for api in K::apis(&self.client, scope) {
            let one = ListParams { field_selector: fields::<K>(), ..ListParams::default().limit(1) };
            match tokio::time::timeout(CALL_TIMEOUT, api.list(&one)).await {
                Ok(Err(error)) if is_unknown_resource(&error) => {}
                Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                    return Err(View::Denied(rule::<K>(scope, &sanitize(&status.message))));
                }
                // Whatever else is wrong, the watch meets it, too, and goes on trying.
                Ok(_) | Err(_) => return Ok(api),
            }
        }
        Err(View::Unknown)
    }

    /// Follows the changes until the server no longer knows the kind or refuses to show it.
    async fn follow(&self, scope: &Scope, api: Api<K::Object>) -> End {
        let config = watcher::Config::default().timeout(WATCH_TIMEOUT).page_size(PAGE);
        let config = watcher::Config { field_selector: fields::<K>(), ..config };
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        let mut listed = BTreeMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => listed.clear(),
                Ok(watcher::Event::InitApply(object)) => drop(listed.insert(name_of(&object), K::plain(&object))),
                Ok(watcher::Event::InitDone) => {
                    self.set(scope, View::Known(Arc::new(std::mem::take(&mut listed)))).await;
                }
                Ok(watcher::Event::Apply(object)) => {
                    self.change(scope, name_of(&object), Some(K::plain(&object))).await;
                }
                Ok(watcher::Event::Delete(object)) => self.change(scope, name_of(&object), None).await,
                Err(error) => {
                    if let Some(said) = refusal(&error) {
                        self.set(scope, View::Denied(rule::<K>(scope.as_deref(), &said))).await;
                        return End::Refused;
                    }
                    if is_gone(&error) {
                        return End::Gone;
                    }
                    tracing::debug!(resource = K::RESOURCE, error = %words(&error), "a watch failed and is taken up again");
                }
            }
        }
        End::Gone
    }

    async fn set(&self, scope: &Scope, view: View<K::Plain>) {
        if let Some(watched) = self.lock().get_mut(scope) {
            let same = match (&watched.view, &view) {
                (View::Known(old), View::Known(new)) => old == new,
                (View::Denied(old), View::Denied(new)) => old == new,
                (View::Unknown, View::Unknown) => true,
                _ => false,
            };
            watched.view = view;
            if same {
                return;
            }
        }
        self.wake(scope).await;
    }

    async fn change(&self, scope: &Scope, name: ObjectName, plain: Option<K::Plain>) {
        {
            let mut all = self.lock();
            let Some(Watched { view: View::Known(known), .. }) = all.get_mut(scope) else { return };
            if known.get(&name) == plain.as_ref() {
                return;
            }
            let known = Arc::make_mut(known);
            match plain {
                Some(plain) => drop(known.insert(name, plain)),
                None => drop(known.remove(&name)),
            }
        }
        self.wake(scope).await;
    }

    async fn wake(&self, scope: &Scope) {
        let interested: Vec<ObjectName> =
            self.lock().get(scope).map(|watched| watched.interested.iter().cloned().collect()).unwrap_or_default();
        for by in interested {
            // The receiver is gone only at shutdown.
            let _ = self.wake.send(by).await;
        }
    }
}

/// Why nothing is followed any more.
enum End {
    /// The API server refuses to show it.
    Refused,
    /// It does not know it any more.
    Gone,
}

/// The selector of the one object that is meant.
fn fields<K: Kind>() -> Option<String> {
    K::NAME.map(|name| format!("metadata.name={name}"))
}

fn rule<K: Kind>(scope: Option<&str>, said: &str) -> String {
    let named = K::NAME.map(|name| format!(" with resourceNames [\"{name}\"]")).unwrap_or_default();
    let (resource, place) = (K::RESOURCE, scope.map_or("a ClusterRole".to_owned(), |ns| format!("namespace {ns}")));
    format!("grant the verbs get, list and watch on {resource}{named} in {place} (API server: {said})")
}

fn is_gone(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => {
            is_unknown_resource(error)
        }
        _ => false,
    }
}
