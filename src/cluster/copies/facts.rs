//! The facts of a copy, from its metadata alone: who owns it, and whether only certkeeper wrote its values.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::DateTime;
use k8s_openapi::{
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference},
};
use kube::{ResourceExt, core::PartialObjectMeta};

use crate::{
    api,
    cluster::{
        MANAGED_BY,
        gather::{LAST_APPLIED, foreign as foreign_marks, from_api, parse_undone, version_of},
        is_own_manager,
    },
    lifecycle::{Undo, targets::Copy},
};

/// Annotations of ours on a copy.
pub(super) const OURS: [&str; 4] = [api::OWNER, api::COPY, api::FINGERPRINT, api::UNDONE];

/// The most that is kept of what others put into a copy's metadata, in bytes: more is read when the copy is written.
const EXTRA_KEPT: usize = 2048;
/// The longest mark that is kept, in bytes: ours are shorter (two names of 63 and 253 characters and a slash).
const MARK_KEPT: usize = 512;

/// Stands for a field manager that nobody can tell.
const REMOVER: &str = "unknown (it removed an annotation of certkeeper's)";

/// What is remembered of a Secret at the place of a copy.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) copy: Arc<Copy>,
    pub(super) others: Others,
    number: Option<u64>,
}

/// What is kept of what others put into a Secret's metadata.
#[derive(Debug, Clone)]
pub(super) enum Others {
    /// They put nothing there: so it is with most copies.
    Nothing,
    /// This.
    Kept(Arc<Extra>),
    /// It is much, or the Secret is not ours and never written as it is: it is read before a write.
    NotKept,
}

/// What others put into its metadata: it stays when we write.
#[derive(Debug, Default)]
pub(super) struct Extra {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    owners: Vec<OwnerReference>,
    finalizers: Vec<String>,
}

impl Extra {
    pub(super) fn of(secret: &PartialObjectMeta<Secret>) -> Self {
        let others = |(key, _): &(&String, &String)| {
            // kubectl's last-applied annotation repeats the values in clear: it goes with our next write (law 3).
            !OURS.contains(&key.as_str()) && key.as_str() != LAST_APPLIED && key.as_str() != MANAGED_BY
        };
        let pick = |map: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            map.iter().filter(others).map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        Self {
            labels: pick(secret.labels()),
            annotations: pick(secret.annotations()),
            owners: secret.owner_references().to_vec(),
            finalizers: secret.finalizers().to_vec(),
        }
    }

    /// Its size in bytes, about.
    fn size(&self) -> usize {
        let map =
            |map: &BTreeMap<String, String>| map.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        let owner =
            |owner: &OwnerReference| owner.name.len() + owner.kind.len() + owner.api_version.len() + owner.uid.len();
        map(&self.labels)
            + map(&self.annotations)
            + self.owners.iter().map(owner).sum::<usize>()
            + self.finalizers.iter().map(String::len).sum::<usize>()
    }

    /// Puts it beside what is there.
    pub(super) fn add_to(&self, metadata: &mut ObjectMeta) {
        metadata.labels.get_or_insert_default().extend(self.labels.clone());
        metadata.annotations.get_or_insert_default().extend(self.annotations.clone());
        metadata.owner_references = Some(self.owners.clone()).filter(|owners| !owners.is_empty());
        metadata.finalizers = Some(self.finalizers.clone()).filter(|finalizers| !finalizers.is_empty());
    }
}

impl Others {
    fn of(secret: &PartialObjectMeta<Secret>, copy: &Copy) -> Self {
        // Without these marks it is somebody else's; a watch across namespaces may bring thousands of them.
        if copy.owner.is_none() || copy.note.is_none() || copy.foreign.is_some() {
            return Self::NotKept;
        }
        let extra = Extra::of(secret);
        match extra.size() {
            0 => Self::Nothing,
            1..=EXTRA_KEPT => Self::Kept(Arc::new(extra)),
            _ => Self::NotKept,
        }
    }
}

