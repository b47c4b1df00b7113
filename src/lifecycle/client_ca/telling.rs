//! The words of a status about the client CA. It has no conditions of its own: `SourceValid` and `SecretCurrent` are
//! about everything that was supplied and everything that the gateway reads.

use super::{Bundle, Choice, Decision, Judged, Kept};
use crate::{
    certificate::{Authorities, Severity},
    lifecycle::{
        MAX_LISTED,
        plan::{Condition, ConditionStatus, FindingSummary},
        reason::Reason,
        report::{bounded, findings, timestamp},
        stance::Stance,
    },
};

impl Decision<'_> {
    /// The pair's condition with what there is to say of the client CA. The pair's trouble comes first.
    pub(in crate::lifecycle) fn source_valid(&self, pair: Condition) -> Condition {
        if !self.is_asked() {
            return pair;
        }
        match self.source_trouble() {
            Some(trouble) => with_trouble(pair, trouble),
            None => {
                let Some(source) = &self.source else { return pair };
                let warnings = source.verdict.findings.iter().filter(|f| f.severity == Severity::Warning).count();
                let mut told = format!("client CA: {}: {}", self.source_place(), self.describe(source.facts));
                if warnings > 0 {
                    told += &format!("; {warnings} warnings, see status.findings");
                }
                let valid = pair.reason == Reason::Valid.as_str() && warnings > 0;
                with_note(pair, &told, valid.then_some(Reason::ValidWithWarnings))
            }
        }
    }

    /// What the source Secret is called, and its key.
    fn source_place(&self) -> String {
        let name = self.observed.object.wants.client_ca.as_ref().map(ToString::to_string).unwrap_or_default();
        match &self.observed.client_ca.source {
            Bundle::Present(bundle) => format!("Secret {name} (key {})", bundle.key),
            _ => format!("Secret {name}"),
        }
    }

    fn source_trouble(&self) -> Option<(Reason, String)> {
        let place = self.source_place();
        let source = match (&self.observed.client_ca.source, &self.source) {
            (Bundle::Denied(rule), _) => {
                return Some((Reason::AccessDenied, format!("client CA: {place} cannot be read: {rule}")));
            }
            (_, Some(source)) => source,
            _ => {
                let message =
                    format!("client CA: {place} does not exist: create it with the CA certificates in ca.crt");
                return Some((Reason::ClientCaMissing, message));
            }
        };
        if source.verdict.is_good() {
            return None;
        }
        let reason = if self.choice == Choice::Source { Reason::NothingBetter } else { Reason::ClientCaRefused };
        Some((reason, format!("client CA: {place}: {}", first_error(source))))
    }

    /// The pair's condition with what there is to say of the `-cacert` Secret. The pair's trouble comes first.
    pub(in crate::lifecycle) fn secret_current(&self, pair: Condition) -> Condition {
        if !self.is_asked() || self.observed.failure.is_some() {
            return pair;
        }
        if let Some(trouble) = self.secret_trouble() {
            return with_trouble(pair, trouble);
        }
        let secret = self.secret();
        let judged = if self.choice == Choice::Source { self.source.as_ref() } else { self.stored.as_ref() };
        let Some(judged) = judged else { return pair };
        let fingerprint = judged.facts.fingerprint().map(|f| f.to_string()).unwrap_or_default();
        let what = self.describe(judged.facts);
        let mut told = format!("Secret {secret} holds the client CA: {what}, fingerprint {fingerprint}");
        let kept = self.choice == Choice::Stored && !self.holds_source();
        if kept {
            told += "; the supplied client CA is not usable, so this one stays";
            if let Some(stored) = self.kept().filter(|stored| stored.mark.is_some() && !stored.is_as_we_wrote()) {
                let who = stored.last_writer.as_ref().map_or("somebody", |writer| writer.manager.as_str());
                told += &format!(" (it is not as certkeeper wrote it: field manager \"{who}\" changed it)");
            }
        }
        if let Some((key, found)) = self.other_beside() {
            let gateway = &self.observed.object.wants.gateway_secret;
            let found =
                found.map_or_else(|| "none that can be read".to_owned(), |found| format!("fingerprint {found}…"));
            told += &format!(
                "; key {key} of Secret {gateway} holds other CA certificates ({found}), out of force while {secret} exists: \
                 remove that key if they shall not come back"
            );
        }
        let current = pair.reason == Reason::Current.as_str();
        with_note(pair, &told, (kept && current).then_some(Reason::LastGoodKept))
    }

    fn secret_trouble(&self) -> Option<(Reason, String)> {
        let secret = self.secret();
        if let Some((reason, message)) = &self.obstacle {
            return Some((*reason, format!("client CA: {message}")));
        }
        if let Stance::Observe(reason, _) = self.stance {
            let differs = self.choice != Choice::Nothing && self.source.is_some() && !self.holds_source();
            let message = format!("client CA: Secret {secret} does not hold the supplied one, and is not written");
            return differs.then_some((*reason, message));
        }
        if self.choice != Choice::Nothing {
            return None;
        }
        let there = match &self.observed.client_ca.stored {
            Kept::Absent => format!("Secret {secret} does not exist"),
            _ => format!("what Secret {secret} holds is not usable either"),
        };
        let message = format!(
            "client CA: {there}, and no usable one is supplied, see the condition SourceValid; nothing is written"
        );
        Some((Reason::NothingToWrite, message))
    }

    /// What the checks found on the supplied client CA (on the stored one where none is there), among the pair's.
    pub(in crate::lifecycle) fn with_findings(&self, mut pair: Vec<FindingSummary>) -> Vec<FindingSummary> {
        let judged = self.source.as_ref().or(self.stored.as_ref()).filter(|_| self.is_asked());
        let own = judged.map(|judged| findings(&judged.verdict)).unwrap_or_default();
        pair.extend(own.into_iter().map(|finding| match finding.location.as_str() {
            "client CA" => finding,
            place => FindingSummary { location: bounded(format!("client CA, {place}")), ..finding },
        }));
        let rank = |finding: &FindingSummary| match finding.severity.as_str() {
            "error" => 0,
            "warning" => 1,
            _ => 2,
        };
        pair.sort_by_key(rank);
        pair.truncate(MAX_LISTED);
        pair
    }

    fn describe(&self, facts: &Authorities) -> String {
        let (count, usable) = (facts.certificates().len(), facts.usable(self.now));
        let plural = if count == 1 { "" } else { "s" };
        let most = if usable < count { format!(" ({usable} of them usable)") } else { String::new() };
        let end = facts.end(self.now).map(|end| format!(", valid until {}", timestamp(end))).unwrap_or_default();
        format!("{count} CA certificate{plural}{most}{end}")
    }
}

/// Trouble makes a condition False that was not, and follows the pair's own trouble.
fn with_trouble(pair: Condition, (reason, message): (Reason, String)) -> Condition {
    if pair.status == ConditionStatus::False {
        return with_note(pair, &message, None);
    }
    Condition::new(&pair.kind, ConditionStatus::False, reason, message)
}

fn with_note(pair: Condition, note: &str, reason: Option<Reason>) -> Condition {
    let message = bounded(format!("{}; {note}", pair.message));
    Condition { message, reason: reason.map_or(pair.reason, |reason| reason.as_str().to_owned()), ..pair }
}

fn first_error(judged: &Judged<'_>) -> String {
    let count = judged.verdict.errors().count();
    let Some(first) = judged.verdict.errors().next() else { return String::new() };
    let more = if count > 1 { format!(" (and {} more errors, see status.findings)", count - 1) } else { String::new() };
    format!("{}: {}; {}{more}", first.location, first.message, first.remedy)
}
