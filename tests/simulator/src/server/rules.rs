//! `x-kubernetes-validations`: rules of a schema in CEL.
//!
//! The language and its strings extension are evaluated by the `cel` crate; Kubernetes' own libraries (URLs,
//! quantities, …) and names that need escaping are not known here: a rule that uses them is refused with its
//! definition. The real server's budget for the cost of rules is not kept.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use cel::{Context, Env, Program, Value as Cel};
use serde_json::Value;

use super::{
    schema::{field, items, join},
    status::FieldError,
    validation::same_item,
};

static LANGUAGE: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut language = Env::stdlib();
    language.add_extension(cel::extensions::strings).expect("the extension declares each function once");
    language.add_extension(cel::extensions::lists).expect("the extension declares each function once");
    Arc::new(language)
});

/// Compiled rules by their text: the same few are evaluated at every write.
static PROGRAMS: LazyLock<Mutex<BTreeMap<String, Arc<Program>>>> = LazyLock::new(Mutex::default);

fn compile(rule: &str) -> Result<Arc<Program>, String> {
    let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(program) = programs.get(rule) {
        return Ok(program.clone());
    }
    let program = Arc::new(LANGUAGE.compile(rule).map_err(|error| error.to_string())?);
    programs.insert(rule.to_owned(), program.clone());
    Ok(program)
}

fn rules(schema: &Value) -> &[Value] {
    schema["x-kubernetes-validations"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether a schema has a rule anywhere.
pub(crate) fn any(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.contains_key("x-kubernetes-validations") || map.values().any(any),
        Value::Array(list) => list.iter().any(any),
        _ => false,
    }
}

/// Compiles all rules of a schema; what does not compile is refused along with the definition.
pub(crate) fn check_definition(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (index, rule) in rules(schema).iter().enumerate() {
        for part in ["rule", "messageExpression"] {
            if let Some(Err(error)) = rule[part].as_str().map(compile) {
                let path = format!("{path}.x-kubernetes-validations[{index}].{part}");
                errors.push(FieldError::invalid(path, &rule[part], format!("compilation failed: {error}")));
            }
        }
    }
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        check_definition(child, &format!("{path}.properties[{name}]"), errors);
    }
    for part in ["items", "additionalProperties"] {
        if let Some(child) = schema.get(part).filter(|child| child.is_object()) {
            check_definition(child, &format!("{path}.{part}"), errors);
        }
    }
}

/// Evaluates the rules for `value` and all below it. `old` is the stored value that it takes the place of.
pub(crate) fn check(schema: &Value, value: &Value, old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    if value.is_null() {
        return;
    }
    for rule in rules(schema) {
        errors.extend(evaluate(rule, schema, value, old, path));
    }
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(child) = field(Some(schema), name).0 {
                    check(child, value, old.and_then(|old| old.get(name)), &join(path, name), errors);
                }
            }
        }
        Value::Array(list) => {
            let Some(child) = items(Some(schema)) else { return };
            for (index, value) in list.iter().enumerate() {
                check(child, value, same_item(schema, value, old), &format!("{path}[{index}]"), errors);
            }
        }
        _ => {}
    }
}

fn evaluate(rule: &Value, schema: &Value, value: &Value, old: Option<&Value>, path: &str) -> Option<FieldError> {
    let text = rule["rule"].as_str()?;
    let transition = text.contains("oldSelf");
    // A rule about a change needs something that changed; one about a state lets pass what was stored before it.
    if transition && old.is_none() || !transition && old == Some(value) {
        return None;
    }
    let shown = if path.is_empty() { "<nil>" } else { path };
    let kind = schema["type"].as_str().unwrap_or_default();
    let outcome = compile(text).and_then(|program| run(&program, value, old));
    let error = match outcome {
        Ok(Cel::Bool(true)) => return None,
        Ok(_) => {
            let detail = message(rule, value, old);
            let path = rule["fieldPath"].as_str().map_or(shown.to_owned(), |more| format!("{path}{more}"));
            return Some(refusal(rule, &path, kind, value, &detail));
        }
        Err(error) => error,
    };
    let detail = format!("{error} evaluating rule: {}", rule["message"].as_str().unwrap_or(text));
    Some(FieldError::invalid(shown, &kind.into(), detail))
}

