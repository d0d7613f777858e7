//! `redoubt-jepsen`: real nodes under faults, and the crash test of one node.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use redoubt_jepsen::check::{self, Verdict};
use redoubt_jepsen::crash;
use redoubt_jepsen::fault::Kind;
use redoubt_jepsen::history;
use redoubt_jepsen::report;
use redoubt_jepsen::rig::selftest;
use redoubt_jepsen::rig::space::{self, Ground};
use redoubt_jepsen::run::{self, Outcome, Plan};
use redoubt_jepsen::workload;
use tokio::signal::unix::{SignalKind, signal};

/// Real nodes under faults.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Runs a cluster under load, strikes faults, heals them, and judges what clients were told.
    Run(Run),
    /// Kills one node again and again under load, and checks after each restart that nothing that
    /// was acknowledged is lost, changed or doubled.
    Crash {
        /// How often the server is killed.
        #[arg(long, default_value_t = 50)]
        rounds: u32,
        /// What chance is made of; a failing run says its seed.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Tries out the namespaces and the links between them with echo servers.
    Selftest,
    /// Judges a recorded history again.
    Check {
        /// What a run has written: history.jsonl.
        file: PathBuf,
    },
    /// Tries out whether namespaces can be had here.
    #[command(hide = true)]
    Probe,
    #[command(hide = true)]
    Echo { node: u32 },
    #[command(hide = true)]
    Knock { node: u32, packets: u32 },
}

#[derive(Debug, Args)]
struct Run {
    /// How many nodes.
    #[arg(long, default_value_t = 3)]
    nodes: u32,
    /// How long faults are struck, in seconds; starting and judging come on top.
    #[arg(long, default_value_t = 150)]
    time: u64,
    /// What chance is made of; the report says it.
    #[arg(long)]
    seed: Option<u64>,
    /// Which faults, separated by commas; all that are possible if none are named.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<Kind>,
    /// Where the report goes: index.html, and the nodes' logs.
    #[arg(long, default_value = "target/jepsen")]
    out: PathBuf,
    /// The size of each node's disk, in MiB; by default what the load may write in that time.
    #[arg(long)]
    disk: Option<u64>,
    /// Within how many seconds behind a fault the cluster must be whole again: more only where
    /// other work keeps the processors busy.
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// Loopback addresses and a proxy, even where namespaces can be had.
    #[arg(long)]
    loopback: bool,
}

fn main() -> ExitCode {
    match Arguments::parse().what {
        What::Run(arguments) => run(&arguments),
        What::Crash { rounds, seed } => crash(rounds, seed.unwrap_or_else(rand::random)),
        What::Selftest => selftest(),
        What::Check { file } => check(&file),
        What::Probe => done(space::probe()),
        What::Echo { node } => done(selftest::echo(node)),
        What::Knock { node, packets } => done(selftest::knock(node, packets)),
    }
}

/// 4 where no namespaces can be had.
fn selftest() -> ExitCode {
    match space::enter(true) {
        Ground::Namespaces => done(selftest::run()),
        Ground::Loopback => {
            eprintln!("no namespaces can be had here");
            ExitCode::from(4)
        }
    }
}

fn done(result: std::io::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("{error}");
    ExitCode::FAILURE
}

fn plan(arguments: &Run, ground: Ground) -> Plan {
    let named = !arguments.faults.is_empty();
    Plan {
        nodes: arguments.nodes,
        time: Duration::from_secs(arguments.time),
        seed: arguments.seed.unwrap_or_else(|| rand::random_range(0..1_000_000)),
        kinds: if named { arguments.faults.clone() } else { Kind::ALL.to_vec() },
        ground,
        disk_bytes: arguments.disk.unwrap_or(1024 + arguments.time) << 20,
        patience: Duration::from_secs(arguments.patience),
        workloads: workload::all(),
        history: arguments.out.join("history.jsonl"),
    }
}

/// The same exit codes as of a run.
fn check(file: &Path) -> ExitCode {
    let (history, finals) = match history::load(file) {
        Ok(loaded) => loaded,
        Err(error) => return done(Err(error)),
    };
    let checked = check::judge(&history, &finals);
    print!("{}", report::checks(&checked));
    code(&check::together(&checked))
}

/// 0 is valid, 1 is invalid, 3 is not proven.
fn run(arguments: &Run) -> ExitCode {
    let ground = space::enter(!arguments.loopback);
    end_when_told();
    let plan = plan(arguments, ground);
    println!("{} nodes on {ground}; seed {}", plan.nodes, plan.seed);
    let outcome = match run::run(&plan) {
        Ok(outcome) => outcome,
        Err(error) => return done(Err(error)),
    };
    if let Err(error) = report::write(&outcome, &arguments.out) {
        eprintln!("the report cannot be written: {error}");
    }
    told(&outcome)
}

/// SIGINT and SIGTERM end the run at once: the first process of a space has no default for them.
/// With it goes all that it made.
fn end_when_told() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let Ok(mut told) = signal(SignalKind::terminate()) else { return };
            tokio::select! {
                _ = told.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            eprintln!("interrupted: no verdict");
            std::process::exit(130);
        });
    });
}

fn told(outcome: &Outcome) -> ExitCode {
    print!("{}", report::text(outcome));
    code(&outcome.verdict())
}

fn code(verdict: &Verdict) -> ExitCode {
    match verdict {
        Verdict::Valid => ExitCode::SUCCESS,
        Verdict::Invalid(_) => ExitCode::FAILURE,
        Verdict::Unknown(_) => ExitCode::from(3),
    }
}

fn crash(rounds: u32, seed: u64) -> ExitCode {
    println!("seed {seed}");
    match crash::run(&crash::Plan::new(rounds, seed)) {
        Ok(report) => println!("{report}"),
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
