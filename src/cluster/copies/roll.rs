//! Rolling the workloads that read a copy, as `kubectl rollout restart` does: an annotation of the pod template changes.
//! Its value is the certificate's fingerprint, and it stands on the workload as well, in the same write: that is how one
//! sees, after a crash too, that it was done.

use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use serde_json::json;

use crate::{
    api,
    cluster::{
        MANAGER,
        error::{CallError, bounded},
    },
    lifecycle::{FailureKind, ObjectName, targets::Workload},
};

/// Rolls each of these workloads, unless it was rolled for this fingerprint already. One that has never been seen is
/// only marked: it has read the copy since it was started.
pub(super) async fn roll(
    client: &Client,
    place: &ObjectName,
    workloads: &[Workload],
    fingerprint: &str,
) -> Result<(), CallError> {
    for workload in workloads {
        roll_one(client, place, workload, fingerprint).await.map_err(|error| explain(place, workload, error))?;
    }
    Ok(())
}

async fn roll_one(
    client: &Client,
    place: &ObjectName,
    workload: &Workload,
    fingerprint: &str,
) -> Result<(), CallError> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", &workload.kind));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &place.namespace, &resource);
    let Some(found) = bounded(api.get_metadata_opt(&workload.name)).await? else {
        let message = "it does not exist: create it, or remove it from the target's restart";
        return Err(CallError::Failed(FailureKind::Rejected, message.to_owned()));
    };
    let mark = found.annotations().get(api::ROLLED);
    if mark.is_some_and(|mark| mark == fingerprint) {
        return Ok(());
    }
    let note = json!({ (api::ROLLED): fingerprint });
    let mut patch = json!({"metadata": {
        "uid": found.uid(), "resourceVersion": found.resource_version(), "annotations": note,
    }});
    if mark.is_some() {
        patch["spec"] = json!({"template": {"metadata": {"annotations": note}}});
        tracing::info!(kind = workload.kind, name = workload.name, namespace = place.namespace, fingerprint, "rolled");
    }
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    bounded(api.patch_metadata(&workload.name, &params, &Patch::Merge(patch))).await?;
    Ok(())
}

fn explain(place: &ObjectName, workload: &Workload, error: CallError) -> CallError {
    let Workload { kind, name } = workload;
    match error {
        CallError::Failed(FailureKind::Denied, message) => CallError::Failed(
            // Not Denied: that would be told as a right on the copy's Secret.
            FailureKind::Rejected,
            format!(
                "{kind} {name} is not rolled: grant the verbs get and patch on {}s.apps with resourceNames [\"{name}\"] \
                 in namespace {} ({message})",
                kind.to_lowercase(),
                place.namespace
            ),
        ),
        CallError::Failed(failure, message) => {
            CallError::Failed(failure, format!("{kind} {name} is not rolled: {message}"))
        }
        CallError::Stale => CallError::Stale,
    }
}
