//! Which copies there are: layouts, lists and selectors, namespaces that come and go, targets that are taken back.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    pki::{self, Ca},
    scenarios,
    world::{Keeper, World, normalised},
};

scenarios!(
    copies_of_every_layout_follow_the_promoted_pair,
    a_namespace_that_appears_or_gains_the_label_has_its_copy,
    a_namespace_that_loses_the_label_loses_our_copy_unless_it_was_edited,
    a_listed_namespace_that_is_missing_is_said_and_served_when_it_comes,
    a_terminating_namespace_is_no_failure,
    a_target_that_is_taken_back_while_nobody_looks_takes_its_copies_along,
    an_edited_copy_stays_when_the_others_go_with_the_object,
    copies_stay_when_the_object_goes_unless_the_spec_says_otherwise,
    a_copy_whose_layout_changes_its_type_is_made_anew,
    ungranted_targets_are_refused_and_no_call_is_made,
    a_chain_without_authority_gives_no_ca_copy_until_its_root_is_given,
    targets_that_name_the_same_secret_or_the_gateways_own_are_said,
    what_was_refused_is_never_copied,
);

/// Asks for these targets, supplies the pair and starts a controller that may write `*/copy-…` and `*/other-…`.
async fn started(world: &World, pair: &pki::Pair, targets: Value) -> Keeper {
    world.supply(pair).await;
    world.ask(json!({"targets": targets})).await;
    keeper(world)
}

fn keeper(world: &World) -> Keeper {
    let grants = [format!("*/{}", world.own("copy")), format!("*/{}", world.own("other"))];
    let settings = world.settings_with(&grants.each_ref().map(String::as_str));
    world.keeper_with(settings, world.client.clone())
}

async fn namespaces(world: &World, names: [&str; 2]) -> [String; 2] {
    let names = names.map(|name| world.own(name));
    for name in &names {
        world.namespace(name).await;
    }
    names
}

async fn copies_of_every_layout_follow_the_promoted_pair(world: World) {
    let ca = Ca::new();
    let [a, b] = namespaces(&world, ["a", "b"]).await;
    let target = |name: &str, layout: &str| json!({"name": name, "secretName": world.own(name), "namespaces": [a, b], "layout": layout});
    let mut explicit = target("keys", "keys");
    explicit["keys"] = json!({"chain.pem": "Certificate", "key.pem": "PrivateKey", "ca.pem": "Authorities"});
    let layouts =
        [target("tls", "tls"), target("generic", "generic"), target("only", "certificate-only"), target("ca", "ca")];
    let targets: Vec<Value> = layouts.into_iter().chain([explicit]).collect();
    let mut pair = ca.issue(&[pki::WILDCARD]);
    world.supply(&pair).await;
    world.ask(json!({"targets": targets})).await;
    let grants = ["tls", "generic", "only", "ca", "keys"].map(|name| format!("*/{}", world.own(name)));
    let settings = world.settings_with(&grants.each_ref().map(String::as_str));
    let _keeper = world.keeper_with(settings, world.client.clone());
    for _ in 0..2 {
        let (chain, key) = normalised(&pair);
        let authorities = &chain[chain.find("-----END CERTIFICATE-----\n").expect("a leaf") + 26..];
        assert!(authorities.starts_with("-----BEGIN"), "the chain has an intermediate");
        for namespace in [&a, &b] {
            let copied =
                async |name: &str, data: &[(&str, &str)]| world.copied(namespace, &world.own(name), data).await;
            let tls = copied("tls", &[("tls.crt", &chain), ("tls.key", &key)]).await;
            assert_eq!(tls.type_.as_deref(), Some("kubernetes.io/tls"));
            copied("generic", &[("cert", &chain), ("key", &key)]).await;
            copied("only", &[("tls.crt", &chain)]).await;
            copied("ca", &[("cacert", authorities)]).await;
            copied("keys", &[("chain.pem", &chain), ("key.pem", &key), ("ca.pem", authorities)]).await;
        }
        let message = world.condition("x", "Distributed", "True", "Distributed").await;
        assert!(message.contains(&pair.fingerprint()), "{message}");
        let targets = world.status("x").await.targets.expect("a report");
        assert_eq!((targets.desired, targets.current, targets.failures.len()), (10, 10, 0));
        world.is_silent().await;
        pair = ca.issue(&[pki::WILDCARD]);
        world.supply(&pair).await;
    }
}

