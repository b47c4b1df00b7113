//! A Gateway that certkeeper manages, under Istio's own definition: its policy is on the wire of real Envoys.

use std::time::Duration;

use certkeeper::gateway::{
    ProxyHeader, TcpDial,
    wire::{Survey, Version, survey},
};
use certkeeper_mesh::{
    Mesh,
    keeper::{Keeper, is, told},
    objects::KYMA,
    rotate::issue,
    with_mesh,
};
use certkeeper_simulator::ca::{Ca, Issued};
use chrono::Utc;
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_secs(90);

fn gateways(mesh: &Mesh) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "Gateway");
    Api::namespaced_with(mesh.client(), KYMA, &ApiResource::from_gvk_with_plural(&kind, "gateways"))
}

/// Which versions of TLS each pod accepts, and whether it redirects plain HTTP.
async fn policies(mesh: &Mesh) -> Vec<(Vec<Version>, bool)> {
    let mut seen = Vec::new();
    for pod in mesh.gateways() {
        let survey_of = Survey {
            address: pod.tls,
            name: "ok.example.test",
            proxy: ProxyHeader::None,
            redirect: Some(pod.plain),
            limit: Duration::from_secs(2),
            at_once: 4,
        };
        let found = survey(&TcpDial, &survey_of).await;
        let accepted = found.versions.into_iter().filter(|(_, outcome)| outcome.is_accepted());
        let redirects = found.redirect.is_some_and(|redirect| redirect.is_permanent());
        seen.push((accepted.map(|(version, _)| version).collect(), redirects));
    }
    seen
}

/// All accept just these versions, and redirect, before long.
async fn on_the_wire(mesh: &Mesh, versions: &[Version]) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let seen = policies(mesh).await;
        if seen.iter().all(|(accepted, redirects)| accepted == versions && *redirects) {
            return;
        }
        assert!(Instant::now() < deadline, "wanted {versions:?}, seen {seen:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

fn managed(policy: &Value, more: &Value) -> Value {
    let gateway = json!({"reload": {"deadline": "5s"}, "management": "Manage", "policy": policy});
    let mut spec = json!({ "gateway": gateway });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}

async fn supply(keeper: &Keeper, pair: &Issued) {
    keeper.supply(&pair.certificate(), pair.key()).await.expect("supplied");
}

async fn becomes(keeper: &Keeper, kind: &str, status: &str, reason: &str) -> String {
    keeper.until(DEADLINE, |now| is(now, kind, status, reason)).await.expect("so it becomes");
    let now = keeper.status().await.expect("readable");
    now.conditions.into_iter().find(|one| one.type_ == kind).map(|one| one.message).unwrap_or_default()
}

#[test]
fn a_managed_gateway_passes_istios_own_definition_and_its_policy_is_on_the_wire() {
    with_mesh("a managed Gateway", async |mesh| {
        let ca = Ca::root("Root", Utc::now()).expect("a root");
        let keeper = Keeper::start(mesh).await.expect("a keeper");
        let first = issue(&ca).expect("a pair");
        supply(&keeper, &first).await;
        let strict = json!({"minProtocolVersion": "TLSV1_3", "includeApex": true});
        // Somebody else made the Gateway. IfUnowned: what he owns stays, and what is served is proven all the same.
        keeper.ask(&managed(&strict, &json!({}))).await.expect("asked for");
        let message = becomes(&keeper, "Ready", "False", "GatewayConflict").await;
        assert!(message.contains("field manager \"mesh\" owns .spec.servers"), "{message}");
        keeper.until_proven(first.fingerprint(), 3, DEADLINE).await.expect("proven");
        assert!(policies(mesh).await.iter().all(|(versions, _)| versions.contains(&Version::Tls12)));
        gateways(mesh).delete("kyma-gateway", &DeleteParams::default()).await.expect("deleted");
        on_the_wire(mesh, &[Version::Tls13]).await;
        becomes(&keeper, "Ready", "True", "Ready").await;
        keeper.ask(&managed(&json!({"includeApex": true}), &json!({}))).await.expect("asked for");
        on_the_wire(mesh, &[Version::Tls12, Version::Tls13]).await;
        // Mutual TLS: the CA first, then the mode, and no connection is reset.
        let clients = Ca::root("Clients", Utc::now()).expect("a root");
        keeper.put("ca", &[("ca.crt", &clients.pem())]).await.expect("written");
        let mutual = json!({"clientCA": {"secretRef": {"name": "ca"}}});
        keeper.ask(&managed(&json!({"includeApex": true}), &mutual)).await.expect("asked for");
        let deadline = Instant::now() + DEADLINE;
        loop {
            let gateway = gateways(mesh).get("kyma-gateway").await.expect("there");
            if gateway.data["spec"]["servers"][0]["tls"]["mode"] == "MUTUAL" {
                break;
            }
            assert!(Instant::now() < deadline, "{:?}", gateway.data);
            sleep(Duration::from_millis(50)).await;
        }
        let second = issue(&ca).expect("a pair");
        supply(&keeper, &second).await;
        mesh.until_all_serve(second.fingerprint(), DEADLINE).await.expect("served by all");
        keeper.until_proven(second.fingerprint(), 3, DEADLINE).await.expect("proven");
        becomes(&keeper, "Ready", "True", "Ready").await;
        let before = gateways(mesh).get("kyma-gateway").await.expect("there").metadata.resource_version;
        sleep(Duration::from_secs(3)).await;
        let after = gateways(mesh).get("kyma-gateway").await.expect("there").metadata.resource_version;
        assert_eq!(before, after, "nothing is written once all is as it should be");
        let status = keeper.status().await.expect("readable");
        assert_eq!(told(&status, "Nudged") + told(&status, "RolledBack"), 0);
    });
}
