//! PATCH as server-side apply.

use serde_json::{Value, json};

use super::{
    apply,
    decode::{decode, strict},
    object::{self, text},
    registry::Resource,
    request::Call,
    status::ApiError,
    store::Store,
    write::{
        Answer, Target, Tracked, check_namespace, check_path_namespace, insert, is_dry_run, options_invalid, prepare,
        replace, wrong_name,
    },
};

/// Creates or changes the object so that the applied fields have the applied values, and are owned.
pub(crate) fn server_side_apply(store: &mut Store, target: &Target<'_>, call: &Call) -> Answer {
    let resource = target.resource;
    if call.query("fieldManager").is_none() {
        return Err(options_invalid("fieldManager", "Required value: is required for apply patch"));
    }
    let sent = call.json()?;
    if sent["metadata"].get("managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let old = target.find(store).ok();
    if old.is_none() && target.status {
        return Err(ApiError::not_found(resource, &target.name));
    }
    // What is merged is what was sent, empty maps and all; decoding finds what is no such object.
    check_kind(resource, &sent)?;
    check_types(resource, &sent)?;
    decode(resource, sent.clone(), strict(call)).map_err(|error| unconvertible(resource, &sent, error))?;
    let mut config = sent;
    if text(&config, "name") != target.name {
        return Err(wrong_name(text(&config, "name"), &target.name));
    }
    check_path_namespace(target, &config)?;
    if resource.namespaced {
        object::metadata(&mut config).insert("namespace".into(), target.namespace.clone().into());
    }
    let (writer, now, force) = (target.writer(call, true), store.now(), call.flag("force"));
    let Some(old) = old else {
        let uid = text(&config, "uid");
        if !uid.is_empty() {
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(ApiError::conflict(resource, &target.name, &why));
        }
        check_namespace(store, target, &config)?;
        let empty = json!({"apiVersion": resource.api_version(), "kind": resource.kind, "metadata": {}});
        let object = apply::applied(resource, &empty, &config, &writer, force, &now)?;
        let mut object = decode(resource, object, false)?;
        prepare(store, target, &mut object);
        let object = insert(store, target, object, is_dry_run(call))?;
        return target.answer(201, &object, call);
    };
    let mut object = apply::applied(resource, &old, &config, &writer, force, &now)?;
    if !text(&config, "uid").is_empty() {
        object["metadata"]["uid"] = text(&config, "uid").into();
    }
    let mut object = decode(resource, object, false)?;
    // A resourceVersion in the applied configuration is a precondition; whatever is live is none.
    object["metadata"]["resourceVersion"] = match text(&config, "resourceVersion") {
        "" => old["metadata"]["resourceVersion"].clone(),
        wanted => wanted.into(),
    };
    let object = replace(store, target, &old, object, Tracked::Already, call)?;
    target.answer(200, &object, call)
}

/// In an apply a value that cannot be decoded is found late, when the result is converted.
fn unconvertible(resource: &Resource, sent: &Value, error: ApiError) -> ApiError {
    let Some((_, illegal)) = error.message.split_once("illegal base64") else { return error };
    let (what, kind) = (identity(resource, sent), type_of(resource));
    ApiError::internal(format!(
        "failed to convert new object {what} to proper version: unable to convert unstructured object to {kind}: error \
         decoding from json: illegal base64{illegal}"
    ))
}

/// `(namespace/name; group/version, Kind=X)`.
fn identity(resource: &Resource, sent: &Value) -> String {
    format!("({}/{}; {})", text(sent, "namespace"), text(sent, "name"), type_of(resource))
}

fn type_of(resource: &Resource) -> String {
    let core = if resource.group.is_empty() { "/" } else { "" };
    format!("{core}{}, Kind={}", resource.api_version(), resource.kind)
}

/// An apply says what it is about, in full.
fn check_kind(resource: &Resource, sent: &Value) -> Result<(), ApiError> {
    let (version, kind) = (sent["apiVersion"].as_str().unwrap_or_default(), sent["kind"].as_str().unwrap_or_default());
    if (version, kind) == (&resource.api_version(), &resource.kind) {
        return Ok(());
    }
    let core = if version.contains('/') { "" } else { "/" };
    Err(ApiError::bad_request(format!("invalid object type: {core}{version}, Kind={kind}")))
}

/// An apply of what does not fit the types fails before anything else is asked, and not as the client's fault.
fn check_types(resource: &Resource, sent: &Value) -> Result<(), ApiError> {
    let found = apply::mismatches(resource.schema.root(), sent);
    if found.is_empty() {
        return Ok(());
    }
    let (what, found) = (identity(resource, sent), found.join("\n"));
    Err(ApiError::internal(format!("failed to create typed patch object {what}: {found}")))
}
