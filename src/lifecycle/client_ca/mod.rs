//! The CA certificates of mutual TLS, kept in `<gateway's Secret>-cacert` (laws 1, 2, 9 and 10 as for the pair).
//!
//! Istio looks for the CA in that Secret first and in the gateway's own only where there is none; in either it reads
//! the key `cacert` before `ca.crt`. So:
//! - What is written goes to the key that Istio reads there already, `cacert` where there is none: a revocation list
//!   that somebody keeps beside it (`crl` goes with `cacert`, `ca.crl` with `ca.crt`) stays in force.
//! - CA certificates in the gateway's own Secret stay where they are, out of force from then on. Neither happens in
//!   silence: the event and `SecretCurrent` say so where they are others.
//! - The Secret is never deleted: a gateway in mode MUTUAL would go back to whatever lies in its own Secret, or reset
//!   every connection once its pods restart. Where `spec.clientCA` is removed, or the object goes and has a finalizer,
//!   our owner annotation is taken off and the content stays, as with the gateway's own Secret. `deletionPolicy` is
//!   about copies.

mod entries;
mod telling;

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{
    observed::{ObjectName, Observed, Policy, Settings, Undo, Version},
    plan::{Action, Entry},
    reason::Reason,
    stance::{Stance, told, undone_too_often},
};
use crate::certificate::{Authorities, Context, Verdict, judge_authorities, next_change_of_authorities};

/// The check on revocation lists that come along.
const REVOCATION_LIST: &str = "client-ca-revocation-list";

/// What was seen of the client CA. The default is that nothing was asked for.
#[derive(Debug, Clone, Default)]
pub struct ClientCa {
    /// What people supplied.
    pub source: Bundle,
    /// The Secret `<gateway's Secret>-cacert`.
    pub stored: Kept,
    /// CA certificates in the gateway's own Secret, which Istio reads only where there is no `-cacert`.
    pub beside: Option<Beside>,
}

/// What people supplied.
#[derive(Debug, Clone, Default)]
pub enum Bundle {
    /// The spec names none.
    #[default]
    NotNamed,
    /// It was not read yet.
    Pending,
    /// The API server refuses to show it: what is missing.
    Denied(String),
    /// There is no such Secret.
    Absent,
    /// The Secret's content.
    Present(Beside),
}

/// CA certificates in a key of some Secret.
#[derive(Debug, Clone)]
pub struct Beside {
    /// The key they were read from.
    pub key: &'static str,
    /// What is in it.
    pub facts: Arc<Authorities>,
}

/// The Secret `<gateway's Secret>-cacert`.
#[derive(Debug, Clone, Default)]
pub enum Kept {
    /// It is not of interest, or may not be looked at (law 9).
    #[default]
    NotRead,
    /// It was not read yet.
    Pending,
    /// The API server refuses to show it: what is missing.
    Denied(String),
    /// There is no such Secret.
    Absent,
    /// It is there.
    Present(Box<KeptBundle>),
}

impl Kept {
    /// The stored Secret, if there is one.
    #[must_use]
    pub fn stored(&self) -> Option<&KeptBundle> {
        match self {
            Self::Present(stored) => Some(stored),
            _ => None,
        }
    }
}

/// The facts of a stored `-cacert` Secret.
#[derive(Debug, Clone)]
pub struct KeptBundle {
    /// Its uid and resourceVersion.
    pub version: Version,
    /// `immutable: true`.
    pub immutable: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// The key that Istio reads, or would read if it had a value.
    pub key: &'static str,
    /// What Istio would read from it.
    pub facts: Arc<Authorities>,
    /// Our owner annotation.
    pub owner: Option<String>,
    /// Marks of another owner, in words.
    pub foreign: Option<String>,
    /// The fingerprint that we noted when we wrote.
    pub mark: Option<String>,
    /// Who undid our writes, oldest first.
    pub undone: Vec<Undo>,
    /// The last writer of its data that was not certkeeper.
    pub last_writer: Option<Undo>,
}

