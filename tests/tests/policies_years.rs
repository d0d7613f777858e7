//! Policies, holds, labels and everything that people do with mail, over simulated years: nothing
//! that is kept is ever lost, and nothing stays that was to go. `SEED=n` lives one life again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use redoubt_log::world::Mutation;
use redoubt_tests::sim::{is_replay, seeds};
use redoubt_tests::years::{Seen, run};

#[test]
fn what_is_kept_stays_and_what_is_due_goes() {
    let (mut lives, mut failed) = (Vec::new(), Vec::new());
    for seed in seeds(24) {
        match run(seed, None) {
            Ok(seen) => lives.push(seen),
            Err(what) => failed.push(format!("SEED={seed}: {what}")),
        }
    }
    assert!(failed.is_empty(), "{} failed:\n  {}", failed.len(), failed.join("\n  "));
    let sum = |count: fn(&Seen) -> u64| lives.iter().map(count).sum::<u64>();
    let count = lives.len() as u64;
    eprintln!(
        "{count} lives: {} emails, {} taken, {} of them by queries, {} trimmed, {} kept beyond the history, {} days",
        sum(|seen| seen.emails),
        sum(|seen| seen.purged),
        sum(|seen| seen.found),
        sum(|seen| seen.trimmed),
        sum(|seen| seen.kept),
        sum(|seen| seen.days),
    );
    let enough = sum(|seen| seen.purged) > 3 * count
        && sum(|seen| seen.found) > count / 4
        && sum(|seen| seen.trimmed) > count
        && sum(|seen| seen.kept) > count
        && sum(|seen| seen.days) > 2 * 365 * count;
    assert!(enough || is_replay(), "hardly anything happened");
}

#[test]
fn a_seed_is_a_life() {
    assert_eq!(run(7, None), run(7, None));
}

/// A rule that is broken is noticed, for the reason that it should be.
fn noticed(rule: Mutation, reasons: &[&str]) {
    let first = (1..=40).find_map(|seed| run(seed, Some(rule)).err().map(|what| (seed, what)));
    let (seed, what) = first.unwrap_or_else(|| panic!("{rule:?} was not noticed"));
    eprintln!("seed {seed}: {what}");
    assert!(reasons.iter().any(|reason| what.contains(reason)), "seed {seed}: {what}");
}

#[test]
fn holds_that_keep_nothing_are_noticed() {
    noticed(
        Mutation::HoldsIgnored,
        &["it is held, and was taken", "its history goes", "is lost", "is dead and needed"],
    );
}

#[test]
fn floors_that_leave_by_a_move_are_noticed() {
    noticed(Mutation::FloorLeaves, &["keeps it, and", "is lost", "is dead and needed"]);
}

#[test]
fn policies_that_act_at_once_are_noticed() {
    noticed(Mutation::PolicyUnwaited, &["does not take it yet", "keeps it, and", "is lost"]);
}
