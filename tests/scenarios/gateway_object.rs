//! The Gateway itself: verified and never written, or kept as the spec asks for.

use certkeeper_simulator::gateway::VirtualMesh;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

use crate::{
    crash::mortal,
    pki::{self, Ca},
    scenarios,
    world::{Keeper, World},
};

scenarios!(
    a_managed_gateway_is_created_with_the_documented_policy_and_is_ready,
    what_the_spec_asks_for_anew_is_written,
    mutual_waits_for_the_client_ca,
    a_gateway_over_no_pair_is_not_written,
    the_gateway_stays_when_its_object_goes,
    two_replicas_write_once,
    killed_after_any_write_the_gateway_converges_after_a_restart,
    killed_before_any_write_the_gateway_converges_after_a_restart,
    an_observed_gateway_is_verified_and_never_written,
    with_probing_off_the_gateway_is_looked_at_where_the_spec_says_so,
    a_suspended_object_writes_no_gateway,
    a_gateway_that_is_not_granted_is_not_accepted,
);

pub fn gateways(world: &World, version: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("networking.istio.io", version, "Gateway");
    let resource = ApiResource::from_gvk_with_plural(&kind, "gateways");
    Api::namespaced_with(world.client.clone(), &world.mesh, &resource)
}

pub async fn gateway(world: &World) -> Option<DynamicObject> {
    gateways(world, "v1").get_opt("gw").await.expect("readable")
}

pub async fn install_istio(world: &World) {
    // On a real API server every world has it already.
    if world.server.is_some() {
        VirtualMesh::install(&world.client).await.expect("Istio's Gateways are known");
    }
}

/// The spec of an object that manages the Gateway `gw`.
pub fn spec(world: &World, more: Value) -> Value {
    let secret = json!({"namespace": world.mesh, "name": "gw-certs"});
    let mut gateway = json!({"secretRef": secret, "name": "gw", "namespace": world.mesh, "management": "Manage",
        "selector": {"app": world.mesh}});
    for (key, value) in more.as_object().expect("an object") {
        gateway[key] = value.clone();
    }
    json!({ "gateway": gateway })
}

/// Puts a Gateway there as somebody.
pub async fn put(world: &World, manager: &str, spec: Value) {
    let object = json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "gw", "namespace": world.mesh}, "spec": spec});
    let object: DynamicObject = serde_json::from_value(object).expect("an object");
    let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
    gateways(world, "v1").create(&params, &object).await.expect("created");
}

/// Changes the Gateway as somebody.
pub async fn edit(world: &World, manager: &str, patch: Value) {
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    gateways(world, "v1").patch("gw", &params, &Patch::Merge(patch)).await.expect("patched");
}

