//! The program itself, against a real API server: started, terminated, killed, started again.

use std::{
    io::Read,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use certkeeper::{
    api::GatewayCertificate,
    certificate::{Supplied, read},
};
use certkeeper_control_plane::{ControlPlane, shared_or_left_out};
use certkeeper_simulator::ca::Ca;
use chrono::Utc;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, CustomResourceExt, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_certkeeper");

struct Running {
    child: Child,
    log: Option<JoinHandle<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed test leaves no process behind; for one that ended this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(kubeconfig: &Path, namespace: &str) -> Self {
        Self::start_with(kubeconfig, namespace, &["--log", "trace"])
    }

    fn start_with(kubeconfig: &Path, namespace: &str, more: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["run", "--log-format", "json", "--namespace", namespace])
            .args(more)
            .args(["--allow", &format!("{namespace}-mesh/gw-certs"), "--kubeconfig"])
            .arg(kubeconfig)
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut stderr = child.stderr.take().expect("piped");
        // Read beside, or a full pipe would hold it up.
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).expect("UTF-8");
            text
        });
        Self { child, log: Some(log) }
    }

    /// Sends a signal and returns the exit code and the log.
    fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
        let status = self.child.wait().expect("it ends");
        (status.code(), self.log.take().expect("ended once").join().expect("no panic"))
    }
}

fn certkeeper(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().expect("it runs")
}

async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn prepare(client: &Client, namespace: &str) {
    let crds: Api<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> =
        Api::all(client.clone());
    let crd = GatewayCertificate::crd();
    crds.patch(&crd.name_any(), &PatchParams::apply("test").force(), &Patch::Apply(&crd)).await.expect("applied");
    let all: Api<GatewayCertificate> = Api::all(client.clone());
    eventually("the CRD is served", || async { all.list(&ListParams::default()).await.ok() }).await;
    for name in [namespace.to_owned(), format!("{namespace}-mesh")] {
        let object: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).expect("a namespace");
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &object).await.expect("created");
    }
    let object: GatewayCertificate = serde_json::from_value(json!({
        "metadata": {"name": "x"},
        "spec": {
            "domain": "example.com", "byo": {"secretRef": {"name": "supplied"}},
            "gateway": {"secretRef": {"namespace": format!("{namespace}-mesh"), "name": "gw-certs"}},
        },
    }))
    .expect("a GatewayCertificate");
    let objects: Api<GatewayCertificate> = Api::namespaced(client.clone(), namespace);
    objects.create(&PostParams::default(), &object).await.expect("accepted");
}

/// Supplies a new pair; returns its fingerprint and its key.
async fn supply(client: &Client, namespace: &str) -> (String, String) {
    let ca = Ca::root("Run Root", Utc::now()).expect("a root");
    let issued = ca.leaf(&["*.example.com"]).issue().expect("a leaf");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "supplied"},
        "stringData": {"tls.crt": issued.certificate(), "tls.key": issued.key()},
    });
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    api.patch("supplied", &PatchParams::apply("a-person").force(), &Patch::Apply(secret)).await.expect("supplied");
    (issued.fingerprint().to_owned(), issued.key().to_owned())
}

/// Waits until the status says that this leaf is in the gateway's Secret.
async fn promoted(client: &Client, namespace: &str, fingerprint: &str) {
    let objects: Api<GatewayCertificate> = Api::namespaced(client.clone(), namespace);
    eventually("the pair is promoted", || async {
        let certificate = objects.get("x").await.expect("there").status?.certificate?;
        (certificate.fingerprint == fingerprint).then_some(())
    })
    .await;
}

async fn plane(test: &str) -> Option<(&'static ControlPlane, Client)> {
    let plane = shared_or_left_out(test).await.expect("a control plane")?;
    let client = plane.client().expect("a client");
    Some((plane, client))
}

