//! The client for watches: many share a connection, by HTTP/2. kube's own client speaks HTTP/1.1 only, so that each
//! watch is a connection with TLS of its own: some 55 kB, and a thousand of them for a thousand copies with a key.
//!
//! Calls never go this way: a connection that hangs holds up watches, and no write.
//!
//! What is as kube's client does it, because it is kube's code: the CA (also when its file changes), client
//! certificates, `accept_invalid_certs`, tokens from files and from exec plugins, impersonation. `tls_server_name` is
//! obeyed as well. kube's own client is used instead, with connections of its own, in these cases:
//! - The server, or a proxy before it, does not choose HTTP/2 (ALPN). It is asked again after [`Limits::ask_again`].
//! - The server is one without TLS (`http://`).
//! - The configuration has a `proxy_url`: connecting through proxies is kube's business.

mod body;
mod pool;
mod wire;

use std::{io, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper_util::client::legacy::connect::HttpConnector;
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt},
};
use tokio::sync::Mutex;
use tower::{BoxError, Service};

use super::client::AccessError;
use pool::{Pool, Protocol};
use wire::Wire;

/// Bounds of the client for watches.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Watches that share a connection at most; fewer where the server allows fewer. Kubernetes allows 100 or 250.
    pub streams: usize,
    /// A connection that was silent for so long is asked whether it lives.
    pub ping_after: Duration,
    /// It is dead if it has not answered within this time: all its watches begin anew.
    pub ping_timeout: Duration,
    /// The beginning of an answer is waited for so long. An API server answers within 60 s or not at all.
    pub answer: Duration,
    /// A connection without watches is closed after this time.
    pub linger: Duration,
    /// A server that chose HTTP/1.1 is asked again after this time.
    pub ask_again: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 100,
            ping_after: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(20),
            answer: Duration::from_secs(65),
            linger: Duration::from_secs(10),
            ask_again: Duration::from_secs(600),
        }
    }
}

/// Why a watch could not be begun.
#[derive(Debug, thiserror::Error)]
pub(super) enum WatchError {
    /// No connection.
    #[error("no connection: {0}")]
    Tcp(#[source] BoxError),
    /// No TLS.
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
    /// HTTP/2 failed.
    #[error("the HTTP/2 connection failed: {0}")]
    Http(#[source] hyper::Error),
    /// The server is there and says nothing.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The server spoke HTTP/2 before.
    #[error("the server does not speak HTTP/2 any more")]
    Changed,
    /// Connections ended as fast as they were made.
    #[error("the server closed several connections at once")]
    Closed,
}

impl WatchError {
    fn from_tcp(error: <HttpConnector as Service<http::Uri>>::Error) -> Self {
        Self::Tcp(error.into())
    }
}

/// Makes the client for watches; [`super::client::guarded`] is still to be put around it.
///
/// # Errors
/// When the configuration cannot be used.
pub fn watches(config: &Config, limits: &Limits) -> Result<Client, AccessError> {
    let plain =
        |config: &Config| Client::try_from(config.clone()).map_err(|error| AccessError::Client(error.to_string()));
    if config.proxy_url.is_some() {
        return plain(config);
    }
    let Some(wire) = Wire::new(config, limits)? else { return plain(config) };
    let pool = Arc::new(Pool::new(wire, limits.clone()));
    let router = Arc::new(Router {
        shared: layered(config, pool.clone())?,
        plain: Mutex::new(None),
        pool,
        config: config.clone(),
    });
    let service = tower::service_fn(move |request| {
        let router = router.clone();
        async move { router.send(request).await }
    });
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// The layers that kube puts around its own client, but for its log of requests: that logs failures as errors, and the
/// end of a watch is none.
fn layered(config: &Config, pool: Arc<Pool>) -> Result<Client, AccessError> {
    let failed = |error: kube::Error| AccessError::Client(error.to_string());
    let send = tower::service_fn(move |request| {
        let pool = pool.clone();
        async move { pool.send(request).await.map_err(BoxError::from) }
    });
    let service = tower::ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(failed)?)
        .layer(config.extra_headers_layer().map_err(failed)?)
        .map_err(BoxError::from)
        .service(send);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}

struct Router {
    pool: Arc<Pool>,
    shared: Client,
    /// kube's own client; made when it is needed, for it costs memory.
    plain: Mutex<Option<Client>>,
    config: Config,
}

impl Router {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
        let client = match self.pool.protocol().await.map_err(|error| kube::Error::Service(error.into()))? {
            Protocol::Http2 => self.shared.clone(),
            Protocol::Http1 => self.plain().await?,
        };
        client.send(request).await
    }

    async fn plain(&self) -> Result<Client, kube::Error> {
        let mut plain = self.plain.lock().await;
        if let Some(client) = plain.as_ref() {
            return Ok(client.clone());
        }
        tracing::info!("the API server does not speak HTTP/2: each watch is a connection of its own");
        let client = Client::try_from(self.config.clone())?;
        Ok(plain.insert(client).clone())
    }
}
