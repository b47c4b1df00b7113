//! Where copies should lie, and where they may lie.

use std::collections::{BTreeMap, BTreeSet};

use super::{CopyFailure, Namespaces, Placed, Places};
use crate::lifecycle::{
    observed::{ObjectName, Settings, Wants},
    reason::Reason,
};

/// A watch on Secrets of one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// Name of the Secrets.
    pub secret_name: String,
    /// The namespace; `None`: across all of them.
    pub namespace: Option<String>,
}

/// The watches that a spec needs: across namespaces only for a name that bears no key and is granted everywhere
/// (that is what the chart grants), else one a namespace. What was placed before is watched, too, until it is gone.
#[must_use]
pub fn scopes(wants: &Wants, placed: &[Placed], settings: &Settings) -> BTreeSet<Scope> {
    // Another target may bear the key under the same name.
    let bearing: BTreeSet<&str> =
        wants.targets.iter().filter(|target| target.bears_key()).map(|target| target.secret_name.as_str()).collect();
    let mut scopes = BTreeSet::new();
    let mut add = |secret_name: &str, namespaces: &[String]| {
        let scope =
            |namespace: Option<&String>| Scope { secret_name: secret_name.to_owned(), namespace: namespace.cloned() };
        if namespaces.is_empty() {
            scopes.insert(scope(None));
        }
        scopes.extend(namespaces.iter().map(|namespace| scope(Some(namespace))));
    };
    for target in &wants.targets {
        match &target.namespaces {
            Places::Selected(_) => add(&target.secret_name, &[]),
            Places::Listed(_)
                if !bearing.contains(target.secret_name.as_str()) && settings.permits_anywhere(&target.secret_name) =>
            {
                add(&target.secret_name, &[]);
            }
            Places::Listed(namespaces) => add(&target.secret_name, namespaces),
        }
    }
    for record in placed {
        // What is no longer granted is no longer looked at.
        if record.namespaces.is_empty() {
            if settings.permits_anywhere(&record.secret_name) {
                add(&record.secret_name, &[]);
            }
        } else {
            let granted = |ns: &&String| settings.permits(&ObjectName::new(ns.as_str(), &record.secret_name));
            let granted: Vec<String> = record.namespaces.iter().filter(granted).cloned().collect();
            if !granted.is_empty() {
                add(&record.secret_name, &granted);
            }
        }
    }
    let across: BTreeSet<String> =
        scopes.iter().filter(|s| s.namespace.is_none()).map(|s| s.secret_name.clone()).collect();
    scopes.retain(|scope| scope.namespace.is_none() || !across.contains(&scope.secret_name));
    scopes
}

/// The places that should have a copy.
#[derive(Debug, Default)]
pub(super) struct Desired {
    /// Each place and the index of its target.
    pub(super) places: BTreeMap<ObjectName, usize>,
    /// Places that cannot have one.
    pub(super) failures: Vec<CopyFailure>,
    /// Which namespaces a selector means is not known yet.
    pub(super) pending: bool,
    /// It is not known, and a right is missing for it: nothing is removed until it is granted.
    pub(super) denied: bool,
}

/// Works out which places should have a copy.
pub(super) fn desired(wants: &Wants, namespaces: &Namespaces) -> Desired {
    let mut desired = Desired::default();
    let own = our_own(wants);
    for (index, target) in wants.targets.iter().enumerate() {
        let matching: Vec<&String> = match (&target.namespaces, namespaces) {
            (Places::Listed(listed), Namespaces::Known(known)) => {
                let missing = listed.iter().filter(|namespace| !known.contains_key(*namespace));
                desired.failures.extend(missing.map(|namespace| {
                    let message = format!(
                        "namespace {namespace} does not exist: create it, or take it off the list; the copy is made as soon as it is there"
                    );
                    failure(&target.name, namespace, Reason::NamespaceMissing, message)
                }));
                listed.iter().filter(|namespace| known.get(*namespace).is_some_and(|n| !n.terminating)).collect()
            }
            (Places::Listed(_), Namespaces::Pending) | (Places::Selected(_), Namespaces::Pending) => {
                desired.pending = true;
                continue;
            }
            // Without the right to see namespaces the listed ones are tried.
            (Places::Listed(listed), _) => listed.iter().collect(),
            (Places::Selected(selector), Namespaces::Known(known)) => known
                .iter()
                .filter(|(_, namespace)| !namespace.terminating && selector.matches(&namespace.labels))
                .map(|(name, _)| name)
                .collect(),
            (Places::Selected(_), Namespaces::Denied(rule)) => {
                desired.denied = true;
                let message = format!("namespaces cannot be listed, so the selector selects nothing: {rule}");
                desired.failures.push(failure(&target.name, "*", Reason::AccessDenied, message));
                continue;
            }
            (Places::Selected(_), Namespaces::NotNeeded) => continue,
        };
        for namespace in matching {
            let place = ObjectName::new(namespace, &target.secret_name);
            if own.contains(&place) {
                let message = format!("Secret {place} is the gateway's own: name the copies otherwise (secretName)");
                desired.failures.push(failure(&target.name, namespace, Reason::Conflict, message));
                continue;
            }
            if let Some(first) = desired.places.get(&place).and_then(|first| wants.targets.get(*first)) {
                let message = format!("target {} names Secret {place}, too: name one of them otherwise", first.name);
                desired.failures.push(failure(&target.name, namespace, Reason::Conflict, message));
                continue;
            }
            desired.places.insert(place, index);
        }
    }
    desired
}

/// The Secrets that are no copies whatever a spec says.
pub(super) fn our_own(wants: &Wants) -> BTreeSet<ObjectName> {
    let gateway = [wants.gateway_secret.clone(), wants.gateway_secret.keepsake()];
    let client_ca = wants.client_ca.iter().flat_map(|source| [source.clone(), wants.gateway_secret.client_ca()]);
    gateway.into_iter().chain(wants.source.clone()).chain(client_ca).collect()
}

pub(super) fn failure(target: &str, namespace: &str, reason: Reason, message: String) -> CopyFailure {
    CopyFailure {
        target: target.to_owned(),
        namespace: namespace.to_owned(),
        reason: reason.as_str().to_owned(),
        message: crate::lifecycle::report::bounded(message),
    }
}

/// Where copies may lie once this spec is acted upon: what was recorded and still has to be looked after, and what the
/// spec names now. Sorted, one entry a Secret name.
pub(super) fn record(
    wants: &Wants,
    settings: &Settings,
    still: &BTreeSet<ObjectName>,
    placed: &[Placed],
) -> Vec<Placed> {
    let mut named: BTreeMap<String, Option<BTreeSet<String>>> = BTreeMap::new();
    for scope in scopes(wants, &[], settings) {
        let entry = named.entry(scope.secret_name).or_insert_with(|| Some(BTreeSet::new()));
        match (scope.namespace, entry.as_mut()) {
            (Some(namespace), Some(namespaces)) => drop(namespaces.insert(namespace)),
            _ => *entry = None,
        }
    }
    for place in still {
        let was_across = placed.iter().any(|p| p.secret_name == place.name && p.namespaces.is_empty());
        let entry = named.entry(place.name.clone()).or_insert_with(|| Some(BTreeSet::new()));
        if was_across {
            *entry = None;
        } else if let Some(namespaces) = entry {
            namespaces.insert(place.namespace.clone());
        }
    }
    named
        .into_iter()
        .map(|(secret_name, namespaces)| Placed {
            secret_name,
            namespaces: namespaces.unwrap_or_default().into_iter().collect(),
        })
        .collect()
}
