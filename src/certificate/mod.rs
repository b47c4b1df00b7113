//! PEM → facts → verdict. Pure: no clock, no I/O, no Kubernetes.
//!
//! [`read`] parses what somebody supplied, once, into [`Facts`]; [`judge`] holds the facts against a
//! [`Context`] (a time, hosts, a gateway's cipher suites, roots) and answers with a [`Verdict`];
//! [`next_change`] says when that answer may change by the mere passing of time.
//!
//! The rules are a table ([`checks`]): one named check, one function, in `checks/`. `docs/checks.md` is made from it.
//! The CA certificates of mutual TLS have facts and a table of their own, in `authorities/`.

mod algorithm;
mod authorities;
mod chain;
mod checks;
mod constraints;
mod context;
mod der;
mod facts;
mod hosts;
mod judge;
mod key;
mod names;
mod opinion;
mod pair;
mod path;
mod pem;
mod revocation;
mod roots;
mod staple;
mod supplied;
mod verdict;

pub use authorities::{Authorities, authority_checks, judge_authorities, next_change_of_authorities, read_authorities};
pub use checks::checks;
pub use context::{Context, Purpose};
pub use facts::CertificateFacts;
pub use hosts::dns_name_fault;
pub use judge::{judge, next_change};
pub use pair::{Fingerprint, Pair};
pub use revocation::RevocationLists;
pub use roots::Roots;
pub use supplied::{Facts, Supplied, read};
pub use verdict::{Check, Class, Finding, Severity, Verdict};

/// `docs/checks.md`: the page that explains every check, in Markdown.
#[must_use]
pub fn documentation() -> String {
    checks::documentation() + &authorities::documentation()
}

/// Labels under which certificates travel (RFC 7468, 5.1 and its older name).
fn is_certificate(label: &str) -> bool {
    matches!(label, "CERTIFICATE" | "X509 CERTIFICATE")
}
