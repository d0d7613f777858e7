//! A simulated machine: a disk that survives, and a node that comes and goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redoubt_log::blob::{BlobError, BlobOptions, BlobStore, IndexKind};
use redoubt_log::disk::sim::SimDisk;
use redoubt_log::id::{BlobId, LogIndex, NodeId, ShardId};
use redoubt_log::raft::{
    AppliedState, Committed, EntryKind, Fatal, LEVEL, Node, NodeOptions, PeerOptions, Start,
    StateMachine, Stopped, record_of,
};
use redoubt_log::record::Outcome;
use redoubt_log::segment::{ReadOnlyLog, SegmentLog, SegmentOptions};
use redoubt_log::world::sim::Host;
use redoubt_store::sim::{SimMachine, SimViews};

use super::ledger::Ledger;
use super::net::Net;

const LOG: &str = "/node/log";
const BLOBS: &str = "/node/blobs";

/// What is set for every machine of a run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What it does with an empty log.
    pub start: Start,
    /// Blobs are said to be durable without a sync.
    pub packs_unsynced: bool,
    /// The way to others, if there are any.
    pub net: Option<Net>,
}

/// A machine. Clones are the same.
#[derive(Clone)]
pub struct Machine(Arc<Inner>);

struct Inner {
    id: NodeId,
    main: Host,
    ledger: Ledger,
    options: Options,
    views: SimViews,
    state: Mutex<State>,
}

struct State {
    host: Host,
    disk: SimDisk,
    running: Option<Running>,
    incarnation: u64,
    /// Its disk does not do what it should, so that a node may stop of it.
    sick: bool,
}

/// A node that runs.
#[derive(Clone)]
pub struct Running {
    /// The replica.
    pub node: Node,
    /// Its blobs.
    pub blobs: BlobStore,
    /// Its log.
    pub log: SegmentLog,
}

impl Machine {
    /// With an empty disk, switched off.
    pub fn new(id: NodeId, main: &Host, ledger: &Ledger, options: Options) -> Self {
        let host = main.beside(&format!("node {id}"));
        host.kill();
        let disk = SimDisk::new(main.random());
        let state = Mutex::new(State { host, disk, running: None, incarnation: 0, sick: false });
        let (main, ledger, views) = (main.clone(), ledger.clone(), SimViews::default());
        Self(Arc::new(Inner { id, main, ledger, options, views, state }))
    }

    /// Its node's id.
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// The views as its node has them now.
    pub fn views(&self) -> &SimViews {
        &self.0.views
    }

    /// Its disk as it is now.
    pub fn disk(&self) -> SimDisk {
        self.0.state.lock().disk.clone()
    }

    /// Where its tasks run now.
    pub fn host(&self) -> Host {
        self.0.state.lock().host.clone()
    }

    /// Whether it is switched on; its node may still be coming up.
    pub fn is_on(&self) -> bool {
        self.host().is_alive()
    }

    /// The node, if it has come up.
    pub fn running(&self) -> Option<Running> {
        self.0.state.lock().running.clone()
    }

    /// Says that its disk fails from now on, or does so no more.
    pub fn set_sick(&self, sick: bool) {
        self.0.state.lock().sick = sick;
    }

    /// Ends its node. With the power, what was not synced may be gone; without,
    /// only the process is.
    pub fn kill(&self, power: bool) {
        let mut state = self.0.state.lock();
        let (host, running) = (state.host.clone(), state.running.take());
        drop(state);
        if let (true, Some(net)) = (power, &self.0.options.net) {
            net.silence(self.0.id);
        }
        host.kill();
        host.enter(|| drop(running));
        let mut state = self.0.state.lock();
        state.sick = false;
        match power {
            true => state.disk = state.disk.crash(),
            false => state.disk.heal(),
        }
    }

    /// Switches it on; its node comes up by itself.
    pub fn start(&self) {
        let host = self.0.main.beside(&format!("node {}", self.0.id));
        let mut state = self.0.state.lock();
        state.host = host.clone();
        state.incarnation += 1;
        drop(state);
        if let Some(net) = &self.0.options.net {
            net.forget(self.0.id);
        }
        let machine = self.clone();
        drop(host.spawn(async move {
            match machine.come_up().await {
                Ok(running) => machine.watch(running).await,
                Err(why) => machine.failed(format!("does not come up: {why}")),
            }
        }));
    }

    /// A node may fail only when its disk did.
    fn failed(&self, why: String) {
        let sick = self.0.state.lock().sick;
        if !sick {
            self.0.ledger.violation(format!("node {} {why}", self.0.id));
        }
    }

    async fn come_up(&self) -> Result<Running, String> {
        let (disk, id) = (Arc::new(self.disk()), self.0.id);
        let opened = SegmentLog::open(disk.clone(), Path::new(LOG), segment_options());
        let (log, _) = opened.map_err(|error| error.to_string())?;
        let options = blob_options(&self.0.options);
        let opened = BlobStore::open(disk, Path::new(BLOBS), options);
        let (blobs, _) = opened.map_err(|error| error.to_string())?;
        self.check_closure(&log, &blobs)?;
        let machine = Box::new(Watched {
            node: id,
            machine: self.0.views.machine(),
            views: self.0.views.clone(),
            ledger: self.0.ledger.clone(),
            main: self.0.main.clone(),
        });
        let node = Node::open_here(self.node_options(), log.clone(), blobs.clone(), machine).await;
        let node = node.map_err(|error| error.to_string())?;
        Ok(Running { node, blobs, log })
    }

