//! Whether the object asks for something that it may have and that this version can do.

use super::{
    observed::{Object, Settings},
    reason::Reason,
};

/// `Err` is the condition Accepted=False: its reason and message.
pub(super) fn accept(object: &Object, settings: &Settings) -> Result<(), (Reason, String)> {
    let wants = &object.wants;
    if !wants.unsupported.is_empty() {
        return Err((
            Reason::NotYetSupported,
            format!(
                "this version of certkeeper does not act on {}: remove it from the spec, nothing is done until then",
                wants.unsupported.join(", ")
            ),
        ));
    }
    let secret = &wants.gateway_secret;
    if !settings.permits(secret) {
        return Err((
            Reason::NotPermitted,
            format!(
                "Secret {secret} may not be written: the operator grants {}; start certkeeper with --allow {secret}, \
                 or name a granted Secret in spec.gateway.secretRef",
                settings.allow.join(", ")
            ),
        ));
    }
    if let Some(source) = &wants.source
        && (*source == *secret || *source == secret.keepsake())
    {
        return Err((
            Reason::InvalidSpec,
            format!(
                "spec.byo.secretRef names {source}, which certkeeper writes itself: supply the pair in another Secret"
            ),
        ));
    }
    if let Some(Err(wrong)) = &wants.roots {
        return Err((Reason::InvalidSpec, format!("spec.byo.trust.roots cannot be used: {wrong}")));
    }
    Ok(())
}
