//! The command as a person or a program runs it.

use base64::{Engine, engine::general_purpose::STANDARD};
use certkeeper_simulator::ca::{Ca, Issued, Validity};
use chrono::Utc;
use serde_json::{Value, json};

use crate::{
    servers::{PKI, Process, Tcp, nginx, openssl},
    support::{
        api_server::ApiServer,
        room::{Answer, Room},
        schema,
    },
};

/// A room that watches over the keys of [`PKI`].
pub fn room() -> Room {
    Room::new([&PKI.rsa, &PKI.other, &PKI.ecdsa].map(|pair| pair.key().to_owned()))
}

const KYMAS: &str = "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-SHA:\
                     ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA";

/// A server that keeps Kyma's policy.
fn good(pair: &Issued) -> Process {
    openssl(pair, &["-min_protocol", "TLSv1.2", "-cipher", KYMAS])
}

/// Probes this server for `a.example.com`, without plain HTTP.
fn probe(room: &Room, server: &Process, more: &[&str]) -> Answer {
    let target = server.address.to_string();
    let arguments =
        [&[&*target, "--sni", "a.example.com", "--redirect-port", "none", "--timeout", "20s"], more].concat();
    room.probe(&arguments)
}

fn names(answer: &Answer) -> Vec<String> {
    let findings = answer.json()["servers"][0]["findings"].clone();
    let name = |finding: &Value| finding["check"].as_str().expect("a name").to_owned();
    findings.as_array().expect("findings").iter().map(name).collect()
}

#[test]
fn a_good_server_is_good_and_exits_with_0() {
    let (room, server) = (room(), good(&PKI.rsa));
    let roots = room.put("roots.pem", PKI.ca.root_pem());
    let answer =
        probe(&room, &server, &["--roots", &roots, "--expect-fingerprint", PKI.rsa.fingerprint(), "-o", "json"]);
    assert_eq!(answer.code, 0, "{answer}");
    let json = answer.json();
    assert_eq!(json["verdict"], "good");
    let served = &json["servers"][0];
    assert_eq!(served["certificate"]["fingerprint"], PKI.rsa.fingerprint());
    assert_eq!((&served["asExpected"], &served["failure"]), (&json!(true), &Value::Null));
    assert_eq!(served["handshake"]["protocol"], "TLS 1.3");
    assert_eq!(served["handshake"]["cipherSuite"].as_str().map(|suite| suite.starts_with("TLS_")), Some(true));
    assert_eq!(served["chain"].as_array().map(Vec::len), Some(2));
    let policy = served["policy"].as_array().expect("a policy");
    assert!(policy.len() > 20 && policy.iter().all(|row| row["holds"] == json!(true)), "{answer}");
}

#[test]
fn another_leaf_than_expected_exits_with_1_and_names_both() {
    let (room, server) = (room(), good(&PKI.rsa));
    let wanted = PKI.other.fingerprint();
    let answer = probe(&room, &server, &["--expect-fingerprint", wanted, "--policy", "none", "-o", "json"]);
    assert_eq!(answer.code, 1, "{answer}");
    assert_eq!(names(&answer)[0], "served-other");
    assert_eq!(answer.json()["servers"][0]["asExpected"], json!(false));
    let message = answer.json()["servers"][0]["findings"][0]["message"].to_string();
    assert!(message.contains(wanted) && message.contains(PKI.rsa.fingerprint()), "{message}");
}

#[test]
fn what_is_wrong_with_the_served_chain_exits_with_1() {
    let (room, now) = (room(), Utc::now());
    let expired = PKI.ca.leaf(&["*.example.com"]).valid(Validity::ended(now)).issue().expect("a leaf");
    let elsewhere = PKI.ca.leaf(&["*.elsewhere.example"]).issue().expect("a leaf");
    for (pair, check) in [(&expired, "expired"), (&elsewhere, "hosts")] {
        let server = openssl(pair, &[]);
        let answer = probe(&room, &server, &["--policy", "none", "-o", "json"]);
        assert_eq!(answer.code, 1, "{answer}");
        assert_eq!(names(&answer)[0], check, "{answer}");
    }
    let server = good(&PKI.rsa);
    let foreign = Ca::root("Foreign", now).expect("a root");
    let roots = room.put("roots.pem", foreign.root_pem());
    let answer = probe(&room, &server, &["--policy", "none", "--roots", &roots]);
    assert_eq!(answer.code, 1, "the chain leads to no such root: {answer}");
}

