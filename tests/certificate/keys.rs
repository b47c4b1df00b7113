use certkeeper::certificate::{Context, Supplied, judge, read};
use rcgen::KeyPair;

use crate::support::{GOOD, issue_for, leaf, message, now, told, verdict, verdict_in};

/// Certificate and key of a fixture that holds both.
macro_rules! fixture {
    ($name:literal) => {{
        let text = include_str!(concat!("fixtures/", $name));
        let end = text.find("-----END CERTIFICATE-----").unwrap() + "-----END CERTIFICATE-----\n".len();
        text.split_at(end)
    }};
}

/// The findings but for those that every self-signed certificate of a hundred years has.
fn told_of((certificate, key): (&str, &str)) -> Vec<String> {
    let usual = ["warning self-signed", "warning lifetime", "warning leaf-alone", "info common-name"];
    told(&verdict(certificate, key)).into_iter().filter(|line| !usual.contains(&line.as_str())).collect()
}

#[test]
fn keys_that_envoy_refuses_are_refused() {
    for (pair, expected) in [
        (fixture!("rsa-1024.pem"), &["error rsa-size"][..]),
        (fixture!("rsa-2052.pem"), &["error rsa-size"]),
        (fixture!("dsa.pem"), &["error key-malformed", "error key-type"]),
        (fixture!("p192.pem"), &["error key-type"]),
        (fixture!("explicit-curve.pem"), &["error key-type"]),
        (fixture!("rsa-exponent-3.pem"), &["warning rsa-exponent-small"]),
        (fixture!("rsa-2048-pkcs1.pem"), &[]),
        (fixture!("p256-sec1.pem"), &[]),
    ] {
        let found = told_of(pair);
        for check in expected {
            assert!(found.contains(&(*check).to_owned()), "{check} in {found:?}");
        }
        assert_eq!(
            found.iter().any(|line| line.starts_with("error")),
            expected.iter().any(|e| e.starts_with("error")),
            "{found:?}"
        );
    }
    let weak = verdict(fixture!("rsa-1024.pem").0, fixture!("rsa-1024.pem").1);
    assert!(weak.is_unusable());
    assert!(message(&weak, "rsa-size").contains("1024 bits"));
}

#[test]
fn curves_beyond_p_256_are_told_and_ed25519_is_refused() {
    for (algorithm, expected) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, vec![]),
        (&rcgen::PKCS_ECDSA_P384_SHA384, vec!["warning curve-support"]),
        (&rcgen::PKCS_ECDSA_P521_SHA512, vec!["warning curve-support"]),
        (&rcgen::PKCS_ED25519, vec!["error key-type"]),
    ] {
        let made = issue_for(KeyPair::generate_for(algorithm).unwrap(), &leaf(&["*.example.com"]), &GOOD.intermediate);
        let verdict = verdict(&format!("{}{}", made.pem, GOOD.intermediate.pem()), &made.key);
        assert_eq!(told(&verdict), expected);
    }
}

