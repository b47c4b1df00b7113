//! Whose the Gateway is: conflicts are told and nothing is forced, what is gone is put back.

use certkeeper::{
    cluster::{error::CallError, gateway_object},
    lifecycle::{
        Entry, FailureKind, ObjectName, Version,
        gateway_object::{GatewayWrite, Placed},
        serving::Server,
    },
};
use kube::{
    ResourceExt,
    api::{DeleteParams, DynamicObject},
};
use serde_json::{Value, json};

use crate::{
    gateway_object::{
        documented, documented_for, edit, found, gateway, gateways, install_istio, managed, managing, put, says, spec,
        told,
    },
    pki::{self, Ca},
    scenarios,
    world::World,
};

scenarios!(
    a_managed_gateway_that_is_deleted_is_created_again_but_not_without_end,
    an_edit_by_hand_is_a_conflict_and_what_is_let_go_is_put_back,
    a_persons_word_undoes_edits_three_times,
    a_label_that_is_gone_comes_back_and_one_of_somebody_else_is_a_conflict,
    a_conflict_over_fields_is_told_from_a_stale_state,
    a_default_does_not_stop_a_gateway_from_asking_its_clients,
    somebody_elses_gateway_is_a_conflict_that_names_manager_and_field,
    a_persons_word_takes_the_gateway_over_and_other_servers_stay,
    a_selector_that_nobody_named_is_not_put_over_another,
    one_of_two_objects_manages_the_gateway,
);

async fn a_managed_gateway_that_is_deleted_is_created_again_but_not_without_end(world: World) {
    let _keeper = managed(&world).await;
    for times in 1..=3 {
        let before = gateway(&world).await.and_then(|gateway| gateway.uid());
        gateways(&world, "v1").delete("gw", &DeleteParams::default()).await.expect("deleted");
        assert!(told(&world, "GatewayRestored", times).await.contains("was deleted and is created again"));
        says(&world, &documented(&world)).await;
        assert_ne!(gateway(&world).await.and_then(|gateway| gateway.uid()), before);
        world.is_silent().await;
    }
    gateways(&world, "v1").delete("gw", &DeleteParams::default()).await.expect("deleted");
    let message = world.condition("x", "Ready", "False", "GatewayConflict").await;
    assert!(message.contains("3 times within an hour"), "{message}");
    world.is_silent().await;
    assert!(gateway(&world).await.is_none());
}

/// A change of the servers as somebody makes it by hand.
fn weak() -> Value {
    let tls = json!({"mode": "SIMPLE", "credentialName": "gw-certs", "minProtocolVersion": "TLSV1_0"});
    let port = json!({"number": 443, "name": "https", "protocol": "HTTPS"});
    json!({"spec": {"servers": [{"port": port, "hosts": [pki::WILDCARD], "tls": tls}]}})
}

async fn an_edit_by_hand_is_a_conflict_and_what_is_let_go_is_put_back(world: World) {
    let _keeper = managed(&world).await;
    edit(&world, "kubectl-edit", weak()).await;
    let message = world.condition("x", "Ready", "False", "GatewayConflict").await;
    assert!(message.contains("field manager \"kubectl-edit\" owns .spec.servers"), "{message}");
    assert!(message.contains("remove the field") && message.contains("managementPolicy"), "{message}");
    let message = found(&world, "gateway-min-version").await;
    assert!(message.contains("spec.servers[0].tls.minProtocolVersion: found TLSV1_0"), "{message}");
    told(&world, "GatewayConflict", 1).await;
    world.is_silent().await;
    assert_eq!(gateway(&world).await.expect("there").data["spec"]["servers"], weak()["spec"]["servers"]);
    // What the pods serve is kept up all the same.
    let next = Ca::new().issue_rsa();
    world.supply(&next).await;
    world.promoted(&next).await;
    world.is_silent().await;
    edit(&world, "kubectl-edit", json!({"spec": {"servers": null}})).await;
    says(&world, &documented(&world)).await;
    assert!(told(&world, "GatewayRestored", 1).await.contains("lost its servers"));
    world.condition("x", "Ready", "Unknown", "NoPods").await;
    world.is_silent().await;
}

async fn a_persons_word_undoes_edits_three_times(world: World) {
    let _keeper = managed(&world).await;
    edit(&world, "kubectl-edit", weak()).await;
    world.condition("x", "Ready", "False", "GatewayConflict").await;
    world.patch_object("x", json!({"spec": {"managementPolicy": "Manage"}})).await;
    for times in 1..=3 {
        says(&world, &documented(&world)).await;
        let message = told(&world, "GatewayRestored", times).await;
        assert!(message.contains("\"kubectl-edit\" in .spec.servers"), "{message}");
        edit(&world, "kubectl-edit", weak()).await;
    }
    let message = world.condition("x", "Ready", "False", "GatewayConflict").await;
    assert!(message.contains("\"kubectl-edit\" undid certkeeper's write three times"), "{message}");
    world.is_silent().await;
    assert_eq!(gateway(&world).await.expect("there").data["spec"]["servers"], weak()["spec"]["servers"]);
}

