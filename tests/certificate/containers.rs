use base64::{Engine as _, prelude::BASE64_STANDARD};
use certkeeper::certificate::{Context, Supplied, judge, read};

use crate::support::{GOOD, message, now, told, verdict, verdict_of};

fn wrapped(text: &str, width: usize) -> String {
    let encoded = BASE64_STANDARD.encode(text);
    encoded.as_bytes().chunks(width).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect()
}

#[test]
fn a_good_pair_has_no_findings_even_to_the_letter() {
    let roots = GOOD.roots();
    let hosts = ["*.example.com".to_owned(), "example.com".to_owned(), "console.example.com".to_owned()];
    let context = Context { roots: Some(&roots), hosts: &hosts, strict: true, ..Context::new(now()) };
    let verdict = crate::support::verdict_in(&GOOD.chain(), &GOOD.leaf.key, &context);
    assert_eq!(told(&verdict), Vec::<String>::new());
    assert!(verdict.is_good() && !verdict.is_unusable());
}

#[test]
fn every_way_in_which_people_paste_a_pair_is_put_right_and_told() {
    let (chain, key) = (GOOD.chain(), &GOOD.leaf.key);
    let plain = read(&Supplied { certificate: Some(chain.as_bytes()), key: Some(key.as_bytes()), staple: None });
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(chain.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("plain", chain.clone().into(), &[]),
        ("base64 in one line", BASE64_STANDARD.encode(&chain).into(), &["info base64-wrapping"]),
        ("base64 wrapped", wrapped(&chain, 76).into(), &["info base64-wrapping"]),
        ("base64 twice", wrapped(&wrapped(&chain, 64), 64).into(), &["info base64-wrapping"]),
        ("a byte order mark", format!("\u{feff}{chain}").into(), &["info byte-order-mark"]),
        ("UTF-16", utf16, &["info byte-order-mark"]),
        ("CR LF", chain.replace('\n', "\r\n").into(), &["info line-endings"]),
        ("CR", chain.replace('\n', "\r").into(), &["info line-endings"]),
        ("escaped", chain.replace('\n', "\\n").into(), &["info escaped-newlines"]),
        ("in one line", chain.replace('\n', " ").into(), &["info escaped-newlines"]),
        ("indented", chain.replace('\n', "\n    ").into(), &[]),
        ("comments", format!("Bag Attributes\n{chain}bye").into(), &["info text-outside-blocks"]),
        ("blank lines", chain.replace("-----BEGIN", "\n\n-----BEGIN").into(), &[]),
    ];
    for (name, certificate, expected) in cases {
        let facts = read(&Supplied { certificate: Some(&certificate), key: Some(key.as_bytes()), staple: None });
        let verdict = judge(&facts, &Context::new(now()));
        assert_eq!(told(&verdict), expected, "{name}");
        let (pair, wanted) = (facts.pair().expect(name), plain.pair().unwrap());
        assert_eq!(pair.certificate_pem(), wanted.certificate_pem(), "{name}");
        assert_eq!(pair.key_pem(), wanted.key_pem(), "{name}");
        assert_eq!(pair.fingerprint(), &facts.leaf().unwrap().fingerprint);
    }
}

#[test]
fn kymas_values_are_taken_as_they_come() {
    let (certificate, key) = (BASE64_STANDARD.encode(GOOD.chain()), wrapped(&GOOD.leaf.key, 76));
    let facts = read(&Supplied { certificate: Some(certificate.as_bytes()), key: Some(key.as_bytes()), staple: None });
    let verdict = judge(&facts, &Context::new(now()));
    assert_eq!(told(&verdict), ["info base64-wrapping", "info base64-wrapping"]);
    assert!(message(&verdict, "base64-wrapping").contains("in one line"));
    assert_eq!(facts.pair().unwrap().key_pem(), GOOD.leaf.key.replace("\r\n", "\n"));
}

#[test]
fn half_a_pair_is_refused_and_named() {
    let chain = GOOD.chain();
    for blank in ["", " \n\t"] {
        let no_key = verdict(&chain, blank);
        assert_eq!(told(&no_key), ["error key-missing"]);
        assert!(message(&no_key, "key-missing").contains("half a pair") && no_key.is_unusable());
        let no_certificate = verdict(blank, &GOOD.leaf.key);
        assert_eq!(told(&no_certificate), ["error certificate-missing"]);
        assert!(message(&no_certificate, "certificate-missing").contains("half a pair"));
        assert_eq!(told(&verdict(blank, blank)), ["error certificate-missing", "error key-missing"]);
    }
    assert!(read(&Supplied::default()).is_empty());
    assert!(!read(&Supplied { key: Some(b"x"), ..Supplied::default() }).is_empty());
}

#[test]
fn a_key_that_nobody_expects_is_not_missed() {
    let context = Context { key_expected: false, ..Context::new(now()) };
    let facts = read(&Supplied { certificate: Some(GOOD.chain().as_bytes()), ..Supplied::default() });
    assert_eq!(told(&judge(&facts, &context)), Vec::<String>::new());
    assert!(facts.pair().is_none());
}

