//! What the gateway's pods serve is proven, and what is done where they do not serve the pair.

use certkeeper_simulator::gateway::{Vice, VirtualMesh};
use chrono::Duration;
use kube::{ResourceExt, api::DeleteParams};
use serde_json::{Value, json};

use crate::{
    pki::{self, Ca, Leaf, Pair},
    scenarios,
    world::{Keeper, World, holds, normalised},
};

scenarios!(
    every_ready_pod_is_seen_to_serve_the_certificate_and_so_it_is_ready,
    a_rotation_is_proven_again,
    without_a_pod_nothing_is_known,
    without_a_gateway_nothing_is_known,
    a_named_gateway_that_does_not_exist_is_said,
    probing_off_is_said,
    a_pod_that_comes_later_is_asked_when_it_is_ready,
    a_refused_source_leaves_what_is_served,
    a_stuck_gateway_is_freed_by_one_nudge,
    one_stale_pod_after_the_other_is_evicted_where_the_spec_allows_it,
    a_budget_that_forbids_an_eviction_is_named_and_the_pod_is_evicted_once_it_allows_it,
    killed_around_an_eviction_nothing_is_lost_or_told_twice,
    a_deaf_pod_stays_and_is_named_where_restarts_are_not_allowed,
    a_pair_that_no_pod_takes_up_is_rolled_back_and_not_tried_again,
    after_a_rollback_the_copies_hold_the_pair_that_was_rolled_back_to,
    a_rolled_back_pair_is_tried_again_once_the_source_changes,
    the_only_pod_is_never_evicted,
    pods_that_reset_every_connection_never_climb,
    killed_at_each_rung_nothing_is_done_twice,
    two_replicas_nudge_once,
    a_gateway_that_names_another_secret_is_not_asked,
    a_gateway_that_expects_a_proxy_header_gets_one,
);

/// A controller over a gateway that serves this pair.
pub async fn serving(world: &World, pair: &Pair, spec: Value) -> Keeper {
    world.supply(pair).await;
    world.ask(spec).await;
    let keeper = world.keeper();
    world.condition("x", "Served", "True", "Served").await;
    keeper
}

fn gateway(world: &World, more: Value) -> Value {
    let mut gateway = json!({"secretRef": {"namespace": world.mesh, "name": "gw-certs"}});
    for (key, value) in more.as_object().expect("an object") {
        gateway[key] = value.clone();
    }
    json!({ "gateway": gateway })
}

/// Waits until something of this reason is told, and says how often it was.
async fn told(world: &World, reason: &str) -> usize {
    world
        .eventually(&format!("{reason} is told"), || async {
            Some(count(world, reason).await).filter(|count| *count > 0)
        })
        .await
}

async fn count(world: &World, reason: &str) -> usize {
    world.status("x").await.history.iter().filter(|entry| entry.reason == reason).count()
}

async fn every_pod_serves(world: &World, mesh: &VirtualMesh, pair: &Pair) {
    world
        .eventually("every pod serves the pair", || async {
            let names = mesh.names().await;
            for name in &names {
                if mesh.serves(name).await? != pair.fingerprint() {
                    return None;
                }
            }
            (!names.is_empty()).then_some(())
        })
        .await;
}

async fn every_ready_pod_is_seen_to_serve_the_certificate_and_so_it_is_ready(world: World) {
    let (world, _mesh) = world.with_gateway(&["a", "b", "c"]).await;
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let _keeper = serving(&world, &pair, json!({})).await;
    let message = world.condition("x", "Ready", "True", "Ready").await;
    assert!(message.contains("all 3 ready pods"), "{message}");
    let status = world.status("x").await;
    assert_eq!(status.served.as_deref(), Some("3/3"));
    let gateways: Vec<_> = status.gateways.iter().map(|one| (one.name.as_str(), one.pods, one.serving)).collect();
    assert_eq!(gateways, [("gw", 3, 3)]);
    world.is_silent().await;
}

