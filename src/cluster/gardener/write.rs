//! Writes of a Certificate: an apply of our own fields, a patch of the few that make Gardener act, and its end.

use chrono::{DateTime, SecondsFormat, Utc};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};

use super::kinds::certificates;
use crate::{
    api::{
        self, GatewayCertificate,
        gardener::{
            CLASS, Certificate, CertificateSpec, GROUP, IssuerRef, OPERATION, PrivateKey, RECONCILE, SecretRef, VERSION,
        },
    },
    cluster::{
        MANAGED_BY, MANAGER,
        apply::format_undone,
        error::{CALL_TIMEOUT, CallError, bounded, classify, field_conflict},
        gather::name_of,
    },
    lifecycle::{
        FailureKind, ObjectName, Undo, Version,
        gardener::{CertificateWrite, Push, Request},
    },
};

/// A resourceVersion that no object ever has: an apply that names it creates, and never merges into what is there.
const NEVER: &str = "1";

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Writes the Certificate, onto the state that was decided on. `None`: it is deleted.
///
/// # Errors
/// [`CallError::Stale`] when it is not in that state, [`CallError::Failed`] for the rest.
pub async fn write(
    client: &Client,
    write: &CertificateWrite,
    object: &GatewayCertificate,
) -> Result<Option<Certificate>, CallError> {
    let target = write.target();
    let api = certificates(client, Some(&target.namespace));
    let done = match write {
        CertificateWrite::Request { base, request, requested, undone, .. } => {
            let certificate = certificate(target, base.as_ref(), request, (*requested, undone), object);
            // What we ask for is ours: who changes it in a Certificate of ours is told, and undone three times an hour at most.
            let params = PatchParams { force: base.is_some(), ..PatchParams::apply(MANAGER) };
            patch(&api, target, &params, &Patch::Apply(certificate)).await.map(Some)
        }
        CertificateWrite::Push { base, touch, renewed_after, pushes, .. } => {
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            let push = push(base, *touch, *renewed_after, pushes);
            patch(&api, target, &params, &Patch::Merge(push)).await.map(Some)
        }
        CertificateWrite::Delete { base, .. } => {
            let Version { uid, resource_version } = base.clone();
            let preconditions = Preconditions { uid: Some(uid), resource_version: Some(resource_version) };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            bounded(api.delete(&target.name, &params)).await.map(|_| None)
        }
    };
    done.map_err(|error| explain(error, target, matches!(write, CertificateWrite::Delete { .. })))
}

/// The Certificate as it is now.
///
/// # Errors
/// As [`write()`].
pub async fn look(client: &Client, name: &ObjectName) -> Result<Option<Certificate>, CallError> {
    bounded(certificates(client, Some(&name.namespace)).get_opt(&name.name)).await
}

async fn patch(
    api: &Api<Certificate>,
    target: &ObjectName,
    params: &PatchParams,
    patch: &Patch<Value>,
) -> Result<Certificate, CallError> {
    match tokio::time::timeout(CALL_TIMEOUT, api.patch(&target.name, params, patch)).await {
        Ok(Ok(written)) => Ok(written),
        Ok(Err(error)) => Err(match field_conflict(&error) {
            Some(words) => CallError::Failed(FailureKind::Conflict, words),
            None => classify(&error),
        }),
        Err(_) => {
            let words = format!("the API server did not answer within {} s", CALL_TIMEOUT.as_secs());
            Err(CallError::Failed(FailureKind::Transient, words))
        }
    }
}

/// What is applied: our own fields and no others.
fn certificate(
    target: &ObjectName,
    base: Option<&Version>,
    request: &Request,
    (requested, undone): (DateTime<Utc>, &[Undo]),
    object: &GatewayCertificate,
) -> Value {
    let spec = CertificateSpec {
        dns_names: request.names.clone(),
        // An atomic map: whoever sets it sets both.
        secret_ref: request
            .secret
            .as_ref()
            .map(|secret| SecretRef { name: secret.name.clone(), namespace: Some(secret.namespace.clone()) }),
        issuer_ref: request.issuer.clone().map(|(name, namespace)| IssuerRef { name, namespace }),
        renew_before: request.renew_before.clone(),
        duration: request.duration.clone(),
        private_key: Some(PrivateKey {
            algorithm: request.algorithm.clone(),
            size: request.size,
            ..PrivateKey::default()
        }),
        ..CertificateSpec::default()
    };
    let mut certificate = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "Certificate",
        "metadata": {
            "name": target.name, "namespace": target.namespace,
            "labels": {MANAGED_BY: MANAGER},
            "annotations": {api::OWNER: name_of(object).to_string(), api::REQUESTED: text(requested)},
            "ownerReferences": object.owner_ref(&()).map(|owner| vec![owner]),
        },
        "spec": spec,
    });
    let metadata = &mut certificate["metadata"];
    if let Some(class) = &request.class {
        metadata["annotations"][CLASS] = class.as_str().into();
    }
    if !undone.is_empty() {
        metadata["annotations"][api::UNDONE] = format_undone(undone).into();
    }
    match base {
        None => metadata["resourceVersion"] = NEVER.into(),
        Some(Version { uid, resource_version }) => {
            metadata["uid"] = uid.as_str().into();
            metadata["resourceVersion"] = resource_version.as_str().into();
        }
    }
    certificate
}

/// What makes Gardener act, with the marker that it was made to.
fn push(base: &Version, touch: bool, renewed_after: Option<DateTime<Utc>>, pushes: &[Push]) -> Value {
    let mut push = json!({"metadata": {
        "uid": base.uid, "resourceVersion": base.resource_version, "annotations": {api::PUSHED: Push::format(pushes)},
    }});
    if touch {
        push["metadata"]["annotations"][OPERATION] = RECONCILE.into();
    }
    if let Some(after) = renewed_after {
        push["spec"]["ensureRenewedAfter"] = text(after).into();
    }
    push
}

/// A missing right, with the rule to grant.
fn explain(error: CallError, name: &ObjectName, delete: bool) -> CallError {
    match error {
        CallError::Failed(FailureKind::Denied, said) => {
            let verbs = if delete { "delete" } else { "create and patch" };
            let words = format!(
                "grant the verbs {verbs} on certificates.{GROUP} with resourceNames [\"{}\"] in namespace {} (API server: {said})",
                name.name, name.namespace
            );
            CallError::Failed(FailureKind::Denied, words)
        }
        error => error,
    }
}
