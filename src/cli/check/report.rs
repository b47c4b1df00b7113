//! The answer for programs. Its schema is `docs/check.schema.json`: fields are added, never renamed or removed.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    certificate::{Facts, Finding, Severity},
    cli::answer::{Certificate, Found, schema_of},
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
    /// Where the chain came from, for people.
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
        let gravest = if warnings_as_errors { Severity::Info } else { Severity::Warning };
        let good = findings.iter().all(|finding| finding.severity <= gravest);
        Self {
            verdict: if good { Word::Good } else { Word::Refused },
            findings: findings.iter().map(|finding| Found::at(finding, place(finding, &checked))).collect(),
            certificate: facts.leaf().map(|leaf| Certificate::new(leaf, facts.chain().len())),
            checked,
        }
    }

    /// Nothing speaks against it.
    pub(super) fn is_good(&self) -> bool {
        self.verdict == Word::Good
    }
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