async fn a_rotation_is_proven_again(world: World) {
    let (world, _mesh) = world.with_gateway(&["a", "b"]).await;
    let ca = Ca::new();
    let _keeper = serving(&world, &ca.issue(&[pki::WILDCARD]), json!({})).await;
    let next = ca.issue(&[pki::WILDCARD]);
    world.supply(&next).await;
    world
        .eventually("the next pair is proven", || async {
            let status = world.status("x").await;
            let served = status.conditions.iter().find(|condition| condition.type_ == "Served")?;
            (served.status == "True" && served.message.contains(&next.fingerprint())).then_some(())
        })
        .await;
    assert_eq!(told(&world, "Served").await, 2);
    assert_eq!(count(&world, "Nudged").await, 0, "Istio's own push is enough");
    world.is_silent().await;
}

async fn without_a_pod_nothing_is_known(world: World) {
    let (world, _mesh) = world.with_gateway(&[]).await;
    world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
    world.ask(json!({})).await;
    let _keeper = world.keeper();
    world.condition("x", "Served", "Unknown", "NoPods").await;
    world.condition("x", "Ready", "Unknown", "NoPods").await;
}

async fn without_a_gateway_nothing_is_known(world: World) {
    let (world, mesh) = world.with_gateway(&["a"]).await;
    mesh.patch_gateway(json!({"spec": {"servers": []}})).await.expect("patched");
    world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
    world.ask(json!({})).await;
    let _keeper = world.keeper();
    world.condition("x", "Served", "Unknown", "NoGateway").await;
}

async fn a_named_gateway_that_does_not_exist_is_said(world: World) {
    let (world, mesh) = world.with_gateway(&["a"]).await;
    world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
    let name = json!({"name": "nobody", "namespace": world.mesh});
    world.ask(gateway(&world, name)).await;
    mesh.patch_gateway(json!({"spec": {"servers": []}})).await.expect("patched");
    let _keeper = world.keeper();
    let message = world.condition("x", "Served", "Unknown", "NoGateway").await;
    assert!(message.contains(&format!("Gateway {}/nobody: it does not exist", world.mesh)), "{message}");
    world.condition("x", "Ready", "Unknown", "NoGateway").await;
}

async fn probing_off_is_said(world: World) {
    let (world, _mesh) = world.with_gateway(&["a"]).await;
    world.supply(&Ca::new().issue(&[pki::WILDCARD])).await;
    world.ask(gateway(&world, json!({"probe": {"enabled": false}}))).await;
    let _keeper = world.keeper();
    world.condition("x", "Served", "Unknown", "ProbingDisabled").await;
    world.condition("x", "Ready", "Unknown", "ProbingDisabled").await;
    world.patch_object("x", json!({"spec": {"gateway": {"probe": {"enabled": true}}}})).await;
    world.condition("x", "Ready", "True", "Ready").await;
}

async fn a_pod_that_comes_later_is_asked_when_it_is_ready(world: World) {
    let (world, mesh) = world.with_gateway(&["a"]).await;
    let _keeper = serving(&world, &Ca::new().issue(&[pki::WILDCARD]), json!({})).await;
    mesh.add_pod("b").await.expect("a pod");
    let served = |wanted: &'static str| {
        let world = &world;
        async move {
            let look = || async { (world.status("x").await.served.as_deref() == Some(wanted)).then_some(()) };
            world.eventually(&format!("{wanted} is served"), look).await;
        }
    };
    served("2/2").await;
    mesh.set_ready("b", false).await.expect("patched");
    served("1/1").await;
    world.condition("x", "Ready", "True", "Ready").await;
}

async fn a_refused_source_leaves_what_is_served(world: World) {
    let (world, _mesh) = world.with_gateway(&["a"]).await;
    let ca = Ca::new();
    let pair = ca.issue(&[pki::WILDCARD]);
    let _keeper = serving(&world, &pair, json!({})).await;
    world.supply(&ca.issue_leaf(&Leaf { age: Duration::days(30), ends: Duration::days(-1) })).await;
    world.condition("x", "SourceValid", "False", "Refused").await;
    world.condition("x", "Ready", "False", "SourceRefused").await;
    let message = world.condition("x", "Served", "True", "Served").await;
    assert!(message.contains(&pair.fingerprint()), "{message}");
}

