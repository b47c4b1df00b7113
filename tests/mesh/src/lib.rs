//! A real mesh on loopback: kube-apiserver, istiod, and Envoys that each have an address of their own (127.x.y.N) and a
//! Pod object. There is no node: a small stand-in for kubelet and ReplicaSet ends the Envoy of a pod that is deleted or
//! evicted, removes its object, and starts a successor.

pub mod objects;

use std::{
    collections::BTreeMap,
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use certkeeper_control_plane::{ControlPlane, Supervised, envoy, istiod};
use certkeeper_simulator::ca::Ca;
use chrono::Utc;
use futures::StreamExt;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Pod, ServiceAccount},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use objects::{ACCOUNT, ISTIO};

/// How long a part of the mesh may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// Set to `1`, the environment variable has the tests against the real mesh run.
pub const WITH_MESH: &str = "CERTKEEPER_MESH";

/// What goes wrong when a mesh is started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program could not be had, or ended.
    #[error(transparent)]
    Programs(#[from] certkeeper_control_plane::Error),
    /// The API server refused something.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// A file, or a socket.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// Something was not ready in time.
    #[error("{0} was not ready within {1:?}; its log ends with:\n{2}")]
    Late(String, Duration, String),
    /// A definition or certificate that is not as expected.
    #[error("{0}")]
    Other(String),
}

/// A pod of the gateway and its Envoy.
struct Gateway {
    address: IpAddr,
    /// Ends with the pod.
    _envoy: Supervised,
}

/// What istiod listens on.
#[derive(Debug, Clone, Copy)]
struct Ports {
    http: u16,
    https: u16,
    grpc: u16,
    secure: u16,
    monitoring: u16,
}

/// A mesh at work. Everything it started ends with it.
pub struct Mesh {
    /// The API server.
    pub plane: ControlPlane,
    inner: Arc<Inner>,
    istiod: Option<Supervised>,
    program: PathBuf,
    ports: Ports,
    kubelet: AbortHandle,
}

struct Inner {
    client: Client,
    envoy: PathBuf,
    folder: tempfile::TempDir,
    /// The network of the pods: 127.x.y.
    network: (u8, u8),
    next: AtomicU8,
    xds: u16,
    gateways: Mutex<BTreeMap<String, Gateway>>,
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mesh").field("network", &self.inner.network).finish_non_exhaustive()
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.kubelet.abort();
        self.inner.lock().clear();
    }
}

fn file(path: &Path, text: &str) -> Result<String, Error> {
    std::fs::write(path, text).map_err(|error| Error::File(path.display().to_string(), error))?;
    Ok(path.display().to_string())
}

fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| Error::File("a free port".into(), e))?;
    Ok(listener.local_addr().map_err(|e| Error::File("a free port".into(), e))?.port())
}

/// Applies an object, whatever its kind.
async fn apply(client: &Client, object: &Value) -> Result<(), Error> {
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
                sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The body of `GET PATH` where the answer is 200.
async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(answer)
    };
    timeout(Duration::from_secs(2), ask).await.ok().flatten()
}

impl Mesh {
    /// Starts a mesh with so many gateway pods, each ready.
    ///
    /// # Errors
    /// Says which part is missing or was not ready in time.
    pub async fn start(pods: usize) -> Result<Self, Error> {
        let (istio, envoy) = (istiod()?, envoy()?);
        let plane = ControlPlane::start().await?;
        let client = plane.client()?;
        let text =
            std::fs::read_to_string(&istio.crds).map_err(|e| Error::File(istio.crds.display().to_string(), e))?;
        for document in text.split("\n---").filter(|document| document.contains("kind:")) {
            let crd: Value = serde_saphyr::from_str(document).map_err(|e| Error::Other(e.to_string()))?;
            apply(&client, &crd).await?;
        }
        for object in objects::base() {
            apply(&client, &object).await?;
        }
        let ports = Ports {
            http: free_port()?,
            https: free_port()?,
            grpc: free_port()?,
            secure: free_port()?,
            monitoring: free_port()?,
        };
        let folder = tempfile::tempdir().map_err(|e| Error::File("a temporary folder".into(), e))?;
        let inner = Arc::new(Inner {
            client,
            envoy,
            folder,
            network: (fastrand::u8(1..=250), fastrand::u8(1..=250)),
            next: AtomicU8::new(2),
            xds: ports.secure,
            gateways: Mutex::default(),
        });
        inner.authority()?;
        let kubelet = tokio::spawn(inner.clone().replace()).abort_handle();
        let mut mesh = Self { plane, inner, istiod: None, program: istio.program, ports, kubelet };
        mesh.start_istiod().await?;
        for _ in 0..pods {
            mesh.add_pod().await?;
        }
        Ok(mesh)
    }

