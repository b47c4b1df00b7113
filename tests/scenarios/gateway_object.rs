//! The Gateway itself: verified and never written, or kept as the spec asks for.

use certkeeper_simulator::gateway::VirtualMesh;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    pki::{self, Ca},
    scenarios,
    world::{Keeper, World},
};

scenarios!(
    a_managed_gateway_is_created_with_the_documented_policy_and_is_ready,
    a_managed_gateway_that_is_deleted_is_created_again,
    an_edited_gateway_is_restored_and_whoever_undoes_it_three_times_is_left_alone,
    a_label_that_somebody_adds_to_the_selector_goes,
    somebody_elses_gateway_is_a_conflict_that_names_manager_and_field,
    a_persons_word_takes_the_gateway_over_and_other_servers_stay,
    a_selector_that_nobody_named_is_not_put_over_another,
    what_the_spec_asks_for_anew_is_written,
    mutual_waits_for_the_client_ca,
    a_gateway_over_no_pair_is_not_written,
    the_gateway_stays_when_its_object_goes,
    one_of_two_objects_manages_the_gateway,
    two_replicas_write_once,
    an_observed_gateway_is_verified_and_never_written,
    with_probing_off_the_gateway_is_looked_at_where_the_spec_says_so,
    a_suspended_object_writes_no_gateway,
    a_gateway_that_is_not_granted_is_not_accepted,
);

fn gateways(world: &World, version: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("networking.istio.io", version, "Gateway");
    let resource = ApiResource::from_gvk_with_plural(&kind, "gateways");
    Api::namespaced_with(world.client.clone(), &world.mesh, &resource)
}

async fn gateway(world: &World) -> Option<DynamicObject> {
    gateways(world, "v1").get_opt("gw").await.expect("readable")
}

async fn install_istio(world: &World) {
    // On a real API server every world has it already.
    if world.server.is_some() {
        VirtualMesh::install(&world.client).await.expect("Istio's Gateways are known");
    }
}

/// The spec of an object that manages the Gateway `gw`.
fn spec(world: &World, more: Value) -> Value {
    let secret = json!({"namespace": world.mesh, "name": "gw-certs"});
    let mut gateway = json!({"secretRef": secret, "name": "gw", "namespace": world.mesh, "management": "Manage",
        "selector": {"app": world.mesh}});
    for (key, value) in more.as_object().expect("an object") {
        gateway[key] = value.clone();
    }
    json!({ "gateway": gateway })
}

/// Puts a Gateway there as somebody.
async fn put(world: &World, manager: &str, spec: Value) {
    let object = json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "gw", "namespace": world.mesh}, "spec": spec});
    let object: DynamicObject = serde_json::from_value(object).expect("an object");
    let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
    gateways(world, "v1").create(&params, &object).await.expect("created");
}

/// Changes the Gateway as somebody.
async fn edit(world: &World, manager: &str, patch: Value) {
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    gateways(world, "v1").patch("gw", &params, &Patch::Merge(patch)).await.expect("patched");
}

/// The documented policy for [`pki::DOMAIN`], as Kyma's Gateway has it.
fn documented(world: &World) -> Value {
    json!({"selector": {"app": world.mesh}, "servers": [
        {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": [pki::WILDCARD], "tls": {
            "mode": "SIMPLE", "credentialName": "gw-certs", "minProtocolVersion": "TLSV1_2", "cipherSuites": [
                "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA",
                "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"]}},
        {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [pki::WILDCARD],
            "tls": {"httpsRedirect": true}},
    ]})
}

/// The documented policy for these hosts.
fn documented_for(world: &World, hosts: &[&str]) -> Value {
    let mut wanted = documented(world);
    for server in 0..2 {
        wanted["servers"][server]["hosts"] = json!(hosts);
    }
    wanted
}

async fn says(world: &World, spec: &Value) {
    world
        .eventually(&format!("the Gateway says {spec}"), || async {
            gateway(world).await.filter(|gateway| gateway.data["spec"] == *spec)
        })
        .await;
}

async fn managing(world: &World, more: Value) -> Keeper {
    install_istio(world).await;
    world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
    world.ask(spec(world, more)).await;
    world.keeper()
}

