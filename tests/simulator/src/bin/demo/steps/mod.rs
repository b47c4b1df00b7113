//! The steps of the demo, and what they share.

mod copies;
mod mishap;
mod promotion;
mod refusal;
mod serving;
mod silence;

use std::time::{Duration, Instant};

use certkeeper::api::{GatewayCertificateStatus, HistoryEntry};
use certkeeper_simulator::ca::Issued;
use futures::future::{BoxFuture, try_join_all};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{
    account::{Account, Actor, Paint, short},
    missed::{Missed, Seen},
    stage::Stage,
    summary::Tally,
    visitor::Mark,
};

/// A step: its title, why it matters, and what is done and awaited.
pub(crate) struct Step {
    title: &'static str,
    why: &'static str,
    play: for<'a> fn(&'a mut Demo) -> BoxFuture<'a, Seen<()>>,
}

/// The steps in their order.
pub(crate) const STEPS: &[Step] = &[
    Step {
        title: "Three gateways have nothing to serve",
        why: "A GatewayCertificate asks for a pair that nobody has supplied yet.",
        play: |demo| Box::pin(promotion::begins(demo)),
    },
    Step {
        title: "A first certificate is checked, promoted, and served by all three",
        why: "Certificate and key go into the gateway's Secret in one write, and only after every check.",
        play: |demo| Box::pin(promotion::first(demo)),
    },
    Step {
        title: "Five rotations, not one connection lost",
        why: "Measured from the write of the source to the first handshake with the new leaf. Istio, and the \
              gateways here, wait 100 ms of it for another change.",
        play: |demo| Box::pin(promotion::rotations(demo)),
    },
    Step {
        title: "A key that belongs to another certificate is refused",
        why: "Istio would push it; Envoy would refuse it without a word, and after a restart serve nothing.",
        play: |demo| Box::pin(refusal::mismatched(demo)),
    },
    Step {
        title: "An expired certificate is refused",
        why: "Envoy would serve it, to everybody.",
        play: |demo| Box::pin(refusal::expired(demo)),
    },
    Step {
        title: "Half a pair is refused",
        why: "Envoy would not even count it as an error.",
        play: |demo| Box::pin(refusal::half(demo)),
    },
    Step {
        title: "A good pair after the bad ones is taken at once",
        why: "A refusal blocks nothing, and nobody has to restart anything.",
        play: |demo| Box::pin(promotion::again(demo)),
    },
    Step {
        title: "The gateway's Secret is deleted, and restored",
        why: "Gateways serve on from memory, so nobody would notice until one of them restarts.",
        play: |demo| Box::pin(mishap::deleted(demo)),
    },
    Step {
        title: "Left-over keys that would mask the pair are removed",
        why: "Istio reads cert and key before tls.crt and tls.key: an old installer's left-overs win silently.",
        play: |demo| Box::pin(mishap::masked(demo)),
    },
    Step {
        title: "certkeeper is killed; meanwhile everything is broken; the last good pair comes back",
        why: "Nothing is kept in its memory only: the last good pair lies in a Secret beside the gateway's.",
        play: |demo| Box::pin(mishap::killed(demo)),
    },
    Step {
        title: "Somebody edits the gateway's Secret, and is named",
        why: "A certificate belongs into the source, where it is checked.",
        play: |demo| Box::pin(mishap::edited(demo)),
    },
    Step {
        title: "A namespace appears, and has its copy",
        why: "Other components need the certificate, too: by label where no key is borne, by name where one is.",
        play: |demo| Box::pin(copies::appear(demo)),
    },
    Step {
        title: "A copy is deleted, and restored",
        why: "Whoever mounts it would notice at the next restart of a pod.",
        play: |demo| Box::pin(copies::deleted(demo)),
    },
    Step {
        title: "A Secret of somebody else in the way is left alone, and its owner named",
        why: "certkeeper fights nobody: it says what is in the way, and goes on once it is gone.",
        play: |demo| Box::pin(copies::in_the_way(demo)),
    },
    Step {
        title: "A gateway is stuck with the old leaf, and freed by a nudge",
        why: "Every figure of such an Envoy says that all is well; only a handshake shows the old leaf. The same pair in \
              other bytes frees it: no restart, no connection lost.",
        play: |demo| Box::pin(serving::stuck(demo)),
    },
    Step {
        title: "A gateway that takes up nothing is evicted, alone",
        why: "Only where the spec allows it, only while another pod serves the pair, and one at a time.",
        play: |demo| Box::pin(serving::evicted(demo)),
    },
    Step {
        title: "A pair that no gateway takes up gives way to the last good one",
        why: "With the refused pair in the Secret, the next restart of a pod would take everything down.",
        play: |demo| Box::pin(serving::rolled_back(demo)),
    },
    Step {
        title: "Silence",
        why: "When nothing changes, nothing is written; and everything that happened was told once.",
        play: |demo| Box::pin(silence::falls(demo)),
    },
];

/// The demo as it goes.
pub(crate) struct Demo {
    pub(crate) account: Account,
    pub(crate) tally: Tally,
    /// Set in the first step.
    pub(crate) stage: Option<Stage>,
    patience: Duration,
    /// A rest after each step, for those who look on.
    rest: Duration,
    withhold_from: Option<usize>,
    /// The pair that the gateways should serve.
    current: Option<Issued>,
}

impl Demo {
    /// A demo in which each thing may take as long as `patience`, with a rest after each step.
    pub(crate) fn new(account: Account, patience: Duration, rest: Duration, withhold_from: Option<usize>) -> Self {
        Self { account, tally: Tally::default(), stage: None, patience, rest, withhold_from, current: None }
    }

