//! A bounded load on the gateway's pods: handshakes one after the other, and requests on connections that are kept open.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use certkeeper::gateway::{TcpDial, handshake};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::objects::DOMAIN;

/// A handshake or a request that takes longer counts as failed.
const LIMIT: Duration = Duration::from_secs(5);

/// How much load there is.
#[derive(Debug, Clone)]
pub struct LoadConfig {
    /// Clients that shake hands with each pod, one handshake after the other. Default 2.
    pub shaking: usize,
    /// Connections to each pod that are kept open, with one request after the other. Default 2.
    pub kept: usize,
    /// How long each client rests in between. Default 5 ms.
    pub pause: Duration,
}

impl Default for LoadConfig {
    fn default() -> Self {
        Self { shaking: 2, kept: 2, pause: Duration::from_millis(5) }
    }
}

/// What the load saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Completed handshakes, by the SHA-256 of the leaf.
    pub leaves: BTreeMap<String, u64>,
    /// Handshakes that were not completed, by the name of the reason.
    pub failed_handshakes: BTreeMap<&'static str, u64>,
    /// Completed handshakes that showed another leaf than the one that was [expected](Load::expect) when they began.
    pub stale_handshakes: u64,
    /// Requests on kept connections that were answered with 200.
    pub requests: u64,
    /// Connections that could not be opened or ended, and requests that were answered otherwise.
    pub failed_requests: u64,
}

impl LoadReport {
    /// Completed handshakes.
    #[must_use]
    pub fn handshakes(&self) -> u64 {
        self.leaves.values().sum()
    }

    /// Handshakes that were not completed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed_handshakes.values().sum()
    }
}

#[derive(Debug, Default)]
struct Seen {
    report: LoadReport,
    expected: Option<String>,
}

/// A load at work, until it is dropped.
#[derive(Debug)]
pub struct Load {
    seen: Arc<Mutex<Seen>>,
    stop: CancellationToken,
    clients: JoinSet<()>,
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load {
    /// Begins a load on these pods.
    #[must_use]
    pub fn start(addresses: &[SocketAddr], config: &LoadConfig) -> Self {
        let (seen, stop, mut clients) = (Arc::<Mutex<Seen>>::default(), CancellationToken::new(), JoinSet::new());
        for address in addresses {
            for _ in 0..config.shaking {
                clients.spawn(shaking(*address, seen.clone(), stop.clone(), config.pause));
            }
            for _ in 0..config.kept {
                clients.spawn(kept(*address, seen.clone(), stop.clone(), config.pause));
            }
        }
        Self { seen, stop, clients }
    }

    /// From now on a handshake that shows another leaf is stale. `None`: any leaf will do.
    pub fn expect(&self, leaf: Option<&str>) {
        lock(&self.seen).expected = leaf.map(str::to_owned);
    }

    /// Ends the load, after what is under way, and says what it saw.
    pub async fn stop(mut self) -> LoadReport {
        self.stop.cancel();
        while self.clients.join_next().await.is_some() {}
        lock(&self.seen).report.clone()
    }
}

async fn shaking(address: SocketAddr, seen: Arc<Mutex<Seen>>, stop: CancellationToken, pause: Duration) {
    let name = format!("ok.{DOMAIN}");
    while !stop.is_cancelled() {
        let expected = lock(&seen).expected.clone();
        let shaken = handshake(&TcpDial, address, &name, LIMIT).await;
        {
            let mut seen = lock(&seen);
            // Rotated in the meantime: this handshake may show either.
            let expected = expected.filter(|expected| seen.expected.as_ref() == Some(expected));
            match shaken {
                Ok(chain) => {
                    let leaf = chain.fingerprint.to_string();
                    seen.report.stale_handshakes += u64::from(expected.is_some_and(|expected| expected != leaf));
                    *seen.report.leaves.entry(leaf).or_default() += 1;
                }
                Err(error) => *seen.report.failed_handshakes.entry(error.reason().name).or_default() += 1,
            }
        }
        sleep(pause).await;
    }
}

async fn kept(address: SocketAddr, seen: Arc<Mutex<Seen>>, stop: CancellationToken, pause: Duration) {
    let mut open: Option<TlsStream<TcpStream>> = None;
    while !stop.is_cancelled() {
        let asked = timeout(LIMIT, async {
            let mut stream = match open.take() {
                Some(stream) => stream,
                None => connect(address).await?,
            };
            ask(&mut stream).await.map(|()| stream)
        });
        let answered = asked.await.ok().and_then(Result::ok);
        {
            let mut seen = lock(&seen);
            match answered.is_some() {
                true => seen.report.requests += 1,
                false => seen.report.failed_requests += 1,
            }
        }
        open = answered;
        sleep(pause).await;
    }
}

async fn connect(address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Whatever))
        .with_no_client_auth();
    let name = ServerName::try_from(format!("ok.{DOMAIN}")).map_err(std::io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

/// One request; the answer is `ok\n`, with its length in the head.
async fn ask(stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: ok.{DOMAIN}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok\n") {
        let mut part = [0; 1024];
        let length = stream.read(&mut part).await?;
        answer.extend(&part[..length]);
        if length == 0 || answer.len() > 8192 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

/// Nothing of worth is sent: whoever it is will do.
#[derive(Debug)]
struct Whatever;

impl ServerCertVerifier for Whatever {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _staple: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, leaf, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, leaf, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
