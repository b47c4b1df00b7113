//! Looks on at a handshake: which chain is shown, whether the peer proves that it holds the leaf's key, and whether it
//! asks for a client certificate.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The chain as it was sent, leaf first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The stapled OCSP response; empty if none was sent.
    pub(super) staple: Vec<u8>,
    /// The peer signed this very handshake with the leaf's key.
    pub(super) proven: bool,
}

/// Records the chain and accepts it: trust is not the handshake's business. The signature of the handshake is still
/// verified: it proves that the peer holds the leaf's key, and is no recording.
#[derive(Debug)]
pub(super) struct Recorder {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Seen>,
    asks_client: AtomicBool,
}

impl Recorder {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider, seen: Mutex::default(), asks_client: AtomicBool::new(false) }
    }

    /// What was seen; nothing is left behind.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen())
    }

    /// The provider that verifies signatures.
    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        self.provider.clone()
    }

    /// The peer signed this very handshake with the leaf's key.
    pub(super) fn was_proven(&self) -> bool {
        self.seen().proven
    }

    /// The peer asked for a client certificate.
    pub(super) fn asks_client(&self) -> bool {
        self.asks_client.load(Ordering::Relaxed)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prove(
        &self,
        verified: Result<HandshakeSignatureValid, rustls::Error>,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.seen().proven = verified.is_ok();
        verified
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server: &ServerName<'_>,
        ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(leaf).chain(intermediates).map(|certificate| certificate.clone().into_owned());
        *self.seen() = Seen { chain: chain.collect(), staple: ocsp.to_vec(), proven: false };
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.prove(verify_tls12_signature(message, certificate, signature, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.prove(verify_tls13_signature(message, certificate, signature, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for Recorder {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asks_client.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
