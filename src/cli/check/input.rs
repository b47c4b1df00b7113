//! Where material comes from: files, standard input, Kyma's values, a Secret. Whatever is read is wiped after use, and
//! no error repeats a value, which may be the key.

use std::{fs::File, io::Read, path::Path};

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{KYMA_SUITES, Subject, known};
use crate::{
    certificate::{Supplied, checks, read},
    cli::ClusterArgs,
    cluster::{
        client::connect,
        error::{CallError, bounded},
        gather::read_as_istio,
        secrets::Seen,
    },
    lifecycle::ObjectName,
};

/// More than this is not read from a file: the checks themselves refuse 64 KiB, a values file may hold more than that.
const LIMIT: u64 = 1024 * 1024;

/// Reads a file or, for `-`, standard input.
pub(super) fn file(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LIMIT + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes))
    };
    read.map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    if bytes.len() as u64 > LIMIT {
        return Err(format!("{} is larger than 1 MiB: that is no certificate", path.display()));
    }
    Ok(bytes)
}

/// A chain and perhaps its key.
pub(super) fn files(certificate: &Path, key: Option<&Path>) -> Result<Subject, String> {
    let chain = file(certificate)?;
    let secret = key.map(file).transpose()?;
    let supplied =
        Supplied { certificate: Some(&chain), key: secret.as_ref().map(|bytes| bytes.as_slice()), staple: None };
    let name =
        |path: &Path| if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let with = key.map(|key| format!(" with key {}", name(key))).unwrap_or_default();
    Ok(Subject {
        origin: format!("{}{with}", name(certificate)),
        facts: read(&supplied),
        hosts: Vec::new(),
        cipher_suites: Vec::new(),
        key_expected: key.is_some(),
        notes: Vec::new(),
    })
}

#[derive(Deserialize)]
struct Values {
    global: Option<Global>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Global {
    tls_crt: Option<Zeroizing<String>>,
    tls_key: Option<Zeroizing<String>>,
    domain_name: Option<String>,
}

/// Kyma's values. A value that is missing is named; what stands in one is never repeated.
pub(super) fn values(path: &Path) -> Result<Subject, String> {
    let bytes = file(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        format!("{} is not UTF-8 from byte {} on: values are YAML text", path.display(), e.valid_up_to())
    })?;
    let values: Values = serde_saphyr::from_str(text).map_err(|error| {
        let place =
            error.location().map_or(String::new(), |at| format!(" at line {}, column {}", at.line(), at.column()));
        format!(
            "{} is no values file{place}: expected a map global with the strings tlsCrt, tlsKey and domainName",
            path.display()
        )
    })?;
    let global = values.global.ok_or_else(|| format!("global is missing in {}", path.display()))?;
    let mut missing = Vec::new();
    for (field, there) in [("global.tlsCrt", global.tls_crt.is_some()), ("global.tlsKey", global.tls_key.is_some())] {
        if !there {
            missing.push(field);
        }
    }
    if missing.len() == 2 {
        return Err(format!("{} are missing in {}: there is nothing to check", missing.join(" and "), path.display()));
    }
    let bytes = |value: &Option<Zeroizing<String>>| value.as_ref().map(|text| Zeroizing::new(text.as_bytes().to_vec()));
    let (certificate, key) = (bytes(&global.tls_crt), bytes(&global.tls_key));
    let mut notes: Vec<String> =
        missing.iter().map(|field| format!("{field} is missing in {}", path.display())).collect();
    if global.domain_name.is_none() {
        notes.push(format!("global.domainName is missing in {}: hosts are not checked (see --host)", path.display()));
    }
    let supplied = Supplied {
        certificate: certificate.as_ref().map(|bytes| bytes.as_slice()),
        key: key.as_ref().map(|bytes| bytes.as_slice()),
        staple: None,
    };
    Ok(Subject {
        origin: format!("{}: global.tlsCrt and global.tlsKey", path.display()),
        facts: read(&supplied),
        hosts: global.domain_name.iter().map(|domain| format!("*.{domain}")).collect(),
        cipher_suites: KYMA_SUITES.map(str::to_owned).to_vec(),
        key_expected: true,
        notes,
    })
}

/// A Secret in the cluster, as Istio would read it.
pub(super) async fn secret(name: &ObjectName, cluster: ClusterArgs) -> Result<Subject, String> {
    let client = connect(&cluster.into()).await.map_err(|e| e.to_string())?;
    let api: Api<Secret> = Api::namespaced(client, &name.namespace);
    let found = bounded(api.get_opt(&name.name)).await.map_err(|error| match error {
        CallError::Failed(_, message) => format!("Secret {name} cannot be read: {message}"),
        CallError::Stale => format!("Secret {name} cannot be read"),
    })?;
    let seen = Seen::new(found.ok_or_else(|| format!("there is no Secret {name}"))?);
    let data = seen.secret().data.iter().flatten();
    let keys: Vec<&str> = data.map(|(key, _)| key.as_str()).collect();
    let (canonical, facts) = read_as_istio(seen.secret());
    let mut notes = Vec::new();
    if !canonical {
        notes.push("Istio reads the keys cert and key before tls.crt and tls.key: those are judged here".to_owned());
    } else if keys.iter().any(|key| ["cert", "key"].contains(key)) {
        notes.push(
            "half of the pair cert and key lies in it: once whole, Istio would read it first; remove it".to_owned(),
        );
    }
    Ok(Subject {
        origin: format!("Secret {name} (keys {})", keys.join(", ")),
        facts,
        hosts: Vec::new(),
        cipher_suites: Vec::new(),
        key_expected: true,
        notes,
    })
}

/// Parses `namespace/name`.
pub(super) fn secret_name(text: &str) -> Result<ObjectName, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(ObjectName::new(namespace, name))
        }
        _ => Err(format!("\"{text}\" names no Secret: give NAMESPACE/NAME")),
    }
}

/// Parses an RFC 3339 time.
pub(super) fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.with_timezone(&Utc))
        .map_err(|e| format!("\"{text}\" is no time ({e}): give RFC 3339, e.g. 2027-01-01T00:00:00Z"))
}

/// Accepts the name of a check; for others names those that are near.
pub(super) fn check_name(text: &str) -> Result<String, String> {
    if known(text) {
        return Ok(text.to_owned());
    }
    let words: Vec<&str> = text.split('-').filter(|word| word.len() > 2).collect();
    let near = |name: &str| words.iter().any(|word| name.contains(word)) || name.contains(text);
    let near: Vec<&str> = checks().iter().map(|check| check.name).filter(|name| near(name)).take(5).collect();
    let hint = if near.is_empty() { String::new() } else { format!(", perhaps {}", near.join(", ")) };
    Err(format!("there is no check \"{text}\"{hint}; certkeeper check --list names them all"))
}
