//! Certificates and keys: what the real one puts into a Secret, and what it reads of it.

use aws_lc_rs::digest::{SHA224, SHA256};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::core::v1::Secret;
use rcgen::PublicKeyData;
use serde_json::Value;
use x509_parser::{
    pem::Pem,
    prelude::{FromDer, X509Certificate},
};

use crate::ca::{Algorithm, Ca, Validity};

/// What a request to an issuer asks for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) names: Value,
    pub(super) common_name: Value,
    pub(super) key: KeyKind,
    pub(super) pkcs8: bool,
    pub(super) issuer: String,
    pub(super) duration: TimeDelta,
}

/// What an issuer answered.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) wanted: Wanted,
    /// The leaf and the CA's own certificate, PEM: it is appended even where it is the root.
    pub(super) chain: String,
    pub(super) key: String,
    pub(super) ca: String,
}

/// The kinds of keys that may be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum KeyKind {
    #[default]
    Rsa2048,
    Rsa3072,
    Rsa4096,
    P256,
    P384,
}

impl KeyKind {
    /// What `spec.privateKey` asks for.
    pub(super) fn of(spec: &Value) -> Result<Self, String> {
        let algorithm = spec["algorithm"].as_str().unwrap_or("RSA");
        match (algorithm, spec["size"].as_i64()) {
            ("RSA", None | Some(2048)) => Ok(Self::Rsa2048),
            ("RSA", Some(3072)) => Ok(Self::Rsa3072),
            ("RSA", Some(4096)) => Ok(Self::Rsa4096),
            ("ECDSA", None | Some(256)) => Ok(Self::P256),
            ("ECDSA", Some(384)) => Ok(Self::P384),
            ("RSA", Some(size)) => {
                Err(format!("invalid key size for RSA: {size} (allowed values are 2048, 3072, and 4096)"))
            }
            ("ECDSA", Some(size)) => {
                Err(format!("invalid key size for ECDSA: {size} (allowed values are 256 and 384)"))
            }
            (other, _) => Err(format!("invalid private key algorithm {other} (allowed values are 'RSA' and 'ECDSA')")),
        }
    }

    /// As it goes into the digest of a spec; the default does not.
    fn word(self) -> &'static str {
        match self {
            Self::Rsa2048 => "",
            Self::Rsa3072 => "3072",
            Self::Rsa4096 => "4096",
            Self::P256 => "P256",
            Self::P384 => "P384",
        }
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Self::Rsa2048 => Algorithm::Rsa2048,
            Self::Rsa3072 => Algorithm::Rsa3072,
            Self::Rsa4096 => Algorithm::Rsa4096,
            Self::P256 => Algorithm::P256,
            Self::P384 => Algorithm::P384,
        }
    }
}

/// The digest that a Certificate and its Secret are labelled with: names, issuer and key. Not the duration.
pub(super) fn spec_digest(common_name: &Value, names: &Value, issuer: &str, key: KeyKind) -> String {
    let names = names.as_array().into_iter().flatten().chain([common_name]).filter_map(Value::as_str);
    // The common name comes first.
    let (mut parts, count) = (names.collect::<Vec<_>>(), usize::from(common_name.is_string()));
    parts.rotate_right(count);
    parts.push(issuer);
    let mut bytes = Vec::new();
    for part in parts.into_iter().chain(Some(key.word()).filter(|word| !word.is_empty())) {
        bytes.extend(part.as_bytes());
        bytes.push(0);
    }
    hex(aws_lc_rs::digest::digest(&SHA224, &bytes).as_ref())
}

