//! What was seen of those who serve a gateway's Secret.

use chrono::{DateTime, Utc};

use super::PodState;
use crate::lifecycle::{FindingSummary, ObjectName};

/// What is known of those who serve the Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Mesh {
    /// The spec says that nobody be asked.
    Off,
    /// Gateways, Services or pods were not read yet.
    #[default]
    Pending,
    /// The API server refuses to show them: what is missing.
    Denied(String),
    /// The API server knows no Gateways.
    NotInstalled,
    /// Every Gateway with a server that hands out the Secret.
    Known(Vec<GatewaySight>),
}

/// One Gateway that hands out the Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySight {
    /// Its name.
    pub name: ObjectName,
    /// Which state of its spec was seen (`metadata.generation`).
    pub generation: i64,
    /// Its pods, in the order of their names, those that have ended left out.
    pub pods: Vec<PodSight>,
    /// Its servers that hand out the Secret and cannot be asked, each with the reason.
    pub unasked: Vec<String>,
    /// The spec names it, and it does not exist or does not hand out the Secret: `unasked` says which.
    pub missing: bool,
    /// What differs on the wire from the Gateway's own TLS settings; `None` until it was asked.
    pub policy: Option<Vec<FindingSummary>>,
    /// Servers of other Gateways for the same host, port and selector with another credential.
    pub rivals: Vec<String>,
}

/// One pod of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSight {
    /// Its name.
    pub name: ObjectName,
    /// Which of several pods that had this name.
    pub uid: String,
    /// When its object was created.
    pub created: DateTime<Utc>,
    /// What it is at.
    pub state: PodState,
    /// It has the pair in files, mounted from the Secret: Istio pushes nothing to it.
    pub files: bool,
    /// One for each question that it was, or is to be, asked; `None` until it is answered.
    pub answers: Vec<Option<Answer>>,
}

/// What came of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was completed, and this leaf was shown.
    Leaf(ServedLeaf),
    /// It was not.
    Failed {
        /// Why, in one CamelCase word.
        reason: String,
        /// Why, in a sentence.
        message: String,
        /// The same pod completed one on the same path before: then this is evidence (law 6).
        answered_before: bool,
    },
}

/// A leaf as a pod showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedLeaf {
    /// SHA-256, hexadecimal.
    pub fingerprint: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// When it ends, if that could be read.
    pub not_after: Option<DateTime<Utc>>,
}

/// What a pod's answers mean for one leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It serves the leaf, whatever it was asked.
    Serves,
    /// It completed a handshake with another leaf.
    Differs(&'a ServedLeaf),
    /// It completed handshakes before and does no more: reason and message.
    Silent(&'a str, &'a str),
    /// No handshake with it was ever completed: reason and message.
    Unreachable(&'a str, &'a str),
    /// It was not asked yet, or there is nothing to ask it.
    Unasked,
}

impl PodSight {
    /// What its answers mean for the leaf with this fingerprint. One that differs weighs more than one that is
    /// missing: it is evidence.
    #[must_use]
    pub fn standing(&self, fingerprint: &str) -> Standing<'_> {
        let answers = || self.answers.iter().flatten();
        let differing = answers().find_map(|answer| match answer {
            Answer::Leaf(leaf) if leaf.fingerprint != fingerprint => Some(Standing::Differs(leaf)),
            _ => None,
        });
        let failed = |before: bool| {
            answers().find_map(|answer| match answer {
                Answer::Failed { reason, message, answered_before } if *answered_before == before => {
                    Some((reason.as_str(), message.as_str()))
                }
                _ => None,
            })
        };
        differing
            .or_else(|| failed(true).map(|(reason, message)| Standing::Silent(reason, message)))
            .or_else(|| failed(false).map(|(reason, message)| Standing::Unreachable(reason, message)))
            .unwrap_or_else(|| match self.answers.is_empty() || self.answers.iter().any(Option::is_none) {
                true => Standing::Unasked,
                false => Standing::Serves,
            })
    }
}

impl Standing<'_> {
    /// It counts against the leaf (law 6): a handshake was completed with another, or is no longer completed.
    #[must_use]
    pub fn is_evidence(&self) -> bool {
        matches!(self, Self::Differs(_) | Self::Silent(..))
    }
}

impl Mesh {
    /// Every pod, once, though several Gateways may name it; with all its answers.
    #[must_use]
    pub fn pods(&self) -> Vec<PodSight> {
        let Self::Known(gateways) = self else { return Vec::new() };
        let mut pods: Vec<PodSight> = Vec::new();
        for pod in gateways.iter().flat_map(|gateway| &gateway.pods) {
            match pods.iter_mut().find(|known| known.uid == pod.uid) {
                Some(known) => known.answers.extend(pod.answers.iter().cloned()),
                None => pods.push(pod.clone()),
            }
        }
        pods.sort_by(|one, other| one.name.cmp(&other.name));
        pods
    }

    /// Which state of the Gateways was seen, in words that change when one of them does.
    #[must_use]
    pub fn revision(&self) -> Option<String> {
        let Self::Known(gateways) = self else { return None };
        let one = |gateway: &GatewaySight| format!("{}:{}", gateway.name, gateway.generation);
        Some(gateways.iter().take(16).map(one).collect::<Vec<_>>().join("+"))
    }
}
