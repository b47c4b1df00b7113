//! What was seen on the wire against what is expected there. Pure: a table of rows, and findings on what differs.

use super::{KYMA_SUITES, Observed, Outcome, Redirect, Suite, SuiteKey, Version, suites};
use crate::certificate::{Check, Class, Finding, Severity};

/// What a gateway is expected to do on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// Older versions are refused, this one is accepted.
    pub min_version: Version,
    /// This version and those down to the oldest allowed are accepted, newer ones refused.
    pub max_version: Version,
    /// The TLS 1.2 suites that are accepted, and no other, in OpenSSL's names; `None`: any will do.
    pub suites: Option<Vec<String>>,
    /// Plain HTTP is redirected to https.
    pub redirect: bool,
}

impl Expectation {
    /// The policy that Kyma documents for its gateway: TLS 1.2 at least, five suites, port 80 redirects. It names no
    /// newest version: TLS 1.3 is accepted.
    #[must_use]
    pub fn kyma() -> Self {
        Self {
            min_version: Version::Tls12,
            max_version: Version::Tls13,
            suites: Some(KYMA_SUITES.iter().map(ToString::to_string).collect()),
            redirect: true,
        }
    }

    /// The policy that a Gateway of Istio's asks for, in its own words: `TLSV1_2` and so on, suites in OpenSSL's names.
    /// Without them, or with `TLS_AUTO`: TLS 1.2 to 1.3 (the API's documented default), and whichever suites Envoy likes.
    #[must_use]
    pub fn of_gateway(min_version: &str, max_version: &str, suites: &[String], redirect: bool) -> Self {
        let version = |text: &str, other| match text {
            "TLSV1_0" => Version::Tls10,
            "TLSV1_1" => Version::Tls11,
            "TLSV1_2" => Version::Tls12,
            "TLSV1_3" => Version::Tls13,
            _ => other,
        };
        Self {
            min_version: version(min_version, Version::Tls12),
            max_version: version(max_version, Version::Tls13),
            suites: (!suites.is_empty()).then(|| suites.to_vec()),
            redirect,
        }
    }
}

/// One line of the table: a question, what is expected, what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is about: a version, a suite, `plain HTTP`.
    pub subject: String,
    /// What is expected; empty where anything will do.
    pub expected: &'static str,
    /// What was found.
    pub found: String,
    /// The two agree; `None` where it cannot be told, or nothing is expected.
    pub holds: Option<bool>,
}

/// The checks of this file; `certkeeper check --list` has those of the material.
pub static CHECKS: [&Check; 11] = [
    &OLD_VERSION,
    &VERSION_REFUSED,
    &NEWEST_VERSION,
    &NEW_VERSION,
    &SUITE_OUTSIDE,
    &SUITE_MISSING,
    &SUITES_KEY,
    &REDIRECT,
    &REDIRECT_TEMPORARY,
    &STUCK,
    &UNKNOWN,
];

const fn check(name: &'static str, severity: Severity, meaning: &'static str, source: &'static str) -> Check {
    Check { name, severity, class: Class::Rest, meaning, source }
}

const KYMA: &str = "Kyma, documented gateway policy";

static OLD_VERSION: Check = check(
    "policy-old-version",
    Severity::Error,
    "Protocol versions below the policy's floor are refused: TLS 1.0 and 1.1 are withdrawn.",
    "Kyma, documented gateway policy (minProtocolVersion TLSV1_2); RFC 8996",
);
static VERSION_REFUSED: Check = check(
    "policy-version-refused",
    Severity::Error,
    "The oldest version that the policy allows is accepted: clients without TLS 1.3 depend on it.",
    KYMA,
);
static NEWEST_VERSION: Check =
    check("policy-newest-version", Severity::Warning, "The newest version that the policy allows is accepted.", KYMA);
static NEW_VERSION: Check =
    check("policy-new-version", Severity::Warning, "Versions newer than the policy allows are refused.", KYMA);
