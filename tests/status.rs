//! `certkeeper status NAME --targets`: every copy as it lies, against a real API server; and what each mark means.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use certkeeper::{
    api::GatewayCertificate,
    cluster::wants::wants,
    lifecycle::{
        ObjectName, Undo, Version,
        targets::{Copy, CopyState, Look, Namespace, Namespaces, Survey},
    },
};
use certkeeper_control_plane::{ControlPlane, shared_or_left_out};
use certkeeper_simulator::ca::Ca;
use chrono::Utc;
use k8s_openapi::{
    api::{
        core::v1::{Namespace as NamespaceObject, Secret},
        rbac::v1::{Role, RoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, CustomResourceExt, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_certkeeper");
/// The namespace of the GatewayCertificate; all others begin with it.
const HOME: &str = "st";

/// `certkeeper run`, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(kubeconfig: &Path) -> Running {
    let allow = ["st-mesh/gw-certs", "*/st-public", "st-a/st-pair", "st-absent/st-pair"];
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--namespace", HOME]).arg("--kubeconfig").arg(kubeconfig);
    command.args(allow.iter().flat_map(|grant| ["--allow", grant]));
    Running(command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("it starts"))
}

fn status(kubeconfig: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["status", "x", "-n", HOME, "--targets"]).arg("--kubeconfig").arg(kubeconfig).args(more);
    command.output().expect("it runs")
}

/// Exit code, and each copy as "namespace/secret": its entry.
fn copies(kubeconfig: &Path) -> (Option<i32>, BTreeMap<String, Value>) {
    let output = status(kubeconfig, &["--output", "json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    let name = |copy: &Value| format!("{}/{}", text(copy, "namespace"), text(copy, "secretName"));
    let copies = answer["items"][0]["copies"].as_array().expect("copies");
    (output.status.code(), copies.iter().map(|copy| (name(copy), copy.clone())).collect())
}

fn text<'a>(copy: &'a Value, field: &str) -> &'a str {
    copy[field].as_str().unwrap_or_default()
}

fn states(copies: &BTreeMap<String, Value>) -> BTreeMap<&str, &str> {
    copies.iter().map(|(place, copy)| (place.as_str(), text(copy, "state"))).collect()
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

fn parsed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("well-formed")
}

/// The CRD, the namespaces, a Secret of somebody else in one of them, a supplied pair, and an object with two targets.
async fn prepare(client: &Client) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd = GatewayCertificate::crd();
    crds.patch(&crd.name_any(), &PatchParams::apply("test").force(), &Patch::Apply(&crd)).await.expect("applied");
    let all: Api<GatewayCertificate> = Api::all(client.clone());
    eventually("the CRD is served", || async { all.list(&ListParams::default()).await.ok() }).await;
    let create = PostParams::default();
    for (name, wanted) in [(HOME, false), ("st-mesh", false), ("st-a", true), ("st-b", true), ("st-foreign", true)] {
        let labels = if wanted { json!({"st-copy": "yes"}) } else { json!({}) };
        let object: NamespaceObject = parsed(json!({"metadata": {"name": name, "labels": labels}}));
        Api::all(client.clone()).create(&create, &object).await.expect("created");
    }
    let theirs: Secret = parsed(json!({"metadata": {"name": "st-public"}, "stringData": {"a": "b"}}));
    let theirs_by = PostParams { field_manager: Some("tenant".to_owned()), ..PostParams::default() };
    Api::namespaced(client.clone(), "st-foreign").create(&theirs_by, &theirs).await.expect("created");
    let leaf = Ca::root("Status Root", Utc::now()).expect("a root").leaf(&["*.example.com"]).issue().expect("a leaf");
    let supplied: Secret = parsed(json!({
        "metadata": {"name": "supplied"}, "stringData": {"tls.crt": leaf.certificate(), "tls.key": leaf.key()},
    }));
    Api::namespaced(client.clone(), HOME).create(&create, &supplied).await.expect("supplied");
    let object: GatewayCertificate = parsed(json!({"metadata": {"name": "x"}, "spec": spec()}));
    Api::namespaced(client.clone(), HOME).create(&create, &object).await.expect("accepted");
}

fn spec() -> Value {
    json!({
        "domain": "example.com", "byo": {"secretRef": {"name": "supplied"}},
        "gateway": {"secretRef": {"namespace": "st-mesh", "name": "gw-certs"}},
        "targets": [
            {"name": "public", "secretName": "st-public", "layout": "certificate-only",
             "namespaceSelector": {"matchLabels": {"st-copy": "yes"}}},
            {"name": "pair", "secretName": "st-pair", "layout": "tls", "namespaces": ["st-a", "st-absent"]},
        ],
    })
}

