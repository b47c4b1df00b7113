//! certkeeper as it ships, in a world of its own: its threads, its rights, its identity.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use certkeeper::{
    clock::SystemClock,
    cluster::client::guarded,
    controller::{Runtime, run},
    gateway::TcpDial,
    lifecycle::Settings,
};
use certkeeper_simulator::{
    ApiServer,
    server::{After, Gate, Request, RequestInfo},
};
use futures::future::BoxFuture;
use http::HeaderValue;
use kube::{Client, client::Body};
use tokio::{runtime, sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    components::{PAIR, PUBLIC, SHOP},
    missed::{Missed, Seen},
    stage::{GATEWAY_SECRET, HOME, MESH, SOURCE},
};

/// Who certkeeper is to the API server.
const USER: &str = "system:serviceaccount:kyma-system:certkeeper";

/// A rule: namespace (or [`ANYWHERE`]), resource, names (all if empty), verbs.
type Rule = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

/// A ClusterRole: every namespace, and what lies in none.
const ANYWHERE: &str = "*";

/// What certkeeper may do: the rules of docs/permissions.md.
const RIGHTS: &[Rule] = &[
    (HOME, "gatewaycertificates", &[], &["get", "list", "watch", "patch"]),
    (HOME, "gatewaycertificates/status", &[], &["update"]),
    (HOME, "secrets", &[SOURCE], &["get", "list", "watch"]),
    (HOME, "events", &[], &["create"]),
    (MESH, "secrets", KEPT, &["get", "list", "watch", "create", "patch", "update"]),
    (MESH, "secrets", &[KEPT[1]], &["delete"]),
    (MESH, "pods", &[], LOOK),
    (MESH, "services", &[], LOOK),
    (MESH, "envoyfilters", &[], LOOK),
    (MESH, "pods/eviction", &[], &["create"]),
    (ANYWHERE, "gateways", &[], LOOK),
    (ANYWHERE, "namespaces", &[], &["list", "watch"]),
    (ANYWHERE, "secrets", &[PUBLIC], COPY),
    (SHOP, "secrets", &[PAIR], COPY),
];

/// What a look needs.
const LOOK: &[&str] = &["get", "list", "watch"];

/// What a copy needs.
const COPY: &[&str] = &["get", "list", "watch", "create", "patch", "update", "delete"];

/// The Secrets that it keeps.
const KEPT: &[&str] = &[GATEWAY_SECRET, "kyma-gateway-certs-last-good"];

/// Has the API server allow certkeeper what the documentation asks for, and refuse it everything else.
pub(crate) fn restrict(server: &ApiServer) {
    server.set_authorizer(|call| {
        let named = |names: &[&str]| names.is_empty() || call.name.as_deref().is_some_and(|name| names.contains(&name));
        let allows = |(namespace, resource, names, verbs): &Rule| {
            (*namespace == ANYWHERE || call.namespace.as_deref() == Some(*namespace))
                && call.resource == *resource
                && verbs.contains(&call.verb.as_str())
                && named(names)
        };
        if call.user != USER || RIGHTS.iter().any(allows) { Ok(()) } else { Err(String::new()) }
    });
}

/// What certkeeper wrote, as the API server saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    seen: Arc<Mutex<Metered>>,
}

#[derive(Debug, Default)]
struct Metered {
    writes: BTreeMap<String, usize>,
    refused: Vec<String>,
    promoted: Option<Instant>,
}

impl Meter {
    fn lock(&self) -> MutexGuard<'_, Metered> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its writes, by resource.
    pub(crate) fn writes(&self) -> BTreeMap<String, usize> {
        self.lock().writes.clone()
    }

    /// What it asked for without having the right to.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.lock().refused.clone()
    }

    /// When it last wrote the gateway's Secret.
    pub(crate) fn promoted(&self) -> Option<Instant> {
        self.lock().promoted
    }
}

impl Gate for Meter {
    fn after<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, After> {
        if request.info.user == USER {
            let mut seen = self.lock();
            let RequestInfo { resource, verb, path, name, namespace, .. } = &request.info;
            if request.code == 403 {
                seen.refused.push(format!("{verb} {path}"));
            }
            if request.wrote {
                *seen.writes.entry(resource.clone()).or_default() += 1;
                let gateway = (namespace.as_deref(), name.as_deref()) == (Some(MESH), Some(GATEWAY_SECRET));
                if gateway && resource == "secrets" {
                    seen.promoted = Some(Instant::now());
                }
            }
        }
        Box::pin(async { After::Reply })
    }
}

/// certkeeper at work. Dropped, it is gone as after `kill -9`.
#[derive(Debug)]
pub(crate) struct Keeper {
    runtime: Option<runtime::Runtime>,
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
}

impl Keeper {
    /// Starts it.
    ///
    /// # Errors
    /// When its threads cannot be started.
    pub(crate) fn start(server: &ApiServer) -> std::io::Result<Self> {
        let mut builder = runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("certkeeper").enable_all().build()?;
        let stop = CancellationToken::new();
        let (sender, ended) = oneshot::channel();
        let (server, token) = (server.clone(), stop.clone());
        runtime.spawn(async move {
            let mut settings = Settings { namespaces: vec![HOME.to_owned()], ..Settings::default() };
            settings.allow.extend([format!("*/{PUBLIC}"), format!("{SHOP}/{PAIR}")]);
            let client = guarded(identified(server.client()));
            let clock = Arc::new(SystemClock);
            run(
                Runtime {
                    watches: client.clone(),
                    client,
                    dial: Arc::new(TcpDial),
                    clock,
                    settings,
                    instance: "certkeeper-demo".to_owned(),
                },
                token,
            )
            .await;
            // Nobody waits for it when it was killed.
            let _ = sender.send(());
        });
        Ok(Self { runtime: Some(runtime), stop, ended })
    }

    /// Ends it as SIGTERM would.
    pub(crate) async fn stop(mut self, patience: Duration) -> Seen<()> {
        self.stop.cancel();
        let expected = format!("certkeeper ends when it is asked to, within {patience:?}");
        match timeout(patience, &mut self.ended).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Missed::new(expected, "it had ended before")),
            Err(_) => Err(Missed::new(expected, "it is still running")),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A client whose requests come from certkeeper's service account.
fn identified(client: Client) -> Client {
    let service = tower::service_fn(move |mut request: http::Request<Body>| {
        let client = client.clone();
        async move {
            request.headers_mut().insert("impersonate-user", HeaderValue::from_static(USER));
            client.send(request).await
        }
    });
    Client::new(service, HOME)
}
