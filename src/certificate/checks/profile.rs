//! Checks that hold for every certificate of a path: RFC 5280's profile. Breaches that clients refuse are
//! errors; those that they put up with are warnings, and errors where the rules are taken to the letter.

use super::{
    super::{Check, Class, Severity, facts::CertificateFacts},
    Found, Subject,
};

const REPLACE: &str = "have it issued again; its issuer breaks the profile of RFC 5280";
const TOLERATED: &str = "nothing today; tell the issuer that its profile is odd";

/// One finding for each certificate of the path that `tell` has something to say about.
fn each(
    certificates: &[&CertificateFacts],
    remedy: &'static str,
    tell: impl Fn(&CertificateFacts) -> Option<String>,
) -> Vec<Found> {
    let told = certificates.iter().filter_map(|certificate| Some((certificate, tell(certificate)?)));
    told.map(|(certificate, message)| Found::on(certificate, message, remedy)).collect()
}

pub(super) static CRITICAL_EXTENSION: Check = Check {
    name: "critical-extension",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "No certificate has a critical extension that clients do not know, or one that never may be critical (key identifiers, authorityInfoAccess).",
    source: "RFC 5280, 4.2, 4.2.1.1, 4.2.1.2 and 4.2.2.1",
};

pub(super) fn critical_extension(subject: &Subject<'_>) -> Vec<Found> {
    let path = subject.path;
    let mut found = each(&path.certificates, REPLACE, |c| {
        let unknown = c.extensions.unknown_critical.first().filter(|_| !c.extensions.precertificate)?;
        Some(format!("it has the critical extension {unknown}, which clients do not know and must refuse"))
    });
    found.extend(each(path.supplied(), REPLACE, |c| {
        never_critical(c).map(|name| format!("its {name} is critical, which it must not be: Go and rustls refuse it"))
    }));
    found
}

/// An extension that is critical although it never may be.
fn never_critical(certificate: &CertificateFacts) -> Option<&'static str> {
    let e = &certificate.extensions;
    [
        ("authorityKeyIdentifier", e.authority_key.as_ref().is_some_and(|x| x.critical)),
        ("subjectKeyIdentifier", e.subject_key.as_ref().is_some_and(|x| x.critical)),
        ("authorityInfoAccess", e.authority_info.as_ref().is_some_and(|x| x.critical)),
    ]
    .into_iter()
    .find_map(|(name, critical)| critical.then_some(name))
}

pub(super) static MALFORMED_EXTENSION: Check = Check {
    name: "malformed-extension",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "Every extension can be read.",
    source: "RFC 5280, 4.2",
};

pub(super) fn malformed_extension(subject: &Subject<'_>) -> Vec<Found> {
    each(&subject.path.certificates, REPLACE, |c| {
        (!c.extensions.malformed.is_empty())
            .then(|| format!("these extensions cannot be read: {}", c.extensions.malformed.join(", ")))
    })
}

pub(super) static DUPLICATE_EXTENSION: Check = Check {
    name: "duplicate-extension",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "No certificate has the same extension twice.",
    source: "RFC 5280, 4.2",
};

pub(super) fn duplicate_extension(subject: &Subject<'_>) -> Vec<Found> {
    each(&subject.path.certificates, REPLACE, |c| {
        (!c.extensions.duplicate.is_empty())
            .then(|| format!("it has these extensions twice: {}", c.extensions.duplicate.join(", ")))
    })
}

pub(super) static VERSION: Check = Check {
    name: "version",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "Leaf and intermediates are X.509 version 3.",
    source: "RFC 5280, 4.1.2.1; RFC 8446, 4.4.2.2",
};

pub(super) fn version(subject: &Subject<'_>) -> Vec<Found> {
    // Old roots may be v1: nobody looks at more than their key.
    let asked: Vec<_> = subject.path.supplied().iter().copied().filter(|c| !c.self_signed || c.position == 1).collect();
    each(&asked, REPLACE, |c| (c.version != 3).then(|| format!("it is of version {}, 3 was expected", c.version)))
}

