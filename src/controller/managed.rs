//! The write of the Gateway that is managed, and what became of the last try. What is in its way is in nobody else's:
//! the pair, its copies and the pods are taken care of all the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::Client;
use tokio::time::Instant;

use super::{FIRST_RETRY, LAST_RETRY};
use crate::{
    cluster::{error::CallError, gateway_object, mesh::MeshStore},
    lifecycle::{
        FailureKind, ObjectName, Observed, Version,
        gateway_object::{GatewayObject, GatewayWrite, Gateways},
    },
};

/// The last try for each object, where it failed. It lives in memory: after a restart one earlier try is the only effect.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<BTreeMap<ObjectName, Failed>>);

/// A try that failed.
#[derive(Debug)]
struct Failed {
    /// The state of the Gateway and the generation of the object that it was made on: with others it may succeed.
    on: (Option<Version>, i64),
    kind: FailureKind,
    words: String,
    count: u32,
    again: Instant,
}

impl Tries {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Failed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets objects that are gone.
    pub(super) fn sweep(&self, alive: &BTreeSet<ObjectName>) {
        self.lock().retain(|name, _| alive.contains(name));
    }

    /// Puts the failure of the last try into what was observed, until it is time for another.
    pub(super) fn recall(&self, observed: &mut Observed) {
        let on = state(observed);
        let mut tries = self.lock();
        let Some(failed) = tries.get(&observed.object.name) else { return };
        if failed.on != on {
            tries.remove(&observed.object.name);
        } else if Instant::now() < failed.again {
            refuse(observed, failed.kind, failed.words.clone());
        }
    }

    /// How long until another try, where one is due.
    pub(super) fn wait(&self, name: &ObjectName) -> Option<Duration> {
        let again = self.lock().get(name)?.again;
        // One that is past was made, or nothing is left to be written.
        again.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }

    /// Writes the Gateway. `Ok(false)`: it failed, which was put into `observed` to be told.
    ///
    /// # Errors
    /// [`CallError::Stale`] when the Gateway is not in the state that was decided on.
    pub(super) async fn write(
        &self,
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
                self.lock().remove(&name);
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
        let (kind, words) = match error {
            CallError::Stale => return Err(CallError::Stale),
            CallError::Failed(kind, words) => (kind, words),
        };
        let on = state(observed);
        let mut tries = self.lock();
        let count =
            tries.get(&name).filter(|failed| failed.on == on).map_or(0, |failed| failed.count.saturating_add(1));
        let wait = match kind {
            FailureKind::Denied | FailureKind::Conflict => LAST_RETRY,
            _ => FIRST_RETRY.saturating_mul(1 << count.min(6)).min(LAST_RETRY),
        };
        tracing::warn!(object = %name, gateway = %write.target, retry_in = ?wait, "the Gateway is not written: {words}");
        refuse(observed, kind, words.clone());
        tries.insert(name, Failed { on, kind, words, count, again: Instant::now() + wait });
        Ok(false)
    }
}

fn refuse(observed: &mut Observed, kind: FailureKind, words: String) {
    if let Gateways::Known(all) = &mut observed.gateways {
        observed.gateways = Gateways::Refused(std::mem::take(all), kind, words);
    }
}

fn state(observed: &Observed) -> (Option<Version>, i64) {
    let all: &[GatewayObject] = match &observed.gateways {
        Gateways::Known(all) | Gateways::Refused(all, ..) => all,
        _ => &[],
    };
    let gateway = all.iter().find(|object| object.gateway.name == observed.object.wants.gateway);
    (gateway.map(|object| object.facts.version.clone()), observed.object.generation)
}
