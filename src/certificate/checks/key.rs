//! Checks of the key, and of the leaf's public half of it: what Envoy takes.

use super::{
    super::{
        Check, Class, Severity,
        algorithm::{Curve, PublicKey},
        key::KeyFacts,
    },
    Found, Subject,
};

const ENVOY: &str = "Envoy source/common/tls/context_impl.cc: RSA from 2048 bits, ECDSA P-256 (P-384, P-521 from 1.33)";
const NEW_KEY: &str = "make a new key (RSA 2048 suits every gateway) and have the certificate issued for it";

/// The leaf's public key, with the place to name; the private one's where there is no leaf.
fn public<'a>(subject: &'a Subject<'_>) -> Option<(String, &'a PublicKey)> {
    match (subject.leaf(), &subject.facts.key) {
        (Some(leaf), _) => Some((leaf.location(), &leaf.public_key)),
        (None, KeyFacts::Read { public, .. }) => Some(("private key".to_owned(), public)),
        _ => None,
    }
}

pub(super) static KEY_ENCRYPTED: Check = Check {
    name: "key-encrypted",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "The key is not encrypted: nobody can type a passphrase into a gateway.",
    source: "Envoy refuses it and keeps the old pair (update_rejected); Kyma's own default key was encrypted",
};

pub(super) fn key_encrypted(subject: &Subject<'_>) -> Vec<Found> {
    match subject.facts.key {
        KeyFacts::Encrypted => vec![Found::new(
            "private key",
            "the key is encrypted with a passphrase",
            "decrypt it: openssl pkey -in FILE -out NEW, and supply that",
        )],
        _ => Vec::new(),
    }
}

pub(super) static KEY_MALFORMED: Check = Check {
    name: "key-malformed",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "The key can be read (PKCS#8, PKCS#1 or SEC1), and its numbers fit together.",
    source: "RFC 5958, RFC 8017 (A.1.2), RFC 5915",
};

pub(super) fn key_malformed(subject: &Subject<'_>) -> Vec<Found> {
    match &subject.facts.key {
        KeyFacts::Malformed(why) => vec![Found::new(
            "private key",
            format!("a readable PKCS#8, PKCS#1 or SEC1 key was expected, but this is {why}"),
            "supply the key as it was made; openssl pkey -in FILE -noout -check shows whether it can be read",
        )],
        _ => Vec::new(),
    }
}

pub(super) static PAIR_MISMATCH: Check = Check {
    name: "pair-mismatch",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "The private key belongs to the leaf.",
    source: "Envoy refuses the pair and keeps the old one (update_rejected)",
};

pub(super) fn pair_mismatch(subject: &Subject<'_>) -> Vec<Found> {
    let (Some(leaf), KeyFacts::Read { public, .. }) = (subject.leaf(), &subject.facts.key) else { return Vec::new() };
    if leaf.public_key.is(public) {
        return Vec::new();
    }
    // Two keys on a curve of no use cannot be held against each other: key-type refuses the leaf's.
    let unknown = matches!(public, PublicKey::Ec { point, .. } if point.is_empty());
    if unknown && public.text() == leaf.public_key.text() {
        return Vec::new();
    }
    let (certificate, key) = (leaf.public_key.text(), public.text());
    let kinds = if certificate == key { format!("both are {key}") } else { format!("{certificate} against {key}") };
    vec![Found::on(
        leaf,
        format!("the private key is not this certificate's ({kinds}); no other certificate of the file fits either"),
        "supply the key that the certificate was requested with, or have a certificate issued for this key",
    )]
}

pub(super) static KEY_TYPE: Check = Check {
    name: "key-type",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "The leaf's key is RSA or ECDSA on P-256, P-384 or P-521: no DSA, no Ed25519 (browsers cannot use it), no other curve.",
    source: ENVOY,
};

pub(super) fn key_type(subject: &Subject<'_>) -> Vec<Found> {
    let Some((location, key)) = public(subject) else { return Vec::new() };
    let fine = match key {
        PublicKey::Rsa { .. } => true,
        PublicKey::Ec { curve, .. } => matches!(curve, Curve::P256 | Curve::P384 | Curve::P521),
        PublicKey::Ed25519(_) | PublicKey::Unsupported(_) => false,
    };
    if fine {
        return Vec::new();
    }
    vec![Found::new(
        location,
        format!("the key is {}, which gateways or their clients cannot use", key.text()),
        NEW_KEY,
    )]
}

pub(super) static RSA_SIZE: Check = Check {
    name: "rsa-size",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "An RSA key has at least 2048 bits, at most 8192, and a multiple of 8.",
    source: ENVOY,
};

