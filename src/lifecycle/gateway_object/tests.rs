use std::collections::BTreeMap;

use super::*;
use crate::lifecycle::serving::Tls;

const HOST: &str = "*.example.test";

fn secret() -> ObjectName {
    ObjectName::new("mesh", "certs")
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
}

fn wanted() -> Desired {
    Desired {
        selector: labels(&[("app", "gw")]),
        selector_named: false,
        hosts: vec![HOST.to_owned()],
        credential: "certs".to_owned(),
        mode: "SIMPLE".to_owned(),
        min_version: "TLSV1_2".to_owned(),
        suites: CIPHER_SUITES.map(str::to_owned).to_vec(),
        redirect: true,
        server: None,
    }
}

fn server(name: &str, port: u16, hosts: &[&str], tls: Tls) -> Server {
    let protocol = if port == 80 { "HTTP" } else { "HTTPS" }.to_owned();
    let hosts = hosts.iter().map(ToString::to_string).collect();
    Server { name: name.to_owned(), port, protocol, hosts, tls: Some(tls) }
}

fn right_tls() -> Tls {
    Tls {
        mode: "SIMPLE".to_owned(),
        credential: Some("certs".to_owned()),
        min_version: "TLSV1_2".to_owned(),
        suites: CIPHER_SUITES.map(str::to_owned).to_vec(),
        ..Tls::default()
    }
}

fn redirecting(hosts: &[&str]) -> Server {
    server("http", 80, hosts, Tls { redirect: true, ..Tls::default() })
}

fn object(name: &str, servers: Vec<Server>) -> GatewayObject {
    let version = Version { uid: "u".to_owned(), resource_version: "1".to_owned() };
    let (holders, undone) = (Vec::new(), Vec::new());
    GatewayObject {
        gateway: Gateway { name: ObjectName::new("home", name), selector: labels(&[("app", "gw")]), servers },
        facts: ObjectFacts { version, deleting: false, owner: None, foreign: None, holders, undone },
        here: true,
        selects: Some(true),
    }
}

fn right() -> GatewayObject {
    object("gw", vec![server("https", 443, &[HOST], right_tls()), redirecting(&[HOST])])
}

/// The differences of a Gateway whose https server has these settings, as check and field.
fn of_tls(desired: &Desired, change: impl FnOnce(&mut Tls)) -> Vec<(&'static str, String)> {
    let mut object = right();
    change(object.gateway.servers[0].tls.as_mut().expect("TLS"));
    of(desired, &object, &[])
}

fn of(desired: &Desired, object: &GatewayObject, others: &[GatewayObject]) -> Vec<(&'static str, String)> {
    let all: Vec<GatewayObject> = std::iter::once(object).chain(others).cloned().collect();
    compare(desired, &secret(), object, &all).into_iter().map(|one| (one.check, one.field)).collect()
}

fn one(check: &'static str, field: &str) -> Vec<(&'static str, String)> {
    vec![(check, field.to_owned())]
}

#[test]
fn a_gateway_that_says_what_it_should_has_no_difference_and_no_change() {
    assert_eq!(of(&wanted(), &right(), &[]), []);
    assert!(merged(&wanted(), &secret(), Some(&right())).iter().all(|placed| !placed.changed));
}

#[test]
fn each_tls_setting_that_is_weaker_is_a_difference_and_what_is_stricter_is_none() {
    let at = |field: &str| format!("spec.servers[0].tls.{field}");
    let text = str::to_owned;
    let desired = wanted();
    assert_eq!(of_tls(&desired, |tls| tls.mode = text("MUTUAL")), one("gateway-mode", &at("mode")));
    for weak in ["", "TLS_AUTO", "TLSV1_0", "TLSV1_1"] {
        let found = of_tls(&desired, |tls| tls.min_version = text(weak));
        assert_eq!(found, one("gateway-min-version", &at("minProtocolVersion")), "{weak}");
    }
    assert_eq!(of_tls(&desired, |tls| tls.min_version = text("TLSV1_3")), []);
    let found = of_tls(&desired, |tls| tls.max_version = text("TLSV1_1"));
    assert_eq!(found, one("gateway-min-version", &at("maxProtocolVersion")));
    assert_eq!(of_tls(&desired, |tls| tls.max_version = text("TLSV1_3")), []);
    let suites = one("gateway-cipher-suites", &at("cipherSuites"));
    assert_eq!(of_tls(&desired, |tls| tls.suites.clear()), suites);
    assert_eq!(of_tls(&desired, |tls| tls.suites.push(text("AES128-SHA"))), suites);
    assert_eq!(of_tls(&desired, |tls| tls.suites.truncate(1)), []);
    // TLS 1.3 has suites of its own.
    let found = of_tls(&desired, |tls| (tls.min_version, tls.suites) = (text("TLSV1_3"), Vec::new()));
    assert_eq!(found, []);
}

