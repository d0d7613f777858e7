//! How a replica comes up: what lies on the disk is checked, then Raft is
//! started, and nothing is served before the committed index is recovered.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Config, SnapshotPolicy};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::blob::BlobError;
use crate::id::{BlobId, LogIndex};
use crate::raft::apply::{AppliedCell, Applier, ApplyHandle};
use crate::raft::error::OpenError;
use crate::raft::gate::Gate;
use crate::raft::hub::Hub;
use crate::raft::members::follow_leader;
use crate::raft::network::Peers;
use crate::raft::node::NodeOptions;
use crate::raft::peers::Start;
use crate::raft::read_index::{Raft, ReadIndex, round};
use crate::raft::state_machine::{AppliedState, StateMachine};
use crate::raft::stop::StopCell;
use crate::raft::storage::LogStore;
use crate::raft::types::{Member, record_of};
use crate::record::{Change, Record};
use crate::segment::{EntryKind, LogEntry, SegmentLog};
use crate::world;

/// Bytes of entries that are checked together for their blobs.
const CHECK_BYTES: usize = 1 << 20;

/// How long work that blocks on these threads may take to end.
const ENDS: Duration = Duration::from_secs(20);

/// A replica's own threads, or none: its tasks then run on its opener's runtime.
/// They end on their own when it is dropped, since a task of another runtime may
/// be what drops it, and must not block.
#[derive(Debug)]
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    /// None of its own.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn start(options: &NodeOptions) -> std::io::Result<Self> {
        let name = format!("raft-{}", options.shard);
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(options.threads).thread_name(name).enable_all();
        builder.build().map(|runtime| Self(Some(runtime)))
    }

    /// Blocks until nothing runs on them any more.
    #[cfg(test)]
    pub(crate) fn end(mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(Duration::from_secs(60));
        }
    }

    /// Waits until nothing runs on them any more, [`ENDS`] at most. Not for a task of theirs.
    pub(crate) async fn ended(mut self) {
        if let Some(runtime) = self.0.take() {
            drop(world::blocking(move || runtime.shutdown_timeout(ENDS)).await);
        }
    }

    /// The way onto them from elsewhere, if there are any.
    pub(crate) fn handle(&self) -> Option<Handle> {
        self.0.as_ref().map(|runtime| runtime.handle().clone())
    }

    /// Runs a task on them.
    pub(crate) fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) {
        match &self.0 {
            Some(runtime) => drop(runtime.spawn(task)),
            None => drop(world::spawn(task)),
        }
    }

    /// Runs a task on them and blocks this thread, which may itself be one of a
    /// runtime's. `None` when the task panics.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = mpsc::channel();
        self.spawn(async move { drop(tell.send(task.await)) });
        told.recv().ok()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A replica that runs.
pub(crate) struct Running {
    pub(crate) raft: Raft,
    pub(crate) hub: Arc<Hub>,
    pub(crate) reads: ReadIndex,
    pub(crate) applier: Applier,
    pub(crate) apply: ApplyHandle,
}

/// The parts that a replica stands on.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) options: NodeOptions,
    pub(crate) log: SegmentLog,
    pub(crate) gate: Gate,
    pub(crate) applied: Arc<AppliedCell>,
    pub(crate) stop: StopCell,
}

/// Checks, starts and recovers, on the replica's own threads, if it has any.
pub(crate) async fn start(
    parts: Parts,
    mut machine: Box<dyn StateMachine>,
    threads: Option<Handle>,
) -> Result<Running, OpenError> {
    let checked = parts.clone();
    let machine =
        world::blocking(move || join(&checked, &mut *machine).map(|()| machine)).await??;
    check_blobs(&parts).await?;
    let Parts { options, log, gate, applied, stop } = parts.clone();
    let store = LogStore::new(log, gate, applied.clone(), stop.clone());
    let store = store.map_err(|error| OpenError::Entry { index: None, error })?;
    let name = format!("apply-{}", options.shard);
    let durable = store.durable().clone();
    let (applier, apply) = Applier::start(&name, machine, applied, durable, stop)?;
    let (of_hub, term) = (parts.clone(), store.term());
    let hub = world::blocking(move || Hub::new(&of_hub, term, threads)).await?;
    hub.serve_log();
    hub.begin_snapshots();
    let up = come_up(&options, &hub, store, applier.clone()).await;
    let raft = up.map_err(|why| did_not_come_up(&parts, why))?;
    let failures = (parts.log.failure(), parts.gate.failure());
    drop(world::spawn(watch(raft.clone(), parts.stop.clone(), failures)));
    drop(world::spawn(follow_leader(raft.clone(), hub.clone())));
    if hub.peers().is_some() {
        drop(world::spawn(hub.clone().look_around()));
        drop(world::spawn(hub.clone().ask_around()));
        drop(world::spawn(hub.clone().watch_over()));
        drop(world::spawn(hub.clone().pace()));
    }
    let reads = ReadIndex::start(hub.clone());
    Ok(Running { raft, hub, reads, applier, apply })
}

