//! A mesh without nodes: the in-memory API server over HTTP, with Istio's Gateway in a minimal form, and pods whose
//! addresses are loopback's own, where TLS servers listen or nobody does.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    sync::Arc,
};

use certkeeper_simulator::{ApiServer, ca::Issued};
use http_body_util::BodyExt;
use k8s_openapi::{
    api::core::v1::{Namespace, Pod, Secret, Service},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind, NamespaceResourceScope},
};
use rustls::{ServerConfig, crypto::aws_lc_rs, server::ResolvesServerCert, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    command::room,
    servers::Tcp,
    support::room::{Answer, Room},
};

/// Where the pods are.
pub const MESH: &str = "istio-system";
/// Where the Gateway is.
pub const HOME: &str = "home";
/// The Gateway, as the command line names it.
pub const GATEWAY: &str = "home/gw";

/// Loopback addresses with one port that is free on all of them.
pub fn addresses<const N: usize>() -> [StdListener; N] {
    loop {
        let (b, c) = (fastrand::u8(128..=250), fastrand::u8(1..=250));
        let address = |index: usize| Ipv4Addr::new(127, b, c, u8::try_from(index + 1).expect("few"));
        let Ok(first) = StdListener::bind((address(0), 0)) else { continue };
        let port = first.local_addr().expect("an address").port();
        let rest = (1..N).map(|index| StdListener::bind((address(index), port)));
        let all: Result<Vec<StdListener>, _> = std::iter::once(Ok(first)).chain(rest).collect();
        if let Ok(all) = all {
            return all.try_into().expect("as many");
        }
    }
}

/// Chooses the pair by the name that is asked for.
#[derive(Debug)]
struct ByName(Vec<(String, Arc<CertifiedKey>)>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?;
        self.0.iter().find(|(suffix, _)| name.ends_with(suffix)).map(|(_, pair)| pair.clone())
    }
}

/// A TLS server that serves each of these pairs to whom asks for a name that ends so.
pub fn serving(listener: StdListener, pairs: &[(&str, &Issued)]) -> Tcp {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let load = |pair: &Issued| {
        let pem = pair.certificate();
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).map(|der| der.expect("a certificate"));
        let key = PrivateKeyDer::from_pem_slice(pair.key().as_bytes()).expect("a key");
        Arc::new(CertifiedKey::new(chain.collect(), provider.key_provider.load_private_key(key).expect("a key")))
    };
    let pairs = pairs.iter().map(|(suffix, pair)| ((*suffix).to_owned(), load(pair))).collect();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName(pairs)));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Tcp::on(listener, move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; 16]).await;
            }
        }
    })
}

/// The API server, and a folder in which the program runs.
pub struct Mesh {
    pub server: ApiServer,
    pub client: Client,
    pub room: Room,
    pub kubeconfig: String,
    _http: Tcp,
}

impl Mesh {
    /// With Istio's definitions in these versions; without any it is not installed.
    pub async fn with(versions: &[&str]) -> Self {
        let server = ApiServer::new();
        let client = server.client();
        let http = Tcp::start({
            // Who asks over HTTP is a user of its own: authorizers tell it from the tests.
            let client = server.client_as("prober");
            move |stream| answer(client.clone(), stream)
        })
        .await;
        let room = room();
        let kubeconfig = room.put("kubeconfig", kubeconfig(http.address));
        let mesh = Self { server, client, room, kubeconfig, _http: http };
        let namespaces: Api<Namespace> = Api::all(mesh.client.clone());
        for name in [MESH, HOME, "elsewhere"] {
            let namespace = json!({"metadata": {"name": name}});
            namespaces.create(&PostParams::default(), &from(namespace)).await.expect("a namespace");
        }
        if !versions.is_empty() {
            let definitions: Api<CustomResourceDefinition> = Api::all(mesh.client.clone());
            definitions.create(&PostParams::default(), &from(definition(versions))).await.expect("a definition");
        }
        mesh
    }

    /// With Istio of today.
    pub async fn start() -> Self {
        Self::with(&["v1alpha3", "v1beta1", "v1"]).await
    }

