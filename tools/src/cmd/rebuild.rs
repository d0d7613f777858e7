//! `redoubt rebuild`: the views anew, while no server runs.

use clap::Args;
use redoubt_store::mailstore::{Rebuilt, rebuild};
use serde_json::json;

use super::Common;
use crate::exit::Exit;
use crate::output;

/// Throws the views away and builds them from the newest checkpoint and the log.
#[derive(Debug, Args)]
pub struct Rebuild {
    /// Use the log alone, from its start.
    #[arg(long)]
    from_log: bool,
}

/// # Errors
/// When a server runs, or checkpoint and log do not join; log and blobs are never changed.
pub async fn run(common: &Common, verb: Rebuild) -> anyhow::Result<Exit> {
    let config = common.config()?;
    let options = crate::server::options(&config);
    let rebuilt = tokio::task::spawn_blocking(move || rebuild(&options, !verb.from_log)).await??;
    print(common, &rebuilt)?;
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
