//! A gateway of several pods without any network: what certkeeper dials is a pipe to one of them. It runs against
//! any API server and on paused time. Its pods have the vices that were measured on real Envoys (FACTS, "Measured
//! here"), each at a test's word.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use certkeeper::gateway::{Dial, Stream};
use futures::{StreamExt, future::BoxFuture};
use k8s_openapi::{
    api::{
        core::v1::{Pod, Secret, Service},
        policy::v1::PodDisruptionBudget,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::JoinSet,
    time::sleep,
};

use super::{
    server::serve,
    taker::{Taker, Vice},
};

/// istiod's debounce.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How long a successor of an evicted pod takes to become ready.
const START: Duration = Duration::from_secs(2);

struct VirtualPod {
    /// It closes every connection that does not begin with a PROXY header, version 2.
    proxied: AtomicBool,
    state: Mutex<Taker>,
    hosts: Vec<String>,
}

impl VirtualPod {
    fn lock(&self) -> std::sync::MutexGuard<'_, Taker> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_up(&self, secret: &Secret) {
        // What it refuses, it refuses silently.
        let _ = self.lock().take_up(secret);
    }
}

/// The pods, by where they listen.
#[derive(Default)]
struct Table {
    pods: Mutex<BTreeMap<SocketAddr, Arc<VirtualPod>>>,
    /// Addresses never come back: a test may hold on to one.
    next: AtomicU32,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

impl Table {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SocketAddr, Arc<VirtualPod>>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dial for Table {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let pod = self.lock().get(&address).cloned();
        Box::pin(async move {
            let pod = pod.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(async move {
                let pair = { pod.lock() }.pair.clone();
                if { pod.lock() }.vice != Some(Vice::Reset) {
                    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                    let mut theirs = theirs;
                    if pod.proxied.load(Ordering::Relaxed) && !takes_header(&mut theirs).await {
                        return;
                    }
                    // What goes wrong shows at the other end.
                    let _ = serve(theirs, &pod.hosts, pair, provider).await;
                }
            });
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

/// Reads a PROXY header without addresses (version 2, 2.2); whether it was one.
async fn takes_header(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut header = [0; 16];
    stream.read_exact(&mut header).await.is_ok()
        && header.starts_with(b"\r\n\r\n\0\r\nQUIT\n")
        && header[14..] == [0, 0]
}

/// A gateway's pods, its Service and its Gateway.
#[derive(Clone, Debug)]
pub struct VirtualMesh {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    table: Arc<Table>,
    namespace: String,
    secret: String,
    hosts: Vec<String>,
    /// Leaves that every pod refuses, later ones too.
    refuses: Mutex<BTreeSet<String>>,
    tasks: Mutex<JoinSet<()>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Istio's Gateway as far as certkeeper reads it: a definition of our own.
fn definition() -> CustomResourceDefinition {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema":
            {"type": "object", "properties": {"spec": any, "status": any}}}})
    };
    serde_json::from_value(json!({
        "metadata": {"name": "gateways.networking.istio.io"},
        "spec": {
            "group": "networking.istio.io", "scope": "Namespaced",
            "names": {"kind": "Gateway", "listKind": "GatewayList", "plural": "gateways", "singular": "gateway"},
            "versions": [version("v1", true), version("v1beta1", false)],
        },
    }))
    .expect("a definition")
}

/// Istio's EnvoyFilter, in the same way.
fn filters_definition() -> CustomResourceDefinition {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    serde_json::from_value(json!({
        "metadata": {"name": "envoyfilters.networking.istio.io"},
        "spec": {
            "group": "networking.istio.io", "scope": "Namespaced",
            "names": {"kind": "EnvoyFilter", "listKind": "EnvoyFilterList", "plural": "envoyfilters",
                "singular": "envoyfilter"},
            "versions": [{"name": "v1alpha3", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "properties": {"spec": any, "status": any}}}}],
        },
    }))
    .expect("a definition")
}

/// The resource `gateways` of Istio.
fn gateways(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "Gateway");
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, "gateways"))
}

