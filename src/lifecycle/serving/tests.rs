use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn pod(last: u8, state: PodState) -> Pod {
    Pod {
        name: ObjectName::new("mesh", format!("gw-{last}")),
        uid: last.to_string(),
        labels: labels(&[("istio", "gw"), ("app", "gw")]),
        address: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))),
        ports: vec![("https-in".to_owned(), 9443)],
        state,
    }
}

fn tls(mode: &str, credential: Option<&str>) -> Option<Tls> {
    Some(Tls { mode: mode.to_owned(), credential: credential.map(str::to_owned), ..Tls::default() })
}

fn server(name: &str, port: u16, hosts: &[&str], tls: Option<Tls>) -> Server {
    let hosts = hosts.iter().map(ToString::to_string).collect();
    Server { name: name.to_owned(), port, protocol: String::new(), hosts, tls }
}

fn gateway(servers: Vec<Server>) -> Gateway {
    Gateway { name: ObjectName::new("home", "gw"), selector: labels(&[("istio", "gw")]), servers }
}

fn service(ports: &[(u16, TargetPort)]) -> Service {
    let ports = ports.iter().map(|(port, target)| ServicePort { port: *port, target: target.clone() }).collect();
    Service { namespace: "mesh".to_owned(), selector: labels(&[("app", "gw")]), ports, translates: true }
}

fn named(name: &str) -> TargetPort {
    TargetPort::Name(name.to_owned())
}

fn redirecting(hosts: &[&str]) -> Server {
    server("http", 80, hosts, Some(Tls { redirect: true, ..Tls::default() }))
}

#[test]
fn a_port_is_translated_by_the_first_service_that_selects_the_pod_and_leads_somewhere() {
    let pod = pod(1, PodState::Ready);
    let to = |number| service(&[(443, TargetPort::Number(number))]);
    let elsewhere = Service { namespace: "other".to_owned(), ..to(1) };
    let of_others = Service { selector: labels(&[("app", "other")]), ..to(2) };
    let without_selector = Service { selector: BTreeMap::new(), ..to(3) };
    let opted_out = Service { translates: false, ..to(4) };
    for (services, port) in [
        (vec![], 443),
        (vec![to(8443)], 8443),
        (vec![service(&[(443, named("https-in"))])], 9443),
        (vec![service(&[(443, named("nowhere"))]), to(8443)], 8443),
        (vec![service(&[(443, named("nowhere"))])], 443),
        (vec![service(&[(80, TargetPort::Number(8080))])], 443),
        (vec![to(8443), to(9000)], 8443),
        (vec![elsewhere, of_others, without_selector, opted_out], 443),
    ] {
        assert_eq!(ports::resolve(443, &pod, &services), port, "{services:?}");
    }
}

#[test]
fn a_credential_is_a_secret_of_the_pods_namespace_unless_its_name_says_otherwise() {
    let secret = |namespace, name| Credential::Secret(ObjectName::new(namespace, name));
    for (name, expected) in [
        ("certs", secret("mesh", "certs")),
        ("kubernetes://certs", secret("mesh", "certs")),
        ("mesh/certs", secret("mesh", "certs")),
        ("kubernetes://mesh/certs", secret("mesh", "certs")),
        ("kubernetes-gateway://mesh/certs", secret("mesh", "certs")),
        ("other/certs", Credential::Foreign(ObjectName::new("other", "certs"))),
        ("kubernetes://other/certs", Credential::Foreign(ObjectName::new("other", "certs"))),
        ("builtin://", Credential::Other("builtin://".to_owned())),
        ("configmap://a/b", Credential::Other("configmap://a/b".to_owned())),
        ("a/b/c", Credential::Other("a/b/c".to_owned())),
        ("/certs", Credential::Other("/certs".to_owned())),
        ("kubernetes://", Credential::Other("kubernetes://".to_owned())),
    ] {
        assert_eq!(Credential::of(name, "mesh"), expected, "{name}");
    }
}

