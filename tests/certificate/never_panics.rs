use certkeeper::certificate::{Context, RevocationLists, Roots, Supplied, judge, next_change, read};
use proptest::prelude::*;

use crate::support::{GOOD, now};

/// Reads and judges whatever comes, with everything asked for that can be.
fn judged(certificate: &[u8], key: &[u8], staple: &[u8]) {
    let facts = read(&Supplied { certificate: Some(certificate), key: Some(key), staple: Some(staple) });
    let (roots, hosts) = (GOOD.roots(), ["*.example.com".to_owned()]);
    let suites = ["ECDHE-RSA-AES128-SHA".to_owned()];
    let context =
        Context { roots: Some(&roots), hosts: &hosts, cipher_suites: &suites, strict: true, ..Context::new(now()) };
    let verdict = judge(&facts, &context);
    assert_eq!(verdict, judge(&facts, &context), "the same facts, the same verdict");
    assert!(verdict.is_unusable() || facts.pair().is_some(), "what could be served can be written");
    assert!(next_change(&facts, &context).is_none_or(|next| next > now()));
    for finding in &verdict.findings {
        assert!(finding.message.len() < 8_000, "{}", finding.check.name);
    }
}

/// The good chain with some bytes overwritten, removed or doubled.
fn bent(original: String) -> impl Strategy<Value = Vec<u8>> {
    let length = original.len();
    let change = (0..length, 0..length, any::<u8>(), 0..3);
    prop::collection::vec(change, 0..6).prop_map(move |changes| {
        let mut bytes = original.clone().into_bytes();
        for (at, other, byte, kind) in changes {
            let (at, other) = (at.min(bytes.len() - 1), other.min(bytes.len() - 1));
            match kind {
                0 => bytes[at] = byte,
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[other]),
            }
        }
        bytes
    })
}

/// A block of this label around DER in which some bytes were overwritten: past the PEM, into the parsers.
fn bent_der(pem: &str, changes: &[(usize, u8)]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = BASE64_STANDARD.decode(body).unwrap();
    for (at, byte) in changes {
        let at = at % der.len();
        der[at] = *byte;
    }
    let label = pem.lines().next().unwrap();
    format!("{label}\n{}\n{}\n", BASE64_STANDARD.encode(der), label.replace("BEGIN", "END"))
}

proptest! {
    #[test]
    fn arbitrary_bytes_give_a_verdict(certificate: Vec<u8>, key: Vec<u8>, staple: Vec<u8>) {
        judged(&certificate, &key, &staple);
        let _ = (Roots::from_pem(&certificate), RevocationLists::from_pem(&certificate));
    }

    #[test]
    fn arbitrary_blocks_give_a_verdict(
        blocks in prop::collection::vec(("(X509 )?CERTIFICATE|(RSA |EC |ENCRYPTED )?PRIVATE KEY|X509 CRL|[ -~]{0,20}", any::<Vec<u8>>()), 0..5),
    ) {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let text: String = blocks
            .iter()
            .map(|(label, bytes)| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(bytes)))
            .collect();
        judged(text.as_bytes(), text.as_bytes(), b"");
        let _ = (Roots::from_pem(text.as_bytes()), RevocationLists::from_pem(text.as_bytes()));
    }

    #[test]
    fn a_bent_pair_gives_a_verdict(certificate in bent(GOOD.chain()), key in bent(GOOD.leaf.key.clone())) {
        judged(&certificate, &key, &key);
    }

    #[test]
    fn bent_der_gives_a_verdict(changes in prop::collection::vec((any::<usize>(), any::<u8>()), 0..4)) {
        let chain = format!("{}{}", bent_der(&GOOD.leaf.pem, &changes), bent_der(&GOOD.intermediate.pem(), &changes));
        judged(chain.as_bytes(), bent_der(&GOOD.leaf.key, &changes).as_bytes(), b"");
        let _ = Roots::from_pem(chain.as_bytes());
    }

    #[test]
    fn a_pair_that_comes_out_reads_back_as_itself(certificate in bent(GOOD.chain())) {
        let facts = read(&Supplied { certificate: Some(&certificate), key: Some(GOOD.leaf.key.as_bytes()), staple: None });
        if let Some(pair) = facts.pair() {
            let again = read(&Supplied {
                certificate: Some(pair.certificate_pem().as_bytes()),
                key: Some(pair.key_pem().as_bytes()),
                staple: None,
            });
            let again = again.pair().expect("what is written can be read");
            prop_assert_eq!(again.certificate_pem(), pair.certificate_pem());
            prop_assert_eq!(again.key_pem(), pair.key_pem());
        }
    }
}
