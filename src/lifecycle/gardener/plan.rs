//! What to write into the Certificate, and when to look at it again.

use chrono::{DateTime, Duration, Utc};

use super::{
    Certificate, CertificateWrite, Domain, GardenerWants, Issuance, Push, REMEMBERED, REVOKED, Request, Sight, Step,
    ladder::{self, Climb, Expected, What},
    request, telling,
};
use crate::{
    certificate::Facts,
    lifecycle::{
        choice::{is_ours, same_pair},
        observed::{Observed, Policy, Settings, Source, Stored, Supply, Undo, Version},
        plan::{Condition, Entry},
        reason::Reason,
        stance::{Stance, undone_too_often},
    },
};

/// A revoked certificate is replaced at once; that is tried again after this time.
const REVOKED_AGAIN: Duration = Duration::hours(1);

/// What is decided about the Certificate.
#[derive(Debug, Default)]
pub(in crate::lifecycle) struct Decision {
    /// What to write.
    pub(in crate::lifecycle) write: Option<CertificateWrite>,
    /// The Secret that Gardener filled, where nobody needs it any more.
    pub(in crate::lifecycle) orphan: bool,
    /// The condition Issued; none outside of Gardener mode.
    pub(in crate::lifecycle) condition: Option<Condition>,
    /// What there is to tell.
    pub(in crate::lifecycle) entries: Vec<Entry>,
    /// When to look again.
    pub(in crate::lifecycle) wake_at: Option<DateTime<Utc>>,
    /// What the status remembers.
    pub(in crate::lifecycle) issuance: Option<Issuance>,
    /// When the renewal of what was issued is due.
    pub(in crate::lifecycle) renew_at: Option<DateTime<Utc>>,
}

/// Where things stand.
pub(super) struct Standing<'a> {
    pub(super) observed: &'a Observed,
    pub(super) wants: &'a GardenerWants,
    /// The Certificate, if there is one.
    pub(super) certificate: Option<&'a Certificate>,
    /// What was issued, as far as it can be read.
    pub(super) issued: Option<Issued<'a>>,
    /// Why nothing can be asked for, and what to do.
    pub(super) obstacle: Option<(Reason, String)>,
    /// What is expected of Gardener, and how far it was pushed.
    pub(super) expected: Option<(Expected, Climb)>,
}

/// What lies in the Secret that Gardener fills.
#[derive(Clone, Copy)]
pub(super) struct Issued<'a> {
    pub(super) facts: &'a Facts,
    /// It is what is asked for: the names, not revoked, no renewal asked for since.
    pub(super) satisfied: bool,
    pub(super) revoked: bool,
    requested: Option<DateTime<Utc>>,
}

/// Decides.
pub(in crate::lifecycle) fn decide(
    observed: &Observed,
    now: DateTime<Utc>,
    settings: &Settings,
    stance: &Stance,
) -> Decision {
    let Some(wants) = &observed.object.wants.gardener else { return retire(observed, stance) };
    let certificate = match &observed.gardener.certificate {
        Sight::Present(certificate) => Some(certificate.as_ref()),
        _ => None,
    };
    let issued = certificate.and_then(|certificate| issued(observed, wants, certificate));
    let asked = certificate.map(|certificate| asked(certificate, issued.as_ref()));
    let expected = certificate.filter(|certificate| !certificate.deleting).zip(asked).map(|(certificate, asked)| {
        let found = issued.map(|issued| (issued.facts, issued.satisfied));
        let expected = ladder::expected(certificate, found, asked, now);
        (expected, expected.climb(&certificate.pushes, allowed(observed, wants, settings), now))
    });
    let obstacle = obstacle(observed, wants, stance, certificate);
    let standing = Standing { observed, wants, certificate, issued, obstacle, expected };
    let (write, wake_at) = write(&standing, now);
    let issuance = remembered(&standing);
    Decision {
        write,
        orphan: false,
        condition: Some(telling::condition(&standing, settings)),
        entries: telling::entries(&standing, &issuance, now),
        wake_at,
        issuance: Some(issuance),
        renew_at: certificate
            .zip(standing.issued)
            .and_then(|(one, issued)| Some(ladder::renewal(one, issued.facts)?.0)),
    }
}

/// Something was not read yet.
pub(in crate::lifecycle) fn is_pending(observed: &Observed) -> bool {
    observed.object.wants.gardener.as_ref().is_some_and(|wants| {
        matches!(observed.gardener.certificate, Sight::Pending)
            || (!wants.watched && observed.gardener.domain == Domain::Pending)
    })
}

