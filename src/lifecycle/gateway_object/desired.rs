//! What a Gateway should say: Kyma's documented policy (FACTS, "Kyma"), as far as the spec does not say otherwise.

use std::collections::BTreeMap;

use crate::lifecycle::{observed::Wants, serving::bare_host};

/// The documented cipher suites for TLS 1.2, in their order. All need an RSA key.
pub const CIPHER_SUITES: [&str; 5] = [
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-SHA",
];
/// The names that Istio hands on to Envoy; it drops every other (IS pkg/config/security, `ValidCipherSuites`).
pub const ISTIO_SUITES: [&str; 15] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];
/// The labels of Kyma's ingress gateway.
const SELECTOR: [(&str, &str); 2] = [("app", "istio-ingressgateway"), ("istio", "ingressgateway")];
/// The oldest protocol version that is accepted.
const MIN_VERSION: &str = "TLSV1_2";

/// What a Gateway should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The labels of the pods that serve it.
    pub selector: BTreeMap<String, String>,
    /// The spec names them: then they are verified, too.
    pub selector_named: bool,
    /// The hosts that are served; empty: not known.
    pub hosts: Vec<String>,
    /// The name of the Secret with the pair, which lies in the namespace of the pods.
    pub credential: String,
    /// SIMPLE or MUTUAL.
    pub mode: String,
    /// Oldest protocol version.
    pub min_version: String,
    /// Cipher suites for TLS 1.2; empty where it is not spoken.
    pub suites: Vec<String>,
    /// Port 80 redirects to https.
    pub redirect: bool,
    /// The name of the server's port, where the spec picks one.
    pub server: Option<String>,
}

/// What a Gateway should say. `names` are those of the certificate, which count where the spec has no domain.
#[must_use]
pub fn desired(wants: &Wants, names: &[String]) -> Desired {
    let policy = &wants.gateway_object;
    let min_version = policy.min_version.clone().unwrap_or_else(|| MIN_VERSION.to_owned());
    let suites = match (policy.suites.is_empty(), min_version.as_str()) {
        (true, "TLSV1_3") => Vec::new(),
        (true, _) => CIPHER_SUITES.map(str::to_owned).to_vec(),
        (false, _) => policy.suites.clone(),
    };
    let hosts = match &wants.domain {
        Some(domain) => {
            let apex = policy.apex.then(|| domain.clone());
            std::iter::once(format!("*.{domain}")).chain(apex).collect()
        }
        None => names.iter().map(|name| bare_host(name)).collect(),
    };
    let mutual = if wants.client_ca.is_some() { "MUTUAL" } else { "SIMPLE" };
    let kyma = || SELECTOR.map(|(label, value)| (label.to_owned(), value.to_owned())).into();
    Desired {
        selector: policy.selector.clone().unwrap_or_else(kyma),
        selector_named: policy.selector.is_some(),
        hosts,
        credential: wants.gateway_secret.name.clone(),
        mode: policy.mode.clone().unwrap_or_else(|| mutual.to_owned()),
        min_version,
        suites,
        redirect: !policy.plain,
        server: wants.server.clone(),
    }
}
