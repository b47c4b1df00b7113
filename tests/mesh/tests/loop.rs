//! The loop against a real mesh: kube-apiserver, istiod and three Envoys. `CERTKEEPER_MESH=1` has these tests run; each
//! starts a mesh of its own, so they are run one after the other (`--test-threads=1`).

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use certkeeper::{
    api::{GatewayCertificate, GatewayCertificateStatus},
    clock::SystemClock,
    cluster::client::guarded,
    controller::{Runtime, run},
    gateway::{TcpDial, handshake},
    lifecycle::Settings,
};
use certkeeper_mesh::{
    Mesh, WITH_MESH,
    objects::{ISTIO, KYMA},
    spec,
};
use certkeeper_simulator::ca::{Algorithm, Ca, Issued, Validity};
use chrono::Utc;
use k8s_openapi::{
    ByteString, api::core::v1::Secret, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, CustomResourceExt, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

const SECRET: &str = "kyma-gateway-certs";
const DEADLINE: Duration = Duration::from_secs(90);

/// A mesh with certkeeper at work on it.
struct World {
    mesh: Mesh,
    ca: Ca,
    keeper: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

fn say(text: &str) {
    // In one write, which a test's capturing of output does not swallow.
    let _ = std::io::stderr().write_all(format!("mesh: {text}\n").as_bytes());
}

impl World {
    /// `None` where the mesh was not asked for, which is said.
    async fn start(test: &str, more: Value) -> Option<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        if std::env::var_os(WITH_MESH).is_none_or(|value| value != "1") {
            say(&format!("LEFT OUT, as {WITH_MESH} is not 1: {test}"));
            return None;
        }
        let mesh = Mesh::start(3).await.expect("a mesh");
        let client = guarded(mesh.client());
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        crds.create(&PostParams::default(), &GatewayCertificate::crd()).await.expect("the CRD");
        let ca = Ca::root("Root", Utc::now()).expect("a root").intermediate("Intermediate").expect("a CA");
        let settings = Settings { namespaces: vec![KYMA.to_owned()], ..Settings::default() };
        let (dial, clock) = (Arc::new(TcpDial), Arc::new(SystemClock));
        let watches = client.clone();
        let runtime = Runtime { client, watches, dial, clock, settings, instance: "mesh-test".to_owned() };
        let world = Self { mesh, ca, keeper: tokio::spawn(run(runtime, CancellationToken::new())) };
        let object = json!({"metadata": {"name": "x"}, "spec": spec(&more)});
        let object: GatewayCertificate = serde_json::from_value(object).expect("an object");
        let taken = || async { world.objects().create(&PostParams::default(), &object).await.ok() };
        world.eventually("the object is taken", taken).await;
        Some(world)
    }

    fn objects(&self) -> Api<GatewayCertificate> {
        Api::namespaced(self.mesh.client(), KYMA)
    }

    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.mesh.client(), namespace)
    }

    fn issue(&self) -> Issued {
        self.ca.leaf(&["*.example.test"]).algorithm(Algorithm::Rsa2048).issue().expect("a leaf")
    }

    async fn put(&self, namespace: &str, name: &str, data: &[(&str, &str)]) {
        let api = self.secrets(namespace);
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
        let mut secret = Secret { data: Some(data.collect()), ..Secret::default() };
        secret.metadata.name = Some(name.to_owned());
        let there = api.get_opt(name).await.expect("readable").is_some();
        let written = match there {
            true => api.replace(name, &PostParams::default(), &secret).await,
            false => api.create(&PostParams::default(), &secret).await,
        };
        written.expect("written");
    }

    async fn supply(&self, pair: &Issued) {
        self.put(KYMA, "supplied", &[("tls.crt", &pair.certificate()), ("tls.key", pair.key())]).await;
    }

    async fn eventually<T, F: Future<Output = Option<T>>>(&self, what: &str, look: impl Fn() -> F) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if Instant::now() > deadline {
                let status = self.status().await;
                panic!("not within {DEADLINE:?}: {what}; {status:#?}");
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn status(&self) -> GatewayCertificateStatus {
        self.objects().get("x").await.expect("there").status.unwrap_or_default()
    }

    async fn condition(&self, kind: &str, status: &str, reason: &str) -> String {
        self.eventually(&format!("{kind}={status}/{reason}"), || async {
            let now = self.status().await;
            let found = now.conditions.iter().find(|one| one.type_ == kind)?;
            (found.status == status && found.reason == reason).then(|| found.message.clone())
        })
        .await
    }

    /// What each pod serves, asked by this test itself.
    async fn served(&self) -> Vec<Option<String>> {
        let mut seen = Vec::new();
        for address in self.mesh.addresses() {
            let shaken = handshake(&TcpDial, address, "ok.example.test", Duration::from_secs(2)).await;
            seen.push(shaken.ok().map(|chain| chain.fingerprint.to_string()));
        }
        seen
    }

    async fn all_serve(&self, pair: &Issued) {
        self.eventually(&format!("all pods serve {}", pair.fingerprint()), || async {
            let seen = self.served().await;
            seen.iter().all(|leaf| leaf.as_deref() == Some(pair.fingerprint())).then_some(())
        })
        .await;
    }

    async fn proven(&self, pair: &Issued) {
        self.eventually("certkeeper has proven it", || async {
            let now = self.status().await;
            let served = now.conditions.iter().find(|one| one.type_ == "Served")?;
            (served.status == "True" && served.message.contains(pair.fingerprint())).then_some(())
        })
        .await;
    }

    async fn count(&self, reason: &str) -> usize {
        self.status().await.history.iter().filter(|entry| entry.reason == reason).count()
    }

    async fn set_mode(&self, mode: &str) {
        let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "Gateway");
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.mesh.client(), KYMA, &ApiResource::from_gvk_with_plural(&kind, "gateways"));
        let patch = json!([{"op": "replace", "path": "/spec/servers/0/tls/mode", "value": mode}]);
        let patch: Patch<Value> = Patch::Json(serde_json::from_value(patch).expect("a patch"));
        api.patch("kyma-gateway", &PatchParams::default(), &patch).await.expect("patched");
    }
}

