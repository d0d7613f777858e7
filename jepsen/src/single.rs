//! All workloads against one node that is killed again and again; then the checks.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redoubt_tests::process::Redoubt;

use crate::check::{self, Checked, NodeState};
use crate::history::{self, History};
use crate::target::{Target, Targets};
use crate::workload::{self, Running};

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often the node is killed.
    pub kills: u32,
    /// How long the load runs before each kill, at most.
    pub load: Duration,
    /// What chance is made of.
    pub seed: u64,
}

/// Runs the load, and judges it. The history is written to `file`, if there is one.
pub fn run(plan: &Plan, file: Option<&Path>) -> Vec<Checked> {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Redoubt::start(&folder.path().join("data"));
    let workloads = workload::all();
    let accounts: Vec<String> = workloads.iter().flat_map(|workload| workload.accounts()).collect();
    server.domain("example.org");
    accounts.iter().for_each(|account| server.account(account));
    let targets = Targets::default();
    targets.replace(vec![target(&server)]);
    let origin = Instant::now();
    let running: Vec<Box<dyn Running>> =
        workloads.iter().map(|workload| workload.start(&targets, origin, plan.seed)).collect();
    let mut chance = StdRng::seed_from_u64(plan.seed);
    for _ in 0..plan.kills {
        wait(chance.random_range(plan.load / 4..plan.load));
        server.kill();
        server.start_again();
        targets.replace(vec![target(&server)]);
    }
    wait(plan.load);
    let mut history = History::default();
    running.into_iter().for_each(|running| history.merge(running.stop()));
    let deadline = Instant::now() + Duration::from_secs(30);
    let state: NodeState = check::read(&target(&server), &accounts, deadline).unwrap();
    server.stop();
    let finals = [(1, state)];
    if let Some(file) = file {
        history::save(file, &history, &finals).unwrap();
    }
    check::judge(&history, &finals)
}

fn target(server: &Redoubt) -> Target {
    Target { node: 1, lmtp: server.lmtp(), imap: server.imap() }
}

/// Lets the load run: the moment of the kill is chance, nothing waits for it.
fn wait(time: Duration) {
    thread::park_timeout(time);
}
