//! The rules of docs/permissions.md are enough, and a missing one is named. On the real API server only: it is the one
//! that decides.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    pki::{self, Ca},
    shoot::Shoot,
    world::{World, holds, normalised},
};

/// The rules as the page has them, with the names of the scenario: in the home namespace, in the gateway's; for what is
/// served, in the gateway's and in the cluster; in each namespace of a copy, and in the cluster; in the Gateway's.
fn all_documented(copy: &str, open_copy: &str) -> [Value; 7] {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/permissions.md")).expect("the page");
    let page = page.replace("kyma-gateway-certs", "gw-certs").replace("my-certificate", "supplied");
    let page = page.replace("my-client-ca", "ca").replace("[kyma-gateway]", "[gw]");
    let page = page.replace("my-copy", copy).replace("my-open-copy", open_copy).replace("my-workload", "web");
    let mut blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("an end"));
    let mut next = || serde_saphyr::from_str(blocks.next().expect("a block of rules")).expect("YAML");
    [next(), next(), next(), next(), next(), next(), next()]
}

fn documented() -> (Value, Value) {
    let [home, mesh, ..] = all_documented("", "");
    (home, mesh)
}

#[tokio::test]
async fn the_documented_rules_are_enough_for_copies() {
    let (home, mesh) = documented();
    let Some((world, client)) = World::restricted("rights: copies", home, mesh).await else { return };
    let (copy, open_copy) = (world.own("copy"), world.own("open"));
    let [.., listed, cluster, _] = all_documented(&copy, &open_copy);
    let namespace = world.own("a");
    world.labelled_namespace(&namespace, json!({"copies": world.home})).await;
    world.grant(Some(&namespace), &listed).await;
    world.grant(None, &cluster).await;
    let ca = Ca::new();
    let first = ca.issue(&[pki::WILDCARD]);
    world.supply(&first).await;
    world
        .ask(json!({"deletionPolicy": "DeleteTargets", "targets": [
            {"name": "listed", "secretName": copy, "layout": "tls", "namespaces": [namespace]},
            {"name": "open", "secretName": open_copy, "layout": "certificate-only",
             "namespaceSelector": {"matchLabels": {"copies": world.home}}},
        ]}))
        .await;
    let grants = [format!("{namespace}/{copy}"), format!("*/{open_copy}")];
    let _keeper = world.keeper_with(world.settings_with(&grants.each_ref().map(String::as_str)), client);
    world.condition("x", "Distributed", "True", "Distributed").await;
    let second = ca.issue(&[pki::WILDCARD]);
    world.supply(&second).await;
    let (chain, key) = normalised(&second);
    world.copied(&namespace, &copy, &[("tls.crt", &chain), ("tls.key", &key)]).await;
    world.copied(&namespace, &open_copy, &[("tls.crt", &chain)]).await;
    world.objects().delete("x", &Default::default()).await.expect("deleted");
    world.gone(&namespace, &copy).await;
    world.gone(&namespace, &open_copy).await;
}

#[tokio::test]
async fn a_missing_right_to_a_copy_names_the_rule_and_the_others_are_made() {
    let (home, mesh) = documented();
    let Some((world, client)) = World::restricted("rights: a copy", home, mesh).await else { return };
    let copy = world.own("copy");
    let [.., listed, _, _] = all_documented(&copy, "");
    let (granted, not_granted) = (world.own("granted"), world.own("not-granted"));
    for namespace in [&granted, &not_granted] {
        world.namespace(namespace).await;
    }
    world.grant(Some(&granted), &listed).await;
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    world.supply(&pair).await;
    let target = json!({"name": "t", "secretName": copy, "layout": "tls", "namespaces": [granted, not_granted]});
    world.ask(json!({"targets": [target]})).await;
    let _keeper = world.keeper_with(world.settings_with(&[&format!("*/{copy}")]), client);
    let (chain, key) = normalised(&pair);
    world.copied(&granted, &copy, &[("tls.crt", &chain), ("tls.key", &key)]).await;
    let message = world.condition("x", "Distributed", "False", "TargetsFailed").await;
    let named = message.contains(&format!("resourceNames [\"{copy}\"]")) && message.contains(&not_granted);
    assert!(named, "{message}");
    world.is_silent().await;
    world.grant(Some(&not_granted), &listed).await;
    world.copied(&not_granted, &copy, &[("tls.crt", &chain), ("tls.key", &key)]).await;
    world.condition("x", "Distributed", "True", "Distributed").await;
}

