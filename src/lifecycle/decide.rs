//! The decision itself.

use chrono::{DateTime, Utc};

use super::{
    accept::accept,
    choice::{Candidates, Choice, is_ours, same_pair},
    client_ca,
    farewell::farewell,
    gardener, gateway_object,
    observed::{Leftover, Observed, Settings, Slot, Source, Stored, Undo},
    plan::{Action, Entry, Pace, Plan, Write},
    reason::Reason,
    reload::{self, Allowance, Climb, Nudge, Refusal, Step},
    report::{self, Report},
    rollback::roll_back,
    served::served,
    serving::Mesh,
    stance::{Stance, all_undone, stance},
    targets::{Promoted, distribute},
};
use crate::certificate::{Context, Pair, next_change};

/// How far away the next rung may be for the pods to be asked each second until then.
const FAST_FOR: chrono::Duration = chrono::Duration::minutes(5);

/// Decides what shall happen. Total: any observation has an answer.
#[must_use]
pub fn decide(observed: &Observed, now: DateTime<Utc>, settings: &Settings) -> Plan {
    if observed.object.deleting {
        return farewell(observed, now, settings);
    }
    if let Err((reason, message)) = accept(&observed.object, settings) {
        return report::not_accepted(observed, now, reason, message);
    }
    let pending = |slot: &Slot| matches!(slot, Slot::Pending);
    if client_ca::is_pending(&observed.client_ca) {
        return Plan::default();
    }
    if pending(&observed.gateway) || pending(&observed.keepsake) || matches!(observed.source, Source::Pending) {
        return Plan::default();
    }
    if gardener::is_pending(observed) {
        return Plan::default();
    }
    let stance = stance(observed, settings);
    // What others keep need not have more names than the gateway serves.
    let apex = stance == Stance::Manage;
    let hosts = observed.object.wants.hosts(apex);
    let context = context(observed, now, settings, &hosts);
    let (candidates, choice, marks, climb) = choose(observed, &context, &stance, now);
    let mut actions = match (&stance, &observed.failure) {
        (Stance::Manage, None) => actions(observed, &candidates, choice, &marks, now),
        _ => Vec::new(),
    };
    let request = gardener::decide(observed, now, settings, &stance);
    actions.extend(gardener_actions(observed, &stance, &request));
    let promoted = promoted(observed, &candidates, choice, &actions);
    let client_ca = client_ca::decide(observed, now, settings, &stance, &context);
    // The last of them: what is in its way is not in the pair's.
    actions.extend(client_ca.action.clone());
    let mut distribution = distribute(observed, now, settings, &stance, promoted.as_ref());
    let copies = if observed.failure.is_none() { std::mem::take(&mut distribution.actions) } else { Vec::new() };
    let holds = actions.iter().any(|action| matches!(action, Action::WriteGatewaySecret(_)));
    let fingerprint = match holds {
        true => candidates.pair(choice).map(|pair| pair.fingerprint().to_string()),
        false => observed.gateway.stored().and_then(Stored::fingerprint),
    };
    let previous = &observed.object.previous;
    let mut pods = served(&observed.mesh, fingerprint.as_deref(), climb.as_ref(), previous, now);
    if observed.not_evicted.is_some() && pods.condition.reason == Reason::Reloading.as_str() {
        pods.condition.reason = Reason::EvictionFailed.as_str().to_owned();
    }
    let gateway = gateway_object::decide(observed, now, settings, &stance, &actions);
    let evict = match climb.as_ref().map(|climb| &climb.step) {
        Some(Step::Evict(eviction)) if observed.failure.is_none() && observed.not_evicted.is_none() => {
            Some(eviction.clone())
        }
        _ => None,
    };
    let pace = pace(&observed.mesh, climb.as_ref(), &pods, now);
    let report = Report {
        observed,
        now,
        served: pods,
        climb: climb.as_ref(),
        candidates: &candidates,
        choice,
        stance: &stance,
        actions: &actions,
        distribution: &distribution,
        client_ca: &client_ca,
        gateway: &gateway,
        gardener: &request,
    };
    let (status, events) = report.publish();
    let climbs_at = climb.as_ref().and_then(|climb| climb.wake_at);
    let wake_at = [wake_at(observed, &context), distribution.wake_at, client_ca.wake_at, climbs_at, request.wake_at];
    let wake_at = wake_at.into_iter().flatten().min();
    Plan { status, events, wake_at, actions, copies, evict, pace, gateway: gateway.write, certificate: request.write }
}

