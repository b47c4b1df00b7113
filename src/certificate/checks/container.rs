//! Checks of the container: what the files are, before any certificate in them is looked at.

use super::{
    super::{
        Check, Class, Severity,
        key::KeyFacts,
        pem::{MAX_INPUT, Note, Shape},
        supplied::{Half, MAX_CERTIFICATES},
    },
    Found, Subject,
};

const RFC7468: &str = "RFC 7468 (textual encodings)";
const ISTIO: &str = "Istio pilot/pkg/credentials/kube/secrets.go; Envoy keeps the old certificate";

fn halves<'a>(subject: &'a Subject<'_>) -> [&'a Half; 2] {
    [&subject.facts.certificate, &subject.facts.key_half]
}

/// One finding for each note that `tell` has something to say about.
fn notes(subject: &Subject<'_>, tell: impl Fn(&Note, &str) -> Option<(String, &'static str)>) -> Vec<Found> {
    let each = |half: &Half| -> Vec<Found> {
        let told = half.notes.iter().filter_map(|note| tell(note, half.name));
        told.map(|(message, remedy)| Found::new(half.name, message, remedy)).collect()
    };
    halves(subject).into_iter().flat_map(each).collect()
}

pub(super) static CERTIFICATE_MISSING: Check = Check {
    name: "certificate-missing",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "There is a certificate: without one there is nothing to serve.",
    source: ISTIO,
};

pub(super) fn certificate_missing(subject: &Subject<'_>) -> Vec<Found> {
    let (certificate, key) = (&subject.facts.certificate, &subject.facts.key_half);
    let swapped = certificate.keys > 0 && key.certificates > 0;
    match certificate.shape {
        Shape::Missing if key.shape != Shape::Missing => vec![Found::new(
            certificate.name,
            "half a pair: a private key was supplied, but no certificate",
            "supply the certificate chain as well, leaf first",
        )],
        Shape::Missing => {
            vec![Found::new(
                certificate.name,
                "no certificate was supplied",
                "supply the certificate chain, leaf first",
            )]
        }
        Shape::Pem if certificate.certificates == 0 && swapped => vec![Found::new(
            certificate.name,
            "the two halves are swapped: the certificate's holds a private key, the key's holds certificates",
            "exchange the two values",
        )],
        Shape::Pem if certificate.certificates == 0 => vec![Found::new(
            certificate.name,
            "the file has no CERTIFICATE block",
            "supply the certificate chain: blocks that start with -----BEGIN CERTIFICATE-----",
        )],
        _ => Vec::new(),
    }
}

pub(super) static KEY_MISSING: Check = Check {
    name: "key-missing",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "There is a private key: a certificate without its key cannot be served.",
    source: ISTIO,
};

pub(super) fn key_missing(subject: &Subject<'_>) -> Vec<Found> {
    let key = &subject.facts.key_half;
    if subject.facts.key != KeyFacts::Missing || !matches!(key.shape, Shape::Missing | Shape::Pem) {
        return Vec::new();
    }
    let remedy = "supply the leaf's private key as PEM (PKCS#8, PKCS#1 or SEC1), without a passphrase";
    match key.shape {
        // Nobody asked for a key, and none came.
        Shape::Missing if !subject.context.key_expected => Vec::new(),
        Shape::Missing if subject.facts.certificate.shape == Shape::Missing => {
            vec![Found::new(key.name, "no private key was supplied", remedy)]
        }
        Shape::Missing => {
            vec![Found::new(key.name, "half a pair: a certificate was supplied, but no private key", remedy)]
        }
        // Everything that is wrong with its only block is told by block-malformed.
        _ if key.notes.iter().any(|note| matches!(note, Note::Malformed { .. })) => Vec::new(),
        _ => vec![Found::new(key.name, "the file has no PRIVATE KEY block", remedy)],
    }
}

pub(super) static INPUT_TOO_LARGE: Check = Check {
    name: "input-too-large",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "Each input has at most 64 KiB, so that both stay far below a Secret's limit of 1 MiB; larger ones are not read.",
    source: "Kubernetes: a Secret has at most 1 MiB; our own bound on work",
};

pub(super) fn input_too_large(subject: &Subject<'_>) -> Vec<Found> {
    let each = |half: &Half| match half.shape {
        Shape::TooLarge(bytes) => Some(Found::new(
            half.name,
            format!("{bytes} bytes were supplied; at most {MAX_INPUT} are read"),
            "supply only the leaf and its intermediates, not a bundle of roots",
        )),
        _ => None,
    };
    halves(subject).into_iter().filter_map(each).collect()
}