#[tokio::test]
async fn the_documented_rules_are_enough_for_a_whole_life() {
    let (home, mesh) = documented();
    let Some((world, client)) = World::restricted("rights", home, mesh).await else { return };
    let ca = Ca::new();
    let (first, second) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    world.supply(&first).await;
    world.ask(json!({})).await;
    let _keeper = world.keeper_with(world.settings(), client);
    world.promoted(&first).await;
    world.condition("x", "SecretCurrent", "True", "Current").await;
    world.supply(&second).await;
    world.promoted(&second).await;
    world.secrets(&world.mesh).delete("gw-certs", &Default::default()).await.expect("deleted");
    world.promoted(&second).await;
    world.eventually("events are recorded", || async { (!world.events().await.is_empty()).then_some(()) }).await;
    world.objects().delete("x", &Default::default()).await.expect("deleted");
    world
        .eventually("the object is gone", || async {
            world.objects().get_opt("x").await.expect("readable").is_none().then_some(())
        })
        .await;
    assert!(holds(&world.gateway_secret().await.expect("there"), &second));
}

#[tokio::test]
async fn the_documented_rules_are_enough_to_prove_what_is_served_and_to_evict() {
    let [home, mesh, pods, gateways, ..] = all_documented("", "");
    let Some((world, client)) = World::restricted("rights: served", home, mesh).await else { return };
    let (world, gateway) = world.with_gateway(&["a", "b"]).await;
    let ca = Ca::new();
    world.supply(&ca.issue(&[pki::WILDCARD])).await;
    let reload = json!({"upTo": "Restart", "deadline": "5s"});
    let secret = json!({"namespace": world.mesh, "name": "gw-certs"});
    world.ask(json!({"gateway": {"secretRef": secret, "reload": reload}})).await;
    let keeper = world.keeper_with(world.settings(), client.clone());
    let message = world.condition("x", "Served", "Unknown", "AccessDenied").await;
    for resource in ["gateways.networking.istio.io", "services", "pods"] {
        assert!(message.contains(&format!("list and watch on {resource}")), "{message}");
    }
    drop(keeper);
    for (namespace, rules) in [(Some(world.mesh.as_str()), &pods), (None, &gateways)] {
        world.grant_as("served", namespace, rules).await;
    }
    let _keeper = world.keeper_with(world.settings(), client);
    world.condition("x", "Ready", "True", "Ready").await;
    gateway.set_vice("b", Some(certkeeper_simulator::gateway::Vice::Deaf)).await;
    world.supply(&ca.issue(&[pki::WILDCARD])).await;
    world
        .eventually("the deaf pod was replaced", || async {
            (!gateway.names().await.contains(&"b".to_owned())).then_some(())
        })
        .await;
    world.condition("x", "Ready", "True", "Ready").await;
}

#[tokio::test]
async fn the_documented_rules_are_enough_for_a_client_ca() {
    let (home, mesh) = documented();
    let Some((world, client)) = World::restricted("rights: a client CA", home, mesh).await else { return };
    let (first, second) = (client_ca("First CA"), client_ca("Second CA"));
    world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
    world.put_secret(&world.home, "ca", &[("ca.crt", first.as_bytes())]).await;
    world.ask(json!({"clientCA": {"secretRef": {"name": "ca"}}})).await;
    let _keeper = world.keeper_with(world.settings(), client);
    world.copied(&world.mesh, "gw-certs-cacert", &[("cacert", &first)]).await;
    world.put_secret(&world.home, "ca", &[("ca.crt", second.as_bytes())]).await;
    world.copied(&world.mesh, "gw-certs-cacert", &[("cacert", &second)]).await;
    world.condition("x", "SecretCurrent", "True", "Current").await;
    world.secrets(&world.mesh).delete("gw-certs-cacert", &Default::default()).await.expect("deleted");
    world.copied(&world.mesh, "gw-certs-cacert", &[("cacert", &second)]).await;
    world.patch_object("x", json!({"spec": {"clientCA": null}})).await;
    world
        .eventually("it is released", || async {
            let history = world.status("x").await.history;
            history.iter().any(|entry| entry.reason == "ClientCaReleased").then_some(())
        })
        .await;
}