/// The steps of the ladder that may be made: somebody else's Certificate is touched at most, and only where the operator
/// and the object say so.
fn allowed(observed: &Observed, wants: &GardenerWants, settings: &Settings) -> &'static [Step] {
    let spec = &observed.object.wants;
    match wants.watched {
        false => &[Step::Touch, Step::Renew],
        true if !spec.suspend && spec.policy != Policy::Observe && settings.permits_heal(&wants.certificate) => {
            &[Step::Touch]
        }
        true => &[],
    }
}

/// Since when what is asked for now is asked for.
fn asked(certificate: &Certificate, issued: Option<&Issued<'_>>) -> DateTime<Utc> {
    let requested = certificate.requested.unwrap_or(certificate.created);
    let again = certificate.renewed_after.filter(|after| issued.is_some_and(|issued| Some(*after) > issued.requested));
    again.map_or(requested, |again| again.max(requested))
}

fn issued<'a>(observed: &'a Observed, wants: &GardenerWants, certificate: &Certificate) -> Option<Issued<'a>> {
    if wants.watched {
        // It is checked where it lies.
        let facts =
            observed.gateway.stored().map(|stored| stored.facts.as_ref()).filter(|facts| facts.leaf().is_some())?;
        return Some(Issued { facts, satisfied: true, revoked: false, requested: None });
    }
    let Source::Present(Supply { facts, requested, revoked, .. }) = &observed.source else { return None };
    let leaf = facts.leaf()?;
    let named = |name: &String| leaf.dns_names.iter().any(|have| have.eq_ignore_ascii_case(name));
    let domain = observed.object.wants.domain.as_deref()?;
    let again = certificate.renewed_after.is_some_and(|after| after > requested.unwrap_or(leaf.not_before));
    let satisfied = !again && !revoked && request::names(domain, wants.apex).iter().all(named);
    Some(Issued { facts, satisfied, revoked: *revoked, requested: requested.or(Some(leaf.not_before)) })
}

/// Why nothing can be asked for.
fn obstacle(
    observed: &Observed,
    wants: &GardenerWants,
    stance: &Stance,
    certificate: Option<&Certificate>,
) -> Option<(Reason, String)> {
    let name = &wants.certificate;
    match &observed.gardener.certificate {
        Sight::Denied(rule) => {
            return Some((Reason::AccessDenied, format!("Certificate {name} cannot be read: {rule}")));
        }
        Sight::NotInstalled => {
            let words = "the API server knows no certificates.cert.gardener.cloud: this is no Gardener shoot, or its \
                         certificate management is off (shoot-cert-service); name a Secret with your own certificate and key \
                         in spec.byo.secretRef, or switch it on";
            return Some((Reason::GardenerMissing, words.to_owned()));
        }
        Sight::Absent if wants.watched => {
            let words = format!("Certificate {name} does not exist: mend spec.gardener.certificateRef, or create it");
            return Some((Reason::CertificateMissing, words));
        }
        _ => {}
    }
    if wants.watched {
        let gateway = &observed.object.wants.gateway_secret;
        let fills = certificate.and_then(|certificate| certificate.request.secret.as_ref());
        return fills.filter(|fills| *fills != gateway).map(|fills| {
            let words = format!(
                "Certificate {name} fills Secret {fills}, not the gateway's, {gateway}: mend spec.gardener.certificateRef or \
                 spec.gateway.secretRef"
            );
            (Reason::CertificateMissing, words)
        });
    }
    if let Stance::Observe(_, why) = stance {
        return Some((Reason::NotRequested, format!("no certificate is requested, as nothing is written: {why}")));
    }
    if let Domain::Missing(why) = &observed.gardener.domain {
        return Some((
            Reason::DomainMissing,
            format!("there is no domain to ask a certificate for: {why}; set spec.domain"),
        ));
    }
    if let Some(unfit) = request::unfit_key(observed, wants) {
        return Some((Reason::KeyUnfit, unfit));
    }
    certificate.and_then(|certificate| taken(observed, certificate, name.to_string().as_str()))
}

