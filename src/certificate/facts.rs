//! What is known of one certificate: read once from its DER, owned, and all that the checks ever see.

use std::{fmt, sync::Arc};

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{KeyUsage, ParsedExtension, X509Extension},
    prelude::FromDer,
    time::ASN1Time,
};

use super::{
    Fingerprint,
    algorithm::{self, Link, PublicKey, Signature},
    names::{DistinguishedName, GeneralName, hex, printable},
};

/// An extension's value and whether it is critical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marked<T> {
    pub(super) critical: bool,
    pub(super) value: T,
}

/// basicConstraints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BasicConstraints {
    pub(super) ca: bool,
    pub(super) path_length: Option<u32>,
}

/// extendedKeyUsage, as far as TLS goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Purposes {
    pub(super) server: bool,
    pub(super) client: bool,
    pub(super) any: bool,
}

/// nameConstraints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NameConstraints {
    pub(super) permitted: Vec<GeneralName>,
    pub(super) excluded: Vec<GeneralName>,
}

/// authorityKeyIdentifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AuthorityKey {
    pub(super) id: Option<Vec<u8>>,
    /// authorityCertIssuer or authorityCertSerialNumber are there.
    pub(super) names_issuer: bool,
}

/// The extensions of one certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) basic_constraints: Option<Marked<BasicConstraints>>,
    pub(super) key_usage: Option<Marked<KeyUsage>>,
    pub(super) purposes: Option<Marked<Purposes>>,
    pub(super) names: Option<Marked<Vec<GeneralName>>>,
    pub(super) name_constraints: Option<Marked<NameConstraints>>,
    pub(super) policy_constraints: Option<Marked<()>>,
    pub(super) authority_key: Option<Marked<AuthorityKey>>,
    pub(super) subject_key: Option<Marked<Vec<u8>>>,
    /// The addresses at which the issuer's certificate is published.
    pub(super) authority_info: Option<Marked<Vec<String>>>,
    pub(super) must_staple: bool,
    /// It has a critical extension that says it is a precertificate (RFC 6962).
    pub(super) precertificate: bool,
    pub(super) unknown_critical: Vec<String>,
    pub(super) duplicate: Vec<String>,
    pub(super) malformed: Vec<String>,
}

/// Public bytes that nobody wants to see in a log.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Arc<[u8]>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

/// What is known of one certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// SHA-256 over its DER.
    pub fingerprint: Fingerprint,
    /// The serial number in lower-case hexadecimal digits, as its bytes stand.
    pub serial: String,
    /// The issuer's name, readable.
    pub issuer: String,
    /// The subject's name, readable; empty if it has none.
    pub subject: String,
    /// The DNS names among its subject alternative names, as they stand but made printable.
    pub dns_names: Vec<String>,
    /// The first second at which it is valid.
    pub not_before: DateTime<Utc>,
    /// The last second at which it is valid.
    pub not_after: DateTime<Utc>,
    /// It may issue others (basicConstraints).
    pub is_ca: bool,
    /// Its place among the certificates of the file, from 1; 0 for a root that was given apart.
    pub position: usize,
    /// How many certificates the file has.
    pub total: usize,
    /// Kind and size of its key, for people: `RSA 2048`, `ECDSA P-256`.
    pub key: String,
    pub(super) der: Bytes,
    /// What the issuer signed, and how: tbsCertificate and signatureValue.
    pub(super) signed: Bytes,
    pub(super) signature_value: Bytes,
    /// The subjectPublicKey's bits, as verification wants them.
    pub(super) key_bits: Bytes,
    pub(super) version: u32,
    pub(super) raw_serial: Vec<u8>,
    pub(super) subject_name: DistinguishedName,
    pub(super) issuer_name: DistinguishedName,
    pub(super) public_key: PublicKey,
    pub(super) signature: Signature,
    /// The algorithm inside the signed part differs from the one beside the signature.
    pub(super) signature_disagrees: bool,
    /// A date before 2050 as GeneralizedTime, or one after as UTCTime.
    pub(super) odd_dates: bool,
    pub(super) extensions: Extensions,
    /// Subject and issuer are the same, and its signature verifies with its own key.
    pub(super) self_signed: bool,
    /// Its signature verifies with its own key, whatever its issuer is called. Only looked into where somebody asks:
    /// for self-issued certificates, and for those that do not say which key signed them.
    pub(super) own_signature: bool,
}

impl CertificateFacts {
    /// `certificate 2 of 3, CN=…`: how findings and messages name it.
    #[must_use]
    pub fn location(&self) -> String {
        let name = match (&self.subject_name.common_name, self.dns_names.first()) {
            (Some(cn), _) => format!("CN={cn}"),
            (None, Some(dns)) => dns.clone(),
            (None, None) if self.subject.is_empty() => format!("serial {}", self.serial),
            (None, None) => self.subject.clone(),
        };
        match self.position {
            0 => format!("root, {name}"),
            position => format!("certificate {position} of {}, {name}", self.total),
        }
    }

