//! A small API server over TLS on loopback that says how it was connected to.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::Config;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{broadcast, mpsc, watch},
    time::Instant,
};
use tokio_rustls::TlsAcceptor;

/// What the server is like.
#[derive(Clone)]
pub struct Manner {
    pub alpn: &'static [&'static [u8]],
    /// `None`: no TLS.
    pub name: Option<&'static str>,
    pub streams: u32,
    /// How long a list takes.
    pub list: Duration,
    /// Answers lists with this status and a Retry-After of a minute.
    pub refuses: Option<u16>,
    /// The first watch is answered so.
    pub first_watch: Option<u16>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            alpn: &[b"h2", b"http/1.1"],
            name: Some("127.0.0.1"),
            streams: 250,
            list: Duration::ZERO,
            refuses: None,
            first_watch: None,
        }
    }
}

/// One connection, as the server saw it.
#[derive(Debug, Default)]
pub struct Met {
    pub http2: bool,
    pub open: AtomicBool,
    pub watches: AtomicUsize,
    pub most_watches: AtomicUsize,
    pub lists: AtomicUsize,
    pub calls: AtomicUsize,
    pub frozen: AtomicBool,
}

pub struct Inner {
    manner: Manner,
    pub met: Mutex<Vec<Arc<Met>>>,
    /// What every watch is told.
    told: broadcast::Sender<Bytes>,
    leave: watch::Sender<usize>,
    pub listing: AtomicUsize,
    pub most_listing: AtomicUsize,
    pub authorization: Mutex<Option<String>>,
    watches: AtomicUsize,
}

