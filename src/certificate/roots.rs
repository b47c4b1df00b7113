//! Roots that somebody trusts, given apart from the chain.

use super::{
    facts::{self, CertificateFacts},
    pem::{self, Note, Shape},
};

/// A bundle of all public roots has some 250 KiB.
const MAX_BUNDLE: usize = 4 * 1024 * 1024;

/// Certificates at which a path may end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots(Vec<CertificateFacts>);

impl Roots {
    /// Reads a bundle of PEM certificates; comments between them are fine.
    ///
    /// # Errors
    /// Says which block is no certificate, or that there is none at all.
    pub fn from_pem(bundle: &[u8]) -> Result<Self, String> {
        let container = pem::read_at_most(Some(bundle), MAX_BUNDLE);
        if let Shape::TooLarge(bytes) = container.shape {
            return Err(format!("the roots have {bytes} bytes; {MAX_BUNDLE} are allowed"));
        }
        if let Shape::Other { what, remedy } = container.shape {
            return Err(format!("the roots are {what}; {remedy}"));
        }
        if let Some(Note::Malformed { line, why, .. }) =
            container.notes.iter().find(|note| matches!(note, Note::Malformed { .. }))
        {
            return Err(format!("the block at line {line} of the roots cannot be read: {why}"));
        }
        let mut roots = Vec::new();
        for block in container.blocks.iter().filter(|block| super::is_certificate(&block.label)) {
            let root = facts::read(&block.der)
                .map_err(|why| format!("the block at line {} of the roots: {why}", block.line))?;
            roots.push(root);
        }
        if roots.is_empty() {
            return Err("the roots hold no CERTIFICATE block".to_owned());
        }
        Ok(Self(roots))
    }

    pub(super) fn certificates(&self) -> &[CertificateFacts] {
        &self.0
    }
}
