//! Whether the object asks for something that it may have and that this version can do.

use super::{
    client_ca, gardener, gateway_object,
    observed::{Object, ObjectName, Settings},
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
    if let Some(source) = wants.source.as_ref().filter(|_| wants.gardener.is_none())
        && [secret.clone(), secret.keepsake(), secret.client_ca()].contains(source)
    {
        return Err((
            Reason::InvalidSpec,
            format!(
                "spec.byo.secretRef names {source}, which certkeeper writes itself: supply the pair in another Secret"
            ),
        ));
    }
    gardener::accept(wants)?;
    gateway_object::accept(wants, settings)?;
    client_ca::accept(wants.client_ca.as_ref(), secret)?;
    accept_targets(&wants.targets, settings)?;
    if let Some(Err(wrong)) = &wants.roots {
        return Err((Reason::InvalidSpec, format!("spec.byo.trust.roots cannot be used: {wrong}")));
    }
    Ok(())
}

fn accept_targets(targets: &[Target], settings: &Settings) -> Result<(), (Reason, String)> {
    for target in targets {
        accept_shape(target)?;
        accept_target(target, settings)?;
    }
    // A selector's Secrets are watched across namespaces: with one that bears the key, that would need more rights than
    // its list of namespaces.
    let bearing = targets.iter().filter(|target| target.bears_key());
    for (bearing, selecting) in bearing.flat_map(|one| targets.iter().map(move |other| (one, other))) {
        if matches!(selecting.namespaces, Places::Selected(_)) && selecting.secret_name == bearing.secret_name {
            let message = format!(
                "targets {} and {} both write Secrets named {}, one with the private key and one by a selector: give \
                 one of them another secretName",
                bearing.name, selecting.name, bearing.secret_name
            );
            return Err((Reason::InvalidSpec, message));
        }
    }
    Ok(())
}

/// What the schema says of one entry of `spec.targets`. It is asked again because an object may be older than the schema.
fn accept_shape(target: &Target) -> Result<(), (Reason, String)> {
    let Target { name, secret_name, .. } = target;
    let invalid = |message: String| Err((Reason::InvalidSpec, format!("target {name}: {message}")));
    if !is_object_name(secret_name) {
        return invalid(format!(
            "\"{secret_name}\" cannot be the name of a Secret: use small letters, digits, '-' and '.', a letter or digit \
             at the beginning, at the end and beside each '.', at most 253 characters"
        ));
    }
    if let Some(key) = target.keys.keys().find(|key| !is_data_key(key)) {
        return invalid(format!(
            "\"{key}\" cannot be a key of a Secret: use letters, digits, '-', '_' and '.', not \"..\" at the beginning, \
             at most 253 characters"
        ));
    }
    if matches!(target.namespaces, Places::Selected(_)) && target.bears_key() {
        return invalid(
            "it bears the private key and takes a list of namespaces (namespaces): a selector would hand the key to \
             whoever may label one"
                .to_owned(),
        );
    }
    Ok(())
}

/// A DNS subdomain, as Kubernetes asks for it.
fn is_object_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let label = |l: &str| !l.is_empty() && !l.starts_with('-') && !l.ends_with('-') && l.bytes().all(inner);
    name.len() <= 253 && name.split('.').all(label)
}

/// A key of a Secret's data, as Kubernetes asks for it.
fn is_data_key(key: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=253).contains(&key.len()) && key.chars().all(allowed) && key != "." && !key.starts_with("..")
}

/// What one entry of `spec.targets` needs from the operator.
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::targets::{Content, SecretKind, Selector};

    fn target(name: &str, secret_name: &str, namespaces: Places, keys: &[(&str, Content)]) -> Target {
        Target {
            name: name.to_owned(),
            secret_name: secret_name.to_owned(),
            namespaces,
            kind: SecretKind::Opaque,
            keys: keys.iter().map(|(key, content)| ((*key).to_owned(), *content)).collect(),
            restart: Vec::new(),
        }
    }

    fn listed() -> Places {
        Places::Listed(vec!["a".to_owned()])
    }

    fn selected() -> Places {
        Places::Selected(Selector::default())
    }

    /// The message of a refusal as an invalid spec.
    fn refused(targets: &[Target]) -> Option<String> {
        let allow = ["copy", "other", "a.b"].map(|name| format!("*/{name}")).to_vec();
        let settings = Settings { allow, ..Settings::default() };
        match accept_targets(targets, &settings) {
            Ok(()) => None,
            Err((Reason::InvalidSpec, message)) => Some(message),
            Err(other) => panic!("{other:?}"),
        }
    }

    const KEY: (&str, Content) = ("key", Content::PrivateKey);
    const CERT: (&str, Content) = ("cert", Content::Certificate);

    #[test]
    fn a_selector_is_refused_with_a_layout_that_bears_the_key() {
        let message = refused(&[target("t", "copy", selected(), &[CERT, KEY])]).expect("refused");
        assert!(message.contains("target t") && message.contains("list of namespaces"), "{message}");
        assert_eq!(refused(&[target("t", "copy", selected(), &[CERT])]), None);
        assert_eq!(refused(&[target("t", "copy", listed(), &[CERT, KEY])]), None);
    }

    #[test]
    fn a_name_that_bears_a_key_in_one_target_is_refused_in_a_selector() {
        let both = |first: &str, second: &str| {
            [target("keyed", first, listed(), &[KEY]), target("plain", second, selected(), &[CERT])]
        };
        for targets in [both("copy", "copy"), {
            let [a, b] = both("copy", "copy");
            [b, a]
        }] {
            let message = refused(&targets).expect("refused");
            assert!(["keyed", "plain", "copy", "secretName"].iter().all(|word| message.contains(word)), "{message}");
        }
        assert_eq!(refused(&both("copy", "other")), None);
    }

    #[test]
    fn names_that_kubernetes_would_refuse_are_refused() {
        for name in ["a..b", ".a", "a.", "a.-b", "A", ""] {
            assert!(refused(&[target("t", name, listed(), &[CERT])]).is_some(), "{name}");
        }
        assert_eq!(refused(&[target("t", "a.b", listed(), &[CERT])]), None);
        for key in ["a b", "", ".", "..", "..data", "a/b", &"k".repeat(254)] {
            let message = refused(&[target("t", "copy", listed(), &[(key, Content::Certificate)])]);
            assert!(message.is_some_and(|message| message.contains("key of a Secret")), "{key}");
        }
        for key in [".data", "a..b", "A_b-c.pem"] {
            assert_eq!(refused(&[target("t", "copy", listed(), &[(key, Content::Certificate)])]), None, "{key}");
        }
    }
}
