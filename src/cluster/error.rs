//! What a failed call means, in words that hold no key material.

use std::time::Duration;

use crate::lifecycle::FailureKind;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// The object is not in the state that the call named: read it again and decide anew.
    Stale,
    /// It did not succeed.
    Failed(FailureKind, String),
}

impl CallError {
    /// What was said of a call that did not succeed.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        match self {
            Self::Stale => None,
            Self::Failed(_, words) => Some(words.clone()),
        }
    }
}

/// How long a single call may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Waits for a call at most [`CALL_TIMEOUT`] and classifies its failure.
///
/// # Errors
/// As [`classify`]; a call that takes too long is [`FailureKind::Transient`].
pub async fn bounded<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(result) => result.map_err(|error| classify(&error)),
        Err(_) => Err(CallError::Failed(
            FailureKind::Transient,
            format!("the API server did not answer within {} s", CALL_TIMEOUT.as_secs()),
        )),
    }
}

/// Who owns which fields that an apply would have changed: `conflict with "MANAGER" using API on FIELD`. `None`: the error
/// is something else, such as a 409 over a stale resourceVersion.
#[must_use]
pub fn field_conflict(error: &kube::Error) -> Option<String> {
    let kube::Error::Api(status) = error else { return None };
    let details = status.details.as_ref().filter(|_| status.code == 409)?;
    let causes = details.causes.iter().filter(|cause| cause.reason == "FieldManagerConflict");
    let words: Vec<String> = causes.map(|cause| format!("{} on {}", cause.message, cause.field)).collect();
    (!words.is_empty()).then(|| sanitize(&words.join("; ")))
}

/// What an error of the client means. A conflict over fields is [`CallError::Stale`], too, for whoever creates by an apply:
/// it is another's object that appeared. Whoever applies fields for good asks [`field_conflict`] first.
#[must_use]
pub fn classify(error: &kube::Error) -> CallError {
    match error {
        kube::Error::Api(status) => match status.code {
            409 => CallError::Stale,
            404 if status.details.as_ref().is_some_and(|details| details.kind != "namespaces") => CallError::Stale,
            // RBAC says `User "…" cannot …`; admission and a terminating namespace answer 403, too, in other words.
            401 => CallError::Failed(FailureKind::Denied, sanitize(&status.message)),
            403 if status.message.contains(" cannot ") => {
                CallError::Failed(FailureKind::Denied, sanitize(&status.message))
            }
            403 if status.message.contains("being terminated") => {
                CallError::Failed(FailureKind::Terminating, sanitize(&status.message))
            }
            400 | 403 | 404 | 405 | 413 | 415 | 422 => {
                CallError::Failed(FailureKind::Rejected, sanitize(&status.message))
            }
            // A PodDisruptionBudget that forbids an eviction stands in the causes alone.
            429 => {
                let causes = status.details.iter().flat_map(|details| &details.causes).map(|cause| &cause.message);
                let words: Vec<&str> = std::iter::once(&status.message).chain(causes).map(String::as_str).collect();
                CallError::Failed(FailureKind::Transient, sanitize(&words.join(" ")))
            }
            _ => CallError::Failed(FailureKind::Transient, sanitize(&status.message)),
        },
        other => CallError::Failed(FailureKind::Transient, describe(other)),
    }
}

/// The API server does not know the resource: an answer 404 that names no object.
#[must_use]
pub fn is_unknown_resource(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            status.code == 404 && status.details.as_ref().is_none_or(|details| details.name.is_empty())
        }
        _ => false,
    }
}

/// The error in words. A decoding error quotes what it could not decode, which may be a key: it is not repeated.
#[must_use]
pub fn describe(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => sanitize(&status.message),
        kube::Error::SerdeError(error) => format!(
            "the API server's answer could not be decoded ({:?} error at line {}, column {})",
            error.classify(),
            error.line(),
            error.column()
        ),
        kube::Error::Service(error) => {
            format!("the API server cannot be reached: {}", sanitize(&chain(error.as_ref())))
        }
        other => sanitize(&chain(other)),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        let more = next.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        source = next.source();
    }
    words
}

/// Cuts a message of the API server (or of an admission webhook) that quotes PEM, and bounds its length.
#[must_use]
pub fn sanitize(message: &str) -> String {
    let safe = message.find("-----BEGIN").map_or(message, |at| &message[..at]);
    // Base64 of "-----BEGIN", as Secrets have it in JSON.
    let safe = safe.find("LS0tLS1CRUdJTi").map_or(safe, |at| &safe[..at]);
    let cut = if safe.len() < message.len() { "[material cut]" } else { "" };
    format!("{}{cut}", safe.chars().take(500).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_quotes_a_key_is_cut_before_it() {
        let pem = sanitize("denied: data was -----BEGIN PRIVATE KEY-----\nMIIE");
        assert_eq!(pem, "denied: data was [material cut]");
        let base64 = sanitize("denied: LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t");
        assert_eq!(base64, "denied: [material cut]");
    }

    #[test]
    fn a_conflict_over_fields_is_told_from_a_stale_version() {
        let answer = |causes: serde_json::Value| -> kube::Error {
            let status = serde_json::json!({"status": "Failure", "code": 409, "reason": "Conflict", "message": "conflict",
                "details": {"name": "gw", "kind": "gateways", "causes": causes}});
            kube::Error::Api(Box::new(serde_json::from_value(status).expect("a Status")))
        };
        let cause = |manager: &str, field: &str| {
            let message = format!("conflict with \"{manager}\" using networking.istio.io/v1");
            serde_json::json!({"reason": "FieldManagerConflict", "message": message, "field": field})
        };
        let both =
            answer(serde_json::json!([cause("kubectl-edit", ".spec.servers"), cause("helm", ".spec.selector.app")]));
        let words = field_conflict(&both).expect("a conflict over fields");
        assert_eq!(
            words,
            "conflict with \"kubectl-edit\" using networking.istio.io/v1 on .spec.servers; conflict with \"helm\" using \
             networking.istio.io/v1 on .spec.selector.app"
        );
        assert_eq!(field_conflict(&answer(serde_json::json!([]))), None);
        assert_eq!(classify(&answer(serde_json::json!([]))), CallError::Stale);
    }

    #[test]
    fn a_decoding_error_does_not_repeat_what_it_could_not_decode() {
        let error = serde_json::from_str::<u8>("\"LEAKED\"").unwrap_err();
        assert!(error.to_string().contains("LEAKED"), "serde quotes the value, which is why we must not");
        assert!(!describe(&kube::Error::SerdeError(error)).contains("LEAKED"));
    }
}
