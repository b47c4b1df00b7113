//! What the server says of itself: `/version`, `/api`, `/apis` and below, `/readyz`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::registry::{Registry, Resource};

/// The answer to a path that names no resource; nothing where there is none.
pub(crate) fn answer(registry: &Registry, path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["version"] => Some(json!({"major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": "",
            "gitTreeState": "clean", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""})),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
        ["apis"] => Some(groups(registry)),
        ["apis", group] => groups(registry)["groups"].as_array()?.iter().find(|found| found["name"] == *group).cloned(),
        ["api", version] => resources(registry, "", version),
        ["apis", group, version] => resources(registry, group, version),
        _ => None,
    }
}

fn groups(registry: &Registry) -> Value {
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for resource in registry.all().filter(|resource| !resource.group.is_empty()) {
        groups.entry(&resource.group).or_default().insert(&resource.version);
    }
    let group = |(name, versions): (&&str, &BTreeSet<&str>)| {
        let versions: Vec<Value> =
            versions.iter().map(|v| json!({"groupVersion": format!("{name}/{v}"), "version": v})).collect();
        json!({"kind": "APIGroup", "apiVersion": "v1", "name": name, "preferredVersion": versions[0],
            "versions": versions})
    };
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.iter().map(group).collect::<Vec<_>>()})
}

fn resources(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let served: Vec<_> = registry.all().filter(|r| r.group == group && r.version == version).collect();
    let version = served.first()?.api_version();
    let list: Vec<Value> = served.iter().flat_map(|resource| entries(resource)).collect();
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": list}))
}

fn entries(resource: &Resource) -> Vec<Value> {
    let verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    let mut entry = json!({"name": resource.plural, "singularName": resource.singular,
        "namespaced": resource.namespaced, "kind": resource.kind, "verbs": verbs});
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    let mut entries = vec![entry];
    if resource.traits.status {
        entries.push(json!({"name": format!("{}/status", resource.plural), "singularName": "",
            "namespaced": resource.namespaced, "kind": resource.kind, "verbs": ["get", "patch", "update"]}));
    }
    entries
}
