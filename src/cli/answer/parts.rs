//! The parts that answers share, for programs: fields are added, never renamed or removed.

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;

use crate::certificate::{CertificateFacts, Finding, Severity};

/// How the answer looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs; the schemas are in docs/.
    Json,
    /// The same in YAML.
    Yaml,
}

/// One thing that a check found.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Found {
    /// The check's name, stable: certkeeper check --list.
    pub(in crate::cli) check: &'static str,
    /// How much it weighs.
    pub(in crate::cli) severity: Weight,
    /// What was found and what was expected.
    pub(in crate::cli) message: String,
    /// The block it is about.
    pub(in crate::cli) location: String,
    /// What to do.
    pub(in crate::cli) remedy: String,
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Severity")]
pub(in crate::cli) enum Weight {
    /// Worth knowing; nothing to do.
    Info,
    /// Works today, but somebody should act.
    Warning,
    /// The material is refused.
    Error,
}

impl Found {
    /// A finding, at this place.
    pub(in crate::cli) fn at(finding: &Finding, location: String) -> Self {
        Self {
            check: finding.check.name,
            severity: finding.severity.into(),
            message: finding.message.clone(),
            location,
            remedy: finding.remedy.clone(),
        }
    }
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
pub(in crate::cli) struct Certificate {
    /// SHA-256 over its DER: 64 hexadecimal digits in lower case.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub(in crate::cli) fingerprint: String,
    /// The serial number in lower-case hexadecimal digits.
    pub(in crate::cli) serial: String,
    /// The subject's name; may be empty.
    pub(in crate::cli) subject: String,
    /// The issuer's name.
    pub(in crate::cli) issuer: String,
    /// DNS names among the subject alternative names.
    pub(in crate::cli) dns_names: Vec<String>,
    /// The first second at which it is valid (RFC 3339, UTC).
    #[schemars(extend("format" = "date-time"))]
    pub(in crate::cli) not_before: String,
    /// The last second at which it is valid (RFC 3339, UTC).
    #[schemars(extend("format" = "date-time"))]
    pub(in crate::cli) not_after: String,
    /// Kind and size of its key.
    pub(in crate::cli) key: String,
    /// How many certificates the mended chain has, the leaf among them.
    pub(in crate::cli) chain_length: usize,
}

impl Certificate {
    /// Of a leaf, whose mended chain has this length.
    pub(in crate::cli) fn new(leaf: &CertificateFacts, chain_length: usize) -> Self {
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
pub(in crate::cli) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The JSON Schema of an answer, as `docs/` holds it.
pub(in crate::cli) fn schema_of<T: JsonSchema>() -> String {
    // What is written, not what could be read: every field is always there.
    let schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>();
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
