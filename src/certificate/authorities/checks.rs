//! The checks of a bundle of CA certificates, a table like that of the pair's.

use std::sync::LazyLock;

use super::{
    super::{
        Check, Class, Context, Severity,
        facts::CertificateFacts,
        pem::{MAX_INPUT, Note, Shape},
        supplied::MAX_CERTIFICATES,
    },
    Authorities, REVOCATION_LIST, is_early, is_expired, is_weak, no_authority, objection, text,
};

/// What a check found; the row gives it name and severity.
pub(super) struct Found {
    pub(super) location: String,
    pub(super) message: String,
    pub(super) remedy: String,
}

impl Found {
    fn new(location: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { location: location.into(), message: message.into(), remedy: remedy.into() }
    }
}

/// A row of the table.
pub(super) struct Row {
    pub(super) check: &'static Check,
    pub(super) run: fn(&Authorities, &Context<'_>) -> Vec<Found>,
}

/// All of them, in the order in which a person would go through them.
pub(super) static TABLE: &[Row] = &[
    Row { check: &MISSING, run: missing },
    Row { check: &TOO_LARGE, run: too_large },
    Row { check: &NOT_PEM, run: not_pem },
    Row { check: &BLOCK_MALFORMED, run: block_malformed },
    Row { check: &MALFORMED, run: malformed },
    Row { check: &PRIVATE_KEY, run: private_key },
    Row { check: &NONE_USABLE, run: none_usable },
    Row { check: &WEAK_KEY, run: weak_key },
    Row { check: &WEAK_SIGNATURE, run: weak_signature },
    Row { check: &NOT_CA, run: not_ca },
    Row { check: &PURPOSE, run: purpose },
    Row { check: &EXPIRED, run: expired },
    Row { check: &NOT_YET_VALID, run: not_yet_valid },
    Row { check: &EXPIRES_SOON, run: expires_soon },
    Row { check: &UNKNOWN_BLOCK, run: unknown_block },
    Row { check: &REVOCATIONS, run: revocations },
    Row { check: &NORMALISED, run: normalised },
    Row { check: &DUPLICATE, run: duplicate },
];

/// The checks of a client CA, in the order in which they run.
#[must_use]
pub fn authority_checks() -> &'static [&'static Check] {
    static CHECKS: LazyLock<Vec<&'static Check>> = LazyLock::new(|| TABLE.iter().map(|row| row.check).collect());
    &CHECKS
}

/// The part of `docs/checks.md` that is about them, in Markdown.
#[must_use]
pub fn documentation() -> String {
    let harm = |class| match class {
        Class::Unusable => "unusable: no client would be let in",
        Class::Time => "time",
        _ => "rest",
    };
    let each = TABLE.iter().map(|Row { check, .. }| {
        let Check { name, severity, class, meaning, source } = check;
        format!("\n### {name}\n\n**{severity}** · {}\n\n{meaning}\n\nSource: {source}.\n", harm(*class))
    });
    HEAD.to_owned() + &each.collect::<String>()
}

const HEAD: &str = "
## The client CA

What `spec.clientCA` and `certkeeper check --client-ca` are held against. The CA certificates of mutual TLS are a
bundle, not a chain: each stands for itself. One of several that can vouch for nobody is a warning; a bundle in which
none can is refused.
";

const ENVOY: &str = "Envoy's trusted_ca (measured with 1.40 and istiod): it is refused and the old one stays; without one every connection is reset";
const BUNDLE: &str = "client CA";

fn on_each(authorities: &Authorities, remedy: &str, tell: impl Fn(&CertificateFacts) -> Option<String>) -> Vec<Found> {
    let each = |c: &CertificateFacts| tell(c).map(|message| Found::new(c.location(), message, remedy));
    authorities.certificates.iter().filter_map(each).collect()
}

static MISSING: Check = Check {
    name: "client-ca-missing",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "There is a CA certificate: with an empty bundle a gateway that asks for client certificates lets nobody in.",
    source: ENVOY,
};