pub(super) static NOT_PEM: Check = Check {
    name: "not-pem",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "The input is PEM (or base64 of PEM), not DER, PKCS#12, PKCS#7 or something else.",
    source: "Envoy extensions.transport_sockets.tls.v3 (certificates are PEM); RFC 7468",
};

pub(super) fn not_pem(subject: &Subject<'_>) -> Vec<Found> {
    let each = |half: &Half| match half.shape {
        Shape::Other { what, remedy } => {
            Some(Found::new(half.name, format!("PEM was expected, but this is {what}"), remedy))
        }
        _ => None,
    };
    halves(subject).into_iter().filter_map(each).collect()
}

pub(super) static BLOCK_MALFORMED: Check = Check {
    name: "block-malformed",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "Every PEM block is whole: BEGIN and END lines that match, base64 between them.",
    source: RFC7468,
};

pub(super) fn block_malformed(subject: &Subject<'_>) -> Vec<Found> {
    notes(subject, |note, _| match note {
        Note::Malformed { line, label, why } => Some((
            format!("the {label} block that begins at line {line} cannot be read: {why}"),
            "copy the whole block again, from its BEGIN line to its END line",
        )),
        _ => None,
    })
}

pub(super) static CERTIFICATE_MALFORMED: Check = Check {
    name: "certificate-malformed",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "Every CERTIFICATE block holds one X.509 certificate in DER and nothing else.",
    source: "RFC 5280, 4.1; Envoy refuses the whole chain otherwise",
};

pub(super) fn certificate_malformed(subject: &Subject<'_>) -> Vec<Found> {
    let total = subject.facts.certificate.certificates;
    let each = |broken: &super::super::supplied::Broken| {
        Found::new(
            format!("certificate {} of {total}", broken.position),
            format!("the block at line {}: {}", broken.line, broken.why),
            "get this certificate from its issuer again; openssl x509 -noout -text shows whether it can be read",
        )
    };
    subject.facts.broken.iter().map(each).collect()
}

pub(super) static TOO_MANY_CERTIFICATES: Check = Check {
    name: "too-many-certificates",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "There are at most 64 certificates; real chains have two to four.",
    source: "our own bound on work; every handshake carries the chain",
};

pub(super) fn too_many_certificates(subject: &Subject<'_>) -> Vec<Found> {
    let certificate = &subject.facts.certificate;
    if certificate.certificates <= MAX_CERTIFICATES {
        return Vec::new();
    }
    vec![Found::new(
        certificate.name,
        format!("{} certificates were supplied; at most {MAX_CERTIFICATES} are read", certificate.certificates),
        "supply only the leaf and its intermediates, not a bundle of roots",
    )]
}

pub(super) static SEVERAL_KEYS: Check = Check {
    name: "several-keys",
    severity: Severity::Error,
    class: Class::Unusable,
    meaning: "There is one private key: with several nobody can tell which one is meant.",
    source: "Envoy reads the first key only",
};

pub(super) fn several_keys(subject: &Subject<'_>) -> Vec<Found> {
    match subject.facts.key {
        KeyFacts::Several(count) => vec![Found::new(
            "private key",
            format!("{count} private keys were supplied, one was expected"),
            "leave only the key that belongs to the leaf",
        )],
        _ => Vec::new(),
    }
}

pub(super) static KEY_IN_CERTIFICATE_FILE: Check = Check {
    name: "key-in-certificate-file",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "The certificate file holds no private key: such files are passed on as if they were public.",
    source: "Kyma copied tls.crt to Secrets that clients could read",
};

pub(super) fn key_in_certificate_file(subject: &Subject<'_>) -> Vec<Found> {
    let (certificate, key) = (&subject.facts.certificate, &subject.facts.key_half);
    if certificate.keys == 0 || (certificate.certificates == 0 && key.certificates > 0) {
        return Vec::new();
    }
    let used =
        if key.shape == Shape::Missing { "it is used as the pair's key" } else { "it is left out of what is written" };
    vec![Found::new(
        certificate.name,
        format!("there is a private key among the certificates; {used}"),
        "keep the key in its own input, and think about who has seen this file",
    )]
}

pub(super) static CERTIFICATE_IN_KEY_FILE: Check = Check {
    name: "certificate-in-key-file",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "The key file holds nothing but the key; certificates in it are left out.",
    source: RFC7468,
};

pub(super) fn certificate_in_key_file(subject: &Subject<'_>) -> Vec<Found> {
    let (certificate, key) = (&subject.facts.certificate, &subject.facts.key_half);
    // Where the halves are swapped, another check says so.
    if key.certificates == 0 || certificate.certificates == 0 {
        return Vec::new();
    }
    vec![Found::new(
        key.name,
        "certificates beside the key were left out",
        "nothing: only the key of this file is used",
    )]
}

