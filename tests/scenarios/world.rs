//! One harness for both API servers.

use std::{
    fmt::Debug,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use certkeeper::{
    api::{GatewayCertificate, GatewayCertificateStatus},
    certificate::{Supplied, read},
    clock::{Clock, SharedClock},
    cluster::client::guarded,
    controller::{Runtime, run},
    gateway::{Dial, TcpDial},
    lifecycle::Settings,
};
use certkeeper_simulator::{ApiServer, gateway::VirtualMesh};

use crate::pki;
use chrono::{DateTime, SubsecRound, Utc};
use k8s_openapi::{
    ByteString,
    api::{
        core::v1::{Namespace, Secret},
        events::v1::Event,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, CustomResourceExt, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams, TypeMeta},
};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// Declares scenarios: each becomes a test on both API servers.
#[macro_export]
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[tokio::test(start_paused = true)]
            async fn in_memory() {
                super::$name($crate::world::World::in_memory().await).await;
            }

            #[tokio::test]
            async fn on_a_real_api_server() {
                if let Some(world) = $crate::world::World::real(stringify!($name)).await {
                    super::$name(world).await;
                }
            }
        })+
    };
}

/// Tokio's time, so that a paused clock moves it, begun at the real time.
#[derive(Debug)]
struct TestClock {
    began: Instant,
    at: DateTime<Utc>,
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        let passed = chrono::Duration::from_std(self.began.elapsed()).expect("a test is short");
        (self.at + passed).trunc_subsecs(0)
    }
}

/// A cluster with two namespaces of its own: one with the GatewayCertificate and its source, one with the gateway.
pub struct World {
    pub client: Client,
    pub clock: SharedClock,
    /// How gateway pods are reached.
    pub dial: Arc<dyn Dial>,
    /// Namespace of the GatewayCertificate.
    pub home: String,
    /// Namespace of the gateway's Secret.
    pub mesh: String,
    /// The in-memory API server, where it is one.
    pub server: Option<ApiServer>,
    /// How long an outcome is waited for.
    pub patience: Duration,
}

/// A controller at work. Dropping it kills it as `kill -9` would.
pub struct Keeper {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Ends it as SIGTERM would.
    pub async fn stop(mut self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), &mut self.task)
            .await
            .expect("it stops in time")
            .expect("no panic");
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How long an outcome is waited for, unless a scenario takes longer by its nature.
const DEADLINE: Duration = Duration::from_secs(30);

static NUMBER: AtomicUsize = AtomicUsize::new(0);

impl World {
    pub async fn in_memory() -> Self {
        let server = ApiServer::new();
        Self::new(server.client(), Some(server)).await
    }

    /// A world on a real API server, and the client of a user who has just these rules: in the home namespace and in
    /// the mesh namespace. `None` where the real API server is left out.
    pub async fn restricted(scenario: &str, home: Value, mesh: Value) -> Option<(Self, Client)> {
        let plane = certkeeper_control_plane::shared_or_left_out(scenario).await.expect("a control plane")?;
        let world = Self::new(plane.client().expect("a client"), None).await;
        let user = world.user();
        world.grant(Some(&world.home), &home).await;
        world.grant(Some(&world.mesh), &mesh).await;
        let client = plane.client_for(&user, &[]).await.expect("a client");
        Some((world, guarded(client)))
    }

    fn user(&self) -> String {
        format!("user-{}", self.home)
    }

    /// Gives the user of [`Self::restricted`] these rules, in a namespace or in the cluster.
    pub async fn grant(&self, namespace: Option<&str>, rules: &Value) {
        self.grant_as("keeper", namespace, rules).await;
    }

