//! `--wait`: follows the object's status from step to step.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::{
    denied,
    journal::Journal,
    pretty,
    steps::{self, Ask, Step},
};
use crate::{
    api::{GatewayCertificate, GatewayCertificateStatus},
    cli::{Output, answer::visible, complain, say},
    cluster::{gather::name_of, secrets::words},
    lifecycle::ObjectName,
};

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Served; or promoted, where the spec does not let it be proven.
    Good,
    /// The time was up before.
    TimedOut,
}

/// A renewal that is followed.
pub(super) struct Follow {
    name: ObjectName,
    uid: Option<String>,
    ask: Ask,
    begin: Instant,
    limit: Duration,
    output: Output,
    journal: Journal,
    status: GatewayCertificateStatus,
    /// What was shown of troubles last.
    shown: Vec<String>,
    /// Why the object cannot be looked at, since the last look.
    blind: Option<String>,
    live: Live,
}

impl Follow {
    pub(super) fn new(object: &GatewayCertificate, ask: Ask, begin: Instant, limit: Duration, output: Output) -> Self {
        Self {
            name: name_of(object),
            uid: object.uid(),
            ask,
            begin,
            limit,
            output,
            journal: Journal::new(),
            status: object.status.clone().unwrap_or_default(),
            shown: Vec::new(),
            blind: None,
            live: Live::new(output),
        }
    }

    /// Waits until it is served or the time is up, and tells of each step.
    ///
    /// # Errors
    /// When the object is gone, or cannot be looked at.
    pub(super) async fn until_served(mut self, api: Api<GatewayCertificate>) -> Result<End, String> {
        self.tell(&format!("{}: a renewal is asked for", self.name))?;
        self.tell(&self.journal.line(Step::Asked, &self.status, &self.ask))?;
        let mut objects = std::pin::pin!(watcher::watch_object(api, &self.name.name).default_backoff());
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = self.begin + self.limit;
        loop {
            let next = async {
                tokio::select! { biased; seen = objects.next() => Some(seen), _ = ticks.tick() => None }
            };
            match timeout_at(end, next).await {
                Err(_) => return self.timed_out(),
                Ok(None) => self.live.show(self.journal.last(), self.begin.elapsed()),
                Ok(Some(None)) => return Err("the watch has ended, which it never should".to_owned()),
                Ok(Some(Some(seen))) => {
                    if let Some(end) = self.see(seen)? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// Takes in what the watch says.
    fn see(&mut self, seen: watcher::Result<Option<GatewayCertificate>>) -> Result<Option<End>, String> {
        let object = match seen {
            Ok(Some(object)) if object.uid() == self.uid => object,
            Ok(_) => return Err(format!("GatewayCertificate {} was deleted while it was followed", self.name)),
            Err(error) if is_denied(&error) => return Err(denied(&self.name.namespace, &words(&error))),
            Err(error) => {
                let words = words(&error);
                if self.blind.as_ref() != Some(&words) {
                    self.note(&format!("{words}; it is tried again"))?;
                    self.blind = Some(words);
                }
                return Ok(None);
            }
        };
        self.blind = None;
        self.status = object.status.unwrap_or_default();
        let reached = steps::reached(&self.status, &self.ask);
        let before = self.journal.last();
        let new = self.journal.note(reached, self.begin.elapsed());
        if reached < before {
            let back = (reached.as_str(), before.as_str());
            self.note(&format!("it is back at `{}`, as what was `{}` is not what is asked for", back.0, back.1))?;
        }
        for step in new {
            self.tell(&self.journal.line(step, &self.status, &self.ask))?;
        }
        let troubles = steps::troubles(&self.status);
        for trouble in troubles.iter().filter(|trouble| !self.shown.contains(trouble)) {
            self.note(trouble)?;
        }
        self.shown = troubles;
        match reached {
            Step::Served => {}
            Step::Promoted if steps::is_unproven(&self.status) => {
                self.note("nothing proves that it is served, as spec.gateway.probe.enabled is false")?;
            }
            _ => return Ok(None),
        }
        self.answer()?;
        Ok(Some(End::Good))
    }

    fn timed_out(&mut self) -> Result<End, String> {
        self.live.clear();
        if let Some(words) = &self.blind {
            return Err(format!(
                "the time was up after {:?}, and the object could not be looked at: {words}",
                self.limit
            ));
        }
        let last = self.journal.last();
        let next = last.next().unwrap_or(last);
        self.answer()?;
        complain(&visible(&format!(
            "{} is not `{}` after {:?}; it goes on without being followed. {}",
            self.name,
            next.as_str(),
            self.limit,
            steps::hangs(&self.status, last)
        )));
        Ok(End::TimedOut)
    }

    /// A line for people.
    fn tell(&self, line: &str) -> Result<(), String> {
        if self.output == Output::Table {
            self.live.clear();
            // Who reads no more still gets the exit code.
            let _ = say(line)?;
        }
        Ok(())
    }

    /// A line that programs should not miss either.
    fn note(&self, line: &str) -> Result<(), String> {
        let line = visible(line);
        match self.output {
            Output::Table => self.tell(&format!("  {line}")),
            Output::Json => {
                complain(&line);
                Ok(())
            }
        }
    }

    /// What programs get at the end.
    fn answer(&self) -> Result<(), String> {
        if self.output == Output::Json {
            let _ = say(&pretty(&self.journal.json(&self.name, &self.ask, &self.status))?)?;
        }
        Ok(())
    }
}

fn is_denied(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => matches!(status.code, 401 | 403),
        watcher::Error::WatchError(status) => matches!(status.code, 401 | 403),
        _ => false,
    }
}

/// The line that changes in place, on a terminal alone.
struct Live(bool);

impl Live {
    fn new(output: Output) -> Self {
        Self(output == Output::Table && std::io::stdout().is_terminal())
    }

    fn show(&self, reached: Step, since: Duration) {
        let next = reached.next().unwrap_or(reached).as_str();
        self.write(&format!("\r\u{1b}[K  {next:<9}  {:>5} s  waiting", since.as_secs()));
    }

    fn clear(&self) {
        self.write("\r\u{1b}[K");
    }

    fn write(&self, text: &str) {
        if self.0 {
            let mut output = std::io::stdout().lock();
            let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Whatever is said after it begins on a line of its own.
        self.clear();
    }
}
