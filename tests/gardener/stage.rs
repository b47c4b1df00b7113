//! One API server with a Gardener, and how a script is played on it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use certkeeper::clock::{Clock, SharedClock};
use certkeeper_control_plane::Issuer;
use chrono::{DateTime, SecondsFormat, Utc};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
    runtime::watcher::{self, Event, watcher},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    scripts::Step,
    trace::{Change, Trace, version},
};

/// The longest that is waited for: a renewal of a certificate of 2m30s.
const PATIENCE: Duration = Duration::from_secs(240);
/// In this time the real one looks at each Certificate once.
const SILENCE: Duration = Duration::from_secs(12);
const LOOK_EVERY: Duration = Duration::from_millis(25);
const SECRET: &str = "staging";

/// Tokio's time, so that a paused clock moves it.
#[derive(Debug)]
struct TestClock {
    began: Instant,
    at: DateTime<Utc>,
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        self.at + self.began.elapsed()
    }
}

/// A clock for this runtime, begun at the real time.
pub fn clock() -> SharedClock {
    Arc::new(TestClock { began: Instant::now(), at: Utc::now() })
}

pub struct Stage {
    client: Client,
    clock: SharedClock,
    /// The script's name: its namespace, its Certificate, its issuer and part of its domain.
    name: String,
    /// The namespace of the issuers.
    issuers: String,
    trace: Arc<Mutex<Trace>>,
    issuer: Option<Issuer>,
    /// The version that the script's last write got: what was seen before it is no answer to it.
    written: u64,
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

impl Stage {
    /// A namespace of the script's own, watched; the issuer `garden` is there, in the namespace `issuers`.
    pub async fn new(client: Client, clock: SharedClock, name: &str, issuers: &str) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).expect("a namespace");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.expect("created");
        let trace = Arc::new(Mutex::new(Trace::new(name, issuers)));
        let stage =
            Self { client, clock, name: name.to_owned(), issuers: issuers.to_owned(), trace, issuer: None, written: 0 };
        let present = stage.issuers().get_opt("garden").await.expect("an answer").is_some();
        if !present {
            let garden = Issuer::create(stage.client.clone(), issuers, "garden").await.expect("created");
            garden.wait_for("Ready").await.expect("it becomes ready");
        }
        for api in [stage.certificates(), stage.secrets()] {
            stage.watch(api).await;
        }
        stage
    }

    fn issuers(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.issuers, &resource("cert.gardener.cloud", "v1alpha1", "Issuer"))
    }

    fn certificates(&self) -> Api<DynamicObject> {
        let kind = resource("cert.gardener.cloud", "v1alpha1", "Certificate");
        Api::namespaced_with(self.client.clone(), &self.name, &kind)
    }

    fn secrets(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.name, &resource("", "v1", "Secret"))
    }

    /// Notes each change from now on.
    async fn watch(&self, api: Api<DynamicObject>) {
        let mut events = watcher(api, watcher::Config::default()).boxed();
        // The list before the watch: nothing is there yet.
        while !matches!(events.next().await, Some(Ok(Event::InitDone))) {}
        let trace = self.trace.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let change = match event {
                    Ok(Event::Apply(object)) => Change { object, deleted: false },
                    Ok(Event::Delete(object)) => Change { object, deleted: true },
                    // A watch that begins anew may have missed a change.
                    other => panic!("the watch did not hold: {other:?}"),
                };
                trace.lock().unwrap_or_else(PoisonError::into_inner).add(change);
            }
        });
    }

    /// Plays a script, and gives every change it brought about: see [`Trace::lines`].
    pub async fn play(mut self, steps: &[Step], loosely: bool) -> Vec<String> {
        for (index, step) in steps.iter().enumerate() {
            self.step(index, step).await;
        }
        self.with_trace(|trace| trace.lines(loosely))
    }

    fn with_trace<T>(&self, look: impl FnOnce(&Trace) -> T) -> T {
        look(&self.trace.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn step(&mut self, index: usize, step: &Step) {
        match step {
            Step::Apply(spec, conflict) => self.apply(spec, *conflict).await,
            Step::Merge(patch) => self.merge(self.certificates(), &self.name.clone(), patch).await,
            Step::MergeSecret(patch) => self.merge(self.secrets(), SECRET, patch).await,
            Step::Touch => {
                let patch = json!({"metadata": {"annotations": {"gardener.cloud/operation": "reconcile"}}});
                self.merge(self.certificates(), &self.name.clone(), &patch).await;
            }
            Step::Delete => {
                self.certificates().delete(&self.name, &DeleteParams::default()).await.expect("deleted");
            }
            Step::DeleteSecret => {
                self.secrets().delete(SECRET, &DeleteParams::default()).await.expect("deleted");
            }
            Step::Issuer { with_ca } => {
                let issuer = Issuer::without_ca(self.client.clone(), &self.issuers, &self.name).await.expect("created");
                issuer.wait_for("Error").await.expect("it misses its CA");
                if *with_ca {
                    issuer.mend().await.expect("written");
                    issuer.wait_for("Ready").await.expect("it becomes ready");
                }
                self.issuer = Some(issuer);
            }
            Step::SelfSigned => {
                let issuer = json!({"apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Issuer",
                    "metadata": {"name": self.name}, "spec": {"selfSigned": {}}});
                let params = PatchParams::apply("somebody");
                self.issuers().patch(&self.name, &params, &Patch::Apply(&issuer)).await.expect("created");
            }
            Step::Damage => {
                let issuer = self.issuer.as_ref().expect("the script has an issuer");
                issuer.damage().await.expect("written");
                issuer.wait_for("Error").await.expect("it notices");
            }
            Step::Remove => {
                let issuer = self.issuer.as_ref().expect("the script has an issuer");
                issuer.remove().await.expect("deleted");
                issuer.wait_for("Error").await.expect("it notices");
            }
            Step::Mend => {
                let issuer = self.issuer.as_ref().expect("the script has an issuer");
                issuer.mend().await.expect("written");
                issuer.wait_for("Ready").await.expect("it becomes ready");
            }
            Step::Until(state, message, leaves) => self.until(index, state, message, *leaves).await,
            Step::Silence => {
                // What the steps before brought about is seen first.
                sleep(Duration::from_secs(1)).await;
                let before = self.with_trace(Trace::len);
                sleep(SILENCE).await;
                let after = self.with_trace(|trace| trace.lines(false).split_off(before));
                assert!(after.is_empty(), "step {index}: silence was broken by {after:#?}");
            }
            Step::Change => {
                let (before, deadline) = (self.with_trace(Trace::len), Instant::now() + PATIENCE);
                while self.with_trace(Trace::len) == before {
                    assert!(Instant::now() < deadline, "step {index}: nothing changed");
                    sleep(LOOK_EVERY).await;
                }
            }
            Step::PastTheEnd => {
                let end = self.with_trace(Trace::end).expect("a certificate was issued");
                while self.clock.now() <= end {
                    sleep(LOOK_EVERY).await;
                }
            }
            Step::Second => {
                let now = self.clock.now().timestamp();
                while self.clock.now().timestamp() < now + 2 {
                    sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    /// A value with the script's name and the time put in.
    fn filled(&self, value: &Value) -> Value {
        let now = self.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let text = value.to_string().replace("NS", &self.name).replace("NOW", &now);
        serde_json::from_str(&text).expect("JSON still")
    }

    async fn apply(&mut self, more: &Value, conflict: bool) {
        let mut spec = json!({
            "dnsNames": ["*.NS.example.com", "NS.example.com"], "secretRef": {"name": SECRET, "namespace": "NS"},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let object = self.filled(&json!({
            "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate", "metadata": {"name": "NS"},
            "spec": spec,
        }));
        let params = PatchParams {
            field_validation: Some(kube::api::ValidationDirective::Strict),
            ..PatchParams::apply("somebody")
        };
        match self.certificates().patch(&self.name, &params, &Patch::Apply(&object)).await {
            Ok(applied) => {
                assert!(!conflict, "a conflict was expected");
                self.written = version(&applied);
            }
            Err(kube::Error::Api(status)) if status.code == 409 && conflict => {}
            Err(error) => panic!("{error}"),
        }
    }

    async fn merge(&mut self, api: Api<DynamicObject>, name: &str, patch: &Value) {
        let patch = Patch::Merge(self.filled(patch));
        let params = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
        self.written = version(&api.patch(name, &params, &patch).await.expect("changed"));
    }

    async fn until(&self, index: usize, state: &str, message: &str, leaves: usize) {
        let message = message.replace("NS", &self.name);
        let deadline = Instant::now() + PATIENCE;
        while !self.with_trace(|trace| trace.shows(self.written, state, &message, leaves)) {
            if Instant::now() > deadline {
                let lines = self.with_trace(|trace| trace.lines(false));
                panic!("step {index}: not {state} ({message:?}, {leaves} leaves) in time:\n{}", lines.join("\n"));
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
