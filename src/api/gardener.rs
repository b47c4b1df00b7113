//! Gardener's Certificate (`cert.gardener.cloud/v1alpha1`), as far as it is asked for and read here.
//!
//! Times and durations stay the strings that they are on the wire: one that cannot be read must not hide the object.
//! Source: gardener/cert-management, pkg/apis/cert/v1alpha1/types.go (v0.24.1).

use std::{collections::BTreeMap, time::Duration};

use kube::core::Object;
use serde::{Deserialize, Serialize};

/// Its API group.
pub const GROUP: &str = "cert.gardener.cloud";
/// Its version: there is one.
pub const VERSION: &str = "v1alpha1";
/// The CustomResourceDefinition whose presence tells a cluster with Gardener's issuer.
pub const CRD: &str = "certificates.cert.gardener.cloud";
/// On a Certificate, with the value [`RECONCILE`]: its controller acts at once, forgets its backoff, and removes it.
pub const OPERATION: &str = "gardener.cloud/operation";
/// The value of [`OPERATION`].
pub const RECONCILE: &str = "reconcile";
/// Which of several controllers is meant; unset on shoots.
pub const CLASS: &str = "cert.gardener.cloud/class";
/// Label of a Certificate and its Secret: a digest of what was asked for. Written by Gardener.
pub const HASH: &str = "cert.gardener.cloud/hash";
/// Annotation of the Secret: when its certificate was asked for, RFC 3339. Written by Gardener.
pub const REQUESTED_AT: &str = "cert.gardener.cloud/requestedAt";

/// Annotation of a Secret whose certificate is revoked. Written by Gardener.
pub const REVOKED: &str = "cert.gardener.cloud/revoked";

/// A Certificate.
pub type Certificate = Object<CertificateSpec, CertificateStatus>;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateSpec {
    /// The subject's CN, at most 64 characters. Not asked for here: names alone work with every issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// The names that the leaf shall have.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub dns_names: Vec<String>,
    /// Who shall issue; none: the landscape's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
    /// Where the pair goes: a Secret beside the Certificate. The older form of `secretRef`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// Where the pair goes. An atomic map: whoever applies it owns both fields. Filled in by Gardener if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Labels for the Secret.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub secret_labels: BTreeMap<String, String>,
    /// Renew once, now. Gardener turns it into `ensureRenewedAfter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew: Option<bool>,
    /// Renew so long before the end, at least `5m0s`. A Go duration: see [`go_duration`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<String>,
    /// Renew what was asked for before this time (RFC 3339, whole seconds).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ensure_renewed_after: Option<String>,
    /// How long the leaf shall be valid; not for ACME. A Go duration: see [`go_duration`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// What key is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PrivateKey>,
}

/// An issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IssuerRef {
    /// Its name.
    pub name: String,
    /// Its namespace, where it is in the same cluster as the Certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A Secret, in the Certificate's namespace unless it names another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretRef {
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A private key to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PrivateKey {
    /// RSA or ECDSA; none: the landscape's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Bits: 2048, 3072 or 4096 (RSA), 256 or 384 (ECDSA).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// PKCS1 or PKCS8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}

/// What Gardener says of a Certificate. `Ready` was seen to stay beyond the certificate's end: the Secret is the judge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateStatus {
    /// The generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pending, Waiting, Error, Ready, Revoked, or empty before anything happened and between two attempts.
    pub state: String,
    /// In its own words: the serial number and the dates, or what went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the attempt under way began, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_pending_timestamp: Option<String>,
    /// The names of the last attempt.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub dns_names: Vec<String>,
    /// The issuer of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
    /// The leaf's beginning, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuance_date: Option<String>,
    /// The leaf's end, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_date: Option<String>,
    /// When the next one is due, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_date: Option<String>,
    /// While it waits after a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// `Ready`, with the state as its reason.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
}

