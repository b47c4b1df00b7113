//! One TLS handshake that records the chain it is shown and trusts nothing: no application data is ever sent.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{
    CipherSuite, ClientConfig, ProtocolVersion, SupportedProtocolVersion,
    crypto::aws_lc_rs::default_provider,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{
    Dial, HandshakeError, ProxyHeader,
    metered::Metered,
    recorder::{Recorder, Seen},
};
use crate::certificate::{Facts, Fingerprint, Supplied, read};

/// The most that is read in one handshake. rustls takes messages of 64 KiB at most, and there are few of them.
const MOST: usize = 128 * 1024;

/// The protocol versions that a handshake offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Versions {
    /// TLS 1.3 and 1.2, as clients of today do.
    #[default]
    Any,
    /// TLS 1.2 alone.
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
}

impl Versions {
    fn offered(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Self::Any => &BOTH,
            Self::Tls12 => &BOTH[1..],
            Self::Tls13 => &BOTH[..1],
        }
    }
}

/// What is asked of which server.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Where it listens.
    pub address: SocketAddr,
    /// The host that is asked for (SNI). An IP address is never sent (RFC 6066, 3): nothing is asked for then.
    pub name: &'a str,
    /// What is offered.
    pub versions: Versions,
    /// What goes first.
    pub proxy: ProxyHeader,
    /// How long connection and handshake may take together.
    pub limit: Duration,
}

impl<'a> Question<'a> {
    /// Asks as clients of today do, without a PROXY header.
    #[must_use]
    pub fn new(address: SocketAddr, name: &'a str, limit: Duration) -> Self {
        Self { address, name, versions: Versions::Any, proxy: ProxyHeader::None, limit }
    }
}

/// What a gateway showed in a completed handshake.
#[derive(Debug, Clone)]
pub struct ServedChain {
    /// SHA-256 of the leaf.
    pub fingerprint: Fingerprint,
    /// The chain as it was sent, leaf first, DER.
    pub chain: Vec<CertificateDer<'static>>,
    /// The OCSP response that was stapled; empty if there was none.
    pub staple: Vec<u8>,
    /// The protocol version that was agreed on; unknown where the handshake was cut short (see `complete`).
    pub protocol: Option<ProtocolVersion>,
    /// The cipher suite that was agreed on; as for `protocol`.
    pub cipher_suite: Option<CipherSuite>,
    /// The peer asked for a client certificate (mutual TLS, or an optional one).
    pub asks_client: bool,
    /// Both sides finished. Only with TLS 1.2 and a client certificate that is required this is false: the peer then
    /// had signed this very handshake with the leaf's key, which proves as much, before it turned us away.
    pub complete: bool,
    /// How long it took to connect.
    pub connect: Duration,
    /// How long the handshake took once connected.
    pub handshake: Duration,
    /// Bytes received on the connection.
    pub received: usize,
    /// Bytes sent on the connection, those of a PROXY header included.
    pub sent: usize,
}

impl ServedChain {
    /// The chain in PEM, as it was sent.
    #[must_use]
    pub fn pem(&self) -> String {
        let mut pem = String::new();
        for certificate in &self.chain {
            pem.push_str("-----BEGIN CERTIFICATE-----\n");
            let text = STANDARD.encode(certificate);
            // Base64 is ASCII: no character is cut.
            for at in (0..text.len()).step_by(64) {
                pem.push_str(&text[at..text.len().min(at + 64)]);
                pem.push('\n');
            }
            pem.push_str("-----END CERTIFICATE-----\n");
        }
        pem
    }

    /// The facts, to be judged as any chain is. There is no key among them.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let staple = Some(self.staple.as_slice()).filter(|staple| !staple.is_empty());
        read(&Supplied { certificate: Some(self.pem().as_bytes()), key: None, staple })
    }
}

/// Shakes hands with the gateway at this address, asking for this name (SNI).
///
/// # Errors
/// When no handshake was completed within `limit`.
pub async fn handshake(
    dial: &dyn Dial,
    address: SocketAddr,
    name: &str,
    limit: Duration,
) -> Result<ServedChain, HandshakeError> {
    shake(dial, &Question::new(address, name, limit)).await
}

