//! `certkeeper renew`, the program itself, against the in-memory API server over HTTP. The test plays the controller's part
//! and writes the status.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::{Duration, Instant},
};

use bytes::Bytes;
use certkeeper::api::GatewayCertificate;
use certkeeper_simulator::{
    ApiServer,
    server::{Before, Gate, RequestInfo},
};
use chrono::{DateTime, Utc};
use futures::{FutureExt, future::BoxFuture};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, CustomResourceExt, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::Service;

const RENEW: &str = "certs.kyma-project.io/renew";
const PATIENCE: Duration = Duration::from_secs(30);

fn old() -> String {
    "0".repeat(64)
}

fn new() -> String {
    "a".repeat(64)
}

/// An API server on loopback with one GatewayCertificate `x`, for as long as the test's runtime.
struct Stage {
    server: ApiServer,
    objects: Api<GatewayCertificate>,
    folder: tempfile::TempDir,
    address: std::net::SocketAddr,
}

impl Stage {
    /// With a status as a controller leaves it in Gardener mode.
    async fn working() -> Self {
        let stage = Self::with(json!({"domain": "example.com"})).await;
        stage.publish(status(&old(), &old(), "True", "Served", json!({}))).await;
        stage
    }

    /// Without a status.
    async fn with(spec: Value) -> Self {
        let stage = Self::empty().await;
        let (client, crd) = (stage.server.client(), GatewayCertificate::crd());
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        crds.patch(&crd.name_any(), &PatchParams::apply("test").force(), &Patch::Apply(&crd)).await.expect("applied");
        eventually("the CRD is served", || async { stage.objects.list(&ListParams::default()).await.ok() }).await;
        let object = json!({"metadata": {"name": "x"}, "spec": spec});
        let object: GatewayCertificate = serde_json::from_value(object).expect("an object");
        stage.objects.create(&PostParams::default(), &object).await.expect("accepted");
        stage
    }

    /// Without the CRD.
    async fn empty() -> Self {
        let server = ApiServer::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(serve(listener, server.clone()));
        let objects = Api::namespaced(server.client(), "default");
        Self { server, objects, folder: tempfile::tempdir().expect("a folder"), address }
    }

    async fn publish(&self, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.objects.patch_status("x", &PatchParams::default(), &patch).await.expect("published");
    }

    async fn annotation(&self) -> Option<String> {
        self.objects.get("x").await.expect("there").annotations().get(RENEW).cloned()
    }

    /// Waits until so many watches were opened.
    async fn watches(&self, least: usize) {
        let opened = || self.server.requests().iter().filter(|request| request.info.verb == "watch").count();
        eventually("the object is watched", || async { (opened() >= least).then_some(()) }).await;
    }

    /// The time that the command asks for, once it has.
    async fn asked(&self) -> String {
        eventually("the annotation is written", || self.annotation()).await
    }

    fn start(&self, arguments: &[&str]) -> Renewing {
        self.start_as("admin", arguments)
    }

