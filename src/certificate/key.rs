//! The private key: found among the blocks, understood, matched, and written out as PKCS#8.
//!
//! What is kept of it beyond the [`super::Pair`] is public: its kind and its public half.

use aws_lc_rs::{
    rsa,
    signature::{self as lc, KeyPair as _},
};
use zeroize::Zeroizing;

use super::{
    algorithm::{Curve, PublicKey, oid},
    der::{self, Reader, tag},
    pem::Block,
};

/// What is known of the supplied key. No private byte in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyFacts {
    /// No key anywhere.
    Missing,
    /// More than one.
    Several(usize),
    /// It wants a passphrase.
    Encrypted,
    /// It cannot be read: why.
    Malformed(String),
    /// It was read.
    Read {
        public: PublicKey,
        /// `PKCS#1`, `SEC1`, `PKCS#8`.
        encoding: &'static str,
    },
}

/// The key in PKCS#8 DER, wiped when dropped.
pub(super) type Pkcs8 = Zeroizing<Vec<u8>>;

/// A label under which some private key travels.
pub(super) fn is_key(label: &str) -> bool {
    label.ends_with("PRIVATE KEY")
}

/// Understands the one key among these blocks.
pub(super) fn read(blocks: &[&Block]) -> (KeyFacts, Option<Pkcs8>) {
    let key = match blocks {
        [] => return (KeyFacts::Missing, None),
        [key] => key,
        // The same key twice is no ambiguity.
        [key, others @ ..] if others.iter().all(|other| other.der == key.der) => key,
        several => return (KeyFacts::Several(several.len()), None),
    };
    if key.encrypted || key.label == "ENCRYPTED PRIVATE KEY" {
        return (KeyFacts::Encrypted, None);
    }
    let answer = match key.label.as_str() {
        "PRIVATE KEY" => pkcs8(&key.der),
        "RSA PRIVATE KEY" => pkcs1(&key.der),
        "EC PRIVATE KEY" => sec1(&key.der),
        "DSA PRIVATE KEY" => Err("a DSA key, which no TLS client accepts any more".to_owned()),
        "OPENSSH PRIVATE KEY" => Err("a key in OpenSSH's own format".to_owned()),
        other => Err(format!("a key of the unknown kind {other:?}")),
    };
    match answer {
        Ok((public, encoding, der)) => (KeyFacts::Read { public, encoding }, Some(der)),
        Err(why) => (KeyFacts::Malformed(why), None),
    }
}

type Understood = Result<(PublicKey, &'static str, Pkcs8), String>;

/// RFC 5208, 5958.
fn pkcs8(der: &[u8]) -> Understood {
    let broken = || "broken PKCS#8".to_owned();
    let mut outer = der::sequence(der).ok_or_else(broken)?;
    outer.expect(tag::INTEGER).ok_or_else(broken)?;
    let algorithm = outer.expect(tag::SEQUENCE).ok_or_else(broken)?;
    let inner = outer.expect(tag::OCTET_STRING).ok_or_else(broken)?;
    let mut algorithm = Reader::new(algorithm);
    let public = match algorithm.expect(tag::OID).ok_or_else(broken)? {
        oid::RSA => rsa_public(inner)?,
        oid::EC => ec_public(der, named_curve(algorithm))?,
        oid::ED25519 => lc::Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
            .map(|key| PublicKey::Ed25519(key.public_key().as_ref().to_vec()))
            .map_err(|_| "a broken Ed25519 key".to_owned())?,
        oid::RSA_PSS => return Err("an RSA key bound to PSS (id-RSASSA-PSS), which gateways do not take".to_owned()),
        oid::DSA => return Err("a DSA key, which no TLS client accepts any more".to_owned()),
        _ => return Err("a PKCS#8 key of an unknown algorithm".to_owned()),
    };
    Ok((public, "PKCS#8", Zeroizing::new(der.to_vec())))
}

/// RFC 8017, A.1.2.
fn pkcs1(der: &[u8]) -> Understood {
    let public = rsa_public(der)?;
    let algorithm = der::write(tag::SEQUENCE, &[&der::write(tag::OID, &[oid::RSA]), &[5, 0]]);
    Ok((public, "PKCS#1", wrap(&algorithm, der)))
}

/// RFC 5915.
fn sec1(der: &[u8]) -> Understood {
    let broken = || "a broken SEC1 key".to_owned();
    let mut body = der::sequence(der).ok_or_else(broken)?;
    body.expect(tag::INTEGER).ok_or_else(broken)?;
    body.expect(tag::OCTET_STRING).ok_or_else(broken)?;
    let parameters = body.expect(tag::context(0)).ok_or("a SEC1 key that does not say on which curve it is")?;
    let public = ec_public(der, named_curve(Reader::new(parameters)))?;
    let algorithm = der::write(tag::SEQUENCE, &[&der::write(tag::OID, &[oid::EC]), parameters]);
    Ok((public, "SEC1", wrap(&algorithm, der)))
}

/// PKCS#8 around a key of an older form.
fn wrap(algorithm: &[u8], key: &[u8]) -> Pkcs8 {
    let octets = der::write(tag::OCTET_STRING, &[key]);
    der::write(tag::SEQUENCE, &[&[tag::INTEGER, 1, 0], algorithm, &octets])
}

fn named_curve(mut parameters: Reader<'_>) -> Curve {
    match parameters.next() {
        Some(element) if element.tag == tag::OID => Curve::from_oid(element.content),
        Some(element) if element.tag == tag::SEQUENCE => Curve::Explicit,
        _ => Curve::Unknown,
    }
}

fn rsa_public(pkcs1: &[u8]) -> Result<PublicKey, String> {
    let broken = || "a broken RSA key".to_owned();
    let mut body = der::sequence(pkcs1).ok_or_else(broken)?;
    body.expect(tag::INTEGER).ok_or_else(broken)?;
    let modulus = der::unsigned(body.expect(tag::INTEGER).ok_or_else(broken)?).to_vec();
    let exponent = der::unsigned(body.expect(tag::INTEGER).ok_or_else(broken)?).to_vec();
    let public = PublicKey::Rsa { modulus, exponent };
    let bits = public.rsa_bits().unwrap_or_default();
    // The library holds the numbers against each other, in the sizes that it knows; the others are refused
    // for their size anyway, by a check that can say so.
    if (2048..=8192).contains(&bits) && bits.is_multiple_of(8) && public.rsa_exponent().is_some_and(|e| e >= 65_537) {
        rsa::KeyPair::from_der(pkcs1).map_err(|_| "an RSA key whose numbers do not fit together".to_owned())?;
    }
    Ok(public)
}

/// From SEC1 or PKCS#8.
fn ec_public(der: &[u8], curve: Curve) -> Result<PublicKey, String> {
    let algorithm = match curve {
        Curve::P256 => &lc::ECDSA_P256_SHA256_ASN1_SIGNING,
        Curve::P384 => &lc::ECDSA_P384_SHA384_ASN1_SIGNING,
        Curve::P521 => &lc::ECDSA_P521_SHA512_ASN1_SIGNING,
        // Its size or kind is the finding; the point stays unknown.
        other => return Ok(PublicKey::Ec { curve: other, point: Vec::new() }),
    };
    let key = lc::EcdsaKeyPair::from_private_key_der(algorithm, der)
        .map_err(|_| "an EC key whose numbers do not fit together".to_owned())?;
    Ok(PublicKey::Ec { curve, point: key.public_key().as_ref().to_vec() })
}
