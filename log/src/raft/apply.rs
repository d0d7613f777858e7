//! Our state machine as openraft's: a thread of its own that applies, so that
//! no Raft task ever blocks on the views.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use openraft::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::chain::Head;
use crate::id::LogIndex;
use crate::raft::state_machine::{AppliedState, Checkpoint, Committed, Fatal, StateMachine};
use crate::raft::stop::{StopCell, Stopped};
use crate::raft::storage::DurableMark;
use crate::raft::types::{
    Answer, RaftLogId, RaftStoredMembership, TypeConfig, decode_stored, membership_of, record_of,
    to_raft,
};
use crate::record::{Change, Record};
use crate::segment::{EntryKind, LogEntry, LogId};
use crate::world::{self, Mutation, Worker, watch, worker};

/// The most entries that are handed to the apply thread at once.
const BATCH: usize = 256;

/// How far the state has come, for everybody to read.
#[derive(Debug, Default)]
pub(crate) struct AppliedCell {
    state: Mutex<Option<AppliedState>>,
    installed: Mutex<Option<(LogId, Head)>>,
    index: watch::Sender<Option<LogIndex>>,
    level: AtomicU32,
}

impl AppliedCell {
    /// The level that the state is at.
    pub(crate) fn level(&self) -> u32 {
        self.level.load(Ordering::Relaxed)
    }

    pub(crate) fn set_level(&self, level: u32) {
        self.level.store(level, Ordering::Relaxed);
    }

    /// Resolves when the state has come to an entry.
    pub(crate) async fn reached(&self, index: LogIndex) {
        let mut told = self.index.subscribe();
        // The sender is here, so that it does not end.
        drop(told.wait_for(|applied| *applied >= Some(index)).await);
    }

    pub(crate) fn get(&self) -> Option<AppliedState> {
        self.state.lock().clone()
    }

    pub(crate) fn set(&self, state: Option<AppliedState>) {
        let index = state.as_ref().map(|state| state.id.index);
        *self.state.lock() = state;
        self.index.send_replace(index);
    }

    pub(crate) fn index(&self) -> Option<LogIndex> {
        self.state.lock().as_ref().map(|state| state.id.index)
    }

    /// Chain, time and tree after a checkpoint that may be ahead of the log.
    pub(crate) fn set_head(&self, id: LogId, head: Head) {
        *self.installed.lock() = Some((id, head));
    }

    /// The last entry of [`AppliedCell::set_head`].
    pub(crate) fn installed(&self) -> Option<LogId> {
        self.installed.lock().as_ref().map(|(id, _)| *id)
    }

    /// What [`AppliedCell::set_head`] said of `id`.
    pub(crate) fn head_of(&self, id: LogId) -> Option<Head> {
        let installed = self.installed.lock();
        installed.as_ref().filter(|(of, _)| *of == id).map(|(_, head)| head.clone())
    }
}

/// Ends with the last [`Applier`], after an orderly stop with everything flushed.
pub(crate) type ApplyHandle = Worker<Result<(), Fatal>>;

type Reply<T> = oneshot::Sender<Result<T, Fatal>>;

struct Work {
    entry: LogEntry,
    membership: Option<Bytes>,
    responder: Option<ApplyResponder<TypeConfig>>,
}

impl Work {
    /// The same entry once more.
    fn again(&self) -> Self {
        let (entry, membership) = (self.entry.clone(), self.membership.clone());
        Self { entry, membership, responder: None }
    }
}

enum Job {
    Apply(Vec<Work>, Reply<()>),
    Checkpoint(Reply<Option<Checkpoint>>),
    Install(Checkpoint, Reply<()>),
}

