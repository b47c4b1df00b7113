//! Values with types: which fields a value has, how two values differ, and how one is merged into another.
//! The rules are those of sigs.k8s.io/structured-merge-diff: maps are granular unless declared atomic, lists
//! are atomic unless declared sets or maps.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fields::{FieldSet, Step};
use crate::server::{
    schema::{field, items},
    validation::map_keys,
};

/// How a value is taken apart.
enum Shape<'a> {
    /// As a whole.
    Leaf,
    Map(&'a Map<String, Value>),
    /// Item by item.
    List(&'a [Value]),
}

fn shape<'a>(schema: Option<&Value>, value: &'a Value) -> Shape<'a> {
    let tag = |name: &str| schema.and_then(|schema| schema[name].as_str());
    match value {
        Value::Object(map) if tag("x-kubernetes-map-type") != Some("atomic") => Shape::Map(map),
        Value::Array(list) if matches!(tag("x-kubernetes-list-type"), Some("set" | "map")) => Shape::List(list),
        _ => Shape::Leaf,
    }
}

/// What names an item in its list.
pub(super) fn step(schema: Option<&Value>, item: &Value) -> Step {
    let keys = schema.map(map_keys).unwrap_or_default();
    if keys.is_empty() || !item.is_object() {
        return Step::Value(item.to_string());
    }
    let child = items(schema);
    let value = |key: &str| match &item[key] {
        // A key that is left out counts with its default.
        Value::Null => field(child, key).0.and_then(|schema| schema.get("default")).cloned().unwrap_or_default(),
        found => found.clone(),
    };
    let present = keys.into_iter().map(|key| (key.to_owned(), value(key))).filter(|(_, value)| !value.is_null());
    Step::Key(present.map(|(key, value)| (key, value.to_string())).collect())
}

/// The fields that a value has, as an apply owns them: leaves, items, and empty maps.
pub(crate) fn field_set(schema: Option<&Value>, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    collect(schema, value, &mut Vec::new(), &mut set);
    set
}

fn collect(schema: Option<&Value>, value: &Value, path: &mut Vec<Step>, set: &mut FieldSet) {
    match shape(schema, value) {
        Shape::Leaf => set.insert(path),
        Shape::Map(map) => {
            for (name, value) in map {
                let (child, named) = field(schema, name);
                path.push(Step::Field(name.clone()));
                collect(child, value, path, set);
                if !named || value.is_null() || value.as_object().is_some_and(Map::is_empty) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Shape::List(list) => {
            for item in list {
                path.push(step(schema, item));
                collect(items(schema), item, path, set);
                set.insert(path);
                path.pop();
            }
        }
    }
}

/// How one value differs from another.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Difference {
    pub(crate) added: FieldSet,
    pub(crate) modified: FieldSet,
    pub(crate) removed: FieldSet,
}

/// Compares an old with a new value.
pub(crate) fn compare(schema: Option<&Value>, old: &Value, new: &Value) -> Difference {
    let mut difference = Difference::default();
    walk(schema, Some(old), Some(new), &mut Vec::new(), &mut difference);
    difference
}

fn walk(
    schema: Option<&Value>,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<Step>,
    difference: &mut Difference,
) {
    let children = children(schema, old, new);
    if let Some(children) = children {
        for (step, child, old, new) in children {
            path.push(step);
            walk(child, old, new, path, difference);
            path.pop();
        }
    } else if let (Some(old), Some(new)) = (old, new)
        && old != new
    {
        difference.modified.insert(path);
    }
    match (old, new) {
        (None, Some(_)) => difference.added.insert(path),
        (Some(_), None) => difference.removed.insert(path),
        _ => {}
    }
}

type Child<'a> = (Step, Option<&'a Value>, Option<&'a Value>, Option<&'a Value>);

