//! create, update and patch.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    admission, apply,
    decode::decode_sent,
    object::{self, is_deleting, text},
    patch,
    read::present,
    registry::Resource,
    request::Call,
    status::{ApiError, FieldError},
    store::{Name, Store},
};

/// What is written to, and how.
pub(crate) struct Target<'a> {
    pub(crate) resource: &'a Resource,
    /// Namespace (empty for cluster-scoped resources).
    pub(crate) namespace: String,
    /// Empty for a POST.
    pub(crate) name: String,
    /// The `status` subresource.
    pub(crate) status: bool,
}

/// An answer: status code and body.
pub(crate) type Answer = Result<(u16, Value), ApiError>;

impl Target<'_> {
    pub(crate) fn key(&self) -> Name {
        (self.namespace.clone(), self.name.clone())
    }

    pub(crate) fn writer(&self, call: &Call, apply: bool) -> apply::Writer {
        let manager = if call.info.manager.is_empty() { "unknown" } else { &call.info.manager };
        apply::Writer {
            manager: manager.to_owned(),
            apply,
            api_version: self.resource.api_version(),
            subresource: if self.status { "status".into() } else { String::new() },
        }
    }

    pub(crate) fn find(&self, store: &Store) -> Result<Arc<Value>, ApiError> {
        let found = store.get(&self.resource.storage(), &self.key());
        found.ok_or_else(|| ApiError::not_found(self.resource, &self.name))
    }

    pub(crate) fn answer(&self, code: u16, object: &Value, call: &Call) -> Answer {
        Ok((code, present(self.resource, object, call.metadata_only())))
    }
}

pub(crate) fn is_dry_run(call: &Call) -> bool {
    call.query("dryRun") == Some("All")
}

/// POST.
pub(crate) fn create(store: &mut Store, target: &Target<'_>, call: &Call) -> Answer {
    let mut object = decode_sent(target.resource, call.json()?, call)?;
    check_namespace(store, target, &object)?;
    if !text(&object, "resourceVersion").is_empty() {
        return Err(ApiError::internal("resourceVersion should not be set on objects to be created"));
    }
    let writer = target.writer(call, false);
    prepare(store, target, &mut object);
    apply::updated(target.resource, None, &mut object, &writer, &store.now());
    let object = insert(store, target, object, is_dry_run(call))?;
    target.answer(201, &object, call)
}

/// An object that names a namespace names that of the path.
pub(crate) fn check_path_namespace(target: &Target<'_>, object: &Value) -> Result<(), ApiError> {
    let named = text(object, "namespace");
    if named.is_empty() || named == target.namespace {
        return Ok(());
    }
    let message = "the namespace of the provided object does not match the namespace sent on the request";
    Err(ApiError::bad_request(message))
}

