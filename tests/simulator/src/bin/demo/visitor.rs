//! Somebody who calls at a gateway again and again, and looks at the certificate that is shown each time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use certkeeper::gateway::{HandshakeError, TcpDial, handshake};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::missed::{Missed, Seen};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Between two handshakes: measured times are exact to this and one handshake.
const PAUSE: Duration = Duration::from_millis(5);
/// To show that nothing changes, a gateway is looked at this long: more than twice the time that Istio (and the
/// gateways here) take to pass a change on …
const LOOK: Duration = Duration::from_millis(250);
/// … and at least this often.
const LOOKS: usize = 10;

/// The same leaf, seen in handshakes that followed each other.
#[derive(Clone, Debug)]
struct Run {
    fingerprint: String,
    first: Instant,
}

/// Everything that a visitor saw.
#[derive(Clone, Debug, Default)]
struct Sightings {
    completed: usize,
    failed: usize,
    /// Closed by a gateway that never had anything to serve.
    closed: usize,
    last_failure: String,
    /// One for each change: as few as there are rotations.
    runs: Vec<Run>,
}

/// A place in what a visitor saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    completed: usize,
    runs: usize,
}

/// How many handshakes a visitor made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) completed: usize,
    pub(crate) failed: usize,
    /// Closed by a gateway that never had anything to serve: that is as it should be.
    pub(crate) closed: usize,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.completed += other.completed;
        self.failed += other.failed;
        self.closed += other.closed;
    }
}

/// Makes handshakes with one gateway until it is dropped.
#[derive(Debug)]
pub(crate) struct Visitor {
    gateway: String,
    sightings: watch::Sender<Sightings>,
    _task: JoinSet<()>,
}

impl Visitor {
    /// Begins to visit the gateway, asking for `host`.
    pub(crate) fn begin(gateway: &str, address: SocketAddr, host: &'static str) -> Self {
        let sightings = watch::Sender::new(Sightings::default());
        let mut task = JoinSet::new();
        let seen = sightings.clone();
        task.spawn(async move {
            loop {
                let result = handshake(&TcpDial, address, host, HANDSHAKE).await;
                let now = Instant::now();
                seen.send_modify(|seen| match result {
                    Ok(served) => seen.served(served.fingerprint.to_string(), now),
                    Err(HandshakeError::Closed(..) | HandshakeError::Reset(..)) if seen.runs.is_empty() => {
                        seen.closed += 1
                    }
                    Err(error) => {
                        seen.failed += 1;
                        seen.last_failure = error.to_string();
                    }
                });
                sleep(PAUSE).await;
            }
        });
        Self { gateway: gateway.to_owned(), sightings, _task: task }
    }

    /// The place now.
    pub(crate) fn mark(&self) -> Mark {
        let seen = self.sightings.borrow();
        Mark { completed: seen.completed, runs: seen.runs.len() }
    }

    /// How many handshakes were made.
    pub(crate) fn count(&self) -> Count {
        let seen = self.sightings.borrow();
        Count { completed: seen.completed, failed: seen.failed, closed: seen.closed }
    }

    /// Waits until the gateway has closed a few connections, and nothing else.
    pub(crate) async fn sees_nothing(&self, patience: Duration) -> Seen<()> {
        let expected = format!("{} closes connections, having nothing to serve", self.gateway);
        let seen = self.wait(patience, &expected, |seen| seen.closed >= 3).await?;
        if seen.runs.is_empty() && seen.failed == 0 { Ok(()) } else { Err(Missed::new(expected, seen.tell())) }
    }

    /// Waits until the gateway shows this leaf; says when it did so first.
    pub(crate) async fn sees(&self, fingerprint: &str, since: Mark, patience: Duration) -> Seen<Instant> {
        let expected = format!("{} serves the leaf {fingerprint}", self.gateway);
        let first = |seen: &Sightings| {
            let new = seen.runs.iter().skip(since.runs);
            new.rev().find(|run| run.fingerprint == fingerprint).map(|run| run.first)
        };
        let seen = self.wait(patience, &expected, |seen| first(seen).is_some()).await?;
        self.nothing_failed(&seen)?;
        first(&seen).ok_or_else(|| Missed::new(expected, seen.tell()))
    }

    /// Looks on for a while: the gateway shows this leaf in the end. Returns the handshakes since `since`, and how many
    /// other leaves were seen in between.
    pub(crate) async fn stays(&self, fingerprint: &str, since: Mark, patience: Duration) -> Seen<(usize, usize)> {
        let expected = format!("{} still serves the leaf {fingerprint}", self.gateway);
        let began = Instant::now();
        let enough = |seen: &Sightings| {
            let last =
                seen.runs.last().is_some_and(|run| run.fingerprint == fingerprint && run.first.elapsed() >= LOOK);
            last && seen.completed >= since.completed + LOOKS && began.elapsed() >= LOOK
        };
        let seen = self.wait(patience, &expected, enough).await?;
        self.nothing_failed(&seen)?;
        let others = seen.runs.iter().skip(since.runs).filter(|run| run.fingerprint != fingerprint).count();
        Ok((seen.completed - since.completed, others))
    }

    fn nothing_failed(&self, seen: &Sightings) -> Seen<()> {
        if seen.failed == 0 {
            return Ok(());
        }
        Err(Missed::new(format!("no handshake with {} fails once it serves anything", self.gateway), seen.tell()))
    }

    async fn wait(
        &self,
        patience: Duration,
        expected: &str,
        mut condition: impl FnMut(&Sightings) -> bool,
    ) -> Seen<Sightings> {
        let mut receiver = self.sightings.subscribe();
        if let Ok(Ok(seen)) = timeout(patience, receiver.wait_for(|seen| condition(seen))).await {
            return Ok(seen.clone());
        }
        Err(Missed::new(format!("{expected}, within {patience:?}"), self.sightings.borrow().tell()))
    }
}

impl Sightings {
    fn served(&mut self, fingerprint: String, now: Instant) {
        self.completed += 1;
        if self.runs.last().is_none_or(|run| run.fingerprint != fingerprint) {
            self.runs.push(Run { fingerprint, first: now });
        }
    }

    fn tell(&self) -> String {
        let leaf = self.runs.last().map_or("no leaf so far".to_owned(), |run| format!("the leaf {}", run.fingerprint));
        let failed = match self.failed {
            0 => String::new(),
            n => format!(", {n} failed (the last one: {})", self.last_failure),
        };
        format!(
            "{} handshakes were completed, {} closed{failed}; the last one showed {leaf}",
            self.completed, self.closed
        )
    }
}
