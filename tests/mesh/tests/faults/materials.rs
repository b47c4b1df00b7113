//! What people put into a gateway's Secret, good and bad.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use certkeeper_mesh::objects::DOMAIN;
use certkeeper_simulator::ca::{Algorithm, Ca, Issued, Validity};
use chrono::Utc;

/// What `tls.crt` and `tls.key` shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Material {
    Good,
    Expired,
    MismatchedKey,
    GarbageKey,
    GarbageCertificate,
    EmptyKey,
    EncryptedKey,
    Rsa1024,
    Rsa4096,
    P256,
    P384,
    P521,
    Ed25519,
    /// With its key as PKCS#8 version 2, which holds the public key too (RFC 5958), as some tools write it.
    Ed25519WithPublicKey,
}

/// A pair as it is written, and the fingerprint of its leaf.
#[derive(Clone)]
pub struct Made {
    pub certificate: String,
    pub key: String,
    pub leaf: String,
}

impl From<Issued> for Made {
    fn from(issued: Issued) -> Self {
        let (key, leaf) = (issued.key().to_owned(), issued.fingerprint().to_owned());
        Self { certificate: issued.certificate(), key, leaf }
    }
}

/// Runs openssl, which the tests of this repository need anyway: it makes what our own CA cannot.
fn openssl(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("openssl is installed");
    // What makes a key reads nothing, and may have ended.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "openssl {}: {}", arguments[0], output.status);
    String::from_utf8(output.stdout).expect("PEM")
}

/// A self-signed pair with a key of this kind.
fn self_signed(kind: &[&str]) -> Made {
    let names = format!("subjectAltName=DNS:*.{DOMAIN}");
    let mut arguments = vec!["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=test", "-addext", &names];
    arguments.extend(["-keyout", "-", "-out", "-"]);
    arguments.extend(kind);
    let both = openssl(&arguments, "");
    let (key, certificate) = both.split_at(both.find("-----BEGIN CERTIFICATE-----").expect("a certificate"));
    let told = openssl(&["x509", "-noout", "-fingerprint", "-sha256"], certificate);
    let leaf = told.rsplit('=').next().expect("a fingerprint").trim().replace(':', "").to_lowercase();
    Made { certificate: certificate.to_owned(), key: key.to_owned(), leaf }
}

impl Material {
    /// A fresh one, for `*.DOMAIN`.
    pub fn make(self, ca: &Ca) -> Made {
        let leaf = |algorithm| ca.leaf(&[&format!("*.{DOMAIN}")]).algorithm(algorithm);
        let good = || leaf(Algorithm::Rsa2048).issue().expect("a leaf");
        match self {
            Self::Good => good().into(),
            Self::Expired => {
                leaf(Algorithm::Rsa2048).valid(Validity::ended(Utc::now())).issue().expect("a leaf").into()
            }
            Self::MismatchedKey => good().with_key_of(&good()).into(),
            Self::GarbageKey => Made { key: "garbage".to_owned(), ..good().into() },
            Self::GarbageCertificate => Made { certificate: "garbage".to_owned(), ..good().into() },
            Self::EmptyKey => Made { key: String::new(), ..good().into() },
            Self::EncryptedKey => {
                let plain = good();
                let command = ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:test"];
                let key = openssl(&command, plain.key());
                assert!(key.contains("ENCRYPTED PRIVATE KEY"));
                Made { key, ..plain.into() }
            }
            Self::Rsa1024 => self_signed(&["-newkey", "rsa:1024"]),
            Self::Rsa4096 => self_signed(&["-newkey", "rsa:4096"]),
            Self::P521 => self_signed(&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"]),
            Self::Ed25519 => self_signed(&["-newkey", "ed25519"]),
            Self::P256 => leaf(Algorithm::P256).issue().expect("a leaf").into(),
            Self::P384 => leaf(Algorithm::P384).issue().expect("a leaf").into(),
            Self::Ed25519WithPublicKey => leaf(Algorithm::Ed25519).issue().expect("a leaf").into(),
        }
    }
}