pub(super) static UNKNOWN_BLOCK: Check = Check {
    name: "unknown-block",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "There are no PEM blocks but certificates and keys (no requests, CRLs, public keys); others are left out.",
    source: RFC7468,
};

pub(super) fn unknown_block(subject: &Subject<'_>) -> Vec<Found> {
    let each = |half: &Half| -> Vec<Found> {
        let strangers = half.strangers.iter().take(8);
        strangers
            .map(|(label, line)| {
                Found::new(
                    half.name,
                    format!("the block at line {line} is a {label}; it was left out"),
                    "remove it; if a certificate was meant, export it as -----BEGIN CERTIFICATE-----",
                )
            })
            .collect()
    };
    halves(subject).into_iter().flat_map(each).collect()
}

pub(super) static ESCAPED_NEWLINES: Check = Check {
    name: "escaped-newlines",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "Lines end with line feeds, not with a spelt-out \\n or joined into one; put right.",
    source: "seen where PEM passes through JSON, YAML or environment variables",
};

pub(super) fn escaped_newlines(subject: &Subject<'_>) -> Vec<Found> {
    notes(subject, |note, name| match note {
        Note::EscapedNewlines => Some((
            format!("the {name} spells its line ends as \\n; put right"),
            "nothing, or quote the value as a block",
        )),
        Note::OneLine { line } => Some((
            format!("the block at line {line} was joined into one line; put right"),
            "nothing, or keep the line breaks of the file",
        )),
        _ => None,
    })
}

pub(super) static BASE64_WRAPPING: Check = Check {
    name: "base64-wrapping",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "Base64 around the PEM (Kyma's global.tlsCrt and global.tlsKey, in one line or wrapped) is taken off.",
    source: "Kyma's installation values; kyma-project/kyma#1968",
};

pub(super) fn base64_wrapping(subject: &Subject<'_>) -> Vec<Found> {
    notes(subject, |note, name| match note {
        Note::Base64 { layers, wrapped } => {
            let times = if *layers == 1 { "once" } else { "twice" };
            let lines = if *wrapped { "wrapped into lines" } else { "in one line" };
            Some((
                format!("the {name} is PEM in base64, encoded {times}, {lines}; decoded"),
                "nothing, or supply plain PEM",
            ))
        }
        _ => None,
    })
}

pub(super) static BYTE_ORDER_MARK: Check = Check {
    name: "byte-order-mark",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "The text is UTF-8 without a byte order mark; a mark or UTF-16 is put right.",
    source: RFC7468,
};

pub(super) fn byte_order_mark(subject: &Subject<'_>) -> Vec<Found> {
    notes(subject, |note, name| match note {
        Note::ByteOrderMark(encoding) => Some((
            format!("the {name} begins with a byte order mark ({encoding}); removed"),
            "nothing, or save the file as UTF-8 without a mark",
        )),
        _ => None,
    })
}

pub(super) static LINE_ENDINGS: Check = Check {
    name: "line-endings",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "Lines end with LF; CR LF and CR are put right.",
    source: RFC7468,
};

pub(super) fn line_endings(subject: &Subject<'_>) -> Vec<Found> {
    notes(subject, |note, name| match note {
        Note::CarriageReturns => {
            Some((format!("the {name} has carriage returns at its line ends; removed"), "nothing: it is put right"))
        }
        _ => None,
    })
}

pub(super) static TEXT_OUTSIDE_BLOCKS: Check = Check {
    name: "text-outside-blocks",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "There is nothing between the PEM blocks; text there (openssl's \"Bag Attributes\") is left out.",
    source: "RFC 7468, 5.2",
};

pub(super) fn text_outside_blocks(subject: &Subject<'_>) -> Vec<Found> {
    notes(subject, |note, _| match note {
        Note::TextOutside { line } => {
            Some((format!("line {line} lies outside of any PEM block; left out"), "nothing: only blocks are written"))
        }
        _ => None,
    })
}

pub(super) static DUPLICATE_CERTIFICATE: Check = Check {
    name: "duplicate-certificate",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "No certificate is there twice; copies are left out.",
    source: "RFC 8446, 4.4.2: a chain lists each certificate once",
};

pub(super) fn duplicate_certificate(subject: &Subject<'_>) -> Vec<Found> {
    let each = |location: &String| {
        Found::new(location, "this certificate is there already; the copy was left out", "nothing, or remove the copy")
    };
    subject.facts.chain.duplicates.iter().take(8).map(each).collect()
}