async fn a_stuck_gateway_is_freed_by_one_nudge(world: World) {
    let (world, mesh) = world.with_gateway(&["a", "b"]).await;
    let ca = Ca::new();
    let reload = json!({"reload": {"deadline": "5s"}});
    let _keeper = serving(&world, &ca.issue(&[pki::WILDCARD]), gateway(&world, reload)).await;
    for pod in ["a", "b"] {
        mesh.set_vice(pod, Some(Vice::Stuck)).await;
    }
    let next = ca.issue(&[pki::WILDCARD]);
    world.supply(&next).await;
    world.condition("x", "Served", "False", "Reloading").await;
    assert_eq!(told(&world, "Nudged").await, 1);
    every_pod_serves(&world, &mesh, &next).await;
    let message = world.condition("x", "Served", "True", "Served").await;
    assert!(message.contains(&next.fingerprint()), "{message}");
    let data = world.gateway_secret().await.expect("there").data.expect("data");
    let (chain, key) = normalised(&next);
    assert_eq!(String::from_utf8_lossy(&data["tls.crt"].0), format!("{chain}\n"), "the same pair in other bytes");
    assert_eq!(data["tls.key"].0, key.as_bytes());
    world.is_silent().await;
    assert_eq!(count(&world, "Nudged").await, 1);
}

/// Three pods, two of them deaf to the pair that is supplied last; restarts are allowed.
async fn two_of_three_are_deaf(world: World) -> (World, VirtualMesh, Keeper, Pair) {
    let (world, mesh) = world.with_gateway(&["a", "b", "c"]).await;
    let ca = Ca::new();
    let reload = json!({"reload": {"deadline": "5s", "upTo": "Restart"}});
    let keeper = serving(&world, &ca.issue(&[pki::WILDCARD]), gateway(&world, reload)).await;
    for pod in ["b", "c"] {
        mesh.set_vice(pod, Some(Vice::Deaf)).await;
    }
    let next = ca.issue(&[pki::WILDCARD]);
    world.supply(&next).await;
    (world, mesh, keeper, next)
}

async fn one_stale_pod_after_the_other_is_evicted_where_the_spec_allows_it(world: World) {
    let (world, mesh, _keeper, next) = two_of_three_are_deaf(world).await;
    told(&world, "Evicted").await;
    assert!(mesh.serves("c").await.is_some(), "one at a time");
    world
        .eventually("both were replaced", || async {
            let names = mesh.names().await;
            (names.len() == 3 && !names.iter().any(|name| name == "b" || name == "c")).then_some(())
        })
        .await;
    every_pod_serves(&world, &mesh, &next).await;
    world.condition("x", "Ready", "True", "Ready").await;
    assert_eq!(count(&world, "Evicted").await, 2);
    assert_eq!(count(&world, "RolledBack").await, 0);
}

/// In memory alone: nothing is what is waited for.
#[tokio::test(start_paused = true)]
async fn a_successor_that_answers_nobody_ends_the_evictions() {
    let (world, mesh, _keeper, next) = two_of_three_are_deaf(World::in_memory().await).await;
    let taken = || async { (mesh.serves("a").await? == next.fingerprint()).then_some(()) };
    world.eventually("one pod takes it up", taken).await;
    // Who starts from now on is ready and resets every connection.
    mesh.refuse(&next.fingerprint());
    told(&world, "Evicted").await;
    tokio::time::sleep(std::time::Duration::from_secs(600)).await;
    assert_eq!(count(&world, "Evicted").await, 1, "its successor answers nobody");
}

async fn a_budget_that_forbids_an_eviction_is_named_and_the_pod_is_evicted_once_it_allows_it(world: World) {
    let (world, mesh) = world.with_gateway(&["a", "b"]).await;
    let ca = Ca::new();
    let reload = json!({"reload": {"deadline": "5s", "upTo": "Restart"}});
    let _keeper = serving(&world, &ca.issue(&[pki::WILDCARD]), gateway(&world, reload)).await;
    mesh.set_vice("b", Some(Vice::Deaf)).await;
    mesh.set_budget(0).await.expect("a budget");
    world.supply(&ca.issue(&[pki::WILDCARD])).await;
    let message = world.condition("x", "Served", "False", "EvictionFailed").await;
    for words in ["/b could not be evicted", "disruption budget gw needs 2 healthy pods and has 2"] {
        assert!(message.contains(words), "{message}");
    }
    assert_eq!((count(&world, "EvictionFailed").await, count(&world, "Evicted").await), (1, 0));
    assert!(world.status("x").await.reload.is_some_and(|reload| reload.evicted == Some(0) && reload.uid.is_some()));
    world.is_silent().await;
    mesh.set_budget(1).await.expect("a budget");
    world.condition("x", "Ready", "True", "Ready").await;
    assert!(!mesh.names().await.contains(&"b".to_owned()));
    assert_eq!((count(&world, "EvictionFailed").await, count(&world, "Evicted").await), (1, 1));
    assert!(world.status("x").await.reload.is_some_and(|reload| reload.evicted == Some(1) && reload.uid.is_none()));
}

