//! Error bodies: the `Status` objects that a kube-apiserver answers with, in its own words.

use serde_json::{Value, json};

use super::registry::Resource;

/// A refusal, as it goes over the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason (`NotFound`, `Conflict`, …); empty where the real server names none.
    pub reason: String,
    /// The message for people.
    pub message: String,
    /// `details` of the Status: name, group, kind, uid, causes, `retryAfterSeconds`.
    pub details: Option<Value>,
    /// `metadata.continue`: where a list whose continue token is too old may go on, at the present.
    pub resume: Option<String>,
}

/// One field that validation did not like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldError {
    reason: &'static str,
    text: String,
    field: String,
}

impl FieldError {
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let text = if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Self { reason: "FieldValueRequired", text, field: field.into() }
    }

    pub(crate) fn invalid(field: impl Into<String>, found: &Value, detail: impl AsRef<str>) -> Self {
        let text = format!("Invalid value: {}: {}", shown(found), detail.as_ref());
        Self { reason: "FieldValueInvalid", text, field: field.into() }
    }

    /// A value of the right type in the wrong form; the server counts that as a wrong type.
    pub(crate) fn format_invalid(field: impl Into<String>, found: &Value, detail: impl AsRef<str>) -> Self {
        Self { reason: "FieldValueTypeInvalid", ..Self::invalid(field, found, detail) }
    }

    pub(crate) fn type_invalid(field: impl Into<String>, found: &Value, detail: impl AsRef<str>) -> Self {
        let text = format!("Invalid value: \"{}\": {}", kind_of(found), detail.as_ref());
        Self { reason: "FieldValueTypeInvalid", text, field: field.into() }
    }

    pub(crate) fn not_supported(field: impl Into<String>, found: &Value, allowed: &[String]) -> Self {
        let allowed = allowed.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>().join(", ");
        let text = format!("Unsupported value: {}: supported values: {allowed}", shown(found));
        Self { reason: "FieldValueNotSupported", text, field: field.into() }
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self { reason: "FieldValueForbidden", text: format!("Forbidden: {detail}"), field: field.into() }
    }

    pub(crate) fn too_long(field: impl Into<String>, max: usize, unit: &str) -> Self {
        let text = format!("Too long: may not be more than {max} {unit}");
        Self { reason: "FieldValueTooLong", text, field: field.into() }
    }

    pub(crate) fn too_many(field: impl Into<String>, found: usize, max: u64) -> Self {
        let text = format!("Too many: {found}: must have at most {max} items");
        Self { reason: "FieldValueTooMany", text, field: field.into() }
    }

    pub(crate) fn duplicate(field: impl Into<String>, found: &Value) -> Self {
        Self { reason: "FieldValueDuplicate", text: format!("Duplicate value: {}", shown(found)), field: field.into() }
    }

    /// Invalid, with a value that is too much to repeat.
    pub(crate) fn invalid_unshown(field: impl Into<String>, detail: &str) -> Self {
        Self { reason: "FieldValueInvalid", text: format!("Invalid value: {detail}"), field: field.into() }
    }

    /// Whether rules are not worth evaluating until this is mended.
    pub(crate) fn blocks_rules(&self) -> bool {
        ["NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid"].iter().any(|end| self.reason.ends_with(end))
    }

    /// As the message shows it.
    pub(crate) fn line(&self) -> String {
        format!("{}: {}", self.field, self.text)
    }

    fn cause(&self) -> Value {
        json!({"reason": self.reason, "message": self.text, "field": self.field})
    }
}

/// How the server prints a found value: strings quoted, everything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

/// The OpenAPI name of a value's type.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

