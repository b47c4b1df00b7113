//! A Secret in the cluster: what Istio would read of it, and what lies beside that.

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;

use crate::{
    certificate::{Check, Class, Facts, Finding, Severity},
    cluster::gather::{LAST_APPLIED, read_as_istio, read_source},
};

/// The checks of this file: they look at the Secret, not at the material in it.
pub(super) static CHECKS: [&Check; 5] =
    [&SECRET_GENERIC_KEYS, &SECRET_SOURCE_LAYOUT, &SECRET_LAST_APPLIED, &SECRET_IMMUTABLE, &SECRET_TYPE];

static SECRET_GENERIC_KEYS: Check = Check {
    name: "secret-generic-keys",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "A gateway's Secret has no keys cert and key beside tls.crt and tls.key: Istio reads those two first, \
              without a word, and whatever is written to tls.crt is never served.",
    source: "Istio pilot/pkg/credentials/kube/secrets.go",
};

static SECRET_SOURCE_LAYOUT: Check = Check {
    name: "secret-source-layout",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "The keys tlsCrt and tlsKey are one of the layouts in which a pair may be supplied to certkeeper; \
              a gateway does not read them.",
    source: "Istio pilot/pkg/credentials/kube/secrets.go; Kyma's installation values",
};

static SECRET_LAST_APPLIED: Check = Check {
    name: "secret-last-applied",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "No annotation repeats the private key: kubectl apply keeps all that was applied in \
              kubectl.kubernetes.io/last-applied-configuration, which even those see who read metadata only.",
    source: "kubectl apply (client-side); seen with kube-apiserver 1.36",
};

static SECRET_IMMUTABLE: Check = Check {
    name: "secret-immutable",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "The Secret can be changed: what is immutable must be deleted to be renewed.",
    source: "Kubernetes, Immutable Secrets",
};

static SECRET_TYPE: Check = Check {
    name: "secret-type",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "The Secret is of type kubernetes.io/tls or Opaque. Istio reads the keys whatever the type.",
    source: "Kubernetes, Types of Secret; Istio pilot/pkg/credentials/kube/secrets.go",
};

/// What was found.
pub(super) struct Stored {
    pub(super) facts: Facts,
    /// The key of the Secret in which the certificate is.
    pub(super) certificate: &'static str,
    /// The key of the Secret in which the private key is.
    pub(super) key: &'static str,
    pub(super) findings: Vec<Finding>,
}

/// Looks a Secret over as a gateway would; one that only has the keys of Kyma's values as certkeeper would.
pub(super) fn look(secret: &Secret) -> Stored {
    let filled =
        |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).is_some_and(|ByteString(b)| !b.is_empty());
    let supplied = (filled("tlsCrt") || filled("tlsKey"))
        && !["tls.crt", "tls.key", "cert", "key"].iter().any(|gateway| filled(gateway));
    let mut findings = Vec::new();
    let mut find = |check, location: &str, message: String, remedy: String| {
        findings.push(finding(check, location, message, remedy));
    };
    let (certificate, key, facts) = if supplied {
        find(
            &SECRET_SOURCE_LAYOUT,
            "keys tlsCrt and tlsKey",
            "a gateway does not read these keys; they were judged as what somebody supplies".to_owned(),
            "nothing, if spec.byo.secretRef of a GatewayCertificate names this Secret".to_owned(),
        );
        ("tlsCrt", "tlsKey", read_source(secret).1)
    } else {
        match read_as_istio(secret) {
            (false, facts) => ("cert", "key", facts),
            (true, facts) => ("tls.crt", "tls.key", facts),
        }
    };
    generic_keys(filled("cert"), filled("key"), filled("tls.crt") || filled("tls.key"), &mut find);
    around(secret, &mut find);
    Stored { facts, certificate, key, findings }
}

fn finding(check: &'static Check, location: &str, message: String, remedy: String) -> Finding {
    Finding { check, severity: check.severity, message, location: location.to_owned(), remedy }
}

type Find<'a> = dyn FnMut(&'static Check, &str, String, String) + 'a;

