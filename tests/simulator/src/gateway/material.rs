//! From a Secret to what a TLS server can serve.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use rustls::{crypto::CryptoProvider, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// Why a Secret cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The server side ignores it: to Envoy nothing has happened.
    Ignored(String),
    /// Pushed to the server, which refused it.
    Rejected(String),
}

/// Reads the pair as Istio does: the generic keys first, then the TLS ones.
pub(super) fn load(secret: &Secret, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Refusal> {
    let data = secret.data.as_ref();
    let value = |key: &str| data.and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice()).unwrap_or_default();
    let pair = [("cert", "key"), ("tls.crt", "tls.key")]
        .map(|(certificate, key)| (value(certificate), value(key)))
        .into_iter()
        .find(|(certificate, key)| !certificate.is_empty() && !key.is_empty());
    let Some((certificate, key)) = pair else {
        return Err(Refusal::Ignored("neither cert+key nor tls.crt+tls.key are both there".into()));
    };
    let rejected = |what: &str, error: &dyn std::fmt::Display| Refusal::Rejected(format!("{what}: {error}"));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|e| rejected("certificate", &e))?;
    if chain.is_empty() {
        return Err(Refusal::Rejected("certificate: no PEM block".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| rejected("key", &e))?;
    let pair = CertifiedKey::from_der(chain, key, provider).map_err(|e| rejected("pair", &e))?;
    // `from_der` lets a pair pass whose match it cannot tell; Envoy does not.
    pair.keys_match().map_err(|e| rejected("pair", &e))?;
    Ok(Arc::new(pair))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::Utc;
    use k8s_openapi::ByteString;

    use super::*;
    use crate::{
        ca::{Algorithm, Ca, Issued, Validity},
        fingerprint::fingerprint,
    };

    fn secret(entries: &[(&str, &str)]) -> Secret {
        let entry = |(key, value): &(&str, &str)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec()));
        Secret { data: Some(entries.iter().map(entry).collect::<BTreeMap<_, _>>()), ..Secret::default() }
    }

    fn loaded(entries: &[(&str, &str)]) -> Result<String, Refusal> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        load(&secret(entries), &provider).map(|pair| fingerprint(&pair.cert[0]))
    }

    fn issue(algorithm: Algorithm) -> Issued {
        let ca = Ca::root("Root", Utc::now()).unwrap();
        ca.leaf(&["a.example"]).algorithm(algorithm).valid(Validity::ended(Utc::now())).issue().unwrap()
    }

    #[test]
    fn generic_keys_win_only_if_both_are_filled() {
        let (old, new) = (issue(Algorithm::P256), issue(Algorithm::P256));
        let (old_crt, new_crt) = (old.certificate(), new.certificate());
        let both =
            [("tls.crt", new_crt.as_str()), ("tls.key", new.key()), ("cert", old_crt.as_str()), ("key", old.key())];
        assert_eq!(loaded(&both).unwrap(), old.fingerprint());
        assert_eq!(loaded(&both[..3]).unwrap(), new.fingerprint());
        assert!(matches!(loaded(&both[..1]), Err(Refusal::Ignored(_))));
    }

    #[test]
    fn an_expired_rsa_pair_is_served_and_a_mismatched_or_broken_one_is_not() {
        let (one, two) = (issue(Algorithm::Rsa2048), issue(Algorithm::Rsa2048));
        let certificate = one.certificate();
        let pair = |key: &str| loaded(&[("tls.crt", &certificate), ("tls.key", key)]);
        assert_eq!(pair(one.key()).unwrap(), one.fingerprint());
        for bad in [two.key(), issue(Algorithm::P256).key(), "garbage"] {
            assert!(matches!(pair(bad), Err(Refusal::Rejected(_))));
        }
        assert!(matches!(loaded(&[("tls.crt", "garbage"), ("tls.key", one.key())]), Err(Refusal::Rejected(_))));
    }
}
