//! get and list.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    registry::Resource,
    request::Call,
    selectors::Selector,
    status::ApiError,
    store::{Name, Store},
    watch::invalid_version,
};

/// An object as a client sees it: in the version that was asked for, or its metadata only.
pub(crate) fn present(resource: &Resource, object: &Value, metadata_only: bool) -> Value {
    if metadata_only {
        return json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
        });
    }
    let mut object = super::events::present(resource, object);
    object["kind"] = resource.kind.clone().into();
    object["apiVersion"] = resource.api_version().into();
    object
}

/// One object.
pub(crate) fn get(store: &Store, resource: &Resource, name: &Name, call: &Call) -> Result<Value, ApiError> {
    let wanted = call.query("resourceVersion").unwrap_or_default();
    if !wanted.is_empty() {
        check_not_ahead(store, wanted.parse().map_err(|_| invalid_version(wanted))?)?;
    }
    let object = store.get(&resource.storage(), name).ok_or_else(|| ApiError::not_found(resource, &name.1))?;
    Ok(present(resource, &object, call.metadata_only()))
}

fn check_not_ahead(store: &Store, version: u64) -> Result<(), ApiError> {
    if version > store.version() {
        return Err(ApiError::too_large_resource_version(version, store.version()));
    }
    Ok(())
}

/// The version of a continue token that goes on at the present, whatever was there before.
const PRESENT: u64 = 0;

/// Where a paged list goes on: the version it shows, and the last name that was sent.
struct Continue {
    version: u64,
    after: Name,
}

impl Continue {
    fn encode(&self) -> String {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let (namespace, name) = &self.after;
        URL_SAFE_NO_PAD
            .encode(json!({"v": "meta.k8s.io/v1", "rv": self.version, "start": [namespace, name]}).to_string())
    }

    fn decode(text: &str) -> Option<Self> {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let token: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let part = |index: usize| token["start"][index].as_str().map(str::to_owned);
        Some(Self { version: token["rv"].as_u64()?, after: (part(0)?, part(1)?) })
    }
}

/// A list, or a page of one.
pub(crate) fn list(store: &Store, resource: &Resource, selector: &Selector, call: &Call) -> Result<Value, ApiError> {
    let limit: usize = match call.query("limit") {
        Some(text) => text.parse().map_err(|_| ApiError::bad_request(format!("limit: invalid value {text:?}")))?,
        None => 0,
    };
    let wanted = call.query("resourceVersion").unwrap_or_default();
    let wanted: u64 = if wanted.is_empty() { 0 } else { wanted.parse().map_err(|_| invalid_version(wanted))? };
    let page = call.query("continue").map(|text| Continue::decode(text).ok_or_else(bad_token)).transpose()?;
    check_not_ahead(store, wanted)?;
    let exact = call.query("resourceVersionMatch") == Some("Exact");
    let version = match &page {
        Some(page) if page.version == PRESENT => store.version(),
        Some(page) if page.version < store.compacted() => return Err(token_too_old(page)),
        Some(page) => page.version,
        None if exact && wanted < store.compacted() => {
            let message = format!("too old resource version: {wanted} ({})", store.compacted());
            return Err(ApiError::expired(message));
        }
        None if exact && wanted > 0 => wanted,
        None => store.version(),
    };
    let snapshot: Vec<(Name, Arc<Value>)> = if version == store.version() {
        store.all(&resource.storage()).map(|(name, object)| (name.clone(), object.clone())).collect()
    } else {
        store.all_at(&resource.storage(), version).into_iter().collect()
    };
    let after = page.map(|page| page.after);
    let mut matching: Vec<_> = snapshot
        .into_iter()
        .filter(|(name, object)| after.as_ref().is_none_or(|after| name > after) && selector.matches(object))
        .collect();
    let mut metadata = json!({"resourceVersion": version.to_string()});
    // "Any version will do" is answered from the cache, which ignores limits.
    let any_version = call.query("resourceVersion") == Some("0") && !exact;
    if limit > 0 && matching.len() > limit && !any_version {
        metadata["remainingItemCount"] = (matching.len() - limit).into();
        matching.truncate(limit);
        if let Some((after, _)) = matching.last() {
            metadata["continue"] = Continue { version, after: after.clone() }.encode().into();
        }
        if call.query("labelSelector").is_some() || call.query("fieldSelector").is_some() {
            metadata.as_object_mut().map(|map| map.remove("remainingItemCount"));
        }
    }
    if resource.traits.custom && !call.metadata_only() && metadata["continue"].is_null() {
        metadata["continue"] = "".into();
    }
    Ok(envelope(resource, metadata, &matching, call.metadata_only()))
}

fn envelope(resource: &Resource, metadata: Value, objects: &[(Name, Arc<Value>)], metadata_only: bool) -> Value {
    let items: Vec<Value> = objects.iter().map(|(_, object)| item(resource, object, metadata_only)).collect();
    let (kind, version) = if metadata_only {
        ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned())
    } else {
        (resource.list_kind.clone(), resource.api_version())
    };
    json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items})
}

/// Items of built-in lists do not repeat kind and version; those of custom resources do.
fn item(resource: &Resource, object: &Value, metadata_only: bool) -> Value {
    let mut item = present(resource, object, metadata_only);
    if !resource.traits.custom
        && !metadata_only
        && let Some(map) = item.as_object_mut()
    {
        map.remove("kind");
        map.remove("apiVersion");
    }
    item
}

fn bad_token() -> ApiError {
    ApiError::bad_request("continue key is not valid: it was not given out by this server")
}

fn token_too_old(page: &Continue) -> ApiError {
    let mut error = ApiError::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    error.resume = Some(Continue { version: PRESENT, after: page.after.clone() }.encode());
    error
}
