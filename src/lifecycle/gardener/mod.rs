//! Gardener mode: what is requested of Gardener's certificate management ([`Request`]), whether what it does is late
//! and what is done about that (`ladder`), and what is said of it (`telling`). Pure, over plain types.
//!
//! The pair itself takes the same path as a supplied one: the Secret that Gardener fills is a staging Secret, and what
//! lies in it is checked before it gets anywhere else. Nothing that Gardener says of a certificate is believed: it was
//! seen to say Ready of one that had ended, and to forget renewals (FACTS, "Measured here: the real
//! cert-controller-manager"). The Secret and the clock decide.

mod farewell;
mod ladder;
mod plan;
mod request;
mod telling;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt};

use chrono::{DateTime, SecondsFormat, Utc};

use super::observed::{FailureKind, ObjectName, Undo, Version};

pub(super) use farewell::{Farewell, farewell};
pub(super) use plan::{Decision, decide, is_pending, orphan};
pub(super) use request::{accept, names};
pub(super) use telling::is_trouble;

/// What the spec asks of Gardener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GardenerWants {
    /// The Certificate: one of our own, or somebody else's that is watched over.
    pub certificate: ObjectName,
    /// It is somebody else's (`gardener.certificateRef`): it is never written, and touched only where the operator
    /// grants that.
    pub watched: bool,
    /// The Secret that Gardener fills for us.
    pub staging: ObjectName,
    /// The bare domain is asked for beside its wildcard.
    pub apex: bool,
    /// Issuer and its namespace, where the spec names one.
    pub issuer: Option<(String, Option<String>)>,
    /// How long before its end it is renewed, in Go's canonical form.
    pub renew_before: Option<String>,
    /// How long it shall be valid, in Go's canonical form.
    pub duration: Option<String>,
    /// RSA or ECDSA.
    pub algorithm: String,
    /// Bits of the key.
    pub size: Option<i64>,
    /// Which of several controllers is meant.
    pub class: Option<String>,
    /// A person asked for what was issued before this time to be renewed.
    pub renew: Option<DateTime<Utc>>,
}

/// Where the domain comes from, in Gardener mode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Domain {
    /// The spec names it, or the cluster does: it is in [`super::Wants::domain`].
    #[default]
    Known,
    /// The cluster was not asked yet.
    Pending,
    /// There is none: why, in words.
    Missing(String),
}

/// What is known of the Certificate.
#[derive(Debug, Clone, Default)]
pub enum Sight {
    /// It is not looked at.
    #[default]
    NotLookedAt,
    /// It was not read yet.
    Pending,
    /// The API server refuses to show it: what is missing.
    Denied(String),
    /// The API server knows no Certificates.
    NotInstalled,
    /// There is none of this name.
    Absent,
    /// It is there.
    Present(Box<Certificate>),
}

/// Everything that is observed of Gardener.
#[derive(Debug, Clone, Default)]
pub struct Gardener {
    /// The domain.
    pub domain: Domain,
    /// The Certificate.
    pub certificate: Sight,
    /// The last write of it did not succeed: why.
    pub failure: Option<(FailureKind, String)>,
}

/// What a Certificate asks for, as far as certkeeper sets it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The names of the leaf.
    pub names: Vec<String>,
    /// The Secret that is filled.
    pub secret: Option<ObjectName>,
    /// Issuer and its namespace.
    pub issuer: Option<(String, Option<String>)>,
    /// How long before its end it is renewed.
    pub renew_before: Option<String>,
    /// How long it is valid.
    pub duration: Option<String>,
    /// RSA or ECDSA.
    pub algorithm: Option<String>,
    /// Bits of the key.
    pub size: Option<i64>,
    /// Which of several controllers is meant.
    pub class: Option<String>,
}

