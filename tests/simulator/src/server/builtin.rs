//! The built-in resources: their names, the real server's strategy for each, and what decoding into its Go
//! types does to an object.

use k8s_openapi::{
    api::{coordination, core::v1, events},
    apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    registry::{Resource, Traits},
    schema::Schema,
    status::ApiError,
};

/// Every built-in resource.
pub(crate) fn resources() -> Vec<Resource> {
    let plain = Traits { unconditional_update: true, ..Traits::default() };
    let with_status = Traits { status: true, ..plain.clone() };
    let lease = Traits { create_on_update: true, ..Traits::default() };
    let event = Traits { create_on_update: true, ..plain.clone() };
    let pod = Traits { generation: true, returns_deleted: true, ..with_status.clone() };
    let service = Traits { returns_deleted: true, ..with_status.clone() };
    let workload = Traits { generation: true, ..with_status.clone() };
    let definition = Traits { status: true, generation: true, ..Traits::default() };
    vec![
        resource("", "v1", "Secret", "secrets", true, plain.clone(), secret()),
        resource("", "v1", "ConfigMap", "configmaps", true, plain.clone(), config_map()),
        resource("", "v1", "ServiceAccount", "serviceaccounts", true, plain, any()),
        resource("", "v1", "Namespace", "namespaces", false, with_status, any()),
        resource("", "v1", "Pod", "pods", true, pod, pod_types()),
        resource("", "v1", "Service", "services", true, service, service_types()),
        resource("", "v1", "Event", "events", true, event.clone(), any()),
        resource("events.k8s.io", "v1", "Event", "events", true, event, any()),
        resource("coordination.k8s.io", "v1", "Lease", "leases", true, lease, any()),
        resource("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true, workload.clone(), any()),
        resource("apps", "v1", "Deployment", "deployments", true, workload.clone(), any()),
        resource("apps", "v1", "StatefulSet", "statefulsets", true, workload.clone(), any()),
        resource("apps", "v1", "DaemonSet", "daemonsets", true, workload, any()),
        resource(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            false,
            definition,
            any(),
        ),
    ]
}

fn resource(
    group: &str,
    version: &str,
    kind: &str,
    plural: &str,
    namespaced: bool,
    traits: Traits,
    types: Value,
) -> Resource {
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        namespaced,
        traits,
        schema: Schema::typed(types),
    }
}

fn any() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn strings() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

fn secret() -> Value {
    json!({"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "type": {"type": "string"},
        "immutable": {"type": "boolean"}, "data": strings(), "stringData": strings(),
    }})
}

fn config_map() -> Value {
    json!({"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"},
        "immutable": {"type": "boolean"}, "data": strings(), "binaryData": strings(),
    }})
}

fn list_by(keys: &[&str]) -> Value {
    json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys,
        "items": {"type": "object"}})
}

fn pod_types() -> Value {
    open(json!({"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"},
        "spec": {"type": "object", "properties": {
            "containers": list_by(&["name"]), "initContainers": list_by(&["name"]), "volumes": list_by(&["name"]),
        }},
        "status": {"type": "object", "properties": {"conditions": list_by(&["type"]), "podIPs": list_by(&["ip"])}},
    }}))
}

/// These types are not complete: what they do not name is taken as it is.
fn open(mut types: Value) -> Value {
    types["x-kubernetes-preserve-unknown-fields"] = true.into();
    for part in types["properties"].as_object_mut().into_iter().flatten().map(|(_, part)| part) {
        if part["type"] == "object" {
            part["x-kubernetes-preserve-unknown-fields"] = true.into();
        }
    }
    types
}

fn service_types() -> Value {
    open(json!({"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"},
        "spec": {"type": "object", "properties": {
            "ports": list_by(&["port", "protocol"]),
            "selector": {"type": "object", "x-kubernetes-map-type": "atomic"},
        }},
        "status": {"type": "object", "properties": {"conditions": list_by(&["type"])}},
    }}))
}

