//! Certificates to try things with: a certificate authority of one's own, and leaves good and bad.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    RsaKeySize,
};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::fingerprint::fingerprint;

/// The kind of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits: takes a second to make.
    Rsa4096,
    /// ECDSA on P-256: made in no time, so the default.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519, which browsers cannot use.
    Ed25519,
}

impl Algorithm {
    /// A fresh key.
    fn key(self) -> Result<KeyPair, Error> {
        KeyPair::generate_for(match self {
            Self::Rsa2048 => return KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            Self::Rsa3072 => return KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
            Self::Rsa4096 => return KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
            Self::P256 => &PKCS_ECDSA_P256_SHA256,
            Self::P384 => &PKCS_ECDSA_P384_SHA384,
            Self::Ed25519 => &PKCS_ED25519,
        })
    }
}

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// notBefore, to the second.
    pub from: DateTime<Utc>,
    /// notAfter, to the second.
    pub until: DateTime<Utc>,
}

impl Validity {
    /// From an hour before `now` until `days` days after it.
    pub fn days(now: DateTime<Utc>, days: i64) -> Self {
        Self { from: now - TimeDelta::hours(1), until: now + TimeDelta::days(days) }
    }

    /// Ended a day before `now`, after 90 days.
    pub fn ended(now: DateTime<Utc>) -> Self {
        Self { from: now - TimeDelta::days(91), until: now - TimeDelta::days(1) }
    }

    /// Begins a day after `now`.
    pub fn to_come(now: DateTime<Utc>) -> Self {
        Self { from: now + TimeDelta::days(1), until: now + TimeDelta::days(91) }
    }
}

fn moment(time: DateTime<Utc>) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(time.timestamp()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A certificate authority: a root, or an intermediate below one.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// PEM.
    certificate: String,
    /// Certificates to send along with a leaf: this one and those above it, without the root.
    sent_along: Vec<String>,
    root: String,
    now: DateTime<Utc>,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("intermediates", &self.sent_along.len()).finish_non_exhaustive()
    }
}

fn ca_params(name: &str, now: DateTime<Utc>, years: i64) -> CertificateParams {
    let mut params =
        params(name, Validity { from: now - TimeDelta::days(366), until: now + TimeDelta::days(365 * years) });
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

/// Nothing of rcgen's own: its default subject and validity would be found by the checks.
fn params(name: &str, validity: Validity) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    if !name.is_empty() {
        subject.push(DnType::CommonName, name);
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.not_before = moment(validity.from);
    params.not_after = moment(validity.until);
    params.use_authority_key_identifier_extension = true;
    params
}

impl Ca {
    /// A root, valid from a year before `now` for ten years.
    ///
    /// # Errors
    /// If the key cannot be made or the certificate not be signed.
    pub fn root(name: &str, now: DateTime<Utc>) -> Result<Self, Error> {
        Self::root_with(name, now, Algorithm::default())
    }

    /// A root with a key of the given kind.
    ///
    /// # Errors
    /// If the key cannot be made or the certificate not be signed.
    pub fn root_with(name: &str, now: DateTime<Utc>, algorithm: Algorithm) -> Result<Self, Error> {
        let key = algorithm.key()?;
        let params = ca_params(name, now, 10);
        let root = params.self_signed(&key)?.pem();
        let certificate = root.clone();
        Ok(Self { issuer: Issuer::new(params, key), certificate, sent_along: Vec::new(), root, now })
    }

    /// A root that is already there, with its key, both PEM.
    ///
    /// # Errors
    /// If one of them cannot be read. Whether they belong together is not looked at.
    pub fn from_pem(certificate: &str, key: &str, now: DateTime<Utc>) -> Result<Self, Error> {
        let issuer = Issuer::from_ca_cert_pem(certificate, KeyPair::from_pem(key)?)?;
        let (root, certificate) = (certificate.to_owned(), certificate.to_owned());
        Ok(Self { issuer, certificate, sent_along: Vec::new(), root, now })
    }

    /// An intermediate below this authority, valid for five years.
    ///
    /// # Errors
    /// If the key cannot be made or the certificate not be signed.
    pub fn intermediate(&self, name: &str) -> Result<Self, Error> {
        let key = Algorithm::default().key()?;
        let params = ca_params(name, self.now, 5);
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        let sent_along = [certificate.clone()].into_iter().chain(self.sent_along.clone()).collect();
        Ok(Self { issuer: Issuer::new(params, key), certificate, sent_along, root: self.root.clone(), now: self.now })
    }

    /// The certificate of this authority, as PEM.
    pub fn pem(&self) -> String {
        self.certificate.clone()
    }

    /// The root's certificate, as PEM: what clients trust.
    pub fn root_pem(&self) -> &str {
        &self.root
    }

    /// A leaf to be made: for `hosts`, 90 days from now, P-256, unless told otherwise.
    pub fn leaf<'a>(&'a self, hosts: &[&str]) -> Leaf<'a> {
        Leaf {
            ca: self,
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            validity: Validity::days(self.now, 90),
            algorithm: Algorithm::default(),
            name: String::new(),
            purposes: vec![ExtendedKeyUsagePurpose::ServerAuth],
        }
    }
}

