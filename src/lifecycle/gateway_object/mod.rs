//! The Gateway itself: what it should say ([`Desired`]), how the one that is there differs ([`compare`]), and whether
//! that is written (`plan`). Pure, over plain types.
//!
//! Observed (the default), every Gateway that hands out the Secret is verified, and nothing is written. Managed, the one
//! Gateway that the spec means is made to say what it should, by the rules that hold for Secrets (laws 1, 2, 9 and 10):
//! - What somebody else holds is theirs, and an edit by hand makes them hold it: nothing is taken from them, the conflict
//!   is told with manager and field. Only `managementPolicy: Manage`, a person's word, takes over; a manager that undid
//!   that three times within an hour is left alone all the same.
//! - What is gone and nobody else holds (the Gateway, its servers, a label) is put back, three times an hour at most.
//! - Our annotation says which GatewayCertificate manages it: one at a time.
//! - It is written only over a Secret that holds a pair (while a bad one is stored an edit of the TLS settings is refused
//!   by Envoy and not taken up later, FACTS "Measured here"), and turned to MUTUAL only once the client CA is stored (or
//!   every connection would be reset).
//! - Servers that are not about our hosts or our Secret stay as they are.

mod accept;
mod compare;
mod desired;
mod merge;
mod plan;
mod telling;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    observed::{FailureKind, ObjectName, Observed, Undo, Version},
    plan::Entry,
    serving::{Credential, Gateway, Server},
};

pub(super) use accept::accept;
pub use compare::{Difference, compare};
pub use desired::{CIPHER_SUITES, Desired, ISTIO_SUITES, desired};
pub use merge::{Placed, merged};
pub(super) use plan::{Decision, decide};

/// What the spec says of the Gateway itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayWants {
    /// It is written.
    pub manage: bool,
    /// It is looked at though its pods are not asked.
    pub watch: bool,
    /// The labels of the pods that serve it, where the spec names them.
    pub selector: Option<BTreeMap<String, String>>,
    /// The bare domain is served beside its wildcard.
    pub apex: bool,
    /// Oldest protocol version, in Istio's words.
    pub min_version: Option<String>,
    /// Cipher suites for TLS 1.2; none: the documented ones.
    pub suites: Vec<String>,
    /// Port 80 does not redirect to https.
    pub plain: bool,
    /// SIMPLE or MUTUAL, where the spec says which.
    pub mode: Option<String>,
}

/// What is known of Gateways.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Gateways {
    /// The spec wants to know nothing of them.
    #[default]
    NotLookedAt,
    /// They were not read yet.
    Pending,
    /// The API server refuses to show them: what is missing.
    Denied(String),
    /// The API server knows no Gateways.
    NotInstalled,
    /// All that may be seen, in the order of their names.
    Known(Vec<GatewayObject>),
    /// The Gateway that the spec means could not be written, and these are all that may be seen.
    Refused(Vec<GatewayObject>, FailureKind, String),
}

/// A Gateway that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayObject {
    /// What it says.
    pub gateway: Gateway,
    /// What is known of it beside.
    pub facts: ObjectFacts,
    /// A credential without a namespace means a Secret in the namespace of the gateway's Secret.
    pub here: bool,
    /// Its selector selects a pod or a Service there; `None` where those were not looked at.
    pub selects: Option<bool>,
}

impl GatewayObject {
    /// Whether this server of it hands out this Secret.
    #[must_use]
    pub fn hands_out(&self, server: &Server, secret: &ObjectName) -> bool {
        let namespace = if self.here { secret.namespace.as_str() } else { "" };
        let credential = server.tls.as_ref().and_then(|tls| tls.credential.as_ref());
        credential.is_some_and(|name| Credential::of(name, namespace).secret() == Some(secret))
    }
}

/// The TLS 1.2 cipher suites of the servers that hand out the Secret, with their Gateways, as far as those name any and
/// speak TLS 1.2.
pub(super) fn suites(observed: &Observed) -> impl Iterator<Item = (&ObjectName, &[String])> {
    let all: &[GatewayObject] = match &observed.gateways {
        Gateways::Known(all) | Gateways::Refused(all, ..) => all,
        Gateways::NotLookedAt | Gateways::Pending | Gateways::Denied(_) | Gateways::NotInstalled => &[],
    };
    let secret = &observed.object.wants.gateway_secret;
    let servers = all.iter().flat_map(move |object| {
        let handing = object.gateway.servers.iter().filter(move |server| object.hands_out(server, secret));
        handing.map(|server| (&object.gateway.name, server))
    });
    let spoken = servers.filter_map(|(name, server)| Some((name, server.tls.as_ref()?)));
    let spoken = spoken.filter(|(_, tls)| tls.min_version != "TLSV1_3" && !tls.suites.is_empty());
    spoken.map(|(name, tls)| (name, tls.suites.as_slice()))
}

/// What an object tells of itself and of those who write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Its uid and resourceVersion.
    pub version: Version,
    /// It is being deleted.
    pub deleting: bool,
    /// Our owner annotation.
    pub owner: Option<String>,
    /// Marks of another owner, in words.
    pub foreign: Option<String>,
    /// Who holds a field that we would write, but us.
    pub holders: Vec<Holder>,
    /// Who undid our writes, oldest first.
    pub undone: Vec<Undo>,
}

/// A field manager with a field of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// The field manager.
    pub manager: String,
    /// The field: `.spec.servers`, which is one whole, or `.spec.selector.LABEL`.
    pub field: String,
    /// When it wrote last.
    pub at: Option<DateTime<Utc>>,
}

/// A Gateway on its way to the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayWrite {
    /// The Gateway.
    pub target: ObjectName,
    /// The state that is changed; `None` creates it.
    pub base: Option<Version>,
    /// Fields that others hold are taken from them, because a person said so (`managementPolicy: Manage`).
    pub force: bool,
    /// The labels of its pods.
    pub selector: BTreeMap<String, String>,
    /// Labels that go.
    pub dropped: Vec<String>,
    /// All its servers.
    pub servers: Vec<Placed>,
    /// The undo marker that goes with the write, oldest first, at most three.
    pub undone: Vec<Undo>,
    /// What to tell of it.
    pub entry: Entry,
}
