//! The client to the API server.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
    core::Status,
};
use tokio::time::Instant;

use super::http2;

/// Which cluster to talk to.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// A kubeconfig file. Without it: `KUBECONFIG`, `~/.kube/config`, or the pod's own service account.
    pub kubeconfig: Option<std::path::PathBuf>,
    /// A context of the kubeconfig. Without it: its current one.
    pub context: Option<String>,
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The configuration cannot be used.
    #[error("no usable Kubernetes configuration: {0}; name a file with --kubeconfig, set KUBECONFIG, or run in a pod")]
    Config(String),
    /// The client could not be set up.
    #[error("no client could be made from the Kubernetes configuration: {0}")]
    Client(String),
}

/// The clients of a controller.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "kube's client has none")]
pub struct Clients {
    /// For calls, and for the few watches on many objects.
    pub calls: Client,
    /// For watches on single objects: many share a connection.
    pub watches: Client,
}

/// Reads the configuration and makes a [`guarded`] client.
///
/// # Errors
/// When no configuration is found or it cannot be used.
pub async fn connect(access: &Access) -> Result<Client, AccessError> {
    let config = configuration(access).await?;
    Client::try_from(config).map(guarded).map_err(|e| AccessError::Client(e.to_string()))
}

/// Reads the configuration and makes the clients of a controller, [`guarded`] together: when the API server asks one of
/// them to wait, both do.
///
/// # Errors
/// When no configuration is found or it cannot be used.
pub async fn connect_all(access: &Access) -> Result<Clients, AccessError> {
    let config = configuration(access).await?;
    let gate = Gate::default();
    let watches = guarded_by(http2::watches(&config, &http2::Limits::default())?, &gate);
    let calls = Client::try_from(config).map_err(|e| AccessError::Client(e.to_string()))?;
    Ok(Clients { calls: guarded_by(calls, &gate), watches })
}

async fn configuration(access: &Access) -> Result<Config, AccessError> {
    let config = |error: &dyn std::fmt::Display| AccessError::Config(error.to_string());
    let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match &access.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|e| config(&format!("{}: {e}", path.display())))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|e| config(&e))?
        }
        None if access.context.is_some() => Config::from_kubeconfig(&options).await.map_err(|e| config(&e))?,
        None => Config::infer().await.map_err(|e| config(&e))?,
    };
    // Retrying is the controller's business, bounded and visible: the client's own policy tries for 1,000 s.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(config)
}

/// The longest wait that an API server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Until when the API server asked to wait. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<Mutex<Option<Instant>>>);

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_shut(&self) -> bool {
        self.lock().is_some_and(|until| until > Instant::now())
    }
}

/// [`guarded_by`] a gate of its own.
#[must_use]
pub fn guarded(client: Client) -> Client {
    guarded_by(client, &Gate::default())
}

/// Wraps a client with what kube's own lacks:
/// - A watch which starts too far back is told so in the stream: kube-runtime lists anew only on an in-stream 410, never
///   on an HTTP 410, and would ask for the same version for ever.
/// - When the API server asks to wait (429 or 503 with `Retry-After`, RFC 9110 10.2.3), nothing but watches is sent
///   before that time: calls fail at once, as if it had answered so again, and are tried again in their own rhythm.
#[must_use]
pub fn guarded_by(client: Client, gate: &Gate) -> Client {
    let namespace = client.default_namespace().to_owned();
    let gate = gate.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, gate) = (client.clone(), gate.clone());
        async move {
            let watch = is_watch(&request);
            // Here it is a PodDisruptionBudget that asks to wait, and it means nothing but this pod.
            let eviction = request.uri().path().ends_with("/eviction");
            if !watch && gate.is_shut() {
                let message = "the API server asked to wait before the next request";
                return Err(kube::Error::Api(Status::failure(message, "TooManyRequests").with_code(429).boxed()));
            }
            let response = client.send(request).await?;
            if let Some(wait) = asked_to_wait(&response).filter(|_| !eviction) {
                *gate.lock() = Some(Instant::now() + wait);
            }
            if watch && response.status() == StatusCode::GONE { in_stream(response).await } else { Ok(response) }
        }
    });
    Client::new(service, namespace)
}

fn is_watch(request: &Request<Body>) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"))
}

fn asked_to_wait(response: &Response<Body>) -> Option<Duration> {
    if !matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let seconds = response.headers().get(http::header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

async fn in_stream(response: Response<Body>) -> Result<Response<Body>, kube::Error> {
    let status = response.into_body().collect().await?.to_bytes();
    let status =
        std::str::from_utf8(&status).ok().filter(|text| serde_json::from_str::<serde_json::Value>(text).is_ok());
    let status = status.unwrap_or(r#"{"kind":"Status","status":"Failure","reason":"Expired","code":410}"#);
    let line = format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", status.trim());
    Ok(Response::new(Body::from(line.into_bytes())))
}
