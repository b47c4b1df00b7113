//! The answer for programs. Its schema is `docs/check.schema.json`: fields are added, never renamed or removed.

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;

use crate::certificate::{CertificateFacts, Facts, Finding, Severity};

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

/// One thing that a check found.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    /// The check's name, stable: certkeeper check --list.
    pub(super) check: &'static str,
    /// How much it weighs.
    pub(super) severity: Weight,
    /// What was found and what was expected.
    pub(super) message: String,
    /// The block it is about.
    pub(super) location: String,
    /// What to do.
    pub(super) remedy: String,
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Severity")]
pub(super) enum Weight {
    /// Worth knowing; nothing to do.
    Info,
    /// Works today, but somebody should act.
    Warning,
    /// The material is refused.
    Error,
}

impl From<Severity> for Weight {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Error => Self::Error,
        }
    }
}

/// The leaf.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Certificate {
    /// SHA-256 over its DER: 64 hexadecimal digits in lower case.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub(super) fingerprint: String,
    /// The serial number in lower-case hexadecimal digits.
    pub(super) serial: String,
    /// The subject's name; may be empty.
    pub(super) subject: String,
    /// The issuer's name.
    pub(super) issuer: String,
    /// DNS names among the subject alternative names.
    pub(super) dns_names: Vec<String>,
    /// The first second at which it is valid (RFC 3339, UTC).
    #[schemars(extend("format" = "date-time"))]
    pub(super) not_before: String,
    /// The last second at which it is valid (RFC 3339, UTC).
    #[schemars(extend("format" = "date-time"))]
    pub(super) not_after: String,
    /// Kind and size of its key.
    pub(super) key: String,
    /// How many certificates the mended chain has, the leaf among them.
    pub(super) chain_length: usize,
}

impl Report {
    /// The answer on these facts.
    pub(super) fn new(checked: Checked, findings: &[Finding], facts: &Facts, warnings_as_errors: bool) -> Self {
        let gravest = if warnings_as_errors { Severity::Info } else { Severity::Warning };
        let good = findings.iter().all(|finding| finding.severity <= gravest);
        Self {
            verdict: if good { Word::Good } else { Word::Refused },
            findings: findings.iter().map(|finding| found(finding, &checked)).collect(),
            certificate: facts.leaf().map(|leaf| Certificate::new(leaf, facts.chain().len())),
            checked,
        }
    }

    /// Nothing speaks against it.
    pub(super) fn is_good(&self) -> bool {
        self.verdict == Word::Good
    }

    /// How many findings are of this severity.
    pub(super) fn count(&self, severity: Weight) -> usize {
        self.findings.iter().filter(|found| found.severity == severity).count()
    }
}

fn found(finding: &Finding, checked: &Checked) -> Found {
    Found {
        check: finding.check.name,
        severity: finding.severity.into(),
        message: finding.message.clone(),
        location: place(finding, checked),
        remedy: finding.remedy.clone(),
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

impl Certificate {
    fn new(leaf: &CertificateFacts, chain_length: usize) -> Self {
        Self {
            fingerprint: leaf.fingerprint.to_string(),
            serial: leaf.serial.clone(),
            subject: leaf.subject.clone(),
            issuer: leaf.issuer.clone(),
            dns_names: leaf.dns_names.clone(),
            not_before: time(leaf.not_before),
            not_after: time(leaf.not_after),
            key: leaf.key.clone(),
            chain_length,
        }
    }
}

/// Whole seconds in UTC.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The JSON Schema of the answer, as `docs/check.schema.json` holds it.
#[must_use]
pub fn schema() -> String {
    // What is written, not what could be read: every field is always there.
    let schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Report>();
    format!("{:#}\n", schema.to_value())
}

#[cfg(test)]
mod tests {
    #[test]
    fn serials_that_look_like_numbers_stay_text_in_yaml() {
        for serial in ["1234", "0123", "1e10", "00e1", "9".repeat(40).as_str(), "0e", "12e"] {
            let yaml = serde_saphyr::to_string(&serde_json::json!({ "serial": serial })).expect("YAML");
            let read: serde_json::Value = serde_saphyr::from_str(&yaml).expect("YAML");
            assert_eq!(read["serial"], *serial, "{yaml}");
            let number = serial.parse::<f64>().is_ok();
            assert!(
                !number || yaml.contains('"') || yaml.contains('\''),
                "another reader takes it for a number: {yaml}"
            );
        }
    }
}
