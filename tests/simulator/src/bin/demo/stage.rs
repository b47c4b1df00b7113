//! What the demo plays on: the API server, the gateways, and people with their certificates.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use certkeeper::{
    api::GatewayCertificate,
    certificate::{Supplied, read},
};
use certkeeper_simulator::{
    ApiServer,
    ca::{Algorithm, Ca, Issued, Validity},
    gateway::{LoopbackGateway, Settings, VirtualMesh},
};
use chrono::Utc;
use k8s_openapi::{
    ByteString,
    api::{
        core::v1::{Namespace, Pod, Secret, Service},
        events::v1::Event,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, CustomResourceExt, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    keeper::{Keeper, Meter, restrict},
    missed::{Missed, Seen},
    visitor::{Count, Mark, Visitor},
    watched::Watched,
};

/// Namespace of the GatewayCertificate and of what people supply.
pub(crate) const HOME: &str = "kyma-system";
/// The Gateway, its Service, and the label of its pods.
const GATEWAY: &str = "kyma-gateway";
/// Namespace of the gateway's Secret.
pub(crate) const MESH: &str = "istio-system";
/// The Secret that the gateways read.
pub(crate) const GATEWAY_SECRET: &str = "kyma-gateway-certs";
/// The Secret in which people supply their pair.
pub(crate) const SOURCE: &str = "my-certificate";
/// The GatewayCertificate.
pub(crate) const OBJECT: &str = "kyma";
/// The domain that is served.
pub(crate) const DOMAIN: &str = "example.com";
/// What its certificates are for.
pub(crate) const WILDCARD: &str = "*.example.com";
/// What visitors ask for.
const HOST: &str = "shop.example.com";
/// How many gateways there are.
pub(crate) const GATEWAYS: usize = 3;

/// A gateway and who visits it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) gateway: LoopbackGateway,
    pub(crate) visitor: Visitor,
}

/// The stage.
pub(crate) struct Stage {
    server: ApiServer,
    /// A person with all rights.
    pub(crate) person: Client,
    ca: Ca,
    pub(crate) places: Vec<Place>,
    /// What visitors of gateways that are gone counted.
    gone: Count,
    keeper: Option<Keeper>,
    /// certkeeper is not to be started, so that steps fail.
    pub(crate) withheld: bool,
    pub(crate) meter: Meter,
    pub(crate) object: Watched,
}

impl Stage {
    /// An API server with the CRD, two namespaces and three gateways.
    pub(crate) async fn set() -> Seen<Self> {
        let server = ApiServer::new();
        let meter = Meter::default();
        server.set_gate(meter.clone());
        restrict(&server);
        let person = server.client();
        let made = Missed::call("the API server takes what the demo needs");
        let crds: Api<CustomResourceDefinition> = Api::all(person.clone());
        crds.create(&PostParams::default(), &GatewayCertificate::crd()).await.map_err(&made)?;
        for name in [HOME, MESH] {
            let namespace = parsed::<Namespace>(json!({"metadata": {"name": name}}))?;
            Api::all(person.clone()).create(&PostParams::default(), &namespace).await.map_err(&made)?;
        }
        mesh(&person).await?;
        let root = Ca::root("Demo Root CA", Utc::now()).map_err(issuing)?;
        let ca = root.intermediate("Demo Issuing CA").map_err(issuing)?;
        let object = Watched::begin(Api::namespaced(person.clone(), HOME), OBJECT);
        let (places, gone) = (Vec::new(), Count::default());
        let mut stage = Self { server, person, ca, places, gone, keeper: None, withheld: false, meter, object };
        for number in 1..=GATEWAYS {
            let place = stage.place(number).await?;
            stage.places.push(place);
        }
        Ok(stage)
    }

    async fn place(&self, number: usize) -> Seen<Place> {
        let name = format!("gateway-{number}");
        let settings = Settings::new(&name, MESH, GATEWAY_SECRET, &[WILDCARD]);
        let gateway = LoopbackGateway::start(self.server.client(), settings).await;
        let gateway = gateway.map_err(|error| Missed::new(format!("{name} listens on 127.0.0.1"), error))?;
        let visitor = Visitor::begin(&name, gateway.address(), HOST);
        let place = Place { gateway, visitor };
        self.pod(&place).await?;
        Ok(place)
    }

