//! Files that are made from the code are what the code would make today.

use certkeeper::{
    api, certificate,
    gateway::{REASONS, wire},
    lifecycle::Reason,
};

fn is_current(file: &str, wanted: &str) {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, wanted).expect("the file can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{file} is stale: run `UPDATE=1 cargo test --test generated`");
}

/// The part of a page between `<!-- name -->` and `<!-- /name -->`.
fn part_is_current(file: &str, name: &str, wanted: &str) {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let page = std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).expect("a page");
    let (before, rest) = page.split_once(&begin).expect("where the part begins");
    let (_, after) = rest.split_once(&end).expect("where the part ends");
    is_current(file, &format!("{before}{begin}{wanted}{end}{after}"));
}

#[test]
fn the_tables_of_the_page_on_probe_are_those_of_the_code() {
    let reasons =
        REASONS.iter().map(|reason| format!("| `{}` | {} | {} |\n", reason.name, reason.meaning, reason.remedy));
    let table: String = reasons.collect();
    part_is_current("docs/probe.md", "reasons", &format!("| reason | meaning | what to do |\n|---|---|---|\n{table}"));
    let checks = wire::CHECKS
        .iter()
        .map(|check| format!("| `{}` | {} | {} | {} |\n", check.name, check.severity, check.meaning, check.source));
    let table: String = checks.collect();
    let head = "| finding | severity | what should hold | source |\n|---|---|---|---|\n";
    part_is_current("docs/probe.md", "policy", &format!("{head}{table}"));
}

#[test]
fn the_page_of_checks_is_the_table_itself() {
    is_current("docs/checks.md", &certificate::documentation());
}

#[test]
fn the_page_of_conditions_names_every_reason() {
    is_current("docs/conditions.md", &Reason::documentation());
}

#[test]
fn crds_holds_what_certkeeper_crds_prints() {
    is_current("crds/gatewaycertificates.yaml", &api::crds_yaml().expect("YAML"));
}

#[test]
fn the_schema_of_check_is_that_of_its_types() {
    is_current("docs/check.schema.json", &certkeeper::cli::check_schema());
}

#[test]
fn the_schema_of_probe_is_that_of_its_types() {
    is_current("docs/probe.schema.json", &certkeeper::cli::probe_schema());
}
