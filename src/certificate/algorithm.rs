//! Public keys and signatures: what they are, and whether one made the other.

use aws_lc_rs::signature::{self as lc, VerificationAlgorithm};
use x509_parser::{
    public_key::PublicKey as Parsed,
    signature_algorithm::RsaSsaPssParams,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo},
};

use super::der;

/// Object identifiers, as the bytes that stand in DER.
pub(super) mod oid {
    pub(in crate::certificate) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    pub(in crate::certificate) const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
    pub(in crate::certificate) const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    pub(in crate::certificate) const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1];
    pub(in crate::certificate) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    pub(in crate::certificate) const ED448: &[u8] = &[0x2b, 0x65, 0x71];
    pub(in crate::certificate) const P192: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1];
    pub(in crate::certificate) const P224: &[u8] = &[0x2b, 0x81, 4, 0, 33];
    pub(in crate::certificate) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    pub(in crate::certificate) const P384: &[u8] = &[0x2b, 0x81, 4, 0, 34];
    pub(in crate::certificate) const P521: &[u8] = &[0x2b, 0x81, 4, 0, 35];
}

/// An elliptic curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P192,
    P224,
    P256,
    P384,
    P521,
    /// Parameters spelt out in place of a name: forbidden by RFC 5480 (2.1.1).
    Explicit,
    /// A named curve of no use in TLS.
    Unknown,
}

impl Curve {
    pub(super) fn from_oid(bytes: &[u8]) -> Self {
        match bytes {
            oid::P192 => Self::P192,
            oid::P224 => Self::P224,
            oid::P256 => Self::P256,
            oid::P384 => Self::P384,
            oid::P521 => Self::P521,
            _ => Self::Unknown,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::P192 => "P-192",
            Self::P224 => "P-224",
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
            Self::Explicit => "with explicit parameters",
            Self::Unknown => "on an unknown curve",
        }
    }
}

/// A public key, from a certificate or from the private one that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// Big-endian digits without leading zeros.
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The point as it stands (uncompressed or compressed).
    Ec {
        curve: Curve,
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
    /// A kind that no gateway takes.
    Unsupported(String),
}

impl PublicKey {
    pub(super) fn read(spki: &SubjectPublicKeyInfo<'_>) -> Self {
        let algorithm = spki.algorithm.algorithm.as_bytes();
        let bits = spki.subject_public_key.data.to_vec();
        match algorithm {
            oid::ED25519 => return Self::Ed25519(bits),
            oid::ED448 => return Self::Unsupported("Ed448".to_owned()),
            oid::DSA => return Self::Unsupported("DSA".to_owned()),
            oid::EC => return Self::Ec { curve: curve(&spki.algorithm), point: bits },
            _ => {}
        }
        match spki.parsed() {
            Ok(Parsed::RSA(key)) => Self::Rsa {
                modulus: der::unsigned(key.modulus).to_vec(),
                exponent: der::unsigned(key.exponent).to_vec(),
            },
            Err(_) if algorithm == oid::RSA => Self::Unsupported("RSA, malformed".to_owned()),
            _ => Self::Unsupported(spki.algorithm.algorithm.to_id_string()),
        }
    }

    /// `RSA 2048`, `ECDSA P-256`, …
    pub(super) fn text(&self) -> String {
        match self {
            Self::Rsa { .. } => format!("RSA {}", self.rsa_bits().unwrap_or_default()),
            Self::Ec { curve, .. } => format!("ECDSA {}", curve.name()),
            Self::Ed25519(_) => "Ed25519".to_owned(),
            Self::Unsupported(what) => what.clone(),
        }
    }

    /// The modulus' size in bits, for an RSA key.
    pub(super) fn rsa_bits(&self) -> Option<usize> {
        let Self::Rsa { modulus, .. } = self else { return None };
        let first = modulus.first()?;
        Some(modulus.len() * 8 - first.leading_zeros() as usize)
    }

