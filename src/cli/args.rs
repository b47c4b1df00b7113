//! What arguments may look like.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::{gateway::wire::KYMA_SUITES, lifecycle::ObjectName};

/// A gateway's TLS 1.2 suites; none: its defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suites(pub(super) Vec<String>);

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instant(pub(super) DateTime<Utc>);

pub(super) fn instant(text: &str) -> Result<Instant, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|at| Instant(at.to_utc()))
        .map_err(|wrong| format!("give RFC 3339, e.g. 2027-01-01T00:00:00Z ({wrong})"))
}

pub(super) fn secret(text: &str) -> Result<ObjectName, String> {
    // DNS-1123, as the API server has it: nothing else may get into the request's path.
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let name = |part: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        part.len() <= 253 && part.chars().all(legal) && edge(part.chars().next()) && edge(part.chars().last())
    };
    match text.split_once('/') {
        Some((namespace, secret)) if name(namespace) && name(secret) => Ok(ObjectName::new(namespace, secret)),
        _ => Err("give NAMESPACE/NAME, e.g. istio-system/kyma-gateway-certs".to_owned()),
    }
}

pub(super) fn suites(text: &str) -> Result<Suites, String> {
    match text {
        "kyma" => return Ok(Suites(KYMA_SUITES.iter().map(ToString::to_string).collect())),
        "default" => return Ok(Suites(Vec::new())),
        _ => {}
    }
    let suite = |suite: &str| {
        let suite = suite.trim().to_ascii_uppercase();
        if suite.is_empty() || !suite.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            Err(format!("\"{suite}\" is no cipher suite: give kyma, default, or names such as {}", KYMA_SUITES[1]))
        } else if suite.contains("_WITH_") {
            Err(format!("\"{suite}\" is IANA's name: give OpenSSL's, such as {}, as Istio wants it", KYMA_SUITES[1]))
        } else {
            Ok(suite)
        }
    };
    text.split(',').map(suite).collect::<Result<_, _>>().map(Suites)
}

/// A host that must be covered: a name, a wildcard or an IP address; in lower case, without the dot at its end.
pub(super) fn host(text: &str) -> Result<String, String> {
    let host = text.trim().trim_end_matches('.').to_ascii_lowercase();
    if host.parse::<IpAddr>().is_ok() {
        return Ok(host);
    }
    if host.contains(['/', ':']) {
        return Err("give the host alone, without scheme, port or path".to_owned());
    }
    if !host.is_ascii() {
        return Err("give the name in its ASCII form, whose labels begin with xn--".to_owned());
    }
    let label = |label: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(legal)
    };
    let name = host.strip_prefix("*.").unwrap_or(&host);
    if host.len() > 253 || !name.split('.').all(label) {
        return Err("a host looks like gateway.example.com or *.example.com".to_owned());
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_a_wildcard_or_an_address() {
        assert_eq!(host("*.Example.com."), Ok("*.example.com".to_owned()));
        assert_eq!(host("2001:db8::1"), Ok("2001:db8::1".to_owned()));
        for bad in ["", "*", "https://example.com", "example.com:443", "a..b", "*.*.example.com", "bücher.example"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_named_with_its_namespace_and_cannot_reach_out_of_its_path() {
        assert_eq!(secret("istio-system/a.b"), Ok(ObjectName::new("istio-system", "a.b")));
        for bad in ["a", "a/", "/a", "a/b/c", "a/..", "A/b", "a/b?watch=true"] {
            assert!(secret(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cipher_suites_are_kymas_envoys_or_a_list_in_openssls_names() {
        assert_eq!(suites("kyma").map(|suites| suites.0.len()), Ok(5));
        assert_eq!(suites("default"), Ok(Suites(Vec::new())));
        let two = suites("ecdhe-ecdsa-aes128-gcm-sha256, AES128-SHA");
        assert_eq!(two, Ok(Suites(vec!["ECDHE-ECDSA-AES128-GCM-SHA256".to_owned(), "AES128-SHA".to_owned()])));
        for bad in ["", "a,,b", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "one two"] {
            assert!(suites(bad).is_err(), "{bad}");
        }
    }
}
