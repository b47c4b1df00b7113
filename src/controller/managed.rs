//! The write of the Gateway that is managed. What is in its way is in nobody else's: the pair, its copies and the pods are
//! taken care of all the same.

use kube::Client;

use super::tries::{State, Tries};
use crate::{
    cluster::{error::CallError, gateway_object, mesh::MeshStore},
    lifecycle::{
        FailureKind, Observed,
        gateway_object::{GatewayObject, GatewayWrite, Gateways},
    },
};

/// Puts the failure of the last try into what was observed, until it is time for another.
pub(super) fn recall(tries: &Tries, observed: &mut Observed) {
    if let Some((kind, words)) = tries.recall(&observed.object.name, &state(observed)) {
        refuse(observed, kind, words);
    }
}

/// Writes the Gateway. `Ok(false)`: it failed, which was put into `observed` to be told.
///
/// # Errors
/// [`CallError::Stale`] when the Gateway is not in the state that was decided on.
pub(super) async fn write(
    tries: &Tries,
    client: &Client,
    mesh: &MeshStore,
    write: &GatewayWrite,
    observed: &mut Observed,
) -> Result<bool, CallError> {
    let name = observed.object.name.clone();
    let error = match gateway_object::write(client, write, &name).await {
        Ok(written) => {
            tracing::info!(object = %name, gateway = %write.target, "{}", write.entry.message);
            mesh.note(&write.target, Some(&written), &name);
            tries.succeeded(&name);
            return Ok(true);
        }
        // So that the next decision is not made on old news.
        Err(CallError::Stale) => match gateway_object::look(client, &write.target).await {
            Ok(found) => {
                mesh.note(&write.target, found.as_ref(), &name);
                return Err(CallError::Stale);
            }
            Err(error) => error,
        },
        Err(error) => error,
    };
    let CallError::Failed(kind, words) = error else { return Err(error) };
    let wait = tries.failed(&name, state(observed), kind, &words);
    tracing::warn!(object = %name, gateway = %write.target, retry_in = ?wait, "the Gateway is not written: {words}");
    refuse(observed, kind, words);
    Ok(false)
}

fn refuse(observed: &mut Observed, kind: FailureKind, words: String) {
    if let Gateways::Known(all) = &mut observed.gateways {
        observed.gateways = Gateways::Refused(std::mem::take(all), kind, words);
    }
}

fn state(observed: &Observed) -> State {
    let all: &[GatewayObject] = match &observed.gateways {
        Gateways::Known(all) | Gateways::Refused(all, ..) => all,
        _ => &[],
    };
    let gateway = all.iter().find(|object| object.gateway.name == observed.object.wants.gateway);
    (gateway.map(|object| object.facts.version.clone()), observed.object.generation)
}
