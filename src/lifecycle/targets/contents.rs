//! What a copy holds.

use std::{collections::BTreeMap, sync::Arc};

use aws_lc_rs::digest;

use super::Target;
use crate::certificate::{Facts, Pair, Roots};

/// What one key of a copy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The full chain in PEM.
    Certificate,
    /// The private key in PEM.
    PrivateKey,
    /// The CA certificates of the chain in PEM: what a client of the gateway trusts.
    Authorities,
}

/// The type of a Secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SecretKind {
    /// `kubernetes.io/tls`: the API server asks for `tls.crt` and `tls.key` in it.
    Tls,
    /// `Opaque`
    #[default]
    Opaque,
}

impl SecretKind {
    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "kubernetes.io/tls",
            Self::Opaque => "Opaque",
        }
    }

    /// Whether a copy with this note has another type, which cannot be changed in place.
    pub(super) fn differs_in(self, note: &str) -> bool {
        note.split_once(':').is_some_and(|(tag, _)| tag != self.tag())
    }

    fn tag(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Opaque => "opaque",
        }
    }
}

/// What the copies of one target hold. The key in it is never printed and wiped with its last clone.
#[derive(Debug, Clone)]
pub struct Contents {
    /// Type of the Secret.
    pub kind: SecretKind,
    /// SHA-256 of the leaf.
    pub fingerprint: Arc<str>,
    /// What is noted on the copy: its type and a digest of its public part. A certificate belongs to one key only, so
    /// the key need not go into it.
    pub note: String,
    /// The Secret's keys, comma-separated in their order.
    pub key_list: String,
    keys: BTreeMap<String, Content>,
    pair: Pair,
    authorities: Option<String>,
}

impl Contents {
    /// What the copies of this target hold of this pair; `None` where the chain has no CA certificate and one is asked
    /// for.
    pub(super) fn new(target: &Target, pair: &Pair, facts: &Facts, roots: Option<&Roots>) -> Option<Self> {
        let wanted = target.keys.values().any(|content| *content == Content::Authorities);
        let authorities = if wanted { Some(facts.authorities_pem(roots)?) } else { None };
        let mut hash = digest::Context::new(&digest::SHA256);
        for (key, content) in &target.keys {
            hash.update(format!("{key}={content:?}\n").as_bytes());
        }
        hash.update(pair.certificate_pem().as_bytes());
        hash.update(authorities.as_deref().unwrap_or_default().as_bytes());
        let digest: String = hash.finish().as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Some(Self {
            kind: target.kind,
            fingerprint: pair.fingerprint().to_string().into(),
            note: format!("{}:{digest}", target.kind.tag()),
            key_list: key_list(&target.keys),
            keys: target.keys.clone(),
            pair: pair.clone(),
            authorities,
        })
    }

    /// The Secret's keys and values. Handle with care: one of them may be the private key.
    pub fn data(&self) -> impl Iterator<Item = (&str, &str)> {
        self.keys.iter().map(|(key, content)| {
            let value = match content {
                Content::Certificate => self.pair.certificate_pem(),
                Content::PrivateKey => self.pair.key_pem(),
                Content::Authorities => self.authorities.as_deref().unwrap_or_default(),
            };
            (key.as_str(), value)
        })
    }
}

/// The keys, comma-separated in their order.
pub(super) fn key_list(keys: &BTreeMap<String, Content>) -> String {
    keys.keys().map(String::as_str).collect::<Vec<_>>().join(",")
}
