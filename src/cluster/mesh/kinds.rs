//! The kinds that are watched, and what is kept of each.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::{Pod as PodObject, Service as ServiceObject};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{ApiResource, GroupVersionKind},
};

use super::board::Kind;
use crate::{
    api::{GATEWAY_VERSIONS, ISTIO_GROUP, IstioGateway},
    cluster::{
        gateways::{plain_gateway, plain_pod, plain_service},
        gather::from_api,
    },
    lifecycle::serving::{Gateway, Pod, Service},
};

/// A Gateway's facts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GatewayFacts {
    pub(super) gateway: Gateway,
    pub(super) generation: i64,
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
            let resource = ApiResource::from_gvk_with_plural(&kind, "gateways");
            match scope {
                None => Api::all_with(client.clone(), &resource),
                Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            }
        };
        GATEWAY_VERSIONS.into_iter().map(api).collect()
    }

    fn plain(object: &IstioGateway) -> GatewayFacts {
        let generation = object.metadata.generation.unwrap_or_default();
        GatewayFacts { gateway: plain_gateway(object), generation }
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

fn core<K>(client: &Client, scope: Option<&str>) -> Vec<Api<K>>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    vec![match scope {
        None => Api::all(client.clone()),
        Some(namespace) => Api::namespaced(client.clone(), namespace),
    }]
}

fn created(object: &impl Resource) -> DateTime<Utc> {
    object.creation_timestamp().map_or(DateTime::UNIX_EPOCH, |time| from_api(&time))
}
