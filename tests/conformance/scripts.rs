//! Sequences that were thought of.

use serde_json::{Value, json};

use super::world::Call;

pub const SECRETS: &str = "/api/v1/namespaces/{ns}/secrets";
pub const CONFIG_MAPS: &str = "/api/v1/namespaces/{ns}/configmaps";
pub const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases";
pub const WIDGETS: &str = "/apis/conformance.example.com/v1/namespaces/{ns}/widgets";

const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// The custom resource of the sequences.
pub fn definition() -> Value {
    let item = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "value": {"type": "string"}}});
    let spec = json!({"type": "object", "required": ["size"], "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 9},
        "mode": {"type": "string", "enum": ["A", "B"], "default": "A"},
        "name": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]+$"},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "maxItems": 3, "items": {"type": "string"}},
        "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item},
        "plain": {"type": "array", "minItems": 1, "items": {"type": "integer"}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
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
    let metadata = json!({"name": "zz-end"});
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

/// All sequences, by name.
pub fn all() -> Vec<(&'static str, Vec<Call>)> {
    vec![
        ("a Secret's life", life()),
        ("Secret rules", secret_rules()),
        ("immutable Secrets", immutable()),
        ("names and labels", names()),
        ("preconditions", preconditions()),
        ("finalizers", finalizers()),
        ("applies and their owners", applies()),
        ("applies of what is no such object", bad_applies()),
        ("applies that meet versions and uids", apply_preconditions()),
        ("applies that give up fields", apply_removals()),
        ("JSON patches", json_patches()),
        ("reads", reads()),
        ("schemas", schemas()),
        ("defaults and pruning", defaults()),
        ("generations and status", generations()),
        ("owners of custom resources", widget_owners()),
        ("leases", leases()),
        ("paths and methods", paths()),
        ("dry runs and strictness", dry_runs()),
    ]
}

fn life() -> Vec<Call> {
    vec![
        post(SECRETS, secret("a", json!({"data": {"x": "MQ=="}}))),
        post(SECRETS, secret("a", json!({"data": {"x": "MQ=="}}))),
        get(format!("{SECRETS}/a")),
        put(SECRETS, "a", secret("a", json!({"data": {"x": "Mg=="}, "metadata": {"labels": {"l": "1"}}}))),
        put(SECRETS, "a", secret("a", json!({"data": {"x": "Mg=="}, "metadata": {"labels": {"l": "1"}}}))),
        merge(SECRETS, "a", json!({"data": {"y": "MQ=="}, "metadata": {"annotations": {"n": "1"}}})),
        merge(SECRETS, "a", json!({"data": {"y": null}, "metadata": {"labels": null}})),
        merge(SECRETS, "a", json!({"data": null})),
        delete(SECRETS, "a", Value::Null),
        delete(SECRETS, "a", Value::Null),
        get(format!("{SECRETS}/a")),
        put(SECRETS, "a", secret("a", json!({}))),
        merge(SECRETS, "a", json!({})),
    ]
}

fn secret_rules() -> Vec<Call> {
    vec![
        post(SECRETS, secret("t", json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "MQ=="}}))),
        post(SECRETS, secret("t", json!({"type": "kubernetes.io/tls"}))),
        post(SECRETS, secret("t", json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}))),
        put(SECRETS, "t", secret("t", json!({"data": {"tls.crt": "MQ==", "tls.key": "MQ=="}}))),
        put(SECRETS, "t", secret("t", json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "MQ=="}}))),
        merge(SECRETS, "t", json!({"data": {"tls.key": null}})),
        merge(SECRETS, "t", json!({"type": "Opaque"})),
        merge(SECRETS, "t", json!({"data": {"bad key": "MQ=="}})),
        post(SECRETS, secret("s", json!({"data": {"a": "MQ==", "b": "MQ=="}, "stringData": {"a": "two", "c": "3"}}))),
        merge(SECRETS, "s", json!({"stringData": {"b": "two"}})),
        post(SECRETS, secret("k", json!({"type": "kubernetes.io/ssh-auth", "data": {}}))),
        post(SECRETS, secret("k", json!({"type": "kubernetes.io/service-account-token"}))),
        post(SECRETS, secret("k", json!({"type": "kubernetes.io/basic-auth"}))),
        post(SECRETS, secret("k", json!({"type": "my/type", "data": {"": "MQ=="}}))),
        post(SECRETS, secret("big", json!({"stringData": {"a": "x".repeat(1024 * 1024 + 1)}}))),
    ]
}

