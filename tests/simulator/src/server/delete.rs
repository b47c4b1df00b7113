//! delete, deletecollection and eviction.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    object::{has_finalizers, is_deleting, text},
    read::present,
    registry::{Resource, Storage},
    request::Call,
    selectors::Selector,
    status::{self, ApiError},
    store::Store,
    write::{Answer, Target, is_dry_run},
};

/// Seconds that a running Pod gets when neither it nor the client says otherwise.
const POD_GRACE: i64 = 30;

/// DELETE of one object.
pub(crate) fn delete(store: &mut Store, target: &Target<'_>, call: &Call) -> Answer {
    let options = call.json()?;
    delete_with(store, target, &options, is_dry_run(call) || options["dryRun"][0] == "All", call.metadata_only())
}

/// POST to a Pod's `eviction`: a deletion whose preconditions come in the body. Nobody here computes what a
/// PodDisruptionBudget allows: its status is taken as it is, as the real server does.
pub(crate) fn evict(store: &mut Store, target: &Target<'_>, call: &Call) -> Answer {
    let body = call.json()?;
    let dry_run = is_dry_run(call) || body["deleteOptions"]["dryRun"][0] == "All";
    if let Some(pod) = store.get(&target.resource.storage(), &target.key()) {
        check_budgets(store, target, &pod)?;
    }
    delete_with(store, target, &body["deleteOptions"], dry_run, false)?;
    let success = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok((201, success))
}

fn check_budgets(store: &Store, target: &Target<'_>, pod: &Value) -> Result<(), ApiError> {
    let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    if !pod["status"]["conditions"].as_array().is_some_and(|conditions| conditions.iter().any(ready)) {
        return Ok(());
    }
    let budgets = Storage { group: "policy".to_owned(), plural: "poddisruptionbudgets".to_owned() };
    let (namespace, labels) = (&target.key().0, &pod["metadata"]["labels"]);
    for ((_, name), budget) in store.all(&budgets).filter(|((known, _), _)| known == namespace) {
        let wanted = budget["spec"]["selector"]["matchLabels"].as_object();
        if wanted.is_none_or(|wanted| wanted.iter().any(|(label, value)| labels[label] != *value)) {
            continue;
        }
        let status = &budget["status"];
        let why = if status["observedGeneration"].as_i64() < budget["metadata"]["generation"].as_i64() {
            format!("The disruption budget {name} is still being processed by the server.")
        } else if status["disruptionsAllowed"].as_i64().unwrap_or_default() < 1 {
            let (needs, has) = (&status["desiredHealthy"], &status["currentHealthy"]);
            format!("The disruption budget {name} needs {needs} healthy pods and has {has} currently")
        } else {
            continue;
        };
        return Err(ApiError::over_budget(&why));
    }
    Ok(())
}

/// DELETE of everything that matches; answers with what was there.
pub(crate) fn delete_collection(
    store: &mut Store,
    resource: &Resource,
    selector: &Selector,
    call: &Call,
    list: Value,
) -> Answer {
    let names: Vec<_> = store
        .all(&resource.storage())
        .filter(|(_, object)| selector.matches(object))
        .map(|(name, _)| name.clone())
        .collect();
    for (namespace, name) in names {
        delete(store, &Target { resource, namespace, name, status: false }, call)?;
    }
    Ok((200, list))
}

fn delete_with(store: &mut Store, target: &Target<'_>, options: &Value, dry_run: bool, metadata_only: bool) -> Answer {
    let resource = target.resource;
    let old = target.find(store)?;
    check_preconditions(resource, &old, &options["preconditions"])?;
    let grace = grace(resource, &old, options);
    let waits = has_finalizers(&old) || grace > 0;
    if waits && is_deleting(&old) && old["metadata"]["deletionGracePeriodSeconds"].as_i64() <= Some(grace) {
        return Ok((200, present(resource, &old, metadata_only)));
    }
    let mut object = old.as_ref().clone();
    if !waits {
        if !dry_run {
            let removed = store.remove(&resource.storage(), target.key(), object.clone());
            object = removed.map_or(object, |removed| removed.as_ref().clone());
            unregister(store, resource, &object);
        }
        return Ok((200, gone(resource, &object, metadata_only)));
    }
    mark(store, resource, &mut object, grace);
    if !dry_run {
        object = store.put(&resource.storage(), target.key(), object).as_ref().clone();
    }
    Ok((200, present(resource, &object, metadata_only)))
}

fn gone(resource: &Resource, object: &Value, metadata_only: bool) -> Value {
    if resource.traits.returns_deleted {
        return present(resource, object, metadata_only);
    }
    status::deleted(resource, text(object, "name"), text(object, "uid"))
}

/// Notes in the metadata that the object is on its way out.
fn mark(store: &Store, resource: &Resource, object: &mut Value, grace: i64) {
    let now: Timestamp = store.now().parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let end = now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(now);
    let metadata = &mut object["metadata"];
    metadata["deletionTimestamp"] = end.to_string().into();
    metadata["deletionGracePeriodSeconds"] = grace.into();
    if let Some(generation) = metadata["generation"].as_i64() {
        metadata["generation"] = (generation + 1).into();
    }
    if resource.kind == "Namespace" {
        object["status"]["phase"] = "Terminating".into();
    }
}

/// Only Pods that run somewhere are given time.
fn grace(resource: &Resource, object: &Value, options: &Value) -> i64 {
    let runs = object["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty())
        && !matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if resource.kind != "Pod" || !resource.group.is_empty() || !runs {
        return 0;
    }
    let own = object["spec"]["terminationGracePeriodSeconds"].as_i64();
    options["gracePeriodSeconds"].as_i64().or(own).unwrap_or(POD_GRACE)
}

fn check_preconditions(resource: &Resource, object: &Value, wanted: &Value) -> Result<(), ApiError> {
    let name = text(object, "name");
    let (uid, version) = (text(object, "uid"), text(object, "resourceVersion"));
    if let Some(wanted) = wanted["uid"].as_str().filter(|wanted| *wanted != uid) {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have \
             been deleted and then recreated"
        );
        return Err(ApiError::delete_conflict(resource, name, &why));
    }
    if let Some(wanted) = wanted["resourceVersion"].as_str().filter(|wanted| *wanted != version) {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
             ({version}). The object might have been modified"
        );
        return Err(ApiError::delete_conflict(resource, name, &why));
    }
    Ok(())
}

/// A definition that is gone takes its resource and all its objects along.
pub(crate) fn unregister(store: &mut Store, resource: &Resource, definition: &Value) {
    if resource.kind != "CustomResourceDefinition" {
        return;
    }
    store.registry.unregister(definition);
    let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let spec = &definition["spec"];
    let storage = Storage { group: part(&spec["group"]), plural: part(&spec["names"]["plural"]) };
    let objects: Vec<_> = store.all(&storage).map(|(name, object)| (name.clone(), object.as_ref().clone())).collect();
    for (name, object) in objects {
        store.remove(&storage, name, object);
    }
}
