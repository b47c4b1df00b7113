//! The components that need the certificate, too: their namespaces, and the Secrets that lie in them.

use std::{
    collections::BTreeMap,
    pin::pin,
    time::{Duration, Instant},
};

use certkeeper::{
    api::{FINGERPRINT, GatewayCertificate},
    certificate::{Supplied, read},
};
use futures::StreamExt;
use k8s_openapi::{
    ByteString,
    api::core::v1::{Namespace, Secret},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher::watch_object},
};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    missed::{Missed, Seen},
    stage::{HOME, OBJECT, Stage},
};

/// The copies without a key: each namespace that wants one has it.
pub(crate) const PUBLIC: &str = "gateway-certificate";
/// The label of namespaces that want it.
pub(crate) const LABEL: (&str, &str) = ("gateway-certificate", "wanted");
/// The copy with the key …
pub(crate) const PAIR: &str = "gateway-pair";
/// … for this namespace and no other.
pub(crate) const SHOP: &str = "shop";

/// What lies where a copy should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    pub(crate) uid: String,
    pub(crate) version: String,
    pub(crate) keys: Vec<String>,
    /// Of the leaf in `tls.crt`, whoever wrote it.
    pub(crate) leaf: Option<String>,
    /// certkeeper's note of it.
    pub(crate) noted: Option<String>,
}

impl Copied {
    fn new(secret: Secret) -> Self {
        let (uid, version) = (secret.uid().unwrap_or_default(), secret.resource_version().unwrap_or_default());
        let noted = secret.annotations().get(FINGERPRINT).cloned();
        let data = secret.data.unwrap_or_default();
        let certificate = data.get("tls.crt").map(|ByteString(bytes)| bytes.as_slice());
        let key = data.get("tls.key").map(|ByteString(bytes)| bytes.as_slice());
        let facts = read(&Supplied { certificate, key, staple: None });
        let leaf = facts.chain().first().map(|leaf| leaf.fingerprint.to_string());
        Self { uid, version, keys: data.into_keys().collect(), leaf, noted }
    }

    /// It holds this leaf under these keys and nothing else, and says so.
    pub(crate) fn is(&self, leaf: &str, keys: &[&str]) -> bool {
        self.leaf.as_deref() == Some(leaf) && self.noted == self.leaf && self.keys == keys
    }
}

impl Stage {
    fn copies(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.person.clone(), namespace)
    }

    /// Names the targets in the GatewayCertificate.
    pub(crate) async fn name_targets(&self) -> Seen<()> {
        let (label, value) = LABEL;
        let spec = json!({"targets": [
            {"name": "everybody", "secretName": PUBLIC, "layout": "certificate-only",
             "namespaceSelector": {"matchLabels": {label: value}}},
            {"name": "shop", "secretName": PAIR, "layout": "tls", "namespaces": [SHOP]},
        ]});
        let api: Api<GatewayCertificate> = Api::namespaced(self.person.clone(), HOME);
        let taken = Missed::call("the API server accepts the targets");
        let patch = Patch::Merge(json!({"spec": spec}));
        api.patch(OBJECT, &PatchParams::default(), &patch).await.map(drop).map_err(taken)
    }

    /// Creates a namespace, with the label or without; says when that began.
    pub(crate) async fn namespace_appears(&self, name: &str, wants: bool) -> Seen<Instant> {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        let label = BTreeMap::from([(LABEL.0.to_owned(), LABEL.1.to_owned())]);
        namespace.metadata.labels = wants.then_some(label);
        let call = Missed::call("a namespace is created");
        let began = Instant::now();
        Api::all(self.person.clone()).create(&PostParams::default(), &namespace).await.map_err(call)?;
        Ok(began)
    }

    /// Gives a namespace the label; says when that began.
    pub(crate) async fn label(&self, name: &str) -> Seen<Instant> {
        let (label, value) = LABEL;
        let patch = Patch::Merge(json!({"metadata": {"labels": {label: value}}}));
        let call = Missed::call("a namespace is labelled");
        let began = Instant::now();
        Api::<Namespace>::all(self.person.clone()).patch(name, &PatchParams::default(), &patch).await.map_err(call)?;
        Ok(began)
    }

    /// Has somebody create a Secret of their own.
    pub(crate) async fn puts_in_the_way(&self, manager: &str, namespace: &str, name: &str) -> Seen<()> {
        let mut secret = Secret::default();
        secret.metadata.name = Some(name.to_owned());
        secret.data = Some(BTreeMap::from([("note".to_owned(), ByteString(b"ours, please do not touch".to_vec()))]));
        let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        let call = Missed::call("somebody creates a Secret");
        self.copies(namespace).create(&params, &secret).await.map(drop).map_err(call)
    }

    /// Deletes a Secret; says when that began.
    pub(crate) async fn delete(&self, namespace: &str, name: &str) -> Seen<Instant> {
        let began = Instant::now();
        let call = Missed::call("a Secret is deleted");
        self.copies(namespace).delete(name, &DeleteParams::default()).await.map_err(call)?;
        Ok(began)
    }

    /// What lies where a copy should.
    pub(crate) async fn copy(&self, namespace: &str, name: &str) -> Seen<Option<Copied>> {
        let call = Missed::call("a Secret is looked at");
        Ok(self.copies(namespace).get_opt(name).await.map_err(call)?.map(Copied::new))
    }

    /// Waits until what lies where a copy should is as expected; says when that was seen.
    pub(crate) async fn copy_is(
        &self,
        (namespace, name): (&str, &str),
        patience: Duration,
        expected: &str,
        good: impl Fn(&Copied) -> bool,
    ) -> Seen<(Copied, Instant)> {
        let mut states = pin!(watch_object(self.copies(namespace), name).default_backoff());
        let mut last = None;
        let wait = async {
            while let Some(state) = states.next().await {
                // An interrupted watch is taken up again, within the same patience.
                let Ok(state) = state else { continue };
                let state = state.map(Copied::new);
                last.clone_from(&state);
                if let Some(found) = state.filter(&good) {
                    return Some((found, Instant::now()));
                }
            }
            None
        };
        let found = timeout(patience, wait).await.ok().flatten();
        found.ok_or_else(|| {
            let seen = last.map_or_else(|| "there is no such Secret".to_owned(), |last| format!("{last:?}"));
            Missed::new(format!("Secret {namespace}/{name} {expected}, within {patience:?}"), seen)
        })
    }
}
