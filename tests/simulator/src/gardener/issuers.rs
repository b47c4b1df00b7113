//! Issuers with a CA: what makes them ready.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use serde_json::{Value, json};

use super::{
    MANAGER,
    material::{Authority, digest},
    worker::{Outcome, Worker},
};

/// What is remembered of an issuer.
#[derive(Clone, Debug, Default)]
pub(super) struct Issuer {
    /// The Secret of its CA.
    pub(super) secret: String,
    /// A digest of it; empty while it cannot be read, and then its Certificates wait without a word.
    pub(super) digest: String,
}

impl Worker {
    pub(super) async fn look_at_issuer(&mut self, name: &str) -> Result<Outcome, kube::Error> {
        let settings = self.settings();
        let Some(issuer) = self.api("Issuer", &settings.issuers).get_opt(name).await? else {
            self.issuers.remove(name);
            return Ok(Outcome::Done);
        };
        let spec = &issuer.data["spec"];
        if spec["selfSigned"].is_object() {
            self.issuers.insert(name.to_owned(), Issuer::default());
            return self.tell_issuer(issuer, "Ready", "selfSigned", None).await.map(|()| Outcome::Done);
        }
        let Some(secret) = spec["ca"]["privateKeySecretRef"]["name"].as_str().map(str::to_owned) else {
            self.tell_issuer(issuer, "Error", "", Some("concrete issuer unspecified")).await?;
            return Ok(Outcome::Rest);
        };
        self.issuers.insert(name.to_owned(), Issuer { secret: secret.clone(), digest: String::new() });
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &settings.issuers);
        let Some(pair) = secrets.get_opt(&secret).await? else {
            let message = format!("loading issuer secret failed: secrets \"{secret}\" not found");
            self.tell_issuer(issuer, "Error", "ca", Some(&message)).await?;
            return Ok(Outcome::Delay);
        };
        self.issuers.insert(name.to_owned(), Issuer { secret, digest: digest(&pair) });
        match Authority::of(&pair, self.now()) {
            Ok(_) => {
                self.wake_certificates(name);
                self.tell_issuer(issuer, "Ready", "ca", None).await?;
                Ok(Outcome::Done)
            }
            Err(message) => {
                self.tell_issuer(issuer, "Error", "ca", Some(&message)).await?;
                Ok(Outcome::Rest)
            }
        }
    }

    /// Publishes an issuer's status, where it changes.
    async fn tell_issuer(
        &self,
        mut issuer: DynamicObject,
        state: &str,
        kind: &str,
        message: Option<&str>,
    ) -> Result<(), kube::Error> {
        let mut status = json!({"state": state, "observedGeneration": issuer.metadata.generation});
        if !kind.is_empty() {
            status["type"] = json!(kind);
        }
        if let Some(message) = message {
            status["message"] = json!(message);
        }
        // What is known of a CA stays, as the real one lets it.
        let known = issuer.data["status"]["ca"].clone();
        status["ca"] = if state == "Ready" && kind == "ca" && known.is_null() { json!({"Subject": {}}) } else { known };
        if status["ca"].is_null() {
            status.as_object_mut().map(|status| status.remove("ca"));
        }
        if issuer.data["status"] == status {
            return Ok(());
        }
        issuer.data["status"] = status;
        let (name, namespace) = (issuer.metadata.name.clone().unwrap_or_default(), &self.settings().issuers);
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        self.api("Issuer", namespace).replace_status(&name, &params, &issuer).await.map(drop)
    }
}

/// An issuer's `status.state`.
pub(super) fn state(issuer: &DynamicObject) -> &str {
    issuer.data["status"]["state"].as_str().unwrap_or_default()
}

/// Whether an issuer's status holds what is known of its CA.
pub(super) fn is_registered(issuer: &DynamicObject) -> bool {
    !matches!(issuer.data["status"]["ca"], Value::Null)
}
