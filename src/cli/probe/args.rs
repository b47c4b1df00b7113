//! What arguments of `probe` may look like.

use std::{fmt, net::IpAddr, time::Duration};

use crate::{cli::args::host, lifecycle::ObjectName};

/// HTTPS's port (RFC 9110, 4.2.2).
const HTTPS: u16 = 443;

/// A host and the port at which it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// A DNS name or an IP address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse() {
            Ok(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

pub(super) fn target(text: &str) -> Result<Target, String> {
    const EXAMPLES: &str = "give HOST or HOST:PORT, e.g. gateway.example.com, 192.0.2.1:8443 or [2001:db8::1]:8443";
    let text = text.trim();
    let (name, port) = if text.parse::<IpAddr>().is_ok() {
        (text, None)
    } else if let Some(inner) = text.strip_prefix('[') {
        let (address, rest) = inner.split_once(']').ok_or(EXAMPLES)?;
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or(EXAMPLES)?) };
        (address, port)
    } else {
        text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)))
    };
    let host = host(name).map_err(|wrong| format!("{wrong}; {EXAMPLES}"))?;
    if host.starts_with("*.") {
        return Err(format!("a wildcard has no address: {EXAMPLES}, and the wildcard with --sni"));
    }
    let port = match port.map(str::parse) {
        None => HTTPS,
        Some(Ok(0)) => return Err("port 0 is none to connect to".to_owned()),
        Some(Ok(port)) => port,
        Some(Err(_)) => return Err(EXAMPLES.to_owned()),
    };
    Ok(Target { host, port })
}

/// A Gateway with its namespace.
pub(super) fn gateway(text: &str) -> Result<ObjectName, String> {
    crate::cli::args::secret(text).map_err(|_| "give NAMESPACE/NAME, e.g. kyma-system/kyma-gateway".to_owned())
}

/// A fingerprint as people have it: with colons or without, in any case, with or without `openssl`'s words before it.
/// In lower case without colons then.
pub(super) fn fingerprint(text: &str) -> Result<String, String> {
    let digits = text.rsplit_once('=').map_or(text, |(_, digits)| digits);
    let digits = digits.trim().to_ascii_lowercase();
    let digits = digits.strip_prefix("sha256:").unwrap_or(&digits).replace(':', "");
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(digits)
    } else {
        Err("give the leaf's SHA-256: 64 hexadecimal digits, as `openssl x509 -fingerprint -sha256` prints them"
            .to_owned())
    }
}

/// A span of time: `500ms`, `5s`, `2m`.
fn span(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number = digits.parse::<u64>().ok().filter(|number| *number <= 1_000_000);
    let span = number.and_then(|number| match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        _ => None,
    });
    span.ok_or_else(|| "give a time with its unit, e.g. 500ms, 5s or 2m".to_owned())
}

/// How long a handshake may take.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    within(span(text)?, Duration::from_millis(10), Duration::from_secs(300))
}

/// How long to wait between two rounds: a server is not to be overrun.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    within(span(text)?, Duration::from_millis(200), Duration::from_secs(3600))
}

fn within(span: Duration, least: Duration, most: Duration) -> Result<Duration, String> {
    if (least..=most).contains(&span) { Ok(span) } else { Err(format!("from {least:?} to {most:?} is allowed")) }
}

/// Where plain HTTP is asked for redirects, if anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Port(pub(super) Option<u16>);

pub(super) fn redirect_port(text: &str) -> Result<Port, String> {
    match text {
        "none" => Ok(Port(None)),
        _ => match text.parse() {
            Ok(port) if port > 0 => Ok(Port(Some(port))),
            _ => Err("give a port, or none".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_target_is_a_name_or_an_address_with_a_port_or_without() {
        for (text, shown) in [
            ("Gateway.example.com", "gateway.example.com:443"),
            ("gateway.example.com:8443", "gateway.example.com:8443"),
            ("192.0.2.1", "192.0.2.1:443"),
            ("192.0.2.1:8443", "192.0.2.1:8443"),
            ("2001:db8::1", "[2001:db8::1]:443"),
            ("[2001:db8::1]", "[2001:db8::1]:443"),
            ("[2001:db8::1]:8443", "[2001:db8::1]:8443"),
        ] {
            assert_eq!(target(text).map(|target| target.to_string()), Ok(shown.to_owned()), "{text}");
        }
        for bad in ["", "https://a", "a:b", "a:0", "a:70000", "[::1", "[::1]8443", "*.example.com", "a b", "a:1:2"] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fingerprint_is_taken_as_openssl_prints_it() {
        let digits = "ab".repeat(32);
        let colons = ["AB"; 32].join(":");
        for text in [digits.clone(), colons.clone(), format!("sha256 Fingerprint={colons}"), format!("SHA256:{digits}")]
        {
            assert_eq!(fingerprint(&text), Ok(digits.clone()), "{text}");
        }
        for bad in ["", "abcd", &"zz".repeat(32), &"ab".repeat(20)] {
            assert!(fingerprint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_of_time_have_a_unit_and_bounds() {
        assert_eq!(timeout("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(timeout("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(interval("5s"), Ok(Duration::from_secs(5)));
        for bad in ["5", "s", "5h", "-1s", "1ms", "99999999999999999999s", "301s"] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
        assert!(interval("100ms").is_err());
        assert_eq!(redirect_port("none"), Ok(Port(None)));
        assert_eq!(redirect_port("8080"), Ok(Port(Some(8080))));
        assert!(redirect_port("0").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text: String) {
            let _ = (target(&text), fingerprint(&text), span(&text), redirect_port(&text));
        }
    }
}
