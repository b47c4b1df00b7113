//! A single look at the copies with the rights of whoever asks: metadata alone, a few calls at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace as Object, Secret};
use kube::{Api, Client, Resource, ResourceExt, api::ListParams, core::PartialObjectMeta};
use serde::de::DeserializeOwned;

use super::{facts::Known, namespaces};
use crate::{
    api,
    cluster::error::{CallError, bounded},
    lifecycle::{
        FailureKind, ObjectName,
        targets::{Look, Namespaces, Standing, Survey},
    },
};

/// Calls under way at the same time.
const CALLS: usize = 16;
/// Objects in one answer.
const PAGE: u32 = 500;

/// Looks at every copy of one GatewayCertificate and says how each stands.
///
/// # Errors
/// What was asked of the API server and how it failed. A missing right is no error but [`Look::Denied`].
pub async fn look_once(client: &Client, survey: &Survey<'_>) -> Result<Vec<Standing>, String> {
    let mut by_name: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for place in survey.places() {
        by_name.entry(place.name).or_default().insert(place.namespace);
    }
    let mut looks = BTreeMap::new();
    for (name, namespaces) in by_name {
        looks.extend(secrets(client, &name, namespaces).await?);
    }
    Ok(survey.standings(&looks))
}

/// All namespaces and their labels.
///
/// # Errors
/// How the API server failed. A missing right is no error but [`Namespaces::Denied`].
pub async fn all_namespaces(client: &Client) -> Result<Namespaces, String> {
    match pages(Api::<Object>::all(client.clone()), ListParams::default()).await {
        Ok(list) => {
            let known = list.into_iter().map(|object| (object.name_any(), namespaces::facts(object)));
            Ok(Namespaces::Known(Arc::new(known.collect())))
        }
        Err(error) => {
            let refusal = refusal(error).map_err(|message| format!("namespaces cannot be listed: {message}"))?;
            Ok(Namespaces::Denied(format!("you need the verb list on namespaces (API server: {refusal})")))
        }
    }
}

/// The Secrets of one name in these namespaces: by one list where there are several and one may ask so, else one by one.
async fn secrets(
    client: &Client,
    name: &str,
    namespaces: BTreeSet<String>,
) -> Result<BTreeMap<ObjectName, Look>, String> {
    let failed = |message: String| format!("Secrets {name} cannot be looked at: {message}");
    if namespaces.len() > 1 {
        let params = ListParams::default().fields(&format!("metadata.name={name}"));
        match pages(Api::<Secret>::all(client.clone()), params).await {
            Ok(list) => {
                let wanted = |secret: &PartialObjectMeta<Secret>| {
                    secret.metadata.namespace.as_ref().is_some_and(|namespace| namespaces.contains(namespace))
                };
                return Ok(list.iter().filter(|secret| wanted(secret)).map(present).collect());
            }
            Err(error) => drop(refusal(error).map_err(failed)?),
        }
    }
    let calls = stream::iter(namespaces).map(|namespace| one(client, ObjectName::new(namespace, name)));
    let looks: Vec<Option<(ObjectName, Look)>> = calls.buffer_unordered(CALLS).try_collect().await.map_err(failed)?;
    Ok(looks.into_iter().flatten().collect())
}

async fn one(client: &Client, place: ObjectName) -> Result<Option<(ObjectName, Look)>, String> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &place.namespace);
    match bounded(api.get_metadata_opt(&place.name)).await {
        Ok(found) => Ok(found.as_ref().map(present)),
        Err(error) => {
            let message = format!("you need the verb get on Secret {place} (API server: {})", refusal(error)?);
            Ok(Some((place, Look::Denied(message))))
        }
    }
}

fn present(secret: &PartialObjectMeta<Secret>) -> (ObjectName, Look) {
    let place = ObjectName::new(secret.metadata.namespace.clone().unwrap_or_default(), secret.name_any());
    let fingerprint = secret.annotations().get(api::FINGERPRINT).cloned();
    let copy = Known::new(secret).copy;
    (place, Look::Present(Box::new(Arc::unwrap_or_clone(copy)), fingerprint))
}

/// What the API server said when it refused; `Err` for any other failure.
fn refusal(error: CallError) -> Result<String, String> {
    match error {
        CallError::Failed(FailureKind::Denied, message) => Ok(message),
        CallError::Failed(_, message) => Err(message),
        CallError::Stale => Err("it changed meanwhile, try again".to_owned()),
    }
}

/// A whole list, page by page.
async fn pages<K>(api: Api<K>, params: ListParams) -> Result<Vec<PartialObjectMeta<K>>, CallError>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = params.limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = bounded(api.list_metadata(&params)).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}
