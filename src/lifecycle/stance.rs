//! Who may write the gateway's Secret (laws 9 and 10).

use chrono::Duration;

use super::{
    observed::{Observed, Policy, Settings, Stored, Undo},
    reason::Reason,
};

/// How many times within [`UNDO_WINDOW`] one field manager may undo us before we only observe.
const UNDO_LIMIT: usize = 3;

/// See [`UNDO_LIMIT`].
fn undo_window() -> Duration {
    Duration::hours(1)
}

/// Whether to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stance {
    /// The gateway's Secret is ours to write.
    Manage,
    /// Write nothing but status, and why.
    Observe(Reason, String),
}

/// Decides who may write the gateway's Secret.
pub(super) fn stance(observed: &Observed, settings: &Settings) -> Stance {
    let object = &observed.object;
    let wants = &object.wants;
    let secret = &wants.gateway_secret;
    if wants.suspend {
        return Stance::Observe(Reason::Suspended, "spec.suspend is true: set it to false to go on".to_owned());
    }
    if wants.policy == Policy::Observe {
        return Stance::Observe(
            Reason::ObserveOnly,
            format!("spec.managementPolicy is Observe: Secret {secret} is watched and not written"),
        );
    }
    if let Some(rival) = winner_other_than_us(observed) {
        return Stance::Observe(
            Reason::Conflict,
            format!(
                "Secret {secret} belongs to GatewayCertificate {rival}: remove one of the two, or point this one at another Secret"
            ),
        );
    }
    if wants.policy == Policy::Manage {
        return Stance::Manage;
    }
    let Some(stored) = observed.gateway.stored() else { return Stance::Manage };
    foreign(observed, stored, settings).map_or(Stance::Manage, |who| {
        Stance::Observe(
            Reason::ForeignOwner,
            format!("Secret {secret} is written by {who}: remove that owner, or set spec.managementPolicy to Manage to take over"),
        )
    })
}

/// The owner annotation decides; age only where nobody owns it.
fn winner_other_than_us(observed: &Observed) -> Option<String> {
    let us = &observed.object.name;
    let owner = observed.gateway.stored().and_then(|stored| stored.owner.as_deref());
    if let Some(owner) = owner {
        if owner == us.to_string() {
            return None;
        }
        if observed.rivals.iter().any(|rival| rival.name.to_string() == owner) {
            return Some(owner.to_owned());
        }
        // An owner that is not (or no longer) among those we serve: gone, or another installation's (see `foreign`).
    }
    let ours = (observed.object.created, us);
    observed
        .rivals
        .iter()
        .filter(|rival| rival.active && (rival.created, &rival.name) < ours)
        .min_by_key(|rival| (rival.created, &rival.name))
        .map(|rival| rival.name.to_string())
}

/// Marks of an owner that is not a GatewayCertificate of ours.
fn foreign(observed: &Observed, stored: &Stored, settings: &Settings) -> Option<String> {
    if let Some(foreign) = &stored.foreign {
        return Some(foreign.clone());
    }
    if let Some(owner) = &stored.owner
        && *owner != observed.object.name.to_string()
        && !settings.namespaces.iter().any(|served| owner.starts_with(&format!("{served}/")))
    {
        return Some(format!("GatewayCertificate {owner}, which another certkeeper serves"));
    }
    if stored.is_as_we_wrote() {
        return None;
    }
    let writer = stored.last_writer.as_ref()?;
    undone_too_often(&all_undone(observed, stored), &writer.manager).then(|| {
        format!(
            "field manager \"{}\", which undid certkeeper's write {UNDO_LIMIT} times within an hour",
            writer.manager
        )
    })
}

/// Whether this field manager undid us as often as it takes (law 9).
pub(super) fn undone_too_often(undone: &[Undo], manager: &str) -> bool {
    let theirs: Vec<&Undo> = undone.iter().filter(|undo| undo.manager == manager).collect();
    let recent = theirs.windows(UNDO_LIMIT).last();
    recent.is_some_and(|recent| recent[UNDO_LIMIT - 1].at - recent[0].at <= undo_window())
}

/// Who undid us, oldest first: the marker on the Secret or, as whoever replaces the Secret may wipe it and a crash may
/// lose a status, our own history: whichever remembers more. The two are never added up: they tell of the same writes.
pub(super) fn all_undone(observed: &Observed, stored: &Stored) -> Vec<Undo> {
    let told = told(observed, Reason::Restored);
    if told.len() > stored.undone.len() { told } else { stored.undone.clone() }
}

/// Who undid us as our own history has it, oldest first; `of` tells which Secret it was.
pub(super) fn told(observed: &Observed, of: Reason) -> Vec<Undo> {
    let history = observed.object.previous.history.iter().rev().filter(|entry| entry.reason == of.as_str());
    history.filter_map(|entry| Some(Undo { manager: entry.manager.clone()?, at: entry.time })).collect()
}
