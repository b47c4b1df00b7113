//! Checks of the names: the required hosts, and the subject alternative names themselves.

use super::{
    super::{
        Check, Class, Severity,
        hosts::{self, Fault, PublicSuffix},
        names::{self, GeneralName, printable},
    },
    Found, Subject,
};

const BR_NAMES: &str = "CA/Browser Forum Baseline Requirements, 7.1.4.2 and 7.1.2.7.12";
const REISSUE: &str = "have the certificate issued again without this name";

/// One finding for the names (eight at most are spelt out) that have this fault.
fn faulty(subject: &Subject<'_>, fault: Fault, what: &str) -> Vec<Found> {
    let Some(leaf) = subject.leaf() else { return Vec::new() };
    let has = |name: &&GeneralName| matches!(name, GeneralName::Dns(dns) if hosts::fault(dns) == Some(fault));
    let texts: Vec<String> = leaf.names().iter().filter(has).take(8).map(|name| format!("{:?}", name.text())).collect();
    if texts.is_empty() {
        return Vec::new();
    }
    vec![Found::on(leaf, format!("{what}: {}", texts.join(", ")), REISSUE)]
}

pub(super) static HOSTS: Check = Check {
    name: "hosts",
    severity: Severity::Error,
    class: Class::Hosts,
    meaning: "Every required host is covered by a subject alternative name; a required wildcard by the same wildcard.",
    source: "RFC 9525, 6; RFC 5280, 4.2.1.6",
};

pub(super) fn hosts(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf() else { return Vec::new() };
    // To the letter, no wildcard over what others own covers anything.
    let counts = |name: &&GeneralName| match name {
        GeneralName::Dns(dns) => !subject.context.strict || hosts::wildcard_over_public_suffix(dns).is_none(),
        _ => true,
    };
    let names: Vec<GeneralName> = leaf.names().iter().filter(counts).cloned().collect();
    let uncovered: Vec<&str> =
        subject.context.hosts.iter().filter(|host| !hosts::covers(&names, host)).map(String::as_str).collect();
    if uncovered.is_empty() {
        return Vec::new();
    }
    let shown = |list: Vec<String>| match list.len() {
        0 => "none".to_owned(),
        more @ 9.. => format!("{}, … ({more} in all)", list[..8].join(", ")),
        _ => list.join(", "),
    };
    let covered = leaf.names().iter().map(GeneralName::text).collect();
    let message = format!(
        "it does not cover {}; its names are: {}",
        shown(uncovered.iter().map(|host| printable(host, 253)).collect()),
        shown(covered),
    );
    vec![Found::on(
        leaf,
        message,
        "have it issued with these names as subject alternative names (a wildcard covers one label only)",
    )]
}

pub(super) static SAN_MISSING: Check = Check {
    name: "san-missing",
    severity: Severity::Error,
    class: Class::Hosts,
    meaning: "The leaf has subject alternative names: clients have not looked at the common name for years.",
    source: "RFC 9525, 2; CA/Browser Forum Baseline Requirements, 7.1.2.7.12",
};

pub(super) fn san_missing(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf().filter(|leaf| leaf.names().is_empty()) else { return Vec::new() };
    // One that cannot be read is told by malformed-extension.
    if leaf.extensions.malformed.iter().any(|name| name == "subjectAltName") {
        return Vec::new();
    }
    let message = match &leaf.subject_name.common_name {
        Some(cn) => format!("it has no subject alternative name; its common name {cn} counts for nothing"),
        None => "it has no subject alternative name".to_owned(),
    };
    vec![Found::on(leaf, message, "have it issued with its hosts as subject alternative names")]
}

pub(super) static SAN_IP_AS_DNS: Check = Check {
    name: "san-ip-as-dns",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "No IP address stands in a DNS name: there no client finds it.",
    source: BR_NAMES,
};

pub(super) fn san_ip_as_dns(subject: &Subject<'_>) -> Vec<Found> {
    faulty(subject, Fault::IpAddress, "IP addresses in names of the kind DNS, where iPAddress is expected")
}

pub(super) static SAN_WILDCARD: Check = Check {
    name: "san-wildcard",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "A wildcard is the whole leftmost label and stands over at least two more.",
    source: "RFC 9525, 6.3; CA/Browser Forum Baseline Requirements, 3.2.2.6",
};

pub(super) fn san_wildcard(subject: &Subject<'_>) -> Vec<Found> {
    faulty(subject, Fault::Wildcard, "wildcards must be the whole leftmost label over at least two others")
}

pub(super) static SAN_SYNTAX: Check = Check {
    name: "san-syntax",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "DNS names are well formed (letters, digits, hyphens, labels of 1 to 63 characters, no dot at the end), and so are the others.",
    source: "RFC 5280, 4.2.1.6; RFC 1034, 3.5; RFC 1123, 2.1",
};

pub(super) fn san_syntax(subject: &Subject<'_>) -> Vec<Found> {
    let mut found = faulty(subject, Fault::Syntax, "these DNS names are malformed");
    let Some(leaf) = subject.leaf() else { return found };
    let odd = |name: &&GeneralName| match name {
        GeneralName::Ip(bytes) => names::address(bytes).is_none(),
        GeneralName::Email(mailbox) => !is_mailbox(mailbox),
        GeneralName::Malformed(_) => true,
        _ => false,
    };
    let texts: Vec<String> = leaf.names().iter().filter(odd).take(8).map(GeneralName::text).collect();
    if !texts.is_empty() {
        found.push(Found::on(leaf, format!("these names are malformed: {}", texts.join(", ")), REISSUE));
    }
    found
}