#[test]
fn servers_that_terminate_tls_are_asked_and_the_others_have_a_reason() {
    let some = Some("certs");
    let files = Some(Tls { mode: "SIMPLE".to_owned(), files: true, ..Tls::default() });
    for (tls, expected) in [
        (tls("SIMPLE", some), None),
        (tls("MUTUAL", some), None),
        (tls("OPTIONAL_MUTUAL", some), None),
        (files, None),
        (None, Some(Unaskable::Plain)),
        (Some(Tls { redirect: true, ..Tls::default() }), Some(Unaskable::Plain)),
        (tls("", some), Some(Unaskable::PassesOn)),
        (tls("PASSTHROUGH", some), Some(Unaskable::PassesOn)),
        (tls("AUTO_PASSTHROUGH", None), Some(Unaskable::PassesOn)),
        (tls("ISTIO_MUTUAL", some), Some(Unaskable::MeshOnly)),
        (tls("SIMPLE", None), Some(Unaskable::NoCredential)),
        (tls("NEW_MODE", some), Some(Unaskable::UnknownMode)),
    ] {
        let gateway = gateway(vec![server("a", 443, &["a.example.com"], tls.clone())]);
        let pods = [pod(1, PodState::Ready)];
        let questions = questions(&gateway, &[], &pods, None);
        assert_eq!(questions.unasked.first().map(|unasked| unasked.why), expected, "{tls:?}");
        assert_eq!(questions.asked.len(), usize::from(expected.is_none()), "{tls:?}");
    }
}

#[test]
fn the_first_host_that_has_a_name_is_asked_for_without_its_namespace() {
    for (hosts, expected) in [
        (&["*.Example.com"][..], Ok("*.example.com")),
        (&["ns/*.example.com", "b.example.com"], Ok("*.example.com")),
        (&["*", "./b.example.com."], Ok("b.example.com")),
        (&["*"], Err(Unaskable::NoName)),
        (&["ns/*"], Err(Unaskable::NoName)),
        (&[], Err(Unaskable::NoName)),
    ] {
        let gateway = gateway(vec![server("a", 443, hosts, tls("SIMPLE", Some("certs")))]);
        let pods = [pod(1, PodState::Ready)];
        let questions = questions(&gateway, &[], &pods, None);
        let found = match &questions.asked[..] {
            [one] => Ok(one.host.as_str()),
            _ => Err(questions.unasked[0].why),
        };
        assert_eq!(found, expected, "{hosts:?}");
    }
}

#[test]
fn a_name_of_ones_own_is_asked_of_the_server_that_covers_it_best() {
    let some = || tls("SIMPLE", Some("certs"));
    let gateway = gateway(vec![
        server("all", 443, &["*"], some()),
        server("wild", 443, &["ns/*.example.com"], some()),
        server("exact", 443, &["a.example.com"], some()),
        server("elsewhere", 8443, &["*.example.com"], some()),
    ]);
    let pods = [pod(1, PodState::Ready)];
    for (sni, expected) in [
        ("a.example.com", &["exact", "elsewhere"][..]),
        ("A.example.com.", &["exact", "elsewhere"]),
        ("b.example.com", &["wild", "elsewhere"]),
        ("*.example.com", &["wild", "elsewhere"]),
        ("b.c.example.com", &["wild", "elsewhere"]),
        ("example.com", &["all"]),
        ("other.org", &["all"]),
    ] {
        let questions = questions(&gateway, &[], &pods, Some(sni));
        let asked: Vec<&str> = questions.asked.iter().map(|question| question.server.name.as_str()).collect();
        assert_eq!(asked, expected, "{sni}");
        assert!(questions.unasked.iter().all(|unasked| unasked.why == Unaskable::OtherHost));
    }
}