/// How far the views have come, if they are of this log.
fn join(parts: &Parts, machine: &mut dyn StateMachine) -> Result<(), OpenError> {
    let applied = machine.applied()?;
    check_joined(parts, applied.as_ref(), machine)?;
    parts.applied.set_level(machine.level()?);
    parts.applied.set(applied);
    Ok(())
}

pub(crate) fn has_panicked(parts: &Parts) -> OpenError {
    did_not_come_up(parts, "a task of it has panicked".to_owned())
}

fn did_not_come_up(parts: &Parts, why: String) -> OpenError {
    let why = parts.stop.get().map_or(why, |stopped| stopped.to_string());
    OpenError::Raft { shard: parts.options.shard, why }
}

/// The views must be of this log's history, and the log must reach back to them.
fn check_joined(
    parts: &Parts,
    applied: Option<&AppliedState>,
    machine: &mut dyn StateMachine,
) -> Result<(), OpenError> {
    let (purged, last) = (parts.log.purged(), parts.log.last());
    let index = applied.map(|state| state.id.index);
    if let Some(purged) = purged.filter(|purged| index < Some(purged.index)) {
        return Err(OpenError::Gap { applied: applied.map(|state| state.id), purged });
    }
    let Some(state) = applied else { return Ok(()) };
    if index <= last.map(|last| last.index) {
        return match parts.log.chain_at(state.id.index)? == state.chain {
            true => Ok(()),
            false => Err(OpenError::OtherHistory { applied: state.id }),
        };
    }
    // Only a checkpoint from a peer is ahead of the log, which then begins behind it.
    match machine.installed()?.filter(|checkpoint| checkpoint.state == *state) {
        Some(checkpoint) => {
            parts.applied.set_head(state.id, checkpoint.head);
            Ok(())
        }
        None => Err(OpenError::AheadOfLog { applied: state.id, last }),
    }
}

/// Every blob that an entry above the views names must be here.
async fn check_blobs(parts: &Parts) -> Result<(), OpenError> {
    let after = parts.applied.index().max(parts.log.purged().map(|id| id.index));
    let mut from = after.map_or(0, |index| index.0 + 1);
    let end = parts.log.last().map_or(0, |last| last.index.0 + 1);
    let mut missing = Missing::new();
    while from < end {
        let log = parts.log.clone();
        let read = move || log.read(LogIndex(from)..LogIndex(end), CHECK_BYTES);
        let entries = world::blocking(read).await??;
        let records = records_of(&entries)?;
        let blobs: BTreeSet<BlobId> = records.iter().flat_map(|(_, r)| r.blobs()).collect();
        let held = parts.gate.hold(blobs.into_iter().collect()).await;
        if held.is_err() || !missing.is_empty() {
            look_at(parts, &records, &mut missing).await?;
        }
        from += entries.len().max(1) as u64;
    }
    for (blob, (from, error)) in missing {
        let noted = match parts.options.peers {
            Some(_) => parts.gate.hold_or_note(vec![blob]).await,
            None => Err(error),
        };
        noted.map_err(|error| OpenError::Blob { from, error })?;
    }
    Ok(())
}

/// Blobs that entries name and that are not here, with the first that does.
type Missing = BTreeMap<BlobId, (LogIndex, BlobError)>;

/// What is not here may have died later in the log, and gone.
async fn look_at(
    parts: &Parts,
    records: &[(LogIndex, Record)],
    missing: &mut Missing,
) -> Result<(), OpenError> {
    for (index, record) in records {
        if let Change::BlobsDead(dead) = &record.change {
            dead.blobs.iter().for_each(|blob| drop(missing.remove(blob)));
        }
        for blob in record.blobs() {
            match parts.gate.hold(vec![blob]).await {
                Ok(()) => drop(missing.remove(&blob)),
                Err(error @ (BlobError::Missing(_) | BlobError::Part { .. })) => {
                    missing.entry(blob).or_insert((*index, error));
                }
                Err(error) => return Err(OpenError::Blob { from: *index, error }),
            }
        }
    }
    Ok(())
}

