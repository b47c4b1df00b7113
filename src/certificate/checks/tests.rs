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