async fn killed_around_an_eviction_nothing_is_lost_or_told_twice(world: World) {
    let (world, mesh) = world.with_gateway(&["a", "b"]).await;
    let ca = Ca::new();
    let reload = json!({"reload": {"deadline": "5s", "upTo": "Restart"}});
    let keeper = serving(&world, &ca.issue(&[pki::WILDCARD]), gateway(&world, reload)).await;
    mesh.set_vice("b", Some(Vice::Deaf)).await;
    mesh.set_budget(0).await.expect("a budget");
    world.supply(&ca.issue(&[pki::WILDCARD])).await;
    let chosen = || async { world.status("x").await.reload?.uid };
    let uid = world.eventually("a pod is named", chosen).await;
    drop(keeper);
    // It goes while nobody looks.
    mesh.set_budget(1).await.expect("a budget");
    mesh.delete_pod("b").await.expect("deleted");
    let _keeper = world.keeper();
    told(&world, "Evicted").await;
    let proven = || async { (world.status("x").await.served.as_deref() == Some("2/2")).then_some(()) };
    world.eventually("the successor is proven", proven).await;
    world.condition("x", "Ready", "True", "Ready").await;
    world.is_silent().await;
    assert_eq!(count(&world, "Evicted").await, 1);
    let reload = world.status("x").await.reload.expect("it was climbed");
    assert_eq!((reload.evicted, reload.uid), (Some(1), None), "chosen was {uid}");
    assert_eq!(mesh.names().await.len(), 2);
}

async fn a_deaf_pod_stays_and_is_named_where_restarts_are_not_allowed(world: World) {
    let (world, mesh) = world.with_gateway(&["a", "b"]).await;
    let ca = Ca::new();
    let reload = json!({"reload": {"deadline": "5s"}});
    let _keeper = serving(&world, &ca.issue(&[pki::WILDCARD]), gateway(&world, reload)).await;
    mesh.set_vice("b", Some(Vice::Deaf)).await;
    world.supply(&ca.issue(&[pki::WILDCARD])).await;
    let message = world.condition("x", "Served", "False", "Differs").await;
    assert!(message.contains(&format!("{}/b serves fingerprint", world.mesh)), "{message}");
    assert!(message.contains("upTo"), "{message}");
    let status = world.status("x").await;
    assert_eq!(status.served.as_deref(), Some("1/2"));
    let differing = &status.gateways[0].differing;
    assert_eq!((differing.len(), differing[0].reason.as_str()), (1, "AnotherLeaf"));
    assert!(mesh.names().await.contains(&"b".to_owned()));
    world.is_silent().await;
}

async fn a_pair_that_no_pod_takes_up_is_rolled_back_and_not_tried_again(world: World) {
    let (world, mesh) = world.with_gateway(&["a", "b"]).await;
    let ca = Ca::new();
    let good = ca.issue(&[pki::WILDCARD]);
    let reload = json!({"reload": {"deadline": "5s"}});
    let _keeper = serving(&world, &good, gateway(&world, reload)).await;
    let bad = ca.issue(&[pki::WILDCARD]);
    mesh.refuse(&bad.fingerprint());
    world.supply(&bad).await;
    let message = world.condition("x", "SourceValid", "False", "RefusedByGateway").await;
    assert!(message.contains(&bad.fingerprint()), "{message}");
    world.condition("x", "Ready", "False", "SourceRefused").await;
    world.condition("x", "Served", "True", "Served").await;
    assert!(holds(&world.gateway_secret().await.expect("there"), &good));
    world.is_silent().await;
    let tally = (count(&world, "Nudged").await, count(&world, "RolledBack").await, count(&world, "Evicted").await);
    assert_eq!(tally, (1, 1, 0));
    // Not after a restart either.
    let _other = world.keeper();
    world.is_silent().await;
    assert_eq!(count(&world, "RolledBack").await, 1);
}

