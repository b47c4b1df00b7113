//! What two servers cannot agree on, replaced by what they can.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The answers and events of one sequence, all together.
pub fn normalised(values: Vec<Value>, namespace: &str) -> Vec<Value> {
    let mut versions = BTreeSet::new();
    let mut uids = BTreeMap::new();
    values.iter().for_each(|value| gather(value, &mut versions, &mut uids));
    let ranks: BTreeMap<u64, usize> = versions.into_iter().enumerate().map(|(rank, version)| (version, rank)).collect();
    values.into_iter().map(|value| replace("", value, namespace, &ranks, &uids)).collect()
}

fn gather(value: &Value, versions: &mut BTreeSet<u64>, uids: &mut BTreeMap<String, usize>) {
    match value {
        Value::Object(map) => {
            // A list's version counts all writes to the server, of other sequences too.
            let list = map.contains_key("items");
            for (key, value) in map.iter().filter(|(key, _)| !(list && *key == "metadata")) {
                match (key.as_str(), value) {
                    ("resourceVersion", Value::String(text)) => versions.extend(text.parse::<u64>()),
                    ("uid", Value::String(text)) => {
                        let next = uids.len();
                        uids.entry(text.clone()).or_insert(next);
                    }
                    _ => gather(value, versions, uids),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| gather(value, versions, uids)),
        _ => {}
    }
}

fn replace(
    key: &str,
    value: Value,
    namespace: &str,
    ranks: &BTreeMap<u64, usize>,
    uids: &BTreeMap<String, usize>,
) -> Value {
    let below = |key: &str, value| replace(key, value, namespace, ranks, uids);
    match value {
        Value::String(text) => match key {
            "resourceVersion" => {
                text.parse().ok().and_then(|v| ranks.get(&v)).map_or("any".into(), |r| format!("#{r}").into())
            }
            "uid" => uids.get(&text).map_or(text.clone(), |rank| format!("uid {rank}")).into(),
            "creationTimestamp" | "deletionTimestamp" | "time" | "lastTransitionTime" => "some time".into(),
            "continue" => "some token".into(),
            _ => plain(&text, namespace, uids).into(),
        },
        Value::Array(list) => {
            let mut list: Vec<Value> = list.into_iter().map(|value| below("", value)).collect();
            if matches!(key, "managedFields" | "causes") {
                // Owners are ordered by time, which is equal within a second; complaints by the chance of Go's maps.
                list.sort_by_key(ToString::to_string);
            }
            Value::Array(list)
        }
        Value::Object(mut map) => {
            // It may equal an object's version on a server that nobody else writes to, so rank cannot tell.
            if map.contains_key("items") && map.get("metadata").is_some_and(|m| m.get("resourceVersion").is_some()) {
                map["metadata"]["resourceVersion"] = "of the list".into();
            }
            map.into_iter().map(|(key, value)| (key.clone(), below(&key, value))).collect()
        }
        other => other,
    }
}

/// A text without namespace, uids, times and numbers that only one server knows.
fn plain(text: &str, namespace: &str, uids: &BTreeMap<String, usize>) -> String {
    let mut text = text.replace(namespace, "NS");
    if let Some((head, _)) = text.split_once("is invalid: [") {
        return format!("{head}is invalid, see causes");
    }
    // Which type was found instead of which is said in the words of the language.
    if let Some((head, rest)) = text.split_once("cannot be handled as a Secret: ")
        && (rest.starts_with("json: ") || rest.starts_with("invalid type: "))
    {
        return format!("{head}cannot be decoded");
    }
    for (uid, rank) in uids {
        text = text.replace(uid, &format!("uid {rank}"));
    }
    // `… at 2026-01-01T00:00:00Z`, `record (1234)`.
    let words = text.split(' ').map(|word| {
        let time = word.len() >= 20 && word.as_bytes()[4] == b'-' && word.as_bytes()[10] == b'T';
        let digits = word.trim_matches(|c: char| !c.is_ascii_digit());
        if time {
            word.replacen(&word[..20], "TIME", 1)
        } else if digits.len() >= 2 && digits.chars().all(|c| c.is_ascii_digit()) && word.starts_with('(') {
            word.replace(digits, "N")
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_differs_in_nothing_but_numbers_is_the_same() {
    let one = |version: &str, uid: &str| {
        let object = serde_json::json!({"metadata": {"resourceVersion": version, "uid": uid, "namespace": "x"},
            "message": format!("uid {uid} at 2026-01-01T00:00:00Z: no")});
        normalised(vec![object], "x")
    };
    assert_eq!(one("7", "a-1"), one("123", "b-2"));
    assert_eq!(one("7", "a-1")[0]["metadata"]["namespace"], "NS");
}
