//! docs/compliance.md names commands that are there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::process::Command;

use redoubt_tests::page::Page;
use redoubt_tests::process::binary;

#[test]
fn every_command_is_one() {
    let page = Page::read("compliance.md");
    let named = page.text().split('`').skip(1).step_by(2);
    let commands: BTreeSet<&str> = named.filter_map(|code| code.strip_prefix("redoubt ")).collect();
    assert!(commands.len() > 40, "{}", commands.len());
    for command in commands {
        let words = command.split_whitespace().take_while(|word| !word.starts_with("--"));
        let words: Vec<&str> = words.collect();
        let out = Command::new(binary()).args(&words).arg("--help").output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let usage = format!("Usage: redoubt {}", words.join(" "));
        assert!(out.status.success() && said.contains(&usage), "{command}: {said}");
        for option in command.split_whitespace().filter(|word| word.starts_with("--")) {
            assert!(said.contains(option), "{command}: there is no {option}");
        }
    }
}

/// Every row says what is asked for, what is done, what shows it, and what is not done.
#[test]
fn every_clause_says_what_shows_it() {
    let page = Page::read("compliance.md");
    let rows =
        page.text().lines().filter(|line| line.starts_with("| ") && !line.contains("| shown by |"));
    let mut clauses = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 5, "{row}");
        assert!(cells[3].contains("`redoubt "), "{row}");
        clauses += 1;
    }
    assert!(clauses > 30, "{clauses}");
}
