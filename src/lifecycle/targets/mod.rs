//! Copies of the promoted pair for the components that need it: which there should be, what each holds, and what is to
//! be done about one that is not so. Pure, as everything in this room.

mod contents;
mod distribution;
mod marks;
mod places;
mod selector;
mod survey;
mod telling;

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};

use super::observed::{FailureKind, ObjectName, Undo, Version};

pub use contents::{Content, Contents, SecretKind};
pub use places::{Scope, scopes};
pub use selector::{Labels, Requirement, Selector};
pub use survey::{CopyState, Look, Standing, Survey};

pub(super) use distribution::{Distribution, Promoted, distribute, remove_all};

/// One entry of `spec.targets`: a set of copies.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name, unique in the list.
    pub name: String,
    /// Name of the Secret in each namespace.
    pub secret_name: String,
    /// The namespaces that get a copy.
    pub namespaces: Places,
    /// Type of the Secrets.
    pub kind: SecretKind,
    /// The Secret's keys, each with what it holds.
    pub keys: BTreeMap<String, Content>,
    /// Workloads in the copy's namespace that are rolled after the copy changed.
    pub restart: Vec<Workload>,
}

impl Target {
    /// Whether a copy holds the private key.
    #[must_use]
    pub fn bears_key(&self) -> bool {
        self.keys.values().any(|content| *content == Content::PrivateKey)
    }
}

/// Which namespaces get a copy.
#[derive(Debug, Clone)]
pub enum Places {
    /// These.
    Listed(Vec<String>),
    /// Those whose labels match.
    Selected(Selector),
}

/// A workload that is rolled when the Secret it reads has changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// Deployment, `StatefulSet` or `DaemonSet`.
    pub kind: String,
    /// Its name, in the namespace of the copy.
    pub name: String,
}

/// What is known of the cluster's namespaces.
#[derive(Debug, Clone, Default)]
pub enum Namespaces {
    /// No target asks for them.
    #[default]
    NotNeeded,
    /// The first list has not come in.
    Pending,
    /// The API server refuses to show them: the rule that is missing.
    Denied(String),
    /// These there are.
    Known(Arc<BTreeMap<String, Namespace>>),
}

/// What is known of one namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its labels.
    pub labels: Labels,
    /// It is being deleted: nothing can be created in it.
    pub terminating: bool,
}

/// What is known of the copies: those that the spec names, and those that lie where an earlier one named them.
#[derive(Debug, Clone, Default)]
pub struct Copies {
    /// Each watch across namespaces, by the name of the Secrets, and whether it has told.
    pub across: BTreeMap<String, ScopeSight>,
    /// Each watch on a single Secret, and whether it has told.
    pub single: BTreeMap<ObjectName, ScopeSight>,
    /// What is known of single places. One that is not here and is watched has no Secret.
    pub places: BTreeMap<ObjectName, Observation>,
}

impl Copies {
    /// Takes note of a watch.
    pub fn insert(&mut self, scope: &Scope, sight: ScopeSight) {
        match &scope.namespace {
            Some(namespace) => self.single.insert(ObjectName::new(namespace, &scope.secret_name), sight),
            None => self.across.insert(scope.secret_name.clone(), sight),
        };
    }

    /// Every watch.
    pub fn scopes(&self) -> impl Iterator<Item = &ScopeSight> {
        self.across.values().chain(self.single.values())
    }

    /// What lies at a place.
    #[must_use]
    pub fn sight(&self, place: &ObjectName) -> Sight<'_> {
        match self.single.get(place).or_else(|| self.across.get(&place.name)) {
            None | Some(ScopeSight::Pending) => Sight::Pending,
            Some(ScopeSight::Denied(rule)) => Sight::Denied(rule),
            Some(ScopeSight::Known) => {
                self.places.get(place).and_then(|seen| seen.copy.as_deref()).map_or(Sight::Absent, Sight::Present)
            }
        }
    }
}

/// Whether a watch has told what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeSight {
    /// The first list has not come in.
    Pending,
    /// The API server refuses to show it: the rule that is missing.
    Denied(String),
    /// It has.
    Known,
}