/// What is noted on the gateway's Secret with the next write, and what makes that write necessary.
#[derive(Debug, Default)]
struct Marks {
    refused: Vec<Refusal>,
    nudges: Vec<Nudge>,
    nudge: bool,
    /// What to tell of a pair that was put back.
    rolled_back: Option<Entry>,
}

/// Which pair the gateway should have, and where the reload ladder stands for it. A pair that turns out to be refused
/// gives way to the last good one, if law 1 finds that as good.
fn choose<'a>(
    observed: &'a Observed,
    context: &Context<'_>,
    stance: &Stance,
    now: DateTime<Utc>,
) -> (Candidates<'a>, Choice, Marks, Option<Climb>) {
    let untouched = observed.gateway.stored().is_some_and(Stored::is_as_we_wrote);
    let mut refused = reload::refusals(observed);
    let mut candidates = Candidates::new(observed, context, &refused);
    let mut choice = candidates.choose(untouched);
    if choice == Choice::Nothing && !refused.is_empty() {
        // Whatever was refused is better than an empty Secret.
        candidates = Candidates::new(observed, context, &[]);
        choice = candidates.choose(untouched);
    }
    let stored = observed.gateway.stored().and_then(Stored::fingerprint);
    let fingerprint = match stance {
        Stance::Manage if is_writable(observed) => candidates.pair(choice).map(|pair| pair.fingerprint().to_string()),
        _ => stored.clone(),
    };
    let Some(fingerprint) = fingerprint else {
        return (candidates, choice, Marks { refused, ..Marks::default() }, None);
    };
    let nudges = reload::nudges(observed, &fingerprint);
    let wants = &observed.object.wants;
    let allowance = Allowance {
        up_to: wants.up_to,
        deadline: wants.deadline,
        may_write: may_write(observed, stance, &fingerprint),
        nudges: &nudges,
    };
    // What is only about to be written has its time before it, whatever is remembered of an earlier try.
    let previous = observed.object.previous.reload.as_ref().filter(|_| stored.as_ref() == Some(&fingerprint));
    let mut climb = reload::climb(&fingerprint, &observed.mesh, previous, &allowance, now);
    let mut rolled_back = None;
    if let Step::Refused(evidence) = &climb.step {
        match roll_back(observed, context, &refused, (&fingerprint, evidence), now) {
            Some(back) => {
                (candidates, choice, refused) = (back.candidates, back.choice, back.refused);
                rolled_back = Some(back.entry);
                climb = Climb { record: None, ..climb };
            }
            None => climb.note += ", and there is no last good pair as good as it: supply another",
        }
    }
    if let (Step::Evict(_), Some(words)) = (&climb.step, &observed.not_evicted) {
        climb.note.clone_from(words);
    }
    let nudge = climb.step == Step::Nudge && observed.failure.is_none();
    let nudges = observed.gateway.stored().map(|stored| stored.nudged.clone()).unwrap_or_default();
    (candidates, choice, Marks { refused, nudges, nudge, rolled_back }, Some(climb))
}

/// Nothing keeps the gateway's Secret from being written.
fn is_writable(observed: &Observed) -> bool {
    observed.failure.is_none()
        && match &observed.gateway {
            Slot::Absent => true,
            Slot::Present(stored) => !stored.immutable && !stored.deleting,
            Slot::NotRead | Slot::Pending | Slot::Denied(_) => false,
        }
}

/// The gateway's Secret holds this pair, is ours, and can be written.
fn may_write(observed: &Observed, stance: &Stance, fingerprint: &str) -> bool {
    *stance == Stance::Manage
        && is_writable(observed)
        && observed
            .gateway
            .stored()
            .is_some_and(|stored| is_ours(observed, stored) && stored.fingerprint().as_deref() == Some(fingerprint))
}

/// How often the pods are to be asked: each second while something is to be expected of them.
fn pace(mesh: &Mesh, climb: Option<&Climb>, pods: &super::served::Served, now: DateTime<Utc>) -> Pace {
    match mesh {
        Mesh::Known(_) => {
            let waits = climb.is_some_and(|climb| climb.wake_at.is_some_and(|at| at - now <= FAST_FOR));
            let unasked = pods.condition.reason == Reason::NotProbed.as_str();
            if waits || unasked { Pace::Fast } else { Pace::Rest }
        }
        Mesh::Off | Mesh::Pending | Mesh::Denied(_) | Mesh::NotInstalled => Pace::Off,
    }
}

