//! What was decided about a copy becomes a call.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Duration, Utc};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{DeleteParams, Preconditions},
    core::PartialObjectMeta,
};
use zeroize::Zeroize;

use super::{
    CopyStore,
    facts::{Extra, Others},
    roll,
};
use crate::{
    api,
    clock::SharedClock,
    cluster::{
        MANAGED_BY, MANAGER,
        apply::format_undone,
        error::{CallError, bounded},
        secrets::wipe,
        write::{self, Answer},
    },
    lifecycle::{
        FailureKind, ObjectName, Undo, Version,
        targets::{Contents, CopyAction, CopyTask, Trouble},
    },
};

/// The longest wait before a failed copy is tried again.
const LAST_RETRY: i64 = 60;
/// Conflicts in a row that are answered by another look at once.
const MAX_CONFLICTS: u32 = 3;

/// Carries out what was decided about the copies of one GatewayCertificate.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "kube's client has none")]
pub struct CopyHands {
    /// The client.
    pub client: Client,
    /// What is known of the copies; takes note of what writes return.
    pub store: CopyStore,
    /// The clock, for when to try again.
    pub clock: SharedClock,
    /// The GatewayCertificate: the owner of the copies.
    pub owner: ObjectName,
}

impl CopyHands {
    /// Carries out one task, and notes how it went. The place must have been [begun](CopyStore::begin).
    pub async fn carry_out(&self, action: &CopyAction) {
        let place = &action.place;
        let result = self.attempt(place, &action.task).await;
        let now = self.clock.now();
        let told = self.store.update_note(place, |note| {
            note.busy = false;
            if let (CopyTask::Roll { fingerprint, .. }, Ok(())) = (&action.task, &result) {
                note.rolled = Some(fingerprint.clone());
            }
            let (kind, message) = match &result {
                Ok(()) => {
                    note.conflicts = 0;
                    return note.trouble.take().is_some().then(|| "is well again".to_owned());
                }
                Err(CallError::Stale) if note.conflicts < MAX_CONFLICTS => {
                    note.conflicts += 1;
                    return None;
                }
                Err(CallError::Stale) => (FailureKind::Transient, "conflicts again and again, somebody else writes it"),
                Err(CallError::Failed(kind, message)) => (*kind, message.as_str()),
            };
            note.conflicts = 0;
            let before = note.trouble.as_ref();
            let count = before.map_or(0, |trouble| trouble.count);
            // What is told once is not told again with each attempt.
            let known = before.is_some_and(|before| before.message == message);
            let retry_at = retry_at(now, place, kind, count);
            let trouble =
                Trouble { kind, message: explain(place, kind, message), retry_at, count: count.saturating_add(1) };
            let told = (!known && count == 0).then(|| format!("failed and is tried again: {}", trouble.message));
            note.trouble = Some(Arc::new(trouble));
            told
        });
        if let Some(told) = told {
            tracing::warn!(object = %self.owner, copy = %place, "{told}");
        }
    }

    async fn attempt(&self, place: &ObjectName, task: &CopyTask) -> Result<(), CallError> {
        let result = match task {
            CopyTask::Create(contents) => self.create(place, contents).await,
            CopyTask::Replace { base, contents, undone } => self.replace(place, base, contents, undone).await,
            CopyTask::Compare { base, contents } => return self.compare(place, base, contents).await,
            CopyTask::Delete { base } => self.delete(place, base).await,
            CopyTask::Roll { workloads, fingerprint } => {
                return roll::roll(&self.client, place, workloads, fingerprint).await;
            }
        };
        match result {
            Ok(found) => {
                self.store.note(place, found.as_ref());
                Ok(())
            }
            // A conflict is followed by a look at what is there now.
            Err(CallError::Stale) => {
                let found = bounded(self.api(place).get_metadata_opt(&place.name)).await?;
                self.store.note(place, found.as_ref());
                Err(CallError::Stale)
            }
            Err(error) => Err(error),
        }
    }

