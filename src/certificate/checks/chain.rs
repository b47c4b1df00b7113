//! Checks of the chain: that each certificate was issued by the next, and that each was allowed to.

use super::{
    super::{
        Check, Class, Purpose, Severity,
        algorithm::{Curve, Link, PublicKey},
        constraints,
        facts::CertificateFacts,
        names::hex,
        opinion,
    },
    Found, Subject, leaf, time,
};

const OTHER_ISSUER: &str = "get the issuer's current intermediate, or have the leaf issued under another CA";

pub(super) static CHAIN_ORDER: Check = Check {
    name: "chain-order",
    severity: Severity::Warning,
    class: Class::Chain,
    meaning: "The leaf comes first, each certificate is followed by its issuer. Another order is put right in what is written.",
    source: "RFC 8446, 4.4.2; RFC 5246, 7.4.2",
};

pub(super) fn chain_order(subject: &Subject<'_>) -> Vec<Found> {
    if !subject.facts.chain.mended {
        return Vec::new();
    }
    let order: Vec<String> = subject.facts.chain().iter().map(|c| c.position.to_string()).collect();
    vec![Found::new(
        "certificate",
        format!(
            "the certificates were shuffled; the right order is {} (by their places in the file)",
            order.join(", ")
        ),
        "nothing: they are written in the right order; mend the file when it is next renewed",
    )]
}

pub(super) static UNRELATED_CERTIFICATE: Check = Check {
    name: "unrelated-certificate",
    severity: Severity::Warning,
    class: Class::Chain,
    meaning: "Every certificate has a part in the leaf's chain; others are left out of what is written.",
    source: "RFC 8446, 4.4.2",
};

pub(super) fn unrelated_certificate(subject: &Subject<'_>) -> Vec<Found> {
    let unrelated = subject.facts.chain.unrelated.iter().take(8);
    let each = |c: &CertificateFacts| {
        Found::on(
            c,
            "it issued nothing in the leaf's chain; it was left out",
            "remove it, or supply the intermediate that was meant",
        )
    };
    unrelated.map(each).collect()
}

pub(super) static ROOT_INCLUDED: Check = Check {
    name: "root-included",
    severity: Severity::Info,
    class: Class::Chain,
    meaning: "The root is not in the file: clients have their own. At the chain's end it is left out of what is promoted.",
    source: "RFC 8446, 4.4.2: the root may be left out",
};

pub(super) fn root_included(subject: &Subject<'_>) -> Vec<Found> {
    let roots = subject.facts.chain().iter().skip(1).filter(|c| c.self_signed);
    let each = |c: &CertificateFacts| {
        Found::on(
            c,
            "it is self-signed: a root, which clients ignore",
            "nothing, or leave it out to make handshakes smaller",
        )
    };
    roots.map(each).collect()
}

pub(super) static SELF_SIGNED: Check = Check {
    name: "self-signed",
    severity: Severity::Warning,
    class: Class::Chain,
    meaning: "The leaf was issued by a CA: a self-signed one is trusted by nobody who was not told to.",
    source: "RFC 5280, 6.1",
};

pub(super) fn self_signed(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf().filter(|leaf| leaf.self_signed && subject.context.roots.is_none()) else {
        return Vec::new();
    };
    vec![Found::on(
        leaf,
        "it is self-signed: only clients that were given this very certificate trust it",
        "have it issued by a CA",
    )]
}

pub(super) static PATH_TO_ROOT: Check = Check {
    name: "path-to-root",
    severity: Severity::Error,
    class: Class::Chain,
    meaning: "Where roots are given, a path leads from the leaf to one of them.",
    source: "RFC 5280, 6.1",
};

pub(super) fn path_to_root(subject: &Subject<'_>) -> Vec<Found> {
    let (Some(roots), Some(last)) = (subject.context.roots, subject.path.certificates.last()) else {
        return Vec::new();
    };
    if subject.path.anchored {
        return Vec::new();
    }
    vec![Found::on(
        last,
        format!(
            "the path ends here: none of the {} given roots issued it (its issuer is {})",
            roots.certificates().len(),
            last.issuer
        ),
        missing_remedy(last),
    )]
}

