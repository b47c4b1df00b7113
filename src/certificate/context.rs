//! What material is held against.

use chrono::{DateTime, Duration, Utc};

use super::{RevocationLists, Roots};

/// What a peer does with the certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Purpose {
    /// A gateway shows it to clients.
    #[default]
    Server,
    /// A client shows it to a gateway (mutual TLS).
    Client,
}

/// What material is held against: a time, the hosts that it must cover, what the gateway offers, and what a
/// person decided about the checks.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The time at which it is judged.
    pub now: DateTime<Utc>,
    /// Hosts that must be covered: names, wildcards (`*.example.com`) or IP addresses. Empty: nothing is required.
    pub hosts: &'a [String],
    /// The gateway's TLS 1.2 cipher suites in OpenSSL's names; empty: its defaults.
    pub cipher_suites: &'a [String],
    /// Roots to one of which a path must lead; `None`: no root is asked for.
    pub roots: Option<&'a Roots>,
    /// Revocation lists in which no certificate of the path may stand; `None`: none are looked at.
    pub revocations: Option<&'a RevocationLists>,
    /// How long before its end a certificate counts as expiring soon.
    pub expires_soon: Duration,
    /// Checks whose errors a person lowered to warnings. Without effect on class `Unusable`.
    pub warn: &'a [String],
    /// Checks that a person switched off. Without effect on class `Unusable`.
    pub ignore: &'a [String],
    /// A key belongs to it: its absence is a finding.
    pub key_expected: bool,
    /// What the leaf is for.
    pub purpose: Purpose,
    /// RFC 5280 and the CA/Browser Forum's requirements to the letter: breaches that clients put up with
    /// become errors too.
    pub strict: bool,
    /// The most intermediates, self-issued ones not counted, between leaf and root.
    pub max_intermediates: usize,
}

impl Context<'_> {
    /// A context that asks for nothing but sanity at this time: no hosts, no roots, 21 days' notice of the end.
    #[must_use]
    pub fn new(now: DateTime<Utc>) -> Self {
        Self {
            now,
            hosts: &[],
            cipher_suites: &[],
            roots: None,
            revocations: None,
            expires_soon: Duration::days(21),
            warn: &[],
            ignore: &[],
            key_expected: true,
            purpose: Purpose::Server,
            strict: false,
            max_intermediates: MAX_INTERMEDIATES,
        }
    }
}

/// What common clients accept: Go and OpenSSL more, rustls six, real chains at most three.
const MAX_INTERMEDIATES: usize = 6;

impl Default for Context<'_> {
    /// At the epoch: for struct update syntax, with a `now` of one's own.
    fn default() -> Self {
        Self::new(DateTime::UNIX_EPOCH)
    }
}
