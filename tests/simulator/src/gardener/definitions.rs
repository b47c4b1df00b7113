//! The definitions of Certificate and Issuer, with the real ones' types, limits and required fields: what the real
//! API server refuses, prunes or takes, this one does too.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::worker::resource;

/// A qualified name, as Kubernetes has it for the type of a condition.
const CONDITION_TYPE: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?\
    (([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";

/// Defines Certificates and Issuers, and waits until they are served.
///
/// # Errors
/// What the API server answers.
pub async fn install(client: &Client) -> Result<(), kube::Error> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for (kind, plural, schema) in [("Certificate", "certificates", certificate()), ("Issuer", "issuers", issuer())] {
        let name = format!("{plural}.cert.gardener.cloud");
        if crds.get_opt(&name).await?.is_none() {
            let crd = definition(&name, kind, plural, &schema);
            crds.patch(&name, &PatchParams::apply("virtual-gardener"), &Patch::Apply(&crd)).await?;
        }
        let objects: Api<kube::api::DynamicObject> = Api::all_with(client.clone(), &resource(kind));
        // In the first second after a definition is established its resources may still be unknown.
        let mut attempts = 0;
        while let Err(error) = objects.list(&ListParams::default()).await {
            attempts += 1;
            if attempts == 200 {
                return Err(error);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

fn definition(name: &str, kind: &str, plural: &str, schema: &Value) -> Value {
    let mut names = json!({"kind": kind, "listKind": format!("{kind}List"), "plural": plural,
        "singular": kind.to_lowercase()});
    if kind == "Certificate" {
        names["shortNames"] = json!(["cert"]);
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
        "spec": {
            "group": "cert.gardener.cloud", "names": names, "scope": "Namespaced",
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

fn object(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

fn with_required(mut schema: Value, required: &[&str]) -> Value {
    schema["required"] = json!(required);
    schema
}

fn top(spec: Value, status: Value) -> Value {
    let string = json!({"type": "string"});
    let metadata = json!({"type": "object"});
    let properties =
        json!({"apiVersion": string, "kind": string, "metadata": metadata, "spec": spec, "status": status});
    with_required(object(properties), &["spec"])
}

/// A reference that is replaced as a whole.
fn secret_ref() -> Value {
    let mut schema = object(json!({"name": {"type": "string"}, "namespace": {"type": "string"}}));
    schema["x-kubernetes-map-type"] = json!("atomic");
    schema
}

fn keystore() -> Value {
    let password = object(json!({"key": {"type": "string"}, "secretName": {"type": "string"}}));
    let password = with_required(password, &["secretName"]);
    with_required(
        object(json!({"create": {"type": "boolean"}, "passwordSecretRef": password})),
        &["create", "passwordSecretRef"],
    )
}

fn certificate() -> Value {
    let (string, boolean) = (json!({"type": "string"}), json!({"type": "boolean"}));
    let (strings, time) = (json!({"type": "array", "items": string}), json!({"type": "string", "format": "date-time"}));
    let count = json!({"type": "integer", "format": "int64"});
    let issuer_ref = with_required(object(json!({"name": string, "namespace": string})), &["name"]);
    let private_key = object(json!({
        "algorithm": {"type": "string", "enum": ["RSA", "ECDSA"]},
        "encoding": {"type": "string", "enum": ["PKCS1", "PKCS8"]},
        "size": {"type": "integer", "format": "int32", "enum": [256, 384, 2048, 3072, 4096]},
    }));
    let spec = object(json!({
        "commonName": {"type": "string", "maxLength": 64}, "csr": {"type": "string", "format": "byte"},
        "dnsNames": strings, "duration": string, "emailAddresses": strings, "ensureRenewedAfter": time,
        "followCNAME": boolean, "ipAddresses": strings, "isCA": boolean, "issuerRef": issuer_ref,
        "keystores": object(json!({"jks": keystore(), "pkcs12": keystore()})), "preferredChain": string,
        "privateKey": private_key, "renew": boolean, "renewBefore": string,
        "secretLabels": {"type": "object", "additionalProperties": string}, "secretName": string,
        "secretRef": secret_ref(), "uris": strings,
    }));
    let backoff = object(json!({"observedGeneration": count, "recheckAfter": time, "recheckInterval": string}));
    let issuer = object(json!({"cluster": string, "name": string, "namespace": string}));
    let status = object(json!({
        "backoff": with_required(backoff, &["recheckAfter", "recheckInterval"]), "commonName": string,
        "conditions": {"type": "array", "items": condition()}, "dnsNames": strings, "expirationDate": string,
        "issuanceDate": string, "issuerRef": with_required(issuer, &["name", "namespace"]),
        "lastPendingTimestamp": time, "message": string, "observedGeneration": count, "renewalDate": string,
        "state": string,
    }));
    top(spec, with_required(status, &["state"]))
}

fn condition() -> Value {
    let condition = object(json!({
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "message": {"type": "string", "maxLength": 32768},
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        "reason": {"type": "string", "minLength": 1, "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "type": {"type": "string", "maxLength": 316, "pattern": CONDITION_TYPE},
    }));
    with_required(condition, &["lastTransitionTime", "message", "reason", "status", "type"])
}

fn issuer() -> Value {
    let string = json!({"type": "string"});
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let spec = object(json!({
        "acme": open, "ca": object(json!({"privateKeySecretRef": secret_ref()})),
        "requestsPerDayQuota": {"type": "integer"}, "selfSigned": {"type": "object"},
    }));
    let status = object(json!({
        "acme": open, "ca": open, "message": string, "observedGeneration": {"type": "integer", "format": "int64"},
        "requestsPerDayQuota": {"type": "integer"}, "state": string, "type": string,
    }));
    top(spec, with_required(status, &["state"]))
}
