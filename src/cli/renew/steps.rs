//! What a status says of a renewal that was asked for: how far it is, what holds it up, whether one can be asked for at
//! all. Decisions alone: no call, no clock.

#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use crate::{
    api::{self, GatewayCertificate, GatewayCertificateStatus, ManagementPolicy, Mode},
    cli::answer::time,
    lifecycle::Reason,
};

/// The same time twice would be one renewal, and times are whole seconds: the next is asked for this much after the one
/// before.
const APART: TimeDelta = TimeDelta::seconds(2);
/// Clocks are at most this far apart; what lies further ahead was meant for later.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(5);

/// How far a renewal is. Each step contains the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The annotation is written.
    Asked,
    /// certkeeper asked Gardener for another certificate.
    Requested,
    /// Gardener issued it.
    Issued,
    /// It passed the checks and is in the gateway's Secret.
    Promoted,
    /// Every ready gateway pod was seen to serve it.
    Served,
}

impl Step {
    /// In their order.
    pub(super) const ALL: [Self; 5] = [Self::Asked, Self::Requested, Self::Issued, Self::Promoted, Self::Served];

    /// Its word, stable.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Requested => "requested",
            Self::Issued => "issued",
            Self::Promoted => "promoted",
            Self::Served => "served",
        }
    }

    /// The one after it.
    pub(super) fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step > self)
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    /// What was asked for before this time is to be renewed; whole seconds.
    pub(super) at: DateTime<Utc>,
    /// The leaf that was issued last when that was asked (SHA-256, hexadecimal).
    pub(super) before: String,
}

/// A condition of this type.
pub(super) fn condition<'a>(status: &'a GatewayCertificateStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind)
}

fn is(condition: Option<&Condition>, status: &str, reasons: &[Reason]) -> bool {
    condition.is_some_and(|condition| {
        condition.status == status && reasons.iter().any(|reason| reason.as_str() == condition.reason)
    })
}

/// A condition in a line.
fn told(condition: &Condition) -> String {
    format!("{}={} ({}): {}", condition.type_, condition.status, condition.reason, condition.message)
}

/// How far the renewal is. A later step shows that the ones before it were made, even where they were not seen: a watch
/// tells the newest state and not each on the way there.
pub(super) fn reached(status: &GatewayCertificateStatus, ask: &Ask) -> Step {
    let Some(issued) = another(status, ask) else {
        return if is_requested(status, ask) { Step::Requested } else { Step::Asked };
    };
    if status.certificate.as_ref().is_none_or(|certificate| certificate.fingerprint != issued) {
        return Step::Issued;
    }
    let served = condition(status, "Served").is_some_and(|served| served.status == "True");
    let all = status.served.as_deref().and_then(|counted| counted.split_once('/'));
    let all = all.is_some_and(|(serving, ready)| serving == ready && serving != "0");
    if served && all { Step::Served } else { Step::Promoted }
}

fn is_requested(status: &GatewayCertificateStatus, ask: &Ask) -> bool {
    let since = |text: &str| DateTime::parse_from_rfc3339(text).is_ok_and(|at| at >= ask.at);
    let mut renewals = status.history.iter().filter(|entry| entry.reason == Reason::RenewalRequested.as_str());
    renewals.any(|entry| since(&entry.time))
        || status.issuance.as_ref().and_then(|issuance| issuance.pushed_at.as_deref()).is_some_and(since)
}

/// The leaf that was issued since. One that was already on its way when another was asked for is not meant: as long as the
/// condition says Issuing, what lies there is not what is asked for.
pub(super) fn another<'a>(status: &'a GatewayCertificateStatus, ask: &Ask) -> Option<&'a str> {
    let issued = status.issuance.as_ref()?.fingerprint.as_deref().filter(|fingerprint| *fingerprint != ask.before)?;
    (!is(condition(status, "Issued"), "False", &[Reason::Issuing])).then_some(issued)
}

/// It is promoted, and the spec does not let anybody prove that it is served.
pub(super) fn is_unproven(status: &GatewayCertificateStatus) -> bool {
    is(condition(status, "Served"), "Unknown", &[Reason::ProbingDisabled])
}

/// What holds it up and a person may have to see to, a line each.
pub(super) fn troubles(status: &GatewayCertificateStatus) -> Vec<String> {
    let issued = condition(status, "Issued").filter(|issued| {
        let waiting = issued.status == "False" && issued.reason != Reason::Issuing.as_str();
        waiting || issued.reason == Reason::NotRequested.as_str()
    });
    let refused = condition(status, "SourceValid").filter(|valid| is(Some(valid), "False", &[Reason::Refused]));
    issued.into_iter().chain(refused).map(told).collect()
}

/// Why the step after this one is not reached, in the words of the condition that is about it.
pub(super) fn hangs(status: &GatewayCertificateStatus, reached: Step) -> String {
    let about: &[&str] = match reached {
        Step::Asked => &["Accepted", "Issued"],
        Step::Requested => &["Issued"],
        Step::Issued => &["SourceValid", "SecretCurrent"],
        Step::Promoted | Step::Served => &["Served"],
    };
    let conditions: Vec<&Condition> = about.iter().filter_map(|kind| condition(status, kind)).collect();
    let telling = conditions.iter().find(|condition| condition.status != "True").or(conditions.last());
    let told = telling.map_or_else(|| format!("there is no condition {}", about.join(" or ")), |one| told(one));
    match reached {
        Step::Asked => format!("{told}; no certkeeper took it up: is `certkeeper run` serving this namespace?"),
        _ => told,
    }
}