/// A Certificate of that name that is somebody else's, or that somebody else keeps changing (law 9).
fn taken(observed: &Observed, certificate: &Certificate, name: &str) -> Option<(Reason, String)> {
    let us = observed.object.name.to_string();
    let owner = match (&certificate.owner, &certificate.foreign) {
        (Some(owner), _) if *owner == us => None,
        (Some(owner), _) => Some(format!("GatewayCertificate {owner}")),
        (None, Some(foreign)) => Some(foreign.clone()),
        (None, None) => Some("somebody else, as it does not bear our mark".to_owned()),
    };
    if let Some(owner) = owner {
        let words = format!(
            "Certificate {name} belongs to {owner}, and is not taken: delete it, give this GatewayCertificate another name, or \
             name it in spec.gardener.certificateRef to have it watched over"
        );
        return Some((Reason::ForeignOwner, words));
    }
    let writer = certificate.last_writer.as_ref()?;
    undone_too_often(&certificate.undone, &writer.manager).then(|| {
        let words = format!(
            "field manager \"{}\" changed Certificate {name} three times within an hour after certkeeper had put it right: stop \
             it, then delete the Certificate; it is requested again",
            writer.manager
        );
        (Reason::ForeignOwner, words)
    })
}

fn write(standing: &Standing<'_>, now: DateTime<Utc>) -> (Option<CertificateWrite>, Option<DateTime<Utc>>) {
    let Standing { observed, wants, certificate, .. } = standing;
    if standing.obstacle.is_some() || observed.gardener.failure.is_some() {
        return (None, standing.expected.and_then(|(_, climb)| climb.wake_at));
    }
    if wants.watched {
        return pushed(standing, now);
    }
    // Without one there is an obstacle.
    let Some(domain) = observed.object.wants.domain.as_deref() else { return (None, None) };
    let desired = request::desired(domain, wants);
    match certificate {
        None if matches!(observed.gardener.certificate, Sight::Absent) => {
            (Some(requested(wants, None, desired, Vec::new(), now)), None)
        }
        None => (None, None),
        // What it was made for is gone; another is asked for once it is gone, too.
        Some(certificate) if certificate.deleting => (None, None),
        Some(certificate) if request::differs(&desired, certificate) => {
            // Who wrote before we last did undid nothing.
            let since = certificate.requested.unwrap_or(certificate.created);
            let by = certificate.last_writer.iter().filter(|undo| undo.at >= since);
            let by = by.map(|undo| Undo { at: now, ..undo.clone() });
            let mut undone = certificate.undone.clone();
            undone.extend(by);
            let from = undone.len().saturating_sub(3);
            (Some(requested(wants, Some(certificate), desired, undone.split_off(from), now)), None)
        }
        Some(_) => pushed(standing, now),
    }
}

fn requested(
    wants: &GardenerWants,
    certificate: Option<&Certificate>,
    request: Request,
    undone: Vec<Undo>,
    now: DateTime<Utc>,
) -> CertificateWrite {
    let base = certificate.map(|certificate| certificate.version.clone());
    CertificateWrite::Request {
        target: wants.certificate.clone(),
        base,
        request: Box::new(request),
        requested: now,
        undone,
    }
}

/// The push that is due.
fn pushed(standing: &Standing<'_>, now: DateTime<Utc>) -> (Option<CertificateWrite>, Option<DateTime<Utc>>) {
    let (Some(certificate), Some((_, climb))) = (standing.certificate, standing.expected) else { return (None, None) };
    let person = asked_by_a_person(standing, certificate);
    let asked = person.filter(|at| *at <= now).map(|at| (Step::Renew, at));
    let asked_at = person.filter(|at| *at > now);
    let step = asked.or_else(|| revoked(standing, certificate, now)).or(climb.push.map(|step| (step, now)));
    let wake_at = [climb.wake_at, asked_at].into_iter().flatten().min();
    let Some((step, at)) = step else { return (None, wake_at) };
    let mut pushes = certificate.pushes.clone();
    pushes.push(Push { step, at: now });
    let from = pushes.len().saturating_sub(REMEMBERED);
    let write = CertificateWrite::Push {
        target: standing.wants.certificate.clone(),
        base: certificate.version.clone(),
        touch: step == Step::Touch,
        renewed_after: (step == Step::Renew).then_some(at),
        pushes: pushes.split_off(from),
    };
    (Some(write), None)
}

