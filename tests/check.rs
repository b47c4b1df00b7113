//! `certkeeper check` as a person runs it: on files, on Kyma's values, on a Secret.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use certkeeper_control_plane::shared_or_left_out;
use certkeeper_simulator::ca::{Algorithm, Ca, Issued, Validity};
use chrono::{Duration, Utc};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    }
}

fn ca() -> Ca {
    Ca::root("Check Root", Utc::now()).expect("a root").intermediate("Check Intermediate").expect("an intermediate")
}

fn good(ca: &Ca) -> Issued {
    ca.leaf(&["*.example.com"]).issue().expect("a leaf")
}

fn check(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_certkeeper")).arg("check").args(arguments).output().expect("it runs")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn errors(output: &Output) -> Vec<String> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("JSON: {}", text(output)));
    let findings = report["findings"].as_array().expect("findings").iter();
    findings
        .filter(|finding| finding["severity"] == "error")
        .map(|finding| finding["check"].as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn a_good_chain_is_good_and_exits_with_0() {
    let (files, ca) = (Files::new(), ca());
    let pair = good(&ca);
    let (chain, key) = (files.put("chain.pem", pair.certificate()), files.put("key.pem", pair.key()));
    let roots = files.put("roots.pem", ca.root_pem());
    let arguments = [path(&chain), "--key", path(&key), "--host", "*.example.com", "--roots", path(&roots)];
    let output = check(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let text = text(&output);
    assert!(text.contains("GOOD") && text.contains(pair.fingerprint()), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where there is no terminal");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "lines fit a terminal");
}

#[test]
fn each_kind_of_bad_input_is_refused_by_its_check_with_exit_code_1() {
    let (files, ca) = (Files::new(), ca());
    let (pair, other) = (good(&ca), good(&ca));
    let now = Utc::now();
    let valid = |validity| ca.leaf(&["*.example.com"]).valid(validity).issue().expect("a leaf");
    let bare = |hosts: &[&str]| ca.leaf(hosts).issue().expect("a leaf").certificate();
    let two_keys = format!("{}{}", pair.key(), other.key());
    let key = pair.key().to_owned();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n".to_owned();
    let cases: Vec<(&str, Vec<u8>, String, &str)> = vec![
        ("DER", pair.der().to_vec(), key.clone(), "not-pem"),
        ("garbage", b"garbage".to_vec(), key.clone(), "not-pem"),
        ("an empty file", Vec::new(), key.clone(), "certificate-missing"),
        ("half a pair", pair.certificate().into_bytes(), String::new(), "key-missing"),
        ("a mismatched pair", other.certificate().into_bytes(), key.clone(), "pair-mismatch"),
        ("an encrypted key", pair.certificate().into_bytes(), encrypted, "key-encrypted"),
        ("several keys", pair.certificate().into_bytes(), two_keys, "several-keys"),
        ("an expired certificate", valid(Validity::ended(now)).certificate().into_bytes(), String::new(), "expired"),
        ("one to come", valid(Validity::to_come(now)).certificate().into_bytes(), String::new(), "not-yet-valid"),
        ("another host", bare(&["*.elsewhere.example"]).into_bytes(), String::new(), "hosts"),
        ("no names", bare(&[]).into_bytes(), String::new(), "san-missing"),
        ("too large", vec![b'a'; 70_000], String::new(), "input-too-large"),
    ];
    for (what, certificate, key, wanted) in cases {
        let certificate = files.put("certificate", certificate);
        let key = files.put("key", key);
        let arguments = [path(&certificate), "--key", path(&key), "--host", "*.example.com", "--output", "json"];
        let output = check(&arguments);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", text(&output));
        let errors = errors(&output);
        assert!(errors.iter().any(|check| check == wanted), "{what}: {errors:?}");
    }
}

#[test]
fn what_people_paste_is_normalised_and_reported() {
    let (files, ca) = (Files::new(), ca());
    let pair = good(&ca);
    let key = files.put("key.pem", pair.key());
    let wrapped: String = STANDARD
        .encode(pair.certificate())
        .as_bytes()
        .chunks(76)
        .map(|line| String::from_utf8_lossy(line).into_owned() + "\n")
        .collect();
    let blocks: Vec<String> =
        pair.certificate().split_inclusive("-----END CERTIFICATE-----\n").map(str::to_owned).collect();
    let shuffled: String = blocks.iter().rev().cloned().collect();
    let cases = [
        ("base64 on one line", STANDARD.encode(pair.certificate())),
        ("wrapped base64", wrapped),
        ("CRLF", pair.certificate().replace('\n', "\r\n")),
        ("a byte-order mark", format!("\u{feff}{}", pair.certificate())),
        ("text between blocks", format!("subject=CN\n{}", pair.certificate())),
        ("a shuffled chain", shuffled),
        ("a key in the certificate file, which is left out", format!("{}{}", pair.certificate(), pair.key())),
        ("a duplicate", format!("{}{}", pair.certificate(), blocks[1])),
    ];
    for (what, content) in cases {
        let certificate = files.put("certificate", content);
        let output = check(&[path(&certificate), "--key", path(&key), "--output", "json"]);
        assert_eq!(output.status.code(), Some(0), "{what}: {}", text(&output));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report["verdict"], "good", "{what}");
        assert!(!report["findings"].as_array().expect("findings").is_empty(), "{what} is reported");
        assert_eq!(report["certificate"]["fingerprint"], json!(pair.fingerprint()), "{what}");
    }
}

#[test]
fn kymas_values_are_read_and_a_missing_or_broken_one_is_named_without_its_content() {
    let (files, ca) = (Files::new(), ca());
    let rsa = ca.leaf(&["*.example.com"]).algorithm(Algorithm::Rsa2048).issue().expect("a leaf");
    let values = |certificate: &str, key: &str| {
        format!("global:\n  domainName: example.com\n  tlsCrt: {certificate}\n  tlsKey: {key}\n")
    };
    let encoded = |text: &str| STANDARD.encode(text);
    let file = files.put("values.yaml", values(&encoded(&rsa.certificate()), &encoded(rsa.key())));
    let output = check(&["--values", path(&file)]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    // Kyma's cipher suites are for RSA keys: with TLS 1.2 an ECDSA pair would fail behind them.
    let ecdsa = good(&ca);
    let file = files.put("values.yaml", values(&encoded(&ecdsa.certificate()), &encoded(ecdsa.key())));
    let output = check(&["--values", path(&file), "--output", "json"]);
    assert!(errors(&output).iter().any(|check| check == "cipher-suites"), "{}", text(&output));
    let file = files.put("values.yaml", format!("global:\n  tlsCrt: {}\n", encoded(&rsa.certificate())));
    let output = check(&["--values", path(&file)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("global.tlsKey is missing"), "{}", text(&output));
    let file = files.put("values.yaml", format!("global:\n  tlsKey: [{}\n", encoded(rsa.key())));
    let output = check(&["--values", path(&file)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("line 2"), "{}", text(&output));
    assert!(!text(&output).contains(&encoded(rsa.key())[40..80]), "the key is not quoted");
}

#[test]
fn a_key_is_never_shown_wherever_it_was_put() {
    let (files, ca) = (Files::new(), ca());
    let pair = good(&ca);
    let (chain, key) = (files.put("chain.pem", pair.certificate()), files.put("key.pem", pair.key()));
    let both = files.put("both.pem", format!("{}{}", pair.key(), pair.certificate()));
    let raw = files.put("raw", STANDARD.encode(pair.key()));
    for certificate in [&chain, &key, &both, &raw] {
        for key in [&chain, &key, &both, &raw] {
            for output in ["table", "json", "yaml"] {
                let shown = text(&check(&[path(certificate), "--key", path(key), "--output", output]));
                for line in pair.key().lines().filter(|line| !line.starts_with("-----")) {
                    assert!(!shown.contains(line), "{certificate:?} {key:?} {output}");
                }
                assert!(!shown.contains(&STANDARD.encode(pair.key())[60..100]));
            }
        }
    }
}

#[test]
fn warnings_roots_times_and_lowered_checks_change_the_exit_code_as_they_say() {
    let (files, ca) = (Files::new(), ca());
    let now = Utc::now();
    let soon = Validity { from: now - Duration::days(80), until: now + Duration::days(10) };
    let pair = ca.leaf(&["*.example.com"]).valid(soon).issue().expect("a leaf");
    let chain = files.put("chain.pem", pair.certificate());
    let chain = path(&chain);
    assert_eq!(check(&[chain]).status.code(), Some(0), "it warns: expires soon");
    assert_eq!(check(&[chain, "--warnings-as-errors"]).status.code(), Some(1));
    assert_eq!(check(&[chain, "--at", "2040-01-01T00:00:00Z"]).status.code(), Some(1), "expired by then");
    assert_eq!(check(&[chain, "--host", "x.org"]).status.code(), Some(1));
    assert_eq!(check(&[chain, "--host", "x.org", "--warn", "hosts"]).status.code(), Some(0));
    assert_eq!(check(&[chain, "--host", "x.org", "--ignore", "hosts"]).status.code(), Some(0));
    let foreign = Ca::root("Foreign", now).expect("a root");
    let roots = files.put("roots.pem", foreign.root_pem());
    assert_eq!(check(&[chain, "--roots", path(&roots)]).status.code(), Some(1));
    let key = files.put("key.pem", good(&ca).key());
    let mismatch = [chain, "--key", path(&key), "--ignore", "pair-mismatch"];
    assert_eq!(check(&mismatch).status.code(), Some(1), "what a gateway would refuse cannot be ignored");
}

#[test]
fn what_cannot_be_looked_at_exits_with_2_and_says_why() {
    let cases: [(&[&str], &str); 7] = [
        (&["/nonexistent.pem"], "/nonexistent.pem"),
        (&[], "FULLCHAIN"),
        (&["-", "--key", "-"], "only once"),
        (&["x", "--at", "tomorrow"], "RFC 3339"),
        (&["x", "--warn", "chian-order"], "chain-order"),
        (&["--secret", "no-slash"], "NAMESPACE/NAME"),
        (&["--secret", "a/b", "--kubeconfig", "/nonexistent"], "/nonexistent"),
    ];
    for (arguments, word) in cases {
        let output = check(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(word), "{arguments:?}: {}", text(&output));
    }
}

#[test]
fn standard_input_and_yaml_and_the_list_work() {
    let pair = good(&ca());
    let mut child = Command::new(env!("CARGO_BIN_EXE_certkeeper"))
        .args(["check", "-", "--output", "yaml"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("piped").write_all(pair.certificate().as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_saphyr::from_str(&text(&output)).expect("YAML");
    assert_eq!(report["certificate"]["fingerprint"], json!(pair.fingerprint()));
    let list: Value = serde_json::from_slice(&check(&["--list", "--output", "json"]).stdout).expect("JSON");
    let names = list["checks"].as_array().expect("checks");
    for check in certkeeper::certificate::checks() {
        assert!(names.iter().any(|listed| listed["name"] == check.name), "{} is listed", check.name);
    }
    assert!(text(&check(&["--list"])).contains("pair-mismatch"));
}

#[test]
fn a_client_ca_is_judged_as_a_bundle_and_a_key_in_it_is_refused_and_not_shown() {
    let files = Files::new();
    let (one, other) = (Ca::root("One", Utc::now()).expect("a root"), Ca::root("Other", Utc::now()).expect("a root"));
    let bundle = files.put("ca.pem", format!("{}{}", one.pem(), other.pem()));
    let output = check(&["--client-ca", path(&bundle), "--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let subjects: Vec<&str> =
        report["authorities"].as_array().expect("a list").iter().filter_map(|ca| ca["subject"].as_str()).collect();
    assert_eq!(subjects, ["CN=One", "CN=Other"]);
    assert!(text(&check(&["--client-ca", path(&bundle)])).contains("CN=Other"));
    let key = good(&ca()).key().to_owned();
    let with_key = files.put("both.pem", format!("{}{key}", one.pem()));
    let output = check(&["--client-ca", path(&with_key), "--output", "json"]);
    assert_eq!((output.status.code(), errors(&output)), (Some(1), vec!["client-ca-private-key".to_owned()]));
    for output in [output, check(&["--client-ca", path(&with_key)])] {
        assert!(key.lines().filter(|line| !line.starts_with('-')).all(|line| !text(&output).contains(line)));
    }
    let output = check(&["--client-ca", path(&bundle), "--at", "2090-01-01T00:00:00Z", "--output", "json"]);
    assert_eq!((output.status.code(), errors(&output)), (Some(1), vec!["client-ca-none-usable".to_owned()]));
    // What asks for something else does not go with it.
    assert_eq!(check(&["--client-ca", path(&bundle), "--host", "a.example.com"]).status.code(), Some(2));
    let list = text(&check(&["--list"]));
    assert!(certkeeper::certificate::authority_checks().iter().all(|check| list.contains(check.name)));
}

#[tokio::test]
async fn a_secret_is_judged_as_istio_would_read_it() {
    let Some(plane) = shared_or_left_out("check --secret").await.expect("a control plane") else { return };
    let api: Api<Secret> = Api::namespaced(plane.client().expect("a client"), "default");
    let ca = ca();
    let (pair, masking) = (good(&ca), good(&ca));
    let put = |data: Value| {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "checked"}, "stringData": data});
        let api = api.clone();
        async move {
            api.patch("checked", &PatchParams::apply("test").force(), &Patch::Apply(secret)).await.expect("applied")
        }
    };
    put(json!({"tls.crt": pair.certificate(), "tls.key": pair.key()})).await;
    let kubeconfig = plane.kubeconfig();
    let run = || {
        let kubeconfig = path(&kubeconfig).to_owned();
        let look = move || check(&["--secret", "default/checked", "--kubeconfig", &kubeconfig]);
        async move { tokio::task::spawn_blocking(look).await.expect("no panic") }
    };
    let output = run().await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains(pair.fingerprint()));
    put(json!({"tls.crt": pair.certificate(), "tls.key": pair.key(), "cert": masking.certificate(), "key": masking.key()})).await;
    let output = run().await;
    assert!(text(&output).contains(masking.fingerprint()), "the generic keys win: {}", text(&output));
    assert!(text(&output).contains("Istio reads the keys cert and key before"));
    // One that holds a CA and no pair is a client CA: what is supplied, or what a gateway reads.
    let root = Ca::root("Client CA", Utc::now()).expect("a root").pem();
    for (name, code) in [("clients", 1), ("checked-cacert", 0)] {
        let data = json!({"cacert": root, "crl": "a revocation list"});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(secret)).await.expect("applied");
        let arguments =
            ["--secret".to_owned(), format!("default/{name}"), "--kubeconfig".to_owned(), path(&kubeconfig).to_owned()];
        let look = move || check(&arguments.each_ref().map(String::as_str));
        let output = tokio::task::spawn_blocking(look).await.expect("no panic");
        assert!(text(&output).contains("CN=Client CA") && text(&output).contains("key cacert"), "{}", text(&output));
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
    }
}