#[test]
fn other_formats_are_called_by_their_names() {
    let der =
        BASE64_STANDARD.decode(GOOD.leaf.pem.lines().filter(|l| !l.starts_with('-')).collect::<String>()).unwrap();
    let key_der =
        BASE64_STANDARD.decode(GOOD.leaf.key.lines().filter(|l| !l.starts_with('-')).collect::<String>()).unwrap();
    let bare = BASE64_STANDARD.encode(&der);
    let cases: [(&[u8], &str); 6] = [
        (&der, "certificate in DER"),
        (bare.as_bytes(), "without its PEM armour"),
        (&key_der, "private key in DER"),
        (include_bytes!("fixtures/pair.p12"), "PKCS#12"),
        (include_bytes!("fixtures/chain.p7b"), "PKCS#7"),
        (b"<html>404</html>", "neither PEM nor base64"),
    ];
    for (input, expected) in cases {
        let verdict = verdict_of(input, GOOD.leaf.key.as_bytes(), &Context::new(now()));
        assert_eq!(told(&verdict), ["error not-pem"], "{expected}");
        assert!(verdict.is_unusable());
        let message = message(&verdict, "not-pem");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn broken_blocks_are_named_by_line_and_kind() {
    let key = &GOOD.leaf.key;
    let leaf = &GOOD.leaf.pem;
    let intermediate = GOOD.intermediate.pem();
    let cut = &intermediate[..intermediate.len() / 2];
    let verdict_cut = verdict(&format!("{leaf}{cut}"), key);
    assert!(told(&verdict_cut).contains(&"error block-malformed".to_owned()));
    let line = leaf.lines().count() + 1;
    let message_cut = message(&verdict_cut, "block-malformed");
    assert!(
        message_cut.contains(&format!("line {line}")) && message_cut.contains("END line is missing"),
        "{message_cut}"
    );

    let swapped_end = leaf.replace("-----END CERTIFICATE", "-----END PRIVATE KEY");
    assert!(message(&verdict(&swapped_end, key), "block-malformed").contains("another kind"));
    let no_base64 = leaf.replacen("MI", "M%", 1);
    assert!(message(&verdict(&no_base64, key), "block-malformed").contains("not base64"));
    let no_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let verdict_no_x509 = verdict(&format!("{leaf}{no_x509}"), key);
    assert!(message(&verdict_no_x509, "certificate-malformed").starts_with("certificate 2 of 2"));
    assert!(verdict_no_x509.is_unusable());
}

#[test]
fn swapped_halves_and_strangers_are_recognised() {
    let (chain, key) = (GOOD.chain(), &GOOD.leaf.key);
    let swapped = verdict(key, &chain);
    assert!(message(&swapped, "certificate-missing").contains("swapped"), "{:?}", told(&swapped));
    assert!(swapped.is_unusable());

    let both = format!("{chain}{key}");
    assert_eq!(told(&verdict(&both, key)), ["warning key-in-certificate-file"]);
    let only = read(&Supplied { certificate: Some(both.as_bytes()), ..Supplied::default() });
    assert_eq!(told(&judge(&only, &Context::new(now()))), ["warning key-in-certificate-file"]);
    let pair = only.pair().expect("the key beside the chain is used");
    assert!(!pair.certificate_pem().contains("PRIVATE KEY"));

    assert_eq!(told(&verdict(&chain, &both)), ["info certificate-in-key-file"]);
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    assert_eq!(told(&verdict(&format!("{chain}{request}"), key)), ["warning unknown-block"]);
}

#[test]
fn bounds_hold() {
    let (chain, key) = (GOOD.chain(), &GOOD.leaf.key);
    let padded = |size: usize| format!("{chain}{}", "\n".repeat(size - chain.len()));
    assert_eq!(told(&verdict(&padded(64 * 1024), key)), Vec::<String>::new());
    let large = verdict(&padded(64 * 1024 + 1), key);
    assert_eq!(told(&large), ["error input-too-large"]);
    assert!(large.is_unusable());

    let many = format!("{}{}", chain, GOOD.root.pem().repeat(62));
    assert!(!told(&verdict(&many, key)).contains(&"error too-many-certificates".to_owned()));
    let too_many = verdict(&format!("{many}{}", GOOD.root.pem()), key);
    assert!(message(&too_many, "too-many-certificates").contains("65 certificates"));
}

#[test]
fn copies_are_dropped_and_told() {
    let chain = format!("{}{}{}", GOOD.leaf.pem, GOOD.leaf.pem, GOOD.intermediate.pem());
    let facts =
        read(&Supplied { certificate: Some(chain.as_bytes()), key: Some(GOOD.leaf.key.as_bytes()), staple: None });
    let verdict = judge(&facts, &Context::new(now()));
    assert_eq!(told(&verdict), ["info duplicate-certificate"]);
    assert!(message(&verdict, "duplicate-certificate").starts_with("certificate 2 of 3"));
    assert_eq!(facts.pair().unwrap().certificate_pem(), GOOD.chain());
}
