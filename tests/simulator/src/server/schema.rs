//! Structural schemas: pruning, defaulting and validation of custom resources, and the field types that
//! server-side apply reads.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    rules,
    status::{FieldError, kind_of},
    validation,
};

/// The schema of one resource version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema(Option<Arc<Value>>);

impl Schema {
    /// Types of a built-in resource, as far as apply needs them.
    pub(crate) fn typed(mut root: Value) -> Self {
        root["properties"]["metadata"] = object_meta();
        Self(Some(Arc::new(root)))
    }

    /// What a CustomResourceDefinition's version declares.
    pub(crate) fn custom(declared: &Value) -> Self {
        let mut root = if declared.is_object() {
            declared.clone()
        } else {
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
        };
        root["properties"]["apiVersion"] = json!({"type": "string"});
        root["properties"]["kind"] = json!({"type": "string"});
        root["properties"]["metadata"] = object_meta();
        Self(Some(Arc::new(root)))
    }

    /// The root, or nothing where types are deduced from values.
    pub(crate) fn root(&self) -> Option<&Value> {
        self.0.as_deref()
    }

    /// Removes fields that the schema does not name; returns their paths.
    pub(crate) fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut dropped = Vec::new();
        if let Some(root) = self.root() {
            prune(root, object, "", &mut dropped);
        }
        dropped
    }

    /// Removes nulls of fields that are not nullable, as decoding does.
    pub(crate) fn drop_nulls(&self, object: &mut Value) {
        if let Some(root) = self.root() {
            drop_nulls(root, object);
        }
    }

    /// Fills in defaults.
    pub(crate) fn default(&self, object: &mut Value) {
        if let Some(root) = self.root() {
            default(root, object);
        }
    }

    /// Checks everything but metadata, which has its own rules. `old` is the stored object on an update.
    pub(crate) fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let Some(root) = self.root() else { return errors };
        let mut bare = root.clone();
        if let Some(properties) = bare["properties"].as_object_mut() {
            properties.remove("metadata");
        }
        validation::check(&bare, object, old, "", &mut errors);
        if rules::any(root) {
            if errors.iter().any(FieldError::blocks_rules) {
                let detail = "some validation rules were not checked because the object was invalid; correct the \
                              existing errors to complete validation";
                errors.push(FieldError::invalid("<nil>", &Value::Null, detail));
            } else {
                rules::check(root, object, old, "", &mut errors);
            }
        }
        errors
    }
}

fn preserves(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}

/// The schema of a field of an object, and whether the schema names that field.
pub(crate) fn field<'a>(schema: Option<&'a Value>, name: &str) -> (Option<&'a Value>, bool) {
    let Some(schema) = schema else { return (None, false) };
    if let Some(named) = schema["properties"].get(name) {
        return (Some(named), true);
    }
    (schema.get("additionalProperties").filter(|more| more.is_object()), false)
}

/// The schema of a list's items.
pub(crate) fn items(schema: Option<&Value>) -> Option<&Value> {
    schema.and_then(|schema| schema.get("items"))
}

pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn prune(schema: &Value, value: &mut Value, path: &str, dropped: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let embedded = schema["x-kubernetes-embedded-resource"] == true;
            let unknown = |name: &str| {
                let meta = embedded && ["apiVersion", "kind", "metadata"].contains(&name);
                field(Some(schema), name).0.is_none() && schema["additionalProperties"] != true && !meta
            };
            let names: Vec<String> = map.keys().cloned().collect();
            for name in names {
                if unknown(&name) {
                    if !preserves(schema) {
                        map.remove(&name);
                        dropped.push(join(path, &name));
                    }
                } else if let (Some(child), Some(value)) = (field(Some(schema), &name).0, map.get_mut(&name)) {
                    prune(child, value, &join(path, &name), dropped);
                }
            }
        }
        Value::Array(list) => {
            if let Some(child) = items(Some(schema)) {
                for (index, value) in list.iter_mut().enumerate() {
                    prune(child, value, &format!("{path}[{index}]"), dropped);
                }
            }
        }
        _ => {}
    }
}