/// As [`managing`], once the Gateway says what is documented.
async fn managed(world: &World) -> Keeper {
    let keeper = managing(world, json!({})).await;
    says(world, &documented(world)).await;
    told(world, "GatewayWritten", 1).await;
    keeper
}

/// Waits until so much of this reason is told; returns the newest message.
async fn told(world: &World, reason: &str, times: usize) -> String {
    world
        .eventually(&format!("{reason} is told {times} times"), || async {
            let history = world.status("x").await.history.into_iter();
            let told: Vec<_> = history.filter(|entry| entry.reason == reason).collect();
            (told.len() == times).then(|| told[0].message.clone())
        })
        .await
}

/// Waits until there is a finding of this check, and returns it in words.
async fn found(world: &World, check: &str) -> String {
    world
        .eventually(&format!("{check} is found"), || async {
            let findings = world.status("x").await.findings;
            let found = findings.into_iter().find(|finding| finding.check == check)?;
            Some(format!("{} {}: {}; {}", found.severity, found.location, found.message, found.remedy))
        })
        .await
}

async fn checks(world: &World) -> Vec<String> {
    let findings = world.status("x").await.findings.into_iter();
    findings.map(|finding| finding.check).filter(|check| check.starts_with("gateway-")).collect()
}

async fn a_managed_gateway_is_created_with_the_documented_policy_and_is_ready(world: World) {
    let (world, _mesh) = world.with_gateway(&["a", "b"]).await;
    gateways(&world, "v1").delete("gw", &DeleteParams::default()).await.expect("deleted");
    let _keeper = managing(&world, json!({})).await;
    says(&world, &documented(&world)).await;
    assert!(told(&world, "GatewayWritten", 1).await.contains("is created"));
    world.condition("x", "Ready", "True", "Ready").await;
    world.is_silent().await;
    let written = gateway(&world).await.expect("there");
    let owner = written.annotations().get("certs.kyma-project.io/owner").cloned();
    assert_eq!(owner, Some(format!("{}/x", world.home)));
    let events = world.events().await;
    assert_eq!(events.iter().filter(|event| event.reason.as_deref() == Some("GatewayWritten")).count(), 1);
    assert_eq!(checks(&world).await, [""; 0]);
}

async fn a_managed_gateway_that_is_deleted_is_created_again(world: World) {
    let _keeper = managed(&world).await;
    let first = gateway(&world).await.and_then(|gateway| gateway.uid());
    gateways(&world, "v1").delete("gw", &DeleteParams::default()).await.expect("deleted");
    told(&world, "GatewayWritten", 2).await;
    says(&world, &documented(&world)).await;
    assert_ne!(gateway(&world).await.and_then(|gateway| gateway.uid()), first);
    world.is_silent().await;
}

async fn an_edited_gateway_is_restored_and_whoever_undoes_it_three_times_is_left_alone(world: World) {
    let _keeper = managed(&world).await;
    let tls = json!({"mode": "SIMPLE", "credentialName": "gw-certs", "minProtocolVersion": "TLSV1_0"});
    let port = json!({"number": 443, "name": "https", "protocol": "HTTPS"});
    let weak = json!({"spec": {"servers": [{"port": port, "hosts": [pki::WILDCARD], "tls": tls}]}});
    for times in 1..=3 {
        edit(&world, "kubectl-edit", weak.clone()).await;
        says(&world, &documented(&world)).await;
        let message = told(&world, "GatewayRestored", times).await;
        assert!(message.contains("\"kubectl-edit\" in .spec.servers"), "{message}");
    }
    edit(&world, "kubectl-edit", weak).await;
    let message = world.condition("x", "Ready", "False", "GatewayNotCurrent").await;
    assert!(message.contains("\"kubectl-edit\" undid certkeeper's write three times"), "{message}");
    let message = found(&world, "gateway-min-version").await;
    assert!(message.contains("spec.servers[0].tls.minProtocolVersion: found TLSV1_0"), "{message}");
    world.is_silent().await;
    world.patch_object("x", json!({"spec": {"managementPolicy": "Manage"}})).await;
    says(&world, &documented(&world)).await;
}

