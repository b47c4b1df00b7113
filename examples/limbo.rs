//! Agreement of the checks with a suite in the form of C2SP/x509-limbo: `cargo limbo FILE…`.
//!
//! Each case becomes a chain (the peer's certificate and the untrusted intermediates), roots, a time and the
//! names that the peer must have; it is judged with the rules taken to the letter. Printed are the cases on which
//! suite and verdict disagree, with the reason, and at the end a line `agreed: N of M`.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::{process::ExitCode, time::Instant};

use certkeeper::certificate::{Context, Facts, Purpose, RevocationLists, Roots, Supplied, judge, read};
use chrono::{DateTime, Utc};
use serde::Deserialize;

#[derive(Deserialize)]
struct Suite {
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    validation_kind: String,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    validation_time: Option<DateTime<Utc>>,
    expected_result: String,
    expected_peer_name: Option<PeerName>,
    #[serde(default)]
    expected_peer_names: Vec<PeerName>,
    #[serde(default)]
    extended_key_usage: Vec<String>,
    max_chain_depth: Option<usize>,
    #[serde(default)]
    crls: Vec<String>,
}

#[derive(Deserialize)]
struct PeerName {
    kind: String,
    value: String,
}

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        println!("usage: cargo limbo FILE…   (limbo.json, or any part of it)");
        return ExitCode::from(2);
    }
    let (mut agreed, mut total, begin) = (0, 0, Instant::now());
    for file in &files {
        let suite = std::fs::read(file)
            .map_err(|error| error.to_string())
            .and_then(|bytes| serde_json::from_slice::<Suite>(&bytes).map_err(|error| error.to_string()));
        let suite = match suite {
            Ok(suite) => suite,
            Err(why) => {
                println!("{file}: {why}");
                return ExitCode::from(2);
            }
        };
        for case in &suite.testcases {
            total += 1;
            let refusals = refusals(case);
            let expected = case.expected_result == "SUCCESS";
            if refusals.is_empty() == expected {
                agreed += 1;
            } else {
                let ours = if refusals.is_empty() { "accepted: nothing found".to_owned() } else { refusals.join("; ") };
                println!("{}\n  expected {}, ours: {ours}", case.id, case.expected_result);
            }
        }
    }
    println!("took {} ms", begin.elapsed().as_millis());
    println!("agreed: {agreed} of {total}");
    ExitCode::SUCCESS
}

/// Why we refuse a case; empty if we do not.
fn refusals(case: &Case) -> Vec<String> {
    let roots = match Roots::from_pem(case.trusted_certs.join("\n").as_bytes()) {
        Ok(roots) => roots,
        Err(why) => return vec![why],
    };
    let revocations = match RevocationLists::from_pem(case.crls.join("\n").as_bytes()) {
        Ok(lists) => Some(lists),
        Err(_) if case.crls.is_empty() => None,
        Err(why) => return vec![why],
    };
    let chain: String = std::iter::once(&case.peer_certificate)
        .chain(&case.untrusted_intermediates)
        .flat_map(|pem| [pem.as_str(), "\n"])
        .collect();
    let facts = read(&Supplied { certificate: Some(chain.as_bytes()), ..Supplied::default() });
    let client = case.validation_kind == "CLIENT" || case.extended_key_usage.iter().any(|usage| usage == "clientAuth");
    let names: Vec<&PeerName> = case.expected_peer_name.iter().chain(&case.expected_peer_names).collect();
    let hosts: Vec<String> = names.iter().filter(|name| name.kind != "RFC822").map(|name| name.value.clone()).collect();
    let context = Context {
        hosts: &hosts,
        roots: Some(&roots),
        revocations: revocations.as_ref(),
        key_expected: false,
        purpose: if client { Purpose::Client } else { Purpose::Server },
        strict: true,
        max_intermediates: case.max_chain_depth.unwrap_or(Context::default().max_intermediates),
        ..Context::new(case.validation_time.unwrap_or_else(Utc::now))
    };
    let verdict = judge(&facts, &context);
    let findings = verdict.errors().map(|f| format!("{} on {}: {}", f.check.name, f.location, f.message));
    findings.chain(mailboxes(&facts, &names)).collect()
}

/// Mailboxes are no hosts of a gateway: that a client has the expected one is looked up here.
fn mailboxes(facts: &Facts, names: &[&PeerName]) -> Vec<String> {
    let wanted = names.iter().filter(|name| name.kind == "RFC822");
    let has = |mailbox: &str| facts.leaf().is_some_and(|leaf| leaf.email_addresses().any(|m| m == mailbox));
    wanted.filter(|name| !has(&name.value)).map(|name| format!("the leaf lacks the mailbox {}", name.value)).collect()
}