    /// As [`Self::grant`], beside what was granted before under another name.
    pub async fn grant_as(&self, role: &str, namespace: Option<&str>, rules: &Value) {
        let group = "rbac.authorization.k8s.io";
        let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
        let name = self.own(role);
        let role = json!({"metadata": {"name": name}, "rules": rules});
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": kind, "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": self.user()}],
        });
        for (kind, object) in [(kind.to_owned(), role), (format!("{kind}Binding"), binding)] {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", &kind));
            let api: Api<DynamicObject> = match namespace {
                Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
                None => Api::all_with(self.client.clone(), &resource),
            };
            let mut object: DynamicObject = serde_json::from_value(object).expect("an object");
            object.types = Some(TypeMeta { api_version: format!("{group}/v1"), kind });
            api.create(&PostParams::default(), &object).await.expect("granted");
        }
    }

    /// `None` where the real API server is left out by the person's own word.
    pub async fn real(scenario: &str) -> Option<Self> {
        let plane = certkeeper_control_plane::shared_or_left_out(scenario).await.expect("a control plane")?;
        Some(Self::new(plane.client().expect("a client"), None).await)
    }

    pub async fn new(client: Client, server: Option<ApiServer>) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (home, mesh) = (format!("home-{number}"), format!("mesh-{number}"));
        let clock = Arc::new(TestClock { began: Instant::now(), at: Utc::now() });
        let world =
            Self { client: guarded(client), clock, dial: Arc::new(TcpDial), home, mesh, server, patience: DEADLINE };
        world.install_crd().await;
        if world.server.is_none() {
            // Other scenarios install it there sooner or later, which would be news in the midst of this one.
            VirtualMesh::install(&world.client).await.expect("Istio's Gateways are known");
        }
        for namespace in [&world.home, &world.mesh] {
            world.namespace(namespace).await;
        }
        world
    }

    /// With Istio's Gateway over the gateway's Secret, and these pods behind it.
    pub async fn with_gateway(mut self, pods: &[&str]) -> (Self, VirtualMesh) {
        let mesh = VirtualMesh::start(self.client.clone(), &self.mesh, "gw-certs", &[pki::WILDCARD]).await;
        let mesh = mesh.expect("a mesh");
        self.dial = mesh.dial();
        for pod in pods {
            mesh.add_pod(pod).await.expect("a pod");
        }
        (self, mesh)
    }

    async fn install_crd(&self) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let crd = GatewayCertificate::crd();
        let params = PatchParams::apply("test").force();
        api.patch(&crd.name_any(), &params, &Patch::Apply(&crd)).await.expect("the CRD is accepted");
        let objects: Api<GatewayCertificate> = Api::all(self.client.clone());
        // In the first second after a CRD is established its resources may still be 404.
        self.eventually("the CRD is served", || async { objects.list(&ListParams::default()).await.ok() }).await;
    }

    pub async fn namespace(&self, name: &str) {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).expect("a namespace");
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &namespace).await.expect("created");
    }

    pub fn settings(&self) -> Settings {
        Settings {
            allow: vec![format!("{}/gw-certs", self.mesh)],
            allow_gateway: vec![format!("{}/gw", self.mesh)],
            namespaces: vec![self.home.clone()],
            ..Settings::default()
        }
    }

    /// The ordinary grant and these beside it.
    pub fn settings_with(&self, allow: &[&str]) -> Settings {
        let mut settings = self.settings();
        settings.allow.extend(allow.iter().map(|grant| (*grant).to_owned()));
        settings
    }

    /// A name that no other scenario on this server uses.
    pub fn own(&self, name: &str) -> String {
        format!("{name}-{}", self.home)
    }

    /// Creates a namespace with labels.
    pub async fn labelled_namespace(&self, name: &str, labels: Value) {
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).expect("a namespace");
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &namespace).await.expect("created");
    }

    /// Changes the labels of a namespace; null removes one.
    pub async fn label(&self, namespace: &str, labels: Value) {
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        let api = Api::<Namespace>::all(self.client.clone());
        api.patch(namespace, &PatchParams::default(), &patch).await.expect("labelled");
    }

    /// Waits until a Secret has just these keys with these values.
    pub async fn copied(&self, namespace: &str, name: &str, data: &[(&str, &str)]) -> Secret {
        self.eventually(&format!("the copy {namespace}/{name} is right"), || async {
            let secret = self.secrets(namespace).get_opt(name).await.expect("readable")?;
            let have = secret.data.clone().unwrap_or_default();
            let same = have.len() == data.len()
                && data.iter().all(|(key, wanted)| have.get(*key).is_some_and(|value| value.0 == wanted.as_bytes()));
            same.then_some(secret)
        })
        .await
    }

    /// Waits until there is no such Secret.
    pub async fn gone(&self, namespace: &str, name: &str) {
        self.eventually(&format!("{namespace}/{name} is gone"), || async {
            self.secrets(namespace).get_opt(name).await.expect("readable").is_none().then_some(())
        })
        .await;
    }

    /// Starts a controller with the ordinary grant.
    pub fn keeper(&self) -> Keeper {
        self.keeper_with(self.settings(), self.client.clone())
    }

    /// Supplies a pair, asks for it, starts a controller, and waits until the gateway's Secret is current.
    pub async fn started_with(&self, pair: &pki::Pair) -> Keeper {
        self.supply(pair).await;
        self.ask(json!({})).await;
        let keeper = self.keeper();
        self.promoted(pair).await;
        self.condition("x", "SecretCurrent", "True", "Current").await;
        keeper
    }

    pub fn keeper_with(&self, settings: Settings, client: Client) -> Keeper {
        let stop = CancellationToken::new();
        let runtime = Runtime {
            watches: client.clone(),
            client,
            dial: self.dial.clone(),
            clock: self.clock.clone(),
            settings,
            instance: "test".to_owned(),
        };
        Keeper { stop: stop.clone(), task: tokio::spawn(run(runtime, stop)) }
    }

    pub fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub fn objects(&self) -> Api<GatewayCertificate> {
        Api::namespaced(self.client.clone(), &self.home)
    }

    /// Supplies a pair in the source Secret.
    pub async fn supply(&self, pair: &pki::Pair) {
        self.supply_data(&[("tls.crt", pair.certificate.as_bytes()), ("tls.key", pair.key.as_bytes())]).await;
    }

    /// Supplies anything in the source Secret.
    pub async fn supply_data(&self, data: &[(&str, &[u8])]) {
        self.put_secret(&self.home, "supplied", data).await;
    }

    /// Writes a Secret as a person with kubectl would: replaced as a whole.
    pub async fn put_secret(&self, namespace: &str, name: &str, data: &[(&str, &[u8])]) {
        let api = self.secrets(namespace);
        let mut secret = api.get_opt(name).await.expect("readable").unwrap_or_default();
        secret.metadata.name = Some(name.to_owned());
        secret.metadata.managed_fields = None;
        secret.data = Some(data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec()))).collect());
        let params = PostParams { field_manager: Some("a-person".to_owned()), ..PostParams::default() };
        if secret.metadata.resource_version.is_some() {
            // Without the version, as kubectl replace does: the last writer wins.
            secret.metadata.resource_version = None;
            api.replace(name, &params, &secret).await.expect("replaced");
        } else {
            api.create(&params, &secret).await.expect("created");
        }
    }

    /// Creates the GatewayCertificate `x` with this spec, filled up with the source and the gateway's Secret.
    pub async fn ask(&self, spec: Value) {
        self.ask_as("x", spec).await;
    }

    pub async fn ask_as(&self, name: &str, spec: Value) {
        let mut full = json!({
            "domain": pki::DOMAIN,
            "byo": {"secretRef": {"name": "supplied"}},
            "gateway": {"secretRef": {"namespace": self.mesh, "name": "gw-certs"}},
        });
        for (key, value) in spec.as_object().expect("an object") {
            full[key] = value.clone();
        }
        let object: GatewayCertificate =
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": full})).expect("a GatewayCertificate");
        self.objects().create(&PostParams::default(), &object).await.expect("accepted");
    }

    pub async fn patch_object(&self, name: &str, patch: Value) {
        self.objects().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    }

    pub async fn gateway_secret(&self) -> Option<Secret> {
        self.secrets(&self.mesh).get_opt("gw-certs").await.expect("readable")
    }

    pub async fn status(&self, name: &str) -> GatewayCertificateStatus {
        self.objects().get(name).await.expect("there").status.unwrap_or_default()
    }

    /// Waits until the gateway's Secret holds this pair.
    pub async fn promoted(&self, pair: &pki::Pair) {
        self.eventually("the pair is promoted", || async {
            self.gateway_secret().await.filter(|secret| holds(secret, pair))
        })
        .await;
    }

    /// Waits until a condition of the GatewayCertificate has this status and reason; returns its message.
    pub async fn condition(&self, name: &str, kind: &str, status: &str, reason: &str) -> String {
        let what = format!("{name} has {kind}={status}/{reason}");
        self.eventually_or(&what, || async {
            let status_now = self.status(name).await;
            let found = status_now.conditions.iter().find(|c| c.type_ == kind);
            match found {
                Some(found) if found.status == status && found.reason == reason => Ok(found.message.clone()),
                _ => Err(format!("{:?}", status_now.conditions)),
            }
        })
        .await
    }

    /// Everything that was told about the GatewayCertificates here.
    pub async fn events(&self) -> Vec<Event> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.home);
        api.list(&ListParams::default()).await.expect("readable").items
    }

    /// Waits for the outcome, at most [`World::patience`].
    pub async fn eventually<T, F: Future<Output = Option<T>>>(&self, what: &str, look: impl Fn() -> F) -> T {
        self.eventually_or(what, || async { look().await.ok_or_else(String::new) }).await
    }

    pub async fn eventually_or<T, E: Debug, F: Future<Output = Result<T, E>>>(
        &self,
        what: &str,
        look: impl Fn() -> F,
    ) -> T {
        let deadline = Instant::now() + self.patience;
        loop {
            match look().await {
                Ok(found) => return found,
                Err(seen) => {
                    assert!(Instant::now() < deadline, "not within {:?}: {what}; seen last: {seen:?}", self.patience);
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Watches for a while that nothing in the two namespaces changes: law 4's silence. It begins when the controller
    /// has answered the newest generation of each object, has looked at its gateway, and has done what followed from
    /// that (the keep-sake is written after the status that a test waited for): until then a write is still due.
    pub async fn is_silent(&self) {
        self.eventually_or("the newest generation of each object is answered", || async {
            let objects = self.objects().list(&ListParams::default()).await.expect("readable");
            let behind = |object: &&GatewayCertificate| {
                object.status.as_ref().is_none_or(|status| {
                    status.observed_generation != object.metadata.generation
                        || status.conditions.iter().any(|one| one.type_ == "Served" && one.reason == "NotProbed")
                })
            };
            objects.iter().find(behind).map_or(Ok(()), |object| Err(object.name_any()))
        })
        .await;
        self.eventually_or("half a second passes without a write", || async {
            let before = self.versions().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            let after = self.versions().await;
            if before == after { Ok(()) } else { Err((before, after)) }
        })
        .await;
        let before = self.versions().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(before, self.versions().await, "something was written though nothing had changed");
    }

    async fn versions(&self) -> Vec<(String, String)> {
        let mut versions = Vec::new();
        for namespace in [&self.home, &self.mesh] {
            for secret in self.secrets(namespace).list(&ListParams::default()).await.expect("readable") {
                versions.push((
                    format!("{namespace}/{}", secret.name_any()),
                    secret.resource_version().unwrap_or_default(),
                ));
            }
        }
        for object in self.objects().list(&ListParams::default()).await.expect("readable") {
            versions.push((object.name_any(), object.resource_version().unwrap_or_default()));
        }
        // Nothing where the API server does not know them.
        let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "Gateway");
        let resource = ApiResource::from_gvk_with_plural(&kind, "gateways");
        let gateways: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.mesh, &resource);
        for object in gateways.list(&ListParams::default()).await.into_iter().flatten() {
            versions.push((format!("gateway {}", object.name_any()), object.resource_version().unwrap_or_default()));
        }
        versions.push(("events".to_owned(), self.events().await.len().to_string()));
        versions
    }
}

/// The Secret's `tls.crt` and `tls.key` are this pair, in whatever encoding.
pub fn holds(secret: &Secret, pair: &pki::Pair) -> bool {
    let (certificate, key) = (value(secret, "tls.crt"), value(secret, "tls.key"));
    let found = read(&Supplied { certificate: certificate.as_deref(), key: key.as_deref(), staple: None });
    let wanted =
        Supplied { certificate: Some(pair.certificate.as_bytes()), key: Some(pair.key.as_bytes()), staple: None };
    let wanted = read(&wanted);
    found.pair().is_some_and(|found| wanted.pair().is_some_and(|wanted| found.same_as(wanted)))
}

/// The pair as certkeeper writes it: what a copy must hold, byte for byte.
pub fn normalised(pair: &pki::Pair) -> (String, String) {
    let supplied =
        Supplied { certificate: Some(pair.certificate.as_bytes()), key: Some(pair.key.as_bytes()), staple: None };
    let facts = read(&supplied);
    let pair = facts.pair().expect("a pair");
    (pair.certificate_pem().to_owned(), pair.key_pem().to_owned())
}

/// A value of a Secret.
pub fn value(secret: &Secret, key: &str) -> Option<Vec<u8>> {
    secret.data.as_ref().and_then(|data| data.get(key)).map(|value| value.0.clone())
}
