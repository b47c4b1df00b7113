//! Workloads that are rolled after the Secret they read has changed.

use certkeeper::lifecycle::Settings;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::{
    pki::{self, Ca, Pair},
    scenarios,
    world::World,
};

scenarios!(a_workload_is_rolled_once_for_each_new_certificate, a_workload_that_is_missing_is_said);

const MARK: &str = "certs.kyma-project.io/rolled-for";

fn settings(world: &World) -> Settings {
    let grant = format!("{}/{}", world.own("a"), world.own("copy"));
    let mut settings = world.settings_with(&[&grant]);
    settings.allow_restart = vec![format!("{}/deployment/web", world.own("a"))];
    settings
}

async fn asked(world: &World, pair: &Pair) {
    let namespace = world.own("a");
    world.namespace(&namespace).await;
    world.supply(pair).await;
    world
        .ask(json!({"targets": [{
            "name": "t", "secretName": world.own("copy"), "layout": "tls", "namespaces": [namespace],
            "restart": [{"kind": "Deployment", "name": "web"}],
        }]}))
        .await;
}

fn deployments(world: &World) -> Api<Deployment> {
    Api::namespaced(world.client.clone(), &world.own("a"))
}

async fn deploy(world: &World) {
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web"}]},
            },
        },
    }))
    .expect("a Deployment");
    deployments(world).create(&PostParams::default(), &deployment).await.expect("created");
}

/// The Deployment's own mark and its pod template's.
async fn marks(world: &World) -> (Option<String>, Option<String>) {
    let web = deployments(world).get("web").await.expect("there");
    let template = web.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    let template = template.and_then(|metadata| metadata.annotations.as_ref()?.get(MARK).cloned());
    (web.annotations().get(MARK).cloned(), template)
}

async fn a_workload_is_rolled_once_for_each_new_certificate(world: World) {
    let ca = Ca::new();
    let (first, second) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    asked(&world, &first).await;
    deploy(&world).await;
    let keeper = world.keeper_with(settings(&world), world.client.clone());
    world.condition("x", "Distributed", "True", "Distributed").await;
    world
        .eventually("it is marked, not rolled: it has just been installed", || async {
            (marks(&world).await == (Some(first.fingerprint()), None)).then_some(())
        })
        .await;
    world.supply(&second).await;
    world
        .eventually("it is rolled", || async {
            (marks(&world).await == (Some(second.fingerprint()), Some(second.fingerprint()))).then_some(())
        })
        .await;
    world.condition("x", "Distributed", "True", "Distributed").await;
    // Somebody goes back to the former template: that is their decision, and a restart of certkeeper does not undo it.
    let back = json!({"spec": {"template": {"metadata": {"annotations": {MARK: null}}}}});
    deployments(&world).patch("web", &PatchParams::default(), &Patch::Merge(back)).await.expect("patched");
    let generation = deployments(&world).get("web").await.expect("there").metadata.generation;
    keeper.stop().await;
    let _keeper = world.keeper_with(settings(&world), world.client.clone());
    world.is_silent().await;
    assert_eq!(deployments(&world).get("web").await.expect("there").metadata.generation, generation);
}

async fn a_workload_that_is_missing_is_said(world: World) {
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    asked(&world, &pair).await;
    let _keeper = world.keeper_with(settings(&world), world.client.clone());
    let message = world.condition("x", "Distributed", "False", "TargetsFailed").await;
    assert!(message.contains("Deployment web") && message.contains("does not exist"), "{message}");
    deploy(&world).await;
    world.condition("x", "Distributed", "True", "Distributed").await;
}
