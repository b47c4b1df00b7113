//! One mesh at work.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU8},
    time::Duration,
};

use certkeeper_control_plane::{ControlPlane, Supervised, envoy, istiod};
use certkeeper_simulator::ca::{Ca, Issued};
use chrono::Utc;
use futures::future::try_join_all;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use serde_json::Value;
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep},
};

use crate::{Error, PATIENCE, Removal, http::figure, istiod::Istiod, kubelet, network::Network, objects, pods::Pods};

/// What can be chosen about a mesh.
#[derive(Debug, Clone)]
pub struct MeshConfig {
    /// How many pods the gateway has, at most 200. Default 3.
    pub gateways: usize,
    /// How long istiod waits for more changes before it pushes. Default `None`: Istio's own 100 ms.
    pub debounce: Option<Duration>,
    /// `minAvailable` of the gateway's PodDisruptionBudget; `None` for no budget. Default 1, as Istio installs it.
    pub budget: Option<u16>,
    /// What is in the gateway's Secret before the first pod starts. Default `None`, no Secret: each Envoy then waits for
    /// one for 15 s before it calls itself live.
    pub pair: Option<Issued>,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self { gateways: 3, debounce: None, budget: Some(1), pair: None }
    }
}

impl From<usize> for MeshConfig {
    fn from(gateways: usize) -> Self {
        Self { gateways, ..Self::default() }
    }
}

/// A pod of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayPod {
    /// Its name.
    pub name: String,
    /// Where it serves TLS.
    pub tls: SocketAddr,
    /// Where it redirects to TLS.
    pub plain: SocketAddr,
}

/// A mesh at work: what it started ends when it is dropped, or when this process dies, however it dies.
pub struct Mesh {
    // The order matters: what uses the API server and its folder ends before it.
    kubelet: AbortHandle,
    istiod: Istiod,
    pods: Arc<Pods>,
    /// The API server.
    pub plane: ControlPlane,
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mesh").field("gateways", &self.gateways()).finish_non_exhaustive()
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.kubelet.abort();
        self.pods.lock().clear();
    }
}

