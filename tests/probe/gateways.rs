//! `probe --gateway`: every pod of a Gateway.

use std::net::{SocketAddr, TcpListener as StdListener};

use certkeeper::gateway::wire::KYMA_SUITES;
use certkeeper_simulator::ca::Issued;
use serde_json::{Value, json};

use crate::{
    mesh::{GATEWAY, HOME, MESH, Mesh, addresses, https, serving},
    servers::{PKI, Tcp, envoy},
    support::{room::Answer, schema},
    watching::Watch,
};

const HOSTS: &[&str] = &["*.example.com"];

fn simple(credential: &str) -> Value {
    json!({"mode": "SIMPLE", "credentialName": credential})
}

/// The address of a listener.
fn at(listener: &StdListener) -> SocketAddr {
    listener.local_addr().expect("an address")
}

/// A TLS server for `*.example.com`.
fn serve(listener: StdListener, pair: &Issued) -> Tcp {
    serving(listener, &[(".example.com", pair)])
}

/// The answer of this pod.
fn of<'a>(json: &'a Value, pod: &str) -> &'a Value {
    let servers = json["servers"].as_array().expect("servers");
    servers.iter().find(|server| server["pod"] == pod).unwrap_or_else(|| panic!("no answer of {pod}: {json:#}"))
}

fn last(answer: &Answer) -> &str {
    answer.out.lines().last().unwrap_or_default().trim()
}

