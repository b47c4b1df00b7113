//! Custom resources.

use serde_json::{Value, json};

use super::*;

pub fn schemas() -> Vec<Call> {
    let bad = |spec: Value| post(WIDGETS, widget("w", json!({ "spec": spec })));
    vec![
        post(WIDGETS, widget("w", json!({}))),
        bad(json!({})),
        bad(json!({"size": "1"})),
        bad(json!({"size": 1.5})),
        bad(json!({"size": 0})),
        bad(json!({"size": 10})),
        bad(json!({"size": 1, "mode": "C"})),
        bad(json!({"size": 1, "name": "a"})),
        bad(json!({"size": 1, "name": "abcdef"})),
        bad(json!({"size": 1, "name": "ABC"})),
        bad(json!({"size": 1, "tags": ["a", "a"]})),
        bad(json!({"size": 1, "tags": ["a", "b", "c", "d"]})),
        bad(json!({"size": 1, "list": [{"name": "a"}, {"name": "a"}]})),
        bad(json!({"size": 1, "list": [{"value": "a"}]})),
        bad(json!({"size": 1, "plain": []})),
        bad(json!({"size": 1, "plain": ["a"]})),
        bad(json!({"size": 1, "map": {"a": 1}})),
        bad(json!({"size": 1, "percent": true})),
        bad(json!({"size": 1, "when": "yesterday"})),
        bad(json!({"size": 1, "mode": null, "empty": null, "name": null})),
        bad(json!({"size": 0, "mode": "C", "name": "A"})),
        bad(json!([])),
        post(WIDGETS, json!({"spec": {"size": 1}})),
    ]
}

pub fn rules() -> Vec<Call> {
    let bad = |spec: Value| post(WIDGETS, widget("w", json!({ "spec": spec })));
    vec![
        bad(json!({"size": 1, "name": "abc"})),
        bad(json!({"size": 2, "name": "xbc"})),
        bad(json!({"size": 2, "name": "qyq"})),
        bad(json!({"size": 2, "map": {"long": "1"}})),
        bad(json!({"size": 2, "deep": {"n": 13}})),
        bad(json!({"size": 1, "name": "xyz", "mode": "C"})),
        bad(json!({"size": 2, "name": "abc"})),
        merge(WIDGETS, "w", json!({"spec": {"name": "abd"}})),
        merge(WIDGETS, "w", json!({"spec": {"size": 1}})),
        merge(WIDGETS, "w", json!({"spec": {"name": null}})),
        merge(WIDGETS, "w", json!({"spec": {"name": "abd"}})),
    ]
}

pub fn defaults() -> Vec<Call> {
    vec![
        post(WIDGETS, widget("w", json!({"spec": {"size": 1, "odd": 1, "deep": {"odd": 2}}, "odd": 3}))),
        post(WIDGETS, widget("x", json!({"spec": {"size": 1, "mode": null}, "status": {"any": 1}}))),
        merge(WIDGETS, "w", json!({"spec": {"mode": "B", "odd": 1}})),
        merge(WIDGETS, "w", json!({"spec": {"mode": null, "deep": null}})),
        merge(WIDGETS, "w", json!({"metadata": {"labels": {"l": "1"}, "odd": 1}})),
        merge(WIDGETS, "w", json!({"spec": null})),
    ]
}

pub fn generations() -> Vec<Call> {
    let status = |content_type, body| call("PATCH", format!("{WIDGETS}/w/status?fieldManager=s"), content_type, body);
    let merge_type = "application/merge-patch+json";
    vec![
        post(WIDGETS, widget("w", json!({"spec": {"size": 1}, "status": {"a": 1}}))),
        status(merge_type, json!({"status": {"a": 2}, "spec": {"size": 2}, "metadata": {"labels": {"l": "1"}}})),
        merge(WIDGETS, "w", json!({"spec": {"size": 2}, "status": {"a": 3}})),
        merge(WIDGETS, "w", json!({"metadata": {"labels": {"l": "1"}}})),
        merge(WIDGETS, "w", json!({"metadata": {"generation": 77}})),
        put(WIDGETS, "w/status", widget("w", json!({"metadata": {"resourceVersion": "{rv:w}"}, "status": {"b": 1}}))),
        put(
            WIDGETS,
            "w/status",
            widget("w", json!({"metadata": {"resourceVersion": "{oldrv:w}"}, "status": {"b": 2}})),
        ),
        put(WIDGETS, "w/status", widget("w", json!({"status": {"b": 2}}))),
        put(
            WIDGETS,
            "w/status",
            widget("w", json!({"metadata": {"resourceVersion": "{rv:w}"}, "spec": {"size": 9}, "status": {"b": 3}})),
        ),
        put(WIDGETS, "w", widget("w", json!({"spec": {"size": 3}}))),
        put(WIDGETS, "w", widget("w", json!({"metadata": {"resourceVersion": "{rv:w}"}, "spec": {"size": 3}}))),
        apply(WIDGETS, "w/status", "status", false, widget("w", json!({"status": {"c": 1}}))),
        apply(WIDGETS, "w/status", "status", true, widget("w", json!({"status": {"b": 9}}))),
        apply(WIDGETS, "zz/status", "status", true, widget("zz", json!({"status": {"b": 9}}))),
        get(format!("{WIDGETS}/w/status")),
        call("POST", format!("{WIDGETS}/w/status"), "application/json", json!({})),
    ]
}

pub fn widget_owners() -> Vec<Call> {
    let spec = |spec: Value| widget("", json!({ "spec": spec }));
    vec![
        apply(
            WIDGETS,
            "w",
            "one",
            false,
            spec(json!({"size": 1, "list": [{"name": "a", "value": "1"}, {"name": "b"}], "tags": ["x"]})),
        ),
        apply(
            WIDGETS,
            "w",
            "two",
            false,
            spec(json!({"size": 1, "list": [{"name": "c"}, {"name": "a"}], "tags": ["y"]})),
        ),
        apply(WIDGETS, "w", "two", false, spec(json!({"size": 2, "list": [{"name": "a", "value": "2"}]}))),
        apply(WIDGETS, "w", "two", true, spec(json!({"size": 2, "list": [{"name": "a", "value": "2"}]}))),
        apply(
            WIDGETS,
            "w",
            "one",
            true,
            spec(json!({"size": 2, "map": {"k": "1"}, "atom": {"k": "1"}, "plain": [1, 2]})),
        ),
        apply(
            WIDGETS,
            "w",
            "two",
            false,
            spec(json!({"size": 2, "map": {"l": "1"}, "atom": {"l": "1"}, "plain": [1]})),
        ),
        apply(WIDGETS, "w", "two", true, spec(json!({"size": 2, "map": {"l": "1"}, "atom": {"l": "1"}, "plain": [1]}))),
        apply(WIDGETS, "w", "two", true, spec(json!({"size": 2, "deep": {"n": 1}}))),
        apply(WIDGETS, "w", "two", true, spec(json!({"size": 2, "deep": {}}))),
        apply(WIDGETS, "w", "two", true, spec(json!({"size": 2}))),
        merge(WIDGETS, "w", json!({"spec": {"list": [{"name": "z"}], "map": {"k": "2"}}})),
        apply(WIDGETS, "w", "one", false, spec(json!({"size": 2, "map": {"k": "1"}}))),
        apply(WIDGETS, "w", "one", false, spec(json!({"size": 2, "list": [{"value": "no key"}]}))),
    ]
}
