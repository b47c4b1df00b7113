//! What resources the server knows: the built-in ones, and those that CustomResourceDefinitions add.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{builtin, schema::Schema};

/// One served resource in one version.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// API group; empty for core.
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) traits: Traits,
    /// Field types, for apply; and for custom resources the schema that is validated against.
    pub(crate) schema: Schema,
}

/// Where the real server's strategies for resources differ.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traits {
    /// Defined by a CustomResourceDefinition: pruned, defaulted and validated by its schema.
    pub(crate) custom: bool,
    /// Has a `status` subresource, so writes to the main resource leave the status alone.
    pub(crate) status: bool,
    /// Counts `metadata.generation`.
    pub(crate) generation: bool,
    /// PUT without a resourceVersion overwrites.
    pub(crate) unconditional_update: bool,
    /// PUT of an absent object creates it.
    pub(crate) create_on_update: bool,
    /// DELETE answers with the object instead of a Status.
    pub(crate) returns_deleted: bool,
}

impl Resource {
    /// `secrets`, `leases.coordination.k8s.io`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `v1`, `coordination.k8s.io/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The key under which objects of the resource are stored, the same for all its versions.
    pub(crate) fn storage(&self) -> Storage {
        // Both Event APIs show the same objects.
        let group = if self.plural == "events" { "" } else { self.group.as_str() };
        Storage { group: group.to_owned(), plural: self.plural.clone() }
    }
}

/// A set of stored objects: all versions of one group and plural.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Storage {
    pub(crate) group: String,
    pub(crate) plural: String,
}

/// All served resources, found by group, version and plural.
#[derive(Debug)]
pub(crate) struct Registry {
    resources: BTreeMap<(String, String, String), Arc<Resource>>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let mut registry = Self { resources: BTreeMap::new() };
        for resource in builtin::resources() {
            registry.add(resource);
        }
        registry
    }

    fn add(&mut self, resource: Resource) {
        let key = (resource.group.clone(), resource.version.clone(), resource.plural.clone());
        self.resources.insert(key, Arc::new(resource));
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.resources.get(&(group.to_owned(), version.to_owned(), plural.to_owned())).cloned()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// Serves what a CustomResourceDefinition defines; replaces what an older state of it defined.
    pub(crate) fn register(&mut self, crd: &Value) {
        self.unregister(crd);
        for resource in custom_resources(crd) {
            self.add(resource);
        }
    }

    pub(crate) fn unregister(&mut self, crd: &Value) {
        let group = crd["spec"]["group"].as_str().unwrap_or_default();
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap_or_default();
        self.resources.retain(|(g, _, p), resource| !(resource.traits.custom && g == group && p == plural));
    }
}

fn custom_resources(crd: &Value) -> Vec<Resource> {
    let spec = &crd["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let names = &spec["names"];
    let versions = spec["versions"].as_array().cloned().unwrap_or_default();
    let served = versions.iter().filter(|version| version["served"] == true);
    let resource = |version: &Value| Resource {
        group: text(&spec["group"]),
        version: text(&version["name"]),
        kind: text(&names["kind"]),
        list_kind: text(&names["listKind"]),
        plural: text(&names["plural"]),
        singular: text(&names["singular"]),
        short_names: names["shortNames"].as_array().into_iter().flatten().map(text).collect(),
        namespaced: spec["scope"] == "Namespaced",
        traits: Traits {
            custom: true,
            status: version["subresources"]["status"].is_object(),
            generation: true,
            ..Traits::default()
        },
        schema: Schema::custom(&version["schema"]["openAPIV3Schema"]),
    };
    served.map(resource).collect()
}