#[tokio::test]
async fn it_promotes_ends_cleanly_on_sigterm_and_never_logs_key_material_even_at_trace() {
    let Some((plane, client)) = plane("run: SIGTERM").await else { return };
    prepare(&client, "term").await;
    let running = Running::start(&plane.kubeconfig(), "term");
    let (fingerprint, key) = supply(&client, "term").await;
    promoted(&client, "term", &fingerprint).await;
    let kubeconfig = plane.kubeconfig();
    let kubeconfig = kubeconfig.to_str().expect("UTF-8");
    let status = certkeeper(&["status", "-n", "term", "--kubeconfig", kubeconfig, "--output", "json"]);
    let answer: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(answer["items"][0]["status"]["certificate"]["fingerprint"], json!(fingerprint));
    assert_eq!(status.status.code(), Some(0), "nothing is known to be wrong");
    let table = certkeeper(&["status", "-n", "term", "--kubeconfig", kubeconfig]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("SecretCurrent"));
    let (code, log) = running.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "each line is JSON");
    assert!(log.contains("certkeeper stopped"));
    for line in key.lines().filter(|line| !line.starts_with("-----")) {
        assert!(!log.contains(line), "a line of the key was logged");
        let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &line[..48]);
        assert!(!log.contains(&base64), "the key was logged as base64");
    }
}

#[tokio::test]
async fn killed_at_any_moment_of_a_rotation_it_converges_after_a_restart() {
    let Some((plane, client)) = plane("run: kill -9").await else { return };
    prepare(&client, "kill").await;
    for delay in [0_u64, 5, 10, 20, 40, 80] {
        let running = Running::start(&plane.kubeconfig(), "kill");
        supply(&client, "kill").await;
        tokio::time::sleep(Duration::from_millis(delay * 5)).await;
        let (code, _) = running.end("-KILL");
        assert_eq!(code, None, "it was killed");
    }
    let running = Running::start(&plane.kubeconfig(), "kill");
    let (fingerprint, _) = supply(&client, "kill").await;
    promoted(&client, "kill", &fingerprint).await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "kill-mesh");
    let versions = || async {
        let list = secrets.list(&ListParams::default()).await.expect("readable");
        list.iter().map(|secret| secret.resource_version()).collect::<Vec<_>>()
    };
    // The keep-sake is written after the status that was waited for.
    eventually("half a second passes without a write", || async {
        let before = versions().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        (before == versions().await).then_some(())
    })
    .await;
    let before = versions().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(before, versions().await, "converged, then silent");
    assert_eq!(running.end("-TERM").0, Some(0));
}

/// Copies that hold this chain.
async fn copies(client: &Client, name: &str, chain: &str) -> usize {
    let all: Api<Secret> = Api::all(client.clone());
    let list = all.list(&ListParams::default().fields(&format!("metadata.name={name}"))).await.expect("readable");
    let holds = |secret: &&Secret| {
        secret.data.as_ref().and_then(|data| data.get("tls.crt")).is_some_and(|value| value.0 == chain.as_bytes())
    };
    list.iter().filter(holds).count()
}

/// The chain in the source, as it is copied.
async fn chain(client: &Client, namespace: &str) -> String {
    let source = Api::<Secret>::namespaced(client.clone(), namespace).get("supplied").await.expect("there");
    let data = source.data.expect("data");
    let bytes = |key: &str| Some(data[key].0.as_slice());
    let supplied = Supplied { certificate: bytes("tls.crt"), key: bytes("tls.key"), staple: None };
    read(&supplied).pair().expect("a pair").certificate_pem().to_owned()
}