async fn after_a_rollback_the_copies_hold_the_pair_that_was_rolled_back_to(world: World) {
    let (world, mesh) = world.with_gateway(&["a", "b"]).await;
    let ca = Ca::new();
    let (good, bad) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    let (namespace, copy) = (world.own("a"), world.own("copy"));
    world.namespace(&namespace).await;
    let mut spec = gateway(&world, json!({"reload": {"deadline": "5s"}}));
    spec["targets"] = json!([{"name": "t", "secretName": copy, "layout": "tls", "namespaces": [namespace]}]);
    world.supply(&good).await;
    world.ask(spec).await;
    let settings = world.settings_with(&[&format!("*/{copy}")]);
    let _keeper = world.keeper_with(settings, world.client.clone());
    world.condition("x", "Served", "True", "Served").await;
    world.condition("x", "Distributed", "True", "Distributed").await;
    mesh.refuse(&bad.fingerprint());
    world.supply(&bad).await;
    // The copies follow what the gateway's Secret has, there and back.
    for pair in [&bad, &good] {
        let (chain, key) = normalised(pair);
        world.copied(&namespace, &copy, &[("tls.crt", &chain), ("tls.key", &key)]).await;
    }
    world.condition("x", "SourceValid", "False", "RefusedByGateway").await;
    world.condition("x", "Distributed", "True", "Distributed").await;
    world.is_silent().await;
    let (chain, key) = normalised(&good);
    world.copied(&namespace, &copy, &[("tls.crt", &chain), ("tls.key", &key)]).await;
}

async fn a_rolled_back_pair_is_tried_again_once_the_source_changes(world: World) {
    let (world, mesh) = world.with_gateway(&["a"]).await;
    let ca = Ca::new();
    let reload = json!({"reload": {"deadline": "5s"}});
    let _keeper = serving(&world, &ca.issue(&[pki::WILDCARD]), gateway(&world, reload)).await;
    let next = ca.issue(&[pki::WILDCARD]);
    mesh.refuse(&next.fingerprint());
    world.supply(&next).await;
    world.condition("x", "SourceValid", "False", "RefusedByGateway").await;
    mesh.accept(&next.fingerprint());
    // The same pair, supplied anew.
    let label = json!({"metadata": {"labels": {"tried": "again"}}});
    let secrets = world.secrets(&world.home);
    secrets.patch("supplied", &Default::default(), &kube::api::Patch::Merge(label)).await.expect("patched");
    world.promoted(&next).await;
    world.condition("x", "SourceValid", "True", "Valid").await;
    world.condition("x", "Ready", "True", "Ready").await;
}

async fn the_only_pod_is_never_evicted(world: World) {
    let (world, mesh) = world.with_gateway(&["a"]).await;
    let ca = Ca::new();
    let reload = json!({"reload": {"deadline": "5s", "upTo": "Restart"}});
    let good = ca.issue(&[pki::WILDCARD]);
    let _keeper = serving(&world, &good, gateway(&world, reload)).await;
    mesh.set_vice("a", Some(Vice::Deaf)).await;
    world.supply(&ca.issue(&[pki::WILDCARD])).await;
    // With nobody to serve the new pair it counts as refused.
    told(&world, "RolledBack").await;
    world.condition("x", "Served", "True", "Served").await;
    assert_eq!(mesh.names().await, ["a"]);
    assert_eq!(mesh.serves("a").await.as_ref(), Some(&good.fingerprint()));
}

async fn pods_that_reset_every_connection_never_climb(world: World) {
    let (world, mesh) = world.with_gateway(&["a", "b"]).await;
    for pod in ["a", "b"] {
        mesh.set_vice(pod, Some(Vice::Reset)).await;
    }
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    world.supply(&pair).await;
    let reload = json!({"reload": {"deadline": "5s", "upTo": "Restart"}});
    world.ask(gateway(&world, reload)).await;
    let _keeper = world.keeper();
    let message = world.condition("x", "Served", "Unknown", "Unreachable").await;
    assert!(message.contains("could not be asked"), "{message}");
    world.is_silent().await;
    let secret = world.gateway_secret().await.expect("there");
    assert!(!secret.annotations().contains_key("certs.kyma-project.io/nudged"));
    assert_eq!(mesh.names().await.len(), 2);
}

