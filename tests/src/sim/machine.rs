//! A simulated machine: a disk that survives, and a node that comes and goes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use redoubt_log::blob::{BlobError, BlobOptions, BlobStore, IndexKind};
use redoubt_log::disk::sim::SimDisk;
use redoubt_log::id::{BlobId, LogIndex, NodeId, ShardId};
use redoubt_log::raft::{
    EntryKind, Images, LEVEL, LightState, Node, NodeOptions, PeerOptions, Start, StateMachine,
    Stopped, record_of,
};
use redoubt_log::segment::{ReadOnlyLog, SegmentLog, SegmentOptions};
use redoubt_log::world::sim::Host;
use redoubt_store::sim::{SimBases, SimViews};

use super::ledger::Ledger;
use super::net::Net;
use super::retained;
use super::upkeep;
use super::watched::Watched;

const LOG: &str = "/node/log";
const BLOBS: &str = "/node/blobs";
const BASE: &str = "/node/base";
const LIGHT: &str = "/node/light";
const INCOMING: &str = "/node/incoming";

/// What is set for every machine of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it does with an empty log.
    pub start: Start,
    /// Blobs are said to be durable without a sync.
    pub packs_unsynced: bool,
    /// The way to others, if there are any.
    pub net: Option<Net>,
    /// Whether it keeps no views.
    pub light: bool,
    /// What its program supports at first.
    pub level: u32,
    /// Whether checkpoints are taken and the log is purged behind them.
    pub purging: bool,
    /// Whether the bytes of dead blobs go.
    pub retaining: bool,
    /// Octets a second that it gives to those who fetch a snapshot; 0 is no bound.
    pub rate: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            start: Start::Found,
            packs_unsynced: false,
            net: None,
            light: false,
            level: LEVEL,
            purging: false,
            retaining: false,
            rate: 0,
        }
    }
}

/// A machine. Clones are the same.
#[derive(Clone)]
pub struct Machine(Arc<Inner>);

/// A machine as long as somebody else has it.
pub(super) struct WeakMachine(Weak<Inner>);

impl WeakMachine {
    pub(super) fn upgrade(&self) -> Option<Machine> {
        self.0.upgrade().map(Machine)
    }
}

struct Inner {
    id: NodeId,
    main: Host,
    ledger: Ledger,
    options: Options,
    views: SimViews,
    installed: Arc<AtomicU64>,
    state: Mutex<State>,
}

struct State {
    host: Host,
    disk: SimDisk,
    running: Option<Running>,
    incarnation: u64,
    /// Something is wrong of which a node may stop.
    sick: bool,
    /// What its program supports.
    level: u32,
}

/// All that a machine's disk held at some time.
#[derive(Debug, Clone)]
pub struct Image {
    disk: SimDisk,
    views: SimViews,
    incarnation: u64,
}

/// A node that runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// The replica.
    pub node: Node,
    /// Its blobs.
    pub blobs: BlobStore,
    /// Its log.
    pub log: SegmentLog,
    /// Its checkpoints; none without views.
    pub bases: Option<Arc<SimBases>>,
}

impl Machine {
    /// With an empty disk, switched off.
    pub fn new(id: NodeId, main: &Host, ledger: &Ledger, options: Options) -> Self {
        let host = main.beside(&format!("node {id}"));
        host.kill();
        let disk = SimDisk::new(main.random());
        let (running, incarnation, sick, level) = (None, 0, false, options.level);
        let state = Mutex::new(State { host, disk, running, incarnation, sick, level });
        let (main, ledger, views) = (main.clone(), ledger.clone(), SimViews::default());
        Self(Arc::new(Inner { id, main, ledger, options, views, installed: Arc::default(), state }))
    }

    pub(super) fn downgrade(&self) -> WeakMachine {
        WeakMachine(Arc::downgrade(&self.0))
    }

    /// Its node's id.
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// The views as its node has them now.
    pub fn views(&self) -> &SimViews {
        &self.0.views
    }

    /// The last index that its node has applied.
    pub fn applied(&self) -> Option<LogIndex> {
        match self.is_light() {
            true => self.running()?.node.status().applied.map(|state| state.id.index),
            false => self.views().applied().unwrap(),
        }
    }

    /// Whether it keeps no views.
    pub fn is_light(&self) -> bool {
        self.0.options.light
    }

    /// What its program supports.
    pub fn level(&self) -> u32 {
        self.0.state.lock().level
    }

    /// Another program is started the next time.
    pub fn set_level(&self, level: u32) {
        self.0.state.lock().level = level;
    }

    /// How many snapshots were installed here.
    pub fn installed(&self) -> u64 {
        self.0.installed.load(Ordering::Relaxed)
    }

    /// Whether a snapshot is on its way here, or parts of one are left.
    pub fn is_fetching(&self) -> bool {
        self.disk().files().iter().any(|file| file.starts_with(INCOMING))
    }

    /// What a crash now may leave of it, to be found again one day.
    pub fn image(&self) -> Image {
        let state = self.0.state.lock();
        let (disk, views) = (state.disk.crash(), self.0.views.image());
        Image { disk, views, incarnation: state.incarnation }
    }

