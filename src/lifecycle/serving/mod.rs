//! Who serves a Gateway, and what is to be asked of whom to know what is served. Pure, over plain types: [`questions`]
//! takes a [`Gateway`], the [`Service`]s and the [`Pod`]s, and answers with one [`Question`] for each pod and each
//! server that terminates TLS, and with the servers that nobody can or need ask ([`Unasked`]).
//!
//! The rules are Istio's: how a port is translated in `ports`, what a `credentialName` means in `credential`, which host
//! a server answers for in `hosts`.

mod credential;
mod hosts;
mod ports;
mod question;
mod rivals;
mod seen;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr};

use super::ObjectName;

pub use credential::Credential;
pub use hosts::{bare_host, covers_host};
pub use question::{Question, Questions, Unaskable, Unasked, questions};
pub use rivals::rivals;
pub use seen::{Answer, GatewaySight, Mesh, PodSight, ServedLeaf, Standing};

/// What is known of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Its name.
    pub name: ObjectName,
    /// The labels of the pods that serve it. Empty: every gateway of the mesh serves it, whichever those are.
    pub selector: BTreeMap<String, String>,
    /// What they serve.
    pub servers: Vec<Server>,
}

impl Gateway {
    /// Whether a pod with these labels serves it. Without a selector it is not known which do.
    #[must_use]
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.selector.is_empty() && selects(&self.selector, labels)
    }
}

/// One of a Gateway's servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its port's name, unique in a Gateway.
    pub name: String,
    /// The port that a Service shows to clients; 0 where the Gateway names none.
    pub port: u16,
    /// Its port's protocol: `HTTP`, `HTTPS` and so on.
    pub protocol: String,
    /// Hosts as the Gateway has them: with a namespace before them, perhaps.
    pub hosts: Vec<String>,
    /// TLS; none where the port is plain.
    pub tls: Option<Tls>,
}

/// A server's TLS settings, in Istio's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// `SIMPLE`, `MUTUAL` and so on; empty is what Istio takes for `PASSTHROUGH`.
    pub mode: String,
    /// `credentialName`, if it is filled.
    pub credential: Option<String>,
    /// The pair lies in files of the pod.
    pub files: bool,
    /// `minProtocolVersion`; empty: Istio's default.
    pub min_version: String,
    /// `maxProtocolVersion`; empty: Istio's default.
    pub max_version: String,
    /// `cipherSuites`; empty: Envoy's default.
    pub suites: Vec<String>,
    /// `httpsRedirect`.
    pub redirect: bool,
}

/// What is known of a Service. Istio takes the oldest that translates a port: give them in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The namespace in which it selects pods.
    pub namespace: String,
    /// The labels of its pods; empty: it has none of its own choice.
    pub selector: BTreeMap<String, String>,
    /// Its TCP ports.
    pub ports: Vec<ServicePort>,
    /// False where it says that Gateways name the pods' own ports.
    pub translates: bool,
}

/// One of a Service's ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// What clients connect to.
    pub port: u16,
    /// Where that leads in a pod.
    pub target: TargetPort,
}

/// A port of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPort {
    /// Its number.
    Number(u16),
    /// The name that a container gives it.
    Name(String),
}

/// What is known of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: ObjectName,
    /// Which of several pods that had this name.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where it can be reached, once it can.
    pub address: Option<IpAddr>,
    /// Named ports of its containers.
    pub ports: Vec<(String, u16)>,
    /// What it is at.
    pub state: PodState,
}

/// What a pod is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodState {
    /// Clients are sent to it.
    Ready,
    /// It starts, or is unwell: clients are not sent to it.
    NotReady,
    /// It is being deleted: it ends the connections it has.
    Terminating,
    /// It has ended and serves nobody; its object is still there.
    Ended,
}

/// Whether these labels have all that the selector asks for.
pub(super) fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