fn drop_nulls(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| {
                let child = field(Some(schema), name).0;
                // A null with a default makes way for it later.
                !value.is_null()
                    || child.is_none_or(|child| child["nullable"] == true || child.get("default").is_some())
            });
            for (name, value) in map {
                if let Some(child) = field(Some(schema), name).0 {
                    drop_nulls(child, value);
                }
            }
        }
        Value::Array(list) => {
            if let Some(child) = items(Some(schema)) {
                list.iter_mut().for_each(|value| drop_nulls(child, value));
            }
        }
        _ => {}
    }
}

fn default(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, child) in schema["properties"].as_object().into_iter().flatten() {
                let nothing = map.get(name).is_none_or(|found| found.is_null() && child["nullable"] != true);
                if nothing && let Some(wanted) = child.get("default") {
                    map.insert(name.clone(), wanted.clone());
                }
                if let Some(value) = map.get_mut(name) {
                    default(child, value);
                }
            }
            if let Some(more) = schema.get("additionalProperties").filter(|more| more.is_object()) {
                let named = |name: &String| schema["properties"].get(name).is_some();
                map.iter_mut().filter(|(name, _)| !named(name)).for_each(|(_, value)| default(more, value));
            }
        }
        Value::Array(list) => {
            if let Some(child) = items(Some(schema)) {
                list.iter_mut().for_each(|value| default(child, value));
            }
        }
        _ => {}
    }
}

/// Whether a value is of the type that the schema asks for.
pub(crate) fn type_fits(schema: &Value, value: &Value) -> bool {
    if value.is_null() {
        return schema["nullable"] == true || schema.get("type").is_none();
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return value.is_string() || value.is_i64() || value.is_u64();
    }
    match schema["type"].as_str() {
        None | Some("") => true,
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        Some(name) => kind_of(value) == name,
    }
}

/// `ObjectMeta` with the list and map types that apply merges by.
pub(crate) fn object_meta() -> Value {
    let text = json!({"type": "string"});
    let map = json!({"type": "object", "additionalProperties": text});
    let owner = json!({"type": "object", "x-kubernetes-map-type": "atomic", "properties": {
        "apiVersion": text, "kind": text, "name": text, "uid": text,
        "controller": {"type": "boolean"}, "blockOwnerDeletion": {"type": "boolean"},
    }});
    json!({"type": "object", "properties": {
        "name": text, "generateName": text, "namespace": text, "uid": text, "selfLink": text,
        "resourceVersion": text, "generation": {"type": "integer"}, "creationTimestamp": text,
        "deletionTimestamp": text, "deletionGracePeriodSeconds": {"type": "integer"},
        "labels": map, "annotations": map,
        "finalizers": {"type": "array", "items": text, "x-kubernetes-list-type": "set"},
        "ownerReferences": {"type": "array", "items": owner,
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"]},
        "managedFields": {"type": "array", "items":
            {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        Schema::custom(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "default": {}, "properties": {
                "mode": {"type": "string", "default": "Auto"},
                "deep": {"type": "object", "properties": {"n": {"type": "integer", "default": 3}}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            }},
        }}))
    }

    #[test]
    fn unknown_fields_are_pruned_and_named() {
        let mut object = json!({"kind": "X", "metadata": {"name": "a", "odd": 1},
            "spec": {"mode": "M", "moed": "M", "free": {"x": {"y": 1}}}, "other": 1});
        let dropped = schema().prune(&mut object);
        assert_eq!(dropped, ["metadata.odd", "other", "spec.moed"]);
        let pruned = json!({"kind": "X", "metadata": {"name": "a"}, "spec": {"mode": "M", "free": {"x": {"y": 1}}}});
        assert_eq!(object, pruned);
    }

    #[test]
    fn defaults_reach_into_objects_that_are_there_but_create_none() {
        let mut object = json!({"kind": "X"});
        schema().default(&mut object);
        assert_eq!(object["spec"], json!({"mode": "Auto"}));
        let mut object = json!({"spec": {"deep": {}, "mode": null}});
        schema().default(&mut object);
        assert_eq!(object["spec"], json!({"mode": "Auto", "deep": {"n": 3}}));
    }
}
