//! Law 1's order: which of two pairs is worse.

use std::cmp::{Ordering, Reverse};

use chrono::{DateTime, Utc};

use crate::certificate::{Class, Facts, Verdict};

/// How bad a pair is; a greater value is worse. Compared class by class, the gravest first, by the number of
/// error-level findings; with the same findings the one that ends earlier is worse.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Badness {
    unusable: usize,
    time: usize,
    hosts: usize,
    chain: usize,
    rest: usize,
    end: Reverse<Option<DateTime<Utc>>>,
}

impl Badness {
    /// The badness of what the verdict is about.
    #[must_use]
    pub fn of(facts: &Facts, verdict: &Verdict) -> Self {
        let count = |class| verdict.errors().filter(|finding| finding.check.class == class).count();
        Self {
            unusable: count(Class::Unusable),
            time: count(Class::Time),
            hosts: count(Class::Hosts),
            chain: count(Class::Chain),
            rest: count(Class::Rest),
            end: Reverse(facts.leaf().map(|leaf| leaf.not_after)),
        }
    }

    /// Law 1: strictly worse than the other.
    #[must_use]
    pub fn is_worse_than(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Greater
    }

    /// Worse by its errors alone. What was served already is not judged by its end anew (law 1): a pair that was
    /// renewed always ends before the one that took its place.
    #[must_use]
    pub fn has_graver_errors_than(&self, other: &Self) -> bool {
        let errors = |one: &Self| [one.unusable, one.time, one.hosts, one.chain, one.rest];
        errors(self) > errors(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn badness(counts: [usize; 5], end: i64) -> Badness {
        let [unusable, time, hosts, chain, rest] = counts;
        Badness { unusable, time, hosts, chain, rest, end: Reverse(DateTime::from_timestamp(end, 0)) }
    }

    #[test]
    fn an_expired_pair_is_worse_than_any_number_of_lesser_errors() {
        assert!(badness([0, 1, 0, 0, 0], 9).is_worse_than(&badness([0, 0, 5, 5, 5], 1)));
    }

    #[test]
    fn what_goes_back_is_compared_by_errors_and_not_by_its_end() {
        let (early, late) = (badness([0; 5], 1), badness([0; 5], 9));
        assert!(early.is_worse_than(&late) && !early.has_graver_errors_than(&late));
        assert!(badness([0, 1, 0, 0, 0], 9).has_graver_errors_than(&early));
    }

    #[test]
    fn wrong_hosts_are_worse_than_a_broken_chain_and_that_is_worse_than_the_rest() {
        assert!(badness([0, 0, 1, 0, 0], 9).is_worse_than(&badness([0, 0, 0, 3, 3], 1)));
        assert!(badness([0, 0, 0, 1, 0], 9).is_worse_than(&badness([0, 0, 0, 0, 3], 1)));
    }

    #[test]
    fn with_equal_errors_the_earlier_end_is_worse_and_an_equal_end_is_not() {
        assert!(badness([0; 5], 1).is_worse_than(&badness([0; 5], 2)));
        assert!(!badness([0; 5], 2).is_worse_than(&badness([0; 5], 2)));
        assert!(!badness([0; 5], 3).is_worse_than(&badness([0; 5], 2)));
    }
}