/// A user who may read GatewayCertificates of the one namespace and nothing else.
async fn reader(client: &Client, user: &str) {
    let role: Role = parsed(json!({"metadata": {"name": user}, "rules": [
        {"apiGroups": ["certs.kyma-project.io"], "resources": ["gatewaycertificates"], "verbs": ["get", "list"]},
    ]}));
    let binding: RoleBinding = parsed(json!({
        "metadata": {"name": user}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }));
    Api::namespaced(client.clone(), HOME).create(&PostParams::default(), &role).await.expect("a Role");
    Api::namespaced(client.clone(), HOME).create(&PostParams::default(), &binding).await.expect("a RoleBinding");
}

async fn patch(client: &Client, namespace: &str, name: &str, patch: Value) {
    let params = PatchParams { field_manager: Some("editor".to_owned()), ..PatchParams::default() };
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    api.patch(name, &params, &Patch::Merge(patch)).await.expect("patched");
}

#[tokio::test]
async fn every_copy_is_listed_with_its_state_as_the_cluster_has_it() {
    let Some(plane) = shared_or_left_out("status --targets").await.expect("a control plane") else { return };
    let client = plane.client().expect("a client");
    let kubeconfig = plane.kubeconfig();
    prepare(&client).await;

    let (code, before) = copies(&kubeconfig);
    assert_eq!(states(&before)["st-a/st-public"], "Missing", "certkeeper has not run yet");
    assert_eq!(code, Some(1));

    let running = start(&kubeconfig);
    let expected = BTreeMap::from([
        ("st-a/st-public", "Current"),
        ("st-b/st-public", "Current"),
        ("st-foreign/st-public", "Foreign"),
        ("st-a/st-pair", "Current"),
        ("st-absent/st-pair", "NamespaceMissing"),
    ]);
    eventually("the copies are there", || async { (states(&copies(&kubeconfig).1) == expected).then_some(()) }).await;
    let objects: Api<GatewayCertificate> = Api::namespaced(client.clone(), HOME);
    let fingerprint = eventually("the certificate is in the status", || async {
        Some(objects.get("x").await.expect("there").status?.certificate?.fingerprint)
    })
    .await;
    let (code, now) = copies(&kubeconfig);
    assert_eq!(code, Some(1), "two are not current");
    assert_eq!(text(&now["st-a/st-pair"], "fingerprint"), fingerprint);
    assert_eq!(text(&now["st-foreign/st-public"], "owner"), "field manager \"tenant\"");
    assert!(now["st-foreign/st-public"]["fingerprint"].is_null(), "nothing is said of what is not ours");
    let table = String::from_utf8(status(&kubeconfig, &[]).stdout).expect("UTF-8");
    for part in
        ["3 of 5 copies are current", "Foreign (field manager \"tenant\")", "namespace st-absent does not exist"]
    {
        assert!(table.contains(part), "no `{part}` in:\n{table}");
    }
    people_interfere(plane, &client, running).await;
}

/// What happens while certkeeper is away is seen; and who may not look is told so.
async fn people_interfere(plane: &ControlPlane, client: &Client, running: Running) {
    let kubeconfig = plane.kubeconfig();
    let objects: Api<GatewayCertificate> = Api::namespaced(client.clone(), HOME);
    drop(running);
    patch(client, "st-a", "st-public", json!({"data": {"tls.crt": "ZWRpdGVk"}})).await;
    patch(client, "st-b", "st-public", json!({"data": {"tls.crt": null}})).await;
    let pairs: Api<Secret> = Api::namespaced(client.clone(), "st-a");
    pairs.delete("st-pair", &DeleteParams::default()).await.expect("deleted");
    let (_, now) = copies(&kubeconfig);
    let seen = states(&now);
    let named = |place: &str| seen[place];
    assert_eq!(["st-a/st-public", "st-b/st-public", "st-a/st-pair"].map(named), ["Edited", "Edited", "Missing"]);
    assert!(text(&now["st-a/st-public"], "message").contains("field manager \"editor\""), "{now:?}");

    // Back at work, it puts all of it right; once it is away, another leaf in the gateway's Secret makes them late.
    let running = start(&kubeconfig);
    eventually("the copies are put right", || async {
        let (_, now) = copies(&kubeconfig);
        (states(&now).values().filter(|state| **state == "Current").count() == 3).then_some(())
    })
    .await;
    drop(running);
    let other = json!({"status": {"certificate": {"fingerprint": "0".repeat(64)}}});
    objects.patch_status("x", &PatchParams::default(), &Patch::Merge(other)).await.expect("patched");
    let (_, now) = copies(&kubeconfig);
    assert_eq!(states(&now).values().filter(|state| **state == "Behind").count(), 3, "{now:?}");

    reader(client, "st-reader").await;
    let theirs = plane.kubeconfig_for("st-reader", &[]).expect("a kubeconfig");
    let (code, now) = copies(&theirs);
    assert_eq!(code, Some(2), "it could not be looked: {now:?}");
    assert!(now.values().all(|copy| copy["state"] == "Denied"), "{now:?}");
    assert!(text(&now["st-a/st-pair"], "message").contains("you need the verb get on Secret st-a/st-pair"));
    assert!(text(&now["*/st-public"], "message").contains("you need the verb list on namespaces"));

    let spec = json!({"spec": {"targets": null}});
    objects.patch("x", &PatchParams::default(), &Patch::Merge(spec)).await.expect("patched");
    let (code, now) = copies(&kubeconfig);
    assert_eq!((code, now.len()), (Some(0), 0), "without targets nothing is missing");
    objects.delete("x", &DeleteParams::default()).await.expect("deleted");
}

