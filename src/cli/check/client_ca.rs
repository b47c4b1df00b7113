//! The CA certificates of mutual TLS: `certkeeper check --client-ca` before they are supplied, and `--secret` where they lie
//! in a Secret of their own.

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;

use super::{
    Check,
    report::{Checked, Report},
};
use crate::{
    certificate::{Authorities, Context, judge_authorities, read_authorities},
    cli::{
        answer::time,
        input::{Input, MOST},
    },
    clock::{Clock, SystemClock},
    cluster::client_ca::read_client_ca,
};

/// Keys of a Secret that hold a pair or a half of one.
const PAIR: [&str; 6] = ["tls.crt", "tls.key", "cert", "key", "tlsCrt", "tlsKey"];

/// What Istio would read of a Secret that holds a CA and no pair, and the key it is in.
pub(super) fn stored_alone(secret: &Secret) -> Option<(&'static str, Authorities)> {
    let value =
        |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|ByteString(bytes)| bytes.as_slice());
    let filled = |key: &str| value(key).is_some_and(|bytes| !bytes.is_empty());
    if !["cacert", "ca.crt"].into_iter().any(filled) || PAIR.into_iter().any(filled) {
        return None;
    }
    let (key, authorities) = read_client_ca(secret);
    // Where a gateway reads it, a revocation list beside it is in force: nothing is lost.
    let kept = secret.name_any().ends_with("-cacert");
    Some((key, if kept { read_authorities(value(key), false) } else { authorities }))
}

impl Check {
    /// What is thought of the bundle in this file.
    pub(super) fn client_ca(&self, file: &Input) -> Result<Report, String> {
        // More than is looked into, so that what is too large is told in the words of the check.
        Ok(self.judge_client_ca(file.to_string(), &read_authorities(Some(&file.read(MOST)?), false)))
    }

    /// What is thought of a bundle that comes from there.
    pub(super) fn judge_client_ca(&self, place: String, authorities: &Authorities) -> Report {
        let now = self.at.map_or_else(|| SystemClock.now(), |at| at.0);
        let context = Context { warn: &self.warn, ignore: &self.ignore, ..Context::new(now) };
        let findings = judge_authorities(authorities, &context).findings;
        let checked = Checked {
            certificate: place,
            key: None,
            at: time(now),
            roots: None,
            hosts: Vec::new(),
            cipher_suites: Vec::new(),
        };
        Report::of_client_ca(checked, &findings, authorities, self.warnings_as_errors)
    }
}
