//! The CA certificates of mutual TLS: a bundle of certificates one of which must have issued a client's.
//!
//! [`read_authorities`] reads a bundle once; [`judge_authorities`] holds it against a time. A bundle is no chain: each
//! certificate stands for itself, and one that cannot vouch for anybody (expired, no CA) harms nobody while another can.

mod checks;

pub use checks::{authority_checks, documentation};

use aws_lc_rs::digest;
use chrono::{DateTime, Duration, Utc};

use super::{
    Context, Finding, Fingerprint, Verdict,
    algorithm::{Curve, PublicKey},
    facts::CertificateFacts,
    pem,
    supplied::{self, Broken, Half},
    verdict::{Class, Severity},
};

/// The label under which revocation lists travel (RFC 7468, 6).
const REVOCATION_LIST: &str = "X509 CRL";

/// What is known of a bundle of CA certificates. It holds no private byte, even if the bundle did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities {
    half: Half,
    broken: Vec<Broken>,
    certificates: Vec<CertificateFacts>,
    /// Where copies of certificates stood, for people.
    duplicates: Vec<String>,
    /// A revocation list lies beside the bundle.
    revocations: bool,
}

/// Reads a bundle: PEM, or base64 of PEM, at most 64 KiB. Total: any bytes give an answer. `revocations`: whether a
/// revocation list lies beside it.
#[must_use]
pub fn read_authorities(bundle: Option<&[u8]>, revocations: bool) -> Authorities {
    let container = pem::read(bundle);
    let (found, broken) = supplied::certificates(&container.blocks);
    let (mut certificates, mut duplicates) = (Vec::<CertificateFacts>::new(), Vec::new());
    for certificate in found {
        match certificates.iter().any(|known| known.fingerprint == certificate.fingerprint) {
            true => duplicates.push(certificate.location()),
            false => certificates.push(certificate),
        }
    }
    let half = supplied::half("client CA", container, super::is_certificate);
    Authorities { half, broken, certificates, duplicates, revocations }
}

impl Authorities {
    /// The certificates in the order in which they were supplied, each once.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateFacts] {
        &self.certificates
    }

    /// The certificates in PEM and nothing else: what is written. Private keys, comments and other blocks that were
    /// supplied are not in it. Empty without certificates.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificates.iter().map(|c| pem::write("CERTIFICATE", &c.der.0).to_string()).collect()
    }

    /// SHA-256 over the certificates' DER, in their order: the same however the PEM was wrapped. `None` without any.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        if self.certificates.is_empty() {
            return None;
        }
        let mut context = digest::Context::new(&digest::SHA256);
        self.certificates.iter().for_each(|certificate| context.update(&certificate.der.0));
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(context.finish().as_ref());
        Some(Fingerprint::new(sha256))
    }

    /// The end of the last certificate that ends among those that can vouch for a client now: after it nobody is let in.
    #[must_use]
    pub fn end(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.certificates.iter().filter(|c| objection(c, now).is_none()).map(|c| c.not_after).max()
    }

    /// How many of the certificates can vouch for a client now.
    #[must_use]
    pub fn usable(&self, now: DateTime<Utc>) -> usize {
        self.certificates.iter().filter(|c| objection(c, now).is_none()).count()
    }

    /// Some block of it is a private key.
    #[must_use]
    pub fn holds_key(&self) -> bool {
        self.half.keys > 0
    }

    /// A revocation list lies beside it or is a block of it.
    #[must_use]
    pub fn has_revocations(&self) -> bool {
        self.revocations || self.holds_revocations()
    }

    /// A revocation list is a block of it. Envoy takes those for valid; they are no part of [`Self::pem`].
    #[must_use]
    pub fn holds_revocations(&self) -> bool {
        self.half.strangers.iter().any(|(label, _)| label == REVOCATION_LIST)
    }
}