fn immutable() -> Vec<Call> {
    vec![
        post(SECRETS, secret("i", json!({"immutable": true, "data": {"x": "MQ=="}}))),
        merge(SECRETS, "i", json!({"data": {"x": "Mg=="}})),
        merge(SECRETS, "i", json!({"immutable": false})),
        merge(SECRETS, "i", json!({"immutable": null, "data": {"x": "Mg=="}})),
        merge(SECRETS, "i", json!({"metadata": {"labels": {"a": "b"}}})),
        delete(SECRETS, "i", Value::Null),
    ]
}

fn names() -> Vec<Call> {
    let body = |metadata: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata});
    vec![
        post(SECRETS, body(json!({}))),
        post(SECRETS, body(json!({"name": "Not-Lower"}))),
        post(SECRETS, body(json!({"name": "a".repeat(254)}))),
        post(SECRETS, body(json!({"name": "a", "namespace": "other"}))),
        post(SECRETS, body(json!({"name": "a", "labels": {"bad key": "x"}}))),
        post(SECRETS, body(json!({"name": "a", "labels": {"good": "bad value"}}))),
        post(
            SECRETS,
            body(json!({"name": "a", "labels": {"example.com/good": "a_b.c-D"}, "annotations": {"X/Y": "z"}})),
        ),
        post(SECRETS, body(json!({"name": "b", "labels": {}, "annotations": {}, "finalizers": []}))),
        put(SECRETS, "a", secret("b", json!({}))),
        put(SECRETS, "a", body(json!({}))),
        post(&SECRETS.replace("{ns}", "no-such-namespace"), secret("a", json!({}))),
        post(SECRETS, object("v1", "ConfigMap", "a", json!({}))),
    ]
}

fn preconditions() -> Vec<Call> {
    let other = "11111111-1111-1111-1111-111111111111";
    vec![
        post(SECRETS, secret("a", json!({"data": {"x": "MQ=="}}))),
        put(SECRETS, "a", secret("a", json!({"metadata": {"resourceVersion": "{rv:a}"}, "data": {"x": "Mg=="}}))),
        put(SECRETS, "a", secret("a", json!({"metadata": {"resourceVersion": "{oldrv:a}"}, "data": {"x": "Mw=="}}))),
        put(SECRETS, "a", secret("a", json!({"metadata": {"uid": other}, "data": {"x": "Mw=="}}))),
        put(SECRETS, "a", secret("a", json!({"metadata": {"uid": "{uid:a}"}, "data": {"x": "Mw=="}}))),
        merge(SECRETS, "a", json!({"metadata": {"resourceVersion": "{oldrv:a}"}, "data": {"x": "MQ=="}})),
        merge(SECRETS, "a", json!({"metadata": {"uid": other}, "data": {"x": "MQ=="}})),
        merge(SECRETS, "a", json!({"metadata": {"name": "b"}})),
        delete(SECRETS, "a", json!({"preconditions": {"uid": other}})),
        delete(SECRETS, "a", json!({"preconditions": {"resourceVersion": "{oldrv:a}"}})),
        delete(SECRETS, "a", json!({"preconditions": {"uid": "{uid:a}", "resourceVersion": "{rv:a}"}})),
        put(SECRETS, "a", secret("a", json!({"metadata": {"resourceVersion": "{rv:a}"}}))),
        put(SECRETS, "a", secret("a", json!({"metadata": {"uid": "{uid:a}"}}))),
    ]
}

