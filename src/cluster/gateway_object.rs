//! Gateways as objects: who holds which of their fields, and the write of the one that is managed.

use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use super::{
    MANAGED_BY, MANAGER,
    apply::format_undone,
    error::{CALL_TIMEOUT, CallError, bounded, classify, field_conflict, is_unknown_resource},
    gather::{foreign, from_api, parse_undone, version_of},
    is_own_manager,
};
use crate::{
    api::{self, GATEWAY_VERSIONS, GatewayCertificateSpec, ISTIO_GROUP, IstioGateway},
    lifecycle::{
        FailureKind, ObjectName, Version,
        gateway_object::{GatewayWants, GatewayWrite, Holder, ObjectFacts, Placed},
        serving::{Server, Tls},
    },
};

/// A resourceVersion that no object ever has: an apply that names it creates, and never merges into what is there.
const NEVER: &str = "1";

/// The spec has the Gateway itself written.
pub(crate) fn manages(spec: &GatewayCertificateSpec) -> bool {
    let management = spec.gateway.as_ref().and_then(|gateway| gateway.management);
    management == Some(api::GatewayManagement::Manage)
}

/// What the spec says of the Gateway itself.
pub(super) fn gateway_wants(spec: &GatewayCertificateSpec) -> GatewayWants {
    let gateway = spec.gateway.clone().unwrap_or_default();
    let policy = gateway.policy.unwrap_or_default();
    GatewayWants {
        manage: manages(spec),
        watch: gateway.management.is_some(),
        selector: (!gateway.selector.is_empty()).then_some(gateway.selector),
        apex: policy.include_apex.unwrap_or(false),
        min_version: policy.min_protocol_version.map(|version| version.as_str().to_owned()),
        suites: policy.cipher_suites,
        plain: policy.https_redirect == Some(false),
        mode: policy.mode.map(|mode| mode.as_str().to_owned()),
    }
}

/// What a Gateway tells of itself and of those who write it.
pub(super) fn object_facts(object: &IstioGateway) -> ObjectFacts {
    let annotations = object.annotations();
    ObjectFacts {
        version: version_of(object),
        deleting: object.metadata.deletion_timestamp.is_some(),
        owner: annotations.get(api::OWNER).cloned(),
        foreign: foreign(object),
        holders: holders(object),
        undone: annotations.get(api::UNDONE).map(|text| parse_undone(text)).unwrap_or_default(),
    }
}

/// Who owns `spec.servers`, which is one whole in Istio's schema, and the labels of `spec.selector`.
fn holders(object: &IstioGateway) -> Vec<Holder> {
    let mut holders = Vec::new();
    for entry in object.managed_fields() {
        let (Some(manager), Some(fields)) = (entry.manager.as_ref(), entry.fields_v1.as_ref()) else { continue };
        if is_own_manager(manager) {
            continue;
        }
        let at = entry.time.as_ref().map(from_api);
        let mut hold = |field: String| holders.push(Holder { manager: manager.clone(), field, at });
        let spec = &fields.0["f:spec"];
        if spec.get("f:servers").is_some() {
            hold(".spec.servers".to_owned());
        }
        let labels = spec["f:selector"].as_object().into_iter().flatten();
        for label in labels.filter_map(|(key, _)| key.strip_prefix("f:")) {
            hold(format!(".spec.selector.{label}"));
        }
    }
    holders
}

/// Writes the Gateway: server-side apply of our own fields as our own field manager, onto the state that was decided on.
///
/// # Errors
/// [`CallError::Stale`] when it is not in that state, [`CallError::Failed`] for the rest: of the kind
/// [`FailureKind::Conflict`] where somebody else owns a field, which is named with its manager.
pub async fn write(client: &Client, write: &GatewayWrite, owner: &ObjectName) -> Result<IstioGateway, CallError> {
    let (api, version, found) = read(client, &write.target).await?;
    if found.as_ref().map(version_of) != write.base {
        return Err(CallError::Stale);
    }
    let patch = Patch::Apply(object(write, owner, version, found.as_ref()));
    let params = PatchParams { force: write.force, ..PatchParams::apply(MANAGER) };
    let applied = api.patch(&write.target.name, &params, &patch);
    let applied = match tokio::time::timeout(CALL_TIMEOUT, applied).await {
        Ok(Ok(applied)) => applied,
        Ok(Err(error)) => {
            return Err(match field_conflict(&error) {
                Some(words) => CallError::Failed(FailureKind::Conflict, words),
                None => explain(classify(&error), &write.target),
            });
        }
        Err(_) => return Err(too_slow()),
    };
    let left = drop_labels(&api, write, &applied).await.map_err(|error| explain(error, &write.target))?;
    typed(&left.unwrap_or(applied))
}