#[test]
fn the_secret_is_known_in_each_form_of_its_name_and_others_are_told() {
    let no_server = one("gateway-credential", "spec.servers[].tls.credentialName");
    for (name, right) in [
        ("certs", true),
        ("mesh/certs", true),
        ("kubernetes://certs", true),
        ("kubernetes://mesh/certs", true),
        ("kubernetes-gateway://mesh/certs", true),
        ("other/certs", false),
        ("kubernetes://other/certs", false),
        ("sds://certs", false),
        ("another", false),
    ] {
        let found = of_tls(&wanted(), |tls| tls.credential = Some(name.to_owned()));
        assert_eq!(found, if right { Vec::new() } else { no_server.clone() }, "{name}");
    }
    let mut elsewhere = right();
    elsewhere.gateway.servers[0].tls = Some(Tls { credential: Some("other/certs".to_owned()), ..right_tls() });
    let told = compare(&wanted(), &secret(), &elsewhere, &[]).remove(0).found;
    assert_eq!(told, "other/certs in server https (Secret other/certs)");
    // A bare name means the namespace of the pods, which are elsewhere.
    let not_here = GatewayObject { here: false, ..right() };
    assert_eq!(of(&wanted(), &not_here, &[]), no_server);
}

#[test]
fn hosts_redirect_and_selector_are_looked_at() {
    let desired = wanted();
    let with_hosts =
        |hosts: &[&str]| object("gw", vec![server("https", 443, hosts, right_tls()), redirecting(&[HOST])]);
    for covering in [&["*"][..], &["ns/*.example.test"], &["*/*.test"], &["a.test", HOST]] {
        assert_eq!(of(&desired, &with_hosts(covering), &[]), [], "{covering:?}");
    }
    let hosts = one("gateway-hosts", "spec.servers[0].hosts");
    assert_eq!(of(&desired, &with_hosts(&["a.example.test"]), &[]), hosts);
    assert_eq!(of(&desired, &with_hosts(&[]), &[]), hosts);
    let redirect = one("gateway-redirect", "spec.servers[].tls.httpsRedirect");
    let mut without = right();
    without.gateway.servers.truncate(1);
    assert_eq!(of(&desired, &without, &[]), redirect);
    assert_eq!(of(&Desired { redirect: false, ..wanted() }, &without, &[]), []);
    let selector = one("gateway-selector", "spec.selector");
    let mut unselected = right();
    unselected.gateway.selector.clear();
    assert_eq!(of(&desired, &unselected, &[]), selector);
    assert_eq!(of(&desired, &GatewayObject { selects: Some(false), ..right() }, &[]), selector);
    assert_eq!(of(&desired, &GatewayObject { selects: None, ..right() }, &[]), [], "pods were not looked at");
    let named = Desired { selector: labels(&[("app", "other")]), selector_named: true, ..wanted() };
    assert_eq!(of(&named, &right(), &[]), selector);
}

#[test]
fn a_rival_has_the_same_host_port_and_selector_and_another_credential() {
    let other = |credential: &str, port, host: &str| {
        let tls = Tls { credential: Some(credential.to_owned()), ..right_tls() };
        object("other", vec![server("https", port, &[host], tls)])
    };
    let rival = one("gateway-rival", "spec.servers");
    assert_eq!(of(&wanted(), &right(), &[other("another", 443, HOST)]), rival);
    assert_eq!(of(&wanted(), &right(), &[other("certs", 443, HOST)]), [], "one credential, two Gateways");
    assert_eq!(of(&wanted(), &right(), &[other("another", 444, HOST)]), []);
    assert_eq!(of(&wanted(), &right(), &[other("another", 443, "*.other.test")]), []);
    let mut elsewhere = other("another", 443, HOST);
    elsewhere.gateway.selector = labels(&[("app", "other")]);
    assert_eq!(of(&wanted(), &right(), &[elsewhere]), []);
}

