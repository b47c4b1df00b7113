//! The facts of a copy, from its metadata alone: who owns it, and whether only certkeeper wrote its values.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::{
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference},
};
use kube::{ResourceExt, core::PartialObjectMeta};

use crate::{
    api,
    cluster::{
        MANAGED_BY,
        gather::{LAST_APPLIED, foreign, from_api, parse_undone, version_of},
        is_own_manager,
    },
    lifecycle::{Undo, targets::Copy},
};

/// Annotations of ours on a copy.
pub(super) const OURS: [&str; 4] = [api::OWNER, api::COPY, api::FINGERPRINT, api::UNDONE];

/// What is remembered of a Secret at the place of a copy.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) copy: Arc<Copy>,
    pub(super) extra: Option<Arc<Extra>>,
    number: Option<u64>,
}

/// What others put into its metadata: it stays when we write. Most copies have none.
#[derive(Debug, Default)]
pub(super) struct Extra {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    owners: Vec<OwnerReference>,
    finalizers: Vec<String>,
}

impl Extra {
    fn of(secret: &PartialObjectMeta<Secret>) -> Option<Arc<Self>> {
        let others = |(key, _): &(&String, &String)| {
            // kubectl's last-applied annotation repeats the values in clear: it goes with our next write (law 3).
            !OURS.contains(&key.as_str()) && key.as_str() != LAST_APPLIED && key.as_str() != MANAGED_BY
        };
        let pick = |map: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            map.iter().filter(others).map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let extra = Self {
            labels: pick(secret.labels()),
            annotations: pick(secret.annotations()),
            owners: secret.owner_references().to_vec(),
            finalizers: secret.finalizers().to_vec(),
        };
        let nothing = extra.labels.is_empty()
            && extra.annotations.is_empty()
            && extra.owners.is_empty()
            && extra.finalizers.is_empty();
        (!nothing).then(|| Arc::new(extra))
    }

    /// Puts it beside what is there.
    pub(super) fn add_to(&self, metadata: &mut ObjectMeta) {
        metadata.labels.get_or_insert_default().extend(self.labels.clone());
        metadata.annotations.get_or_insert_default().extend(self.annotations.clone());
        metadata.owner_references = Some(self.owners.clone()).filter(|owners| !owners.is_empty());
        metadata.finalizers = Some(self.finalizers.clone()).filter(|finalizers| !finalizers.is_empty());
    }
}

impl Known {
    pub(super) fn new(secret: &PartialObjectMeta<Secret>) -> Self {
        let annotation = |key: &str| secret.annotations().get(key).cloned();
        let (our_keys, foreign_writer) = writers(secret.managed_fields());
        let copy = Copy {
            version: version_of(secret),
            deleting: secret.metadata.deletion_timestamp.is_some(),
            owner: annotation(api::OWNER),
            note: annotation(api::COPY),
            our_keys,
            foreign_writer,
            foreign: foreign(secret),
            undone: annotation(api::UNDONE).map(|text| parse_undone(&text)).unwrap_or_default(),
            compared: None,
        };
        let number = secret.resource_version().and_then(|version| version.parse().ok());
        Self { copy: Arc::new(copy), extra: Extra::of(secret), number }
    }

    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        // Resource versions of one resource are ordered numbers (KEP-5504); whatever is not, counts as newer.
        match (self.number, other.number) {
            (Some(ours), Some(theirs)) => ours > theirs,
            _ => true,
        }
    }
}

/// The keys whose values only we wrote, and the last other writer of a value or of our note. The API server keeps this
/// record itself: whoever changes a field owns it from then on, so an edit shows without reading a single value.
fn writers(managers: &[ManagedFieldsEntry]) -> (String, Option<Undo>) {
    let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
    let mut foreign: Option<Undo> = None;
    for entry in managers {
        let (Some(manager), Some(fields)) = (&entry.manager, &entry.fields_v1) else { continue };
        let keys = fields.0.get("f:data").and_then(|data| data.as_object());
        let keys = keys.into_iter().flat_map(|data| data.keys()).filter_map(|key| key.strip_prefix("f:"));
        let note = fields.0.pointer("/f:metadata/f:annotations").and_then(|a| a.get(format!("f:{}", api::COPY)));
        if is_own_manager(manager) {
            ours.extend(keys.map(str::to_owned));
            continue;
        }
        let before = theirs.len();
        theirs.extend(keys.map(str::to_owned));
        if theirs.len() == before && note.is_none() {
            continue;
        }
        let Some(at) = entry.time.as_ref().map(from_api) else { continue };
        if foreign.as_ref().is_none_or(|last| (last.at, &last.manager) < (at, manager)) {
            foreign = Some(Undo { manager: manager.clone(), at });
        }
    }
    let alone: Vec<String> = ours.difference(&theirs).cloned().collect();
    (alone.join(","), foreign)
}
