//! What is said of the gateway's pods: the condition `Served` and `status.gateways` (law 7).

use chrono::{DateTime, SecondsFormat, Utc};

use super::{
    MAX_LISTED,
    plan::{Condition, ConditionStatus, GatewayReport, PodReport, Status},
    reason::Reason,
    reload::{Climb, Tally},
    serving::{GatewaySight, Mesh, PodSight, PodState, Standing},
};

/// What the pods serve, told.
#[derive(Debug)]
pub(super) struct Served {
    /// The condition.
    pub(super) condition: Condition,
    /// Ready pods that serve it, of all that are ready.
    pub(super) count: Option<(usize, usize)>,
    /// Each Gateway's pods.
    pub(super) gateways: Vec<GatewayReport>,
}

/// Pods that a message names one by one.
const NAMED: usize = 3;

/// What there is to say of the pods. `fingerprint`: the leaf that the gateway's Secret holds, or will after this plan.
pub(super) fn served(
    mesh: &Mesh,
    fingerprint: Option<&str>,
    climb: Option<&Climb>,
    previous: &Status,
    now: DateTime<Utc>,
) -> Served {
    let unknown = |reason, message: String| Served {
        condition: Condition::new("Served", ConditionStatus::Unknown, reason, message),
        count: None,
        gateways: Vec::new(),
    };
    let gateways = match mesh {
        Mesh::Off => {
            let message = "spec.gateway.probe.enabled is false: what the gateway's pods serve is not proven";
            return unknown(Reason::ProbingDisabled, message.to_owned());
        }
        Mesh::Denied(rule) => return unknown(Reason::AccessDenied, rule.clone()),
        Mesh::NotInstalled => {
            let message = "the API server knows no gateways.networking.istio.io, so nobody can be asked";
            return unknown(Reason::IstioMissing, message.to_owned());
        }
        Mesh::Pending => {
            return held(previous, fingerprint).unwrap_or_else(|| unknown(Reason::NotProbed, UNASKED.into()));
        }
        Mesh::Known(gateways) => gateways,
    };
    let Some(fingerprint) = fingerprint else {
        return unknown(Reason::NothingToServe, "there is no pair that could be served".to_owned());
    };
    if gateways.is_empty() {
        let message = "no Gateway has a server that names this Secret as its credentialName";
        return unknown(Reason::NoGateway, message.to_owned());
    }
    let pods = mesh.pods();
    let tally = Tally::new(&pods, fingerprint);
    let waits = tally.ready.iter().any(|(_, standing)| *standing == Standing::Unasked);
    if waits
        && !tally.has_evidence()
        && let Some(held) = held(previous, Some(fingerprint))
    {
        // It is about to be known: until then what was seen last is the best word.
        return held;
    }
    let (status, reason, message) = verdict(&tally, gateways, fingerprint, climb);
    Served {
        condition: Condition::new("Served", status, reason, message),
        count: Some((tally.serving(), tally.ready.len())),
        gateways: gateways.iter().take(16).map(|gateway| report(gateway, fingerprint, previous, now)).collect(),
    }
}

const UNASKED: &str = "the gateway's pods were not asked yet what they serve";

/// What was said before, if that was about the same leaf, or that nothing is known: a restart alone is no news.
fn held(previous: &Status, fingerprint: Option<&str>) -> Option<Served> {
    let before = previous.condition("Served").filter(|before| before.reason != Reason::NotAccepted.as_str())?;
    let known = previous.certificate.as_ref().map(|certificate| certificate.fingerprint.as_str());
    (known == fingerprint || before.status == ConditionStatus::Unknown).then(|| Served {
        condition: before.clone(),
        count: previous.served,
        gateways: previous.gateways.clone(),
    })
}

