//! A sequence on both servers, and where the answers part.

use serde_json::{Value, json};

use super::{
    normal::normalised,
    scripts,
    world::{Call, World},
};

/// Runs a sequence on both servers; returns what differs.
pub async fn sequence(name: &str, calls: &[Call], simulated: &World, real: &World) -> Vec<String> {
    let (ours, theirs) = (observe(calls, simulated).await, observe(calls, real).await);
    let mut differences = Vec::new();
    for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        if ours != theirs {
            let what = calls
                .get(index)
                .map_or("events".to_owned(), |call| format!("{} {} {}", call.method, call.path, call.body));
            let parts = summary(ours, theirs).join("\n    ");
            differences.push(format!("{name}, step {}: {what}\n    {parts}", index + 1));
        }
        if differences.len() == 6 {
            // What follows is often no more than a consequence.
            break;
        }
    }
    differences
}

/// Sends requests that both servers refuse, whoever asks; returns what differs.
pub async fn refusals(calls: &[Call], simulated: &World, real: &World) -> Vec<String> {
    let (mut ours, mut theirs) = (simulated.run_in_default(), real.run_in_default());
    let mut differences = Vec::new();
    for call in calls {
        let [ours, theirs] =
            [ours.call(call).await, theirs.call(call).await].map(|(code, body)| json!({"code": code, "body": body}));
        assert_eq!(theirs["code"], 403, "{} {}: {}", call.method, call.path, theirs["body"]);
        if ours != theirs {
            differences.push(format!("{} {}\n    {}", call.method, call.path, summary(&ours, &theirs).join("\n    ")));
        }
    }
    differences
}

async fn observe(calls: &[Call], world: &World) -> Vec<Value> {
    let mut run = world.run().await;
    let mut answers = Vec::new();
    for call in calls {
        let (code, body) = run.call(call).await;
        answers.push(json!({"code": code, "body": body}));
    }
    for (collection, end) in scripts::ends() {
        let used = calls.iter().any(|call| call.path.starts_with(collection));
        let events = if used { run.events(collection, end).await } else { Vec::new() };
        answers.push(Value::Array(events));
    }
    normalised(answers, &run.namespace)
}

/// Where one server refuses and the other does not, the rest says nothing new.
fn summary(ours: &Value, theirs: &Value) -> Vec<String> {
    let line =
        |answer: &Value| format!("{} {}", answer["code"], answer["body"].get("message").unwrap_or(&answer["body"]));
    if ours.get("code") != theirs.get("code") {
        return vec![format!("simulated: {}", line(ours)), format!("real:      {}", line(theirs))];
    }
    parts("", ours, theirs)
}

/// The paths at which two values differ, with both values.
fn parts(path: &str, ours: &Value, theirs: &Value) -> Vec<String> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            let part = |key: &&String| {
                let (ours, theirs) = (a.get(*key).unwrap_or(&Value::Null), b.get(*key).unwrap_or(&Value::Null));
                parts(&format!("{path}.{key}"), ours, theirs)
            };
            keys.iter().flat_map(part).collect()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let part =
                |(index, (ours, theirs)): (usize, (&Value, &Value))| parts(&format!("{path}[{index}]"), ours, theirs);
            a.iter().zip(b).enumerate().flat_map(part).collect()
        }
        _ if ours == theirs => Vec::new(),
        _ => vec![format!("{path}\n        simulated: {ours}\n        real:      {theirs}")],
    }
}
