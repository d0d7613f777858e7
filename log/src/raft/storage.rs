//! The segment log as openraft's log, behind the gate for blobs.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{Stream, TryStreamExt, stream};
use openraft::alias::LogIdOf;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::codec::CodecError;
use crate::id::LogIndex;
use crate::raft::apply::AppliedCell;
use crate::raft::gate::Gate;
use crate::raft::state_machine::Fatal;
use crate::raft::stop::StopCell;
use crate::raft::types::{
    Entry, RaftLogId, RaftVoteType, TypeConfig, decode_vote, encode_vote, from_raft, to_raft,
};
use crate::segment::{Done, LogError, LogId, SegmentLog};
use crate::world::{self, Mutation};

/// The most bytes of entries that are read at once, but for a single larger one.
const PAGE_BYTES: usize = 1 << 20;

/// The log that openraft sees. Clones share it; one is its reader.
///
/// Invariants: `vote` and `committed` are what the segments hold durably or,
/// for `committed`, have been handed; an entry is queued for the segments only
/// behind [`Gate::admit`].
#[derive(Debug, Clone)]
pub(crate) struct LogStore {
    log: SegmentLog,
    gate: Gate,
    kept: Arc<Mutex<Kept>>,
    durable: Arc<DurableMark>,
    applied: Arc<AppliedCell>,
    stop: StopCell,
    term: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Kept {
    vote: Option<RaftVoteType>,
    committed: Option<RaftLogId>,
}

impl LogStore {
    /// Over an opened log.
    ///
    /// # Errors
    /// When the log's vote does not read as one.
    pub(crate) fn new(
        log: SegmentLog,
        gate: Gate,
        applied: Arc<AppliedCell>,
        stop: StopCell,
    ) -> Result<Self, CodecError> {
        let vote = log.vote().as_deref().map(decode_vote).transpose()?;
        let committed = log.committed().map(to_raft);
        let durable = Arc::new(DurableMark::new(log.last()));
        let term = Arc::new(AtomicU64::new(vote.map_or(0, |vote| vote.leader_id().term)));
        let kept = Arc::new(Mutex::new(Kept { vote, committed }));
        Ok(Self { log, gate, kept, durable, applied, stop, term })
    }

    /// How far the log is durable.
    pub(crate) fn durable(&self) -> &Arc<DurableMark> {
        &self.durable
    }

    async fn admit(&self, entries: &[Entry]) -> io::Result<()> {
        self.gate.admit(entries).await.map_err(|error| {
            self.stop.fatal(&error);
            io::Error::other(error)
        })
    }

    /// A log that is another one than the leader's stops this shard.
    fn not_one_history(&self, error: LogError) -> io::Error {
        if matches!(error, LogError::OtherChain { .. }) {
            self.stop.fatal(&error);
        }
        io::Error::other(error)
    }

    /// The term of the vote that is durable here.
    pub(crate) fn term(&self) -> Arc<AtomicU64> {
        self.term.clone()
    }

    async fn finish(
        &self,
        queue: impl FnOnce(Done) -> Result<(), LogError>,
    ) -> Result<(), io::Error> {
        let (tell, told) = oneshot::channel();
        queue(Box::new(move |result| drop(tell.send(result)))).map_err(io::Error::other)?;
        match told.await {
            Ok(result) => result.map_err(io::Error::other),
            Err(_) => Err(io::Error::other("the log's writer has ended")),
        }
    }

    /// The part of a range that the log holds.
    fn held(&self, range: &impl RangeBounds<u64>) -> Range<u64> {
        let first = self.log.purged().map_or(0, |id| id.index.0 + 1);
        let end = self.log.last().map_or(0, |id| id.index.0 + 1);
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        from.max(first)..to.min(end)
    }

    /// A page of entries from the front of a range that the log holds.
    async fn page(&self, range: Range<u64>) -> Result<Vec<Entry>, io::Error> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let log = self.log.clone();
        world::blocking(move || read_page(&log, range)).await?
    }

    async fn pages(&self, mut range: Range<u64>) -> Result<Vec<Entry>, io::Error> {
        let mut entries = Vec::new();
        while !range.is_empty() {
            let page = self.page(range.clone()).await?;
            range.start += page.len() as u64;
            entries.extend(page);
        }
        Ok(entries)
    }

    fn stream(&self, range: Range<u64>) -> impl Stream<Item = Result<Entry, io::Error>> + use<> {
        let store = self.clone();
        let pages = stream::try_unfold(range, move |mut range| {
            let store = store.clone();
            async move {
                let page = store.page(range.clone()).await?;
                range.start += page.len() as u64;
                let more = !page.is_empty();
                Ok::<_, io::Error>(more.then(|| (stream::iter(page.into_iter().map(Ok)), range)))
            }
        });
        pages.try_flatten()
    }
}