impl ApiError {
    /// A refusal without details.
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { code, reason: reason.to_owned(), message: message.into(), details: None, resume: None }
    }

    fn with(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// An eviction that a PodDisruptionBudget forbids.
    pub(crate) fn over_budget(why: &str) -> Self {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        let causes = json!([{"reason": "DisruptionBudget", "message": why}]);
        Self::new(429, "TooManyRequests", message).with(json!({"causes": causes}))
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// An error that the server did not foresee as one of the client's.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", resource.qualified())).with(object_details(
            resource,
            name,
            &resource.plural,
        ))
    }

    /// The answer to a path that no handler is registered for: plain text, not a Status.
    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "", "404 page not found\n")
    }

    pub(crate) fn is_plain_text(&self) -> bool {
        self.reason.is_empty() && self.code == 404
    }

    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {name:?} already exists", resource.qualified()))
            .with(object_details(resource, name, &resource.plural))
    }

    pub(crate) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified());
        Self::new(409, "Conflict", message).with(object_details(resource, name, &resource.plural))
    }

    /// As `conflict`, but in the words of the deletion, which names the kind instead of the resource.
    pub(crate) fn delete_conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let kind = match resource.group.as_str() {
            "" => resource.kind.clone(),
            group => format!("{}.{group}", resource.kind),
        };
        let message = format!("Operation cannot be fulfilled on {kind} {name:?}: {why}");
        Self::new(409, "Conflict", message).with(object_details(resource, name, &resource.kind))
    }

    pub(crate) fn stale(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    pub(crate) fn apply_conflict(message: String, causes: Vec<Value>) -> Self {
        Self::new(409, "Conflict", message).with(json!({ "causes": causes }))
    }

    pub(crate) fn invalid(resource: &Resource, name: &str, errors: &[FieldError]) -> Self {
        let mut lines: Vec<_> = errors.iter().map(FieldError::line).collect();
        let mut seen = std::collections::BTreeSet::new();
        lines.retain(|line| seen.insert(line.clone()));
        let list = if let [one] = lines.as_slice() { one.clone() } else { format!("[{}]", lines.join(", ")) };
        let qualified = match resource.group.as_str() {
            "" => resource.kind.clone(),
            group => format!("{}.{group}", resource.kind),
        };
        let mut details = object_details(resource, name, &resource.kind);
        details["causes"] = errors.iter().map(FieldError::cause).collect();
        Self::new(422, "Invalid", format!("{qualified} {name:?} is invalid: {list}")).with(details)
    }

    /// A PUT without a version, of a resource that is not overwritten blindly.
    pub(crate) fn version_required(resource: &Resource, name: &str) -> Self {
        let error = FieldError::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
        let mut details = object_details(resource, name, &resource.plural);
        details["causes"] = json!([error.cause()]);
        let message = format!("{} {name:?} is invalid: {}", resource.qualified(), error.line());
        Self::new(422, "Invalid", message).with(details)
    }

    pub(crate) fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        Self::new(403, "Forbidden", format!("{} {name:?} is forbidden: {why}", resource.qualified()))
            .with(object_details(resource, name, &resource.plural))
    }

    /// A known API without that resource, or a resource without that subresource.
    pub(crate) fn no_such_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource").with(json!({}))
    }

    /// What a custom resource answers to a verb that it does not have.
    pub(crate) fn not_supported(resource: &Resource, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind {:?}", resource.qualified());
        Self::new(405, "MethodNotAllowed", message).with(object_details(resource, "", &resource.plural))
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
            .with(json!({}))
    }

    /// What the handler of built-in resources says before it looks any further.
    pub(crate) fn unknown_media_type() -> Self {
        Self::new(415, "UnsupportedMediaType", "415: Unsupported Media Type").with(json!({}))
    }

    pub(crate) fn unsupported_media_type(supported: &str) -> Self {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {supported}");
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn too_large_resource_version(found: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {found}, current: {current}");
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        Self::new(504, "Timeout", message).with(json!({"causes": [cause], "retryAfterSeconds": 1}))
    }

    /// History that the server no longer has.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// The Status object.
    pub fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            body["reason"] = self.reason.clone().into();
        }
        if let Some(resume) = &self.resume {
            body["metadata"]["continue"] = resume.clone().into();
        }
        if let Some(details) = &self.details {
            body["details"] = details.clone();
        }
        body
    }
}

fn object_details(resource: &Resource, name: &str, kind: &str) -> Value {
    let mut details = json!({ "kind": kind });
    if !name.is_empty() {
        details["name"] = name.into();
    }
    if !resource.group.is_empty() {
        details["group"] = resource.group.clone().into();
    }
    details
}

/// The Status that answers a deletion which took effect at once.
pub(crate) fn deleted(resource: &Resource, name: &str, uid: &str) -> Value {
    let mut details = object_details(resource, name, &resource.plural);
    details["uid"] = uid.into();
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
