//! From what somebody supplied to facts: parsed once, put in order, paired.

use std::fmt;

use zeroize::Zeroizing;

use super::{
    Pair,
    chain::{self, Chain},
    facts::{self, CertificateFacts},
    key::{self, KeyFacts},
    pem::{self, Block, Container, Note, Shape},
    roots::Roots,
    staple::{self, StapleFacts},
};

/// How many certificates are looked at. Real chains have two to four.
pub(super) const MAX_CERTIFICATES: usize = 64;

/// What somebody supplied, before anything is known about it. Each part may have 64 KiB; more is a finding.
#[derive(Clone, Copy, Default)]
pub struct Supplied<'a> {
    /// The certificate chain: PEM, or base64 of PEM.
    pub certificate: Option<&'a [u8]>,
    /// The private key: PEM, or base64 of PEM.
    pub key: Option<&'a [u8]>,
    /// An OCSP response (DER) that the gateway staples to its handshakes.
    pub staple: Option<&'a [u8]>,
}

impl fmt::Debug for Supplied<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |part: Option<&[u8]>| part.map(|bytes| format!("[{} bytes, redacted]", bytes.len()));
        f.debug_struct("Supplied")
            .field("certificate", &size(self.certificate))
            .field("key", &size(self.key))
            .field("staple", &size(self.staple))
            .finish()
    }
}

/// A block that is no certificate although it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) position: usize,
    pub(super) line: usize,
    pub(super) why: String,
}

/// One of the two inputs, as far as its container goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Half {
    /// `certificate` or `private key`: how findings name it.
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) notes: Vec<Note>,
    /// Labels that have no business here, with their lines.
    pub(super) strangers: Vec<(String, usize)>,
    /// How many private keys are in it.
    pub(super) keys: usize,
    /// How many certificates are in it.
    pub(super) certificates: usize,
}

/// Everything that is known of one piece of supplied material. It holds no private byte but those in
/// [`Facts::pair`], which never prints them.
#[derive(Debug, Clone)]
pub struct Facts {
    pub(super) certificate: Half,
    pub(super) key_half: Half,
    pub(super) broken: Vec<Broken>,
    pub(super) chain: Chain,
    pub(super) key: KeyFacts,
    pub(super) staple: Option<StapleFacts>,
    pair: Option<Pair>,
}

impl PartialEq for Facts {
    /// The pair is left out: it follows from the rest but for the private key's bytes, which nobody should
    /// compare in variable time.
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate
            && self.key_half == other.key_half
            && self.broken == other.broken
            && self.chain == other.chain
            && self.key == other.key
            && self.staple == other.staple
    }
}

impl Facts {
    /// Neither a certificate nor a key was supplied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificate.shape == Shape::Missing && self.key_half.shape == Shape::Missing
    }

    /// The chain in mended order, leaf first: duplicates and unrelated certificates left out, a root that was
    /// supplied kept (clients ignore it, and some consumers take the file for their trust bundle).
    #[must_use]
    pub fn chain(&self) -> &[CertificateFacts] {
        &self.chain.certificates
    }

    /// The leaf: the certificate that belongs to the key, else the one that issued no other.
    #[must_use]
    pub fn leaf(&self) -> Option<&CertificateFacts> {
        self.chain.certificates.first()
    }

    /// The CA certificates of the chain in PEM, nearest to the leaf first: everything after the leaf, then the given
    /// roots that issued the last of them; a self-signed leaf is its own authority. `None` where none is known.
    #[must_use]
    pub fn authorities_pem(&self, roots: Option<&Roots>) -> Option<String> {
        let chain = self.chain();
        let from = usize::from(!chain.first()?.self_signed);
        let last = chain.last()?;
        let given = roots.map(Roots::certificates).unwrap_or_default().iter().filter(|root| {
            last.issuer_name.matches(&root.subject_name) && chain.iter().all(|c| c.fingerprint != root.fingerprint)
        });
        let authorities = chain.get(from..).unwrap_or_default().iter().chain(given);
        let pem: String = authorities.map(|c| pem::write("CERTIFICATE", &c.der.0).to_string()).collect();
        (!pem.is_empty()).then_some(pem)
    }

    /// Chain and key, normalised. Only there when the key was read and is the leaf's.
    #[must_use]
    pub fn pair(&self) -> Option<&Pair> {
        self.pair.as_ref()
    }
}

