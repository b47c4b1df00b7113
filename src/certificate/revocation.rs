//! Certificate revocation lists (RFC 5280, 5): given apart, like roots, and held against every certificate of the path.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use x509_parser::{extensions::ParsedExtension, prelude::FromDer, revocation_list::CertificateRevocationList};

use super::{
    algorithm::{Link, Signature},
    der,
    facts::CertificateFacts,
    names::DistinguishedName,
    pem,
};

/// The largest lists of public CAs have some megabytes.
const MAX_LISTS: usize = 16 * 1024 * 1024;

/// Lists of what issuers took back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationLists(Vec<RevocationList>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RevocationList {
    pub(super) issuer: DistinguishedName,
    pub(super) this_update: DateTime<Utc>,
    pub(super) next_update: Option<DateTime<Utc>>,
    /// cRLNumber: whether it is critical.
    pub(super) number: Option<bool>,
    /// A critical extension, of the list or of an entry, whose meaning is unknown here.
    pub(super) unknown_critical: Option<String>,
    revoked: HashSet<Vec<u8>>,
    signature: Signature,
    signed: Vec<u8>,
    signature_value: Vec<u8>,
}

impl RevocationLists {
    /// Reads PEM blocks labelled `X509 CRL`.
    ///
    /// # Errors
    /// Says which block is no revocation list, or that there is none at all.
    pub fn from_pem(text: &[u8]) -> Result<Self, String> {
        let blocks = pem::read_at_most(Some(text), MAX_LISTS).blocks;
        let lists = blocks.iter().filter(|block| block.label == "X509 CRL").map(|block| {
            read(&block.der).ok_or_else(|| format!("the block at line {} is no revocation list", block.line))
        });
        let lists = lists.collect::<Result<Vec<_>, _>>()?;
        if lists.is_empty() {
            return Err("there is no X509 CRL block".to_owned());
        }
        Ok(Self(lists))
    }

    /// The lists that an issuer of this name signed.
    pub(super) fn of<'a>(&'a self, issuer: &'a DistinguishedName) -> impl Iterator<Item = &'a RevocationList> {
        self.0.iter().filter(|list| list.issuer.matches(issuer))
    }

    pub(super) fn all(&self) -> &[RevocationList] {
        &self.0
    }
}

impl RevocationList {
    /// Is this certificate (of this issuer) in the list?
    pub(super) fn revokes(&self, certificate: &CertificateFacts) -> bool {
        self.revoked.contains(der::unsigned(&certificate.raw_serial))
    }

    /// Did this issuer sign the list?
    pub(super) fn signed_by(&self, issuer: &CertificateFacts) -> Link {
        issuer.verifies(&self.signature, &self.signed, &self.signature_value)
    }
}

fn read(bytes: &[u8]) -> Option<RevocationList> {
    let (rest, list) = CertificateRevocationList::from_der(bytes).ok()?;
    let time = |time: x509_parser::time::ASN1Time| DateTime::from_timestamp(time.timestamp(), 0);
    let entries = &list.tbs_cert_list.revoked_certificates;
    let unknown = |extension: &&x509_parser::extensions::X509Extension<'_>| {
        let known = matches!(
            extension.parsed_extension(),
            ParsedExtension::CRLNumber(_)
                | ParsedExtension::AuthorityKeyIdentifier(_)
                | ParsedExtension::IssuingDistributionPoint(_)
                | ParsedExtension::ReasonCode(_)
                | ParsedExtension::InvalidityDate(_)
        );
        extension.critical && !known
    };
    let of_entries = entries.iter().flat_map(|entry| entry.extensions());
    let number = list.extensions().iter().find(|e| matches!(e.parsed_extension(), ParsedExtension::CRLNumber(_)));
    rest.is_empty().then_some(())?;
    Some(RevocationList {
        issuer: DistinguishedName::read(list.issuer()),
        this_update: time(list.last_update())?,
        next_update: list.next_update().and_then(time),
        number: number.map(|extension| extension.critical),
        unknown_critical: list.extensions().iter().chain(of_entries).find(unknown).map(|e| e.oid.to_id_string()),
        revoked: entries.iter().map(|entry| der::unsigned(entry.raw_serial()).to_vec()).collect(),
        signature: Signature::read(&list.signature_algorithm),
        signed: list.tbs_cert_list.as_ref().to_vec(),
        signature_value: list.signature_value.data.to_vec(),
    })
}
