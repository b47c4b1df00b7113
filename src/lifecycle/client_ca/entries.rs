//! What is told of the client CA's Secret: entries of the history, which are events, too.

use super::{ClientCaSummary, Decision, Undo};
use crate::lifecycle::{
    plan::{Action, Entry},
    reason::Reason,
    report::entry,
};

impl Decision<'_> {
    /// What the `-cacert` Secret holds once the plan is carried out.
    pub(in crate::lifecycle) fn summary(&self) -> Option<ClientCaSummary> {
        if !self.is_asked() {
            // What was ours stays noted until it is released.
            let owed = *self.stance != super::Stance::Manage || self.observed.failure.is_some();
            return self.observed.object.previous.client_ca.clone().filter(|_| owed);
        }
        let judged = if self.action.is_some() { self.source.as_ref() } else { self.stored.as_ref() }?;
        Some(ClientCaSummary {
            fingerprint: judged.facts.fingerprint()?.to_string(),
            certificates: judged.facts.certificates().len(),
            not_after: judged.facts.end(self.now),
        })
    }

    /// What this plan adds to the history.
    pub(in crate::lifecycle) fn entries(&self) -> Vec<Entry> {
        let secret = self.secret();
        match &self.action {
            Some(Action::WriteClientCa(write)) => return vec![write.entry.clone()],
            Some(Action::Release { .. }) => {
                let message = format!("Secret {secret} is no longer kept, as spec.clientCA is gone: its content stays");
                return vec![entry(self.now, Reason::ClientCaReleased, message, None, false)];
            }
            _ => {}
        }
        // A crash between the write and its status: the Secret itself tells that it was promoted.
        let Some(stored) = self.kept().filter(|stored| stored.is_as_we_wrote()) else { return Vec::new() };
        let known = self.observed.object.previous.client_ca.as_ref().map(|before| before.fingerprint.clone());
        let (ours, found) = (stored.is_of(&self.observed.object.name), stored.fingerprint());
        let told = self.observed.failure.iter().flat_map(|failure| &failure.done);
        let again = told.map(|entry| entry.reason.as_str()).any(|reason| reason.starts_with("ClientCa"));
        match found {
            Some(fingerprint) if ours && self.is_asked() && !again && known.as_ref() != Some(&fingerprint) => {
                vec![entry(self.now, Reason::ClientCaPromoted, self.promoted(&fingerprint), None, false)]
            }
            _ => Vec::new(),
        }
    }

    fn promoted(&self, fingerprint: &str) -> String {
        format!("Secret {} holds the supplied client CA now: fingerprint {fingerprint}", self.secret())
    }

    pub(super) fn created(&self, fingerprint: &str) -> Entry {
        if self.observed.object.previous.client_ca.is_some() {
            let secret = self.secret();
            let message =
                format!("Secret {secret} was deleted and is restored: client CA with fingerprint {fingerprint}");
            return entry(self.now, Reason::ClientCaRestored, message, None, true);
        }
        let Some((key, _)) = self.other_beside() else {
            return entry(self.now, Reason::ClientCaPromoted, self.promoted(fingerprint), None, false);
        };
        let gateway = &self.observed.object.wants.gateway_secret;
        let message = format!(
            "{}; until now a gateway in mode MUTUAL read other CA certificates, in key {key} of its own Secret {gateway}: \
             clients of those are let in no more. They stay there, out of force",
            self.promoted(fingerprint)
        );
        entry(self.now, Reason::ClientCaPromoted, message, None, true)
    }

    pub(super) fn updated(&self, fingerprint: &str, drift: Option<&Undo>) -> Entry {
        let secret = self.secret();
        if let Some(Undo { manager, .. }) = drift {
            let message = format!(
                "Secret {secret} was changed by field manager \"{manager}\" and is restored to the client CA with \
                 fingerprint {fingerprint}: supply CA certificates through spec.clientCA, not in this Secret"
            );
            return entry(self.now, Reason::ClientCaRestored, message, Some(manager.clone()), true);
        }
        // A block of the value goes with the value. (A key beside it stays.)
        let list = self.kept().filter(|stored| stored.facts.holds_revocations());
        let lost = list.map_or_else(String::new, |stored| {
            let key = if stored.key == "cacert" { "crl" } else { "ca.crl" };
            format!("; the revocation list among its certificates is gone with that: put it into key {key} yourself")
        });
        let (reason, message) = if self.holds_source() {
            let message =
                format!("Secret {secret} is kept by this object now: client CA with fingerprint {fingerprint}");
            (Reason::Adopted, message)
        } else {
            (Reason::ClientCaPromoted, self.promoted(fingerprint))
        };
        entry(self.now, reason, format!("{message}{lost}"), None, !lost.is_empty())
    }

    /// CA certificates in the gateway's own Secret that are not those of the desired bundle: their key and place.
    pub(super) fn other_beside(&self) -> Option<(&'static str, Option<String>)> {
        let beside = self.observed.client_ca.beside.as_ref()?;
        let judged = if self.choice == super::Choice::Source { self.source.as_ref() } else { self.stored.as_ref() };
        let wanted = judged.and_then(|judged| judged.facts.fingerprint());
        let found = beside.facts.fingerprint();
        (found != wanted).then(|| (beside.key, found.map(|fingerprint| fingerprint.short())))
    }
}
