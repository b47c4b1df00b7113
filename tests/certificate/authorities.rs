//! A bundle of CA certificates for mutual TLS: what is refused, what is told, and what is written of it.

use certkeeper::certificate::{
    Authorities, Context, authority_checks, judge_authorities, next_change_of_authorities, read_authorities,
};
use chrono::{DateTime, Duration, Utc};
use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize};

use crate::support::{GOOD, authority, date, intermediate, now, root};

fn judged(bundle: &str) -> Vec<String> {
    judged_at(&read_authorities(Some(bundle.as_bytes()), false), now())
}

fn judged_at(authorities: &Authorities, now: DateTime<Utc>) -> Vec<String> {
    let findings = judge_authorities(authorities, &Context::new(now)).findings;
    findings.iter().map(|finding| format!("{} {}", finding.severity, finding.check.name)).collect()
}

fn ca(name: &str) -> String {
    root(authority(name)).pem()
}

/// A CA that is valid from and until so many days from now.
fn ca_between(from: i64, until: i64) -> String {
    let mut params = authority("Timed CA");
    params.not_before = date(now() + Duration::days(from));
    params.not_after = date(now() + Duration::days(until));
    root(params).pem()
}

#[test]
fn a_good_bundle_has_no_finding_and_comes_out_as_it_went_in() {
    let bundle = format!("{}{}", ca("One"), ca("Other"));
    assert_eq!(judged(&bundle), [""; 0]);
    let read = read_authorities(Some(bundle.as_bytes()), false);
    assert_eq!(read.pem().replace('\n', ""), bundle.replace(['\r', '\n'], ""));
    assert_eq!(read.certificates().len(), 2);
    assert_eq!(read.usable(now()), 2);
    // An intermediate alone is an anchor of its own.
    assert_eq!(judged(&intermediate(authority("Below"), &root(authority("Above"))).pem()), [""; 0]);
}

#[test]
fn what_a_gateway_would_refuse_or_let_nobody_in_with_is_refused_in_the_words_of_its_check() {
    let good = ca("Good");
    let whole = format!("{good}-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    let many: String = std::iter::repeat_n(good.as_str(), 65).collect();
    for (what, bundle, wanted) in [
        ("nothing", String::new(), "error client-ca-missing"),
        ("blanks", " \n".to_owned(), "error client-ca-missing"),
        (
            "no block of a certificate",
            "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n".to_owned(),
            "error client-ca-missing",
        ),
        ("garbage", "garbage".to_owned(), "error client-ca-not-pem"),
        ("a block that is cut off", good.replace("-----END CERTIFICATE-----", ""), "error client-ca-block-malformed"),
        ("a block that is no certificate", whole, "error client-ca-malformed"),
        ("a key beside", format!("{good}{}", GOOD.leaf.key), "error client-ca-private-key"),
        ("a key alone", GOOD.leaf.key.clone(), "error client-ca-private-key"),
        ("too many", many, "error client-ca-too-large"),
        ("too much", "x".repeat(64 * 1024 + 1), "error client-ca-too-large"),
        ("a leaf", GOOD.leaf.pem.clone(), "error client-ca-none-usable"),
        ("an expired one", ca_between(-9, -1), "error client-ca-none-usable"),
        ("one to come", ca_between(1, 9), "error client-ca-none-usable"),
    ] {
        let found = judged(&bundle);
        assert!(found.contains(&wanted.to_owned()), "{what}: {found:?}");
        let read = read_authorities(Some(bundle.as_bytes()), false);
        assert!(judge_authorities(&read, &Context::new(now())).is_unusable(), "{what}");
    }
}

#[test]
fn one_of_several_that_can_vouch_for_nobody_is_a_warning() {
    let good = ca("Good");
    for (other, wanted) in [
        (ca_between(-9, -1), vec!["warning client-ca-expired"]),
        (ca_between(1, 900), vec!["warning client-ca-not-yet-valid"]),
        (GOOD.leaf.pem.clone(), vec!["warning client-ca-not-ca"]),
    ] {
        assert_eq!(judged(&format!("{good}{other}")), wanted);
    }
    assert_eq!(judged(&ca_between(-9, 20)), ["warning client-ca-expires-soon"]);
    assert_eq!(judged(&ca_between(-9, 22)), [""; 0]);
}

#[test]
fn a_ca_that_may_not_issue_is_none() {
    let with = |change: fn(&mut rcgen::CertificateParams)| {
        let mut params = authority("CA");
        change(&mut params);
        judged(&root(params).pem())
    };
    let refused = ["error client-ca-none-usable", "warning client-ca-not-ca"];
    assert_eq!(with(|params| params.is_ca = IsCa::ExplicitNoCa), refused);
    assert_eq!(with(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]), refused);
    let server = with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert_eq!(server, ["warning client-ca-purpose"]);
    assert_eq!(with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]), [""; 0]);
    assert_eq!(with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any]), [""; 0]);
    assert_eq!(with(|params| params.key_usages = Vec::new()), [""; 0], "who states nothing may do all");
}

