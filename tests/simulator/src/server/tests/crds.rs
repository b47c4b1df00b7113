//! Custom resources.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{ApiServer, refused};

fn definition() -> Value {
    let spec = json!({"type": "object", "required": ["size"], "properties": {
        "size": {"type": "integer", "minimum": 1},
        "mode": {"type": "string", "enum": ["A", "B"], "default": "A"},
        "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"],
                "properties": {"name": {"type": "string"}, "value": {"type": "string"}}}},
    }});
    let schema = json!({"type": "object", "properties": {"spec": spec,
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": schema}}]}})
}

async fn widgets(server: &ApiServer) -> Api<DynamicObject> {
    let definitions: Api<CustomResourceDefinition> = Api::all(server.client());
    let definition = serde_json::from_value(definition()).unwrap();
    definitions.create(&PostParams::default(), &definition).await.unwrap();
    api(server)
}

fn api(server: &ApiServer) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Widget"));
    Api::namespaced_with(server.client(), "default", &resource)
}

fn widget(spec: Value) -> DynamicObject {
    let object = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

#[tokio::test]
async fn an_undefined_resource_is_a_plain_404_and_a_defined_one_is_served() {
    let server = ApiServer::with_seed(1);
    let status = refused(api(&server).get("w").await);
    assert_eq!((status.code, status.message.as_str()), (404, "404 page not found"));
    let api = widgets(&server).await;
    assert_eq!(refused(api.get("w").await).message, "widgets.example.com \"w\" not found");
}

#[tokio::test]
async fn objects_are_pruned_defaulted_and_checked() {
    let server = ApiServer::with_seed(1);
    let api = widgets(&server).await;
    let status = refused(api.create(&PostParams::default(), &widget(json!({"mode": "C"}))).await);
    assert_eq!(status.code, 422);
    assert_eq!(
        status.message,
        "Widget.example.com \"w\" is invalid: [spec.size: Required value, spec.mode: Unsupported value: \"C\": \
         supported values: \"A\", \"B\"]"
    );
    let made = api.create(&PostParams::default(), &widget(json!({"size": 1, "odd": 2}))).await.unwrap();
    assert_eq!(made.data["spec"], json!({"size": 1, "mode": "A"}));
    assert_eq!(made.metadata.generation, Some(1));
}

#[tokio::test]
async fn status_and_spec_are_written_apart() {
    let server = ApiServer::with_seed(1);
    let api = widgets(&server).await;
    api.create(&PostParams::default(), &widget(json!({"size": 1}))).await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"size": 9}, "status": {"ready": true}}));
    let after = api.patch_status("w", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!((&after.data["spec"]["size"], &after.data["status"]), (&json!(1), &json!({"ready": true})));
    assert_eq!(after.metadata.generation, Some(1));
    let patch = Patch::Merge(json!({"spec": {"size": 9}, "status": {"ready": false}}));
    let after = api.patch("w", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!((&after.data["spec"]["size"], &after.data["status"]), (&json!(9), &json!({"ready": true})));
    assert_eq!(after.metadata.generation, Some(2));
}

#[tokio::test]
async fn a_replace_of_a_custom_resource_needs_a_version() {
    let server = ApiServer::with_seed(1);
    let api = widgets(&server).await;
    api.create(&PostParams::default(), &widget(json!({"size": 1}))).await.unwrap();
    let status = refused(api.replace("w", &PostParams::default(), &widget(json!({"size": 2}))).await);
    assert!(status.code == 422 && status.message.contains("must be specified for an update"), "{}", status.message);
}

#[tokio::test]
async fn applies_merge_lists_by_their_keys_and_own_their_items() {
    let server = ApiServer::with_seed(1);
    let api = widgets(&server).await;
    let apply = async |manager: &str, list: Value, force: bool| {
        let body = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"},
            "spec": {"size": 1, "list": list}});
        let params = PatchParams { force, ..PatchParams::apply(manager) };
        api.patch("w", &params, &Patch::Apply(body)).await
    };
    apply("one", json!([{"name": "a", "value": "1"}]), false).await.unwrap();
    let both = apply("two", json!([{"name": "b", "value": "2"}]), false).await.unwrap();
    assert_eq!(both.data["spec"]["list"].as_array().unwrap().len(), 2);
    let status = refused(apply("two", json!([{"name": "a", "value": "2"}]), false).await);
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"one\": .spec.list[name=\"a\"].value");
    let only = apply("two", json!([]), true).await.unwrap();
    assert_eq!(only.data["spec"]["list"], json!([{"name": "a", "value": "1"}]));
}