#[test]
fn pods_that_cannot_answer_or_are_others_are_not_asked() {
    let gateway = gateway(vec![server("a", 443, &["a.example.com"], tls("SIMPLE", Some("certs")))]);
    let foreign = Pod { labels: labels(&[("istio", "other")]), ..pod(5, PodState::Ready) };
    let pending = Pod { address: None, ..pod(6, PodState::NotReady) };
    let pods = [
        pod(1, PodState::Ready),
        pod(2, PodState::NotReady),
        pod(3, PodState::Terminating),
        pod(4, PodState::Ended),
        foreign,
        pending,
    ];
    let found = questions(&gateway, &[], &pods, None);
    let asked: Vec<&str> = found.asked.iter().map(|question| question.pod.name.name.as_str()).collect();
    assert_eq!(asked, ["gw-1", "gw-2"]);
    let without = Gateway { selector: BTreeMap::new(), ..gateway.clone() };
    assert_eq!(questions(&without, &[], &pods, None).asked, [], "an empty selector names no pod");
}

#[test]
fn the_redirect_is_looked_for_where_a_server_redirects_that_host() {
    let secure = server("https", 443, &["*.example.com"], tls("SIMPLE", Some("certs")));
    let services = [service(&[(443, TargetPort::Number(8443)), (80, TargetPort::Number(8080))])];
    let pods = [pod(1, PodState::Ready)];
    for (hosts, expected) in [
        (&["*.example.com"][..], Some(8080)),
        (&["*"], Some(8080)),
        (&["ns/*.com"], Some(8080)),
        (&["*.example.org"], None),
    ] {
        let gateway = gateway(vec![redirecting(hosts), secure.clone()]);
        let found = questions(&gateway, &services, &pods, None);
        assert_eq!(found.asked[0].redirect, expected, "{hosts:?}");
        assert_eq!((found.asked[0].plain, found.asked[0].address.port()), (8080, 8443));
    }
}

fn any_host() -> impl Strategy<Value = String> {
    prop_oneof![Just("*".to_owned()), "(ns/)?(\\*\\.)?[a-c]\\.[a-b]\\.com", ".*"]
}

fn any_server() -> impl Strategy<Value = Server> {
    let mode = prop_oneof![Just("SIMPLE"), Just("MUTUAL"), Just("PASSTHROUGH"), Just(""), Just("X")];
    let credential = proptest::option::of("[a-z:/]{0,12}");
    let hosts = proptest::collection::vec(any_host(), 0..4);
    (mode, credential, hosts, any::<u16>(), any::<[bool; 3]>()).prop_map(
        |(mode, credential, hosts, port, [plain, files, redirect])| {
            let tls = Tls { mode: mode.to_owned(), credential, files, redirect, ..Tls::default() };
            Server { name: "s".to_owned(), port, protocol: String::new(), hosts, tls: (!plain).then_some(tls) }
        },
    )
}

proptest! {
    #[test]
    fn every_server_is_asked_of_every_pod_or_has_a_reason(
        servers in proptest::collection::vec(any_server(), 0..5),
        count in 0..4u8,
        sni in proptest::option::of(any_host()),
    ) {
        let gateway = gateway(servers);
        let pods: Vec<Pod> = (0..count).map(|last| pod(last, PodState::Ready)).collect();
        let found = questions(&gateway, &[], &pods, sni.as_deref());
        let unasked = found.unasked.len();
        prop_assert_eq!(found.asked.len(), (gateway.servers.len() - unasked) * usize::from(count));
        for question in &found.asked {
            prop_assert!(question.address.port() > 0);
            prop_assert!(sni.is_some() || !matches!(question.host.as_str(), "" | "*"));
        }
    }

    #[test]
    fn the_more_specific_host_wins_wherever_it_stands(order in any::<bool>(), label in "[a-z]{1,8}") {
        let some = || tls("SIMPLE", Some("certs"));
        let name = format!("{label}.b.example.com");
        let mut servers =
            vec![server("wide", 443, &["*.example.com"], some()), server("narrow", 443, &["*.b.example.com"], some())];
        if order {
            servers.reverse();
        }
        let gateway = gateway(servers);
        let pods = [pod(1, PodState::Ready)];
        let found = questions(&gateway, &[], &pods, Some(&name));
        prop_assert_eq!(found.asked.len(), 1);
        prop_assert_eq!(found.asked[0].server.name.as_str(), "narrow");
    }
}