/// An apply removes no label that was never ours: those that are to go and are still there are taken off, after it, so that
/// the selector is never empty in between (it would mean every gateway of the mesh).
async fn drop_labels(
    api: &Api<DynamicObject>,
    write: &GatewayWrite,
    seen: &DynamicObject,
) -> Result<Option<DynamicObject>, CallError> {
    let there = &seen.data["spec"]["selector"];
    let left = write.dropped.iter().filter(|label| there.get(label.as_str()).is_some());
    let labels: serde_json::Map<String, Value> = left.map(|label| (label.clone(), Value::Null)).collect();
    if labels.is_empty() {
        return Ok(None);
    }
    let Version { uid, resource_version } = version_of(seen);
    let metadata = json!({"uid": uid, "resourceVersion": resource_version});
    let patch = json!({"metadata": metadata, "spec": {"selector": labels}});
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    bounded(api.patch(&write.target.name, &params, &Patch::Merge(patch))).await.map(Some)
}

/// What is applied: our own fields and, as the list of servers is one whole, the servers of others as they are.
fn object(write: &GatewayWrite, owner: &ObjectName, version: &str, found: Option<&DynamicObject>) -> Value {
    let there = found.map(|found| &found.data["spec"]["servers"]).unwrap_or(&Value::Null);
    let servers: Vec<Value> = write.servers.iter().map(|placed| server(there, placed)).collect();
    let mut object = json!({
        "apiVersion": format!("{ISTIO_GROUP}/{version}"), "kind": "Gateway",
        "metadata": {
            "name": write.target.name, "namespace": write.target.namespace,
            "annotations": {api::OWNER: owner.to_string()},
        },
        "spec": {"selector": write.selector, "servers": servers},
    });
    let metadata = &mut object["metadata"];
    if !write.undone.is_empty() {
        metadata["annotations"][api::UNDONE] = format_undone(&write.undone).into();
    }
    // It says who made an object: where somebody else did, Helm perhaps, that is no reason for a conflict.
    if found.and_then(|found| found.labels().get(MANAGED_BY)).is_none_or(|manager| manager == MANAGER) {
        metadata["labels"] = json!({MANAGED_BY: MANAGER});
    }
    match found.map(version_of) {
        None => metadata["resourceVersion"] = NEVER.into(),
        Some(base) => {
            metadata["uid"] = base.uid.into();
            metadata["resourceVersion"] = base.resource_version.into();
        }
    }
    object
}

/// The Gateway as it is now.
///
/// # Errors
/// As [`write()`].
pub async fn look(client: &Client, name: &ObjectName) -> Result<Option<IstioGateway>, CallError> {
    let (_, _, found) = read(client, name).await?;
    found.as_ref().map(typed).transpose()
}

fn typed(object: &DynamicObject) -> Result<IstioGateway, CallError> {
    let words = |error: serde_json::Error| {
        let words = format!("the API server's answer is no Gateway: {:?} error", error.classify());
        CallError::Failed(FailureKind::Transient, words)
    };
    let value = serde_json::to_value(object).map_err(words)?;
    serde_json::from_value(value).map_err(words)
}

/// The Gateway as it is, in the newest version that the server has.
async fn read(
    client: &Client,
    name: &ObjectName,
) -> Result<(Api<DynamicObject>, &'static str, Option<DynamicObject>), CallError> {
    for version in GATEWAY_VERSIONS {
        let kind = GroupVersionKind::gvk(ISTIO_GROUP, version, "Gateway");
        let resource = ApiResource::from_gvk_with_plural(&kind, "gateways");
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &name.namespace, &resource);
        match tokio::time::timeout(CALL_TIMEOUT, api.get(&name.name)).await {
            Ok(Ok(found)) => return Ok((api, version, Some(found))),
            Ok(Err(error)) if is_unknown_resource(&error) => {}
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Ok((api, version, None)),
            Ok(Err(error)) => return Err(explain(classify(&error), name)),
            Err(_) => return Err(too_slow()),
        }
    }
    Err(CallError::Failed(FailureKind::Transient, format!("the API server knows no gateways.{ISTIO_GROUP}")))
}

fn too_slow() -> CallError {
    let words = format!("the API server did not answer within {} s", CALL_TIMEOUT.as_secs());
    CallError::Failed(FailureKind::Transient, words)
}

