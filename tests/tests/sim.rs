//! Simulations: see docs/testing.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use redoubt_tests::sim::{Plan, hold, run, seeds};

#[test]
fn one() {
    let runs = hold(&Plan::ONE, &seeds(40));
    eprintln!("{runs:#?}");
}

#[test]
fn a_seed_is_a_run() {
    assert_eq!(run(&Plan::ONE, 7), run(&Plan::ONE, 7));
}