impl VirtualMesh {
    /// Makes the API server know Istio's Gateways and EnvoyFilters.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn install(client: &Client) -> kube::Result<()> {
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        let params = PatchParams::apply("virtual-mesh").force();
        definitions.patch("gateways.networking.istio.io", &params, &Patch::Apply(definition())).await?;
        definitions.patch("envoyfilters.networking.istio.io", &params, &Patch::Apply(filters_definition())).await?;
        // In the first second after a definition is established its resources may still be unknown.
        for _ in 0..100 {
            if gateways(client, "default").list(&ListParams::default()).await.is_ok() {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// The Gateway `gw` in this namespace, which hands out this Secret of the same namespace for these hosts, and the
    /// Service behind which its pods are. There are no pods yet.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn start(client: Client, namespace: &str, secret: &str, hosts: &[&str]) -> kube::Result<Self> {
        Self::install(&client).await?;
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let tls = json!({"mode": "SIMPLE", "credentialName": secret});
        let gateway = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"name": "gw", "namespace": namespace},
            "spec": {"selector": {"app": namespace}, "servers": [
                {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": hosts, "tls": tls}]},
        });
        let gateway: DynamicObject = serde_json::from_value(gateway).map_err(kube::Error::SerdeError)?;
        gateways(&client, namespace).create(&PostParams::default(), &gateway).await?;
        let ports = json!([{"name": "https", "port": 443, "targetPort": 8443}]);
        let service = json!({"metadata": {"name": "gw"}, "spec": {"selector": {"app": namespace}, "ports": ports}});
        let service: Service = serde_json::from_value(service).map_err(kube::Error::SerdeError)?;
        Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &service).await?;
        let inner = Inner {
            client,
            table: Arc::default(),
            namespace: namespace.to_owned(),
            secret: secret.to_owned(),
            hosts,
            refuses: Mutex::default(),
            tasks: Mutex::default(),
        };
        let mesh = Self { inner: Arc::new(inner) };
        mesh.spawn(mesh.clone().replace());
        Ok(mesh)
    }

    /// What certkeeper dials.
    #[must_use]
    pub fn dial(&self) -> Arc<dyn Dial> {
        self.inner.table.clone()
    }

