//! The answers of `certkeeper check`: their schema, their looks, and that no key is ever in one.

mod support;

use std::{path::Path, sync::LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use certkeeper_simulator::ca::{Algorithm, Ca, Issued};
use chrono::Utc;
use serde_json::{Value, json};
use support::{api_server::ApiServer, room::Room, schema};

/// What clients trust, a pair as Kyma wants it (RSA), and another one.
struct Pki {
    ca: Ca,
    rsa: Issued,
    other: Issued,
}

static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let ca = Ca::root("Answers Root", Utc::now()).expect("a root").intermediate("Answers Intermediate").expect("a CA");
    let rsa = ca.leaf(&["*.example.com", "example.com"]).algorithm(Algorithm::Rsa2048).issue().expect("a leaf");
    let other = ca.leaf(&["*.example.com"]).issue().expect("a leaf");
    Pki { ca, rsa, other }
});

/// A room that watches over the keys of [`PKI`].
fn room() -> Room {
    Room::new([PKI.rsa.key().to_owned(), PKI.other.key().to_owned()])
}

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificate/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn bytes(text: impl Into<String>) -> Vec<u8> {
    text.into().into_bytes()
}

/// Certificate, key, and the check that must refuse it.
fn bad_input() -> Vec<(&'static str, Vec<u8>, Vec<u8>, &'static str)> {
    let (chain, key) = (PKI.rsa.certificate(), PKI.rsa.key().to_owned());
    let ed25519 = PKI.ca.leaf(&["*.example.com"]).algorithm(Algorithm::Ed25519).issue().expect("a leaf");
    let cut = chain[..chain.len() / 3].to_owned();
    vec![
        ("a certificate in DER", PKI.rsa.der().to_vec(), bytes(&key), "not-pem"),
        ("PKCS#12", fixture("pair.p12"), bytes(&key), "not-pem"),
        ("PKCS#12 as the key", bytes(&chain), fixture("pair.p12"), "not-pem"),
        ("base64 of DER without its armour", bytes(STANDARD.encode(PKI.rsa.der())), bytes(&key), "not-pem"),
        ("a certificate that was cut off", bytes(cut), bytes(&key), "block-malformed"),
        ("the two swapped", bytes(&key), bytes(&chain), "certificate-missing"),
        ("the key of another", bytes(&chain), bytes(PKI.other.key()), "pair-mismatch"),
        ("an encrypted key (PKCS#8)", bytes(&chain), fixture("encrypted-pkcs8.key"), "key-encrypted"),
        ("an encrypted key (traditional)", bytes(&chain), fixture("encrypted-traditional.key"), "key-encrypted"),
        ("an RSA key of 1024 bits", fixture("rsa-1024.pem"), bytes(&key), "rsa-size"),
        ("Ed25519", bytes(ed25519.certificate()), bytes(ed25519.key()), "key-type"),
        ("DSA", fixture("dsa.pem"), bytes(&key), "key-type"),
        ("a whole bundle", bytes(chain.repeat(64)), bytes(&key), "input-too-large"),
    ]
}

/// Every kind of answer: `(what, arguments)` for files that lie in the room.
fn all_answers(room: &Room) -> Vec<(String, Vec<String>)> {
    let mut answers = Vec::new();
    let mut put = |what: &str, certificate: &[u8], key: &[u8]| {
        let number = answers.len();
        let certificate = room.put(&format!("{number}.pem"), certificate);
        let key = room.put(&format!("{number}.key"), key);
        let arguments = [certificate, "--key".to_owned(), key, "--host".to_owned(), "*.example.com".to_owned()];
        answers.push((what.to_owned(), arguments.to_vec()));
    };
    let (chain, key) = (PKI.rsa.certificate(), PKI.rsa.key());
    put("good", chain.as_bytes(), key.as_bytes());
    put("the key among the certificates", format!("{key}{chain}{key}").as_bytes(), key.as_bytes());
    put("base64 of everything", STANDARD.encode(&chain).as_bytes(), STANDARD.encode(key).as_bytes());
    put("carriage returns", chain.replace('\n', "\r\n").as_bytes(), key.replace('\n', "\r").as_bytes());
    put("a key with a broken line", chain.as_bytes(), key.replacen('M', "*", 3).as_bytes());
    put("a key without its end", chain.as_bytes(), &key.as_bytes()[..key.len() / 2]);
    put("a key under another label", chain.as_bytes(), key.replace("PRIVATE KEY", "SECRET THING").as_bytes());
    for (what, certificate, key, _) in bad_input() {
        put(what, &certificate, &key);
    }
    answers
}