/// The namespace must be the path's, exist, and not be on its way out.
pub(crate) fn check_namespace(store: &Store, target: &Target<'_>, object: &Value) -> Result<(), ApiError> {
    if !target.resource.namespaced {
        return Ok(());
    }
    check_path_namespace(target, object)?;
    let Some(namespaces) = store.registry.find("", "v1", "namespaces") else { return Ok(()) };
    let Some(namespace) = store.get(&namespaces.storage(), &(String::new(), target.namespace.clone())) else {
        return Err(ApiError::not_found(&namespaces, &target.namespace));
    };
    if is_deleting(&namespace) {
        let why =
            format!("unable to create new content in namespace {} because it is being terminated", target.namespace);
        let mut error = ApiError::forbidden(target.resource, text(object, "name"), &why);
        if let Some(details) = &mut error.details {
            let message = format!("namespace {} is being terminated", target.namespace);
            details["causes"] =
                json!([{"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}]);
        }
        return Err(error);
    }
    Ok(())
}

/// Defaults and metadata of a new object.
pub(crate) fn prepare(store: &mut Store, target: &Target<'_>, object: &mut Value) {
    let resource = target.resource;
    if resource.traits.status
        && let Some(map) = object.as_object_mut()
    {
        map.remove("status");
    }
    object::prepare_create(store, resource, &target.namespace, object);
    admission::default(resource, object);
    if resource.traits.custom {
        resource.schema.default(object);
    }
}

pub(crate) fn insert(
    store: &mut Store,
    target: &Target<'_>,
    mut object: Value,
    dry_run: bool,
) -> Result<Arc<Value>, ApiError> {
    let resource = target.resource;
    let name = text(&object, "name").to_owned();
    admission::prepare_create(resource, &mut object);
    check(resource, &object, None, "")?;
    let key = (target.namespace.clone(), name.clone());
    if let Some(existing) = store.get(&resource.storage(), &key) {
        let mut error = ApiError::already_exists(resource, &name);
        if is_deleting(&existing) {
            error.message.insert_str(0, "object is being deleted: ");
        }
        return Err(error);
    }
    if resource.kind == "CustomResourceDefinition" {
        admission::established(&mut object, &store.now());
    }
    if dry_run {
        return Ok(Arc::new(object));
    }
    register(store, resource, &object);
    Ok(store.put(&resource.storage(), key, object))
}

fn register(store: &mut Store, resource: &Resource, object: &Value) {
    if resource.kind == "CustomResourceDefinition" {
        store.registry.register(object);
    }
}

/// All rules for an object about to be stored; `uid` is the one that was asked for.
fn check(resource: &Resource, object: &Value, old: Option<&Value>, uid: &str) -> Result<(), ApiError> {
    let mut errors = object::validate(resource, object);
    if !uid.is_empty() && old.is_some_and(|old| uid != text(old, "uid")) {
        // Two places check it, and both complain.
        let error = FieldError::invalid("metadata.uid", &uid.into(), "field is immutable");
        errors.extend([error.clone(), error]);
    }
    if let Some(old) = old.filter(|old| is_deleting(old)) {
        let list = |object: &Value| object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        let before = list(old);
        let new: Vec<_> = list(object).into_iter().filter(|finalizer| !before.contains(finalizer)).collect();
        if !new.is_empty() {
            let names: Vec<_> = new.iter().map(Value::to_string).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                names.join(", ")
            );
            let error = FieldError::forbidden("metadata.finalizers", &detail);
            errors.extend([error.clone(), error]);
        }
    }
    errors.extend(admission::validate(resource, object, old));
    if resource.traits.custom {
        errors.extend(resource.schema.validate(object, old));
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(resource, text(object, "name"), &errors)) }
}

/// PUT.
pub(crate) fn update(store: &mut Store, target: &Target<'_>, call: &Call) -> Answer {
    let object = decode_sent(target.resource, call.json()?, call)?;
    let name = text(&object, "name");
    if name != target.name {
        return Err(wrong_name(name, &target.name));
    }
    check_path_namespace(target, &object)?;
    let resource = target.resource;
    if resource.traits.create_on_update && !target.status && target.find(store).is_err() {
        return create(store, target, call);
    }
    let old = target.find(store)?;
    check_uid(resource, &old, &object)?;
    if text(&object, "resourceVersion").is_empty() && !resource.traits.unconditional_update {
        return Err(ApiError::version_required(resource, &target.name));
    }
    let object = replace(store, target, &old, object, Tracked::By(target.writer(call, false)), call)?;
    target.answer(200, &object, call)
}

/// The object in the body of a PUT, PATCH or apply must bear the name of the path.
pub(crate) fn wrong_name(found: &str, wanted: &str) -> ApiError {
    ApiError::bad_request(if found.is_empty() {
        format!("the name of the object ({wanted} based on URL) was undeterminable: name must be provided")
    } else {
        format!("the name of the object ({found}) does not match the name on the URL ({wanted})")
    })
}

fn check_uid(resource: &Resource, old: &Value, new: &Value) -> Result<(), ApiError> {
    let (wanted, found) = (text(new, "uid"), text(old, "uid"));
    if wanted.is_empty() || wanted == found {
        return Ok(());
    }
    let folder = if resource.traits.custom { format!("{}/", resource.group) } else { String::new() };
    let namespace = if resource.namespaced { format!("{}/", text(old, "namespace")) } else { String::new() };
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{folder}{}/{namespace}{}, ResourceVersion: 0, \
         AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}",
        resource.plural,
        text(old, "name"),
    );
    Err(ApiError::conflict(resource, text(old, "name"), &why))
}

/// Whether the owners of fields are still to be worked out.
pub(crate) enum Tracked {
    By(apply::Writer),
    Already,
}