fn finalizers() -> Vec<Call> {
    vec![
        post(SECRETS, secret("a", json!({"metadata": {"finalizers": ["example.com/hold"]}}))),
        delete(SECRETS, "a", Value::Null),
        delete(SECRETS, "a", Value::Null),
        merge(SECRETS, "a", json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}})),
        merge(SECRETS, "a", json!({"data": {"x": "MQ=="}})),
        merge(SECRETS, "a", json!({"metadata": {"finalizers": null}})),
        get(format!("{SECRETS}/a")),
        post(WIDGETS, widget("w", json!({"metadata": {"finalizers": ["unqualified"]}, "spec": {"size": 1}}))),
        post(WIDGETS, widget("w", json!({"metadata": {"finalizers": ["example.com/hold"]}, "spec": {"size": 1}}))),
        delete(WIDGETS, "w", Value::Null),
        merge(WIDGETS, "w", json!({"spec": {"size": 2}})),
        put(WIDGETS, "w", widget("w", json!({"metadata": {"resourceVersion": "{rv:w}"}, "spec": {"size": 2}}))),
        get(format!("{WIDGETS}/w")),
    ]
}

fn applies() -> Vec<Call> {
    let data = |x: &str| secret("", json!({"data": {"x": x}}));
    vec![
        apply(SECRETS, "a", "one", false, data("MQ==")),
        apply(SECRETS, "a", "one", false, data("MQ==")),
        apply(SECRETS, "a", "one", false, data("Mg==")),
        apply(SECRETS, "a", "two", false, data("Mg==")),
        apply(SECRETS, "a", "two", false, data("Mw==")),
        apply(SECRETS, "a", "two", true, data("Mw==")),
        apply(SECRETS, "a", "one", false, data("Mg==")),
        put(SECRETS, "a", secret("a", json!({"data": {"x": "NA==", "y": "MQ=="}}))),
        apply(SECRETS, "a", "two", false, data("Mw==")),
        apply(SECRETS, "a", "two", false, secret("", json!({"data": {"x": "Mw==", "y": "Mg=="}}))),
        merge(SECRETS, "a", json!({"metadata": {"managedFields": []}})),
        apply(SECRETS, "a", "two", false, data("MQ==")),
        merge(SECRETS, "a", json!({"metadata": {"managedFields": [{}]}})),
        merge(SECRETS, "a", json!({"data": {"x": "NQ=="}})),
        apply(SECRETS, "a", "two", true, data("MQ==")),
        delete(SECRETS, "a", Value::Null),
        call("PATCH", format!("{SECRETS}/a"), "application/apply-patch+yaml", secret("a", json!({}))),
        call("PATCH", format!("{SECRETS}/a?fieldManager=one"), "application/apply-patch+yaml", data("MQ==")),
        call("PATCH", format!("{SECRETS}/a?fieldManager=one&force=true"), "application/merge-patch+json", data("MQ==")),
        apply(SECRETS, "a", "one", false, secret("b", json!({}))),
        apply(SECRETS, "a", "one", false, secret("a", json!({"metadata": {"managedFields": [{}]}}))),
        apply(
            SECRETS,
            "a",
            "one",
            false,
            secret("a", json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "MQ=="}})),
        ),
    ]
}