#[test]
fn each_kind_of_bad_input_is_refused_by_its_check_with_a_remedy() {
    let room = room();
    for (what, certificate, key, check) in bad_input() {
        let (certificate, key) = (room.put("input.pem", certificate), room.put("input.key", key));
        let answer = room.check(&[&certificate, "--key", &key, "--output", "json"]);
        assert_eq!(answer.code, 1, "{what}: {answer}");
        let found = answer.finding(check).unwrap_or_else(|| panic!("{what}: no {check} in {answer}"));
        assert_eq!(found["severity"], "error", "{what}");
        assert!(found["remedy"].as_str().is_some_and(|remedy| remedy.len() > 10), "{what}: {found}");
    }
}

#[test]
fn every_answer_keeps_to_the_schema_and_says_the_same_in_yaml() {
    let room = room();
    let wanted: Value = serde_json::from_str(&room.check(&["--schema"]).out).expect("a schema");
    for (what, arguments) in all_answers(&room) {
        let arguments: Vec<&str> =
            arguments.iter().map(String::as_str).chain(["--at", "2026-12-01T00:00:00Z"]).collect();
        let json = room.check(&[arguments.as_slice(), &["-o", "json"]].concat());
        schema::holds(&wanted, &json.json()).unwrap_or_else(|wrong| panic!("{what}: {wrong}\n{json}"));
        let yaml = room.check(&[arguments.as_slice(), &["-o", "yaml"]].concat());
        assert_eq!(serde_saphyr::from_str::<Value>(&yaml.out).expect("YAML"), json.json(), "{what}");
        let verdict = if json.code == 0 { "good" } else { "refused" };
        assert_eq!(json.json()["verdict"], verdict, "{what}");
    }
}

#[test]
fn the_schema_refuses_what_is_no_answer() {
    let room = room();
    let wanted: Value = serde_json::from_str(&room.check(&["--schema"]).out).expect("a schema");
    let chain = room.put("chain.pem", PKI.rsa.certificate());
    let good = room.check(&[&chain, "-o", "json"]).json();
    for (pointer, value) in [
        ("/verdict", json!("perhaps")),
        ("/findings", json!({})),
        ("/certificate/fingerprint", json!("AB:CD")),
        ("/certificate/chainLength", json!("two")),
        ("/certificate", json!([])),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).expect("it is there") = value;
        assert!(schema::holds(&wanted, &bad).is_err(), "{pointer}");
    }
    let mut less = good;
    less.as_object_mut().expect("an object").remove("certificate");
    assert!(schema::holds(&wanted, &less).is_err(), "every field is always there");
}

#[test]
fn tables_fit_80_columns_and_end_with_the_verdict() {
    let room = room();
    for (what, arguments) in all_answers(&room) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let answer = room.check(&arguments);
        assert!(answer.out.lines().all(|line| line.chars().count() <= 80), "{what}: {answer}");
        assert!(!answer.out.contains('\u{1b}'), "{what}: colour without a terminal: {answer}");
        let last = answer.out.lines().last().unwrap_or_default().trim_start();
        assert!(last.starts_with(if answer.code == 0 { "GOOD" } else { "REFUSED" }), "{what}: {answer}");
    }
}

fn values(certificate: &str, key: &str) -> String {
    format!("global:\n  domainName: example.com\n  tlsCrt: {certificate}\n  tlsKey: {key}\n")
}

