//! Paths from the leaf upwards. Where cross-signed certificates offer several, all are tried (within bounds) and
//! the one with the least wrong about it is judged: that is what a client with a working path builder ends up with.

use super::{Context, Facts, algorithm::Link, chain, facts::CertificateFacts};

/// Paths tried, and steps taken to find them: enough for any honest file, milliseconds for a hostile one.
const MAX_PATHS: usize = 64;
const MAX_STEPS: usize = 4_096;
const MAX_ROOT_VERIFICATIONS: usize = 64;
/// Leaf, intermediates and root of the longest path that is looked at.
const MAX_LENGTH: usize = 12;

/// One path, leaf first.
#[derive(Debug, Clone, Default)]
pub(super) struct Path<'a> {
    pub(super) certificates: Vec<&'a CertificateFacts>,
    /// `links[i]`: did certificate i + 1 sign certificate i?
    pub(super) links: Vec<Link>,
    /// Its last certificate is one of the roots that were given.
    pub(super) anchored: bool,
}

impl<'a> Path<'a> {
    /// The certificates above the leaf.
    pub(super) fn issuers(&self) -> &[&'a CertificateFacts] {
        self.certificates.get(1..).unwrap_or_default()
    }

    /// Everything but a root that was given apart.
    pub(super) fn supplied(&self) -> &[&'a CertificateFacts] {
        &self.certificates[..self.certificates.len() - usize::from(self.anchored)]
    }
}

/// All paths that these facts and roots allow, best candidates first; never empty unless there is no leaf.
/// Paths to a given root come before those that end elsewhere.
pub(super) fn all<'a>(facts: &'a Facts, context: &Context<'a>) -> Vec<Path<'a>> {
    if facts.chain().is_empty() {
        return Vec::new();
    }
    let mut search = Search { facts, context, paths: Vec::new(), steps: 0, root_links: Vec::new(), verifications: 0 };
    search.from(&mut vec![0], &mut Vec::new());
    let mut paths = search.paths;
    paths.sort_by_key(|path| !path.anchored);
    if paths.is_empty() {
        paths.push(main(facts));
    }
    paths
}

/// The path that the chain was put in order by.
fn main(facts: &Facts) -> Path<'_> {
    let places = chain::main_path(&facts.chain.issuances);
    let link = |pair: &[usize]| {
        let found = facts.chain.issuances.iter().find(|i| i.child == pair[0] && i.issuer == pair[1]);
        found.map_or(Link::Unverifiable, |i| i.link)
    };
    Path {
        certificates: places.iter().map(|i| &facts.chain()[*i]).collect(),
        links: places.windows(2).map(link).collect(),
        anchored: false,
    }
}

struct Search<'a, 'c> {
    facts: &'a Facts,
    context: &'c Context<'a>,
    paths: Vec<Path<'a>>,
    steps: usize,
    /// Memory of (place in the chain, place among the roots).
    root_links: Vec<(usize, usize, Link)>,
    verifications: usize,
}

impl<'a> Search<'a, '_> {
    /// Extends the path of these places (and links) in every way.
    fn from(&mut self, places: &mut Vec<usize>, links: &mut Vec<Link>) {
        self.steps += 1;
        if self.steps > MAX_STEPS || self.paths.len() >= MAX_PATHS {
            return;
        }
        let here = places[places.len() - 1];
        let mut ends_here = !self.anchor(here, places, links);
        if places.len() < MAX_LENGTH {
            let facts = self.facts;
            for issuance in facts.chain.issuances.iter().filter(|i| i.child == here) {
                let issuer = &facts.chain()[issuance.issuer];
                // A name and key that was passed already leads round in a circle.
                if places.iter().any(|p| facts.chain()[*p].is_twin(issuer)) {
                    continue;
                }
                ends_here = false;
                places.push(issuance.issuer);
                links.push(issuance.link);
                self.from(places, links);
                places.pop();
                links.pop();
            }
        }
        if ends_here {
            self.push(places, links, None);
        }
    }

    /// Ends the path at every given root that may have issued its last certificate. True if there was one.
    fn anchor(&mut self, here: usize, places: &[usize], links: &[Link]) -> bool {
        let Some(roots) = self.context.roots else { return false };
        let certificate = &self.facts.chain()[here];
        let mut any = false;
        for (index, root) in roots.certificates().iter().enumerate() {
            if root.fingerprint == certificate.fingerprint && places.len() == 1 {
                // Whoever trusts this very leaf asks for nothing above it.
                self.paths.push(Path { certificates: vec![certificate], links: Vec::new(), anchored: true });
                any = true;
            } else if root.fingerprint == certificate.fingerprint {
                self.push(
                    &places[..places.len() - 1],
                    &links[..places.len() - 2],
                    Some((root, links[places.len() - 2])),
                );
                any = true;
            } else if certificate.names_as_issuer(root) && !certificate.self_signed {
                let link = self.root_link(here, index, root);
                if link != Link::Bad {
                    self.push(places, links, Some((root, link)));
                    any = true;
                }
            }
        }
        any
    }

    fn root_link(&mut self, here: usize, index: usize, root: &CertificateFacts) -> Link {
        if let Some((_, _, link)) = self.root_links.iter().find(|(p, r, _)| *p == here && *r == index) {
            return *link;
        }
        self.verifications += 1;
        if self.verifications > MAX_ROOT_VERIFICATIONS {
            return Link::Bad;
        }
        let link = self.facts.chain()[here].signed_by(root);
        self.root_links.push((here, index, link));
        link
    }

    fn push(&mut self, places: &[usize], links: &[Link], root: Option<(&'a CertificateFacts, Link)>) {
        if self.paths.len() >= MAX_PATHS {
            return;
        }
        let mut path = Path {
            certificates: places.iter().map(|p| &self.facts.chain()[*p]).collect(),
            links: links.to_vec(),
            anchored: root.is_some(),
        };
        if let Some((root, link)) = root {
            path.certificates.push(root);
            path.links.push(link);
        }
        self.paths.push(path);
    }
}
