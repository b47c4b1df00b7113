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
                if told.is_some_and(|text| crate::cli::try_say(&text).is_err()) {
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
type Shown = (String, Word, Option<String>, Option<&'static str>);

fn key(server: &Server) -> Shown {
    let leaf = server.certificate.as_ref().map(|leaf| leaf.fingerprint.clone());
    (server.address.clone(), server.verdict, leaf, server.failure.as_ref().map(|failure| failure.reason))
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
            let changed = report.servers.iter().filter(|server| !before.contains(&key(server)));
            let lines: Vec<String> = changed.map(|server| render::line(server, &report.probed.at)).collect();
            match first {
                true => Some(render::report(report, look)),
                false if lines.is_empty() => None,
                false => Some(lines.join("\n")),
            }
        }
    })
}