async fn killed_at_each_rung_nothing_is_done_twice(world: World) {
    let (world, mesh) = world.with_gateway(&["a", "b"]).await;
    let ca = Ca::new();
    let reload = json!({"reload": {"deadline": "5s"}});
    let good = ca.issue(&[pki::WILDCARD]);
    let mut keeper = serving(&world, &good, gateway(&world, reload)).await;
    let bad = ca.issue(&[pki::WILDCARD]);
    mesh.refuse(&bad.fingerprint());
    world.supply(&bad).await;
    for condition in ["Reloading", "Reloading"] {
        world.condition("x", "Served", "False", condition).await;
        drop(keeper);
        keeper = world.keeper();
    }
    told(&world, "Nudged").await;
    drop(keeper);
    keeper = world.keeper();
    told(&world, "RolledBack").await;
    drop(keeper);
    let _keeper = world.keeper();
    world.condition("x", "Served", "True", "Served").await;
    world.is_silent().await;
    assert_eq!((count(&world, "Nudged").await, count(&world, "RolledBack").await), (1, 1));
    assert!(holds(&world.gateway_secret().await.expect("there"), &good));
}

async fn two_replicas_nudge_once(world: World) {
    let (world, mesh) = world.with_gateway(&["a", "b"]).await;
    let ca = Ca::new();
    let reload = json!({"reload": {"deadline": "5s"}});
    let _keeper = serving(&world, &ca.issue(&[pki::WILDCARD]), gateway(&world, reload)).await;
    let _other = world.keeper();
    for pod in ["a", "b"] {
        mesh.set_vice(pod, Some(Vice::Stuck)).await;
    }
    let next = ca.issue(&[pki::WILDCARD]);
    world.supply(&next).await;
    told(&world, "Nudged").await;
    every_pod_serves(&world, &mesh, &next).await;
    world.condition("x", "Served", "True", "Served").await;
    world.is_silent().await;
    let secret = world.gateway_secret().await.expect("there");
    let marker = secret.annotations().get("certs.kyma-project.io/nudged").cloned().unwrap_or_default();
    assert_eq!(marker.matches('@').count(), 1, "{marker}");
}

async fn a_gateway_that_expects_a_proxy_header_gets_one(world: World) {
    let (world, mesh) = world.with_gateway(&["a", "b"]).await;
    mesh.expect_proxy_header().await.expect("an EnvoyFilter");
    let _keeper = serving(&world, &Ca::new().issue(&[pki::WILDCARD]), json!({})).await;
    world.condition("x", "Ready", "True", "Ready").await;
    // A person's word counts more: then none of them answers any more.
    world.patch_object("x", gateway_patch(json!({"probe": {"proxyProtocol": "None"}}))).await;
    world.condition("x", "Ready", "Unknown", "Unreachable").await;
    world.patch_object("x", gateway_patch(json!({"probe": {"proxyProtocol": "V2"}}))).await;
    world.condition("x", "Ready", "True", "Ready").await;
}

fn gateway_patch(gateway: Value) -> Value {
    json!({"spec": {"gateway": gateway}})
}

async fn a_gateway_that_names_another_secret_is_not_asked(world: World) {
    let (world, mesh) = world.with_gateway(&["a"]).await;
    let _keeper = serving(&world, &Ca::new().issue(&[pki::WILDCARD]), json!({})).await;
    let tls = json!({"mode": "SIMPLE", "credentialName": "another"});
    let port = json!({"number": 443, "name": "https", "protocol": "HTTPS"});
    let server = json!({"port": port, "hosts": [pki::WILDCARD], "tls": tls});
    mesh.patch_gateway(json!({"spec": {"servers": [server]}})).await.expect("patched");
    world.condition("x", "Served", "Unknown", "NoGateway").await;
    world.objects().delete("x", &DeleteParams::default()).await.expect("deleted");
}
