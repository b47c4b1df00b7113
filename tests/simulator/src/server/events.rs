//! Events have two APIs over the same objects: core/v1, which is stored, and events.k8s.io/v1.

use serde_json::{Value, json};

use super::registry::Resource;

/// Fields that carry another name: (core/v1, events.k8s.io/v1).
const NAMES: [(&str, &str); 6] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];
/// The same for the reporter, which moved by more than a name.
const REPORTER: (&str, &str) = ("reportingComponent", "reportingController");

fn is_new_api(resource: &Resource) -> bool {
    resource.group == "events.k8s.io"
}

/// The object in the form of the API that it was asked for through.
pub(crate) fn present(resource: &Resource, stored: &Value) -> Value {
    let mut object = stored.clone();
    if is_new_api(resource) {
        rename(&mut object, |(old, new)| (old, new));
    }
    object
}

/// The object in the stored form.
pub(crate) fn store(resource: &Resource, mut sent: Value) -> Value {
    if is_new_api(resource) {
        rename(&mut sent, |(old, new)| (new, old));
        // The real server always stores these two, empty if nobody set them.
        for name in ["source", "involvedObject"] {
            if sent.get(name).is_none() {
                sent[name] = json!({});
            }
        }
    }
    sent
}

fn rename(object: &mut Value, order: fn((&'static str, &'static str)) -> (&'static str, &'static str)) {
    let Some(map) = object.as_object_mut() else { return };
    for (from, to) in NAMES.into_iter().chain([REPORTER]).map(order) {
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::registry::Registry, *};

    #[test]
    fn an_event_written_through_one_api_is_read_through_the_other() {
        let registry = Registry::new();
        let new = registry.find("events.k8s.io", "v1", "events").unwrap();
        let old = registry.find("", "v1", "events").unwrap();
        let sent = json!({"regarding": {"name": "a"}, "note": "hello", "reportingController": "c", "reason": "R"});
        let stored = store(&new, sent);
        assert_eq!(present(&old, &stored)["message"], "hello");
        assert_eq!(present(&old, &stored)["involvedObject"]["name"], "a");
        assert_eq!(present(&new, &stored)["reportingController"], "c");
        assert_eq!(old.storage(), new.storage());
    }
}
