//! What pods were seen to do on the wire that their Gateway does not ask for: findings `policy-…`.

use super::{
    observed::Observed,
    plan::FindingSummary,
    report::ranked,
    serving::{GatewaySight, Mesh},
};

/// What names of these findings begin with.
const PREFIX: &str = "policy-";

/// What differs on the wire, after the other findings of its severity. What was not asked yet, as after a restart, is
/// what was said last.
pub(super) fn with_policy(observed: &Observed, mut others: Vec<FindingSummary>) -> Vec<FindingSummary> {
    let before = || observed.object.previous.findings.iter().filter(|finding| finding.check.starts_with(PREFIX));
    let found: Vec<FindingSummary> = match &observed.mesh {
        Mesh::Pending => before().cloned().collect(),
        Mesh::Known(gateways) => {
            let of = |gateway: &GatewaySight| match &gateway.policy {
                Some(found) => found.clone(),
                None => {
                    let place = format!("Gateway {},", gateway.name);
                    before().filter(|finding| finding.location.starts_with(&place)).cloned().collect()
                }
            };
            gateways.iter().flat_map(of).collect()
        }
        Mesh::Off | Mesh::Denied(_) | Mesh::NotInstalled => Vec::new(),
    };
    let ignored = |check: &str| observed.object.wants.ignore.iter().any(|name| name == check);
    others.extend(found.into_iter().filter(|finding| !ignored(&finding.check)));
    ranked(others)
}