fn listed(mut times: Vec<Duration>) -> String {
    times.sort();
    let ms = |time: &Duration| format!("{:.0}", time.as_secs_f64() * 1000.0);
    format!(
        "{}/{}/{} ms (min/median/max of {})",
        ms(&times[0]),
        ms(&times[times.len() / 2]),
        ms(&times[times.len() - 1]),
        times.len()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_are_served_by_every_envoy_and_proven_and_no_handshake_fails() {
    let Some(world) = World::start("rotations", json!({})).await else { return };
    let first = world.issue();
    world.supply(&first).await;
    world.all_serve(&first).await;
    world.condition("Ready", "True", "Ready").await;
    assert_eq!(world.status().await.served.as_deref(), Some("3/3"));
    // A bounded load beside it: one handshake after the other with each pod.
    let (stop, made, failed) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<JoinHandle<()>> = world
        .mesh
        .addresses()
        .into_iter()
        .map(|address| {
            let (stop, made, failed) = (stop.clone(), made.clone(), failed.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let shaken = handshake(&TcpDial, address, "ok.example.test", Duration::from_secs(5)).await;
                    made.fetch_add(1, Ordering::Relaxed);
                    failed.fetch_add(usize::from(shaken.is_err()), Ordering::Relaxed);
                    sleep(Duration::from_millis(5)).await;
                }
            })
        })
        .collect();
    let rotations = std::env::var("CERTKEEPER_ROTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let (mut served, mut bare, mut late) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rotations {
        let pair = world.issue();
        let began = Instant::now();
        world.supply(&pair).await;
        world.all_serve(&pair).await;
        served.push(began.elapsed());
        world.proven(&pair).await;
        // After Served=True nobody sees the old leaf.
        late += world.served().await.iter().filter(|leaf| leaf.as_deref() != Some(pair.fingerprint())).count();
    }
    // The same without certkeeper: the pair written by hand, which it then takes for the source's.
    world
        .objects()
        .patch("x", &PatchParams::default(), &Patch::Merge(json!({"spec": {"suspend": true}})))
        .await
        .expect("patched");
    world.condition("SecretCurrent", "True", "Suspended").await;
    for _ in 0..rotations {
        let pair = world.issue();
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = json!({"data": {"tls.crt": bytes(&pair.certificate()), "tls.key": bytes(pair.key())}});
        let began = Instant::now();
        world.secrets(ISTIO).patch(SECRET, &PatchParams::default(), &Patch::Merge(data)).await.expect("patched");
        world.all_serve(&pair).await;
        bare.push(began.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.expect("no panic");
    }
    let (made, failed) = (made.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
    say(&format!("source written -> served by all three: {}", listed(served)));
    say(&format!("the same by a bare PATCH:              {}", listed(bare)));
    say(&format!("{made} handshakes beside it, {failed} failed, {late} saw an old leaf after Served=True"));
    assert!(made > 100);
    assert_eq!((failed, late), (0, 0));
    assert_eq!(world.count("Nudged").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_garbage_client_ca_does_to_the_envoys_all_serve_the_new_pair_in_the_end() {
    let reload = json!({"gateway": {"reload": {"deadline": "5s", "upTo": "Restart"}}});
    let Some(world) = World::start("a garbage client CA", reload).await else { return };
    let clients = Ca::root("Clients", Utc::now()).expect("a root");
    world.put(ISTIO, "kyma-gateway-certs-cacert", &[("cacert", &clients.pem())]).await;
    let first = world.issue();
    world.supply(&first).await;
    world.all_serve(&first).await;
    // Only now: listeners that begin with mutual TLS and no pair were seen to be deaf later, as in EN #42438.
    world.set_mode("MUTUAL").await;
    sleep(Duration::from_secs(2)).await;
    world.proven(&first).await;
    world.put(ISTIO, "kyma-gateway-certs-cacert", &[("cacert", "garbage")]).await;
    // istiod gathers changes for a tenth of a second: the garbage is to come first.
    sleep(Duration::from_secs(1)).await;
    let new = world.issue();
    world.supply(&new).await;
    world.condition("Served", "False", "Reloading").await;
    world.put(ISTIO, "kyma-gateway-certs-cacert", &[("cacert", &clients.pem())]).await;
    sleep(Duration::from_secs(2)).await;
    let seen = world.served().await;
    let stuck = seen.iter().filter(|leaf| leaf.as_deref() == Some(first.fingerprint())).count();
    world.proven(&new).await;
    world
        .eventually("all three are counted", || async {
            (world.status().await.served.as_deref() == Some("3/3")).then_some(())
        })
        .await;
    world.all_serve(&new).await;
    let (nudged, evicted) = (world.count("Nudged").await, world.count("Evicted").await);
    say(&format!("{stuck} of 3 Envoys kept the old leaf though all was mended; {nudged} nudges, {evicted} evictions"));
    assert_eq!(world.count("RolledBack").await, 0);
    assert!(nudged <= 1 && evicted == 0, "{nudged} nudges, {evicted} evictions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_supplied_or_done_to_the_secret_what_is_served_gets_no_worse() {
    let Some(world) = World::start("bad input", json!({})).await else { return };
    let good = world.issue();
    world.supply(&good).await;
    world.all_serve(&good).await;
    let (other, expired) = (world.issue(), world.ca.leaf(&["*.example.test"]).algorithm(Algorithm::Rsa2048));
    let expired = expired.valid(Validity::ended(Utc::now())).issue().expect("a leaf");
    let (chain, key) = (other.certificate(), good.key().to_owned());
    let inputs = [
        ("mismatched", chain.clone(), key.clone()),
        ("garbage certificate", "garbage".to_owned(), other.key().to_owned()),
        ("garbage key", chain.clone(), "garbage".to_owned()),
        ("empty key", chain, String::new()),
        ("expired", expired.certificate(), expired.key().to_owned()),
    ];
    for (what, certificate, key) in inputs {
        world.put(KYMA, "supplied", &[("tls.crt", &certificate), ("tls.key", &key)]).await;
        world.condition("SourceValid", "False", "Refused").await;
        sleep(Duration::from_millis(500)).await;
        let seen = world.served().await;
        assert!(seen.iter().all(|leaf| leaf.as_deref() == Some(good.fingerprint())), "{what}: {seen:?}");
        world.condition("Served", "True", "Served").await;
    }
    // Left-over generic keys would win silently.
    let left = json!({"data": {"cert": ByteString(expired.certificate().into_bytes()), "key": ByteString(expired.key().as_bytes().to_vec())}});
    world.secrets(ISTIO).patch(SECRET, &PatchParams::default(), &Patch::Merge(left)).await.expect("patched");
    world
        .eventually("the left-overs are gone", || async {
            let secret = world.secrets(ISTIO).get(SECRET).await.ok()?;
            (!secret.data?.contains_key("cert")).then_some(())
        })
        .await;
    world.all_serve(&good).await;
    let uid = world.secrets(ISTIO).get(SECRET).await.expect("there").uid();
    world.secrets(ISTIO).delete(SECRET, &DeleteParams::default()).await.expect("deleted");
    world
        .eventually("it is restored", || async {
            world.secrets(ISTIO).get_opt(SECRET).await.ok()?.filter(|secret| secret.uid() != uid).map(drop)
        })
        .await;
    world.all_serve(&good).await;
    world.condition("Served", "True", "Served").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_is_replaced_is_asked_again_and_an_absent_istiod_costs_nothing_that_is_served() {
    let Some(mut world) = World::start("pods and istiod", json!({"gateway": {}})).await else { return };
    let first = world.issue();
    world.supply(&first).await;
    world.all_serve(&first).await;
    world.proven(&first).await;
    let gone = world.mesh.pods().into_keys().next().expect("a pod");
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(world.mesh.client(), ISTIO);
    pods.delete(&gone, &DeleteParams::default()).await.expect("deleted");
    world
        .eventually("a successor serves it", || async {
            let now = world.mesh.pods();
            (now.len() == 3 && !now.contains_key(&gone)).then_some(())
        })
        .await;
    world.all_serve(&first).await;
    world
        .eventually("all three are counted", || async {
            (world.status().await.served.as_deref() == Some("3/3")).then_some(())
        })
        .await;
    world.mesh.stop_istiod();
    let second = world.issue();
    world.supply(&second).await;
    world.condition("Served", "False", "Reloading").await;
    let seen = world.served().await;
    assert!(seen.iter().all(|leaf| leaf.as_deref() == Some(first.fingerprint())), "the old leaf stays: {seen:?}");
    world.mesh.start_istiod().await.expect("istiod");
    world.all_serve(&second).await;
    world.proven(&second).await;
    assert_eq!(world.count("Nudged").await, 0, "Istio's own push came within the deadline");
}
