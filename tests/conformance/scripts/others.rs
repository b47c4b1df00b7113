//! Patches, reads, Leases, paths, dry runs.

use serde_json::{Value, json};

use super::*;

pub fn json_patches() -> Vec<Call> {
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

pub fn reads() -> Vec<Call> {
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

pub fn leases() -> Vec<Call> {
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

pub fn paths() -> Vec<Call> {
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

pub fn dry_runs() -> Vec<Call> {
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
