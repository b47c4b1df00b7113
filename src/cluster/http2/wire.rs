//! One connection: TCP, TLS with ALPN, and the HTTP/2 handshake.

use std::{io, sync::Arc, time::Duration};

use http::Uri;
use hyper::client::conn::http2;
use hyper_util::{
    client::legacy::connect::HttpConnector,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use kube::{
    Config,
    client::{Body, ConfigExt},
};
use rustls::{client::Resumption, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::ServiceExt;

use super::{Limits, WatchError};
use crate::cluster::client::AccessError;

/// What a server may send of one stream before it is read; an event that is larger takes several turns.
const STREAM_WINDOW: u32 = 64 * 1024;
/// HTTP/2's least: what is read from a connection at a time, and kept in its buffer.
const FRAME: u32 = 16 * 1024;

pub(super) type Sender = http2::SendRequest<Body>;
pub(super) type Connection = http2::Connection<TokioIo<TlsStream<TcpStream>>, Body, TokioExecutor>;

/// How connections to the API server are made.
pub(super) struct Wire {
    server: Uri,
    name: ServerName<'static>,
    tls: TlsConnector,
    tcp: HttpConnector,
    within: Duration,
    http2: http2::Builder<TokioExecutor>,
}

impl Wire {
    /// `None` for a server without TLS: there is no ALPN then, and so no HTTP/2.
    pub(super) fn new(config: &Config, limits: &Limits) -> Result<Option<Self>, AccessError> {
        if config.cluster_url.scheme() != Some(&http::uri::Scheme::HTTPS) {
            return Ok(None);
        }
        let failed = |error: &dyn std::fmt::Display| AccessError::Client(error.to_string());
        // kube's own: client certificate, CA (read again when its file changes), accept_invalid_certs.
        let mut tls = config.rustls_client_config().map_err(|error| failed(&error))?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Connections are few and live long: the store of tickets would cost more than it ever saves.
        tls.resumption = Resumption::disabled();
        let host = config.cluster_url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = config.tls_server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(|error| failed(&error))?;
        let within = config.connect_timeout.unwrap_or(Duration::from_secs(30));
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(within));
        let (server, http2) = (config.cluster_url.clone(), settings(limits));
        Ok(Some(Self { server, name, tls: TlsConnector::from(Arc::new(tls)), tcp, within, http2 }))
    }

    /// A new connection; `None` where the server chose HTTP/1.1.
    pub(super) async fn connect(&self) -> Result<Option<(Sender, Connection)>, WatchError> {
        let shaken = async {
            let tcp = self.tcp.clone().oneshot(self.server.clone()).await.map_err(WatchError::from_tcp)?;
            let tls = self.tls.connect(self.name.clone(), tcp.into_inner()).await.map_err(WatchError::Tls)?;
            if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
                return Ok(None);
            }
            self.http2.handshake(TokioIo::new(tls)).await.map(Some).map_err(WatchError::Http)
        };
        let late = |_| WatchError::Tcp(io::Error::from(io::ErrorKind::TimedOut).into());
        tokio::time::timeout(self.within, shaken).await.map_err(late)?
    }
}

fn settings(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    let whole = STREAM_WINDOW.saturating_mul(u32::try_from(limits.streams).unwrap_or(u32::MAX)).min(1 << 30);
    http2
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        // Enough for all of its streams: one that is not read holds up no other.
        .initial_connection_window_size(whole)
        .max_frame_size(FRAME)
        .keep_alive_interval(limits.ping_after)
        .keep_alive_timeout(limits.ping_timeout)
        .keep_alive_while_idle(true);
    http2
}