pub(super) static SERIAL_NEGATIVE: Check = Check {
    name: "serial-negative",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "No serial number is negative.",
    source: "RFC 5280, 4.1.2.2; Go's clients refuse it since 1.23",
};

pub(super) fn serial_negative(subject: &Subject<'_>) -> Vec<Found> {
    each(&subject.path.certificates, REPLACE, |c| {
        c.raw_serial
            .first()
            .is_some_and(|b| b & 0x80 != 0)
            .then(|| format!("its serial number {} is negative", c.serial))
    })
}

pub(super) static SERIAL_UNUSUAL: Check = Check {
    name: "serial-unusual",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "Serial numbers are above zero and have at most 20 bytes.",
    source: "RFC 5280, 4.1.2.2",
};

pub(super) fn serial_unusual(subject: &Subject<'_>) -> Vec<Found> {
    each(&subject.path.certificates, TOLERATED, |c| match c.raw_serial.as_slice() {
        serial if serial.iter().all(|b| *b == 0) => Some("its serial number is zero".to_owned()),
        serial if serial.len() > 20 => {
            Some(format!("its serial number has {} bytes; at most 20 are allowed", serial.len()))
        }
        _ => None,
    })
}

pub(super) static SIGNATURE_ALGORITHM: Check = Check {
    name: "signature-algorithm",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "The signature algorithm beside the signature is the one inside what was signed.",
    source: "RFC 5280, 4.1.1.2",
};

pub(super) fn signature_algorithm(subject: &Subject<'_>) -> Vec<Found> {
    each(&subject.path.certificates, REPLACE, |c| {
        c.signature_disagrees.then(|| "it names one signature algorithm inside and another one outside".to_owned())
    })
}

pub(super) static ISSUER_EMPTY: Check = Check {
    name: "issuer-empty",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "Every certificate names its issuer, and every CA has a subject.",
    source: "RFC 5280, 4.1.2.4 and 4.1.2.6",
};

pub(super) fn issuer_empty(subject: &Subject<'_>) -> Vec<Found> {
    each(&subject.path.certificates, TOLERATED, |c| match (c.issuer_name.is_empty(), c.subject_name.is_empty()) {
        (true, _) => Some("its issuer's name is empty".to_owned()),
        (_, true) if c.is_ca => Some("it is a CA with an empty subject".to_owned()),
        _ => None,
    })
}

pub(super) static DATES: Check = Check {
    name: "dates",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "Dates through 2049 are UTCTime, later ones GeneralizedTime.",
    source: "RFC 5280, 4.1.2.5",
};

pub(super) fn dates(subject: &Subject<'_>) -> Vec<Found> {
    each(&subject.path.certificates, TOLERATED, |c| {
        c.odd_dates.then(|| "its dates are encoded in the wrong one of two ways".to_owned())
    })
}

pub(super) static CRITICALITY: Check = Check {
    name: "criticality",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "A CA's basicConstraints, nameConstraints and policyConstraints are critical; a given root's key identifiers and authorityInfoAccess are not.",
    source: "RFC 5280, 4.2.1.1, 4.2.1.2, 4.2.1.9 to 4.2.1.11, 4.2.2.1",
};

pub(super) fn criticality(subject: &Subject<'_>) -> Vec<Found> {
    each(&subject.path.certificates, TOLERATED, |c| {
        let e = &c.extensions;
        if let Some(name) = never_critical(c).filter(|_| c.position == 0) {
            return Some(format!("its {name} should not be critical"));
        }
        let wrong = [
            ("basicConstraints", e.basic_constraints.as_ref().is_some_and(|x| x.value.ca && !x.critical)),
            ("nameConstraints", e.name_constraints.as_ref().is_some_and(|x| !x.critical)),
            ("policyConstraints", e.policy_constraints.as_ref().is_some_and(|x| !x.critical)),
        ];
        let (name, _) = wrong.into_iter().find(|(_, wrong)| *wrong)?;
        Some(format!("its {name} should be critical"))
    })
}