impl KeptBundle {
    fn fingerprint(&self) -> Option<String> {
        self.facts.fingerprint().map(|fingerprint| fingerprint.to_string())
    }

    fn is_of(&self, object: &ObjectName) -> bool {
        self.owner.as_deref() == Some(object.to_string().as_str())
    }

    /// Nobody changed the certificates since we wrote them.
    fn is_as_we_wrote(&self) -> bool {
        self.mark.is_some() && self.mark == self.fingerprint() && !self.facts.holds_key()
    }
}

/// CA certificates on their way into a Secret.
#[derive(Debug, Clone)]
pub struct ClientCaWrite {
    /// The Secret.
    pub target: ObjectName,
    /// The state that is replaced; `None` creates it.
    pub base: Option<Version>,
    /// The key that they go to.
    pub key: &'static str,
    /// The certificates in PEM.
    pub pem: String,
    /// Their fingerprint, see [`Authorities::fingerprint`].
    pub fingerprint: String,
    /// The undo marker that goes with the write, oldest first, at most three.
    pub undone: Vec<Undo>,
    /// What to tell of it.
    pub entry: Entry,
}

/// What is public of the client CA that the gateway reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCaSummary {
    /// SHA-256 over its certificates.
    pub fingerprint: String,
    /// How many certificates it has.
    pub certificates: usize,
    /// The end of the last one that can vouch for a client: after it nobody is let in.
    pub not_after: Option<DateTime<Utc>>,
}

/// A bundle with what is thought of it.
#[derive(Debug)]
struct Judged<'a> {
    facts: &'a Authorities,
    verdict: Verdict,
}

impl<'a> Judged<'a> {
    fn new(facts: &'a Authorities, context: &Context<'_>) -> Self {
        Self { facts, verdict: judge_authorities(facts, context) }
    }

    /// A gateway would take it, and let some client in.
    fn is_usable(&self) -> bool {
        !self.verdict.is_unusable()
    }

    /// Law 1: refused only with errors, and only where it would be worse than what is there.
    fn may_replace(&self, stored: Option<&Self>) -> bool {
        let errors = |judged: &Self| judged.verdict.errors().count();
        let stored = stored.filter(|stored| stored.is_usable());
        self.is_usable() && (self.verdict.is_good() || stored.is_none_or(|stored| errors(self) <= errors(stored)))
    }
}

/// Which bundle the gateway should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// What people supplied.
    Source,
    /// What is stored already.
    Stored,
    /// There is no usable one.
    Nothing,
}

/// What was decided about the client CA.
#[derive(Debug)]
pub(super) struct Decision<'a> {
    observed: &'a Observed,
    now: DateTime<Utc>,
    stance: &'a Stance,
    source: Option<Judged<'a>>,
    stored: Option<Judged<'a>>,
    choice: Choice,
    /// Why the Secret is not written although it should be.
    obstacle: Option<(Reason, String)>,
    /// The write, or the release; at most one.
    pub(super) action: Option<Action>,
    /// When time alone may change the decision.
    pub(super) wake_at: Option<DateTime<Utc>>,
}

/// The first list of one of its Secrets has not come in.
pub(super) fn is_pending(seen: &ClientCa) -> bool {
    matches!(seen.source, Bundle::Pending) || matches!(seen.stored, Kept::Pending)
}

/// Why `spec.clientCA` cannot be acted upon.
pub(super) fn accept(observed_source: Option<&ObjectName>, secret: &ObjectName) -> Result<(), (Reason, String)> {
    let ours = [secret.clone(), secret.keepsake(), secret.client_ca()];
    match observed_source.filter(|source| ours.contains(source)) {
        None => Ok(()),
        Some(source) => Err((
            Reason::InvalidSpec,
            format!(
                "spec.clientCA.secretRef names {source}, which certkeeper writes itself: supply the CA certificates in \
                 another Secret"
            ),
        )),
    }
}

