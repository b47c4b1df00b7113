//! Names in certificates: distinguished names, general names, and how they print.

use std::fmt::Write as _;

use x509_parser::{extensions as x509, x509::X509Name};

/// A name as X.500 has it, with a form in which two of them compare (RFC 5280, 7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DistinguishedName {
    /// What people read: `C=DE, O=…, CN=…`, without control characters, bounded.
    pub(super) text: String,
    /// The first common name, readable.
    pub(super) common_name: Option<String>,
    /// One entry a relative name, its attributes sorted: (type, value folded for comparison).
    rdns: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
    /// The first common name exactly as it stands, for comparing with the alternative names.
    pub(super) raw_common_name: Option<String>,
}

impl DistinguishedName {
    pub(super) fn read(name: &X509Name<'_>) -> Self {
        let raw_common_name = name.iter_common_name().next().and_then(|cn| cn.as_str().ok()).map(str::to_owned);
        let rdns = name
            .iter_rdn()
            .map(|rdn| {
                let mut attributes: Vec<_> =
                    rdn.iter().map(|a| (a.attr_type().as_bytes().to_vec(), folded(a.as_slice()))).collect();
                attributes.sort();
                attributes
            })
            .collect();
        Self {
            text: printable(&name.to_string(), 200),
            common_name: raw_common_name.as_deref().map(|cn| printable(cn, 80)),
            rdns,
            raw_common_name,
        }
    }

    /// The empty sequence.
    pub(super) fn is_empty(&self) -> bool {
        self.rdns.is_empty()
    }

    /// The same name but for case, blanks and string types.
    pub(super) fn matches(&self, other: &Self) -> bool {
        self.rdns == other.rdns
    }

    /// `self` lies in the subtree that `base` roots: base's relative names come first in it.
    pub(super) fn is_within(&self, base: &Self) -> bool {
        self.rdns.starts_with(&base.rdns)
    }
}

/// Case folded, blanks at the ends cut and inner ones joined: enough of RFC 4518 for names that CAs issue.
fn folded(value: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(value) {
        Ok(text) => text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase().into_bytes(),
        Err(_) => value.to_vec(),
    }
}

/// One of the names that a certificate is for, or that a constraint speaks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GeneralName {
    Dns(String),
    Email(String),
    Uri(String),
    /// 4 or 16 bytes in a name, 8 or 32 (address and mask) in a constraint; anything in bad input.
    Ip(Vec<u8>),
    Directory(DistinguishedName),
    /// otherName: its type, then its value.
    Other(Vec<u8>, Vec<u8>),
    /// A kind that nobody uses here: its tag and its bytes.
    Unknown(u32, Vec<u8>),
    /// A name whose bytes break the rules of its kind: its tag.
    Malformed(u32),
}

impl GeneralName {
    pub(super) fn read(name: &x509::GeneralName<'_>) -> Self {
        match name {
            x509::GeneralName::DNSName(s) => Self::Dns((*s).to_owned()),
            x509::GeneralName::RFC822Name(s) => Self::Email((*s).to_owned()),
            x509::GeneralName::URI(s) => Self::Uri((*s).to_owned()),
            x509::GeneralName::IPAddress(bytes) => Self::Ip(bytes.to_vec()),
            x509::GeneralName::DirectoryName(name) => Self::Directory(DistinguishedName::read(name)),
            x509::GeneralName::OtherName(oid, value) => Self::Other(oid.as_bytes().to_vec(), value.to_vec()),
            x509::GeneralName::X400Address(any) => Self::Unknown(3, any.data.to_vec()),
            x509::GeneralName::EDIPartyName(any) => Self::Unknown(5, any.data.to_vec()),
            x509::GeneralName::RegisteredID(oid) => Self::Unknown(8, oid.as_bytes().to_vec()),
            x509::GeneralName::Invalid(tag, _) => Self::Malformed(tag.0),
        }
    }

    /// How it prints: DNS names bare, the rest with their kind.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Dns(name) => printable(name, 253),
            Self::Email(name) => format!("email:{}", printable(name, 253)),
            Self::Uri(name) => format!("URI:{}", printable(name, 253)),
            Self::Ip(bytes) => ip_text(bytes),
            Self::Directory(name) => format!("DN:{}", name.text),
            Self::Other(oid, _) => format!("otherName:{}", hex(oid)),
            Self::Unknown(tag, _) => format!("name of kind {tag}"),
            Self::Malformed(tag) => format!("malformed name of kind {tag}"),
        }
    }
}

/// The address that these bytes are, `None` if there are not 4 or 16 of them.
pub(super) fn address(bytes: &[u8]) -> Option<std::net::IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(std::net::IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from))
        .ok()
}

fn ip_text(bytes: &[u8]) -> String {
    let half = bytes.split_at_checked(bytes.len() / 2);
    match (address(bytes), half) {
        (Some(address), _) => address.to_string(),
        (None, Some((network, mask))) if bytes.len() == 8 || bytes.len() == 32 => {
            let text = |b: &[u8]| address(b).map(|a| a.to_string()).unwrap_or_default();
            format!("{}/{}", text(network), text(mask))
        }
        _ => format!("IP address of {} bytes", bytes.len()),
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// Text from a certificate, fit for a terminal and a status: no control characters, no marks that turn the
/// direction of writing, at most `most` characters.
pub(super) fn printable(text: &str, most: usize) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut out: String = text.chars().take(most).map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        out.push('…');
    }
    out
}
