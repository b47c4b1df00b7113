//! What the marks on a Secret at the place of a copy mean: whose it is, and who wrote it.

use super::Copy;
use crate::lifecycle::stance::undone_too_often;

/// Who owns it, if it is neither ours nor left behind by a GatewayCertificate that is `gone`.
pub(super) fn stranger(copy: &Copy, us: &str, gone: impl Fn(&str) -> bool) -> Option<String> {
    if let Some(foreign) = &copy.foreign {
        return Some(foreign.clone());
    }
    match (&copy.owner, &copy.note) {
        (Some(owner), Some(_)) if owner == us => None,
        (Some(owner), None) if owner == us => {
            Some("this GatewayCertificate, but somebody removed its annotation certs.kyma-project.io/copy".to_owned())
        }
        (Some(owner), note) => {
            let orphan = gone(owner) && note.is_some();
            (!orphan).then(|| format!("GatewayCertificate {owner}"))
        }
        (None, _) => Some(copy.foreign_writer.as_ref().map_or_else(
            || "somebody else (it has no owner annotation of certkeeper)".to_owned(),
            |writer| format!("field manager \"{}\"", writer.manager),
        )),
    }
}

/// Only certkeeper wrote its values since it was made.
pub(super) fn is_unedited(copy: &Copy) -> bool {
    copy.foreign_writer.is_none() && copy.note.is_some() && !copy.our_keys.is_empty()
}

/// Its last writer undid ours so often that it is left to them (law 9).
pub(super) fn is_fought_over(copy: &Copy) -> bool {
    copy.foreign_writer.as_ref().is_some_and(|writer| undone_too_often(&copy.undone, &writer.manager))
}
