//! One shard's replica on this node, as the rest of the program sees it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::time::timeout_at;

use crate::blob::BlobStore;
use crate::chain::Head;
use crate::id::{BlobId, Hash, LogIndex, NodeId, ShardId, Term};
use crate::raft::apply::{AppliedCell, Applier, ApplyHandle};
use crate::raft::error::{OpenError, ProposeError, ReadError};
use crate::raft::gate::{Blobs, Gate};
use crate::raft::hub::Hub;
use crate::raft::images::Images;
use crate::raft::open::{self, Parts, Running, Threads};
use crate::raft::peers::{Deadness, PeerOptions, Start};
use crate::raft::read_index::{Raft, ReadIndex};
use crate::raft::state_machine::{AppliedState, StateMachine};
use crate::raft::stop::{StopCell, Stopped};
use crate::record::{Change, Outcome, Record};
use crate::segment::{LogEntry, LogId, SegmentLog, SegmentStats};
use crate::world::{self, Mutation};

/// How a replica runs.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// This node.
    pub node: NodeId,
    /// The shard, for names of threads and messages.
    pub shard: ShardId,
    /// A leader's heartbeat.
    pub heartbeat: Duration,
    /// The shortest and longest time without one after which a node stands for election.
    pub election: Range<Duration>,
    /// How long [`Node::open`] may take until the committed index is recovered
    /// and applied; replay after a crash is part of it.
    pub recovery: Duration,
    /// Threads that Raft has for itself.
    pub threads: usize,
    /// The way to peers; `None` for a node that is alone.
    pub peers: Option<PeerOptions>,
    /// What is done with an empty log.
    pub start: Start,
    /// Whether it keeps no views and serves nobody.
    pub light: bool,
    /// Who keeps state images; without it none is given and none taken.
    pub images: Option<Arc<dyn Images>>,
    /// Bytes a second of images and blobs that are given to peers that are far
    /// behind, at most; 0 is no bound.
    pub transfer_rate: u64,
}

impl NodeOptions {
    /// With the usual times: heartbeat 100 ms, election 250–450 ms. A follower stands
    /// when it has heard nothing for the longest of these (a leader's lease) and
    /// then for one between them: 700 to 900 ms, six heartbeats lost in a row.
    pub fn new(node: NodeId, shard: ShardId) -> Self {
        Self {
            node,
            shard,
            heartbeat: Duration::from_millis(100),
            election: Duration::from_millis(250)..Duration::from_millis(450),
            recovery: Duration::from_secs(3600),
            threads: 2,
            peers: None,
            start: Start::Found,
            light: false,
            images: None,
            transfer_rate: 0,
        }
    }
}

/// How a replica is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The shard.
    pub shard: ShardId,
    /// This node.
    pub node: NodeId,
    /// The current term.
    pub term: Term,
    /// Who leads, where that is known; not this node while no majority answers it.
    pub leader: Option<NodeId>,
    /// The last entry in the log.
    pub last: Option<LogId>,
    /// The last entry durable in this node's own log.
    pub durable: Option<LogId>,
    /// The last entry known to be committed.
    pub committed: Option<LogIndex>,
    /// The last entry applied, with the chain after it.
    pub applied: Option<AppliedState>,
    /// The last entry purged.
    pub purged: Option<LogId>,
    /// Whether the disk has room for mail to grow.
    pub growth_allowed: bool,
    /// Why it has stopped, if it has.
    pub stopped: Option<Stopped>,
}

impl Status {
    /// The chain after the last entry applied.
    pub fn chain(&self) -> Option<Hash> {
        self.applied.as_ref().map(|state| state.chain)
    }
}

/// One shard's replica on this node. Clones are handles on the same one; when
/// the last goes without [`Node::shutdown`], it ends as by a crash.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    parts: Parts,
    raft: Raft,
    hub: Arc<Hub>,
    reads: ReadIndex,
    running: Mutex<Option<Work>>,
}

struct Work {
    applier: Applier,
    apply: ApplyHandle,
    threads: Threads,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("options", &self.0.parts.options).finish_non_exhaustive()
    }
}