/// When to ask for: now, or a moment after the annotation that is there and what was issued last. A certificate of the same
/// second would pass for the one that is asked for.
///
/// # Errors
/// When the annotation is for later: it is somebody's plan.
pub(super) fn ask_at(now: DateTime<Utc>, object: &GatewayCertificate) -> Result<DateTime<Utc>, String> {
    let read = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
    let there = object.annotations().get(api::RENEW).and_then(|text| read(text));
    if let Some(at) = there.filter(|at| *at > now + CLOCKS_APART) {
        return Err(format!(
            "a renewal is already planned for {} by the annotation {}: remove the annotation to ask for one now",
            time(at),
            api::RENEW
        ));
    }
    let told = object.status.iter().flat_map(|status| &status.history);
    let issued = told.filter(|entry| entry.reason == Reason::Issued.as_str()).filter_map(|entry| read(&entry.time));
    let recent = there.into_iter().chain(issued).filter(|at| *at <= now + CLOCKS_APART).max();
    let at = recent.map_or(now, |recent| now.max(recent + APART));
    Ok(at)
}

/// The leaf that a renewal would replace.
///
/// # Errors
/// Why nobody would renew it, what to do, and what the conditions say.
pub(super) fn renewable(object: &GatewayCertificate) -> Result<String, String> {
    let status = object.status.clone().unwrap_or_default();
    let Some(why) = obstacle(object, &status) else {
        let issued = status.issuance.as_ref().and_then(|issuance| issuance.fingerprint.clone());
        return issued.ok_or_else(|| {
            with_conditions("no certificate was issued yet, so there is none to renew: wait for the first", &status)
        });
    };
    // What people supply has no condition Issued, and its way is told in full.
    Err(if is_supplied(object, &status) { why } else { with_conditions(&why, &status) })
}

fn is_supplied(object: &GatewayCertificate, status: &GatewayCertificateStatus) -> bool {
    let named = object.spec.byo.as_ref().is_some_and(|byo| byo.secret_ref.is_some());
    named || object.spec.mode == Mode::Byo || status.mode.as_deref() == Some("BYO")
}

fn obstacle(object: &GatewayCertificate, status: &GatewayCertificateStatus) -> Option<String> {
    let (spec, namespace) = (&object.spec, object.namespace().unwrap_or_default());
    if object.metadata.deletion_timestamp.is_some() {
        return Some("it is being deleted: nothing is renewed any more".to_owned());
    }
    if is_supplied(object, status) {
        let secret = spec.byo.as_ref().and_then(|byo| byo.secret_ref.as_ref());
        let secret = secret.map_or_else(
            || "the Secret that spec.byo.secretRef names".to_owned(),
            |secret| format!("Secret {namespace}/{}", secret.name),
        );
        return Some(format!(
            "its certificate is supplied by people (mode BYO), so there is nobody to ask for another: it is renewed by \
             putting another certificate and key into {secret}; `certkeeper check` tells beforehand whether they are good"
        ));
    }
    if spec.suspend {
        return Some("it is suspended, so nothing would be requested: set spec.suspend to false first".to_owned());
    }
    if spec.management_policy == ManagementPolicy::Observe {
        return Some(
            "it only observes, so nothing would be requested: set spec.managementPolicy to IfUnowned or Manage first, or \
             ask the certificate's owner"
                .to_owned(),
        );
    }
    let watched = spec.gardener.as_ref().and_then(|gardener| gardener.certificate_ref.as_ref());
    if let Some(watched) = watched {
        return Some(format!(
            "its Certificate {namespace}/{} is somebody else's (spec.gardener.certificateRef), which certkeeper never \
             renews: ask its owner, or set spec.ensureRenewedAfter in it",
            watched.name
        ));
    }
    if is_not_accepted(status) {
        return Some("it is not accepted, so nothing would be requested: see to that first".to_owned());
    }
    if status.issuance.is_none() {
        return Some(
            "no certkeeper has requested its certificate yet, so there is none to renew: is `certkeeper run` serving this \
             namespace?"
                .to_owned(),
        );
    }
    let blocked = [
        Reason::NotRequested,
        Reason::GardenerMissing,
        Reason::DomainMissing,
        Reason::KeyUnfit,
        Reason::CertificateMissing,
        Reason::ForeignOwner,
    ];
    let issued = condition(status, "Issued");
    let blocked = is(issued, "False", &blocked) || is(issued, "Unknown", &blocked);
    blocked.then(|| "nothing can be requested for it now: see to that first".to_owned())
}

fn is_not_accepted(status: &GatewayCertificateStatus) -> bool {
    condition(status, "Accepted").is_some_and(|accepted| accepted.status == "False")
}

fn with_conditions(why: &str, status: &GatewayCertificateStatus) -> String {
    let conditions = ["Accepted", "Issued"].into_iter().filter_map(|kind| condition(status, kind));
    conditions.fold(why.to_owned(), |text, condition| format!("{text}\n  {}", told(condition)))
}