fn selected(world: &World) -> Value {
    json!([{
        "name": "all", "secretName": world.own("copy"), "layout": "certificate-only",
        "namespaceSelector": {"matchLabels": {"copies": world.home}},
    }])
}

async fn a_namespace_that_appears_or_gains_the_label_has_its_copy(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let [late, plain] = namespaces(&world, ["late", "plain"]).await;
    let _keeper = started(&world, &pair, selected(&world)).await;
    world.condition("x", "Distributed", "True", "Distributed").await;
    let fresh = world.own("fresh");
    world.labelled_namespace(&fresh, json!({"copies": world.home})).await;
    let (chain, _) = normalised(&pair);
    world.copied(&fresh, &world.own("copy"), &[("tls.crt", &chain)]).await;
    world.label(&late, json!({"copies": world.home})).await;
    world.copied(&late, &world.own("copy"), &[("tls.crt", &chain)]).await;
    assert!(world.secrets(&plain).list(&Default::default()).await.expect("readable").items.is_empty());
    world.condition("x", "Distributed", "True", "Distributed").await;
}

async fn a_namespace_that_loses_the_label_loses_our_copy_unless_it_was_edited(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let (chain, _) = normalised(&pair);
    let [kept, lost] = ["kept", "lost"].map(|name| world.own(name));
    for name in [&kept, &lost] {
        world.labelled_namespace(name, json!({"copies": world.home})).await;
    }
    let keeper = started(&world, &pair, selected(&world)).await;
    for name in [&kept, &lost] {
        world.copied(name, &world.own("copy"), &[("tls.crt", &chain)]).await;
    }
    world.condition("x", "Distributed", "True", "Distributed").await;
    // While nobody looks, so that the edit is not restored first.
    keeper.stop().await;
    world.put_secret(&kept, &world.own("copy"), &[("tls.crt", b"edited by hand")]).await;
    for name in [&kept, &lost] {
        world.label(name, json!({"copies": null})).await;
    }
    let _keeper = self::keeper(&world);
    world.gone(&lost, &world.own("copy")).await;
    world.is_silent().await;
    world.copied(&kept, &world.own("copy"), &[("tls.crt", "edited by hand")]).await;
}

async fn a_listed_namespace_that_is_missing_is_said_and_served_when_it_comes(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let (chain, key) = normalised(&pair);
    let [there, _] = namespaces(&world, ["there", "unused"]).await;
    let missing = world.own("missing");
    let target =
        json!([{"name": "t", "secretName": world.own("copy"), "layout": "tls", "namespaces": [there, missing]}]);
    let _keeper = started(&world, &pair, target).await;
    world.copied(&there, &world.own("copy"), &[("tls.crt", &chain), ("tls.key", &key)]).await;
    let message = world.condition("x", "Distributed", "False", "TargetsFailed").await;
    assert!(message.contains(&missing) && message.contains("create it"), "{message}");
    let targets = world.status("x").await.targets.expect("a report");
    assert_eq!((targets.desired, targets.current), (2, 1));
    assert_eq!(targets.failures[0].reason, "NamespaceMissing");
    world.is_silent().await;
    world.namespace(&missing).await;
    world.copied(&missing, &world.own("copy"), &[("tls.crt", &chain), ("tls.key", &key)]).await;
    world.condition("x", "Distributed", "True", "Distributed").await;
    let told = world.events().await;
    assert_eq!(told.iter().filter(|event| event.reason.as_deref() == Some("NamespaceMissing")).count(), 1);
}

