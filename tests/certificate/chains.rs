use certkeeper::certificate::{Context, RevocationLists, Roots, Supplied, judge, read};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer as Signer, KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints, RevokedCertParams, SerialNumber,
};

use crate::support::{
    GOOD, Issuer, Made, authority, date, intermediate, issue, leaf, message, now, root, told, verdict, verdict_in,
};

/// The verdict on a leaf under an intermediate of these parameters, under the good root.
fn under(params: CertificateParams) -> Vec<String> {
    let intermediate = intermediate(params, &GOOD.root);
    let made = issue(&leaf(&["*.example.com"]), &intermediate);
    told(&verdict(&format!("{}{}", made.pem, intermediate.pem()), &made.key))
}

#[test]
fn a_shuffled_chain_is_put_in_order() {
    let (leaf, middle, root) = (&GOOD.leaf.pem, GOOD.intermediate.pem(), GOOD.root.pem());
    // Clients have their roots.
    let right = format!("{leaf}{middle}");
    for (shuffled, mended) in [
        (format!("{leaf}{middle}{root}"), false),
        (format!("{leaf}{root}{middle}"), true),
        (format!("{middle}{leaf}{root}"), true),
        (format!("{root}{middle}{leaf}"), true),
    ] {
        for key in [GOOD.leaf.key.as_bytes(), b""] {
            let facts = read(&Supplied { certificate: Some(shuffled.as_bytes()), key: Some(key), staple: None });
            let verdict = judge(&facts, &Context { key_expected: false, ..Context::new(now()) });
            assert_eq!(told(&verdict).contains(&"warning chain-order".to_owned()), mended);
            assert!(told(&verdict).contains(&"info root-included".to_owned()));
            assert!(verdict.is_good(), "{:?}", told(&verdict));
            assert_eq!(facts.leaf().unwrap().subject, "CN=*.example.com");
            if let Some(pair) = facts.pair() {
                assert_eq!(pair.certificate_pem(), right);
            }
        }
    }
}

#[test]
fn a_certificate_that_belongs_to_nothing_is_left_out() {
    let stranger = root(authority("Stranger"));
    let chain = format!("{}{}{}", GOOD.leaf.pem, stranger.pem(), GOOD.intermediate.pem());
    let facts =
        read(&Supplied { certificate: Some(chain.as_bytes()), key: Some(GOOD.leaf.key.as_bytes()), staple: None });
    let verdict = judge(&facts, &Context::new(now()));
    assert_eq!(told(&verdict), ["warning unrelated-certificate"]);
    assert!(message(&verdict, "unrelated-certificate").starts_with("certificate 2 of 3, CN=Stranger"));
    assert_eq!(facts.pair().unwrap().certificate_pem(), GOOD.chain());
}

#[test]
fn a_leaf_alone_is_a_warning_and_an_error_where_it_says_that_its_issuer_publishes_more() {
    let alone = verdict(&GOOD.leaf.pem, &GOOD.leaf.key);
    assert_eq!(told(&alone), ["warning leaf-alone"]);

    let mut params = leaf(&["*.example.com"]);
    // AuthorityInfoAccess with one caIssuers entry.
    let uri = b"http://ca.example/i.crt";
    let description = [&[6, 8, 0x2b, 6, 1, 5, 5, 7, 48, 2, 0x86, uri.len() as u8][..], uri].concat();
    let content = [&[0x30, description.len() as u8 + 2, 0x30, description.len() as u8][..], &description].concat();
    params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], content));
    let made = issue(&params, &GOOD.intermediate);
    let verdict = verdict(&made.pem, &made.key);
    assert_eq!(told(&verdict), ["error missing-intermediate"]);
    let remedy = &verdict.findings[0].remedy;
    assert!(remedy.contains("http://ca.example/i.crt") && remedy.contains("key identifier"), "{remedy}");
}

#[test]
fn a_gap_in_the_chain_is_a_missing_intermediate() {
    let gap = verdict(&format!("{}{}", GOOD.leaf.pem, GOOD.root.pem()), &GOOD.leaf.key);
    assert_eq!(told(&gap), ["error missing-intermediate", "warning unrelated-certificate"]);
    assert!(message(&gap, "missing-intermediate").contains("CN=Intermediate"));
}

#[test]
fn a_signature_by_another_key_is_seen_although_the_names_fit() {
    let impostor = intermediate(authority("Intermediate"), &GOOD.root);
    let verdict = verdict(&format!("{}{}", GOOD.leaf.pem, impostor.pem()), &GOOD.leaf.key);
    assert_eq!(verdict.errors().count(), 1, "{:?}", told(&verdict));
    assert!(message(&verdict, "bad-signature").contains("certificate 2 of 2, CN=Intermediate"));
}