static SUITE_OUTSIDE: Check = check(
    "policy-suite-outside",
    Severity::Error,
    "No TLS 1.2 cipher suite is accepted that the policy does not list.",
    "Kyma, documented gateway policy (cipherSuites)",
);
static SUITE_MISSING: Check = check(
    "policy-suite-missing",
    Severity::Warning,
    "Each TLS 1.2 cipher suite that the policy lists is accepted.",
    "Kyma, documented gateway policy (cipherSuites)",
);
static SUITES_KEY: Check = check(
    "policy-suites-key",
    Severity::Error,
    "The leaf's key fits some suite of the policy: an ECDSA key behind a list that needs RSA fails with every client \
     that has only TLS 1.2.",
    "Measured: Envoy 1.40 answers with alert 40; Kyma's five suites all need RSA",
);
static REDIRECT: Check = check(
    "policy-redirect",
    Severity::Error,
    "Plain HTTP is answered with a redirect to https and with nothing else.",
    "Kyma, documented gateway policy (httpsRedirect)",
);
static REDIRECT_TEMPORARY: Check = check(
    "policy-redirect-temporary",
    Severity::Warning,
    "The redirect to https is for good (301 or 308).",
    "RFC 9110, 15.4; Envoy answers httpsRedirect with 301",
);
static STUCK: Check = check(
    "policy-stuck",
    Severity::Info,
    "An edit of the Gateway's TLS settings that was made while a bad pair was stored is refused by Envoy, and mending \
     the pair does not apply it: the old policy stays on the wire.",
    "Measured: Envoy 1.40 rejects the listener (LDS NACK) and keeps the old one until it changes again or restarts",
);
static UNKNOWN: Check = check(
    "policy-unknown",
    Severity::Warning,
    "Each question about the policy gets an answer.",
    "An unanswered question proves neither that the policy holds nor that it does not",
);

/// Holds what was seen against the expectation. `key` is the leaf's kind of key (`RSA 2048`), where it is known.
#[must_use]
pub fn judge(expectation: &Expectation, observed: &Observed, key: Option<&str>) -> (Vec<Row>, Vec<Finding>) {
    let mut rows = versions(expectation, observed);
    let idle = idle(expectation, key);
    rows.extend(suite_rows(expectation, observed, &idle));
    rows.extend(observed.redirect.as_ref().map(|redirect| redirect_row(expectation, redirect)));
    let mut findings = version_findings(expectation, observed, key);
    findings.extend(suite_findings(expectation, observed, &idle));
    findings.extend(stuck(&findings));
    findings.extend(observed.redirect.as_ref().and_then(|redirect| redirect_finding(expectation, redirect)));
    findings.extend(unknown(observed));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    (rows, findings)
}

fn finding(check: &'static Check, location: &str, message: String, remedy: String) -> Finding {
    Finding { check, severity: check.severity, message, location: location.to_owned(), remedy }
}

fn row(subject: &str, wanted: Option<bool>, outcome: &Outcome) -> Row {
    let (found, is) = match outcome {
        Outcome::Accepted(suite) if suite == subject => ("accepted".to_owned(), Some(true)),
        Outcome::Accepted(suite) => (format!("accepted ({suite})"), Some(true)),
        Outcome::Refused(how) if how.is_empty() => ("refused".to_owned(), Some(false)),
        Outcome::Refused(how) => (format!("refused ({how})"), Some(false)),
        Outcome::Unknown(why) => (format!("unknown: {why}"), None),
    };
    let expected = match wanted {
        Some(true) => "accepted",
        Some(false) => "refused",
        None => "",
    };
    Row { subject: subject.to_owned(), expected, found, holds: wanted.zip(is).map(|(wanted, is)| wanted == is) }
}

fn versions(expectation: &Expectation, observed: &Observed) -> Vec<Row> {
    let allowed = |version| (expectation.min_version..=expectation.max_version).contains(&version);
    let rows = observed.versions.iter();
    rows.map(|(version, outcome)| row(version.as_str(), Some(allowed(*version)), outcome)).collect()
}

fn suite_rows(expectation: &Expectation, observed: &Observed, idle: &[&str]) -> Vec<Row> {
    let listed = |name: &str| expectation.suites.as_ref().map(|list| list.iter().any(|listed| listed == name));
    let wanted = |name: &str| listed(name).filter(|_| !idle.contains(&name));
    observed.suites.iter().map(|(suite, outcome)| row(suite.name, wanted(suite.name), outcome)).collect()
}

