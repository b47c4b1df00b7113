//! The last good pair goes back where no gateway pod took up the new one (laws 1 and 6).

use chrono::{DateTime, Utc};

use super::{
    choice::{Candidates, Choice},
    observed::{Observed, Source},
    plan::Entry,
    reason::Reason,
    reload::{REFUSALS, Refusal},
    report,
};
use crate::certificate::Context;

/// What goes back.
pub(super) struct Back<'a> {
    pub(super) candidates: Candidates<'a>,
    pub(super) choice: Choice,
    /// Every refusal that counts, the new one last.
    pub(super) refused: Vec<Refusal>,
    pub(super) entry: Entry,
}

/// What to go back to from a pair that was refused, by its fingerprint and the evidence; `None` where nothing usable
/// is left that law 1 finds as good.
pub(super) fn roll_back<'a>(
    observed: &'a Observed,
    context: &Context<'_>,
    refused: &[Refusal],
    (fingerprint, evidence): (&str, &str),
    now: DateTime<Utc>,
) -> Option<Back<'a>> {
    let source = match &observed.source {
        Source::Present(supply) => supply.version.clone(),
        _ => String::new(),
    };
    let mut refused = refused.to_vec();
    let gateways = observed.mesh.revision().unwrap_or_default();
    refused.push(Refusal { fingerprint: fingerprint.to_owned(), at: now, source, gateways });
    refused.drain(..refused.len().saturating_sub(REFUSALS));
    let candidates = Candidates::new(observed, context, &refused);
    let choice = candidates.choose(false);
    let better = candidates.judged(choice)?;
    let pair = candidates.pair(choice)?;
    if candidates.stored.as_ref().is_some_and(|stored| better.has_graver_errors_than(stored)) {
        return None;
    }
    let secret = &observed.object.wants.gateway_secret;
    let message = format!(
        "Secret {secret} holds fingerprint {} again, because no gateway pod took up {fingerprint}: {evidence}. It is not \
         tried again until the source or the Gateway changes",
        pair.fingerprint()
    );
    let entry = report::entry(now, Reason::RolledBack, message, None, true);
    Some(Back { candidates, choice, refused, entry })
}