/// The pair that copies follow: what the gateway's Secret holds of ours, or will after this plan.
fn promoted<'a>(
    observed: &Observed,
    candidates: &'a Candidates<'_>,
    choice: Choice,
    actions: &[Action],
) -> Option<Promoted<'a>> {
    let pair = candidates.pair(choice)?;
    let stored = observed.gateway.stored();
    let written = actions.iter().any(|action| matches!(action, Action::WriteGatewaySecret(_)));
    let holds = stored.is_some_and(|stored| is_ours(observed, stored) && same_pair(&stored.facts, pair));
    (written || holds).then_some(Promoted { pair, facts: candidates.judged(choice)?.facts })
}

fn context<'a>(observed: &'a Observed, now: DateTime<Utc>, settings: &Settings, hosts: &'a [String]) -> Context<'a> {
    let wants = &observed.object.wants;
    Context {
        hosts,
        roots: wants.roots.as_ref().and_then(|roots| roots.as_ref().ok()),
        warn: &wants.warn,
        ignore: &wants.ignore,
        expires_soon: settings.expires_soon,
        // As far as they are known: a key that none of them is for is a finding.
        cipher_suites: gateway_object::suites(observed).next().map(|(_, suites)| suites).unwrap_or_default(),
        ..Context::new(now)
    }
}

/// What Gardener mode needs written beside the Certificate itself: a finalizer, so that what was requested goes with the
/// object; and the end of a Secret that nobody needs any more.
fn gardener_actions(observed: &Observed, stance: &Stance, request: &gardener::Decision) -> Vec<Action> {
    let object = &observed.object;
    let requests = object.wants.gardener.as_ref().is_some_and(|wants| !wants.watched)
        && (request.write.is_some() || object.previous.issuance.is_some());
    let mut actions = Vec::new();
    if requests && *stance == Stance::Manage && !object.finalizer && observed.failure.is_none() {
        actions.push(Action::AddFinalizer(object.version.clone()));
    }
    if let Some(base) = gardener::orphan(observed).filter(|_| request.orphan && observed.failure.is_none()) {
        actions.push(Action::DeleteSecret { target: object.name.staging(), base });
    }
    actions
}

/// The earliest moment at which time alone may change the decision.
fn wake_at(observed: &Observed, context: &Context<'_>) -> Option<DateTime<Utc>> {
    let source = match &observed.source {
        Source::Present(supply) => Some(supply.facts.as_ref()),
        _ => None,
    };
    let kept = |slot: &'_ Slot| slot.stored().map(|stored| stored.facts.clone());
    let (gateway, keepsake) = (kept(&observed.gateway), kept(&observed.keepsake));
    [source, gateway.as_deref(), keepsake.as_deref()]
        .into_iter()
        .flatten()
        .filter_map(|facts| next_change(facts, context))
        .min()
}

fn actions(
    observed: &Observed,
    candidates: &Candidates<'_>,
    choice: Choice,
    marks: &Marks,
    now: DateTime<Utc>,
) -> Vec<Action> {
    let Some(pair) = candidates.pair(choice) else { return Vec::new() };
    let mut actions = Vec::new();
    // A pair that was never ours and that we have no better one for is left alone, and not kept either.
    let adopted = choice != Choice::Stored || observed.gateway.stored().is_some_and(|s| is_ours(observed, s));
    if adopted && let Some(write) = gateway_write(observed, choice, pair, marks, now) {
        actions.push(Action::WriteGatewaySecret(write));
    }
    let keepsake = keepsake_write(observed, candidates, choice, pair).filter(|_| adopted);
    // An owner must live in the same namespace; elsewhere a finalizer removes the keep-sake. It comes first, so that a
    // crash between the two leaves none behind, and comes back if somebody took it off.
    let elsewhere = observed.object.name.namespace != observed.object.wants.gateway_secret.namespace;
    let kept = keepsake.is_some() || observed.keepsake.stored().is_some_and(|stored| is_ours(observed, stored));
    let copies = observed.object.wants.delete_targets && !observed.object.wants.targets.is_empty();
    let gardener = observed.object.wants.gardener.as_ref().is_some_and(|wants| !wants.watched);
    // In Gardener mode it is there before anything is requested.
    if ((elsewhere && kept) || (copies && adopted)) && !observed.object.finalizer && !gardener {
        actions.push(Action::AddFinalizer(observed.object.version.clone()));
    }
    actions.extend(keepsake.map(Action::WriteKeepSake));
    actions
}