    fn node_options(&self) -> NodeOptions {
        let Inner { id, options, state, .. } = &*self.0;
        let peers = options.net.as_ref().map(|net| PeerOptions {
            cluster: "simulated".to_owned(),
            incarnation: state.lock().incarnation,
            address: address(*id),
            level: LEVEL,
            seen: PathBuf::from("/node/seen"),
            dialer: net.dialer(*id),
            incoming: PathBuf::from("/node/incoming"),
        });
        NodeOptions { peers, start: options.start, ..NodeOptions::new(*id, ShardId(0)) }
    }

    async fn watch(&self, running: Running) {
        let node = running.node.clone();
        self.0.state.lock().running = Some(running);
        self.0.ledger.count(|counts| counts.restarts += 1);
        if let Stopped::Fatal(why) = node.stopped().await {
            self.failed(format!("stopped: {why}"));
        }
    }

    /// A node that holds an entry holds every blob that the entry names, whole.
    fn check_closure(&self, log: &SegmentLog, blobs: &BlobStore) -> Result<(), String> {
        let first = log.purged().map_or(0, |id| id.index.0 + 1);
        let end = log.last().map_or(0, |id| id.index.0 + 1);
        for entry in read_all(log, first, end)? {
            if entry.kind != EntryKind::Record {
                continue;
            }
            let record = record_of(&entry.payload).map_err(|error| error.to_string())?;
            for blob in record.blobs() {
                if let Err(error) = whole(blobs, blob) {
                    let id = self.0.id;
                    return Err(format!(
                        "holds entry {} without its blob: {error}; {id}",
                        entry.id
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether it still has this entry if the power goes off now, at worst.
    pub fn keeps(&self, index: LogIndex) -> bool {
        let worst = self.disk().worst();
        let log = ReadOnlyLog::open(&worst, Path::new(LOG));
        log.is_ok_and(|log| log.last().map(|id| id.index) >= Some(index))
    }

    /// Runs something of a client's on its host, with its node. `None` when that
    /// is not up, or ends meanwhile.
    pub async fn with<T, F>(&self, work: impl FnOnce(Host, Running) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (host, running) = {
            let state = self.0.state.lock();
            (state.host.clone(), state.running.clone()?)
        };
        let work = work(host.clone(), running);
        host.spawn(work).await.ok()
    }
}

/// Where a node is reached.
pub(super) fn address(node: NodeId) -> String {
    format!("node-{node}:1")
}

/// The entries of a log.
pub(super) fn read_all(
    log: &SegmentLog,
    first: u64,
    end: u64,
) -> Result<Vec<redoubt_log::raft::LogEntry>, String> {
    let mut entries = Vec::new();
    let mut next = first;
    while next < end {
        let page = log.read(LogIndex(next)..LogIndex(end), 1 << 20).map_err(|e| e.to_string())?;
        next += page.len().max(1) as u64;
        entries.extend(page);
    }
    Ok(entries)
}

/// Whether a blob reads, with the right hash.
pub(super) fn whole(blobs: &BlobStore, blob: BlobId) -> Result<Vec<u8>, BlobError> {
    blobs.reader(&blob)?.read_all(1 << 24)
}

/// Small files, so that there are many of them.
fn segment_options() -> SegmentOptions {
    SegmentOptions {
        segment_bytes: 64 << 10,
        tail_bytes: 16 << 10,
        batch_bytes: 8 << 10,
        idle_mark: Some(Duration::from_millis(200)),
        ..SegmentOptions::default()
    }
}

fn blob_options(options: &Options) -> BlobOptions {
    BlobOptions {
        pack_bytes: 128 << 10,
        large: 16 << 10,
        part_threshold: 512,
        level: 1,
        index: IndexKind::Memory,
        unsafe_skip_sync: options.packs_unsynced,
        ..BlobOptions::default()
    }
}

/// The state machine, and the ledger beside it.
struct Watched {
    node: NodeId,
    machine: SimMachine,
    views: SimViews,
    ledger: Ledger,
    main: Host,
}

impl StateMachine for Watched {
    fn applied(&mut self) -> Result<Option<AppliedState>, Fatal> {
        self.machine.applied()
    }

    fn apply(&mut self, entry: Committed) -> Result<Option<Outcome>, Fatal> {
        let outcome = self.machine.apply(entry.clone())?;
        let state = self.views.state_hash().map_err(Fatal::new)?;
        self.ledger.applied(self.node, &entry, state);
        // Views are flushed when they like.
        if self.main.pick(0..24) == 0 {
            self.views.flush();
        }
        Ok(outcome)
    }

    fn flush(&mut self) -> Result<(), Fatal> {
        self.machine.flush()
    }
}