async fn a_terminating_namespace_is_no_failure(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let (chain, key) = normalised(&pair);
    let [stays, goes] = namespaces(&world, ["stays", "goes"]).await;
    // It would stay for ever without this: nobody empties namespaces here, and one that is empty goes at once.
    world.put_secret(&goes, "something", &[("a", b"b")]).await;
    let api: Api<Namespace> = Api::all(world.client.clone());
    api.delete(&goes, &DeleteParams::default()).await.expect("deleted");
    let target = json!([{"name": "t", "secretName": world.own("copy"), "layout": "tls", "namespaces": [stays, goes]}]);
    let _keeper = started(&world, &pair, target).await;
    world.copied(&stays, &world.own("copy"), &[("tls.crt", &chain), ("tls.key", &key)]).await;
    let there = api.get_opt(&goes).await.expect("readable").is_some();
    if there {
        world.condition("x", "Distributed", "True", "Distributed").await;
        let targets = world.status("x").await.targets.expect("a report");
        assert_eq!((targets.desired, targets.current, targets.failures.len()), (1, 1, 0));
    } else {
        world.condition("x", "Distributed", "False", "TargetsFailed").await;
    }
    world.is_silent().await;
}

async fn a_target_that_is_taken_back_while_nobody_looks_takes_its_copies_along(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let (chain, key) = normalised(&pair);
    let [a, b] = namespaces(&world, ["a", "b"]).await;
    let (copy, other) = (world.own("copy"), world.own("other"));
    let tls =
        |namespaces: &[&String]| json!({"name": "t", "secretName": copy, "layout": "tls", "namespaces": namespaces});
    let only = json!({"name": "o", "secretName": other, "layout": "certificate-only", "namespaces": [a, b]});
    let keeper = started(&world, &pair, json!([tls(&[&a, &b]), only])).await;
    for namespace in [&a, &b] {
        world.copied(namespace, &copy, &[("tls.crt", &chain), ("tls.key", &key)]).await;
        world.copied(namespace, &other, &[("tls.crt", &chain)]).await;
    }
    world.condition("x", "Distributed", "True", "Distributed").await;
    keeper.stop().await;
    world.patch_object("x", json!({"spec": {"targets": [tls(&[&a])]}})).await;
    let keeper = self::keeper(&world);
    world.gone(&b, &copy).await;
    for namespace in [&a, &b] {
        world.gone(namespace, &other).await;
    }
    world
        .eventually("the record is cut", || async {
            let targets = world.status("x").await.targets?;
            (targets.placed.len() == 1 && targets.placed[0].namespaces == [a.clone()] && targets.desired == 1)
                .then_some(())
        })
        .await;
    keeper.stop().await;
    world.patch_object("x", json!({"spec": {"targets": []}})).await;
    let _keeper = self::keeper(&world);
    world.gone(&a, &copy).await;
    world.condition("x", "Distributed", "True", "NoTargets").await;
    world.eventually("nothing is recorded", || async { world.status("x").await.targets.is_none().then_some(()) }).await;
    world.is_silent().await;
}

async fn an_edited_copy_stays_when_the_others_go_with_the_object(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let [a, b] = namespaces(&world, ["a", "b"]).await;
    let copy = world.own("copy");
    let target = json!([{"name": "t", "secretName": copy, "layout": "certificate-only", "namespaces": [a, b]}]);
    world.supply(&pair).await;
    world.ask(json!({"targets": target, "deletionPolicy": "DeleteTargets"})).await;
    let first = keeper(&world);
    world.condition("x", "Distributed", "True", "Distributed").await;
    // Edited while nobody looks, and gone before it can be put right.
    first.stop().await;
    let patch = json!({"stringData": {"tls.crt": "theirs"}});
    let params = PatchParams { field_manager: Some("a-person".to_owned()), ..PatchParams::default() };
    world.secrets(&b).patch(&copy, &params, &Patch::Merge(patch)).await.expect("edited");
    world.objects().delete("x", &DeleteParams::default()).await.expect("deleted");
    let _keeper = keeper(&world);
    world
        .eventually("the object is gone", || async {
            world.objects().get_opt("x").await.expect("readable").is_none().then_some(())
        })
        .await;
    world.gone(&a, &copy).await;
    world.copied(&b, &copy, &[("tls.crt", "theirs")]).await;
}