    /// Plays the steps until one is missed. Whether all were seen to happen.
    pub(crate) async fn play(&mut self) -> bool {
        for (number, step) in (1..).zip(STEPS) {
            self.account.heading(number, step.title, step.why);
            if self.withhold_from == Some(number)
                && let Some(stage) = &mut self.stage
            {
                stage.kill_keeper();
                stage.withheld = true;
            }
            let began = Instant::now();
            if let Err(missed) = (step.play)(self).await {
                self.account.verdict(Paint::Red, "NOT SEEN", &missed.expected);
                self.account.verdict(Paint::Red, "but", &missed.seen);
                return false;
            }
            self.tally.steps += 1;
            self.account.verdict(Paint::Green, "seen", &format!("in {:.2} s", began.elapsed().as_secs_f64()));
            if number < STEPS.len() {
                tokio::time::sleep(self.rest).await;
                self.tally.rested += self.rest;
            }
        }
        true
    }

    fn stage(&self) -> Seen<&Stage> {
        self.stage.as_ref().ok_or_else(|| Missed::new("the stage is set", "it is not"))
    }

    fn stage_mut(&mut self) -> Seen<&mut Stage> {
        self.stage.as_mut().ok_or_else(|| Missed::new("the stage is set", "it is not"))
    }

    fn current(&self) -> Seen<&Issued> {
        self.current.as_ref().ok_or_else(|| Missed::new("a pair was promoted", "none was"))
    }

    /// Waits for a condition and gives it in certkeeper's own words.
    async fn hears(&self, kind: &str, status: &str, reason: &str) -> Seen<()> {
        let condition = self.stage()?.object.condition(kind, status, reason, self.patience).await?;
        self.quote(&condition, true);
        Ok(())
    }

    /// Waits until certkeeper has proven by handshakes that every gateway serves the current pair.
    async fn is_proven(&self) -> Seen<()> {
        let fingerprint = self.current()?.fingerprint();
        let expected = format!("certkeeper says Served=True for {fingerprint}");
        let look = |status: &GatewayCertificateStatus| {
            let served = status.conditions.iter().find(|condition| condition.type_ == "Served")?;
            (served.status == "True" && served.message.contains(fingerprint)).then(|| served.clone())
        };
        let condition = self.stage()?.object.until(self.patience, &expected, look).await?;
        self.quote(&condition, true);
        Ok(())
    }

    /// Gives a condition in certkeeper's own words.
    fn quote(&self, condition: &Condition, whole: bool) {
        let good = condition.status == "True" && condition.reason != "LastGoodKept";
        let paint = if good { Paint::Green } else { Paint::Yellow };
        let lead = format!("{}={} ({})", condition.type_, condition.status, condition.reason);
        let text = if whole { format!(": {}", condition.message) } else { String::new() };
        self.account.line(Actor::Certkeeper, paint, &lead, &text);
    }

    /// Waits for an entry of the history after the first `told` ones, and counts it.
    async fn learns(&mut self, told: i64, reason: &str, word: &str) -> Seen<HistoryEntry> {
        let entry = self.stage()?.object.entry(told, reason, word, self.patience).await?;
        *self.tally.told.entry(reason.to_owned()).or_default() += 1;
        Ok(entry)
    }

    /// Gives an entry of the history in certkeeper's own words.
    fn recount(&self, entry: &HistoryEntry) {
        self.account.line(Actor::Certkeeper, Paint::Green, &entry.reason, &format!(": {}", entry.message));
    }

    /// Notes how long certkeeper's write came after `began`.
    fn restored_after(&mut self, began: Instant) -> Seen<Duration> {
        let written = self.stage()?.meter.promoted();
        let after = written.and_then(|written| written.checked_duration_since(began));
        after.ok_or_else(|| Missed::new("certkeeper has written the gateway's Secret", "it has not"))
    }

    /// Waits until every gateway shows this leaf; how long each took, counted from `began`.
    async fn all_see(&self, fingerprint: &str, marks: &[Mark], began: Instant) -> Seen<Vec<Duration>> {
        let visits = self.stage()?.places.iter().zip(marks);
        let sights = visits.map(|(place, mark)| place.visitor.sees(fingerprint, *mark, self.patience));
        let firsts = try_join_all(sights).await?;
        Ok(firsts.into_iter().map(|first| first.saturating_duration_since(began)).collect())
    }

    /// Watches for a while that every gateway serves this leaf in the end; whether another was seen since the marks.
    async fn all_stay(&mut self, fingerprint: &str, marks: &[Mark]) -> Seen<bool> {
        let visits = self.stage()?.places.iter().zip(marks);
        let looks = visits.map(|(place, mark)| place.visitor.stays(fingerprint, *mark, self.patience));
        let counts = try_join_all(looks).await?;
        let (made, others) = counts.iter().fold((0, 0), |(made, others), (m, o)| (made + m, others + o));
        self.tally.foreign += others;
        let seen = match others {
            0 => "none failed or differed".to_owned(),
            n => format!("none failed; another leaf was seen {n} times until it was put right"),
        };
        let text = format!("all three serve {} in {made} handshakes since; {seen}", short(fingerprint));
        self.account.says(Actor::Gateways, &text);
        Ok(others > 0)
    }
}

/// "118, 121 and 119 ms".
fn listed(times: &[Duration]) -> String {
    let number = |time: &Duration| format!("{:.0}", time.as_secs_f64() * 1000.0);
    let Some((last, before)) = times.split_last() else { return String::new() };
    let before: Vec<String> = before.iter().map(number).collect();
    format!("{} and {} ms", before.join(", "), number(last))
}
