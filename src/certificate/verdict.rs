//! What the checks answer: findings, and the verdict made of them.

use std::fmt;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing to do.
    Info,
    /// Works today, but somebody should act.
    Warning,
    /// The material is refused.
    Error,
}

impl Severity {
    /// The word used in tables, statuses and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What kind of harm an error-level finding of a check does: law 1's order, gravest last.
///
/// `Unusable` is the absolute part of law 1 (Envoy would refuse it, or there is nothing to serve);
/// the others only refuse material that is worse than what is stored already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Everything that is none of the below.
    Rest,
    /// The chain is broken: clients may not find a path to a root.
    Chain,
    /// Some required host is not covered.
    Hosts,
    /// Expired or not yet valid.
    Time,
    /// A gateway could not serve it at all.
    Unusable,
}

/// One named check: an entry of the table that `certkeeper check --list` prints.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// Stable kebab-case name, used in statuses, in JSON and in `spec.checks`.
    pub name: &'static str,
    /// Severity unless a person lowered it.
    pub severity: Severity,
    /// What harm an error of this check does.
    pub class: Class,
    /// What it looks for, in a sentence.
    pub meaning: &'static str,
    /// Where the rule comes from: an RFC section, a project's file, a measurement.
    pub source: &'static str,
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check that found it.
    pub check: &'static Check,
    /// The check's severity, or the lower one that a person asked for.
    pub severity: Severity,
    /// What was found and what was expected. Never key material.
    pub message: String,
    /// The block it is about: `certificate 2 of 3, CN=…`, `private key`, …
    pub location: String,
    /// What the person should do next.
    pub remedy: String,
}

/// All findings on one piece of material, gravest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Errors first, then warnings, then information; within one severity in the table's order.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// The findings of error level.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.severity == Severity::Error)
    }

    /// No error among the findings.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.errors().next().is_none()
    }

    /// Some gateway would refuse it or could not use it (law 1's absolute part).
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        self.errors().any(|f| f.check.class == Class::Unusable)
    }
}
