//! `redoubt rebuild`: the views anew, while no server runs; the indexes, while it does.

use std::time::Duration;

use clap::Args;
use hyper::Method;
use redoubt_search::index::Status;
use redoubt_store::mailstore::{Rebuilt, rebuild};
use serde_json::json;

use super::Common;
use crate::admin::wire::RebuildIndex;
use crate::exit::Exit;
use crate::output;

/// How often the server is asked how far it is.
const LOOK: Duration = Duration::from_millis(500);

/// Throws the views away and builds them from the newest checkpoint and the log; or the indexes
/// for search, from the views.
#[derive(Debug, Args)]
pub struct Rebuild {
    /// Use the log alone, from its start.
    #[arg(long, conflicts_with = "index")]
    from_log: bool,
    /// The indexes of the running server, or that of one account. Searches go on meanwhile.
    #[arg(long, value_name = "ACCOUNT", num_args = 0..=1, default_missing_value = "")]
    index: Option<String>,
    /// Do not wait until they are built.
    #[arg(long, requires = "index")]
    no_wait: bool,
}

/// # Errors
/// When a server runs, or checkpoint and log do not join; log and blobs are never changed. With
/// `--index`, when no server runs.
pub async fn run(common: &Common, verb: Rebuild) -> anyhow::Result<Exit> {
    if let Some(account) = verb.index {
        let account = Some(account).filter(|account| !account.is_empty());
        return indexes(common, account, !verb.no_wait).await;
    }
    let config = common.config()?;
    let options = crate::server::options(&config);
    let rebuilt = tokio::task::spawn_blocking(move || rebuild(&options, !verb.from_log)).await??;
    print(common, &rebuilt)?;
    Ok(Exit::Done)
}

async fn indexes(common: &Common, account: Option<String>, wait: bool) -> anyhow::Result<Exit> {
    let client = common.client()?;
    let wish = RebuildIndex { account };
    // Asked before: when the answer comes, some may be indexed again.
    let before: Status = client.get("/v1/index").await?;
    let mut status: Status = client.send(Method::POST, "/v1/index/rebuild", &wish).await?;
    while wait && status.accounts_behind > 0 {
        tokio::time::sleep(LOOK).await;
        status = client.get("/v1/index").await?;
    }
    let emails = status.emails.saturating_sub(before.emails);
    if common.json {
        output::json_lines([
            json!({ "emails": emails, "accounts_behind": status.accounts_behind }),
        ])?;
    } else if wait {
        println!("{emails} emails indexed");
    } else {
        println!("the index is built anew; redoubt status says how far it is");
    }
    Ok(Exit::Done)
}

fn print(common: &Common, rebuilt: &Rebuilt) -> anyhow::Result<()> {
    let Rebuilt { index, state_hash, entries } = rebuilt;
    if common.json {
        let object = json!({ "index": index, "state_hash": state_hash, "entries": entries });
        return output::json_lines([object]);
    }
    let index = index.map_or_else(|| "the empty log".into(), |index| format!("index {index}"));
    println!("views rebuilt to {index} from {entries} entries, state hash {state_hash}");
    Ok(())
}