/// RFC 5280: `local@host`, without phrases, comments or angle brackets.
fn is_mailbox(mailbox: &str) -> bool {
    let legal = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '(' | ')' | ',' | ';');
    mailbox.rsplit_once('@').is_some_and(|(local, host)| {
        !local.is_empty()
            && local.chars().all(legal)
            && matches!(hosts::fault(host), None | Some(Fault::IpAddress))
            && !host.contains('*')
    })
}

pub(super) static SAN_PUNYCODE: Check = Check {
    name: "san-punycode",
    severity: Severity::Error,
    class: Class::Rest,
    meaning: "What follows xn-- in a DNS name is valid punycode.",
    source: "RFC 5890, 2.3.2.1; RFC 3492",
};

pub(super) fn san_punycode(subject: &Subject<'_>) -> Vec<Found> {
    faulty(subject, Fault::Punycode, "what follows xn-- is not punycode in")
}

pub(super) static SAN_UNDERSCORE: Check = Check {
    name: "san-underscore",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "No DNS name has an underscore: clients mostly accept it, public CAs may not issue it.",
    source: "CA/Browser Forum ballot SC-12; RFC 1123, 2.1",
};

pub(super) fn san_underscore(subject: &Subject<'_>) -> Vec<Found> {
    faulty(subject, Fault::Underscore, "underscores do not belong into host names")
}

pub(super) static WILDCARD_PUBLIC_SUFFIX: Check = Check {
    name: "wildcard-public-suffix",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "No wildcard stands over a registry's suffix (*.co.uk): nobody owns all names below it.",
    source: "CA/Browser Forum Baseline Requirements, 3.2.2.6 (ICANN section of the Public Suffix List)",
};

pub(super) fn wildcard_public_suffix(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf() else { return Vec::new() };
    let over = |name: &&String| hosts::wildcard_over_public_suffix(name) == Some(PublicSuffix::Registry);
    let each = |name: &String| Found::on(leaf, format!("{name} stands over a public suffix"), REISSUE);
    leaf.dns_names.iter().filter(over).take(8).map(each).collect()
}

pub(super) static COMMON_NAME: Check = Check {
    name: "common-name",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "A common name repeats one of the subject alternative names, or the domain in which one lies, character for character.",
    source: "CA/Browser Forum Baseline Requirements, 7.1.4.3",
};

pub(super) fn common_name(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf() else { return Vec::new() };
    let Some(cn) = &leaf.subject_name.raw_common_name else { return Vec::new() };
    let below = |dns: &str| dns.strip_suffix(cn.as_str()).is_some_and(|front| front.is_empty() || front.ends_with('.'));
    // A common name is held against the names of its own kind; where there are none it misleads nobody.
    let address = is_address(cn);
    let (mut same_kind, mut repeated) = (address, false);
    for name in leaf.names() {
        match name {
            GeneralName::Dns(dns) if !address => {
                same_kind = true;
                repeated |= below(dns);
            }
            GeneralName::Ip(_) if address => repeated |= name.text() == *cn,
            _ => {}
        }
    }
    if !same_kind || repeated || leaf.names().is_empty() {
        return Vec::new();
    }
    vec![Found::on(
        leaf,
        format!("its common name {} is none of its subject alternative names; clients ignore it", printable(cn, 80)),
        "nothing for a private CA; public CAs must repeat one of the names there",
    )]
}

pub(super) static SAN_CRITICAL: Check = Check {
    name: "san-critical",
    severity: Severity::Info,
    class: Class::Rest,
    meaning: "The subject alternative names are critical exactly if the subject is empty.",
    source: "RFC 5280, 4.2.1.6; CA/Browser Forum Baseline Requirements, 7.1.2.7.12",
};

pub(super) fn san_critical(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf() else { return Vec::new() };
    let Some(names) = &leaf.extensions.names else { return Vec::new() };
    let message = match (leaf.subject_name.is_empty(), names.critical) {
        (true, false) => "its subject is empty, but its subject alternative names are not critical",
        (false, true) => "its subject alternative names are critical although it has a subject",
        _ => return Vec::new(),
    };
    vec![Found::on(leaf, message, "nothing: clients do not mind; the issuer's profile is odd")]
}

/// An IP address in some spelling: what ends in a number is one, says the URL standard (4.1, "ends in a number").
fn is_address(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    let number = last.strip_prefix("0x").map_or_else(
        || !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()),
        |digits| digits.bytes().all(|b| b.is_ascii_hexdigit()),
    );
    number || text.parse::<std::net::IpAddr>().is_ok()
}

/// More names than that make the handshake slow and the certificate hard to renew.
const MANY: usize = 100;

pub(super) static MANY_NAMES: Check = Check {
    name: "many-names",
    severity: Severity::Warning,
    class: Class::Rest,
    meaning: "There are at most 100 subject alternative names.",
    source: "Let's Encrypt issues at most 100; each handshake carries them all",
};

pub(super) fn many_names(subject: &Subject<'_>) -> Vec<Found> {
    let Some(leaf) = subject.leaf().filter(|leaf| leaf.names().len() > MANY) else { return Vec::new() };
    let message = format!("it has {} subject alternative names; {MANY} are a sane most", leaf.names().len());
    vec![Found::on(leaf, message, "use wildcards, or split it")]
}