fn generic_keys(certificate: bool, key: bool, tls: bool, find: &mut Find<'_>) {
    let remedy = "remove cert and key from the Secret if tls.crt and tls.key are meant; certkeeper does so \
                  when it next writes it";
    match (certificate, key, tls) {
        (true, true, true) => find(
            &SECRET_GENERIC_KEYS,
            "keys cert and key",
            "Istio reads the keys cert and key before tls.crt and tls.key: those were judged".to_owned(),
            remedy.to_owned(),
        ),
        (true, false, true) | (false, true, true) => find(
            &SECRET_GENERIC_KEYS,
            if certificate { "key cert" } else { "key key" },
            "half of a pair stands beside tls.crt and tls.key: with its other half it would be read in their place"
                .to_owned(),
            remedy.to_owned(),
        ),
        _ => {}
    }
}

fn around(secret: &Secret, find: &mut Find<'_>) {
    let applied = secret.annotations().get(LAST_APPLIED);
    // The names of the keys tell; the values are not looked into.
    if applied.is_some_and(|text| ["\"tls.key\"", "\"key\"", "\"tlsKey\""].iter().any(|key| text.contains(key))) {
        find(
            &SECRET_LAST_APPLIED,
            "annotation kubectl.kubernetes.io/last-applied-configuration",
            "it repeats the private key that was applied, in clear or in base64".to_owned(),
            format!(
                "kubectl -n {} annotate secret {} kubectl.kubernetes.io/last-applied-configuration-; \
                 then apply with --server-side",
                secret.namespace().unwrap_or_default(),
                secret.name_any()
            ),
        );
    }
    if secret.immutable == Some(true) {
        find(
            &SECRET_IMMUTABLE,
            "field immutable",
            "the Secret is immutable: no renewal can be written to it".to_owned(),
            "save it, delete it and create it again without immutable, in a quiet hour".to_owned(),
        );
    }
    let kind = secret.type_.as_deref().unwrap_or("Opaque");
    if !matches!(kind, "kubernetes.io/tls" | "Opaque") {
        find(
            &SECRET_TYPE,
            "field type",
            format!("the Secret is of type {kind}; kubernetes.io/tls is usual"),
            "nothing: Istio reads the keys, and a Secret's type cannot be changed".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn secret(keys: &[&str]) -> Secret {
        let data = keys.iter().map(|key| ((*key).to_owned(), ByteString(b"x".to_vec()))).collect();
        Secret { data: Some(data), ..Secret::default() }
    }

    fn names(secret: &Secret) -> Vec<&'static str> {
        look(secret).findings.iter().map(|finding| finding.check.name).collect()
    }

    #[test]
    fn istios_order_decides_which_keys_are_judged() {
        let read = |keys: &[&str]| {
            let stored = look(&secret(keys));
            (stored.certificate, stored.key)
        };
        assert_eq!(read(&["tls.crt", "tls.key"]), ("tls.crt", "tls.key"));
        assert_eq!(read(&["tls.crt", "tls.key", "cert", "key"]), ("cert", "key"));
        assert_eq!(read(&["tls.crt", "tls.key", "cert"]), ("tls.crt", "tls.key"));
        assert_eq!(read(&["tlsCrt", "tlsKey"]), ("tlsCrt", "tlsKey"));
        assert_eq!(read(&["tlsCrt", "tlsKey", "tls.crt"]), ("tls.crt", "tls.key"));
        assert_eq!(read(&[]), ("tls.crt", "tls.key"));
    }

    #[test]
    fn left_overs_are_told_only_where_they_stand_beside_the_pair() {
        assert_eq!(names(&secret(&["tls.crt", "tls.key"])), [""; 0]);
        assert_eq!(names(&secret(&["cert", "key"])), [""; 0]);
        assert_eq!(names(&secret(&["tls.crt", "tls.key", "cert", "key"])), ["secret-generic-keys"]);
        assert_eq!(names(&secret(&["tls.crt", "tls.key", "key"])), ["secret-generic-keys"]);
        assert_eq!(names(&secret(&["tlsCrt", "tlsKey"])), ["secret-source-layout"]);
    }

    #[test]
    fn an_annotation_that_repeats_the_key_is_told_and_not_repeated() {
        let mut secret = secret(&["tls.crt", "tls.key"]);
        let applied = r#"{"data":{"tls.key":"TEFLRUQ="}}"#.to_owned();
        secret.metadata.annotations = Some(BTreeMap::from([(LAST_APPLIED.to_owned(), applied)]));
        secret.immutable = Some(true);
        secret.type_ = Some("example.com/other".to_owned());
        let stored = look(&secret);
        assert_eq!(names(&secret), ["secret-last-applied", "secret-immutable", "secret-type"]);
        assert!(!format!("{:?}", stored.findings).contains("TEFLRUQ"));
    }
}