fn verdict(
    tally: &Tally<'_>,
    gateways: &[GatewaySight],
    fingerprint: &str,
    climb: Option<&Climb>,
) -> (ConditionStatus, Reason, String) {
    use ConditionStatus::{False, True, Unknown};
    let (serving, ready) = (tally.serving(), tally.ready.len());
    let doubts: Vec<&str> = gateways.iter().flat_map(|gateway| &gateway.unasked).map(String::as_str).collect();
    if gateways.iter().all(|gateway| gateway.missing) {
        return (Unknown, Reason::NoGateway, doubts.join("; "));
    }
    if ready == 0 {
        let names: Vec<String> = gateways.iter().map(|gateway| gateway.name.to_string()).collect();
        let message = format!("no ready pod serves Gateway {}", names.join(" or "));
        return (Unknown, Reason::NoPods, message);
    }
    let note = climb.map(|climb| climb.note.as_str()).filter(|note| !note.is_empty());
    if tally.all_serve() && doubts.is_empty() {
        let pods =
            if ready == 1 { "the only ready pod serves".to_owned() } else { format!("all {ready} ready pods serve") };
        return (True, Reason::Served, format!("{pods} fingerprint {fingerprint}"));
    }
    let mut message = format!("{serving} of {ready} ready pods serve fingerprint {fingerprint}");
    let others: Vec<String> = tally.ready.iter().filter_map(|(pod, standing)| describe(pod, standing)).collect();
    for other in others.iter().take(NAMED) {
        message += &format!("; {other}");
    }
    if others.len() > NAMED {
        message += &format!("; and {} more, see status.gateways", others.len() - NAMED);
    }
    for doubt in doubts {
        message += &format!("; {doubt}");
    }
    if let Some(note) = note {
        message += &format!("; {note}");
    }
    if !tally.has_evidence() {
        let asked = tally.ready.iter().all(|(_, standing)| *standing != Standing::Unasked);
        return (Unknown, if asked { Reason::Unreachable } else { Reason::NotProbed }, message);
    }
    let waits = climb.is_some_and(|climb| climb.wake_at.is_some());
    (False, if waits { Reason::Reloading } else { Reason::Differs }, message)
}

/// Why a ready pod does not count as serving; `None` if it does.
fn describe(pod: &PodSight, standing: &Standing<'_>) -> Option<String> {
    let name = &pod.name;
    match standing {
        Standing::Serves => None,
        Standing::Differs(leaf) => {
            let until = leaf.not_after.map(|end| end.to_rfc3339_opts(SecondsFormat::Secs, true));
            let until = until.map(|end| format!(", valid until {end}")).unwrap_or_default();
            Some(format!("{name} serves fingerprint {}, serial {}{until}", leaf.fingerprint, leaf.serial))
        }
        Standing::Silent(_, message) => Some(format!("{name} answers no more: {message}")),
        Standing::Unreachable(_, message) => Some(format!("{name} could not be asked: {message}")),
        Standing::Unasked => Some(format!("{name} was not asked yet")),
    }
}

fn report(gateway: &GatewaySight, fingerprint: &str, previous: &Status, now: DateTime<Utc>) -> GatewayReport {
    let before = previous.gateways.iter().find(|before| before.name == gateway.name);
    let ready: Vec<&PodSight> = gateway.pods.iter().filter(|pod| pod.state == PodState::Ready).collect();
    let differing = ready.iter().filter_map(|pod| {
        let (fingerprint, reason) = match pod.standing(fingerprint) {
            Standing::Serves => return None,
            Standing::Differs(leaf) => (Some(leaf.fingerprint.clone()), "AnotherLeaf"),
            Standing::Silent(reason, _) | Standing::Unreachable(reason, _) => (None, reason),
            Standing::Unasked => (None, "NotAsked"),
        };
        let pod = pod.name.to_string();
        let same = |known: &&PodReport| known.pod == pod && known.fingerprint == fingerprint && known.reason == reason;
        let since = before.and_then(|before| before.differing.iter().find(same)).map_or(now, |known| known.since);
        Some(PodReport { pod, fingerprint, reason: reason.to_owned(), since })
    });
    let differing: Vec<PodReport> = differing.collect();
    GatewayReport {
        name: gateway.name.clone(),
        pods: ready.len(),
        serving: ready.len() - differing.len(),
        differing: differing.into_iter().take(MAX_LISTED).collect(),
    }
}
