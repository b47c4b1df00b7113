//! As much of JSON Schema (2020-12) as the answers' schema uses. An unknown keyword fails: nothing is skipped unseen.

use serde_json::{Map, Value};

/// Keywords that say nothing about what is valid here.
const NOTES: [&str; 5] = ["$schema", "$defs", "title", "description", "format"];

/// # Errors
/// Says where `value` breaks `schema`, or which keyword is not known here.
pub fn holds(schema: &Value, value: &Value) -> Result<(), String> {
    one(schema, schema, value, "$")
}

fn one(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let keywords = schema.as_object().ok_or_else(|| format!("{at}: a schema that is no object"))?;
    keywords.iter().try_for_each(|(keyword, wanted)| {
        let holds = match keyword.as_str() {
            "$ref" => return one(root, refers(root, wanted)?, value, at),
            "anyOf" => count(root, wanted, value, at) > 0,
            "oneOf" => count(root, wanted, value, at) == 1,
            "type" => words(wanted).any(|kind| is(kind, value)),
            "const" => wanted == value,
            "enum" => wanted.as_array().is_some_and(|allowed| allowed.contains(value)),
            "minimum" => value.as_f64() >= wanted.as_f64(),
            "maximum" => value.as_f64() <= wanted.as_f64(),
            // The one pattern there is.
            "pattern" => match wanted.as_str() {
                Some("^[0-9a-f]{64}$") => value.as_str().is_some_and(|text| {
                    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
                }),
                other => return Err(format!("{at}: the pattern {other:?} is not known here")),
            },
            "required" => words(wanted).all(|name| value.get(name).is_some()),
            "properties" => return properties(root, wanted, value, at),
            "items" => return items(root, wanted, value, at),
            note if NOTES.contains(&note) => true,
            other => return Err(format!("{at}: the keyword {other} is not known here")),
        };
        if holds { Ok(()) } else { Err(format!("{at}: {value} breaks {keyword} {wanted}")) }
    })
}

fn refers<'a>(root: &'a Value, reference: &Value) -> Result<&'a Value, String> {
    let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).unwrap_or("?");
    root.pointer(pointer).ok_or_else(|| format!("{reference} leads nowhere"))
}

fn count(root: &Value, schemas: &Value, value: &Value, at: &str) -> usize {
    schemas.as_array().into_iter().flatten().filter(|schema| one(root, schema, value, at).is_ok()).count()
}

fn words(wanted: &Value) -> impl Iterator<Item = &str> {
    wanted.as_str().into_iter().chain(wanted.as_array().into_iter().flatten().filter_map(Value::as_str))
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        _ => false,
    }
}

fn properties(root: &Value, wanted: &Value, value: &Value, at: &str) -> Result<(), String> {
    let (empty, none) = (Map::new(), Map::new());
    let known = wanted.as_object().unwrap_or(&empty);
    for (name, inner) in value.as_object().unwrap_or(&none) {
        let schema = known.get(name).ok_or_else(|| format!("{at}: the field {name} is not in the schema"))?;
        one(root, schema, inner, &format!("{at}.{name}"))?;
    }
    Ok(())
}

fn items(root: &Value, wanted: &Value, value: &Value, at: &str) -> Result<(), String> {
    let mut items = value.as_array().into_iter().flatten().enumerate();
    items.try_for_each(|(index, item)| one(root, wanted, item, &format!("{at}[{index}]")))
}
