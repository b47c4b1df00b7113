//! The handshake that shows what a gateway serves, without trusting it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::fingerprint::fingerprint;

/// How long a handshake may take altogether.
const DEADLINE: Duration = Duration::from_secs(5);

/// What a server presented in a handshake that was completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedLeaf {
    /// SHA-256 over the leaf, in lower-case hex.
    pub fingerprint: String,
    /// The leaf's end.
    pub not_after: DateTime<Utc>,
    /// All certificates, leaf first, as DER.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Connects, asks for `sni` and completes a handshake. Any certificate is taken; that the server has its key is
/// checked.
///
/// # Errors
/// The connection is refused or closed, the handshake fails, it takes longer than 5 s, `sni` is not a host name,
/// or the leaf cannot be parsed.
pub async fn handshake(address: SocketAddr, sni: &str) -> io::Result<ServedLeaf> {
    timeout(DEADLINE, attempt(address, sni)).await?
}

async fn attempt(address: SocketAddr, sni: &str) -> io::Result<ServedLeaf> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyCertificate { algorithms: provider.signature_verification_algorithms });
    let config = client_config(provider, verifier).map_err(io::Error::other)?;
    let name = ServerName::try_from(sni.to_owned()).map_err(io::Error::other)?;
    let stream = TcpStream::connect(address).await?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let chain: Vec<_> = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
    // A server that resets now has shown its certificate all the same.
    let _ = stream.shutdown().await;
    let leaf = chain.first().ok_or_else(|| io::Error::other("the server presented no certificate"))?;
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(io::Error::other)?;
    let end = parsed.validity().not_after.timestamp();
    let not_after =
        DateTime::from_timestamp(end, 0).ok_or_else(|| io::Error::other("the leaf's end is out of range"))?;
    Ok(ServedLeaf { fingerprint: fingerprint(leaf), not_after, chain })
}

fn client_config(provider: Arc<CryptoProvider>, verifier: Arc<AnyCertificate>) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // A resumed session would show no certificate.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Takes any certificate, but not a server that lacks its key.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