/// A digest of a Secret's data.
pub(super) fn digest(secret: &Secret) -> String {
    let mut bytes = Vec::new();
    for (key, value) in secret.data.iter().flatten() {
        bytes.extend(key.as_bytes());
        bytes.extend(value.0.len().to_le_bytes());
        bytes.extend(&value.0);
    }
    hex(aws_lc_rs::digest::digest(&SHA256, &bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok()
}

/// What is read of the leaf in a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// Hexadecimal, a colon after each two digits.
    pub(super) serial: String,
    pub(super) not_before: DateTime<Utc>,
    pub(super) not_after: DateTime<Utc>,
}

impl Leaf {
    /// The first certificate in `tls.crt`; `None` where there is none.
    pub(super) fn of(secret: &Secret) -> Option<Self> {
        Self::read(&text(secret, "tls.crt")?)
    }

    pub(super) fn read(pem: &str) -> Option<Self> {
        let pem = Pem::iter_from_buffer(pem.as_bytes()).next()?.ok()?;
        let certificate = pem.parse_x509().ok()?;
        let validity = certificate.validity();
        let digits = format!("{:x}", certificate.tbs_certificate.serial);
        let pairs = digits.as_bytes().chunks(2).map(String::from_utf8_lossy).collect::<Vec<_>>();
        Some(Self {
            serial: pairs.join(":"),
            not_before: DateTime::from_timestamp(validity.not_before.timestamp(), 0)?,
            not_after: DateTime::from_timestamp(validity.not_after.timestamp(), 0)?,
        })
    }
}

/// A CA that can sign.
pub(super) struct Authority {
    ca: Ca,
    pem: String,
    not_after: DateTime<Utc>,
}

impl Authority {
    /// The CA in a Secret, if it is one.
    pub(super) fn of(secret: &Secret, now: DateTime<Utc>) -> Result<Self, String> {
        if secret.type_.as_deref() != Some("kubernetes.io/tls") {
            return Err("secret is not of type kubernetes.io/tls".to_owned());
        }
        let extracting = |what: String| format!("extracting CA Keypair from secret failed: {what}");
        let missing = |key: &str| extracting(format!("`{key}` data not found in secret"));
        let pem = text(secret, "tls.crt").ok_or_else(|| missing("tls.crt"))?;
        let key = text(secret, "tls.key").ok_or_else(|| missing("tls.key"))?;
        let undecodable = || extracting("decoding pem for tls.crt from request secret failed".to_owned());
        let block = Pem::iter_from_buffer(pem.as_bytes()).next().and_then(Result::ok).ok_or_else(undecodable)?;
        let (_, certificate) = X509Certificate::from_der(&block.contents)
            .map_err(|error| extracting(format!("parsing certificate failed: {error}")))?;
        let pair = rcgen::KeyPair::from_pem(&key)
            .map_err(|_| extracting("decoding pem block for private key failed".to_owned()))?;
        if certificate.public_key().raw != pair.subject_public_key_info() {
            return Err("private key does not match certificate".to_owned());
        }
        if !certificate.is_ca() {
            return Err("certificate is not a CA".to_owned());
        }
        let not_after = DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0).unwrap_or_default();
        if not_after < now {
            return Err("certificate is expired".to_owned());
        }
        let ca = Ca::from_pem(&pem, &key, now).map_err(|error| extracting(error.to_string()))?;
        Ok(Self { ca, pem, not_after })
    }

    /// Refuses what would outlive the CA.
    pub(super) fn allows(&self, until: DateTime<Utc>) -> Result<(), String> {
        if until <= self.not_after {
            return Ok(());
        }
        let (until, end) = (go_time(until), go_time(self.not_after));
        Err(format!("certificate lifetime ({until}) is longer than the lifetime of the CA certificate ({end})"))
    }

    /// Signs, for a new key.
    pub(super) fn issue(&self, wanted: &Wanted, now: DateTime<Utc>) -> Result<Answer, String> {
        let mut names: Vec<&str> = wanted.names.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let common_name = wanted.common_name.as_str();
        names.extend(common_name.filter(|name| !names.contains(name)));
        let leaf = self.ca.leaf(&names).algorithm(wanted.key.algorithm());
        let leaf = leaf.valid(Validity { from: now, until: now + wanted.duration });
        let issued = leaf.common_name(common_name.unwrap_or_default()).issue().map_err(|error| error.to_string())?;
        let key = match wanted.pkcs8 {
            true => issued.key().to_owned(),
            false => traditional(issued.key()).ok_or("encoding private key failed")?,
        };
        let chain = format!("{}{}", issued.leaf(), self.pem);
        Ok(Answer { wanted: wanted.clone(), chain, key, ca: self.pem.clone() })
    }
}