/// Shakes hands as the question says.
///
/// # Errors
/// When no handshake was completed within its limit.
pub async fn shake(dial: &dyn Dial, question: &Question<'_>) -> Result<ServedChain, HandshakeError> {
    let &Question { address, name, limit, .. } = question;
    let server = ServerName::try_from(name.to_owned()).map_err(|_| HandshakeError::Name(name.to_owned()))?;
    let provider = Arc::new(default_provider());
    // The first random bytes of a process take tens of milliseconds to gather: not the server's, so before the clock.
    let _ = provider.secure_random.fill(&mut [0; 32]);
    let recorder = Arc::new(Recorder::new(provider));
    let config = config(question.versions, &recorder).map_err(|e| HandshakeError::Other(address, e.to_string()))?;
    let begin = Instant::now();
    let deadline = begin + limit;
    let stream = connect(dial, address, deadline).await.ok_or(HandshakeError::Unanswered(address, limit))??;
    let connected = Instant::now();
    let shaken = timeout_at(deadline, exchange(stream, server, question, config, &recorder)).await;
    let agreed = shaken.unwrap_or(Err(HandshakeError::TimedOut(address, limit)))?;
    let Seen { chain, staple, .. } = recorder.take();
    let fingerprint = chain.first().and_then(|leaf| fingerprint(leaf));
    let fingerprint =
        fingerprint.ok_or_else(|| HandshakeError::Broken(address, "no certificate was shown".to_owned()))?;
    Ok(ServedChain {
        fingerprint,
        chain,
        staple,
        protocol: agreed.protocol,
        cipher_suite: agreed.cipher_suite,
        asks_client: recorder.asks_client(),
        complete: agreed.complete,
        connect: connected - begin,
        handshake: connected.elapsed(),
        received: agreed.received,
        sent: agreed.sent,
    })
}

/// Opens a stream; `None` if that took too long.
pub(super) async fn connect(
    dial: &dyn Dial,
    address: SocketAddr,
    deadline: Instant,
) -> Option<Result<Box<dyn super::Stream>, HandshakeError>> {
    let dialled = timeout_at(deadline, dial.dial(address)).await.ok()?;
    Some(dialled.map_err(|error| HandshakeError::of_connecting(&error, address)))
}

/// What both sides agreed on, and at what cost.
struct Agreed {
    protocol: Option<ProtocolVersion>,
    cipher_suite: Option<CipherSuite>,
    complete: bool,
    received: usize,
    sent: usize,
}

async fn exchange(
    stream: Box<dyn super::Stream>,
    server: ServerName<'static>,
    question: &Question<'_>,
    config: ClientConfig,
    recorder: &Recorder,
) -> Result<Agreed, HandshakeError> {
    let &Question { address, name, .. } = question;
    let mut stream = Metered::new(stream, MOST);
    if let Err(error) = stream.write_all(&question.proxy.bytes()).await {
        return Err(HandshakeError::of_shaking(&error, &stream, address, name));
    }
    match TlsConnector::from(Arc::new(config)).connect(server, stream).into_fallible().await {
        Ok(stream) => {
            let (stream, connection) = stream.get_ref();
            Ok(Agreed {
                protocol: connection.protocol_version(),
                cipher_suite: connection.negotiated_cipher_suite().map(|suite| suite.suite()),
                complete: true,
                received: stream.received,
                sent: stream.sent,
            })
        }
        Err((error, stream)) => {
            let refused = HandshakeError::of_shaking(&error, &stream, address, name);
            if recorder.asks_client() && recorder.was_proven() && refused.is_farewell() {
                let (received, sent) = (stream.received, stream.sent);
                return Ok(Agreed { protocol: None, cipher_suite: None, complete: false, received, sent });
            }
            Err(refused)
        }
    }
}

fn config(versions: Versions, recorder: &Arc<Recorder>) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(recorder.provider())
        .with_protocol_versions(versions.offered())?
        .dangerous()
        .with_custom_certificate_verifier(recorder.clone())
        .with_client_cert_resolver(recorder.clone());
    // Each probe is to see the certificate of now, not a session of before.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn fingerprint(leaf: &CertificateDer<'_>) -> Option<Fingerprint> {
    let hash = digest::digest(&digest::SHA256, leaf);
    hash.as_ref().try_into().ok().map(Fingerprint::new)
}
