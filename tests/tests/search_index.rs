//! The indexes for search on a real node: killed at any moment, damaged or removed, every search
//! finds what is there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

use std::path::{Path, PathBuf};

use redoubt_tests::cluster::{PATIENCE, until};
use redoubt_tests::imap::Imap;
use redoubt_tests::process::Redoubt;
use serde_json::Value;

fn mail(n: usize) -> Vec<u8> {
    let odd = if n % 2 == 1 { "odd" } else { "even" };
    format!(
        "From: Ann{n} <ann{n}@example.net>\r\nSubject: number {n} is {odd}\r\n\
         Date: Tue, 1 Jul 2003 10:52:37 +0200\r\n\r\nThe quick fox no{n}x jumped, {odd} it is.\r\n"
    )
    .into_bytes()
}

fn alice(node: &Redoubt) -> Imap {
    let mut imap = Imap::login(node.imap(), "alice").unwrap();
    imap.ok("SELECT INBOX").unwrap();
    imap
}

fn append(node: &Redoubt, numbers: std::ops::Range<usize>) {
    let mut imap = alice(node);
    for n in numbers {
        assert!(imap.append("INBOX", "", &mail(n)).unwrap().is_ok());
    }
}

/// Searches that only an index makes fast, and what they must find among so many messages.
fn all_found(node: &Redoubt, count: usize) {
    let mut imap = alice(node);
    let mut found = |keys: &str| imap.ok(&format!("UID SEARCH {keys}")).unwrap().search().len();
    let odd = count / 2;
    for (keys, expected) in [
        ("SUBJECT \"s od\"", odd),
        ("SUBJECT umbe", count),
        ("BODY \"mped, odd\"", odd),
        ("BODY jumped NOT TEXT odd", count - odd),
        ("FROM ann5@example", usize::from(count > 5)),
        ("BODY o7x", usize::from(count > 7)),
        ("TEXT nowhere", 0),
        ("SENTON 1-Jul-2003", count),
        ("SENTBEFORE 1-Jul-2003", 0),
        ("OR BODY no1x BODY no2x", 2),
        ("UNSEEN BODY fox", count),
    ] {
        assert_eq!(found(keys), expected, "{keys} of {count}");
    }
}

fn index(node: &Redoubt) -> Value {
    let status: Value = serde_json::from_str(&node.verb(&["status", "--json"])).unwrap();
    status["index"].clone()
}

fn indexed(node: &Redoubt) {
    let done = until(PATIENCE, || {
        let status = index(node);
        (status["accounts_behind"] == 0 && !status["position"].is_null()).then_some(())
    });
    assert!(done.is_some(), "{:#}", index(node));
}

fn start(data: &Path) -> Redoubt {
    let node = Redoubt::start_with(data, &[("REDOUBT_SEARCH_WAIT_SECONDS", "0")]);
    node.domain("example.org");
    node.account("alice@example.org");
    node
}

fn files(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(data.join("shards/0/index")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            found.push(file.unwrap().path());
        }
    }
    found.sort();
    found
}

#[test]
fn killed_at_any_moment_it_is_right_after_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = start(folder.path());
    for round in 0..4 {
        append(&node, round * 25..(round + 1) * 25);
        if round == 2 {
            // Somewhere within what follows: an index is being written.
            all_found(&node, 75);
        }
        node.kill();
        node.start_again();
        all_found(&node, (round + 1) * 25);
    }
    indexed(&node);
    all_found(&node, 100);
    assert_eq!(index(&node)["rebuilt"], 0);
    node.stop();
}

#[test]
fn damaged_or_removed_it_is_built_anew_and_searches_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = start(folder.path());
    append(&node, 0..30);
    indexed(&node);
    all_found(&node, 30);
    node.stop();
    // Of a segment that the list of files names: others are what a stop left of a merge.
    let is_listed = |file: &std::path::PathBuf| {
        let list = std::fs::read_to_string(file.with_file_name("meta.json")).unwrap();
        let segment = file.file_stem().unwrap().to_str().unwrap().to_owned();
        file.extension().unwrap() == "store" && list.replace('-', "").contains(&segment)
    };
    let store = files(folder.path()).into_iter().find(is_listed).unwrap();
    let mut octets = std::fs::read(&store).unwrap();
    octets[20] ^= 0x40;
    std::fs::write(&store, octets).unwrap();
    node.start_again();
    all_found(&node, 30);
    indexed(&node);
    let rebuilt = until(PATIENCE, || (index(&node)["rebuilt"] == 1).then_some(()));
    assert!(rebuilt.is_some(), "{:#}", index(&node));
    all_found(&node, 30);
    std::fs::remove_dir_all(folder.path().join("shards/0/index")).unwrap();
    all_found(&node, 30);
    append(&node, 30..60);
    all_found(&node, 60);
    let noticed = until(PATIENCE, || (index(&node)["rebuilt"] == 2).then_some(()));
    assert!(noticed.is_some(), "{:#}", index(&node));
    indexed(&node);
    all_found(&node, 60);
    for arguments in [&["rebuild", "--index"][..], &["rebuild", "--index", "alice@example.org"]] {
        let said = node.verb(arguments);
        assert!(said.contains("60 emails indexed"), "{said}");
        all_found(&node, 60);
    }
    node.stop();
}