#[test]
fn weak_keys_and_signatures_are_told_and_may_be_lowered() {
    let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size).unwrap();
    let strong = authority("Strong").self_signed(&rsa(RsaKeySize::_2048)).unwrap().pem();
    assert_eq!(judged(&strong), [""; 0]);
    let weak = judged(WEAK);
    assert_eq!(weak, ["error client-ca-weak-key", "warning client-ca-weak-signature"]);
    let read = read_authorities(Some(WEAK.as_bytes()), false);
    let names = ["client-ca-weak-key".to_owned(), "client-ca-none-usable".to_owned()];
    let lowered = judge_authorities(&read, &Context { warn: &names, ..Context::new(now()) });
    assert!(lowered.is_good());
    let ignored = judge_authorities(&read, &Context { ignore: &names, ..Context::new(now()) });
    assert_eq!(ignored.findings.len(), 1);
    let empty = read_authorities(None, false);
    let all: Vec<String> = authority_checks().iter().map(|check| check.name.to_owned()).collect();
    let context = Context { warn: &all, ignore: &all, ..Context::new(now()) };
    assert!(judge_authorities(&empty, &context).is_unusable(), "beyond anybody's say");
}

/// An intermediate with a key of 1024 bits, signed with SHA-1; made once with openssl, its key is gone.
const WEAK: &str = "\
-----BEGIN CERTIFICATE-----
MIICnTCCAYWgAwIBAgIURd9PrSmBsuViRi8JNM+zN1yxi94wDQYJKoZIhvcNAQEF
BQAwFDESMBAGA1UEAwwJV2VhayBSb290MB4XDTI2MTEyMzEzMTMyNloXDTQ2MTEx
ODEzMTMyNlowHDEaMBgGA1UEAwwRV2VhayBJbnRlcm1lZGlhdGUwgZ8wDQYJKoZI
hvcNAQEBBQADgY0AMIGJAoGBALERhIs26KyYIPGfMgiYyk4VPfhHK7rGE8rVndMA
scIk3CrkEqFEeGcseBQE0j4osiHVjGJCIIY9L23rbJLKbkyGdc8/Ddxl8yNPscG3
SI0gnLnAU3EYAVCdeiD/NBBKu4eZHsjrQKCs6HQwIKGGg0BQpxnb2hggBhMSzhLG
n64BAgMBAAGjYzBhMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMB0G
A1UdDgQWBBRRY5C37MOa6UmtYpbuZ3mHwebNiTAfBgNVHSMEGDAWgBQT4yPAs48N
GlOTHO3WHztuSiadCjANBgkqhkiG9w0BAQUFAAOCAQEARmF6bfORvcuLdOtpbp9J
GDN4KRidAnEWu01YTFx8hYPoWQgqRoozqbH0X/FjSscukCdm+u8QnWQlcQcTesR7
3TwPHXujv5lT8g5UKpFadP9EKn4NIkQjaBDbqkLH0ySIiNEMUN0IbQFZMCNUDG0M
MvKq5g8kuaQ1oPVH8RnTGUobGPfIhHtCbRCtaMrgBRJQr7xqKCjVAzUBr4kcTBm4
Y75Ps9yYxKNrbdU/YGcrlFvJEIyHRGvp+1oRE5QnkGjxd5aN7Q6gfk7+mISmzbws
PIVYSrCqEWuZ//ATWOKiI+PYiaFllYFKzFXp3VRDNBYNI8A718l1sg/zN6hd4Ppp
Kg==
-----END CERTIFICATE-----
";