    /// Ends every task: pods keep what they serve, and follow nothing any more.
    pub fn stop(&self) {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.inner.client.clone(), &self.inner.namespace)
    }

    /// Changes the Gateway's spec by a merge patch.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn patch_gateway(&self, patch: serde_json::Value) -> kube::Result<()> {
        let api = gateways(&self.inner.client, &self.inner.namespace);
        api.patch("gw", &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }

    /// Starts a pod, ready at once, which takes the Secret as it is now.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn add_pod(&self, name: &str) -> kube::Result<()> {
        let inner = &self.inner;
        let number = inner.table.next.fetch_add(1, Ordering::Relaxed) + 1;
        let ip = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number));
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"app": inner.namespace}},
            "spec": {"containers": [{"name": "proxy", "image": "envoy"}]},
        }))
        .map_err(kube::Error::SerdeError)?;
        self.pods().create(&PostParams::default(), &pod).await?;
        let refuses = inner.refuses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state = Mutex::new(Taker::that_refuses(refuses));
        let pod = Arc::new(VirtualPod { proxied: AtomicBool::new(false), state, hosts: inner.hosts.clone() });
        let api: Api<Secret> = Api::namespaced(inner.client.clone(), &inner.namespace);
        if let Some(secret) = api.get_opt(&inner.secret).await? {
            pod.take_up(&secret);
        }
        inner.table.lock().insert(SocketAddr::new(ip, 8443), pod.clone());
        self.spawn(follow(api, inner.secret.clone(), pod));
        let conditions = json!([{"type": "Ready", "status": "True"}]);
        let status = json!({"status": {"phase": "Running", "podIP": ip, "conditions": conditions}});
        self.pods().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.map(drop)
    }

    /// Takes a pod away at once; its successor follows.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn delete_pod(&self, name: &str) -> kube::Result<()> {
        self.pods().delete(name, &DeleteParams::default().grace_period(0)).await.map(drop)
    }

    /// Sets how ready a pod says it is.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn set_ready(&self, name: &str, ready: bool) -> kube::Result<()> {
        let conditions = json!([{"type": "Ready", "status": if ready { "True" } else { "False" }}]);
        let status = json!({"status": {"conditions": conditions}});
        self.pods().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.map(drop)
    }

    async fn pod(&self, name: &str) -> Option<Arc<VirtualPod>> {
        let pod = self.pods().get_opt(name).await.ok()??;
        let ip: IpAddr = pod.status?.pod_ip?.parse().ok()?;
        self.inner.table.lock().get(&SocketAddr::new(ip, 8443)).cloned()
    }

    /// Puts Envoy's filter for the PROXY protocol before every pod, as Kyma's option on AWS does.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn expect_proxy_header(&self) -> kube::Result<()> {
        for pod in self.inner.table.lock().values() {
            pod.proxied.store(true, Ordering::Relaxed);
        }
        let filters = json!([{"name": "envoy.filters.listener.proxy_protocol"}]);
        let patch = json!({"operation": "MERGE", "value": {"listener_filters": filters}});
        let object = json!({
            "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
            "metadata": {"name": "proxy-protocol", "namespace": self.inner.namespace},
            "spec": {"workloadSelector": {"labels": {"app": self.inner.namespace}},
                "configPatches": [{"applyTo": "LISTENER", "match": {"context": "GATEWAY"}, "patch": patch}]},
        });
        let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
        let kind = GroupVersionKind::gvk("networking.istio.io", "v1alpha3", "EnvoyFilter");
        let resource = ApiResource::from_gvk(&kind);
        let api = Api::namespaced_with(self.inner.client.clone(), &self.inner.namespace, &resource);
        api.create(&PostParams::default(), &object).await.map(drop)
    }

    /// A PodDisruptionBudget over the pods, whose status allows so many of them to go.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn set_budget(&self, allowed: u32) -> kube::Result<()> {
        let inner = &self.inner;
        let api: Api<PodDisruptionBudget> = Api::namespaced(inner.client.clone(), &inner.namespace);
        let selector = json!({"matchLabels": {"app": inner.namespace}});
        let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "gw"},
            "spec": {"selector": selector, "minAvailable": 1}});
        api.patch("gw", &PatchParams::apply("virtual-mesh"), &Patch::Apply(budget)).await?;
        let status = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "expectedPods": 2,
            "desiredHealthy": 2, "currentHealthy": 2}});
        api.patch_status("gw", &PatchParams::default(), &Patch::Merge(status)).await.map(drop)
    }

    /// Gives a pod a vice, or takes it away: then it takes up the next change.
    pub async fn set_vice(&self, name: &str, vice: Option<Vice>) {
        let Some(pod) = self.pod(name).await else { return };
        pod.lock().vice = vice;
    }

    /// From now on every pod refuses the leaf with this fingerprint.
    pub fn refuse(&self, fingerprint: &str) {
        self.inner.refuses.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint.to_owned());
        for pod in self.inner.table.lock().values() {
            pod.lock().refuses.insert(fingerprint.to_owned());
        }
    }

    /// Takes [`Self::refuse`] back.
    pub fn accept(&self, fingerprint: &str) {
        self.inner.refuses.lock().unwrap_or_else(PoisonError::into_inner).remove(fingerprint);
        for pod in self.inner.table.lock().values() {
            pod.lock().refuses.remove(fingerprint);
        }
    }

    /// The fingerprint of the leaf that a pod serves.
    pub async fn serves(&self, name: &str) -> Option<String> {
        let pod = self.pod(name).await?;
        pod.lock().serving()
    }

    /// The names of the pods that are there.
    pub async fn names(&self) -> Vec<String> {
        let pods = self.pods().list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        pods.into_iter().filter_map(|pod| pod.metadata.name).collect()
    }

    /// As a ReplicaSet does: each pod that goes gets a successor.
    async fn replace(self) {
        let mut events = pin!(watcher(self.pods(), watcher::Config::default()).default_backoff());
        let mut number = 0;
        while let Some(event) = events.next().await {
            let Ok(watcher::Event::Delete(gone)) = event else { continue };
            let ip = gone.status.and_then(|status| status.pod_ip).and_then(|ip| ip.parse::<IpAddr>().ok());
            if let Some(ip) = ip {
                self.inner.table.lock().remove(&SocketAddr::new(ip, 8443));
            }
            number += 1;
            sleep(START).await;
            // The namespace may be gone with the test.
            let _ = self.add_pod(&format!("successor-{number}")).await;
        }
    }
}

async fn follow(api: Api<Secret>, name: String, pod: Arc<VirtualPod>) {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut changes = pin!(watcher(api, config).default_backoff().applied_objects());
    while let Some(change) = changes.next().await {
        if let Ok(secret) = change {
            sleep(DEBOUNCE).await;
            pod.take_up(&secret);
        }
    }
}
