//! What is asked of Gardener, and whether it can be asked.

use super::{Certificate, GardenerWants, Request};
use crate::{
    certificate::dns_name_fault,
    lifecycle::{
        gateway_object::{desired as gateway_policy, suites},
        observed::{Observed, Wants},
        reason::Reason,
    },
};

/// Bits of a key that nobody chose the size of. Every Envoy takes these, and they are the fastest to shake hands with
/// (FACTS, "Istio and Envoy": RSA from 2048, P-256 in every version).
const RSA_BITS: i64 = 2048;
const ECDSA_BITS: i64 = 256;

/// The names that are asked for: the wildcard and, unless it was left out, the domain itself, in one Certificate, for
/// two would collide on the DNS challenge (FACTS, "Gardener's Certificate").
pub(in crate::lifecycle) fn names(domain: &str, apex: bool) -> Vec<String> {
    std::iter::once(format!("*.{domain}")).chain(apex.then(|| domain.to_owned())).collect()
}

/// What the Certificate shall say.
pub(super) fn desired(domain: &str, wants: &GardenerWants) -> Request {
    let bits = if wants.algorithm == "ECDSA" { ECDSA_BITS } else { RSA_BITS };
    Request {
        names: names(domain, wants.apex),
        secret: Some(wants.staging.clone()),
        issuer: wants.issuer.clone(),
        renew_before: wants.renew_before.clone(),
        duration: wants.duration.clone(),
        algorithm: Some(wants.algorithm.clone()),
        size: Some(wants.size.unwrap_or(bits)),
        class: wants.class.clone(),
    }
}

/// Whether the Certificate must be written to say that. Fields that the spec leaves out may be somebody else's: they
/// differ only where they are ours, left from an earlier spec.
pub(super) fn differs(desired: &Request, certificate: &Certificate) -> bool {
    let (have, ours) = (&certificate.request, &certificate.ours);
    let optional = |wanted: bool, same: bool, field: &str| if wanted { !same } else { ours.contains(field) };
    have.names != desired.names
        || have.secret != desired.secret
        || have.algorithm != desired.algorithm
        || have.size != desired.size
        || optional(desired.issuer.is_some(), have.issuer == desired.issuer, "issuerRef")
        || optional(desired.renew_before.is_some(), have.renew_before == desired.renew_before, "renewBefore")
        || optional(desired.duration.is_some(), have.duration == desired.duration, "duration")
        || optional(desired.class.is_some(), have.class == desired.class, "class")
}

/// Whether this can be asked for at all. `Err`: why not, and what to do.
pub(in crate::lifecycle) fn accept(wants: &Wants) -> Result<(), (Reason, String)> {
    let (Some(gardener), Some(domain)) = (&wants.gardener, &wants.domain) else { return Ok(()) };
    if gardener.watched {
        return Ok(());
    }
    let long = names(domain, gardener.apex).into_iter().find_map(|name| Some((dns_name_fault(&name)?, name)));
    match long {
        None => Ok(()),
        Some((fault, name)) => Err((
            Reason::InvalidSpec,
            format!("no certificate can be issued for \"{name}\": {fault}; set spec.domain to the cluster's domain"),
        )),
    }
}

/// A Gateway that could not speak TLS 1.2 with the kind of key that is asked for, and what to do. The documented policy
/// of Kyma has RSA suites alone (FACTS, "Kyma").
pub(super) fn unfit_key(observed: &Observed, gardener: &GardenerWants) -> Option<String> {
    if gardener.algorithm != "ECDSA" {
        return None;
    }
    let lacks = |suites: &[String]| !suites.is_empty() && !suites.iter().any(|suite| suite.contains("ECDSA"));
    let remedy = "ask for RSA in spec.gardener.privateKey.algorithm, or give the Gateway suites for ECDSA in \
                  spec.gateway.policy.cipherSuites";
    let refused = |who: &str| {
        format!(
            "no ECDSA key is asked for: every TLS 1.2 cipher suite of {who} needs an RSA key, so that older clients could \
             not connect; {remedy}"
        )
    };
    let wants = &observed.object.wants;
    if wants.gateway_object.manage {
        return lacks(&gateway_policy(wants, &[]).suites).then(|| refused("the Gateway as spec.gateway.policy has it"));
    }
    let (gateway, _) = suites(observed).find(|(_, suites)| lacks(suites))?;
    Some(refused(&format!("Gateway {gateway}")))
}
