//! The parts that answers share, for people.

use chrono::DateTime;
use comfy_table::{Cell, Color};

use super::{Certificate, Found, Look, Weight, lines, visible};

impl Weight {
    /// The word and its colour.
    pub(in crate::cli) fn drawn(self) -> (&'static str, Color) {
        match self {
            Self::Info => ("info", Color::Cyan),
            Self::Warning => ("warning", Color::Yellow),
            Self::Error => ("error", Color::Red),
        }
    }
}

/// The leaf, row by row; `at` is the time of the verdict.
pub(in crate::cli) fn about_certificate(certificate: &Certificate, at: &str) -> Vec<(&'static str, String)> {
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let chain = match certificate.chain_length {
        1 => "the leaf alone".to_owned(),
        length => format!("{length} certificates, leaf first"),
    };
    vec![
        ("subject", or(&certificate.subject, "(empty)")),
        ("issuer", or(&certificate.issuer, "(empty)")),
        ("DNS names", or(&certificate.dns_names.join(", "), "(none)")),
        ("valid from", certificate.not_before.clone()),
        ("valid to", format!("{}{}", certificate.not_after, left(&certificate.not_after, at))),
        ("key", certificate.key.clone()),
        ("chain", chain),
        ("serial", certificate.serial.clone()),
        ("SHA-256", certificate.fingerprint.clone()),
    ]
}

/// How far away the end is, in whole days.
fn left(end: &str, at: &str) -> String {
    let instant = |text| DateTime::parse_from_rfc3339(text).ok();
    match instant(end).zip(instant(at)).map(|(end, at)| end - at) {
        Some(left) if left.num_days() > 0 => format!(" ({} days left)", left.num_days()),
        Some(left) if left.num_seconds() >= 0 => format!(" ({} hours left)", left.num_hours()),
        Some(left) => format!(" (ended {} days before)", -left.num_days()),
        None => String::new(),
    }
}

/// A finding reads from top to bottom: which check, where, what, and what to do. Columns would leave each a strip.
pub(in crate::cli) fn findings(findings: &[Found], look: &Look) -> String {
    let mut table = look.table();
    for found in findings {
        let (severity, color) = found.severity.drawn();
        let check = found.check;
        let [location, message, remedy] = [&found.location, &found.message, &found.remedy].map(|text| visible(text));
        table.add_row([
            look.cell(severity, color),
            Cell::new(format!("{check}: {location}\n{message}\nremedy: {remedy}\n ")),
        ]);
    }
    lines(&table)
}

/// The verdict's word with its colour, and how many findings there are of each kind.
pub(in crate::cli) fn verdict((word, color): (&str, Color), found: &[&Found], look: &Look) -> String {
    let counts: Vec<String> = [(Weight::Error, "error"), (Weight::Warning, "warning"), (Weight::Info, "note")]
        .map(|(severity, name)| (found.iter().filter(|found| found.severity == severity).count(), name))
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}{}", if count == 1 { "" } else { "s" }))
        .collect();
    let counts = if counts.is_empty() { "nothing found".to_owned() } else { counts.join(", ") };
    let mut table = look.table();
    table.add_row([look.cell(word, color), Cell::new(counts)]);
    lines(&table)
}
