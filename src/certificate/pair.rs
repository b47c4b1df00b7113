//! A certificate chain and the private key of its leaf, normalised and ready to be written.

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

/// SHA-256 over the leaf's DER: what `openssl x509 -fingerprint -sha256` prints, in lower case without colons.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint that these 32 bytes are.
    #[must_use]
    pub fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// The first eight hexadecimal digits: enough for a person to tell two apart.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A chain in PEM, leaf first, and its key as PKCS#8 PEM. The key is wiped when the last clone goes
/// and never printed.
#[derive(Clone)]
pub struct Pair {
    fingerprint: Fingerprint,
    certificate: Arc<str>,
    key: Arc<Zeroizing<String>>,
}

impl Pair {
    pub(super) fn new(fingerprint: Fingerprint, certificate: String, key: Zeroizing<String>) -> Self {
        Self { fingerprint, certificate: certificate.into(), key: Arc::new(key) }
    }

    /// The leaf's fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The same leaf and chain, and so the same key: a pair exists only where the key matches its leaf.
    /// Bytes that were supplied differently (line ends, key encoding) are the same pair.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.certificate == other.certificate
    }

    /// The chain in PEM: leaf first, one newline at the end, nothing between the blocks.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// The key in PEM (PKCS#8). Handle with care: this is the secret itself.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("fingerprint", &self.fingerprint)
            .field("key", &"[redacted]")
            .finish_non_exhaustive()
    }
}
