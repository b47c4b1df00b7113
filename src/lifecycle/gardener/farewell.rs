//! What was requested goes with the object that it was requested for. Gardener deletes no Secret with its Certificate
//! (FACTS, "Measured here"), so that it is deleted here.

use super::{CertificateWrite, Sight, plan::belongs};
use crate::lifecycle::observed::{ObjectName, Observed, Version};

/// What is left to be done.
#[derive(Debug)]
pub(in crate::lifecycle) enum Farewell {
    /// Nothing.
    Nothing,
    /// It is being done, or was not looked at yet.
    Wait,
    /// The Certificate goes first: it would have its Secret filled again.
    Certificate(Box<CertificateWrite>),
    /// Then the Secret.
    Secret(Version),
}

/// Decides what is next.
pub(in crate::lifecycle) fn farewell(observed: &Observed) -> Farewell {
    let object = &observed.object;
    let ours = object.wants.gardener.as_ref().is_some_and(|wants| !wants.watched);
    if !ours && object.previous.issuance.is_none() {
        return Farewell::Nothing;
    }
    let named = object.previous.issuance.as_ref().map(|issuance| issuance.certificate.clone());
    let name = named.unwrap_or_else(|| object.name.name.clone());
    match &observed.gardener.certificate {
        Sight::Pending => return Farewell::Wait,
        Sight::Present(certificate) if belongs(observed, certificate) => {
            let target = ObjectName::new(&object.name.namespace, name);
            return match certificate.deleting || observed.gardener.failure.is_some() {
                true => Farewell::Wait,
                false => Farewell::Certificate(Box::new(CertificateWrite::Delete {
                    target,
                    base: certificate.version.clone(),
                })),
            };
        }
        // Somebody else's stays, and so does the Secret that it may have filled.
        Sight::Present(_) => return Farewell::Nothing,
        Sight::NotLookedAt | Sight::Denied(_) | Sight::NotInstalled | Sight::Absent => {}
    }
    observed.orphan.clone().map_or(Farewell::Nothing, Farewell::Secret)
}