#[test]
fn issuers_must_be_allowed_to_issue() {
    let mut no_ca = authority("No CA");
    no_ca.is_ca = IsCa::ExplicitNoCa;
    no_ca.key_usages = vec![];
    assert!(under(no_ca).contains(&"error issuer-not-ca".to_owned()));

    let mut no_signing = authority("No signing");
    no_signing.key_usages = vec![KeyUsagePurpose::CrlSign];
    assert_eq!(under(no_signing), ["error issuer-key-usage"]);

    let mut mail = authority("Mail");
    mail.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    assert_eq!(under(mail), ["error issuer-purpose"]);

    let mut servers = authority("Servers");
    servers.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert_eq!(under(servers), Vec::<String>::new());
}

#[test]
fn path_lengths_count_the_intermediates_below() {
    let told_with = |length: u8| {
        let mut params = authority("Upper");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
        let upper = intermediate(params, &GOOD.root);
        let lower = intermediate(authority("Lower"), &upper);
        let made = issue(&leaf(&["*.example.com"]), &lower);
        told(&verdict(&format!("{}{}{}", made.pem, lower.pem(), upper.pem()), &made.key))
    };
    assert_eq!(told_with(0), ["error path-length"]);
    assert_eq!(told_with(1), Vec::<String>::new());
}

#[test]
fn name_constraints_bind_what_is_below() {
    let constrained = |permitted: &[&str], excluded: &[&str]| {
        let subtrees = |names: &[&str]| names.iter().map(|n| GeneralSubtree::DnsName((*n).to_owned())).collect();
        let mut params = authority("Constrained");
        params.name_constraints =
            Some(NameConstraints { permitted_subtrees: subtrees(permitted), excluded_subtrees: subtrees(excluded) });
        under(params)
    };
    assert_eq!(constrained(&["example.com"], &[]), Vec::<String>::new());
    assert_eq!(constrained(&["example.org"], &[]), ["error name-constraints"]);
    assert_eq!(constrained(&["a.example.com"], &[]), ["error name-constraints"]);
    assert_eq!(constrained(&[], &["example.com"]), ["error name-constraints"]);
    assert_eq!(constrained(&[], &["a.example.com"]), ["error name-constraints"], "*.example.com may be a.example.com");
    assert_eq!(constrained(&[], &["example.org"]), Vec::<String>::new());
}

#[test]
fn a_path_leads_to_a_given_root_or_says_where_it_ends() {
    let roots = GOOD.roots();
    let context = Context { roots: Some(&roots), ..Context::new(now()) };
    assert_eq!(told(&verdict_in(&GOOD.chain(), &GOOD.leaf.key, &context)), Vec::<String>::new());
    let with_root = format!("{}{}", GOOD.chain(), GOOD.root.pem());
    assert_eq!(told(&verdict_in(&with_root, &GOOD.leaf.key, &context)), ["info root-included"]);

    let others = Roots::from_pem(root(authority("Other root")).pem().as_bytes()).unwrap();
    let context = Context { roots: Some(&others), ..Context::new(now()) };
    let elsewhere = verdict_in(&GOOD.chain(), &GOOD.leaf.key, &context);
    assert_eq!(told(&elsewhere), ["error path-to-root"]);
    assert!(message(&elsewhere, "path-to-root").starts_with("certificate 2 of 2, CN=Intermediate"));

    let alone = verdict_in(&GOOD.leaf.pem, &GOOD.leaf.key, &Context { roots: Some(&roots), ..Context::new(now()) });
    assert_eq!(told(&alone), ["error path-to-root"]);
}

#[test]
fn roots_that_are_none_are_refused_with_the_place() {
    assert!(Roots::from_pem(b"").unwrap_err().contains("no CERTIFICATE block"));
    assert!(Roots::from_pem(b"hello").is_err());
    let cut = &GOOD.root.pem()[..200];
    assert!(Roots::from_pem(cut.as_bytes()).unwrap_err().contains("line 1"));
}

/// One key under two issuers: an intermediate and its cross-signed twin, which has expired.
fn cross_signed() -> (String, Made, Issuer, Issuer) {
    let (new_root, old_root) = (root(authority("New root")), root(authority("Old root")));
    let key = KeyPair::generate().unwrap();
    let mut params = authority("Shared");
    params.key_identifier_method = KeyIdMethod::PreSpecified(vec![7; 20]);
    let new = params.signed_by(&key, &new_root).unwrap().pem();
    let mut old = params.clone();
    old.not_after = date(now() - chrono::Duration::days(30));
    let old = old.signed_by(&key, &old_root).unwrap().pem();
    let made = {
        let leaf_key = KeyPair::generate().unwrap();
        let pem = leaf(&["*.example.com"]).signed_by(&leaf_key, &Signer::from_params(&params, &key)).unwrap().pem();
        Made { pem, key: leaf_key.serialize_pem() }
    };
    (format!("{}{old}{new}", made.pem), made, new_root, old_root)
}

