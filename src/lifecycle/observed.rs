//! What was observed, in plain types: no Kubernetes here.

use std::{collections::BTreeSet, fmt, sync::Arc};

use chrono::{DateTime, Duration, Utc};

use super::{
    client_ca::ClientCa,
    gardener::{self, Gardener, GardenerWants},
    gateway_object::{GatewayWants, Gateways},
    plan::{Entry, Status},
    reload::{Nudge, Refusal, Rung},
    serving::Mesh,
    targets::{Copies, Namespaces, Target},
};
use crate::certificate::{Facts, Roots};

/// Namespace and name of an object; printed as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectName {
    /// The name of an object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The name of the keep-sake Secret that belongs to this gateway Secret.
    #[must_use]
    pub fn keepsake(&self) -> Self {
        Self::new(&self.namespace, format!("{}-last-good", self.name))
    }

    /// The name of the Secret that Gardener fills for the GatewayCertificate of this name.
    #[must_use]
    pub fn staging(&self) -> Self {
        Self::new(&self.namespace, format!("{}-staging", self.name))
    }

    /// The name of the Secret in which Istio looks for the CA certificates of mutual TLS that belong to this gateway
    /// Secret.
    #[must_use]
    pub fn client_ca(&self) -> Self {
        Self::new(&self.namespace, format!("{}-cacert", self.name))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Which state of an object was seen: every write names it, so that a write onto another state fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The object's uid.
    pub uid: String,
    /// The object's resourceVersion, opaque.
    pub resource_version: String,
}

/// What the operator granted and chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Secrets that may be written: `namespace/name`, or `*/name` for any namespace. A gateway's Secret comes with those
    /// beside it: its keep-sake and its client CA.
    pub allow: Vec<String>,
    /// Namespaces whose GatewayCertificates are served.
    pub namespaces: Vec<String>,
    /// Workloads that may be rolled: `namespace/kind/name`, or `*/kind/name` for any namespace.
    pub allow_restart: Vec<String>,
    /// Gateways that may be written: `namespace/name`, or `*/name` for any namespace. None by default.
    pub allow_gateway: Vec<String>,
    /// Somebody else's Certificates that may be touched when Gardener is late: `namespace/name`, or `*/name` for any
    /// namespace. None by default.
    pub allow_heal: Vec<String>,
    /// How long before its end a certificate is warned about.
    pub expires_soon: Duration,
}

impl Settings {
    /// The operator's default grant: Kyma's gateway Secret.
    pub const DEFAULT_ALLOW: &'static str = "istio-system/kyma-gateway-certs";

    /// Whether this Secret may be written.
    #[must_use]
    pub fn permits(&self, secret: &ObjectName) -> bool {
        granted(&self.allow, secret)
    }

    /// Whether this Gateway may be written.
    #[must_use]
    pub fn permits_gateway(&self, gateway: &ObjectName) -> bool {
        granted(&self.allow_gateway, gateway)
    }

    /// Whether this Certificate of somebody else may be touched.
    #[must_use]
    pub fn permits_heal(&self, certificate: &ObjectName) -> bool {
        granted(&self.allow_heal, certificate)
    }

    /// Whether a Secret of this name may be written in any namespace.
    #[must_use]
    pub fn permits_anywhere(&self, secret_name: &str) -> bool {
        self.allow.iter().any(|grant| grant.split_once('/') == Some(("*", secret_name)))
    }

    /// Whether this workload may be rolled. Kinds are told apart without regard to case, as kubectl does.
    #[must_use]
    pub fn permits_restart(&self, namespace: &str, kind: &str, name: &str) -> bool {
        self.allow_restart.iter().any(|grant| {
            let mut parts = grant.splitn(3, '/');
            let (Some(ns), Some(k), Some(n)) = (parts.next(), parts.next(), parts.next()) else { return false };
            (ns == "*" || ns == namespace) && k.eq_ignore_ascii_case(kind) && n == name
        })
    }
}

fn granted(grants: &[String], object: &ObjectName) -> bool {
    grants.iter().any(|grant| match grant.split_once('/') {
        Some(("*", name)) => name == object.name,
        Some((namespace, name)) => namespace == object.namespace && name == object.name,
        None => false,
    })
}

impl Default for Settings {
    fn default() -> Self {
        let allow = vec![Self::DEFAULT_ALLOW.to_owned()];
        Self {
            allow,
            namespaces: Vec::new(),
            allow_restart: Vec::new(),
            allow_gateway: Vec::new(),
            allow_heal: Vec::new(),
            expires_soon: Duration::days(21),
        }
    }
}

