//! Name constraints (RFC 5280, 4.2.1.10): which names a CA may issue for.

use super::{
    facts::{CertificateFacts, NameConstraints},
    names::{self, GeneralName},
};

/// Comparisons made for one path: a file of 64 KiB cannot honestly need more.
const MAX_COMPARISONS: usize = 50_000;

/// A name that some issuer may not have signed.
pub(super) struct Violation<'a> {
    /// The certificate that bears the name.
    pub(super) subject: &'a CertificateFacts,
    /// The one whose constraint it breaks.
    pub(super) issuer: &'a CertificateFacts,
    /// What happened, for people.
    pub(super) what: String,
}

/// Holds every name in a path against the constraints above it. At most one violation a certificate and
/// constraint: the first is enough to act on.
pub(super) fn violations<'a>(path: &[&'a CertificateFacts]) -> Vec<Violation<'a>> {
    let mut found = Vec::new();
    let mut budget = MAX_COMPARISONS;
    for (above, issuer) in path.iter().enumerate().skip(1) {
        let Some(constraints) = &issuer.extensions.name_constraints else { continue };
        for (place, subject) in path[..above].iter().enumerate() {
            // A CA that only renews its own key is exempt, unless it is the end of the path.
            if place > 0 && subject.is_self_issued() {
                continue;
            }
            if let Some(what) = broken(subject, &constraints.value, &mut budget) {
                found.push(Violation { subject, issuer, what });
            }
        }
    }
    found
}

fn broken(subject: &CertificateFacts, constraints: &NameConstraints, budget: &mut usize) -> Option<String> {
    let names = subject.names().len() + 1;
    let subtrees = constraints.permitted.len() + constraints.excluded.len();
    match budget.checked_sub(names * subtrees) {
        Some(rest) => *budget = rest,
        None => return Some(format!("holding {names} names against {subtrees} constraints is too much work")),
    }
    let own = (!subject.subject_name.is_empty()).then(|| GeneralName::Directory(subject.subject_name.clone()));
    subject.names().iter().chain(&own).find_map(|name| breaks(name, constraints))
}

fn breaks(name: &GeneralName, constraints: &NameConstraints) -> Option<String> {
    if let Some(excluded) = constraints.excluded.iter().find(|base| touches(name, base)) {
        return Some(format!("{} lies in the excluded {}", name.text(), base_text(excluded)));
    }
    let mut same_kind = constraints.permitted.iter().filter(|base| is_same_kind(name, base)).peekable();
    let first = same_kind.peek().map(|base| base_text(base))?;
    (!same_kind.any(|base| lies_within(name, base)))
        .then(|| format!("{} lies outside of what is permitted ({first}, …)", name.text()))
}

fn base_text(base: &GeneralName) -> String {
    match base {
        GeneralName::Dns(name) if name.is_empty() => "every DNS name".to_owned(),
        other => other.text(),
    }
}

fn is_same_kind(name: &GeneralName, base: &GeneralName) -> bool {
    match (name, base) {
        (GeneralName::Other(a, _), GeneralName::Other(b, _)) => a == b,
        (
            GeneralName::Unknown(a, _) | GeneralName::Malformed(a),
            GeneralName::Unknown(b, _) | GeneralName::Malformed(b),
        ) => a == b,
        _ => std::mem::discriminant(name) == std::mem::discriminant(base),
    }
}

/// All that the name stands for lies in the subtree.
fn lies_within(name: &GeneralName, base: &GeneralName) -> bool {
    match (name, base) {
        // All that a wildcard stands for lies right below what follows it.
        (GeneralName::Dns(name), GeneralName::Dns(base)) => dns_within(name.strip_prefix("*.").unwrap_or(name), base),
        (GeneralName::Uri(name), GeneralName::Uri(base)) => uri_host(name).is_some_and(|host| host_within(host, base)),
        (GeneralName::Email(name), GeneralName::Email(base)) => email_within(name, base),
        (GeneralName::Ip(name), GeneralName::Ip(base)) => ip_within(name, base).unwrap_or(false),
        (GeneralName::Directory(name), GeneralName::Directory(base)) => name.is_within(base),
        // Nobody can tell what another kind means: RFC 5280 has such certificates refused.
        _ => false,
    }
}

/// Something that the name stands for lies in the subtree. Where that cannot be told, it does.
fn touches(name: &GeneralName, base: &GeneralName) -> bool {
    if !is_same_kind(name, base) {
        return false;
    }
    match (name, base) {
        (GeneralName::Dns(name), GeneralName::Dns(base)) => match name.strip_prefix("*.") {
            // `*.example.com` can be `a.example.com`, so an exclusion of that alone is touched as well.
            Some(rest) => {
                let below = base.split_once('.').is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(rest));
                below || dns_within(rest, base)
            }
            None => dns_within(name, base),
        },
        (GeneralName::Ip(name), GeneralName::Ip(base)) => ip_within(name, base).unwrap_or(true),
        (GeneralName::Uri(name), GeneralName::Uri(base)) => uri_host(name).is_none_or(|host| host_within(host, base)),
        (GeneralName::Other(..) | GeneralName::Unknown(..) | GeneralName::Malformed(_), _) => true,
        _ => lies_within(name, base),
    }
}