    /// The pod of a gateway, ready: as a kubelet would tell.
    async fn pod(&self, place: &Place) -> Seen<()> {
        let call = Missed::call("the API server takes the gateway's pod");
        let (name, address) = (&place.gateway.settings().name, place.gateway.address());
        let port = json!([{"name": "tls", "containerPort": address.port()}]);
        let pod = parsed::<Pod>(json!({
            "metadata": {"name": name, "labels": {"app": GATEWAY}},
            "spec": {"containers": [{"name": "proxy", "image": "envoy", "ports": port}]},
        }))?;
        let pods = self.pods();
        pods.create(&PostParams::default(), &pod).await.map_err(&call)?;
        let conditions = json!([{"type": "Ready", "status": "True"}]);
        let status = json!({"status": {"phase": "Running", "podIP": address.ip(), "conditions": conditions}});
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.map(drop).map_err(&call)
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.person.clone(), MESH)
    }

    /// Waits until the pod of a gateway is evicted, and starts its successor, which knows nothing of what the old one
    /// served: as a ReplicaSet would.
    pub(crate) async fn replace_once_evicted(&mut self, number: usize, patience: Duration) -> Seen<()> {
        let name = self.places[number].gateway.settings().name.clone();
        let deadline = Instant::now() + patience;
        while self.pods().get_opt(&name).await.map_err(Missed::call("pods can be read"))?.is_some() {
            if Instant::now() > deadline {
                return Err(Missed::new(format!("pod {name} is evicted"), "it is still there"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let place = self.place(GATEWAYS + 1).await?;
        let old = std::mem::replace(&mut self.places[number], place);
        self.gone += old.visitor.count();
        Ok(())
    }

    /// Replaces the last gateway by a new one, which knows nothing of what the old one served.
    pub(crate) async fn restart_a_gateway(&mut self) -> Seen<&Place> {
        if let Some(old) = self.places.pop() {
            self.gone += old.visitor.count();
            let call = Missed::call("the old gateway's pod goes");
            self.pods().delete(&old.gateway.settings().name, &Default::default()).await.map_err(call)?;
        }
        let place = self.place(GATEWAYS).await?;
        self.places.push(place);
        self.places.last().ok_or_else(|| Missed::new("a gateway", "none"))
    }

    /// Starts certkeeper, unless it is withheld.
    pub(crate) fn start_keeper(&mut self) -> Seen<()> {
        if !self.withheld {
            let keeper = Keeper::start(&self.server).map_err(|error| Missed::new("certkeeper starts", error))?;
            self.keeper = Some(keeper);
        }
        Ok(())
    }

    /// Ends certkeeper as `kill -9` does.
    pub(crate) fn kill_keeper(&mut self) {
        self.keeper = None;
    }

    /// Ends certkeeper as SIGTERM does.
    pub(crate) async fn stop_keeper(&mut self, patience: Duration) -> Seen<()> {
        let keeper = self.keeper.take().ok_or_else(|| Missed::new("certkeeper runs", "it does not"))?;
        keeper.stop(patience).await
    }

    /// Asks for what certkeeper is to do.
    pub(crate) async fn ask(&self) -> Seen<()> {
        let reload = json!({"upTo": "Restart", "deadline": "5s"});
        let byo = json!({"secretRef": {"name": SOURCE}});
        let spec = json!({"domain": DOMAIN, "byo": byo, "gateway": {"reload": reload}});
        let object = parsed::<GatewayCertificate>(json!({"metadata": {"name": OBJECT}, "spec": spec}))?;
        let api = Api::namespaced(self.person.clone(), HOME);
        let taken = Missed::call("the API server accepts the GatewayCertificate");
        api.create(&PostParams::default(), &object).await.map(drop).map_err(taken)
    }

    /// A certificate with the RSA key that Kyma's list of cipher suites needs.
    pub(crate) fn issue(&self, validity: Option<Validity>) -> Seen<Issued> {
        let leaf = self.ca.leaf(&[WILDCARD]).algorithm(Algorithm::Rsa2048);
        let leaf = if let Some(validity) = validity { leaf.valid(validity) } else { leaf };
        // A key takes a tenth of a second, and other tasks are not to wait for it.
        tokio::task::block_in_place(|| leaf.issue()).map_err(issuing)
    }

    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.person.clone(), namespace)
    }

    /// Supplies anything in the source Secret, as `kubectl replace` does; says when it began to.
    pub(crate) async fn supply(&self, entries: &[(&str, &str)]) -> Seen<Instant> {
        let api = self.secrets(HOME);
        let call = Missed::call("Secret kyma-system/my-certificate is written");
        let there = api.get_opt(SOURCE).await.map_err(&call)?.is_some();
        let data = entries.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
        let mut secret = Secret { data: Some(data.collect()), ..Secret::default() };
        secret.metadata.name = Some(SOURCE.to_owned());
        let params = PostParams { field_manager: Some("kubectl".to_owned()), ..PostParams::default() };
        let began = Instant::now();
        let written =
            if there { api.replace(SOURCE, &params, &secret).await } else { api.create(&params, &secret).await };
        written.map(|_| began).map_err(call)
    }

    /// Supplies a pair.
    pub(crate) async fn supply_pair(&self, pair: &Issued) -> Seen<Instant> {
        self.supply(&[("tls.crt", &pair.certificate()), ("tls.key", pair.key())]).await
    }

    /// Has somebody write a pair into the gateway's Secret under these keys; says when that began.
    pub(crate) async fn meddle(&self, manager: &str, keys: [&str; 2], pair: &Issued) -> Seen<Instant> {
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = json!({"data": {keys[0]: bytes(&pair.certificate()), keys[1]: bytes(pair.key())}});
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let call = Missed::call("somebody edits the gateway's Secret");
        let began = Instant::now();
        self.secrets(MESH).patch(GATEWAY_SECRET, &params, &Patch::Merge(data)).await.map_err(call)?;
        Ok(began)
    }

    /// Deletes the gateway's Secret; says when that began.
    pub(crate) async fn delete_gateway_secret(&self) -> Seen<Instant> {
        let call = Missed::call("the gateway's Secret is deleted");
        let began = Instant::now();
        self.secrets(MESH).delete(GATEWAY_SECRET, &Default::default()).await.map_err(call)?;
        Ok(began)
    }

    /// What the gateway's Secret holds: its uid, its keys, and the fingerprint of the pair in `tls.crt` and `tls.key`.
    pub(crate) async fn gateway_secret(&self) -> Seen<Held> {
        let call = Missed::call("the gateway's Secret is there");
        let secret = self.secrets(MESH).get(GATEWAY_SECRET).await.map_err(call)?;
        let data = secret.data.clone().unwrap_or_default();
        let value = |key: &str| data.get(key).map(|value| value.0.as_slice());
        let facts = read(&Supplied { certificate: value("tls.crt"), key: value("tls.key"), staple: None });
        let fingerprint = facts.pair().map(|pair| pair.fingerprint().to_string());
        let version = secret.resource_version().unwrap_or_default();
        Ok(Held { uid: secret.uid().unwrap_or_default(), version, keys: data.into_keys().collect(), fingerprint })
    }

    /// How often certkeeper told each reason as an Event.
    pub(crate) async fn events(&self) -> Seen<BTreeMap<String, usize>> {
        let api: Api<Event> = Api::namespaced(self.person.clone(), HOME);
        let list = api.list(&ListParams::default()).await.map_err(Missed::call("Events can be listed"))?;
        let mut told = BTreeMap::new();
        for reason in list.items.into_iter().filter_map(|event| event.reason) {
            *told.entry(reason).or_default() += 1;
        }
        Ok(told)
    }

    /// How many changes the API server has seen, whoever made them.
    pub(crate) fn changes(&self) -> usize {
        self.server.writes()
    }

    /// Where each visitor is.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        self.places.iter().map(|place| place.visitor.mark()).collect()
    }

    /// All handshakes so far.
    pub(crate) fn handshakes(&self) -> Count {
        let mut all = self.gone;
        for place in &self.places {
            all += place.visitor.count();
        }
        all
    }
}