/// Everything that a decision is made of.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The GatewayCertificate.
    pub object: Object,
    /// What people supplied.
    pub source: Source,
    /// The Secret that the gateway reads.
    pub gateway: Slot,
    /// The Secret that keeps the last good pair.
    pub keepsake: Slot,
    /// What Gardener does for us.
    pub gardener: Gardener,
    /// The Secret that Gardener filled for an object that no longer needs it.
    pub orphan: Option<Version>,
    /// The CA certificates of mutual TLS.
    pub client_ca: ClientCa,
    /// Other GatewayCertificates that name the same gateway Secret and would write it.
    pub rivals: Vec<Rival>,
    /// Every GatewayCertificate that is served, as `namespace/name`.
    pub peers: BTreeSet<String>,
    /// Those of them, but this one, that manage the Gateway that it means.
    pub keepers: BTreeSet<String>,
    /// Who serves the gateway's Secret.
    pub mesh: Mesh,
    /// The Gateways themselves.
    pub gateways: Gateways,
    /// The cluster's namespaces, where a target asks for them.
    pub namespaces: Namespaces,
    /// The copies.
    pub copies: Copies,
    /// A write of the plan before this one that did not succeed.
    pub failure: Option<Failure>,
    /// Why the pod of the plan before this one could not be evicted, in words.
    pub not_evicted: Option<String>,
}

/// The facts of a GatewayCertificate.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its name.
    pub name: ObjectName,
    /// Its uid and resourceVersion.
    pub version: Version,
    /// Its generation.
    pub generation: i64,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// It is being deleted.
    pub deleting: bool,
    /// It carries our finalizer.
    pub finalizer: bool,
    /// What its spec asks for.
    pub wants: Wants,
    /// Fingerprints that a person retired, lower-case hexadecimal.
    pub forget: Vec<String>,
    /// What its status said last.
    pub previous: Status,
}

/// Who may be written over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Nobody.
    IfUnowned,
    /// Anybody but another GatewayCertificate that exists.
    Manage,
    /// Write nothing.
    Observe,
}

/// What a spec asks for, resolved.
#[derive(Debug, Clone)]
pub struct Wants {
    /// Who may be written over.
    pub policy: Policy,
    /// No writes but status.
    pub suspend: bool,
    /// The domain whose wildcard must be covered.
    pub domain: Option<String>,
    /// The spec names it.
    pub domain_given: bool,
    /// What the chain must lead to; an error says what is wrong with the given roots.
    pub roots: Option<Result<Roots, String>>,
    /// Checks that only warn.
    pub warn: Vec<String>,
    /// Checks that are not reported.
    pub ignore: Vec<String>,
    /// The Secret that people supply, or that Gardener fills.
    pub source: Option<ObjectName>,
    /// What is asked of Gardener; `None`: people supply the certificate.
    pub gardener: Option<GardenerWants>,
    /// The Secret with the CA certificates of mutual TLS that people supply; `None` where the spec names none.
    pub client_ca: Option<ObjectName>,
    /// The gateway's Secret.
    pub gateway_secret: ObjectName,
    /// The copies that are asked for.
    pub targets: Vec<Target>,
    /// The Gateway that is meant.
    pub gateway: ObjectName,
    /// The spec names it, so that its absence is worth a word.
    pub gateway_named: bool,
    /// What it should say.
    pub gateway_object: GatewayWants,
    /// The one of its servers that is meant, by its port's name.
    pub server: Option<String>,
    /// How its pods are asked.
    pub probe: Probe,
    /// The highest rung of the reload ladder.
    pub up_to: Rung,
    /// How long each rung has to work.
    pub deadline: Duration,
    /// Copies that are ours and unedited go with the object.
    pub delete_targets: bool,
    /// A field's value that cannot be used, in words.
    pub invalid: Option<String>,
}

/// How a gateway's pods are asked what they serve.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// They are asked at all.
    pub enabled: bool,
    /// The port to ask at, where it is not what the Services tell.
    pub port: Option<u16>,
    /// The names to ask for, where they are not the servers' own hosts.
    pub hosts: Vec<String>,
    /// What the gateway expects before TLS.
    pub proxy: Proxy,
}

/// Which PROXY header a gateway expects before TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Proxy {
    /// What the EnvoyFilters say.
    #[default]
    Auto,
    /// None.
    None,
    /// Version 1.
    V1,
    /// Version 2.
    V2,
}

impl Wants {
    /// The hosts that the certificate must cover: the wildcard and, where Gardener is asked for it and `requested` is true,
    /// the domain itself.
    #[must_use]
    pub fn hosts(&self, requested: bool) -> Vec<String> {
        let apex = requested && self.gardener.as_ref().is_some_and(|gardener| gardener.apex && !gardener.watched);
        self.domain.iter().flat_map(|domain| gardener::names(domain, apex)).collect()
    }
}

