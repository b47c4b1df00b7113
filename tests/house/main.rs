//! The house's walls: which room may import which, what the pure rooms may not touch, how long a file may get.
//!
//! `docs/architecture.md` says why. A new room or a new edge is an argument first and a line in [`MAY_IMPORT`] then.

mod pages;
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

use source::{paths, test_only_decisions};

/// Each room of `src/` with the rooms it may import. `lib` is the map of the house and declares them all.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["api", "certificate", "clock", "cluster", "controller", "gateway", "issuer", "lifecycle", "telemetry"]),
    ("controller", &["api", "certificate", "clock", "cluster", "gateway", "lifecycle", "telemetry"]),
    ("cluster", &["api", "certificate", "clock", "lifecycle"]),
    ("gateway", &["certificate", "clock"]),
    ("issuer", &["api", "certificate", "clock", "cluster"]),
    ("lifecycle", &["certificate"]),
    ("telemetry", &["clock"]),
    ("certificate", &[]),
    ("api", &[]),
    ("clock", &[]),
];

/// Rooms that decide and never do: the same input gives the same answer, whatever the world is like.
const PURE: &[&str] = &["certificate", "lifecycle"];

/// What a pure room may not name: the cluster, the runtime, logs, chance.
const NOT_IN_PURE: &[&str] = &["kube", "k8s_openapi", "tokio", "tracing", "rand", "fastrand"];

/// Parts of std that reach outside. An `IpAddr` is only a value. Unit tests may: they compare generated files.
const NOT_IN_PURE_STD: &[&str] = &["env", "fs", "process", "thread", "TcpStream", "TcpListener", "UdpSocket"];

/// Reading the time is the clock's alone: everybody else is told. Rooms that are not pure may measure how long
/// something takes with tokio's `Instant`, the one that a paused runtime stops and moves.
const READS_TIME: &[&str] = &[
    "Utc::now",
    "Local::now",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "OffsetDateTime::now_utc",
];

/// About 500 lines is what a reader holds in mind; the rest is grace.
const LONGEST: usize = 520;

/// What is wrong with one file; `name` is its path below `src/`.
fn objections(name: &str, text: &str) -> Vec<String> {
    let file = Path::new(name);
    let mut wrong = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST {
        wrong.push(format!("{name}: {lines} lines, at most {LONGEST}: divide it"));
    }
    for line in test_only_decisions(text) {
        wrong.push(format!("{name}:{line}: cfg(test) on something that is no module: take it through a seam instead"));
    }
    let room = room_of(file);
    if room == "lib" {
        return wrong;
    }
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(known, _)| *known == room) else {
        wrong.push(format!("{name}: the room `{room}` is not in MAY_IMPORT: say there what it may import"));
        return wrong;
    };
    let named = paths(text);
    let imports = |whole: &str| named.iter().any(|named| named.path.join("::") == whole);
    let measures = imports("tokio::time::Instant") && !imports("std::time::Instant") && !PURE.contains(&room.as_str());
    let tests_begin = first_line_of_tests(file, text);
    for named in &named {
        let path: Vec<&str> = named.path.iter().map(String::as_str).collect();
        if measures && path == ["Instant", "now"] {
            continue;
        }
        if named.line >= tests_begin && matches!(path[..], ["std", ..]) && !path.ends_with(&["now"]) {
            continue;
        }
        if let Some(objection) = object_to(file, &room, allowed, &path) {
            wrong.push(format!("{name}:{}: {objection}", named.line));
        }
    }
    wrong
}

/// The line on which a file's unit tests begin; past its end where there are none.
fn first_line_of_tests(file: &Path, text: &str) -> usize {
    let inline = || text.lines().position(|line| line.trim_start().starts_with("mod tests {")).map(|index| index + 1);
    if file.file_stem().is_some_and(|stem| stem == "tests") { 0 } else { inline().unwrap_or(usize::MAX) }
}

