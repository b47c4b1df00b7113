//! The answer for people.

use std::{fmt::Write, io::IsTerminal};

use chrono::DateTime;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

use super::report::{Certificate, Checked, Found, Report, Weight};
use crate::certificate::Check;

/// Width where there is no terminal, and the most that is used of one: longer lines are hard to read.
const WIDTHS: (u16, u16) = (80, 110);

/// Terminals that claim less do not know (a bare pty says 0).
const NARROWEST: u16 = 40;

/// How things are drawn.
pub(super) struct Look {
    color: bool,
    width: u16,
}

impl Look {
    /// For standard output: colour only on a terminal, and only where nobody objects (<https://no-color.org>).
    pub(super) fn new(wanted: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = std::io::stdout().is_terminal();
        let (usual, most) = WIDTHS;
        Self {
            color: wanted && terminal && !set("NO_COLOR") && !dumb,
            width: Table::new().width().filter(|width| terminal && *width >= NARROWEST).unwrap_or(usual).min(most),
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(self.width);
        if self.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table
    }

    fn cell(&self, text: &str, color: Color) -> Cell {
        let cell = Cell::new(text);
        if self.color { cell.fg(color).add_attribute(Attribute::Bold) } else { cell }
    }
}

impl Weight {
    fn drawn(self) -> (&'static str, Color) {
        match self {
            Self::Info => ("info", Color::Cyan),
            Self::Warning => ("warning", Color::Yellow),
            Self::Error => ("error", Color::Red),
        }
    }
}

/// What it is about, what was found, and the verdict as the last line: it stays in sight.
pub(super) fn report(report: &Report, look: &Look) -> String {
    let mut facts = look.table();
    let leaf = report.certificate.iter().flat_map(|leaf| described(leaf, &report.checked.at));
    for (name, value) in about(&report.checked).into_iter().chain(leaf) {
        facts.add_row([Cell::new(name), Cell::new(visible(&value))]);
    }
    let mut text = lines(&facts);
    if !report.findings.is_empty() {
        let _ = write!(text, "\n\n{}", findings(&report.findings, look));
    }
    let _ = write!(text, "\n\n{}", verdict(report, look));
    text
}

fn verdict(report: &Report, look: &Look) -> String {
    let counts: Vec<String> = [(Weight::Error, "error"), (Weight::Warning, "warning"), (Weight::Info, "note")]
        .map(|(severity, name)| (report.count(severity), name))
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}{}", if count == 1 { "" } else { "s" }))
        .collect();
    let counts = if counts.is_empty() { "nothing found".to_owned() } else { counts.join(", ") };
    let (word, color) = if report.is_good() { ("GOOD", Color::Green) } else { ("REFUSED", Color::Red) };
    let mut table = look.table();
    table.add_row([look.cell(word, color), Cell::new(counts)]);
    lines(&table)
}

/// Names in certificates, files and Secrets are a stranger's text: no control character reaches the terminal.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn about(checked: &Checked) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("certificate", checked.certificate.clone()),
        ("private key", checked.key.clone().unwrap_or_else(|| "not given: the pair was not checked".to_owned())),
        ("judged at", checked.at.clone()),
    ];
    if !checked.hosts.is_empty() {
        rows.push(("must cover", checked.hosts.join(", ")));
    }
    if !checked.cipher_suites.is_empty() {
        rows.push(("behind", checked.cipher_suites.join(", ")));
    }
    if let Some(roots) = &checked.roots {
        rows.push(("must lead to", format!("a root of {roots}")));
    }
    rows
}

fn described(certificate: &Certificate, at: &str) -> Vec<(&'static str, String)> {
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
fn findings(findings: &[Found], look: &Look) -> String {
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

/// All checks.
pub(super) fn list(checks: impl Iterator<Item = &'static Check>, look: &Look) -> String {
    let mut table = look.table();
    for check in checks {
        let (severity, color) = Weight::from(check.severity).drawn();
        table.add_row([
            look.cell(severity, color),
            Cell::new(format!("{}\n{}\nsource: {}\n ", check.name, check.meaning, check.source)),
        ]);
    }
    lines(&table)
}

/// Without the blanks at the ends of lines, and without the first column's.
fn lines(table: &Table) -> String {
    let text = table.trim_fmt();
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::checks;

    const PLAIN: Look = Look { color: false, width: 80 };

    fn drawn(look: &Look) -> String {
        list(checks().iter().copied(), look)
    }

    #[test]
    fn colour_is_drawn_only_where_it_is_wanted() {
        assert!(!drawn(&PLAIN).contains('\u{1b}'));
        assert!(drawn(&Look { color: true, width: 80 }).contains("\u{1b}["));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [40, 80, 110] {
            let text = drawn(&Look { color: false, width });
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(widest <= usize::from(width), "{widest} of {width}:\n{text}");
        }
    }

    #[test]
    fn the_list_names_every_check() {
        let text = drawn(&PLAIN);
        assert!(checks().iter().all(|check| text.contains(check.name)));
    }
}
