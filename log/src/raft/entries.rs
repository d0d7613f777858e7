//! Entries of the log from a peer, for one that has lost some: verified by the
//! chain, entry by entry, before anything is believed.

use std::ops::Range;
use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::chain;
use crate::codec;
use crate::id::{Hash, LogIndex, NodeId, Term, Timestamp};
use crate::raft::error::FetchError;
use crate::raft::hub::Hub;
use crate::raft::peers::{Service, topic};
use crate::raft::wire::Lane;
use crate::segment::{EntryKind, LogEntry, LogId};
use crate::world;

/// The most octets of payloads that are given at once.
const MOST: usize = 1 << 20;
/// The most entries that are given at once.
const MOST_ENTRIES: u64 = 1024;
/// How long a peer may take to read them.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    from: LogIndex,
    end: LogIndex,
    max: u32,
}

/// An entry as a peer says it.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    term: Term,
    kind: u8,
    stamp: Timestamp,
    time: Timestamp,
    position: u64,
    chain: Hash,
    payload: Vec<u8>,
}

/// Gives applied entries to peers.
pub(crate) struct EntriesService(pub(crate) Weak<Hub>);

impl Service for EntriesService {
    fn call(&self, _: NodeId, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let hub = self.0.upgrade();
        async move {
            let hub = hub.ok_or("the replica has ended")?;
            let asked: Asked = codec::from_bytes(&body).map_err(|error| error.to_string())?;
            let applied = hub.applied.index().map_or(0, |index| index.0.saturating_add(1));
            let most = asked.from.0.saturating_add(MOST_ENTRIES);
            let end = LogIndex(asked.end.0.min(applied).min(most));
            let (log, from, max) = (hub.log.clone(), asked.from, MOST.min(asked.max as usize));
            let read = world::blocking(move || log.read(from..end, max)).await;
            let entries = read.map_err(|error| error.to_string())?;
            let entries = entries.map_err(|error| error.to_string())?;
            let said: Vec<Said> = entries.into_iter().map(say).collect();
            codec::to_bytes(&said).map(Bytes::from).map_err(|error| error.to_string())
        }
        .boxed()
    }
}

fn say(entry: LogEntry) -> Said {
    let LogEntry { id, kind, time, stamp, payload, chain, position } = entry;
    let kind = kind as u8;
    Said { term: id.term, kind, stamp, time, position, chain, payload: payload.to_vec() }
}

impl Hub {
    /// Applied entries from whichever peer has them.
    pub(crate) async fn fetch_entries(
        &self,
        range: Range<LogIndex>,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, FetchError> {
        let before = self.chain_before(range.start).await?;
        self.fetch_behind(before, range, max_bytes).await
    }

    /// All entries of a range, page by page; each goes on from the chain of the one before.
    pub(crate) async fn fetch_all_entries(
        &self,
        range: Range<LogIndex>,
    ) -> Result<Vec<LogEntry>, FetchError> {
        let mut before = self.chain_before(range.start).await?;
        let (mut entries, mut next) = (Vec::new(), range.start);
        while next < range.end {
            let page = self.fetch_behind(before, next..range.end, MOST).await?;
            if let Some(last) = page.last() {
                (before, next) = (last.chain, LogIndex(last.id.index.0.saturating_add(1)));
            }
            entries.extend(page);
        }
        Ok(entries)
    }

    /// Entries behind one with this chain, at least one, from whichever peer has them.
    async fn fetch_behind(
        &self,
        before: Hash,
        range: Range<LogIndex>,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, FetchError> {
        let mut whys = Vec::new();
        for peer in self.others() {
            match self.entries_of(peer, &range, max_bytes, before).await {
                Ok(entries) if !entries.is_empty() => return Ok(entries),
                Ok(_) => whys.push(format!("node {peer} has none of them")),
                Err(why) => whys.push(format!("node {peer}: {why}")),
            }
        }
        Err(FetchError::Nobody(format!("entries {range:?}: {}", whys.join("; "))))
    }

    /// The chain before an entry; all zero before the first.
    async fn chain_before(&self, index: LogIndex) -> Result<Hash, FetchError> {
        let Some(before) = index.0.checked_sub(1) else { return Ok(Hash::default()) };
        let log = self.log.clone();
        let chain = world::blocking(move || log.chain_at(LogIndex(before))).await;
        let chain = chain.map_err(|error| FetchError::Store(error.to_string()))?;
        chain.map_err(|error| FetchError::Store(error.to_string()))
    }

    async fn entries_of(
        &self,
        peer: NodeId,
        range: &Range<LogIndex>,
        max_bytes: usize,
        before: Hash,
    ) -> Result<Vec<LogEntry>, String> {
        let max = u32::try_from(max_bytes).unwrap_or(u32::MAX);
        let asked = Asked { from: range.start, end: range.end, max };
        let body = codec::to_bytes(&asked).map_err(|error| error.to_string())?;
        let said = self.call(peer, Lane::Bulk, topic::ENTRIES, body.into(), PATIENCE).await;
        let said: Vec<Said> = codec::from_bytes(&said.map_err(|error| error.to_string())?)
            .map_err(|error| error.to_string())?;
        verified(said, range, before)
    }
}

/// The entries, if they go on from that chain.
fn verified(
    said: Vec<Said>,
    range: &Range<LogIndex>,
    mut before: Hash,
) -> Result<Vec<LogEntry>, String> {
    let mut entries = Vec::with_capacity(said.len());
    for (index, said) in (range.start.0..range.end.0).zip(said) {
        let Said { term, kind, stamp, time, position, chain, payload } = said;
        let id = LogId { term, index: LogIndex(index) };
        let leaf = chain::leaf(term, id.index, kind, time, &chain::content(&payload));
        if chain::link(&before, &leaf) != chain {
            return Err(format!("entry {id} does not go on from the chain before it"));
        }
        before = chain;
        let kind = EntryKind::from_number(kind).ok_or("an entry of an unknown kind")?;
        entries.push(LogEntry { id, kind, time, stamp, payload: payload.into(), chain, position });
    }
    Ok(entries)
}
