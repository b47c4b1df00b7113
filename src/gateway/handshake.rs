//! One TLS handshake that records the chain it is shown and trusts nothing: no application data is ever sent.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest;
use rustls::{
    ClientConfig, DigitallySignedStruct, ProtocolVersion, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs::default_provider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::TlsConnector;

use super::Dial;
use crate::certificate::Fingerprint;

/// What a gateway showed in a completed handshake.
#[derive(Debug, Clone)]
pub struct ServedChain {
    /// SHA-256 of the leaf.
    pub fingerprint: Fingerprint,
    /// The chain as it was sent, leaf first, DER.
    pub chain: Vec<CertificateDer<'static>>,
    /// The protocol version that was agreed on.
    pub protocol: Option<ProtocolVersion>,
}

/// Why a handshake did not complete. None of these is evidence of what a gateway serves (law 6).
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The name cannot be asked for.
    #[error("\"{0}\" is not a host name that TLS can ask for")]
    Name(String),
    /// Nobody listens.
    #[error("{0} refused the connection: no process listens there")]
    Refused(SocketAddr),
    /// The peer closed or reset the connection before the handshake was complete: no certificate for that name,
    /// or none at all.
    #[error("{0} closed the connection during the handshake: it has no certificate for \"{1}\", or none at all")]
    Closed(SocketAddr, String),
    /// The answer was no TLS.
    #[error("{0} answered with something else than TLS")]
    NotTls(SocketAddr),
    /// It took too long.
    #[error("{0} did not complete a handshake within {1:?}")]
    TimedOut(SocketAddr, Duration),
    /// Anything else.
    #[error("{0}: {1}")]
    Other(SocketAddr, String),
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
    let server = ServerName::try_from(name.to_owned()).map_err(|_| HandshakeError::Name(name.to_owned()))?;
    tokio::time::timeout(limit, shake(dial, address, server))
        .await
        .unwrap_or(Err(Trouble::TimedOut))
        .map_err(|trouble| trouble.explain(address, name, limit))
}

enum Trouble {
    Io(io::Error),
    TimedOut,
    NoChain,
}

async fn shake(dial: &dyn Dial, address: SocketAddr, server: ServerName<'static>) -> Result<ServedChain, Trouble> {
    let recorder = Arc::new(ChainRecorder { provider: Arc::new(default_provider()), chain: Mutex::default() });
    let mut config = ClientConfig::builder_with_provider(recorder.provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Trouble::Io(io::Error::other(error)))?
        .dangerous()
        .with_custom_certificate_verifier(recorder.clone())
        .with_no_client_auth();
    // Each probe is to see the certificate of now, not a session of before.
    config.resumption = rustls::client::Resumption::disabled();
    let stream = dial.dial(address).await.map_err(Trouble::Io)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(server, stream).await.map_err(Trouble::Io)?;
    let protocol = stream.get_ref().1.protocol_version();
    let chain = std::mem::take(&mut *recorder.chain.lock().unwrap_or_else(PoisonError::into_inner));
    let leaf = chain.first().ok_or(Trouble::NoChain)?;
    let hash = digest::digest(&digest::SHA256, leaf);
    let sha256: [u8; 32] = hash.as_ref().try_into().map_err(|_| Trouble::NoChain)?;
    Ok(ServedChain { fingerprint: Fingerprint::new(sha256), chain, protocol })
}

impl Trouble {
    fn explain(self, address: SocketAddr, name: &str, limit: Duration) -> HandshakeError {
        let error = match self {
            Self::TimedOut => return HandshakeError::TimedOut(address, limit),
            Self::NoChain => return HandshakeError::Other(address, "no certificate was shown".to_owned()),
            Self::Io(error) => error,
        };
        match error.kind() {
            io::ErrorKind::ConnectionRefused => return HandshakeError::Refused(address),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => return HandshakeError::Closed(address, name.to_owned()),
            _ => {}
        }
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidMessage(_)) => HandshakeError::NotTls(address),
            _ => HandshakeError::Other(address, error.to_string()),
        }
    }
}

/// Records the chain and accepts it. The signature of the handshake is still verified: it proves that the peer holds
/// the leaf's key.
#[derive(Debug)]
struct ChainRecorder {
    provider: Arc<CryptoProvider>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for ChainRecorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(leaf).chain(intermediates).map(|certificate| certificate.clone().into_owned());
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain.collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