/// A missing right, with the rule to grant.
fn explain(error: CallError, name: &ObjectName) -> CallError {
    match error {
        CallError::Failed(FailureKind::Denied, said) => {
            let words = format!(
                "grant the verbs get, create and patch on gateways.{ISTIO_GROUP} with resourceNames [\"{}\"] in namespace {} \
                 (API server: {said})",
                name.name, name.namespace
            );
            CallError::Failed(FailureKind::Denied, words)
        }
        error => error,
    }
}

/// A server as the API has it: what is there and, where it shall change, our fields in it.
fn server(there: &Value, placed: &Placed) -> Value {
    let mut server = placed.from.map(|index| there[index].clone()).filter(Value::is_object).unwrap_or(json!({}));
    if !placed.changed {
        return server;
    }
    let Server { name, port, protocol, hosts, tls } = &placed.server;
    for (key, value) in [("number", json!(port)), ("name", json!(name)), ("protocol", json!(protocol))] {
        server["port"][key] = value;
    }
    server["hosts"] = json!(hosts);
    match tls {
        None => drop(server.as_object_mut().and_then(|server| server.remove("tls"))),
        Some(tls) => {
            let mut settings = Some(server["tls"].take()).filter(Value::is_object).unwrap_or(json!({}));
            put_tls(&mut settings, tls);
            server["tls"] = settings;
        }
    }
    server
}

/// What is empty goes; keys that are not known here stay.
fn put_tls(settings: &mut Value, tls: &Tls) {
    let Some(settings) = settings.as_object_mut() else { return };
    let text = |text: &str| (!text.is_empty()).then(|| json!(text));
    let fields = [
        ("mode", text(&tls.mode)),
        ("credentialName", tls.credential.as_deref().and_then(text)),
        ("minProtocolVersion", text(&tls.min_version)),
        ("maxProtocolVersion", text(&tls.max_version)),
        ("cipherSuites", (!tls.suites.is_empty()).then(|| json!(tls.suites))),
        ("httpsRedirect", tls.redirect.then_some(Value::Bool(true))),
    ];
    for (key, value) in fields {
        match value {
            Some(value) => drop(settings.insert(key.to_owned(), value)),
            None => drop(settings.remove(key)),
        }
    }
    if !tls.files {
        // Files beside a credential, or several credentials beside one, contradict it.
        for key in ["serverCertificate", "privateKey", "caCertificates", "credentialNames", "tlsCertificates"] {
            settings.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_what_is_not_known_here_and_loses_what_contradicts() {
        let raw = json!([{"port": {"number": 443, "name": "https", "protocol": "HTTPS", "targetPort": 1},
            "bind": "0.0.0.0", "hosts": ["old"],
            "tls": {"serverCertificate": "/a", "privateKey": "/b", "subjectAltNames": ["x"]}}]);
        let tls = Tls { mode: "SIMPLE".to_owned(), credential: Some("c".to_owned()), ..Tls::default() };
        let (name, protocol) = ("https".to_owned(), "HTTPS".to_owned());
        let changed = Server { name, port: 443, protocol, hosts: vec!["new".to_owned()], tls: Some(tls) };
        let placed = Placed { from: Some(0), changed: true, server: changed };
        let wanted = json!({"port": {"number": 443, "name": "https", "protocol": "HTTPS", "targetPort": 1},
            "bind": "0.0.0.0", "hosts": ["new"],
            "tls": {"mode": "SIMPLE", "credentialName": "c", "subjectAltNames": ["x"]}});
        assert_eq!(server(&raw, &placed), wanted);
        assert_eq!(server(&raw, &Placed { changed: false, ..placed }), raw[0]);
    }

    #[test]
    fn whoever_holds_a_field_is_known_by_name_and_we_are_not_among_them() {
        let fields = |fields: Value, manager: &str| {
            json!({"manager": manager, "operation": "Update", "apiVersion": "x/v1", "fieldsType": "FieldsV1",
                "time": "2026-01-01T00:00:00Z", "fieldsV1": fields})
        };
        let edit = json!({"f:spec": {".": {}, "f:servers": {}, "f:selector": {".": {}, "f:app": {}}}});
        let gateway: IstioGateway = serde_json::from_value(json!({
            "metadata": {"name": "g", "managedFields": [
                fields(edit, "kubectl-edit"),
                fields(json!({"f:spec": {"f:servers": {}}}), MANAGER),
                fields(json!({"f:metadata": {"f:labels": {}}}), "labeller"),
            ]},
            "spec": {},
        }))
        .expect("a Gateway");
        let found: Vec<(String, String)> = holders(&gateway).into_iter().map(|one| (one.manager, one.field)).collect();
        let held = |field: &str| ("kubectl-edit".to_owned(), field.to_owned());
        assert_eq!(found, [held(".spec.servers"), held(".spec.selector.app")]);
    }
}
