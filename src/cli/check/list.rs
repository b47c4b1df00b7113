//! `certkeeper check --list`, and the names that `--warn` and `--ignore` take.

use serde::Serialize;

use super::{all_checks, render};
use crate::{
    certificate::{Check, Class},
    cli::answer::{Look, Output},
};

/// The list, for programs.
#[derive(Serialize)]
struct List {
    checks: Vec<Entry>,
}

/// A row of the list, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: &'static str,
    severity: &'static str,
    /// What harm an error does: the order in which certkeeper weighs bad material against worse.
    class: &'static str,
    /// `--warn` and `--ignore` take it.
    lowerable: bool,
    meaning: &'static str,
    source: &'static str,
}

impl From<&'static Check> for Entry {
    fn from(check: &'static Check) -> Self {
        Self {
            name: check.name,
            severity: check.severity.as_str(),
            class: match check.class {
                Class::Unusable => "unusable",
                Class::Time => "time",
                Class::Hosts => "hosts",
                Class::Chain => "chain",
                Class::Rest => "rest",
            },
            lowerable: is_lowerable(check),
            meaning: check.meaning,
            source: check.source,
        }
    }
}

/// Nobody may wave through what a gateway could not serve at all (law 1).
fn is_lowerable(check: &Check) -> bool {
    check.class != Class::Unusable
}

/// The whole list.
pub(super) fn list(output: Output, look: &Look) -> Result<String, String> {
    let entries = || List { checks: all_checks().map(Entry::from).collect() };
    match output {
        Output::Table => Ok(render::list(all_checks(), look)),
        Output::Json => serde_json::to_string_pretty(&entries()).map_err(|e| e.to_string()),
        Output::Yaml => serde_saphyr::to_string(&entries()).map_err(|e| e.to_string()),
    }
}

/// The name of a check. Those of class `Unusable` may be named, as in `spec.checks`, without effect.
pub(super) fn name(name: &str) -> Result<String, String> {
    let name = name.trim();
    if all_checks().any(|check| check.name == name) {
        return Ok(name.to_owned());
    }
    Err(match near(name).as_slice() {
        [] => "there is no such check: see certkeeper check --list".to_owned(),
        near => format!("there is no such check: did you mean {}? See certkeeper check --list", near.join(" or ")),
    })
}

/// At most three names that somebody may have meant, the nearest first.
fn near(name: &str) -> Vec<&'static str> {
    let contains = |check: &str| name.len() > 2 && (check.contains(name) || name.contains(check));
    let mut near: Vec<(usize, &str)> = all_checks()
        .map(|check| (if contains(check.name) { 1 } else { distance(name, check.name) }, check.name))
        .filter(|(distance, _)| *distance <= 3)
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// How many characters must be put in, left out or exchanged to make one of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate().take(64) {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let exchanged = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_are_offered_for_an_unknown_one() {
        assert_eq!(near("expires-son").first(), Some(&"expires-soon"));
        assert_eq!(near("wildcard").first().map(|name| name.contains("wildcard")), Some(true));
        assert!(near("zzzzzzzzzz").is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn the_list_says_which_checks_may_be_lowered() {
        let entry = |name| all_checks().find(|check| check.name == name).map(Entry::from).expect("it exists");
        assert!(entry("expired").lowerable);
        assert!(!entry("pair-mismatch").lowerable, "a gateway could not serve it at all");
    }

    #[test]
    fn no_two_checks_have_the_same_name() {
        let mut names: Vec<_> = all_checks().map(|check| check.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