#[test]
fn kymas_values_may_be_wrapped_or_blocks_of_plain_pem_and_come_from_standard_input() {
    let room = room();
    let indented = |text: &str| text.lines().map(|line| format!("\n    {line}")).collect::<String>();
    let (chain, key) = (PKI.rsa.certificate(), PKI.rsa.key());
    let wrapped = |text: &str| {
        let text = STANDARD.encode(text);
        text.as_bytes().chunks(64).map(|line| format!("\n    {}", String::from_utf8_lossy(line))).collect::<String>()
    };
    for (what, yaml) in [
        ("plain PEM", values(&format!("|{}", indented(&chain)), &format!("|{}", indented(key)))),
        ("wrapped base64", values(&format!("|-{}", wrapped(&chain)), &format!(">-{}", wrapped(key)))),
        ("a byte order mark", format!("\u{feff}{}", values(&STANDARD.encode(&chain), &STANDARD.encode(key)))),
    ] {
        let answer = room.check_with(&["--values", "-", "-o", "json"], yaml.as_bytes());
        assert_eq!(answer.code, 0, "{what}: {answer}");
        assert_eq!(answer.json()["checked"]["hosts"], json!(["*.example.com"]));
        assert_eq!(answer.json()["certificate"]["fingerprint"], PKI.rsa.fingerprint(), "{what}");
    }
}

#[test]
fn values_that_cannot_be_judged_are_told_without_their_content() {
    let room = room();
    let (chain, key) = (STANDARD.encode(PKI.rsa.certificate()), STANDARD.encode(PKI.rsa.key()));
    for (yaml, code, word) in [
        (values(&chain, &format!("[{key}]")), 2, "global.tlsKey in standard input is a list"),
        (values(&chain, &format!("\"{key}")), 2, "line "),
        (values(&chain, &format!("{key}\n  tlsKey: {key}")), 2, "twice"),
        (values("", ""), 2, "global.tlsCrt and global.tlsKey are missing"),
        (values("", &key), 1, "global.tlsCrt is missing"),
        (values(&chain, "''"), 1, "global.tlsKey is missing"),
        (key.clone(), 2, "a mapping was expected"),
        (format!("global: {key}"), 2, "a mapping was expected"),
        (values(&chain, &key).replace("example.com", &key), 2, "global.domainName in standard input is no domain"),
        (values(&chain, &key).replace("example.com", "'*.example.com'"), 2, "without *."),
        (values(&chain, &key).replace("domainName", "domain"), 0, "values-domain"),
    ] {
        let answer = room.check_with(&["--values", "-"], yaml.as_bytes());
        assert_eq!(answer.code, code, "{word}: {answer}");
        assert!(
            format!("{answer}").split_whitespace().collect::<Vec<_>>().join(" ").contains(word),
            "{word}: {answer}"
        );
    }
}

#[test]
fn the_checks_of_the_place_can_be_lowered_like_the_others() {
    let room = room();
    let (chain, key) = (STANDARD.encode(PKI.rsa.certificate()), STANDARD.encode(PKI.rsa.key()));
    let file = room.put("values.yaml", values(&chain, &key).replace("domainName", "domain"));
    assert_eq!(room.check(&["--values", &file, "--warnings-as-errors"]).code, 1);
    assert_eq!(room.check(&["--values", &file, "--warnings-as-errors", "--ignore", "values-domain"]).code, 0);
    assert_eq!(room.check(&["--values", &file, "--warnings-as-errors", "--host", "a.example.com"]).code, 0);
}

#[test]
fn arguments_that_mean_nothing_are_refused_with_2() {
    let room = room();
    let chain = room.put("chain.pem", PKI.rsa.certificate());
    for (arguments, word) in [
        (vec![chain.as_str(), "--values", "x"], "cannot be used with"),
        (vec!["--values", "-", "--roots", "-"], "only once"),
        (vec!["--key", "x", "--list"], "cannot be used with"),
        (vec!["--key", "x"], "FULLCHAIN"),
        (vec![chain.as_str(), "--host", "https://example.com"], "without scheme"),
        (vec![chain.as_str(), "--cipher-suites", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"], "OpenSSL's"),
        (vec![chain.as_str(), "--ignore", "expires-son"], "expires-soon"),
        (vec![chain.as_str(), "--roots", "/dev/null"], "--roots /dev/null"),
        (vec!["/dev/zero"], "more than 1024 KiB"),
        (vec!["/"], "cannot be read"),
    ] {
        let answer = room.check(&arguments);
        assert_eq!(answer.code, 2, "{arguments:?}: {answer}");
        assert!(answer.out.is_empty() && answer.err.contains(word), "{arguments:?}: {answer}");
    }
}

fn secret(data: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<String, Value> =
        data.iter().map(|(key, value)| ((*key).to_owned(), json!(STANDARD.encode(value)))).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "certs", "namespace": "mesh", "resourceVersion": "1", "uid": "1"}, "data": data})
}