/// Since when a person wants another, where that was not handed on yet; it may be to come.
fn asked_by_a_person(standing: &Standing<'_>, certificate: &Certificate) -> Option<DateTime<Utc>> {
    let at = standing.wants.renew.filter(|_| !standing.wants.watched)?;
    // Without anything issued there is nothing to be renewed; what comes is newer than that anyhow.
    let issued = standing.issued?;
    let done = certificate.renewed_after.is_some_and(|after| after >= at)
        || issued.requested.is_some_and(|requested| requested >= at);
    (!done).then_some(at)
}

/// A revoked certificate is replaced at once.
fn revoked(standing: &Standing<'_>, certificate: &Certificate, now: DateTime<Utc>) -> Option<(Step, DateTime<Utc>)> {
    let issued = standing.issued.filter(|issued| issued.revoked)?;
    let asked = certificate.renewed_after > issued.requested;
    let tried = certificate.pushes.iter().any(|push| push.step == Step::Renew && push.at > now - REVOKED_AGAIN);
    (!asked && !tried).then_some((Step::Renew, now))
}

fn remembered(standing: &Standing<'_>) -> Issuance {
    let before = standing.observed.object.previous.issuance.clone().unwrap_or_default();
    let certificate = standing.certificate;
    let leaf = standing.issued.and_then(|issued| issued.facts.leaf()).map(|leaf| leaf.fingerprint.to_string());
    let mut revoked = before.revoked;
    if let (Some(fingerprint), true) = (&leaf, standing.issued.is_some_and(|issued| issued.revoked))
        && !revoked.contains(fingerprint)
    {
        revoked.push(fingerprint.clone());
        revoked.drain(..revoked.len().saturating_sub(REVOKED));
    }
    Issuance {
        certificate: standing.wants.certificate.name.clone(),
        state: certificate.map(|certificate| certificate.state.clone()).unwrap_or_default(),
        requested: certificate.and_then(|certificate| certificate.requested),
        pushed: certificate.and_then(|certificate| certificate.pushes.iter().map(|push| push.at).max()),
        fingerprint: leaf.or(before.fingerprint),
        revoked,
    }
}

/// Whether this is late and every step was made.
pub(super) fn is_exhausted(standing: &Standing<'_>) -> Option<What> {
    standing.expected.filter(|(_, climb)| climb.exhausted).map(|(expected, _)| expected.what)
}

/// People supply the certificate now: once theirs is in the gateway's Secret, what was requested goes.
fn retire(observed: &Observed, stance: &Stance) -> Decision {
    let Some(issuance) = observed.object.previous.issuance.clone() else { return Decision::default() };
    let keep = || Decision { issuance: Some(issuance.clone()), ..Decision::default() };
    if issuance.requested.is_none() {
        // Only watched over, or never written: nothing of it is ours.
        return Decision::default();
    }
    let supplied = match &observed.source {
        Source::Present(supply) => supply.facts.pair(),
        _ => None,
    };
    let promoted =
        |stored: &Stored| is_ours(observed, stored) && supplied.is_some_and(|pair| same_pair(&stored.facts, pair));
    if *stance != Stance::Manage || !observed.gateway.stored().is_some_and(promoted) {
        return keep();
    }
    match &observed.gardener.certificate {
        Sight::Present(certificate) if !belongs(observed, certificate) => Decision::default(),
        Sight::Present(certificate) if certificate.deleting || observed.gardener.failure.is_some() => keep(),
        Sight::Present(certificate) => {
            let target = super::ObjectName::new(&observed.object.name.namespace, &issuance.certificate);
            let write = CertificateWrite::Delete { target, base: certificate.version.clone() };
            Decision { write: Some(write), ..keep() }
        }
        Sight::Absent | Sight::NotInstalled if orphan(observed).is_some() => Decision { orphan: true, ..keep() },
        Sight::Absent | Sight::NotInstalled => Decision::default(),
        Sight::NotLookedAt | Sight::Pending | Sight::Denied(_) => keep(),
    }
}

/// The Secret that Gardener filled and that nobody needs any more. One that people have named as their own source since
/// is theirs.
pub(in crate::lifecycle) fn orphan(observed: &Observed) -> Option<Version> {
    let object = &observed.object;
    let supplied = object.wants.gardener.is_none() && object.wants.source.as_ref() == Some(&object.name.staging());
    observed.orphan.clone().filter(|_| !supplied)
}

/// It bears our mark.
pub(in crate::lifecycle) fn belongs(observed: &Observed, certificate: &Certificate) -> bool {
    certificate.owner.as_deref() == Some(observed.object.name.to_string().as_str())
}
