//! Many seeds, and how to run one of them again.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use super::{Plan, Run, run};

/// Which seeds to run: `SEED` alone, or as many as `SEEDS` says (else `usual`),
/// from `FROM` on.
pub fn seeds(usual: u64) -> Vec<u64> {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("SEED") {
        Some(seed) => vec![seed],
        None => {
            let from = number("FROM").unwrap_or(1);
            (from..from + number("SEEDS").unwrap_or(usual)).collect()
        }
    }
}

/// Whether one seed alone is run, as after a failure.
pub fn is_replay() -> bool {
    env::var_os("SEED").is_some()
}

/// Runs a seed; a panic is a failure as any other.
fn attempt(plan: &Plan, seed: u64) -> Result<Run, String> {
    match catch_unwind(AssertUnwindSafe(|| run(plan, seed))) {
        Ok(result) => result,
        Err(panic) => Err(match panic.downcast_ref::<String>() {
            Some(text) => format!("panicked: {text}"),
            None => format!("panicked: {:?}", panic.downcast_ref::<&str>()),
        }),
    }
}

/// Runs seeds, some at a time.
fn all(plan: &Plan, seeds: &[u64]) -> Vec<(u64, Result<Run, String>)> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = |n| seeds.iter().skip(n).step_by(threads).copied().collect::<Vec<u64>>();
    thread::scope(|scope| {
        let run = |seeds: Vec<u64>| {
            move || seeds.into_iter().map(|seed| (seed, attempt(plan, seed))).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..threads).map(|n| scope.spawn(run(share(n)))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Everything holds for all seeds; panics with how to run again one for which it
/// does not. Gives what the runs have seen.
pub fn hold(plan: &Plan, seeds: &[u64]) -> Vec<Run> {
    let mut failed = Vec::new();
    let mut runs = Vec::new();
    for (seed, result) in all(plan, seeds) {
        match result {
            Ok(run) => runs.push(run),
            Err(what) => failed.push(format!(
                "{what}\n    again: SEED={seed} cargo test --workspace --test sim {} -- --exact",
                plan.name
            )),
        }
    }
    let (count, of) = (failed.len(), seeds.len());
    assert!(failed.is_empty(), "{count} of {of} seeds failed:\n  {}", failed.join("\n  "));
    runs
}

/// A broken rule must be noticed by one of the first `within` seeds.
pub fn catches(plan: &Plan, within: u64) -> (u64, String) {
    let caught = (1..=within).find_map(|seed| attempt(plan, seed).err().map(|what| (seed, what)));
    caught.unwrap_or_else(|| panic!("{:?} was not noticed by {within} seeds", plan.mutation))
}
