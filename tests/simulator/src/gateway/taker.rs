//! How a gateway takes up a Secret, with the vices that were measured on real Envoys (FACTS, "Measured here").

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::core::v1::Secret;
use rustls::sign::CertifiedKey;

use super::material::{Refusal, load};
use crate::fingerprint::fingerprint;

/// What a pod does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vice {
    /// The next pair is not served until it comes in other bytes (Envoy after a garbage client CA).
    Stuck,
    /// Nothing is taken up until the pod is replaced (EN #42438).
    Deaf,
    /// Every connection is reset, and the pod says that it is ready.
    Reset,
}

/// What one gateway serves, and what it does wrong.
#[derive(Debug, Default)]
pub(super) struct Taker {
    pub(super) pair: Option<Arc<CertifiedKey>>,
    pub(super) vice: Option<Vice>,
    /// The bytes of the pair that it is stuck with.
    swallowed: Option<Vec<u8>>,
    /// Leaves that it refuses whatever happens.
    pub(super) refuses: BTreeSet<String>,
}

impl Taker {
    /// One that refuses these leaves.
    pub(super) fn that_refuses(refuses: BTreeSet<String>) -> Self {
        Self { refuses, ..Self::default() }
    }

    /// The fingerprint of the leaf that is served.
    pub(super) fn serving(&self) -> Option<String> {
        self.pair.as_ref().and_then(|pair| pair.cert.first()).map(|leaf| fingerprint(leaf))
    }

    /// Tries a state of the Secret; what does not work changes nothing.
    pub(super) fn take_up(&mut self, secret: &Secret) -> Result<(), Refusal> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let pair = load(secret, &provider)?;
        let leaf = pair.cert.first().map(|leaf| fingerprint(leaf)).unwrap_or_default();
        if self.refuses.contains(&leaf) {
            return Err(Refusal::Rejected("it refuses this leaf".to_owned()));
        }
        if self.vice == Some(Vice::Deaf) {
            return Err(Refusal::Ignored("it is deaf".to_owned()));
        }
        if self.vice == Some(Vice::Stuck) && self.serving().as_ref() != Some(&leaf) {
            let values = secret.data.iter().flat_map(BTreeMap::values);
            let bytes: Vec<u8> = values.flat_map(|value| value.0.clone()).collect();
            let before = self.swallowed.replace(bytes.clone());
            if before.is_none_or(|before| before == bytes) {
                return Err(Refusal::Ignored("it is stuck".to_owned()));
            }
            (self.vice, self.swallowed) = (None, None);
        }
        self.pair = Some(pair);
        Ok(())
    }
}
