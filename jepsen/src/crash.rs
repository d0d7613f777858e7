//! The crash test: SIGKILL at random moments under LMTP and IMAP load.
//!
//! What must hold after each restart: every message that got its 250 is there
//! exactly once with its bytes; what got no answer is there at most once;
//! nothing else is there; no UID stands for two messages; every editor's
//! mailboxes are as they were before or after its last command; `check` is clean.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redoubt_tests::process::Redoubt;

use crate::deliveries::{self, Ledger};
use crate::editor::Editor;

/// Threads that deliver.
const MAILERS: u64 = 4;
/// Sessions that change mailboxes, each in an account of its own.
const EDITORS: u64 = 3;
/// Sessions that read what arrives.
const READERS: u64 = 2;
/// `redoubt check` runs after every so many rounds, and at the end.
const CHECK_EVERY: u32 = 10;

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often the server is killed.
    pub rounds: u32,
    /// What chance is made of.
    pub seed: u64,
    /// How long the load runs before a kill, in milliseconds.
    pub load_ms: Range<u64>,
    /// How many messages are acknowledged at least between a start and the next kill.
    pub least: u64,
    /// Done to the data directory after each kill: a test that the test can fail.
    pub sabotage: Option<fn(&Path)>,
}

impl Plan {
    /// A plan of so many kills.
    pub fn new(rounds: u32, seed: u64) -> Self {
        Self { rounds, seed, load_ms: 30..1500, least: 0, sabotage: None }
    }
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How often the server was killed.
    pub rounds: u32,
    /// Recipients that got their 250.
    pub acknowledged: usize,
    /// Recipients whose answer never came.
    pub unknown: usize,
    /// Of these, how many were there after all.
    pub unknown_present: usize,
    /// Commands of editors that were answered.
    pub edits: u64,
    /// The longest time from start to ready.
    pub slowest_start: Duration,
}

impl Report {
    fn started(&mut self, took: Duration) {
        self.slowest_start = self.slowest_start.max(took);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills: {} deliveries acknowledged, all there once; {} without an answer, {} of them there; \
             {} edits; slowest start {:?}",
            self.rounds,
            self.acknowledged,
            self.unknown,
            self.unknown_present,
            self.edits,
            self.slowest_start
        )
    }
}

/// Runs the plan.
///
/// # Errors
/// What does not hold, and after which kill.
pub fn run(plan: &Plan) -> Result<Report, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut chance = StdRng::seed_from_u64(plan.seed);
    let mut server = Redoubt::start(&folder.path().join("data"));
    prepare(&server);
    let ledger = Ledger::default();
    let mut editors: Vec<Editor> = (0..EDITORS).map(|n| Editor::new(n, plan.seed)).collect();
    let mut report = Report { rounds: plan.rounds, ..Report::default() };
    for round in 0..plan.rounds {
        let load = Duration::from_millis(chance.random_range(plan.load_ms.clone()));
        let load = Load { round, seed: chance.random(), load, least: plan.least };
        under_load(&mut server, &ledger, &mut editors, load);
        plan.sabotage.iter().for_each(|sabotage| sabotage(server.data()));
        report.started(start(&mut server, &mut chance));
        verify(&server, &ledger, &mut editors).map_err(|what| format!("kill {round}: {what}"))?;
        if (round + 1) % CHECK_EVERY == 0 || round + 1 == plan.rounds {
            server.verb(&["check"]);
        }
        ledger.retry_unknown(&server);
    }
    verify(&server, &ledger, &mut editors).map_err(|what| format!("at the end: {what}"))?;
    ledger.count(&mut report);
    report.edits = editors.iter().map(Editor::done).sum();
    server.stop();
    Ok(report)
}

/// Now and then it is killed while it starts, too. How long the last start took.
fn start(server: &mut Redoubt, chance: &mut StdRng) -> Duration {
    if chance.random_ratio(1, 4) {
        server.start_and_kill(Duration::from_millis(chance.random_range(1..400)));
    }
    let started = Instant::now();
    server.start_again();
    started.elapsed()
}

fn verify(server: &Redoubt, ledger: &Ledger, editors: &mut [Editor]) -> Result<(), String> {
    ledger.verify(server)?;
    editors.iter_mut().try_for_each(|editor| editor.verify(server))
}

fn prepare(server: &Redoubt) {
    server.domain("example.org");
    for account in deliveries::ACCOUNTS {
        server.account(account);
    }
    for editor in 0..EDITORS {
        server.account(&Editor::address(editor));
    }
}

#[derive(Clone, Copy)]
struct Load {
    round: u32,
    seed: u64,
    load: Duration,
    least: u64,
}

/// Everything at once until the server is killed in the middle of it.
fn under_load(server: &mut Redoubt, ledger: &Ledger, editors: &mut [Editor], load: Load) {
    let (lmtp, imap) = (server.lmtp(), server.imap());
    let over = AtomicBool::new(false);
    let before = ledger.acknowledged();
    thread::scope(|scope| {
        for mailer in 0..MAILERS {
            let chance = StdRng::seed_from_u64(load.seed ^ mailer);
            let name = format!("r{}m{mailer}", load.round);
            let over = &over;
            scope.spawn(move || deliveries::mailer(ledger, lmtp, &name, chance, over));
        }
        for reader in 0..READERS {
            let account = deliveries::ACCOUNTS[reader as usize];
            let over = &over;
            scope.spawn(move || deliveries::reader(ledger, imap, account, over));
        }
        for editor in editors.iter_mut() {
            let over = &over;
            scope.spawn(move || editor.edit(imap, over));
        }
        wait(load.load);
        let enough = ledger.wait_for(before + load.least);
        server.kill();
        over.store(true, Ordering::SeqCst);
        assert!(enough, "the server acknowledged hardly anything");
    });
}

/// Lets the load run: the moment of the kill is chance, nothing waits for it.
fn wait(time: Duration) {
    thread::park_timeout(time);
}
