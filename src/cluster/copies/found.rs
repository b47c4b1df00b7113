//! What a watch found. A watch in one namespace finds one Secret or none, and there may be thousands of such watches: it
//! does without the nodes of a map.

use std::collections::BTreeMap;

use super::facts::Known;
use crate::lifecycle::targets::Scope;

pub(super) enum Found {
    /// In the namespace of the watch.
    One(Option<Known>),
    /// By namespace.
    Many(BTreeMap<String, Known>),
}

impl Found {
    /// Nothing yet.
    pub(super) fn under(scope: &Scope) -> Self {
        if scope.namespace.is_some() { Self::One(None) } else { Self::Many(BTreeMap::new()) }
    }

    pub(super) fn get(&self, namespace: &str) -> Option<&Known> {
        match self {
            Self::One(known) => known.as_ref(),
            Self::Many(known) => known.get(namespace),
        }
    }

    pub(super) fn get_mut(&mut self, namespace: &str) -> Option<&mut Known> {
        match self {
            Self::One(known) => known.as_mut(),
            Self::Many(known) => known.get_mut(namespace),
        }
    }

    pub(super) fn insert(&mut self, namespace: &str, new: Known) {
        match self {
            Self::One(known) => *known = Some(new),
            Self::Many(known) => drop(known.insert(namespace.to_owned(), new)),
        }
    }

    pub(super) fn remove(&mut self, namespace: &str) {
        match self {
            Self::One(known) => *known = None,
            Self::Many(known) => drop(known.remove(namespace)),
        }
    }

    /// What was found under this watch, with its namespace.
    pub(super) fn each<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = (&'a str, &'a Known)> {
        let (one, many) = match self {
            Self::One(known) => (scope.namespace.as_deref().zip(known.as_ref()), None),
            Self::Many(known) => (None, Some(known)),
        };
        one.into_iter().chain(many.into_iter().flatten().map(|(namespace, known)| (namespace.as_str(), known)))
    }
}