fn object_to(file: &Path, room: &str, allowed: &[&str], path: &[&str]) -> Option<String> {
    let whole = path.join("::");
    if let Some(other) = imported_room(file, path)
        && other != room
    {
        if other == "*" {
            return Some(format!("`{whole}` hides which rooms are used: name them"));
        }
        if MAY_IMPORT.iter().any(|(known, _)| *known == other) && !allowed.contains(&other) {
            return Some(format!("`{whole}`: {room} may not import {other}, only {allowed:?}"));
        }
    }
    if room != "clock" && READS_TIME.iter().any(|read| whole == *read || whole.ends_with(&format!("::{read}"))) {
        return Some(format!("`{whole}`: only src/clock.rs reads the time, take it as an argument or from a Clock"));
    }
    let outside = path.first().is_some_and(|first| NOT_IN_PURE.contains(first))
        || matches!(path, ["std", parts @ ..] if parts.iter().any(|part| NOT_IN_PURE_STD.contains(part)));
    (PURE.contains(&room) && outside).then(|| format!("`{whole}`: {room} is pure and may not use it"))
}

/// The room that a path leads to: through `crate`, the crate's own name, or enough `super`s to reach the root.
fn imported_room<'a>(file: &Path, path: &[&'a str]) -> Option<&'a str> {
    match path {
        ["crate" | "certkeeper", room, ..] => Some(room),
        ["self" | "super", ..] => {
            let steps = path.iter().skip_while(|part| **part == "self").take_while(|part| **part == "super").count();
            let after = path.iter().find(|part| !["self", "super"].contains(part)).copied();
            if steps >= depth(file) {
                after.filter(|room| MAY_IMPORT.iter().any(|(known, _)| known == room))
            } else {
                None
            }
        }
        _ => None,
    }
}

/// How many modules a file is below the root: `cluster/mod.rs` is 1, `cluster/gather.rs` is 2.
fn depth(file: &Path) -> usize {
    file.components().count() - usize::from(file.file_stem().is_some_and(|stem| stem == "mod"))
}

