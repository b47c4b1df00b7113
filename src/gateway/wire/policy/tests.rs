use super::*;

fn outcome(accepted: bool) -> Outcome {
    if accepted { Outcome::Accepted("X".to_owned()) } else { Outcome::Refused("alert 40".to_owned()) }
}

/// A server that accepts these versions and suites, and redirects.
fn server(accepted: &[Version], names: &[&str]) -> Observed {
    Observed {
        versions: Version::ALL.iter().map(|version| (*version, outcome(accepted.contains(version)))).collect(),
        suites: suites().iter().map(|suite| (*suite, outcome(names.contains(&suite.name)))).collect(),
        redirect: Some(Redirect::ToHttps { status: 301, location: "https://a/".to_owned() }),
    }
}

const MODERN: [Version; 2] = [Version::Tls12, Version::Tls13];

/// What was found, but for the hint that goes with it.
fn names(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.check.name).filter(|name| *name != "policy-stuck").collect()
}

fn found(observed: &Observed, key: &str) -> Vec<&'static str> {
    names(&judge(&Expectation::kyma(), observed, Some(key)).1)
}

#[test]
fn a_gateway_that_keeps_kymas_policy_has_no_finding_and_every_row_holds() {
    let (rows, findings) = judge(&Expectation::kyma(), &server(&MODERN, &KYMA_SUITES), Some("RSA 2048"));
    assert_eq!(findings, []);
    assert_eq!(rows.len(), 4 + suites().len() + 1);
    assert!(rows.iter().all(|row| row.holds == Some(true)), "{rows:?}");
}

#[test]
fn each_difference_is_a_finding_of_its_own() {
    let good = || server(&MODERN, &KYMA_SUITES);
    let cases: Vec<(&str, Observed, &[&str])> = vec![
        ("old versions", server(&Version::ALL, &KYMA_SUITES), &["policy-old-version", "policy-old-version"]),
        ("no TLS 1.3", server(&[Version::Tls12], &KYMA_SUITES), &["policy-newest-version"]),
        ("no TLS 1.2", server(&[Version::Tls13], &[]), &["policy-version-refused"]),
        ("one suite", server(&MODERN, &KYMA_SUITES[..1]), &["policy-suite-missing"]),
        ("one too many", server(&MODERN, &[&KYMA_SUITES[..], &["AES128-SHA"]].concat()), &["policy-suite-outside"]),
        (
            "no redirect",
            Observed { redirect: Some(Redirect::Other { status: 200, location: None }), ..good() },
            &["policy-redirect"],
        ),
        (
            "a temporary one",
            Observed { redirect: Some(Redirect::ToHttps { status: 302, location: "https://a/".to_owned() }), ..good() },
            &["policy-redirect-temporary"],
        ),
        (
            "nobody at port 80",
            Observed { redirect: Some(Redirect::Closed(String::new())), ..good() },
            &["policy-unknown"],
        ),
        ("not asked", Observed { redirect: None, ..good() }, &[]),
    ];
    for (what, observed, wanted) in cases {
        assert_eq!(found(&observed, "RSA 2048"), wanted, "{what}");
    }
}

#[test]
fn an_ecdsa_key_behind_a_list_for_rsa_is_what_is_told_and_not_each_suite() {
    let refused = server(&[Version::Tls13], &[]);
    assert_eq!(found(&refused, "ECDSA P-256"), ["policy-suites-key"]);
    let list = Some(vec!["ECDHE-ECDSA-AES128-GCM-SHA256".to_owned()]);
    let fitting = Expectation { suites: list, ..Expectation::kyma() };
    assert_eq!(names(&judge(&fitting, &refused, Some("ECDSA P-256")).1), ["policy-version-refused"]);
}

#[test]
fn questions_without_an_answer_are_one_finding_and_prove_nothing() {
    let silent = || Outcome::Unknown("timed out".to_owned());
    let mut observed = server(&MODERN, &KYMA_SUITES);
    observed.versions.iter_mut().for_each(|(_, outcome)| *outcome = silent());
    observed.suites.iter_mut().for_each(|(_, outcome)| *outcome = silent());
    let (rows, findings) = judge(&Expectation::kyma(), &observed, None);
    assert_eq!(names(&findings), ["policy-unknown"]);
    assert_eq!(rows.iter().filter(|row| row.holds.is_none()).count(), 4 + suites().len());
}