    async fn create<K>(&self, namespace: &str, object: Value) -> K
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        api.create(&PostParams::default(), &from(object)).await.expect("created")
    }

    /// The Gateway, in this version, with these servers.
    pub async fn gateway(&self, version: &str, servers: Value) {
        self.gateway_with(version, json!({"selector": {"istio": "gw"}, "servers": servers})).await;
    }

    pub async fn gateway_with(&self, version: &str, spec: Value) {
        let kind = GroupVersionKind::gvk("networking.istio.io", version, "Gateway");
        let resource = ApiResource::from_gvk_with_plural(&kind, "gateways");
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), HOME, &resource);
        let object = DynamicObject::new("gw", &resource).data(json!({ "spec": spec }));
        api.create(&PostParams::default(), &object).await.expect("a Gateway");
    }

    /// A pod at this address, ready or not.
    pub async fn pod(&self, namespace: &str, name: &str, address: SocketAddr, ready: bool) {
        let ports = json!([{"name": "tls-in", "containerPort": address.port()}]);
        let _: Pod = self
            .create(
                namespace,
                json!({
                    "metadata": {"name": name, "labels": {"istio": "gw"}},
                    "spec": {"containers": [{"name": "istio-proxy", "image": "proxy", "ports": ports}]},
                }),
            )
            .await;
        let status = if ready { "True" } else { "False" };
        let conditions = json!([{"type": "Ready", "status": status}]);
        let ip = address.ip().to_string();
        let status = json!({"status": {"phase": "Running", "podIP": ip, "conditions": conditions}});
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let patch = Patch::Merge(&status);
        pods.patch_status(name, &PatchParams::default(), &patch).await.expect("a status");
    }

    /// Deletes a pod; what holds a finalizer stays, and terminates.
    pub async fn delete_pod(&self, name: &str, held: bool) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), MESH);
        if held {
            let patch = json!({"metadata": {"finalizers": ["example.com/held"]}});
            pods.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.expect("held");
        }
        pods.delete(name, &DeleteParams::default().grace_period(0)).await.expect("deleted");
    }

    /// The Service of the pods, which leads from 443 to this target.
    pub async fn service(&self, name: &str, target: Value) {
        self.service_with(name, json!([{"name": "https", "port": 443, "targetPort": target}])).await;
    }

    pub async fn service_with(&self, name: &str, ports: Value) {
        let _: Service = self
            .create(MESH, json!({"metadata": {"name": name}, "spec": {"selector": {"istio": "gw"}, "ports": ports}}))
            .await;
    }

    pub async fn secret(&self, namespace: &str, name: &str, pair: &Issued) {
        let data = json!({"tls.crt": pair.certificate(), "tls.key": pair.key()});
        let _: Secret = self
            .create(namespace, json!({"metadata": {"name": name}, "type": "kubernetes.io/tls", "stringData": data}))
            .await;
    }

    /// `certkeeper probe --gateway home/gw` with these arguments.
    pub fn probe(&self, more: &[&str]) -> Answer {
        let arguments = ["--gateway", GATEWAY, "--kubeconfig", &self.kubeconfig, "--timeout", "20s"];
        // The servers run on this runtime's other threads.
        tokio::task::block_in_place(|| self.room.probe(&[&arguments, more].concat()))
    }
}

/// An object in its own type.
pub fn from<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("an object of that kind")
}

/// A server of the Gateway: HTTPS at 443.
pub fn https(name: &str, hosts: &[&str], tls: Value) -> Value {
    json!({"port": {"number": 443, "name": name, "protocol": "HTTPS"}, "hosts": hosts, "tls": tls})
}

/// The definition of a Gateway in these versions, with an open schema.
pub fn definition(versions: &[&str]) -> Value {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = |name: &&str| {
        json!({"name": name, "served": true, "storage": *name == versions[0], "schema": {"openAPIV3Schema":
            {"type": "object", "properties": {"spec": open, "status": open}}}})
    };
    json!({
        "metadata": {"name": "gateways.networking.istio.io"},
        "spec": {
            "group": "networking.istio.io",
            "names": {"kind": "Gateway", "listKind": "GatewayList", "plural": "gateways", "singular": "gateway"},
            "scope": "Namespaced",
            "versions": versions.iter().map(version).collect::<Vec<Value>>(),
        },
    })
}

fn kubeconfig(address: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: t\n\
         clusters: [{{name: t, cluster: {{server: \"http://{address}\"}}}}]\n\
         contexts: [{{name: t, context: {{cluster: t, user: t}}}}]\nusers: [{{name: t, user: {{}}}}]\n"
    )
}

/// One GET of a connection, answered by the API server in memory.
async fn answer(client: Client, mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = String::from_utf8(head).expect("a head in ASCII");
    let path = text.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).expect("a probe only reads");
    let request = http::Request::get(path).body(kube::client::Body::empty()).expect("a request");
    let response = client.send(request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&body).await;
    let _ = stream.shutdown().await;
}
