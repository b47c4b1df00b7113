//! The answer for people.

use std::fmt::Write;

use comfy_table::{Cell, Color};

use super::{
    groups,
    report::{Answer, Handshake, Probed, Report, Server, Word},
};
use crate::cli::answer::{Found, Look, about_certificate, findings, lines, verdict, visible};

/// Each server: what it is about, what was found, and the verdict as the last line.
pub(super) fn report(report: &Report, look: &Look) -> String {
    if let Some(gateway) = &report.probed.gateway {
        return groups::report(report, gateway, look);
    }
    let parts: Vec<String> = report.servers.iter().map(|server| one(server, &report.probed, look)).collect();
    parts.join("\n\n")
}

fn one(server: &Server, probed: &Probed, look: &Look) -> String {
    let mut facts = look.table();
    for (name, value) in about(server, probed) {
        facts.add_row([Cell::new(name), Cell::new(visible(&value))]);
    }
    let mut text = lines(&facts);
    if let Some(answers) = &server.policy {
        let _ = write!(text, "\n\n{}", policy(answers, look));
    }
    if !server.findings.is_empty() {
        let _ = write!(text, "\n\n{}", findings(&server.findings, look));
    }
    let _ = write!(text, "\n\n{}", last_line(server, look));
    text
}

fn last_line(server: &Server, look: &Look) -> String {
    let found: Vec<&Found> = server.findings.iter().collect();
    match &server.failure {
        Some(_) if found.is_empty() => {
            let (word, color) = word(server.verdict);
            let mut table = look.table();
            table.add_row([look.cell(word, color), Cell::new("no handshake was completed")]);
            lines(&table)
        }
        _ => verdict(word(server.verdict), &found, look),
    }
}

pub(super) fn word(verdict: Word) -> (&'static str, Color) {
    match verdict {
        Word::Good => ("GOOD", Color::Green),
        Word::Unknown => ("UNKNOWN", Color::Yellow),
        Word::Bad => ("BAD", Color::Red),
    }
}

fn about(server: &Server, probed: &Probed) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("server", format!("{} ({})", server.address, probed.target)),
        ("asked for", probed.name.clone()),
        ("probed at", probed.at.clone()),
    ];
    if probed.proxy_protocol != "none" {
        rows.push(("sent first", format!("a PROXY header, {}", probed.proxy_protocol)));
    }
    if let Some(roots) = &probed.roots {
        rows.push(("must lead to", format!("a root of {roots}")));
    }
    if let Some(handshake) = &server.handshake {
        rows.extend(about_handshake(handshake));
    }
    if let Some(failure) = &server.failure {
        rows.push(("no handshake", format!("{}: {}", failure.reason, failure.message)));
        rows.push(("remedy", failure.remedy.to_owned()));
    }
    if let Some(leaf) = &server.certificate {
        rows.extend(about_certificate(leaf, &probed.at));
    }
    for (index, link) in server.chain.iter().enumerate().skip(1) {
        let name = if link.subject.is_empty() { "(empty)" } else { link.subject.as_str() };
        rows.push(("", format!("{}: {name}, until {}", index + 1, link.not_after)));
    }
    if let Some(expected) = &server.expected {
        let is = match server.as_expected {
            Some(true) => "as expected by",
            Some(false) => "NOT what is expected by",
            None => "not seen; expected by",
        };
        rows.push(("leaf", format!("{is} {}", expected.source)));
    }
    rows
}

fn about_handshake(handshake: &Handshake) -> Vec<(&'static str, String)> {
    let agreed = match (&handshake.protocol, &handshake.cipher_suite) {
        (Some(protocol), Some(suite)) => format!("{protocol}, {suite}"),
        _ => "TLS 1.2, ended by the server: it wants a client certificate".to_owned(),
    };
    let client = if handshake.asks_client_certificate { "asked for" } else { "not asked for" };
    vec![
        ("agreed on", agreed),
        ("client cert", client.to_owned()),
        (
            "took",
            format!(
                "{} to connect, {} to shake hands",
                millis(handshake.connect_micros),
                millis(handshake.handshake_micros)
            ),
        ),
    ]
}

fn millis(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

/// Versions and the redirect in a row each; of the suites only what is accepted, and what differs.
pub(super) fn policy(answers: &[Answer], look: &Look) -> String {
    let mut table = look.table();
    let is_suite = |answer: &&Answer| !answer.subject.starts_with("TLS ") && answer.subject != "plain HTTP";
    let mut add = |holds: Option<bool>, subject: &str, found: &str| {
        let (mark, color) = match holds {
            Some(true) => ("ok", Color::Green),
            Some(false) => ("differs", Color::Red),
            None => ("unknown", Color::Yellow),
        };
        table.add_row([look.cell(mark, color), Cell::new(subject), Cell::new(visible(found))]);
    };
    for answer in answers.iter().filter(|answer| answer.subject.starts_with("TLS ")) {
        add(answer.holds, &answer.subject, &answer.found);
    }
    let suites: Vec<&Answer> = answers.iter().filter(is_suite).collect();
    for (holds, subject) in
        [(Some(true), "suites as expected"), (Some(false), "suites that differ"), (None, "suites not known")]
    {
        let of = |answer: &&&Answer| answer.holds == holds && (holds != Some(true) || answer.expected == "accepted");
        let names: Vec<String> = suites
            .iter()
            .filter(of)
            .map(|answer| match holds {
                Some(false) if answer.expected == "accepted" => format!("{} (refused)", answer.subject),
                Some(false) => format!("{} (accepted)", answer.subject),
                _ => answer.subject.clone(),
            })
            .collect();
        if !names.is_empty() {
            add(holds, subject, &names.join(", "));
        }
    }
    for answer in answers.iter().filter(|answer| answer.subject == "plain HTTP") {
        add(answer.holds, &answer.subject, &answer.found);
    }
    lines(&table)
}

/// What is served, in a few words.
pub(super) fn served(server: &Server) -> String {
    match (&server.certificate, &server.failure) {
        (Some(leaf), _) => {
            format!("serves {}, serial {}, until {}", short(&leaf.fingerprint), leaf.serial, leaf.not_after)
        }
        (None, Some(failure)) => format!("no handshake: {}: {}", failure.reason, failure.message),
        (None, None) => "serves a leaf that cannot be read".to_owned(),
    }
}

/// One line for a server: for rounds that follow the first.
pub(super) fn line(server: &Server, at: &str) -> String {
    let expected = match server.as_expected {
        Some(true) => ", as expected",
        Some(false) => ", NOT as expected",
        None => "",
    };
    let (word, _) = word(server.verdict);
    visible(&format!("{at} {word} {} {}{expected}", who(server), served(server)))
}

/// One line for a pod that is asked no more.
pub(super) fn gone(who: &str, at: &str) -> String {
    visible(&format!("{at} GONE {who}"))
}

/// Whose answer it is.
pub(super) fn who(server: &Server) -> String {
    match (&server.pod, &server.gateway_server) {
        (Some(pod), Some(name)) => {
            let unready = if server.ready == Some(false) { ", not ready" } else { "" };
            format!("{pod} ({name}, {}{unready})", server.address)
        }
        _ => server.address.clone(),
    }
}

/// The beginning of a fingerprint.
pub(super) fn short(fingerprint: &str) -> &str {
    fingerprint.get(..8).unwrap_or(fingerprint)
}
