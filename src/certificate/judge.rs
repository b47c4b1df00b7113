//! From facts to the verdict: the table of checks, run over the best path.

use std::cmp::Reverse;

use chrono::{DateTime, Duration, Utc};

use super::{
    Context, Facts, Finding, Severity, Verdict,
    checks::{Row, Scope, Subject, TABLE},
    path::{self, Path},
    verdict::Class,
};

/// Holds facts against a context. Total, deterministic, and bounded in time for any input.
#[must_use]
pub fn judge(facts: &Facts, context: &Context<'_>) -> Verdict {
    let path = choose(facts, context);
    let subject = Subject { facts, context, path: &path };
    let mut findings: Vec<Finding> = TABLE.iter().flat_map(|row| run(row, &subject)).collect();
    findings.sort_by_key(|finding| Reverse(finding.severity));
    Verdict { findings }
}

/// The path with the fewest errors, weighed by the gravest first; the first of equals.
fn choose<'a>(facts: &'a Facts, context: &Context<'a>) -> Path<'a> {
    let mut paths = path::all(facts, context);
    if paths.len() <= 1 {
        return paths.pop().unwrap_or_default();
    }
    let cost = |path: &Path<'_>| -> Vec<usize> {
        let subject = Subject { facts, context, path };
        let rows = TABLE.iter().filter(|row| row.scope == Scope::Path);
        let found: Vec<Finding> = rows.flat_map(|row| run(row, &subject)).collect();
        let of =
            |class: Class| found.iter().filter(|f| f.severity == Severity::Error && f.check.class == class).count();
        vec![of(Class::Unusable), of(Class::Time), of(Class::Hosts), of(Class::Chain), of(Class::Rest)]
    };
    let mut best = 0;
    let mut least = cost(&paths[0]);
    for (index, path) in paths.iter().enumerate().skip(1) {
        if least.iter().all(|count| *count == 0) {
            break;
        }
        let this = cost(path);
        // A path to a given root is never given up for one that leads nowhere.
        if this < least && (path.anchored || !paths[best].anchored) {
            (best, least) = (index, this);
        }
    }
    paths.swap_remove(best)
}

/// Runs one check and gives its findings the severity that counts here.
fn run(row: &'static Row, subject: &Subject<'_>) -> Vec<Finding> {
    let context = subject.context;
    let Some(severity) = severity(row, context) else { return Vec::new() };
    let found = (row.run)(subject);
    let finding = |found: super::checks::Found| Finding {
        check: row.check,
        severity,
        message: found.message,
        location: found.location,
        remedy: found.remedy,
    };
    found.into_iter().map(finding).collect()
}

/// `None` if a person switched the check off. What a gateway could not serve at all is beyond anybody's say.
fn severity(row: &Row, context: &Context<'_>) -> Option<Severity> {
    let own = if context.strict && row.strict { Severity::Error } else { row.check.severity };
    let listed = |names: &[String]| names.iter().any(|name| name == row.check.name);
    if row.check.class == Class::Unusable {
        Some(own)
    } else if listed(context.ignore) {
        None
    } else if listed(context.warn) {
        Some(own.min(Severity::Warning))
    } else {
        Some(own)
    }
}

/// The earliest instant strictly after `context.now` at which [`judge`] may answer differently although nothing
/// but time has passed: a certificate's (or the staple's) start, end, or coming near its end.
#[must_use]
pub fn next_change(facts: &Facts, context: &Context<'_>) -> Option<DateTime<Utc>> {
    let roots = context.roots.map(super::Roots::certificates).unwrap_or_default();
    let supplied = facts.chain().iter().chain(&facts.chain.unrelated);
    let certificates = supplied.chain(roots).flat_map(|certificate| {
        [
            Some(certificate.not_before),
            after(certificate.not_after),
            certificate.not_after.checked_sub_signed(context.expires_soon),
        ]
    });
    let staple = match &facts.staple {
        Some(super::staple::StapleFacts::Read { this_update, next_update, .. }) => {
            [Some(*this_update), next_update.and_then(after)]
        }
        _ => [None, None],
    };
    let lists = context.revocations.map(super::RevocationLists::all).unwrap_or_default();
    let lists = lists.iter().flat_map(|list| [Some(list.this_update), list.next_update.and_then(after)]);
    certificates.chain(staple).chain(lists).flatten().filter(|instant| *instant > context.now).min()
}

/// An end is the last second that counts (RFC 5280, 4.1.2.5): the change comes one second later.
fn after(end: DateTime<Utc>) -> Option<DateTime<Utc>> {
    end.checked_add_signed(Duration::seconds(1))
}
