//! `metadata.managedFields`: kept on updates, and the merge, the conflicts and the pruning of an apply.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    fields::{FieldSet, Step, shown},
    typed::{compare, field_set, merge, remove},
};
use crate::server::{registry::Resource, status::ApiError};

/// Who writes, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Writer {
    pub(crate) manager: String,
    /// `Apply`; otherwise it is an `Update`.
    pub(crate) apply: bool,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
}

impl Writer {
    /// An apply by the same manager is the same owner in every API version.
    fn same_as(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.apply == other.apply
            && self.subresource == other.subresource
            && (self.apply || self.api_version == other.api_version)
    }
}

#[derive(Clone, Debug)]
struct Owner {
    writer: Writer,
    time: Option<String>,
    set: FieldSet,
}

/// Update entries that one object keeps before the oldest are merged into one.
const MAX_UPDATE_OWNERS: usize = 10;

fn decode(object: &Value) -> Vec<Owner> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let owner = |entry: &Value| Owner {
        writer: Writer {
            manager: text(entry, "manager"),
            apply: entry["operation"] == "Apply",
            api_version: text(entry, "apiVersion"),
            subresource: text(entry, "subresource"),
        },
        time: entry["time"].as_str().map(str::to_owned),
        set: FieldSet::decode(&entry["fieldsV1"]),
    };
    object["metadata"]["managedFields"].as_array().into_iter().flatten().map(owner).collect()
}

fn encode(mut owners: Vec<Owner>) -> Value {
    owners.retain(|owner| !owner.set.is_empty());
    // Applies first, then by time, manager and version.
    owners.sort_by(|a, b| {
        let key = |owner: &Owner| (!owner.writer.apply, owner.time.clone().unwrap_or_default(), owner.writer.clone());
        key(a).cmp(&key(b))
    });
    let entry = |owner: &Owner| {
        let operation = if owner.writer.apply { "Apply" } else { "Update" };
        let mut entry = json!({"manager": owner.writer.manager, "operation": operation,
            "apiVersion": owner.writer.api_version, "fieldsType": "FieldsV1", "fieldsV1": owner.set.encode()});
        if let Some(time) = &owner.time {
            entry["time"] = time.clone().into();
        }
        if !owner.writer.subresource.is_empty() {
            entry["subresource"] = owner.writer.subresource.clone().into();
        }
        entry
    };
    Value::Array(owners.iter().map(entry).collect())
}

/// The object without the metadata that the server writes itself; no one owns that.
/// Neither does a writer own what the strategy resets: the status in a write to the main resource, all else in
/// one to the status.
fn owned_part(resource: &Resource, writer: &Writer, object: &Value) -> Value {
    let mut object = object.clone();
    match writer.subresource.as_str() {
        "" if resource.traits.status => drop(object.as_object_mut().map(|map| map.remove("status"))),
        "status" => {
            object.as_object_mut().map(|map| map.remove("spec"));
            if resource.traits.custom {
                object["metadata"] = json!({});
            }
        }
        _ => {}
    }
    if let Some(map) = object.as_object_mut() {
        map.remove("apiVersion");
        map.remove("kind");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for name in ["name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields"] {
            metadata.remove(name);
        }
        metadata.remove("resourceVersion");
        if metadata.is_empty() {
            object["metadata"] = json!({});
        }
    }
    object
}

/// Parts of built-in resources that are structs in Go: they are always there, so nobody adds them.
fn structs(resource: &Resource) -> &'static [&'static str] {
    match (resource.traits.custom, resource.kind.as_str()) {
        (false, "Pod" | "Service" | "Namespace" | "CustomResourceDefinition") => &["spec", "status"],
        (false, "Lease") => &["spec"],
        (false, "Event") => &["involvedObject", "source"],
        _ => &[],
    }
}

/// What two states are compared by.
fn comparable(resource: &Resource, writer: &Writer, object: &Value) -> Value {
    let mut object = owned_part(resource, writer, object);
    for part in structs(resource) {
        if object.get(*part).is_none() {
            object[*part] = json!({});
        }
    }
    object
}

