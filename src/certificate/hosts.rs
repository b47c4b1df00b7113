//! DNS names: whether they are well formed, and whether one covers a host (RFC 6125, RFC 9525).

use std::net::IpAddr;

use super::names::{self, GeneralName};

/// What is wrong with a DNS name in a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is an IP address, which belongs into a name of that kind.
    IpAddress,
    /// A `*` that is not the whole leftmost label, or stands over nothing but a single label.
    Wildcard,
    /// Only an underscore offends: old, widespread, refused by CAs today.
    Underscore,
    /// `xn--` followed by something that is no punycode.
    Punycode,
    /// Characters, lengths, dots.
    Syntax,
}

/// Looks a DNS name of a certificate over. `None`: well formed.
pub(super) fn fault(name: &str) -> Option<Fault> {
    if name.parse::<IpAddr>().is_ok() {
        return Some(Fault::IpAddress);
    }
    let (wildcard, rest) = match name.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, name),
    };
    if rest.contains('*') || (wildcard && !rest.contains('.')) {
        return Some(Fault::Wildcard);
    }
    if name.len() > 253 {
        return Some(Fault::Syntax);
    }
    let faults: Vec<Fault> = rest.split('.').filter_map(label).collect();
    // The gravest first: an underscore is only told where nothing else is wrong.
    [Fault::Syntax, Fault::Punycode, Fault::Underscore].into_iter().find(|fault| faults.contains(fault))
}

/// What keeps a certificate from bearing this DNS name, in words; `None`: nothing.
#[must_use]
pub fn dns_name_fault(name: &str) -> Option<&'static str> {
    Some(match fault(name)? {
        Fault::IpAddress => "it is an IP address",
        Fault::Wildcard => "a wildcard must be the whole leftmost label over at least two others",
        Fault::Underscore => "an underscore does not belong into a host name",
        Fault::Punycode => "what follows xn-- is no punycode (RFC 3492)",
        Fault::Syntax => {
            "a name has letters, digits and hyphens, at most 63 in a label and 253 in all, and other letters in their \
             form of xn-- (RFC 1035 2.3.4, RFC 5890)"
        }
    })
}

/// RFC 1034 (3.5) and RFC 1123 (2.1).
fn label(label: &str) -> Option<Fault> {
    let legal = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    if label.is_empty()
        || label.len() > 63
        || label.starts_with('-')
        || label.ends_with('-')
        || !label.bytes().all(legal)
    {
        return Some(Fault::Syntax);
    }
    if label.contains('_') {
        return Some(Fault::Underscore);
    }
    let tail = label.get(..4).filter(|prefix| prefix.eq_ignore_ascii_case("xn--")).map(|_| &label[4..]);
    tail.is_some_and(|tail| !is_punycode(tail)).then_some(Fault::Punycode)
}

/// Does this decode, by RFC 3492, 6.2, to something that needed encoding at all?
fn is_punycode(text: &str) -> bool {
    const BASE: u32 = 36;
    const T_MIN: u32 = 1;
    const T_MAX: u32 = 26;
    const SKEW: u32 = 38;
    const DAMP: u32 = 700;
    let (basic, digits) = text.rsplit_once('-').unwrap_or(("", text));
    let (mut n, mut i, mut bias) = (128u32, 0u32, 72u32);
    let mut length = basic.len() as u32;
    let mut digits = digits.bytes();
    let mut decoded = 0;
    while digits.len() > 0 {
        let (start, mut weight, mut k) = (i, 1u32, BASE);
        loop {
            let digit = match digits.next() {
                Some(c @ b'0'..=b'9') => u32::from(c - b'0') + 26,
                Some(c) if c.is_ascii_alphabetic() => u32::from(c.to_ascii_lowercase() - b'a'),
                _ => return false,
            };
            let Some(sum) = digit.checked_mul(weight).and_then(|d| i.checked_add(d)) else { return false };
            i = sum;
            let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
            if digit < threshold {
                break;
            }
            let Some(heavier) = weight.checked_mul(BASE - threshold) else { return false };
            weight = heavier;
            k += BASE;
        }
        length += 1;
        let mut delta = if start == 0 { (i - start) / DAMP } else { (i - start) / 2 };
        delta += delta / length;
        bias = 0;
        while delta > (BASE - T_MIN) * T_MAX / 2 {
            delta /= BASE - T_MIN;
            bias += BASE;
        }
        bias += (BASE - T_MIN + 1) * delta / (delta + SKEW);
        let Some(next) = n.checked_add(i / length) else { return false };
        n = next;
        i = i % length + 1;
        if char::from_u32(n).is_none() {
            return false;
        }
        decoded += 1;
    }
    decoded > 0
}

/// Does one of these names cover the required host? A host may be a name, a wildcard or an IP address.
pub(super) fn covers(names: &[GeneralName], host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return names
            .iter()
            .any(|name| matches!(name, GeneralName::Ip(bytes) if names::address(bytes) == Some(address)));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    names.iter().any(|name| matches!(name, GeneralName::Dns(pattern) if matches(pattern, host)))
}

