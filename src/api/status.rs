//! The parts of a GatewayCertificate's status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is known of a GatewayCertificate. Times are RFC 3339 in UTC, whole seconds.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayCertificateStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the certificate comes from: BYO or Gardener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The domain in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Gateway pods that serve the certificate, of all that are ready, e.g. "3/3".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served: Option<String>,
    /// Accepted, SourceValid, Issued (in Gardener mode), SecretCurrent, Distributed, Served, Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The certificate in the gateway's Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
    /// What is requested of Gardener, in Gardener mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuance: Option<IssuanceStatus>,
    /// The client CA in the -cacert Secret beside the gateway's, where mutual TLS is asked for.
    #[serde(skip_serializing_if = "Option::is_none", rename = "clientCA")]
    pub client_ca: Option<ClientCaStatus>,
    /// Every Gateway that uses the Secret, at most 16, and what its pods serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["namespace", "name"]))]
    pub gateways: Vec<GatewayStatus>,
    /// How far the reload ladder was climbed for the current certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<ReloadStatus>,
    /// The copies, counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<TargetsStatus>,
    /// What the checks found on the supplied certificate and client CA, gravest first, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub findings: Vec<FindingStatus>,
    /// What was done and when, newest first, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub history: Vec<HistoryEntry>,
    /// How many entries the history has had in all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub history_total: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// A certificate, as far as it is public.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// SHA-256 of the leaf, hexadecimal.
    pub fingerprint: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// DNS names it covers, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_names: Vec<String>,
    /// When it begins to be valid.
    pub not_before: String,
    /// When it ends.
    pub not_after: String,
    /// When its renewal is due, where certkeeper has it renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<String>,
}

/// What is requested of Gardener, and what came of it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IssuanceStatus {
    /// Name of the Certificate (cert.gardener.cloud), in this object's namespace.
    pub certificate: String,
    /// Gardener's own word for its state: Pending, Waiting, Error, Ready, Revoked, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// Since when what is asked for now is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<String>,
    /// When Gardener was last pushed, by a touch or by asking for a renewal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<String>,
    /// SHA-256 of the leaf that was issued last, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Fingerprints of leaves that were revoked, at most 5, oldest first: they are never promoted or brought back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub revoked: Vec<String>,
}

/// The CA certificates of mutual TLS, as far as they are told.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClientCaStatus {
    /// SHA-256 over its certificates in their order, hexadecimal.
    pub fingerprint: String,
    /// How many certificates it has.
    pub certificates: i32,
    /// The end of the last one that can vouch for a client: after it nobody is let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
}

/// One finding of a check.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingStatus {
    /// Name of the check, see certkeeper check --list.
    pub check: String,
    /// error, warning or info.
    pub severity: String,
    /// What was found.
    pub message: String,
    /// The block it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub location: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

/// Something that was done or happened.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// When.
    pub time: String,
    /// What, in one CamelCase word.
    pub reason: String,
    /// The same in a sentence.
    pub message: String,
    /// The field manager that made it necessary, for a write that was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
}

/// What the pods of one Gateway serve.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayStatus {
    /// Namespace of the Gateway.
    pub namespace: String,
    /// Name of the Gateway.
    pub name: String,
    /// How many ready pods it has.
    pub pods: i32,
    /// How many of them serve the certificate.
    pub serving: i32,
    /// Pods that serve something else, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub differing: Vec<PodStatus>,
}

/// A pod that serves something else.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// Name of the pod.
    pub pod: String,
    /// SHA-256 of the leaf it serves, where a handshake was completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Why it differs, in one CamelCase word.
    pub reason: String,
    /// Since when.
    pub since: String,
}

/// How far the reload ladder was climbed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadStatus {
    /// The leaf it is about.
    pub fingerprint: String,
    /// The highest rung used: Observe, Nudge or Restart.
    pub rung: String,
    /// When that rung was used.
    pub time: String,
    /// Since when some pod was seen not to serve the leaf; absent once all did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// How many ready pods there were when the first was evicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<i32>,
    /// How many pods were evicted and seen to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evicted: Option<i32>,
    /// The pod that was chosen last to be evicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Its uid, until it was seen to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// The copies.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetsStatus {
    /// How many there should be.
    pub desired: i32,
    /// How many are there and current.
    pub current: i32,
    /// Those that are not, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub failures: Vec<TargetFailure>,
    /// Where copies may lie: what finds them again when the spec no longer names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub placed: Vec<PlacedCopies>,
}

/// A Secret name under which copies may lie.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlacedCopies {
    /// Name of the Secrets.
    pub secret_name: String,
    /// The namespaces; none: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64000))]
    pub namespaces: Vec<String>,
}

/// A copy that is not as it should be.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetFailure {
    /// Name of the target in the spec.
    pub target: String,
    /// Namespace of the copy.
    pub namespace: String,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// Why, and what to do.
    pub message: String,
}