    /// Subject and issuer are the same name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject_name.matches(&self.issuer_name)
    }

    /// The mail addresses among its subject alternative names, as they stand.
    pub fn email_addresses(&self) -> impl Iterator<Item = &str> {
        self.names()
            .iter()
            .filter_map(|name| if let GeneralName::Email(mailbox) = name { Some(mailbox.as_str()) } else { None })
    }

    /// All subject alternative names; none if there is no such extension.
    pub(super) fn names(&self) -> &[GeneralName] {
        self.extensions.names.as_ref().map_or(&[], |names| &names.value)
    }

    /// Does `issuer`'s name stand in it as the issuer's?
    pub(super) fn names_as_issuer(&self, issuer: &Self) -> bool {
        self.issuer_name.matches(&issuer.subject_name)
    }

    /// Its authority key identifier names `issuer`'s key; `None` if one of them does not say.
    pub(super) fn key_id_matches(&self, issuer: &Self) -> Option<bool> {
        let wanted = self.extensions.authority_key.as_ref()?.value.id.as_ref()?;
        Some(*wanted == issuer.extensions.subject_key.as_ref()?.value)
    }

    /// Did `issuer`'s key sign it?
    pub(super) fn signed_by(&self, issuer: &Self) -> Link {
        issuer.verifies(&self.signature, &self.signed.0, &self.signature_value.0)
    }

    /// Did its key make this signature over `message`?
    pub(super) fn verifies(&self, how: &Signature, message: &[u8], signature: &[u8]) -> Link {
        algorithm::verify(how, &self.public_key, &self.key_bits.0, message, signature)
    }

    /// The same name and key as `other`: either can stand in the other's place in a path.
    pub(super) fn is_twin(&self, other: &Self) -> bool {
        self.subject_name.matches(&other.subject_name) && self.public_key.is(&other.public_key)
    }
}

/// Reads one certificate. Total; the error says what is wrong with the bytes.
pub(super) fn read(der: &[u8]) -> Result<CertificateFacts, String> {
    let (rest, x509) = X509Certificate::from_der(der).map_err(|_| "these bytes are no X.509 certificate".to_owned())?;
    if !rest.is_empty() {
        return Err(format!("{} bytes follow the certificate inside its block", rest.len()));
    }
    let time = |time: ASN1Time| DateTime::from_timestamp(time.timestamp(), 0).ok_or("a date outside of any calendar");
    let validity = &x509.validity;
    let subject_name = DistinguishedName::read(&x509.subject);
    let issuer_name = DistinguishedName::read(&x509.issuer);
    let public_key = PublicKey::read(&x509.subject_pki);
    let signature = Signature::read(&x509.signature_algorithm);
    let extensions = extensions(x509.extensions());
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    let mut facts = CertificateFacts {
        fingerprint: Fingerprint::new(sha256),
        serial: hex(x509.raw_serial()),
        issuer: issuer_name.text.clone(),
        subject: subject_name.text.clone(),
        dns_names: dns_names(&extensions),
        not_before: time(validity.not_before)?,
        not_after: time(validity.not_after)?,
        is_ca: extensions.basic_constraints.as_ref().is_some_and(|b| b.value.ca),
        position: 0,
        total: 0,
        key: public_key.text(),
        der: Bytes(der.into()),
        signed: Bytes(x509.tbs_certificate.as_ref().into()),
        signature_value: Bytes(x509.signature_value.data.as_ref().into()),
        key_bits: Bytes(x509.subject_pki.subject_public_key.data.as_ref().into()),
        version: x509.version.0 + 1,
        raw_serial: x509.raw_serial().to_vec(),
        self_signed: false,
        own_signature: false,
        subject_name,
        issuer_name,
        public_key,
        signature_disagrees: x509.signature_algorithm != x509.tbs_certificate.signature,
        odd_dates: odd_date(validity.not_before) || odd_date(validity.not_after),
        signature,
        extensions,
    };
    let asked = facts.is_self_issued() || facts.extensions.authority_key.is_none();
    facts.own_signature = asked && facts.signed_by(&facts) == Link::Verified;
    facts.self_signed = facts.own_signature && facts.is_self_issued();
    Ok(facts)
}

/// RFC 5280, 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050.
fn odd_date(time: ASN1Time) -> bool {
    time.is_generalizedtime() != (time.to_datetime().year() >= 2050)
}

fn dns_names(extensions: &Extensions) -> Vec<String> {
    let names = extensions.names.iter().flat_map(|names| &names.value);
    names.filter_map(|name| if let GeneralName::Dns(dns) = name { Some(printable(dns, 253)) } else { None }).collect()
}

