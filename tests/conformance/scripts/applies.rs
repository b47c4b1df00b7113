//! Server-side apply.

use serde_json::{Value, json};

use super::*;

pub fn applies() -> Vec<Call> {
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

pub fn bad_applies() -> Vec<Call> {
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

pub fn apply_preconditions() -> Vec<Call> {
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

pub fn apply_removals() -> Vec<Call> {
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
