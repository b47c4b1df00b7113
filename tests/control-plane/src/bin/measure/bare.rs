//! The yardstick: a loop that does nothing but the same writes, as many at once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    core::{PartialObjectMeta, Request},
};

use crate::process::{AT_ONCE, Outcome};

/// Name of its Secrets.
pub(crate) const NAME: &str = "bare";

/// Secrets like certkeeper's copies, beside them and under another name.
pub(crate) struct Bare {
    client: Client,
    secrets: Vec<Secret>,
}

impl Bare {
    /// Creates them.
    pub(crate) async fn create(client: Client, namespaces: &[String], value: &[(&str, String)]) -> Outcome<Self> {
        let secrets = stream::iter(namespaces)
            .map(|namespace| {
                let client = client.clone();
                async move {
                    let secret = secret(namespace, value);
                    let api: Api<Secret> = Api::namespaced(client, namespace);
                    api.patch(NAME, &PatchParams::apply("bare"), &Patch::Apply(&secret)).await
                }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(Self { client, secrets })
    }

    /// Writes them all over: a PUT each with uid and resourceVersion, answered by metadata alone.
    pub(crate) async fn rotate(&mut self, value: &[(&str, String)]) -> Outcome<Duration> {
        let secrets = std::mem::take(&mut self.secrets);
        let client = &self.client;
        let began = Instant::now();
        self.secrets = stream::iter(secrets)
            .map(|mut secret| async move {
                secret.data = data(value);
                secret.metadata.managed_fields = None;
                let namespace = secret.metadata.namespace.as_deref();
                let params = PostParams { field_manager: Some("bare".to_owned()), ..PostParams::default() };
                let body = serde_json::to_vec(&secret).map_err(kube::Error::SerdeError)?;
                let request = Request::new(<Secret as kube::Resource>::url_path(&(), namespace));
                let mut request = request.replace(NAME, &params, body).map_err(kube::Error::BuildRequest)?;
                let metadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
                request.headers_mut().insert(http::header::ACCEPT, http::HeaderValue::from_static(metadata));
                let answer: PartialObjectMeta<Secret> = client.request(request).await?;
                secret.metadata = answer.metadata;
                Ok::<_, kube::Error>(secret)
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(began.elapsed())
    }
}

fn data(value: &[(&str, String)]) -> Option<BTreeMap<String, ByteString>> {
    Some(value.iter().map(|(key, text)| ((*key).to_owned(), ByteString(text.clone().into_bytes()))).collect())
}

fn secret(namespace: &str, value: &[(&str, String)]) -> Secret {
    let annotations = ["owner", "copy", "fingerprint"].map(|name| (format!("example.com/{name}"), "x".repeat(40)));
    Secret {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(namespace.to_owned()),
            annotations: Some(annotations.into()),
            ..ObjectMeta::default()
        },
        data: data(value),
        ..Secret::default()
    }
}