pub(super) static KEY_IDENTIFIERS: Check = Check {
    name: "key-identifiers",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "Every CA says which key it has (subjectKeyIdentifier), every other certificate which key signed it (authorityKeyIdentifier), and the two agree.",
    source: "RFC 5280, 4.2.1.1 and 4.2.1.2",
};

pub(super) fn key_identifiers(subject: &Subject<'_>) -> Vec<Found> {
    let path = subject.path;
    let mut found = each(&path.certificates, TOLERATED, |c| {
        let e = &c.extensions;
        let unnamed = e.authority_key.as_ref().is_none_or(|aki| aki.value.id.is_none());
        if c.is_ca && e.subject_key.is_none() {
            return Some("it is a CA without a subjectKeyIdentifier".to_owned());
        }
        // Only a self-signed one may leave it out: its issuer's key is its own.
        (unnamed && !c.own_signature)
            .then(|| "it has no key identifier of its issuer (authorityKeyIdentifier)".to_owned())
    });
    for pair in path.certificates.windows(2) {
        if pair[0].key_id_matches(pair[1]) == Some(false) {
            found.push(Found::on(pair[0], "its authorityKeyIdentifier names another key than its issuer's", TOLERATED));
        }
    }
    found
}

pub(super) static CA_PROFILE: Check = Check {
    name: "ca-profile",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "A CA states its key usage, and constraints that constrain something.",
    source: "RFC 5280, 4.2.1.3 and 4.2.1.10; CA/Browser Forum Baseline Requirements, 7.1.2.10",
};

pub(super) fn ca_profile(subject: &Subject<'_>) -> Vec<Found> {
    each(subject.path.issuers(), TOLERATED, |c| {
        let e = &c.extensions;
        let empty =
            e.name_constraints.as_ref().is_some_and(|n| n.value.permitted.is_empty() && n.value.excluded.is_empty());
        if empty {
            return Some("its nameConstraints constrain nothing".to_owned());
        }
        (e.key_usage.is_none() && c.version == 3).then(|| "it is a CA that states no key usage".to_owned())
    })
}

pub(super) static END_ENTITY_PROFILE: Check = Check {
    name: "end-entity-profile",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "A certificate that is no CA has no nameConstraints.",
    source: "RFC 5280, 4.2.1.10",
};

pub(super) fn end_entity_profile(subject: &Subject<'_>) -> Vec<Found> {
    each(&subject.path.certificates, TOLERATED, |c| {
        let constrains = !c.is_ca && c.extensions.name_constraints.is_some();
        constrains.then(|| "it has nameConstraints although it is no CA".to_owned())
    })
}

pub(super) static ROOT_PROFILE: Check = Check {
    name: "root-profile",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "A given root states no purposes, and its authorityKeyIdentifier, if any, is its key's identifier alone.",
    source: "CA/Browser Forum Baseline Requirements, 7.1.2.1",
};

pub(super) fn root_profile(subject: &Subject<'_>) -> Vec<Found> {
    let root = subject.path.issuers().last().filter(|root| subject.path.anchored && root.is_self_issued());
    let root: Vec<_> = root.copied().into_iter().collect();
    each(&root, TOLERATED, |c| {
        let aki = c.extensions.authority_key.as_ref().map(|aki| &aki.value);
        if c.extensions.purposes.is_some() {
            return Some("it is a root with an extended key usage".to_owned());
        }
        if aki.is_some_and(|aki| aki.id.is_none() || aki.names_issuer) {
            return Some("its authorityKeyIdentifier should be its key's identifier and nothing else".to_owned());
        }
        None
    })
}
