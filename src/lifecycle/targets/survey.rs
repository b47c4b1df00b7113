//! Every copy and how it stands, for a person who asks. The places and the marks are those that [`super::distribute`]
//! goes by. Values are not looked at: the fingerprint that certkeeper noted tells a current copy from an old one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    Copy, CopyFailure, Namespaces, Target,
    contents::key_list,
    marks::{is_fought_over, stranger},
    places::desired,
};
use crate::lifecycle::{
    observed::{ObjectName, Wants},
    reason::Reason,
};

/// What is asked about: the copies of one GatewayCertificate.
#[derive(Debug)]
pub struct Survey<'a> {
    /// The GatewayCertificate.
    pub owner: &'a ObjectName,
    /// What its spec asks for.
    pub wants: &'a Wants,
    /// The cluster's namespaces.
    pub namespaces: &'a Namespaces,
    /// Every GatewayCertificate that is in its namespace, as `namespace/name`.
    pub peers: &'a BTreeSet<String>,
    /// The leaf in the gateway's Secret; `None` while there is none.
    pub fingerprint: Option<&'a str>,
    /// What the controller said of copies that failed.
    pub failures: &'a [CopyFailure],
}

/// What a look at one place showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It may not be looked at: what the API server said.
    Denied(String),
    /// A Secret, ours or not, and the fingerprint noted on it.
    Present(Box<Copy>, Option<String>),
}

/// How one copy stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Name of the target.
    pub target: String,
    /// The copy. Its namespace is `*` where a selector's namespaces cannot be told.
    pub place: ObjectName,
    /// How it stands.
    pub state: CopyState,
    /// The fingerprint that certkeeper noted on it, if it is ours.
    pub fingerprint: Option<String>,
    /// More about it, in words.
    pub message: Option<String>,
}

/// How a copy stands, in a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyState {
    /// It holds the certificate in the gateway's Secret.
    Current,
    /// It is ours and holds another certificate, or not in the way that the target asks for.
    Behind,
    /// There is no such Secret.
    Missing,
    /// Somebody else wrote or removed a value since certkeeper wrote it; whether the values differ was not looked at.
    Edited,
    /// A Secret of somebody else is in the way: of whom.
    Foreign(String),
    /// It is being deleted, and held by a finalizer.
    BeingDeleted,
    /// Its namespace does not exist.
    NamespaceMissing,
    /// Something else of the same spec has this place.
    Conflict,
    /// It may not be looked at.
    Denied,
    /// No pair is in the gateway's Secret, so that nobody can tell.
    Unknown,
}

impl CopyState {
    /// The CamelCase word for programs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Current => "Current",
            Self::Behind => "Behind",
            Self::Missing => "Missing",
            Self::Edited => "Edited",
            Self::Foreign(_) => "Foreign",
            Self::BeingDeleted => "BeingDeleted",
            Self::NamespaceMissing => "NamespaceMissing",
            Self::Conflict => "Conflict",
            Self::Denied => "Denied",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for CopyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(owner) => write!(f, "Foreign ({owner})"),
            state => f.write_str(state.as_str()),
        }
    }
}