#[test]
fn a_policy_that_is_not_kept_exits_with_1_and_its_remedy_names_the_stuck_gateway() {
    let room = room();
    let server = openssl(&PKI.rsa, &["-min_protocol", "TLSv1", "-cipher", "ALL:@SECLEVEL=0"]);
    let answer = probe(&room, &server, &["-o", "json"]);
    assert_eq!(answer.code, 1, "{answer}");
    let found = names(&answer);
    for check in ["policy-old-version", "policy-suite-outside", "policy-stuck"] {
        assert!(found.iter().any(|name| name == check), "{check}: {answer}");
    }
    assert_eq!(probe(&room, &server, &["--policy", "none"]).code, 0, "nobody asked for the policy");
}

#[test]
fn an_ecdsa_leaf_behind_kymas_suites_is_told_where_tls_12_is_the_only_offer() {
    let (room, server) = (room(), good(&PKI.ecdsa));
    let answer = probe(&room, &server, &["--tls", "1.2", "-o", "json"]);
    assert_eq!(answer.code, 1, "{answer}");
    assert_eq!(answer.json()["servers"][0]["failure"]["reason"], "alert", "no handshake, but the policy is asked for");
    let answer = probe(&room, &server, &["--tls", "1.3", "-o", "json"]);
    assert_eq!(names(&answer)[0], "policy-suites-key", "{answer}");
}

#[test]
fn a_server_without_a_handshake_exits_with_2_and_says_why_and_what_to_do() {
    let room = room();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let serving = |answer: &'static str| runtime.block_on(Tcp::answering(answer));
    let (http, closing) = (serving("HTTP/1.1 400 Bad Request\r\n\r\n"), serving(""));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    for (address, reason) in [(http.address, "not-tls"), (closing.address, "closed"), (nobody, "refused")] {
        let target = address.to_string();
        let answer = room.probe(&[&target, "--sni", "a.example.com", "-o", "json"]);
        assert_eq!(answer.code, 2, "{answer}");
        let server = answer.json()["servers"][0].clone();
        assert_eq!(server["failure"]["reason"], reason, "{answer}");
        assert_eq!(server["verdict"], "unknown");
        assert!(server["failure"]["remedy"].as_str().is_some_and(|remedy| remedy.len() > 10), "{answer}");
        assert_eq!(server["policy"], Value::Null, "nothing is known of a policy then");
        let shown = room.probe(&[&target, "--sni", "a.example.com"]);
        assert!(shown.out.contains(reason) && shown.out.contains("UNKNOWN"), "{shown}");
    }
}

#[test]
fn every_answer_keeps_to_the_schema_and_fits_80_columns() {
    let room = room();
    let wanted: Value = serde_json::from_str(&room.probe(&["--schema"]).out).expect("a schema");
    let good = good(&PKI.rsa);
    let old = openssl(&PKI.other, &["-tls1_2", "-Verify", "1", "-cipher", "ALL:@SECLEVEL=0"]);
    let gone = openssl(&PKI.ecdsa, &[]).address.to_string();
    let addresses = [good.address.to_string(), old.address.to_string(), gone];
    for address in &addresses {
        for more in
            [&["--redirect-port", "1"][..], &["--policy", "none", "--expect-fingerprint", PKI.rsa.fingerprint()]]
        {
            let arguments = [&[address, "--sni", "*.example.com"], more].concat();
            let json = room.probe(&[&arguments[..], &["-o", "json"]].concat());
            schema::holds(&wanted, &json.json()).unwrap_or_else(|wrong| panic!("{wrong}\n{json}"));
            let yaml = room.probe(&[&arguments[..], &["-o", "yaml"]].concat());
            let read: Value = serde_saphyr::from_str(&yaml.out).expect("YAML");
            schema::holds(&wanted, &read).unwrap_or_else(|wrong| panic!("{wrong}\n{yaml}"));
            let table = room.probe(&arguments);
            assert_eq!((json.code, yaml.code), (table.code, table.code), "{table}");
            assert!(table.out.lines().all(|line| line.chars().count() <= 80), "{table}");
            let last = table.out.lines().last().unwrap_or_default().trim_start();
            let word = ["GOOD", "BAD", "UNKNOWN"][usize::try_from(table.code).expect("a code")];
            assert!(last.starts_with(word), "{table}");
        }
    }
}

#[test]
fn a_wildcard_is_asked_for_by_some_label_and_covered_as_it_stands() {
    let (room, server) = (room(), good(&PKI.rsa));
    let target = server.address.to_string();
    let asked = || {
        let answer = room.probe(&[&target, "--sni", "*.example.com", "--policy", "none", "-o", "json"]);
        assert_eq!(answer.code, 0, "{answer}");
        answer.json()["probed"]["name"].as_str().expect("a name").to_owned()
    };
    let (one, other) = (asked(), asked());
    assert!(one.ends_with(".example.com") && one != other, "{one} {other}");
}

fn secret(data: &[(&str, String)]) -> Value {
    let data: serde_json::Map<String, Value> =
        data.iter().map(|(key, value)| ((*key).to_owned(), json!(STANDARD.encode(value)))).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "certs", "namespace": "mesh", "resourceVersion": "1", "uid": "1"}, "data": data})
}

