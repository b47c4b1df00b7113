//! The control plane itself: it starts, it is real, and nothing of it is left behind.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use certkeeper_control_plane::{ControlPlane, Error, shared_or_left_out};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, api::PostParams};
use serde_json::json;

fn secret(name: &str) -> Secret {
    serde_json::from_value(json!({
        "metadata": { "name": name }, "type": "Opaque", "stringData": { "word": "hello" },
    }))
    .expect("a Secret")
}

/// Waits for a condition that another process brings about.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process runs; a zombie does not.
fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

/// A supervisor's children: the program and the watcher.
fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[tokio::test]
async fn a_secret_that_is_created_can_be_read_back() -> Result<(), Box<dyn std::error::Error>> {
    let Some(plane) = shared_or_left_out("a secret that is created can be read back").await? else { return Ok(()) };
    let secrets: Api<Secret> = Api::namespaced(plane.client()?, "default");
    secrets.create(&PostParams::default(), &secret("read-back")).await?;
    let read = secrets.get("read-back").await?;
    assert_eq!(read.data.expect("data")["word"].0, b"hello");
    assert!(read.metadata.resource_version.is_some());
    Ok(())
}

#[tokio::test]
async fn the_server_calls_itself_by_the_version_that_was_built() -> Result<(), Box<dyn std::error::Error>> {
    let Some(plane) = shared_or_left_out("the server calls itself by its version").await? else { return Ok(()) };
    let version = plane.client()?.apiserver_version().await?;
    assert!(version.minor.trim_end_matches('+').parse::<u32>()? >= 30, "{version:?}");
    Ok(())
}

#[tokio::test]
async fn a_user_without_a_role_is_refused_by_rbac() -> Result<(), Box<dyn std::error::Error>> {
    let Some(plane) = shared_or_left_out("a user without a role is refused by RBAC").await? else { return Ok(()) };
    let client = plane.client_for("nobody:special", &["strangers", "visitors"]).await?;
    let answer = Api::<Secret>::namespaced(client.clone(), "default").get("read-back").await;
    let Err(kube::Error::Api(status)) = answer else { panic!("expected a refusal, got {answer:?}") };
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    assert!(status.message.contains("nobody:special"), "{}", status.message);
    let who = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" }).to_string();
    let ask = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews").body(who.into_bytes())?;
    let review: serde_json::Value = client.request(ask).await?;
    let groups = &review["status"]["userInfo"]["groups"];
    assert_eq!(groups, &json!(["strangers", "visitors", "system:authenticated"]), "{review}");
    Ok(())
}

#[tokio::test]
async fn more_groups_than_a_certificate_can_hold_are_refused() -> Result<(), Box<dyn std::error::Error>> {
    let Some(plane) = shared_or_left_out("more groups than a certificate can hold are refused").await? else {
        return Ok(());
    };
    let refused = plane.kubeconfig_for("somebody", &["a", "b", "c"]).expect_err("three groups");
    assert!(matches!(refused, Error::Kubeconfig { .. }) && refused.to_string().contains("3 groups"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn after_a_crash_the_store_is_as_it_was_and_after_the_drop_nothing_is_left()
-> Result<(), Box<dyn std::error::Error>> {
    // Left out or not is decided by the shared one; this test needs a control plane that it may break.
    if shared_or_left_out("a crash of the API server, and what is left after a drop").await?.is_none() {
        return Ok(());
    }
    let mut plane = ControlPlane::start().await?;
    let secrets: Api<Secret> = Api::namespaced(plane.client()?, "default");
    secrets.create(&PostParams::default(), &secret("survivor")).await?;
    let before: Vec<u32> = plane.supervisors();

    plane.pause()?;
    let frozen = tokio::time::timeout(Duration::from_millis(500), secrets.get("survivor")).await;
    assert!(frozen.is_err(), "a paused server answered: {frozen:?}");
    plane.resume()?;
    secrets.get("survivor").await?;

    plane.kill();
    assert!(!alive(before[0]), "the API server's supervisor is still there");
    assert!(secrets.get("survivor").await.is_err(), "a dead server answered");
    plane.restart().await?;
    secrets.get("survivor").await?;

    let folder = plane.folder().to_owned();
    let supervisors = plane.supervisors();
    let programs: Vec<u32> = supervisors.iter().flat_map(|pid| children(*pid)).collect();
    assert_eq!(programs.len(), 4, "each supervisor has its program and its watcher");
    drop(plane);
    for pid in supervisors.into_iter().chain(programs) {
        assert!(!alive(pid), "process {pid} is left");
    }
    assert!(!folder.exists(), "{} is left", folder.display());
    Ok(())
}

#[tokio::test]
async fn a_killed_parent_leaves_neither_processes_nor_files() -> Result<(), Box<dyn std::error::Error>> {
    if shared_or_left_out("a killed parent leaves neither processes nor files").await?.is_none() {
        return Ok(());
    }
    let mut parent = Command::new(env!("CARGO_BIN_EXE_control-plane")).stdout(Stdio::piped()).spawn()?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(parent.stdout.take().expect("a pipe")));
    let kubeconfig = loop {
        let line = lines.next().expect("it ends only when told to")?;
        if let Some(path) = line.strip_prefix("export KUBECONFIG=") {
            break path.to_owned();
        }
    };
    let folder = Path::new(&kubeconfig).parent().expect("a folder").to_owned();
    let shells = children(parent.id());
    let family: Vec<u32> = shells.iter().flat_map(|pid| [vec![*pid], children(*pid)].concat()).collect();
    assert!(family.len() >= 6, "two supervisors with two children each, and the janitor: {family:?}");
    parent.kill()?;
    parent.wait()?;
    eventually("all processes are gone", || !family.iter().any(|pid| alive(*pid)));
    eventually("its folder is gone", || !folder.exists());
    Ok(())
}

#[tokio::test]
async fn with_auditing_on_each_request_is_a_line_of_the_log() -> Result<(), Box<dyn std::error::Error>> {
    if shared_or_left_out("with auditing on each request is a line of the log").await?.is_none() {
        return Ok(());
    }
    let plane = ControlPlane::start_with(certkeeper_control_plane::Settings { audit: true }).await?;
    let client = plane.client_for("auditee", &["system:masters"]).await?;
    Api::<Namespace>::all(client).get("kube-system").await?;
    eventually("the request is in the log", || {
        fs::read_to_string(plane.audit_log()).is_ok_and(|log| {
            log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).any(|event| {
                event["user"]["username"] == "auditee"
                    && event["verb"] == "get"
                    && event["objectRef"]["name"] == "kube-system"
            })
        })
    });
    Ok(())
}
