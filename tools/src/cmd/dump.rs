//! `redoubt dump`: the log, readable. Reads only, also beside a running server.

use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use redoubt_log::disk::RealDisk;
use redoubt_log::id::LogIndex;
use redoubt_log::segment::ReadOnlyLog;

use super::Common;
use crate::admin::wire::LogPiece;
use crate::exit::{Exit, code_of};

/// Octets of entries read at one time.
const PIECE: usize = 1024 * 1024;

/// Prints log entries, one a line.
#[derive(Debug, Clone, Copy, Args)]
pub struct Dump {
    /// The first index; without it the first that is there.
    #[arg(long)]
    from: Option<u64>,
    /// The last index.
    #[arg(long)]
    to: Option<u64>,
}

/// # Errors
/// When the log cannot be read, or is damaged: it names where.
pub async fn run(common: &Common, verb: Dump) -> anyhow::Result<Exit> {
    let mut wanted = verb;
    let first = match running(common, wanted).await {
        Ok(piece) => piece,
        Err(error) if code_of(&error) == Exit::NotReachable => return stopped(common, verb),
        Err(error) => return Err(error),
    };
    let mut piece = first;
    while print(&piece)? && wanted.goes_on(&piece) {
        piece = running(common, wanted).await?;
    }
    Ok(Exit::Done)
}

impl Dump {
    /// Moves the start behind a piece; `false` when nothing more is wished or there.
    fn goes_on(&mut self, piece: &LogPiece) -> bool {
        self.from = piece.next;
        piece.next.is_some_and(|next| self.to.is_none_or(|to| next <= to))
    }
}

/// A piece of the running server's log.
async fn running(common: &Common, wanted: Dump) -> anyhow::Result<LogPiece> {
    let mut path = format!("/v1/log?json={}", common.json);
    for (name, index) in [("from", wanted.from), ("to", wanted.to)] {
        if let Some(index) = index {
            path += &format!("&{name}={index}");
        }
    }
    common.client()?.get(&path).await
}

/// Reads the segments themselves, and changes nothing.
fn stopped(common: &Common, verb: Dump) -> anyhow::Result<Exit> {
    let config = common.config()?;
    let folder = config.data.join("shards/0/log");
    anyhow::ensure!(folder.is_dir(), "there is no log in {}", folder.display());
    print_folder(&folder, common.json, verb)?;
    Ok(Exit::Done)
}

fn print_folder(folder: &Path, json: bool, mut wanted: Dump) -> anyhow::Result<()> {
    let log = ReadOnlyLog::open(&RealDisk, folder)?;
    wanted.from = wanted.from.or(Some(log.purged().map_or(0, |purged| purged.index.0 + 1)));
    let end = LogIndex(wanted.to.map_or(u64::MAX, |to| to.saturating_add(1)));
    loop {
        let from = LogIndex(wanted.from.unwrap_or_default());
        let piece = LogPiece::of(&log.read(from..end, PIECE)?, json)?;
        if !print(&piece)? || !wanted.goes_on(&piece) {
            return Ok(());
        }
    }
}

/// `false` when nobody reads on.
fn print(piece: &LogPiece) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let written = piece.lines.iter().try_for_each(|line| writeln!(out, "{line}"));
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}
