//! What a `credentialName` means (IS pilot/pkg/model/credentials/resource.go).

use crate::lifecycle::ObjectName;

/// Where a server's pair comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Credential {
    /// This Secret, in the pod's own namespace.
    Secret(ObjectName),
    /// This Secret, in another namespace than the pod's: Istio hands it out only where a policy allows that.
    Foreign(ObjectName),
    /// Something else, by the name that the Gateway has for it.
    Other(String),
    /// Files of the pod.
    Files,
}

const IN_SECRETS: [&str; 2] = ["kubernetes://", "kubernetes-gateway://"];

impl Credential {
    /// What this `credentialName` means to a pod in this namespace.
    #[must_use]
    pub fn of(name: &str, pod_namespace: &str) -> Self {
        let other = || Self::Other(name.to_owned());
        let known = IN_SECRETS.iter().find_map(|scheme| name.strip_prefix(scheme));
        let path = match known {
            Some(path) => path,
            None if name.contains("://") => return other(),
            None => name,
        };
        match path.split('/').collect::<Vec<&str>>()[..] {
            [secret] if !secret.is_empty() => Self::Secret(ObjectName::new(pod_namespace, secret)),
            [namespace, secret] if !namespace.is_empty() && !secret.is_empty() => {
                let secret = ObjectName::new(namespace, secret);
                if namespace == pod_namespace { Self::Secret(secret) } else { Self::Foreign(secret) }
            }
            _ => other(),
        }
    }

    /// The Secret, wherever it is.
    #[must_use]
    pub fn secret(&self) -> Option<&ObjectName> {
        match self {
            Self::Secret(name) | Self::Foreign(name) => Some(name),
            Self::Other(_) | Self::Files => None,
        }
    }
}
