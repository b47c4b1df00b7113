//! Whether what was sent fits the types at all; an apply is refused before it is merged otherwise.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    fields::{Step, shown},
    typed::step,
};
use crate::server::{
    schema::{field, items},
    validation::map_keys,
};

/// What does not fit, in the words of structured-merge-diff.
pub(crate) fn mismatches(schema: Option<&Value>, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(schema, value, &mut Vec::new(), &mut found);
    found
}

fn walk(schema: Option<&Value>, value: &Value, path: &mut Vec<Step>, found: &mut Vec<String>) {
    let Some(schema) = schema else { return };
    let wanted = schema["type"].as_str().unwrap_or_default();
    match value {
        Value::Null => {}
        Value::Object(map) if matches!(wanted, "object" | "") => {
            let open = schema.get("properties").is_none() && schema.get("additionalProperties").is_none()
                || schema["x-kubernetes-preserve-unknown-fields"] == true;
            for (name, value) in map {
                let child = field(Some(schema), name).0;
                path.push(Step::Field(name.clone()));
                if child.is_none() && !open {
                    found.push(format!("{}: field not declared in schema", shown(path)));
                }
                walk(child, value, path, found);
                path.pop();
            }
        }
        Value::Array(list) if matches!(wanted, "array" | "") => check_list(schema, list, path, found),
        _ => {
            if let Some(mismatch) = scalar_mismatch(wanted, value) {
                found.push(format!("{}: {mismatch}", shown(path)));
            }
        }
    }
}

/// Each kind of scalar complains in a way of its own.
fn scalar_mismatch(wanted: &str, value: &Value) -> Option<String> {
    match wanted {
        "string" if !value.is_string() => {
            Some(format!("expected string, got &value.valueUnstructured{{Value:{value}}}"))
        }
        "boolean" if !value.is_boolean() => Some(format!("expected boolean, got {value}")),
        "integer" | "number" if !value.is_number() => {
            let got = match value {
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                _ => "map[string]interface {}",
            };
            Some(format!("expected numeric (int or float), got {got}"))
        }
        "object" => Some(format!("expected map, got &{{{value}}}")),
        "array" => Some(format!("expected list, got &{{{value}}}")),
        _ => None,
    }
}

fn check_list(schema: &Value, list: &[Value], path: &mut Vec<Step>, found: &mut Vec<String>) {
    let keyed = matches!(schema["x-kubernetes-list-type"].as_str(), Some("set" | "map"));
    if !keyed {
        return;
    }
    let keys = map_keys(schema);
    let mut seen = BTreeSet::new();
    for (index, item) in list.iter().enumerate() {
        let step = step(Some(schema), item);
        if matches!(&step, Step::Key(values) if values.is_empty()) {
            let names: Vec<_> = keys.iter().map(|key| format!("{key:?}")).collect();
            found.push(format!(
                "{}: element {index}: associative list with keys has an element that omits all key fields [{}] (and \
                 doesn't have default values for any key fields)",
                shown(path),
                names.join(" ")
            ));
            continue;
        }
        if !seen.insert(step.clone()) {
            found.push(format!("{}: duplicate entries for key {step}", shown(path)));
        }
        path.push(step);
        walk(items(Some(schema)), item, path, found);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_wrong_types_and_items_without_a_name_are_told() {
        let schema = json!({"type": "object", "properties": {
            "text": {"type": "string"}, "free": {"type": "object"},
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string"}}}}}});
        let check = |value| mismatches(Some(&schema), &value);
        assert!(check(json!({"text": "x", "free": {"any": 1}, "list": [{"name": "a"}, {"name": "b"}]})).is_empty());
        assert_eq!(check(json!({"odd": 1})), [".odd: field not declared in schema"]);
        assert_eq!(check(json!({"text": 1})), [".text: expected string, got &value.valueUnstructured{Value:1}"]);
        assert_eq!(
            check(json!({"list": [{"name": "a"}, {"name": "a"}]})),
            [".list: duplicate entries for key [name=\"a\"]"]
        );
        assert!(check(json!({"list": [{}]}))[0].contains("omits all key fields [\"name\"]"));
    }
}