async fn a_label_that_somebody_adds_to_the_selector_goes(world: World) {
    let _keeper = managed(&world).await;
    edit(&world, "kubectl-edit", json!({"spec": {"selector": {"nobody": "has-it"}}})).await;
    let message = told(&world, "GatewayRestored", 1).await;
    assert!(message.contains("\"kubectl-edit\" in .spec.selector.nobody"), "{message}");
    says(&world, &documented(&world)).await;
    world.is_silent().await;
}

async fn somebody_elses_gateway_is_a_conflict_that_names_manager_and_field(world: World) {
    let (world, _mesh) = world.with_gateway(&["a"]).await;
    gateways(&world, "v1").delete("gw", &DeleteParams::default()).await.expect("deleted");
    let mut theirs = documented(&world);
    theirs["servers"][0]["tls"]["minProtocolVersion"] = "TLSV1_0".into();
    put(&world, "api-gateway", theirs.clone()).await;
    let _keeper = managing(&world, json!({})).await;
    let message = world.condition("x", "Ready", "False", "GatewayNotCurrent").await;
    assert!(message.contains("field manager \"api-gateway\" owns .spec.servers"), "{message}");
    assert!(found(&world, "gateway-held").await.starts_with("error"));
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
    world.condition("x", "Ready", "False", "GatewayNotCurrent").await;
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
    let message = found(&world, "gateway-held").await;
    assert!(message.contains(&format!("app={}", world.mesh)) && message.contains("spec.gateway.selector"), "{message}");
    world.condition("x", "Served", "True", "Served").await;
    world.is_silent().await;
}

async fn what_the_spec_asks_for_anew_is_written(world: World) {
    let _keeper = managed(&world).await;
    let policy = json!({"minProtocolVersion": "TLSV1_3", "httpsRedirect": false, "includeApex": true});
    world.patch_object("x", json!({"spec": {"gateway": {"policy": policy}}})).await;
    let hosts = [pki::WILDCARD, pki::DOMAIN];
    let mut wanted = documented_for(&world, &hosts);
    wanted["servers"][0]["tls"] =
        json!({"mode": "SIMPLE", "credentialName": "gw-certs", "minProtocolVersion": "TLSV1_3"});
    wanted["servers"][1].as_object_mut().expect("a server").remove("tls");
    says(&world, &wanted).await;
    let suites = json!(["ECDHE-RSA-AES128-GCM-SHA256"]);
    let policy = json!({"minProtocolVersion": null, "httpsRedirect": true, "cipherSuites": suites});
    world.patch_object("x", json!({"spec": {"gateway": {"policy": policy}}})).await;
    let mut wanted = documented_for(&world, &hosts);
    wanted["servers"][0]["tls"]["cipherSuites"] = suites;
    says(&world, &wanted).await;
    told(&world, "GatewayWritten", 3).await;
    world.is_silent().await;
    assert!(!world.status("x").await.history.iter().any(|entry| entry.reason == "GatewayRestored"));
}

async fn mutual_waits_for_the_client_ca(world: World) {
    install_istio(&world).await;
    world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
    let mut spec = spec(&world, json!({}));
    spec["clientCA"] = json!({"secretRef": {"name": "ca"}});
    world.ask(spec).await;
    let _keeper = world.keeper();
    world
        .eventually("the CA is waited for", || async {
            let message = found(&world, "gateway-not-written").await;
            (message.starts_with("warning") && message.contains("gw-certs-cacert")).then_some(())
        })
        .await;
    assert!(gateway(&world).await.is_none());
    let ca = certkeeper_simulator::ca::Ca::root("Clients", chrono::Utc::now()).expect("a root").pem();
    world.put_secret(&world.home, "ca", &[("ca.crt", ca.as_bytes())]).await;
    let mut wanted = documented(&world);
    wanted["servers"][0]["tls"]["mode"] = "MUTUAL".into();
    says(&world, &wanted).await;
    // The CA's source goes: the last good CA stays, and so does the mode.
    world.secrets(&world.home).delete("ca", &DeleteParams::default()).await.expect("deleted");
    world.condition("x", "SourceValid", "False", "ClientCaMissing").await;
    world.is_silent().await;
    says(&world, &wanted).await;
    world.patch_object("x", json!({"spec": {"clientCA": null}})).await;
    says(&world, &documented(&world)).await;
}

