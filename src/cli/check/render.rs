//! The answer for people.

use std::{fmt::Write, io::IsTerminal};

use super::{
    Subject,
    report::{Outcome, Report},
};

/// Colours on a terminal, unless a person does not want them (<https://no-color.org>).
pub(super) fn color(unwanted: bool) -> bool {
    !unwanted && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stdout().is_terminal()
}

/// Paints a text, if there are colours.
pub(super) fn paint(text: &str, code: &str, color: bool) -> String {
    if color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// The colour of a severity.
pub(super) fn code(severity: &str) -> &'static str {
    match severity {
        "error" => "1;31",
        "warning" => "33",
        _ => "36",
    }
}

/// A block of what was looked at, a block a finding, and the verdict as the last line.
pub(super) fn table(subject: &Subject, report: &Report, color: bool) -> String {
    let mut text = format!("{}\n", paint(&subject.origin, "1", color));
    if let Some(leaf) = &report.certificate {
        let more = leaf.dns_names.len().saturating_sub(4);
        let names = leaf.dns_names.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
        let names = if more > 0 { format!("{names} and {more} more") } else { names };
        let rows = [
            ("names", names),
            ("valid", format!("{} to {}", leaf.not_before, leaf.not_after)),
            ("subject", leaf.subject.clone()),
            ("issuer", leaf.issuer.clone()),
            ("serial", leaf.serial.clone()),
            ("sha256", leaf.fingerprint.clone()),
            ("chain", format!("{} certificate{}", leaf.chain_length, if leaf.chain_length == 1 { "" } else { "s" })),
        ];
        for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
            let _ = writeln!(text, "  {name:<8} {}", visible(value));
        }
    }
    for note in &subject.notes {
        let _ = writeln!(text, "  note     {}", visible(note));
    }
    for finding in &report.findings {
        let severity = paint(&format!("{:<7}", finding.severity), code(&finding.severity), color);
        let _ = writeln!(text, "\n{severity}  {}", paint(&finding.check, "1", color));
        for (name, value) in [("where", &finding.location), ("found", &finding.message), ("do", &finding.remedy)] {
            if !value.is_empty() {
                text += &wrapped(name, &visible(value));
            }
        }
    }
    let count = |severity: &str| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let counted = |severity, name: &str| match count(severity) {
        1 => format!("1 {name}"),
        n => format!("{n} {name}s"),
    };
    let counts = [counted("error", "error"), counted("warning", "warning"), counted("info", "note")].join(", ");
    let verdict = match report.verdict {
        Outcome::Good => paint("GOOD", "1;32", color),
        Outcome::Refused => paint("REFUSED", "1;31", color),
    };
    let _ = write!(text, "\n{verdict}: {counts}");
    text
}

/// Names in certificates are a stranger's text: control characters must not reach the terminal.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// `         name   text`, wrapped at 96 columns under itself.
fn wrapped(name: &str, text: &str) -> String {
    const WIDTH: usize = 96;
    let indent = " ".repeat(16);
    let mut lines = format!("         {name:<5}  ");
    let mut column = indent.len();
    for (index, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > WIDTH {
            let _ = write!(lines, "\n{indent}{word}");
            column = indent.len() + length;
        } else {
            if index > 0 {
                lines.push(' ');
                column += 1;
            }
            lines += word;
            column += length;
        }
    }
    lines + "\n"
}