#[test]
fn targets_without_a_name_is_an_error_that_asks_for_one() {
    let output = Command::new(PROGRAM).args(["status", "--targets"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("--targets lists the copies of one GatewayCertificate: give its NAME"), "{errors}");
}

/// A copy as certkeeper leaves it in `st-a`.
fn copy() -> Copy {
    Copy {
        version: Version { uid: "u".to_owned(), resource_version: "1".to_owned() },
        deleting: false,
        owner: Some("st/x".to_owned()),
        note: Some("opaque:00".to_owned()),
        note_edited: false,
        fingerprint: None,
        our_keys: "tls.crt".to_owned(),
        foreign_writer: None,
        foreign: None,
        undone: Vec::new(),
        compared: None,
    }
}

/// How a copy at `st-a/st-public` with this look stands, where `leaf` is in the gateway's Secret.
fn stands(look: Option<Look>, leaf: Option<&str>) -> CopyState {
    let object: GatewayCertificate = parsed(json!({"metadata": {"namespace": HOME, "name": "x"}, "spec": spec()}));
    let (wants, owner) = (wants(&object), ObjectName::new(HOME, "x"));
    let labels = [("st-copy".to_owned(), "yes".to_owned())].into_iter().collect();
    let known = BTreeMap::from([("st-a".to_owned(), Namespace { labels, terminating: false })]);
    let namespaces = Namespaces::Known(Arc::new(known));
    let peers = BTreeSet::from(["st/x".to_owned(), "st/y".to_owned()]);
    let survey = Survey {
        owner: &owner,
        wants: &wants,
        namespaces: &namespaces,
        peers: &peers,
        fingerprint: leaf,
        failures: &[],
    };
    let place = ObjectName::new("st-a", "st-public");
    assert!(survey.places().contains(&place));
    let looks = look.map(|look| (place.clone(), look)).into_iter().collect();
    survey.standings(&looks).into_iter().find(|standing| standing.place == place).expect("it is listed").state
}

#[test]
fn each_mark_on_a_secret_means_one_state() {
    let now = Utc::now();
    let by = |manager: &str| Some(Undo { manager: manager.to_owned(), at: now });
    let owned = |owner: &str| Copy { owner: Some(owner.to_owned()), ..copy() };
    let foreign = |who: &str| CopyState::Foreign(who.to_owned());
    let undone = vec![by("gitops").expect("one"); 3];
    let cases = [
        (copy(), "leaf", CopyState::Current),
        (copy(), "older", CopyState::Behind),
        (Copy { note: Some("tls:00".to_owned()), ..copy() }, "leaf", CopyState::Behind),
        (Copy { our_keys: "cert".to_owned(), ..copy() }, "leaf", CopyState::Edited),
        (Copy { foreign_writer: by("kubectl-edit"), ..copy() }, "leaf", CopyState::Edited),
        (Copy { deleting: true, ..copy() }, "leaf", CopyState::BeingDeleted),
        (Copy { foreign_writer: by("gitops"), undone, ..copy() }, "leaf", foreign("field manager \"gitops\"")),
        (Copy { foreign: Some("Foo bar".to_owned()), ..copy() }, "leaf", foreign("Foo bar")),
        (Copy { owner: None, foreign_writer: by("them"), ..copy() }, "leaf", foreign("field manager \"them\"")),
        (owned("st/y"), "leaf", foreign("GatewayCertificate st/y")),
        (owned("elsewhere/z"), "leaf", foreign("GatewayCertificate elsewhere/z")),
        (owned("st/gone"), "leaf", CopyState::Behind),
    ];
    for (copy, noted, expected) in cases {
        let look = Look::Present(Box::new(copy.clone()), Some(noted.to_owned()));
        assert_eq!(stands(Some(look), Some("leaf")), expected, "{copy:?} with fingerprint {noted}");
    }
    let look = Look::Present(Box::new(copy()), Some("leaf".to_owned()));
    assert_eq!(stands(Some(look), None), CopyState::Unknown, "no pair is promoted");
    assert_eq!(stands(None, Some("leaf")), CopyState::Missing);
    assert_eq!(stands(Some(Look::Denied("no".to_owned())), Some("leaf")), CopyState::Denied);
}
