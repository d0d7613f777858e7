//! `redoubt export JOB|QUERY --format F --out DIR`

use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use redoubt_log::id::OperationId;
use redoubt_search::discover::Phase;

use super::Common;
use super::discover::{Scope, begin, exit_of, told};
use super::discover_wait::wait;
use crate::admin::discovery::wire::ExportWish;
use crate::exit::{Exit, Failure};
use crate::output;

/// Write out what a search found, with what proves where it comes from. The server writes it, on
/// its own machine; the folder has its name when all of it is there.
#[derive(Debug, Args)]
pub struct Export {
    /// A search, by its id; or what to look for, and whose mail.
    what: String,
    /// How.
    #[arg(long, value_name = "FORMAT", value_parser = ["eml", "mbox", "dat", "csv"])]
    format: String,
    /// Where: a folder that is not there yet.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    scope: Scope,
    /// The time zone of a load file's dates, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    /// Leave out what the log's records say, such as the ids of a delivery's other recipients:
    /// that they are in the log is proven, not that they brought these emails.
    #[arg(long)]
    without_records: bool,
    /// Why: it is kept with the record.
    #[arg(long)]
    reason: Option<String>,
    /// Do not wait for the end of the export.
    #[arg(long)]
    background: bool,
}

/// # Errors
/// Those of the server.
pub async fn run(common: &Common, verb: Export) -> anyhow::Result<Exit> {
    let client = common.client()?;
    let out = std::path::absolute(&verb.out)?;
    let search = match (verb.what.parse::<OperationId>(), verb.scope.is_given()) {
        (Ok(job), false) => job,
        (_, false) => {
            let text = "name a search by its id, or say whose mail: --account, --domain, --matter or --all";
            return Err(Failure::usage(text).into());
        }
        (_, true) => {
            let wish = verb.scope.wish(&verb.what, verb.reason.clone())?;
            let begun = begin(common, &client, &wish).await?;
            let found = wait(common, &client, begun.job).await?;
            told(common, &found)?;
            if found.phase != Phase::Completed {
                return Ok(exit_of(&found));
            }
            begun.job
        }
    };
    let format = serde_json::from_value(serde_json::Value::String(verb.format))?;
    let Export { zone, without_records, reason, .. } = verb;
    let wish = ExportWish { search, format, out, zone, without_records, reason };
    let job: OperationId = client.send(Method::POST, "/v1/discovery/exports", &wish).await?;
    if verb.background {
        output::object(common.json, &serde_json::json!({ "job": job }))?;
        return Ok(Exit::Done);
    }
    let job = wait(common, &client, job).await?;
    told(common, &job)?;
    if !common.json && job.phase == Phase::Completed {
        println!("{} is whole; `redoubt verify-export` checks it", wish.out.display());
    }
    Ok(exit_of(&job))
}