/// A time as Go prints it.
pub(super) fn go_time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

/// A PKCS#8 key in the older form of its kind: PKCS#1 or SEC1.
fn traditional(pem: &str) -> Option<String> {
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(base64.trim()).ok()?;
    let (_, info, _) = element(&der)?;
    let (_, _, rest) = element(info)?;
    let (_, algorithm, rest) = element(rest)?;
    let (_, key, _) = element(rest)?;
    let (_, _, parameters) = element(algorithm)?;
    // A curve is named by an OID; RSA has NULL there.
    if parameters.first() != Some(&0x06) {
        return Some(armour("RSA PRIVATE KEY", key));
    }
    let (_, fields, _) = element(key)?;
    let (_, _, behind_version) = element(fields)?;
    let (_, _, behind_secret) = element(behind_version)?;
    let before = &fields[..fields.len() - behind_secret.len()];
    // In PKCS#8 the curve stands outside; without it the older form cannot be read.
    let public = if behind_secret.first() == Some(&0xa0) { element(behind_secret)?.2 } else { behind_secret };
    let body = [before, &wrapped(0xa0, parameters), public].concat();
    Some(armour("EC PRIVATE KEY", &wrapped(0x30, &body)))
}

/// The first DER element: tag, content, what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, length, rest) = (*der.first()?, *der.get(1)?, der.get(2..)?);
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        _ => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// A DER element.
fn wrapped(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[content.len().leading_zeros() as usize / 8..];
    let mut der = vec![tag];
    if content.len() < 0x80 {
        der.push(length[length.len() - 1]);
    } else {
        der.push(0x80 | u8::try_from(significant.len()).unwrap_or_default());
        der.extend(significant);
    }
    der.extend(content);
    der
}

fn armour(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_digest_of_a_spec_is_the_real_ones() {
        // Read off a Certificate that the real controller had labelled.
        let names = json!(["*.a.example.com", "a.example.com"]);
        let digest = spec_digest(&Value::Null, &names, "garden", KeyKind::Rsa2048);
        assert_eq!(digest, "5639ce6d0f49ef7b4adca6f46bd76c584919187580b13fb6ec83e8e7");
        assert_ne!(digest, spec_digest(&Value::Null, &names, "garden", KeyKind::Rsa3072));
        assert_ne!(
            spec_digest(&json!("a"), &names, "g", KeyKind::P256),
            spec_digest(&json!("b"), &names, "g", KeyKind::P256)
        );
    }

    #[test]
    fn keys_in_the_older_forms_can_be_read_and_belong_to_the_leaf() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let ca = Ca::root("Root", now).unwrap();
        for (kind, label) in [(KeyKind::Rsa2048, "RSA"), (KeyKind::P256, "EC"), (KeyKind::P384, "EC")] {
            let issued = ca.leaf(&["a.example.com"]).algorithm(kind.algorithm()).issue().unwrap();
            let older = traditional(issued.key()).unwrap();
            assert!(older.starts_with(&format!("-----BEGIN {label} PRIVATE KEY-----\n")), "{kind:?}");
            let (_, leaf) = X509Certificate::from_der(issued.der()).unwrap();
            let pair = rcgen::KeyPair::from_pem(&older).unwrap();
            assert_eq!(leaf.public_key().raw, pair.subject_public_key_info(), "{kind:?}");
        }
    }
}