/// The documented policy for [`pki::DOMAIN`], as Kyma's Gateway has it.
pub fn documented(world: &World) -> Value {
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
pub fn documented_for(world: &World, hosts: &[&str]) -> Value {
    let mut wanted = documented(world);
    for server in 0..2 {
        wanted["servers"][server]["hosts"] = json!(hosts);
    }
    wanted
}

pub async fn says(world: &World, spec: &Value) {
    world
        .eventually(&format!("the Gateway says {spec}"), || async {
            gateway(world).await.filter(|gateway| gateway.data["spec"] == *spec)
        })
        .await;
}

pub async fn managing(world: &World, more: Value) -> Keeper {
    install_istio(world).await;
    world.supply(&Ca::new().issue_rsa()).await;
    world.ask(spec(world, more)).await;
    world.keeper()
}

/// As [`managing`], once the Gateway says what is documented.
pub async fn managed(world: &World) -> Keeper {
    let keeper = managing(world, json!({})).await;
    says(world, &documented(world)).await;
    told(world, "GatewayWritten", 1).await;
    keeper
}

/// Waits until so much of this reason is told; returns the newest message.
pub async fn told(world: &World, reason: &str, times: usize) -> String {
    world
        .eventually(&format!("{reason} is told {times} times"), || async {
            let history = world.status("x").await.history.into_iter();
            let told: Vec<_> = history.filter(|entry| entry.reason == reason).collect();
            (told.len() == times).then(|| told[0].message.clone())
        })
        .await
}

/// Waits until there is a finding of this check, and returns it in words.
pub async fn found(world: &World, check: &str) -> String {
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
    world.supply(&Ca::new().issue_rsa()).await;
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
    world.supply(&Ca::new().issue_rsa()).await;
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

async fn two_replicas_write_once(world: World) {
    let _keeper = managing(&world, json!({})).await;
    let _other = world.keeper();
    says(&world, &documented(&world)).await;
    world.condition("x", "SecretCurrent", "True", "Current").await;
    world.is_silent().await;
    // One create and nothing after it: the generation counts changes of the spec.
    assert_eq!(gateway(&world).await.expect("there").metadata.generation, Some(1));
}

async fn killed_after_any_write_the_gateway_converges_after_a_restart(world: World) {
    killed_at_each_write(world, true).await;
}

async fn killed_before_any_write_the_gateway_converges_after_a_restart(world: World) {
    killed_at_each_write(world, false).await;
}

/// The spec changes, and certkeeper is killed at one of the writes that this takes, which is or is not applied.
async fn killed_at_each_write(world: World, applied: bool) {
    let keeper = managed(&world).await;
    world.is_silent().await;
    keeper.stop().await;
    let mut rounds = 0;
    for fatal in 0.. {
        let apex = fatal % 2 == 0;
        let hosts = if apex { &[pki::WILDCARD, pki::DOMAIN][..] } else { &[pki::WILDCARD] };
        let wanted = documented_for(&world, hosts);
        world.patch_object("x", json!({"spec": {"gateway": {"policy": {"includeApex": apex}}}})).await;
        let (client, wrote, dead) = mortal(&world, fatal, applied);
        let keeper = world.keeper_with(world.settings(), client);
        let settled = async {
            says(&world, &wanted).await;
            world.is_silent().await;
        };
        let reached = tokio::select! {
            biased;
            () = dead.notified() => true,
            () = settled => wrote.load(Ordering::Relaxed) > fatal,
        };
        drop(keeper);
        if !reached {
            break;
        }
        let survivor = world.keeper();
        says(&world, &wanted).await;
        world.is_silent().await;
        survivor.stop().await;
        rounds += 1;
    }
    assert!(rounds >= 3, "a change takes the Gateway, an event and the status at least, {rounds} were seen");
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
    world.supply(&Ca::new().issue_rsa()).await;
    world.ask(spec(&world, json!({"name": "another"}))).await;
    let _keeper = world.keeper();
    let message = world.condition("x", "Accepted", "False", "NotPermitted").await;
    assert!(message.contains(&format!("--allow-gateway {}/another", world.mesh)), "{message}");
    world.condition("x", "Ready", "False", "NotAccepted").await;
    if let Some(server) = &world.server {
        let called = |request: &certkeeper_simulator::server::Request| {
            request.info.resource == "gateways" || (request.info.resource == "secrets" && request.info.verb == "watch")
        };
        let calls: Vec<_> = server.requests().into_iter().filter(called).map(|request| request.info).collect();
        assert!(calls.is_empty(), "a call is made for it: {calls:?}");
    }
    world.patch_object("x", json!({"spec": {"domain": null, "gateway": {"name": "gw"}}})).await;
    let message = world.condition("x", "Accepted", "False", "InvalidSpec").await;
    assert!(message.contains("spec.domain"), "{message}");
}

/// Only in memory: on the real API server all scenarios share one definition.
#[tokio::test(start_paused = true)]
async fn without_istio_that_is_said_and_its_arrival_in_whatever_version_is_noticed() {
    for version in ["v1", "v1beta1", "v1alpha3"] {
        let world = World::in_memory().await;
        world.supply(&Ca::new().issue_rsa()).await;
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