    fn api(&self, place: &ObjectName) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &place.namespace)
    }

    fn secret(&self, place: &ObjectName, contents: &Contents, undone: &[Undo]) -> Secret {
        let note = |key: &str, value: String| (key.to_owned(), value);
        let mut annotations = BTreeMap::from([
            note(api::OWNER, self.owner.to_string()),
            note(api::COPY, contents.note.clone()),
            note(api::FINGERPRINT, contents.fingerprint.to_string()),
        ]);
        if !undone.is_empty() {
            annotations.extend([note(api::UNDONE, format_undone(undone))]);
        }
        let value = |(key, text): (&str, &str)| (key.to_owned(), ByteString(text.as_bytes().to_vec()));
        Secret {
            metadata: ObjectMeta {
                name: Some(place.name.clone()),
                namespace: Some(place.namespace.clone()),
                labels: Some(BTreeMap::from([note(MANAGED_BY, MANAGER.to_owned())])),
                annotations: Some(annotations),
                ..ObjectMeta::default()
            },
            type_: Some(contents.kind.as_str().to_owned()),
            data: Some(contents.data().map(value).collect()),
            ..Secret::default()
        }
    }

    async fn create(&self, place: &ObjectName, contents: &Contents) -> Result<Written, CallError> {
        write::create(&self.client, self.secret(place, contents, &[]), Answer::Metadata).await.map(Some)
    }

    async fn replace(
        &self,
        place: &ObjectName,
        base: &Version,
        contents: &Contents,
        undone: &[Undo],
    ) -> Result<Written, CallError> {
        let others = self.store.others(place, &base.resource_version).ok_or(CallError::Stale)?;
        let mut secret = self.secret(place, contents, undone);
        secret.metadata.uid = Some(base.uid.clone());
        secret.metadata.resource_version = Some(base.resource_version.clone());
        match others {
            Others::Nothing => {}
            Others::Kept(extra) => extra.add_to(&mut secret.metadata),
            Others::NotKept => self.read_extra(place, base).await?.add_to(&mut secret.metadata),
        }
        write::replace(&self.client, secret, Answer::Metadata).await.map(Some)
    }

    /// Reads what others put into the metadata: it was too much to be kept.
    async fn read_extra(&self, place: &ObjectName, base: &Version) -> Result<Extra, CallError> {
        let found = bounded(self.api(place).get_metadata_opt(&place.name)).await?.ok_or(CallError::Stale)?;
        let same = found.metadata.resource_version.as_deref() == Some(base.resource_version.as_str());
        if same { Ok(Extra::of(&found)) } else { Err(CallError::Stale) }
    }

    async fn delete(&self, place: &ObjectName, base: &Version) -> Result<Written, CallError> {
        let preconditions =
            Preconditions { uid: Some(base.uid.clone()), resource_version: Some(base.resource_version.clone()) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        bounded(self.api(place).delete(&place.name, &params)).await.map(|_| None)
    }

    /// Reads the values once: somebody else wrote them, perhaps the same ones.
    async fn compare(&self, place: &ObjectName, base: &Version, contents: &Contents) -> Result<(), CallError> {
        let Some(mut found) = bounded(self.api(place).get_opt(&place.name)).await? else {
            self.store.note(place, None);
            return Err(CallError::Stale);
        };
        let data = found.data.take().unwrap_or_default();
        let same = data.len() == contents.data().count()
            && contents.data().all(|(key, value)| data.get(key).is_some_and(|have| have.0 == value.as_bytes()));
        for mut value in data.into_values() {
            value.0.zeroize();
        }
        let version = found.metadata.resource_version.clone();
        wipe(&mut found);
        if version.as_deref() != Some(base.resource_version.as_str()) {
            return Err(CallError::Stale);
        }
        self.store.compared(place, &base.resource_version, same);
        Ok(())
    }
}

/// What a write left at its place.
type Written = Option<PartialObjectMeta<Secret>>;

/// Doubled with each failure up to a minute, and spread by the place's name so that a thousand copies that failed
/// together do not come back together. A missing right is asked for once a minute.
fn retry_at(now: DateTime<Utc>, place: &ObjectName, kind: FailureKind, count: u32) -> DateTime<Utc> {
    let wait = if kind == FailureKind::Denied { LAST_RETRY } else { (1 << count.min(6)).min(LAST_RETRY) };
    let spread = place.to_string().bytes().fold(0_i64, |sum, byte| (sum * 31 + i64::from(byte)) % 251);
    now + Duration::milliseconds(wait * 1000 + wait * spread)
}

fn explain(place: &ObjectName, kind: FailureKind, message: &str) -> String {
    if kind != FailureKind::Denied {
        return message.to_owned();
    }
    format!(
        "grant the verbs get, list, watch, create, patch, update and delete on secrets with resourceNames [\"{}\"] in \
         namespace {} ({message})",
        place.name, place.namespace
    )
}
