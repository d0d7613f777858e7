//! `redoubt-jepsen`: real nodes under faults, and the crash test of one node.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use redoubt_jepsen::crash::{self, Plan};
use redoubt_jepsen::rig::space;

/// Real nodes under faults.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
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
    /// Tries out whether namespaces can be had here.
    #[command(hide = true)]
    Probe,
}

fn main() -> ExitCode {
    match Arguments::parse().what {
        What::Crash { rounds, seed } => crash(rounds, seed.unwrap_or_else(rand::random)),
        What::Probe => probe(),
    }
}

fn probe() -> ExitCode {
    match space::probe() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn crash(rounds: u32, seed: u64) -> ExitCode {
    println!("seed {seed}");
    match crash::run(&Plan::new(rounds, seed)) {
        Ok(report) => println!("{report}"),
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