fn records_of(entries: &[LogEntry]) -> Result<Vec<(LogIndex, Record)>, OpenError> {
    let records = entries.iter().filter(|entry| entry.kind == EntryKind::Record);
    let read = |entry: &LogEntry| {
        let index = entry.id.index;
        let record = record_of(&entry.payload);
        let record = record.map_err(|error| OpenError::Entry { index: Some(index), error })?;
        Ok((index, record))
    };
    records.map(read).collect()
}

fn config(options: &NodeOptions) -> Config {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Config {
        cluster_name: format!("shard {}", options.shard),
        heartbeat_interval: millis(options.heartbeat),
        election_timeout_min: millis(options.election.start),
        election_timeout_max: millis(options.election.end),
        // Checkpoints and purging are ours to trigger.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        max_payload_entries: 256,
        enable_pre_vote: Some(true),
        // A restarted node proposes only in a new term.
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        ..Config::default()
    }
}

async fn come_up(
    options: &NodeOptions,
    hub: &Arc<Hub>,
    store: LogStore,
    applier: Applier,
) -> Result<Raft, String> {
    let config = config(options).validate().map_err(|error| error.to_string())?;
    let peers = Peers(hub.clone());
    let raft = Raft::new(options.node.0, Arc::new(config), peers, store, applier).await;
    let raft = raft.map_err(|error| error.to_string())?;
    hub.set_raft(raft.clone());
    if !begin(&raft, options).await? {
        return Ok(raft);
    }
    match tokio::time::timeout(options.recovery, recover(&raft, options.node.0)).await {
        Ok(recovered) => recovered.map(|()| raft),
        Err(_) => Err(format!("not recovered within {:?}", options.recovery)),
    }
}

/// Makes a group where there is none and one is wanted. Whether what is committed
/// can be recovered without anybody else.
async fn begin(raft: &Raft, options: &NodeOptions) -> Result<bool, String> {
    let node = options.node.0;
    if !raft.is_initialized().await.map_err(|error| error.to_string())? {
        if options.start == Start::Join {
            return Ok(false);
        }
        let address = options.peers.as_ref().map(|peers| peers.address.clone());
        let member = Member { address: address.unwrap_or_default(), light: options.light };
        let members = BTreeMap::from([(node, member)]);
        raft.initialize(members).await.map_err(|error| error.to_string())?;
    } else if is_only_voter(raft, node) {
        // Nobody else can be elected: there is nothing to wait for.
        raft.trigger().elect(false).await.map_err(|error| error.to_string())?;
    } else {
        return Ok(options.peers.is_none());
    }
    Ok(true)
}

/// Returns once everything committed is known and applied.
async fn recover(raft: &Raft, node: u64) -> Result<(), String> {
    let led = raft.wait(None).metrics(|metrics| metrics.current_leader.is_some(), "a leader").await;
    match led.map_err(|error| error.to_string())?.current_leader {
        Some(leader) if leader == node => {
            let read = round(raft).await.map_err(|error| error.to_string())?;
            read.map(drop).ok_or_else(|| "another node leads, or no quorum answers".to_owned())
        }
        _ => raft.wait_for_recovery(None).await.map(drop).map_err(|error| error.to_string()),
    }
}

fn is_only_voter(raft: &Raft, node: u64) -> bool {
    let metrics = raft.metrics();
    let membership = metrics.borrow_watched().membership_config.clone();
    membership.voter_ids().eq([node])
}

/// Ends Raft at once when a part below has failed, and says so when Raft has ended.
async fn watch(
    raft: Raft,
    stop: StopCell,
    (log, blobs): (impl Future<Output = String>, impl Future<Output = String>),
) {
    let mut metrics = raft.metrics();
    let ended = async {
        loop {
            if let Err(why) = &metrics.borrow_watched().running_state {
                return why.to_string();
            }
            if metrics.changed().await.is_err() {
                return "Raft has ended".to_owned();
            }
        }
    };
    tokio::select! {
        biased;
        why = ended => return stop.fatal(why),
        why = log => stop.fatal(why),
        why = blobs => stop.fatal(why),
        _ = stop.wait() => {}
    }
    drop(raft.shutdown().await);
}