fn set_owners(object: &mut Value, owners: Vec<Owner>) {
    let list = encode(owners);
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if list.as_array().is_some_and(Vec::is_empty) {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".into(), list);
    }
}

/// Records a create, an update or a patch that is not an apply. `new` bears the managedFields that the client
/// sent, if it sent any; an explicit empty list resets them, as the real server allows.
pub(crate) fn updated(resource: &Resource, old: Option<&Value>, new: &mut Value, writer: &Writer, now: &str) {
    let sent = new["metadata"]["managedFields"].as_array().map(Vec::len);
    let reset = sent == Some(0) || matches!(sent, Some(1) if new["metadata"]["managedFields"][0] == json!({}));
    let stored = old.map(decode).unwrap_or_default();
    if old.is_some() && (reset || stored.is_empty()) {
        // Someone gave tracking up; it starts again with the next apply.
        return set_owners(new, Vec::new());
    }
    let mut owners = match sent {
        // Edited lists are taken as they are, if they can be read; that is what migrations use.
        Some(_) if old.is_some() => decode(new),
        _ => stored,
    };
    let nothing = json!({"metadata": {}});
    let (before, after) = [old.unwrap_or(&nothing), &*new].map(|object| comparable(resource, writer, object)).into();
    let difference = compare(resource.schema.root(), &before, &after);
    let changed = difference.added.union(&difference.modified);
    for owner in &mut owners {
        owner.set = owner.set.difference(&changed).difference(&difference.removed);
    }
    if !changed.is_empty() {
        match owners.iter_mut().find(|owner| owner.writer.same_as(writer)) {
            Some(owner) => {
                owner.set = owner.set.union(&changed);
                owner.time = Some(now.to_owned());
            }
            None => owners.push(Owner { writer: writer.clone(), time: Some(now.to_owned()), set: changed }),
        }
    }
    cap(&mut owners);
    set_owners(new, owners);
}

/// Merges the oldest update entries into one called `ancient-changes`, as the real server does.
fn cap(owners: &mut Vec<Owner>) {
    let updates = owners.iter().filter(|owner| !owner.writer.apply).count();
    let Some(surplus) = updates.checked_sub(MAX_UPDATE_OWNERS).filter(|&surplus| surplus > 0) else { return };
    owners.sort_by_key(|owner| (owner.writer.apply, owner.time.clone()));
    let old: Vec<Owner> = owners.drain(..=surplus).collect();
    let mut ancient: BTreeMap<String, Owner> = BTreeMap::new();
    for mut owner in old {
        owner.writer.manager = "ancient-changes".into();
        owner.writer.subresource.clear();
        let entry = ancient.entry(owner.writer.api_version.clone()).or_insert_with(|| owner.clone());
        entry.set = entry.set.union(&owner.set);
        entry.time = owner.time.max(entry.time.take());
    }
    owners.extend(ancient.into_values());
}

/// Applies `config` to `live` (an empty object where there is none) and returns the result with its owners.
/// Conflicts with other owners are refused unless `force`.
pub(crate) fn applied(
    resource: &Resource,
    live: &Value,
    config: &Value,
    writer: &Writer,
    force: bool,
    now: &str,
) -> Result<Value, ApiError> {
    let schema = resource.schema.root();
    let mut owners = decode(live);
    if owners.is_empty() && live["metadata"]["uid"].is_string() {
        owners.extend(before_first_apply(resource, live, writer));
    }
    let position = owners.iter().position(|owner| owner.writer.same_as(writer));
    let last = position.map(|position| owners.remove(position));

    let mine = owned_part(resource, writer, config);
    let metadata = [Step::Field("metadata".into())];
    let set = field_set(schema, &mine).without(&metadata);
    let merged = merge(schema, live, &strip_ignored(config, &mine));
    let union = owners.iter().fold(with_containers(&set), |all, owner| all.union(&with_containers(&owner.set)));
    let given_up = last.as_ref().map(|owner| with_containers(&owner.set).difference(&union)).unwrap_or_default();
    let mut result = remove(schema, &merged, &|path| given_up.contains(path) && path != metadata);

    let difference = compare(schema, &comparable(resource, writer, live), &comparable(resource, writer, &result));
    let changed = difference.added.union(&difference.modified);
    let conflicts: Vec<(Owner, FieldSet)> = owners
        .iter()
        .map(|owner| (owner.clone(), owner.set.intersection(&changed)))
        .filter(|(_, conflict)| !conflict.is_empty())
        .collect();
    if !force && !conflicts.is_empty() {
        return Err(refusal(&conflicts));
    }
    for owner in &mut owners {
        owner.set = owner.set.difference(&changed).difference(&difference.removed);
    }
    let unchanged = difference.removed.is_empty() && changed.is_empty() && merge(schema, live, config) == *live;
    // An apply that changes nothing but who owns what leaves the time as it was, even if there was none.
    let time = if unchanged { last.and_then(|last| last.time) } else { Some(now.to_owned()) };
    owners.push(Owner { writer: writer.clone(), time, set });
    set_owners(&mut result, owners);
    Ok(result)
}

