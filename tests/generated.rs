//! Files that are made from the code are what the code would make today.

use certkeeper::certificate::documentation;

#[test]
fn the_page_of_checks_is_the_table_itself() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/checks.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, documentation()).expect("docs/checks.md can be written");
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page == documentation(), "docs/checks.md is stale: run `UPDATE=1 cargo test --test generated`");
}
