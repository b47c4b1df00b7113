//! Ways in which a key could reach a log or an error, one test each.

#[path = "watches/server.rs"]
#[allow(dead_code)]
mod server;

use std::{
    io,
    sync::{Arc, Mutex},
};

use certkeeper::{
    certificate::{Supplied, read},
    cluster::{
        error::{bounded, describe},
        http2::{Limits, watches},
    },
    telemetry,
};
use http::{Request, Response};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, client::Body};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, layer::SubscriberExt};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// An API server whose answer for a Secret cannot be decoded, and holds a key.
fn broken() -> Client {
    let service = tower::service_fn(|_: Request<Body>| async {
        let body = r#"{"kind": "Secret", "metadata": {"name": 5}, "data": {"tls.key": "THE-KEY"}}"#;
        Ok::<_, kube::Error>(Response::new(Body::from(body.as_bytes().to_vec())))
    });
    Client::new(service, "default")
}

/// Which call sites are of interest is cached for the process: one subscriber at a time, and the cache made anew.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn logged(filter: EnvFilter) -> (String, String) {
    let log = Log::default();
    let layer = tracing_subscriber::fmt::layer().with_writer(log.clone());
    let subscriber = tracing_subscriber::registry().with(filter).with(layer);
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::callsite::rebuild_interest_cache();
    let api: Api<Secret> = Api::namespaced(broken(), "x");
    let error = bounded(api.get("x")).await.expect_err("it cannot be decoded");
    tracing::error!("{error:?}");
    let text = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("UTF-8");
    (text, format!("{error:?}"))
}

#[tokio::test]
async fn an_answer_that_cannot_be_decoded_is_not_logged_whatever_the_filter_asks_for() {
    let _alone = ALONE.lock().await;
    let (unfiltered, _) = logged(EnvFilter::new("trace")).await;
    assert!(unfiltered.contains("THE-KEY"), "without our filter kube-client logs the body: else this test is idle");
    for wanted in ["trace", "info,kube_client=trace", "error,kube_client::client=trace"] {
        let (log, error) = logged(telemetry::filter(wanted).expect("a filter")).await;
        assert!(log.contains("could not be decoded"), "{wanted}: the failure itself is logged");
        assert!(!log.contains("THE-KEY") && !error.contains("THE-KEY"), "{wanted}: {log}");
    }
}

#[tokio::test]
async fn an_error_of_the_client_does_not_repeat_a_value() {
    let _alone = ALONE.lock().await;
    let api: Api<Secret> = Api::namespaced(broken(), "x");
    let error = api.get("x").await.expect_err("it cannot be decoded");
    assert!(!describe(&error).contains("THE-KEY"));
}

#[test]
fn debug_output_of_facts_and_pairs_holds_no_key() {
    let ca = certkeeper_simulator::ca::Ca::root("Root", chrono::Utc::now()).expect("a root");
    let issued = ca.leaf(&["*.example.com"]).issue().expect("a leaf");
    let (certificate, key) = (issued.certificate(), issued.key());
    let supplied = Supplied { certificate: Some(certificate.as_bytes()), key: Some(key.as_bytes()), staple: None };
    let facts = read(&supplied);
    let shown = format!("{supplied:?}{facts:?}{:?}", facts.pair().expect("a pair"));
    for line in key.lines().filter(|line| !line.starts_with("-----")) {
        assert!(!shown.contains(line));
    }
    // Nor as a list of bytes, which is how Debug prints buffers: eight bytes in a row from the middle of the key.
    let der = rustls_pki_types::pem::PemObject::from_pem_slice(key.as_bytes())
        .map(|der: rustls_pki_types::PrivatePkcs8KeyDer<'_>| der.secret_pkcs8_der().to_vec());
    let der = der.expect("a key");
    let middle: Vec<String> = der[36..44].iter().map(ToString::to_string).collect();
    let flat: String = shown.split_whitespace().collect();
    assert!(!flat.contains(&middle.join(",")), "bytes of the key are printed");
}

#[tokio::test]
async fn a_watch_over_http_2_logs_neither_token_nor_key_whatever_is_asked_for() {
    let _alone = ALONE.lock().await;
    let log = Log::default();
    let layer = tracing_subscriber::fmt::layer().with_writer(log.clone());
    let filter = telemetry::filter("trace").expect("a filter");
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(filter).with(layer));
    tracing::callsite::rebuild_interest_cache();
    let server = server::Server::start(server::Manner::default()).await;
    let mut config = server.config();
    config.auth_info.token = Some("THE-TOKEN".to_owned().into());
    let client = watches(&config, &Limits::default()).expect("a client");
    let request = Request::get("/api/v1/namespaces/n/secrets?watch=true").body(Body::empty()).expect("a request");
    let mut body = client.send(request).await.expect("answered").into_body();
    server.tell(1, 30);
    let frame = body.frame().await.expect("an event").expect("no error").into_data().expect("data");
    let value = "QUFBQUFB";
    assert!(String::from_utf8_lossy(&frame).contains(value), "the event holds what is looked for");
    let log = String::from_utf8_lossy(&log.0.lock().expect("no panic")).into_owned();
    assert!(log.contains("watches have another connection"), "it is logged at all: {log}");
    for secret in ["THE-TOKEN", value] {
        assert!(!log.contains(secret), "{secret} is logged: {log}");
    }
}
