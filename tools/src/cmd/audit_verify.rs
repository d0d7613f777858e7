//! `redoubt audit verify --from HEAD`

use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use redoubt_log::disk::RealDisk;
use redoubt_log::segment::ReadOnlyLog;
use redoubt_search::audit::OnDisk;
use redoubt_search::audit::verify::{Checked, Fits, MOST_HEADS, Report, verify};
use redoubt_search::heads::origin;
use redoubt_store::mailstore::{Layout, NodeFile};

use super::Common;
use super::verify_export::text_upto;
use crate::admin::audit::VerifyWish;
use crate::exit::{Exit, Failure, code_of};
use crate::output;

/// The most octets of a file of heads or keys.
const MAX_FILE: u64 = 64 << 20;

/// Computes chain and Merkle tree anew over all entries of the log, and compares them with heads
/// that were kept where nobody who can write here can write. Exit code 0: the log begins with all
/// of them; 1: it does not, and it is said between which two heads it was changed first; 3: some
/// heads are older than what this log still has.
#[derive(Debug, Args)]
pub struct Verify {
    /// One or more heads, as `redoubt audit head` or a schedule writes them.
    #[arg(long, value_name = "FILE", required = true)]
    from: Vec<PathBuf>,
    /// Keys that sign heads, as `redoubt audit keys` writes them. Without it whoever kept the heads
    /// vouches for them.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Read the log's files themselves, also beside a running server.
    #[arg(long)]
    offline: bool,
}

/// # Errors
/// Files that do not read, and logs that cannot be read.
pub async fn run(common: &Common, verb: Verify) -> anyhow::Result<Exit> {
    let read = |path: &PathBuf| text_upto(path, MAX_FILE);
    let wish = VerifyWish {
        heads: verb.from.iter().map(read).collect::<anyhow::Result<_>>()?,
        keys: verb.key.as_ref().map(read).transpose()?,
    };
    let held = wish.held(None).map_err(|error| Failure::usage(error.to_string()))?;
    if held.heads.len() > MOST_HEADS {
        let text = format!("{} heads at one time are too many", held.heads.len());
        return Err(Failure::usage(text).into());
    }
    if held.keys.as_ref().is_some_and(Vec::is_empty) {
        return Err(Failure::usage("no key is in the file of --key").into());
    }
    let report = match verb.offline {
        true => offline(common, &wish).await?,
        false => match common.client()?.send(Method::POST, "/v1/audit/verify", &wish).await {
            Err(error) if code_of(&error) == Exit::NotReachable => offline(common, &wish).await?,
            report => report?,
        },
    };
    match common.json {
        true => output::json_lines([&report])?,
        false => print(&report, wish.keys.is_some()),
    }
    Ok(match (report.proven(), report.only_before()) {
        (true, _) => Exit::Done,
        (false, true) => Exit::Partly,
        (false, false) => Exit::Failed,
    })
}

/// Out of the data directory, which nothing writes to here.
async fn offline(common: &Common, wish: &VerifyWish) -> anyhow::Result<Report> {
    let data = common.config()?.data;
    let folder = data.join("shards/0/log");
    anyhow::ensure!(folder.is_dir(), "there is no log in {}", folder.display());
    let node = NodeFile::load(&Layout::new(&data))?;
    let held = wish.held(node.map(|node| origin(&node.lineage)))?;
    let read = move || {
        let log = ReadOnlyLog::open(&RealDisk, &folder)?;
        let base = log.base();
        anyhow::Ok(verify(&OnDisk(log), base, &held)?)
    };
    tokio::task::spawn_blocking(read).await?
}

fn print(report: &Report, keys: bool) {
    let wrong = report.heads.iter().filter(|head| head.fits != Fits::Yes);
    let right = report.heads.len() - wrong.clone().count();
    println!(
        "read {} entries from {} to {}, each with its chain; {right} of {} heads fit",
        report.entries,
        report.first,
        report.last.map_or_else(|| "-".to_owned(), |last| last.to_string()),
        report.heads.len()
    );
    for head in wrong {
        println!("{}", said(head));
    }
    if let Some(broken) = &report.broken {
        println!("NOT a whole log: {broken}");
    }
    if let Some(difference) = &report.difference {
        let upto = difference.upto;
        println!(
            "{}",
            match difference.after {
                Some(after) => format!(
                    "CHANGED: entries up to {after} are as they were; the first change is in entries {} to {upto}",
                    after + 1
                ),
                None => format!(
                    "CHANGED: somewhere in the entries up to {upto}; an older head would say nearer where"
                ),
            }
        );
    }
    if !keys {
        println!("signatures were not looked at: with --key they are");
    }
    if report.proven() {
        println!("the log begins with every one of these heads");
    }
}

fn said(head: &Checked) -> String {
    let Checked { index, time, fits, .. } = head;
    let why = match fits {
        Fits::Yes => "fits",
        Fits::Differs => "the log up to there is NOT what it was",
        Fits::BeyondEnd => "the log ENDS before it: entries are gone, or this node lags behind",
        Fits::BeforeLog => "the log begins behind it: nothing can be said",
        Fits::OtherHistory => "it is of ANOTHER history",
        Fits::NotSigned => "none of the keys signed it",
    };
    format!("head at entry {index} ({time}): {why}")
}
