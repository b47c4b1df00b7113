//! The kinds that are watched, and what is kept of each.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::{Pod as PodObject, Service as ServiceObject};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{ApiResource, GroupVersionKind},
};

use serde_json::Value;

use crate::{
    api::{ENVOY_FILTER_VERSION, GATEWAY_VERSIONS, ISTIO_GROUP, IstioEnvoyFilter, IstioGateway},
    cluster::{
        board::{Kind, core, scoped},
        gateway_object::object_facts,
        gateways::{plain_gateway, plain_pod, plain_service},
        gather::from_api,
    },
    lifecycle::{
        gateway_object::ObjectFacts,
        serving::{Gateway, Pod, Service},
    },
};

/// A Gateway's facts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GatewayFacts {
    pub(super) gateway: Gateway,
    pub(super) generation: i64,
    pub(super) object: ObjectFacts,
}

/// Istio's Gateways.
pub(super) struct Gateways;

impl Kind for Gateways {
    type Object = IstioGateway;
    type Type = ApiResource;
    type Plain = GatewayFacts;
    const RESOURCE: &'static str = "gateways.networking.istio.io";

    fn apis(client: &Client, scope: Option<&str>) -> Vec<Api<IstioGateway>> {
        let api = |version| {
            let kind = GroupVersionKind::gvk(ISTIO_GROUP, version, "Gateway");
            scoped(client, scope, &ApiResource::from_gvk_with_plural(&kind, "gateways"))
        };
        GATEWAY_VERSIONS.into_iter().map(api).collect()
    }

    fn plain(object: &IstioGateway) -> GatewayFacts {
        let generation = object.metadata.generation.unwrap_or_default();
        GatewayFacts { gateway: plain_gateway(object), generation, object: object_facts(object) }
    }
}

/// A Service's facts; Istio takes the oldest that translates a port.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ServiceFacts {
    pub(super) service: Service,
    pub(super) created: DateTime<Utc>,
}

/// Services.
pub(super) struct Services;

impl Kind for Services {
    type Object = ServiceObject;
    type Type = ();
    type Plain = ServiceFacts;
    const RESOURCE: &'static str = "services";

    fn apis(client: &Client, scope: Option<&str>) -> Vec<Api<ServiceObject>> {
        core(client, scope)
    }

    fn plain(object: &ServiceObject) -> ServiceFacts {
        ServiceFacts { service: plain_service(object), created: created(object) }
    }
}

/// A pod's facts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PodFacts {
    pub(super) pod: Pod,
    pub(super) created: DateTime<Utc>,
    /// The Secrets that it has as files.
    pub(super) mounts: BTreeSet<String>,
}

/// Pods.
pub(super) struct Pods;

impl Kind for Pods {
    type Object = PodObject;
    type Type = ();
    type Plain = PodFacts;
    const RESOURCE: &'static str = "pods";

    fn apis(client: &Client, scope: Option<&str>) -> Vec<Api<PodObject>> {
        core(client, scope)
    }

    fn plain(object: &PodObject) -> PodFacts {
        let volumes = object.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let mounts = volumes.flat_map(|volume| {
            let own = volume.secret.iter().filter_map(|secret| secret.secret_name.clone());
            let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
            let projected = projected.filter_map(|source| source.secret.as_ref()).map(|secret| secret.name.clone());
            own.chain(projected).collect::<Vec<String>>()
        });
        PodFacts { pod: plain_pod(object), created: created(object), mounts: mounts.collect() }
    }
}

/// An EnvoyFilter's facts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FilterFacts {
    /// The labels of the pods it is about; empty: all of its namespace.
    pub(super) selector: BTreeMap<String, String>,
    /// It has gateways expect a PROXY header before TLS.
    pub(super) proxy_protocol: bool,
}

/// Istio's EnvoyFilters.
pub(super) struct EnvoyFilters;

impl Kind for EnvoyFilters {
    type Object = IstioEnvoyFilter;
    type Type = ApiResource;
    type Plain = FilterFacts;
    const RESOURCE: &'static str = "envoyfilters.networking.istio.io";