/// Decodes an object into the resource's type and back, as the real server does: fields that the type does not
/// have are dropped, values of a wrong type are refused, empty maps and lists of metadata and data vanish.
pub(crate) fn decode(resource: &Resource, object: Value) -> Result<Value, ApiError> {
    let typed = match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Secret") => through::<v1::Secret>(object),
        ("", "ConfigMap") => through::<v1::ConfigMap>(object),
        ("", "ServiceAccount") => through::<v1::ServiceAccount>(object),
        ("", "Namespace") => through::<v1::Namespace>(object),
        ("", "Pod") => through::<v1::Pod>(object),
        ("", "Service") => through::<v1::Service>(object),
        ("", "Event") => through::<v1::Event>(object),
        ("events.k8s.io", _) => through::<events::v1::Event>(object),
        ("coordination.k8s.io", _) => through::<coordination::v1::Lease>(object),
        ("apiextensions.k8s.io", _) => through::<apiextensions::CustomResourceDefinition>(object),
        _ => Ok(object),
    };
    let mut typed = typed.map_err(|error| {
        let (kind, version) = (&resource.kind, &resource.version);
        let error = in_words_of_go(&error.to_string());
        ApiError::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {error}"))
    })?;
    for part in ["/metadata", ""] {
        if let Some(map) = typed.pointer_mut(part).and_then(Value::as_object_mut) {
            drop_empty(map);
        }
    }
    Ok(typed)
}

/// The decoder's complaint about base64, which clients may look for; others are left in our own words.
fn in_words_of_go(error: &str) -> String {
    let offset = error.split_once("Invalid symbol").and_then(|(_, rest)| rest.split_once("offset "));
    match offset {
        Some((_, rest)) => format!("illegal base64 data at input byte {}", rest.trim_end_matches('.')),
        None => error.to_owned(),
    }
}

/// Go's `omitempty` for the maps and lists that callers look at.
fn drop_empty(map: &mut Map<String, Value>) {
    const PARTS: [&str; 8] =
        ["labels", "annotations", "finalizers", "ownerReferences", "data", "stringData", "binaryData", "generateName"];
    map.retain(|name, value| {
        let empty = match value {
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::String(text) => text.is_empty(),
            _ => false,
        };
        !(empty && PARTS.contains(&name.as_str()))
    });
}

fn through<T: DeserializeOwned + Serialize>(mut object: Value) -> Result<Value, serde_json::Error> {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|_, value| !value.is_null());
    }
    // `null` in a map of strings or bytes is an empty value for the Go decoder.
    for part in ["data", "stringData"] {
        for value in object.get_mut(part).and_then(Value::as_object_mut).into_iter().flatten().map(|(_, value)| value) {
            if value.is_null() {
                *value = "".into();
            }
        }
    }
    serde_json::to_value(serde_json::from_value::<T>(object)?)
}

/// Names of fields that the decoder did not know, for `fieldValidation=Strict`.
pub(crate) fn unknown_fields(sent: &Value, decoded: &Value, path: &str, unknown: &mut Vec<String>) {
    match (sent, decoded) {
        (Value::Object(sent), Value::Object(decoded)) => {
            for (name, value) in sent {
                let empty = value.is_null()
                    || value.as_object().is_some_and(Map::is_empty)
                    || value.as_array().is_some_and(Vec::is_empty)
                    || value.as_str().is_some_and(str::is_empty);
                let path = super::schema::join(path, name);
                match decoded.get(name) {
                    None if !empty => unknown.push(path),
                    Some(inner) => unknown_fields(value, inner, &path, unknown),
                    None => {}
                }
            }
        }
        (Value::Array(sent), Value::Array(decoded)) => {
            for (index, (sent, decoded)) in sent.iter().zip(decoded).enumerate() {
                unknown_fields(sent, decoded, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Fields beside name and namespace that a resource can be selected by.
pub(crate) fn selectable(resource: &Resource) -> &'static [&'static str] {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Secret") => &["type"],
        ("", "Namespace") => &["status.phase"],
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::{super::registry::Registry, *};

    #[test]
    fn decoding_drops_unknown_fields_and_empty_maps_and_refuses_bad_base64() {
        let registry = Registry::new();
        let secret = registry.find("", "v1", "secrets").expect("secrets are built in");
        let sent = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "labels": {}},
            "odd": 1, "data": {"x": "YQ=="}});
        let decoded = decode(&secret, sent.clone()).unwrap();
        let wanted = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"x": "YQ=="}});
        assert_eq!(decoded, wanted);
        let mut unknown = Vec::new();
        unknown_fields(&sent, &decoded, "", &mut unknown);
        assert_eq!(unknown, ["odd"]);
        let refused = decode(&secret, json!({"metadata": {"name": "a"}, "data": {"x": "%"}})).unwrap_err();
        assert_eq!(refused.code, 400);
        assert!(refused.message.starts_with("Secret in version \"v1\" cannot be handled as a Secret: "));
    }
}