impl Survey<'_> {
    /// The places that should have a copy: what is to be looked at.
    #[must_use]
    pub fn places(&self) -> BTreeSet<ObjectName> {
        desired(self.wants, self.namespaces).places.into_keys().collect()
    }

    /// How each copy stands, in the order of the targets. A place that is not among the looks has no Secret.
    #[must_use]
    pub fn standings(&self, looks: &BTreeMap<ObjectName, Look>) -> Vec<Standing> {
        let desired = desired(self.wants, self.namespaces);
        let mut standings = Vec::with_capacity(desired.places.len() + desired.failures.len());
        for (place, index) in desired.places {
            let Some(target) = self.wants.targets.get(index) else { continue };
            standings.push((index, self.standing(target, place, looks)));
        }
        for failure in desired.failures {
            let index = self.wants.targets.iter().position(|target| target.name == failure.target).unwrap_or_default();
            let secret = self.wants.targets.get(index).map(|target| target.secret_name.as_str()).unwrap_or_default();
            standings.push((index, unplaced(failure, secret)));
        }
        standings.sort_by(|(a, x), (b, y)| (a, &x.place).cmp(&(b, &y.place)));
        standings.into_iter().map(|(_, standing)| standing).collect()
    }

    fn standing(&self, target: &Target, place: ObjectName, looks: &BTreeMap<ObjectName, Look>) -> Standing {
        let (state, fingerprint, message) = match looks.get(&place) {
            None => (CopyState::Missing, None, None),
            Some(Look::Denied(refusal)) => (CopyState::Denied, None, Some(refusal.clone())),
            Some(Look::Present(copy, fingerprint)) => {
                let (state, message) = self.judge(target, copy, fingerprint.as_deref());
                let ours = !matches!(state, CopyState::Foreign(_));
                (state, fingerprint.clone().filter(|_| ours), message)
            }
        };
        // What the controller tried and could not is in its own words.
        let told = || {
            let same = |f: &&CopyFailure| f.target == target.name && f.namespace == place.namespace;
            self.failures.iter().find(same).map(|failure| failure.message.clone())
        };
        let message = message.or_else(|| if state == CopyState::Current { None } else { told() });
        Standing { target: target.name.clone(), place, state, fingerprint, message }
    }

    fn judge(&self, target: &Target, copy: &Copy, fingerprint: Option<&str>) -> (CopyState, Option<String>) {
        let gone = |owner: &str| {
            let near = owner.split_once('/').is_some_and(|(namespace, _)| namespace == self.owner.namespace);
            near && !self.peers.contains(owner)
        };
        let us = self.owner.to_string();
        if let Some(who) = stranger(copy, &us, gone) {
            return (CopyState::Foreign(who), None);
        }
        if copy.deleting {
            return (CopyState::BeingDeleted, None);
        }
        if let Some(writer) = &copy.foreign_writer {
            let who = format!("field manager \"{}\"", writer.manager);
            if is_fought_over(copy) {
                return (
                    CopyState::Foreign(who),
                    Some("it undid certkeeper's write three times in an hour".to_owned()),
                );
            }
            return (CopyState::Edited, Some(format!("written by {who}")));
        }
        if copy.owner.as_deref() != Some(us.as_str()) {
            let owner = copy.owner.as_deref().unwrap_or_default();
            return (CopyState::Behind, Some(format!("left behind by GatewayCertificate {owner}, which is gone")));
        }
        let Some(expected) = self.fingerprint else {
            return (CopyState::Unknown, Some("the gateway's Secret has no pair of certkeeper's yet".to_owned()));
        };
        if fingerprint != Some(expected) || copy.note.as_deref().is_some_and(|note| target.kind.differs_in(note)) {
            return (CopyState::Behind, None);
        }
        let keys = key_list(&target.keys);
        if copy.our_keys != keys {
            let have = if copy.our_keys.is_empty() { "none" } else { &copy.our_keys };
            return (
                CopyState::Edited,
                Some(format!("the target asks for the keys {keys}; of certkeeper's it has {have}")),
            );
        }
        (CopyState::Current, None)
    }
}

/// A place that cannot have a copy.
fn unplaced(failure: CopyFailure, secret: &str) -> Standing {
    let state = match failure.reason.as_str() {
        reason if reason == Reason::NamespaceMissing.as_str() => CopyState::NamespaceMissing,
        reason if reason == Reason::AccessDenied.as_str() => CopyState::Denied,
        _ => CopyState::Conflict,
    };
    Standing {
        target: failure.target,
        place: ObjectName::new(failure.namespace, secret),
        state,
        fingerprint: None,
        message: Some(failure.message),
    }
}