/// Stores the new state of an object, unless nothing changed.
pub(crate) fn replace(
    store: &mut Store,
    target: &Target<'_>,
    old: &Arc<Value>,
    mut new: Value,
    tracked: Tracked,
    call: &Call,
) -> Result<Arc<Value>, ApiError> {
    let resource = target.resource;
    let version = text(&new, "resourceVersion");
    if !version.is_empty() && version != text(old, "resourceVersion") {
        return Err(ApiError::stale(resource, &target.name));
    }
    keep_other_half(target, old, &mut new);
    admission::default(resource, &mut new);
    if resource.traits.custom {
        resource.schema.default(&mut new);
    }
    let uid = text(&new, "uid").to_owned();
    object::prepare_update(resource, old, &mut new);
    check(resource, &new, Some(old), &uid)?;
    if let Tracked::By(writer) = tracked {
        apply::updated(resource, Some(old), &mut new, &writer, &store.now());
    }
    if resource.kind == "CustomResourceDefinition" && !target.status {
        admission::established(&mut new, &store.now());
    }
    new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
    if new == **old {
        return Ok(old.clone());
    }
    if is_dry_run(call) {
        return Ok(Arc::new(new));
    }
    if is_deleting(&new) && !object::has_finalizers(&new) && new["metadata"]["deletionGracePeriodSeconds"] == 0 {
        // The answer shows the new state under the version before, the event the old one under that of the deletion.
        store.remove(&resource.storage(), target.key(), old.as_ref().clone());
        super::delete::unregister(store, resource, &new);
        return Ok(Arc::new(new));
    }
    register(store, resource, &new);
    Ok(store.put(&resource.storage(), target.key(), new))
}

/// A write to the main resource leaves the status alone, and one to the status everything else.
fn keep_other_half(target: &Target<'_>, old: &Value, new: &mut Value) {
    if target.status {
        let mut kept = old.clone();
        if !target.resource.traits.custom {
            kept["metadata"] = new["metadata"].clone();
        } else if let Some(fields) = new["metadata"].get("managedFields") {
            kept["metadata"]["managedFields"] = fields.clone();
        }
        set_or_remove(&mut kept, "status", new.get("status").cloned());
        *new = kept;
    } else if target.resource.traits.status {
        set_or_remove(new, "status", old.get("status").cloned());
    }
}

fn set_or_remove(object: &mut Value, name: &str, value: Option<Value>) {
    let Some(map) = object.as_object_mut() else { return };
    match value {
        Some(value) => drop(map.insert(name.to_owned(), value)),
        None => drop(map.remove(name)),
    }
}

/// PATCH.
pub(crate) fn patch(store: &mut Store, target: &Target<'_>, call: &Call) -> Answer {
    let media = call.info.content_type.as_str();
    if media == patch::APPLY {
        return super::server_side_apply::server_side_apply(store, target, call);
    }
    if call.query("force").is_some() {
        return Err(options_invalid("force", "Forbidden: may not be specified for non-apply patch"));
    }
    let resource = target.resource;
    patch::check_media(resource, media)?;
    let old = target.find(store)?;
    let shown = present(resource, &old, false);
    let patched = patch::patched(resource, &shown, media, &call.json()?)?;
    let mut object = decode_sent(resource, patched, call)?;
    if text(&object, "name") != target.name {
        return Err(wrong_name(text(&object, "name"), &target.name));
    }
    check_path_namespace(target, &object)?;
    if text(&object, "resourceVersion").is_empty() {
        object["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
    }
    forget_unchanged_owners(&old, &mut object);
    let object = replace(store, target, &old, object, Tracked::By(target.writer(call, false)), call)?;
    target.answer(200, &object, call)
}

/// Owners that came along in the object because the patch did not name them are not sent ones.
fn forget_unchanged_owners(old: &Value, object: &mut Value) {
    if object["metadata"].get("managedFields") == old["metadata"].get("managedFields") {
        object::metadata(object).remove("managedFields");
    }
}

/// A refusal of the parameters of a PATCH.
pub(crate) fn options_invalid(field: &str, complaint: &str) -> ApiError {
    let mut error =
        ApiError::new(422, "Invalid", format!("PatchOptions.meta.k8s.io \"\" is invalid: {field}: {complaint}"));
    let reason = if complaint.starts_with("Required") { "FieldValueRequired" } else { "FieldValueForbidden" };
    let cause = json!({"reason": reason, "message": complaint, "field": field});
    error.details = Some(json!({"group": "meta.k8s.io", "kind": "PatchOptions", "causes": [cause]}));
    error
}
