//! Sequences that were thought of.

mod applies;
mod others;
mod secrets;
mod widgets;

use serde_json::{Value, json};

use super::world::Call;

pub const SECRETS: &str = "/api/v1/namespaces/{ns}/secrets";
pub const CONFIG_MAPS: &str = "/api/v1/namespaces/{ns}/configmaps";
pub const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases";
pub const WIDGETS: &str = "/apis/conformance.example.com/v1/namespaces/{ns}/widgets";

pub const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// The custom resource of the sequences.
pub fn definition() -> Value {
    let item = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "value": {"type": "string"}}});
    let rules = json!([
        {"rule": "!has(self.name) || self.size > 1", "message": "a name needs a size above 1"},
        {"rule": "!has(self.map) || self.map.all(k, k.size() < 4)", "reason": "FieldValueForbidden",
         "message": "keys are too long"},
        {"rule": "!has(self.deep) || !has(self.deep.n) || self.deep.n != 13", "fieldPath": ".deep.n"},
    ]);
    let spec = json!({"type": "object", "required": ["size"], "x-kubernetes-validations": rules, "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 9},
        "mode": {"type": "string", "enum": ["A", "B"], "default": "A"},
        "name": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]+$",
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "name stays"},
                {"rule": "!self.startsWith('x') && !self.split('q').exists(p, p == 'y')", "messageExpression": "'no x, no y in ' + self"}]},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "maxItems": 3, "items": {"type": "string"}},
        "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item},
        "plain": {"type": "array", "minItems": 1, "items": {"type": "integer"}},
        "map": {"type": "object", "maxProperties": 9, "additionalProperties": {"type": "string"}},
        "atom": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "deep": {"type": "object", "properties": {"on": {"type": "boolean", "default": true}, "n": {"type": "integer"}}},
        "percent": {"x-kubernetes-int-or-string": true},
        "when": {"type": "string", "format": "date-time"},
        "empty": {"type": "string", "nullable": true},
    }});
    let schema = json!({"type": "object", "required": ["spec"], "properties": {"spec": spec,
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.conformance.example.com"},
        "spec": {"group": "conformance.example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": schema}}]}})
}

/// Where events are looked at, and what is created there to mark their end.
pub fn ends() -> [(&'static str, Value); 3] {
    let metadata = json!({"name": "zz-end", "labels": {"x": "1"}});
    [
        (SECRETS, json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})),
        (CONFIG_MAPS, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})),
        (
            WIDGETS,
            json!({"apiVersion": "conformance.example.com/v1", "kind": "Widget", "metadata": metadata, "spec": {"size": 1}}),
        ),
    ]
}

fn call(method: &'static str, path: String, content_type: &'static str, body: Value) -> Call {
    Call { method, path, content_type, accept: "", body }
}

fn post(collection: &str, body: Value) -> Call {
    call("POST", format!("{collection}?fieldManager=maker"), "application/json", body)
}

fn put(collection: &str, name: &str, body: Value) -> Call {
    call("PUT", format!("{collection}/{name}?fieldManager=putter"), "application/json", body)
}

fn merge(collection: &str, name: &str, body: Value) -> Call {
    call("PATCH", format!("{collection}/{name}?fieldManager=merger"), "application/merge-patch+json", body)
}

fn json_patch(collection: &str, name: &str, body: Value) -> Call {
    call("PATCH", format!("{collection}/{name}?fieldManager=patcher"), "application/json-patch+json", body)
}

fn apply(collection: &str, name: &str, manager: &str, force: bool, body: Value) -> Call {
    let path = format!("{collection}/{name}?fieldManager={manager}&force={force}");
    let mut body = body;
    if body["metadata"]["name"].is_null() {
        body["metadata"]["name"] = name.split('/').next().into();
    }
    call("PATCH", path, "application/apply-patch+yaml", body)
}

fn delete(collection: &str, name: &str, options: Value) -> Call {
    call("DELETE", format!("{collection}/{name}"), "application/json", options)
}

fn get(path: String) -> Call {
    call("GET", path, "", Value::Null)
}

fn secret(name: &str, more: Value) -> Value {
    object("v1", "Secret", name, more)
}

fn widget(name: &str, more: Value) -> Value {
    object("conformance.example.com/v1", "Widget", name, more)
}

fn object(version: &str, kind: &str, name: &str, more: Value) -> Value {
    let mut object = more;
    object["apiVersion"] = version.into();
    object["kind"] = kind.into();
    if !name.is_empty() {
        object["metadata"]["name"] = name.into();
    }
    object
}

/// A request of each verb, for resources with and without a group, with and without a namespace.
pub fn one_of_each() -> Vec<Call> {
    let mut calls = Vec::new();
    for collection in [SECRETS, LEASES, "/api/v1/secrets", "/api/v1/namespaces"] {
        calls.push(get(collection.to_owned()));
        calls.push(get(format!("{collection}?watch=true&fieldSelector=metadata.name%3Da")));
    }
    for (collection, body) in [
        (SECRETS, secret("a", json!({}))),
        (LEASES, object("coordination.k8s.io/v1", "Lease", "a", json!({}))),
        ("/api/v1/namespaces", object("v1", "Namespace", "a", json!({}))),
    ] {
        calls.push(get(format!("{collection}/a")));
        calls.push(post(collection, body.clone()));
        calls.push(put(collection, "a", body.clone()));
        calls.push(merge(collection, "a", body.clone()));
        calls.push(apply(collection, "a", "one", false, body));
        calls.push(delete(collection, "a", Value::Null));
        calls.push(delete(collection, "", Value::Null));
    }
    calls.push(call("POST", "/api/v1/namespaces/{ns}/pods/a/eviction".into(), "application/json", json!({})));
    calls.push(merge("/api/v1/namespaces/{ns}/pods", "a/status", json!({})));
    calls
}

/// All sequences, by name.
pub fn all() -> Vec<(&'static str, Vec<Call>)> {
    vec![
        ("a Secret's life", secrets::life()),
        ("Secret rules", secrets::secret_rules()),
        ("immutable Secrets", secrets::immutable()),
        ("names and labels", secrets::names()),
        ("preconditions", secrets::preconditions()),
        ("finalizers", secrets::finalizers()),
        ("applies and their owners", applies::applies()),
        ("applies of what is no such object", applies::bad_applies()),
        ("applies that meet versions and uids", applies::apply_preconditions()),
        ("applies that give up fields", applies::apply_removals()),
        ("JSON patches", others::json_patches()),
        ("reads", others::reads()),
        ("schemas", widgets::schemas()),
        ("rules", widgets::rules()),
        ("defaults and pruning", widgets::defaults()),
        ("generations and status", widgets::generations()),
        ("owners of custom resources", widgets::widget_owners()),
        ("leases", others::leases()),
        ("paths and methods", others::paths()),
        ("dry runs and strictness", others::dry_runs()),
    ]
}