/// kube-apiserver's own words.
const NO_RIGHT: &str = "secrets \"certs\" is forbidden: User \"somebody\" cannot get resource \"secrets\" \
                        in API group \"\" in the namespace \"mesh\"";

fn look_at(room: &Room, status: u16, object: &Value) -> support::room::Answer {
    let server = ApiServer::start("/api/v1/namespaces/mesh/secrets/certs", status, object);
    let kubeconfig = room.put("kubeconfig", server.kubeconfig());
    room.check(&["--secret", "mesh/certs", "--kubeconfig", &kubeconfig, "-o", "json"])
}

#[test]
fn left_overs_beside_a_secrets_pair_are_findings() {
    let room = room();
    let (rsa, other) = (&PKI.rsa, &PKI.other);
    let pair = [("tls.crt", rsa.certificate()), ("tls.key", rsa.key().to_owned())];
    let generic = [("cert", other.certificate()), ("key", other.key().to_owned())];
    let all: Vec<(&str, &str)> = pair.iter().chain(&generic).map(|(key, value)| (*key, value.as_str())).collect();

    let answer = look_at(&room, 200, &secret(&all[..2]));
    assert_eq!((answer.code, answer.json()["findings"].clone()), (0, json!([])), "{answer}");

    let mut masked = secret(&all);
    let applied = json!({"kubectl.kubernetes.io/last-applied-configuration": secret(&all[..2]).to_string()});
    masked["metadata"]["annotations"] = applied;
    masked["immutable"] = json!(true);
    let answer = look_at(&room, 200, &masked);
    assert_eq!(answer.json()["certificate"]["fingerprint"], other.fingerprint(), "Istio reads cert and key first");
    for check in ["secret-generic-keys", "secret-last-applied", "secret-immutable"] {
        assert!(answer.finding(check).is_some(), "{check}: {answer}");
    }

    let answer = look_at(&room, 200, &secret(&all[..3]));
    assert_eq!(answer.json()["certificate"]["fingerprint"], rsa.fingerprint());
    assert!(answer.finding("secret-generic-keys").is_some(), "half of a pair would be read once it is whole: {answer}");

    let supplied = [("tlsCrt", all[0].1), ("tlsKey", all[1].1)];
    let answer = look_at(&room, 200, &secret(&supplied));
    assert_eq!((answer.code, answer.finding("secret-source-layout").is_some()), (0, true), "{answer}");
}

#[test]
fn a_secret_that_cannot_be_read_exits_with_2_and_says_what_to_do() {
    let room = room();
    let status = |code: u16, reason: &str, message: &str| {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
            "message": message, "details": {"kind": "secrets", "name": "certs"}})
    };
    let absent = look_at(&room, 404, &status(404, "NotFound", "secrets \"certs\" not found"));
    assert_eq!(absent.code, 2, "{absent}");
    assert!(absent.err.contains("there is no Secret certs in namespace mesh"), "{absent}");
    let denied = look_at(&room, 403, &status(403, "Forbidden", NO_RIGHT));
    let unknown = look_at(&room, 401, &status(401, "Unauthorized", "Unauthorized"));
    assert_eq!(unknown.code, 2, "{unknown}");
    assert!(unknown.err.contains("could not be read: Unauthorized"), "{unknown}");
    assert_eq!(denied.code, 2, "{denied}");
    assert!(denied.err.contains("resourceNames [\"certs\"] in namespace mesh"), "{denied}");
    let kubeconfig = room.put("kubeconfig", ApiServer::nowhere());
    let away = room.check(&["--secret", "mesh/certs", "--kubeconfig", &kubeconfig]);
    assert_eq!(away.code, 2, "{away}");
    assert!(away.err.contains("cannot be reached"), "{away}");
}