#[tokio::test]
async fn killed_in_the_middle_of_a_thousand_copies_it_converges_and_tells_everything_once() {
    const COPIES: usize = 1000;
    let Some((plane, client)) = plane("run: kill -9 among copies").await else { return };
    prepare(&client, "among").await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let make = |number: usize| {
        let namespaces = namespaces.clone();
        async move {
            let namespace = json!({"metadata": {"name": format!("among-{number}"), "labels": {"copies": "among"}}});
            let namespace: Namespace = serde_json::from_value(namespace).expect("a namespace");
            namespaces.create(&PostParams::default(), &namespace).await.expect("created");
        }
    };
    stream::iter(0..COPIES).for_each_concurrent(16, make).await;
    let objects: Api<GatewayCertificate> = Api::namespaced(client.clone(), "among");
    let target = json!({"name": "all", "secretName": "copy-among", "layout": "certificate-only",
        "namespaceSelector": {"matchLabels": {"copies": "among"}}});
    let patch = Patch::Merge(json!({"spec": {"targets": [target]}}));
    objects.patch("x", &PatchParams::default(), &patch).await.expect("patched");
    let start = || Running::start_with(&plane.kubeconfig(), "among", &["--log", "info", "--allow", "*/copy-among"]);
    for rotation in 1..=2 {
        let (fingerprint, _) = supply(&client, "among").await;
        let chain = chain(&client, "among").await;
        let running = start();
        let among = eventually("some copies are written", || async {
            Some(copies(&client, "copy-among", &chain).await).filter(|count| *count > 0)
        })
        .await;
        let (code, log) = running.end("-KILL");
        assert_eq!(code, None, "it was killed: {log}");
        let left = copies(&client, "copy-among", &chain).await;
        assert!(left < COPIES, "killed too late: {among} were seen and {left} are written");
        let running = start();
        eventually("all copies are written", || async {
            (copies(&client, "copy-among", &chain).await == COPIES).then_some(())
        })
        .await;
        eventually("that is told", || async {
            let status = objects.get("x").await.expect("there").status?;
            let told = status.conditions.iter().any(|one| {
                one.type_ == "Distributed" && one.reason == "Distributed" && one.message.contains(&fingerprint)
            });
            told.then_some(())
        })
        .await;
        assert_eq!(running.end("-TERM").0, Some(0));
        let history = objects.get("x").await.expect("there").status.expect("a status").history;
        for reason in ["Promoted", "Distributed"] {
            let told = history.iter().filter(|entry| entry.reason == reason).count();
            assert_eq!(told, rotation, "{reason} is told once a rotation: {history:?}");
        }
    }
}

#[tokio::test]
async fn without_the_crds_it_says_so_and_still_ends_cleanly_on_sigterm() {
    if plane("run: without the CRDs").await.is_none() {
        return;
    }
    // One of its own: in the shared one the CRDs may be there already.
    let plane = ControlPlane::start().await.expect("a control plane");
    let running = Running::start(&plane.kubeconfig(), "none");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begun = Instant::now();
    let (code, log) = running.end("-TERM");
    assert!(begun.elapsed() < Duration::from_secs(5), "it ends at once: nobody is at work");
    assert_eq!(code, Some(0));
    assert!(log.contains("certkeeper crds"), "it says what to apply: {log}");
}

#[test]
fn bad_arguments_and_an_absent_cluster_exit_with_2_and_say_what_to_do() {
    let bad = certkeeper(&["run", "--allow", "no-slash", "--kubeconfig", "/nonexistent"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("NAMESPACE/NAME"));
    let absent = certkeeper(&["status", "--kubeconfig", "/nonexistent/config"]);
    assert_eq!(absent.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("/nonexistent/config"));
}

#[test]
fn crds_prints_what_crds_holds() {
    let printed = certkeeper(&["crds"]);
    let held = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/crds/gatewaycertificates.yaml")).expect("there");
    assert_eq!(printed.stdout, held);
}

#[test]
fn an_answer_that_cannot_be_written_is_no_success_unless_its_reader_went_away() {
    let calls: [&[&str]; 5] = [
        &["crds"],
        &["check", "--list"],
        &["check", "--list", "-o", "json"],
        &["check", "--schema"],
        &["probe", "--schema"],
    ];
    for arguments in calls {
        // Linux: every write to it fails as on a full disk.
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("there");
        let output = Command::new(PROGRAM).args(arguments).stdout(full).output().expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains("could not be written"), "{arguments:?}: {errors}");

        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(PROGRAM).args(arguments).stdout(writer).output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