/// How long Gardener waits after a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Backoff {
    /// The generation that failed: another one is tried at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When it tries again, RFC 3339.
    pub recheck_after: String,
    /// How long it waits this time: `2m0s`, a Go duration.
    pub recheck_interval: String,
}

/// A condition, its times as they are on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// `Ready`.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// The state.
    pub reason: String,
    /// What went wrong; empty while Ready.
    pub message: String,
    /// The generation that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Since when, RFC 3339.
    pub last_transition_time: String,
}

/// A duration as Go's `Duration.String` writes it: `10m0s`, `720h0m0s`, `1.5s`.
///
/// Nothing else may be sent: Gardener writes a duration back in this form, and whoever applied another one meets a
/// conflict with his next apply.
#[must_use]
pub fn go_duration(duration: Duration) -> String {
    let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
    if seconds == 0 {
        let (divisor, unit) = match nanoseconds {
            0 => return "0s".to_owned(),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{}{}{unit}", nanoseconds / divisor, fraction(nanoseconds % divisor, divisor));
    }
    let (hours, minutes) = (seconds / 3600, seconds % 3600 / 60);
    let rest = format!("{}{}s", seconds % 60, fraction(nanoseconds, 1_000_000_000));
    match (hours, minutes) {
        (0, 0) => rest,
        (0, _) => format!("{minutes}m{rest}"),
        _ => format!("{hours}h{minutes}m{rest}"),
    }
}

/// `part / whole` as the digits behind the point, without zeros at the end.
fn fraction(part: u32, whole: u32) -> String {
    let digits = whole.ilog10() as usize;
    let text = if digits == 0 { String::new() } else { format!("{part:0digits$}") };
    match text.trim_end_matches('0') {
        "" => String::new(),
        digits => format!(".{digits}"),
    }
}

/// A duration as Go's `ParseDuration` reads it: numbers with units (`h`, `m`, `s`, `ms`, `us`/`µs`, `ns`), one after
/// the other. `None` for what is none, for what is negative and for what Go's 63 bits of nanoseconds do not hold.
#[must_use]
pub fn parse_go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|length| *length > 0)?;
        let (digits, tail) = rest.split_at(number);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        total = total.checked_add(nanoseconds(digits, unit)?)?;
        rest = tail;
    }
    (total <= i64::MAX as u128).then(|| Duration::from_nanos(u64::try_from(total).unwrap_or_default()))
}

