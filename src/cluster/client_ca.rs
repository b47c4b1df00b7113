//! What is there of the client CA: the Secret that people supply it in, the one that Istio reads, and what lies in the
//! gateway's own.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::{
    gather::{foreign, last_writer, parse_undone, value, version_of},
    secrets::{Seen, Sight},
};
use crate::{
    api,
    certificate::{Authorities, read_authorities},
    lifecycle::{
        Object, ObjectName,
        client_ca::{Beside, Bundle, ClientCa, Kept, KeptBundle},
    },
};

/// In which Istio reads the CA, with the revocation list that goes with each (IS pilot/pkg/credentials/kube/secrets.go):
/// the first that is filled.
const KEYS: [(&str, &str); 2] = [("cacert", "crl"), ("ca.crt", "ca.crl")];

/// Looks at the Secrets of the client CA, where one is asked for, and at the `-cacert` that is still to be released where
/// none is any more. `gateway` is what was seen of the gateway's own Secret.
pub(super) fn look(object: &Object, gateway: &Sight, mut look: impl FnMut(&ObjectName) -> Sight) -> ClientCa {
    let wants = &object.wants;
    let stored = wants.gateway_secret.client_ca();
    let Some(source) = &wants.client_ca else {
        let owed = object.previous.client_ca.is_some();
        let stored = if owed { kept(&look(&stored)) } else { Kept::NotRead };
        return ClientCa { stored, ..ClientCa::default() };
    };
    let beside = match gateway {
        Sight::Present(seen) => Some(read(seen)).filter(|beside| value(seen.secret(), beside.key).is_some()),
        _ => None,
    };
    ClientCa { source: bundle(&look(source)), stored: kept(&look(&stored)), beside }
}

fn bundle(sight: &Sight) -> Bundle {
    match sight {
        Sight::Pending => Bundle::Pending,
        Sight::Denied(rule) => Bundle::Denied(rule.clone()),
        Sight::Absent => Bundle::Absent,
        Sight::Present(seen) => Bundle::Present(read(seen)),
    }
}

fn kept(sight: &Sight) -> Kept {
    let seen = match sight {
        Sight::Pending => return Kept::Pending,
        Sight::Denied(rule) => return Kept::Denied(rule.clone()),
        Sight::Absent => return Kept::Absent,
        Sight::Present(seen) => seen,
    };
    let secret = seen.secret();
    let Beside { key, facts } = read(seen);
    let annotation = |key: &str| secret.annotations().get(key).cloned();
    Kept::Present(Box::new(KeptBundle {
        version: version_of(secret),
        immutable: secret.immutable.unwrap_or(false),
        deleting: secret.metadata.deletion_timestamp.is_some(),
        key,
        facts,
        owner: annotation(api::OWNER),
        foreign: foreign(secret),
        mark: annotation(api::FINGERPRINT),
        undone: annotation(api::UNDONE).map(|text| parse_undone(&text)).unwrap_or_default(),
        last_writer: last_writer(secret.managed_fields()),
    }))
}

/// Reads the CA certificates of a Secret once.
fn read(seen: &Seen) -> Beside {
    let (key, facts) = seen.authorities.get_or_init(|| {
        let (key, facts) = read_client_ca(seen.secret());
        (key, Arc::new(facts))
    });
    Beside { key, facts: facts.clone() }
}

/// The key of a Secret in which Istio would read a CA, and what is in it; `cacert` where there is none.
pub(crate) fn read_client_ca(secret: &Secret) -> (&'static str, Authorities) {
    let filled = |key: &str| value(secret, key).is_some_and(|bytes| !bytes.is_empty());
    let (key, list) = KEYS.into_iter().find(|(key, _)| filled(key)).unwrap_or(KEYS[0]);
    (key, read_authorities(value(secret, key), filled(list)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn istios_order_decides_which_key_is_read_and_which_revocation_list_goes_with_it() {
        let read = |keys: &[(&str, &str)]| {
            let data: BTreeMap<String, ByteString> =
                keys.iter().map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec()))).collect();
            let (key, facts) = read_client_ca(&Secret { data: Some(data), ..Secret::default() });
            (key, facts.has_revocations())
        };
        assert_eq!(read(&[]), ("cacert", false));
        assert_eq!(read(&[("ca.crt", "x")]), ("ca.crt", false));
        assert_eq!(read(&[("ca.crt", "x"), ("cacert", "")]), ("ca.crt", false), "an empty value is none");
        assert_eq!(read(&[("ca.crt", "x"), ("cacert", "x")]), ("cacert", false));
        assert_eq!(read(&[("ca.crt", "x"), ("crl", "x")]), ("ca.crt", false), "crl goes with cacert");
        assert_eq!(read(&[("ca.crt", "x"), ("ca.crl", "x")]), ("ca.crt", true));
        assert_eq!(read(&[("cacert", "x"), ("crl", "x")]), ("cacert", true));
    }
}
