use certkeeper::certificate::Context;
use rcgen::{DistinguishedName, DnType, SanType};

use crate::support::{GOOD, issue, leaf, message, now, on_leaf, told, verdict_in};

fn hosts_told(names: &[&str], hosts: &[&str]) -> Vec<String> {
    let made = issue(&leaf(names), &GOOD.intermediate);
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let context = Context { hosts: &hosts, ..Context::new(now()) };
    let verdict = verdict_in(&format!("{}{}", made.pem, GOOD.intermediate.pem()), &made.key, &context);
    assert!(!verdict.is_unusable());
    told(&verdict)
}

#[test]
fn required_hosts_must_be_covered() {
    for (names, hosts, covered) in [
        (&["*.example.com"][..], &["*.example.com"][..], true),
        (&["*.example.com"], &["console.example.com"], true),
        (&["*.example.com"], &["CONSOLE.example.com."], true),
        (&["*.example.com"], &["example.com"], false),
        (&["*.example.com"], &["a.b.example.com"], false),
        (&["console.example.com"], &["*.example.com"], false),
        (&["a.example.com", "b.example.com"], &["a.example.com", "b.example.com"], true),
        (&["a.example.com"], &["a.example.com", "b.example.com"], false),
        (&["192.0.2.7"], &["192.0.2.7"], true),
        (&["192.0.2.7"], &["192.0.2.8"], false),
        (&["2001:db8::1"], &["2001:0db8::0001"], true),
        (&["*.example.com"], &[], true),
    ] {
        let told = hosts_told(names, hosts);
        assert_eq!(told.contains(&"error hosts".to_owned()), !covered, "{names:?} for {hosts:?}: {told:?}");
    }
}

#[test]
fn the_message_says_what_is_covered_and_what_is_not() {
    let hosts = ["*.other.org".to_owned()];
    let context = Context { hosts: &hosts, ..Context::new(now()) };
    let message = message(&verdict_in(&GOOD.chain(), &GOOD.leaf.key, &context), "hosts");
    assert!(message.contains("does not cover *.other.org; its names are: *.example.com, example.com"), "{message}");
}

#[test]
fn a_common_name_alone_is_refused() {
    let mut params = leaf(&[]);
    params.distinguished_name.push(DnType::CommonName, "console.example.com");
    assert_eq!(on_leaf(&params), ["error san-missing"]);
}

#[test]
fn malformed_names_are_refused_each_for_its_reason() {
    for (name, expected) in [
        ("a*.example.com", "error san-wildcard"),
        ("a.*.example.com", "error san-wildcard"),
        ("*.com", "error san-wildcard"),
        ("*.co.uk", "warning wildcard-public-suffix"),
        ("a_b.example.com", "warning san-underscore"),
        ("xn--999999999.example.com", "error san-punycode"),
        ("xn--bcher-kva.example.com", ""),
        ("example.com.", "error san-syntax"),
        ("a..example.com", "error san-syntax"),
        ("-a.example.com", "error san-syntax"),
    ] {
        let mut params = leaf(&["*.example.com"]);
        params.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap()));
        assert_eq!(on_leaf(&params).join(","), expected, "{name}");
    }
    let mut params = leaf(&["*.example.com"]);
    params.subject_alt_names.push(SanType::DnsName("10.0.0.1".try_into().unwrap()));
    assert_eq!(on_leaf(&params), ["error san-ip-as-dns"]);
}

#[test]
fn a_common_name_that_is_none_of_the_names_is_only_information() {
    let mut params = leaf(&["*.example.com"]);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "other.example.org");
    assert_eq!(on_leaf(&params), ["info common-name"]);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "example.com");
    assert_eq!(on_leaf(&params), Vec::<String>::new());
}

#[test]
fn an_empty_subject_is_fine() {
    let mut params = leaf(&["*.example.com"]);
    params.distinguished_name = DistinguishedName::new();
    assert_eq!(on_leaf(&params), Vec::<String>::new());
}

#[test]
fn more_than_a_hundred_names_are_a_warning() {
    let names: Vec<String> = (0..101).map(|n| format!("n{n}.example.com")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(on_leaf(&leaf(&names)), ["warning many-names"]);
    assert_eq!(on_leaf(&leaf(&names[..100])), Vec::<String>::new());
}

#[test]
fn control_characters_of_a_certificate_never_reach_a_message() {
    let mut params = leaf(&["*.example.com"]);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "\u{1b}[2Jevil\u{202e}");
    let made = issue(&params, &GOOD.intermediate);
    let verdict = verdict_in(&made.pem, "", &Context::new(now()));
    assert!(!verdict.findings.is_empty());
    for finding in &verdict.findings {
        let text = format!("{}{}{}", finding.location, finding.message, finding.remedy);
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
}