    /// A client for the API server.
    #[must_use]
    pub fn client(&self) -> Client {
        self.inner.client.clone()
    }

    /// Starts istiod and waits until it is ready.
    ///
    /// # Errors
    /// It ends, or is not ready in time.
    pub async fn start_istiod(&mut self) -> Result<(), Error> {
        let folder = self.inner.folder.path();
        let at = |port: u16| format!("127.0.0.1:{port}");
        let mesh = file(&folder.join("mesh.yaml"), objects::MESH)?;
        let named = |name: &str| folder.join(name).display().to_string();
        let Ports { http, https, grpc, secure, monitoring } = self.ports;
        let mut arguments: Vec<String> = ENVIRONMENT.iter().map(|(name, value)| format!("{name}={value}")).collect();
        arguments.push(self.program.display().to_string());
        arguments.push("discovery".to_owned());
        let kubeconfig = self.plane.kubeconfig().display().to_string();
        let flags = [
            ("--kubeconfig", kubeconfig),
            ("--meshConfig", mesh),
            ("--httpAddr", at(http)),
            ("--httpsAddr", at(https)),
            ("--grpcAddr", at(grpc)),
            ("--secureGRPCAddr", at(secure)),
            ("--monitoringAddr", at(monitoring)),
            ("--ctrlz_port", "0".to_owned()),
            ("--caCertFile", named("ca.pem")),
            ("--tlsCertFile", named("istiod.pem")),
            ("--tlsKeyFile", named("istiod.key")),
        ];
        arguments.extend(flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
        let log = folder.join("istiod.log");
        let mut istiod = Supervised::start("istiod", Path::new("/usr/bin/env"), &arguments, log)?;
        let ready = SocketAddr::from((Ipv4Addr::LOCALHOST, http));
        let deadline = Instant::now() + PATIENCE;
        while get(ready, "/ready").await.is_none() {
            istiod.check()?;
            if Instant::now() > deadline {
                return Err(Error::Late("istiod".into(), PATIENCE, istiod.tail()));
            }
            sleep(Duration::from_millis(50)).await;
        }
        self.istiod = Some(istiod);
        Ok(())
    }

    /// Ends istiod as `kill -9` does.
    pub fn stop_istiod(&mut self) {
        self.istiod = None;
    }

    /// Starts another pod of the gateway and waits until it is ready; gives its name.
    ///
    /// # Errors
    /// Its Envoy ends, or is not live in time.
    pub async fn add_pod(&self) -> Result<String, Error> {
        self.inner.add_pod().await
    }

    /// The pods that are there, and their addresses.
    #[must_use]
    pub fn pods(&self) -> BTreeMap<String, IpAddr> {
        self.inner.lock().iter().map(|(name, gateway)| (name.clone(), gateway.address)).collect()
    }

    /// Where each pod serves TLS.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.pods().into_values().map(|address| SocketAddr::new(address, 8443)).collect()
    }
}

const ENVIRONMENT: &[(&str, &str)] = &[
    // Stock Envoy has not Istio's own filters: with these its listeners would be refused.
    ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
    ("PILOT_ENABLE_ALPN_FILTER", "false"),
    ("POD_NAMESPACE", ISTIO),
    ("POD_NAME", "istiod-0"),
    ("REVISION", "default"),
    ("CLUSTER_ID", "Kubernetes"),
    ("PILOT_CERT_PROVIDER", "istiod"),
    ("ENABLE_CA_SERVER", "false"),
    ("PILOT_ENABLE_GATEWAY_API", "false"),
    ("PILOT_ENABLE_AMBIENT", "false"),
    ("PILOT_ENABLE_IP_AUTOALLOCATE", "false"),
    ("ENABLE_LEADER_ELECTION", "false"),
    ("PILOT_ENABLE_CONFIG_DISTRIBUTION_TRACKING", "false"),
    ("VALIDATION_WEBHOOK_CONFIG_NAME", ""),
    ("INJECTION_WEBHOOK_CONFIG_NAME", ""),
];