fn version_findings(expectation: &Expectation, observed: &Observed, key: Option<&str>) -> Vec<Finding> {
    let (min, max) = (expectation.min_version, expectation.max_version);
    let differs = |(version, outcome): &(Version, Outcome)| match outcome {
        Outcome::Accepted(_) if *version < min => Some(finding(
            &OLD_VERSION,
            version.as_str(),
            format!("{} is accepted; the policy's floor is {}", version.as_str(), min.as_str()),
            "set minProtocolVersion in the Gateway's tls".to_owned(),
        )),
        Outcome::Accepted(_) if *version > max => Some(finding(
            &NEW_VERSION,
            version.as_str(),
            format!("{} is accepted; the policy's newest is {}", version.as_str(), max.as_str()),
            "set maxProtocolVersion in the Gateway's tls".to_owned(),
        )),
        Outcome::Refused(how) if *version == Version::Tls12 && (min..=max).contains(version) => {
            Some(tls12_refused(expectation, how, key))
        }
        Outcome::Refused(how) if (min..=max).contains(version) => Some(finding(
            if *version == min { &VERSION_REFUSED } else { &NEWEST_VERSION },
            version.as_str(),
            format!("{} is refused: {how}", version.as_str()),
            "look at minProtocolVersion and maxProtocolVersion in the Gateway's tls".to_owned(),
        )),
        _ => None,
    };
    observed.versions.iter().filter_map(differs).collect()
}

fn fits(suite: SuiteKey, key: &str) -> bool {
    (suite == SuiteKey::Ecdsa) == key.starts_with("ECDSA")
}

/// Suites of the policy that this leaf's key cannot use, beside others that it can: many lists serve both kinds of key.
fn idle(expectation: &Expectation, key: Option<&str>) -> Vec<&'static str> {
    let (Some(list), Some(key)) = (&expectation.suites, key) else { return Vec::new() };
    let listed = suites().iter().filter(|suite| list.iter().any(|listed| listed == suite.name));
    let (used, idle): (Vec<&Suite>, Vec<&Suite>) = listed.partition(|suite| fits(suite.key, key));
    if used.is_empty() { Vec::new() } else { idle.iter().map(|suite| suite.name).collect() }
}

fn tls12_refused(expectation: &Expectation, how: &str, key: Option<&str>) -> Finding {
    let listed = |name: &str| expectation.suites.as_ref().is_none_or(|list| list.iter().any(|listed| listed == name));
    let unusable = key.filter(|key| !suites().iter().any(|suite| listed(suite.name) && fits(suite.key, key)));
    match unusable {
        Some(key) => finding(
            &SUITES_KEY,
            "TLS 1.2",
            format!("TLS 1.2 is refused ({how}): the leaf's key is {key}, and no suite of the policy can use it"),
            "use a certificate with an RSA key, or add suites that begin with ECDHE-ECDSA to the Gateway's cipherSuites"
                .to_owned(),
        ),
        None => finding(
            &VERSION_REFUSED,
            "TLS 1.2",
            format!("TLS 1.2 is refused: {how}"),
            "look at minProtocolVersion, maxProtocolVersion and cipherSuites in the Gateway's tls".to_owned(),
        ),
    }
}

fn suite_findings(expectation: &Expectation, observed: &Observed, idle: &[&str]) -> Vec<Finding> {
    let Some(list) = &expectation.suites else { return Vec::new() };
    let names = |wanted: &dyn Fn(&str, &Outcome) -> bool| -> Vec<&str> {
        let suites = observed.suites.iter().filter(|(suite, outcome)| wanted(suite.name, outcome));
        suites.map(|(suite, _)| suite.name).collect()
    };
    let listed = |name: &str| list.iter().any(|listed| listed == name);
    let outside = names(&|name, outcome| !listed(name) && outcome.is_accepted());
    let due = |name: &str| listed(name) && !idle.contains(&name);
    let missing = names(&|name, outcome| due(name) && matches!(outcome, Outcome::Refused(_)));
    let mut findings = Vec::new();
    let strange = |name: &&String| !suites().iter().any(|suite| suite.name == name.as_str());
    let strange: Vec<&str> = list.iter().filter(strange).map(String::as_str).collect();
    if !strange.is_empty() {
        findings.push(finding(
            &UNKNOWN,
            "TLS 1.2",
            format!("these suites of the policy are none that can be asked for: {}", strange.join(", ")),
            "name suites as OpenSSL does, and such as Envoy knows".to_owned(),
        ));
    }
    if !outside.is_empty() {
        findings.push(finding(
            &SUITE_OUTSIDE,
            "TLS 1.2",
            format!("suites outside of the policy are accepted: {}", outside.join(", ")),
            "name the policy's suites, and no other, in the Gateway's cipherSuites".to_owned(),
        ));
    }
    // Where TLS 1.2 is refused altogether, that is what there is to say.
    let spoken = observed.suites.iter().any(|(_, outcome)| outcome.is_accepted());
    if !missing.is_empty() && spoken {
        findings.push(finding(
            &SUITE_MISSING,
            "TLS 1.2",
            format!("suites of the policy are refused: {}", missing.join(", ")),
            "name them in the Gateway's cipherSuites; those that begin with ECDHE-RSA need an RSA key".to_owned(),
        ));
    }
    findings
}

