//! `redoubt check`: through the running server, or on a stopped data directory.

use clap::Args;
use hyper::Method;
use redoubt_store::mailstore::{Mailstore, Verdict};

use super::Common;
use crate::exit::{Exit, code_of};
use crate::output;
use crate::verify::{Report, verify};

/// Reads everything and says what is wrong.
#[derive(Debug, Args)]
pub struct Check {
    /// Compares what all nodes have at one index instead, and names the first row that differs.
    #[arg(long)]
    peers: bool,
    /// Runs the scrub now instead: reads everything at its rate, and repairs from peers.
    #[arg(long, conflicts_with = "peers")]
    repair: bool,
}

/// # Errors
/// When nothing could be checked.
pub async fn run(common: &Common, verb: Check) -> anyhow::Result<Exit> {
    if verb.peers {
        return peers(common).await;
    }
    if verb.repair {
        return repair(common).await;
    }
    let report = match common.client()?.get("/v1/check").await {
        Ok(report) => report,
        Err(error) if code_of(&error) == Exit::NotReachable => stopped(common).await?,
        Err(error) => return Err(error),
    };
    print(common, &report)?;
    Ok(if report.findings.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Lets the running node scrub everything now.
async fn repair(common: &Common) -> anyhow::Result<Exit> {
    let scrub: serde_json::Value = common.client()?.send(Method::POST, "/v1/scrub", &()).await?;
    let number = |key| scrub.pointer(key).and_then(serde_json::Value::as_u64);
    let (octets, findings) = (number("/last/octets"), number("/last/findings"));
    if common.json {
        output::json_lines([&scrub])?;
    } else {
        let texts = scrub.get("texts").and_then(serde_json::Value::as_array);
        for text in texts.into_iter().flatten() {
            println!("{}", text.as_str().unwrap_or_default());
        }
        let (octets, found) = (octets.unwrap_or_default(), findings.unwrap_or_default());
        println!("{octets} octets read, {found} findings");
        println!("what peers have is brought back: `redoubt status` has what is left");
    }
    Ok(match findings {
        Some(0) => Exit::Done,
        _ => Exit::Partly,
    })
}

/// Asks the running node to compare itself with the others.
async fn peers(common: &Common) -> anyhow::Result<Exit> {
    let verdict: Verdict = common.client()?.send(Method::POST, "/v1/compare", &()).await?;
    if common.json {
        output::json_lines([&verdict])?;
    } else {
        let same: Vec<String> = verdict.same.iter().map(ToString::to_string).collect();
        println!("compared at index {}: nodes {} have the same", verdict.index, same.join(", "));
        for node in &verdict.silent {
            println!("node {node} did not answer in time");
        }
        verdict.differences.iter().for_each(|difference| println!("{difference}"));
    }
    Ok(match (verdict.differences.is_empty(), verdict.silent.is_empty()) {
        (false, _) => Exit::Failed,
        (true, false) => Exit::Partly,
        (true, true) => Exit::Done,
    })
}

/// Opens the store as `serve` would, without listening.
async fn stopped(common: &Common) -> anyhow::Result<Report> {
    let config = common.config()?;
    anyhow::ensure!(config.data.is_dir(), "there is no data directory {}", config.data.display());
    let mailstore = Mailstore::open(crate::server::options(&config)).await?;
    let view = mailstore.view().await?;
    let checked = mailstore.clone();
    let report = tokio::task::spawn_blocking(move || verify(&checked, &view)).await?;
    mailstore.shutdown().await;
    report
}

fn print(common: &Common, report: &Report) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines([report]);
    }
    for finding in &report.findings {
        println!("{}: {}: {}", finding.check, finding.object, finding.what);
    }
    let Report { index, state_hash, entries, blobs, frames, findings } = report;
    println!("views at index {index}, state hash {state_hash}");
    println!("{entries} log entries, {blobs} blobs of emails, {frames} frames of packs read");
    match findings.len() {
        0 => println!("clean"),
        wrong => println!("{wrong} findings"),
    }
    Ok(())
}