/// What people supplied.
#[derive(Debug, Clone)]
pub enum Source {
    /// The spec names none.
    NotNamed,
    /// It was not read yet.
    Pending,
    /// The API server refuses to show it: what is missing.
    Denied(String),
    /// There is no such Secret.
    Absent,
    /// The Secret's content.
    Present(Supply),
}

/// What a source Secret holds.
#[derive(Debug, Clone)]
pub struct Supply {
    /// The source's resourceVersion.
    pub version: String,
    /// The keys that were read, for messages.
    pub keys: String,
    /// What is in it.
    pub facts: Arc<Facts>,
    /// A stapled OCSP answer that came along (`tls.ocsp-staple`).
    pub staple: Option<Vec<u8>>,
    /// When Gardener asked for it (annotation `cert.gardener.cloud/requestedAt`).
    pub requested: Option<DateTime<Utc>>,
    /// Gardener says that it is revoked (annotation `cert.gardener.cloud/revoked`).
    pub revoked: bool,
}

/// A Secret that certkeeper may write.
#[derive(Debug, Clone)]
pub enum Slot {
    /// It may not be looked at (law 9).
    NotRead,
    /// It was not read yet.
    Pending,
    /// The API server refuses to show it: what is missing.
    Denied(String),
    /// There is no such Secret.
    Absent,
    /// It is there.
    Present(Box<Stored>),
}

impl Slot {
    /// The stored Secret, if there is one.
    #[must_use]
    pub fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Present(stored) => Some(stored),
            _ => None,
        }
    }
}

/// A key or annotation that does not belong into the gateway's Secret (law 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leftover {
    /// `cert` or `key`: Istio reads them before `tls.crt` and `tls.key`.
    Generic,
    /// `tls.ocsp-staple` of another leaf.
    Staple,
    /// kubectl's last-applied annotation, which holds the private key.
    LastApplied,
}

impl Leftover {
    /// What it is called where it lies.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Generic => "keys \"cert\" and \"key\" (Istio would read them before tls.crt and tls.key)",
            Self::Staple => "key \"tls.ocsp-staple\" (it belongs to another leaf)",
            Self::LastApplied => {
                "annotation kubectl.kubernetes.io/last-applied-configuration (it holds a private key in clear)"
            }
        }
    }
}

/// Somebody undid what we wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    /// The field manager that did.
    pub manager: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// The facts of a stored Secret.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its uid and resourceVersion.
    pub version: Version,
    /// `immutable: true`.
    pub immutable: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// What Istio would read from it.
    pub facts: Arc<Facts>,
    /// What Istio would read comes from `tls.crt` and `tls.key`.
    pub canonical: bool,
    /// What else lies in it.
    pub leftovers: Vec<Leftover>,
    /// The stapled OCSP answer in it.
    pub staple: Option<Vec<u8>>,
    /// Our owner annotation.
    pub owner: Option<String>,
    /// Marks of another owner, in words.
    pub foreign: Option<String>,
    /// The fingerprint that we noted when we wrote.
    pub mark: Option<String>,
    /// Who undid our writes, oldest first.
    pub undone: Vec<Undo>,
    /// The nudges that were noted, oldest first.
    pub nudged: Vec<Nudge>,
    /// The pairs that no pod took up, oldest first.
    pub refused: Vec<Refusal>,
    /// The last writer of its data that was not certkeeper.
    pub last_writer: Option<Undo>,
}

impl Stored {
    /// Fingerprint of the pair that Istio would read, if it is one.
    #[must_use]
    pub fn fingerprint(&self) -> Option<String> {
        self.facts.pair().map(|pair| pair.fingerprint().to_string())
    }

    /// Nobody changed the pair since we wrote it.
    #[must_use]
    pub fn is_as_we_wrote(&self) -> bool {
        self.mark.is_some() && self.mark == self.fingerprint()
    }
}

/// Another GatewayCertificate over the same Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// Its name.
    pub name: ObjectName,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// It may write: neither suspended nor observing nor going.
    pub active: bool,
}

/// A write that did not succeed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What was written.
    pub target: ObjectName,
    /// It was the gateway's own Secret.
    pub gateway: bool,
    /// What kind of failure.
    pub kind: FailureKind,
    /// What the API server said.
    pub message: String,
    /// What had been done before it.
    pub done: Vec<Entry>,
}

/// Kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// A right is missing.
    Denied,
    /// The API server refused the content.
    Rejected,
    /// Somebody else owns a field that was to be written.
    Conflict,
    /// The namespace is being deleted.
    Terminating,
    /// Anything that may pass: time-outs, throttling, errors of the server, conflicts again and again.
    Transient,
}
