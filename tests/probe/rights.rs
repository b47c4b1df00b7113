//! Against a real API server, with the rights of docs/permissions.md and no others: they are enough.

use certkeeper_control_plane::shared_or_left_out;
use k8s_openapi::{
    api::{
        core::v1::{Namespace, Pod, Secret, Service},
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    core::{ApiResource, ClusterResourceScope, DynamicObject, GroupVersionKind, NamespaceResourceScope},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    command::room,
    mesh::{addresses, definition, from, https, serving},
    servers::{PATIENCE, PKI},
};

const HOME: &str = "pg-home";
const MESH: &str = "pg-mesh";
const USER: &str = "pg-person";

/// The rules of the page's part on `probe --gateway`: for the Gateway's namespace, the cluster, the pods' namespace.
fn documented() -> [Value; 3] {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/permissions.md")).expect("the page");
    let (_, part) = page.split_once("## For a person's `probe --gateway`").expect("the part");
    let mut blocks = part.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("an end"));
    [(); 3].map(|()| serde_saphyr::from_str(blocks.next().expect("a block of rules")).expect("YAML"))
}

async fn create<K>(client: &Client, namespace: &str, object: Value)
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &from(object)).await.expect("created");
}

async fn create_global<K>(client: &Client, object: Value)
where
    K: kube::Resource<Scope = ClusterResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    api.create(&PostParams::default(), &from(object)).await.expect("created");
}

fn binding(kind: &str) -> Value {
    json!({
        "metadata": {"name": USER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": USER},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
    })
}

async fn grant(client: &Client) {
    let [home, cluster, mesh] = documented();
    for (namespace, rules) in [(HOME, home), (MESH, mesh)] {
        create::<Role>(client, namespace, json!({"metadata": {"name": USER}, "rules": rules})).await;
        create::<RoleBinding>(client, namespace, binding("Role")).await;
    }
    create_global::<ClusterRole>(client, json!({"metadata": {"name": USER}, "rules": cluster})).await;
    create_global::<ClusterRoleBinding>(client, binding("ClusterRole")).await;
}

/// Istio's Gateway, in its newest version alone. A resource may be unknown for a moment after its definition.
async fn gateway(client: &Client) {
    create_global::<CustomResourceDefinition>(client, definition(&["v1"])).await;
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "Gateway");
    let resource = ApiResource::from_gvk_with_plural(&kind, "gateways");
    let tls = json!({"mode": "SIMPLE", "credentialName": "kyma-gateway-certs", "minProtocolVersion": "TLSV1_2"});
    let servers = json!([https("https", &["*.example.com"], tls)]);
    let spec = json!({"spec": {"selector": {"pg": "gw"}, "servers": servers}});
    let object = DynamicObject::new("kyma-gateway", &resource).data(spec);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), HOME, &resource);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Err(error) = api.create(&PostParams::default(), &object).await {
        assert!(tokio::time::Instant::now() < deadline, "the Gateway is not taken: {error}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_are_enough_to_ask_every_pod() {
    let Some(plane) = shared_or_left_out("probe --gateway").await.expect("a control plane") else { return };
    let client = plane.client().expect("a client");
    for name in [HOME, MESH] {
        create_global::<Namespace>(&client, json!({"metadata": {"name": name}})).await;
    }
    gateway(&client).await;
    let listeners = addresses::<2>();
    let port = listeners[0].local_addr().expect("an address").port();
    let ports = json!([{"port": 443, "targetPort": "tls-in", "name": "https"}]);
    let service = json!({"metadata": {"name": "gw"}, "spec": {"selector": {"pg": "gw"}, "ports": ports}});
    create::<Service>(&client, MESH, service).await;
    let data = json!({"tls.crt": PKI.rsa.certificate(), "tls.key": PKI.rsa.key()});
    let secret = json!({"metadata": {"name": "kyma-gateway-certs"}, "stringData": data});
    create::<Secret>(&client, MESH, secret).await;
    let mut servers = Vec::new();
    for (index, (listener, pair)) in listeners.into_iter().zip([&PKI.rsa, &PKI.other]).enumerate() {
        let (name, address) = (format!("gw-{index}"), listener.local_addr().expect("an address"));
        let container =
            json!({"name": "istio-proxy", "image": "proxy", "ports": [{"name": "tls-in", "containerPort": port}]});
        let metadata = json!({"name": name, "labels": {"pg": "gw"}});
        create::<Pod>(&client, MESH, json!({"metadata": metadata, "spec": {"containers": [container]}})).await;
        let ip = address.ip().to_string();
        let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True"}]}});
        let pods: Api<Pod> = Api::namespaced(client.clone(), MESH);
        pods.patch_status(&name, &PatchParams::default(), &Patch::Strategic(status)).await.expect("a status");
        servers.push(serving(listener, &[(".example.com", pair)]));
    }
    let kubeconfig = plane.kubeconfig_for(USER, &[]).expect("a user").display().to_string();
    let target = format!("{HOME}/kyma-gateway");
    let probe = || {
        let arguments = ["--gateway", &target, "--kubeconfig", &kubeconfig, "--timeout", "20s", "-o", "json"];
        tokio::task::block_in_place(|| room().probe(&arguments))
    };
    let refused = probe();
    assert!(refused.code == 2 && refused.err.contains("grant the verb get on gateways"), "{refused}");
    grant(&client).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut answer = probe();
    while answer.out.is_empty() && tokio::time::Instant::now() < deadline {
        // The authorizer learns of new Roles by a watch.
        answer = probe();
    }
    assert!(answer.code == 1 && answer.err.is_empty(), "{answer}");
    let json = answer.json();
    let seen: Vec<_> =
        json["servers"].as_array().expect("servers").iter().map(|one| one["asExpected"].clone()).collect();
    assert_eq!(seen, [json!(true), json!(false)], "{answer}");
}
