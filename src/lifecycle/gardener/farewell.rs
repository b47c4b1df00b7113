//! What was requested goes with the object that it was requested for. Gardener deletes no Secret with its Certificate
//! (FACTS, "Measured here"), so that it is deleted here.

use super::{
    CertificateWrite, Sight,
    plan::{belongs, orphan},
};
use crate::lifecycle::observed::{Observed, Version};

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
    let requests = object.wants.gardener.as_ref().is_some_and(|wants| !wants.watched);
    let requested = object.previous.issuance.as_ref().is_some_and(|issuance| issuance.requested.is_some());
    if !requests && !requested {
        return Farewell::Nothing;
    }
    match &observed.gardener.certificate {
        Sight::Pending => return Farewell::Wait,
        Sight::Present(certificate) if belongs(observed, certificate) => {
            let target = object.name.clone();
            return match certificate.deleting || observed.gardener.failure.is_some() {
                true => Farewell::Wait,
                false => Farewell::Certificate(Box::new(CertificateWrite::Delete {
                    target,
                    base: certificate.version.clone(),
                })),
            };
        }
        // Somebody else's stays, and so does the Secret that it may have filled; so does one that may be filled again.
        Sight::Present(_) | Sight::Denied(_) | Sight::NotLookedAt => return Farewell::Nothing,
        Sight::NotInstalled | Sight::Absent => {}
    }
    orphan(observed).map_or(Farewell::Nothing, Farewell::Secret)
}
