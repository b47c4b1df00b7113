//! The virtual Gardener on the API server in memory, in paused time.

use std::{future::Future, sync::Arc, time::Duration};

use certkeeper::clock::Clock;
use chrono::{DateTime, SubsecRound, Utc};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Settings, VirtualGardener, install, material::Leaf, worker::resource};
use crate::ApiServer;

#[derive(Debug)]
struct TokioClock(Instant, DateTime<Utc>);

impl Clock for TokioClock {
    fn now(&self) -> DateTime<Utc> {
        (self.1 + self.0.elapsed()).trunc_subsecs(0)
    }
}

struct Stage {
    client: Client,
    gardener: VirtualGardener,
}

impl Stage {
    /// An API server with an issuer `garden` and a virtual Gardener.
    async fn new(settings: Settings) -> Self {
        let client = ApiServer::new().client();
        install(&client).await.unwrap();
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "cert-issuers"}})).unwrap();
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        let clock = Arc::new(TokioClock(Instant::now(), Utc::now()));
        let gardener = VirtualGardener::start(client.clone(), clock, settings);
        let stage = Self { client, gardener };
        let issuer = json!({"apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Issuer",
            "metadata": {"name": "garden"},
            "spec": {"ca": {"privateKeySecretRef": {"name": "garden-ca", "namespace": "cert-issuers"}}}});
        stage.apply(&stage.api("Issuer", "cert-issuers"), "garden", &issuer).await;
        stage
    }

    async fn with_ca(settings: Settings) -> Self {
        let stage = Self::new(settings).await;
        stage.put_ca().await;
        stage
    }

    async fn put_ca(&self) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        self.write_ca(&pem, &key.serialize_pem()).await;
        self.eventually("the issuer is ready", async || {
            let issuer = self.api("Issuer", "cert-issuers").get("garden").await.unwrap();
            (issuer.data["status"]["state"] == "Ready").then_some(())
        })
        .await;
    }

    async fn write_ca(&self, certificate: &str, key: &str) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "garden-ca"},
            "type": "kubernetes.io/tls", "stringData": {"tls.crt": certificate, "tls.key": key}});
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), "cert-issuers");
        secrets.patch("garden-ca", &PatchParams::apply("test").force(), &Patch::Apply(&secret)).await.unwrap();
    }

    fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(kind))
    }

    async fn apply(&self, api: &Api<DynamicObject>, name: &str, object: &Value) {
        api.patch(name, &PatchParams::apply("test"), &Patch::Apply(object)).await.unwrap();
    }

    async fn ask(&self, more: Value) {
        let mut spec =
            json!({"dnsNames": ["*.a.example.com"], "secretRef": {"name": "staging", "namespace": "default"}});
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let object = json!({"apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate",
            "metadata": {"name": "wild"}, "spec": spec});
        self.apply(&self.api("Certificate", "default"), "wild", &object).await;
    }

    async fn certificate(&self) -> DynamicObject {
        self.api("Certificate", "default").get("wild").await.unwrap()
    }

    async fn status(&self) -> Value {
        self.certificate().await.data["status"].clone()
    }

    async fn secret(&self) -> Option<Secret> {
        Api::<Secret>::default_namespaced(self.client.clone()).get_opt("staging").await.unwrap()
    }

    async fn serial(&self) -> Option<String> {
        self.secret().await.and_then(|secret| Leaf::of(&secret)).map(|leaf| leaf.serial)
    }

    /// Waits for a message that begins so; gives the status.
    async fn says(&self, state: &str, message: &str) -> Value {
        self.eventually(&format!("{state}: {message}"), async || {
            let status = self.status().await;
            let said = status["message"].as_str().unwrap_or_default();
            (status["state"] == state && said.starts_with(message)).then_some(status)
        })
        .await
    }

    async fn issued(&self) -> String {
        self.says("Ready", "certificate (SN ").await;
        self.serial().await.expect("a leaf")
    }

    async fn touch(&self) {
        let patch = json!({"metadata": {"annotations": {"gardener.cloud/operation": "reconcile"}}});
        let api = self.api("Certificate", "default");
        api.patch("wild", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    async fn eventually<T, F: Future<Output = Option<T>>>(&self, what: &str, mut look: impl FnMut() -> F) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            let now = self.api("Certificate", "default").get_opt("wild").await.unwrap();
            assert!(Instant::now() < deadline, "not within 20 s: {what}; the Certificate: {:?}", now.map(|c| c.data));
            sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_issued_and_told_of_as_the_real_one_does() {
    let stage = Stage::with_ca(Settings::brisk()).await;
    stage.ask(json!({"duration": "10m"})).await;
    let serial = stage.issued().await;
    let certificate = stage.certificate().await;
    assert_eq!(certificate.data["spec"]["duration"], "10m0s");
    let status = &certificate.data["status"];
    assert!(status["message"].as_str().unwrap().contains(&serial), "{status}");
    assert_eq!(status["conditions"][0]["reason"], "Ready");
    assert!(status["backoff"].is_null() && status["lastPendingTimestamp"].is_null(), "{status}");
    let secret = stage.secret().await.unwrap();
    let data = secret.data.unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["ca.crt", "tls.crt", "tls.key"]);
    let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
    assert!(text("tls.crt").ends_with(&text("ca.crt")) && text("tls.crt").matches("BEGIN").count() == 2);
    assert!(text("tls.key").starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    let label = &certificate.metadata.labels.unwrap()["cert.gardener.cloud/hash"];
    assert_eq!(secret.metadata.labels.unwrap().get("cert.gardener.cloud/hash"), Some(label));
}

#[tokio::test(start_paused = true)]
async fn a_planned_renewal_is_lost_until_the_next_look_unless_that_is_mended() {
    for loses_renewals in [true, false] {
        let settings = Settings { resync: Duration::from_secs(86_400), loses_renewals, ..Settings::brisk() };
        let stage = Stage::with_ca(settings).await;
        stage.ask(json!({"duration": "2m30s"})).await;
        let first = stage.issued().await;
        sleep(Duration::from_secs(89)).await;
        assert_eq!(stage.serial().await.as_ref(), Some(&first), "not before it is due");
        sleep(Duration::from_secs(90)).await;
        let renewed = stage.serial().await != Some(first.clone());
        assert_eq!(renewed, !loses_renewals);
        assert_eq!(stage.status().await["state"], "Ready", "past its end, or renewed");
        stage.touch().await;
        stage.eventually("a touch renews", async || (stage.serial().await? != first).then_some(())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_each_ten_seconds_renews_in_time() {
    let stage = Stage::with_ca(Settings::brisk()).await;
    stage.ask(json!({"duration": "2m30s"})).await;
    let first = stage.issued().await;
    sleep(Duration::from_secs(105)).await;
    assert_ne!(stage.serial().await, Some(first));
}

#[tokio::test(start_paused = true)]
async fn a_missing_issuer_is_waited_for_longer_each_time_up_to_eight_hours() {
    let stage = Stage::with_ca(Settings::default()).await;
    stage.ask(json!({"issuerRef": {"name": "other"}})).await;
    let message = "fetching issuer failed: issuers.cert.gardener.cloud \"other\" not found";
    let status = stage.says("Error", message).await;
    assert_eq!(status["backoff"]["recheckInterval"], "2m0s");
    assert_eq!(status["conditions"][0]["message"], message);
    sleep(Duration::from_secs(125)).await;
    assert_eq!(stage.status().await["backoff"]["recheckInterval"], "4m0s");
    sleep(Duration::from_secs(86_400 * 60)).await;
    assert_eq!(stage.status().await["backoff"]["recheckInterval"], "8h0m0s");
    stage.touch().await;
    let cleared = async || (stage.status().await["backoff"]["recheckInterval"] == "2m0s").then_some(());
    stage.eventually("a touch begins anew", cleared).await;
    assert!(
        !stage.certificate().await.metadata.annotations.unwrap_or_default().contains_key("gardener.cloud/operation")
    );
}

#[tokio::test(start_paused = true)]
async fn what_only_a_change_of_the_spec_can_mend_waits_a_day() {
    let stage = Stage::with_ca(Settings::default()).await;
    stage.ask(json!({"duration": "1h"})).await;
    let status = stage.says("Error", "certificate duration must be at least 1440h0m0s").await;
    assert_eq!(status["backoff"]["recheckInterval"], "24h0m0s");
    stage.ask(json!({"duration": "2000h0m0s"})).await;
    stage.issued().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_secret_is_not_missed_until_somebody_touches_the_certificate() {
    let stage = Stage::with_ca(Settings::default()).await;
    stage.ask(json!({})).await;
    let first = stage.issued().await;
    sleep(Duration::from_secs(60)).await;
    Api::<Secret>::default_namespaced(stage.client.clone()).delete("staging", &DeleteParams::default()).await.unwrap();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(stage.serial().await, None);
    assert_eq!(stage.status().await["state"], "Ready");
    stage.touch().await;
    let second = stage.eventually("it is issued again", async || stage.serial().await).await;
    assert_ne!(first, second);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_expires_without_a_word_while_its_issuers_ca_is_gone() {
    let stage = Stage::with_ca(Settings::brisk()).await;
    stage.ask(json!({"duration": "2m30s"})).await;
    let first = stage.issued().await;
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), "cert-issuers");
    secrets.delete("garden-ca", &DeleteParams::default()).await.unwrap();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(stage.status().await["state"], "Ready");
    assert_eq!(stage.serial().await, Some(first.clone()));
    stage.put_ca().await;
    stage.eventually("its return renews", async || (stage.serial().await? != first).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_renewal_says_that_the_issuer_is_not_ready_and_is_made_once_it_is() {
    let stage = Stage::with_ca(Settings::default()).await;
    stage.ask(json!({})).await;
    let first = stage.issued().await;
    stage.write_ca("no certificate", "no key").await;
    sleep(Duration::from_secs(5)).await;
    stage.ask(json!({"ensureRenewedAfter": Utc::now() + Duration::from_secs(30)})).await;
    let status = stage.says("Error", "referenced issuer not ready: state=Error").await;
    assert_eq!(status["backoff"]["recheckInterval"], "2m0s");
    stage.put_ca().await;
    assert_eq!(stage.serial().await, Some(first.clone()), "the backoff holds");
    sleep(Duration::from_secs(130)).await;
    stage.issued().await;
    assert_ne!(stage.serial().await, Some(first));
}

#[tokio::test(start_paused = true)]
async fn an_issuers_refusal_is_told_and_a_revoked_one_says_so() {
    let stage = Stage::with_ca(Settings::default()).await;
    stage.gardener.refuse(Some("acme: error: 429"));
    stage.ask(json!({"privateKey": {"algorithm": "ECDSA"}})).await;
    stage.says("Error", "obtaining certificate failed: acme: error: 429").await;
    stage.gardener.refuse(None);
    stage.touch().await;
    sleep(Duration::from_secs(200)).await;
    stage.touch().await;
    stage.issued().await;
    stage.gardener.revoke("default", "wild").await.unwrap();
    stage.says("Revoked", "certificate has been revoked").await;
}

#[tokio::test(start_paused = true)]
async fn a_recreated_certificate_takes_its_secret_over_and_other_names_are_issued_anew() {
    let stage = Stage::with_ca(Settings::default()).await;
    stage.ask(json!({})).await;
    let first = stage.issued().await;
    stage.api("Certificate", "default").delete("wild", &DeleteParams::default()).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert!(stage.secret().await.is_some());
    stage.ask(json!({})).await;
    assert_eq!(stage.issued().await, first);
    stage.ask(json!({"dnsNames": ["*.b.example.com"]})).await;
    stage.eventually("other names", async || (stage.serial().await? != first).then_some(())).await;
    let now = stage.issued().await;
    assert_ne!(now, first);
}
