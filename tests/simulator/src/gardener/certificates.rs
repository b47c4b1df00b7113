//! One look at a Certificate, in the order in which the real one looks.

use certkeeper::api::gardener::{CLASS, OPERATION, RECONCILE, go_duration, parse_go_duration};
use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

use super::{
    MANAGER,
    issuers::{is_registered, state},
    material::{Answer, Authority, KeyKind, Leaf, Wanted, go_time, spec_digest},
    queue::Key,
    secrets::{Contents, HASH, SecretKey, is_revoked, requested_at, wanted},
    status::{NOT_AFTER, NOT_BEFORE, Wait, rfc3339, time},
    worker::{Outcome, Request, Worker},
};

/// How long a request that was left unanswered keeps others from being made.
const PENDING: TimeDelta = TimeDelta::seconds(190);
/// The class of a Certificate that names none.
const DEFAULT_CLASS: &str = "gardencert";
const DAY: TimeDelta = TimeDelta::days(1);

type Look = Result<Outcome, kube::Error>;

impl Worker {
    pub(super) async fn look_at_certificate(&mut self, key: &Key) -> Look {
        let Some(mut certificate) = self.api("Certificate", &key.0).get_opt(&key.1).await? else {
            self.asked.remove(key);
            return Ok(Outcome::Rest);
        };
        let annotations = certificate.metadata.annotations.clone().unwrap_or_default();
        if annotations.get(CLASS).is_some_and(|class| !class.is_empty() && class != DEFAULT_CLASS) {
            return Ok(Outcome::Done);
        }
        if certificate.data["status"]["state"] == "Pending" && !self.requests.contains_key(key) {
            // Whoever asked is gone: begin anew.
            forget(&mut certificate.data["status"], "lastPendingTimestamp");
            return self.told(certificate, "", None, Outcome::Done).await;
        }
        if annotations.get(OPERATION).is_some_and(|operation| operation == RECONCILE) {
            let mut status = certificate.data["status"].clone();
            if forget(&mut status, "backoff") {
                self.publish(&mut certificate, status).await?;
                return Ok(Outcome::Done);
            }
            if let Some(annotations) = &mut certificate.metadata.annotations {
                annotations.remove(OPERATION);
            }
            self.update(&mut certificate).await?;
        }
        let backoff = &certificate.data["status"]["backoff"];
        if let Some(after) = time(&backoff["recheckAfter"])
            && backoff["observedGeneration"].as_i64() == certificate.metadata.generation
            && self.now() < after
        {
            let wait = (after - self.now()).to_std().unwrap_or_default();
            return Ok(Outcome::Recheck(wait.max(Duration::from_secs(1))));
        }
        self.advance(key, certificate).await
    }