    /// Its disk is that of an image from now on. Only while it is off.
    pub fn restore(&self, image: &Image) {
        let mut state = self.0.state.lock();
        state.disk = image.disk.copy();
        state.incarnation = image.incarnation;
        self.0.views.restore(&image.views);
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

    /// The power goes off and comes back.
    pub fn blink(&self) {
        let machine = self.clone();
        drop(self.0.main.spawn(async move {
            machine.kill(true);
            machine.start();
        }));
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
        let (machine, bases) = self.state_machine(&log)?;
        let light = bases.is_none();
        let machine = Box::new(Watched {
            node: id,
            light,
            installed: self.0.installed.clone(),
            machine,
            views: self.0.views.clone(),
            ledger: self.0.ledger.clone(),
            main: self.0.main.clone(),
        });
        let images = bases.clone().map(|bases| bases as Arc<dyn Images>);
        let options = NodeOptions { images, light, ..self.node_options() };
        let node = Node::open_here(options, log.clone(), blobs.clone(), machine).await;
        let node = node.map_err(|error| error.to_string())?;
        Ok(Running { node, blobs, log, bases })
    }

    /// What the log is applied to, and where its checkpoints lie.
    fn state_machine(&self, log: &SegmentLog) -> Result<Over, String> {
        let disk = Arc::new(self.disk());
        if self.is_light() {
            let state = LightState::open(disk, Path::new(LIGHT));
            return Ok((Box::new(state.map_err(|error| error.to_string())?), None));
        }
        let views = &self.0.views;
        let bases = Arc::new(SimBases::new(disk, Path::new(BASE), views, log));
        if self.0.main.pick(0..12) == 0 {
            views.lose(&bases)?;
        }
        let (level, known) = (views.level().map_err(|error| error.to_string())?, self.level());
        if level > known {
            return Err(format!("its views are of level {level}, its program knows {known}"));
        }
        Ok((Box::new(views.machine(known, bases.clone())), Some(bases)))
    }

    fn node_options(&self) -> NodeOptions {
        let Inner { id, options, .. } = &*self.0;
        let (incarnation, level) = {
            let state = self.0.state.lock();
            (state.incarnation, state.level)
        };
        let peers = options.net.as_ref().map(|net| PeerOptions {
            cluster: "simulated".to_owned(),
            incarnation,
            address: address(*id),
            level,
            seen: PathBuf::from("/node/seen"),
            dialer: net.dialer(*id),
            incoming: PathBuf::from(INCOMING),
        });
        let (start, transfer_rate) = (options.start, options.rate);
        NodeOptions { peers, start, transfer_rate, ..NodeOptions::new(*id, ShardId(0)) }
    }

    async fn watch(&self, running: Running) {
        let node = running.node.clone();
        if self.0.options.purging {
            drop(self.host().spawn(upkeep::keep(self.host(), running.clone())));
        }
        if self.0.options.retaining && !self.is_light() {
            let (host, ledger) = (self.host(), self.0.ledger.clone());
            let work = retained::reclaim(host, self.clone(), running.clone(), ledger);
            drop(self.host().spawn(work));
        }
        self.0.state.lock().running = Some(running);
        self.0.ledger.count(|counts| counts.restarts += 1);
        if let Stopped::Fatal(why) = node.stopped().await {
            self.failed(format!("stopped: {why}"));
        }
    }

    /// A node that holds an entry holds every blob that the entry names, whole.
    fn check_closure(&self, log: &SegmentLog, blobs: &BlobStore) -> Result<(), String> {
        let first = log.purged().map_or(0, |id| id.index.0 + 1);
        self.check_before(first, blobs)?;
        let end = log.last().map_or(0, |id| id.index.0 + 1);
        for entry in read_all(log, first, end)? {
            if entry.kind != EntryKind::Record {
                continue;
            }
            let record = record_of(&entry.payload).map_err(|error| error.to_string())?;
            for blob in record.blobs() {
                let dead = self.0.ledger.died_after(&blob, entry.id.index);
                if let (Err(error), false) = (whole(blobs, blob), dead) {
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

    /// What its log does not have any more, or never had because a snapshot stands for it,
    /// names blobs that are here all the same, or that it knows to be missing.
    fn check_before(&self, first: u64, blobs: &BlobStore) -> Result<(), String> {
        let Some(last) = first.checked_sub(1) else { return Ok(()) };
        for blob in self.0.ledger.blobs_upto(LogIndex(last)) {
            let there = blobs.contains(&blob).map_err(|error| error.to_string())?;
            if !there && !blobs.is_damaged(&blob) {
                let id = self.0.id;
                return Err(format!("has a state up to {last} without its blob {blob}; {id}"));
            }
        }
        Ok(())
    }

    /// Whether it still has this entry if the power goes off now, at worst.
    pub fn keeps(&self, index: LogIndex) -> bool {
        let worst = self.disk().worst_in(Path::new(LOG));
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

type Over = (Box<dyn StateMachine>, Option<Arc<SimBases>>);

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
