//! Label and field selectors.

use std::collections::BTreeSet;

use serde_json::Value;

use super::status::ApiError;

/// What a list or watch is narrowed to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selector {
    pub(crate) namespace: Option<String>,
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Clone, Debug, PartialEq)]
enum Requirement {
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Exists(String),
    Absent(String),
}

#[derive(Clone, Debug, PartialEq)]
struct FieldRequirement {
    path: String,
    value: String,
    equal: bool,
}

impl Selector {
    /// Parses what came in the query string (`None` = not given). `fields` names what the resource can be
    /// selected by, beside `metadata.name` and `metadata.namespace`.
    pub(crate) fn parse(
        namespace: Option<&str>,
        labels: Option<&str>,
        fields: Option<&str>,
        selectable: &[&str],
    ) -> Result<Self, ApiError> {
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            labels: parse_labels(labels.unwrap_or_default())?,
            fields: parse_fields(fields.unwrap_or_default(), selectable)?,
        })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        self.namespace.as_deref().is_none_or(|wanted| metadata["namespace"] == wanted)
            && self.labels.iter().all(|requirement| requirement.matches(&metadata["labels"]))
            && self.fields.iter().all(|requirement| requirement.matches(object))
    }
}

impl Requirement {
    fn matches(&self, labels: &Value) -> bool {
        let value = |key: &str| labels.get(key).and_then(Value::as_str);
        match self {
            Self::In(key, set) => value(key).is_some_and(|found| set.contains(found)),
            Self::NotIn(key, set) => value(key).is_none_or(|found| !set.contains(found)),
            Self::Exists(key) => value(key).is_some(),
            Self::Absent(key) => value(key).is_none(),
        }
    }
}

impl FieldRequirement {
    fn matches(&self, object: &Value) -> bool {
        let pointer = format!("/{}", self.path.replace('.', "/"));
        let found = match object.pointer(&pointer) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        (found == self.value) == self.equal
    }
}

/// Splits at commas outside of parentheses.
fn terms(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|term| !term.is_empty())
    .collect()
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, ApiError> {
    terms(text).into_iter().map(parse_label).collect()
}

fn parse_label(term: &str) -> Result<Requirement, ApiError> {
    let one = |value: &str| BTreeSet::from([value.trim().to_owned()]);
    let key = |key: &str| key.trim().to_owned();
    if let Some(rest) = term.strip_prefix('!') {
        return Ok(Requirement::Absent(key(rest)));
    }
    if let Some((left, right)) = term.split_once("!=") {
        return Ok(Requirement::NotIn(key(left), one(right)));
    }
    if let Some((left, right)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Ok(Requirement::In(key(left), one(right)));
    }
    if let Some((head, values)) = term.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
        let set = values.split(',').map(|value| value.trim().to_owned()).collect();
        return match head.split_whitespace().collect::<Vec<_>>()[..] {
            [name, "in"] => Ok(Requirement::In(key(name), set)),
            [name, "notin"] => Ok(Requirement::NotIn(key(name), set)),
            _ => Err(unparsable(term)),
        };
    }
    if term.contains(char::is_whitespace) { Err(unparsable(term)) } else { Ok(Requirement::Exists(key(term))) }
}

fn unparsable(term: &str) -> ApiError {
    ApiError::bad_request(format!("unable to parse requirement: {term:?} is not a label requirement"))
}

fn parse_fields(text: &str, selectable: &[&str]) -> Result<Vec<FieldRequirement>, ApiError> {
    let parse = |term: &str| {
        let (path, value, equal) = if let Some((path, value)) = term.split_once("!=") {
            (path, value, false)
        } else if let Some((path, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
            (path, value, true)
        } else {
            return Err(ApiError::bad_request(format!("invalid selector: '{term}'; can't understand '{term}'")));
        };
        if !["metadata.name", "metadata.namespace"].contains(&path) && !selectable.contains(&path) {
            return Err(ApiError::bad_request(format!("field label not supported: {path}")));
        }
        Ok(FieldRequirement { path: path.to_owned(), value: value.to_owned(), equal })
    };
    terms(text).into_iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(text: &str) -> Selector {
        Selector::parse(None, Some(text), None, &[]).expect("a valid selector")
    }

    #[test]
    fn every_form_of_label_requirement_is_understood() {
        let object = json!({"metadata": {"name": "a", "labels": {"app": "x", "tier": "web"}}});
        for yes in ["app=x", "app==x", "app", "!other", "app in (x, y)", "other notin (x)", "app!=y", "app=x,tier=web"]
        {
            assert!(labels(yes).matches(&object), "{yes} should match");
        }
        for no in ["app=y", "other", "!app", "app in (y,z)", "app notin (x)", "app!=x", "app=x,tier=db"] {
            assert!(!labels(no).matches(&object), "{no} should not match");
        }
        assert_eq!(Selector::parse(None, Some("app within (x)"), None, &[]).unwrap_err().code, 400);
    }

    #[test]
    fn a_field_selector_knows_names_and_refuses_unknown_fields() {
        let object = json!({"metadata": {"name": "a", "namespace": "n"}, "type": "Opaque"});
        let fields = |text, more: &[&str]| Selector::parse(None, None, Some(text), more);
        assert!(fields("metadata.name=a,metadata.namespace!=m", &[]).unwrap().matches(&object));
        assert!(!fields("metadata.name!=a", &[]).unwrap().matches(&object));
        assert!(fields("type=Opaque", &["type"]).unwrap().matches(&object));
        assert_eq!(fields("type=Opaque", &[]).unwrap_err().message, "field label not supported: type");
    }
}
