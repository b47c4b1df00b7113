//! The Secrets that pairs are put into.

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, PostParams},
};
use serde_json::Value;

use super::{
    MANAGER,
    material::{Answer, Leaf},
    worker::{Worker, resource},
};

pub(super) const HASH: &str = "cert.gardener.cloud/hash";
const MARK: &str = "cert.gardener.cloud/certificate";
const REQUESTED_AT: &str = "cert.gardener.cloud/requestedAt";
pub(super) const REVOKED: &str = "cert.gardener.cloud/revoked";

/// A namespace and a name.
pub(super) type SecretKey = (String, String);

fn params() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

/// Where `spec` wants the pair; `None`: a name is made up.
pub(super) fn wanted(namespace: &str, spec: &Value) -> Result<Option<SecretKey>, String> {
    let name = spec["secretName"].as_str();
    if !spec["secretRef"].is_object() {
        return Ok(name.filter(|name| !name.is_empty()).map(|name| (namespace.to_owned(), name.to_owned())));
    }
    let wanted = spec["secretRef"]["name"].as_str().unwrap_or_default();
    if wanted.is_empty() {
        return Err("secretRef.name must not be empty if specified".to_owned());
    }
    if let Some(name) = name.filter(|name| *name != wanted) {
        return Err(format!("conflicting names in secretRef.Name and secretName: {wanted} != {name}"));
    }
    let elsewhere = spec["secretRef"]["namespace"].as_str().filter(|namespace| !namespace.is_empty());
    Ok(Some((elsewhere.unwrap_or(namespace).to_owned(), wanted.to_owned())))
}

/// When a Secret's certificate was asked for.
pub(super) fn requested_at(secret: &Secret) -> Option<chrono::DateTime<chrono::Utc>> {
    let text = secret.metadata.annotations.as_ref()?.get(REQUESTED_AT)?;
    Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

pub(super) fn is_revoked(secret: &Secret) -> bool {
    secret.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(REVOKED))
}

/// Marks the Secret of a Certificate as revoked.
pub(super) async fn revoke(client: &Client, namespace: &str, name: &str) -> Result<(), kube::Error> {
    let certificates: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource("Certificate"));
    let certificate = certificates.get(name).await?;
    let (space, secret) = wanted(namespace, &certificate.data["spec"]).ok().flatten().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &space);
    let mut stored = secrets.get(&secret).await?;
    stored.metadata.annotations.get_or_insert_default().insert(REVOKED.to_owned(), "true".to_owned());
    secrets.replace(&secret, &params(), &stored).await.map(drop)
}

/// What goes into a Secret.
pub(super) struct Contents {
    pub(super) data: std::collections::BTreeMap<String, ByteString>,
    pub(super) hash: String,
    pub(super) requested_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl Contents {
    pub(super) fn of(answer: &Answer, hash: String, now: chrono::DateTime<chrono::Utc>) -> Self {
        let entries = [("ca.crt", &answer.ca), ("tls.crt", &answer.chain), ("tls.key", &answer.key)];
        let data = entries.map(|(key, text)| (key.to_owned(), ByteString(text.clone().into_bytes()))).into();
        Self { data, hash, requested_at: Some(now) }
    }
}

impl Worker {
    pub(super) async fn secret(&self, (namespace, name): &SecretKey) -> Result<Option<Secret>, kube::Error> {
        Api::<Secret>::namespaced(self.client.clone(), namespace).get_opt(name).await
    }

    /// Secrets that bear this digest, wherever they lie.
    pub(super) async fn with_hash(&self, hash: &str, near: &[&str]) -> Result<Vec<(Secret, Leaf)>, kube::Error> {
        let selected = ListParams::default().labels(&format!("{HASH}={hash}"));
        let mut found = Vec::new();
        match self.settings().namespace {
            None => found = Api::<Secret>::all(self.client.clone()).list(&selected).await?.items,
            Some(_) => {
                let spaces: std::collections::BTreeSet<&str> = near.iter().copied().collect();
                for space in spaces {
                    let secrets: Api<Secret> = Api::namespaced(self.client.clone(), space);
                    found.extend(secrets.list(&selected).await?.items);
                }
            }
        }
        let usable = found.into_iter().filter(|secret| !is_revoked(secret));
        Ok(usable.filter_map(|secret| Leaf::of(&secret).map(|leaf| (secret, leaf))).collect())
    }

    /// Creates or replaces a Secret; labels and annotations of others stay, their keys of `data` do not.
    pub(super) async fn write_secret(
        &self,
        certificate: &DynamicObject,
        wanted: Option<SecretKey>,
        contents: Contents,
    ) -> Result<SecretKey, kube::Error> {
        let own = certificate.metadata.namespace.clone().unwrap_or_default();
        let namespace = wanted.as_ref().map_or(own, |(namespace, _)| namespace.clone());
        let stored = match &wanted {
            Some(key) => self.secret(key).await?,
            None => None,
        };
        let exists = stored.is_some();
        let mut secret = stored.unwrap_or_default();
        if !exists {
            secret.type_ = Some("kubernetes.io/tls".to_owned());
            secret.metadata.namespace = Some(namespace.clone());
            match wanted {
                Some((_, name)) => secret.metadata.name = Some(name),
                None => {
                    let name = certificate.metadata.name.as_deref().unwrap_or_default();
                    secret.metadata.generate_name = Some(format!("{name}-"));
                }
            }
        }
        let labels = secret.metadata.labels.get_or_insert_default();
        for (key, value) in certificate.data["spec"]["secretLabels"].as_object().into_iter().flatten() {
            labels.insert(key.clone(), value.as_str().unwrap_or_default().to_owned());
        }
        labels.insert(HASH.to_owned(), contents.hash);
        labels.insert(MARK.to_owned(), "true".to_owned());
        let annotations = secret.metadata.annotations.get_or_insert_default();
        annotations.remove(REVOKED);
        if let Some(time) = contents.requested_at {
            annotations.insert(REQUESTED_AT.to_owned(), super::status::rfc3339(time));
        }
        secret.data = Some(contents.data);
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        let written = match exists {
            true => secrets.replace(secret.metadata.name.as_deref().unwrap_or_default(), &params(), &secret).await?,
            false => secrets.create(&params(), &secret).await?,
        };
        Ok((namespace, written.metadata.name.unwrap_or_default()))
    }

    /// Adds the labels that a spec wants on its Secret.
    pub(super) async fn label_secret(&self, spec: &Value, mut secret: Secret) -> Result<(), kube::Error> {
        let labels = secret.metadata.labels.get_or_insert_default();
        let mut changed = false;
        for (key, value) in spec["secretLabels"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            changed |= labels.insert(key.clone(), value.clone()) != Some(value);
        }
        if !changed {
            return Ok(());
        }
        let (namespace, name) =
            (secret.metadata.namespace.clone().unwrap_or_default(), secret.metadata.name.clone().unwrap_or_default());
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        secrets.replace(&name, &params(), &secret).await.map(drop)
    }
}