fn read_page(log: &SegmentLog, range: Range<u64>) -> Result<Vec<Entry>, io::Error> {
    let indexes = LogIndex(range.start)..LogIndex(range.end);
    let entries = log.read(indexes, PAGE_BYTES).map_err(io::Error::other)?;
    if entries.first().map(|entry| entry.id.index.0) != Some(range.start) {
        let gap = format!("the log has no entry {}, which it should hold", range.start);
        return Err(io::Error::other(gap));
    }
    let decoded = entries.into_iter().map(Entry::from_log).collect::<Result<_, _>>();
    decoded.map_err(io::Error::other)
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        self.pages(self.held(&range)).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.page(self.held(&(start..end))).await
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        self.stream(self.held(&range))
    }

    async fn read_vote(&mut self) -> Result<Option<RaftVoteType>, io::Error> {
        Ok(self.kept.lock().vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let purged = self.log.purged();
        let last = self.log.last().max(purged);
        Ok(LogState { last_purged_log_id: purged.map(to_raft), last_log_id: last.map(to_raft) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &RaftVoteType) -> Result<(), io::Error> {
        if !world::breaks(Mutation::VoteUnsaved) {
            self.finish(|done| self.log.save_vote(encode_vote(vote), done)).await?;
        }
        self.kept.lock().vote = Some(*vote);
        self.term.fetch_max(vote.leader_id().term, Ordering::Relaxed);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<RaftLogId>) -> Result<(), io::Error> {
        self.log.save_committed(committed.map(from_raft)).map_err(io::Error::other)?;
        self.kept.lock().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<RaftLogId>, io::Error> {
        Ok(self.kept.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let _using = self.gate.using();
        let packs_last = world::breaks(Mutation::PackLast);
        if !packs_last {
            self.admit(&entries).await?;
        }
        let new: Result<Vec<_>, _> = entries.iter().map(Entry::to_new).collect();
        let new = new.map_err(io::Error::other)?;
        let last = new.last().map(|entry| entry.id);
        let chains: Vec<_> = entries.iter().map(Entry::chain).collect();
        let (durable, stop) = (self.durable.clone(), self.stop.clone());
        let done = move |result: Result<(), LogError>| {
            durable.advance(last, &result);
            if let Err(error) = &result {
                stop.fatal(error);
            }
            flushed.io_completed(result.map_err(io::Error::other));
        };
        let appended = self.log.append_chained(new, &chains, Box::new(done));
        appended.map_err(|error| self.not_one_history(error))?;
        if packs_last { self.admit(&entries).await } else { Ok(()) }
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<TypeConfig>>) -> Result<(), io::Error> {
        let last = last.map(from_raft);
        if self.log.last().map(|id| id.index) <= last.map(|id| id.index) {
            return Ok(());
        }
        if let Some(committed) = self.log.committed().filter(|id| Some(*id) > last) {
            let why = format!(
                "the leader's log differs from this one before {committed}, which is committed: \
                 one of the two is damaged. Nothing was cut off. Compare both with a third node, \
                 remove the wrong one and join it again under a new id"
            );
            self.stop.fatal(&why);
            return Err(io::Error::other(why));
        }
        self.finish(|done| self.log.truncate_after(last, done)).await
    }

    async fn purge(&mut self, upto: LogIdOf<TypeConfig>) -> Result<(), io::Error> {
        let upto = from_raft(upto);
        if self.log.purged().is_some_and(|purged| purged.index >= upto.index) {
            return Ok(());
        }
        if self.log.last() >= Some(upto) {
            return self.finish(|done| self.log.purge(upto, done)).await;
        }
        // A checkpoint from a peer is ahead of the log, which begins anew behind it.
        let head = self.applied.head_of(upto).ok_or_else(|| {
            io::Error::other(format!("no chain head is known to begin the log after {upto:?}"))
        })?;
        self.finish(|done| self.log.reset(upto, head, done)).await
    }
}

/// How far this node's own log is durable, for those who wait for it.
///
/// Invariant: the entry `id` of this log is durable if `mark >= id`. That holds
/// over a truncation too, since what is appended instead has a higher term.
#[derive(Debug)]
pub(crate) struct DurableMark {
    state: Mutex<MarkState>,
    changed: Notify,
}

#[derive(Debug)]
struct MarkState {
    mark: Option<LogId>,
    failed: Option<String>,
}

impl DurableMark {
    pub(crate) fn new(mark: Option<LogId>) -> Self {
        Self { state: Mutex::new(MarkState { mark, failed: None }), changed: Notify::new() }
    }

    /// The writer's word on an append whose last entry is `last`.
    pub(crate) fn advance(&self, last: Option<LogId>, result: &Result<(), LogError>) {
        let mut state = self.state.lock();
        match result {
            Ok(()) => state.mark = state.mark.max(last),
            Err(error) => state.failed = Some(error.to_string()),
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until `id` is durable.
    ///
    /// # Errors
    /// When it will not be: the log has failed.
    pub(crate) async fn wait(&self, id: LogId) -> Result<(), Fatal> {
        loop {
            // Asked for before the look, so that nothing between the two is missed.
            let changed = self.changed.notified();
            if let Some(known) = self.known(id) {
                return known;
            }
            changed.await;
        }
    }

    fn known(&self, id: LogId) -> Option<Result<(), Fatal>> {
        let state = self.state.lock();
        if state.mark >= Some(id) {
            return Some(Ok(()));
        }
        state.failed.as_ref().map(|why| Err(Fatal::new(why)))
    }
}
