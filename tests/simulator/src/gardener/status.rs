//! What is published of a Certificate.

use std::time::Duration;

use certkeeper::api::gardener::{go_duration, parse_go_duration};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use kube::api::{DynamicObject, PostParams};
use serde_json::{Map, Value, json};

use super::{
    MANAGER,
    worker::{Outcome, Worker},
};

/// The first wait after a failure, and how much longer each following one is.
const RATE: Duration = Duration::from_secs(120);
const LONGEST: Duration = Duration::from_secs(8 * 3600);
/// The wait after what only a change of the spec can mend.
const STOP: Duration = Duration::from_secs(24 * 3600);

pub(super) const NOT_BEFORE: &str = "cert.gardener.cloud/not-before";
pub(super) const NOT_AFTER: &str = "cert.gardener.cloud/not-after";

/// Whether and how long a failure is waited out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    None,
    Longer,
    Stop,
}

/// As Kubernetes writes times.
pub(super) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(super) fn time(text: &Value) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text.as_str()?).ok()?.to_utc())
}

fn put(status: &mut Map<String, Value>, field: &str, value: Value) {
    // What is empty is left out, as Go leaves it out.
    if value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
        status.remove(field);
    } else {
        status.insert(field.to_owned(), value);
    }
}

/// The wait after this failure.
fn backoff(status: &Map<String, Value>, generation: i64, wait: Wait, now: DateTime<Utc>) -> Value {
    let before = status.get("backoff").filter(|before| before["observedGeneration"] == generation);
    let before = before.and_then(|before| parse_go_duration(before["recheckInterval"].as_str()?)).unwrap_or_default();
    let interval = if wait == Wait::Stop { STOP } else { (RATE + before).min(LONGEST) };
    let after = now + TimeDelta::from_std(interval).unwrap_or_default();
    json!({"observedGeneration": generation, "recheckAfter": rfc3339(after), "recheckInterval": go_duration(interval)})
}

fn conditions(old: &Value, state: &str, message: Option<&str>, generation: i64, now: DateTime<Utc>) -> Value {
    let status = if state == "Ready" { "True" } else { "False" };
    let message = if state == "Ready" { "" } else { message.unwrap_or_default() };
    let since = if old["status"] == status { old["lastTransitionTime"].clone() } else { json!(rfc3339(now)) };
    json!([{"type": "Ready", "status": status, "reason": state, "message": message, "observedGeneration": generation,
        "lastTransitionTime": since}])
}

impl Worker {
    /// The status that a Certificate gets with this state.
    fn status(&self, certificate: &DynamicObject, state: &str, message: Option<&str>, wait: Wait) -> Value {
        let (now, generation) = (self.now(), certificate.metadata.generation.unwrap_or_default());
        let mut status = certificate.data["status"].as_object().cloned().unwrap_or_default();
        put(&mut status, "message", message.map_or(Value::Null, Value::from));
        status.insert("state".to_owned(), json!(state));
        status.insert("observedGeneration".to_owned(), json!(generation));
        match state {
            "Ready" => {
                status.remove("backoff");
                status.remove("lastPendingTimestamp");
            }
            "Pending" => {}
            _ if wait == Wait::None => {}
            _ => {
                let backoff = backoff(&status, generation, wait, now);
                status.insert("backoff".to_owned(), backoff);
            }
        }
        if !state.is_empty() {
            let old = status.get("conditions").and_then(|conditions| conditions.get(0)).cloned().unwrap_or_default();
            status.insert("conditions".to_owned(), conditions(&old, state, message, generation, now));
        }
        let spec = &certificate.data["spec"];
        put(&mut status, "commonName", spec["commonName"].clone());
        put(&mut status, "dnsNames", spec["dnsNames"].clone());
        let annotations = certificate.metadata.annotations.clone().unwrap_or_default();
        for (field, annotation) in [("issuanceDate", NOT_BEFORE), ("expirationDate", NOT_AFTER)] {
            put(&mut status, field, annotations.get(annotation).map_or(Value::Null, |date| json!(date)));
        }
        let issuer = json!({"cluster": "default", "name": self.issuer_of(spec), "namespace": self.settings().issuers});
        status.insert("issuerRef".to_owned(), issuer);
        Value::Object(status)
    }

    /// Publishes a status, where it changes.
    pub(super) async fn publish(&self, certificate: &mut DynamicObject, status: Value) -> Result<(), kube::Error> {
        if certificate.data["status"] == status {
            return Ok(());
        }
        certificate.data["status"] = status;
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let (namespace, name) = (
            certificate.metadata.namespace.clone().unwrap_or_default(),
            certificate.metadata.name.clone().unwrap_or_default(),
        );
        *certificate = self.api("Certificate", &namespace).replace_status(&name, &params, certificate).await?;
        Ok(())
    }

    pub(super) async fn failed(
        &self,
        mut certificate: DynamicObject,
        message: &str,
        wait: Wait,
    ) -> Result<Outcome, kube::Error> {
        let status = self.status(&certificate, "Error", Some(message), wait);
        self.publish(&mut certificate, status).await.map(|()| Outcome::Rest)
    }

    /// What passes by itself, such as an issuer that was not looked at yet.
    pub(super) async fn delayed(&self, mut certificate: DynamicObject, message: &str) -> Result<Outcome, kube::Error> {
        let status = self.status(&certificate, "Error", Some(message), Wait::None);
        self.publish(&mut certificate, status).await.map(|()| Outcome::Delay)
    }

    pub(super) async fn pending(&self, mut certificate: DynamicObject, message: &str) -> Result<Outcome, kube::Error> {
        let mut status = self.status(&certificate, "Pending", Some(message), Wait::None);
        status["lastPendingTimestamp"] = json!(rfc3339(self.now()));
        self.publish(&mut certificate, status).await.map(|()| Outcome::Done)
    }

    pub(super) async fn told(
        &self,
        mut certificate: DynamicObject,
        state: &str,
        message: Option<&str>,
        outcome: Outcome,
    ) -> Result<Outcome, kube::Error> {
        let status = self.status(&certificate, state, message, Wait::None);
        self.publish(&mut certificate, status).await.map(|()| outcome)
    }
}