#[test]
fn of_two_paths_the_valid_one_counts() {
    let (chain, made, new_root, old_root) = cross_signed();
    let without = verdict(&chain, &made.key);
    assert_eq!(told(&without), ["warning spare-expired"]);
    assert!(message(&without, "spare-expired").starts_with("certificate 2 of 3, CN=Shared"));

    let judged = |root: &Issuer| {
        let roots = Roots::from_pem(root.pem().as_bytes()).unwrap();
        told(&verdict_in(&chain, &made.key, &Context { roots: Some(&roots), ..Context::new(now()) }))
    };
    assert_eq!(judged(&new_root), ["warning spare-expired"]);
    assert_eq!(judged(&old_root), ["error expired"], "the other path ends at no given root");
    let both = format!("{}{}", old_root.pem(), new_root.pem());
    let roots = Roots::from_pem(both.as_bytes()).unwrap();
    let told = told(&verdict_in(&chain, &made.key, &Context { roots: Some(&roots), ..Context::new(now()) }));
    assert_eq!(told, ["warning spare-expired"]);
}

#[test]
fn an_expired_root_is_refused_and_called_a_root() {
    let mut params = authority("Gone root");
    params.not_after = date(now() - chrono::Duration::days(1));
    let gone = root(params);
    let made = issue(&leaf(&["*.example.com"]), &gone);
    let roots = Roots::from_pem(gone.pem().as_bytes()).unwrap();
    let verdict = verdict_in(&made.pem, &made.key, &Context { roots: Some(&roots), ..Context::new(now()) });
    assert!(message(&verdict, "expired").starts_with("root, CN=Gone root"));
}

#[test]
fn a_self_signed_leaf_is_told_unless_it_is_a_given_root() {
    let key = KeyPair::generate().unwrap();
    let pem = leaf(&["*.example.com"]).self_signed(&key).unwrap().pem();
    let key = key.serialize_pem();
    assert_eq!(told(&verdict(&pem, &key)), ["warning self-signed"]);
    let roots = Roots::from_pem(pem.as_bytes()).unwrap();
    let trusted = verdict_in(&pem, &key, &Context { roots: Some(&roots), ..Context::new(now()) });
    assert_eq!(told(&trusted), Vec::<String>::new());
}

fn list(number: u64, revoked: &[u8], signer: &Issuer) -> RevocationLists {
    let entry = |serial: &u8| RevokedCertParams {
        serial_number: SerialNumber::from_slice(&[*serial]),
        revocation_time: date(now()),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date(now()),
        next_update: date(now() + chrono::Duration::days(1)),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    RevocationLists::from_pem(params.signed_by(signer).unwrap().pem().unwrap().as_bytes()).unwrap()
}

#[test]
fn a_revoked_certificate_is_refused_by_its_own_issuers_list_alone() {
    let mut params = leaf(&["*.example.com"]);
    params.serial_number = Some(SerialNumber::from_slice(&[77]));
    let made = issue(&params, &GOOD.intermediate);
    let chain = format!("{}{}", made.pem, GOOD.intermediate.pem());
    let told_with = |lists: &RevocationLists, after: i64| {
        let context = Context { revocations: Some(lists), ..Context::new(now() + chrono::Duration::days(after)) };
        told(&verdict_in(&chain, &made.key, &context))
    };
    assert_eq!(told_with(&list(1, &[77], &GOOD.intermediate), 0), ["error revoked"]);
    assert_eq!(told_with(&list(1, &[78], &GOOD.intermediate), 0), Vec::<String>::new());
    assert_eq!(told_with(&list(1, &[77], &GOOD.root), 0), Vec::<String>::new());
    assert_eq!(told_with(&list(1, &[78], &GOOD.intermediate), 2), ["warning revocation-list"]);
    let impostor = intermediate(authority("Intermediate"), &GOOD.root);
    assert_eq!(told_with(&list(1, &[77], &impostor), 0), ["warning revocation-list"]);
}

#[test]
fn a_hostile_chain_is_judged_in_bounded_time() {
    // Sixty CAs of one name and one key, each of which may have issued each other one.
    let key = KeyPair::generate().unwrap();
    let params = authority("Same");
    let signer = Signer::from_params(&params, &key);
    let mut chain = leaf(&["*.example.com"]).signed_by(&KeyPair::generate().unwrap(), &signer).unwrap().pem();
    for _ in 0..60 {
        chain.push_str(&params.signed_by(&key, &signer).unwrap().pem());
    }
    let roots = GOOD.roots();
    let begin = std::time::Instant::now();
    let verdict = verdict_in(&chain, "", &Context { roots: Some(&roots), ..Context::new(now()) });
    assert!(!verdict.is_good());
    assert!(begin.elapsed() < std::time::Duration::from_secs(5), "{:?}", begin.elapsed());
}
