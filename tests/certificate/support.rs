//! Certificates to order, and the shortest way to a verdict on them.

use std::sync::LazyLock;

use certkeeper::certificate::{Context, Roots, Severity, Supplied, Verdict, judge, read};
use chrono::{DateTime, TimeZone as _, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// The time at which everything is judged unless a test says otherwise.
pub fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2027, 6, 1, 12, 0, 0).unwrap()
}

/// rcgen's notion of a time.
pub fn date(time: DateTime<Utc>) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(time.timestamp()).unwrap()
}

/// A certificate and the key that it is for, in PEM.
pub struct Made {
    pub pem: String,
    pub key: String,
}

pub type Issuer = CertifiedIssuer<'static, KeyPair>;

fn base(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !common_name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, common_name);
    }
    params.use_authority_key_identifier_extension = true;
    params
}

/// A CA's parameters: valid from 2020 to 2040, any path length.
pub fn authority(common_name: &str) -> CertificateParams {
    let mut params = base(common_name);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A leaf's parameters: these names, from 2027-05-01 to 2027-07-30.
pub fn leaf(names: &[&str]) -> CertificateParams {
    let mut params = base(names.first().copied().unwrap_or_default());
    params.subject_alt_names =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap().subject_alt_names;
    params.not_before = rcgen::date_time_ymd(2027, 5, 1);
    params.not_after = rcgen::date_time_ymd(2027, 7, 30);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

pub fn root(params: CertificateParams) -> Issuer {
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub fn intermediate(params: CertificateParams, issuer: &Issuer) -> Issuer {
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), issuer).unwrap()
}

pub fn issue(params: &CertificateParams, issuer: &Issuer) -> Made {
    issue_for(KeyPair::generate().unwrap(), params, issuer)
}

pub fn issue_for(key: KeyPair, params: &CertificateParams, issuer: &Issuer) -> Made {
    Made { pem: params.signed_by(&key, issuer).unwrap().pem(), key: key.serialize_pem() }
}

/// A root, an intermediate and a leaf for `*.example.com` with which nothing is wrong.
pub struct Good {
    pub root: Issuer,
    pub intermediate: Issuer,
    pub leaf: Made,
}

impl Good {
    /// Leaf, then intermediate.
    pub fn chain(&self) -> String {
        format!("{}{}", self.leaf.pem, self.intermediate.pem())
    }

    pub fn roots(&self) -> Roots {
        Roots::from_pem(self.root.pem().as_bytes()).unwrap()
    }
}

pub static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let root = root(authority("Root"));
    let intermediate = intermediate(authority("Intermediate"), &root);
    let leaf = issue(&leaf(&["*.example.com", "example.com"]), &intermediate);
    Good { root, intermediate, leaf }
});

/// Judges a certificate file and a key file at [`now`], with nothing required.
pub fn verdict(certificate: &str, key: &str) -> Verdict {
    verdict_in(certificate, key, &Context::new(now()))
}

pub fn verdict_in(certificate: &str, key: &str, context: &Context<'_>) -> Verdict {
    verdict_of(certificate.as_bytes(), key.as_bytes(), context)
}

pub fn verdict_of(certificate: &[u8], key: &[u8], context: &Context<'_>) -> Verdict {
    let facts = read(&Supplied { certificate: Some(certificate), key: Some(key), staple: None });
    judge(&facts, context)
}

/// `severity check` of every finding, for comparing.
pub fn told(verdict: &Verdict) -> Vec<String> {
    verdict.findings.iter().map(|f| format!("{} {}", f.severity, f.check.name)).collect()
}

/// The verdict on a leaf of these parameters under the good intermediate.
pub fn on_leaf(params: &CertificateParams) -> Vec<String> {
    let made = issue(params, &GOOD.intermediate);
    told(&verdict(&format!("{}{}", made.pem, GOOD.intermediate.pem()), &made.key))
}

/// What a finding of this check says; fails if there is none.
pub fn message(verdict: &Verdict, check: &str) -> String {
    let found = verdict.findings.iter().find(|f| f.check.name == check);
    let found = found.unwrap_or_else(|| panic!("{check} was expected among {:?}", told(verdict)));
    assert!(!found.remedy.is_empty() && !found.location.is_empty(), "{found:?}");
    assert!(found.severity <= Severity::Error);
    format!("{}: {}", found.location, found.message)
}
