//! `certkeeper probe --gateway` against a real mesh: kube-apiserver, istiod and three Envoys.

use std::{collections::BTreeMap, time::Duration};

use certkeeper_mesh::{
    Mesh,
    objects::{DOMAIN, ISTIO, KYMA, SECRET},
    say, with_mesh,
};
use certkeeper_simulator::ca::{Algorithm, Ca, Issued};
use chrono::Utc;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::room::{Answer, Room};

/// A hundred times what Istio takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn issue() -> Issued {
    let ca = Ca::root("Root", Utc::now()).expect("a root").intermediate("Intermediate").expect("a CA");
    ca.leaf(&[&format!("*.{DOMAIN}")]).algorithm(Algorithm::Rsa2048).issue().expect("a leaf")
}

/// A plain PATCH of the gateway's Secret, as a person with kubectl would do it.
async fn patch(mesh: &Mesh, certificate: &str, key: &str) {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = json!({"data": {"tls.crt": bytes(certificate), "tls.key": bytes(key)}});
    let secrets: Api<Secret> = Api::namespaced(mesh.client(), ISTIO);
    secrets.patch(SECRET, &PatchParams::default(), &Patch::Merge(data)).await.expect("patched");
}

async fn probe(room: &Room, mesh: &Mesh) -> Answer {
    let kubeconfig = mesh.kubeconfig().display().to_string();
    let target = format!("{KYMA}/kyma-gateway");
    let arguments = ["--gateway", &target, "--kubeconfig", &kubeconfig, "--timeout", "20s", "-o", "json"];
    // The mesh's own tasks run on the other threads.
    tokio::task::block_in_place(|| room.probe(&arguments))
}

/// What the answer says of each pod: the leaf, and whether it is the expected one.
fn said(answer: &Answer) -> Vec<(Value, Value)> {
    let servers = answer.json()["servers"].as_array().expect("servers").clone();
    servers.iter().map(|one| (one["certificate"]["fingerprint"].clone(), one["asExpected"].clone())).collect()
}

#[test]
fn probe_tells_what_every_pod_of_a_real_mesh_serves() {
    with_mesh("probe --gateway on a real mesh", async |mesh| {
        let (first, second) = (issue(), issue());
        let room = Room::new([&first, &second].map(|pair| pair.key().to_owned()));
        for pair in [&first, &second] {
            let began = Instant::now();
            patch(mesh, &pair.certificate(), pair.key()).await;
            mesh.until_all_serve(pair.fingerprint(), PATIENCE).await.expect("all three serve it");
            say(&format!("{} ms from PATCH to served by three pods", began.elapsed().as_millis()));
            let answer = probe(&room, mesh).await;
            assert_eq!(answer.code, 0, "{answer}");
            let good = (json!(pair.fingerprint()), json!(true));
            assert_eq!(said(&answer), [good.clone(), good.clone(), good], "{answer}");
        }
        // A key of another certificate: Envoy keeps what it has, and the Secret's leaf is expected.
        patch(mesh, &first.certificate(), second.key()).await;
        let mut rejected = BTreeMap::new();
        let begin = Instant::now();
        while rejected.len() < 3 {
            assert!(begin.elapsed() < PATIENCE, "not refused: {rejected:?}");
            for pod in mesh.gateways() {
                let named = format!("sds.kubernetes_{SECRET}.update_rejected");
                let count = mesh.envoy_figure(&pod.name, &named).await.expect("the pod").unwrap_or(0);
                if count > 0 {
                    rejected.insert(pod.name, count);
                }
            }
        }
        let answer = probe(&room, mesh).await;
        assert_eq!(answer.code, 1, "{answer}");
        let other = (json!(second.fingerprint()), json!(false));
        assert_eq!(said(&answer), [other.clone(), other.clone(), other], "{answer}");
    });
}
