//! Whether the spec may ask for what it does of the Gateway.

use super::ISTIO_SUITES;
use crate::lifecycle::{
    observed::{Settings, Wants},
    reason::Reason,
};

/// `Err` is the condition Accepted=False: its reason and message.
pub(in crate::lifecycle) fn accept(wants: &Wants, settings: &Settings) -> Result<(), (Reason, String)> {
    let policy = &wants.gateway_object;
    let invalid = |message: String| Err((Reason::InvalidSpec, message));
    if let Some(unknown) = policy.suites.iter().find(|suite| !ISTIO_SUITES.contains(&suite.as_str())) {
        return invalid(format!(
            "spec.gateway.policy.cipherSuites: Istio knows no \"{unknown}\" and would drop it; it knows {}",
            ISTIO_SUITES.join(", ")
        ));
    }
    if !policy.manage {
        return Ok(());
    }
    let gateway = &wants.gateway;
    if !settings.permits_gateway(gateway) {
        let granted = match settings.allow_gateway.as_slice() {
            [] => "none".to_owned(),
            granted => granted.join(", "),
        };
        let message = format!(
            "Gateway {gateway} may not be written: the operator grants {granted}; start certkeeper with --allow-gateway \
             {gateway}, name a granted Gateway in spec.gateway, or set spec.gateway.management to Observe"
        );
        return Err((Reason::NotPermitted, message));
    }
    if wants.domain.is_none() {
        return invalid(
            "spec.gateway.management Manage needs spec.domain: it says which hosts the Gateway serves".to_owned(),
        );
    }
    if policy.mode.as_deref() == Some("MUTUAL") && wants.client_ca.is_none() {
        return invalid(
            "spec.gateway.policy.mode MUTUAL needs spec.clientCA: without CA certificates every connection is reset"
                .to_owned(),
        );
    }
    Ok(())
}
