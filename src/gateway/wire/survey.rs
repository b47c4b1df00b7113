//! All questions about one server.

use std::{net::SocketAddr, time::Duration};

use futures::{StreamExt, stream};
use tokio::time::Instant;

use super::{
    Redirect,
    ask::{Said, ask},
    redirect,
    suites::{OF_OLD, OF_TLS13, Suite, suites},
};
use crate::gateway::{Dial, ProxyHeader};

/// All questions together may take as long as this many of them: a server that is slow with each of them is left after
/// that.
const PATIENCE: u32 = 6;

/// A protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// TLS 1.0 (RFC 2246), withdrawn by RFC 8996.
    Tls10,
    /// TLS 1.1 (RFC 4346), withdrawn by RFC 8996.
    Tls11,
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl Version {
    /// All that are asked for, the oldest first.
    pub const ALL: [Self; 4] = [Self::Tls10, Self::Tls11, Self::Tls12, Self::Tls13];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Tls10 => 0x0301,
            Self::Tls11 => 0x0302,
            Self::Tls12 => 0x0303,
            Self::Tls13 => 0x0304,
        }
    }

    /// `TLS 1.2`
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls10 => "TLS 1.0",
            Self::Tls11 => "TLS 1.1",
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        }
    }

    /// A number in words.
    pub(super) fn named(number: u16) -> String {
        let known = Self::ALL.iter().find(|version| version.number() == number);
        known.map_or_else(|| format!("version 0x{number:04x}"), |version| version.as_str().to_owned())
    }

    /// The suites that a question for this version offers.
    fn offers(self) -> Vec<u16> {
        match self {
            Self::Tls10 | Self::Tls11 => OF_OLD.to_vec(),
            Self::Tls12 => suites().iter().map(|suite| suite.number).collect(),
            Self::Tls13 => OF_TLS13.to_vec(),
        }
    }
}

/// What a server does with an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It takes it, with this suite.
    Accepted(String),
    /// It refuses it, in these words.
    Refused(String),
    /// It cannot be told, for this reason.
    Unknown(String),
}

impl Outcome {
    /// It takes the offer.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }
}

/// Whom to ask, and within which bounds.
#[derive(Debug, Clone, Copy)]
pub struct Survey<'a> {
    /// Where it listens for TLS.
    pub address: SocketAddr,
    /// The host that is asked for; an IP address is not sent.
    pub name: &'a str,
    /// What goes first, on each connection.
    pub proxy: ProxyHeader,
    /// Where it listens for plain HTTP; `None`: it is not asked for redirects.
    pub redirect: Option<SocketAddr>,
    /// How long each question may take.
    pub limit: Duration,
    /// How many connections there may be at once, at least one.
    pub at_once: usize,
}

/// What was seen of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// What it does with each version.
    pub versions: Vec<(Version, Outcome)>,
    /// What it does with each TLS 1.2 suite.
    pub suites: Vec<(Suite, Outcome)>,
    /// What it does with plain HTTP, where that was asked.
    pub redirect: Option<Redirect>,
}

impl Observed {
    /// What it does with this version.
    #[must_use]
    pub fn version(&self, wanted: Version) -> Option<&Outcome> {
        self.versions.iter().find(|(version, _)| *version == wanted).map(|(_, outcome)| outcome)
    }
}

/// Asks everything. Never fails: what cannot be told is [`Outcome::Unknown`].
///
/// At most 26 TLS connections and one HTTP connection: four for the versions, and one more than there are suites that
/// it accepts. No handshake is finished on any of them. It takes seven times `survey.limit` at most.
pub async fn survey(dial: &dyn Dial, survey: &Survey<'_>) -> Observed {
    let deadline = Instant::now() + survey.limit * PATIENCE;
    let versions = stream::iter(Version::ALL)
        .map(|version| async move { (version, ask(dial, survey, version, &version.offers()).await) })
        .buffered(survey.at_once.max(1));
    let versions: Vec<(Version, Said)> = versions.collect().await;
    let redirect = match survey.redirect {
        Some(address) => Some(redirect::ask(dial, survey, address).await),
        None => None,
    };
    let first = versions.iter().find(|(version, _)| *version == Version::Tls12).map(|(_, said)| said.clone());
    let suites = accepted_suites(dial, survey, first, deadline).await;
    let versions = versions.into_iter().map(|(version, said)| (version, said.outcome())).collect();
    Observed { versions, suites, redirect }
}

/// Takes from the list what the server takes, until it refuses the rest: far fewer connections than one a suite, and a
/// server's own order of preference does not matter. `first` is its answer to the whole list.
async fn accepted_suites(
    dial: &dyn Dial,
    survey: &Survey<'_>,
    first: Option<Said>,
    deadline: Instant,
) -> Vec<(Suite, Outcome)> {
    let mut left: Vec<u16> = Version::Tls12.offers();
    let mut next = first;
    let last = loop {
        let said = match next.take() {
            Some(said) => said,
            None if Instant::now() >= deadline => Said::Unclear("the time for all questions was over".to_owned()),
            None => ask(dial, survey, Version::Tls12, &left).await,
        };
        match said {
            // It took one of those that were offered: the list gets shorter each time.
            Said::Takes(suite) => left.retain(|other| *other != suite),
            said => break said.outcome(),
        }
        if left.is_empty() {
            break Outcome::Refused(String::new());
        }
    };
    let outcome = |suite: &Suite| {
        if left.contains(&suite.number) { last.clone() } else { Outcome::Accepted(suite.name.to_owned()) }
    };
    suites().iter().map(|suite| (*suite, outcome(suite))).collect()
}