    async fn advance(&mut self, key: &Key, certificate: DynamicObject) -> Look {
        let spec = certificate.data["spec"].clone();
        let issuer = self.issuer_of(&spec);
        self.asked.insert(key.clone(), issuer.clone());
        if let Some(request) = self.requests.get(key) {
            let left = request.ready.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.deliver(key, certificate).await;
            }
            self.wake_after(key, left);
            return Ok(Outcome::Recheck(Duration::from_secs(30)));
        }
        let place = match wanted(&key.0, &spec) {
            Ok(place) => place,
            Err(message) => return self.failed(certificate, &message, Wait::Stop).await,
        };
        let Some(found) = self.api("Issuer", &self.settings().issuers).get_opt(&issuer).await? else {
            return self.failed(certificate, &not_found(&issuer), Wait::Longer).await;
        };
        let known = self.issuers.get(&issuer).is_some_and(|issuer| !issuer.digest.is_empty());
        if !known && !found.data["spec"]["selfSigned"].is_object() {
            return Ok(Outcome::Delay);
        }
        let stored = match &place {
            Some(place) => self.secret(place).await?,
            None => None,
        };
        let stored = stored.and_then(|secret| Leaf::of(&secret).map(|leaf| (secret, leaf)));
        if let Some((secret, leaf)) = stored
            && let Some(hash) = label(&certificate)
        {
            return self.compare(key, certificate, &hash, secret, leaf).await;
        }
        if let Some(began) = time(&certificate.data["status"]["lastPendingTimestamp"])
            && self.now() < began + PENDING
        {
            return Ok(Outcome::Delay);
        }
        self.obtain(key, certificate).await
    }

    /// The Secret is there and so is the note of what it was made for.
    async fn compare(
        &mut self,
        key: &Key,
        mut certificate: DynamicObject,
        hash: &str,
        secret: Secret,
        leaf: Leaf,
    ) -> Look {
        let spec = certificate.data["spec"].clone();
        if self.digest_of(&spec) != hash {
            certificate.metadata.labels.get_or_insert_default().remove(HASH);
            self.update(&mut certificate).await?;
            return self.told(certificate, "", None, Outcome::Repeat).await;
        }
        self.label_secret(&spec, secret.clone()).await?;
        let until = rfc3339(leaf.not_after);
        if certificate.metadata.annotations.get_or_insert_default().insert(NOT_AFTER.to_owned(), until.clone())
            != Some(until)
        {
            self.update(&mut certificate).await?;
        }
        if self.settle_renewal(&mut certificate).await? {
            return Ok(Outcome::After(Duration::from_secs(1)));
        }
        if let Some(outcome) = self.plan(key, &mut certificate, &leaf).await? {
            return Ok(outcome);
        }
        let revoked = is_revoked(&secret);
        if self.is_asked_again(&spec, &secret, &leaf) || !revoked && self.is_due(&spec, &leaf) {
            return self.obtain(key, certificate).await;
        }
        if revoked {
            return self.told(certificate, "Revoked", Some("certificate has been revoked"), Outcome::Done).await;
        }
        let (from, to) = (go_time(leaf.not_before), go_time(leaf.not_after));
        let message = format!("certificate (SN {}) valid from {from} to {to}", leaf.serial);
        self.told(certificate, "Ready", Some(&message), Outcome::Done).await
    }

    /// Turns `renew`, and an `ensureRenewedAfter` of the future, into one that is now; whether that was to be done.
    async fn settle_renewal(&self, certificate: &mut DynamicObject) -> Result<bool, kube::Error> {
        let spec = &certificate.data["spec"];
        let (renew, ensured) = (spec["renew"].as_bool(), time(&spec["ensureRenewedAfter"]));
        if renew != Some(true) && ensured.is_none() {
            return Ok(false);
        }
        let now = self.now();
        let wanted = ensured.filter(|ensured| *ensured <= now).unwrap_or(now);
        if renew.is_none() && ensured == Some(wanted) {
            return Ok(false);
        }
        forget(&mut certificate.data["spec"], "renew");
        certificate.data["spec"]["ensureRenewedAfter"] = json!(rfc3339(wanted));
        self.update(certificate).await?;
        Ok(true)
    }

    /// Publishes the renewal's date and plans it; `Some` where that is all for now.
    async fn plan(
        &mut self,
        key: &Key,
        certificate: &mut DynamicObject,
        leaf: &Leaf,
    ) -> Result<Option<Outcome>, kube::Error> {
        let spec = certificate.data["spec"].clone();
        if let Some(before) = spec["renewBefore"].as_str().and_then(parse_go_duration) {
            let upper = (leaf.not_after - leaf.not_before).to_std().unwrap_or_default();
            let upper = upper.saturating_sub(Duration::from_secs(300));
            let lower = Duration::from_secs(300);
            if !(lower..=upper).contains(&before) {
                let message = match before < lower {
                    true => format!("renewBefore must be at least 5 minutes ({})", go_duration(before)),
                    false => format!(
                        "renewBefore must not be greater than the duration of the issued certificate minus 5 minutes \
                         ({})",
                        go_duration(upper)
                    ),
                };
                return self.failed(certificate.clone(), &message, Wait::Longer).await.map(Some);
            }
        }
        let due = leaf.not_after - self.window(&spec);
        let mut status = certificate.data["status"].clone();
        status["renewalDate"] = json!(rfc3339(due));
        self.publish(certificate, status).await?;
        if self.scheduled.get(key) == Some(&due) || self.is_due(&spec, leaf) {
            return Ok(None);
        }
        self.scheduled.insert(key.clone(), due);
        let wait = (due - self.now()).to_std().unwrap_or_default();
        self.plan_renewal(key, wait);
        Ok(Some(Outcome::After(wait)))
    }

    /// Asks the issuer, or takes over a Secret that was made for the same.
    async fn obtain(&mut self, key: &Key, certificate: DynamicObject) -> Look {
        let spec = certificate.data["spec"].clone();
        let name = self.issuer_of(&spec);
        let Some(issuer) = self.api("Issuer", &self.settings().issuers).get_opt(&name).await? else {
            return self.failed(certificate, &not_found(&name), Wait::Longer).await;
        };
        if issuer.data["spec"]["selfSigned"].is_object() {
            // Self-signed CAs are not simulated.
            let message = "self signed certificates must set 'spec.isCA: true'";
            return self.failed(certificate, message, Wait::Stop).await;
        }
        match state(&issuer) {
            "Ready" => {}
            "Error" => {
                return self.failed(certificate, "referenced issuer not ready: state=Error", Wait::Longer).await;
            }
            state => {
                let message = format!("referenced issuer not ready: state={state}");
                return self.delayed(certificate, &message).await;
            }
        }
        if !is_registered(&issuer) {
            return self.failed(certificate, "CA registration? missing in status", Wait::Longer).await;
        }
        let authority = match self.authority(&issuer).await? {
            Ok(authority) => authority,
            Err(message) => return self.failed(certificate, &message, Wait::Longer).await,
        };
        let now = self.now();
        let request = self.request(&spec, &name).and_then(|wanted| {
            authority.allows(now + wanted.duration)?;
            Ok(wanted)
        });
        let request = match request {
            Ok(request) => request,
            Err(message) => return self.failed(certificate, &message, Wait::Stop).await,
        };
        if let Some(outcome) = self.take_over(key, &certificate, &spec).await? {
            return Ok(outcome);
        }
        let answer = match self.refusal() {
            Some(refusal) => Err(refusal),
            None => authority.issue(&request, now),
        };
        let takes = self.settings().issuing_takes;
        self.requests.insert(key.clone(), Request { ready: Instant::now() + takes, answer });
        let outcome = self.pending(certificate, "certificate requested, waiting for creation by CA").await;
        self.wake_after(key, takes);
        outcome
    }

    async fn authority(&self, issuer: &DynamicObject) -> Result<Result<Authority, String>, kube::Error> {
        let name = issuer.data["spec"]["ca"]["privateKeySecretRef"]["name"].as_str().unwrap_or_default();
        let secret = self.secret(&(self.settings().issuers, name.to_owned())).await?;
        Ok(match secret {
            Some(secret) => Authority::of(&secret, self.now()),
            None => Err(format!("fetching issuer secret failed: secrets \"{name}\" not found")),
        })
    }

    /// What a spec asks for, if it may.
    fn request(&self, spec: &Value, issuer: &str) -> Result<Wanted, String> {
        let least = self.settings().renewal_window * 2;
        let duration = match spec["duration"].as_str() {
            None => DAY * 180,
            Some(text) => {
                let duration = parse_go_duration(text).unwrap_or_default();
                if duration < least {
                    return Err(format!("certificate duration must be at least {}", go_duration(least)));
                }
                TimeDelta::from_std(duration).unwrap_or(DAY)
            }
        };
        let key = KeyKind::of(&spec["privateKey"])?;
        let names = spec["dnsNames"].as_array().cloned().unwrap_or_default();
        if names.is_empty() && !spec["commonName"].is_string() {
            return Err("either domains or csr must be specified".to_owned());
        }
        if names.len() >= 100 {
            return Err(format!("invalid number of DNS names: {} (max 99)", names.len()));
        }
        if let Some((_, twice)) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
            return Err(format!("duplicate domain: {}", twice.as_str().unwrap_or_default()));
        }
        let pkcs8 = spec["privateKey"]["encoding"] == "PKCS8";
        let (common_name, issuer) = (spec["commonName"].clone(), issuer.to_owned());
        Ok(Wanted { names: Value::Array(names), common_name, key, pkcs8, issuer, duration })
    }

    /// A Secret with the same digest that is not due is used instead of a new certificate.
    async fn take_over(
        &mut self,
        key: &Key,
        certificate: &DynamicObject,
        spec: &Value,
    ) -> Result<Option<Outcome>, kube::Error> {
        let hash = self.digest_of(spec);
        let place = wanted(&key.0, spec).ok().flatten();
        let space = place.as_ref().map_or(key.0.as_str(), |(space, _)| space.as_str());
        let found = self.with_hash(&hash, &[&key.0, space]).await?;
        let usable = found
            .into_iter()
            .filter(|(secret, leaf)| !self.is_due(spec, leaf) && !self.is_asked_again(spec, secret, leaf));
        let here = |secret: &Secret| place.as_ref().is_some_and(|place| *place == address(secret));
        let Some((secret, leaf)) = usable.max_by_key(|(secret, leaf)| (leaf.not_after, here(secret))) else {
            return Ok(None);
        };
        let mut at = address(&secret);
        if !here(&secret) {
            let contents = Contents {
                data: secret.data.clone().unwrap_or_default(),
                hash: hash.clone(),
                requested_at: requested_at(&secret),
            };
            at = self.write_secret(certificate, place, contents).await?;
        }
        self.succeeded(certificate.clone(), at, hash, &leaf).await.map(Some)
    }

    /// The issuer has answered.
    async fn deliver(&mut self, key: &Key, certificate: DynamicObject) -> Look {
        let answer: Answer = match self.requests.get(key).map(|request| request.answer.clone()) {
            Some(Ok(answer)) => answer,
            Some(Err(refusal)) => {
                self.requests.remove(key);
                self.scheduled.remove(key);
                let message = format!("obtaining certificate failed: {refusal}");
                return self.failed(certificate, &message, Wait::Longer).await;
            }
            None => return Ok(Outcome::Repeat),
        };
        let place = match wanted(&key.0, &certificate.data["spec"]) {
            Ok(place) => place,
            Err(message) => return self.failed(certificate, &message, Wait::Stop).await,
        };
        let asked = &answer.wanted;
        let hash = spec_digest(&asked.common_name, &asked.names, &asked.issuer, asked.key);
        let contents = Contents::of(&answer, hash.clone(), self.now());
        let at = match self.write_secret(&certificate, place, contents).await {
            Ok(at) => at,
            Err(kube::Error::Api(status)) => {
                let what = "writing certificate secret failed: creating/updating certificate secret failed";
                return self.failed(certificate, &format!("{what}: {}", status.message), Wait::Longer).await;
            }
            Err(error) => return Err(error),
        };
        let Some(leaf) = Leaf::read(&answer.chain) else { return Ok(Outcome::Delay) };
        let outcome = self.succeeded(certificate, at, hash, &leaf).await?;
        self.requests.remove(key);
        self.scheduled.remove(key);
        Ok(outcome)
    }

    async fn succeeded(&self, mut certificate: DynamicObject, at: SecretKey, hash: String, leaf: &Leaf) -> Look {
        certificate.data["spec"]["secretRef"] = json!({"name": at.1, "namespace": at.0});
        certificate.metadata.labels.get_or_insert_default().insert(HASH.to_owned(), hash);
        let annotations = certificate.metadata.annotations.get_or_insert_default();
        annotations.insert(NOT_BEFORE.to_owned(), rfc3339(leaf.not_before));
        annotations.insert(NOT_AFTER.to_owned(), rfc3339(leaf.not_after));
        self.update(&mut certificate).await?;
        self.told(certificate, "Ready", None, Outcome::Done).await
    }

    /// Writes a Certificate whole, its durations in Go's canonical form: whoever applied another one meets a conflict.
    async fn update(&self, certificate: &mut DynamicObject) -> Result<(), kube::Error> {
        for field in ["duration", "renewBefore"] {
            let spec = &mut certificate.data["spec"];
            if let Some(duration) = spec[field].as_str().and_then(parse_go_duration) {
                spec[field] = json!(go_duration(duration));
            } else if spec[field].is_null() {
                forget(spec, field);
            }
        }
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let metadata = &certificate.metadata;
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let name = metadata.name.clone().unwrap_or_default();
        *certificate = self.api("Certificate", &namespace).replace(&name, &params, certificate).await?;
        Ok(())
    }

    /// The name of the issuer that a spec means.
    pub(super) fn issuer_of(&self, spec: &Value) -> String {
        spec["issuerRef"]["name"].as_str().map_or_else(|| self.settings().default_issuer, str::to_owned)
    }

    fn digest_of(&self, spec: &Value) -> String {
        let key = KeyKind::of(&spec["privateKey"]).unwrap_or_default();
        spec_digest(&spec["commonName"], &spec["dnsNames"], &self.issuer_of(spec), key)
    }

    fn window(&self, spec: &Value) -> TimeDelta {
        let own = spec["renewBefore"].as_str().and_then(parse_go_duration);
        TimeDelta::from_std(own.unwrap_or(self.settings().renewal_window)).unwrap_or_default()
    }

    fn is_due(&self, spec: &Value, leaf: &Leaf) -> bool {
        leaf.not_after <= self.now() + self.window(spec)
    }

    /// Whether what is stored was asked for before `ensureRenewedAfter`.
    fn is_asked_again(&self, spec: &Value, secret: &Secret, leaf: &Leaf) -> bool {
        // Without a note of when it was asked for, its beginning tells; some issuers set that back by an hour.
        let asked = requested_at(secret).unwrap_or(leaf.not_before + TimeDelta::seconds(3630));
        time(&spec["ensureRenewedAfter"]).is_some_and(|ensured: DateTime<Utc>| ensured > asked)
    }
}

fn address(secret: &Secret) -> SecretKey {
    (secret.metadata.namespace.clone().unwrap_or_default(), secret.metadata.name.clone().unwrap_or_default())
}

fn label(certificate: &DynamicObject) -> Option<String> {
    certificate.metadata.labels.as_ref()?.get(HASH).filter(|hash| !hash.is_empty()).cloned()
}

fn not_found(issuer: &str) -> String {
    format!("fetching issuer failed: issuers.cert.gardener.cloud \"{issuer}\" not found")
}

/// Removes a field; whether it was there.
fn forget(object: &mut Value, field: &str) -> bool {
    object.as_object_mut().and_then(|object| object.remove(field)).is_some()
}
