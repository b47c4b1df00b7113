//! The parts of a GatewayCertificate's spec.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a certificate comes from.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// BYO where byo.secretRef is set, else Gardener where the Certificate CRD and a domain exist.
    #[default]
    Auto,
    /// People supply the certificate and key.
    #[serde(rename = "BYO")]
    Byo,
    /// Gardener's certificate management issues it.
    Gardener,
}

/// What may be written.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManagementPolicy {
    /// Manages what nobody else owns, observes the rest.
    #[default]
    IfUnowned,
    /// A person's word that certkeeper is the owner now.
    Manage,
    /// Checks and reports; writes nothing but status.
    Observe,
}

/// What happens to the copies when the GatewayCertificate is deleted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// They stay.
    #[default]
    Retain,
    /// Those that are still ours are deleted.
    DeleteTargets,
}

/// A Secret in the same namespace.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalRef {
    /// Name of the object in this object's own namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// A certificate and key that people supply.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ByoSource {
    /// The Secret in this namespace that holds the pair, as tls.crt and tls.key, as cert and key,
    /// or as tlsCrt and tlsKey (Kyma's values: base64 of the PEM). The first layout of these with both halves is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
    /// What the chain must lead to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
}

/// What a chain must lead to.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Trust {
    /// Root certificates in PEM. When set, a chain that leads to none of them is refused.
    #[schemars(length(min = 1, max = 65536))]
    #[x_kube(validation = Rule::new("self.contains('-----BEGIN CERTIFICATE-----')")
        .message("byo.trust.roots must hold PEM blocks that begin with -----BEGIN CERTIFICATE-----"))]
    #[x_kube(validation = Rule::new("!self.contains('PRIVATE KEY')")
        .message("byo.trust.roots must not hold a private key: remove it and consider it leaked"))]
    pub roots: String,
}

/// What to request from Gardener.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GardenerRequest {
    /// The Issuer to use. Default: the landscape's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
    /// How long the certificate shall be valid, e.g. "2160h"; not for ACME. Default: the issuer's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^([0-9]+(h|m|s))+$"))]
    pub duration: Option<String>,
    /// The value of the annotation cert.gardener.cloud/class, where one of several controllers is meant. Not needed on
    /// shoots.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub class: Option<String>,
    /// How long before its end the certificate is renewed, e.g. "720h0m0s"; at least five minutes. Default: the
    /// landscape's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^([0-9]+(h|m|s))+$"))]
    pub renew_before: Option<String>,
    /// Kind and size of the private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PrivateKey>,
    /// An existing Certificate of another owner to watch over, in this namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_ref: Option<LocalRef>,
    /// Whether the bare domain is requested beside the wildcard. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_apex: Option<bool>,
}

/// An Issuer of Gardener's certificate management.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerRef {
    /// The Issuer's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// The Issuer's namespace, where the landscape allows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
}

/// Kind and size of a requested private key.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(validation = Rule::new("!has(self.size) || has(self.algorithm)")
    .message("privateKey.size needs privateKey.algorithm: sizes differ between RSA and ECDSA"))]
#[x_kube(validation = Rule::new("!has(self.size) || !has(self.algorithm) || (self.algorithm == 'RSA' ? self.size in [2048, 3072, 4096] : self.size in [256, 384])")
    .message("privateKey.size must be 2048, 3072 or 4096 for RSA, 256 or 384 for ECDSA"))]
pub struct PrivateKey {
    /// Kind of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<KeyAlgorithm>,
    /// Size of the key in bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i32>,
}

/// Kind of a private key.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// RSA: what Kyma's cipher suites need for TLS 1.2.
    #[serde(rename = "RSA")]
    Rsa,
    /// ECDSA.
    #[serde(rename = "ECDSA")]
    Ecdsa,
}

impl KeyAlgorithm {
    /// The word that Gardener has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::Ecdsa => "ECDSA",
        }
    }
}

/// The gateway that serves the certificate.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRef {
    /// Name of the Istio Gateway. Default: kyma-gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: Option<String>,
    /// Namespace of the Istio Gateway. Default: kyma-system.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
    /// The Gateway's server (by its port's name) whose credential is meant, where it has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub server: Option<String>,
    /// The Secret that the gateway reads. Default: istio-system/kyma-gateway-certs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<GatewaySecretRef>,
    /// Whether the Gateway itself is written. Default: Observe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub management: Option<GatewayManagement>,
    /// Labels of the gateway's pods: the Gateway's selector. Default: those of Kyma's ingress gateway
    /// (app: istio-ingressgateway, istio: ingressgateway), where the Gateway is managed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub selector: BTreeMap<String, String>,
    /// TLS settings that the Gateway is given, where it is managed, or is verified against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<TlsPolicy>,
    /// How far to go to make the gateway serve a new certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<Reload>,
    /// How to prove what is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
}

/// The Secret that a gateway reads. It must be in the namespace of the ingress gateway's pods.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(validation = Rule::new("self == oldSelf")
    .message("gateway.secretRef cannot be changed: create another GatewayCertificate for the other Secret, then delete this one"))]
pub struct GatewaySecretRef {
    /// Name of the Secret. Default: kyma-gateway-certs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self.size() <= 243 && !self.endsWith('-last-good') && !self.endsWith('-cacert')")
        .message("gateway.secretRef.name must leave room for the suffixes -last-good and -cacert, which are names of our own"))]
    pub name: Option<String>,
    /// Namespace of the Secret. Default: istio-system.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
}

