//! `--watch`: round after round, until somebody ends it.

use std::time::Duration;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use super::{
    render,
    report::{Report, Server, Word},
};
use crate::cli::answer::{Look, Output};

/// Ends of the watch: Ctrl-C, or a request to stop.
pub(super) struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    pub(super) fn new() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|error| format!("signals cannot be waited for: {error}"));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn come(&mut self) {
        tokio::select! { _ = self.interrupt.recv() => {}, _ = self.terminate.recv() => {} }
    }
}

/// Makes rounds until the end comes; the verdict of the last one is the answer. `first` says whether a round is the
/// first one: only that asks for the policy.
pub(super) async fn watch(
    mut round: impl AsyncFnMut(bool) -> Result<Report, String>,
    every: Duration,
    output: Output,
    look: &Look,
    mut ends: Ends,
) -> Result<Word, String> {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Word::Unknown;
    let mut shown: Vec<Shown> = Vec::new();
    let mut first = true;
    loop {
        tokio::select! {
            biased;
            () = ends.come() => return Ok(last),
            _ = ticks.tick() => {}
        }
        let seen = tokio::select! {
            biased;
            () = ends.come() => return Ok(last),
            seen = round(first) => seen,
        };
        match seen {
            Ok(report) => {
                last = report.verdict;
                let told = text(&report, first, &mut shown, output, look)?;
                // Who reads no more (`| head`) has seen enough.
                if let Some(text) = told
                    && !crate::cli::say(&text)?
                {
                    return Ok(last);
                }
                first = false;
            }
            // Somebody who watches wants to see it come back.
            Err(message) if !first => {
                last = Word::Unknown;
                crate::cli::complain(&message);
            }
            Err(message) => return Err(message),
        }
    }
}

/// What a line was written for: it is written again once one of these changes.
#[derive(Debug, PartialEq)]
struct Shown {
    /// The pod and the Gateway's server, if pods are asked, and the address.
    identity: (Option<String>, Option<String>, String),
    who: String,
    verdict: Word,
    leaf: Option<String>,
    failure: Option<&'static str>,
}

fn key(server: &Server) -> Shown {
    Shown {
        identity: (server.pod.clone(), server.gateway_server.clone(), server.address.clone()),
        who: render::who(server),
        verdict: server.verdict,
        leaf: server.certificate.as_ref().map(|leaf| leaf.fingerprint.clone()),
        failure: server.failure.as_ref().map(|failure| failure.reason),
    }
}

/// What has changed since `before`: pods that went, then whoever came or answers otherwise.
fn changes(report: &Report, before: &[Shown], now: &[Shown]) -> Vec<String> {
    let at = &report.probed.at;
    let went = |one: &&Shown| one.identity.0.is_some() && !now.iter().any(|other| other.identity == one.identity);
    let mut lines: Vec<String> = before.iter().filter(went).map(|one| render::gone(&one.who, at)).collect();
    if now.is_empty() && !before.is_empty() {
        lines.push(format!("{at} UNKNOWN no pod is left to be asked"));
    }
    let changed = report.servers.iter().zip(now).filter(|(_, key)| !before.contains(key));
    lines.extend(changed.map(|(server, key)| {
        let known = before.iter().any(|other| other.identity == key.identity);
        let new = if key.identity.0.is_none() || known { "" } else { ", new" };
        format!("{}{new}", render::line(server, at))
    }));
    lines
}

/// Programs get each round, one document a line (JSON) or after `---` (YAML); people what changed, if anything did.
fn text(
    report: &Report,
    first: bool,
    shown: &mut Vec<Shown>,
    output: Output,
    look: &Look,
) -> Result<Option<String>, String> {
    Ok(match output {
        Output::Json => Some(serde_json::to_string(report).map_err(|e| e.to_string())?),
        Output::Yaml => Some(format!("---\n{}", serde_saphyr::to_string(report).map_err(|e| e.to_string())?)),
        Output::Table => {
            let now: Vec<Shown> = report.servers.iter().map(key).collect();
            let before = std::mem::replace(shown, now);
            let lines = changes(report, &before, shown);
            match first {
                true => Some(render::report(report, look)),
                false if lines.is_empty() => None,
                false => Some(lines.join("\n")),
            }
        }
    })
}