fn bad_applies() -> Vec<Call> {
    vec![
        apply(SECRETS, "a", "one", false, secret("", json!({"odd": 1}))),
        apply(SECRETS, "a", "one", false, secret("", json!({"data": {"x": "%"}}))),
        apply(SECRETS, "a", "one", false, secret("", json!({"data": {"x": 1}}))),
        apply(SECRETS, "a", "one", false, json!({"data": {"x": "MQ=="}})),
        apply(SECRETS, "a", "one", false, object("v1", "ConfigMap", "", json!({}))),
        apply(SECRETS, "a", "one", false, object("v2", "Secret", "", json!({}))),
        apply(WIDGETS, "w", "one", false, widget("", json!({"spec": {"size": 1, "odd": 1}}))),
        apply(WIDGETS, "w", "one", false, widget("", json!({"spec": {"size": "1"}}))),
        apply(WIDGETS, "w", "one", false, json!({"spec": {"size": 1}})),
        apply(
            WIDGETS,
            "w",
            "one",
            false,
            object("conformance.example.com/v2", "Widget", "", json!({"spec": {"size": 1}})),
        ),
        apply(WIDGETS, "w", "one", false, widget("", json!({"spec": {"size": 1, "name": null, "empty": null}}))),
        post(SECRETS, secret("x", json!({"data": {"x": "%"}}))),
        post(SECRETS, secret("x", json!({"data": {"x": 1}}))),
        post(SECRETS, secret("x", json!({"data": []}))),
        post(SECRETS, json!({"metadata": {"name": "kindless"}})),
        post(WIDGETS, object("conformance.example.com/v2", "Widget", "w", json!({"spec": {"size": 1}}))),
        post(WIDGETS, object("conformance.example.com/v1", "Gadget", "w", json!({"spec": {"size": 1}}))),
        post(SECRETS, secret("f", json!({"metadata": {"finalizers": ["unqualified"]}}))),
        post(SECRETS, secret("g", json!({"metadata": {"resourceVersion": "1"}}))),
    ]
}

fn apply_preconditions() -> Vec<Call> {
    let with = |metadata: Value| secret("", json!({"metadata": metadata, "data": {"x": "Mg=="}}));
    vec![
        apply(SECRETS, "a", "one", false, secret("", json!({"data": {"x": "MQ=="}}))),
        apply(SECRETS, "a", "one", false, with(json!({"resourceVersion": "{rv:a}"}))),
        apply(SECRETS, "a", "one", true, with(json!({"resourceVersion": "{oldrv:a}"}))),
        apply(SECRETS, "a", "one", true, with(json!({"uid": "11111111-1111-1111-1111-111111111111"}))),
        apply(SECRETS, "a", "one", true, with(json!({"uid": "{uid:a}"}))),
        delete(SECRETS, "a", Value::Null),
        apply(SECRETS, "a", "one", false, with(json!({"uid": "{uid:a}"}))),
        apply(SECRETS, "a", "one", false, with(json!({"resourceVersion": "{oldrv:a}"}))),
        get(format!("{SECRETS}/a")),
    ]
}

fn apply_removals() -> Vec<Call> {
    vec![
        post(SECRETS, secret("a", json!({"data": {"theirs": "MQ==", "shared": "MQ=="}}))),
        apply(
            SECRETS,
            "a",
            "one",
            false,
            secret(
                "",
                json!({"data": {"shared": "MQ==", "own": "MQ=="},
            "metadata": {"labels": {"l": "1"}, "annotations": {"n": "1"}, "finalizers": ["example.com/hold"]}}),
            ),
        ),
        apply(SECRETS, "a", "one", false, secret("", json!({"data": {"own": "MQ=="}}))),
        apply(SECRETS, "a", "one", false, secret("", json!({}))),
        apply(SECRETS, "a", "one", true, secret("", json!({"data": {}}))),
        merge(SECRETS, "a", json!({"metadata": {"labels": {"l": "2"}}})),
        apply(SECRETS, "a", "one", true, secret("", json!({"metadata": {"labels": {"l": "3"}}}))),
        apply(SECRETS, "a", "one", true, secret("", json!({"stringData": {"s": "1"}}))),
        get(format!("{SECRETS}/a")),
    ]
}