async fn copies_stay_when_the_object_goes_unless_the_spec_says_otherwise(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let (chain, key) = normalised(&pair);
    let [a, b] = namespaces(&world, ["a", "b"]).await;
    let copy = world.own("copy");
    let target = json!([{"name": "t", "secretName": copy, "layout": "tls", "namespaces": [a, b]}]);
    let _keeper = started(&world, &pair, target.clone()).await;
    let data = [("tls.crt", chain.as_str()), ("tls.key", key.as_str())];
    for namespace in [&a, &b] {
        world.copied(namespace, &copy, &data).await;
    }
    world.condition("x", "Distributed", "True", "Distributed").await;
    let delete = async || {
        world.objects().delete("x", &DeleteParams::default()).await.expect("deleted");
        world
            .eventually("the object is gone", || async {
                world.objects().get_opt("x").await.expect("readable").is_none().then_some(())
            })
            .await;
    };
    delete().await;
    for namespace in [&a, &b] {
        world.copied(namespace, &copy, &data).await;
    }
    // The next one of that name finds them as its own; one of another name takes up what an owner left behind.
    world.ask_as("x", json!({"targets": target, "deletionPolicy": "DeleteTargets"})).await;
    world.condition("x", "Distributed", "True", "Distributed").await;
    // One that was edited meanwhile is somebody else's now.
    world.secrets(&b).delete(&copy, &DeleteParams::default()).await.expect("deleted");
    world.copied(&b, &copy, &data).await;
    delete().await;
    for namespace in [&a, &b] {
        world.gone(namespace, &copy).await;
    }
    assert!(world.gateway_secret().await.is_some(), "the gateway's own Secret always stays");
}

async fn a_copy_whose_layout_changes_its_type_is_made_anew(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let (chain, key) = normalised(&pair);
    let [a, _] = namespaces(&world, ["a", "b"]).await;
    let copy = world.own("copy");
    let target = |layout: &str| json!([{"name": "t", "secretName": copy, "layout": layout, "namespaces": [a]}]);
    let _keeper = started(&world, &pair, target("tls")).await;
    world.copied(&a, &copy, &[("tls.crt", &chain), ("tls.key", &key)]).await;
    world.patch_object("x", json!({"spec": {"targets": target("generic")}})).await;
    let made = world.copied(&a, &copy, &[("cert", &chain), ("key", &key)]).await;
    assert_eq!(made.type_.as_deref(), Some("Opaque"));
    world.patch_object("x", json!({"spec": {"targets": target("certificate-only")}})).await;
    let changed = world.copied(&a, &copy, &[("tls.crt", &chain)]).await;
    assert_eq!(changed.uid(), made.uid(), "the same type is changed in place");
    world.condition("x", "Distributed", "True", "Distributed").await;
    world.is_silent().await;
}

async fn ungranted_targets_are_refused_and_no_call_is_made(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    world.supply(&pair).await;
    let cases = [
        (json!({"secretName": "elsewhere", "layout": "tls", "namespaces": ["a", "b"]}), "--allow a/elsewhere"),
        (
            json!({"secretName": "elsewhere", "layout": "certificate-only", "namespaceSelector": {}}),
            "--allow '*/elsewhere'",
        ),
        (
            json!({"secretName": world.own("copy"), "layout": "tls", "namespaces": ["a"],
                "restart": [{"kind": "Deployment", "name": "web"}]}),
            "--allow-restart 'a/Deployment/web'",
        ),
    ];
    let _keeper = keeper(&world);
    for (number, (mut target, grant)) in cases.into_iter().enumerate() {
        let name = format!("x{number}");
        target["name"] = "t".into();
        world.ask_as(&name, json!({"targets": [target]})).await;
        let message = world.condition(&name, "Accepted", "False", "NotPermitted").await;
        assert!(message.contains(grant), "{message}");
        world.objects().delete(&name, &DeleteParams::default()).await.expect("deleted");
    }
    assert!(world.gateway_secret().await.is_none(), "no call at all");
}