fn gateway_write(observed: &Observed, choice: Choice, pair: &Pair, marks: &Marks, now: DateTime<Utc>) -> Option<Write> {
    let target = observed.object.wants.gateway_secret.clone();
    let wanted_staple = match (&observed.source, choice) {
        (Source::Present(supply), Choice::Source) => supply.staple.clone(),
        _ => None,
    };
    let nudged = nudged(pair, marks, now);
    let write = |base, remove, undone, entry| Write {
        target: target.clone(),
        base,
        pair: pair.clone(),
        staple: wanted_staple.clone(),
        remove,
        undone,
        nudged: nudged.clone(),
        refused: marks.refused.clone(),
        entry: Some(entry),
    };
    let stored = match &observed.gateway {
        Slot::Absent => {
            let entry = created(observed, choice, pair, now);
            return Some(write(None, Vec::new(), Vec::new(), entry));
        }
        Slot::Present(stored) => stored,
        Slot::NotRead | Slot::Pending | Slot::Denied(_) => return None,
    };
    if stored.immutable || stored.deleting {
        return None;
    }
    let same = same_pair(&stored.facts, pair);
    let remove = leftovers(stored, pair, wanted_staple.is_some());
    let staple_differs = wanted_staple.is_some() && wanted_staple != stored.staple;
    let ours = is_ours(observed, stored);
    let marked = stored.mark.as_deref() == Some(pair.fingerprint().to_string().as_str());
    if same && stored.canonical && ours && marked && remove.is_empty() && !staple_differs && !marks.nudge {
        return None;
    }
    let drift = drift(observed, stored, ours, pair);
    let entry = match (&marks.rolled_back, marks.nudge && same) {
        (Some(entry), _) => entry.clone(),
        (None, true) => nudge_entry(observed, pair, &nudged, now),
        (None, false) => updated(observed, pair, now, same, ours, &remove, drift.as_ref()),
    };
    let mut undone = all_undone(observed, stored);
    undone.extend(drift.map(|undo| Undo { at: now, ..undo }));
    let from = undone.len().saturating_sub(3);
    Some(write(Some(stored.version.clone()), remove, undone.split_off(from), entry))
}

/// Who undid our write, if somebody did: the pair that is stored is not the one that we noted.
fn drift(observed: &Observed, stored: &Stored, ours: bool, pair: &Pair) -> Option<Undo> {
    let noted = stored.mark.clone().or_else(|| {
        // Whoever replaced the Secret may have wiped our marks: then our own status remembers.
        observed.object.previous.certificate.as_ref().map(|certificate| certificate.fingerprint.clone())
    })?;
    let was_desired = noted == pair.fingerprint().to_string();
    let changed = stored.fingerprint().as_deref() != Some(noted.as_str()) || !ours || !stored.canonical;
    (was_desired && changed).then(|| stored.last_writer.clone()).flatten()
}

/// The pair that is kept must be one to go back to: where pods can be asked, it is replaced only once the new one was
/// seen to be served. With no pod that ever answered there is nobody to wait for.
fn awaits_proof(observed: &Observed, candidates: &Candidates<'_>, pair: &Pair) -> bool {
    let fingerprint = pair.fingerprint().to_string();
    let pods = observed.mesh.pods();
    let tally = reload::Tally::new(&pods, &fingerprint);
    let kept = candidates.keepsake.as_ref().is_some_and(|kept| kept.usable().is_some());
    let record = observed.object.previous.reload.as_ref();
    let climbing = record.is_some_and(|record| record.fingerprint == fingerprint && record.since.is_some());
    kept && match observed.mesh {
        Mesh::Pending => true,
        Mesh::Known(_) => !tally.all_serve() && (climbing || tally.has_evidence() || tally.is_unasked()),
        Mesh::Off | Mesh::Denied(_) | Mesh::NotInstalled => false,
    }
}

/// The nudges that go with a write of this pair, oldest first; those of others are remembered, too, as they may come
/// back.
fn nudged(pair: &Pair, marks: &Marks, now: DateTime<Utc>) -> Vec<Nudge> {
    let mut nudged = marks.nudges.clone();
    if marks.nudge {
        nudged.push(Nudge { fingerprint: pair.fingerprint().to_string(), at: now });
    }
    nudged.drain(..nudged.len().saturating_sub(reload::REMEMBERED));
    nudged
}

