//! One Secret, read once: for commands that look and do not stay.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use super::{
    error::{CallError, bounded},
    secrets::Seen,
};
use crate::lifecycle::{FailureKind, ObjectName};

/// Reads this Secret. Its values are wiped when it is dropped.
///
/// # Errors
/// Says that there is none, which rule is missing, or why the API server could not be asked.
pub async fn secret(client: Client, name: &ObjectName) -> Result<Seen, String> {
    let api: Api<Secret> = Api::namespaced(client, &name.namespace);
    bounded(api.get(&name.name)).await.map(Seen::new).map_err(|error| match error {
        CallError::Stale => format!("there is no Secret {} in namespace {}", name.name, name.namespace),
        // Without these words it is the credentials that are refused.
        CallError::Failed(FailureKind::Denied, message) if message.contains(" cannot ") => format!(
            "Secret {name} may not be read: grant the verb get on secrets with resourceNames [\"{}\"] in namespace {} \
             (API server: {message})",
            name.name, name.namespace
        ),
        CallError::Failed(_, message) => format!("Secret {name} could not be read: {message}"),
    })
}
