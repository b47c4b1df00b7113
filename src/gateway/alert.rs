//! TLS alerts in words.

use std::fmt;

/// An alert's number and name as RFC 8446 (6) and RFC 5246 (7.2) have it: `alert 40, handshake_failure`.
#[must_use]
pub fn describe(alert: u8) -> impl fmt::Display {
    Alert(alert)
}

struct Alert(u8);

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "alert {}", self.0)?;
        name(self.0).map_or(Ok(()), |name| write!(f, ", {name}"))
    }
}

fn name(alert: u8) -> Option<&'static str> {
    Some(match alert {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_has_its_number_and_where_it_is_known_its_name() {
        assert_eq!(describe(70).to_string(), "alert 70, protocol_version");
        assert_eq!(describe(200).to_string(), "alert 200");
    }
}