fn run(program: &Program, value: &Value, old: Option<&Value>) -> Result<Cel, String> {
    let mut context = Context::with_env(LANGUAGE.clone());
    context.add_variable_from_value("self", convert(value));
    if let Some(old) = old {
        context.add_variable_from_value("oldSelf", convert(old));
    }
    program.execute(&context).map_err(|error| {
        let text = error.to_string();
        let mut letters = text.chars();
        letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
    })
}

fn message(rule: &Value, value: &Value, old: Option<&Value>) -> String {
    let expression = rule["messageExpression"].as_str();
    let computed = expression.and_then(|text| run(&*compile(text).ok()?, value, old).ok());
    match (computed, rule["message"].as_str()) {
        (Some(Cel::String(text)), _) => text.to_string(),
        (_, Some(message)) => message.trim().to_owned(),
        _ => format!("failed rule: {}", rule["rule"].as_str().unwrap_or_default().trim()),
    }
}

fn refusal(rule: &Value, path: &str, kind: &str, value: &Value, detail: &str) -> FieldError {
    match rule["reason"].as_str() {
        Some("FieldValueForbidden") => FieldError::forbidden(path, detail),
        Some("FieldValueRequired") => FieldError::required(path, detail),
        Some("FieldValueDuplicate") => FieldError::duplicate(path, value),
        // Whole objects and lists are not repeated.
        _ if matches!(kind, "object" | "array") => FieldError::invalid_unshown(path, detail),
        _ => FieldError::invalid(path, value, detail),
    }
}

fn convert(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(list) => list.iter().map(convert).collect::<Vec<_>>().into(),
        // No rule can tell in which order the library keeps them.
        Value::Object(map) => map.iter().map(|(k, v)| (k.as_str(), convert(v))).collect::<HashMap<_, _>>().into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({"type": "object",
            "x-kubernetes-validations": [
                {"rule": "self.mode != 'A' || has(self.ref)", "message": "A needs a ref"},
                {"rule": "self.mode == oldSelf.mode", "message": "mode is fixed", "reason": "FieldValueForbidden"}],
            "properties": {"mode": {"type": "string"}, "ref": {"type": "object"},
                "host": {"type": "string", "x-kubernetes-validations": [
                    {"rule": "self.split('.').all(l, l.size() <= 3)",
                     "messageExpression": "'a label of ' + self + ' is too long'"}]}}})
    }

    fn complaints(value: Value, old: Option<Value>) -> Vec<String> {
        let mut errors = Vec::new();
        check(&schema(), &value, old.as_ref(), "spec", &mut errors);
        errors.iter().map(FieldError::line).collect()
    }

    #[test]
    fn a_broken_rule_is_told_with_its_message() {
        assert!(complaints(json!({"mode": "A", "ref": {}, "host": "a.bcd"}), None).is_empty());
        assert_eq!(complaints(json!({"mode": "A"}), None), ["spec: Invalid value: A needs a ref"]);
        let long = complaints(json!({"mode": "B", "host": "a.long"}), None);
        assert_eq!(long, ["spec.host: Invalid value: \"a.long\": a label of a.long is too long"]);
    }

    #[test]
    fn a_rule_about_a_change_is_asked_only_at_one() {
        let old = Some(json!({"mode": "B"}));
        assert_eq!(complaints(json!({"mode": "C"}), old), ["spec: Forbidden: mode is fixed"]);
        assert!(complaints(json!({"mode": "C"}), None).is_empty());
    }

    #[test]
    fn what_was_stored_before_the_rule_may_stay() {
        let old = json!({"mode": "A"});
        assert!(complaints(old.clone(), Some(old)).is_empty());
    }

    #[test]
    fn a_rule_that_does_not_compile_is_refused_with_the_definition() {
        let mut errors = Vec::new();
        let schema = json!({"properties": {"a": {"x-kubernetes-validations": [{"rule": "self +"}]}}});
        check_definition(&schema, "schema", &mut errors);
        assert!(errors[0].line().starts_with("schema.properties[a].x-kubernetes-validations[0].rule: Invalid value"));
    }
}
