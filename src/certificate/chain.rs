//! Putting certificates in order: who issued whom, which of them is the leaf, what does not belong.

use super::{
    algorithm::{Link, PublicKey},
    facts::CertificateFacts,
};

/// Signatures verified while ordering. A sane chain needs three; a hostile one is not worth a second of work.
const MAX_VERIFICATIONS: usize = 256;

/// `child` was issued by `issuer` (places in [`Chain::certificates`]) as far as the names go; the link says
/// what its signature has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Issuance {
    pub(super) child: usize,
    pub(super) issuer: usize,
    pub(super) link: Link,
}

/// Supplied certificates in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// Leaf first, each followed by its issuer; then the issuers on other paths (cross-signed ones).
    pub(super) certificates: Vec<CertificateFacts>,
    /// Who issued whom among them.
    pub(super) issuances: Vec<Issuance>,
    /// The file had them in another order.
    pub(super) mended: bool,
    /// Where copies of certificates stood, for people.
    pub(super) duplicates: Vec<String>,
    /// Certificates that issued nothing in the leaf's path. They are left out.
    pub(super) unrelated: Vec<CertificateFacts>,
}

/// Puts certificates in order. The key, if known, tells which of them is the leaf.
pub(super) fn order(supplied: Vec<CertificateFacts>, key: Option<&PublicKey>) -> Chain {
    let mut duplicates = Vec::new();
    let mut pool: Vec<CertificateFacts> = Vec::new();
    for certificate in supplied {
        match pool.iter().find(|known| known.fingerprint == certificate.fingerprint) {
            Some(_) => duplicates.push(certificate.location()),
            None => pool.push(certificate),
        }
    }
    if pool.is_empty() {
        return Chain { duplicates, ..Chain::default() };
    }
    let issuances = issuances(&pool);
    let leaf = leaf(&pool, &issuances, key);
    let order = places(leaf, pool.len(), &issuances);
    let place = |index: usize| order.iter().position(|i| *i == index);
    let issuances: Vec<Issuance> = issuances
        .iter()
        .filter_map(|i| Some(Issuance { child: place(i.child)?, issuer: place(i.issuer)?, link: i.link }))
        .collect();
    let mut pool: Vec<_> = pool.into_iter().map(Some).collect();
    let certificates: Vec<_> = order.iter().filter_map(|i| pool[*i].take()).collect();
    let main = main_path(&issuances);
    let mended = certificates[0].position != 1
        || main.windows(2).any(|w| certificates[w[0]].position > certificates[w[1]].position);
    Chain { certificates, issuances, mended, duplicates, unrelated: pool.into_iter().flatten().collect() }
}

/// All pairs in which one's issuer is the other's subject. Of several candidates with that name those whose
/// signature verifies push out the rest.
fn issuances(pool: &[CertificateFacts]) -> Vec<Issuance> {
    let mut budget = MAX_VERIFICATIONS;
    let mut all = Vec::new();
    for (child, certificate) in pool.iter().enumerate().filter(|(_, c)| !c.self_signed) {
        let mut found: Vec<Issuance> = Vec::new();
        for (issuer, candidate) in pool.iter().enumerate() {
            if issuer == child || !certificate.names_as_issuer(candidate) || budget == 0 {
                continue;
            }
            budget -= 1;
            found.push(Issuance { child, issuer, link: certificate.signed_by(candidate) });
        }
        if found.iter().any(|i| i.link == Link::Verified) {
            found.retain(|i| i.link == Link::Verified);
        }
        all.append(&mut found);
    }
    all
}

/// The key's certificate, an end entity's by preference; without a key the first that issued no other.
fn leaf(pool: &[CertificateFacts], issuances: &[Issuance], key: Option<&PublicKey>) -> usize {
    let of_key = |c: &CertificateFacts| key.is_some_and(|key| c.public_key.is(key));
    let issued_none = |index: &usize| issuances.iter().all(|i| i.issuer != *index);
    pool.iter()
        .position(|c| of_key(c) && !c.is_ca)
        .or_else(|| pool.iter().position(of_key))
        .or_else(|| (0..pool.len()).find(|index| issued_none(index) && !pool[*index].is_ca))
        .or_else(|| (0..pool.len()).find(issued_none))
        .unwrap_or(0)
}

/// The leaf's main path, then whatever else can be reached from it, in the file's order.
fn places(leaf: usize, count: usize, issuances: &[Issuance]) -> Vec<usize> {
    let mut order = walk(leaf, issuances);
    let mut reached = order.clone();
    let mut next = 0;
    while let Some(&child) = reached.get(next) {
        next += 1;
        for issuance in issuances.iter().filter(|i| i.child == child) {
            if !reached.contains(&issuance.issuer) {
                reached.push(issuance.issuer);
            }
        }
    }
    order.extend((0..count).filter(|i| reached.contains(i)).filter(|i| !walk(leaf, issuances).contains(i)));
    order
}

/// From the leaf upwards, always the first issuer that is not in the path yet.
fn walk(leaf: usize, issuances: &[Issuance]) -> Vec<usize> {
    let mut path = vec![leaf];
    while let Some(next) = issuances.iter().find(|i| Some(&i.child) == path.last() && !path.contains(&i.issuer)) {
        path.push(next.issuer);
    }
    path
}

/// The main path in a chain that is in order already: places in [`Chain::certificates`].
pub(super) fn main_path(issuances: &[Issuance]) -> Vec<usize> {
    walk(0, issuances)
}
