//! The figures at the end.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    account::{Account, Paint, ms},
    stage::{GATEWAYS, Stage},
};

/// What was counted and measured on the way.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Steps that were seen to happen.
    pub(crate) steps: usize,
    /// From the write of the source to the first handshake with the new leaf, for each gateway and promotion.
    pub(crate) served: Vec<Duration>,
    /// From the write of the source to certkeeper's write of the gateway's Secret.
    pub(crate) promoted: Vec<Duration>,
    /// From damage to the gateway's Secret to certkeeper's write that puts it right.
    pub(crate) restored: Vec<Duration>,
    /// From what made a copy necessary to the copy's being there.
    pub(crate) copied: Vec<Duration>,
    /// Runs of handshakes that showed a leaf which certkeeper had not chosen.
    pub(crate) foreign: usize,
    /// Rests between steps.
    pub(crate) rested: Duration,
    /// What certkeeper was seen to tell in its history, by reason.
    pub(crate) told: BTreeMap<String, usize>,
    /// How long there was silence at the end, and how many writes were made meanwhile.
    pub(crate) silence: Option<(Duration, usize)>,
}

impl Tally {
    fn told(&self, reason: &str) -> usize {
        self.told.get(reason).copied().unwrap_or(0)
    }
}

/// Prints the figures. `steps` is how many steps there are.
pub(crate) fn print(account: &Account, tally: &Tally, stage: Option<&Stage>, steps: usize) {
    let whole = tally.steps == steps;
    let judged = |good: bool| if good { Paint::Green } else { Paint::Red };
    account.blank();
    account.paragraph(Paint::Bold, "Summary");
    account.row("steps seen", judged(whole), &format!("{} of {steps}", tally.steps));
    if let Some(stage) = stage {
        let count = stage.handshakes();
        let text = format!("{} completed, {} failed, with {GATEWAYS} gateways", count.completed, count.failed);
        account.row("handshakes", judged(count.failed == 0), &text);
        let closed = format!("{} closed while a gateway had nothing to serve", count.closed);
        account.row("", Paint::Plain, &closed);
    }
    account.row("promotions", Paint::Plain, &tally.told("Promoted").to_string());
    let refused = format!("{}, none of them reached a gateway", tally.told("Refused"));
    account.row("refusals", Paint::Plain, if tally.told("Refused") == 0 { "0" } else { &refused });
    account.row("restorations", Paint::Plain, &tally.told("Restored").to_string());
    account.row(
        "other leaves served",
        if tally.foreign == 0 { Paint::Green } else { Paint::Yellow },
        &tally.foreign.to_string(),
    );
    account.row("write to served", Paint::Plain, &spread(&tally.served));
    account.row("write to promoted", Paint::Plain, &spread(&tally.promoted));
    account.row("damage to restored", Paint::Plain, &spread(&tally.restored));
    account.row("cause to copy", Paint::Plain, &spread(&tally.copied));
    if let Some(stage) = stage {
        account.row("certkeeper's writes", Paint::Plain, &writes(&stage.meter.writes()));
        let refused = stage.meter.refused();
        let text =
            if refused.is_empty() { "none: docs/permissions.md is enough".to_owned() } else { refused.join(", ") };
        account.row("rights it lacked", judged(refused.is_empty()), &text);
    }
    let silence = tally.silence.map_or("not reached".to_owned(), |(time, writes)| {
        format!("{writes} writes in {:.1} s, by anybody", time.as_secs_f64())
    });
    account.row("silence afterwards", judged(tally.silence.is_some_and(|(_, writes)| writes == 0)), &silence);
    let rests = if tally.rested.is_zero() { String::new() } else { format!(", {:?} of it rests", tally.rested) };
    let taken = format!("{:.1} s{rests}", account.elapsed().as_secs_f64());
    account.row("time taken", Paint::Plain, &taken);
}

fn spread(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let (Some(min), Some(max)) = (times.first(), times.last()) else { return "not measured".to_owned() };
    // The middle one, or the mean of the two in the middle.
    let median = (times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2;
    format!("{} / {} / {} (min/median/max of {})", ms(*min), ms(median), ms(*max), times.len())
}

fn writes(writes: &BTreeMap<String, usize>) -> String {
    let all: usize = writes.values().sum();
    let name = |resource: &str| match resource {
        "secrets" => "to Secrets".to_owned(),
        "events" => "Events".to_owned(),
        "gatewaycertificates/status" => "statuses".to_owned(),
        "gatewaycertificates" => "finalizer".to_owned(),
        other => other.to_owned(),
    };
    let each: Vec<String> = writes.iter().map(|(resource, count)| format!("{count} {}", name(resource))).collect();
    if all == 0 { "0".to_owned() } else { format!("{all}: {}", each.join(", ")) }
}
