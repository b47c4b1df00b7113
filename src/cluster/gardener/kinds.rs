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
    cluster::board::{Kind, core, scoped},
    lifecycle::gardener,
};

/// The API of Certificates.
pub(super) fn certificates(client: &Client, namespace: Option<&str>) -> Api<Certificate> {
    scoped(client, namespace, &ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, VERSION, "Certificate")))
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
        core(client, scope)
    }

    fn plain(object: &ConfigMap) -> ShootInfo {
        object.into()
    }
}