/// `example.com` spans itself and all below; `.example.com` (not in the RFC, but in the world) only what is below.
fn dns_within(name: &str, base: &str) -> bool {
    match without_suffix(name, base) {
        Some(b"") => true,
        Some(front) => base.is_empty() || base.starts_with('.') || front.ends_with(b"."),
        None => false,
    }
}

/// What stands before `suffix`, whatever the case of the letters.
fn without_suffix<'a>(name: &'a str, suffix: &str) -> Option<&'a [u8]> {
    let (front, end) = name.as_bytes().split_at_checked(name.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix.as_bytes()).then_some(front)
}

/// For URIs and mail hosts: `example.com` is that host alone, `.example.com` all below it.
fn host_within(host: &str, base: &str) -> bool {
    match without_suffix(host, base) {
        Some(b"") => !base.starts_with('.'),
        Some(_) => base.starts_with('.'),
        None => false,
    }
}

fn uri_host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    (!host.is_empty() && !host.starts_with('[')).then_some(host)
}

/// A mailbox, a host, or a domain; the local part is compared as it stands.
fn email_within(name: &str, base: &str) -> bool {
    let Some((local, host)) = name.rsplit_once('@') else { return false };
    match base.rsplit_once('@') {
        Some((wanted, wanted_host)) => local == wanted && host.eq_ignore_ascii_case(wanted_host),
        None => base.is_empty() || host_within(host, base),
    }
}

/// `None`: one of the two is no address or no network. Another family is simply outside.
fn ip_within(name: &[u8], base: &[u8]) -> Option<bool> {
    names::address(name)?;
    network(base)?;
    if base.len() != name.len() * 2 {
        return Some(false);
    }
    let (network, mask) = base.split_at(name.len());
    Some(name.iter().zip(network).zip(mask).all(|((n, b), m)| n & m == b & m))
}

/// An address and a mask of ones followed by zeros.
fn network(base: &[u8]) -> Option<()> {
    let (network, mask) = base.split_at_checked(base.len() / 2)?;
    names::address(network)?;
    let ones = mask.iter().map(|b| b.leading_ones()).take_while(|ones| *ones == 8).count();
    let rest = mask.get(ones..).unwrap_or_default();
    let clean = rest.split_first().is_none_or(|(first, zeros)| {
        first.leading_ones() + first.trailing_zeros() >= 8 && zeros.iter().all(|b| *b == 0)
    });
    (mask.len() == network.len() && clean).then_some(())
}

/// What is wrong with the constraints themselves, if anything is.
pub(super) fn malformed(constraints: &NameConstraints) -> Option<String> {
    constraints.permitted.iter().chain(&constraints.excluded).find_map(|base| match base {
        GeneralName::Ip(bytes) if network(bytes).is_none() => Some(format!("{} is no network", base.text())),
        GeneralName::Malformed(_) => Some(base.text()),
        GeneralName::Dns(name) if name.starts_with('.') => {
            Some(format!("the DNS constraint {} begins with a dot, which RFC 5280 does not know", base.text()))
        }
        GeneralName::Dns(name) if name.contains('*') => {
            Some(format!("the DNS constraint {} holds a wildcard, which RFC 5280 does not know", base.text()))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(name: &str) -> GeneralName {
        GeneralName::Dns(name.to_owned())
    }

    #[test]
    fn dns_subtrees_span_whole_labels() {
        for (name, base, within, touched) in [
            ("example.com", "example.com", true, true),
            ("a.Example.com", "eXample.com", true, true),
            ("badexample.com", "example.com", false, false),
            ("example.com", "a.example.com", false, false),
            ("*.example.com", "example.com", true, true),
            ("*.example.com", "a.example.com", false, true),
            ("*.example.com", "a.b.example.com", false, false),
            ("anything.at.all", "", true, true),
            ("a.example.com", ".example.com", true, true),
            ("example.com", ".example.com", false, false),
        ] {
            assert_eq!(lies_within(&dns(name), &dns(base)), within, "{name} within {base}");
            assert_eq!(touches(&dns(name), &dns(base)), touched, "{name} touches {base}");
        }
    }

    #[test]
    fn networks_span_their_addresses_and_need_a_clean_mask() {
        let base = |mask: [u8; 4]| [&[192, 0, 2, 0][..], &mask].concat();
        assert_eq!(ip_within(&[192, 0, 2, 7], &base([255, 255, 255, 0])), Some(true));
        assert_eq!(ip_within(&[192, 0, 3, 7], &base([255, 255, 255, 0])), Some(false));
        assert_eq!(ip_within(&[192, 0, 3, 7], &base([255, 255, 254, 0])), Some(true));
        assert_eq!(ip_within(&[0; 16], &base([255, 255, 255, 0])), Some(false));
        assert_eq!(ip_within(&[192, 0, 2, 7], &base([255, 0, 255, 0])), None);
        assert_eq!(ip_within(&[192, 0, 2, 7], &[192, 0, 2]), None);
    }

    #[test]
    fn mailboxes_hosts_and_domains_differ() {
        for (name, base, expected) in [
            ("joe@example.com", "joe@example.com", true),
            ("Joe@example.com", "joe@example.com", false),
            ("joe@EXAMPLE.com", "example.com", true),
            ("joe@a.example.com", "example.com", false),
            ("joe@a.example.com", ".example.com", true),
            ("joe@example.com", ".example.com", false),
            ("no mailbox", "example.com", false),
        ] {
            assert_eq!(email_within(name, base), expected, "{name} within {base}");
        }
    }
}