async fn a_gateway_over_no_pair_is_not_written(world: World) {
    install_istio(&world).await;
    world.ask(spec(&world, json!({}))).await;
    let _keeper = world.keeper();
    assert!(found(&world, "gateway-not-written").await.contains("gw-certs holds no pair yet"));
    assert!(gateway(&world).await.is_none());
    world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
    says(&world, &documented(&world)).await;
    told(&world, "GatewayWritten", 1).await;
    world.is_silent().await;
}

async fn the_gateway_stays_when_its_object_goes(world: World) {
    let keeper = managed(&world).await;
    world.is_silent().await;
    let before = gateway(&world).await.expect("there").resource_version();
    world.objects().delete("x", &DeleteParams::default()).await.expect("deleted");
    world
        .eventually("the object is gone", || async {
            world.objects().get_opt("x").await.expect("readable").is_none().then_some(())
        })
        .await;
    keeper.stop().await;
    assert_eq!(gateway(&world).await.expect("there").resource_version(), before);
    // Whoever comes next in its namespace may take it up.
    world.ask_as("y", spec(&world, json!({"policy": {"includeApex": true}}))).await;
    let _keeper = world.keeper();
    says(&world, &documented_for(&world, &[pki::WILDCARD, pki::DOMAIN])).await;
}

async fn one_of_two_objects_manages_the_gateway(world: World) {
    install_istio(&world).await;
    world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
    world.ask(spec(&world, json!({}))).await;
    let second = format!("{}/gw-certs-2", world.mesh);
    let _keeper = world.keeper_with(world.settings_with(&[&second]), world.client.clone());
    says(&world, &documented(&world)).await;
    let secret = json!({"namespace": world.mesh, "name": "gw-certs-2"});
    world.ask_as("y", spec(&world, json!({"secretRef": secret, "policy": {"includeApex": true}}))).await;
    let message = world.condition("y", "Ready", "False", "GatewayNotCurrent").await;
    assert!(message.contains(&format!("belongs to GatewayCertificate {}/x", world.home)), "{message}");
    world.is_silent().await;
    says(&world, &documented(&world)).await;
}

async fn two_replicas_write_once(world: World) {
    let _keeper = managing(&world, json!({})).await;
    let _other = world.keeper();
    says(&world, &documented(&world)).await;
    world.condition("x", "SecretCurrent", "True", "Current").await;
    world.is_silent().await;
    // One create and nothing after it: the generation counts changes of the spec.
    assert_eq!(gateway(&world).await.expect("there").metadata.generation, Some(1));
}

async fn an_observed_gateway_is_verified_and_never_written(world: World) {
    let (world, mesh) = world.with_gateway(&["a"]).await;
    let _keeper = managing(&world, json!({"management": "Observe"})).await;
    let message = world.condition("x", "Ready", "True", "Ready").await;
    assert!(message.contains("findings on the Gateway"), "{message}");
    assert_eq!(checks(&world).await, ["gateway-min-version", "gateway-cipher-suites", "gateway-redirect"]);
    let message = found(&world, "gateway-redirect").await;
    assert!(message.starts_with("warning") && message.contains(&format!("Gateway {}/gw", world.mesh)), "{message}");
    // That nothing is written is seen on the Gateway, too.
    world.is_silent().await;
    assert_eq!(gateway(&world).await.expect("there").metadata.generation, Some(1));
    mesh.patch_gateway(json!({ "spec": documented(&world) })).await.expect("patched");
    world.eventually("it is as it should be", || async { checks(&world).await.is_empty().then_some(()) }).await;
    // A Gateway beside it that answers for the same host with another pair.
    let tls = json!({"mode": "SIMPLE", "credentialName": "another"});
    let port = json!({"number": 443, "name": "https", "protocol": "HTTPS"});
    let servers = json!([{"port": port, "hosts": [pki::WILDCARD], "tls": tls}]);
    let rival = json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "rival", "namespace": world.mesh},
        "spec": {"selector": {"app": world.mesh}, "servers": servers}});
    let rival: DynamicObject = serde_json::from_value(rival).expect("an object");
    gateways(&world, "v1").create(&PostParams::default(), &rival).await.expect("created");
    assert!(found(&world, "gateway-rival").await.contains("rival"));
    // Ours hands out another Secret, too.
    mesh.patch_gateway(json!({"spec": {"servers": servers}})).await.expect("patched");
    let message = found(&world, "gateway-credential").await;
    assert!(message.contains("found another in server https"), "{message}");
    gateways(&world, "v1").delete("gw", &DeleteParams::default()).await.expect("deleted");
    found(&world, "gateway-missing").await;
    world.is_silent().await;
}