/// Reads what was supplied. Total: any bytes give facts, never a panic; each certificate is parsed once.
#[must_use]
pub fn read(supplied: &Supplied<'_>) -> Facts {
    let certificate = pem::read(supplied.certificate);
    let key = pem::read(supplied.key);
    let (certificates, broken) = certificates(&certificate.blocks);
    let (key_facts, pkcs8) = private_key(&certificate, &key);
    let public = if let KeyFacts::Read { public, .. } = &key_facts { Some(public) } else { None };
    let chain = chain::order(certificates, public);
    let pair = public.zip(pkcs8.as_ref()).and_then(|(public, pkcs8)| {
        let leaf = chain.certificates.first().filter(|leaf| leaf.public_key.is(public))?;
        Some(pair(leaf, &chain.certificates, pkcs8))
    });
    let staple = supplied.staple.filter(|bytes| !bytes.is_empty()).map(staple::read);
    Facts {
        certificate: half("certificate", certificate, super::is_certificate),
        key_half: half("private key", key, |label| key::is_key(label) || label.ends_with(" PARAMETERS")),
        broken,
        chain,
        key: key_facts,
        staple,
        pair,
    }
}

/// The certificates among the blocks, and the blocks that only look like one.
pub(super) fn certificates(blocks: &[Block]) -> (Vec<CertificateFacts>, Vec<Broken>) {
    let blocks: Vec<_> = blocks.iter().filter(|block| super::is_certificate(&block.label)).collect();
    let (mut good, mut broken) = (Vec::new(), Vec::new());
    for (index, block) in blocks.iter().enumerate().take(MAX_CERTIFICATES) {
        let position = index + 1;
        match facts::read(&block.der) {
            Ok(facts) => good.push(CertificateFacts { position, total: blocks.len(), ..facts }),
            Err(why) => broken.push(Broken { position, line: block.line, why }),
        }
    }
    (good, broken)
}

/// The key comes from its own input; where that is missing, one inside the certificate file will do.
fn private_key(certificate: &Container, key: &Container) -> (KeyFacts, Option<key::Pkcs8>) {
    let keys = |container: &'_ Container| -> Vec<usize> {
        let blocks = container.blocks.iter().enumerate();
        blocks.filter(|(_, block)| key::is_key(&block.label)).map(|(index, _)| index).collect()
    };
    let source = if key.shape == Shape::Missing { certificate } else { key };
    let blocks: Vec<&Block> = keys(source).into_iter().map(|index| &source.blocks[index]).collect();
    key::read(&blocks)
}

pub(super) fn half(name: &'static str, container: Container, belongs: impl Fn(&str) -> bool) -> Half {
    let count = |wanted: &dyn Fn(&str) -> bool| container.blocks.iter().filter(|block| wanted(&block.label)).count();
    let ours = |label: &str| belongs(label) || key::is_key(label) || super::is_certificate(label);
    let strangers = container.blocks.iter().filter(|block| !ours(&block.label));
    Half {
        name,
        shape: container.shape,
        keys: count(&key::is_key),
        certificates: count(&super::is_certificate),
        strangers: strangers.map(|block| (block.label.clone(), block.line)).collect(),
        notes: container.notes,
    }
}

/// A root at the end goes no further: clients have their own (RFC 8446, 4.4.2), and Gardener's CA issuer appends it.
fn pair(leaf: &CertificateFacts, chain: &[CertificateFacts], pkcs8: &[u8]) -> Pair {
    let needed = chain.iter().rposition(|certificate| !certificate.self_signed).unwrap_or(0);
    let chain = &chain[..=needed];
    let certificate: String = chain.iter().map(|c| pem::write("CERTIFICATE", &c.der.0).to_string()).collect();
    let key: Zeroizing<String> = pem::write("PRIVATE KEY", pkcs8);
    Pair::new(leaf.fingerprint.clone(), certificate, key)
}