#[test]
fn every_encoding_of_a_key_is_written_as_pkcs8_that_stays_as_it_is() {
    let pair = |(certificate, key): (&str, &str)| {
        let facts =
            read(&Supplied { certificate: Some(certificate.as_bytes()), key: Some(key.as_bytes()), staple: None });
        facts.pair().expect("key and leaf belong together").key_pem().to_owned()
    };
    let (certificate, pkcs1) = fixture!("rsa-2048-pkcs1.pem");
    let pkcs8 = include_str!("fixtures/rsa-2048-pkcs8.key");
    assert!(pkcs1.contains("BEGIN RSA PRIVATE KEY"));
    assert_eq!(pair((certificate, pkcs1)), pkcs8, "PKCS#1 becomes what OpenSSL writes");
    assert_eq!(pair((certificate, pkcs8)), pkcs8);

    let (certificate, sec1) = fixture!("p256-sec1.pem");
    assert!(sec1.contains("BEGIN EC PARAMETERS") && sec1.contains("BEGIN EC PRIVATE KEY"));
    let written = pair((certificate, sec1));
    assert!(written.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert_eq!(pair((certificate, &written)), written);
    assert!(KeyPair::from_pem(&written).is_ok(), "another library reads it");
}

#[test]
fn encrypted_several_and_broken_keys_are_told_apart() {
    let chain = GOOD.chain();
    for encrypted in [include_str!("fixtures/encrypted-pkcs8.key"), include_str!("fixtures/encrypted-traditional.key")]
    {
        let verdict = verdict(&chain, encrypted);
        assert_eq!(told(&verdict), ["error key-encrypted"]);
        assert!(verdict.is_unusable());
    }
    let other = KeyPair::generate().unwrap().serialize_pem();
    let several = verdict(&chain, &format!("{}{other}", GOOD.leaf.key));
    assert_eq!(told(&several), ["error several-keys"]);
    let twice = format!("{}{}", GOOD.leaf.key, GOOD.leaf.key);
    assert_eq!(told(&verdict(&chain, &twice)), Vec::<String>::new(), "the same key twice is no ambiguity");

    let broken = GOOD.leaf.key.replacen("MI", "MA", 1);
    assert_eq!(told(&verdict(&chain, &broken)), ["error key-malformed"]);
    let (certificate, pkcs1) = fixture!("rsa-2048-pkcs1.pem");
    let middle = pkcs1.len() / 2;
    let swapped_digit = if &pkcs1[middle..=middle] == "A" { "B" } else { "A" };
    let bent = format!("{}{swapped_digit}{}", &pkcs1[..middle], &pkcs1[middle + 1..]);
    assert!(told_of((certificate, &bent)).contains(&"error key-malformed".to_owned()));
}

#[test]
fn a_key_of_another_certificate_is_a_mismatch() {
    let other = KeyPair::generate().unwrap().serialize_pem();
    let verdict = verdict(&GOOD.chain(), &other);
    assert_eq!(told(&verdict), ["error pair-mismatch"]);
    assert!(verdict.is_unusable());
    let message = message(&verdict, "pair-mismatch");
    assert!(
        message.starts_with("certificate 1 of 2, CN=*.example.com") && message.contains("both are ECDSA P-256"),
        "{message}"
    );
    let facts =
        read(&Supplied { certificate: Some(GOOD.chain().as_bytes()), key: Some(other.as_bytes()), staple: None });
    assert!(facts.pair().is_none());
}

#[test]
fn an_ecdsa_leaf_behind_rsa_suites_is_refused_but_not_unusable() {
    let suites = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let kyma = suites(&["ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA"]);
    let mixed = suites(&["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
    let ecdsa = suites(&["ECDHE-ECDSA-AES128-GCM-SHA256"]);
    let only_tls13 = suites(&["TLS_AES_128_GCM_SHA256"]);
    let (rsa_certificate, rsa_key) = fixture!("rsa-2048-pkcs1.pem");
    let told_with = |certificate: &str, key: &str, suites: &[String]| {
        let context = Context { cipher_suites: suites, ..Context::new(now()) };
        told(&verdict_in(certificate, key, &context)).contains(&"error cipher-suites".to_owned())
    };
    let chain = GOOD.chain();
    for (suites, ec_refused, rsa_refused) in [
        (&kyma, true, false),
        (&mixed, false, false),
        (&ecdsa, false, true),
        (&only_tls13, false, false),
        (&vec![], false, false),
    ] {
        assert_eq!(told_with(&chain, &GOOD.leaf.key, suites), ec_refused, "{suites:?}");
        assert_eq!(told_with(rsa_certificate, rsa_key, suites), rsa_refused, "{suites:?}");
    }
    let context = Context { cipher_suites: &kyma, ..Context::new(now()) };
    let facts =
        read(&Supplied { certificate: Some(chain.as_bytes()), key: Some(GOOD.leaf.key.as_bytes()), staple: None });
    assert!(!judge(&facts, &context).is_unusable());
}

#[test]
fn a_key_on_a_useless_curve_is_no_key_for_an_rsa_leaf() {
    let verdict = verdict(fixture!("rsa-2048-pkcs1.pem").0, fixture!("p192.pem").1);
    assert!(verdict.is_unusable(), "{:?}", told(&verdict));
    assert!(message(&verdict, "pair-mismatch").contains("RSA 2048 against ECDSA P-192"));
}
