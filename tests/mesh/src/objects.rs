//! The objects of a mesh as Kyma has them (FACTS, "Kyma"), and what stands in for a node.

use std::net::SocketAddr;

use certkeeper_simulator::ca::Issued;
use serde_json::{Value, json};

/// Namespace of istiod, the gateway's pods and their Secret.
pub const ISTIO: &str = "istio-system";
/// Namespace of the Gateway.
pub const KYMA: &str = "kyma-system";
/// The domain of the Gateway's hosts.
pub const DOMAIN: &str = "example.test";
/// The ServiceAccount of the gateway's pods.
pub const ACCOUNT: &str = "istio-ingressgateway-service-account";
/// The gateway's Secret, in [`ISTIO`].
pub const SECRET: &str = "kyma-gateway-certs";
/// The name of the gateway's PodDisruptionBudget.
pub const BUDGET: &str = "istio-ingressgateway";
/// The label by which one pod is told from the others.
const OWN: &str = "mesh.test/address";

/// The labels of the gateway's pods.
fn labels() -> Value {
    json!({"app": "istio-ingressgateway", "istio": "ingressgateway"})
}

/// The labels of the gateway's pods, as a selector in a URL.
pub fn selector() -> String {
    "app=istio-ingressgateway,istio=ingressgateway".to_owned()
}

/// The gateway's PodDisruptionBudget, with so many pods at least.
pub fn budget(least: u16) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": BUDGET, "namespace": ISTIO},
        "spec": {"minAvailable": least, "selector": {"matchLabels": labels()}}})
}

/// The gateway's Secret with this pair.
pub fn secret(pair: &Issued) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": SECRET, "namespace": ISTIO},
        "stringData": {"tls.crt": pair.certificate(), "tls.key": pair.key()}})
}

/// The right of the gateway's account to read Secrets: without it istiod gives its pods none.
pub fn right_to_secrets() -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "istio-ingressgateway-sds", "namespace": ISTIO},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "watch", "list"]}]})
}

/// Namespaces, the gateway's account with its right to Secrets, its Service, the Gateway of Kyma's, and a host
/// `ok.DOMAIN` that answers 200.
pub fn base() -> Vec<Value> {
    let group = "rbac.authorization.k8s.io";
    let sds = "istio-ingressgateway-sds";
    let hosts = json!([format!("*.{DOMAIN}")]);
    let suites = [
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-SHA",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-SHA",
    ];
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ISTIO}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": KYMA}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": ISTIO}}),
        right_to_secrets(),
        json!({"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": sds, "namespace": ISTIO},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": sds},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": ISTIO}]}),
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "istio-ingressgateway", "namespace": ISTIO, "labels": labels()},
            "spec": {"selector": labels(), "ports": [
                {"name": "http2", "port": 80, "targetPort": 8080}, {"name": "https", "port": 443, "targetPort": 8443}]}}),
        json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"name": "kyma-gateway", "namespace": KYMA},
            "spec": {"selector": labels(), "servers": [
                {"hosts": hosts, "port": {"name": "https", "number": 443, "protocol": "HTTPS"},
                 "tls": {"mode": "SIMPLE", "credentialName": SECRET, "minProtocolVersion": "TLSV1_2",
                         "cipherSuites": suites}},
                {"hosts": hosts, "port": {"name": "http", "number": 80, "protocol": "HTTP"},
                 "tls": {"httpsRedirect": true}}]}}),
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "ok", "namespace": KYMA},
            "spec": {"hosts": [format!("ok.{DOMAIN}")], "gateways": ["kyma-gateway"],
                "http": [{"directResponse": {"status": 200, "body": {"string": "ok\n"}}}]}}),
    ]
}

/// Has the listeners of one pod bind its own loopback address: without it all would share 0.0.0.0.
pub fn bind(address: &str) -> Value {
    let patch = |port: u16| {
        json!({"applyTo": "LISTENER", "match": {"context": "GATEWAY", "listener": {"portNumber": port}},
            "patch": {"operation": "MERGE", "value": {"address": {"socket_address": {"address": address}}}}})
    };
    json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
        "metadata": {"name": format!("bind-{}", address.replace('.', "-")), "namespace": ISTIO},
        "spec": {"workloadSelector": {"labels": {OWN: address}}, "configPatches": [patch(8443), patch(8080)]}})
}

/// The labels of the pod with this address, as Envoy tells them istiod.
pub fn labels_of(address: &str) -> Value {
    let mut labels = labels();
    labels["istio.io/rev"] = json!("default");
    labels[OWN] = json!(address);
    labels
}

/// A pod of the gateway.
pub fn pod(name: &str, address: &str) -> Value {
    let ports: Vec<Value> = [8443, 8080].iter().map(|port| json!({"containerPort": port})).collect();
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": ISTIO, "labels": labels_of(address)},
        "spec": {"serviceAccountName": ACCOUNT, "automountServiceAccountToken": false, "nodeName": "no-node",
            "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "istio-proxy", "image": "envoy", "ports": ports}]}})
}

/// The status of a running pod whose container was restarted so often.
pub fn pod_status(address: &str, ready: bool, restarts: i32) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({"status": {
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": status}],
        "containerStatuses": [{"name": "istio-proxy", "image": "envoy", "imageID": "envoy", "ready": ready,
            "started": true, "restartCount": restarts, "state": {"running": {}}}],
    }})
}

/// Istio's mesh settings.
pub const MESH: &str = "trustDomain: cluster.local\nrootNamespace: istio-system\nenablePrometheusMerge: false\n\
                        enableAutoMtls: false\naccessLogFile: \"\"\ndefaultProviders: {}\n";

/// Envoy's bootstrap for the pod with this name and address.
pub fn bootstrap(name: &str, address: &str, istiod: SocketAddr, ca: &str, token: &str) -> Value {
    let resources = json!({"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"});
    let validation = json!({"trusted_ca": {"filename": ca}, "match_typed_subject_alt_names": [
        {"san_type": "DNS", "matcher": {"exact": "istiod.istio-system.svc"}}]});
    json!({
        "node": {
            "id": format!("router~{address}~{name}.{ISTIO}~{ISTIO}.svc.cluster.local"),
            "cluster": format!("istio-ingressgateway.{ISTIO}"),
            "metadata": {"CLUSTER_ID": "Kubernetes", "NAMESPACE": ISTIO, "NAME": name, "SERVICE_ACCOUNT": ACCOUNT,
                "ISTIO_VERSION": "1.31.0", "INSTANCE_IPS": address, "MESH_ID": "cluster.local",
                "UNPRIVILEGED_POD": "true", "LABELS": labels_of(address)},
        },
        "admin": {"address": {"socket_address": {"address": address, "port_value": 15000}}},
        "dynamic_resources": {
            "lds_config": resources, "cds_config": resources,
            "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3",
                "set_node_on_first_message_only": true, "grpc_services": [{
                    "envoy_grpc": {"cluster_name": "xds"},
                    "initial_metadata": [{"key": "authorization", "value": format!("Bearer {token}")},
                        {"key": "clusterid", "value": "Kubernetes"}]}]},
        },
        "static_resources": {"clusters": [{
            "name": "xds", "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [{"endpoint": {"address":
                {"socket_address": {"address": istiod.ip().to_string(), "port_value": istiod.port()}}}}]}]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}}}},
            "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": "istiod.istio-system.svc",
                "common_tls_context": {"alpn_protocols": ["h2"], "validation_context": validation}}},
        }]},
    })
}