/// The first part of a path below `src/`, without `.rs`.
fn room_of(file: &Path) -> String {
    let first = file.components().next().map(|part| PathBuf::from(part.as_os_str())).unwrap_or_default();
    first.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// All `.rs` files below `folder`, as paths relative to it, in order.
fn files(folder: &Path, below: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder.join(below)).unwrap_or_else(|error| panic!("read {}: {error}", below.display()));
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    for name in names {
        let path = below.join(name);
        if folder.join(&path).is_dir() {
            files(folder, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

#[test]
fn every_room_keeps_to_its_walls() {
    let source = house().join("src");
    let mut found = Vec::new();
    files(&source, Path::new(""), &mut found);
    assert!(found.len() > 5, "found only {found:?}: is this the right folder?");
    let wrong: Vec<String> =
        found.iter().flat_map(|file| objections(&file.to_string_lossy(), &read(&source.join(file)))).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files_of_tests_examples_and_benchmarks_are_no_longer_than_those_of_the_house() {
    let mut wrong = Vec::new();
    for folder in ["tests", "examples", "benches"].map(|name| house().join(name)).iter().filter(|path| path.is_dir()) {
        let mut found = Vec::new();
        files(folder, Path::new(""), &mut found);
        for file in found {
            let lines = read(&folder.join(&file)).lines().count();
            if lines > LONGEST {
                wrong.push(format!("{}: {lines} lines, at most {LONGEST}", folder.join(file).display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_cycle() {
    for (room, _) in MAY_IMPORT {
        let mut reached: Vec<&str> = Vec::new();
        let mut next = vec![*room];
        while let Some(at) = next.pop() {
            for other in MAY_IMPORT.iter().filter(|(known, _)| *known == at).flat_map(|(_, allowed)| *allowed) {
                assert_ne!(other, room, "{room} reaches itself through {at}");
                if !reached.contains(other) {
                    reached.push(other);
                    next.push(other);
                }
            }
        }
    }
}

#[test]
fn what_breaks_a_wall_is_noticed() {
    let bad = [
        ("certificate/chain.rs", "use crate::lifecycle::Plan;", "certificate may not import lifecycle"),
        ("certificate/mod.rs", "use super::cluster;", "certificate may not import cluster"),
        ("certificate/chain.rs", "use super::super::cluster::gather;", "certificate may not import cluster"),
        ("lifecycle/decide.rs", "fn f(x: crate::api::Spec) {}", "lifecycle may not import api"),
        ("cluster/apply.rs", "use crate::{api, controller::run};", "cluster may not import controller"),
        ("main.rs", "use certkeeper::controller;", "main may not import controller"),
        ("cli/run.rs", "use crate::*;", "hides which rooms"),
        ("lifecycle/decide.rs", "async fn f() { tokio::time::sleep(x).await }", "lifecycle is pure"),
        ("certificate/pem.rs", "use std::{collections::BTreeMap, fs};", "certificate is pure"),
        ("certificate/pem.rs", "mod tests {\n fn f() { std::time::SystemTime::now() } }", "reads the time"),
        ("certificate/pem.rs", "mod tests {\n use tokio::test; }", "certificate is pure"),
        ("certificate/pem.rs", "tracing::warn!(\"x\")", "certificate is pure"),
        ("controller/mod.rs", "let now = chrono::Utc::now();", "only src/clock.rs reads the time"),
        ("gateway/probe.rs", "let begin = std::time::Instant::now();", "only src/clock.rs reads the time"),
        ("certificate/pem.rs", "use std::net::{IpAddr, TcpStream};", "certificate is pure"),
        ("lifecycle/decide.rs", "fn f() { Instant::now() }", "only src/clock.rs reads the time"),
        (
            "cluster/lease.rs",
            "use std::time::Instant; fn f(x: tokio::time::Instant) { Instant::now() }",
            "only src/clock.rs reads the time",
        ),
        ("attic/mod.rs", "", "`attic` is not in MAY_IMPORT"),
        ("cluster/mod.rs", "#[cfg(test)]\nconst RETRIES: u8 = 1;", "cfg(test)"),
    ];
    for (name, text, expected) in bad {
        let wrong = objections(name, text);
        assert_eq!(wrong.len(), 1, "{name} `{text}`: {wrong:?}");
        assert!(wrong[0].contains(expected), "{name} `{text}`: {wrong:?}");
    }
    let long = "// a line\n".repeat(LONGEST + 1);
    assert!(objections("api/mod.rs", &long)[0].contains("divide it"));
}

#[test]
fn what_keeps_to_the_walls_passes() {
    let good = [
        ("certificate/chain.rs", "use super::{facts::Facts, verdict}; use chrono::{DateTime, Utc};"),
        ("certificate/chain.rs", "mod tests { use super::super::verdict::Verdict; }"),
        ("cluster/apply.rs", "use crate::{api::Spec, lifecycle::Action, cluster::gather}; use kube::Api;"),
        ("lifecycle/decide.rs", "/// See crate::cluster::apply and tokio::time.\nuse crate::certificate::Pair;"),
        ("certificate/checks/tests.rs", "use std::fs;"),
        ("certificate/pem.rs", "#[cfg(test)]\nmod tests {\n    use std::{env, fs};\n}"),
        ("cluster/lease.rs", "use tokio::time::{Instant, sleep}; fn f() { Instant::now() }"),
        ("clock.rs", "fn now() -> DateTime<Utc> { Utc::now() }"),
        ("main.rs", "fn main() { certkeeper::cli::main() }"),
        ("lib.rs", "pub mod api; pub use crate::cluster::Thing;"),
    ];
    for (name, text) in good {
        assert_eq!(objections(name, text), Vec::<String>::new(), "{name} `{text}`");
    }
}
