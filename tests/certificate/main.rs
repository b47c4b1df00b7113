//! The checks of certificates, on material that is made here: each finding shown by the smallest thing that has it.

mod authorities;
mod chains;
mod containers;
mod keys;
mod leaves;
mod names;
mod never_panics;
mod profiles;
mod secrecy;
mod support;
mod times;

#[test]
fn every_check_is_shown_by_some_test() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificate");
    let sources: String = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    for check in certkeeper::certificate::checks() {
        // Either as `severity name` in a list of findings, or by its name alone where its message is looked at.
        let shown = ["\"", "\"error ", "\"warning ", "\"info "]
            .iter()
            .any(|before| sources.contains(&format!("{before}{}\"", check.name)));
        assert!(shown, "no test has a finding of {}", check.name);
    }
}
