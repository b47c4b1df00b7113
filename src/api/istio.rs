//! What is read of Istio's Gateway (`networking.istio.io`). v1, v1beta1 and v1alpha3 have the same fields.

use std::collections::BTreeMap;

use kube::core::{NotUsed, Object};
use serde::{Deserialize, Serialize};

/// Its API group.
pub const ISTIO_GROUP: &str = "networking.istio.io";
/// The versions in which a Gateway may be read, the newest first.
pub const GATEWAY_VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha3"];
/// On a Service, with any value: its ports are not translated for Gateways (IS pilot/pkg/model/gateway.go).
pub const DISABLE_PORT_TRANSLATION: &str = "experimental.istio.io/disable-gateway-port-translation";

/// The version in which EnvoyFilters may be read: there is one.
pub const ENVOY_FILTER_VERSION: &str = "v1alpha3";

/// An EnvoyFilter; its patches are Envoy's own configuration, in as many forms as there are.
pub type IstioEnvoyFilter = Object<serde_json::Value, NotUsed>;

/// A Gateway.
pub type IstioGateway = Object<IstioGatewaySpec, NotUsed>;

/// What a Gateway asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IstioGatewaySpec {
    /// The labels of the pods that serve it.
    #[serde(deserialize_with = "null_is_default")]
    pub selector: BTreeMap<String, String>,
    /// What they serve.
    #[serde(deserialize_with = "null_is_default")]
    pub servers: Vec<IstioServer>,
}

/// One entry of `servers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IstioServer {
    /// The port, as clients of the Service see it.
    pub port: IstioPort,
    /// Hosts: names, wildcards, `*`; each may have a namespace before it (`ns/`, `./`, `*/`).
    #[serde(deserialize_with = "null_is_default")]
    pub hosts: Vec<String>,
    /// TLS; without it the port is plain.
    pub tls: Option<IstioServerTls>,
}

/// A server's port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IstioPort {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// HTTP, HTTPS, TLS and others.
    pub protocol: String,
}

/// A server's TLS settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IstioServerTls {
    /// PASSTHROUGH (what an absent one means), SIMPLE, MUTUAL, AUTO_PASSTHROUGH, ISTIO_MUTUAL or OPTIONAL_MUTUAL.
    pub mode: Option<String>,
    /// Where the pair is kept: a Secret's name, or an address with a scheme.
    pub credential_name: Option<String>,
    /// A file in the gateway's pod, in place of `credentialName`.
    pub server_certificate: Option<String>,
    /// TLS_AUTO or TLSV1_0 to TLSV1_3.
    pub min_protocol_version: Option<String>,
    /// TLS_AUTO or TLSV1_0 to TLSV1_3.
    pub max_protocol_version: Option<String>,
    /// TLS 1.2 suites in OpenSSL's names; none: Envoy's own choice.
    #[serde(deserialize_with = "null_is_default")]
    pub cipher_suites: Vec<String>,
    /// Plain HTTP is redirected to https.
    pub https_redirect: bool,
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
