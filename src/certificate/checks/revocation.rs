//! Checks of revocation, where lists of it were given.

use super::{
    super::{Check, Class, Severity, algorithm::Link, facts::CertificateFacts, revocation::RevocationList},
    Found, Subject,
};

/// Every certificate of the path with its issuer and each list that bears the issuer's name.
fn listed<'a>(
    subject: &Subject<'a>,
    tell: impl Fn(&CertificateFacts, &CertificateFacts, &RevocationList) -> Option<Found>,
) -> Vec<Found> {
    let Some(lists) = subject.context.revocations else { return Vec::new() };
    let pairs = subject.path.certificates.windows(2);
    pairs
        .flat_map(|pair| {
            lists.of(&pair[1].subject_name).filter_map(|list| tell(pair[0], pair[1], list)).collect::<Vec<_>>()
        })
        .collect()
}

pub(super) static REVOKED: Check = Check {
    name: "revoked",
    severity: Severity::Error,
    class: Class::Chain,
    meaning: "No certificate of the path stands in one of the given revocation lists of its issuer.",
    source: "RFC 5280, 6.3",
};

pub(super) fn revoked(subject: &Subject<'_>) -> Vec<Found> {
    listed(subject, |certificate, issuer, list| {
        (list.revokes(certificate) && list.signed_by(issuer) == Link::Verified).then(|| {
            let message = format!("{} revoked it (its list of {})", issuer.location(), list.this_update);
            Found::on(certificate, message, "have a new certificate issued, for a new key")
        })
    })
}

pub(super) static REVOCATION_LIST: Check = Check {
    name: "revocation-list",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "The given revocation lists are current, numbered, and signed by an issuer who may sign them.",
    source: "RFC 5280, 5.1 to 5.2.3 and 6.3.3 (f)",
};

pub(super) fn revocation_list(subject: &Subject<'_>) -> Vec<Found> {
    let now = subject.context.now;
    listed(subject, |_, issuer, list| {
        let may_sign = issuer.extensions.key_usage.as_ref().is_none_or(|usage| usage.value.crl_sign());
        let message = match list {
            _ if !may_sign => "its issuer's key usage does not include cRLSign".to_owned(),
            _ if list.signed_by(issuer) != Link::Verified => {
                "its signature was not made by its issuer's key".to_owned()
            }
            RevocationList { unknown_critical: Some(oid), .. } => format!("its critical extension {oid} is unknown"),
            RevocationList { number: None, .. } => "it has no number (cRLNumber)".to_owned(),
            RevocationList { number: Some(true), .. } => "its number (cRLNumber) is critical".to_owned(),
            RevocationList { this_update, .. } if now < *this_update => {
                format!("it becomes valid only at {this_update}")
            }
            RevocationList { next_update: Some(next), .. } if now.timestamp() > next.timestamp() => {
                format!("it ran out at {next}")
            }
            _ => return None,
        };
        Some(Found::new(
            format!("revocation list of {}", issuer.location()),
            message,
            "fetch the issuer's current list",
        ))
    })
}
