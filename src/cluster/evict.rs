//! One pod, evicted (law 6).

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, EvictParams, Preconditions},
};

use super::error::{CallError, bounded};
use crate::lifecycle::{FailureKind, reload::Eviction};

/// Asks for the eviction of this very pod, which respects PodDisruptionBudgets. That it is gone already, or another of
/// its name is there, is no failure.
///
/// # Errors
/// Says which right is missing, which PodDisruptionBudget forbids it, or what else the API server said.
pub async fn evict(client: &Client, eviction: &Eviction) -> Result<(), CallError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &eviction.pod.namespace);
    let preconditions = Preconditions { uid: Some(eviction.uid.clone()), resource_version: None };
    let delete_options = Some(DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() });
    let params = EvictParams { delete_options, ..EvictParams::default() };
    let failed =
        |kind, said: &str| CallError::Failed(kind, format!("pod {} could not be evicted: {said}", eviction.pod));
    match bounded(api.evict(&eviction.pod.name, &params)).await {
        Ok(_) | Err(CallError::Stale) => Ok(()),
        Err(CallError::Failed(FailureKind::Denied, said)) => {
            let namespace = &eviction.pod.namespace;
            let rule = format!("grant the verb create on pods/eviction in namespace {namespace} (API server: {said})");
            Err(failed(FailureKind::Denied, &rule))
        }
        Err(CallError::Failed(kind, said)) => Err(failed(kind, &said)),
    }
}