/// What of the config is merged: all that it owns, and its identity.
fn strip_ignored(config: &Value, mine: &Value) -> Value {
    let mut result = mine.clone();
    for name in ["apiVersion", "kind"] {
        if let Some(value) = config.get(name) {
            result[name] = value.clone();
        }
    }
    for name in ["name", "namespace"] {
        if let Some(value) = config["metadata"].get(name) {
            result["metadata"][name] = value.clone();
        }
    }
    result
}

/// An object that was never tracked belongs, at its first apply, to an owner of that name.
fn before_first_apply(resource: &Resource, live: &Value, writer: &Writer) -> Option<Owner> {
    let nothing = json!({"metadata": {}});
    let set =
        compare(resource.schema.root(), &comparable(resource, writer, &nothing), &comparable(resource, writer, live))
            .added;
    let writer = Writer {
        manager: "before-first-apply".into(),
        apply: false,
        api_version: resource.api_version(),
        subresource: String::new(),
    };
    (!set.is_empty()).then(|| Owner {
        writer,
        time: live["metadata"]["creationTimestamp"].as_str().map(str::to_owned),
        set,
    })
}

/// The set and every container on the way to its members.
fn with_containers(set: &FieldSet) -> FieldSet {
    let mut result = set.clone();
    for path in set.paths() {
        (1..path.len()).for_each(|length| result.insert(&path[..length]));
    }
    result
}

fn refusal(conflicts: &[(Owner, FieldSet)]) -> ApiError {
    let named: Vec<(String, Vec<String>)> = conflicts
        .iter()
        .map(|(owner, set)| (shown_owner(owner), set.paths().iter().map(|path| shown(path)).collect()))
        .collect();
    let causes: Vec<Value> = named
        .iter()
        .flat_map(|(owner, paths)| paths.iter().map(move |path| (owner, path)))
        .map(|(owner, path)| {
            json!({"reason": "FieldManagerConflict", "message": format!("conflict with {owner}"), "field": path})
        })
        .collect();
    let message = match named.as_slice() {
        [(owner, paths)] if paths.len() == 1 => {
            format!("Apply failed with 1 conflict: conflict with {owner}: {}", paths[0])
        }
        _ => {
            let mut sorted = named.clone();
            sorted.sort();
            let part = |(owner, paths): &(String, Vec<String>)| {
                format!(
                    "conflicts with {owner}:\n{}",
                    paths.iter().map(|p| format!("- {p}")).collect::<Vec<_>>().join("\n")
                )
            };
            let parts: Vec<_> = sorted.iter().map(part).collect();
            format!("Apply failed with {} conflicts: {}", causes.len(), parts.join("\n"))
        }
    };
    ApiError::apply_conflict(message, causes)
}

fn shown_owner(owner: &Owner) -> String {
    let mut text = format!("{:?}", owner.writer.manager);
    if !owner.writer.subresource.is_empty() {
        text += &format!(" with subresource {:?}", owner.writer.subresource);
    }
    if !owner.writer.apply {
        text += &format!(" using {}", owner.writer.api_version);
    }
    text
}

#[cfg(test)]
mod tests;
