//! The answer for people.

use std::fmt::Write;

use comfy_table::{Cell, Color};

use super::report::{Authority, Checked, Report};
use crate::{
    certificate::Check,
    cli::answer::{Found, Look, Weight, about_certificate, findings, lines, verdict, visible},
};

/// What it is about, what was found, and the verdict as the last line: it stays in sight.
pub(super) fn report(report: &Report, look: &Look) -> String {
    let mut facts = look.table();
    let leaf = report.certificate.iter().flat_map(|leaf| about_certificate(leaf, &report.checked.at));
    let about = if report.of_client_ca { about_client_ca(report) } else { about(&report.checked) };
    for (name, value) in about.into_iter().chain(leaf) {
        facts.add_row([Cell::new(name), Cell::new(visible(&value))]);
    }
    let mut text = lines(&facts);
    if !report.findings.is_empty() {
        let _ = write!(text, "\n\n{}", findings(&report.findings, look));
    }
    let word = if report.is_good() { ("GOOD", Color::Green) } else { ("REFUSED", Color::Red) };
    let found: Vec<&Found> = report.findings.iter().collect();
    let _ = write!(text, "\n\n{}", verdict(word, &found, look));
    text
}

/// What was looked at, and each CA certificate in it.
fn about_client_ca(report: &Report) -> Vec<(&'static str, String)> {
    let checked = &report.checked;
    let each = |ca: &Authority| {
        let name = if ca.subject.is_empty() { "(empty)" } else { &ca.subject };
        let text = format!("{name}; {}; {} to {}; SHA-256 {}", ca.key, ca.not_before, ca.not_after, ca.fingerprint);
        ("CA certificate", text)
    };
    let mut rows = vec![("client CA", checked.certificate.clone()), ("judged at", checked.at.clone())];
    rows.extend(report.authorities.iter().map(each));
    rows
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::checks;

    fn drawn(look: &Look) -> String {
        list(checks().iter().copied(), look)
    }

    #[test]
    fn colour_is_drawn_only_where_it_is_wanted() {
        assert!(!drawn(&Look::of(false, 80)).contains('\u{1b}'));
        assert!(drawn(&Look::of(true, 80)).contains("\u{1b}["));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [40, 80, 110] {
            let text = drawn(&Look::of(false, width));
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(widest <= usize::from(width), "{widest} of {width}:\n{text}");
        }
    }

    #[test]
    fn the_list_names_every_check() {
        let text = drawn(&Look::of(false, 80));
        assert!(checks().iter().all(|check| text.contains(check.name)));
    }
}