/// The parts of two values, paired; nothing where they are compared as wholes.
fn children<'a>(schema: Option<&'a Value>, old: Option<&'a Value>, new: Option<&'a Value>) -> Option<Vec<Child<'a>>> {
    // Null beside a container counts as an empty one.
    let sides = [old, new].map(|side| side.filter(|side| !side.is_null()).map(|side| shape(schema, side)));
    let empty = |side: &Option<Shape<'_>>| match side {
        None => true,
        Some(Shape::Map(map)) => map.is_empty(),
        Some(Shape::List(list)) => list.is_empty(),
        Some(Shape::Leaf) => false,
    };
    if sides.iter().all(empty) || sides.iter().flatten().any(|side| matches!(side, Shape::Leaf)) {
        return None;
    }
    if sides.iter().flatten().any(|side| matches!(side, Shape::Map(_))) {
        let maps = [old, new].map(|side| side.and_then(Value::as_object));
        let names: BTreeSet<&String> = maps.iter().flatten().flat_map(|map| map.keys()).collect();
        let child = |name: &'a String| {
            let [old, new] = maps.map(|map| map.and_then(|map| map.get(name)));
            (Step::Field(name.clone()), field(schema, name).0, old, new)
        };
        return Some(names.into_iter().map(child).collect());
    }
    let lists = [old, new].map(|side| index(schema, side));
    let steps: BTreeSet<&Step> = lists.iter().flat_map(BTreeMap::keys).collect();
    let child = |step: &Step| (step.clone(), items(schema), lists[0].get(step).copied(), lists[1].get(step).copied());
    Some(steps.into_iter().map(child).collect())
}

fn index<'a>(schema: Option<&Value>, list: Option<&'a Value>) -> BTreeMap<Step, &'a Value> {
    list.and_then(Value::as_array).into_iter().flatten().map(|item| (step(schema, item), item)).collect()
}

/// Merges `new` into `old`: leaves of `new` win, nothing is removed.
pub(crate) fn merge(schema: Option<&Value>, old: &Value, new: &Value) -> Value {
    match (shape(schema, old), shape(schema, new)) {
        (Shape::Map(old), Shape::Map(new)) => {
            let mut result = old.clone();
            for (name, value) in new {
                let merged = match old.get(name) {
                    Some(old) => merge(field(schema, name).0, old, value),
                    None => value.clone(),
                };
                result.insert(name.clone(), merged);
            }
            Value::Object(result)
        }
        (Shape::List(old), Shape::List(new)) => Value::Array(merge_list(schema, old, new)),
        _ => new.clone(),
    }
}

/// Keeps the order of `new` and, around it, that of `old`.
fn merge_list(schema: Option<&Value>, old: &[Value], new: &[Value]) -> Vec<Value> {
    let keyed = |list: &[Value]| list.iter().map(|item| step(schema, item)).collect::<Vec<_>>();
    let (old_steps, new_steps) = (keyed(old), keyed(new));
    let find = |steps: &[Step], wanted: &Step| steps.iter().position(|step| step == wanted);
    let mut shared = new_steps.iter().filter(|step| old_steps.contains(step));
    let mut next_shared = shared.next();
    let mut merged = BTreeSet::new();
    let mut result = Vec::new();
    let (mut left, mut right) = (0, 0);
    while left < old.len() || right < new.len() {
        if let (Some(theirs), Some(ours)) = (old_steps.get(left), new_steps.get(right)) {
            if theirs == ours {
                result.push(merge(items(schema), &old[left], &new[right]));
                merged.insert(theirs);
                (left, right, next_shared) = (left + 1, right + 1, shared.next());
                continue;
            }
            if new_steps.contains(theirs) && next_shared.is_some_and(|next| next != theirs) {
                left += 1;
                continue;
            }
        }
        if let Some(theirs) = old_steps.get(left) {
            if !new_steps.contains(theirs) {
                result.push(old[left].clone());
                left += 1;
                continue;
            }
            if merged.contains(theirs) {
                left += 1;
            }
        }
        if let Some(ours) = new_steps.get(right) {
            let item = match find(&old_steps, ours) {
                Some(position) => merge(items(schema), &old[position], &new[right]),
                None => new[right].clone(),
            };
            result.push(item);
            merged.insert(ours);
            right += 1;
            if next_shared == Some(ours) {
                next_shared = shared.next();
            }
        }
    }
    result
}

