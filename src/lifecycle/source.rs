//! What is said of the material that the gateway's Secret is filled from.

use super::{
    MAX_LISTED,
    choice::{Choice, Judged},
    observed::{Slot, Source},
    plan::{CertificateSummary, Condition, ConditionStatus},
    reason::Reason,
    report::{Report, bounded, describe, first_error},
    stance::Stance,
};
use crate::certificate::{Facts, Severity};

impl Report<'_> {
    /// Where the certificate comes from.
    pub(super) fn mode(&self) -> &'static str {
        if self.observed.object.wants.gardener.is_some() { "Gardener" } else { "BYO" }
    }

    /// The condition SourceValid.
    pub(super) fn source_valid(&self) -> Condition {
        use ConditionStatus::{False, Unknown};
        let condition = |status, reason, message: String| Condition::new("SourceValid", status, reason, message);
        let wants = &self.observed.object.wants;
        let gardener = wants.gardener.is_some();
        let (name, keys, judged) = match (&wants.source, &self.observed.source, &self.candidates.source) {
            (Some(name), Source::Denied(rule), _) => {
                return condition(False, Reason::AccessDenied, format!("Secret {name} cannot be read: {rule}"));
            }
            (Some(name), Source::Present(supply), Some(judged)) => (name, &supply.keys, judged),
            _ if gardener => return self.not_issued(),
            (None, ..) => return condition(Unknown, Reason::SourceMissing, "the spec names no source".to_owned()),
            (Some(name), ..) => {
                let message = format!(
                    "Secret {name} does not exist: create it with the full chain in tls.crt and the key in tls.key"
                );
                return condition(False, Reason::SourceMissing, message);
            }
        };
        let place =
            if gardener { format!("Secret {name} (issued by Gardener)") } else { format!("Secret {name} ({keys})") };
        if judged.is_retired() {
            let revoked = matches!(&self.observed.source, Source::Present(supply) if supply.revoked);
            let message = match (revoked, gardener) {
                (true, _) => format!("{place} holds a pair that is revoked: another is asked for"),
                (false, true) => format!(
                    "{place} holds a pair that was retired: have another issued (certkeeper renew {})",
                    self.observed.object.name.name
                ),
                (false, false) => {
                    format!("{place} holds a pair that was retired by the annotation forget: supply another")
                }
            };
            return condition(False, Reason::Retired, message);
        }
        if judged.is_refused() && self.choice != Choice::Source {
            let message = format!(
                "{place}: no gateway pod took up fingerprint {}, though it was nudged, so the last good pair went back; it is not \
                 tried again until this Secret or the Gateway changes: {}",
                judged.facts.leaf().map(|leaf| leaf.fingerprint.to_string()).unwrap_or_default(),
                match gardener {
                    true => format!("have another issued (certkeeper renew {})", self.observed.object.name.name),
                    false => "supply another pair".to_owned(),
                }
            );
            return condition(False, Reason::RefusedByGateway, message);
        }
        self.judged(&place, judged, self.choice == Choice::Source)
    }

    /// What the checks say of it.
    fn judged(&self, place: &str, judged: &Judged<'_>, used: bool) -> Condition {
        use ConditionStatus::{False, True};
        let condition = |status, reason, message: String| Condition::new("SourceValid", status, reason, message);
        let unchecked = match self.observed.object.wants.domain {
            Some(_) => "",
            None => "; its hosts are not checked, as spec.domain is not set",
        };
        if judged.verdict.is_good() {
            let warnings = judged.verdict.findings.iter().filter(|f| f.severity == Severity::Warning).count();
            return match warnings {
                0 => condition(True, Reason::Valid, format!("{place}: {}{unchecked}", describe(judged.facts))),
                n => {
                    let message =
                        format!("{place}: {}{unchecked}; {n} warnings, see status.findings", describe(judged.facts));
                    condition(True, Reason::ValidWithWarnings, message)
                }
            };
        }
        let reason = if used { Reason::NothingBetter } else { Reason::Refused };
        condition(False, reason, format!("{place}: {}", first_error(judged)))
    }

    /// In Gardener mode, without anything that Gardener has issued for us: what others keep in the gateway's Secret is
    /// judged where it lies; else the last good pair counts as long as it is good.
    fn not_issued(&self) -> Condition {
        use ConditionStatus::{False, Unknown};
        let secret = &self.observed.object.wants.gateway_secret;
        let condition = |status, message: String| Condition::new("SourceValid", status, Reason::NotIssued, message);
        let stored = self.candidates.stored.as_ref().filter(|_| !matches!(self.observed.gateway, Slot::Absent));
        match (stored, self.stance) {
            (Some(stored), Stance::Observe(..)) if !stored.is_retired() => {
                self.judged(&format!("Secret {secret}"), stored, false)
            }
            (Some(stored), _) if stored.usable().is_some() && stored.verdict.is_good() => {
                let words = "nothing is issued at present, and what the gateway's Secret holds is good; see the condition Issued";
                condition(Unknown, words.to_owned())
            }
            _ => condition(False, "Gardener has issued nothing yet: see the condition Issued".to_owned()),
        }
    }

    /// What is public of what the gateway's Secret holds.
    pub(super) fn summary(&self, facts: &Facts) -> Option<CertificateSummary> {
        let leaf = facts.leaf()?;
        let fingerprint = leaf.fingerprint.to_string();
        let issued = self.gardener.issuance.as_ref().and_then(|issuance| issuance.fingerprint.as_ref());
        Some(CertificateSummary {
            renew_at: self.gardener.renew_at.filter(|_| issued == Some(&fingerprint)),
            fingerprint,
            serial: leaf.serial.clone(),
            issuer: bounded(leaf.issuer.clone()),
            dns_names: leaf.dns_names.iter().take(MAX_LISTED).cloned().map(bounded).collect(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
        })
    }
}