#[test]
fn the_expected_leaf_is_read_from_a_secret_as_istio_would() {
    let (room, server) = (room(), good(&PKI.rsa));
    let of = |pair: &Issued, certificate, key| vec![(certificate, pair.certificate()), (key, pair.key().to_owned())];
    let look = |status, object: &Value| {
        let api = ApiServer::start("/api/v1/namespaces/mesh/secrets/certs", status, object);
        let kubeconfig = room.put("kubeconfig", api.kubeconfig());
        let more = ["--policy", "none", "--expect-secret", "mesh/certs", "--kubeconfig", &kubeconfig, "-o", "json"];
        probe(&room, &server, &more)
    };
    let answer = look(200, &secret(&of(&PKI.rsa, "tls.crt", "tls.key")));
    assert_eq!(answer.code, 0, "{answer}");
    assert_eq!(answer.json()["probed"]["expected"]["source"], "Secret mesh/certs, tls.crt");
    let masked = [of(&PKI.rsa, "tls.crt", "tls.key"), of(&PKI.other, "cert", "key")].concat();
    let answer = look(200, &secret(&masked));
    assert_eq!(answer.code, 1, "cert and key are read first: {answer}");
    let answer = look(200, &secret(&[("tls.crt", "garbage".to_owned())]));
    assert_eq!(answer.code, 2, "{answer}");
    assert!(answer.err.contains("certkeeper check --secret mesh/certs"), "{answer}");
    let absent = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound",
        "message": "secrets \"certs\" not found", "details": {"kind": "secrets", "name": "certs"}});
    let answer = look(404, &absent);
    assert_eq!(answer.code, 2, "{answer}");
    assert!(answer.err.contains("there is no Secret certs in namespace mesh"), "{answer}");
}

#[test]
fn a_name_with_several_addresses_is_asked_at_the_first_that_answers_or_at_each() {
    let (room, server) = (room(), good(&PKI.rsa));
    let target = format!("localhost:{}", server.address.port());
    let arguments = [&target, "--sni", "a.example.com", "--policy", "none", "-o", "json"];
    let answer = room.probe(&arguments);
    assert_eq!(answer.code, 0, "whatever other addresses localhost has: {answer}");
    assert_eq!(answer.json()["servers"].as_array().map(Vec::len), Some(1));
    let every = room.probe(&[&arguments[..], &["--every-address"]].concat());
    let servers = every.json()["servers"].clone();
    let of = |server: &&Value| server["certificate"]["fingerprint"] == PKI.rsa.fingerprint();
    assert_eq!(servers.as_array().expect("servers").iter().filter(of).count(), 1, "{every}");
}

#[test]
fn arguments_that_mean_nothing_are_refused_with_2() {
    let room = room();
    for (arguments, word) in [
        (&[][..], "HOST"),
        (&["https://example.com"], "HOST:PORT"),
        (&["a:0"], "port 0"),
        (&["*.example.com"], "--sni"),
        (&["a", "--expect-fingerprint", "abc"], "64 hexadecimal digits"),
        (&["a", "--expect-fingerprint", &"ab".repeat(32), "--expect-secret", "a/b"], "cannot be used with"),
        (&["a", "--expect-secret", "b"], "NAMESPACE/NAME"),
        (&["a", "--expect-secret", "a/b", "--kubeconfig", "/nonexistent"], "/nonexistent"),
        (&["a", "--interval", "5s"], "--watch"),
        (&["a", "--timeout", "5"], "unit"),
        (&["a", "--proxy-protocol", "v3"], "v3"),
        (&["a", "--roots", "/nonexistent"], "/nonexistent"),
        (&["nosuchhost.invalid"], "could not be looked up"),
    ] {
        let answer = room.probe(arguments);
        assert_eq!(answer.code, 2, "{arguments:?}: {answer}");
        assert!(answer.out.is_empty() && answer.err.contains(word), "{arguments:?}: {answer}");
    }
}

#[test]
fn nginx_with_kymas_policy_is_good() {
    let Some((nginx, plain, proxied)) = nginx("nginx_with_kymas_policy_is_good", &PKI.rsa) else { return };
    let room = room();
    let (target, plain) = (nginx.address.to_string(), plain.to_string());
    let answer = room.probe(&[&target, "--sni", "*.example.com", "--redirect-port", &plain]);
    assert_eq!(answer.code, 0, "{answer}");
    let proxied = proxied.to_string();
    let sent = ["--proxy-protocol", "v2", "--redirect-port", "none"];
    let answer = room.probe(&[&[&proxied, "--sni", "*.example.com"], &sent[..]].concat());
    assert_eq!(answer.code, 0, "{answer}");
}
