//! Kyma's values: `global.tlsCrt`, `global.tlsKey`, `global.domainName`.
//!
//! Any value may be the key, pasted into the wrong place: no message ever quotes one.

use serde::{Deserialize, de};
use serde_saphyr::Error;
use zeroize::Zeroizing;

use super::args;
use crate::certificate::{Check, Class, Finding, Severity};

/// The checks of this file.
pub(super) static CHECKS: [&Check; 1] = [&VALUES_DOMAIN];

static VALUES_DOMAIN: Check = Check {
    name: "values-domain",
    severity: Severity::Warning,
    class: Class::Hosts,
    meaning: "Kyma's values name global.domainName: the certificate must cover *.<domainName>, and without it \
              nobody can tell which hosts are meant.",
    source: "Kyma's installation values",
};

/// Where the certificate is.
pub(super) const CERTIFICATE: &str = "global.tlsCrt";
/// Where the key is.
pub(super) const KEY: &str = "global.tlsKey";
/// Where the domain is.
const DOMAIN: &str = "global.domainName";

/// What the values say.
pub(super) struct Values {
    certificate: Field,
    key: Field,
    /// The domain below which the gateway's hosts are.
    pub(super) domain: Option<String>,
    file: String,
}

impl Values {
    /// The certificate; `None` where it is missing, which is a finding.
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        self.certificate.bytes()
    }

    /// The key; `None` where it is missing, which is a finding.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.key.bytes()
    }

    /// What the values leave open, where no hosts are given apart.
    pub(super) fn around(&self, hosts_given: bool) -> Vec<Finding> {
        if hosts_given || self.domain.is_some() {
            return Vec::new();
        }
        vec![Finding {
            check: &VALUES_DOMAIN,
            severity: VALUES_DOMAIN.severity,
            message: "without it nobody can tell which hosts must be covered: that was not checked".to_owned(),
            location: self.place(DOMAIN, false),
            remedy: format!("add {DOMAIN}, or name the hosts with --host"),
        }]
    }

    /// A field for people: where it is, or that it is missing there.
    pub(super) fn place(&self, field: &str, there: bool) -> String {
        if there { format!("{field} in {}", self.file) } else { format!("{field} is missing in {}", self.file) }
    }
}

#[derive(Deserialize)]
struct Document {
    global: Option<Global>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Global {
    #[serde(default)]
    tls_crt: Field,
    #[serde(default)]
    tls_key: Field,
    #[serde(default)]
    domain_name: Field,
}

/// A value as it was found; wiped when it goes.
#[derive(Default)]
enum Field {
    #[default]
    Missing,
    Text(Zeroizing<Vec<u8>>),
    /// What it is instead of text.
    Other(&'static str),
}

impl Field {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(bytes) if !bytes.trim_ascii().is_empty() => Some(bytes),
            _ => None,
        }
    }

    fn must_be_text(&self, name: &str, file: &str) -> Result<(), String> {
        match self {
            Self::Other(what) => Err(format!("{name} in {file} is {what}, text was expected: quote it")),
            _ => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> de::Visitor<'de> for FieldVisitor {
    type Value = Field;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Text(Zeroizing::new(text.as_bytes().to_vec())))
    }