impl Node {
    /// Opens a replica over its log, its blobs and what the log is applied to.
    /// The first time it makes a group of one voter, this node. Returns when the
    /// committed index is recovered and applied. Blocks; not for a tokio worker.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was changed but Raft's own entries.
    pub fn open(
        options: NodeOptions,
        log: SegmentLog,
        blobs: BlobStore,
        machine: Box<dyn StateMachine>,
    ) -> Result<Self, OpenError> {
        Self::open_with(options, log, Gate::new(Arc::new(blobs) as Arc<dyn Blobs>), machine)
    }

    pub(crate) fn open_with(
        options: NodeOptions,
        log: SegmentLog,
        gate: Gate,
        machine: Box<dyn StateMachine>,
    ) -> Result<Self, OpenError> {
        let (applied, stop) = (Arc::new(AppliedCell::default()), StopCell::new());
        let parts = Parts { options, log, gate, applied, stop };
        let threads = Threads::start(&parts.options)?;
        let running = threads.run(open::start(parts.clone(), machine, threads.handle()));
        let running = running.unwrap_or_else(|| Err(open::has_panicked(&parts)))?;
        Ok(Self::over(parts, running, threads))
    }

    /// [`Node::open`] for a simulation: it runs on the caller's runtime, without
    /// threads of its own.
    ///
    /// # Errors
    /// As [`Node::open`].
    #[cfg(any(test, feature = "sim"))]
    pub async fn open_here(
        options: NodeOptions,
        log: SegmentLog,
        blobs: BlobStore,
        machine: Box<dyn StateMachine>,
    ) -> Result<Self, OpenError> {
        let (applied, stop) = (Arc::new(AppliedCell::default()), StopCell::new());
        let gate = Gate::new(Arc::new(blobs) as Arc<dyn Blobs>);
        let parts = Parts { options, log, gate, applied, stop };
        let running = open::start(parts.clone(), machine, None).await?;
        Ok(Self::over(parts, running, Threads::none()))
    }

    fn over(parts: Parts, running: Running, threads: Threads) -> Self {
        let Running { raft, hub, reads, applier, apply } = running;
        let running = Mutex::new(Some(Work { applier, apply, threads }));
        Self(Arc::new(Inner { parts, raft, hub, reads, running }))
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    /// Proposes a record, here or at whoever leads, and waits until it is committed
    /// by a quorum, durable there with its blobs, and applied here. While nobody
    /// leads it waits; what is not known to have been committed is proposed again
    /// under the same operation id, until the deadline.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(
        &self,
        record: Record,
        deadline: Instant,
    ) -> Result<Outcome, ProposeError> {
        self.0.hub.propose(record, tokio::time::Instant::from_std(deadline)).await
    }

    fn why(&self) -> String {
        self.0.parts.stop.get().map_or_else(|| "Raft has ended".to_owned(), |why| why.to_string())
    }

    /// Batches and syncs of the log since it was opened.
    pub fn log_stats(&self) -> SegmentStats {
        self.0.parts.log.stats()
    }

    /// Waits until everything committed before this call is applied here, and
    /// gives that index. Calls that wait together cost one round. Waits for a
    /// leader until the deadline.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`], [`ReadError::Stopped`].
    pub async fn read_index(&self, deadline: Instant) -> Result<LogIndex, ReadError> {
        if let Some(why) = self.0.parts.stop.get() {
            return Err(ReadError::Stopped(why.to_string()));
        }
        if world::breaks(Mutation::ReadUnasked) {
            return Ok(self.0.parts.applied.index().unwrap_or(LogIndex(0)));
        }
        match timeout_at(tokio::time::Instant::from_std(deadline), self.0.reads.read()).await {
            Ok(Some(index)) => index,
            Ok(None) => Err(ReadError::Stopped(self.why())),
            Err(_) => Err(ReadError::Unavailable),
        }
    }

