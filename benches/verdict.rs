//! How long a verdict takes: `cargo bench --bench verdict`.
//!
//! The material is what a public CA gives out: a chain of three with RSA-2048 keys throughout, and the leaf's key.
#![allow(missing_docs, reason = "a benchmark is no library")]

use std::sync::LazyLock;

use certkeeper::certificate::{Context, Facts, Roots, Supplied, checks, judge, read};
use chrono::{DateTime, Utc};
use divan::{Bencher, black_box, counter::BytesCount};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256,
};

fn main() {
    divan::main();
}

struct Material {
    chain: String,
    key: String,
    root: String,
}

static MATERIAL: LazyLock<Material> = LazyLock::new(|| {
    let key = || KeyPair::generate_for(&PKCS_RSA_SHA256).expect("an RSA key");
    let authority = || {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.use_authority_key_identifier_extension = true;
        params
    };
    let named = |mut params: CertificateParams, name: &str| {
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params
    };
    let root = CertifiedIssuer::self_signed(named(authority(), "Root"), key()).expect("a root");
    let upper = CertifiedIssuer::signed_by(named(authority(), "Upper"), key(), &root).expect("an intermediate");
    let lower = CertifiedIssuer::signed_by(named(authority(), "Lower"), key(), &upper).expect("an intermediate");
    let mut leaf = CertificateParams::new(vec!["*.example.com".to_owned(), "example.com".to_owned()]).expect("names");
    leaf.not_before = rcgen::date_time_ymd(2027, 5, 1);
    leaf.not_after = rcgen::date_time_ymd(2027, 7, 30);
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let leaf_key = key();
    let leaf = named(leaf, "*.example.com").signed_by(&leaf_key, &lower).expect("a leaf");
    Material {
        chain: format!("{}{}{}", leaf.pem(), lower.pem(), upper.pem()),
        key: leaf_key.serialize_pem(),
        root: root.pem(),
    }
});

fn supplied() -> Supplied<'static> {
    Supplied { certificate: Some(MATERIAL.chain.as_bytes()), key: Some(MATERIAL.key.as_bytes()), staple: None }
}

fn facts() -> Facts {
    read(&supplied())
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_811_851_200, 0).expect("June 2027")
}

/// Parse, order, verify two signatures, hold the key against the leaf.
#[divan::bench]
fn read_a_chain_of_three(bencher: Bencher<'_, '_>) {
    bencher.counter(BytesCount::of_str(&MATERIAL.chain)).bench(|| read(black_box(&supplied())));
}

/// The same without the key: what reading and checking a private RSA key costs.
#[divan::bench]
fn read_a_chain_without_its_key(bencher: Bencher<'_, '_>) {
    let supplied = Supplied { key: None, ..supplied() };
    bencher.bench(|| read(black_box(&supplied)));
}

/// All checks, nothing asked for: the time divided by the number of checks is one check's.
#[divan::bench]
fn judge_all_checks(bencher: Bencher<'_, '_>) {
    let (facts, context) = (facts(), Context::new(now()));
    assert!(judge(&facts, &context).is_good(), "{:?}", judge(&facts, &context));
    let count = u32::try_from(checks().len()).expect("few checks");
    bencher.counter(divan::counter::ItemsCount::new(count)).bench(|| judge(black_box(&facts), black_box(&context)));
}

/// With hosts, cipher suites and a root: one more signature, and rustls' opinion.
#[divan::bench]
fn judge_with_hosts_and_root(bencher: Bencher<'_, '_>) {
    let facts = facts();
    let roots = Roots::from_pem(MATERIAL.root.as_bytes()).expect("a root");
    let (hosts, suites) = (["*.example.com".to_owned()], ["ECDHE-RSA-AES128-GCM-SHA256".to_owned()]);
    let context = Context { hosts: &hosts, cipher_suites: &suites, roots: Some(&roots), ..Context::new(now()) };
    assert!(judge(&facts, &context).is_good(), "{:?}", judge(&facts, &context));
    bencher.bench(|| judge(black_box(&facts), black_box(&context)));
}

/// From bytes to the verdict.
#[divan::bench]
fn read_and_judge(bencher: Bencher<'_, '_>) {
    let context = Context::new(now());
    bencher.bench(|| judge(&read(black_box(&supplied())), black_box(&context)));
}

/// 64 KiB of what looks worst: noise, base64 of noise, BEGIN lines without end, and empty blocks.
#[divan::bench(args = ["noise", "base64", "begin lines", "empty blocks", "nested DER"])]
fn garbage_of_64_kib(bencher: Bencher<'_, '_>, kind: &str) {
    let size = 64 * 1024;
    let fill = |unit: &[u8]| unit.iter().copied().cycle().take(size).collect::<Vec<u8>>();
    let garbage = match kind {
        "noise" => (0..size).map(|i| (i * i / 7 + i) as u8).collect(),
        "base64" => fill(b"QUJDREVG"),
        "begin lines" => fill(b"-----BEGIN CERTIFICATE-----\n"),
        "empty blocks" => fill(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
        _ => fill(&[0x30, 0x84, 0, 0, 0xff, 0xfa]),
    };
    let supplied = Supplied { certificate: Some(&garbage), key: Some(&garbage), staple: Some(&garbage) };
    let context = Context::new(now());
    bencher.counter(BytesCount::new(size)).bench(|| judge(&read(black_box(&supplied)), &context));
}