/// Which certificate is missing, and where it may be found.
fn missing_remedy(last: &CertificateFacts) -> String {
    let id = last.extensions.authority_key.as_ref().and_then(|aki| aki.value.id.as_ref());
    let key = id.map(|id| format!(" (key identifier {})", hex(id))).unwrap_or_default();
    let place = last.extensions.authority_info.as_ref().and_then(|aia| aia.value.first());
    let place = place.map(|place| format!("; its issuer publishes it at {place}")).unwrap_or_default();
    format!("append the certificate of {}{key} to the file{place}", last.issuer)
}

pub(super) static MISSING_INTERMEDIATE: Check = Check {
    name: "missing-intermediate",
    severity: Severity::Error,
    class: Class::Chain,
    meaning: "A public CA's leaf is accompanied by its intermediate: browsers may find it, other clients fail.",
    source: "RFC 8446, 4.4.2; CA/Browser Forum Baseline Requirements, 6.1.7 (roots do not issue leaves)",
};

pub(super) fn missing_intermediate(subject: &Subject<'_>) -> Vec<Found> {
    match lonely_leaf(subject) {
        Some(leaf) if expects_company(subject, leaf) => {
            vec![Found::on(
                leaf,
                format!("its issuer's certificate ({}) is missing", leaf.issuer),
                missing_remedy(leaf),
            )]
        }
        _ => Vec::new(),
    }
}

/// Its issuer publishes an intermediate, or somebody meant to supply one: CAs are there, but none that issued it.
fn expects_company(subject: &Subject<'_>, leaf: &CertificateFacts) -> bool {
    let published = leaf.extensions.authority_info.as_ref().is_some_and(|aia| !aia.value.is_empty());
    published || subject.facts.chain.unrelated.iter().any(|other| other.is_ca)
}

pub(super) static LEAF_ALONE: Check = Check {
    name: "leaf-alone",
    severity: Severity::Warning,
    class: Class::Chain,
    meaning: "A leaf that comes alone was issued by a root itself, as only private CAs do.",
    source: "RFC 8446, 4.4.2",
};

pub(super) fn leaf_alone(subject: &Subject<'_>) -> Vec<Found> {
    match lonely_leaf(subject) {
        Some(leaf) if !expects_company(subject, leaf) => {
            vec![Found::on(
                leaf,
                format!("it comes alone; that is right only if {} is a root that clients have", leaf.issuer),
                missing_remedy(leaf),
            )]
        }
        _ => Vec::new(),
    }
}

/// The leaf, if nothing at all leads on from it and no roots were given to say more.
fn lonely_leaf<'a>(subject: &Subject<'a>) -> Option<&'a CertificateFacts> {
    let leaf = subject.facts.leaf()?;
    (subject.path.certificates.len() == 1 && subject.context.roots.is_none() && !leaf.self_signed).then_some(leaf)
}

pub(super) static BAD_SIGNATURE: Check = Check {
    name: "bad-signature",
    severity: Severity::Error,
    class: Class::Chain,
    meaning: "Every certificate's signature was made by the key of the next one.",
    source: "RFC 5280, 6.1.3 (a)(1)",
};

pub(super) fn bad_signature(subject: &Subject<'_>) -> Vec<Found> {
    let certificates = &subject.path.certificates;
    let each = |(index, link): (usize, &Link)| {
        let (child, issuer) = (certificates[index], certificates[index + 1]);
        let message = match link {
            Link::Verified => return None,
            Link::Bad => format!(
                "its signature was not made by the key of {}, although that bears its issuer's name",
                issuer.location()
            ),
            Link::Unverifiable => format!(
                "its signature ({}) with the key of {} ({}) is none that clients can verify",
                child.signature.text(),
                issuer.location(),
                issuer.key
            ),
        };
        Some(Found::on(child, message, OTHER_ISSUER))
    };
    subject.path.links.iter().enumerate().filter_map(each).collect()
}

pub(super) static ISSUER_NOT_CA: Check = Check {
    name: "issuer-not-ca",
    severity: Severity::Error,
    class: Class::Chain,
    meaning: "Every issuer is a CA (basicConstraints CA:TRUE).",
    source: "RFC 5280, 6.1.4 (k)",
};

