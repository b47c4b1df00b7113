//! Merge, JSON and strategic merge patches.

use serde_json::{Map, Value, json};

use super::{
    registry::Resource,
    schema::{field, items},
    status::ApiError,
    validation::map_keys,
};

/// Media types that PATCH takes.
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON: &str = "application/json-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// The object with a patch of one of the three kinds worked in (apply has a room of its own).
pub(crate) fn patched(resource: &Resource, old: &Value, media: &str, patch: &Value) -> Result<Value, ApiError> {
    let mut object = old.clone();
    match media {
        MERGE => json_patch::merge(&mut object, &as_map(patch)?),
        STRATEGIC if !resource.traits.custom => {
            strategic(resource.schema.root(), &mut object, &as_map(patch)?);
        }
        JSON => {
            let patch: json_patch::Patch = serde_json::from_value(patch.clone())
                .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
            json_patch::patch(&mut object, &patch).map_err(|error| unprocessable(&error.to_string()))?;
        }
        _ => return Err(unsupported(resource)),
    }
    Ok(object)
}

/// Refuses media types that the resource does not take, before anything else is looked at.
pub(crate) fn check_media(resource: &Resource, media: &str) -> Result<(), ApiError> {
    let known = [MERGE, JSON, STRATEGIC].contains(&media);
    if known && !(media == STRATEGIC && resource.traits.custom) { Ok(()) } else { Err(unsupported(resource)) }
}

fn unsupported(resource: &Resource) -> ApiError {
    if resource.traits.custom {
        return ApiError::unsupported_media_type(&supported(resource));
    }
    ApiError::unknown_media_type()
}

fn supported(resource: &Resource) -> String {
    let all = [JSON, MERGE, STRATEGIC, APPLY];
    let served = all.into_iter().filter(|media| !(resource.traits.custom && *media == STRATEGIC));
    served.collect::<Vec<_>>().join(", ")
}

fn as_map(patch: &Value) -> Result<Value, ApiError> {
    if patch.is_object() {
        return Ok(patch.clone());
    }
    Err(ApiError::bad_request(format!("error decoding patch: a merge patch is an object, found {patch}")))
}

/// The server's answer to a JSON patch that does not fit the object.
fn unprocessable(cause: &str) -> ApiError {
    let mut error = ApiError::new(422, "Invalid", "the server rejected our request due to an error in our request");
    error.details = Some(json!({"causes": [{"reason": "UnexpectedServerResponse", "message": cause}]}));
    error
}

/// A strategic merge patch as far as clients use it here: lists with keys merge by them, `$patch: delete` and
/// `$patch: replace` are honoured.
fn strategic(schema: Option<&Value>, target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() || patch.get("$patch").is_some_and(|how| how == "replace") {
        *target = json!({});
    }
    let Some(map) = target.as_object_mut() else { return };
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        let child = field(schema, name).0;
        match value {
            Value::Null => drop(map.remove(name)),
            Value::Array(list) if merges(child) => {
                let target = map.entry(name.clone()).or_insert_with(|| json!([]));
                strategic_list(child, target, list);
            }
            Value::Object(_) => strategic(child, map.entry(name.clone()).or_insert_with(|| json!({})), value),
            _ => drop(map.insert(name.clone(), value.clone())),
        }
    }
}

fn merges(schema: Option<&Value>) -> bool {
    schema.is_some_and(|schema| matches!(schema["x-kubernetes-list-type"].as_str(), Some("map" | "set")))
}

fn strategic_list(schema: Option<&Value>, target: &mut Value, patch: &[Value]) {
    if !target.is_array() {
        *target = json!([]);
    }
    let Some(list) = target.as_array_mut() else { return };
    let keys = schema.map(map_keys).unwrap_or_default();
    let identity = |item: &Value| -> Value {
        if keys.is_empty() {
            return item.clone();
        }
        keys.iter().map(|key| ((*key).to_owned(), item[*key].clone())).collect::<Map<_, _>>().into()
    };
    for item in patch {
        let position = list.iter().position(|known| identity(known) == identity(item));
        match position {
            Some(position) if item["$patch"] == "delete" => drop(list.remove(position)),
            Some(position) => strategic(items(schema), &mut list[position], item),
            None if item["$patch"] == "delete" => {}
            None => list.push(item.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::registry::Registry, *};

    fn pod() -> std::sync::Arc<Resource> {
        Registry::new().find("", "v1", "pods").unwrap()
    }

    #[test]
    fn a_merge_patch_sets_and_removes() {
        let old = json!({"a": {"b": 1, "c": 2}});
        let new = patched(&pod(), &old, MERGE, &json!({"a": {"b": null, "d": 3}})).unwrap();
        assert_eq!(new, json!({"a": {"c": 2, "d": 3}}));
    }

    #[test]
    fn a_json_patch_whose_test_fails_changes_nothing() {
        let patch = json!([{"op": "replace", "path": "/a", "value": 2}, {"op": "test", "path": "/a", "value": 1}]);
        let refused = patched(&pod(), &json!({"a": 1}), JSON, &patch).unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
    }

    #[test]
    fn a_strategic_patch_merges_lists_by_their_keys() {
        let old = json!({"status": {"conditions": [{"type": "Ready", "status": "False", "x": 1}]}});
        let patch = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "New"}]}});
        let new = patched(&pod(), &old, STRATEGIC, &patch).unwrap();
        let wanted = json!([{"type": "Ready", "status": "True", "x": 1}, {"type": "New"}]);
        assert_eq!(new["status"]["conditions"], wanted);
    }

    #[test]
    fn an_unknown_media_type_is_refused() {
        assert_eq!(patched(&pod(), &json!({}), "text/plain", &json!({})).unwrap_err().code, 415);
    }
}