    /// The exponent, for an RSA key; the largest number if it does not fit.
    pub(super) fn rsa_exponent(&self) -> Option<u64> {
        let Self::Rsa { exponent, .. } = self else { return None };
        let small = exponent.len() <= 8;
        Some(if small { exponent.iter().fold(0, |v, b| (v << 8) | u64::from(*b)) } else { u64::MAX })
    }

    /// The same key, whether or not a point is compressed.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ec { curve: a, point: p }, Self::Ec { curve: b, point: q }) => a == b && same_point(p, q),
            (Self::Unsupported(_), _) | (_, Self::Unsupported(_)) => false,
            _ => self == other,
        }
    }
}

/// A compressed point holds x and the parity of y.
fn same_point(p: &[u8], q: &[u8]) -> bool {
    let parts = |point: &[u8]| match point {
        [4, xy @ ..] if xy.len() % 2 == 0 && !xy.is_empty() => {
            Some((xy[..xy.len() / 2].to_vec(), xy[xy.len() - 1] & 1))
        }
        [parity @ (2 | 3), x @ ..] => Some((x.to_vec(), parity & 1)),
        _ => None,
    };
    p == q || parts(p).is_some_and(|p| Some(p) == parts(q))
}

fn curve(algorithm: &AlgorithmIdentifier<'_>) -> Curve {
    match &algorithm.parameters {
        Some(any) if any.tag().0 == 6 => Curve::from_oid(any.data),
        Some(any) if any.tag().0 == 16 => Curve::Explicit,
        _ => Curve::Unknown,
    }
}

/// A hash inside a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Md2,
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// How a certificate was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signature {
    RsaPkcs1(Hash),
    RsaPss(Hash),
    Ecdsa(Hash),
    Ed25519,
    Other(String),
}

impl Signature {
    pub(super) fn read(algorithm: &AlgorithmIdentifier<'_>) -> Self {
        match algorithm.algorithm.as_bytes() {
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last] => match last {
                2 => Self::RsaPkcs1(Hash::Md2),
                4 => Self::RsaPkcs1(Hash::Md5),
                5 => Self::RsaPkcs1(Hash::Sha1),
                10 => pss(algorithm),
                11 => Self::RsaPkcs1(Hash::Sha256),
                12 => Self::RsaPkcs1(Hash::Sha384),
                13 => Self::RsaPkcs1(Hash::Sha512),
                14 => Self::RsaPkcs1(Hash::Sha224),
                _ => Self::Other(algorithm.algorithm.to_id_string()),
            },
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1] => Self::Ecdsa(Hash::Sha1),
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, last @ 1..=4] => {
                Self::Ecdsa([Hash::Sha224, Hash::Sha256, Hash::Sha384, Hash::Sha512][usize::from(last - 1)])
            }
            oid::ED25519 => Self::Ed25519,
            _ => Self::Other(algorithm.algorithm.to_id_string()),
        }
    }

    /// A hash for which collisions can be made, so that another certificate may carry this signature.
    pub(super) fn weak(&self) -> Option<&'static str> {
        match self {
            Self::RsaPkcs1(hash) | Self::RsaPss(hash) | Self::Ecdsa(hash) => match hash {
                Hash::Md2 => Some("MD2"),
                Hash::Md5 => Some("MD5"),
                Hash::Sha1 => Some("SHA-1"),
                _ => None,
            },
            _ => None,
        }
    }

    /// `RSA-PSS with Sha256`, …
    pub(super) fn text(&self) -> String {
        match self {
            Self::RsaPkcs1(hash) => format!("RSA with {hash:?}"),
            Self::RsaPss(hash) => format!("RSA-PSS with {hash:?}"),
            Self::Ecdsa(hash) => format!("ECDSA with {hash:?}"),
            Self::Ed25519 => "Ed25519".to_owned(),
            Self::Other(oid) => format!("algorithm {oid}"),
        }
    }
}

