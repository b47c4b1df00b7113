//! Which pair the gateway should have (laws 1 and 2).

use super::{
    observed::{Observed, Slot, Source, Stored},
    order::Badness,
    reload::Refusal,
};
use crate::certificate::{Context, Facts, Pair, Verdict, judge};

/// A piece of material with what is thought of it.
#[derive(Debug)]
pub(super) struct Judged<'a> {
    pub(super) facts: &'a Facts,
    pub(super) verdict: Verdict,
    badness: Badness,
    retired: bool,
    refused: bool,
}

impl<'a> Judged<'a> {
    pub(super) fn new(facts: &'a Facts, context: &Context<'_>, forget: &[String], refused: &[Refusal]) -> Self {
        let verdict = judge(facts, context);
        let badness = Badness::of(facts, &verdict);
        let fingerprint = facts.leaf().map(|leaf| leaf.fingerprint.to_string());
        let retired = fingerprint.as_ref().is_some_and(|ours| forget.contains(ours));
        let refused = fingerprint.is_some_and(|ours| refused.iter().any(|refusal| refusal.fingerprint == ours));
        Self { facts, verdict, badness, retired, refused }
    }

    /// The pair, if a gateway could serve it and neither a person retired it nor the gateway refused it.
    pub(super) fn usable(&self) -> Option<&'a Pair> {
        if self.retired || self.refused || self.verdict.is_unusable() { None } else { self.facts.pair() }
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired
    }

    /// No gateway pod took it up, and something else was put back.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

    pub(super) fn is_worse_than(&self, other: &Self) -> bool {
        self.badness.is_worse_than(&other.badness)
    }

    pub(super) fn has_graver_errors_than(&self, other: &Self) -> bool {
        self.badness.has_graver_errors_than(&other.badness)
    }

    /// Law 1: refused only with errors, and only where it would be worse than what is there.
    fn may_replace(&self, other: Option<&Self>) -> bool {
        self.usable().is_some() && (self.verdict.is_good() || other.is_none_or(|other| !self.is_worse_than(other)))
    }
}

/// Everything that could be served, judged at one time.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    pub(super) source: Option<Judged<'a>>,
    pub(super) stored: Option<Judged<'a>>,
    pub(super) keepsake: Option<Judged<'a>>,
}

/// Where the pair that the gateway should have comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// What people supplied.
    Source,
    /// What is stored already.
    Stored,
    /// The last good pair, put back.
    KeepSake,
    /// There is no usable pair.
    Nothing,
}

impl<'a> Candidates<'a> {
    /// Judges them. `refused`: what the gateway refused; unless nothing else is left, that counts as unusable.
    pub(super) fn new(observed: &'a Observed, context: &Context<'_>, refused: &[Refusal]) -> Self {
        let forget = &observed.object.forget;
        let slot = |slot: &'a Slot| slot.stored().map(|stored| Judged::new(&stored.facts, context, forget, refused));
        Self {
            source: match &observed.source {
                Source::Present(supply) => Some(Judged::new(&supply.facts, context, forget, refused)),
                _ => None,
            },
            stored: slot(&observed.gateway),
            keepsake: match observed.keepsake.stored() {
                Some(stored) if is_ours(observed, stored) => slot(&observed.keepsake),
                _ => None,
            },
        }
    }

    /// The pair of a choice.
    pub(super) fn pair(&self, choice: Choice) -> Option<&'a Pair> {
        self.judged(choice).and_then(Judged::usable)
    }

    pub(super) fn judged(&self, choice: Choice) -> Option<&Judged<'a>> {
        match choice {
            Choice::Source => self.source.as_ref(),
            Choice::Stored => self.stored.as_ref(),
            Choice::KeepSake => self.keepsake.as_ref(),
            Choice::Nothing => None,
        }
    }

    /// Decides. `untouched`: the stored pair is as we wrote it, so it is no drift.
    pub(super) fn choose(&self, untouched: bool) -> Choice {
        let stored = self.stored.as_ref().filter(|stored| stored.usable().is_some());
        let keepsake = self.keepsake.as_ref().filter(|keepsake| keepsake.usable().is_some());
        let best = match (stored, keepsake) {
            (Some(stored), Some(keepsake)) if stored.is_worse_than(keepsake) => Some(keepsake),
            (Some(stored), _) => Some(stored),
            (None, keepsake) => keepsake,
        };
        if self.source.as_ref().is_some_and(|source| source.may_replace(best)) {
            return Choice::Source;
        }
        match (stored, keepsake) {
            (Some(_), _) if untouched => Choice::Stored,
            // Drift: what we wrote goes back, unless the edit is the better of the two.
            (Some(stored), Some(keepsake)) if keepsake.may_replace(Some(stored)) => Choice::KeepSake,
            (Some(_), _) => Choice::Stored,
            (None, Some(_)) => Choice::KeepSake,
            (None, None) => Choice::Nothing,
        }
    }
}

/// A Secret that carries our owner annotation for this object.
pub(super) fn is_ours(observed: &Observed, stored: &Stored) -> bool {
    stored.owner.as_deref() == Some(observed.object.name.to_string().as_str())
}

/// The same leaf, key and chain. A key that matches the same leaf is the same key; bytes are not compared, as a
/// nudge writes the same pair in other bytes.
pub(super) fn same_pair(stored: &Facts, pair: &Pair) -> bool {
    stored.pair().is_some_and(|have| have.same_as(pair))
}