    /// Applied entries of a range, as many as fit into `max_bytes` and at least
    /// one if the range has any, every checksum verified. Blocks on files.
    ///
    /// # Errors
    /// [`ReadError::Log`].
    pub fn read(
        &self,
        range: Range<LogIndex>,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, ReadError> {
        let applied = self.0.parts.applied.index().map_or(0, |index| index.0 + 1);
        let range = range.start..range.end.min(LogIndex(applied));
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.0.parts.log.read(range, max_bytes).map_err(|error| ReadError::Log(error.to_string()))
    }

    /// Chain, time and tree after an applied entry. May read a segment: blocks.
    ///
    /// # Errors
    /// [`ReadError::Log`], also for an entry that is not applied.
    pub fn head_at(&self, index: LogIndex) -> Result<Head, ReadError> {
        if self.0.parts.applied.index() < Some(index) {
            return Err(ReadError::Log(format!("entry {index} is not applied")));
        }
        self.0.parts.log.head_at(index).map_err(|error| ReadError::Log(error.to_string()))
    }

    /// How the replica is.
    pub fn status(&self) -> Status {
        let Parts { options, log, applied, stop, .. } = &self.0.parts;
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        Status {
            shard: options.shard,
            node: options.node,
            term: Term(metrics.current_term),
            leader: metrics.current_leader.map(NodeId).filter(|_| self.0.hub.is_followed(&metrics)),
            last: log.last(),
            durable: log.durable(),
            committed: metrics.local_committed.map(|id| LogIndex(id.index)),
            applied: applied.get(),
            purged: log.purged(),
            growth_allowed: log.growth_was_allowed().0,
            stopped: stop.get(),
        }
    }

    /// Who knows which blobs are dead: a peer that takes entries from before is told so, and
    /// does not wait for them. Once; later calls change nothing.
    pub fn know_dead(&self, dead: Arc<dyn Deadness>) {
        drop(self.0.hub.dead.set(dead));
    }

    /// Since which entry nothing refers to a blob, by what is applied here. Blocks.
    pub fn dead_since(&self, blob: &BlobId) -> Option<LogIndex> {
        self.0.hub.dead.get()?.since(blob)
    }

    /// Purges the log up to and with `upto`, which a checkpoint must cover.
    ///
    /// # Errors
    /// [`ReadError::NoCheckpoint`], [`ReadError::Stopped`].
    pub async fn purge(&self, upto: LogIndex) -> Result<(), ReadError> {
        let applier = self.0.running.lock().as_ref().map(|work| work.applier.clone());
        let stopped = |_| ReadError::Stopped(self.why());
        let applier = applier.ok_or(()).map_err(stopped)?;
        let checkpoint = applier.checkpoint().await.map_err(|_| stopped(()))?;
        if checkpoint.map(|checkpoint| checkpoint.state.id.index) < Some(upto) {
            return Err(ReadError::NoCheckpoint(upto));
        }
        self.purge_covered(upto.0).await.ok_or(()).map_err(stopped)
    }

    async fn purge_covered(&self, upto: u64) -> Option<()> {
        let (raft, wait) = (&self.0.raft, self.0.raft.wait(None));
        raft.trigger().snapshot().await.ok()?;
        wait.metrics(|m| m.snapshot.map(|id| id.index) >= Some(upto), "covered").await.ok()?;
        raft.trigger().purge_log(upto).await.ok()?;
        wait.metrics(|m| m.purged.map(|id| id.index) >= Some(upto), "purged").await.ok()?;
        Some(())
    }

    /// Members that are refused, each with why: nothing of them is believed any more.
    pub fn refused(&self) -> Vec<(NodeId, String)> {
        let refused = self.0.hub.refused.lock();
        let members = refused.iter().filter(|(node, _)| self.0.hub.member(**node).is_some());
        members.map(|(node, why)| (*node, why.clone())).collect()
    }

    /// What is wrong with this machine's clock, and what is done about it.
    pub fn clock_trouble(&self) -> Option<String> {
        self.0.hub.clock_trouble()
    }

    /// Resolves when the replica has stopped, for whatever reason.
    pub async fn stopped(&self) -> Stopped {
        self.0.parts.stop.wait().await
    }

    /// Ends it as by a crash, and waits until its threads are gone.
    #[cfg(test)]
    pub(crate) fn kill(self) {
        if let Some(Work { applier, apply, threads }) = self.0.running.lock().take() {
            let end = move || {
                threads.end();
                drop(applier);
                apply.join();
            };
            std::thread::spawn(end).join().ok();
        }
    }

    /// Hands leadership over where that is quick, leaves Raft, flushes what was
    /// applied, and closes the log. Proposals that
    /// wait get [`ProposeError::Unknown`]. A second call does nothing.
    ///
    /// # Errors
    /// [`ReadError::Stopped`] when it had stopped before or the flush fails;
    /// [`ReadError::Log`] when the log fails to close.
    pub async fn shutdown(&self) -> Result<(), ReadError> {
        let work = self.0.running.lock().take();
        let Some(Work { applier, apply, threads }) = work else { return Ok(()) };
        self.0.hub.leave_in_order().await;
        self.0.parts.stop.set(Stopped::Shutdown);
        drop(self.0.raft.shutdown().await);
        self.0.hub.seen_saved().await;
        drop(applier);
        let log = self.0.parts.log.clone();
        let end = finish(apply, &log).await;
        // Services may be reading there what is about to be closed.
        threads.ended().await;
        end
    }
}

async fn finish(apply: ApplyHandle, log: &SegmentLog) -> Result<(), ReadError> {
    let flushed = apply.ended().await;
    let flushed = flushed.map_err(|_| ReadError::Stopped("apply has panicked".to_owned()));
    let closed = log.closed().await.map_err(|error| ReadError::Log(error.to_string()));
    flushed?.map_err(|why| ReadError::Stopped(why.to_string()))?;
    closed
}

/// Whether a change needs room that stays taken. What shrinks, and what an
/// administrator needs to make room, passes on a full disk.
pub(crate) fn grows(change: &Change) -> bool {
    match change {
        Change::Deliver(_)
        | Change::DeliverCaptured(_)
        | Change::Capture(_)
        | Change::CaptureSet(_)
        | Change::Append(_)
        | Change::Copy(_)
        | Change::DomainAdd(_)
        | Change::AccountAdd(_)
        | Change::AliasAdd(_)
        | Change::MailboxCreate(_)
        | Change::RestoreBegin(_)
        | Change::RestorePiece(_)
        | Change::RestoreNow(_)
        | Change::ClassAdd(_)
        | Change::PersonalTokenAdd(_)
        | Change::MatterAdd(_)
        | Change::MatterCustodian(_)
        | Change::MatterNote(_)
        | Change::Subscribe(_) => true,
        Change::DomainSet(_)
        | Change::ClassSet(_)
        | Change::ClassRemove(_)
        | Change::CaptureRemove(_)
        | Change::AccountClass(_)
        | Change::DomainClass(_)
        | Change::RoleGrant(_)
        | Change::RoleRevoke(_)
        | Change::PersonalTokenRevoke(_)
        | Change::DomainRemove(_)
        | Change::AccountSet(_)
        | Change::AccountRename(_)
        | Change::AccountDelete(_)
        | Change::AccountSweep(_)
        | Change::RestoreAudit(_)
        | Change::DiscoveryBegin(_)
        | Change::DiscoveryEnd(_)
        | Change::HeadKey(_)
        | Change::DiscoveryRemove(_)
        | Change::MailRead(_)
        | Change::DiscoveryLook(_)
        | Change::MatterSet(_)
        | Change::MatterMember(_)
        | Change::Approval(_)
        | Change::Logins(_)
        | Change::Refused(_)
        | Change::AliasRemove(_)
        | Change::CredentialSet(_)
        | Change::CredentialRemove(_)
        | Change::MailboxRename(_)
        | Change::MailboxDelete(_)
        | Change::MailboxNamed(_)
        | Change::Move(_)
        | Change::SetFlags(_)
        | Change::Expunge(_)
        | Change::HistoryFloor(_)
        | Change::HistoryTrim(_)
        | Change::HoldSet(_)
        | Change::HoldRelease(_)
        | Change::HoldStays(_)
        | Change::HoldEnd(_)
        | Change::HoldMove(_)
        | Change::HoldMarks(_)
        | Change::HoldsKept(_)
        | Change::PolicySet(_)
        | Change::PolicyLock(_)
        | Change::PolicyRemove(_)
        | Change::Label(_)
        | Change::Unlabel(_)
        | Change::RetentionEvent(_)
        | Change::PurgePolicy(_)
        | Change::PolicyMatched(_)
        | Change::PoliciesKept(_)
        | Change::CountReferences(_)
        | Change::BlobsDead(_)
        | Change::EraseBegin(_)
        | Change::ErasePiece(_)
        | Change::EraseReport(_)
        | Change::ErasuresKept(_)
        | Change::Version(_)
        | Change::CheckpointMark(_)
        | Change::TokenAdd(_)
        | Change::NodeAdd(_)
        | Change::NodeRemove(_)
        | Change::Archived(_)
        | Change::NewLineage(_)
        | Change::Renumber(_)
        | Change::RightsKept(_) => false,
    }
}
