//! The client to the API server.

use std::{
    sync::{Arc, Mutex, PoisonError},
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

/// Reads the configuration and makes a [`guarded`] client.
///
/// # Errors
/// When no configuration is found or it cannot be used.
pub async fn connect(access: &Access) -> Result<Client, AccessError> {
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
    Client::try_from(config).map(guarded).map_err(|e| AccessError::Client(e.to_string()))
}

/// The longest wait that an API server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Wraps a client with what kube's own lacks:
/// - A watch which starts too far back is told so in the stream: kube-runtime lists anew only on an in-stream 410, never
///   on an HTTP 410, and would ask for the same version for ever.
/// - When the API server asks to wait (429 or 503 with `Retry-After`, RFC 9110 10.2.3), nothing but watches is sent
///   before that time: calls fail at once, as if it had answered so again, and are tried again in their own rhythm.
#[must_use]
pub fn guarded(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    let wait_until = Arc::new(Mutex::new(None::<Instant>));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, wait_until) = (client.clone(), wait_until.clone());
        async move {
            let lock = || wait_until.lock().unwrap_or_else(PoisonError::into_inner);
            let watch = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
            let left = lock().and_then(|until| until.checked_duration_since(Instant::now())).unwrap_or_default();
            if !watch && !left.is_zero() {
                let message = "the API server asked to wait before the next request";
                return Err(kube::Error::Api(Status::failure(message, "TooManyRequests").with_code(429).boxed()));
            }
            let response = client.send(request).await?;
            if let Some(wait) = asked_to_wait(&response) {
                *lock() = Some(Instant::now() + wait);
            }
            if watch && response.status() == StatusCode::GONE { in_stream(response).await } else { Ok(response) }
        }
    });
    Client::new(service, namespace)
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
