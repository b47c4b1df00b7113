//! The write of the Certificate that is requested of Gardener. What is in its way is in nobody else's: what the gateway
//! serves is taken care of all the same.

use kube::Client;

use super::tries::{State, Tries};
use crate::{
    api::GatewayCertificate,
    cluster::{error::CallError, gardener, gardener::GardenerStore},
    lifecycle::{
        Observed,
        gardener::{CertificateWrite, Push, Sight},
    },
};

/// Puts the failure of the last try into what was observed, until it is time for another.
pub(super) fn recall(tries: &Tries, observed: &mut Observed) {
    observed.gardener.failure = tries.recall(&observed.object.name, &state(observed));
}

/// Writes the Certificate, and puts what became of that into `observed`.
///
/// # Errors
/// [`CallError::Stale`] when the Certificate is not in the state that was decided on.
pub(super) async fn write(
    tries: &Tries,
    client: &Client,
    store: &GardenerStore,
    write: &CertificateWrite,
    (object, observed): (&GatewayCertificate, &mut Observed),
) -> Result<(), CallError> {
    let (name, target) = (observed.object.name.clone(), write.target());
    let error = match gardener::write(client, write, object).await {
        Ok(written) => {
            tracing::info!(object = %name, certificate = %target, "{}", words(write));
            store.note(target, written.as_ref(), &name);
            tries.succeeded(&name);
            let seen = store.look(&observed.object).certificate;
            observed.gardener.certificate = seen;
            return Ok(());
        }
        // So that the next decision is not made on old news.
        Err(CallError::Stale) => match gardener::look(client, target).await {
            Ok(found) => {
                store.note(target, found.as_ref(), &name);
                return Err(CallError::Stale);
            }
            Err(error) => error,
        },
        Err(error) => error,
    };
    let CallError::Failed(kind, words) = error else { return Err(error) };
    let wait = tries.failed(&name, state(observed), kind, &words);
    tracing::warn!(object = %name, certificate = %target, retry_in = ?wait, "the Certificate is not written: {words}");
    observed.gardener.failure = Some((kind, words));
    Ok(())
}

fn words(write: &CertificateWrite) -> String {
    match write {
        CertificateWrite::Request { request, .. } => format!("requested for {}", request.names.join(", ")),
        CertificateWrite::Push { pushes, .. } => {
            format!("pushed: {}", pushes.last().map(|push: &Push| push.step.to_string()).unwrap_or_default())
        }
        CertificateWrite::Delete { .. } => "deleted: nobody needs it any more".to_owned(),
    }
}

fn state(observed: &Observed) -> State {
    let version = match &observed.gardener.certificate {
        Sight::Present(certificate) => Some(certificate.version.clone()),
        _ => None,
    };
    (version, observed.object.generation)
}
