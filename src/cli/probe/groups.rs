//! The answer for people where the pods of a Gateway were asked: by the Gateway's servers.

use std::{collections::BTreeMap, fmt::Write};

use comfy_table::{Cell, Table};

use super::{
    render::{policy, served, short, word},
    report::{Answer, AskedGateway, AskedServer, Probed, Report, Server},
};
use crate::cli::answer::{Found, Look, findings, lines, visible};

/// The Gateway, each of its servers with the pods' answers, and the verdict with who serves what.
pub(super) fn report(report: &Report, gateway: &AskedGateway, look: &Look) -> String {
    let mut text = head(&report.probed, gateway, look);
    for server in &gateway.servers {
        let answers = answers(report, server);
        if !answers.is_empty() {
            let _ = write!(text, "\n\n{}", group(server, &answers, look));
        }
    }
    let (name, color) = word(report.verdict);
    let mut last = look.table();
    last.add_row([look.cell(name, color), Cell::new(visible_lines(&summaries(report, gateway)))]);
    let _ = write!(text, "\n\n{}", lines(&last));
    text
}

fn answers<'a>(report: &'a Report, server: &AskedServer) -> Vec<&'a Server> {
    let of = |answer: &&Server| answer.gateway_server.as_ref() == Some(&server.gateway_server);
    report.servers.iter().filter(of).collect()
}

fn row(table: &mut Table, name: &str, value: &str) {
    table.add_row([Cell::new(name), Cell::new(visible(value))]);
}

fn head(probed: &Probed, gateway: &AskedGateway, look: &Look) -> String {
    let mut table = look.table();
    row(&mut table, "gateway", &probed.target);
    row(&mut table, "probed at", &probed.at);
    let pods = format!("{} ready, {} not ready ({})", gateway.ready_pods, gateway.not_ready_pods, gateway.selector);
    row(&mut table, "pods", &pods);
    if !gateway.unasked_pods.is_empty() {
        row(&mut table, "not asked", &format!("{} (no address, or terminating)", gateway.unasked_pods.join(", ")));
    }
    if probed.proxy_protocol != "none" {
        row(&mut table, "sent first", &format!("a PROXY header, {}", probed.proxy_protocol));
    }
    if let Some(roots) = &probed.roots {
        row(&mut table, "must lead to", &format!("a root of {roots}"));
    }
    for unasked in &gateway.unasked {
        row(&mut table, "not asked", &format!("server {}: {}", unasked.gateway_server, unasked.reason));
    }
    lines(&table)
}

fn group(server: &AskedServer, answers: &[&Server], look: &Look) -> String {
    let mut table = look.table();
    row(&mut table, "server", &format!("{}: port {}, {}", server.gateway_server, server.port, server.mode));
    row(&mut table, "hosts", &server.hosts.join(", "));
    if let Some(credential) = &server.credential {
        row(&mut table, "credential", credential);
    }
    if let Some(answer) = answers.first() {
        row(&mut table, "asked for", &answer.name);
    }
    if let Some(expected) = answers.iter().find_map(|answer| answer.expected.as_ref()) {
        row(&mut table, "expected", &format!("{} ({})", expected.fingerprint, expected.source));
    }
    let mut text = lines(&table);
    let _ = write!(text, "\n\n{}", each(answers, look));
    for (rows, pods) in policies(answers) {
        let _ =
            write!(text, "\n\n {}\n{}", visible(&format!("policy of {}", whose(&pods, answers))), policy(rows, look));
    }
    let found = merged(answers);
    if !found.is_empty() {
        let _ = write!(text, "\n\n{}", findings(&found, look));
    }
    text
}

/// Each pod with what it answers, below its name: names of pods are long.
fn each(answers: &[&Server], look: &Look) -> String {
    let mut table = look.table();
    for answer in answers {
        let (name, color) = word(answer.verdict);
        let unready = if answer.ready == Some(false) { ", NOT READY" } else { "" };
        let took = match &answer.handshake {
            Some(shaken) => {
                let protocol = shaken.protocol.as_deref().unwrap_or("TLS 1.2, which wants a client certificate");
                let micros = shaken.connect_micros + shaken.handshake_micros;
                format!(" ({protocol}, {}.{} ms)", micros / 1000, micros % 1000 / 100)
            }
            None => String::new(),
        };
        let pod = answer.pod.as_deref().unwrap_or_default();
        let mut what = vec![format!("{pod} at {}{unready}", answer.address), format!("{}{took}", served(answer))];
        what.extend(answer.failure.as_ref().map(|failure| format!("remedy: {}", failure.remedy)));
        table.add_row([look.cell(name, color), Cell::new(visible_lines(&what))]);
    }
    lines(&table)
}

/// A stranger's text may not break lines; ours does.
fn visible_lines(all: &[String]) -> String {
    let clean: Vec<String> = all.iter().map(|line| visible(line)).collect();
    clean.join("\n")
}

