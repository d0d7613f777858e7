//! openraft's own suite over our adapters.

use std::io;
use std::ops::RangeBounds;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{Stream, TryStreamExt};
use openraft::StorageError;
use openraft::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, VoteOf};
use openraft::storage::{
    EntryResponder, IOFlushed, LogState, RaftLogReader, RaftLogStorage, RaftSnapshotBuilder,
    RaftStateMachine,
};
use openraft::testing::log::{StoreBuilder, Suite};

use super::{World, toy};
use crate::chain::Head;
use crate::disk::sim::SimDisk;
use crate::id::{Hash, LogIndex, Term, Timestamp};
use crate::raft::apply::{AppliedCell, Applier, Builder};
use crate::raft::gate::Gate;
use crate::raft::stop::StopCell;
use crate::raft::storage::{DurableMark, LogStore};
use crate::raft::types::{Entry, TypeConfig, from_raft};
use crate::raft::{AppliedState, Checkpoint};
use crate::segment::{LogEntry, LogId, SegmentLog, SegmentOptions};

/// The suite begins logs in the middle and purges past their end, which only a
/// node with a checkpoint from a peer does: the heads that it would bring are made up.
struct SuiteLog {
    store: LogStore,
    log: SegmentLog,
    applied: Arc<AppliedCell>,
}

impl SuiteLog {
    async fn begin_before(&mut self, first: Option<LogId>) -> io::Result<()> {
        let index = first.map_or(0, |id| id.index.0);
        if index == 0 || self.log.last().is_some() {
            return Ok(());
        }
        let (tell, told) = tokio::sync::oneshot::channel();
        let last = LogId { term: Term(0), index: LogIndex(index - 1) };
        let done = Box::new(move |result| drop(tell.send(result)));
        self.log.reset(last, Head::default(), done).map_err(io::Error::other)?;
        told.await.map_err(io::Error::other)?.map_err(io::Error::other)
    }
}

impl RaftLogReader<TypeConfig> for SuiteLog {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<Entry>>
    where
        R: RangeBounds<u64> + Clone + std::fmt::Debug + Send,
    {
        self.store.try_get_log_entries(range).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<TypeConfig>>> {
        self.store.read_vote().await
    }
}

impl RaftLogStorage<TypeConfig> for SuiteLog {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        self.store.get_log_state().await
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.store.get_log_reader().await
    }

    async fn save_vote(&mut self, vote: &VoteOf<TypeConfig>) -> io::Result<()> {
        self.store.save_vote(vote).await
    }

    async fn save_committed(&mut self, id: Option<LogIdOf<TypeConfig>>) -> io::Result<()> {
        self.store.save_committed(id).await
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogIdOf<TypeConfig>>> {
        self.store.read_committed().await
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let first = entries.first().map(|entry| entry.to_new().unwrap().id);
        self.begin_before(first).await?;
        self.store.append(entries, flushed).await
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<TypeConfig>>) -> io::Result<()> {
        self.store.truncate_after(last).await
    }

    async fn purge(&mut self, upto: LogIdOf<TypeConfig>) -> io::Result<()> {
        self.applied.set_head(from_raft(upto), Head::default());
        self.store.purge(upto).await
    }
}

/// The suite applies entries that are in no log, and leaves some out.
struct SuiteMachine(Applier, Arc<AppliedCell>);

impl SuiteMachine {
    /// As if the entries before this one had been applied.
    fn leave_out(&self, entry: &Entry) {
        if let Some(mut state) = self.1.get() {
            state.id.index = LogIndex(entry.to_new().unwrap().id.index.0 - 1);
            self.1.set(Some(state));
        }
    }
}

fn as_stored(entry: Entry) -> Entry {
    let new = entry.to_new().unwrap();
    let stored = LogEntry {
        id: new.id,
        kind: new.kind,
        time: new.stamp,
        stamp: new.stamp,
        payload: new.payload,
        chain: Hash::default(),
        position: new.id.index.0,
    };
    entry.with_stored(stored)
}

impl RaftStateMachine<TypeConfig> for SuiteMachine {
    type SnapshotData = Checkpoint;
    type SnapshotBuilder = SuiteBuilder;

    async fn applied_state(
        &mut self,
    ) -> io::Result<(Option<LogIdOf<TypeConfig>>, openraft::alias::StoredMembershipOf<TypeConfig>)>
    {
        self.0.applied_state().await
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.leave_out(&entry);
            let one = futures_util::stream::iter([Ok((as_stored(entry), responder))]);
            self.0.apply(one).await?;
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<SuiteBuilder> {
        self.0.try_create_snapshot_builder(force).await.map(SuiteBuilder)
    }

    async fn get_snapshot_builder(&mut self) -> SuiteBuilder {
        SuiteBuilder(self.0.get_snapshot_builder().await)
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        checkpoint: Checkpoint,
    ) -> io::Result<()> {
        self.0.install_snapshot(meta, checkpoint).await
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<SnapshotOf<TypeConfig, Checkpoint>>> {
        self.0.get_current_snapshot().await
    }
}

/// The suite wants a snapshot of an empty state behind a purged log, which our
/// start refuses.
struct SuiteBuilder(Builder);

impl RaftSnapshotBuilder<TypeConfig> for SuiteBuilder {
    type SnapshotData = Checkpoint;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, Checkpoint>> {
        let empty = AppliedState {
            id: LogId::default(),
            membership: bytes::Bytes::new(),
            chain: Hash::default(),
            time: Timestamp(0),
        };
        let snapshot = Checkpoint { state: empty, head: Head::default(), location: PathBuf::new() };
        let meta = SnapshotMetaOf::<TypeConfig>::default();
        let empty = SnapshotOf::<TypeConfig, Checkpoint> { meta, snapshot };
        Ok(self.0.build_snapshot().await.unwrap_or(empty))
    }
}

struct Stores;

impl StoreBuilder<TypeConfig, SuiteLog, SuiteMachine, tempfile::TempDir> for Stores {
    async fn build(
        &self,
    ) -> Result<(tempfile::TempDir, SuiteLog, SuiteMachine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let options = SegmentOptions { segment_bytes: 64 << 10, ..SegmentOptions::default() };
        let disk = Arc::new(crate::disk::RealDisk);
        let log = SegmentLog::open(disk, &dir.path().join("log"), options).unwrap().0;
        let blobs = World::new(&SimDisk::new(1)).blobs();
        let (applied, stop) = (Arc::new(AppliedCell::default()), StopCell::new());
        let gate = Gate::new(Arc::new(blobs));
        let store = LogStore::new(log.clone(), gate, applied.clone(), stop.clone()).unwrap();
        let mut toy = toy::Views::default().toy();
        toy.checkpoints = true;
        let everything = LogId { term: Term(u64::MAX), index: LogIndex(u64::MAX) };
        let durable = Arc::new(DurableMark::new(Some(everything)));
        let (applier, _) =
            Applier::start("suite", Box::new(toy), applied.clone(), durable, stop).unwrap();
        Ok((dir, SuiteLog { store, log, applied: applied.clone() }, SuiteMachine(applier, applied)))
    }
}

#[tokio::test]
async fn openrafts_suite_passes() {
    Suite::test_all(Stores).await.unwrap();
}