#[test]
fn another_expectation_moves_the_floor_and_the_list() {
    let lax = Expectation { min_version: Version::Tls10, suites: None, redirect: false, ..Expectation::kyma() };
    let mut observed = server(&Version::ALL, &["AES128-SHA"]);
    observed.redirect = Some(Redirect::Other { status: 200, location: None });
    let (rows, findings) = judge(&lax, &observed, Some("RSA 2048"));
    assert_eq!(findings, []);
    assert!(rows.iter().filter(|row| row.subject.starts_with("TLS")).all(|row| row.holds == Some(true)));
    let strict = Expectation { min_version: Version::Tls13, ..Expectation::kyma() };
    assert_eq!(names(&judge(&strict, &server(&MODERN, &[]), None).1), ["policy-old-version"]);
    let old = Expectation { max_version: Version::Tls12, ..Expectation::kyma() };
    assert_eq!(names(&judge(&old, &server(&MODERN, &KYMA_SUITES), None).1), ["policy-new-version"]);
}

#[test]
fn a_setting_that_may_be_stuck_is_told_once_with_its_way_out() {
    let hints = |observed: &Observed, key| {
        let (_, findings) = judge(&Expectation::kyma(), observed, Some(key));
        findings.into_iter().filter(|finding| finding.check.name == "policy-stuck").collect::<Vec<_>>()
    };
    let old = hints(&server(&Version::ALL, &KYMA_SUITES[..2]), "RSA 2048");
    assert_eq!(old.len(), 1, "{old:?}");
    assert!(old[0].message.contains("refused that edit while a bad pair was stored"), "{old:?}");
    assert!(old[0].remedy.contains("restart"), "{old:?}");
    assert_eq!(hints(&server(&MODERN, &KYMA_SUITES), "RSA 2048"), [], "nothing differs");
    assert_eq!(hints(&server(&[Version::Tls13], &[]), "ECDSA P-256"), [], "another certificate is what helps");
}

#[test]
fn a_listed_suite_that_cannot_be_asked_for_is_told_and_not_passed_over() {
    let list = KYMA_SUITES.iter().map(ToString::to_string).chain(["ECDHE-RSA-ARIA256-GCM-SHA384".to_owned()]);
    let expectation = Expectation { suites: Some(list.collect()), ..Expectation::kyma() };
    let (_, findings) = judge(&expectation, &server(&MODERN, &KYMA_SUITES), None);
    assert_eq!(findings.iter().map(|finding| finding.check.name).collect::<Vec<_>>(), ["policy-unknown"]);
    assert!(findings[0].message.contains("ARIA256"), "{findings:?}");
}

#[test]
fn every_check_is_named_for_the_policy_and_says_where_it_comes_from() {
    for check in CHECKS {
        assert!(check.name.starts_with("policy-") && !check.meaning.is_empty() && !check.source.is_empty());
    }
    let mut names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CHECKS.len());
}

#[test]
fn a_gateways_own_words_become_what_is_expected_of_it() {
    let suites = || vec!["ECDHE-RSA-AES128-GCM-SHA256".to_owned()];
    for (min, max, list, expected) in [
        ("", "", vec![], (Version::Tls12, Version::Tls13, None)),
        ("TLS_AUTO", "TLS_AUTO", vec![], (Version::Tls12, Version::Tls13, None)),
        ("TLSV1_0", "TLSV1_1", vec![], (Version::Tls10, Version::Tls11, None)),
        ("TLSV1_3", "", suites(), (Version::Tls13, Version::Tls13, Some(suites()))),
        ("TLSV1_2", "TLSV1_2", suites(), (Version::Tls12, Version::Tls12, Some(suites()))),
    ] {
        let found = Expectation::of_gateway(min, max, &list, false);
        assert_eq!((found.min_version, found.max_version, found.suites), expected, "{min} {max}");
    }
    let kymas: Vec<String> = KYMA_SUITES.iter().map(ToString::to_string).collect();
    assert_eq!(Expectation::of_gateway("TLSV1_2", "", &kymas, true), Expectation::kyma());
}

#[test]
fn suites_for_another_kind_of_key_are_not_missed_where_some_fit_the_leafs() {
    let list: Vec<String> =
        ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"].iter().map(ToString::to_string).collect();
    let expectation = Expectation::of_gateway("", "", &list, true);
    for (accepted, key, expected) in [
        (&["ECDHE-RSA-AES128-GCM-SHA256"][..], "RSA 2048", &[][..]),
        (&["ECDHE-ECDSA-AES128-GCM-SHA256"], "ECDSA P-256", &[]),
        (&["ECDHE-RSA-AES128-SHA"], "RSA 2048", &["policy-suite-outside", "policy-suite-missing"]),
    ] {
        let (rows, findings) = judge(&expectation, &server(&MODERN, accepted), Some(key));
        assert_eq!(names(&findings), expected, "{accepted:?} {key}");
        assert_eq!(rows.iter().all(|row| row.holds != Some(false)), expected.is_empty(), "{accepted:?} {key}");
    }
}
