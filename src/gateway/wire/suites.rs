//! The TLS 1.2 cipher suites that are asked for, by the names that Istio and OpenSSL use.

/// Kyma's documented gateway policy (its APIGateway documentation): all five need an RSA key.
pub const KYMA_SUITES: [&str; 5] = [
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-SHA",
];

/// Which key a server must have for a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuiteKey {
    /// An RSA key, which signs.
    Rsa,
    /// An ECDSA key, which signs.
    Ecdsa,
    /// An RSA key to which the client encrypts: no forward secrecy.
    StaticRsa,
}

/// One cipher suite of TLS 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Suite {
    /// OpenSSL's name.
    pub name: &'static str,
    /// IANA's number (<https://www.iana.org/assignments/tls-parameters>).
    pub number: u16,
    /// The key that it needs.
    pub key: SuiteKey,
}

const fn suite(name: &'static str, number: u16, key: SuiteKey) -> Suite {
    Suite { name, number, key }
}

/// All suites that Envoy knows, and the ones outside of it that scanners look for.
static SUITES: [Suite; 21] = [
    suite("ECDHE-RSA-CHACHA20-POLY1305", 0xcca8, SuiteKey::Rsa),
    suite("ECDHE-RSA-AES256-GCM-SHA384", 0xc030, SuiteKey::Rsa),
    suite("ECDHE-RSA-AES256-SHA", 0xc014, SuiteKey::Rsa),
    suite("ECDHE-RSA-AES128-GCM-SHA256", 0xc02f, SuiteKey::Rsa),
    suite("ECDHE-RSA-AES128-SHA", 0xc013, SuiteKey::Rsa),
    suite("ECDHE-ECDSA-CHACHA20-POLY1305", 0xcca9, SuiteKey::Ecdsa),
    suite("ECDHE-ECDSA-AES256-GCM-SHA384", 0xc02c, SuiteKey::Ecdsa),
    suite("ECDHE-ECDSA-AES256-SHA", 0xc00a, SuiteKey::Ecdsa),
    suite("ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02b, SuiteKey::Ecdsa),
    suite("ECDHE-ECDSA-AES128-SHA", 0xc009, SuiteKey::Ecdsa),
    suite("ECDHE-RSA-AES256-SHA384", 0xc028, SuiteKey::Rsa),
    suite("ECDHE-RSA-AES128-SHA256", 0xc027, SuiteKey::Rsa),
    suite("AES256-GCM-SHA384", 0x009d, SuiteKey::StaticRsa),
    suite("AES128-GCM-SHA256", 0x009c, SuiteKey::StaticRsa),
    suite("AES256-SHA256", 0x003d, SuiteKey::StaticRsa),
    suite("AES128-SHA256", 0x003c, SuiteKey::StaticRsa),
    suite("AES256-SHA", 0x0035, SuiteKey::StaticRsa),
    suite("AES128-SHA", 0x002f, SuiteKey::StaticRsa),
    suite("DES-CBC3-SHA", 0x000a, SuiteKey::StaticRsa),
    suite("ECDHE-RSA-DES-CBC3-SHA", 0xc012, SuiteKey::Rsa),
    suite("RC4-SHA", 0x0005, SuiteKey::StaticRsa),
];

/// Suites that existed with TLS 1.0: what its ClientHello offers, so that a refusal is about the version.
pub(super) static OF_OLD: [u16; 8] = [0xc014, 0xc013, 0xc00a, 0xc009, 0x0035, 0x002f, 0x000a, 0x0005];

/// The suites of TLS 1.3 (RFC 8446, B.4): no gateway lets them be chosen.
pub(super) static OF_TLS13: [u16; 3] = [0x1301, 0x1302, 0x1303];

/// The suites that are asked for, Kyma's first.
#[must_use]
pub fn suites() -> &'static [Suite] {
    &SUITES
}

/// OpenSSL's name of a suite, or its number.
pub(super) fn name(number: u16) -> String {
    let known = SUITES.iter().find(|suite| suite.number == number).map(|suite| suite.name);
    let tls13 = match number {
        0x1301 => Some("TLS_AES_128_GCM_SHA256"),
        0x1302 => Some("TLS_AES_256_GCM_SHA384"),
        0x1303 => Some("TLS_CHACHA20_POLY1305_SHA256"),
        _ => None,
    };
    known.or(tls13).map_or_else(|| format!("0x{number:04x}"), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kymas_five_stand_first_and_no_suite_stands_twice() {
        let first: Vec<&str> = suites().iter().take(5).map(|suite| suite.name).collect();
        assert_eq!(first, KYMA_SUITES);
        for (index, suite) in suites().iter().enumerate() {
            let others = &suites()[index + 1..];
            assert!(others.iter().all(|other| other.number != suite.number && other.name != suite.name), "{suite:?}");
        }
    }

    #[test]
    fn a_suite_that_nobody_knows_is_named_by_its_number() {
        assert_eq!(name(0xc014), "ECDHE-RSA-AES256-SHA");
        assert_eq!(name(0x1302), "TLS_AES_256_GCM_SHA384");
        assert_eq!(name(0xfffe), "0xfffe");
    }
}