/// So many of a unit, in nanoseconds; what is less than one is cut off (Go may round it, as it counts in floats).
fn nanoseconds(digits: &str, unit: &str) -> Option<u128> {
    let each: u128 = match unit {
        "ns" => 1,
        // The micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, behind) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && behind.is_empty() || behind.contains('.') {
        return None;
    }
    // Eighteen digits behind the point are more than a nanosecond of an hour.
    let behind = &behind[..behind.len().min(18)];
    let number = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
    let whole = number(whole)?.checked_mul(each)?;
    let part = number(behind)?.checked_mul(each)? / 10_u128.pow(u32::try_from(behind.len()).ok()?);
    whole.checked_add(part)
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SECOND: u64 = 1_000_000_000;

    /// What Go 1.26 prints for these numbers of nanoseconds.
    const PRINTED: &[(u64, &str)] = &[
        (0, "0s"),
        (1, "1ns"),
        (999, "999ns"),
        (1_000, "1µs"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (999_999_999, "999.999999ms"),
        (SECOND, "1s"),
        (3_300_000_000, "3.3s"),
        (59 * SECOND, "59s"),
        (60 * SECOND, "1m0s"),
        (150 * SECOND, "2m30s"),
        (245 * SECOND, "4m5s"),
        (245_001_000_000, "4m5.001s"),
        (600 * SECOND, "10m0s"),
        (3_600 * SECOND, "1h0m0s"),
        (18_367_001_000_000, "5h6m7.001s"),
        (28_800 * SECOND, "8h0m0s"),
        (86_400 * SECOND, "24h0m0s"),
        (2_592_000 * SECOND, "720h0m0s"),
        (480_000_000_001, "8m0.000000001s"),
        (i64::MAX as u64, "2562047h47m16.854775807s"),
    ];

    #[test]
    fn durations_are_written_as_go_writes_them_and_read_back() {
        for (nanoseconds, text) in PRINTED {
            let duration = Duration::from_nanos(*nanoseconds);
            assert_eq!(go_duration(duration), *text, "{nanoseconds} ns");
            assert_eq!(parse_go_duration(text), Some(duration), "{text}");
        }
    }

    #[test]
    fn durations_are_read_in_every_form_that_go_reads() {
        let read = [
            ("0", 0),
            ("+5s", 5 * SECOND),
            ("10m", 600 * SECOND),
            ("720h", 2_592_000 * SECOND),
            ("1h15m30.918273645s", 4_530_918_273_645),
            ("5.s", 5 * SECOND),
            (".5s", SECOND / 2),
            ("1.0s", SECOND),
            ("10.5s4m", 250_500_000_000),
            ("12us", 12_000),
            ("12\u{b5}s", 12_000),
            ("12\u{3bc}s10ns", 12_010),
            ("0.100000000000000000000h", 360 * SECOND),
            ("9223372036854775807ns", i64::MAX as u64),
        ];
        for (text, nanoseconds) in read {
            assert_eq!(parse_go_duration(text), Some(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_none() {
        let not = ["", "3", "-", "+", "s", ".", ".s", "1.1.1s", "10 m", "5x", "m5", "-5m", "5m ", "µs", "1d", "1_0s"];
        for text in not.into_iter().chain(["9223372036854775808ns", "9999999999h", "1e3s"]) {
            assert_eq!(parse_go_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_certificate_is_read_with_fields_that_are_not_known_here() {
        let text = json!({
            "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate", "metadata": {"name": "wild"},
            "spec": {
                "dnsNames": ["*.example.com", "example.com"], "secretRef": {"name": "staging", "namespace": "default"},
                "duration": "no duration", "keystores": {"jks": {"create": true}}, "secretLabels": null,
                "privateKey": {"algorithm": "RSA", "size": 3072},
            },
            "status": {
                "state": "Error", "message": "referenced issuer not ready: state=Error", "commonName": "x",
                "backoff": {"observedGeneration": 2, "recheckAfter": "2026-06-01T00:02:00Z", "recheckInterval": "2m0s"},
                "issuerRef": {"cluster": "default", "name": "garden", "namespace": "cert-issuers"},
                "conditions": [{"type": "Ready", "status": "False", "reason": "Error", "message": "m",
                    "lastTransitionTime": "2026-06-01T00:00:00Z"}],
            },
        });
        let read: Certificate = serde_json::from_value(text).expect("readable");
        assert_eq!(read.spec.dns_names.len(), 2);
        assert_eq!(read.spec.duration.as_deref(), Some("no duration"));
        let status = read.status.expect("a status");
        let backoff = status.backoff.expect("a backoff");
        assert_eq!(parse_go_duration(&backoff.recheck_interval), Some(Duration::from_secs(120)));
        assert_eq!(status.conditions[0].reason, "Error");
    }

    #[test]
    fn a_spec_says_nothing_of_what_is_not_asked_for() {
        let secret_ref = SecretRef { name: "staging".to_owned(), namespace: Some("default".to_owned()) };
        let spec = CertificateSpec {
            dns_names: vec!["*.example.com".to_owned()],
            secret_ref: Some(secret_ref),
            renew_before: Some(go_duration(Duration::from_secs(600))),
            ..CertificateSpec::default()
        };
        let wanted = json!({"dnsNames": ["*.example.com"], "secretRef": {"name": "staging", "namespace": "default"},
            "renewBefore": "10m0s"});
        assert_eq!(serde_json::to_value(spec).expect("JSON"), wanted);
    }
}