fn client_ca(name: &str) -> String {
    let pem = certkeeper_simulator::ca::Ca::root(name, chrono::Utc::now()).expect("a root").pem();
    certkeeper::certificate::read_authorities(Some(pem.as_bytes()), false).pem()
}

#[tokio::test]
async fn a_missing_right_to_a_client_ca_names_the_rule_and_the_pair_is_promoted_all_the_same() {
    let (mut home, mut mesh) = documented();
    mesh[0]["resourceNames"] = json!(["gw-certs", "gw-certs-last-good"]);
    for rule in home.as_array_mut().expect("rules") {
        if rule["resources"][0] == "secrets" {
            rule["resourceNames"] = json!(["supplied"]);
        }
    }
    let Some((world, client)) = World::restricted("rights: no client CA", home, mesh).await else { return };
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    world.supply(&pair).await;
    world.ask(json!({"clientCA": {"secretRef": {"name": "ca"}}})).await;
    let _keeper = world.keeper_with(world.settings(), client);
    world.promoted(&pair).await;
    let message = world.condition("x", "SourceValid", "False", "AccessDenied").await;
    assert!(message.contains("resourceNames [\"ca\"]") && message.contains(&world.home), "{message}");
    let message = world.condition("x", "SecretCurrent", "False", "AccessDenied").await;
    assert!(message.contains("resourceNames [\"gw-certs-cacert\"]") && message.contains(&world.mesh), "{message}");
    world.is_silent().await;
}

#[tokio::test]
async fn a_missing_right_to_write_a_client_ca_names_the_rule() {
    let (home, mut mesh) = documented();
    mesh[0]["resourceNames"] = json!(["gw-certs", "gw-certs-last-good"]);
    let look = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["gw-certs-cacert"],
        "verbs": ["get", "list", "watch"]});
    mesh.as_array_mut().expect("rules").push(look);
    let Some((world, client)) = World::restricted("rights: write a client CA", home, mesh).await else { return };
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    world.supply(&pair).await;
    world.put_secret(&world.home, "ca", &[("ca.crt", client_ca("CA").as_bytes())]).await;
    world.ask(json!({"clientCA": {"secretRef": {"name": "ca"}}})).await;
    let _keeper = world.keeper_with(world.settings(), client);
    world.promoted(&pair).await;
    let message = world.condition("x", "SecretCurrent", "False", "AccessDenied").await;
    assert!(message.contains("resourceNames [\"gw-certs-cacert\"]") && message.contains("create"), "{message}");
    world.is_silent().await;
}

#[tokio::test]
async fn a_missing_right_to_read_is_a_condition_that_names_the_rule() {
    let (mut home, mesh) = documented();
    home.as_array_mut().expect("rules").retain(|rule| rule["resources"][0] != "secrets");
    let Some((world, client)) = World::restricted("rights: read", home, mesh).await else { return };
    world.ask(json!({})).await;
    let _keeper = world.keeper_with(world.settings(), client);
    let message = world.condition("x", "SourceValid", "False", "AccessDenied").await;
    assert!(message.contains("resourceNames [\"supplied\"]") && message.contains(&world.home), "{message}");
}

#[tokio::test]
async fn a_missing_right_to_write_is_a_condition_that_names_the_rule() {
    let (home, mut mesh) = documented();
    mesh[0]["verbs"] = json!(["get", "list", "watch"]);
    let Some((world, client)) = World::restricted("rights: write", home, mesh).await else { return };
    world.supply(&Ca::new().issue_rsa()).await;
    world.ask(json!({})).await;
    let _keeper = world.keeper_with(world.settings(), client);
    let message = world.condition("x", "SecretCurrent", "False", "AccessDenied").await;
    assert!(message.contains("resourceNames [\"gw-certs\"]") && message.contains("create"), "{message}");
    world.is_silent().await;
}

