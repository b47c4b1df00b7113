//! The cases of ownership that the product leans on.

use serde_json::{Value, json};

use super::{Writer, applied, updated};
use crate::server::{
    ApiError,
    registry::{Registry, Resource},
};

const NOW: &str = "2026-01-01T00:00:00Z";

fn secret() -> std::sync::Arc<Resource> {
    Registry::new().find("", "v1", "secrets").expect("secrets are built in")
}

fn writer(manager: &str, apply: bool) -> Writer {
    Writer { manager: manager.into(), apply, api_version: "v1".into(), subresource: String::new() }
}

fn apply(live: &Value, config: Value, manager: &str, force: bool) -> Result<Value, ApiError> {
    applied(&secret(), live, &config, &writer(manager, true), force, NOW)
}

fn created() -> Value {
    let mut new = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "s", "namespace": "n", "uid": "u"}, "data": {"a": "MQ==", "b": "MQ=="}});
    updated(&secret(), None, &mut new, &writer("maker", false), NOW);
    new
}

#[test]
fn a_create_by_post_owns_what_it_sets_including_the_maps() {
    let owner = &created()["metadata"]["managedFields"][0];
    assert_eq!((owner["manager"].as_str(), owner["operation"].as_str()), (Some("maker"), Some("Update")));
    assert_eq!(owner["fieldsV1"], json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:type": {}}));
}

#[test]
fn an_apply_that_changes_what_another_owns_is_a_conflict_with_a_cause_for_each_field() {
    let refused = apply(&created(), json!({"data": {"a": "Mg==", "b": "Mg=="}}), "keeper", false).unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    let causes = refused.details.unwrap()["causes"].clone();
    assert_eq!(causes[0]["field"], ".data.a");
    assert_eq!(causes[1]["reason"], "FieldManagerConflict");
    let wanted = "Apply failed with 2 conflicts: conflicts with \"maker\" using v1:\n\
                  - .data.a\n- .data.b";
    assert_eq!(refused.message, wanted);
}

#[test]
fn an_apply_of_the_same_value_shares_the_field_and_a_forced_one_takes_it() {
    let shared = apply(&created(), json!({"data": {"a": "MQ=="}}), "keeper", false).unwrap();
    let owners = shared["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(owners.len(), 2);
    assert!(owners.iter().all(|owner| owner["fieldsV1"]["f:data"]["f:a"].is_object()));
    let taken = apply(&created(), json!({"data": {"a": "Mg=="}}), "keeper", true).unwrap();
    let owners = taken["metadata"]["managedFields"].as_array().unwrap();
    let maker = owners.iter().find(|owner| owner["manager"] == "maker").unwrap();
    assert_eq!(maker["fieldsV1"], json!({"f:data": {".": {}, "f:b": {}}, "f:type": {}}));
}

#[test]
fn an_apply_gives_up_what_it_no_longer_names_and_cannot_remove_what_others_own() {
    let first = apply(&created(), json!({"data": {"c": "MQ==", "a": "MQ=="}}), "keeper", false).unwrap();
    let second = apply(&first, json!({"data": {}}), "keeper", true).unwrap();
    assert_eq!(second["data"], json!({"a": "MQ==", "b": "MQ=="}), "c was ours alone, a is still the maker's");
}

#[test]
fn an_untracked_object_belongs_to_before_first_apply() {
    let mut live = created();
    live["metadata"].as_object_mut().unwrap().remove("managedFields");
    let refused = apply(&live, json!({"data": {"a": "Mg=="}}), "keeper", false).unwrap_err();
    assert!(refused.message.contains("\"before-first-apply\" using v1"), "{}", refused.message);
}

#[test]
fn more_than_ten_updaters_become_ancient_changes() {
    let mut object = created();
    for n in 0..14 {
        let mut next = object.clone();
        next["data"][format!("k{n}")] = "MQ==".into();
        next["metadata"].as_object_mut().unwrap().remove("managedFields");
        let time = format!("2026-01-02T00:00:{n:02}Z");
        updated(&secret(), Some(&object), &mut next, &writer(&format!("m{n}"), false), &time);
        object = next;
    }
    let owners = object["metadata"]["managedFields"].as_array().unwrap();
    assert!(owners.len() <= 11, "{}", owners.len());
    assert!(owners.iter().any(|owner| owner["manager"] == "ancient-changes"));
}
