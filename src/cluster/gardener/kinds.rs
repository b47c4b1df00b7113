//! The kinds that are watched.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    core::{ApiResource, GroupVersionKind},
};

use super::facts::facts;
use crate::{
    api::{
        ShootInfo,
        gardener::{Certificate, GROUP, VERSION},
    },
    cluster::board::Kind,
    lifecycle::gardener,
};

/// The API of Certificates.
pub(super) fn certificates(client: &Client, namespace: Option<&str>) -> Api<Certificate> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, VERSION, "Certificate"));
    match namespace {
        None => Api::all_with(client.clone(), &resource),
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

/// Gardener's Certificates.
pub(super) struct Certificates;

impl Kind for Certificates {
    type Object = Certificate;
    type Type = ApiResource;
    type Plain = gardener::Certificate;
    const RESOURCE: &'static str = "certificates.cert.gardener.cloud";
    // Certificate management may be switched on at any time.
    const UNKNOWN_AGAIN: Duration = Duration::from_secs(15);

    fn apis(client: &Client, scope: Option<&str>) -> Vec<Api<Certificate>> {
        vec![certificates(client, scope)]
    }

    fn plain(object: &Certificate) -> gardener::Certificate {
        facts(object)
    }
}

/// The ConfigMap in which a shoot tells of itself, and no other.
pub(super) struct ShootInfos;

impl Kind for ShootInfos {
    type Object = ConfigMap;
    type Type = ();
    type Plain = ShootInfo;
    const RESOURCE: &'static str = "configmaps";
    const NAME: Option<&'static str> = Some(crate::api::SHOOT_INFO_NAME);

    fn apis(client: &Client, scope: Option<&str>) -> Vec<Api<ConfigMap>> {
        vec![match scope {
            None => Api::all(client.clone()),
            Some(namespace) => Api::namespaced(client.clone(), namespace),
        }]
    }

    fn plain(object: &ConfigMap) -> ShootInfo {
        object.into()
    }
}