fn missing(authorities: &Authorities, _: &Context<'_>) -> Vec<Found> {
    let half = &authorities.half;
    let message = match half.shape {
        Shape::Missing => "no CA certificate was supplied",
        // What is wrong with the blocks that are there is told by others.
        Shape::Pem
            if half.certificates == 0 && !half.notes.iter().any(|note| matches!(note, Note::Malformed { .. })) =>
        {
            "there is no CERTIFICATE block"
        }
        _ => return Vec::new(),
    };
    vec![Found::new(
        BUNDLE,
        message,
        "supply the certificates of the CAs that issue your clients' certificates as PEM in the key ca.crt (or cacert)",
    )]
}

static TOO_LARGE: Check = Check {
    name: "client-ca-too-large",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "The bundle has at most 64 KiB and 64 certificates: a handshake carries the name of each, and every CA in it may let clients in.",
    source: "RFC 8446, 4.2.4 (certificate_authorities); our own bound on work",
};

fn too_large(authorities: &Authorities, _: &Context<'_>) -> Vec<Found> {
    let message = match authorities.half {
        ref half if half.certificates > MAX_CERTIFICATES => {
            format!("{} certificates were supplied; at most {MAX_CERTIFICATES} are read", half.certificates)
        }
        ref half => match half.shape {
            Shape::TooLarge(bytes) => format!("{bytes} bytes were supplied; at most {MAX_INPUT} are read"),
            _ => return Vec::new(),
        },
    };
    vec![Found::new(BUNDLE, message, "supply only the CAs that issue your clients' certificates, not all public roots")]
}

static NOT_PEM: Check = Check {
    name: "client-ca-not-pem",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "The bundle is PEM (or base64 of PEM), not DER, PKCS#12, PKCS#7 or something else.",
    source: ENVOY,
};

fn not_pem(authorities: &Authorities, _: &Context<'_>) -> Vec<Found> {
    match authorities.half.shape {
        Shape::Other { what, remedy } => {
            vec![Found::new(BUNDLE, format!("PEM was expected, but this is {what}"), remedy)]
        }
        _ => Vec::new(),
    }
}

static BLOCK_MALFORMED: Check = Check {
    name: "client-ca-block-malformed",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "Every PEM block is whole: BEGIN and END lines that match, base64 between them.",
    source: "RFC 7468 (textual encodings)",
};

fn block_malformed(authorities: &Authorities, _: &Context<'_>) -> Vec<Found> {
    let each = |note: &Note| match note {
        Note::Malformed { line, label, why } => Some(Found::new(
            BUNDLE,
            format!("the {label} block that begins at line {line} cannot be read: {why}"),
            "copy the whole block again, from its BEGIN line to its END line",
        )),
        _ => None,
    };
    authorities.half.notes.iter().filter_map(each).collect()
}

static MALFORMED: Check = Check {
    name: "client-ca-malformed",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "Every CERTIFICATE block holds one X.509 certificate in DER and nothing else: Envoy refuses the whole bundle otherwise.",
    source: ENVOY,
};

fn malformed(authorities: &Authorities, _: &Context<'_>) -> Vec<Found> {
    let total = authorities.half.certificates;
    let each = |broken: &super::Broken| {
        Found::new(
            format!("certificate {} of {total}", broken.position),
            format!("the block at line {}: {}", broken.line, broken.why),
            "get this certificate from its CA again; openssl x509 -noout -text shows whether it can be read",
        )
    };
    authorities.broken.iter().map(each).collect()
}

static PRIVATE_KEY: Check = Check {
    name: "client-ca-private-key",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "The bundle holds no private key: a CA's key makes certificates for any client, and certkeeper never copies it.",
    source: "our own rule: a bundle of CA certificates is handed on as public",
};

fn private_key(authorities: &Authorities, _: &Context<'_>) -> Vec<Found> {
    if !authorities.holds_key() {
        return Vec::new();
    }
    vec![Found::new(
        BUNDLE,
        "there is a private key among the CA certificates; it is not handed on",
        "supply the certificates alone, and if the key is a CA's, think about who has seen it",
    )]
}

static NONE_USABLE: Check = Check {
    name: "client-ca-none-usable",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "At least one certificate of the bundle is a CA that may issue for clients and is in its time: else nobody is let in.",
    source: "RFC 5280, 6.1; measured with Envoy 1.40",
};