fn json_patches() -> Vec<Call> {
    vec![
        post(SECRETS, secret("a", json!({"data": {"x": "MQ==", "y": "MQ=="}}))),
        json_patch(
            SECRETS,
            "a",
            json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "{rv:a}"},
            {"op": "remove", "path": "/data/y"}]),
        ),
        json_patch(
            SECRETS,
            "a",
            json!([{"op": "replace", "path": "/data/x", "value": "Mg=="},
            {"op": "add", "path": "/metadata/labels", "value": {"l": "1"}}]),
        ),
        json_patch(SECRETS, "a", json!([{"op": "add", "path": "/data", "value": {"z": "MQ=="}}])),
        json_patch(SECRETS, "a", json!([])),
        call("PATCH", format!("{WIDGETS}/a"), "application/strategic-merge-patch+json", json!({})),
        call(
            "PATCH",
            format!("{SECRETS}/a?fieldManager=s"),
            "application/strategic-merge-patch+json",
            json!({"data": {"q": "MQ=="}}),
        ),
    ]
}

fn reads() -> Vec<Call> {
    let metadata = |path: String, accept| Call { accept, ..get(path) };
    vec![
        post(SECRETS, secret("a", json!({"metadata": {"labels": {"x": "1"}}}))),
        post(SECRETS, secret("b", json!({"metadata": {"labels": {"x": "2"}}, "type": "my/type"}))),
        post(SECRETS, secret("c", json!({}))),
        get(SECRETS.to_owned()),
        get(format!("{SECRETS}?labelSelector=x")),
        get(format!("{SECRETS}?labelSelector=x%20in%20(1,2),x!%3D2")),
        get(format!("{SECRETS}?labelSelector=!x")),
        get(format!("{SECRETS}?fieldSelector=metadata.name%3Db")),
        get(format!("{SECRETS}?fieldSelector=type%3Dmy/type")),
        get(format!("{SECRETS}?fieldSelector=data.x%3D1")),
        get(format!("{SECRETS}?limit=2")),
        get(format!("{SECRETS}?limit=2&resourceVersion=0")),
        metadata(format!("{SECRETS}/a"), METADATA),
        metadata(SECRETS.to_owned(), METADATA_LIST),
        metadata(format!("{SECRETS}/zz"), METADATA),
        get(format!("{WIDGETS}?fieldSelector=spec.size%3D1")),
        get(WIDGETS.to_owned()),
    ]
}

fn schemas() -> Vec<Call> {
    let bad = |spec: Value| post(WIDGETS, widget("w", json!({ "spec": spec })));
    vec![
        post(WIDGETS, widget("w", json!({}))),
        bad(json!({})),
        bad(json!({"size": "1"})),
        bad(json!({"size": 1.5})),
        bad(json!({"size": 0})),
        bad(json!({"size": 10})),
        bad(json!({"size": 1, "mode": "C"})),
        bad(json!({"size": 1, "name": "a"})),
        bad(json!({"size": 1, "name": "abcdef"})),
        bad(json!({"size": 1, "name": "ABC"})),
        bad(json!({"size": 1, "tags": ["a", "a"]})),
        bad(json!({"size": 1, "tags": ["a", "b", "c", "d"]})),
        bad(json!({"size": 1, "list": [{"name": "a"}, {"name": "a"}]})),
        bad(json!({"size": 1, "list": [{"value": "a"}]})),
        bad(json!({"size": 1, "plain": []})),
        bad(json!({"size": 1, "plain": ["a"]})),
        bad(json!({"size": 1, "map": {"a": 1}})),
        bad(json!({"size": 1, "percent": true})),
        bad(json!({"size": 1, "when": "yesterday"})),
        bad(json!({"size": 1, "mode": null, "empty": null, "name": null})),
        bad(json!({"size": 0, "mode": "C", "name": "A"})),
        bad(json!([])),
        post(WIDGETS, json!({"spec": {"size": 1}})),
    ]
}