    fn apis(client: &Client, scope: Option<&str>) -> Vec<Api<IstioEnvoyFilter>> {
        let kind = GroupVersionKind::gvk(ISTIO_GROUP, ENVOY_FILTER_VERSION, "EnvoyFilter");
        vec![scoped(client, scope, &ApiResource::from_gvk(&kind))]
    }

    fn plain(object: &IstioEnvoyFilter) -> FilterFacts {
        let labels = object.spec["workloadSelector"]["labels"].as_object().into_iter().flatten();
        let label = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        let patches = object.spec["configPatches"].as_array().into_iter().flatten();
        FilterFacts {
            selector: labels.filter_map(label).collect(),
            proxy_protocol: patches.into_iter().any(adds_proxy_protocol),
        }
    }
}

/// Whether a patch puts Envoy's filter for the PROXY protocol before the listeners of gateways, by its name or by the
/// type of its configuration, wherever in the patch those stand.
fn adds_proxy_protocol(patch: &Value) -> bool {
    let context = patch["match"]["context"].as_str().unwrap_or("ANY");
    let removes = patch["patch"]["operation"].as_str() == Some("REMOVE");
    let applies = ["GATEWAY", "ANY"].contains(&context)
        && ["LISTENER", "LISTENER_FILTER"].contains(&patch["applyTo"].as_str().unwrap_or_default());
    applies && !removes && names_proxy_protocol(&patch["patch"]["value"], 8)
}

fn names_proxy_protocol(value: &Value, depth: usize) -> bool {
    const NAMES: [&str; 3] = [
        "proxy_protocol",
        "envoy.filters.listener.proxy_protocol",
        "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
    ];
    match value {
        Value::String(text) => NAMES.contains(&text.as_str()),
        Value::Array(all) if depth > 0 => all.iter().any(|one| names_proxy_protocol(one, depth - 1)),
        Value::Object(all) if depth > 0 => all.values().any(|one| names_proxy_protocol(one, depth - 1)),
        _ => false,
    }
}

fn created(object: &impl Resource) -> DateTime<Utc> {
    object.creation_timestamp().map_or(DateTime::UNIX_EPOCH, |time| from_api(&time))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expects_header(patch: Value) -> bool {
        let object = json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
            "metadata": {"name": "f", "namespace": "istio-system"}, "spec": {"configPatches": [patch]}});
        EnvoyFilters::plain(&serde_json::from_value(object).expect("an EnvoyFilter")).proxy_protocol
    }

    #[test]
    fn a_filter_for_the_proxy_protocol_is_found_in_each_form_that_people_use() {
        let kind = "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";
        let name = json!({"name": "envoy.filters.listener.proxy_protocol"});
        let typed = json!({"name": "proxy", "typed_config": {"@type": kind}});
        for filter in [name, typed] {
            let merged = json!({"listener_filters": [filter, {"name": "envoy.filters.listener.tls_inspector"}]});
            let patch = json!({"operation": "MERGE", "value": merged});
            assert!(expects_header(json!({"applyTo": "LISTENER", "match": {"context": "GATEWAY"}, "patch": patch})));
            let patch = json!({"operation": "INSERT_FIRST", "value": filter});
            assert!(expects_header(json!({"applyTo": "LISTENER_FILTER", "patch": patch})));
        }
    }

    #[test]
    fn other_patches_are_none_of_it() {
        let value = json!({"name": "envoy.filters.listener.proxy_protocol"});
        let patch = |operation: &str| json!({"operation": operation, "value": value});
        let outbound = json!({"context": "SIDECAR_OUTBOUND"});
        assert!(!expects_header(json!({"applyTo": "LISTENER", "match": outbound, "patch": patch("MERGE")})));
        assert!(!expects_header(json!({"applyTo": "LISTENER_FILTER", "patch": patch("REMOVE")})));
        assert!(!expects_header(json!({"applyTo": "CLUSTER", "patch": patch("MERGE")})));
        let inspector = json!({"operation": "MERGE", "value": {"name": "envoy.filters.listener.tls_inspector"}});
        assert!(!expects_header(json!({"applyTo": "LISTENER", "patch": inspector})));
        assert!(!expects_header(json!(null)));
    }
}