fn none_usable(authorities: &Authorities, context: &Context<'_>) -> Vec<Found> {
    let certificates = &authorities.certificates;
    let objections: Vec<String> = certificates
        .iter()
        .filter_map(|c| objection(c, context.now).map(|why| format!("{}: {why}", c.location())))
        .collect();
    if certificates.is_empty() || objections.len() < certificates.len() {
        return Vec::new();
    }
    let more = if objections.len() > 3 { format!("; and {} more", objections.len() - 3) } else { String::new() };
    let first: Vec<String> = objections.into_iter().take(3).collect();
    vec![Found::new(
        BUNDLE,
        format!("no certificate of it can vouch for a client ({}{more})", first.join("; ")),
        "supply the current certificates of the CAs that issue your clients' certificates",
    )]
}

static WEAK_KEY: Check = Check {
    name: "client-ca-weak-key",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "Every CA's key is RSA from 2048 bits, ECDSA on P-256, P-384 or P-521, or Ed25519: whoever breaks it is let in as any client.",
    source: "CA/Browser Forum Baseline Requirements, 6.1.5",
};

fn weak_key(authorities: &Authorities, _: &Context<'_>) -> Vec<Found> {
    on_each(
        authorities,
        "have the CA set up anew with a stronger key, and its clients' certificates issued again",
        |c| is_weak(c).then(|| format!("its key is {}, which is too weak", c.key)),
    )
}

static WEAK_SIGNATURE: Check = Check {
    name: "client-ca-weak-signature",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "No CA but a root is signed with MD5 or SHA-1; a root's signature on itself is verified by nobody.",
    source: "CA/Browser Forum Baseline Requirements, 7.1.3.2",
};

fn weak_signature(authorities: &Authorities, _: &Context<'_>) -> Vec<Found> {
    on_each(authorities, "have the intermediate issued again, or supply its root in its place", |c| {
        let weak = c.signature.weak().filter(|_| !c.self_signed)?;
        Some(format!("it is signed with {weak}, for which forgeries are known"))
    })
}

static NOT_CA: Check = Check {
    name: "client-ca-not-ca",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "Every certificate of the bundle is a CA that may issue others (basicConstraints, keyUsage). An intermediate is as good as a root; a leaf lets in nobody but itself.",
    source: "RFC 5280, 4.2.1.9 and 6.1.4 (k), (n); measured with Envoy 1.40",
};

fn not_ca(authorities: &Authorities, _: &Context<'_>) -> Vec<Found> {
    let remedy = "leave it out, and supply the certificate of the CA that issued it if that was meant";
    on_each(authorities, remedy, |c| no_authority(c).map(ToOwned::to_owned))
}

static PURPOSE: Check = Check {
    name: "client-ca-purpose",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "A CA whose extended key usage states purposes states that of clients among them. Envoy 1.40 lets its clients in all the same.",
    source: "CA/Browser Forum Baseline Requirements, 7.1.2.10.6; measured with Envoy 1.40",
};

fn purpose(authorities: &Authorities, _: &Context<'_>) -> Vec<Found> {
    on_each(authorities, "have the CA's certificate issued for clientAuth, too, or supply the CA above it", |c| {
        let purposes = &c.extensions.purposes.as_ref().filter(|_| no_authority(c).is_none())?.value;
        (!purposes.client && !purposes.any)
            .then(|| "it may not issue certificates for clients (extended key usage)".to_owned())
    })
}

static EXPIRED: Check = Check {
    name: "client-ca-expired",
    severity: Severity::Warning,
    class: Class::Time,
    meaning: "No CA has expired: the gateway takes the bundle, but refuses clients whose certificates it issued.",
    source: "RFC 5280, 4.1.2.5 and 6.1.3 (a)(2); measured with Envoy 1.40",
};

fn expired(authorities: &Authorities, context: &Context<'_>) -> Vec<Found> {
    on_each(authorities, "supply its successor in its place; clients with its certificates need new ones", |c| {
        is_expired(c, context.now)
            .then(|| format!("it expired at {}: clients with its certificates are refused", text(c.not_after)))
    })
}

static NOT_YET_VALID: Check = Check {
    name: "client-ca-not-yet-valid",
    severity: Severity::Warning,
    class: Class::Time,
    meaning: "Every CA is valid already: until then the gateway refuses clients whose certificates it issued.",
    source: "RFC 5280, 4.1.2.5",
};