/// Takes our owner annotation off, as the object goes.
pub(super) fn release(observed: &Observed) -> Option<Action> {
    let stored = observed.client_ca.stored.stored()?;
    let may = stored.is_of(&observed.object.name) && !stored.immutable && !stored.deleting;
    let target = observed.object.wants.gateway_secret.client_ca();
    may.then(|| Action::Release { target, base: stored.version.clone() })
}

/// Decides what becomes of the `-cacert` Secret. Total.
pub(super) fn decide<'a>(
    observed: &'a Observed,
    now: DateTime<Utc>,
    settings: &Settings,
    stance: &'a Stance,
    context: &Context<'_>,
) -> Decision<'a> {
    let seen = &observed.client_ca;
    let source = match &seen.source {
        Bundle::Present(bundle) => Some(Judged::new(&bundle.facts, context)),
        _ => None,
    };
    // A revocation list beside what is stored is a person's own, and its business is not ours.
    let ignore: Vec<String> = context.ignore.iter().cloned().chain([REVOCATION_LIST.to_owned()]).collect();
    let kept = Context { ignore: &ignore, ..context.clone() };
    let stored = seen.stored.stored().map(|stored| Judged::new(&stored.facts, &kept));
    let choice = match (&source, &stored) {
        (Some(source), stored) if source.may_replace(stored.as_ref()) => Choice::Source,
        (_, Some(stored)) if stored.is_usable() => Choice::Stored,
        _ => Choice::Nothing,
    };
    let all = source.iter().chain(&stored);
    let wake_at = all.filter_map(|judged| next_change_of_authorities(judged.facts, context)).min();
    let (action, obstacle, wake_at) = (None, None, wake_at.filter(|_| observed.object.wants.client_ca.is_some()));
    let mut decision = Decision { observed, now, stance, source, stored, choice, obstacle, action, wake_at };
    decision.act(settings);
    decision
}