    fn visit_string<E>(self, text: String) -> Result<Field, E> {
        Ok(Field::Text(Zeroizing::new(text.into_bytes())))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Field, E> {
        Ok(Field::Text(Zeroizing::new(bytes.to_vec())))
    }

    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::Missing)
    }

    fn visit_none<E>(self) -> Result<Field, E> {
        Ok(Field::Missing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field, E> {
        Ok(Field::Other("true or false"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Field, E> {
        Ok(Field::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Field, E> {
        Ok(Field::Other("a number"))
    }

    fn visit_i128<E>(self, _: i128) -> Result<Field, E> {
        Ok(Field::Other("a number"))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Field, E> {
        Ok(Field::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Field, E> {
        Ok(Field::Other("a number"))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Field, A::Error> {
        while items.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(Field::Other("a list"))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Field, A::Error> {
        while entries.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
        Ok(Field::Other("a mapping"))
    }
}

/// Reads the values; `file` is their name in messages.
///
/// # Errors
/// When they are no YAML (with line and column), a field is no text, both halves are missing, or the domain is none.
/// That only one half is missing is the checks' to say.
pub(super) fn read(yaml: &[u8], file: &str) -> Result<Values, String> {
    let document: Option<Document> = serde_saphyr::from_slice(yaml).map_err(|error| explain(&error, file))?;
    let global = document.and_then(|document| document.global);
    let Some(Global { tls_crt, tls_key, domain_name }) = global else {
        return Err(format!("global is missing in {file}: {CERTIFICATE}, {KEY} and {DOMAIN} were expected"));
    };
    for (field, name) in [(&tls_crt, CERTIFICATE), (&tls_key, KEY), (&domain_name, DOMAIN)] {
        field.must_be_text(name, file)?;
    }
    if tls_crt.bytes().is_none() && tls_key.bytes().is_none() {
        return Err(format!("{CERTIFICATE} and {KEY} are missing in {file}: there is nothing to check"));
    }
    Ok(Values { domain: domain(&domain_name, file)?, certificate: tls_crt, key: tls_key, file: file.to_owned() })
}

fn domain(field: &Field, file: &str) -> Result<Option<String>, String> {
    let Some(bytes) = field.bytes() else { return Ok(None) };
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    match args::host(text) {
        Ok(domain) if !domain.starts_with('*') && domain.parse::<std::net::IpAddr>().is_err() => Ok(Some(domain)),
        Ok(_) => Err(format!("{DOMAIN} in {file} is no domain: give it without *., as in example.com")),
        Err(wrong) => Err(format!("{DOMAIN} in {file} is no domain: {wrong}")),
    }
}

/// Where reading stopped and roughly why; the parser's own words may quote the line.
fn explain(error: &Error, file: &str) -> String {
    let place = match error.location() {
        Some(at) if at.line() > 0 => format!("line {}, column {}", at.line(), at.column()),
        _ => "an unknown line".to_owned(),
    };
    let why = match error.without_snippet() {
        Error::MultipleDocuments { .. } => "there is more than one YAML document, one was expected",
        Error::DuplicateMappingKey { .. } => "a key is there twice",
        Error::InvalidUtf8Input => "it is no UTF-8",
        Error::Unexpected { .. } | Error::SerdeInvalidType { .. } => {
            "a mapping was expected, with global as a mapping in it"
        }
        _ => "it is no YAML",
    };
    format!("{file} cannot be read at {place}: {why} (what stands there is not repeated, it may be a key)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(yaml: &str) -> String {
        read(yaml.as_bytes(), "values.yaml").err().expect("it is refused")
    }

    #[test]
    fn text_is_taken_plain_quoted_wrapped_and_as_a_block() {
        for value in ["abcd", "\"abcd\"", "'abcd'", "|-\n    abcd", "!!binary YWJjZA=="] {
            let yaml = format!("other: [1]\nglobal:\n  tlsCrt: {value}\n  domainName: Example.com\n  more: {{}}\n");
            let values = read(yaml.as_bytes(), "values.yaml").unwrap_or_else(|wrong| panic!("{value}: {wrong}"));
            assert_eq!(values.certificate(), Some(b"abcd".as_slice()), "{value}");
            assert_eq!(values.key(), None);
            assert_eq!(values.domain.as_deref(), Some("example.com"));
        }
    }

    #[test]
    fn nothing_that_stands_in_the_file_is_repeated_in_a_complaint() {
        let secret = "LS0tLS1CRUdJTiBQUklWQVRF";
        for yaml in [
            secret.to_owned(),
            format!("- {secret}"),
            format!("global: {secret}"),
            format!("global:\n  tlsKey: \"{secret}\n"),
            format!("global:\n  tlsKey: [{secret}\n"),
            format!("global:\n  tlsKey: [{secret}]\n"),
            format!("global:\n  tlsKey:\n    {secret}: 1\n"),
            format!("global:\n  tlsKey: 1\n   {secret}: 1\n"),
            format!("global:\n  {secret}: 1\n  {secret}: 2\n"),
            format!("global:\n  tlsKey: a\n  domainName: {secret}/\n"),
            format!("global:\n  tlsKey: !{secret} a\n---\nglobal: {secret}\n"),
            format!("global:\n  tlsKey: *{secret}\n"),
            format!("global:\n  {secret}: a\n"),
        ] {
            let complaint = complaint(&yaml);
            assert!(!complaint.contains("LS0t"), "{complaint}");
            assert!(complaint.contains("values.yaml"), "{complaint}");
        }
    }

    #[test]
    fn malformed_yaml_is_told_with_line_and_column() {
        let complaint = complaint("global:\n  tlsCrt: a\n  tlsKey: [b\n  domainName: c\n");
        assert!(complaint.starts_with("values.yaml cannot be read at line 4, column"), "{complaint}");
    }

    #[test]
    fn a_field_that_is_no_text_is_named() {
        for (value, what) in [("[a]", "a list"), ("{a: 1}", "a mapping"), ("12", "a number"), ("true", "true or false")]
        {
            let complaint = complaint(&format!("global:\n  tlsCrt: {value}\n  tlsKey: a\n"));
            assert!(complaint.contains(&format!("global.tlsCrt in values.yaml is {what}")), "{complaint}");
        }
    }

    #[test]
    fn values_without_either_half_are_nothing_to_check() {
        assert!(complaint("").contains("global is missing in values.yaml"));
        assert!(complaint("global:\n").contains("global is missing"));
        assert!(
            complaint("global:\n  tlsCrt: ''\n  domainName: a.b\n").contains("tlsCrt and global.tlsKey are missing")
        );
    }
}
