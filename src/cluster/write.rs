//! The only two writes that Secrets get (law 10), whoever asks for them.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::Request,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    MANAGER,
    error::{CallError, bounded},
    secrets::wipe,
};

/// A resourceVersion that no object ever has (etcd's first revision is the empty store): an apply that names it
/// creates an absent object and is refused with 409 where there is one, so a create can never merge into
/// somebody else's object.
const NEVER: &str = "1";
/// What asks for an object's metadata alone: the answer to a write need not repeat the key.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// How much of the written Secret the API server shall answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// All of it.
    Whole,
    /// Its metadata.
    Metadata,
}

async fn send<T: DeserializeOwned>(
    client: &Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    answer: Answer,
) -> Result<T, CallError> {
    bounded(async {
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        if answer == Answer::Metadata {
            request.headers_mut().insert(http::header::ACCEPT, http::HeaderValue::from_static(METADATA));
        }
        client.request::<T>(request).await
    })
    .await
}

fn requests(secret: &Secret) -> Request {
    Request::new(Secret::url_path(&(), secret.namespace().as_deref()))
}

/// An unforced server-side apply under a manager name of this attempt alone: the only create that RBAC's
/// resourceNames can bound. Nothing else is ever applied to a Secret. The Secret is wiped afterwards.
pub(super) async fn create<T>(client: &Client, mut secret: Secret, answer: Answer) -> Result<T, CallError>
where
    T: DeserializeOwned + Resource,
{
    secret.metadata.resource_version = Some(NEVER.to_owned());
    let manager = format!("{MANAGER}-{:016x}", fastrand::u64(..));
    let name = secret.name_any();
    let request = requests(&secret).patch(&name, &PatchParams::apply(&manager), &Patch::Apply(&secret));
    let created = send::<T>(client, request, answer).await;
    let namespace = secret.namespace().unwrap_or_default();
    wipe(&mut secret);
    let created = created?;
    let alone = created.managed_fields().iter().all(|entry| entry.manager.as_deref() == Some(manager.as_str()));
    if alone { Ok(created) } else { take_back(client, &namespace, &name, &manager).await }
}

/// Not reached with an API server that keeps its word (see [`NEVER`]): an apply that merged into another's
/// object is taken back by applying nothing under the same manager, which removes just what it brought.
async fn take_back<T>(client: &Client, namespace: &str, name: &str, manager: &str) -> Result<T, CallError> {
    let nothing = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    bounded(api.patch(name, &PatchParams::apply(manager), &Patch::Apply(nothing))).await?;
    Err(CallError::Stale)
}

/// A PUT. The Secret must have a uid and a resourceVersion: it replaces that state and no other. It is wiped
/// afterwards.
pub(super) async fn replace<T>(client: &Client, mut secret: Secret, answer: Answer) -> Result<T, CallError>
where
    T: DeserializeOwned,
{
    secret.metadata.managed_fields = None;
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let name = secret.name_any();
    // `Request::replace` wants bytes; what it is given is sent as it is.
    let body = serde_json::to_vec(&secret);
    wipe(&mut secret);
    let body = body.map_err(|error| {
        CallError::Failed(crate::lifecycle::FailureKind::Rejected, format!("{:?}", error.classify()))
    })?;
    let request = requests(&secret).replace(&name, &params, body);
    send(client, request, answer).await
}
