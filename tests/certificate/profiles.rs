//! Breaches of RFC 5280's profile: what clients refuse, and what they only put up with.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use certkeeper::certificate::{Context, Roots, Supplied, judge, read};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, ExtendedKeyUsagePurpose, GeneralSubtree, NameConstraints,
};

use crate::support::{GOOD, authority, intermediate, issue, leaf, now, on_leaf, root, told};

/// The verdict on a file of certificates without a key, under these roots, to the letter or not.
fn judged(chain: &str, roots: Option<&Roots>, strict: bool) -> Vec<String> {
    let facts = read(&Supplied { certificate: Some(chain.as_bytes()), ..Supplied::default() });
    told(&judge(&facts, &Context { roots, strict, key_expected: false, ..Context::new(now()) }))
}

/// A PEM certificate in whose DER these bytes stand in the place of those, at their last occurrence.
fn patched(pem: &str, old: &[u8], new: &[u8]) -> String {
    assert_eq!(old.len(), new.len());
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = BASE64_STANDARD.decode(body).unwrap();
    let at = der.windows(old.len()).rposition(|w| w == old).expect("the bytes are there");
    der[at..at + new.len()].copy_from_slice(new);
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64_STANDARD.encode(der))
}

/// Expects a finding of this check: its own severity as clients are, an error to the letter.
fn only_to_the_letter(chain: &str, roots: Option<&Roots>, expected: &str) {
    let found = judged(chain, roots, false);
    assert!(found.contains(&expected.to_owned()), "{expected} in {found:?}");
    assert!(!found.iter().any(|line| line.starts_with("error")), "{found:?}");
    let name = expected.split_once(' ').unwrap().1;
    let found = judged(chain, roots, true);
    assert!(found.contains(&format!("error {name}")), "{name} in {found:?}");
}

fn with_leaf(change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = leaf(&["*.example.com"]);
    change(&mut params);
    format!("{}{}", issue(&params, &GOOD.intermediate).pem, GOOD.intermediate.pem())
}

fn with_intermediate(change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = authority("Odd");
    change(&mut params);
    let intermediate = intermediate(params, &GOOD.root);
    format!("{}{}", issue(&leaf(&["*.example.com"]), &intermediate).pem, intermediate.pem())
}

fn extension(oid: &[u64], content: &[u8], critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
    extension.set_criticality(critical);
    extension
}

const NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];
/// permittedSubtrees: example.com.
const PERMITTED: &[u8] = b"\x30\x11\xa0\x0f\x30\x0d\x82\x0bexample.com";

#[test]
fn what_clients_refuse_is_an_error_always() {
    for (chain, expected) in [
        (include_str!("fixtures/sha1-signature.pem"), "error weak-signature"),
        (include_str!("fixtures/weak-issuer.pem"), "error weak-issuer-key"),
        (include_str!("fixtures/version-1.pem"), "error version"),
        (include_str!("fixtures/negative-serial.pem"), "error serial-negative"),
    ] {
        let errors: Vec<String> =
            judged(chain, None, false).into_iter().filter(|line| line.starts_with("error")).collect();
        let mut wanted = vec![expected];
        if expected == "error version" {
            wanted.insert(0, "error san-missing");
        }
        assert_eq!(errors, wanted);
    }
    let malformed = with_leaf(|params| {
        params.key_usages.clear();
        params.custom_extensions.push(extension(&[2, 5, 29, 15], b"nonsense", true));
    });
    assert_eq!(judged(&malformed, None, false), ["error malformed-extension"]);
    // authorityInfoAccess, critical.
    let content = b"\x30\x14\x30\x12\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x06http:x";
    let critical =
        with_leaf(|params| params.custom_extensions.push(extension(&[1, 3, 6, 1, 5, 5, 7, 1, 1], content, true)));
    assert_eq!(judged(&critical, None, false), ["error critical-extension"]);
}

#[test]
fn two_signature_algorithms_in_one_certificate_are_refused() {
    let ecdsa_sha256 = b"\x2a\x86\x48\xce\x3d\x04\x03\x02";
    let ecdsa_sha384 = b"\x2a\x86\x48\xce\x3d\x04\x03\x03";
    let chain = format!("{}{}", patched(&GOOD.leaf.pem, ecdsa_sha256, ecdsa_sha384), GOOD.intermediate.pem());
    assert!(judged(&chain, None, false).contains(&"error signature-algorithm".to_owned()));
}