/// What is known of one place.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// The Secret that lies there, ours or not.
    pub copy: Option<Arc<Copy>>,
    /// The last attempt failed.
    pub trouble: Option<Arc<Trouble>>,
    /// A call about it is under way.
    pub busy: bool,
    /// The fingerprint for which its workloads were seen to be rolled.
    pub rolled: Option<Arc<str>>,
}

/// What lies at the place of a copy.
#[derive(Debug, Clone, Copy)]
pub enum Sight<'a> {
    /// It was not looked at yet.
    Pending,
    /// The API server refuses to show it: the rule that is missing.
    Denied(&'a str),
    /// Nothing.
    Absent,
    /// A Secret, ours or not.
    Present(&'a Copy),
}

/// The facts of a Secret at the place of a copy, from its metadata alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Its uid and resourceVersion.
    pub version: Version,
    /// It is being deleted.
    pub deleting: bool,
    /// Our owner annotation.
    pub owner: Option<String>,
    /// What we noted of the content that we wrote: [`Contents::note`].
    pub note: Option<String>,
    /// Somebody else wrote that note.
    pub note_edited: bool,
    /// The fingerprint that we noted.
    pub fingerprint: Option<String>,
    /// The keys whose values only certkeeper wrote, comma-separated in their order.
    pub our_keys: String,
    /// The last writer of a value or of our marks that was not certkeeper.
    pub foreign_writer: Option<Undo>,
    /// Marks of another owner, in words.
    pub foreign: Option<String>,
    /// Who undid our writes, oldest first.
    pub undone: Vec<Undo>,
    /// At this resourceVersion its values were compared with what we noted: whether they were the same.
    pub compared: Option<bool>,
}

/// Why the last attempt at a copy failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of failure.
    pub kind: FailureKind,
    /// What the API server said.
    pub message: String,
    /// Not to be tried again before.
    pub retry_at: DateTime<Utc>,
    /// How often in a row.
    pub count: u32,
}

/// Something to do about one copy.
#[derive(Debug, Clone)]
pub struct CopyAction {
    /// The copy.
    pub place: ObjectName,
    /// What to do.
    pub task: CopyTask,
    /// The last attempt at this copy failed.
    pub again: bool,
}

/// What to do about a copy.
#[derive(Debug, Clone)]
pub enum CopyTask {
    /// Create it.
    Create(Arc<Contents>),
    /// Write it over.
    Replace {
        /// The state that is replaced.
        base: Version,
        /// What it shall hold.
        contents: Arc<Contents>,
        /// Who undid our writes, oldest first, at most three.
        undone: Vec<Undo>,
    },
    /// Read its values once and compare them: somebody else wrote them, perhaps the same ones.
    Compare {
        /// The state that is looked at.
        base: Version,
        /// What it should hold.
        contents: Arc<Contents>,
    },
    /// Delete it.
    Delete {
        /// The state that is deleted.
        base: Version,
    },
    /// Roll the workloads that read it, once for this fingerprint.
    Roll {
        /// The workloads.
        workloads: Vec<Workload>,
        /// The fingerprint.
        fingerprint: Arc<str>,
    },
}

/// The copies, for the status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetsReport {
    /// How many there should be.
    pub desired: usize,
    /// How many are there and current.
    pub current: usize,
    /// Those that are not and will not be by themselves, at most [`super::MAX_LISTED`].
    pub failures: Vec<CopyFailure>,
    /// Where copies may lie, so that they are found again when the spec no longer names them.
    pub placed: Vec<Placed>,
}

/// A copy that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFailure {
    /// Name of the target.
    pub target: String,
    /// Namespace of the copy.
    pub namespace: String,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// Why, and what to do.
    pub message: String,
}

/// A Secret name under which copies may lie.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placed {
    /// Name of the Secrets.
    pub secret_name: String,
    /// The namespaces; none: any, they are found by a watch across all.
    pub namespaces: Vec<String>,
}