/// One manifest of a token that Envoys show istiod.
#[derive(Deserialize)]
struct Token {
    token: String,
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Gateway>> {
        self.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), ISTIO)
    }

    /// A CA, and istiod's certificate.
    fn authority(&self) -> Result<(), Error> {
        let other = |error: &dyn std::fmt::Display| Error::Other(error.to_string());
        let ca = Ca::root("Mesh Root", Utc::now()).map_err(|e| other(&e))?;
        let pair = ca.leaf(&["istiod.istio-system.svc"]).issue().map_err(|e| other(&e))?;
        let folder = self.folder.path();
        for (name, text) in
            [("ca.pem", ca.pem()), ("istiod.pem", pair.certificate()), ("istiod.key", pair.key().to_owned())]
        {
            file(&folder.join(name), &text)?;
        }
        Ok(())
    }

    async fn token(&self) -> Result<String, Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), ISTIO);
        let spec = TokenRequestSpec { audiences: vec!["istio-ca".to_owned()], ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer = accounts.create_token_request(ACCOUNT, &PostParams::default(), &request).await?;
        let status = serde_json::to_value(answer.status).map_err(|e| Error::Other(e.to_string()))?;
        let token: Token = serde_json::from_value(status).map_err(|e| Error::Other(e.to_string()))?;
        Ok(token.token)
    }

    async fn add_pod(&self) -> Result<String, Error> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let address = IpAddr::V4(Ipv4Addr::new(127, self.network.0, self.network.1, number));
        let (name, text) = (format!("istio-ingressgateway-{number}"), address.to_string());
        apply(&self.client, &objects::bind(&text)).await?;
        let pod: Pod = serde_json::from_value(objects::pod(&name, &text)).map_err(|e| Error::Other(e.to_string()))?;
        self.pods().create(&PostParams::default(), &pod).await?;
        self.tell(&name, &text, false).await?;
        let folder = self.folder.path();
        let ca = folder.join("ca.pem").display().to_string();
        let bootstrap = objects::bootstrap(&name, &text, self.xds, &ca, &self.token().await?);
        let config = file(&folder.join(format!("{name}.json")), &bootstrap.to_string())?;
        let arguments = ["-c", &config, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"];
        let log = folder.join(format!("{name}.log"));
        let mut envoy = Supervised::start("envoy", &self.envoy, &arguments.map(str::to_owned), log)?;
        let admin = SocketAddr::new(address, 15000);
        let deadline = Instant::now() + PATIENCE;
        while !get(admin, "/ready").await.is_some_and(|answer| answer.contains("LIVE")) {
            envoy.check()?;
            if Instant::now() > deadline {
                return Err(Error::Late(name, PATIENCE, envoy.tail()));
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.lock().insert(name.clone(), Gateway { address, _envoy: envoy });
        self.tell(&name, &text, true).await?;
        Ok(name)
    }

    async fn tell(&self, name: &str, address: &str, ready: bool) -> Result<(), Error> {
        let status = Patch::Merge(objects::pod_status(address, ready));
        Ok(self.pods().patch_status(name, &PatchParams::default(), &status).await.map(drop)?)
    }

    /// As kubelet and ReplicaSet do: a pod that shall go is ended and removed, and gets a successor.
    async fn replace(self: Arc<Self>) {
        let mut events = pin!(watcher(self.pods(), watcher::Config::default()).default_backoff());
        while let Some(event) = events.next().await {
            let (pod, gone) = match event {
                Ok(watcher::Event::Apply(pod)) if pod.metadata.deletion_timestamp.is_some() => (pod, false),
                Ok(watcher::Event::Delete(pod)) => (pod, true),
                _ => continue,
            };
            let name = pod.name_any();
            let known = self.lock().remove(&name);
            let Some(gateway) = known else { continue };
            drop(gateway);
            if !gone {
                // Nobody else would remove it: there is no kubelet.
                let _ = self
                    .pods()
                    .delete(&name, &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() })
                    .await;
            }
            let successor = self.clone();
            tokio::spawn(async move {
                if let Err(error) = successor.add_pod().await {
                    // Whoever waits for it sees that it does not come; this says why.
                    let text = format!("mesh: the successor of {name} does not start: {error}\n");
                    let _ = std::io::stderr().write_all(text.as_bytes());
                }
            });
        }
    }
}

/// The spec of a GatewayCertificate for this mesh, with a short deadline for each rung.
#[must_use]
pub fn spec(more: &Value) -> Value {
    let mut spec = json!({"domain": objects::DOMAIN, "byo": {"secretRef": {"name": "supplied"}},
        "gateway": {"reload": {"deadline": "5s"}}});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}