fn not_yet_valid(authorities: &Authorities, context: &Context<'_>) -> Vec<Found> {
    on_each(authorities, "nothing, if that is on purpose; else compare the clocks", |c| {
        is_early(c, context.now)
            .then(|| format!("it becomes valid only at {}: until then its clients are refused", text(c.not_before)))
    })
}

static EXPIRES_SOON: Check = Check {
    name: "client-ca-expires-soon",
    severity: Severity::Warning,
    class: Class::Time,
    meaning: "No CA expires within the notice (21 days unless set otherwise).",
    source: "the alerts that operators run: less than 21 days left",
};

fn expires_soon(authorities: &Authorities, context: &Context<'_>) -> Vec<Found> {
    on_each(authorities, "add its successor to the bundle, and have its clients' certificates issued by that", |c| {
        let soon = !is_expired(c, context.now) && context.now + context.expires_soon >= c.not_after;
        soon.then(|| format!("it expires at {}: from then on its clients are refused", text(c.not_after)))
    })
}

static UNKNOWN_BLOCK: Check = Check {
    name: "client-ca-unknown-block",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "There are no PEM blocks but certificates (no requests, no public keys); others are left out.",
    source: "RFC 7468 (textual encodings)",
};

fn unknown_block(authorities: &Authorities, _: &Context<'_>) -> Vec<Found> {
    let each = |(label, line): &(String, usize)| {
        let message = format!("the {label} block at line {line} is left out of what is written");
        Found::new(BUNDLE, message, "remove it from the bundle")
    };
    let strangers = authorities.half.strangers.iter().filter(|(label, _)| label != REVOCATION_LIST);
    strangers.take(8).map(each).collect()
}

static REVOCATIONS: Check = Check {
    name: "client-ca-revocation-list",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "No revocation list comes with the bundle, neither as a block of it nor in the key crl or ca.crl beside it: certkeeper hands none on and keeps none current, so that clients which it revokes would be let in.",
    source: "Istio pilot/pkg/credentials/kube/secrets.go (cacert goes with crl, ca.crt with ca.crl); Envoy's trusted_ca (a list among the certificates is in force)",
};

fn revocations(authorities: &Authorities, _: &Context<'_>) -> Vec<Found> {
    if !authorities.has_revocations() {
        return Vec::new();
    }
    vec![Found::new(
        BUNDLE,
        "a revocation list comes with it, which is not handed on: clients that it revokes would be let in",
        "take it out, and put it into the gateway's -cacert Secret as crl (ca.crl where the CA is in ca.crt) and keep it current there yourself: certkeeper leaves that key alone",
    )]
}

static NORMALISED: Check = Check {
    name: "client-ca-normalised",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "The bundle is plain PEM. Base64 around it, byte order marks, carriage returns, spelt-out or missing line ends and text beside the blocks are left out of what is written.",
    source: "RFC 7468 (textual encodings)",
};

fn normalised(authorities: &Authorities, _: &Context<'_>) -> Vec<Found> {
    let each = |note: &Note| match note {
        Note::Base64 { .. } => Some("base64 around the PEM"),
        Note::ByteOrderMark(_) => Some("a byte order mark"),
        Note::CarriageReturns => Some("carriage returns"),
        Note::EscapedNewlines => Some("line ends spelt as \\n"),
        Note::OneLine { .. } => Some("a block on one line"),
        Note::TextOutside { .. } => Some("text beside the blocks"),
        Note::Malformed { .. } => None,
    };
    let told: Vec<&str> = authorities.half.notes.iter().filter_map(each).collect();
    if told.is_empty() {
        return Vec::new();
    }
    vec![Found::new(BUNDLE, format!("put right in what is written: {}", told.join(", ")), "nothing")]
}

static DUPLICATE: Check = Check {
    name: "client-ca-duplicate",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "No certificate is in the bundle twice; copies are left out of what is written.",
    source: "RFC 8446, 4.2.4",
};

fn duplicate(authorities: &Authorities, _: &Context<'_>) -> Vec<Found> {
    let each =
        |place: &String| Found::new(place.clone(), "it is in the bundle twice; this copy is left out", "nothing");
    authorities.duplicates.iter().take(8).map(each).collect()
}