impl Known {
    pub(super) fn new(secret: &PartialObjectMeta<Secret>) -> Self {
        // A longer one is not ours, cut or whole.
        let annotation = |key: &str| secret.annotations().get(key).map(|text| cut(text));
        let Writers { our_keys, mut foreign, note_edited } = writers(secret.managed_fields());
        let (owner, note, fingerprint) = (annotation(api::OWNER), annotation(api::COPY), annotation(api::FINGERPRINT));
        // Who removed an annotation is recorded nowhere. It counts all the same, so that it is not put back for ever.
        if foreign.is_none() && owner.is_some() && note.is_some() && fingerprint.is_none() {
            foreign = Some(Undo { manager: REMOVER.to_owned(), at: DateTime::UNIX_EPOCH });
        }
        let copy = Copy {
            version: version_of(secret),
            deleting: secret.metadata.deletion_timestamp.is_some(),
            owner,
            note,
            note_edited,
            fingerprint,
            our_keys,
            foreign_writer: foreign,
            foreign: foreign_marks(secret).map(|text| cut(&text)),
            undone: secret.annotations().get(api::UNDONE).map(|text| undone(text)).unwrap_or_default(),
            compared: None,
        };
        let number = secret.resource_version().and_then(|version| version.parse().ok());
        Self { others: Others::of(secret, &copy), copy: Arc::new(copy), number }
    }

    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        // Resource versions of one resource are ordered numbers (KEP-5504); whatever is not, counts as newer.
        match (self.number, other.number) {
            (Some(ours), Some(theirs)) => ours > theirs,
            _ => true,
        }
    }
}

/// Who undid our writes: the last three, as we note them. A field manager's name has 128 characters at most.
fn undone(text: &str) -> Vec<Undo> {
    let mut undone = parse_undone(text);
    undone.retain(|undo| undo.manager.len() <= 128);
    undone.truncate(3);
    undone
}

/// The text, cut to the length of a mark and without the memory that it does not need.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MARK_KEPT)].to_owned()
}

/// Who wrote what on a Secret.
struct Writers {
    /// The keys whose values only we wrote, comma-separated.
    our_keys: String,
    /// The last other writer of a value or of a mark of ours.
    foreign: Option<Undo>,
    /// Somebody else wrote our note.
    note_edited: bool,
}

/// Who wrote the values and our marks. The API server keeps this
/// record itself: whoever changes a field owns it from then on, so an edit shows without reading a single value.
fn writers(managers: &[ManagedFieldsEntry]) -> Writers {
    let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
    let (mut foreign, mut note_edited) = (None::<Undo>, false);
    for entry in managers {
        let (Some(manager), Some(fields)) = (&entry.manager, &entry.fields_v1) else { continue };
        let keys = fields.0.get("f:data").and_then(|data| data.as_object());
        let keys = keys.into_iter().flat_map(|data| data.keys()).filter_map(|key| key.strip_prefix("f:"));
        let annotations = fields.0.pointer("/f:metadata/f:annotations");
        let wrote = |mark: &str| annotations.is_some_and(|all| all.get(format!("f:{mark}")).is_some());
        if is_own_manager(manager) {
            ours.extend(keys.map(str::to_owned));
            continue;
        }
        let before = theirs.len();
        theirs.extend(keys.map(str::to_owned));
        note_edited |= wrote(api::COPY);
        if theirs.len() == before && !wrote(api::COPY) && !wrote(api::FINGERPRINT) {
            continue;
        }
        let Some(at) = entry.time.as_ref().map(from_api) else { continue };
        if foreign.as_ref().is_none_or(|last| (last.at, &last.manager) < (at, manager)) {
            foreign = Some(Undo { manager: manager.clone(), at });
        }
    }
    let alone: Vec<String> = ours.difference(&theirs).cloned().collect();
    Writers { our_keys: alone.join(","), foreign, note_edited }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A Secret of this name with these annotations and a label and an annotation of somebody's.
    fn known(mut annotations: Value, extra: usize) -> Known {
        annotations["example.com/note"] = "x".repeat(extra).into();
        let secret = json!({"metadata": {"name": "copy", "namespace": "a", "uid": "u", "resourceVersion": "1",
            "labels": {"team": "theirs"}, "annotations": annotations}});
        Known::new(&serde_json::from_value(secret).expect("metadata"))
    }

    #[test]
    fn nothing_is_kept_of_what_others_put_into_their_own_secrets_and_little_of_what_they_put_into_ours() {
        assert!(matches!(known(json!({}), 10).others, Others::NotKept), "not ours");
        let ours = json!({(api::OWNER): "home/x", (api::COPY): "tls:0"});
        assert!(matches!(known(ours.clone(), 10).others, Others::Kept(_)));
        assert!(matches!(known(ours, 10_000).others, Others::NotKept), "too much");
        let claims = known(json!({(api::OWNER): "é".repeat(50_000), (api::COPY): "x".repeat(50_000)}), 10);
        assert!(claims.copy.owner.as_ref().is_some_and(|owner| owner.len() <= MARK_KEPT));
        assert!(claims.copy.note.as_ref().is_some_and(|note| note.len() <= MARK_KEPT));
    }
}
