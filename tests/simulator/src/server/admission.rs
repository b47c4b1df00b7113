//! Rules of single built-in resources: Secrets above all.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{registry::Resource, rules, status::FieldError};

/// What all values of a Secret or ConfigMap may weigh together.
const MAX_DATA: usize = 1024 * 1024;
const IMMUTABLE: &str = "field is immutable when `immutable` is set";
const KEY_FORM: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  \
    or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// Defaults and conversions that decoding does; what it sets belongs to the writer.
pub(crate) fn default(resource: &Resource, object: &mut Value) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Secret") => {
            fold_string_data(object);
            if object["type"].as_str().unwrap_or_default().is_empty() {
                object["type"] = "Opaque".into();
            }
        }
        ("", "Namespace") => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
        }
        ("", "Service") if object["spec"]["type"].is_null() => object["spec"]["type"] = "ClusterIP".into(),
        ("apiextensions.k8s.io", _) => default_definition(object),
        _ => {}
    }
}

/// What the resource's strategy adds to a new object; nobody owns that.
pub(crate) fn prepare_create(resource: &Resource, object: &mut Value) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Namespace") => {
            object["spec"]["finalizers"] = json!(["kubernetes"]);
            object["status"] = json!({"phase": "Active"});
        }
        ("", "Pod") => object["status"] = json!({"phase": "Pending"}),
        ("", "Service") => object["status"] = json!({"loadBalancer": {}}),
        _ => {}
    }
}

/// `stringData` is a way to write `data`; it is never stored.
fn fold_string_data(secret: &mut Value) {
    let Some(plain) = secret.as_object_mut().and_then(|map| map.remove("stringData")) else { return };
    for (key, value) in plain.as_object().into_iter().flatten() {
        secret["data"][key.as_str()] = STANDARD.encode(value.as_str().unwrap_or_default()).into();
    }
}

fn default_definition(object: &mut Value) {
    let spec = &mut object["spec"];
    let kind = spec["names"]["kind"].as_str().unwrap_or_default().to_owned();
    if spec["names"]["listKind"].is_null() {
        spec["names"]["listKind"] = format!("{kind}List").into();
    }
    if spec["names"]["singular"].is_null() {
        spec["names"]["singular"] = kind.to_lowercase().into();
    }
    if spec["conversion"].is_null() {
        spec["conversion"] = json!({"strategy": "None"});
    }
}

/// What a definition's status says once it is served; here that is at once.
pub(crate) fn established(definition: &mut Value, now: &str) {
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
    let names = definition["spec"]["names"].clone();
    let stored = definition["spec"]["versions"].as_array().into_iter().flatten().filter(|v| v["storage"] == true);
    let stored: Vec<Value> = stored.map(|version| version["name"].clone()).collect();
    if definition["status"]["conditions"].is_null() {
        definition["status"]["conditions"] = json!([
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ]);
    }
    definition["status"]["acceptedNames"] = names;
    definition["status"]["storedVersions"] = stored.into();
}

/// The resource's own rules. `old` is the stored object on an update.
pub(crate) fn validate(resource: &Resource, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Secret") => validate_secret(object, old),
        ("", "ConfigMap") => validate_config_map(object, old),
        ("apiextensions.k8s.io", _) => validate_definition(object),
        _ => Vec::new(),
    }
}

fn size(data: &Value) -> usize {
    let length = |value: &Value| value.as_str().map_or(0, |text| STANDARD.decode(text).map_or(text.len(), |b| b.len()));
    data.as_object().into_iter().flatten().map(|(_, value)| length(value)).sum()
}

fn validate_keys(data: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for key in data.as_object().into_iter().flatten().map(|(key, _)| key) {
        let formed = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if !formed {
            errors.push(FieldError::invalid(format!("{path}[{key}]"), &key.as_str().into(), KEY_FORM));
        }
    }
}

fn validate_immutable(object: &Value, old: &Value, parts: &[&str], errors: &mut Vec<FieldError>) {
    if old["immutable"] != true {
        return;
    }
    if object["immutable"] != true {
        errors.push(FieldError::forbidden("immutable", IMMUTABLE));
    }
    for part in parts.iter().filter(|part| object[**part] != old[**part]) {
        errors.push(FieldError::forbidden(*part, IMMUTABLE));
    }
}