async fn a_chain_without_authority_gives_no_ca_copy_until_its_root_is_given(world: World) {
    let ca = Ca::new();
    let pair = ca.issue(&[pki::WILDCARD]);
    let [a, _] = namespaces(&world, ["a", "b"]).await;
    let (chain, key) = normalised(&pair);
    let leaf = &chain[..chain.find("-----END CERTIFICATE-----\n").expect("a leaf") + 26];
    world.supply_data(&[("tls.crt", leaf.as_bytes()), ("tls.key", key.as_bytes())]).await;
    let copy = world.own("copy");
    let targets = json!([{"name": "t", "secretName": copy, "layout": "ca", "namespaces": [a]}]);
    world.ask(json!({"targets": targets, "checks": {"warn": ["chain-missing-intermediate"]}})).await;
    let _keeper = keeper(&world);
    world.condition("x", "Distributed", "False", "TargetsFailed").await;
    assert_eq!(world.status("x").await.targets.expect("a report").failures[0].reason, "NoAuthority");
    let authorities = &chain[leaf.len()..];
    let byo = json!({"secretRef": {"name": "supplied"}, "trust": {"roots": authorities}});
    world.patch_object("x", json!({"spec": {"byo": byo}})).await;
    world.copied(&a, &copy, &[("cacert", authorities)]).await;
}

async fn targets_that_name_the_same_secret_or_the_gateways_own_are_said(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    let [a, _] = namespaces(&world, ["a", "b"]).await;
    let copy = world.own("copy");
    let targets = json!([
        {"name": "first", "secretName": copy, "layout": "tls", "namespaces": [a]},
        {"name": "second", "secretName": copy, "layout": "generic", "namespaces": [a]},
        {"name": "own", "secretName": "gw-certs", "layout": "certificate-only", "namespaces": [world.mesh]},
    ]);
    let _keeper = started(&world, &pair, targets).await;
    world.condition("x", "Distributed", "False", "TargetsFailed").await;
    let report = world.status("x").await.targets.expect("a report");
    let failed: Vec<(&str, &str)> = report.failures.iter().map(|f| (f.target.as_str(), f.reason.as_str())).collect();
    assert_eq!(failed, [("own", "Conflict"), ("second", "Conflict")]);
    assert_eq!((report.desired, report.current), (3, 1));
    world.promoted(&pair).await;
    world.is_silent().await;
}

async fn what_was_refused_is_never_copied(world: World) {
    let ca = Ca::new();
    let (good, elsewhere) = (ca.issue(&[pki::WILDCARD]), ca.issue(&["*.elsewhere.example"]));
    let [a, b] = namespaces(&world, ["a", "b"]).await;
    let copy = world.own("copy");
    let target =
        |namespaces: &[&String]| json!([{"name": "t", "secretName": copy, "layout": "tls", "namespaces": namespaces}]);
    let _keeper = started(&world, &good, target(&[&a])).await;
    let (chain, key) = normalised(&good);
    world.copied(&a, &copy, &[("tls.crt", &chain), ("tls.key", &key)]).await;
    world.supply(&elsewhere).await;
    world.condition("x", "SourceValid", "False", "Refused").await;
    // A new place gets what the gateway has: the last good pair.
    world.patch_object("x", json!({"spec": {"targets": target(&[&a, &b])}})).await;
    for namespace in [&a, &b] {
        world.copied(namespace, &copy, &[("tls.crt", &chain), ("tls.key", &key)]).await;
    }
    world.condition("x", "Distributed", "True", "Distributed").await;
    world.is_silent().await;
}
