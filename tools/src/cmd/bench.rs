//! `redoubt bench`

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Common;
use crate::bench::{self, Options, Part};
use crate::exit::{Exit, Failure};

/// Measures this machine's disk, a fresh server on it, and others beside it; docs/benchmarks.md.
#[derive(Debug, Args)]
pub struct Bench {
    /// Where to write, on the disk that is to be measured.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Measured seconds of each load.
    #[arg(long, value_name = "N", default_value_t = 6)]
    seconds: u64,
    /// Connections of each load.
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 8, 64])]
    connections: Vec<usize>,
    /// Emails of the mailbox that IMAP works on.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    emails: u64,
    /// Idle IMAP sessions.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    idle: usize,
    /// Emails of the large mailbox.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    large: u64,
    /// Leaders of a cluster that are killed; cut off and handed over is a third as often.
    #[arg(long, value_name = "N", default_value_t = 30)]
    failovers: usize,
    /// Emails that a cluster has when another node joins it under load.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    joining: u64,
    /// Deliveries a second beside a node that joins; as many as can be, unless named.
    #[arg(long, value_name = "N")]
    joining_rate: Option<u32>,
    /// Each node that joins, and what it joins, on a processor of its own
    #[arg(long)]
    joining_apart: bool,
    /// Where nodes that join under load write, on a disk of their own.
    #[arg(long, value_name = "DIR")]
    others: Option<PathBuf>,
    /// Three nodes under full load for so many seconds, elections counted; an hour with
    /// `--only steady` alone.
    #[arg(long, value_name = "N")]
    steady: Option<u64>,
    /// Emails that are searched over 2,000 accounts.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    discovery: u64,
    /// Keep the mail that is searched here: the next run need not fill and index it again.
    #[arg(long, value_name = "DIR")]
    mail: Option<PathBuf>,
    /// Dovecot's mailbox format: maildir, sdbox or mdbox.
    #[arg(long, value_name = "FORMAT", default_value = "maildir")]
    dovecot_format: String,
    /// Where Cyrus' programs are: /usr, or where its packages were unpacked.
    #[arg(long, value_name = "DIR", default_value = "/usr")]
    cyrus: PathBuf,
    /// Only these parts; all but `steady` and `discovery` unless named.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Not these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    skip: Vec<Part>,
    /// Print the tables as Markdown (they are aligned, so this is the default).
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Leave the data behind.
    #[arg(long)]
    keep: bool,
}

/// # Errors
/// Options that make no sense, or a folder that cannot be made.
pub async fn run(common: &Common, verb: Bench) -> anyhow::Result<Exit> {
    let parts = parts(&verb);
    let options = Options {
        dir: verb.dir,
        time: Duration::from_secs(verb.seconds),
        connections: verb.connections,
        emails: verb.emails,
        idle: verb.idle,
        large: verb.large,
        failovers: verb.failovers,
        joining: verb.joining,
        joining_rate: verb.joining_rate,
        joining_apart: verb.joining_apart,
        others: verb.others,
        steady: Duration::from_secs(verb.steady.unwrap_or(3600)),
        discovery: verb.discovery,
        mail: verb.mail,
        dovecot_format: verb.dovecot_format,
        cyrus: verb.cyrus,
        parts,
        keep: verb.keep,
        live: !common.json,
    };
    bench::check(&options).map_err(|error| Failure::usage(error.to_string()))?;
    let report = bench::run(options).await?;
    if common.json {
        println!("{}", report.json());
    } else {
        report.end(&mut io::stdout().lock())?;
    }
    Ok(if report.is_whole() { Exit::Done } else { Exit::Partly })
}

/// The long ones are measured only when they are asked for.
fn parts(verb: &Bench) -> Vec<Part> {
    let all = <Part as clap::ValueEnum>::value_variants();
    let asked = |part: &Part| match part {
        Part::Steady => verb.steady.is_some(),
        Part::Discovery => false,
        _ => true,
    };
    let named = |part: &&Part| match verb.only.is_empty() {
        true => asked(part),
        false => verb.only.contains(part),
    };
    all.iter().filter(named).filter(|part| !verb.skip.contains(part)).copied().collect()
}