/// Does a certificate's DNS name match a host? A wildcard stands for exactly one label; a wildcard host is
/// only matched by the same wildcard.
pub(super) fn matches(pattern: &str, host: &str) -> bool {
    let usable = |fault: Option<Fault>| matches!(fault, None | Some(Fault::Underscore | Fault::Punycode));
    if !usable(fault(pattern)) || host.is_empty() {
        return false;
    }
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(rest), Some((label, parent))) => !label.is_empty() && label != "*" && rest.eq_ignore_ascii_case(parent),
        _ => false,
    }
}

/// `*.` over a name under which anybody can register (`*.co.uk`): the suffix, if the list of public suffixes
/// has it in its ICANN or private section.
pub(super) fn wildcard_over_public_suffix(pattern: &str) -> Option<PublicSuffix> {
    if fault(pattern).is_some() {
        return None;
    }
    let rest = pattern.strip_prefix("*.")?.to_ascii_lowercase();
    let suffix = psl::suffix(rest.as_bytes())?;
    if suffix.as_bytes().len() != rest.len() {
        return None;
    }
    match suffix.typ() {
        Some(psl::Type::Icann) => Some(PublicSuffix::Registry),
        Some(psl::Type::Private) => Some(PublicSuffix::Private),
        None => None,
    }
}

/// The two sections of the list of public suffixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PublicSuffix {
    /// A registry's: nobody owns all names below it.
    Registry,
    /// A company that lets others have names below its own: it does own them.
    Private,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_exactly_one_label() {
        for (pattern, host, expected) in [
            ("example.com", "EXAMPLE.com", true),
            ("*.example.com", "a.example.com", true),
            ("*.Example.com", "a.eXample.com", true),
            ("*.example.com", "*.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.b.example.com", false),
            ("*.b.example.com", "*.example.com", false),
            ("a*.example.com", "ab.example.com", false),
            ("a.*.example.com", "a.b.example.com", false),
            ("*.com", "example.com", false),
            ("*", "example", false),
            ("*.example.com", ".example.com", false),
            ("example.com", "", false),
        ] {
            assert_eq!(matches(pattern, host), expected, "{pattern} for {host}");
        }
    }

    #[test]
    fn names_are_told_apart_by_what_is_wrong_with_them() {
        let long_label = format!("{}.example.com", "a".repeat(64));
        let long_name = format!("{}example.com", "a.".repeat(122));
        for (name, expected) in [
            ("example.com", None),
            ("*.example.com", None),
            ("xn--bcher-kva.example", None),
            ("xn--n3h.com", None),
            ("xn--zckzah.example", None),
            ("localhost", None),
            ("10.0.0.1", Some(Fault::IpAddress)),
            ("::1", Some(Fault::IpAddress)),
            ("*", Some(Fault::Wildcard)),
            ("*.com", Some(Fault::Wildcard)),
            ("a*.example.com", Some(Fault::Wildcard)),
            ("a.*.example.com", Some(Fault::Wildcard)),
            ("*.*.example.com", Some(Fault::Wildcard)),
            ("a_b.example.com", Some(Fault::Underscore)),
            ("xn--.example.com", Some(Fault::Syntax)),
            ("xn--999999999.example.com", Some(Fault::Punycode)),
            ("", Some(Fault::Syntax)),
            ("example.com.", Some(Fault::Syntax)),
            (".example.com", Some(Fault::Syntax)),
            ("a..example.com", Some(Fault::Syntax)),
            ("-a.example.com", Some(Fault::Syntax)),
            ("a-.example.com", Some(Fault::Syntax)),
            ("bücher.example", Some(Fault::Syntax)),
            ("a b.example.com", Some(Fault::Syntax)),
            (&long_label, Some(Fault::Syntax)),
            (&long_name, Some(Fault::Syntax)),
        ] {
            assert_eq!(fault(name), expected, "{name}");
        }
    }

    #[test]
    fn wildcards_over_what_a_registry_gives_out_are_seen() {
        assert_eq!(wildcard_over_public_suffix("*.co.uk"), Some(PublicSuffix::Registry));
        assert_eq!(wildcard_over_public_suffix("*.s3.amazonaws.com"), Some(PublicSuffix::Private));
        assert_eq!(wildcard_over_public_suffix("*.example.co.uk"), None);
        assert_eq!(wildcard_over_public_suffix("*.kyma.example.com"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(name: String, host: String) {
            let _ = (fault(&name), matches(&name, &host), wildcard_over_public_suffix(&name));
        }

        #[test]
        fn labels_of_punycode_digits_are_judged_without_a_panic(tail in "[a-z0-9-]{0,59}") {
            let _ = fault(&format!("xn--{tail}.example.com"));
        }
    }
}