/// What an extension is called by people who may never have seen its number.
const KNOWN: &[(&str, &str)] = &[
    ("2.5.29.14", "subjectKeyIdentifier"),
    ("2.5.29.15", "keyUsage"),
    ("2.5.29.17", "subjectAltName"),
    ("2.5.29.18", "issuerAltName"),
    ("2.5.29.19", "basicConstraints"),
    ("2.5.29.30", "nameConstraints"),
    ("2.5.29.31", "cRLDistributionPoints"),
    ("2.5.29.32", "certificatePolicies"),
    ("2.5.29.33", "policyMappings"),
    ("2.5.29.35", "authorityKeyIdentifier"),
    ("2.5.29.36", "policyConstraints"),
    ("2.5.29.37", "extendedKeyUsage"),
    ("2.5.29.54", "inhibitAnyPolicy"),
    ("1.3.6.1.5.5.7.1.1", "authorityInfoAccess"),
    ("1.3.6.1.5.5.7.1.24", "tlsFeature"),
    ("1.3.6.1.4.1.11129.2.4.2", "signedCertificateTimestampList"),
];

const PRECERTIFICATE_POISON: &str = "1.3.6.1.4.1.11129.2.4.3";

fn extensions(list: &[X509Extension<'_>]) -> Extensions {
    let mut out = Extensions::default();
    let mut seen = std::collections::HashSet::new();
    for extension in list {
        let oid = extension.oid.to_id_string();
        let known = KNOWN.iter().find(|(id, _)| *id == oid).map(|(_, name)| (*name).to_owned());
        if !seen.insert(oid.clone()) {
            out.duplicate.push(known.clone().unwrap_or_else(|| oid.clone()));
        }
        if oid == PRECERTIFICATE_POISON {
            out.precertificate = true;
        }
        match (extension.parsed_extension(), known) {
            (ParsedExtension::ParseError { .. }, name) => out.malformed.push(name.unwrap_or(oid)),
            (_, None) if extension.critical => out.unknown_critical.push(oid),
            (parsed, Some(name)) => known_extension(&mut out, &name, extension, parsed),
            _ => {}
        }
    }
    out
}

fn known_extension(out: &mut Extensions, name: &str, extension: &X509Extension<'_>, parsed: &ParsedExtension<'_>) {
    let critical = extension.critical;
    match parsed {
        ParsedExtension::BasicConstraints(b) => {
            let value = BasicConstraints { ca: b.ca, path_length: b.path_len_constraint };
            out.basic_constraints = Some(Marked { critical, value });
        }
        ParsedExtension::KeyUsage(usage) => out.key_usage = Some(Marked { critical, value: *usage }),
        ParsedExtension::ExtendedKeyUsage(p) => {
            let value = Purposes { server: p.server_auth, client: p.client_auth, any: p.any };
            out.purposes = Some(Marked { critical, value });
        }
        ParsedExtension::SubjectAlternativeName(san) => {
            let value = san.general_names.iter().map(GeneralName::read).collect();
            out.names = Some(Marked { critical, value });
        }
        ParsedExtension::NameConstraints(constraints) => {
            let subtrees = |list: &Option<Vec<x509_parser::extensions::GeneralSubtree<'_>>>| {
                list.iter().flatten().map(|subtree| GeneralName::read(&subtree.base)).collect()
            };
            let value = NameConstraints {
                permitted: subtrees(&constraints.permitted_subtrees),
                excluded: subtrees(&constraints.excluded_subtrees),
            };
            out.name_constraints = Some(Marked { critical, value });
        }
        ParsedExtension::PolicyConstraints(_) => out.policy_constraints = Some(Marked { critical, value: () }),
        ParsedExtension::AuthorityKeyIdentifier(aki) => {
            let value = AuthorityKey {
                id: aki.key_identifier.as_ref().map(|id| id.0.to_vec()),
                names_issuer: aki.authority_cert_issuer.is_some() || aki.authority_cert_serial.is_some(),
            };
            out.authority_key = Some(Marked { critical, value });
        }
        ParsedExtension::SubjectKeyIdentifier(id) => {
            out.subject_key = Some(Marked { critical, value: id.0.to_vec() });
        }
        ParsedExtension::AuthorityInfoAccess(access) => {
            let issuers = access.iter().filter(|d| d.access_method.to_id_string() == "1.3.6.1.5.5.7.48.2");
            let value = issuers.map(|d| GeneralName::read(&d.access_location).text()).collect();
            if access.iter().any(|d| matches!(GeneralName::read(&d.access_location), GeneralName::Malformed(_))) {
                out.malformed.push(name.to_owned());
            }
            out.authority_info = Some(Marked { critical, value });
        }
        // SEQUENCE OF INTEGER; 5 is status_request (RFC 7633).
        _ if name == "tlsFeature" => out.must_staple = extension.value.windows(3).any(|w| w == [2, 1, 5]),
        _ => {}
    }
}