    fn start_as(&self, user: &str, arguments: &[&str]) -> Renewing {
        let path = self.folder.path().join(user);
        let address = self.address;
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: t\n\
             clusters: [{{name: t, cluster: {{server: \"http://{address}\"}}}}]\n\
             contexts: [{{name: t, context: {{cluster: t, user: t}}}}]\nusers: [{{name: t, user: {{as: {user}}}}}]\n"
        );
        std::fs::write(&path, kubeconfig).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_certkeeper"));
        command.args(["renew", "x"]).args(arguments).arg("--kubeconfig").arg(path);
        Renewing::of(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts"))
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn serve(listener: tokio::net::TcpListener, server: ApiServer) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let server = server.clone();
        let service = service_fn(move |request| answer(server.clone(), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    mut server: ApiServer,
    request: http::Request<Incoming>,
) -> Result<http::Response<UnsyncBoxBody<Bytes, Failure>>, Failure> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    server.call(http::Request::from_parts(parts, kube::client::Body::from(body.to_vec()))).await
}

async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The running command; ended with the test.
struct Renewing {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    errors: Option<std::thread::JoinHandle<String>>,
    seen: Vec<String>,
}

impl Drop for Renewing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Renewing {
    fn of(mut child: Child) -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut stderr = child.stderr.take().expect("piped");
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).expect("UTF-8");
            text
        });
        Self { child, lines, errors: Some(errors), seen: Vec::new() }
    }

    /// The next line that holds these words.
    async fn says(&mut self, words: &str) -> String {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.lines.recv()).await;
            let line = next.ok().flatten().unwrap_or_else(|| panic!("`{words}` was never said: {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Exit code, all of the standard output, and all errors.
    async fn ends(mut self) -> (Option<i32>, String, String) {
        while let Some(line) = tokio::time::timeout(PATIENCE, self.lines.recv()).await.expect("it ends") {
            self.seen.push(line);
        }
        let code = self.child.wait().expect("it ends").code();
        let errors = self.errors.take().expect("ended once").join().expect("no panic");
        (code, self.seen.join("\n"), errors)
    }
}

fn condition(kind: &str, state: &str, reason: &str) -> Value {
    json!({"type": kind, "status": state, "reason": reason, "message": format!("{kind} speaks"),
        "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

/// A status with these leaves issued and in the gateway's Secret; `more` replaces fields of it.
fn status(issued: &str, held: &str, served: &str, why: &str, more: Value) -> Value {
    let mut status = json!({
        "mode": "Gardener", "served": if served == "True" { "2/2" } else { "0/2" },
        "issuance": {"certificate": "x", "state": "Ready", "fingerprint": issued},
        "certificate": {"fingerprint": held, "serial": "1", "issuer": "CN=i", "notBefore": "2026-01-01T00:00:00Z",
            "notAfter": "2027-01-01T00:00:00Z"},
        "conditions": [condition("Issued", "True", "Issued"), condition("Served", served, why)],
    });
    for (field, value) in more.as_object().expect("fields") {
        status[field] = value.clone();
    }
    status
}

fn requested(at: &str) -> Value {
    json!([{"time": at, "reason": "RenewalRequested", "message": "another certificate was asked for"}])
}

#[tokio::test]
async fn a_renewal_is_followed_step_by_step_until_it_is_served() {
    let stage = Stage::working().await;
    let mut renewing = stage.start(&["--wait"]);
    renewing.says("default/x: a renewal is asked for").await;
    assert!(renewing.says("asked").await.contains(&format!("fingerprint {}", old())));
    let at = stage.asked().await;
    let whole = DateTime::parse_from_rfc3339(&at).expect("RFC 3339");
    assert!(at.ends_with('Z') && whole.timestamp_subsec_nanos() == 0, "{at}");
    let managers = stage.objects.get("x").await.expect("there").metadata.managed_fields.expect("managers");
    let ours = managers.iter().find(|entry| entry.manager.as_deref() == Some("certkeeper-cli")).expect("ours");
    assert!(serde_json::to_string(&ours.fields_v1).expect("JSON").contains("f:certs.kyma-project.io/renew"));

    let issuing = json!([condition("Issued", "False", "Issuing"), condition("Served", "True", "Served")]);
    let more = json!({"history": requested(&at), "conditions": issuing});
    stage.publish(status(&old(), &old(), "True", "Served", more)).await;
    renewing.says("requested").await;
    // A server that restarts is looked at again.
    stage.watches(1).await;
    stage.server.cut_watches();
    stage.watches(2).await;
    let more = json!({"history": requested(&at)});
    stage.publish(status(&new(), &old(), "True", "Served", more.clone())).await;
    assert!(renewing.says("issued").await.contains(&format!("fingerprint {}", new())));
    stage.publish(status(&new(), &new(), "Unknown", "Reloading", more.clone())).await;
    assert!(renewing.says("promoted").await.contains("valid until 2027-01-01T00:00:00Z"));
    stage.publish(status(&new(), &new(), "True", "Served", more)).await;
    assert!(renewing.says("served").await.contains("by 2/2 gateway pods"));
    let (code, out, errors) = renewing.ends().await;
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{out}");
    assert_eq!(out.lines().count(), 6, "a line for each step and one before them:\n{out}");
}

#[tokio::test]
async fn programs_get_one_object_with_each_steps_time() {
    let stage = Stage::working().await;
    let renewing = stage.start(&["--wait", "--output", "json"]);
    let at = stage.asked().await;
    stage.publish(status(&new(), &new(), "True", "Served", json!({"history": requested(&at)}))).await;
    let (code, out, errors) = renewing.ends().await;
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{out}");
    let answer: Value = serde_json::from_str(&out).expect("one JSON object");
    let keys: Vec<&String> = answer.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["after", "askedAt", "before", "name", "namespace", "steps"]);
    assert_eq!((&answer["name"], &answer["namespace"]), (&json!("x"), &json!("default")));
    assert_eq!(answer["askedAt"], json!(at));
    assert_eq!(answer["before"], json!({"fingerprint": old()}));
    assert_eq!(answer["after"], json!({"fingerprint": new(), "notAfter": "2027-01-01T00:00:00Z"}));
    let steps = answer["steps"].as_array().expect("steps");
    let names: Vec<&str> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
    assert_eq!(names, ["asked", "requested", "issued", "promoted", "served"]);
    let mut sum = 0.0;
    for step in steps {
        assert_eq!(step["reached"], json!(true), "{step}");
        sum += step["sincePrevious"].as_f64().expect("a number");
        assert!((step["seconds"].as_f64().expect("a number") - sum).abs() < 0.01, "{answer}");
    }
    assert!(sum > 0.0 && sum < 30.0, "{answer}");
}

#[tokio::test]
async fn when_the_time_is_up_the_step_it_hangs_at_and_the_reason_are_told() {
    let stage = Stage::working().await;
    let mut renewing = stage.start(&["--wait", "--timeout", "4s"]);
    let at = stage.asked().await;
    let failing = json!([condition("Issued", "False", "IssuerFailing"), condition("Served", "True", "Served")]);
    let more = json!({"history": requested(&at), "conditions": failing});
    stage.publish(status(&old(), &old(), "True", "Served", more.clone())).await;
    renewing.says("requested").await;
    renewing.says("Issued=False (IssuerFailing): Issued speaks").await;
    // The same trouble in another status is not told again; another one is.
    let mut again = more.clone();
    again["domain"] = json!("example.com");
    stage.publish(status(&old(), &old(), "True", "Served", again.clone())).await;
    again["conditions"][0]["reason"] = json!("RenewalOverdue");
    stage.publish(status(&old(), &old(), "True", "Served", again)).await;
    renewing.says("Issued=False (RenewalOverdue): Issued speaks").await;
    let (code, out, errors) = renewing.ends().await;
    assert_eq!(code, Some(1), "{out}{errors}");
    assert_eq!(out.matches("IssuerFailing").count(), 1, "{out}");
    for words in ["default/x is not `issued` after 4s", "Issued=False (RenewalOverdue): Issued speaks"] {
        assert!(errors.contains(words), "no `{words}` in: {errors}");
    }
}

#[tokio::test]
async fn a_controller_that_does_nothing_is_named_when_the_time_is_up_and_programs_see_what_was_not_reached() {
    let stage = Stage::working().await;
    let (code, out, errors) = stage.start(&["--wait", "--timeout", "1s", "-o", "json"]).ends().await;
    assert_eq!(code, Some(1), "{out}{errors}");
    assert!(errors.contains("is not `requested`") && errors.contains("is `certkeeper run` serving"), "{errors}");
    let answer: Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!(answer["steps"][0]["reached"], json!(true));
    let none = json!({"step": "served", "reached": false, "seconds": null, "sincePrevious": null});
    assert_eq!(answer["steps"][4], none);
    assert_eq!(answer["after"], json!({"fingerprint": null, "notAfter": null}));
}

#[tokio::test]
async fn a_refused_leaf_is_told_and_waited_for_and_without_probes_the_promotion_is_the_end() {
    let stage = Stage::working().await;
    let mut renewing = stage.start(&["--wait"]);
    stage.asked().await;
    let refused = [condition("SourceValid", "False", "Refused"), condition("Issued", "True", "Issued")];
    stage.publish(status(&new(), &old(), "True", "Served", json!({"conditions": refused}))).await;
    renewing.says("issued").await;
    renewing.says("SourceValid=False (Refused): SourceValid speaks").await;
    let other = "b".repeat(64);
    stage.publish(status(&other, &other, "Unknown", "ProbingDisabled", json!({"served": null}))).await;
    renewing.says("promoted").await;
    renewing.says("nothing proves that it is served").await;
    let (code, out, errors) = renewing.ends().await;
    assert_eq!(code, Some(0), "{out}{errors}");
    assert!(!out.contains("gateway pods"), "{out}");
}

#[tokio::test]
async fn what_people_supply_is_not_asked_for_and_nothing_is_written() {
    let stage = Stage::with(json!({"byo": {"secretRef": {"name": "supplied"}}})).await;
    stage.publish(json!({"mode": "BYO"})).await;
    let writes = stage.server.writes();
    let (code, out, errors) = stage.start(&["--wait"]).ends().await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{errors}");
    assert!(errors.contains("default/x is not renewed") && errors.contains("Secret default/supplied"), "{errors}");
    assert_eq!(stage.server.writes(), writes);
    assert_eq!(stage.annotation().await, None);
}

#[tokio::test]
async fn without_a_controller_nothing_is_asked_for() {
    let stage = Stage::with(json!({"domain": "example.com"})).await;
    let (code, _, errors) = stage.start(&[]).ends().await;
    assert_eq!(code, Some(1));
    assert!(errors.contains("is `certkeeper run` serving this namespace?"), "{errors}");
    assert_eq!(stage.annotation().await, None);
}

#[tokio::test]
async fn without_waiting_it_says_what_was_asked_and_the_next_ask_has_a_time_of_its_own() {
    let stage = Stage::working().await;
    let before = Utc::now().timestamp();
    let (code, out, errors) = stage.start(&["-n", "default"]).ends().await;
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let first = stage.annotation().await.expect("asked");
    for words in [first.as_str(), &old(), "certkeeper status x -n default"] {
        assert!(out.contains(words), "no `{words}` in: {out}");
    }
    let (code, out, _) = stage.start(&["--output", "json"]).ends().await;
    assert_eq!(code, Some(0));
    let second = stage.annotation().await.expect("asked");
    let [first, second] = [first, second.clone()].map(|text| DateTime::parse_from_rfc3339(&text).expect("a time"));
    assert!(first.timestamp() >= before && second - first >= chrono::TimeDelta::seconds(2), "{first} {second}");
    let answer: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(answer["steps"][1]["reached"], json!(false));
}

/// Changes the object right before the command's patch, so many times.
struct Meddler {
    objects: Api<GatewayCertificate>,
    left: AtomicUsize,
}

impl Gate for Meddler {
    fn before<'a>(&'a self, request: &'a RequestInfo) -> BoxFuture<'a, Before> {
        let meddle = async {
            let left = self.left.load(SeqCst);
            if request.verb == "patch" && request.manager == "certkeeper-cli" && left > 0 {
                self.left.store(left - 1, SeqCst);
                let patch = Patch::Merge(json!({"metadata": {"labels": {"left": left.to_string()}}}));
                self.objects.patch("x", &PatchParams::default(), &patch).await.expect("patched");
            }
            Before::Apply
        };
        meddle.boxed()
    }
}

#[tokio::test]
async fn an_object_that_changed_in_between_is_judged_anew_five_times_at_most() {
    for (changes, expected) in [(5, 0), (6, 2)] {
        let stage = Stage::working().await;
        stage.server.set_gate(Meddler { objects: stage.objects.clone(), left: changes.into() });
        let (code, _, errors) = stage.start(&[]).ends().await;
        assert_eq!(code, Some(expected), "{changes} changes: {errors}");
        assert_eq!(stage.annotation().await.is_some(), expected == 0, "{changes} changes");
        let conflicts = stage.server.requests().iter().filter(|request| request.code == 409).count();
        assert_eq!(conflicts, changes, "each was met");
        assert_eq!(errors.contains("changed each of the 6 times"), expected == 2, "{errors}");
    }
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_told_with_what_to_do() {
    let stage = Stage::empty().await;
    let (code, _, errors) = stage.start(&[]).ends().await;
    assert_eq!(code, Some(2));
    assert!(errors.contains("apply `certkeeper crds` first"), "{errors}");

    let stage = Stage::working().await;
    let (code, _, errors) = stage.start(&["-n", "elsewhere"]).ends().await;
    assert_eq!(code, Some(2));
    assert!(errors.contains("there is no GatewayCertificate x in namespace elsewhere"), "{errors}");

    stage.server.set_authorizer(|request| match (request.user.as_str(), request.verb.as_str()) {
        ("nobody", _) | ("reader", "patch") | ("asker", "list" | "watch") => Err("no rule".to_owned()),
        _ => Ok(()),
    });
    for user in ["nobody", "reader"] {
        let (code, _, errors) = stage.start_as(user, &[]).ends().await;
        assert_eq!(code, Some(2), "{user}: {errors}");
        assert!(errors.contains("you need the verbs get and patch"), "{user}: {errors}");
        assert_eq!(stage.annotation().await, None);
    }
    let (code, _, errors) = stage.start_as("asker", &["--wait"]).ends().await;
    assert_eq!(code, Some(2), "{errors}");
    assert!(stage.annotation().await.is_some() && errors.contains("for --wait list and watch"), "{errors}");
}

#[tokio::test]
async fn an_object_that_is_deleted_is_not_waited_for() {
    let stage = Stage::working().await;
    let mut renewing = stage.start(&["--wait"]);
    renewing.says("asked").await;
    stage.asked().await;
    stage.objects.delete("x", &DeleteParams::default()).await.expect("deleted");
    let (code, _, errors) = renewing.ends().await;
    assert_eq!(code, Some(2));
    assert!(errors.contains("default/x was deleted while it was followed"), "{errors}");
}
