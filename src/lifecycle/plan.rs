//! What was decided.

use chrono::{DateTime, Utc};

use super::{
    client_ca::{ClientCaSummary, ClientCaWrite},
    gardener::{CertificateWrite, Issuance},
    gateway_object::GatewayWrite,
    observed::{Leftover, ObjectName, Undo, Version},
    reason::Reason,
    reload::{Eviction, Nudge, Record, Refusal},
    targets::{CopyAction, TargetsReport},
};
use crate::certificate::Pair;

/// What shall happen, in order.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Writes, the gateway's Secret first.
    pub actions: Vec<Action>,
    /// What to do about the copies, after the status is published: it records where they lie (law 5), and nobody who
    /// looks at it waits for a thousand writes.
    pub copies: Vec<CopyAction>,
    /// What to write into the Gateway itself, once nothing else is to be written.
    pub gateway: Option<GatewayWrite>,
    /// What to write into the Certificate that is requested of Gardener, whatever becomes of the rest.
    pub certificate: Option<CertificateWrite>,
    /// The pod to evict, before the status is published: it tells that that failed.
    pub evict: Option<Eviction>,
    /// How often the gateway's pods are to be asked.
    pub pace: Pace,
    /// The status to publish; `None` leaves it as it is.
    pub status: Option<Status>,
    /// What to tell as events: the history entries that this plan adds, oldest first.
    pub events: Vec<Entry>,
    /// When to look again if nothing else happens before.
    pub wake_at: Option<DateTime<Utc>>,
}

/// How often the gateway's pods are asked what they serve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pace {
    /// Not at all.
    #[default]
    Off,
    /// Seldom: nothing is to be expected.
    Rest,
    /// At once and then each second: something has just changed.
    Fast,
}

/// One write.
#[derive(Debug, Clone)]
pub enum Action {
    /// Puts a pair into the gateway's Secret.
    WriteGatewaySecret(Write),
    /// Puts a pair into the keep-sake Secret.
    WriteKeepSake(Write),
    /// Puts CA certificates into the `-cacert` Secret.
    WriteClientCa(ClientCaWrite),
    /// Adds our finalizer to the GatewayCertificate.
    AddFinalizer(Version),
    /// Deletes a Secret that nobody needs any more: the keep-sake, or the one that Gardener filled.
    DeleteSecret {
        /// Its name.
        target: ObjectName,
        /// The state that is deleted.
        base: Version,
    },
    /// Takes our owner annotation off the gateway's Secret or its `-cacert`; the content stays.
    Release {
        /// Its name.
        target: ObjectName,
        /// The state that is changed.
        base: Version,
    },
    /// Removes our finalizer from the GatewayCertificate.
    RemoveFinalizer(Version),
}

/// A pair on its way into a Secret.
#[derive(Debug, Clone)]
pub struct Write {
    /// The Secret.
    pub target: ObjectName,
    /// The state that is replaced; `None` creates it.
    pub base: Option<Version>,
    /// What it shall hold.
    pub pair: Pair,
    /// The OCSP answer it shall hold beside; `None` leaves what is there unless it is a left-over.
    pub staple: Option<Vec<u8>>,
    /// What goes in the same write.
    pub remove: Vec<Leftover>,
    /// The undo marker that goes with the write, oldest first, at most three.
    pub undone: Vec<Undo>,
    /// The nudges that this pair has had, this write among them; each is one more newline at the end of the chain.
    pub nudged: Vec<Nudge>,
    /// The pairs that no pod took up.
    pub refused: Vec<Refusal>,
    /// What to tell of it.
    pub entry: Option<Entry>,
}

/// Something that happened, for the history and as an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub time: DateTime<Utc>,
    /// What.
    pub reason: String,
    /// The same in a sentence.
    pub message: String,
    /// Who made it necessary.
    pub manager: Option<String>,
    /// Somebody should act.
    pub warning: bool,
}

/// True, False or Unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known.
    Unknown,
}

impl ConditionStatus {
    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition in the Kubernetes convention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its type.
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// Why, and what to do.
    pub message: String,
    /// Since when its status is what it is.
    pub since: DateTime<Utc>,
    /// The generation it is about.
    pub generation: i64,
}

impl Condition {
    pub(super) fn new(kind: &str, status: ConditionStatus, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            status,
            reason: reason.as_str().to_owned(),
            message: super::report::bounded(message.into()),
            since: DateTime::UNIX_EPOCH,
            generation: 0,
        }
    }
}

/// What is public of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSummary {
    /// SHA-256 of the leaf, hexadecimal.
    pub fingerprint: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// DNS names, bounded.
    pub dns_names: Vec<String>,
    /// When it begins to be valid.
    pub not_before: DateTime<Utc>,
    /// When it ends.
    pub not_after: DateTime<Utc>,
    /// When its renewal is due, in Gardener mode.
    pub renew_at: Option<DateTime<Utc>>,
}

/// A finding in a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingSummary {
    /// Name of the check.
    pub check: String,
    /// error, warning or info.
    pub severity: String,
    /// What was found.
    pub message: String,
    /// The block it is about.
    pub location: String,
    /// What to do.
    pub remedy: String,
}

/// What the pods of one Gateway serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayReport {
    /// Its name.
    pub name: ObjectName,
    /// How many ready pods it has.
    pub pods: usize,
    /// How many of them serve the certificate.
    pub serving: usize,
    /// Those that do not, bounded.
    pub differing: Vec<PodReport>,
}

/// A pod that was not seen to serve the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodReport {
    /// Its name.
    pub pod: String,
    /// SHA-256 of the leaf that it serves, where a handshake was completed.
    pub fingerprint: Option<String>,
    /// Why it differs, in one CamelCase word.
    pub reason: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// What a status says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The generation it is about.
    pub observed_generation: i64,
    /// BYO or Gardener.
    pub mode: Option<String>,
    /// The domain in use.
    pub domain: Option<String>,
    /// The conditions, in a fixed order.
    pub conditions: Vec<Condition>,
    /// The certificate in the gateway's Secret.
    pub certificate: Option<CertificateSummary>,
    /// What is requested of Gardener.
    pub issuance: Option<Issuance>,
    /// The client CA that the gateway reads.
    pub client_ca: Option<ClientCaSummary>,
    /// What was found on the source, gravest first.
    pub findings: Vec<FindingSummary>,
    /// Ready pods that serve the certificate, of all that are ready; `None` where that is not known.
    pub served: Option<(usize, usize)>,
    /// What the pods of each Gateway serve.
    pub gateways: Vec<GatewayReport>,
    /// How far the reload ladder was climbed.
    pub reload: Option<Record>,
    /// The copies.
    pub targets: Option<TargetsReport>,
    /// What was done, newest first.
    pub history: Vec<Entry>,
    /// How many entries the history has had in all.
    pub history_total: i64,
}

impl Status {
    /// The condition of this type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.kind == kind)
    }
}
