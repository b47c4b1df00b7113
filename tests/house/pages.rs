//! Links between the project's own pages.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Targets of `[text](target)` that are neither web addresses nor places on the same page, without their `#place`.
fn links(page: &str) -> Vec<String> {
    let mut fenced = false;
    let prose = page.lines().filter(|line| {
        fenced ^= line.trim_start().starts_with("```");
        !fenced
    });
    prose
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default().to_owned())
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.to_owned(), root.join("docs")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("a folder of pages"));
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    pages
}

#[test]
fn every_link_between_pages_leads_to_a_file() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        let folder = page.parent().expect("a folder");
        for target in links(&text).into_iter().filter(|target| !folder.join(target).exists()) {
            broken.push(format!("{}: {target}", page.display()));
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn links_are_found_in_prose_and_not_in_examples() {
    let page = "See [a](docs/a.md#part), [b](b.md), [web](https://example.com) and [here](#below).\n\
                ```\n[no](no.md)\n```\n[c](../c.md)";
    assert_eq!(links(page), ["docs/a.md", "b.md", "../c.md"]);
}
