//! Simulations: see docs/testing.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use redoubt_log::world::Mutation;
use redoubt_tests::sim::{Counts, Plan, Run, catches, hold, is_replay, run, seeds};

#[test]
fn one() {
    let runs = hold(&Plan::ONE, &seeds(100));
    let seen = |count: fn(&Counts) -> u64| runs.iter().map(|run| count(&run.counts)).sum::<u64>();
    enough(seen(|counts| counts.restarts) > runs.len() as u64, "nothing was restarted");
    enough(seen(|counts| counts.acknowledged) > 20 * runs.len() as u64, "hardly anything was done");
}

#[test]
fn three() {
    let runs = hold(&Plan::THREE, &seeds(100));
    let terms: u64 = runs.iter().map(|run| run.counts.terms).sum();
    enough(terms > runs.len() as u64, "nobody was elected but the first");
}

#[test]
fn changing() {
    let runs = hold(&Plan::CHANGING, &seeds(60));
    let changes: u64 = runs.iter().map(|run| run.counts.changes).sum();
    enough(changes > 3 * runs.len() as u64, "the members hardly changed");
}

/// The seeds of a test see enough together to prove anything; one that is replayed need not.
fn enough(seen: bool, what: &str) {
    assert!(seen || is_replay(), "{what}");
}

fn sum(runs: &[Run], count: fn(&Counts) -> u64) -> u64 {
    runs.iter().map(|run| count(&run.counts)).sum()
}

#[test]
fn five() {
    let runs = hold(&Plan::FIVE, &seeds(16));
    enough(sum(&runs, |counts| counts.terms) > runs.len() as u64, "nobody was elected");
}

#[test]
fn changing_five() {
    let runs = hold(&Plan::CHANGING_FIVE, &seeds(16));
    enough(sum(&runs, |counts| counts.changes) > 5 * runs.len() as u64, "hardly any changes");
}

#[test]
fn snapshots() {
    let runs = hold(&Plan::SNAPSHOTS, &seeds(50));
    let seeds = runs.len() as u64;
    enough(sum(&runs, |counts| counts.snapshots) > seeds / 2, "hardly any snapshot");
    enough(sum(&runs, |counts| counts.interrupted) > seeds / 5, "hardly any was interrupted");
}

#[test]
fn light() {
    let runs = hold(&Plan::LIGHT, &seeds(30));
    enough(sum(&runs, |counts| counts.snapshots) > runs.len() as u64 / 8, "no snapshots");
}

#[test]
fn mixed() {
    let runs = hold(&Plan::MIXED, &seeds(24));
    enough(sum(&runs, |counts| counts.refused) > runs.len() as u64, "nothing was refused");
    enough(sum(&runs, |counts| counts.exchanged) > runs.len() as u64, "no release was changed");
}

#[test]
fn restored() {
    let runs = hold(&Plan::RESTORED, &seeds(24));
    enough(sum(&runs, |counts| counts.restored) > runs.len() as u64 / 4, "hardly any disk was old");
}

#[test]
fn retained() {
    let_go(&hold(&Plan::RETAINED, &seeds(24)));
}

#[test]
fn retained_alone() {
    let_go(&hold(&Plan::RETAINED_ALONE, &seeds(30)));
}

fn let_go(runs: &[Run]) {
    let seeds = runs.len() as u64;
    enough(sum(runs, |counts| counts.died) > 5 * seeds, "hardly anything died");
    enough(sum(runs, |counts| counts.packs_removed) > seeds, "hardly any pack went");
}

#[test]
fn a_seed_is_a_run() {
    for plan in Plan::ALL {
        assert_eq!(run(&plan, 7), run(&plan, 7), "{}", plan.name);
    }
}

#[test]
fn a_level_that_nobody_was_asked_for_is_noticed() {
    let plan = Plan { mutation: Some(Mutation::LevelUnasked), ..Plan::MIXED };
    noticed(&plan, 20, &["does not know the level", "this program knows 2"]);
}

#[test]
fn an_old_disk_that_is_let_in_is_noticed() {
    let plan = Plan { mutation: Some(Mutation::RestoredLetIn), ..Plan::RESTORED };
    noticed(&plan, 20, &["came back with an older disk", "follower log reversion"]);
}

/// Followers answer with what they have applied.
#[test]
fn reads_that_ask_nobody_are_noticed() {
    let plan = Plan { mutation: Some(Mutation::ReadUnasked), ..Plan::THREE };
    noticed(&plan, 20, &["was acknowledged or read"]);
}

#[test]
fn votes_that_are_not_saved_are_noticed() {
    let plan = Plan { mutation: Some(Mutation::VoteUnsaved), ..Plan::VOTES };
    noticed(
        &plan,
        100,
        &["once voted in term", "two leaders", "differ up to", "where another applied"],
    );
}

fn breaking(rule: Mutation) -> Plan {
    Plan { mutation: Some(rule), ..Plan::ONE }
}

/// A broken rule is noticed, for the reason that it should be.
fn noticed(plan: &Plan, within: u64, reasons: &[&str]) {
    let (seed, what) = catches(plan, within);
    eprintln!("seed {seed}: {what}");
    assert!(reasons.iter().any(|reason| what.contains(reason)), "seed {seed}: {what}");
}

#[test]
fn an_unsynced_log_is_noticed() {
    noticed(&breaking(Mutation::SegmentUnsynced), 20, &["would keep"]);
}

#[test]
fn unsynced_packs_are_noticed() {
    noticed(&Plan { packs_unsynced: true, ..Plan::ONE }, 20, &["without its blob", "is damaged"]);
}

#[test]
fn an_open_gate_is_noticed() {
    noticed(&breaking(Mutation::GateOpen), 20, &["without its blob"]);
}

#[test]
fn packs_synced_after_the_log_are_noticed() {
    noticed(&breaking(Mutation::PackLast), 60, &["without its blob"]);
}

#[test]
fn entries_applied_twice_are_noticed() {
    noticed(&breaking(Mutation::AppliedTwice), 20, &["came after"]);
}

/// The power goes off right behind a snapshot.
#[test]
fn a_snapshot_before_its_blobs_is_noticed() {
    let plan = Plan { mutation: Some(Mutation::SnapshotBlobsUnsynced), ..Plan::SNAPSHOTS };
    noticed(&plan, 60, &["without its blob"]);
}

#[test]
fn stamps_from_the_future_are_noticed() {
    let plan = Plan { mutation: Some(Mutation::StampedAhead), ..Plan::VOTES };
    noticed(&plan, 5, &["ahead of every clock"]);
}

/// Not even the model agrees then.
#[test]
fn holds_that_keep_nothing_are_noticed() {
    let plan = Plan { mutation: Some(Mutation::HoldsIgnored), ..Plan::RETAINED_ALONE };
    noticed(&plan, 10, &["at the end", "begins at", "assertion"]);
}

fn letting_go(rule: Mutation) -> Plan {
    Plan { mutation: Some(rule), ..Plan::RETAINED_ALONE }
}

const LOST: &[&str] = &["without its blob", "at the end", "stopped", "a good record was refused"];

#[test]
fn packs_that_go_before_what_lives_in_them_is_durable_are_noticed() {
    noticed(&letting_go(Mutation::MovedUnsynced), 20, LOST);
}