fn defaults() -> Vec<Call> {
    vec![
        post(WIDGETS, widget("w", json!({"spec": {"size": 1, "odd": 1, "deep": {"odd": 2}}, "odd": 3}))),
        post(WIDGETS, widget("x", json!({"spec": {"size": 1, "mode": null}, "status": {"any": 1}}))),
        merge(WIDGETS, "w", json!({"spec": {"mode": "B", "odd": 1}})),
        merge(WIDGETS, "w", json!({"spec": {"mode": null, "deep": null}})),
        merge(WIDGETS, "w", json!({"metadata": {"labels": {"l": "1"}, "odd": 1}})),
        merge(WIDGETS, "w", json!({"spec": null})),
    ]
}

fn generations() -> Vec<Call> {
    let status = |content_type, body| call("PATCH", format!("{WIDGETS}/w/status?fieldManager=s"), content_type, body);
    let merge_type = "application/merge-patch+json";
    vec![
        post(WIDGETS, widget("w", json!({"spec": {"size": 1}, "status": {"a": 1}}))),
        status(merge_type, json!({"status": {"a": 2}, "spec": {"size": 2}, "metadata": {"labels": {"l": "1"}}})),
        merge(WIDGETS, "w", json!({"spec": {"size": 2}, "status": {"a": 3}})),
        merge(WIDGETS, "w", json!({"metadata": {"labels": {"l": "1"}}})),
        merge(WIDGETS, "w", json!({"metadata": {"generation": 77}})),
        put(WIDGETS, "w/status", widget("w", json!({"metadata": {"resourceVersion": "{rv:w}"}, "status": {"b": 1}}))),
        put(
            WIDGETS,
            "w/status",
            widget("w", json!({"metadata": {"resourceVersion": "{oldrv:w}"}, "status": {"b": 2}})),
        ),
        put(WIDGETS, "w/status", widget("w", json!({"status": {"b": 2}}))),
        put(
            WIDGETS,
            "w/status",
            widget("w", json!({"metadata": {"resourceVersion": "{rv:w}"}, "spec": {"size": 9}, "status": {"b": 3}})),
        ),
        put(WIDGETS, "w", widget("w", json!({"spec": {"size": 3}}))),
        put(WIDGETS, "w", widget("w", json!({"metadata": {"resourceVersion": "{rv:w}"}, "spec": {"size": 3}}))),
        apply(WIDGETS, "w/status", "status", false, widget("w", json!({"status": {"c": 1}}))),
        apply(WIDGETS, "w/status", "status", true, widget("w", json!({"status": {"b": 9}}))),
        apply(WIDGETS, "zz/status", "status", true, widget("zz", json!({"status": {"b": 9}}))),
        get(format!("{WIDGETS}/w/status")),
        call("POST", format!("{WIDGETS}/w/status"), "application/json", json!({})),
    ]
}

fn widget_owners() -> Vec<Call> {
    let spec = |spec: Value| widget("", json!({ "spec": spec }));
    vec![
        apply(
            WIDGETS,
            "w",
            "one",
            false,
            spec(json!({"size": 1, "list": [{"name": "a", "value": "1"}, {"name": "b"}], "tags": ["x"]})),
        ),
        apply(
            WIDGETS,
            "w",
            "two",
            false,
            spec(json!({"size": 1, "list": [{"name": "c"}, {"name": "a"}], "tags": ["y"]})),
        ),
        apply(WIDGETS, "w", "two", false, spec(json!({"size": 2, "list": [{"name": "a", "value": "2"}]}))),
        apply(WIDGETS, "w", "two", true, spec(json!({"size": 2, "list": [{"name": "a", "value": "2"}]}))),
        apply(
            WIDGETS,
            "w",
            "one",
            true,
            spec(json!({"size": 2, "map": {"k": "1"}, "atom": {"k": "1"}, "plain": [1, 2]})),
        ),
        apply(
            WIDGETS,
            "w",
            "two",
            false,
            spec(json!({"size": 2, "map": {"l": "1"}, "atom": {"l": "1"}, "plain": [1]})),
        ),
        apply(WIDGETS, "w", "two", true, spec(json!({"size": 2, "map": {"l": "1"}, "atom": {"l": "1"}, "plain": [1]}))),
        apply(WIDGETS, "w", "two", true, spec(json!({"size": 2, "deep": {"n": 1}}))),
        apply(WIDGETS, "w", "two", true, spec(json!({"size": 2, "deep": {}}))),
        apply(WIDGETS, "w", "two", true, spec(json!({"size": 2}))),
        merge(WIDGETS, "w", json!({"spec": {"list": [{"name": "z"}], "map": {"k": "2"}}})),
        apply(WIDGETS, "w", "one", false, spec(json!({"size": 2, "map": {"k": "1"}}))),
        apply(WIDGETS, "w", "one", false, spec(json!({"size": 2, "list": [{"value": "no key"}]}))),
    ]
}