fn pss(algorithm: &AlgorithmIdentifier<'_>) -> Signature {
    let parameters = algorithm.parameters.as_ref().and_then(|any| RsaSsaPssParams::try_from(any).ok());
    let Some(parameters) = parameters else { return Signature::Other("RSA-PSS, malformed".to_owned()) };
    match parameters.hash_algorithm_oid().to_id_string().as_str() {
        "1.3.14.3.2.26" => Signature::RsaPss(Hash::Sha1),
        "2.16.840.1.101.3.4.2.1" => Signature::RsaPss(Hash::Sha256),
        "2.16.840.1.101.3.4.2.2" => Signature::RsaPss(Hash::Sha384),
        "2.16.840.1.101.3.4.2.3" => Signature::RsaPss(Hash::Sha512),
        other => Signature::Other(format!("RSA-PSS with hash {other}")),
    }
}

/// Whether a key made a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// It did.
    Verified,
    /// It did not.
    Bad,
    /// The combination of key and signature is none that can be verified (nor would a client).
    Unverifiable,
}

/// Did `key` (whose subjectPublicKey bits are `key_bits`) sign `message`?
pub(super) fn verify(how: &Signature, key: &PublicKey, key_bits: &[u8], message: &[u8], signature: &[u8]) -> Link {
    let Some(algorithm) = algorithm(how, key) else { return Link::Unverifiable };
    match lc::UnparsedPublicKey::new(algorithm, key_bits).verify(message, signature) {
        Ok(()) => Link::Verified,
        Err(_) => Link::Bad,
    }
}

/// Keys from 1024 bits and SHA-1 are verified too: that they are weak is another check's finding.
fn algorithm(how: &Signature, key: &PublicKey) -> Option<&'static dyn VerificationAlgorithm> {
    let small = key.rsa_bits().is_some_and(|bits| bits < 2048);
    Some(match (how, key) {
        (Signature::RsaPkcs1(hash), PublicKey::Rsa { .. }) => match (hash, small) {
            (Hash::Sha1, _) => &lc::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            (Hash::Sha256, true) => &lc::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            (Hash::Sha512, true) => &lc::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
            (Hash::Sha256, false) => &lc::RSA_PKCS1_2048_8192_SHA256,
            (Hash::Sha384, false) => &lc::RSA_PKCS1_2048_8192_SHA384,
            (Hash::Sha512, false) => &lc::RSA_PKCS1_2048_8192_SHA512,
            _ => return None,
        },
        (Signature::RsaPss(hash), PublicKey::Rsa { .. }) => match hash {
            Hash::Sha256 => &lc::RSA_PSS_2048_8192_SHA256,
            Hash::Sha384 => &lc::RSA_PSS_2048_8192_SHA384,
            Hash::Sha512 => &lc::RSA_PSS_2048_8192_SHA512,
            _ => return None,
        },
        (Signature::Ecdsa(hash), PublicKey::Ec { curve, .. }) => match (curve, hash) {
            (Curve::P256, Hash::Sha1) => &lc::ECDSA_P256_SHA1_ASN1,
            (Curve::P256, Hash::Sha256) => &lc::ECDSA_P256_SHA256_ASN1,
            (Curve::P256, Hash::Sha384) => &lc::ECDSA_P256_SHA384_ASN1,
            (Curve::P256, Hash::Sha512) => &lc::ECDSA_P256_SHA512_ASN1,
            (Curve::P384, Hash::Sha256) => &lc::ECDSA_P384_SHA256_ASN1,
            (Curve::P384, Hash::Sha384) => &lc::ECDSA_P384_SHA384_ASN1,
            (Curve::P384, Hash::Sha512) => &lc::ECDSA_P384_SHA512_ASN1,
            (Curve::P521, Hash::Sha256) => &lc::ECDSA_P521_SHA256_ASN1,
            (Curve::P521, Hash::Sha384) => &lc::ECDSA_P521_SHA384_ASN1,
            (Curve::P521, Hash::Sha512) => &lc::ECDSA_P521_SHA512_ASN1,
            _ => return None,
        },
        (Signature::Ed25519, PublicKey::Ed25519(_)) => &lc::ED25519,
        _ => return None,
    })
}
