//! The answer for programs. `docs/check.schema.json` is generated from these types: change them by adding only.

use chrono::SecondsFormat;
use schemars::JsonSchema;
use serde::Serialize;

use crate::certificate::{self, Facts, Verdict};

/// The answer of `certkeeper check`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// good: nothing speaks against it, though there may be warnings. refused: see the findings.
    pub verdict: Outcome,
    /// What was found, gravest first.
    pub findings: Vec<Finding>,
    /// The leaf, if one could be read.
    pub certificate: Option<Certificate>,
}

/// good or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Nothing speaks against it.
    Good,
    /// It should go nowhere.
    Refused,
}

/// Something that a check found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Finding {
    /// Name of the check: certkeeper check --list.
    pub check: String,
    /// error, warning or info.
    pub severity: String,
    /// What was found, and what was expected.
    pub message: String,
    /// The block it is about.
    pub location: String,
    /// What to do.
    pub remedy: String,
}

/// The leaf.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// SHA-256 over its DER, lower-case hexadecimal.
    pub fingerprint: String,
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// Distinguished name of its subject.
    pub subject: String,
    /// Distinguished name of its issuer.
    pub issuer: String,
    /// DNS names it covers.
    pub dns_names: Vec<String>,
    /// When it begins to be valid, RFC 3339.
    pub not_before: String,
    /// When it ends, RFC 3339.
    pub not_after: String,
    /// How many certificates came with it, itself included.
    pub chain_length: usize,
}

impl Report {
    pub(super) fn new(facts: &Facts, verdict: &Verdict, refused: bool) -> Self {
        let finding = |found: &certificate::Finding| Finding {
            check: found.check.name.to_owned(),
            severity: found.severity.to_string(),
            message: found.message.clone(),
            location: found.location.clone(),
            remedy: found.remedy.clone(),
        };
        let text = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        Self {
            verdict: if refused { Outcome::Refused } else { Outcome::Good },
            findings: verdict.findings.iter().map(finding).collect(),
            certificate: facts.leaf().map(|leaf| Certificate {
                fingerprint: leaf.fingerprint.to_string(),
                serial: leaf.serial.clone(),
                subject: leaf.subject.clone(),
                issuer: leaf.issuer.clone(),
                dns_names: leaf.dns_names.clone(),
                not_before: text(leaf.not_before),
                not_after: text(leaf.not_after),
                chain_length: facts.chain().len(),
            }),
        }
    }
}

/// The JSON schema of the answer of `certkeeper check`, as `docs/check.schema.json` holds it.
#[must_use]
pub fn schema() -> String {
    let schema = schemars::schema_for!(Report);
    serde_json::to_string_pretty(&schema).map(|text| text + "\n").unwrap_or_default()
}
