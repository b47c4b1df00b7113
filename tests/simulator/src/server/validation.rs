//! The value checks of a structural schema, with the real server's messages.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Map, Value};

use super::{
    schema::{field, items, join, type_fits},
    status::{FieldError, kind_of},
};

/// Checks `value` against `schema` and adds what is wrong to `errors`. `old` is the stored value on an update.
pub(crate) fn check(schema: &Value, value: &Value, old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    if !type_fits(schema, value) {
        let wanted = schema["type"].as_str().unwrap_or("integer,string");
        let detail = format!("{} in body must be of type {wanted}: \"{}\"", body(path), kind_of(value));
        errors.push(FieldError::type_invalid(shown(path), value, detail));
        if wanted == "integer" && value.is_number() {
            let detail = format!("Checked value must be of type integer (default format) in {path}");
            errors.push(FieldError::invalid("<nil>", &"".into(), detail));
        }
        return;
    }
    check_enum(schema, value, path, errors);
    match value {
        Value::String(text) => check_string(schema, text, value, path, errors),
        Value::Number(_) => check_number(schema, value, path, errors),
        Value::Array(list) => check_list(schema, list, old, path, errors),
        Value::Object(map) => check_object(schema, map, old, path, errors),
        _ => {}
    }
    check_combinations(schema, value, path, errors);
}

/// The root has no name; the server prints `<nil>` for it.
fn shown(path: &str) -> &str {
    if path.is_empty() { "<nil>" } else { path }
}

fn body(path: &str) -> &str {
    path
}

fn check_enum(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(allowed) = schema["enum"].as_array() else { return };
    if !allowed.contains(value) {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let allowed: Vec<_> = allowed.iter().map(text).collect();
        errors.push(FieldError::not_supported(shown(path), value, &allowed));
    }
}

fn check_string(schema: &Value, text: &str, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let length = text.chars().count();
    let mut invalid = |detail: String| {
        errors.push(FieldError::invalid(shown(path), value, format!("{} in body {detail}", body(path))));
    };
    if let Some(min) = schema["minLength"].as_u64().filter(|&min| (length as u64) < min) {
        invalid(format!("should be at least {min} chars long"));
    }
    // The first complaint about a string is the only one.
    if schema["minLength"].as_u64().is_some_and(|min| (length as u64) < min) {
        return;
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        // A pattern that does not compile is refused when the CRD is created.
        if Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text)) {
            invalid(format!("should match '{pattern}'"));
        }
    }
    if schema["format"] == "date-time" && text.parse::<jiff::Timestamp>().is_err() {
        let detail = format!("{path} in body must be of type date-time: {text:?}");
        errors.push(FieldError::format_invalid(shown(path), value, detail));
    }
    if let Some(max) = schema["maxLength"].as_u64().filter(|&max| length as u64 > max) {
        errors.push(FieldError::too_long(shown(path), usize::try_from(max).unwrap_or(usize::MAX), "bytes"));
    }
}

fn check_number(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let number = value.as_f64().unwrap_or_default();
    let mut invalid = |detail: String| {
        errors.push(FieldError::invalid(shown(path), value, format!("{} in body {detail}", body(path))));
    };
    if let Some(min) = schema["minimum"].as_f64() {
        if schema["exclusiveMinimum"] == true && number <= min {
            invalid(format!("should be greater than {min}"));
        } else if number < min {
            invalid(format!("should be greater than or equal to {min}"));
        }
    }
    if let Some(max) = schema["maximum"].as_f64() {
        if schema["exclusiveMaximum"] == true && number >= max {
            invalid(format!("should be less than {max}"));
        } else if number > max {
            invalid(format!("should be less than or equal to {max}"));
        }
    }
    if let Some(factor) = schema["multipleOf"].as_f64().filter(|&factor| factor != 0.0 && number % factor != 0.0) {
        invalid(format!("should be a multiple of {factor}"));
    }
}

fn check_list(schema: &Value, list: &[Value], old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    let length = list.len() as u64;
    if let Some(min) = schema["minItems"].as_u64().filter(|&min| length < min) {
        let detail = format!("{} in body should have at least {min} items", body(path));
        errors.push(FieldError::invalid(shown(path), &length.into(), detail));
    }
    if let Some(max) = schema["maxItems"].as_u64().filter(|&max| length > max) {
        errors.push(FieldError::too_many(shown(path), list.len(), max));
    }
    let mut seen = BTreeSet::new();
    let keys = map_keys(schema);
    for (index, item) in list.iter().enumerate() {
        let identity = identity(schema, item, &keys);
        if let Some(identity) = &identity
            && !seen.insert(identity.to_string())
        {
            errors.push(FieldError::duplicate(format!("{path}[{index}]"), identity));
        }
        if let Some(child) = items(Some(schema)) {
            let old = same_item(schema, item, old);
            check(child, item, old, &format!("{path}[{index}]"), errors);
        }
    }
}

/// The keys that tell the items of a `map` list apart.
pub(crate) fn map_keys(schema: &Value) -> Vec<&str> {
    schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The item of an old list that is the same as this one of the new list; only lists with keys can tell.
pub(crate) fn same_item<'a>(schema: &Value, item: &Value, old: Option<&'a Value>) -> Option<&'a Value> {
    let keys = map_keys(schema);
    let wanted = identity(schema, item, &keys).filter(|_| !keys.is_empty())?;
    old?.as_array()?.iter().find(|old| identity(schema, old, &keys).as_ref() == Some(&wanted))
}