/// The way out of a state that no setting mends: told once, where the TLS policy is another one than expected.
fn stuck(findings: &[Finding]) -> Option<Finding> {
    // Neither another certificate nor an answer that is missing is the Gateway's doing.
    let elsewhere = |finding: &Finding| finding.check == &SUITES_KEY || finding.check == &UNKNOWN;
    if findings.iter().all(elsewhere) {
        return None;
    }
    Some(finding(
        &STUCK,
        "TLS",
        "if the Gateway's settings already say what is expected, Envoy refused that edit while a bad pair was stored"
            .to_owned(),
        "check what is stored with certkeeper check --secret; then change the Gateway's server once more, or restart \
         the gateway's pods one by one"
            .to_owned(),
    ))
}

fn redirect_row(expectation: &Expectation, redirect: &Redirect) -> Row {
    let (found, is) = match redirect {
        Redirect::ToHttps { status, location } => (format!("{status} to {location}"), Some(true)),
        Redirect::Other { status, location: Some(location) } => (format!("{status} to {location}"), Some(false)),
        Redirect::Other { status, location: None } => (format!("answered with {status}"), Some(false)),
        Redirect::Closed(how) => (format!("no answer: {how}"), None),
        Redirect::Unknown(why) => (format!("unknown: {why}"), None),
    };
    Row {
        subject: "plain HTTP".to_owned(),
        expected: if expectation.redirect { "redirect to https" } else { "" },
        found,
        holds: is.filter(|_| expectation.redirect),
    }
}

fn redirect_finding(expectation: &Expectation, redirect: &Redirect) -> Option<Finding> {
    if !expectation.redirect {
        return None;
    }
    let find = |check, message, remedy: String| Some(finding(check, "plain HTTP", message, remedy));
    match redirect {
        Redirect::ToHttps { .. } if redirect.is_permanent() => None,
        Redirect::ToHttps { status, location } => find(
            &REDIRECT_TEMPORARY,
            format!("the redirect to {location} is temporary ({status})"),
            "answer with 301 or 308: clients then remember it".to_owned(),
        ),
        Redirect::Other { status, location } => {
            let to = location.as_ref().map_or_else(String::new, |location| format!(" and a redirect to {location}"));
            find(
                &REDIRECT,
                format!("plain HTTP is answered with {status}{to}; a redirect to https was expected"),
                "set tls.httpsRedirect: true in the Gateway's server for port 80".to_owned(),
            )
        }
        Redirect::Closed(how) => find(
            &UNKNOWN,
            format!("nothing answers plain HTTP ({how}); a redirect to https was expected"),
            "give the Gateway a server for port 80 with tls.httpsRedirect: true, or name its port with \
             --redirect-port"
                .to_owned(),
        ),
        Redirect::Unknown(why) => find(
            &UNKNOWN,
            format!("whether plain HTTP is redirected to https could not be told: {why}"),
            "probe again from where the port can be reached, or name another with --redirect-port".to_owned(),
        ),
    }
}

/// Questions about TLS that got no answer: one finding, however many they are.
fn unknown(observed: &Observed) -> Option<Finding> {
    let versions = observed.versions.iter().map(|(version, outcome)| (version.as_str(), outcome));
    let suites = observed.suites.iter().map(|(suite, outcome)| (suite.name, outcome));
    let unknown: Vec<(&str, &str)> = versions
        .chain(suites)
        .filter_map(|(subject, outcome)| match outcome {
            Outcome::Unknown(why) => Some((subject, why.as_str())),
            _ => None,
        })
        .collect();
    let (_, why) = unknown.first()?;
    let subjects: Vec<&str> = unknown.iter().map(|(subject, _)| *subject).collect();
    Some(finding(
        &UNKNOWN,
        "policy",
        format!("what the server does with {} could not be told: {why}", subjects.join(", ")),
        "probe again; a longer --timeout may help".to_owned(),
    ))
}

#[cfg(test)]
mod tests;
