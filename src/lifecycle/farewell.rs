//! What is done when a GatewayCertificate is deleted.

use chrono::{DateTime, Utc};

use super::{
    choice::is_ours,
    client_ca, gardener,
    observed::{Observed, Settings, Slot},
    plan::{Action, Plan},
    report,
    targets::remove_all,
};

/// The object goes: its keep-sake goes with it, and its copies where the spec says so; the gateway's Secret stays.
pub(super) fn farewell(observed: &Observed, now: DateTime<Utc>, settings: &Settings) -> Plan {
    let object = &observed.object;
    if !object.finalizer {
        return Plan::default();
    }
    if matches!(observed.gateway, Slot::Pending)
        || matches!(observed.keepsake, Slot::Pending)
        || client_ca::is_pending(&observed.client_ca)
    {
        return Plan::default();
    }
    if object.wants.delete_targets {
        let (copies, wake_at, left) = remove_all(observed, now, settings);
        if left {
            let (status, events) = report::departing(observed, now);
            return Plan { copies, wake_at, status, events, ..Plan::default() };
        }
    }
    let mut actions = Vec::new();
    match gardener::farewell(observed) {
        gardener::Farewell::Nothing => {}
        gardener::Farewell::Wait => return Plan::default(),
        gardener::Farewell::Certificate(write) => return Plan { certificate: Some(*write), ..Plan::default() },
        gardener::Farewell::Secret(base) => {
            actions.push(Action::DeleteSecret { target: object.name.staging(), base });
        }
    }
    if let Some(stored) = observed.gateway.stored()
        && is_ours(observed, stored)
        && !stored.immutable
        && !stored.deleting
    {
        let target = object.wants.gateway_secret.clone();
        actions.push(Action::Release { target, base: stored.version.clone() });
    }
    actions.extend(client_ca::release(observed));
    if let Some(kept) = observed.keepsake.stored()
        && is_ours(observed, kept)
        && !kept.deleting
    {
        let target = object.wants.gateway_secret.keepsake();
        actions.push(Action::DeleteSecret { target, base: kept.version.clone() });
    }
    actions.push(Action::RemoveFinalizer(object.version.clone()));
    Plan { actions, ..Plan::default() }
}