async fn a_label_that_is_gone_comes_back_and_one_of_somebody_else_is_a_conflict(world: World) {
    let _keeper = managed(&world).await;
    let ours = json!({"spec": {"selector": {"app": null}}});
    edit(&world, "kubectl-edit", ours).await;
    assert!(told(&world, "GatewayRestored", 1).await.contains("lost its selector"));
    says(&world, &documented(&world)).await;
    edit(&world, "kubectl-edit", json!({"spec": {"selector": {"nobody": "has-it"}}})).await;
    let message = world.condition("x", "Ready", "False", "GatewayConflict").await;
    assert!(message.contains("\"kubectl-edit\" owns .spec.selector.nobody"), "{message}");
    world.is_silent().await;
    let both = json!({"app": world.mesh, "nobody": "has-it"});
    assert_eq!(gateway(&world).await.expect("there").data["spec"]["selector"], both);
    world.patch_object("x", json!({"spec": {"managementPolicy": "Manage"}})).await;
    says(&world, &documented(&world)).await;
    world.is_silent().await;
}

async fn a_conflict_over_fields_is_told_from_a_stale_state(world: World) {
    install_istio(&world).await;
    put(&world, "api-gateway", documented(&world)).await;
    let seen = gateway(&world).await.expect("there");
    let version = |of: &DynamicObject| {
        Some(Version { uid: of.uid().expect("a uid"), resource_version: of.resource_version().expect("a version") })
    };
    let (name, protocol, hosts) = ("https".to_owned(), "HTTPS".to_owned(), vec![pki::WILDCARD.to_owned()]);
    let server = Server { name, port: 443, protocol, hosts, tls: None };
    let write = |base: Option<Version>| GatewayWrite {
        target: ObjectName::new(&world.mesh, "gw"),
        base,
        force: false,
        selector: [("app".to_owned(), world.mesh.clone())].into(),
        dropped: Vec::new(),
        servers: vec![Placed { from: None, changed: true, server: server.clone() }],
        undone: Vec::new(),
        entry: Entry {
            time: chrono::Utc::now(),
            reason: "GatewayWritten".to_owned(),
            message: String::new(),
            manager: None,
            warning: false,
        },
    };
    let owner = ObjectName::new(&world.home, "x");
    let told = |base: Option<Version>| {
        let (write, owner, client) = (write(base), owner.clone(), world.client.clone());
        async move { gateway_object::write(&client, &write, &owner).await.expect_err("a conflict") }
    };
    match told(version(&seen)).await {
        CallError::Failed(FailureKind::Conflict, words) => {
            assert!(words.contains("\"api-gateway\"") && words.contains(".spec.servers"), "{words}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(told(None).await, CallError::Stale, "it is there by now");
    edit(&world, "somebody", json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(told(version(&seen)).await, CallError::Stale, "it has changed");
    assert_eq!(gateway(&world).await.expect("there").data["spec"], documented(&world));
}

async fn a_default_does_not_stop_a_gateway_from_asking_its_clients(world: World) {
    install_istio(&world).await;
    let mut asking = documented(&world);
    asking["servers"][0]["tls"]["mode"] = "MUTUAL".into();
    put(&world, "api-gateway", asking.clone()).await;
    let _keeper = managing(&world, json!({})).await;
    world.patch_object("x", json!({"spec": {"managementPolicy": "Manage"}})).await;
    world
        .eventually("the person is asked", || async {
            let message = found(&world, "gateway-not-written").await;
            message.contains("set spec.gateway.policy.mode to SIMPLE").then_some(())
        })
        .await;
    world.is_silent().await;
    assert_eq!(gateway(&world).await.expect("there").data["spec"], asking);
    world.patch_object("x", json!({"spec": {"gateway": {"policy": {"mode": "SIMPLE"}}}})).await;
    says(&world, &documented(&world)).await;
}

async fn somebody_elses_gateway_is_a_conflict_that_names_manager_and_field(world: World) {
    let (world, _mesh) = world.with_gateway(&["a"]).await;
    gateways(&world, "v1").delete("gw", &DeleteParams::default()).await.expect("deleted");
    let mut theirs = documented(&world);
    theirs["servers"][0]["tls"]["minProtocolVersion"] = "TLSV1_0".into();
    put(&world, "api-gateway", theirs.clone()).await;
    let _keeper = managing(&world, json!({})).await;
    let message = world.condition("x", "Ready", "False", "GatewayConflict").await;
    assert!(message.contains("field manager \"api-gateway\" owns .spec.servers"), "{message}");
    assert!(found(&world, "gateway-conflict").await.starts_with("error"));
    found(&world, "gateway-min-version").await;
    world.condition("x", "Served", "True", "Served").await;
    world.is_silent().await;
    assert_eq!(gateway(&world).await.expect("there").data["spec"], theirs);
    // Once it says what it should there is nothing to write, whoever owns it.
    edit(&world, "api-gateway", json!({ "spec": documented(&world) })).await;
    world.condition("x", "Ready", "True", "Ready").await;
    world.is_silent().await;
    assert!(!gateway(&world).await.expect("there").annotations().contains_key("certs.kyma-project.io/owner"));
}

async fn a_persons_word_takes_the_gateway_over_and_other_servers_stay(world: World) {
    install_istio(&world).await;
    let other = json!({"port": {"number": 443, "name": "shop", "protocol": "HTTPS"}, "hosts": ["shop.example.org"],
        "bind": "0.0.0.0", "tls": {"mode": "MUTUAL", "credentialName": "shop-certs", "subjectAltNames": ["a"]}});
    let https = json!({"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": ["./old.example.com"],
        "defaultEndpoint": "127.0.0.1:1", "tls": {"mode": "SIMPLE", "credentialName": "kubernetes://gw-certs"}});
    let theirs = json!({"selector": {"app": world.mesh, "old": "label"}, "servers": [other, https]});
    put(&world, "api-gateway", theirs).await;
    let _keeper = managing(&world, json!({})).await;
    world.condition("x", "Ready", "False", "GatewayConflict").await;
    world.patch_object("x", json!({"spec": {"managementPolicy": "Manage"}})).await;
    let mut wanted = documented(&world);
    wanted["servers"][0]["defaultEndpoint"] = "127.0.0.1:1".into();
    // Another way to write the same name stays.
    wanted["servers"][0]["tls"]["credentialName"] = "kubernetes://gw-certs".into();
    wanted["servers"] = json!([other, wanted["servers"][0], wanted["servers"][1]]);
    says(&world, &wanted).await;
    told(&world, "GatewayWritten", 1).await;
    world.is_silent().await;
}

async fn a_selector_that_nobody_named_is_not_put_over_another(world: World) {
    let (world, _mesh) = world.with_gateway(&["a"]).await;
    let _keeper = managing(&world, json!({"selector": {}})).await;
    world.patch_object("x", json!({"spec": {"managementPolicy": "Manage"}})).await;
    world
        .eventually("the selector is told", || async {
            let message = found(&world, "gateway-not-written").await;
            let selector = format!("app={}", world.mesh);
            (message.contains(&selector) && message.contains("spec.gateway.selector")).then_some(())
        })
        .await;
    world.condition("x", "Served", "True", "Served").await;
    world.is_silent().await;
}

async fn one_of_two_objects_manages_the_gateway(world: World) {
    install_istio(&world).await;
    world.supply(&Ca::new().issue_rsa()).await;
    world.ask(spec(&world, json!({}))).await;
    let second = format!("{}/gw-certs-2", world.mesh);
    let _keeper = world.keeper_with(world.settings_with(&[&second]), world.client.clone());
    says(&world, &documented(&world)).await;
    let secret = json!({"namespace": world.mesh, "name": "gw-certs-2"});
    world.ask_as("y", spec(&world, json!({"secretRef": secret, "policy": {"includeApex": true}}))).await;
    let message = world.condition("y", "Ready", "False", "GatewayConflict").await;
    assert!(message.contains(&format!("belongs to GatewayCertificate {}/x", world.home)), "{message}");
    world.is_silent().await;
    says(&world, &documented(&world)).await;
    // One of the two manages it no longer: the other may.
    world.patch_object("x", json!({"spec": {"gateway": {"management": "Observe"}}})).await;
    world
        .eventually("x has taken note", || async {
            let x = world.objects().get("x").await.expect("readable");
            let seen = x.status.and_then(|status| status.observed_generation);
            (seen == x.metadata.generation).then_some(())
        })
        .await;
    world.patch_object("y", json!({"spec": {"checks": {"ignore": ["gateway-rival"]}}})).await;
    let mut wanted = documented_for(&world, &[pki::WILDCARD, pki::DOMAIN]);
    wanted["servers"][0]["tls"]["credentialName"] = "gw-certs-2".into();
    world
        .eventually("y manages the Gateway", || async {
            let spec = gateway(&world).await.expect("there").data["spec"].clone();
            spec["servers"].as_array().is_some_and(|all| all.contains(&wanted["servers"][0])).then_some(())
        })
        .await;
    world.condition("y", "Ready", "Unknown", "NoPods").await;
    found(&world, "gateway-credential").await;
    world.is_silent().await;
}
