//! Files that are made from the code are what the code would make today.

use certkeeper::{api, certificate, lifecycle::Reason};

fn is_current(file: &str, wanted: &str) {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, wanted).expect("the file can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{file} is stale: run `UPDATE=1 cargo test --test generated`");
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
