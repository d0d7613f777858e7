//! Housekeeping as code: the order of the parts, what must never be where, and
//! documents that say what is so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each part and those it may import.
const ORDER: [(&str, &[&str]); 9] = [
    ("log", &[]),
    ("store", &["log"]),
    ("extract", &[]),
    ("search", &["log", "store", "extract"]),
    ("snapshot", &["log", "store"]),
    ("protocols", &["log", "store", "extract", "search"]),
    ("tools", &["log", "store", "extract", "search", "snapshot", "protocols"]),
    ("tests", &["log", "store", "extract", "search", "snapshot", "protocols", "tools"]),
    ("jepsen", &["log", "store", "extract", "search", "snapshot", "protocols", "tools", "tests"]),
];

/// Words that stand only in these places.
const ONLY_IN: [(&str, &[&str]); 7] = [
    ("openraft", &["log/src/raft", "log/tests/", "tools/src/telemetry.rs"]),
    ("rocksdb::", &["log/src/blob", "log/src/databases.rs", "store/src/"]),
    ("tantivy::", &["search/src/index"]),
    ("bincode::", &["log/src/codec.rs"]),
    (".propose(", &["store/src/mailstore", "log/src/raft", "log/tests/", "tests/src/sim"]),
    ("mail_parser", &["store/src/mime", "store/src/search", "extract/src/formats"]),
    ("unsafe {", &[]),
];

/// What `apply` must not read: the record carries what it needs.
const NOT_IN_APPLY: [&str; 9] = [
    "Timestamp::now",
    "SystemTime",
    "Instant::",
    "rand::",
    "std::env",
    "std::fs",
    "std::net::Tcp",
    "HashMap",
    "HashSet",
];

const LONGEST_FILE: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn files(extension: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    walk(&root(), extension, &mut found);
    found
}

fn walk(folder: &Path, extension: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && !name.starts_with("redoubt-data") {
                walk(&path, extension, found);
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            let relative = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            found.insert(relative, fs::read_to_string(&path).unwrap());
        }
    }
}

/// Lines of code: without comments, with their numbers from 1.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn assert_none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn parts_import_only_those_to_their_left() {
    let mut wrong = Vec::new();
    for (part, allowed) in ORDER {
        let manifest = fs::read_to_string(root().join(part).join("Cargo.toml")).unwrap();
        for line in manifest.lines().filter_map(|line| line.strip_prefix("redoubt-")) {
            let imported = line.split(['.', ' ', '=']).next().unwrap();
            if !allowed.contains(&imported) && imported != part {
                wrong.push(format!("{part} imports {imported}"));
            }
        }
    }
    assert_none("the order is log, store, snapshot and protocols, tools, tests and jepsen", wrong);
}

#[test]
fn each_tool_stays_where_it_belongs() {
    let mut wrong = Vec::new();
    for (file, text) in files("rs").iter().filter(|(file, _)| *file != "tests/tests/tidy.rs") {
        for (word, places) in ONLY_IN {
            if places.iter().any(|place| file.starts_with(place)) {
                continue;
            }
            let lines = code(text).filter(|(_, line)| line.contains(word));
            wrong.extend(lines.map(|(number, line)| format!("{file}:{number}: {line}")));
        }
    }
    assert_none("these stand where they must not", wrong);
}

/// Else a simulation would not be a function of its seed.
#[test]
fn the_log_takes_threads_time_and_randomness_from_one_place() {
    const WORLD: [&str; 7] = [
        "tokio::spawn",
        "spawn_blocking(",
        "thread::Builder",
        "rand::random",
        "SystemTime",
        "std::time::Instant::now",
        "tokio::sync::watch",
    ];
    let mut wrong = Vec::new();
    for (file, text) in files("rs") {
        let inside = file.starts_with("log/src/") && !file.starts_with("log/src/world");
        if !inside || file.contains("/tests") || file.ends_with("raft/runtime.rs") {
            continue;
        }
        let lines: Vec<_> = code(&text).collect();
        for pair in lines.windows(2) {
            let unfair = pair[0].1.contains("select! {") && !pair[1].1.contains("biased;");
            if unfair || WORLD.iter().any(|word| pair[0].1.contains(word)) {
                wrong.push(format!("{file}:{}: {}", pair[0].0, pair[0].1));
            }
        }
    }
    assert_none("these are asked of `world`, and select! is biased", wrong);
}

#[test]
fn apply_reads_only_the_record_and_the_state() {
    let sources = files("rs");
    let apply: Vec<_> =
        sources.iter().filter(|(file, _)| file.starts_with("store/src/apply")).collect();
    assert!(!apply.is_empty(), "store/src/apply is gone: tell this test where it is");
    let mut wrong = Vec::new();
    for (file, text) in apply {
        for (number, line) in code(text) {
            if NOT_IN_APPLY.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{file}:{number}: {line}"));
            }
        }
    }
    assert_none("apply must be a function of record and state alone", wrong);
}

#[test]
fn nothing_is_left_undone_or_slept_over() {
    let mut wrong = Vec::new();
    for (file, text) in files("rs").iter().filter(|(file, _)| *file != "tests/tests/tidy.rs") {
        let is_test = file.contains("tests/") || file.starts_with("jepsen/");
        for (number, line) in code(text) {
            let undone = ["todo!(", "unimplemented!(", "#[ignore", "FIXME", "dbg!("];
            let slept = is_test && (line.contains("thread::sleep") || line.contains("time::sleep"));
            if slept || undone.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{file}:{number}: {line}"));
            }
        }
    }
    assert_none("undone, ignored, or a sleep in a test", wrong);
}

#[test]
fn files_hold_one_idea() {
    let long = files("rs").into_iter().map(|(file, text)| (file, text.lines().count()));
    let long = long.filter(|(_, lines)| *lines > LONGEST_FILE);
    assert_none(
        "split these",
        long.map(|(file, lines)| format!("{file}: {lines} lines")).collect(),
    );
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    for (file, text) in files("md") {
        let folder = root().join(&file).parent().unwrap().to_path_buf();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            if !path.is_empty() && !path.contains("://") && !folder.join(path).exists() {
                wrong.push(format!("{file}: {link}"));
            }
        }
    }
    assert_none("links that lead nowhere", wrong);
}

#[test]
fn every_dependency_has_its_line() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let document = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let names = section.lines().take_while(|line| !line.starts_with('[')).filter_map(|line| {
        line.split_once(" = ").map(|(name, _)| name).filter(|name| !name.starts_with("redoubt-"))
    });
    let missing = names.filter(|name| !document.contains(&format!("`{name}`")));
    assert_none("not in docs/dependencies.md", missing.map(String::from).collect());
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let mut wrong = Vec::new();
    for (file, text) in files("rs").into_iter().chain(files("md")).chain(files("toml")) {
        if file == "tests/tests/tidy.rs" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if ["/root/", "/work/", "helper-", "subagent"].iter().any(|word| line.contains(word)) {
                wrong.push(format!("{file}:{}: {line}", number + 1));
            }
        }
    }
    assert_none("paths of a machine, or talk of how it was made", wrong);
}