/// It serves until the test's runtime ends.
pub struct Server {
    pub address: SocketAddr,
    pub inner: Arc<Inner>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl Server {
    pub async fn start(manner: Manner) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        let name = manner.name.unwrap_or("127.0.0.1");
        params.subject_alt_names = vec![match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.try_into().expect("a name")),
        }];
        let certificate = params.self_signed(&key).expect("a certificate").der().to_vec();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::serve(listener, manner, certificate, key.serialize_der())
    }

    /// Another server with the same certificate, at this address.
    pub async fn start_again_at(&self, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        Self::serve(listener, self.inner.manner.clone(), self.certificate.clone(), self.key.clone())
    }

    fn serve(listener: TcpListener, manner: Manner, certificate: Vec<u8>, key: Vec<u8>) -> Self {
        let address = listener.local_addr().expect("an address");
        let mut tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.clone().into()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.clone())),
            )
            .expect("a server");
        tls.alpn_protocols = manner.alpn.iter().map(|name| name.to_vec()).collect();
        let acceptor = manner.name.is_some().then(|| TlsAcceptor::from(Arc::new(tls)));
        let inner = Arc::new(Inner {
            manner,
            met: Mutex::default(),
            told: broadcast::channel(64).0,
            leave: watch::Sender::new(0),
            listing: AtomicUsize::new(0),
            most_listing: AtomicUsize::new(0),
            authorization: Mutex::default(),
            watches: AtomicUsize::new(0),
        });
        tokio::spawn(accept(listener, acceptor, inner.clone()));
        Self { address, inner, certificate, key }
    }

    pub fn config(&self) -> Config {
        let scheme = if self.inner.manner.name.is_some() { "https" } else { "http" };
        let mut config = Config::new(format!("{scheme}://{}", self.address).parse().expect("a URL"));
        config.root_cert = Some(vec![self.certificate.clone()]);
        config.default_retry = false;
        config
    }

    pub fn kubeconfig(&self) -> String {
        let ca = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem(&self.certificate));
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: t\n\
             clusters: [{{name: t, cluster: {{server: \"https://{}\", certificate-authority-data: {ca}}}}}]\n\
             contexts: [{{name: t, context: {{cluster: t, user: t}}}}]\nusers: [{{name: t, user: {{token: words}}}}]\n",
            self.address
        )
    }

    /// Tells every watch that the Secret is there in this version, its value so large.
    pub fn tell(&self, version: u64, size: usize) {
        let value = "QUFB".repeat(size / 3);
        let line = format!(
            r#"{{"type":"MODIFIED","object":{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"s","namespace":"n","uid":"u","resourceVersion":"{version}"}},"data":{{"x":"{value}"}}}}}}"#
        );
        let _ = self.inner.told.send(Bytes::from(format!("{line}\n")));
    }

    /// Ends all connections as a server does that goes away in good order.
    pub fn leave(&self) {
        self.inner.leave.send_modify(|times| *times += 1);
    }

    /// Neither reads nor writes on its connections any more, as if the network had swallowed them.
    pub fn freeze(&self) {
        for met in self.met() {
            met.frozen.store(true, SeqCst);
        }
    }

    pub fn met(&self) -> Vec<Arc<Met>> {
        self.inner.met.lock().expect("no panic").clone()
    }

    pub fn watches(&self) -> usize {
        self.met().iter().filter(|met| met.open.load(SeqCst)).map(|met| met.watches.load(SeqCst)).sum()
    }
}

fn pem(der: &[u8]) -> String {
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, inner: Arc<Inner>) {
    loop {
        let (tcp, _) = listener.accept().await.expect("a connection");
        tokio::spawn(connection(tcp, acceptor.clone(), inner.clone()));
    }
}

async fn connection(tcp: TcpStream, acceptor: Option<TlsAcceptor>, inner: Arc<Inner>) {
    let Some(acceptor) = acceptor else {
        let met = meet(&inner, false);
        let stream = Freezable { stream: tcp, met: met.clone() };
        return serve_http1(stream, inner, met).await;
    };
    let Ok(tls) = acceptor.accept(tcp).await else { return };
    let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let met = meet(&inner, http2);
    let stream = Freezable { stream: tls, met: met.clone() };
    if http2 { serve_http2(stream, inner, met).await } else { serve_http1(stream, inner, met).await }
}

fn meet(inner: &Arc<Inner>, http2: bool) -> Arc<Met> {
    let met = Arc::new(Met { http2, open: true.into(), ..Met::default() });
    inner.met.lock().expect("no panic").push(met.clone());
    met
}

async fn serve_http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, inner: Arc<Inner>, met: Arc<Met>) {
    let mut leave = inner.leave.subscribe();
    let (streams, counted) = (inner.manner.streams, met.clone());
    let service = service_fn(move |request| answer(request, inner.clone(), met.clone()));
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    let mut connection =
        std::pin::pin!(http2.max_concurrent_streams(streams).serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = leave.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
    counted.open.store(false, SeqCst);
}

async fn serve_http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, inner: Arc<Inner>, met: Arc<Met>) {
    let counted = met.clone();
    let service = service_fn(move |request| answer(request, inner.clone(), met.clone()));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    counted.open.store(false, SeqCst);
}

async fn answer(request: Request<Incoming>, inner: Arc<Inner>, met: Arc<Met>) -> Result<Response<Body>, Infallible> {
    let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    *inner.authorization.lock().expect("no panic") = authorization.map(str::to_owned);
    let query = request.uri().query().unwrap_or_default();
    if query.contains("watch=true") {
        if inner.watches.fetch_add(1, SeqCst) == 0
            && let Some(status) = inner.manner.first_watch
        {
            return Ok(status_of(status));
        }
        return Ok(Response::new(watched(&inner, met)));
    }
    if !query.contains("fieldSelector") {
        met.calls.fetch_add(1, SeqCst);
        return Ok(whole(r#"{"apiVersion":"v1","kind":"SecretList","metadata":{"resourceVersion":"1"},"items":[]}"#));
    }
    met.lists.fetch_add(1, SeqCst);
    let listing = inner.listing.fetch_add(1, SeqCst) + 1;
    inner.most_listing.fetch_max(listing, SeqCst);
    tokio::time::sleep(inner.manner.list).await;
    inner.listing.fetch_sub(1, SeqCst);
    if let Some(status) = inner.manner.refuses {
        return Ok(status_of(status));
    }
    Ok(whole(r#"{"apiVersion":"v1","kind":"SecretList","metadata":{"resourceVersion":"1"},"items":[]}"#))
}

fn whole(text: &str) -> Response<Body> {
    Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())).boxed_unsync())
}

fn status_of(code: u16) -> Response<Body> {
    let mut response = whole(&format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"no","reason":"No","code":{code}}}"#
    ));
    *response.status_mut() = code.try_into().expect("a status");
    response.headers_mut().insert("retry-after", "60".parse().expect("a value"));
    response
}

/// A watch: what is told, until the client or the server has had enough.
fn watched(inner: &Arc<Inner>, met: Arc<Met>) -> Body {
    let now = met.watches.fetch_add(1, SeqCst) + 1;
    met.most_watches.fetch_max(now, SeqCst);
    let (mut told, mut leave) = (inner.told.subscribe(), inner.leave.subscribe());
    let (sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                line = told.recv() => match line {
                    Ok(line) => if sender.send(Ok(Frame::data(line))).await.is_err() { break },
                    Err(_) => break,
                },
                _ = leave.changed() => break,
                () = sender.closed() => break,
            }
        }
        met.watches.fetch_sub(1, SeqCst);
    });
    let lines = futures::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    BodyExt::boxed_unsync(StreamBody::new(lines))
}

/// A stream that can be made to hang.
struct Freezable<S> {
    stream: S,
    met: Arc<Met>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Freezable<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.met.frozen.load(SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Freezable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if self.met.frozen.load(SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Waits until it is so.
pub async fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