pub(super) fn issuer_not_ca(subject: &Subject<'_>) -> Vec<Found> {
    let wrong = subject.path.issuers().iter().filter(|c| !c.is_ca && (c.version == 3 || !c.self_signed));
    wrong.map(|c| Found::on(c, "it issued another certificate but is no CA (basicConstraints)", OTHER_ISSUER)).collect()
}

pub(super) static ISSUER_KEY_USAGE: Check = Check {
    name: "issuer-key-usage",
    severity: Severity::Error,
    class: Class::Chain,
    meaning: "Every issuer's key usage, if it states any, includes keyCertSign.",
    source: "RFC 5280, 6.1.4 (n)",
};

pub(super) fn issuer_key_usage(subject: &Subject<'_>) -> Vec<Found> {
    let wrong = |c: &&&CertificateFacts| c.extensions.key_usage.as_ref().is_some_and(|u| !u.value.key_cert_sign());
    let wrong = subject.path.issuers().iter().filter(wrong);
    wrong
        .map(|c| Found::on(c, "its key usage does not include keyCertSign, so it may issue nothing", OTHER_ISSUER))
        .collect()
}

pub(super) static ISSUER_PURPOSE: Check = Check {
    name: "issuer-purpose",
    severity: Severity::Error,
    class: Class::Chain,
    meaning: "An intermediate whose extended key usage states purposes states the leaf's among them.",
    source: "CA/Browser Forum Baseline Requirements, 7.1.2.10.6; all common clients",
};

pub(super) fn issuer_purpose(subject: &Subject<'_>) -> Vec<Found> {
    let wrong = |c: &&&CertificateFacts| {
        c.extensions.purposes.as_ref().is_some_and(|p| {
            let fits = match subject.context.purpose {
                Purpose::Server => p.value.server,
                Purpose::Client => p.value.client,
            };
            !fits && !p.value.any
        })
    };
    let wrong = subject.path.issuers().iter().filter(wrong);
    wrong
        .map(|c| Found::on(c, "it may not issue certificates for this purpose (extended key usage)", OTHER_ISSUER))
        .collect()
}

pub(super) static PATH_LENGTH: Check = Check {
    name: "path-length",
    severity: Severity::Error,
    class: Class::Chain,
    meaning: "No CA has more intermediates below it than its path length allows, and none has more than six.",
    source: "RFC 5280, 6.1.4 (l) and (m); rustls follows six",
};

pub(super) fn path_length(subject: &Subject<'_>) -> Vec<Found> {
    let (mut below, mut found) = (0, Vec::new());
    let issuers = subject.path.issuers();
    for (index, issuer) in issuers.iter().enumerate() {
        let length = issuer.extensions.basic_constraints.as_ref().and_then(|b| b.value.path_length);
        if let Some(most) = length.filter(|most| below > *most as usize) {
            let message = format!("it allows {most} intermediates below it, but has {below}");
            found.push(Found::on(issuer, message, OTHER_ISSUER));
        }
        // The end of a path is a root, given or presumed.
        let last = index + 1 == issuers.len();
        let root = last && (subject.path.anchored || issuer.self_signed);
        below += usize::from(!issuer.is_self_issued() && !root);
    }
    let most = subject.context.max_intermediates;
    if below > most {
        let message = format!("the path has {below} intermediates; clients follow {most}");
        found.push(Found::new("certificate", message, OTHER_ISSUER));
    }
    found
}

pub(super) static NAME_CONSTRAINTS: Check = Check {
    name: "name-constraints",
    severity: Severity::Error,
    class: Class::Chain,
    meaning: "No certificate has a name for which a CA above it may not issue.",
    source: "RFC 5280, 4.2.1.10 and 6.1.3 (b), (c)",
};

pub(super) fn name_constraints(subject: &Subject<'_>) -> Vec<Found> {
    let violations = constraints::violations(&subject.path.certificates);
    let each = |v: constraints::Violation<'_>| {
        Found::on(
            v.subject,
            format!("the name constraints of {} forbid it: {}", v.issuer.location(), v.what),
            OTHER_ISSUER,
        )
    };
    violations.into_iter().take(8).map(each).collect()
}