fn leases() -> Vec<Call> {
    let lease = |metadata: Value, holder: &str| {
        let spec =
            json!({"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"});
        object("coordination.k8s.io/v1", "Lease", "l", json!({"metadata": metadata, "spec": spec}))
    };
    vec![
        put(LEASES, "l", lease(json!({}), "one")),
        put(LEASES, "l", lease(json!({"resourceVersion": "{rv:l}"}), "two")),
        put(LEASES, "l", lease(json!({"resourceVersion": "{oldrv:l}"}), "three")),
        put(LEASES, "l", lease(json!({}), "three")),
        merge(LEASES, "l", json!({"spec": {"holderIdentity": null}})),
        delete(LEASES, "l", json!({"preconditions": {"resourceVersion": "{rv:l}"}})),
    ]
}

fn paths() -> Vec<Call> {
    vec![
        get("/apis/nowhere.example.com/v1/things".into()),
        get("/apis/conformance.example.com/v1/namespaces/{ns}/gadgets".into()),
        get("/apis/conformance.example.com/v2/namespaces/{ns}/widgets".into()),
        get("/api/v1/namespaces/{ns}/gadgets".into()),
        get(format!("{SECRETS}/a/status")),
        get("/nowhere".into()),
        call("PUT", SECRETS.into(), "application/json", json!({})),
        call("POST", format!("{SECRETS}/a"), "application/json", json!({})),
        call("PATCH", SECRETS.into(), "application/merge-patch+json", json!({})),
        call("PATCH", format!("{SECRETS}/a"), "text/plain", json!({})),
        get("/api/v1/namespaces/no-such-namespace/secrets".into()),
        get("/api/v1/namespaces/no-such-namespace/secrets/a".into()),
        get("/api/v1/namespaces/{ns}".into()),
    ]
}

fn dry_runs() -> Vec<Call> {
    let strict = |collection: &str, body: Value| {
        call("POST", format!("{collection}?fieldManager=m&fieldValidation=Strict"), "application/json", body)
    };
    let dry = |method, path: String, content_type, body| {
        let path = format!("{path}{}dryRun=All&fieldManager=m", if path.contains('?') { '&' } else { '?' });
        call(method, path, content_type, body)
    };
    vec![
        dry("POST", SECRETS.into(), "application/json", secret("a", json!({"data": {"x": "MQ=="}}))),
        get(format!("{SECRETS}/a")),
        post(SECRETS, secret("a", json!({"data": {"x": "MQ=="}}))),
        dry("PATCH", format!("{SECRETS}/a"), "application/merge-patch+json", json!({"type": "other"})),
        dry("DELETE", format!("{SECRETS}/a"), "application/json", Value::Null),
        get(format!("{SECRETS}/a")),
        strict(SECRETS, secret("b", json!({"odd": 1}))),
        strict(WIDGETS, widget("w", json!({"spec": {"size": 1, "odd": 1}}))),
        strict(WIDGETS, widget("w", json!({"spec": {"size": 1}}))),
    ]
}