/// The facts of a Certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its uid and resourceVersion.
    pub version: Version,
    /// Its generation.
    pub generation: i64,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// It is being deleted.
    pub deleting: bool,
    /// Our owner annotation.
    pub owner: Option<String>,
    /// Marks of another owner, in words.
    pub foreign: Option<String>,
    /// What it asks for.
    pub request: Request,
    /// Fields of what it asks for that certkeeper applied: `issuerRef`, `renewBefore`, `duration`, `class`.
    pub ours: BTreeSet<String>,
    /// What was issued before this time is to be renewed.
    pub renewed_after: Option<DateTime<Utc>>,
    /// It carries the annotation that makes Gardener look at it at once, which Gardener takes off.
    pub touched: bool,
    /// Since when what it asks for is asked for, as we noted.
    pub requested: Option<DateTime<Utc>>,
    /// How Gardener was pushed, oldest first.
    pub pushes: Vec<Push>,
    /// Who undid our writes, oldest first.
    pub undone: Vec<Undo>,
    /// The last writer of its spec that was neither certkeeper nor Gardener.
    pub last_writer: Option<Undo>,
    /// Gardener's word for its state.
    pub state: String,
    /// What Gardener says of it.
    pub message: String,
    /// The generation that Gardener has seen.
    pub observed_generation: Option<i64>,
    /// Since when its state is what it is.
    pub since: Option<DateTime<Utc>>,
    /// When Gardener means to renew it.
    pub renewal: Option<DateTime<Utc>>,
    /// When Gardener tries again, after a failure.
    pub retry_at: Option<DateTime<Utc>>,
}

/// How Gardener is made to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It looks at the Certificate at once and forgets its wait (annotation `gardener.cloud/operation`).
    Touch,
    /// It issues another (`spec.ensureRenewedAfter`).
    Renew,
}

impl Step {
    fn as_str(self) -> &'static str {
        match self {
            Self::Touch => "reconcile",
            Self::Renew => "renew",
        }
    }
}

/// Gardener was made to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Push {
    /// How.
    pub step: Step,
    /// When.
    pub at: DateTime<Utc>,
}

/// The most pushes that are remembered.
pub const REMEMBERED: usize = 8;

impl Push {
    /// As the annotation has them.
    #[must_use]
    pub fn format(pushes: &[Self]) -> String {
        let one = |push: &Self| format!("{}@{}", push.step, push.at.to_rfc3339_opts(SecondsFormat::Secs, true));
        pushes.iter().map(one).collect::<Vec<_>>().join(",")
    }

    /// From the annotation; what is not understood is left out.
    #[must_use]
    pub fn parse(annotation: &str) -> Vec<Self> {
        let one = |part: &str| {
            let (step, at) = part.split_once('@')?;
            let step = [Step::Touch, Step::Renew].into_iter().find(|known| known.as_str() == step)?;
            Some(Self { step, at: DateTime::parse_from_rfc3339(at).ok()?.with_timezone(&Utc) })
        };
        annotation.split(',').take(2 * REMEMBERED).filter_map(one).collect()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A write of the Certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateWrite {
    /// Asks for what shall be issued; the fields that are ours and no others.
    Request {
        /// The Certificate.
        target: ObjectName,
        /// The state that is changed; `None` creates it.
        base: Option<Version>,
        /// What is asked for.
        request: Box<Request>,
        /// Since when.
        requested: DateTime<Utc>,
        /// The undo marker that goes with the write, oldest first, at most three.
        undone: Vec<Undo>,
    },
    /// Makes Gardener act.
    Push {
        /// The Certificate.
        target: ObjectName,
        /// The state that is changed.
        base: Version,
        /// Makes it look at once.
        touch: bool,
        /// Asks for what was issued before this time to be renewed.
        renewed_after: Option<DateTime<Utc>>,
        /// The marker that goes with the write, oldest first, bounded; `None` leaves what is there.
        pushes: Vec<Push>,
    },
    /// Deletes it: nobody needs it any more.
    Delete {
        /// The Certificate.
        target: ObjectName,
        /// The state that is deleted.
        base: Version,
    },
}

impl CertificateWrite {
    /// The Certificate that is written.
    #[must_use]
    pub fn target(&self) -> &ObjectName {
        match self {
            Self::Request { target, .. } | Self::Push { target, .. } | Self::Delete { target, .. } => target,
        }
    }
}

/// What the status remembers of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Issuance {
    /// Name of the Certificate.
    pub certificate: String,
    /// Gardener's word for its state.
    pub state: String,
    /// Since when what is asked for now is asked for.
    pub requested: Option<DateTime<Utc>>,
    /// When Gardener was last pushed.
    pub pushed: Option<DateTime<Utc>>,
    /// The leaf that was issued last.
    pub fingerprint: Option<String>,
    /// Leaves that were revoked, oldest first.
    pub revoked: Vec<String>,
}

/// The most revoked leaves that are remembered.
pub const REVOKED: usize = 5;