pub(super) static NAME_CONSTRAINTS_SYNTAX: Check = Check {
    name: "name-constraints-syntax",
    severity: Severity::Warning,
    class: Class::Chain,
    meaning: "Name constraints are well formed: networks with a clean mask, DNS names without a leading dot.",
    source: "RFC 5280, 4.2.1.10",
};

pub(super) fn name_constraints_syntax(subject: &Subject<'_>) -> Vec<Found> {
    let each = |c: &&CertificateFacts| {
        let what = constraints::malformed(&c.extensions.name_constraints.as_ref()?.value)?;
        Some(Found::on(c, format!("its name constraints are malformed: {what}"), OTHER_ISSUER))
    };
    subject.path.issuers().iter().filter_map(each).collect()
}

pub(super) static WEAK_SIGNATURE: Check = Check {
    name: "weak-signature",
    severity: Severity::Error,
    class: Class::Chain,
    meaning: "No signature uses MD5 or SHA-1, but for a root's on itself, which nobody verifies.",
    source: "CA/Browser Forum Baseline Requirements, 7.1.3.2; RFC 8446, 4.4.2.4",
};

pub(super) fn weak_signature(subject: &Subject<'_>) -> Vec<Found> {
    let certificates = &subject.path.certificates;
    let each = |(index, c): (usize, &&CertificateFacts)| {
        let trusted = index > 0 && (c.self_signed || (subject.path.anchored && index + 1 == certificates.len()));
        let weak = c.signature.weak().filter(|_| !trusted)?;
        Some(Found::on(c, format!("it is signed with {weak}, for which forgeries are known"), OTHER_ISSUER))
    };
    certificates.iter().enumerate().filter_map(each).collect()
}

pub(super) static WEAK_ISSUER_KEY: Check = Check {
    name: "weak-issuer-key",
    severity: Severity::Error,
    class: Class::Chain,
    meaning: "Every issuer's key is RSA from 2048 bits (a multiple of 8) or ECDSA on P-256, P-384 or P-521.",
    source: "CA/Browser Forum Baseline Requirements, 6.1.5",
};

pub(super) fn weak_issuer_key(subject: &Subject<'_>) -> Vec<Found> {
    let fine = |c: &CertificateFacts| match &c.public_key {
        PublicKey::Rsa { .. } => c.public_key.rsa_bits().is_some_and(|bits| bits >= 2048 && bits.is_multiple_of(8)),
        PublicKey::Ec { curve, .. } => matches!(curve, Curve::P256 | Curve::P384 | Curve::P521),
        // Private CAs use it; clients that cannot verify it are told about by bad-signature's like.
        PublicKey::Ed25519(_) => true,
        PublicKey::Unsupported(_) => false,
    };
    let wrong = subject.path.issuers().iter().filter(|c| !fine(c));
    wrong.map(|c| Found::on(c, format!("its key is {}, too weak or unknown to clients", c.key), OTHER_ISSUER)).collect()
}

pub(super) static SECOND_OPINION: Check = Check {
    name: "second-opinion",
    severity: Severity::Warning,
    class: Class::Chain,
    meaning: "Where roots are given and a path is found, rustls' own verifier finds one as well.",
    source: "rustls-webpki; it knows no directoryName or mailbox constraints, and no P-521 with every hash",
};

pub(super) fn second_opinion(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf().filter(|_| subject.path.anchored) else { return Vec::new() };
    // What was found already is not told twice.
    let rules: [fn(&Subject<'_>) -> Vec<Found>; 9] = [
        time::expired,
        time::not_yet_valid,
        leaf::leaf_is_ca,
        leaf::purpose,
        bad_signature,
        issuer_not_ca,
        issuer_purpose,
        path_length,
        name_constraints,
    ];
    if rules.iter().any(|rule| !rule(subject).is_empty()) {
        return Vec::new();
    }
    let refusal = opinion::refusal(subject.facts, subject.context);
    let remedy = "find out whether clients built on rustls matter, and what they dislike";
    refusal.map(|why| Found::on(leaf, format!("rustls would refuse it: {why}"), remedy)).into_iter().collect()
}
