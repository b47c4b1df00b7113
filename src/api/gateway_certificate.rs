//! The GatewayCertificate itself: group, version, names, printed columns.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    ByoSource, Checks, ClientCa, DeletionPolicy, GardenerRequest, GatewayCertificateStatus, GatewayRef,
    ManagementPolicy, Mode, Target,
};

/// One certificate of one ingress gateway: where it comes from, which Secret holds it, and what is known of it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "certs.kyma-project.io",
    version = "v1alpha1",
    kind = "GatewayCertificate",
    plural = "gatewaycertificates",
    shortname = "gwcert",
    category = "kyma",
    namespaced,
    status = "GatewayCertificateStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "GatewayCertificate keeps the TLS certificate of an ingress gateway valid, distributed, served and proven.",
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("metadata.name must be at most 63 characters: it becomes part of other objects' names and labels"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.mode",
        description = "Where the certificate comes from: BYO or Gardener"),
    printcolumn(name = "Domain", type_ = "string", json_path = ".status.domain",
        description = "The domain whose hosts the gateway serves"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "True when every gateway pod was seen to serve the certificate"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is ready or not", priority = 1),
    printcolumn(name = "Served", type_ = "string", json_path = ".status.served",
        description = "Gateway pods that serve the certificate, of all that are ready"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.certificate.notAfter",
        description = "End of the certificate in the gateway's Secret"),
    printcolumn(name = "Fingerprint", type_ = "string", json_path = ".status.certificate.fingerprint",
        description = "SHA-256 of the leaf in the gateway's Secret", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode != 'BYO' || (has(self.byo) && has(self.byo.secretRef))")
        .message("mode BYO needs byo.secretRef: name the Secret in this namespace that holds the certificate and key"),
    validation = Rule::new("self.mode != 'Gardener' || !(has(self.byo) && has(self.byo.secretRef))")
        .message("mode Gardener requests its own certificate: remove byo.secretRef, or set mode to BYO"),
    validation = Rule::new("(has(self.gateway) && has(self.gateway.secretRef)) == (has(oldSelf.gateway) && has(oldSelf.gateway.secretRef))")
        .message("gateway.secretRef cannot be added or removed later: create another GatewayCertificate for the other Secret, then delete this one"),
    validation = Rule::new("self.mode != 'BYO' || !has(self.gardener)")
        .message("mode BYO uses no issuer: remove gardener, or set mode to Gardener"),
    validation = Rule::new("self.mode != 'Auto' || !has(self.gardener) || !(has(self.byo) && has(self.byo.secretRef))")
        .message("byo.secretRef and gardener exclude each other: remove the one that shall not be used")
)]
pub struct GatewayCertificateSpec {
    /// Where the certificate comes from. Auto: BYO where byo.secretRef is set, else Gardener where the cluster has it.
    #[serde(default)]
    pub mode: Mode,

    /// What may be written. IfUnowned: everything that nobody else owns. Manage: take over from another owner.
    /// Observe: write nothing but this object's status.
    #[serde(default)]
    pub management_policy: ManagementPolicy,

    /// Stops every write but this object's status, until it is false again.
    #[serde(default)]
    pub suspend: bool,

    /// The cluster's domain, without "*.": the certificate must cover the wildcard of it.
    /// Without a domain the hosts are not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?)([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("domain must be a DNS name in lower case without a leading \"*.\" (it is added where it is needed) and without a dot at its end"))]
    #[x_kube(validation = Rule::new("self.split('.').all(l, l.size() <= 63)")
        .message("each label of domain must be at most 63 characters (RFC 1035 2.3.4)"))]
    pub domain: Option<String>,

    /// Bring your own: a certificate and key that people supply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub byo: Option<ByoSource>,

    /// What to request from Gardener's certificate management.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gardener: Option<GardenerRequest>,

    /// The gateway that serves the certificate, and the Secret it reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayRef>,

    /// The CA certificates that clients must present a certificate of (mutual TLS).
    #[serde(skip_serializing_if = "Option::is_none", rename = "clientCA")]
    pub client_ca: Option<ClientCa>,

    /// Copies of the certificate for components that need it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub targets: Vec<Target>,

    /// Checks whose severity is lowered for this certificate. What a gateway itself would refuse stays refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Checks>,

    /// What happens to the copies when this object is deleted. The gateway's Secret is never deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}