fn validate_secret(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old {
        if object["type"] != old["type"] {
            errors.push(FieldError::invalid("type", &object["type"], "field is immutable"));
        }
        validate_immutable(object, old, &["data"], &mut errors);
    }
    validate_keys(&object["data"], "data", &mut errors);
    if size(&object["data"]) > MAX_DATA {
        errors.push(FieldError::too_long("data", MAX_DATA, "bytes"));
    }
    let required: &[&str] = match object["type"].as_str().unwrap_or_default() {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/basic-auth" if !has_any(&object["data"], &["username", "password"]) => &["username", "password"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        _ => &[],
    };
    for key in required.iter().filter(|key| object["data"].get(**key).is_none()) {
        errors.push(FieldError::required(format!("data[{key}]"), ""));
    }
    let account = "kubernetes.io/service-account.name";
    if object["type"] == "kubernetes.io/service-account-token" && object["metadata"]["annotations"][account].is_null() {
        errors.push(FieldError::required(format!("metadata.annotations[{account}]"), ""));
    }
    errors
}

fn has_any(data: &Value, keys: &[&str]) -> bool {
    keys.iter().any(|key| data.get(*key).is_some())
}

fn validate_config_map(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old {
        validate_immutable(object, old, &["data", "binaryData"], &mut errors);
    }
    validate_keys(&object["data"], "data", &mut errors);
    let plain: usize =
        object["data"].as_object().into_iter().flatten().map(|(_, value)| value.as_str().map_or(0, str::len)).sum();
    if plain + size(&object["binaryData"]) > MAX_DATA {
        errors.push(FieldError::too_long("", MAX_DATA, "bytes"));
    }
    errors
}

fn validate_definition(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &object["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let wanted = format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"]));
    if object["metadata"]["name"] != wanted.as_str() {
        let rule = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", &object["metadata"]["name"], rule));
    }
    let versions = spec["versions"].as_array().cloned().unwrap_or_default();
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let rule = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", &json!(versions.len()), rule));
    }
    for (index, version) in versions.iter().enumerate() {
        if !version["schema"]["openAPIV3Schema"].is_object() {
            let path = format!("spec.versions[{index}].schema.openAPIV3Schema");
            errors.push(FieldError::required(path, "schemas are required"));
        }
        let path = format!("spec.versions[{index}].schema.openAPIV3Schema");
        rules::check_definition(&version["schema"]["openAPIV3Schema"], &path, &mut errors);
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::{super::registry::Registry, *};

    fn complaints(object: Value, old: Option<Value>) -> Vec<String> {
        let secret = Registry::new().find("", "v1", "secrets").unwrap();
        let mut object = object;
        default(&secret, &mut object);
        validate(&secret, &object, old.as_ref()).iter().map(|error| format!("{error:?}")).collect()
    }

    #[test]
    fn a_tls_secret_needs_both_keys_even_if_they_are_empty() {
        let found = complaints(json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}), None);
        assert!(found.len() == 1 && found[0].contains("data[tls.key]"), "{found:?}");
        assert!(
            complaints(json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}), None).is_empty()
        );
    }

    #[test]
    fn string_data_is_folded_into_data_and_wins() {
        let mut object = json!({"data": {"a": "MQ==", "b": "MQ=="}, "stringData": {"a": "2"}});
        fold_string_data(&mut object);
        assert_eq!(object, json!({"data": {"a": "Mg==", "b": "MQ=="}}));
    }

    #[test]
    fn type_never_changes_and_an_immutable_secret_keeps_its_data() {
        let old = json!({"type": "Opaque", "immutable": true, "data": {"a": "MQ=="}});
        assert_eq!(
            complaints(json!({"immutable": true, "data": {"a": "MQ=="}}), Some(old.clone())),
            Vec::<String>::new()
        );
        assert_eq!(complaints(json!({"data": {"a": "Mg=="}}), Some(old.clone())).len(), 2);
        assert!(
            complaints(json!({"type": "x", "immutable": true, "data": {"a": "MQ=="}}), Some(old))[0].contains("type")
        );
    }

    #[test]
    fn a_mebibyte_is_the_limit() {
        let secret = |bytes: usize| json!({"data": {"a": STANDARD.encode(vec![0; bytes])}});
        assert!(complaints(secret(MAX_DATA), None).is_empty());
        assert!(complaints(secret(MAX_DATA + 1), None)[0].contains("Too long"));
    }
}
