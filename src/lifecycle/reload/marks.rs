//! What is noted on the gateway's Secret of what was done to have it served, in the same write (law 5).

use chrono::{DateTime, Duration, SecondsFormat, Utc};

use crate::lifecycle::observed::{Observed, Source};

/// The most nudges that one pair ever gets (law 6).
pub const NUDGES: usize = 3;
/// The most nudges, of all pairs, that are remembered.
pub const REMEMBERED: usize = 2 * NUDGES;
/// The most refused pairs that are remembered.
pub const REFUSALS: usize = 3;

/// The same pair was written in other bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nudge {
    /// The leaf it was about, SHA-256, hexadecimal.
    pub fingerprint: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A pair that no pod took up, though it was nudged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its leaf, SHA-256, hexadecimal.
    pub fingerprint: String,
    /// When that was found.
    pub at: DateTime<Utc>,
    /// The resourceVersion of the source that it came from; empty where there was none.
    pub source: String,
    /// The state of the Gateways that refused it.
    pub gateways: String,
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc))
}

impl Nudge {
    /// As the annotation has them.
    #[must_use]
    pub fn format(nudges: &[Self]) -> String {
        nudges.iter().map(|nudge| format!("{}@{}", nudge.fingerprint, text(nudge.at))).collect::<Vec<_>>().join(",")
    }

    /// From the annotation; what is not understood is left out.
    #[must_use]
    pub fn parse(annotation: &str) -> Vec<Self> {
        let one = |part: &str| {
            let (fingerprint, at) = part.split_once('@')?;
            Some(Self { fingerprint: fingerprint.to_owned(), at: time(at)? })
        };
        annotation.split(',').take(8).filter_map(one).collect()
    }
}

impl Refusal {
    /// As the annotation has them.
    #[must_use]
    pub fn format(refusals: &[Self]) -> String {
        let one = |refusal: &Self| {
            format!("{} {} {} {}", refusal.fingerprint, text(refusal.at), refusal.source, refusal.gateways)
        };
        refusals.iter().map(one).collect::<Vec<_>>().join(";")
    }

    /// From the annotation; what is not understood is left out.
    #[must_use]
    pub fn parse(annotation: &str) -> Vec<Self> {
        let one = |part: &str| {
            let mut words = part.splitn(4, ' ');
            let (fingerprint, at) = (words.next()?.to_owned(), time(words.next()?)?);
            let (source, gateways) = (words.next()?.to_owned(), words.next()?.to_owned());
            Some(Self { fingerprint, at, source, gateways })
        };
        annotation.split(';').take(8).filter_map(one).collect()
    }

    /// It is not tried again until the source or the Gateway changes. What cannot be seen now counts as unchanged.
    fn holds(&self, observed: &Observed) -> bool {
        let source = match &observed.source {
            Source::Present(supply) => supply.version == self.source,
            Source::NotNamed | Source::Pending | Source::Denied(_) | Source::Absent => true,
        };
        source && observed.mesh.revision().is_none_or(|revision| revision == self.gateways)
    }
}

/// The refusals that still count.
pub(in crate::lifecycle) fn refusals(observed: &Observed) -> Vec<Refusal> {
    let noted = observed.gateway.stored().map(|stored| stored.refused.as_slice()).unwrap_or_default();
    noted.iter().filter(|refusal| refusal.holds(observed)).cloned().collect()
}

/// The nudges that this pair has had, oldest first.
pub(in crate::lifecycle) fn nudges(observed: &Observed, fingerprint: &str) -> Vec<Nudge> {
    let noted = observed.gateway.stored().map(|stored| stored.nudged.as_slice()).unwrap_or_default();
    noted.iter().filter(|nudge| nudge.fingerprint == fingerprint).cloned().collect()
}

/// When this pair may be nudged next; `None`: never again.
pub(super) fn next_nudge(nudges: &[Nudge], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match nudges {
        [] => Some(now),
        [.., last] if nudges.len() < NUDGES => Some(last.at + Duration::days(1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive_being_written_and_read() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let nudge = Nudge { fingerprint: "ab".to_owned(), at };
        let refusal = |source: &str| Refusal {
            fingerprint: "cd".to_owned(),
            at,
            source: source.to_owned(),
            gateways: "kyma-system/kyma-gateway:7".to_owned(),
        };
        let nudges = vec![nudge.clone(), nudge];
        assert_eq!(Nudge::parse(&Nudge::format(&nudges)), nudges);
        let refusals = vec![refusal("12"), refusal("")];
        assert_eq!(Refusal::parse(&Refusal::format(&refusals)), refusals);
    }

    #[test]
    fn marks_that_nobody_understands_are_no_marks() {
        for garbage in ["", "@", ",,,", "ab@yesterday", "a b c d;;", "ab 2027-01-15T08:00:00Z 1"] {
            assert_eq!(Nudge::parse(garbage), []);
            assert_eq!(Refusal::parse(garbage), []);
        }
    }

    #[test]
    fn a_pair_is_nudged_once_a_day_and_three_times_in_all() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let nudged = |times: usize| vec![Nudge { fingerprint: "ab".to_owned(), at: now }; times];
        assert_eq!(next_nudge(&nudged(0), now), Some(now));
        assert_eq!(next_nudge(&nudged(1), now), Some(now + Duration::days(1)));
        assert_eq!(next_nudge(&nudged(2), now), Some(now + Duration::days(1)));
        assert_eq!(next_nudge(&nudged(3), now), None);
    }
}
