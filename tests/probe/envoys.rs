//! Envoy's listeners, as istiod sets them up for a Gateway with Kyma's policy.

use std::{net::SocketAddr, path::Path};

use certkeeper::gateway::wire::KYMA_SUITES;
use serde_json::{Value, json};

const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions";

/// A listener with this filter chain; with the PROXY protocol's filter before everything, as Kyma sets it on AWS.
pub fn listener(name: &str, address: SocketAddr, proxied: bool, chain: &Value) -> Value {
    let filter =
        |name: &str, kind: &str| json!({"name": name, "typed_config": {"@type": format!("{EXTENSIONS}.{kind}")}});
    let mut filters = Vec::new();
    if proxied {
        filters.push(filter("proxy", "filters.listener.proxy_protocol.v3.ProxyProtocol"));
    }
    filters.push(filter("inspector", "filters.listener.tls_inspector.v3.TlsInspector"));
    json!({
        "name": name,
        "address": {"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}},
        "listener_filters": filters,
        "filter_chains": [chain],
    })
}

/// TLS for `*.example.com` and no other name.
pub fn terminating(folder: &Path, mutual: bool) -> Value {
    let file = |name: &str| json!({"filename": folder.join(name)});
    let mut common = json!({
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_2",
            "tls_maximum_protocol_version": "TLSv1_3",
            "cipher_suites": KYMA_SUITES,
        },
        "tls_certificates": [{"certificate_chain": file("chain.pem"), "private_key": file("key.pem")}],
    });
    if mutual {
        common["validation_context"] = json!({"trusted_ca": file("roots.pem")});
    }
    json!({
        "filter_chain_match": {"server_names": ["*.example.com"]},
        "filters": [http(false)],
        "transport_socket": {"name": "tls", "typed_config": {
            "@type": format!("{EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext"),
            "require_client_certificate": mutual,
            "common_tls_context": common,
        }},
    })
}

/// Plain HTTP, which is redirected.
pub fn redirecting() -> Value {
    json!({"filters": [http(true)]})
}

fn http(redirect: bool) -> Value {
    let filter = "filters.network.http_connection_manager.v3.HttpConnectionManager";
    let router = json!({"@type": format!("{EXTENSIONS}.filters.http.router.v3.Router")});
    json!({"name": "http", "typed_config": {
        "@type": format!("{EXTENSIONS}.{filter}"),
        "stat_prefix": "http",
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "require_tls": if redirect { "ALL" } else { "NONE" },
            "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 204}}],
        }]},
        "http_filters": [{"name": "router", "typed_config": router}],
    }})
}
