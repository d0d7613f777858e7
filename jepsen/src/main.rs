//! `redoubt-jepsen`: the crash test for as many rounds as wished.

use std::process::ExitCode;

use clap::Parser;
use redoubt_jepsen::crash::{self, Plan};

/// Kills the server again and again under load, and checks after each restart
/// that nothing that was acknowledged is lost, changed or doubled.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often the server is killed.
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// What chance is made of; a failing run says its seed.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    match crash::run(&Plan::new(arguments.rounds, seed)) {
        Ok(report) => println!("{report}"),
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
