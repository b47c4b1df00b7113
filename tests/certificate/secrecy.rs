use certkeeper::certificate::{Context, Supplied, judge, read};

use crate::support::{GOOD, now};

/// Every run of eight base64 digits of a key's body, beyond its public head.
fn fragments(key: &str) -> Vec<String> {
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    body.as_bytes()[40..].windows(8).map(|w| String::from_utf8_lossy(w).into_owned()).collect()
}

#[test]
fn no_byte_of_a_key_shows_in_debug_output_or_in_findings() {
    let chain = GOOD.chain();
    let broken = GOOD.leaf.key.replacen("MI", "MA", 1);
    let doubled = format!("{}{}", GOOD.leaf.key, broken);
    let in_chain = format!("{chain}{}", GOOD.leaf.key);
    let swapped = &GOOD.leaf.key;
    for (certificate, key) in [
        (chain.as_str(), GOOD.leaf.key.as_str()),
        (&chain, &broken),
        (&chain, &doubled),
        (&in_chain, ""),
        (swapped, &chain),
        (swapped, swapped),
    ] {
        let supplied = Supplied { certificate: Some(certificate.as_bytes()), key: Some(key.as_bytes()), staple: None };
        let facts = read(&supplied);
        let verdict = judge(&facts, &Context::new(now()));
        let shown = format!("{supplied:?}{facts:?}{:?}{verdict:?}{:#?}", facts.pair(), facts);
        for fragment in fragments(&GOOD.leaf.key) {
            assert!(!shown.contains(&fragment), "a key's digits {fragment} in {shown}");
        }
        // Nor as numbers, as a derived Debug of bytes would print them.
        let bytes = "[45, 45, 45, 45, 45, 66, 69, 71";
        assert!(!shown.contains(bytes), "{shown}");
    }
}

#[test]
fn a_pairs_debug_output_names_it_by_its_fingerprint() {
    let facts = read(&Supplied {
        certificate: Some(GOOD.chain().as_bytes()),
        key: Some(GOOD.leaf.key.as_bytes()),
        staple: None,
    });
    let pair = facts.pair().unwrap();
    let shown = format!("{pair:?}");
    assert!(shown.contains(&pair.fingerprint().to_string()) && shown.contains("redacted"), "{shown}");
}