/// A Gateway with one server, its Secret, and a Service that leads to this port.
async fn plain(mesh: &Mesh, port: u16) {
    mesh.gateway("v1", json!([https("https", HOSTS, simple("certs"))])).await;
    mesh.secret(MESH, "certs", &PKI.rsa).await;
    mesh.service("gw", json!(port)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_pods_that_serve_what_the_secret_holds_are_good() {
    let mesh = Mesh::start().await;
    let listeners = addresses::<3>();
    plain(&mesh, at(&listeners[0]).port()).await;
    let mut servers = Vec::new();
    for (name, listener) in ["a", "b", "c"].into_iter().zip(listeners) {
        mesh.pod(MESH, name, at(&listener), true).await;
        servers.push(serve(listener, &PKI.rsa));
    }
    let answer = mesh.probe(&["-o", "json"]);
    assert_eq!(answer.code, 0, "{answer}");
    let json = answer.json();
    assert_eq!(json["servers"].as_array().map(Vec::len), Some(3));
    for (name, server) in ["a", "b", "c"].iter().zip(&servers) {
        let entry = of(&json, &format!("{MESH}/{name}"));
        assert_eq!(entry["address"], server.address.to_string());
        assert_eq!((&entry["ready"], &entry["gatewayServer"]), (&json!(true), &json!("https")));
        assert_eq!(
            (&entry["asExpected"], &entry["expected"]["source"]),
            (&json!(true), &json!("Secret istio-system/certs, tls.crt"))
        );
        assert!(entry["name"].as_str().is_some_and(|name| name.ends_with(".example.com") && !name.contains('*')));
    }
    assert_eq!((&json["probed"]["target"], &json["probed"]["policy"]), (&json!(GATEWAY), &json!("gateway")));
    let shown = mesh.probe(&[]);
    assert_eq!(shown.code, 0, "{shown}");
    assert_eq!(last(&shown), format!("GOOD  3 of 3 pods serve {}…", &PKI.rsa.fingerprint()[..8]), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_pod_that_serves_another_leaf_is_named_and_exits_with_1() {
    let mesh = Mesh::start().await;
    let [one, two, stale] = addresses();
    plain(&mesh, at(&one).port()).await;
    for (name, listener) in [("one", &one), ("two", &two), ("stale", &stale)] {
        mesh.pod(MESH, name, at(listener), true).await;
    }
    let _servers = [serve(one, &PKI.rsa), serve(two, &PKI.rsa), serve(stale, &PKI.other)];
    let answer = mesh.probe(&["-o", "json"]);
    assert_eq!(answer.code, 1, "{answer}");
    let json = answer.json();
    assert_eq!(of(&json, "istio-system/stale")["verdict"], "bad");
    assert_eq!(of(&json, "istio-system/stale")["findings"][0]["check"], "served-other");
    assert_eq!(of(&json, "istio-system/one")["verdict"], "good");
    let shown = mesh.probe(&["--policy", "none"]);
    let (right, wrong) = (&PKI.rsa.fingerprint()[..8], &PKI.other.fingerprint()[..8]);
    assert_eq!(last(&shown), format!("BAD  2 of 3 pods serve {right}…, 1 serves {wrong}…"), "{shown}");
    assert!(shown.out.contains("served-other: istio-system/stale"), "the finding names the pod: {shown}");
    let kyma = mesh.probe(&["--policy", "kyma", "--redirect-port", "1"]);
    assert_eq!(kyma.out.matches("policy-unknown").count(), 1, "what is true of all is said once: {kyma}");
    assert!(kyma.out.contains("policy of all 3 pods") && kyma.out.contains("POD:1 refused"), "{kyma}");
    let any = mesh.probe(&["--policy", "none", "--expect-fingerprint", PKI.other.fingerprint(), "-o", "json"]);
    assert_eq!(of(&any.json(), "istio-system/stale")["asExpected"], json!(true), "an expectation of one's own: {any}");
    assert_eq!(of(&any.json(), "istio-system/one")["asExpected"], json!(false), "{any}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_not_ready_is_asked_and_marked_and_decides_nothing() {
    let mesh = Mesh::start().await;
    let [good, unready, leaving] = addresses();
    plain(&mesh, at(&good).port()).await;
    mesh.pod(MESH, "good", at(&good), true).await;
    mesh.pod(MESH, "unready", at(&unready), false).await;
    mesh.pod(MESH, "leaving", at(&leaving), true).await;
    mesh.delete_pod("leaving", true).await;
    let _servers = [serve(good, &PKI.rsa), serve(unready, &PKI.other)];
    let answer = mesh.probe(&["-o", "json"]);
    assert_eq!(answer.code, 0, "{answer}");
    let json = answer.json();
    assert_eq!(of(&json, "istio-system/unready")["ready"], json!(false));
    assert_eq!(of(&json, "istio-system/unready")["verdict"], "bad");
    assert_eq!(json["servers"].as_array().map(Vec::len), Some(2), "{answer}");
    let gateway = &json["probed"]["gateway"];
    assert_eq!((&gateway["readyPods"], &gateway["notReadyPods"]), (&json!(1), &json!(1)));
    assert_eq!(gateway["unaskedPods"], json!(["istio-system/leaving"]));
    let shown = mesh.probe(&["--policy", "none"]);
    let leaf = &PKI.rsa.fingerprint()[..8];
    assert_eq!(last(&shown), format!("GOOD  1 of 1 pod serves {leaf}…; of 1 not ready 0 do"), "{shown}");
    assert!(shown.out.contains("NOT READY"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_pod_that_refuses_leaves_it_unknown() {
    let mesh = Mesh::start().await;
    let [good, refusing] = addresses();
    plain(&mesh, at(&good).port()).await;
    mesh.pod(MESH, "good", at(&good), true).await;
    mesh.pod(MESH, "refusing", at(&refusing), true).await;
    drop(refusing);
    let _server = serve(good, &PKI.rsa);
    let answer = mesh.probe(&["-o", "json"]);
    assert_eq!(answer.code, 2, "{answer}");
    assert_eq!(of(&answer.json(), "istio-system/refusing")["failure"]["reason"], "refused");
    let shown = mesh.probe(&["--policy", "none"]);
    let leaf = &PKI.rsa.fingerprint()[..8];
    assert_eq!(last(&shown), format!("UNKNOWN  1 of 2 pods serve {leaf}…, 1 completed no handshake"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_is_held_against_its_own_credential() {
    let mesh = Mesh::start().await;
    let [listener] = addresses();
    let port = at(&listener).port();
    let foreign = PKI.ca.leaf(&["api.example.org"]).issue().expect("a leaf");
    let passing = json!({"mode": "PASSTHROUGH"});
    mesh.gateway(
        "v1",
        json!([
            https("wild", HOSTS, simple("certs")),
            https("org", &["ns/api.example.org"], json!({"mode": "MUTUAL", "credentialName": "org-certs"})),
            https("passing", &["through.example.net"], passing),
        ]),
    )
    .await;
    mesh.service("gw", json!(port)).await;
    mesh.secret(MESH, "certs", &PKI.rsa).await;
    mesh.secret(MESH, "org-certs", &foreign).await;
    mesh.pod(MESH, "gw", at(&listener), true).await;
    let _server = serving(listener, &[(".example.com", &PKI.rsa), ("api.example.org", &foreign)]);
    let answer = mesh.probe(&["-o", "json"]);
    assert_eq!(answer.code, 0, "{answer}");
    let json = answer.json();
    let entries = json["servers"].as_array().expect("servers");
    let seen: Vec<_> = entries.iter().map(|entry| (&entry["gatewayServer"], &entry["asExpected"])).collect();
    assert_eq!(seen, [(&json!("wild"), &json!(true)), (&json!("org"), &json!(true))]);
    assert_eq!(entries[1]["name"], "api.example.org");
    assert_eq!(json["probed"]["gateway"]["unasked"][0]["gatewayServer"], "passing");
    let shown = mesh.probe(&["--policy", "none"]);
    assert!(shown.out.contains("wild: 1 of 1 pod serves") && last(&shown).starts_with("org: 1 of 1"), "{shown}");
    let one = mesh.probe(&["--sni", "api.example.org", "-o", "json"]).json();
    assert_eq!(one["servers"].as_array().map(Vec::len), Some(1), "a name of one's own is one server's: {one:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credential_names_lead_to_their_secret_and_what_is_none_is_said() {
    for (credential, namespace, said) in [
        ("certs", Some(MESH), ""),
        ("kubernetes://certs", Some(MESH), ""),
        ("istio-system/certs", Some(MESH), ""),
        ("elsewhere/certs", Some("elsewhere"), "not in the pods' namespace"),
        ("configmap://a/b", None, "configmap://a/b of server https is no Secret"),
        ("absent", None, "there is no Secret absent in namespace istio-system"),
    ] {
        let mesh = Mesh::start().await;
        let [listener] = addresses();
        mesh.gateway("v1", json!([https("https", HOSTS, simple(credential))])).await;
        mesh.service("gw", json!(at(&listener).port())).await;
        if let Some(namespace) = namespace {
            mesh.secret(namespace, "certs", &PKI.other).await;
        }
        mesh.pod(MESH, "gw", at(&listener), true).await;
        let _server = serve(listener, &PKI.rsa);
        let answer = mesh.probe(&["--policy", "none", "-o", "json"]);
        assert_eq!(answer.code, i32::from(namespace.is_some()), "{credential}: {answer}");
        assert_eq!(answer.json()["servers"][0]["asExpected"], namespace.map_or(Value::Null, |_| json!(false)));
        assert!(answer.err.contains(said) && answer.err.is_empty() == said.is_empty(), "{credential}: {answer}");
        assert!(answer.err.lines().count() <= 1, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_the_services_target_by_number_or_name_or_else_the_gateways_own() {
    for named in [Some(json!("tls-in")), None] {
        let mesh = Mesh::start().await;
        let [listener] = addresses();
        let mut server = https("https", HOSTS, simple("certs"));
        let translated = named.is_some();
        match named {
            Some(target) => mesh.service("gw", target).await,
            None => server["port"]["number"] = json!(at(&listener).port()),
        }
        mesh.gateway("v1", json!([server])).await;
        mesh.secret(MESH, "certs", &PKI.rsa).await;
        mesh.pod(MESH, "gw", at(&listener), true).await;
        // The Service of another namespace says nothing about this one.
        mesh.pod("elsewhere", "gw", at(&listener), false).await;
        let tcp = serve(listener, &PKI.rsa);
        let answer = mesh.probe(&["--policy", "none", "-o", "json"]);
        assert_eq!(answer.code, 0, "{answer}");
        let json = answer.json();
        assert_eq!(of(&json, "istio-system/gw")["address"], tcp.address.to_string(), "{answer}");
        let own = SocketAddr::new(tcp.address.ip(), if translated { 443 } else { tcp.address.port() });
        assert_eq!(of(&json, "elsewhere/gw")["address"], own.to_string(), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_of_istios_gateway_is_read_and_its_absence_is_told() {
    for version in ["v1", "v1beta1", "v1alpha3"] {
        let mesh = Mesh::with(&[version]).await;
        mesh.gateway(version, json!([https("https", HOSTS, simple("certs"))])).await;
        let answer = mesh.probe(&["-o", "json"]);
        assert_eq!(answer.code, 2, "{answer}");
        assert_eq!((&answer.json()["verdict"], &answer.json()["servers"]), (&json!("unknown"), &json!([])));
        let shown = mesh.probe(&[]);
        assert!(last(&shown).starts_with("UNKNOWN  nobody serves this Gateway"), "no pod is a state: {shown}");
        assert!(shown.out.contains("istio=gw"), "{shown}");
    }
    let mesh = Mesh::with(&[]).await;
    let answer = mesh.probe(&[]);
    assert!(answer.code == 2 && answer.err.contains("Istio is not installed"), "{answer}");
    let mesh = Mesh::start().await;
    let answer = mesh.probe(&[]);
    assert!(answer.code == 2 && answer.err.contains("there is no Gateway gw in namespace home"), "{answer}");
    mesh.gateway_with("v1", json!({"servers": null})).await;
    let answer = mesh.probe(&[]);
    assert!(answer.code == 2 && answer.err.contains("has no selector"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_settings_are_the_policy_and_one_that_is_not_in_force_is_found() {
    let suites = ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"];
    let kept = json!({"mode": "SIMPLE", "credentialName": "certs", "minProtocolVersion": "TLSV1_2",
        "cipherSuites": suites});
    let mut stuck = kept.clone();
    stuck["minProtocolVersion"] = json!("TLSV1_3");
    for (tls, code) in [(kept, 0), (stuck, 1)] {
        let mesh = Mesh::start().await;
        let [listener] = addresses();
        mesh.gateway("v1", json!([https("https", HOSTS, tls)])).await;
        mesh.service("gw", json!(at(&listener).port())).await;
        mesh.secret(MESH, "certs", &PKI.rsa).await;
        mesh.pod(MESH, "gw", at(&listener), true).await;
        let _server = serve(listener, &PKI.rsa);
        let answer = mesh.probe(&["-o", "json"]);
        assert_eq!(answer.code, code, "{answer}");
        let server = answer.json()["servers"][0].clone();
        assert_eq!(server["policy"].as_array().map(Vec::len), Some(25), "no redirect is asked for: {answer}");
        let found = server["findings"].to_string();
        let expected = code == 1;
        assert!(found.contains("policy-old-version") == expected && found.contains("policy-stuck") == expected);
        let kyma = mesh.probe(&["--policy", "kyma", "-o", "json"]).json();
        assert!(kyma["servers"][0]["findings"].to_string().contains("policy-suite-missing"), "{kyma:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_redirect_is_asked_at_the_pods_own_port_where_the_gateway_wants_one() {
    let mesh = Mesh::start().await;
    let [listener] = addresses();
    let plain_port = StdListener::bind((at(&listener).ip(), 0)).expect("a port");
    let http = |redirect| {
        json!({"port": {"number": at(&plain_port).port(), "name": "http", "protocol": "HTTP"}, "hosts": ["*"],
            "tls": {"httpsRedirect": redirect}})
    };
    mesh.gateway("v1", json!([http(true), https("https", HOSTS, simple("certs"))])).await;
    mesh.service("gw", json!(at(&listener).port())).await;
    mesh.secret(MESH, "certs", &PKI.rsa).await;
    mesh.pod(MESH, "gw", at(&listener), true).await;
    let _server = serve(listener, &PKI.rsa);
    let _plain = Tcp::on(plain_port, |mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = stream.read(&mut [0; 1024]).await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes()).await;
    });
    let answer = mesh.probe(&["-o", "json"]);
    assert_eq!(answer.code, 1, "{answer}");
    assert_eq!(answer.json()["servers"][0]["findings"][0]["check"], "policy-redirect", "{answer}");
    assert_eq!(mesh.probe(&["--redirect-port", "none"]).code, 0, "nobody asked for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_for_every_host_wants_a_name_and_leaves_doubt_without() {
    let mesh = Mesh::start().await;
    let [listener] = addresses();
    mesh.gateway("v1", json!([https("https", &["*"], simple("certs"))])).await;
    mesh.service("gw", json!(at(&listener).port())).await;
    mesh.secret(MESH, "certs", &PKI.rsa).await;
    mesh.pod(MESH, "gw", at(&listener), true).await;
    let _server = serve(listener, &PKI.rsa);
    let answer = mesh.probe(&[]);
    assert!(answer.code == 2 && answer.out.contains("which name is to be asked for"), "{answer}");
    let answer = mesh.probe(&["--sni", "a.example.com", "--policy", "none"]);
    assert_eq!(answer.code, 0, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named() {
    let mesh = Mesh::start().await;
    let [listener] = addresses();
    plain(&mesh, at(&listener).port()).await;
    mesh.pod(MESH, "gw", at(&listener), true).await;
    let _server = serve(listener, &PKI.rsa);
    let without = |resource: &'static str, everywhere: bool| {
        mesh.server.set_authorizer(move |call| {
            let refused = call.user == "prober" && call.resource == resource;
            if refused && (everywhere || call.namespace.is_none()) { Err(String::new()) } else { Ok(()) }
        });
        mesh.probe(&["--policy", "none"])
    };
    for (resource, words) in [
        ("gateways", "grant the verb get on gateways of networking.istio.io in namespace home"),
        ("pods", "grant the verb list on pods in a ClusterRole, or at least in namespace istio-system"),
        ("services", "grant the verb list on services"),
    ] {
        let answer = without(resource, true);
        assert!(answer.code == 2 && answer.out.is_empty() && answer.err.contains(words), "{resource}: {answer}");
    }
    let answer = without("secrets", true);
    assert_eq!(answer.code, 0, "what is served is good, compared with nothing: {answer}");
    assert!(answer.err.contains("grant the verb get on secrets") && answer.err.lines().count() == 1, "{answer}");
    let answer = without("pods", false);
    assert_eq!(answer.code, 0, "{answer}");
    assert!(answer.err.contains("in namespace istio-system alone"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_about_a_gateway_keeps_to_the_schema_and_fits_80_columns() {
    let mesh = Mesh::start().await;
    let wanted: Value = serde_json::from_str(&mesh.room.probe(&["--schema"]).out).expect("a schema");
    let [one, two] = addresses();
    plain(&mesh, at(&one).port()).await;
    let name = "istio-ingressgateway-7d9c8b6f5c-x2x9z";
    let look = |more: &[&str]| {
        let json = mesh.probe(&[more, &["-o", "json"]].concat());
        schema::holds(&wanted, &json.json()).unwrap_or_else(|wrong| panic!("{wrong}\n{json}"));
        let table = mesh.probe(more);
        assert_eq!(json.code, table.code, "{table}");
        assert!(table.out.lines().all(|line| line.chars().count() <= 80), "{table}");
    };
    look(&[]);
    mesh.pod(MESH, name, at(&one), true).await;
    mesh.pod(MESH, "other", at(&two), false).await;
    drop(two);
    let _server = serve(one, &PKI.other);
    look(&["--policy", "kyma"]);
    look(&["--policy", "none", "--sni", "nobody.example.net"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_pods_that_come_and_go() {
    let mesh = Mesh::start().await;
    let [one, two] = addresses();
    plain(&mesh, at(&one).port()).await;
    mesh.pod(MESH, "one", at(&one), true).await;
    let _one = serve(one, &PKI.rsa);
    let arguments = ["--gateway", GATEWAY, "--kubeconfig", &mesh.kubeconfig];
    let mut watch = tokio::task::block_in_place(|| Watch::of(&arguments));
    let mut until = |word: &str| {
        tokio::task::block_in_place(|| {
            loop {
                let line = watch.line();
                if line.contains(word) {
                    return line;
                }
            }
        })
    };
    until("GOOD  1 of 1 pod serves");
    let second = at(&two);
    let _two = serve(two, &PKI.other);
    mesh.pod(MESH, "two", second, true).await;
    let came = until("istio-system/two");
    assert!(came.contains("BAD") && came.contains("NOT as expected, new"), "{came}");
    mesh.delete_pod("two", false).await;
    let went = until("istio-system/two");
    assert!(went.contains("GONE"), "{went}");
    mesh.delete_pod("one", false).await;
    until("UNKNOWN no pod is left");
    assert_eq!(tokio::task::block_in_place(|| watch.interrupt()), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_keeps_the_policy_that_a_gateway_of_kymas_asks_for() {
    let test = "envoy_keeps_the_policy_that_a_gateway_of_kymas_asks_for";
    let Some(envoy) = tokio::task::block_in_place(|| envoy(test, &PKI.rsa)) else { return };
    let mesh = Mesh::start().await;
    let tls = json!({"mode": "SIMPLE", "credentialName": "certs", "minProtocolVersion": "TLSV1_2",
        "cipherSuites": KYMA_SUITES});
    let port = json!({"number": 80, "name": "http", "protocol": "HTTP"});
    let http = json!({"port": port, "hosts": HOSTS, "tls": {"httpsRedirect": true}});
    mesh.gateway("v1", json!([https("https", HOSTS, tls), http])).await;
    let (secure, plain) = (envoy.tls.address, envoy.plain.port());
    let ports = json!([{"name": "https", "port": 443, "targetPort": secure.port()},
        {"name": "http", "port": 80, "targetPort": plain}]);
    mesh.service_with("gw", ports).await;
    mesh.secret(MESH, "certs", &PKI.rsa).await;
    mesh.pod(MESH, "gw", secure, true).await;
    let answer = mesh.probe(&["-o", "json"]);
    assert_eq!(answer.code, 0, "{answer}");
    let server = answer.json()["servers"][0].clone();
    assert_eq!((&server["findings"], &server["asExpected"]), (&json!([]), &json!(true)), "{answer}");
    let rows = server["policy"].as_array().expect("a policy");
    assert!(rows.len() == 26 && rows.iter().all(|row| row["holds"] == json!(true)), "{answer}");
}

#[test]
fn arguments_of_a_gateway_that_mean_nothing_are_refused_with_2() {
    let room = crate::command::room();
    for (arguments, word) in [
        (&["a", "--gateway", "a/b"][..], "cannot be used with"),
        (&["--gateway", "a"], "kyma-system/kyma-gateway"),
        (&["--gateway", "a/b", "--every-address"], "cannot be used with"),
        (&["a", "--policy", "gateway"], "--gateway"),
        (&["--gateway", "a/b", "--kubeconfig", "/nonexistent"], "/nonexistent"),
    ] {
        let answer = room.probe(arguments);
        assert!(answer.code == 2 && answer.out.is_empty() && answer.err.contains(word), "{arguments:?}: {answer}");
    }
    assert_eq!(HOME, GATEWAY.split('/').next().unwrap_or_default());
}