fn nudge_entry(observed: &Observed, pair: &Pair, nudged: &[Nudge], now: DateTime<Utc>) -> Entry {
    let secret = &observed.object.wants.gateway_secret;
    let fingerprint = pair.fingerprint().to_string();
    let times = nudged.iter().filter(|nudge| nudge.fingerprint == fingerprint).count();
    let message = format!(
        "Secret {secret} is written again in other bytes, as some pod does not serve fingerprint {fingerprint} (nudge {times} of {})",
        reload::NUDGES
    );
    report::entry(now, Reason::Nudged, message, None, true)
}

/// What lies in the Secret and must go with the next write (law 3).
fn leftovers(stored: &Stored, pair: &Pair, brings_staple: bool) -> Vec<Leftover> {
    let same_leaf = stored.facts.leaf().is_some_and(|leaf| leaf.fingerprint == *pair.fingerprint());
    stored
        .leftovers
        .iter()
        .copied()
        // A staple for the same leaf may be a person's own; one for another leaf breaks the handshake of clients.
        .filter(|leftover| *leftover != Leftover::Staple || (!same_leaf && !brings_staple))
        .collect()
}

fn keepsake_write(observed: &Observed, candidates: &Candidates<'_>, choice: Choice, pair: &Pair) -> Option<Write> {
    if choice == Choice::KeepSake {
        return None;
    }
    let unproven = awaits_proof(observed, candidates, pair);
    let target = observed.object.wants.gateway_secret.keepsake();
    let (base, remove) = match &observed.keepsake {
        Slot::Absent => (None, Vec::new()),
        Slot::Present(kept) => {
            let better = candidates.keepsake.as_ref().is_some_and(|keepsake| {
                let chosen = candidates.judged(choice);
                keepsake.usable().is_some()
                    && chosen.is_some_and(|chosen| !chosen.verdict.is_good() && chosen.is_worse_than(keepsake))
            });
            let current = same_pair(&kept.facts, pair) && kept.canonical;
            if !is_ours(observed, kept) || kept.immutable || kept.deleting || current || better || unproven {
                return None;
            }
            (Some(kept.version.clone()), kept.leftovers.clone())
        }
        Slot::NotRead | Slot::Pending | Slot::Denied(_) => return None,
    };
    Some(Write {
        target,
        base,
        pair: pair.clone(),
        staple: None,
        remove,
        undone: Vec::new(),
        nudged: Vec::new(),
        refused: Vec::new(),
        entry: None,
    })
}

fn created(observed: &Observed, choice: Choice, pair: &Pair, now: DateTime<Utc>) -> Entry {
    let secret = &observed.object.wants.gateway_secret;
    let before = observed.object.previous.certificate.as_ref();
    if before.is_some() || choice == Choice::KeepSake {
        let from = if choice == Choice::KeepSake { " from the last good pair" } else { "" };
        let message = format!("Secret {secret} was deleted and is restored{from}: fingerprint {}", pair.fingerprint());
        return report::entry(now, Reason::Restored, message, None, true);
    }
    report::entry(now, Reason::Promoted, report::promoted(secret, pair), None, false)
}

fn updated(
    observed: &Observed,
    pair: &Pair,
    now: DateTime<Utc>,
    same: bool,
    ours: bool,
    remove: &[Leftover],
    drift: Option<&Undo>,
) -> Entry {
    let secret = &observed.object.wants.gateway_secret;
    let gone: Vec<&str> = remove.iter().map(|leftover| leftover.describe()).collect();
    if let Some(undo) = drift {
        let without = if gone.is_empty() { String::new() } else { format!(" without {}", gone.join("; ")) };
        let message = format!(
            "Secret {secret} was changed by field manager \"{}\" and is restored to fingerprint {}{without}: \
             supply certificates through the source, not in this Secret",
            undo.manager,
            pair.fingerprint()
        );
        return report::entry(now, Reason::Restored, message, Some(undo.manager.clone()), true);
    }
    if !same {
        return report::entry(now, Reason::Promoted, report::promoted(secret, pair), None, false);
    }
    if !gone.is_empty() {
        let message = format!("removed from Secret {secret}: {}", gone.join("; "));
        return report::entry(now, Reason::CleanedUp, message, None, true);
    }
    let how = if ours { "marks were lost or old" } else { "the pair was there already" };
    let message = format!("Secret {secret} is kept by this object now ({how}): fingerprint {}", pair.fingerprint());
    report::entry(now, Reason::Adopted, message, None, false)
}