/// Each policy that was seen, with the pods that keep it: most often one.
fn policies<'a>(answers: &[&'a Server]) -> Vec<(&'a [Answer], Vec<&'a str>)> {
    let same = |one: &[Answer], other: &[Answer]| {
        let key = |answer: &Answer| (answer.subject.clone(), answer.expected, answer.holds);
        one.iter().map(key).eq(other.iter().map(key))
    };
    let mut all: Vec<(&[Answer], Vec<&str>)> = Vec::new();
    for answer in answers {
        let (Some(rows), Some(pod)) = (answer.policy.as_deref(), answer.pod.as_deref()) else { continue };
        match all.iter_mut().find(|(known, _)| same(known, rows)) {
            Some((_, pods)) => pods.push(pod),
            None => all.push((rows, vec![pod])),
        }
    }
    all
}

fn whose(pods: &[&str], answers: &[&Server]) -> String {
    match (pods.len(), answers.len()) {
        (1, 1) | (0, _) => pods.join(", "),
        (some, all) if some == all => format!("all {all} pods"),
        _ => pods.join(", "),
    }
}

/// What was found, once for all pods of which it is true, the gravest first. A message that names its pod's address
/// says `POD` for it where it is true of several.
fn merged(answers: &[&Server]) -> Vec<Found> {
    let mut all: Vec<(&Found, String, Vec<&str>)> = Vec::new();
    for answer in answers {
        let pod = answer.pod.as_deref().unwrap_or_default();
        let address = answer.address.rsplit_once(':').map_or(answer.address.as_str(), |(address, _)| address);
        for found in &answer.findings {
            let message = found.message.replace(address, "POD");
            let same = |(known, words, _): &&mut (&Found, String, Vec<&str>)| {
                known.check == found.check && *words == message && known.location == found.location
            };
            match all.iter_mut().find(same) {
                Some((_, _, pods)) => pods.push(pod),
                None => all.push((found, message, vec![pod])),
            }
        }
    }
    all.sort_by_key(|(found, ..)| std::cmp::Reverse(found.severity as u8));
    let told = |(found, message, pods): (&Found, String, Vec<&str>)| Found {
        check: found.check,
        severity: found.severity,
        message: if pods.len() > 1 { message } else { found.message.clone() },
        location: format!("{}, {}", whose(&pods, answers), found.location),
        remedy: found.remedy.clone(),
    };
    all.into_iter().map(told).collect()
}

/// Who serves what, for each server: `3 of 3 pods serve 4429abfb…`.
fn summaries(report: &Report, gateway: &AskedGateway) -> Vec<String> {
    if gateway.ready_pods + gateway.not_ready_pods == 0 {
        let others = if gateway.unasked_pods.is_empty() { "" } else { " but such as terminate" };
        return vec![format!(
            "nobody serves this Gateway: there is no pod{others} with the labels {}",
            gateway.selector
        )];
    }
    let lines: Vec<(&AskedServer, String)> =
        gateway.servers.iter().map(|server| (server, summary(&answers(report, server), gateway))).collect();
    match &lines[..] {
        [] => vec!["no server of this Gateway can be asked".to_owned()],
        [(_, line)] => vec![line.clone()],
        several => several.iter().map(|(server, line)| format!("{}: {line}", server.gateway_server)).collect(),
    }
}

fn summary(answers: &[&Server], gateway: &AskedGateway) -> String {
    let leaf = |answer: &Server| answer.certificate.as_ref().map(|leaf| leaf.fingerprint.clone());
    let (ready, unready): (Vec<&Server>, Vec<&Server>) = answers.iter().partition(|answer| answer.ready != Some(false));
    if ready.is_empty() {
        return format!("no pod is ready to be sent clients; {} not ready", gateway.not_ready_pods);
    }
    let mut counts: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for answer in &ready {
        *counts.entry(leaf(answer)).or_default() += 1;
    }
    let expected = answers.iter().find_map(|answer| answer.expected.as_ref()).map(|one| one.fingerprint.clone());
    let most = counts.iter().filter(|(leaf, _)| leaf.is_some()).max_by_key(|(_, count)| **count);
    let main = expected.or_else(|| most.and_then(|(leaf, _)| leaf.clone()));
    let count = |leaf: &Option<String>| counts.get(leaf).copied().unwrap_or_default();
    let plural = |count, one: &'static str, more: &'static str| if count == 1 { one } else { more };
    let total = ready.len();
    let mut text = match &main {
        None => format!("none of {total} {} completed a handshake", plural(total, "pod", "pods")),
        Some(leaf) => {
            let count = count(&main);
            let verb = plural(total, "pod serves", "pods serve");
            format!("{count} of {total} {verb} {}…", short(leaf))
        }
    };
    for (leaf, count) in counts.iter().filter(|(leaf, _)| main.is_some() && **leaf != main) {
        let _ = match leaf {
            Some(leaf) => write!(text, ", {count} {} {}…", plural(*count, "serves", "serve"), short(leaf)),
            None => write!(text, ", {count} completed no handshake"),
        };
    }
    if !unready.is_empty() {
        let same = unready.iter().filter(|answer| main.is_some() && leaf(answer) == main).count();
        let _ = write!(text, "; of {} not ready {same} {}", unready.len(), plural(same, "does", "do"));
    }
    text
}