/// Holds a bundle against a time and a person's word on the checks; the rest of the context has no part in it.
#[must_use]
pub fn judge_authorities(authorities: &Authorities, context: &Context<'_>) -> Verdict {
    let mut findings: Vec<Finding> = checks::TABLE
        .iter()
        .filter_map(|row| Some((row, severity(row.check, context)?)))
        .flat_map(|(row, severity)| {
            (row.run)(authorities, context).into_iter().map(move |found| Finding {
                check: row.check,
                severity,
                message: found.message,
                location: found.location,
                remedy: found.remedy,
            })
        })
        .collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Verdict { findings }
}

/// `None` where a person switched the check off. What a gateway could not use at all is beyond anybody's say.
fn severity(check: &super::Check, context: &Context<'_>) -> Option<Severity> {
    let listed = |names: &[String]| names.iter().any(|name| name == check.name);
    match check.class {
        Class::Unusable => Some(check.severity),
        _ if listed(context.ignore) => None,
        _ if listed(context.warn) => Some(check.severity.min(Severity::Warning)),
        _ => Some(check.severity),
    }
}

/// The earliest instant strictly after `context.now` at which [`judge_authorities`] may answer differently although
/// nothing but time has passed.
#[must_use]
pub fn next_change_of_authorities(authorities: &Authorities, context: &Context<'_>) -> Option<DateTime<Utc>> {
    let instants = authorities.certificates.iter().flat_map(|certificate| {
        [
            Some(certificate.not_before),
            certificate.not_after.checked_add_signed(Duration::seconds(1)),
            certificate.not_after.checked_sub_signed(context.expires_soon),
        ]
    });
    instants.flatten().filter(|instant| *instant > context.now).min()
}

/// Messages name instants, never spans: they end up in statuses, which must not change by the mere passing of time.
fn text(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Why no client with a certificate below this one would be let in; `None` if nothing speaks against it.
fn objection(certificate: &CertificateFacts, now: DateTime<Utc>) -> Option<String> {
    no_authority(certificate).map(ToOwned::to_owned).or_else(|| {
        if is_expired(certificate, now) {
            Some(format!("it expired at {}", text(certificate.not_after)))
        } else if is_early(certificate, now) {
            Some(format!("it becomes valid only at {}", text(certificate.not_before)))
        } else {
            None
        }
    })
}

fn is_expired(certificate: &CertificateFacts, now: DateTime<Utc>) -> bool {
    now.timestamp() > certificate.not_after.timestamp()
}

fn is_early(certificate: &CertificateFacts, now: DateTime<Utc>) -> bool {
    now < certificate.not_before
}

/// Why a certificate may issue none for clients, whatever the time.
fn no_authority(certificate: &CertificateFacts) -> Option<&'static str> {
    let extensions = &certificate.extensions;
    // A version 1 certificate cannot say that it is a CA; a self-signed one is taken for a root all the same.
    if !certificate.is_ca && (certificate.version == 3 || !certificate.self_signed) {
        return Some("it is no CA (basicConstraints), so that it would let in nobody but itself");
    }
    if extensions.key_usage.as_ref().is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Some("its key usage does not include keyCertSign, so it may issue nothing");
    }
    if !extensions.unknown_critical.is_empty() {
        return Some("it has a critical extension that gateways do not know");
    }
    if !extensions.malformed.is_empty() || !extensions.duplicate.is_empty() {
        return Some("it has an extension that is malformed or there twice");
    }
    matches!(certificate.public_key, PublicKey::Unsupported(_))
        .then_some("its key is of a kind that gateways do not know")
}

/// What makes a CA's key too weak: whoever breaks it makes certificates for any client.
fn is_weak(certificate: &CertificateFacts) -> bool {
    match &certificate.public_key {
        PublicKey::Rsa { .. } => certificate.public_key.rsa_bits().is_none_or(|bits| bits < 2048),
        PublicKey::Ec { curve, .. } => !matches!(curve, Curve::P256 | Curve::P384 | Curve::P521),
        // Of an unsupported one it is said that it cannot be used at all.
        PublicKey::Ed25519(_) | PublicKey::Unsupported(_) => false,
    }
}
