//! Actions become writes, each guarded so that it can only change the state it was decided on (law 10).

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;

mod client_ca;

use super::{
    MANAGED_BY, MANAGER,
    error::{CallError, bounded},
    gather::{LAST_APPLIED, name_of},
    secrets::{Secrets, Sight},
    status,
    write::{self, Answer},
};
use crate::{
    api::{self, GatewayCertificate},
    lifecycle::{
        Action, FailureKind, Leftover, ObjectName, Status, Undo, Version, Write,
        reload::{Nudge, Refusal},
    },
};

/// Carries actions out for one GatewayCertificate.
#[allow(missing_debug_implementations, reason = "kube's client has none")]
pub struct Hands<'a> {
    /// The client.
    pub client: &'a Client,
    /// The Secrets that were seen; takes note of what writes return.
    pub secrets: &'a Secrets,
    /// The GatewayCertificate, as it was read last or as a write returned it.
    pub object: &'a mut GatewayCertificate,
}

impl Hands<'_> {
    /// Carries out one action.
    ///
    /// # Errors
    /// [`CallError::Stale`] when the object is not in the state that the action names; what is there now has been
    /// read then. [`CallError::Failed`] for the rest.
    pub async fn carry_out(&mut self, action: &Action) -> Result<(), CallError> {
        match action {
            Action::WriteGatewaySecret(write) => self.write(write, false).await,
            Action::WriteKeepSake(write) => self.write(write, true).await,
            Action::WriteClientCa(write) => self.write_client_ca(write).await,
            Action::AddFinalizer(base) => self.finalizer(base, true).await,
            Action::RemoveFinalizer(base) => self.finalizer(base, false).await,
            Action::DeleteSecret { target, base } => self.delete(target, base).await,
            Action::Release { target, base } => self.release(target, base).await,
        }
    }

    fn api(&self, secret: &ObjectName) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &secret.namespace)
    }

    async fn write(&self, write: &Write, keepsake: bool) -> Result<(), CallError> {
        let result = match &write.base {
            None => self.create(write, keepsake).await,
            Some(base) => match self.seen(&write.target, base) {
                Some(secret) => write::replace(self.client, self.changed(secret, write, keepsake), Answer::Whole).await,
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

    /// A conflict is followed by a look at what is there now, so that the next decision is not made on old news.
    async fn failed<T>(&self, target: &ObjectName, error: CallError) -> Result<T, CallError> {
        if error == CallError::Stale {
            let found = bounded(self.api(target).get_opt(&target.name)).await?;
            self.secrets.note(target, found);
        }
        Err(error)
    }

    /// The Secret as it was seen, if that is still the state that was decided on.
    fn seen(&self, target: &ObjectName, base: &Version) -> Option<Secret> {
        match self.secrets.look(target, &name_of(self.object)) {
            Sight::Present(seen)
                if seen.secret().uid().as_ref() == Some(&base.uid)
                    && seen.secret().resource_version().as_ref() == Some(&base.resource_version) =>
            {
                Some(seen.secret().clone())
            }
            _ => None,
        }
    }

    async fn create(&self, write: &Write, keepsake: bool) -> Result<Secret, CallError> {
        let mut secret = Secret {
            metadata: ObjectMeta {
                name: Some(write.target.name.clone()),
                namespace: Some(write.target.namespace.clone()),
                labels: Some(BTreeMap::from([(MANAGED_BY.to_owned(), MANAGER.to_owned())])),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            ..Secret::default()
        };
        self.fill(&mut secret, write, keepsake);
        write::create(self.client, secret, Answer::Whole).await
    }

    /// The Secret as it shall be: labels, annotations and keys that are not ours stay.
    fn changed(&self, mut secret: Secret, write: &Write, keepsake: bool) -> Secret {
        let data = secret.data.get_or_insert_default();
        for leftover in &write.remove {
            match leftover {
                Leftover::Generic => drop((data.remove("cert"), data.remove("key"))),
                Leftover::Staple => drop(data.remove("tls.ocsp-staple")),
                Leftover::LastApplied => {
                    secret.metadata.annotations.get_or_insert_default().remove(LAST_APPLIED);
                }
            }
        }
        self.fill(&mut secret, write, keepsake);
        secret
    }

    fn fill(&self, secret: &mut Secret, write: &Write, keepsake: bool) {
        let data = secret.data.get_or_insert_default();
        let fingerprint = write.pair.fingerprint().to_string();
        let nudges = write.nudged.iter().filter(|nudge| nudge.fingerprint == fingerprint).count();
        let mut chain = write.pair.certificate_pem().as_bytes().to_vec();
        // A nudge is the same pair in other bytes: Envoy takes up a pair that it was stuck with only if those change
        // (FACTS, "Stuck leaf").
        chain.extend(std::iter::repeat_n(b'\n', nudges));
        data.insert("tls.crt".to_owned(), ByteString(chain));
        data.insert("tls.key".to_owned(), ByteString(write.pair.key_pem().as_bytes().to_vec()));
        if let Some(staple) = &write.staple {
            data.insert("tls.ocsp-staple".to_owned(), ByteString(staple.clone()));
        }
        let annotations = secret.metadata.annotations.get_or_insert_default();
        annotations.insert(api::OWNER.to_owned(), name_of(self.object).to_string());
        annotations.insert(api::FINGERPRINT.to_owned(), write.pair.fingerprint().to_string());
        let marks = [
            (api::UNDONE, format_undone(&write.undone)),
            (api::NUDGED, Nudge::format(&write.nudged)),
            (api::REFUSED, Refusal::format(&write.refused)),
        ];
        for (annotation, text) in marks {
            if text.is_empty() {
                annotations.remove(annotation);
            } else {
                annotations.insert(annotation.to_owned(), text);
            }
        }
        if keepsake {
            secret.metadata.owner_references = self.owner_reference(&write.target).map(|owner| vec![owner]);
        }
    }

    /// An owner must live in the same namespace; elsewhere a finalizer does its work.
    fn owner_reference(&self, target: &ObjectName) -> Option<OwnerReference> {
        (self.object.namespace().as_deref() == Some(&target.namespace)).then(|| self.object.owner_ref(&())).flatten()
    }

    async fn delete(&self, target: &ObjectName, base: &Version) -> Result<(), CallError> {
        let preconditions =
            Preconditions { uid: Some(base.uid.clone()), resource_version: Some(base.resource_version.clone()) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match bounded(self.api(target).delete(&target.name, &params)).await {
            Ok(_) => {
                self.secrets.note(target, None);
                Ok(())
            }
            Err(error) => self.failed(target, error).await,
        }
    }

    async fn release(&self, target: &ObjectName, base: &Version) -> Result<(), CallError> {
        let Some(mut secret) = self.seen(target, base) else { return self.failed(target, CallError::Stale).await };
        for ours in [api::OWNER, api::FINGERPRINT, api::UNDONE, api::NUDGED, api::REFUSED] {
            secret.metadata.annotations.get_or_insert_default().remove(ours);
        }
        match write::replace(self.client, secret, Answer::Whole).await {
            Ok(secret) => {
                self.secrets.note(target, Some(secret));
                Ok(())
            }
            Err(error) => self.failed(target, error).await,
        }
    }

    async fn finalizer(&mut self, base: &Version, add: bool) -> Result<(), CallError> {
        let mut finalizers: Vec<String> =
            self.object.finalizers().iter().filter(|finalizer| *finalizer != api::FINALIZER).cloned().collect();
        if add {
            finalizers.push(api::FINALIZER.to_owned());
        }
        let patch = json!({"metadata": {
            "uid": base.uid, "resourceVersion": base.resource_version, "finalizers": finalizers,
        }});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let name = self.object.name_any();
        *self.object = bounded(self.objects().patch(&name, &params, &Patch::Merge(patch))).await?;
        Ok(())
    }

    fn objects(&self) -> Api<GatewayCertificate> {
        Api::namespaced(self.client.clone(), &self.object.namespace().unwrap_or_default())
    }

    /// Publishes a status onto the state that was decided on.
    ///
    /// # Errors
    /// As [`Self::carry_out`].
    pub async fn publish(&mut self, new: &Status) -> Result<(), CallError> {
        let mut object = self.object.clone();
        object.status = Some(status::write(new));
        object.metadata.managed_fields = None;
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let name = object.name_any();
        *self.object = bounded(self.objects().replace_status(&name, &params, &object)).await?;
        self.object.metadata.managed_fields = None;
        Ok(())
    }
}

pub(super) fn format_undone(undone: &[Undo]) -> String {
    let format = |undo: &Undo| format!("{}@{}", undo.manager, undo.at.to_rfc3339_opts(SecondsFormat::Secs, true));
    undone.iter().map(format).collect::<Vec<_>>().join(",")
}

/// The Secret that an action writes, for messages.
#[must_use]
pub fn target_of(action: &Action, object: &GatewayCertificate) -> (ObjectName, bool) {
    match action {
        Action::WriteGatewaySecret(write) => (write.target.clone(), true),
        Action::WriteKeepSake(write) => (write.target.clone(), false),
        Action::WriteClientCa(write) => (write.target.clone(), false),
        Action::DeleteSecret { target, .. } => (target.clone(), false),
        Action::Release { target, .. } => (target.clone(), !target.name.ends_with("-cacert")),
        Action::AddFinalizer(_) | Action::RemoveFinalizer(_) => (name_of(object), false),
    }
}

/// What to grant where a write is refused.
#[must_use]
pub fn explain(action: &Action, object: &GatewayCertificate, kind: FailureKind, message: &str) -> String {
    if kind != FailureKind::Denied {
        return message.to_owned();
    }
    let (target, _) = target_of(action, object);
    match action {
        Action::AddFinalizer(_) | Action::RemoveFinalizer(_) => format!(
            "grant the verbs patch and update on gatewaycertificates and gatewaycertificates/status in namespace {} ({message})",
            target.namespace
        ),
        Action::WriteClientCa(_) => format!(
            "grant the verbs get, list, watch, create, patch and update on secrets with resourceNames [\"{}\"] in namespace {} ({message})",
            target.name, target.namespace
        ),
        _ => format!(
            "grant the verbs get, list, watch, create, patch, update and delete on secrets with resourceNames [\"{}\"] in namespace {} ({message})",
            target.name, target.namespace
        ),
    }
}