#[tokio::test]
async fn the_documented_rules_are_enough_to_manage_the_gateway_and_a_missing_one_is_named() {
    let [home, mesh, pods, gateways, .., manage] = all_documented("", "");
    let Some((world, client)) = World::restricted("rights: the Gateway", home, mesh).await else { return };
    let (copy, namespace) = (world.own("copy"), world.own("a"));
    let [.., listed, _, _] = all_documented(&copy, "");
    world.namespace(&namespace).await;
    for (namespace, rules) in [(Some(world.mesh.as_str()), &pods), (None, &gateways)] {
        world.grant_as("served", namespace, rules).await;
    }
    world.supply(&Ca::new().issue_rsa()).await;
    let secret = json!({"namespace": world.mesh, "name": "gw-certs"});
    world
        .ask(json!({"gateway": {"secretRef": secret, "name": "gw", "namespace": world.mesh, "management": "Manage",
            "selector": {"app": world.mesh}}}))
        .await;
    let settings = world.settings_with(&[&format!("{namespace}/{copy}")]);
    let keeper = world.keeper_with(settings.clone(), client.clone());
    let message = world.condition("x", "Ready", "False", "AccessDenied").await;
    let rule = "grant the verbs get, create and patch on gateways.networking.istio.io with resourceNames [\"gw\"]";
    assert!(message.contains(rule) && message.contains(&world.mesh), "{message}");
    world.condition("x", "SecretCurrent", "True", "Current").await;
    world.is_silent().await;
    // What is in the Gateway's way is not in the pair's, nor in that of its copies.
    let next = Ca::new().issue_rsa();
    world.supply(&next).await;
    world.promoted(&next).await;
    world.grant(Some(&namespace), &listed).await;
    let target = json!({"name": "a", "layout": "tls", "namespaces": [namespace], "secretName": copy});
    world.patch_object("x", json!({"spec": {"targets": [target]}})).await;
    world.condition("x", "Distributed", "True", "Distributed").await;
    world.condition("x", "Ready", "False", "AccessDenied").await;
    drop(keeper);
    world.grant_as("manage", Some(&world.mesh), &manage).await;
    let _keeper = world.keeper_with(settings, client);
    for (patch, reason, times) in [
        (json!({}), "GatewayWritten", 1),
        (json!({"spec": {"gateway": {"policy": {"includeApex": true}}}}), "GatewayWritten", 2),
    ] {
        world.patch_object("x", patch).await;
        world
            .eventually(&format!("{reason} is told {times} times"), || async {
                let history = world.status("x").await.history;
                (history.iter().filter(|entry| entry.reason == reason).count() == times).then_some(())
            })
            .await;
    }
}

/// The blocks of rules under a heading of the page.
fn under(heading: &str) -> Vec<Value> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/permissions.md")).expect("the page");
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect("the heading");
    let section = section.replace("[NAME", "[x");
    let blocks = section.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("an end"));
    blocks.map(|block| serde_saphyr::from_str(block).expect("YAML")).collect()
}

#[tokio::test]
async fn the_documented_rules_are_enough_for_gardener_mode_and_a_missing_one_is_named() {
    let (home, mesh) = documented();
    let Some((world, client)) = World::restricted("rights: gardener", home, mesh).await else { return };
    let shoot = Shoot::virtually(world).await;
    let (world, client) = (&shoot.world, client);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shoot-info"},
        "data": {"domain": pki::DOMAIN}});
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), "kube-system");
    maps.patch("shoot-info", &PatchParams::apply("gardener").force(), &Patch::Apply(map)).await.expect("written");
    let probe = json!({"secretRef": {"namespace": world.mesh, "name": "gw-certs"}, "probe": {"enabled": false}});
    let request = shoot.request(json!({}));
    world.ask(json!({"byo": null, "domain": null, "gardener": request, "gateway": probe})).await;
    let keeper = world.keeper_with(world.settings(), client.clone());
    let message = world.condition("x", "Issued", "False", "AccessDenied").await;
    assert!(message.contains("grant the verbs get, list and watch on certificates.cert.gardener.cloud"), "{message}");
    drop(keeper);
    let [here, cluster] = under("In Gardener mode").try_into().expect("two blocks of rules");
    world.grant_as("gardener", Some(&world.home), &here).await;
    world.grant_as("domain", Some("kube-system"), &cluster).await;
    let _keeper = world.keeper_with(world.settings(), client);
    world.condition("x", "SecretCurrent", "True", "Current").await;
    let before = shoot.stored().await.expect("a leaf");
    shoot.renew().await;
    shoot.changed(&before).await;
    world.objects().delete("x", &Default::default()).await.expect("deleted");
    let gone = || async { world.objects().get_opt("x").await.expect("readable").is_none().then_some(()) };
    world.eventually("the object is gone", gone).await;
    assert!(shoot.certificate().await.is_none() && shoot.staging().await.is_none());
}