/// Applies an object, whatever its kind.
///
/// # Errors
/// What the API server says.
pub async fn apply(client: &Client, object: &Value) -> Result<(), Error> {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind")));
    let metadata = &object["metadata"];
    let api: Api<DynamicObject> = match metadata["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = metadata["name"].as_str().unwrap_or_default();
    let deadline = Instant::now() + PATIENCE;
    loop {
        // In the first second after a definition is established its resources may still be unknown.
        match api.patch(name, &PatchParams::apply("mesh").force(), &Patch::Apply(object)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 && Instant::now() < deadline => {
                sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Istio's definitions, then the objects of the gateway.
async fn furnish(client: &Client, crds: &Path, config: &MeshConfig) -> Result<(), Error> {
    let text = std::fs::read_to_string(crds).map_err(Error::file(crds))?;
    let documents = text.split("\n---").filter(|document| document.contains("kind:"));
    let definitions: Vec<Value> =
        documents.map(serde_saphyr::from_str).collect::<Result<_, _>>().map_err(Error::unexpected("Istio's CRDs"))?;
    try_join_all(definitions.iter().map(|definition| apply(client, definition))).await?;
    let chosen = [config.budget.map(objects::budget), config.pair.as_ref().map(objects::secret)];
    for object in objects::base().into_iter().chain(chosen.into_iter().flatten()) {
        apply(client, &object).await?;
    }
    Ok(())
}

/// A CA, and istiod's certificate, as files.
fn authority(folder: &Path) -> Result<(), Error> {
    let ca = Ca::root("Mesh Root", Utc::now()).map_err(Error::unexpected("a CA"))?;
    let pair = ca.leaf(&["istiod.istio-system.svc"]).issue().map_err(Error::unexpected("istiod's certificate"))?;
    std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    let files = [("ca.pem", ca.pem()), ("istiod.pem", pair.certificate()), ("istiod.key", pair.key().to_owned())];
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(Error::file(&path))?;
    }
    Ok(())
}

/// istiod and Envoy, which may take minutes to build or fetch.
async fn programs() -> Result<(certkeeper_control_plane::Istiod, PathBuf), Error> {
    let found = tokio::task::spawn_blocking(|| Ok::<_, Error>((istiod()?, envoy()?))).await;
    found.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

impl Mesh {
    /// Starts a mesh: a number of pods, or a whole [`MeshConfig`]. All pods are ready when it returns.
    ///
    /// # Errors
    /// Says which part is missing and what to install, or which was not ready in time.
    pub async fn start(config: impl Into<MeshConfig>) -> Result<Self, Error> {
        let config = config.into();
        let (istio, envoy) = programs().await?;
        let plane = ControlPlane::start().await?;
        let client = plane.client()?;
        furnish(&client, &istio.crds, &config).await?;
        let network = Network::lease()?;
        // Within the API server's folder: that goes even if this process is killed.
        let folder = plane.folder().join("mesh");
        authority(&folder)?;
        let mut istiod = Istiod {
            program: istio.program,
            address: network.address(1),
            folder: folder.clone(),
            kubeconfig: plane.kubeconfig(),
            debounce: config.debounce,
            process: None,
        };
        istiod.start().await?;
        let (next, running, removed) = (AtomicU8::new(2), Mutex::default(), Mutex::default());
        let pods = Arc::new(Pods { client, envoy, folder, network, next, running, removed });
        let kubelet = tokio::spawn(kubelet::run(pods.clone())).abort_handle();
        let mesh = Self { kubelet, istiod, pods, plane };
        try_join_all((0..config.gateways).map(|_| mesh.add_pod())).await?;
        Ok(mesh)
    }

    /// A client for the API server, as its administrator.
    #[must_use]
    pub fn client(&self) -> Client {
        self.pods.client.clone()
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.plane.kubeconfig()
    }

    /// Starts istiod (anew) and waits until it is ready.
    ///
    /// # Errors
    /// It ends, or is not ready in time.
    pub async fn start_istiod(&mut self) -> Result<(), Error> {
        self.istiod.start().await
    }

    /// Ends istiod as `kill -9` does.
    pub fn stop_istiod(&mut self) {
        self.istiod.process = None;
    }

    /// Ends istiod and starts it anew: what it knew of rights is forgotten.
    ///
    /// # Errors
    /// As [`Mesh::start_istiod`].
    pub async fn restart_istiod(&mut self) -> Result<(), Error> {
        self.stop_istiod();
        self.start_istiod().await
    }

    /// One of istiod's figures, such as `pilot_total_xds_rejects{type="sds"}`: 0 if it was never raised, `None` if
    /// istiod does not answer.
    pub async fn istiod_figure(&self, name: &str) -> Option<u64> {
        self.istiod.figure(name).await
    }

    /// Starts another pod of the gateway and waits until it is ready; gives its name.
    ///
    /// # Errors
    /// Its Envoy ends, or is not live in time.
    pub async fn add_pod(&self) -> Result<String, Error> {
        self.pods.add().await
    }

    /// Ends the Envoy of a pod as `kill -9` does. The pod stays, not ready, without an Envoy.
    ///
    /// # Errors
    /// [`Error::NoPod`], or what the API server says.
    pub async fn stop_envoy(&self, name: &str) -> Result<(), Error> {
        self.pods.stop(name).await
    }

    /// Starts the Envoy of a pod (anew), as a kubelet restarts a container, and does not wait: see
    /// [`Mesh::until_ready`].
    ///
    /// # Errors
    /// [`Error::NoPod`], or what the API server says.
    pub async fn start_envoy(&self, name: &str) -> Result<(), Error> {
        self.stop_envoy(name).await?;
        self.pods.start(name).await
    }

    /// Waits until a pod's Envoy calls itself live, and has the pod called ready then. Live does not mean that anything
    /// is served.
    ///
    /// # Errors
    /// Envoy ends, or is not live in time.
    pub async fn until_ready(&self, name: &str) -> Result<(), Error> {
        self.pods.until_ready(name).await
    }

    /// Restarts the Envoy of a pod: the same pod with the same address, ready when this returns.
    ///
    /// # Errors
    /// As [`Mesh::until_ready`].
    pub async fn restart_envoy(&self, name: &str) -> Result<(), Error> {
        self.start_envoy(name).await?;
        self.until_ready(name).await
    }

    /// [`Mesh::restart_envoy`] for all at once.
    ///
    /// # Errors
    /// As [`Mesh::until_ready`].
    pub async fn restart_envoys(&self) -> Result<(), Error> {
        let names: Vec<String> = self.pods().into_keys().collect();
        try_join_all(names.iter().map(|name| self.restart_envoy(name))).await.map(drop)
    }

    /// Has an Envoy stand still (SIGSTOP): connections to it are accepted and nothing is answered. Its pod stays ready,
    /// as it does with a kubelet for the first minute.
    ///
    /// # Errors
    /// [`Error::NoPod`], or it does not stand still.
    pub fn pause_envoy(&self, name: &str) -> Result<(), Error> {
        self.pods.with_envoy(name, Supervised::freeze)
    }

    /// Undoes [`Mesh::pause_envoy`].
    ///
    /// # Errors
    /// [`Error::NoPod`].
    pub fn resume_envoy(&self, name: &str) -> Result<(), Error> {
        self.pods.with_envoy(name, |envoy| envoy.signal("CONT"))
    }

    /// Whether a pod's Envoy calls itself live. It says nothing of port 8443.
    ///
    /// # Errors
    /// [`Error::NoPod`].
    pub async fn is_live(&self, name: &str) -> Result<bool, Error> {
        Ok(self.ask_envoy(name, "/ready").await?.is_some())
    }

    /// One of Envoy's figures, such as `sds.kubernetes_kyma-gateway-certs.update_rejected`: 0 where there is none of
    /// that name, `None` where Envoy does not answer.
    ///
    /// # Errors
    /// [`Error::NoPod`].
    pub async fn envoy_figure(&self, name: &str, named: &str) -> Result<Option<u64>, Error> {
        let text = self.ask_envoy(name, "/stats").await?;
        Ok(text.map(|text| figure(&text, named).unwrap_or(0)))
    }

    /// What Envoy's admin interface answers with 200 at this path.
    ///
    /// # Errors
    /// [`Error::NoPod`].
    pub async fn ask_envoy(&self, name: &str, path: &str) -> Result<Option<String>, Error> {
        self.pods.ask(name, path).await
    }

    /// The pods that are there, ready or not, and their addresses.
    #[must_use]
    pub fn pods(&self) -> BTreeMap<String, IpAddr> {
        self.pods.lock().iter().map(|(name, gateway)| (name.clone(), gateway.address)).collect()
    }

    /// The pods that are there, ready or not, by name.
    #[must_use]
    pub fn gateways(&self) -> Vec<GatewayPod> {
        let at = |(name, address): (String, IpAddr)| GatewayPod {
            name,
            tls: SocketAddr::new(address, 8443),
            plain: SocketAddr::new(address, 8080),
        };
        self.pods().into_iter().map(at).collect()
    }

    /// Where each pod serves TLS.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.gateways().into_iter().map(|pod| pod.tls).collect()
    }

    /// The pods that were deleted or evicted so far, in order.
    #[must_use]
    pub fn removals(&self) -> Vec<Removal> {
        self.pods.removed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The pods that were evicted so far, in order.
    #[must_use]
    pub fn evictions(&self) -> Vec<Removal> {
        self.removals().into_iter().filter(|removal| removal.evicted).collect()
    }
}
