use std::collections::HashSet;

use super::*;

#[test]
fn every_check_has_a_name_of_its_own_in_kebab_case_and_says_what_it_is_for() {
    let mut names = HashSet::new();
    for check in checks() {
        assert!(names.insert(check.name), "{} is there twice", check.name);
        assert!(
            check.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "{}",
            check.name
        );
        assert!(check.meaning.ends_with('.') && check.source.len() > 5, "{}", check.name);
    }
}

#[test]
fn documentation_of_the_checks_is_the_table_itself() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/checks.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, documentation()).expect("docs/checks.md can be written");
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page == documentation(), "docs/checks.md is stale: run `UPDATE=1 cargo test --lib documentation`");
}