async fn with_probing_off_the_gateway_is_looked_at_where_the_spec_says_so(world: World) {
    let _keeper = managing(&world, json!({"probe": {"enabled": false}})).await;
    says(&world, &documented(&world)).await;
    world.condition("x", "Ready", "Unknown", "ProbingDisabled").await;
    told(&world, "GatewayWritten", 1).await;
    world.is_silent().await;
    world.patch_object("x", json!({"spec": {"gateway": {"management": "Observe"}}})).await;
    edit(&world, "somebody", json!({"spec": {"selector": {"other": "label"}}})).await;
    found(&world, "gateway-selector").await;
    world.patch_object("x", json!({"spec": {"gateway": {"management": null}}})).await;
    world.eventually("nobody looks", || async { checks(&world).await.is_empty().then_some(()) }).await;
}

async fn a_suspended_object_writes_no_gateway(world: World) {
    let _keeper = managed(&world).await;
    world.patch_object("x", json!({"spec": {"suspend": true, "gateway": {"policy": {"includeApex": true}}}})).await;
    let message = found(&world, "gateway-not-written").await;
    assert!(message.starts_with("warning") && message.contains("spec.suspend"), "{message}");
    found(&world, "gateway-hosts").await;
    says(&world, &documented(&world)).await;
}

async fn a_gateway_that_is_not_granted_is_not_accepted(world: World) {
    world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
    world.ask(spec(&world, json!({"name": "another"}))).await;
    let _keeper = world.keeper();
    let message = world.condition("x", "Accepted", "False", "NotPermitted").await;
    assert!(message.contains(&format!("--allow-gateway {}/another", world.mesh)), "{message}");
    world.patch_object("x", json!({"spec": {"domain": null, "gateway": {"name": "gw"}}})).await;
    let message = world.condition("x", "Accepted", "False", "InvalidSpec").await;
    assert!(message.contains("spec.domain"), "{message}");
}

/// Only in memory: on the real API server all scenarios share one definition.
#[tokio::test(start_paused = true)]
async fn without_istio_that_is_said_and_its_arrival_in_whatever_version_is_noticed() {
    for version in ["v1", "v1beta1", "v1alpha3"] {
        let world = World::in_memory().await;
        world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
        world.ask(spec(&world, json!({}))).await;
        let _keeper = world.keeper();
        assert!(found(&world, "gateway-istio-missing").await.starts_with("error"));
        world.condition("x", "Ready", "False", "GatewayNotCurrent").await;
        world.condition("x", "Served", "Unknown", "IstioMissing").await;
        world.is_silent().await;
        let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": any}}});
        let definition: CustomResourceDefinition = serde_json::from_value(json!({
            "metadata": {"name": "gateways.networking.istio.io"},
            "spec": {"group": "networking.istio.io", "scope": "Namespaced",
                "names": {"kind": "Gateway", "listKind": "GatewayList", "plural": "gateways", "singular": "gateway"},
                "versions": [{"name": version, "served": true, "storage": true, "schema": schema}]},
        }))
        .expect("a definition");
        Api::<CustomResourceDefinition>::all(world.client.clone())
            .create(&PostParams::default(), &definition)
            .await
            .expect("created");
        // It is asked for again every five minutes.
        tokio::time::sleep(std::time::Duration::from_secs(301)).await;
        world
            .eventually("the Gateway is there", || async {
                let found = gateways(&world, version).get_opt("gw").await.expect("readable");
                found.filter(|gateway| gateway.data["spec"] == documented(&world))
            })
            .await;
        told(&world, "GatewayWritten", 1).await;
        world.is_silent().await;
    }
}
