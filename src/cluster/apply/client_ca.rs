//! The write of the `-cacert` Secret: the same two writes as for the gateway's own (law 10).

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::{Hands, format_undone};
use crate::{
    api,
    cluster::{
        MANAGED_BY, MANAGER,
        error::CallError,
        gather::{LAST_APPLIED, name_of},
        write::{self, Answer},
    },
    lifecycle::client_ca::ClientCaWrite,
};

impl Hands<'_> {
    pub(super) async fn write_client_ca(&self, write: &ClientCaWrite) -> Result<(), CallError> {
        let result = match &write.base {
            None => write::create(self.client, self.filled(created(write), write), Answer::Whole).await,
            Some(base) => match self.seen(&write.target, base) {
                Some(secret) => write::replace(self.client, self.filled(secret, write), Answer::Whole).await,
                None => Err(CallError::Stale),
            },
        };
        match result {
            Ok(secret) => {
                self.secrets.note(&write.target, Some(secret));
                Ok(())
            }
            Err(error) => self.failed(&write.target, error).await,
        }
    }

    /// The Secret as it shall be: labels, annotations and keys that are not ours stay. kubectl's annotation goes, for it
    /// repeats whatever was applied: a CA's key, if one was.
    fn filled(&self, mut secret: Secret, write: &ClientCaWrite) -> Secret {
        let value = ByteString(write.pem.as_bytes().to_vec());
        secret.data.get_or_insert_default().insert(write.key.to_owned(), value);
        let annotations = secret.metadata.annotations.get_or_insert_default();
        annotations.remove(LAST_APPLIED);
        // What was a copy before is none any more: copies that are no longer asked for are deleted.
        annotations.remove(api::COPY);
        annotations.insert(api::OWNER.to_owned(), name_of(self.object).to_string());
        annotations.insert(api::FINGERPRINT.to_owned(), write.fingerprint.clone());
        if write.undone.is_empty() {
            annotations.remove(api::UNDONE);
        } else {
            annotations.insert(api::UNDONE.to_owned(), format_undone(&write.undone));
        }
        secret
    }
}

/// It has no ownerReference: it stays when the GatewayCertificate goes, as the gateway's own Secret does.
fn created(write: &ClientCaWrite) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(write.target.name.clone()),
            namespace: Some(write.target.namespace.clone()),
            labels: Some(BTreeMap::from([(MANAGED_BY.to_owned(), MANAGER.to_owned())])),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}
