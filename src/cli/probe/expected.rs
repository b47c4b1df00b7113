//! The leaf that ought to be served, and what is said where another one is.

use kube::Client;

use super::report::Expected;
use crate::{
    certificate::{Check, Class, Finding, Severity},
    cli::ClusterArgs,
    cluster::{client::connect, gather::read_as_istio, one},
    lifecycle::ObjectName,
};

/// The check of this file.
pub(super) static SERVED_OTHER: Check = Check {
    name: "served-other",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "The leaf that is served is the one that is expected.",
    source: "what a completed handshake shows, and nothing else, is what is served",
};

/// Where the expectation comes from.
pub(super) enum Source {
    Nothing,
    Fingerprint(String),
    /// Read anew each time: a Secret changes.
    Secret(Box<Client>, ObjectName),
}

impl Source {
    /// # Errors
    /// When there is no cluster to ask.
    pub(super) async fn new(
        fingerprint: Option<String>,
        secret: Option<ObjectName>,
        cluster: ClusterArgs,
    ) -> Result<Self, String> {
        Ok(match (fingerprint, secret) {
            (Some(fingerprint), _) => Self::Fingerprint(fingerprint),
            (_, Some(secret)) => {
                let client = connect(&cluster.into()).await.map_err(|e| e.to_string())?;
                Self::Secret(Box::new(client), secret)
            }
            _ => Self::Nothing,
        })
    }

    /// What is expected now.
    ///
    /// # Errors
    /// When the Secret cannot be read, or has no certificate that can.
    pub(super) async fn read(&self) -> Result<Option<Expected>, String> {
        match self {
            Self::Nothing => Ok(None),
            Self::Fingerprint(fingerprint) => {
                let source = "--expect-fingerprint".to_owned();
                Ok(Some(Expected { fingerprint: fingerprint.clone(), source }))
            }
            Self::Secret(client, name) => leaf_of(Client::clone(client), name).await.map(Some),
        }
    }
}

/// The leaf that this Secret holds, as Istio reads it; the key is not looked at by anybody.
///
/// # Errors
/// When the Secret cannot be read, or has no certificate that can.
pub(super) async fn leaf_of(client: Client, name: &ObjectName) -> Result<Expected, String> {
    let seen = one::secret(client, name).await?;
    let (canonical, facts) = read_as_istio(seen.secret());
    let leaf = facts.leaf().ok_or_else(|| {
        format!("Secret {name} holds no certificate that can be read: see certkeeper check --secret {name}")
    })?;
    let key = if canonical { "tls.crt" } else { "cert" };
    Ok(Expected { fingerprint: leaf.fingerprint.to_string(), source: format!("Secret {name}, {key}") })
}

/// What is said where another leaf is served.
pub(super) fn differs(expected: &Expected, served: &str, location: String) -> Finding {
    Finding {
        check: &SERVED_OTHER,
        severity: SERVED_OTHER.severity,
        message: format!("{served} is served; {} was expected ({})", expected.fingerprint, expected.source),
        location,
        remedy: "wait some seconds if it was written just now; else certkeeper check --secret says whether a gateway \
                 would take it, and the same pair in other bytes (one more newline) or a restart frees a gateway that \
                 is stuck"
            .to_owned(),
    }
}