impl Decision<'_> {
    fn is_asked(&self) -> bool {
        self.observed.object.wants.client_ca.is_some()
    }

    fn secret(&self) -> ObjectName {
        self.observed.object.wants.gateway_secret.client_ca()
    }

    fn kept(&self) -> Option<&KeptBundle> {
        self.observed.client_ca.stored.stored()
    }

    /// The `-cacert` Secret holds the supplied bundle; neither has anything that a gateway would refuse beside it.
    fn holds_source(&self) -> bool {
        let (Some(source), Some(stored)) = (&self.source, &self.stored) else { return false };
        source.is_usable() && stored.is_usable() && source.facts.fingerprint() == stored.facts.fingerprint()
    }

    fn act(&mut self, settings: &Settings) {
        if *self.stance != Stance::Manage || self.observed.failure.is_some() {
            return;
        }
        if !self.is_asked() {
            self.action = release(self.observed);
            return;
        }
        let other = self.kept().and_then(|stored| self.other_owner(stored, settings));
        let theirs = other.is_some();
        self.obstacle = self.find_obstacle(other);
        if self.obstacle.is_none() && self.choice == Choice::Source && !theirs {
            self.action = self.write().map(Action::WriteClientCa);
        }
    }

    /// Whoever or whatever is in the way of a write that is due.
    fn find_obstacle(&self, other: Option<(Reason, String)>) -> Option<(Reason, String)> {
        let secret = self.secret();
        let stored = match &self.observed.client_ca.stored {
            Kept::Denied(rule) => {
                return Some((Reason::AccessDenied, format!("Secret {secret} cannot be read: {rule}")));
            }
            Kept::Present(stored) => stored,
            Kept::NotRead | Kept::Pending | Kept::Absent => return None,
        };
        if let Some((reason, owner)) = other {
            // Written by somebody else, and right: there is nothing to fight about.
            let remedy = "remove that owner, or the Secret; it is written again at once";
            let message = format!("Secret {secret} belongs to {owner} and holds another client CA: {remedy}");
            return (!self.holds_source()).then_some((reason, message));
        }
        if self.choice != Choice::Source || self.holds_source() {
            return None;
        }
        if stored.deleting {
            let message = format!("Secret {secret} is being deleted and held by a finalizer: remove its finalizers");
            return Some((Reason::BeingDeleted, message));
        }
        let delete = format!("kubectl -n {} delete secret {}", secret.namespace, secret.name);
        stored.immutable.then(|| {
            let message = format!("Secret {secret} is immutable and holds another client CA: delete it ({delete})");
            (Reason::Immutable, message)
        })
    }

    /// Law 9 for this Secret: who has it that we are not to write over.
    fn other_owner(&self, stored: &KeptBundle, settings: &Settings) -> Option<(Reason, String)> {
        let object = &self.observed.object;
        let other = stored.owner.as_ref().filter(|_| !stored.is_of(&object.name));
        if let Some(owner) = other.filter(|owner| self.observed.peers.contains(*owner)) {
            return Some((Reason::Conflict, format!("GatewayCertificate {owner}")));
        }
        if object.wants.policy == Policy::Manage {
            return None;
        }
        if let Some(foreign) = &stored.foreign {
            return Some((Reason::ForeignOwner, foreign.clone()));
        }
        let served = |owner: &str| settings.namespaces.iter().any(|served| owner.starts_with(&format!("{served}/")));
        if let Some(owner) = other.filter(|owner| !served(owner)) {
            let who = format!("GatewayCertificate {owner}, which another certkeeper serves");
            return Some((Reason::ForeignOwner, who));
        }
        let writer = stored.last_writer.as_ref().filter(|_| !stored.is_as_we_wrote())?;
        undone_too_often(&self.all_undone(stored), &writer.manager).then(|| {
            let who = format!(
                "field manager \"{}\", which undid certkeeper's write three times within an hour",
                writer.manager
            );
            (Reason::ForeignOwner, who)
        })
    }

    /// As with the gateway's Secret: the marker on it or our history, whichever remembers more.
    fn all_undone(&self, stored: &KeptBundle) -> Vec<Undo> {
        let told = told(self.observed, Reason::ClientCaRestored);
        if told.len() > stored.undone.len() { told } else { stored.undone.clone() }
    }

    fn write(&self) -> Option<ClientCaWrite> {
        let source = self.source.as_ref()?;
        let (pem, fingerprint) = (source.facts.pem(), source.facts.fingerprint()?.to_string());
        let target = self.secret();
        let Some(stored) = self.kept() else {
            let absent = matches!(self.observed.client_ca.stored, Kept::Absent);
            let (entry, undone) = (self.created(&fingerprint), Vec::new());
            return absent.then_some(ClientCaWrite {
                target,
                base: None,
                key: "cacert",
                pem,
                fingerprint,
                undone,
                entry,
            });
        };
        let ours = stored.is_of(&self.observed.object.name);
        let marked = stored.mark.as_deref() == Some(fingerprint.as_str());
        if stored.immutable || stored.deleting || (self.holds_source() && ours && marked) {
            return None;
        }
        let drift = self.drift(stored, &fingerprint);
        let entry = self.updated(&fingerprint, drift.as_ref());
        let mut undone = self.all_undone(stored);
        undone.extend(drift.map(|undo| Undo { at: self.now, ..undo }));
        let undone = undone.split_off(undone.len().saturating_sub(3));
        Some(ClientCaWrite {
            target,
            base: Some(stored.version.clone()),
            key: stored.key,
            pem,
            fingerprint,
            undone,
            entry,
        })
    }

    /// Who undid our write, if somebody did.
    fn drift(&self, stored: &KeptBundle, wanted: &str) -> Option<Undo> {
        let before = || self.observed.object.previous.client_ca.as_ref().map(|before| before.fingerprint.clone());
        let noted = stored.mark.clone().or_else(before)?;
        let changed = !self.holds_source() || !stored.is_of(&self.observed.object.name);
        (noted == wanted && changed).then(|| stored.last_writer.clone()).flatten()
    }
}