/// The way to the apply thread, which ends with the last of its handles.
#[derive(Debug, Clone)]
pub(crate) struct Applier {
    jobs: mpsc::UnboundedSender<Job>,
    durable: Arc<DurableMark>,
    applied: Arc<AppliedCell>,
    stop: StopCell,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Applier {
    /// Starts the thread. `applied` holds what [`StateMachine::applied`] says.
    pub(crate) fn start(
        name: &str,
        machine: Box<dyn StateMachine>,
        applied: Arc<AppliedCell>,
        durable: Arc<DurableMark>,
        stop: StopCell,
    ) -> io::Result<(Self, ApplyHandle)> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let (cell, told) = (applied.clone(), stop.clone());
        let thread = ApplyThread { machine, applied: cell, stop: told, failed: None };
        let handle = worker(name, thread.run(queue))?;
        Ok((Self { jobs, durable, applied, stop }, handle))
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> io::Result<T> {
        let (reply, answer) = oneshot::channel();
        let asked = self.jobs.send(job(reply)).is_ok();
        match answer.await {
            Ok(result) if asked => result.map_err(io::Error::other),
            _ => {
                let why = "the apply thread has ended, which it only does when it panics";
                self.stop.fatal(why);
                Err(io::Error::other(why))
            }
        }
    }

    /// The newest checkpoint that the state has come up to.
    pub(crate) async fn checkpoint(&self) -> io::Result<Option<Checkpoint>> {
        let newest = self.ask(Job::Checkpoint).await?;
        Ok(newest.filter(|checkpoint| Some(checkpoint.state.id.index) <= self.applied.index()))
    }

    /// Views never run ahead of this node's own log.
    async fn wait_durable(&self, batch: &[Work]) -> io::Result<()> {
        let Some(last) = batch.last() else { return Ok(()) };
        self.durable.wait(last.entry.id).await.map_err(|why| {
            self.stop.fatal(&why);
            io::Error::other(why)
        })
    }

    async fn snapshot(&self) -> io::Result<Option<SnapshotOf<TypeConfig, Checkpoint>>> {
        let checkpoint = self.checkpoint().await?;
        checkpoint.map(as_snapshot).transpose()
    }
}

pub(crate) fn as_snapshot(
    checkpoint: Checkpoint,
) -> io::Result<SnapshotOf<TypeConfig, Checkpoint>> {
    let last_membership = stored_membership(&checkpoint.state)?;
    let last_log_id = Some(to_raft(checkpoint.state.id));
    let meta = SnapshotMetaOf::<TypeConfig> { last_log_id, last_membership };
    Ok(SnapshotOf::<TypeConfig, Checkpoint> { meta, snapshot: checkpoint })
}

fn stored_membership(state: &AppliedState) -> io::Result<RaftStoredMembership> {
    decode_stored(&state.membership).map_err(io::Error::other)
}

impl RaftStateMachine<TypeConfig> for Applier {
    type SnapshotData = Checkpoint;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<RaftLogId>, RaftStoredMembership)> {
        match self.applied.get() {
            None => Ok((None, RaftStoredMembership::default())),
            Some(state) => Ok((Some(to_raft(state.id)), stored_membership(&state)?)),
        }
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        let mut batches = entries.map(|item| item.and_then(to_work)).try_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| error.1)?;
            if let Some(why) = self.stop.get() {
                return Err(io::Error::other(why));
            }
            self.wait_durable(&batch).await?;
            self.ask(|reply| Job::Apply(batch, reply)).await?;
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        let there = force || matches!(self.checkpoint().await, Ok(Some(_)));
        there.then(|| Builder(self.clone()))
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder(self.clone())
    }

    async fn install_snapshot(
        &mut self,
        _: &SnapshotMetaOf<TypeConfig>,
        checkpoint: Checkpoint,
    ) -> io::Result<()> {
        self.ask(|reply| Job::Install(checkpoint, reply)).await
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<SnapshotOf<TypeConfig, Checkpoint>>> {
        self.snapshot().await
    }
}

fn to_work((entry, responder): EntryResponder<TypeConfig>) -> io::Result<Work> {
    let stored = entry.into_stored();
    let entry = stored.ok_or_else(|| io::Error::other("an entry that the log did not give"))?;
    let membership = membership_of(&entry).map_err(io::Error::other)?;
    Ok(Work { entry, membership, responder })
}

/// "Builds" a snapshot by naming the newest checkpoint: when these are taken is
/// the store's decision, not openraft's.
#[derive(Debug)]
pub(crate) struct Builder(Applier);

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Checkpoint;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, Checkpoint>> {
        let snapshot = self.0.snapshot().await?;
        snapshot.ok_or_else(|| {
            io::Error::other("the log is purged, and there is no checkpoint to go on from")
        })
    }
}

