//! Checks of the time. Both ends of a validity belong to it (RFC 5280, 4.1.2.5); fractions of a second do not count.

use chrono::{DateTime, Duration, Utc};

use super::{
    super::{Check, Class, Severity, facts::CertificateFacts},
    Found, Subject,
};

const VALIDITY: &str = "RFC 5280, 4.1.2.5";

fn is_expired(certificate: &CertificateFacts, now: DateTime<Utc>) -> bool {
    now.timestamp() > certificate.not_after.timestamp()
}

fn is_early(certificate: &CertificateFacts, now: DateTime<Utc>) -> bool {
    now < certificate.not_before
}

/// Messages name instants, never spans: they end up in statuses, which must not change by the mere passing of time.
fn text(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What to do about one that has to be replaced.
fn renewal(subject: &Subject<'_>, certificate: &CertificateFacts) -> &'static str {
    let leaf = subject.leaf().is_some_and(|leaf| leaf.fingerprint == certificate.fingerprint);
    match (leaf, certificate.position) {
        (true, _) => "have it renewed, and supply the new certificate with its key",
        (false, 0) => "clients trust this root no more: have the leaf issued under a current one",
        (false, _) => "get the issuer's current intermediate and supply it in this one's place",
    }
}

pub(super) static EXPIRED: Check = Check {
    name: "expired",
    severity: Severity::Error,
    class: Class::Time,
    meaning: "No certificate of the path has expired.",
    source: VALIDITY,
};

pub(super) fn expired(subject: &Subject<'_>) -> Vec<Found> {
    let now = subject.context.now;
    let late = subject.path.certificates.iter().filter(|c| is_expired(c, now));
    late.map(|c| {
        let message = format!("expired at {}", text(c.not_after));
        Found::on(c, message, renewal(subject, c))
    })
    .collect()
}

pub(super) static NOT_YET_VALID: Check = Check {
    name: "not-yet-valid",
    severity: Severity::Error,
    class: Class::Time,
    meaning: "Every certificate of the path is valid already.",
    source: VALIDITY,
};

pub(super) fn not_yet_valid(subject: &Subject<'_>) -> Vec<Found> {
    let now = subject.context.now;
    let early = subject.path.certificates.iter().filter(|c| is_early(c, now));
    early
        .map(|c| {
            let message = format!("becomes valid only at {}", text(c.not_before));
            Found::on(c, message, "wait until then, or have one issued that is valid now; compare the clocks")
        })
        .collect()
}

pub(super) static EXPIRES_SOON: Check = Check {
    name: "expires-soon",
    severity: Severity::Warning,
    class: Class::Time,
    meaning: "No certificate of the path expires within the notice (21 days unless set otherwise).",
    source: "the alerts that operators run: less than 21 days left",
};

pub(super) fn expires_soon(subject: &Subject<'_>) -> Vec<Found> {
    let (now, notice) = (subject.context.now, subject.context.expires_soon);
    let soon = |c: &&&CertificateFacts| !is_expired(c, now) && now + notice >= c.not_after;
    subject
        .path
        .certificates
        .iter()
        .filter(soon)
        .map(|c| {
            let message = format!("expires at {}", text(c.not_after));
            Found::on(c, message, renewal(subject, c))
        })
        .collect()
}

pub(super) static SPARE_EXPIRED: Check = Check {
    name: "spare-expired",
    severity: Severity::Warning,
    class: Class::Chain,
    meaning: "No certificate beside the path (a cross-signed alternative) has expired: old clients stumble over it.",
    source: "the end of DST Root CA X3 in 2021: OpenSSL 1.0.2 failed although another path was valid",
};

pub(super) fn spare_expired(subject: &Subject<'_>) -> Vec<Found> {
    let now = subject.context.now;
    let in_path = |c: &CertificateFacts| subject.path.certificates.iter().any(|p| p.fingerprint == c.fingerprint);
    let spare = subject.facts.chain().iter().filter(|c| is_expired(c, now) && !in_path(c));
    spare
        .map(|c| {
            let message = format!(
                "expired at {}; another path is used, but old clients may insist on this one",
                text(c.not_after)
            );
            Found::on(c, message, "leave it out of the file")
        })
        .collect()
}

/// From when on certificates may live how many days at most.
const LIFETIMES: &[(&str, i64)] = &[
    ("2029-03-15T00:00:00Z", 47),
    ("2027-03-15T00:00:00Z", 100),
    ("2026-03-15T00:00:00Z", 200),
    ("2020-09-01T00:00:00Z", 398),
    ("2018-03-01T00:00:00Z", 825),
];

pub(super) static LIFETIME: Check = Check {
    name: "lifetime",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "The leaf lives no longer than public CAs may issue at its date (398 days, 200 from 2026-03-15, 100 from 2027-03-15, 47 from 2029-03-15). Private CAs are free, but browsers on Apple's systems are not.",
    source: "CA/Browser Forum SC-081 (Baseline Requirements, 6.3.2)",
};

pub(super) fn lifetime(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf() else { return Vec::new() };
    let since = |(date, _): &&(&str, i64)| DateTime::parse_from_rfc3339(date).is_ok_and(|date| leaf.not_before >= date);
    let Some((_, most)) = LIFETIMES.iter().find(since) else { return Vec::new() };
    // Both ends count: from 00:00:00 to 23:59:59 is one day.
    let lives = leaf.not_after - leaf.not_before + Duration::seconds(1);
    if lives <= Duration::days(*most) {
        return Vec::new();
    }
    vec![Found::on(
        leaf,
        format!(
            "it lives {} days; public CAs may issue at most {most} at its date, and some clients insist",
            lives.num_days()
        ),
        "if browsers are to accept it, have it issued for a shorter time; for a private CA this may be lowered",
    )]
}