/// Whether a Gateway is written.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GatewayManagement {
    /// It is read, verified and never written.
    #[default]
    Observe,
    /// It is created where it is missing, and its selector and the servers for this certificate are ours.
    Manage,
}

/// TLS settings of a managed Gateway.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TlsPolicy {
    /// Oldest protocol version that is accepted. Default: TLSV1_2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_protocol_version: Option<ProtocolVersion>,
    /// Cipher suites for TLS 1.2, in OpenSSL's names. Default: the five that Kyma documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 64)))]
    pub cipher_suites: Vec<String>,
    /// Whether the bare domain is served beside its wildcard. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_apex: Option<bool>,
    /// Whether port 80 redirects to 443. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https_redirect: Option<bool>,
    /// Whether clients must present a certificate. Default: MUTUAL where clientCA is set, else SIMPLE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<TlsMode>,
}

/// Oldest protocol version of a Gateway, in Istio's names.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolVersion {
    /// TLS 1.2.
    #[serde(rename = "TLSV1_2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "TLSV1_3")]
    Tls13,
}

impl ProtocolVersion {
    /// The word that Istio has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSV1_2",
            Self::Tls13 => "TLSV1_3",
        }
    }
}

/// Whether clients must present a certificate, in Istio's names.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Only the server presents one.
    #[serde(rename = "SIMPLE")]
    Simple,
    /// Both present one.
    #[serde(rename = "MUTUAL")]
    Mutual,
}

impl TlsMode {
    /// The word that Istio has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "SIMPLE",
            Self::Mutual => "MUTUAL",
        }
    }
}

/// How far to go to make a gateway serve a new certificate.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Reload {
    /// The highest rung of the ladder that may be used. Default: Nudge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to: Option<ReloadRung>,
    /// How long each rung has to work, Istio's own push among them, e.g. "30s" or "1m30s"; at least 5s, which is what less counts
    /// as.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^([0-9]+(h|m|s))+$"))]
    pub deadline: Option<String>,
}

/// The rungs of the reload ladder.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReloadRung {
    /// Only watch.
    Observe,
    /// Write the same pair in other bytes.
    #[default]
    Nudge,
    /// Evict stale pods, one at a time.
    Restart,
}

/// How to prove what is served.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Whether gateway pods are asked at all. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The port of the pods. Default: what the Gateway's server maps to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Names to ask for (SNI). Default: the Gateway's hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub hosts: Vec<String>,
    /// Whether the gateway expects a PROXY header before TLS. Default: Auto.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// Whether a gateway expects a PROXY header before TLS.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Read it from the EnvoyFilters.
    #[default]
    Auto,
    /// It does not.
    None,
    /// Version 1, in text.
    V1,
    /// Version 2, binary.
    V2,
}

/// The CA certificates for mutual TLS.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClientCa {
    /// The Secret in this namespace that holds the CA certificates in PEM, as cacert or ca.crt; the first that has a
    /// value is read. They are checked, and kept in the Secret beside the gateway's with the suffix -cacert.
    pub secret_ref: LocalRef,
}

/// One set of copies.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.namespaces) != has(self.namespaceSelector)")
    .message("a target needs exactly one of namespaces and namespaceSelector"))]
#[x_kube(validation = Rule::new("!has(self.namespaceSelector) || self.layout in ['certificate-only', 'ca'] || (has(self.keys) && self.keys.all(k, self.keys[k] != 'PrivateKey'))")
    .message("a layout that bears the private key takes a list of namespaces: a selector would hand the key to whoever may label one"))]
#[x_kube(validation = Rule::new("(self.layout == 'keys') == has(self.keys)")
    .message("keys goes with layout \"keys\", and that layout needs keys"))]
pub struct Target {
    /// Name of this entry, unique in the list.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Name of the Secret in each namespace.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub secret_name: String,
    /// The namespaces that get a copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000), inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")), extend("x-kubernetes-list-type" = "set"))]
    pub namespaces: Option<Vec<String>>,
    /// Labels of the namespaces that get a copy; only for layouts without a private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Which keys the copy has.
    pub layout: Layout,
    /// With layout keys: the Secret's keys, each with what it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 8))]
    pub keys: Option<BTreeMap<String, KeyContent>>,
    /// Workloads in the copy's namespace that are rolled after the copy changed, once for each certificate, where the
    /// operator grants it (run --allow-restart). Only for those that do not notice a changed Secret themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind", "name"]))]
    pub restart: Vec<Workload>,
}

/// A workload that is rolled after the Secret it reads has changed.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// Its name, in the namespace of the copy.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// Kind of a workload that can be rolled.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadKind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
}

impl WorkloadKind {
    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }
}

/// Which keys a copy has.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// tls.crt and tls.key, of type kubernetes.io/tls.
    #[default]
    Tls,
    /// cert and key.
    Generic,
    /// tls.crt alone.
    CertificateOnly,
    /// cacert alone: the CA certificates of the chain, see Authorities.
    Ca,
    /// An explicit map, see keys.
    Keys,
}

/// What one key of a copy holds.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyContent {
    /// The full chain in PEM.
    Certificate,
    /// The private key in PEM.
    PrivateKey,
    /// The CA certificates of the chain in PEM, and the root given in byo.trust.roots that issued them: what a client
    /// of the gateway trusts.
    Authorities,
}

/// Checks whose severity is lowered.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Checks that shall only warn. Names: certkeeper check --list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub warn: Vec<String>,
    /// Checks that shall not be reported at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub ignore: Vec<String>,
}