#[test]
fn of_several_servers_each_that_hands_out_the_secret_is_looked_at_or_the_one_that_is_picked() {
    let weak = Tls { min_version: String::new(), ..right_tls() };
    let mut two = right();
    two.gateway.servers.push(server("second", 443, &["*.second.test"], weak));
    let third = Tls { credential: Some("third".to_owned()), ..Tls::default() };
    two.gateway.servers.push(server("third", 443, &["*.third.test"], third));
    let second = one("gateway-min-version", "spec.servers[2].tls.minProtocolVersion");
    assert_eq!(of(&wanted(), &two, &[]), second);
    let picked = |name: &str| Desired { server: Some(name.to_owned()), ..wanted() };
    assert_eq!(of(&picked("https"), &two, &[]), []);
    let none = one("gateway-credential", "spec.servers[].tls.credentialName");
    assert_eq!(of(&picked("third"), &two, &[]), none);
}

#[test]
fn servers_that_are_not_ours_stay_and_ours_are_found_again() {
    let changes = |desired: &Desired, object: &GatewayObject| {
        let placed = merged(desired, &secret(), Some(object));
        placed.into_iter().map(|one| (one.from, one.changed, one.server.name)).collect::<Vec<_>>()
    };
    let named = |from, changed, name: &str| (from, changed, name.to_owned());
    let shop = Tls { credential: Some("shop".to_owned()), ..right_tls() };
    let theirs = vec![server("https", 443, &["shop.test"], shop), redirecting(&["shop.test"])];
    let there = object("gw", theirs.clone());
    // Their names are taken: ours have others.
    let kept = [named(Some(0), false, "https"), named(Some(1), false, "http")];
    let added = [named(None, true, "https-certkeeper"), named(None, true, "http-certkeeper")];
    assert_eq!(changes(&wanted(), &there), [&kept[..], &added].concat());
    // What was added is found again, and nothing is added twice.
    let made = |desired: &Desired, object: &GatewayObject| merged(desired, &secret(), Some(object));
    let servers = |placed: Vec<Placed>| placed.into_iter().map(|one| one.server).collect::<Vec<Server>>();
    let after = object("gw", servers(made(&wanted(), &there)));
    assert!(changes(&wanted(), &after).iter().all(|(from, changed, _)| from.is_some() && !changed));
    // The domain moves, and both of ours with it; theirs stay as they are, although they have the usual names.
    let moved = Desired { hosts: vec!["*.moved.test".to_owned()], ..wanted() };
    let ours = [named(Some(2), true, "https-certkeeper"), named(Some(3), true, "http-certkeeper")];
    assert_eq!(changes(&moved, &after), [&kept[..], &ours].concat());
    assert_eq!(servers(made(&moved, &after))[..2], theirs);
    // One of ours is taken away: it comes back beside theirs.
    let mut without = after.clone();
    without.gateway.servers.remove(2);
    assert_eq!(servers(made(&wanted(), &without))[..2], theirs);
}

#[test]
fn what_is_made_of_any_gateway_has_no_difference_left_and_nothing_more_to_change() {
    let hosts = [&[HOST][..], &["./*.example.test"], &["old.test"], &[]];
    let credentials = [None, Some("certs"), Some("kubernetes://mesh/certs"), Some("other/certs")];
    for ((hosts, credential), (mode, redirect)) in hosts
        .into_iter()
        .flat_map(|hosts| credentials.map(|credential| (hosts, credential)))
        .flat_map(|one| ["", "SIMPLE", "MUTUAL", "PASSTHROUGH"].map(|mode| (one, (mode, mode == "SIMPLE"))))
    {
        let tls = Tls {
            mode: mode.to_owned(),
            credential: credential.map(str::to_owned),
            files: credential.is_none(),
            max_version: "TLSV1_1".to_owned(),
            ..Tls::default()
        };
        let mut servers = vec![server("https", 443, hosts, tls)];
        servers.extend(redirect.then(|| server("http", 80, hosts, Tls::default())));
        let made = merged(&wanted(), &secret(), Some(&object("gw", servers)));
        let made = object("gw", made.into_iter().map(|placed| placed.server).collect());
        assert_eq!(of(&wanted(), &made, &[]), [], "{made:?}");
        assert!(merged(&wanted(), &secret(), Some(&made)).iter().all(|one| !one.changed), "{made:?}");
    }
}
