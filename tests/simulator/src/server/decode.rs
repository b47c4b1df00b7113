//! From what a client sent to an object of the resource.

use serde_json::{Map, Value};

use super::{
    builtin, events, object,
    object::text,
    registry::Resource,
    request::Call,
    status::{ApiError, FieldError},
};

/// Reads what a client sent as an object of the resource.
pub(crate) fn decode(resource: &Resource, sent: Value, strict: bool) -> Result<Value, ApiError> {
    let (kind, version) = (sent["kind"].as_str().unwrap_or_default(), sent["apiVersion"].as_str().unwrap_or_default());
    let wanted = resource.api_version();
    if !version.is_empty() && version != wanted {
        let message =
            format!("the API version in the data ({version}) does not match the expected API version ({wanted})");
        return Err(ApiError::bad_request(message));
    }
    if !kind.is_empty() && kind != resource.kind && resource.traits.custom {
        let error = FieldError::invalid("kind", &kind.into(), format!("must be {}", resource.kind));
        let found = Resource { kind: kind.to_owned(), ..resource.clone() };
        return Err(ApiError::invalid(&found, text(&sent, "name"), &[error]));
    }
    if !kind.is_empty() && kind != resource.kind {
        let message = format!(
            "{kind} in version {:?} cannot be handled as a {}: converting ({}.{kind}) to (core.{}): unknown conversion",
            resource.version, resource.kind, resource.version, resource.kind
        );
        return Err(ApiError::bad_request(message));
    }
    if resource.traits.custom && kind.is_empty() {
        let mut shown = sent.to_string();
        let whole = shown.clone();
        if shown.len() > 30 {
            shown = format!("{} ...", shown.chars().take(30).collect::<String>());
        }
        let message = format!(
            "the object provided is unrecognized (must be of type {}): Object 'Kind' is missing in '{whole}' ({shown})",
            resource.kind
        );
        return Err(ApiError::bad_request(message));
    }
    let mut object = sent.clone();
    let mut unknown = Vec::new();
    if resource.traits.custom {
        unknown = resource.schema.prune(&mut object);
        tidy_metadata(&mut object);
    } else {
        object = builtin::decode(resource, object)?;
        builtin::unknown_fields(&sent, &object, "", &mut unknown);
    }
    if strict && !unknown.is_empty() {
        let list: Vec<_> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
        let (kind, version) = (&resource.kind, &resource.version);
        let list = list.join(", ");
        let message =
            format!("{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {list}");
        return Err(ApiError::bad_request(message));
    }
    object["kind"] = resource.kind.clone().into();
    object["apiVersion"] = wanted.into();
    Ok(events::store(resource, object))
}

/// Decodes what a client sent in any way but an apply, in which nulls stay.
pub(crate) fn decode_sent(resource: &Resource, sent: Value, call: &Call) -> Result<Value, ApiError> {
    let mut object = decode(resource, sent, strict(call))?;
    if resource.traits.custom {
        resource.schema.drop_nulls(&mut object);
    }
    Ok(object)
}

/// Empty maps and lists of metadata vanish, as they do in the Go types.
fn tidy_metadata(object: &mut Value) {
    let empty = |value: &Value| {
        value.is_null() || value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
    };
    // An empty managedFields is a request to forget them.
    object::metadata(object).retain(|name, value| !empty(value) || name == "managedFields");
}

/// Whether unknown fields are an error.
pub(crate) fn strict(call: &Call) -> bool {
    call.query("fieldValidation") == Some("Strict")
}
