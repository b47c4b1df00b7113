//! What Secrets go through.

use serde_json::{Value, json};

use super::*;

pub fn life() -> Vec<Call> {
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

pub fn secret_rules() -> Vec<Call> {
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

pub fn immutable() -> Vec<Call> {
    vec![
        post(SECRETS, secret("i", json!({"immutable": true, "data": {"x": "MQ=="}}))),
        merge(SECRETS, "i", json!({"data": {"x": "Mg=="}})),
        merge(SECRETS, "i", json!({"immutable": false})),
        merge(SECRETS, "i", json!({"immutable": null, "data": {"x": "Mg=="}})),
        merge(SECRETS, "i", json!({"metadata": {"labels": {"a": "b"}}})),
        delete(SECRETS, "i", Value::Null),
    ]
}

pub fn names() -> Vec<Call> {
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

pub fn preconditions() -> Vec<Call> {
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

pub fn finalizers() -> Vec<Call> {
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