/// Removes what `doomed` says, with all that is below it. It is asked with the path of each field.
pub(crate) fn remove(schema: Option<&Value>, value: &Value, doomed: &dyn Fn(&[Step]) -> bool) -> Value {
    strip(schema, value, &mut Vec::new(), doomed)
}

fn strip(schema: Option<&Value>, value: &Value, path: &mut Vec<Step>, doomed: &dyn Fn(&[Step]) -> bool) -> Value {
    let mut keep = |step: Step, child: Option<&Value>, value: &Value| {
        path.push(step);
        let kept = (!doomed(path)).then(|| strip(child, value, path, doomed));
        path.pop();
        kept
    };
    let (before, stripped) = match shape(schema, value) {
        Shape::Leaf => return value.clone(),
        Shape::Map(map) => {
            let kept = map.iter().filter_map(|(name, value)| {
                Some((name.clone(), keep(Step::Field(name.clone()), field(schema, name).0, value)?))
            });
            (map.len(), Value::Object(kept.collect()))
        }
        Shape::List(list) => {
            let kept = list.iter().filter_map(|item| keep(step(schema, item), items(schema), item));
            (list.len(), Value::Array(kept.collect()))
        }
    };
    // A container that lost everything but is not lost itself becomes null. For a custom resource that is an error
    // where the field is not nullable: an apply that gives up the last item of somebody else's list is refused.
    let after = stripped.as_object().map(Map::len).or(stripped.as_array().map(Vec::len));
    if before > 0 && after == Some(0) { Value::Null } else { stripped }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ports() -> Value {
        json!({"type": "object", "properties": {"ports": {"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port"], "items": {"type": "object"}},
            "tags": {"type": "array", "x-kubernetes-list-type": "set"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "list": {"type": "array"}}})
    }

    #[test]
    fn an_apply_owns_leaves_and_items_but_not_the_containers_that_the_schema_names() {
        let value = json!({"labels": {"a": "1"}, "list": [1, 2], "ports": [{"port": 1, "x": 2}], "tags": ["t"]});
        let wanted = json!({"f:labels": {"f:a": {}}, "f:list": {}, "f:tags": {"v:\"t\"": {}},
            "f:ports": {"k:{\"port\":1}": {".": {}, "f:port": {}, "f:x": {}}}});
        assert_eq!(field_set(Some(&ports()), &value).encode(), wanted);
    }

    #[test]
    fn a_new_container_counts_as_added_along_with_what_is_in_it() {
        let difference = compare(Some(&ports()), &json!({"list": [1]}), &json!({"labels": {"a": "1"}, "list": [2]}));
        assert_eq!(difference.added.encode(), json!({"f:labels": {".": {}, "f:a": {}}}));
        assert_eq!(difference.modified.encode(), json!({"f:list": {}}));
        let back = compare(Some(&ports()), &json!({"labels": {"a": "1"}}), &json!({}));
        assert_eq!(back.removed.encode(), json!({"f:labels": {".": {}, "f:a": {}}}));
        assert_eq!(compare(Some(&ports()), &json!({}), &json!({})), Difference::default());
    }

    #[test]
    fn a_merge_keeps_the_items_of_both_sides_in_the_order_of_the_new_one() {
        let old = json!({"ports": [{"port": 1, "x": 1}, {"port": 2}, {"port": 3}], "list": [1]});
        let new = json!({"ports": [{"port": 3}, {"port": 1, "y": 1}, {"port": 4}], "list": [2]});
        let merged = merge(Some(&ports()), &old, &new);
        let order: Vec<_> = merged["ports"].as_array().unwrap().iter().map(|p| p["port"].clone()).collect();
        assert_eq!(order, [2, 3, 1, 4]);
        assert_eq!(merged["ports"][2], json!({"port": 1, "x": 1, "y": 1}));
        assert_eq!(merged["list"], json!([2]));
    }
}