/// A leaf certificate to be made.
#[derive(Debug)]
pub struct Leaf<'a> {
    ca: &'a Ca,
    hosts: Vec<String>,
    validity: Validity,
    algorithm: Algorithm,
    name: String,
    purposes: Vec<ExtendedKeyUsagePurpose>,
}

impl Leaf<'_> {
    /// Sets from when until when it is valid.
    #[must_use]
    pub fn valid(mut self, validity: Validity) -> Self {
        self.validity = validity;
        self
    }

    /// Sets the kind of its key.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Sets the common name (none by default: names are in the SAN).
    #[must_use]
    pub fn common_name(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// Makes it one for clients, which no server should present.
    #[must_use]
    pub fn for_clients(mut self) -> Self {
        self.purposes = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self
    }

    /// Makes the key and has the authority sign.
    ///
    /// # Errors
    /// If a host is not a valid name, the key cannot be made, or the certificate not be signed.
    pub fn issue(self) -> Result<Issued, Error> {
        let key = self.algorithm.key()?;
        let mut params = params(&self.name, self.validity);
        params.subject_alt_names = CertificateParams::new(self.hosts)?.subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if matches!(self.algorithm, Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096) {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = self.purposes;
        let leaf = params.signed_by(&key, &self.ca.issuer)?;
        Ok(Issued {
            leaf: leaf.pem(),
            fingerprint: fingerprint(leaf.der()),
            der: leaf.der().clone(),
            sent_along: self.ca.sent_along.clone(),
            key: key.serialize_pem(),
            validity: self.validity,
        })
    }
}

/// An issued leaf with its chain and key.
#[derive(Clone)]
pub struct Issued {
    leaf: String,
    sent_along: Vec<String>,
    key: String,
    fingerprint: String,
    der: CertificateDer<'static>,
    validity: Validity,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Issued {
    /// The full chain as PEM: leaf first, then the intermediates, without the root.
    pub fn certificate(&self) -> String {
        [self.leaf.clone()].into_iter().chain(self.sent_along.clone()).collect()
    }

    /// The leaf alone, as PEM: a chain with its intermediates missing.
    pub fn leaf(&self) -> &str {
        &self.leaf
    }

    /// The leaf alone, as DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The private key as PKCS#8 PEM.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// SHA-256 over the leaf, in lower-case hex.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// From when until when the leaf is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// This certificate with the key of another one.
    #[must_use]
    pub fn with_key_of(&self, other: &Self) -> Self {
        Self { key: other.key.clone(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    #[test]
    fn a_leaf_is_for_its_hosts_and_its_time_and_comes_with_its_intermediate() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let root = Ca::root("Root", now).unwrap();
        let ca = root.intermediate("Intermediate").unwrap();
        let issued = ca.leaf(&["*.example.com"]).valid(Validity::ended(now)).issue().unwrap();
        let (_, leaf) = X509Certificate::from_der(issued.der()).unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        assert_eq!(leaf.validity().not_after.timestamp(), issued.validity().until.timestamp());
        assert_eq!(leaf.issuer().to_string(), "CN=Intermediate");
        assert_eq!(issued.certificate().matches("BEGIN CERTIFICATE").count(), 2);
        assert_eq!(ca.root_pem(), root.pem());
        assert!(!format!("{issued:?}").contains("PRIVATE"));
    }
}
