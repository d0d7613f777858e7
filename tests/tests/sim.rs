//! Simulations: see docs/testing.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use redoubt_log::world::Mutation;
use redoubt_tests::sim::{Plan, catches, hold, run, seeds};

#[test]
fn one() {
    let runs = hold(&Plan::ONE, &seeds(40));
    eprintln!("{runs:#?}");
}

#[test]
fn three() {
    let runs = hold(&Plan::THREE, &seeds(40));
    eprintln!("{runs:#?}");
}

#[test]
fn changing() {
    let runs = hold(&Plan::CHANGING, &seeds(40));
    eprintln!("{runs:#?}");
}

#[test]
fn a_seed_is_a_run() {
    assert_eq!(run(&Plan::ONE, 7), run(&Plan::ONE, 7));
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
