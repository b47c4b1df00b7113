use certkeeper::certificate::{Context, Purpose, Supplied, judge, read};
use rcgen::{BasicConstraints, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SerialNumber};

use crate::support::{GOOD, issue, leaf, message, now, on_leaf, told, verdict_in};

#[test]
fn a_leaf_must_be_one_and_fit_for_servers() {
    let mut ca = leaf(&["*.example.com"]);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert!(on_leaf(&ca).contains(&"error leaf-is-ca".to_owned()));

    let mut signs = leaf(&["*.example.com"]);
    signs.key_usages.push(KeyUsagePurpose::KeyCertSign);
    assert_eq!(on_leaf(&signs), ["error leaf-signs-certificates"]);

    let mut client = leaf(&["*.example.com"]);
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert_eq!(on_leaf(&client), ["error purpose"]);

    let mut none = leaf(&["*.example.com"]);
    none.extended_key_usages = vec![];
    assert_eq!(on_leaf(&none), ["warning purpose-unstated"]);

    let mut any = leaf(&["*.example.com"]);
    any.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
    assert_eq!(on_leaf(&any), ["warning purpose-unstated"]);

    let mut no_signature = leaf(&["*.example.com"]);
    no_signature.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    assert_eq!(on_leaf(&no_signature), ["error digital-signature"]);

    let mut unstated = leaf(&["*.example.com"]);
    unstated.key_usages = vec![];
    assert_eq!(on_leaf(&unstated), Vec::<String>::new());
}

#[test]
fn a_clients_certificate_is_asked_for_the_clients_purpose() {
    let mut params = leaf(&["client.example.com"]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let made = issue(&params, &GOOD.intermediate);
    let context = Context { purpose: Purpose::Client, ..Context::new(now()) };
    let verdict = verdict_in(&format!("{}{}", made.pem, GOOD.intermediate.pem()), &made.key, &context);
    assert_eq!(told(&verdict), Vec::<String>::new());
}

#[test]
fn serial_numbers_are_positive_and_of_sane_length() {
    for (serial, expected) in
        [(&[0x7f][..], ""), (&[0x00], "warning serial-unusual"), (&[1; 20], ""), (&[1; 21], "warning serial-unusual")]
    {
        let mut params = leaf(&["*.example.com"]);
        params.serial_number = Some(SerialNumber::from_slice(serial));
        assert_eq!(on_leaf(&params).join(","), expected, "{serial:?}");
    }
}

#[test]
fn critical_extensions_that_nobody_knows_are_refused_and_others_are_not() {
    for critical in [true, false] {
        let mut params = leaf(&["*.example.com"]);
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55738, 1], vec![5, 0]);
        extension.set_criticality(critical);
        params.custom_extensions.push(extension);
        let expected: &[&str] = if critical { &["error critical-extension"] } else { &[] };
        assert_eq!(on_leaf(&params), expected);
    }
}

#[test]
fn a_precertificate_is_called_one() {
    let mut params = leaf(&["*.example.com"]);
    let mut poison = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 3], vec![5, 0]);
    poison.set_criticality(true);
    params.custom_extensions.push(poison);
    assert_eq!(on_leaf(&params), ["error precertificate"]);
}

#[test]
fn an_extension_that_is_there_twice_is_refused() {
    let mut params = leaf(&["*.example.com"]);
    params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![3, 2, 7, 128]));
    assert_eq!(on_leaf(&params), ["error duplicate-extension"]);
}

fn must_staple() -> crate::support::Made {
    let mut params = leaf(&["*.example.com"]);
    params.serial_number = Some(SerialNumber::from_slice(&[0x12, 0x34]));
    params
        .custom_extensions
        .push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], vec![0x30, 3, 2, 1, 5]));
    issue(&params, &GOOD.intermediate)
}

fn element(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    assert!(content.len() < 128);
    [&[tag, content.len() as u8][..], &content].concat()
}

/// An OCSP response about this serial: its status tag, from 2027-05-30 to `next`.
fn response(serial: &[u8], status: u8, next: &str) -> Vec<u8> {
    let id = element(0x30, &[&element(0x30, &[]), &element(4, &[&[1]]), &element(4, &[&[2]]), &element(2, &[serial])]);
    let next = element(0xa0, &[&element(0x18, &[next.as_bytes()])]);
    let single = element(0x30, &[&id, &element(status, &[]), &element(0x18, &[b"20270530000000Z"]), &next]);
    let data = element(
        0x30,
        &[&element(0xa2, &[&element(4, &[&[3]])]), &element(0x18, &[b"20270530000000Z"]), &element(0x30, &[&single])],
    );
    let basic = element(4, &[&element(0x30, &[&data])]);
    element(0x30, &[&element(10, &[&[0]]), &element(0xa0, &[&element(0x30, &[&element(6, &[&[42]]), &basic])])])
}

#[test]
fn a_leaf_that_demands_a_staple_needs_a_current_one_about_itself() {
    let made = must_staple();
    let chain = format!("{}{}", made.pem, GOOD.intermediate.pem());
    let with = |staple: Option<&[u8]>| {
        let facts = read(&Supplied { certificate: Some(chain.as_bytes()), key: Some(made.key.as_bytes()), staple });
        judge(&facts, &Context::new(now()))
    };
    assert_eq!(told(&with(None)), ["error must-staple"]);
    assert_eq!(told(&with(Some(&response(&[0x12, 0x34], 0x80, "20270602000000Z")))), Vec::<String>::new());
    for (staple, expected) in [
        (response(&[0x12, 0x34], 0x80, "20270601000000Z"), "ran out"),
        (response(&[0x12, 0x35], 0x80, "20270602000000Z"), "about the serial 1235"),
        (response(&[0x12, 0x34], 0xa1, "20270602000000Z"), "revoked"),
        (response(&[0x12, 0x34], 0x82, "20270602000000Z"), "does not know"),
        (vec![0x30, 3, 10, 1, 6], "answered with an error"),
        (b"garbage".to_vec(), "no OCSP response"),
    ] {
        let verdict = with(Some(&staple));
        assert_eq!(told(&verdict), ["error staple"]);
        let message = message(&verdict, "staple");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_person_may_lower_a_check_but_never_what_a_gateway_would_refuse() {
    let mut params = leaf(&["*.example.com"]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let made = issue(&params, &GOOD.intermediate);
    let chain = format!("{}{}", made.pem, GOOD.intermediate.pem());
    let names = ["purpose".to_owned(), "pair-mismatch".to_owned(), "key-missing".to_owned()];
    let told_with =
        |warn, ignore, key: &str| told(&verdict_in(&chain, key, &Context { warn, ignore, ..Context::new(now()) }));
    assert_eq!(told_with(&[][..], &[][..], &made.key), ["error purpose"]);
    assert_eq!(told_with(&names, &[], &made.key), ["warning purpose"]);
    assert_eq!(told_with(&[], &names, &made.key), Vec::<String>::new());
    assert_eq!(told_with(&names, &names, &GOOD.leaf.key), ["error pair-mismatch"]);
    assert_eq!(told_with(&names, &names, ""), ["error key-missing"]);
}
