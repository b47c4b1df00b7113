//! The answer for programs. Its schema is `docs/check.schema.json`: fields are added, never renamed or removed.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    certificate::{Authorities, Facts, Finding, Severity},
    cli::answer::{Certificate, Found, schema_of, time},
};

/// What `certkeeper check` found.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "Answer of certkeeper check")]
pub(super) struct Report {
    /// good: no error, and with --warnings-as-errors no warning. The exit code says the same: 0 good, 1 refused.
    pub(super) verdict: Word,
    /// What was looked at, and against what it was held.
    pub(super) checked: Checked,
    /// What was found: errors first, then warnings, then information.
    pub(super) findings: Vec<Found>,
    /// The leaf; null where none could be read.
    pub(super) certificate: Option<Certificate>,
    /// With --client-ca: each CA certificate, in the order of the file; else empty.
    pub(super) authorities: Vec<Authority>,
    /// It is about CA certificates.
    #[serde(skip)]
    pub(super) of_client_ca: bool,
}

/// A CA certificate of mutual TLS.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Authority {
    /// SHA-256 over its DER: 64 hexadecimal digits in lower case.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub(super) fingerprint: String,
    /// The subject's name; may be empty.
    pub(super) subject: String,
    /// The first second at which it is valid (RFC 3339, UTC).
    #[schemars(extend("format" = "date-time"))]
    pub(super) not_before: String,
    /// The last second at which it is valid (RFC 3339, UTC).
    #[schemars(extend("format" = "date-time"))]
    pub(super) not_after: String,
    /// Kind and size of its key.
    pub(super) key: String,
}

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Word {
    /// certkeeper would promote it to an empty Secret.
    Good,
    /// It would be refused.
    Refused,
}

/// What was looked at, and against what it was held.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checked {
    /// Where the chain (with --client-ca the CA certificates) came from, for people.
    pub(super) certificate: String,
    /// Where the key came from, for people; null where none was given.
    pub(super) key: Option<String>,
    /// The time of the verdict (RFC 3339, UTC).
    #[schemars(extend("format" = "date-time"))]
    pub(super) at: String,
    /// Hosts that had to be covered.
    pub(super) hosts: Vec<String>,
    /// The gateway's TLS 1.2 suites; empty: its defaults.
    pub(super) cipher_suites: Vec<String>,
    /// Where the roots came from, for people; null where no root was asked for.
    pub(super) roots: Option<String>,
}

impl Report {
    /// The answer on these facts.
    pub(super) fn new(checked: Checked, findings: &[Finding], facts: &Facts, warnings_as_errors: bool) -> Self {
        Self {
            verdict: word(findings, warnings_as_errors),
            findings: findings.iter().map(|finding| Found::at(finding, place(finding, &checked))).collect(),
            certificate: facts.leaf().map(|leaf| Certificate::new(leaf, facts.chain().len())),
            authorities: Vec::new(),
            of_client_ca: false,
            checked,
        }
    }

    /// The answer on these CA certificates.
    pub(super) fn of_client_ca(
        checked: Checked,
        findings: &[Finding],
        authorities: &Authorities,
        warnings_as_errors: bool,
    ) -> Self {
        let authority = |certificate: &crate::certificate::CertificateFacts| Authority {
            fingerprint: certificate.fingerprint.to_string(),
            subject: certificate.subject.clone(),
            not_before: time(certificate.not_before),
            not_after: time(certificate.not_after),
            key: certificate.key.clone(),
        };
        let place = |finding: &Finding| match finding.location.as_str() {
            "client CA" => format!("client CA ({})", checked.certificate),
            location => location.to_owned(),
        };
        Self {
            verdict: word(findings, warnings_as_errors),
            findings: findings.iter().map(|finding| Found::at(finding, place(finding))).collect(),
            certificate: None,
            authorities: authorities.certificates().iter().map(authority).collect(),
            of_client_ca: true,
            checked,
        }
    }

    /// Nothing speaks against it.
    pub(super) fn is_good(&self) -> bool {
        self.verdict == Word::Good
    }
}

fn word(findings: &[Finding], warnings_as_errors: bool) -> Word {
    let gravest = if warnings_as_errors { Severity::Info } else { Severity::Warning };
    if findings.iter().all(|finding| finding.severity <= gravest) { Word::Good } else { Word::Refused }
}

/// A finding on a whole input names where that came from.
fn place(finding: &Finding, checked: &Checked) -> String {
    match (finding.location.as_str(), &checked.key) {
        ("certificate", _) => format!("certificate ({})", checked.certificate),
        ("private key", Some(key)) => format!("private key ({key})"),
        (location, _) => location.to_owned(),
    }
}

/// The JSON Schema of the answer, as `docs/check.schema.json` holds it.
#[must_use]
pub fn schema() -> String {
    schema_of::<Report>()
}