#[test]
fn what_is_put_right_or_left_out_is_told() {
    let (good, other) = (ca("Good"), ca("Other"));
    let crlf = good.replace('\n', "\r\n");
    assert_eq!(judged(&crlf), ["info client-ca-normalised"]);
    assert_eq!(judged(&format!("Subject: Good\n{good}")), ["info client-ca-normalised"]);
    assert_eq!(judged(&format!("{good}{other}{good}")), ["info client-ca-duplicate"]);
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n";
    assert_eq!(judged(&format!("{good}{request}")), ["warning client-ca-unknown-block"]);
    assert_eq!(judged_at(&read_authorities(Some(good.as_bytes()), true), now()), ["error client-ca-revocation-list"]);
    let list = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
    assert_eq!(judged(&format!("{good}{list}")), ["error client-ca-revocation-list"]);
    let (plain, odd) = (read_authorities(Some(good.as_bytes()), false), read_authorities(Some(crlf.as_bytes()), false));
    assert_eq!((plain.fingerprint(), plain.pem()), (odd.fingerprint(), odd.pem()));
    let turned = read_authorities(Some(format!("{other}{good}").as_bytes()), false);
    assert_ne!(turned.fingerprint(), read_authorities(Some(format!("{good}{other}").as_bytes()), false).fingerprint());
}

#[test]
fn time_changes_the_verdict_just_when_it_was_said() {
    let mut authorities = read_authorities(Some(ca_between(1, 60).as_bytes()), false);
    let mut at = now();
    let mut seen = Vec::new();
    while let Some(next) = next_change_of_authorities(&authorities, &Context::new(at)) {
        let before = judged_at(&authorities, next - Duration::seconds(1));
        assert_eq!(judged_at(&authorities, at), before, "nothing changes until {next}");
        at = next;
        seen.push(judged_at(&authorities, at).join(", "));
    }
    let end = ["", "warning client-ca-expires-soon", "error client-ca-none-usable, warning client-ca-expired"];
    assert_eq!(seen, end);
    authorities = read_authorities(None, false);
    assert_eq!(next_change_of_authorities(&authorities, &Context::new(now())), None);
}

#[test]
fn no_byte_of_a_key_is_written_or_shown_and_any_bytes_give_an_answer() {
    let bundle = format!("{}{}", ca("Good"), GOOD.leaf.key);
    let read = read_authorities(Some(bundle.as_bytes()), false);
    let shown = format!("{}{read:?}{:?}", read.pem(), judge_authorities(&read, &Context::new(now())));
    for line in GOOD.leaf.key.lines().filter(|line| !line.starts_with('-')) {
        assert!(!shown.contains(line));
    }
    for bytes in
        [&b"\xff\xfe\x00"[..], b"-----BEGIN ", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", &[0; 9]]
    {
        let read = read_authorities(Some(bytes), false);
        assert!(judge_authorities(&read, &Context::new(now())).is_unusable());
        assert_eq!((read.pem(), read.fingerprint()), (String::new(), None));
    }
}

#[test]
fn every_check_of_a_client_ca_is_shown_here() {
    let source = include_str!("authorities.rs");
    for check in authority_checks() {
        assert!(check.name.starts_with("client-ca-"), "{}", check.name);
        assert!(source.contains(&format!("{}\"", check.name)), "no test has a finding of {}", check.name);
        assert!(check.meaning.ends_with('.') && check.source.len() > 5, "{}", check.name);
    }
}
