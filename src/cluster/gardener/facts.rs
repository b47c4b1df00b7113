//! The facts of a Certificate.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt;

use crate::{
    api::{
        self,
        gardener::{CLASS, Certificate, CertificateSpec, OPERATION, RECONCILE},
    },
    cluster::{
        MANAGER,
        gather::{foreign, from_api, name_of, parse_undone, version_of},
        is_own_manager,
    },
    lifecycle::{
        ObjectName, Undo,
        gardener::{self, Push, Request},
    },
};

/// The field manager of Gardener's controller: what it writes into a Certificate is its business.
const GARDENER: &str = "cert-controller-manager";
/// Fields that a spec may leave out.
const OPTIONAL: [&str; 3] = ["issuerRef", "renewBefore", "duration"];
/// Fields that are always asked for.
const ALWAYS: [&str; 3] = ["dnsNames", "secretRef", "privateKey"];

/// A time in a Certificate's status or spec; what is none is as if it were not there.
pub(in crate::cluster) fn time(text: Option<&String>) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text?).ok()?.to_utc())
}

pub(super) fn facts(object: &Certificate) -> gardener::Certificate {
    let annotations = object.annotations();
    let status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or_default();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    // A wait of an earlier generation is none.
    let backoff = status.backoff.as_ref().filter(|backoff| backoff.observed_generation == Some(generation));
    gardener::Certificate {
        version: version_of(object),
        generation,
        created: object.creation_timestamp().map_or(DateTime::UNIX_EPOCH, |at| from_api(&at)),
        deleting: object.metadata.deletion_timestamp.is_some(),
        owner: annotations.get(api::OWNER).cloned(),
        foreign: foreign(object),
        request: request(&name_of(object), &object.spec, annotations.get(CLASS).cloned()),
        ours: ours(object.managed_fields()),
        renewed_after: time(object.spec.ensure_renewed_after.as_ref()),
        touched: annotations.get(OPERATION).is_some_and(|operation| operation == RECONCILE),
        requested: time(annotations.get(api::REQUESTED)),
        pushes: annotations.get(api::PUSHED).map(|text| Push::parse(text)).unwrap_or_default(),
        undone: annotations.get(api::UNDONE).map(|text| parse_undone(text)).unwrap_or_default(),
        last_writer: last_writer(object.managed_fields()),
        since: time(ready.map(|ready| &ready.last_transition_time)),
        retry_at: time(backoff.map(|backoff| &backoff.recheck_after)),
        renewal: time(status.renewal_date.as_ref()),
        observed_generation: status.observed_generation,
        // Long enough for any reason, and bounded.
        message: crate::cluster::error::sanitize(&status.message.unwrap_or_default()),
        state: status.state.chars().take(32).collect(),
    }
}

fn request(name: &ObjectName, spec: &CertificateSpec, class: Option<String>) -> Request {
    let secret = spec.secret_ref.as_ref().map(|secret| {
        ObjectName::new(secret.namespace.clone().unwrap_or_else(|| name.namespace.clone()), &secret.name)
    });
    let old = || spec.secret_name.as_ref().map(|secret| ObjectName::new(&name.namespace, secret));
    let key = spec.private_key.clone().unwrap_or_default();
    Request {
        names: spec.dns_names.clone(),
        secret: secret.or_else(old),
        issuer: spec.issuer_ref.as_ref().map(|issuer| (issuer.name.clone(), issuer.namespace.clone())),
        renew_before: spec.renew_before.clone(),
        duration: spec.duration.clone(),
        algorithm: key.algorithm,
        size: key.size,
        class,
    }
}

/// The optional fields that certkeeper applied.
fn ours(managers: &[ManagedFieldsEntry]) -> BTreeSet<String> {
    let applied = managers
        .iter()
        .filter(|entry| entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply"));
    let mut ours = BTreeSet::new();
    for fields in applied.filter_map(|entry| entry.fields_v1.as_ref()) {
        let has = |field: &&str| fields.0["f:spec"].get(format!("f:{field}")).is_some();
        ours.extend(OPTIONAL.iter().filter(|field| has(field)).map(ToString::to_string));
        if fields.0["f:metadata"]["f:annotations"].get(format!("f:{CLASS}")).is_some() {
            ours.insert("class".to_owned());
        }
    }
    ours
}

/// The last one but us and Gardener that wrote a field which certkeeper sets.
fn last_writer(managers: &[ManagedFieldsEntry]) -> Option<Undo> {
    let writes = |entry: &&ManagedFieldsEntry| {
        let spec = entry.fields_v1.as_ref().map(|fields| &fields.0["f:spec"]);
        spec.is_some_and(|spec| ALWAYS.iter().chain(&OPTIONAL).any(|field| spec.get(format!("f:{field}")).is_some()))
    };
    let others = managers.iter().filter(writes).filter_map(|entry| {
        let manager = entry.manager.clone().filter(|manager| !is_own_manager(manager) && manager != GARDENER)?;
        Some(Undo { manager, at: entry.time.as_ref().map(from_api)? })
    });
    others.max_by(|a, b| (a.at, &a.manager).cmp(&(b.at, &b.manager)))
}
