//! Metadata: its rules, what the server fills in, and the generation.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::{registry::Resource, status::FieldError, store::Store};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
    '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
    used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const LABEL_NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
    with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
/// Bytes that all annotations may have together.
const ANNOTATIONS: usize = 256 * 1024;

static SUBDOMAIN_FORM: LazyLock<Regex> =
    LazyLock::new(|| regex("^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"));
static LABEL_FORM: LazyLock<Regex> = LazyLock::new(|| regex("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"));
static VALUE_FORM: LazyLock<Regex> = LazyLock::new(|| regex("^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"));
static NAME_FORM: LazyLock<Regex> = LazyLock::new(|| regex("^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of our own compiles")
}

/// The metadata of an object, which is created where it is missing.
pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"].as_object_mut().expect("made an object above")
}

pub(crate) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"][name].as_str().unwrap_or_default()
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

pub(crate) fn has_finalizers(object: &Value) -> bool {
    let own = object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
    // A namespace's own finalizer is in its spec; the namespace controller would take it off.
    own || object["spec"]["finalizers"].as_array().is_some_and(|list| object["kind"] == "Namespace" && !list.is_empty())
}

/// Fills in the metadata of a new object.
pub(crate) fn prepare_create(store: &mut Store, resource: &Resource, namespace: &str, object: &mut Value) {
    let (uid, now, suffix) = (store.uid(), store.now(), store.suffix());
    let metadata = metadata(object);
    for name in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation", "resourceVersion"] {
        metadata.remove(name);
    }
    let prefix = metadata.get("generateName").and_then(Value::as_str).unwrap_or_default().to_owned();
    let unnamed = metadata.get("name").and_then(Value::as_str).unwrap_or_default().is_empty();
    if unnamed && !prefix.is_empty() {
        metadata.insert("name".into(), format!("{prefix}{suffix}").into());
    }
    if resource.namespaced {
        metadata.insert("namespace".into(), namespace.into());
    }
    metadata.insert("uid".into(), uid.into());
    metadata.insert("creationTimestamp".into(), now.into());
    if resource.traits.generation {
        metadata.insert("generation".into(), 1.into());
    }
}

/// Carries over what a writer cannot change, and counts the generation.
pub(crate) fn prepare_update(resource: &Resource, old: &Value, new: &mut Value) {
    let was = old["metadata"].as_object().cloned().unwrap_or_default();
    let changed = spec_changed(resource, old, new);
    let metadata = metadata(new);
    for name in [
        "name",
        "generateName",
        "namespace",
        "uid",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        match was.get(name) {
            Some(value) => metadata.insert(name.into(), value.clone()),
            None => metadata.remove(name),
        };
    }
    metadata.remove("selfLink");
    if resource.traits.generation && changed {
        let generation = was.get("generation").and_then(Value::as_i64).unwrap_or_default() + 1;
        metadata.insert("generation".into(), generation.into());
    }
}

fn spec_changed(resource: &Resource, old: &Value, new: &Value) -> bool {
    let part = |object: &Value| {
        let mut object = object.clone();
        if let Some(map) = object.as_object_mut() {
            for name in ["metadata", "apiVersion", "kind"] {
                map.remove(name);
            }
            if resource.traits.status {
                map.remove("status");
            }
        }
        object
    };
    part(old) != part(new)
}

/// The rules for metadata, the same for all resources but for the form of the name.
pub(crate) fn validate(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = text(object, "name");
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        validate_name(resource, name, &mut errors);
    }
    let metadata = &object["metadata"];
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        validate_key("metadata.labels", key, &mut errors);
        if !value.as_str().is_some_and(|text| text.len() <= 63 && VALUE_FORM.is_match(text)) {
            errors.push(FieldError::invalid("metadata.labels", value, LABEL_VALUE));
        }
    }
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        validate_key("metadata.annotations", &key.to_lowercase(), &mut errors);
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS {
        errors.push(FieldError::too_long("metadata.annotations", ANNOTATIONS, "bytes"));
    }
    for (index, finalizer) in metadata["finalizers"].as_array().into_iter().flatten().enumerate() {
        // Custom resources get away with a warning.
        let standard = ["orphan", "foregroundDeletion", "kubernetes"];
        let named = finalizer.as_str().is_some_and(|text| text.contains('/') || standard.contains(&text));
        if !named && !resource.traits.custom {
            let path = format!("metadata.finalizers[{index}]");
            let rule = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(path, finalizer, rule));
        }
    }
    errors
}

fn validate_name(resource: &Resource, name: &str, errors: &mut Vec<FieldError>) {
    let label = resource.kind == "Namespace" || resource.kind == "Service";
    let (form, longest, rule) = if label { (&LABEL_FORM, 63, LABEL) } else { (&SUBDOMAIN_FORM, 253, SUBDOMAIN) };
    if name.len() > longest {
        let rule = format!("must be no more than {longest} characters");
        errors.push(FieldError::invalid("metadata.name", &name.into(), rule));
    }
    if !form.is_match(name) {
        errors.push(FieldError::invalid("metadata.name", &name.into(), rule));
    }
}

fn validate_key(path: &str, key: &str, errors: &mut Vec<FieldError>) {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if !NAME_FORM.is_match(name) || name.len() > 63 {
        errors.push(FieldError::invalid(path, &key.into(), LABEL_NAME));
    }
    if prefix.is_some_and(|prefix| prefix.len() > 253 || !SUBDOMAIN_FORM.is_match(prefix)) {
        errors.push(FieldError::invalid(path, &key.into(), format!("prefix part {SUBDOMAIN}")));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::registry::Registry, *};

    #[test]
    fn names_and_labels_follow_the_rules_of_dns_and_labels() {
        let secret = Registry::new().find("", "v1", "secrets").unwrap();
        let check = |metadata: Value| validate(&secret, &json!({ "metadata": metadata })).len();
        assert_eq!(check(json!({"name": "a.b-c", "labels": {"x.io/a": "A_1", "b": ""}})), 0);
        assert_eq!(check(json!({})), 1);
        assert_eq!(check(json!({"name": "A"})), 1);
        assert_eq!(check(json!({"name": "a", "labels": {"a": "no spaces", "/": "x"}})), 3);
    }

    #[test]
    fn only_a_change_of_the_spec_counts_as_a_new_generation() {
        let definition = Registry::new().find("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap();
        let old = json!({"metadata": {"name": "a", "generation": 4, "uid": "u"}, "spec": {"x": 1}, "status": {}});
        let generation = |mut new: Value| {
            prepare_update(&definition, &old, &mut new);
            (new["metadata"]["generation"].clone(), new["metadata"]["uid"].clone())
        };
        assert_eq!(generation(json!({"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}})), (json!(4), json!("u")));
        assert_eq!(generation(json!({"spec": {"x": 1}, "status": {"y": 1}})).0, json!(4));
        assert_eq!(generation(json!({"spec": {"x": 2}})).0, json!(5));
    }
}