/// The thread's own state.
struct ApplyThread {
    machine: Box<dyn StateMachine>,
    applied: Arc<AppliedCell>,
    stop: StopCell,
    failed: Option<Fatal>,
}

impl ApplyThread {
    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) -> Result<(), Fatal> {
        while let Some(job) = jobs.recv().await {
            self.one(job);
        }
        match (self.failed.take(), self.stop.get()) {
            (Some(why), _) => Err(why),
            (None, Some(Stopped::Shutdown)) => self.machine.flush(),
            // Dropped without a shutdown: no more is promised than after a crash.
            (None, _) => Ok(()),
        }
    }

    fn one(&mut self, job: Job) {
        match job {
            Job::Apply(batch, reply) => self.answer(reply, |this| this.batch(batch)),
            Job::Checkpoint(reply) => self.answer(reply, |this| this.machine.checkpoint()),
            Job::Install(checkpoint, reply) => self.answer(reply, |this| this.install(&checkpoint)),
        }
    }

    /// Does a job, unless an earlier one has failed: then nothing is touched any more.
    /// Why the shard stops is said before anybody notices that it does.
    fn answer<T>(&mut self, reply: Reply<T>, job: impl FnOnce(&mut Self) -> Result<T, Fatal>) {
        let result = match self.failed.clone() {
            Some(why) => Err(why),
            None => job(self),
        };
        if let Err(why) = &result {
            self.stop.fatal(why);
            self.failed.get_or_insert_with(|| why.clone());
        }
        drop(reply.send(result));
    }

    fn batch(&mut self, batch: Vec<Work>) -> Result<(), Fatal> {
        let again = world::repeats().then(|| batch.iter().map(Work::again).collect());
        let again: Vec<Work> = again.unwrap_or_default();
        batch.into_iter().chain(again).try_for_each(|work| self.entry(work))
    }

    fn entry(&mut self, work: Work) -> Result<(), Fatal> {
        let applied = self.applied.get();
        let before = applied.as_ref().map(|state| state.id.index.0);
        let index = work.entry.id.index.0;
        let there = before.is_some_and(|before| index <= before);
        if there && !world::breaks(Mutation::AppliedTwice) {
            return Ok(());
        }
        if before.is_some_and(|before| index > before + 1) {
            return Err(Fatal(format!("entry {index} was to be applied after entry {before:?}")));
        }
        let membership = work.membership.or(applied.map(|state| state.membership));
        let committed = committed(work.entry, membership.unwrap_or_default())?;
        let (state, record) = (committed.state(), committed.record.is_some());
        let level = level_of(committed.record.as_ref());
        let outcome = self.machine.apply(committed)?;
        if record && outcome.is_none() && self.machine.has_outcomes() {
            return Err(Fatal(format!("the record at {index} was applied without an outcome")));
        }
        if let Some(level) = level.filter(|_| outcome.as_ref().is_some_and(|o| o.result.is_ok())) {
            self.applied.set_level(level);
        }
        self.applied.set(Some(state));
        if let Some(responder) = work.responder {
            responder.send(Answer(outcome));
        }
        Ok(())
    }

    fn install(&mut self, checkpoint: &Checkpoint) -> Result<(), Fatal> {
        self.machine.install(checkpoint)?;
        self.applied.set_level(self.machine.level()?);
        self.applied.set_head(checkpoint.state.id, checkpoint.head.clone());
        self.applied.set(self.machine.applied()?);
        Ok(())
    }
}

/// The level that a record raises the state to.
fn level_of(record: Option<&Record>) -> Option<u32> {
    match &record?.change {
        Change::Version(version) => Some(version.apply),
        _ => None,
    }
}

pub(crate) fn committed(entry: LogEntry, membership: Bytes) -> Result<Committed, Fatal> {
    let record = match entry.kind {
        EntryKind::Record => Some(record_of(&entry.payload).map_err(|error| {
            Fatal(format!("the record at {} cannot be applied: {error}", entry.id.index))
        })?),
        EntryKind::Blank | EntryKind::Membership => None,
    };
    Ok(Committed { entry, record, membership })
}