pub(super) fn rsa_size(subject: &Subject<'_>) -> Vec<Found> {
    let Some((location, key)) = public(subject) else { return Vec::new() };
    let Some(bits) = key.rsa_bits() else { return Vec::new() };
    let what = match bits {
        ..2048 => "at least 2048 are needed",
        8193.. => "at most 8192 are accepted",
        _ if !bits.is_multiple_of(8) => "a multiple of 8 is needed",
        _ => return Vec::new(),
    };
    vec![Found::new(location, format!("the RSA key has {bits} bits; {what}"), NEW_KEY)]
}

pub(super) static RSA_EXPONENT: Check = Check {
    name: "rsa-exponent",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "An RSA key's public exponent is odd and above 1.",
    source: "RFC 8017, 3.1; CA/Browser Forum Baseline Requirements, 6.1.6",
};

pub(super) fn rsa_exponent(subject: &Subject<'_>) -> Vec<Found> {
    let Some((location, key)) = public(subject) else { return Vec::new() };
    // An exponent beyond 64 bits is told as the largest number, which is odd; its own parity counts.
    let (Some(exponent), PublicKey::Rsa { exponent: digits, .. }) = (key.rsa_exponent(), key) else {
        return Vec::new();
    };
    let odd = digits.last().is_some_and(|last| last & 1 == 1);
    if odd && exponent > 1 {
        return Vec::new();
    }
    vec![Found::new(location, format!("the RSA key's public exponent is {exponent}: no valid key has that"), NEW_KEY)]
}

pub(super) static RSA_EXPONENT_SMALL: Check = Check {
    name: "rsa-exponent-small",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "An RSA key's public exponent is 65537 or more.",
    source: "CA/Browser Forum Baseline Requirements, 6.1.6; NIST SP 800-89, 5.3.3",
};

pub(super) fn rsa_exponent_small(subject: &Subject<'_>) -> Vec<Found> {
    let Some((location, key)) = public(subject) else { return Vec::new() };
    match key.rsa_exponent() {
        Some(exponent @ 2..65_537) if exponent % 2 == 1 => {
            vec![Found::new(location, format!("the RSA key's public exponent is {exponent}, less than 65537"), NEW_KEY)]
        }
        _ => Vec::new(),
    }
}

pub(super) static CURVE_SUPPORT: Check = Check {
    name: "curve-support",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "An ECDSA key is on P-256, which every gateway takes; P-384 and P-521 need Envoy 1.33.",
    source: "Envoy 1.33 release notes; older ones refuse the pair",
};

pub(super) fn curve_support(subject: &Subject<'_>) -> Vec<Found> {
    match public(subject) {
        Some((location, key @ PublicKey::Ec { curve: Curve::P384 | Curve::P521, .. })) => vec![Found::new(
            location,
            format!("the key is {}: gateways before Envoy 1.33 refuse it and keep the old pair", key.text()),
            "make sure that the gateway is new enough, or use P-256 or RSA 2048",
        )],
        _ => Vec::new(),
    }
}

pub(super) static CIPHER_SUITES: Check = Check {
    name: "cipher-suites",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "The gateway's TLS 1.2 cipher suites include one for this kind of key: Kyma's list is for RSA keys alone.",
    source: "Kyma's gateway policy; measured: TLS 1.2 fails with alert 40, only TLS 1.3 works",
};

pub(super) fn cipher_suites(subject: &Subject<'_>) -> Vec<Found> {
    let suites = subject.context.cipher_suites;
    let Some(leaf) = subject.leaf().filter(|_| !suites.is_empty()) else { return Vec::new() };
    let fits = |suite: &String| match leaf.public_key {
        PublicKey::Ec { .. } | PublicKey::Ed25519(_) => suite.contains("ECDSA"),
        // What is left after ECDSA are ECDHE-RSA-…, DHE-RSA-… and the suites with RSA key exchange.
        _ => !suite.contains("ECDSA"),
    };
    // Names of TLS 1.3 suites decide nothing about keys.
    let mut suites = suites.iter().filter(|suite| !suite.starts_with("TLS_")).peekable();
    if suites.peek().is_none() || suites.any(fits) {
        return Vec::new();
    }
    vec![Found::on(
        leaf,
        format!(
            "the key is {}, but none of the gateway's cipher suites is for such keys: TLS 1.2 would fail",
            leaf.key
        ),
        "use a key of the kind that the suites name, or change the gateway's cipherSuites",
    )]
}
