//! Checks of the leaf: that it is one, and fit for its purpose.

use super::{
    super::{
        Check, Class, Purpose, Severity,
        names::hex,
        staple::{Standing, StapleFacts},
    },
    Found, Subject,
};

const REISSUE: &str = "have an end-entity certificate issued for TLS servers, and supply that";

pub(super) static LEAF_IS_CA: Check = Check {
    name: "leaf-is-ca",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "The leaf is no CA: who holds a gateway's key should not be able to issue certificates.",
    source: "CA/Browser Forum Baseline Requirements, 7.1.2.7; rustls refuses it (CaUsedAsEndEntity)",
};

pub(super) fn leaf_is_ca(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf().filter(|leaf| leaf.is_ca) else { return Vec::new() };
    vec![Found::on(leaf, "it is a CA's certificate (basicConstraints CA:TRUE) in the leaf's place", REISSUE)]
}

pub(super) static LEAF_SIGNS: Check = Check {
    name: "leaf-signs-certificates",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "The leaf's key usage does not include keyCertSign.",
    source: "RFC 5280, 4.2.1.3: keyCertSign needs CA:TRUE",
};

pub(super) fn leaf_signs(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf().filter(|leaf| !leaf.is_ca) else { return Vec::new() };
    let signs = leaf.extensions.key_usage.as_ref().is_some_and(|usage| usage.value.key_cert_sign());
    if !signs {
        return Vec::new();
    }
    vec![Found::on(leaf, "its key usage includes keyCertSign although it is no CA", REISSUE)]
}

pub(super) static PURPOSE: Check = Check {
    name: "purpose",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "The leaf's extended key usage, if it states any, includes serverAuth (clientAuth for a client's certificate).",
    source: "RFC 5280, 4.2.1.12; RFC 8446, 4.4.2.2",
};

pub(super) fn purpose(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf() else { return Vec::new() };
    let Some(purposes) = &leaf.extensions.purposes else { return Vec::new() };
    let (fits, wanted) = match subject.context.purpose {
        Purpose::Server => (purposes.value.server, "serverAuth"),
        Purpose::Client => (purposes.value.client, "clientAuth"),
    };
    // anyExtendedKeyUsage is a public CA's breach, told apart; clients do accept it.
    if fits || purposes.value.any {
        return Vec::new();
    }
    vec![Found::on(leaf, format!("its extended key usage does not include {wanted}"), REISSUE)]
}

pub(super) static PURPOSE_UNSTATED: Check = Check {
    name: "purpose-unstated",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "The leaf states its purpose by name: an extended key usage that is there, not critical, and not anyExtendedKeyUsage.",
    source: "CA/Browser Forum Baseline Requirements, 7.1.2.7.10",
};

pub(super) fn purpose_unstated(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf() else { return Vec::new() };
    let message = match &leaf.extensions.purposes {
        None => "it has no extended key usage; public CAs state serverAuth, and some clients ask for it",
        Some(purposes) if purposes.value.any => {
            "its extended key usage includes anyExtendedKeyUsage, which public CAs may not issue"
        }
        Some(purposes) if purposes.critical => "its extended key usage is critical, which public CAs may not issue",
        Some(_) => return Vec::new(),
    };
    vec![Found::on(leaf, message, "have it issued with the extended key usage serverAuth alone")]
}

pub(super) static DIGITAL_SIGNATURE: Check = Check {
    name: "digital-signature",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "The leaf's key usage, if it states any, includes digitalSignature: every handshake with forward secrecy needs it.",
    source: "RFC 8446, 4.4.2.2; RFC 5246, 7.4.2",
};

pub(super) fn digital_signature(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf() else { return Vec::new() };
    match &leaf.extensions.key_usage {
        Some(usage) if !usage.value.digital_signature() => vec![Found::on(
            leaf,
            format!("its key usage ({}) does not include digitalSignature", usage.value),
            "have it issued with digitalSignature",
        )],
        _ => Vec::new(),
    }
}

pub(super) static PRECERTIFICATE: Check = Check {
    name: "precertificate",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "The leaf is a certificate, not the precertificate that was logged before it.",
    source: "RFC 6962, 3.1: the poison extension makes every client refuse it",
};

pub(super) fn precertificate(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf().filter(|leaf| leaf.extensions.precertificate) else { return Vec::new() };
    vec![Found::on(
        leaf,
        "it is a precertificate (as found in transparency logs)",
        "get the final certificate from the CA",
    )]
}

pub(super) static MUST_STAPLE: Check = Check {
    name: "must-staple",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "A certificate that demands a stapled OCSP response comes with one.",
    source: "RFC 7633; Firefox refuses the connection otherwise",
};

pub(super) fn must_staple(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf() else { return Vec::new() };
    if !leaf.extensions.must_staple || subject.facts.staple.is_some() {
        return Vec::new();
    }
    vec![Found::on(
        leaf,
        "it demands a stapled OCSP response (tlsFeature status_request), but there is none",
        "have it issued without must-staple, or supply tls.ocsp-staple and keep it fresh",
    )]
}

pub(super) static STAPLE: Check = Check {
    name: "staple",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "A stapled OCSP response can be read, is about the leaf, says that it is good, and is current.",
    source: "RFC 6960, 4.2; Envoy source/common/tls/ocsp",
};

pub(super) fn staple(subject: &Subject<'_>) -> Vec<Found> {
    let (Some(staple), now) = (&subject.facts.staple, subject.context.now) else { return Vec::new() };
    let message = match (staple, subject.leaf()) {
        (StapleFacts::Malformed(why), _) => format!("the staple cannot be used: {why}"),
        (StapleFacts::Read { serial, .. }, Some(leaf)) if *serial != leaf.raw_serial => {
            format!("the staple is about the serial {}, the leaf's is {}", hex(serial), leaf.serial)
        }
        (StapleFacts::Read { standing: Standing::Revoked, .. }, _) => {
            "the staple says that the leaf is revoked".to_owned()
        }
        (StapleFacts::Read { standing: Standing::Unknown, .. }, _) => "the staple does not know the leaf".to_owned(),
        (StapleFacts::Read { this_update, .. }, _) if now < *this_update => {
            format!("the staple becomes valid only at {this_update}")
        }
        (StapleFacts::Read { next_update: Some(next), .. }, _) if now.timestamp() > next.timestamp() => {
            format!("the staple ran out at {next}")
        }
        _ => return Vec::new(),
    };
    vec![Found::new("OCSP staple", message, "fetch a fresh OCSP response for this leaf, or leave the staple out")]
}