/// Istio's Gateway, and the Service behind which the gateways are.
async fn mesh(person: &Client) -> Seen<()> {
    let made = Missed::call("the API server takes Istio's Gateway");
    VirtualMesh::install(person).await.map_err(&made)?;
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "Gateway");
    let resource = ApiResource::from_gvk_with_plural(&kind, "gateways");
    let gateway = parsed::<DynamicObject>(json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": GATEWAY, "namespace": HOME},
        "spec": {"selector": {"app": GATEWAY}, "servers": [{
            "port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": [WILDCARD],
            "tls": {"mode": "SIMPLE", "credentialName": GATEWAY_SECRET},
        }]},
    }))?;
    let gateways = Api::namespaced_with(person.clone(), HOME, &resource);
    gateways.create(&PostParams::default(), &gateway).await.map_err(&made)?;
    let ports = json!([{"name": "https", "port": 443, "targetPort": "tls"}]);
    let service = parsed::<Service>(
        json!({"metadata": {"name": GATEWAY}, "spec": {"selector": {"app": GATEWAY}, "ports": ports}}),
    )?;
    Api::namespaced(person.clone(), MESH).create(&PostParams::default(), &service).await.map(drop).map_err(&made)
}

/// What the gateway's Secret holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) uid: String,
    pub(crate) version: String,
    pub(crate) keys: Vec<String>,
    /// Of the pair, if it is one.
    pub(crate) fingerprint: Option<String>,
}

fn parsed<T: serde::de::DeserializeOwned>(value: Value) -> Seen<T> {
    serde_json::from_value(value).map_err(|error| Missed::new("an object of the demo is well-formed", error))
}

fn issuing(error: impl std::fmt::Display) -> Missed {
    Missed::new("a certificate is issued", error)
}
