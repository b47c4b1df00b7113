//! Whether the object asks for something that it may have and that this version can do.

use super::{
    client_ca, gateway_object,
    observed::{Object, ObjectName, Settings, Wants},
    reason::Reason,
    targets::{Places, Target, Workload},
};

/// Whether the object asks for nothing but what it may have.
#[must_use]
pub fn accepts(object: &Object, settings: &Settings) -> bool {
    accept(object, settings).is_ok()
}

/// `Err` is the condition Accepted=False: its reason and message.
pub(super) fn accept(object: &Object, settings: &Settings) -> Result<(), (Reason, String)> {
    let wants = &object.wants;
    if !wants.unsupported.is_empty() {
        return Err((Reason::NotYetSupported, unsupported(wants)));
    }
    if let Some(wrong) = &wants.invalid {
        return Err((Reason::InvalidSpec, wrong.clone()));
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
        && [secret.clone(), secret.keepsake(), secret.client_ca()].contains(source)
    {
        return Err((
            Reason::InvalidSpec,
            format!(
                "spec.byo.secretRef names {source}, which certkeeper writes itself: supply the pair in another Secret"
            ),
        ));
    }
    gateway_object::accept(wants, settings)?;
    client_ca::accept(wants.client_ca.as_ref(), secret)?;
    for target in &wants.targets {
        accept_target(target, settings)?;
    }
    if let Some(Err(wrong)) = &wants.roots {
        return Err((Reason::InvalidSpec, format!("spec.byo.trust.roots cannot be used: {wrong}")));
    }
    Ok(())
}

fn unsupported(wants: &Wants) -> String {
    // With nothing supplied it is a source that is missing, whatever else is set.
    let remedy = match wants.source {
        Some(_) => "remove it from the spec",
        None => "name the Secret with your certificate and key in spec.byo.secretRef and set spec.mode to BYO or Auto",
    };
    let fields = wants.unsupported.join(", ");
    format!("this version of certkeeper does not act on {fields}: {remedy}, nothing is done until then")
}

/// What one entry of `spec.targets` needs from the operator, and what its keys must look like.
fn accept_target(target: &Target, settings: &Settings) -> Result<(), (Reason, String)> {
    let Target { name, secret_name, .. } = target;
    let not_permitted = |grant: String| {
        let granted = settings.allow.join(", ");
        let message = format!(
            "target {name} needs Secrets that may not be written: the operator grants {granted}; start certkeeper with \
             --allow {grant}, or remove the target"
        );
        (Reason::NotPermitted, message)
    };
    let listed: &[String] = match &target.namespaces {
        Places::Selected(_) if !settings.permits_anywhere(secret_name) => {
            return Err(not_permitted(format!("'*/{secret_name}'")));
        }
        Places::Selected(_) => &[],
        Places::Listed(namespaces) => namespaces,
    };
    if let Some(namespace) = listed.iter().find(|ns| !settings.permits(&ObjectName::new(ns.as_str(), secret_name))) {
        return Err(not_permitted(format!("{namespace}/{secret_name}")));
    }
    for Workload { kind, name: workload } in &target.restart {
        let places: Vec<&str> = if listed.is_empty() { vec!["*"] } else { listed.iter().map(String::as_str).collect() };
        if let Some(namespace) = places.into_iter().find(|ns| !settings.permits_restart(ns, kind, workload)) {
            let message = format!(
                "target {name} would roll {kind} {workload} in namespace {namespace}, which the operator does not grant: \
                 start certkeeper with --allow-restart '{namespace}/{kind}/{workload}', or remove it from restart"
            );
            return Err((Reason::NotPermitted, message));
        }
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let bad = |key: &&String| key.is_empty() || key.len() > 253 || !key.chars().all(allowed);
    if let Some(key) = target.keys.keys().find(bad) {
        let message = format!(
            "target {name}: \"{key}\" cannot be a key of a Secret: use letters, digits, '-', '_' and '.', at most 253 characters"
        );
        return Err((Reason::InvalidSpec, message));
    }
    Ok(())
}