/// What tells an item of a `set` or `map` list apart from the others; nothing for atomic lists.
fn identity(schema: &Value, item: &Value, keys: &[&str]) -> Option<Value> {
    match schema["x-kubernetes-list-type"].as_str()? {
        "set" => Some(item.clone()),
        "map" => Some(keys.iter().map(|key| ((*key).to_owned(), item[*key].clone())).collect::<Map<_, _>>().into()),
        _ => None,
    }
}

fn check_object(
    schema: &Value,
    map: &Map<String, Value>,
    old: Option<&Value>,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    let length = map.len() as u64;
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(name) {
            errors.push(FieldError::required(join(path, name), ""));
        }
    }
    if let Some(max) = schema["maxProperties"].as_u64().filter(|&max| length > max) {
        errors.push(FieldError::too_many(shown(path), map.len(), max));
    }
    if let Some(min) = schema["minProperties"].as_u64().filter(|&min| length < min) {
        let detail = format!("{} in body should have at least {min} properties", body(path));
        errors.push(FieldError::invalid(shown(path), &length.into(), detail));
    }
    for (name, value) in map {
        if let Some(child) = field(Some(schema), name).0 {
            check(child, value, old.and_then(|old| old.get(name)), &join(path, name), errors);
        }
    }
}

fn check_combinations(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let fits = |schema: &Value| {
        let mut found = Vec::new();
        check(schema, value, None, path, &mut found);
        found.is_empty()
    };
    let list = |name: &str| schema[name].as_array();
    for branch in list("allOf").into_iter().flatten() {
        check(branch, value, None, path, errors);
    }
    let mut invalid = |detail: &str| {
        errors.push(FieldError::invalid(shown(path), value, format!("{} in body {detail}", shown(path))));
    };
    if list("anyOf").is_some_and(|branches| !branches.iter().any(fits)) {
        invalid("must validate at least one schema (anyOf)");
    }
    if let Some(branches) = list("oneOf") {
        match branches.iter().filter(|branch| fits(branch)).count() {
            1 => {}
            0 => invalid("must validate one and only one schema (oneOf). Found none valid"),
            many => invalid(&format!("must validate one and only one schema (oneOf). Found {many} valid alternatives")),
        }
    }
    if schema.get("not").is_some_and(fits) {
        invalid("must not validate the schema (not)");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(schema: Value, value: Value) -> Vec<String> {
        let mut errors = Vec::new();
        check(&schema, &value, None, "spec.x", &mut errors);
        errors.iter().map(|error| format!("{error:?}")).collect()
    }

    #[track_caller]
    fn refused(schema: Value, value: Value, part: &str) {
        let found = complaints(schema, value);
        assert!(found.len() == 1 && found[0].contains(part), "wanted one with {part:?}, found {found:?}");
    }

    #[test]
    fn each_bound_refuses_what_is_just_outside_and_takes_what_is_just_inside() {
        refused(json!({"type": "integer"}), json!("1"), "must be of type integer: \\\"string\\\"");
        refused(json!({"type": "string", "enum": ["A"]}), json!("B"), "supported values");
        refused(json!({"type": "string", "pattern": "^a+$"}), json!("ab"), "should match '^a+$'");
        refused(json!({"type": "string", "minLength": 2}), json!("a"), "at least 2 chars long");
        refused(json!({"type": "string", "maxLength": 1}), json!("ab"), "more than 1 bytes");
        refused(json!({"type": "integer", "minimum": 1}), json!(0), "greater than or equal to 1");
        refused(json!({"type": "integer", "maximum": 1}), json!(2), "less than or equal to 1");
        refused(json!({"type": "array", "maxItems": 1}), json!([1, 2]), "at most 1 items");
        refused(json!({"type": "object", "required": ["a"]}), json!({}), "spec.x.a");
        for (schema, value) in [
            (json!({"type": "string", "maxLength": 2, "minLength": 2, "pattern": "^a+$"}), json!("aa")),
            (json!({"type": "integer", "minimum": 1, "maximum": 1}), json!(1)),
            (json!({"type": "array", "maxItems": 2, "minItems": 2}), json!([1, 2])),
            (json!({"x-kubernetes-int-or-string": true}), json!("80%")),
        ] {
            assert_eq!(complaints(schema, value), Vec::<String>::new());
        }
    }

    #[test]
    fn items_of_a_map_list_must_differ_in_their_keys() {
        let schema = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}}}});
        refused(schema.clone(), json!([{"name": "a"}, {"name": "a"}]), "Duplicate value");
        assert!(complaints(schema, json!([{"name": "a"}, {"name": "b"}])).is_empty());
    }

    #[test]
    fn one_of_needs_exactly_one_branch() {
        let schema = json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
        assert!(complaints(schema.clone(), json!({"a": 1})).is_empty());
        refused(schema.clone(), json!({}), "Found none valid");
        refused(schema, json!({"a": 1, "b": 1}), "Found 2 valid");
    }
}