#[test]
fn an_even_exponent_is_refused() {
    let text = include_str!("fixtures/rsa-2048-pkcs1.pem");
    let pem = &text[..text.find("-----BEGIN RSA").unwrap()];
    let even = patched(pem, b"\x02\x03\x01\x00\x01", b"\x02\x03\x01\x00\x00");
    assert!(judged(&even, None, false).contains(&"error rsa-exponent".to_owned()));
}

#[test]
fn what_clients_put_up_with_is_an_error_to_the_letter_only() {
    only_to_the_letter(&with_leaf(|p| p.use_authority_key_identifier_extension = false), None, "info key-identifiers");
    only_to_the_letter(&with_intermediate(|p| p.key_usages.clear()), None, "info ca-profile");
    let lax = |p: &mut CertificateParams| p.custom_extensions.push(extension(NAME_CONSTRAINTS, PERMITTED, false));
    only_to_the_letter(&with_intermediate(lax), None, "info criticality");
    let strict = |p: &mut CertificateParams| p.custom_extensions.push(extension(NAME_CONSTRAINTS, PERMITTED, true));
    only_to_the_letter(&with_leaf(strict), None, "info end-entity-profile");
    let dotted = |p: &mut CertificateParams| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName(".com".to_owned())];
        p.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
    };
    only_to_the_letter(&with_intermediate(dotted), None, "warning name-constraints-syntax");
    let nameless = |p: &mut CertificateParams| p.distinguished_name = DistinguishedName::new();
    only_to_the_letter(&with_intermediate(nameless), None, "warning issuer-empty");
}

#[test]
fn odd_dates_are_information() {
    let mut params = leaf(&["*.example.com"]);
    params.not_after = rcgen::date_time_ymd(2060, 1, 1);
    let pem = patched(&issue(&params, &GOOD.intermediate).pem, b"20600101", b"20400101");
    assert!(judged(&pem, None, false).contains(&"info dates".to_owned()));
    assert!(!judged(&issue(&params, &GOOD.intermediate).pem, None, false).contains(&"info dates".to_owned()));
}

#[test]
fn critical_names_beside_a_subject_are_information() {
    let mut params = leaf(&["*.example.com"]);
    params.subject_alt_names.clear();
    params.custom_extensions.push(extension(&[2, 5, 29, 17], b"\x30\x0f\x82\x0d*.example.com", true));
    assert_eq!(on_leaf(&params), ["info san-critical"]);
}

#[test]
fn a_roots_profile_is_looked_at_to_the_letter_only() {
    let mut params = authority("Purposeful root");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let root = root(params);
    let roots = Roots::from_pem(root.pem().as_bytes()).unwrap();
    only_to_the_letter(&issue(&leaf(&["*.example.com"]), &root).pem, Some(&roots), "info root-profile");
}

#[test]
fn rustls_is_asked_where_a_path_was_found() {
    // Constraints on names of people are fine by RFC 5280, and unknown to rustls.
    let content = b"\x30\x11\xa0\x0f\x30\x0d\x81\x0bexample.com";
    let mail = with_intermediate(|p| p.custom_extensions.push(extension(NAME_CONSTRAINTS, content, true)));
    let roots = GOOD.roots();
    assert_eq!(judged(&mail, Some(&roots), false), Vec::<String>::new(), "no mailbox, no violation");
    let mailbox = |p: &mut CertificateParams| {
        p.subject_alt_names.push(rcgen::SanType::Rfc822Name("a@example.com".try_into().unwrap()))
    };
    let mut upper = authority("Mail");
    upper.custom_extensions.push(extension(NAME_CONSTRAINTS, content, true));
    let upper = intermediate(upper, &GOOD.root);
    let mut params = leaf(&["*.example.com"]);
    mailbox(&mut params);
    let chain = format!("{}{}", issue(&params, &upper).pem, upper.pem());
    assert_eq!(judged(&chain, Some(&roots), false), ["warning second-opinion"]);
}
