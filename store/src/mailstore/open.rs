//! How a data directory is opened, closed and rebuilt.

use std::sync::Arc;
use std::time::Duration;

use redoubt_log::blob::BlobStore;
use redoubt_log::id::{Hash, LogIndex, OperationId, ShardId};
use redoubt_log::raft::{self, LightState, Node, NodeOptions, PeerOptions, Start, StateMachine};
use redoubt_log::record::{Actor, Change, NodeRemove, Version};
use redoubt_log::segment::{LogError, SegmentLog};

use super::compare::{self, Comparer};
use super::light::LightMachine;
use super::machine::{Machine, Progress};
use super::rescue::{self, Rescuer};
use super::{
    ClusterFile, Inner, Layout, Lock, Mailstore, NodeFile, OpenError, Options, ShardSecret,
    StoreError, Tasks, checkpoints, contact, erased, erasures, holds, layout, light_erased, place,
    policies, reads, refusals, reserve, restores, retention, scrub, sweep, upkeep, views, workers,
};
use crate::Ending;
use crate::alarms::Alarms;
use crate::auth::Authenticator;
use crate::cache::{OutlineCache, ParsedCache};
use crate::changes::Feeds;
use crate::hash::StateHash;
use crate::ingest::Ingest;
use crate::keyed::KeyedHashes;
use crate::search::Shelf;
use crate::spool::SpoolRoom;
use crate::storage::RocksStorage;
use crate::view;

/// The one shard of this node.
const SHARD: ShardId = ShardId(0);
/// How long a shutdown waits for what was proposed.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn open(options: Options) -> Result<Mailstore, OpenError> {
    let (level, logins_every) = (options.level, options.record_logins_every);
    let opened = tokio::task::spawn_blocking(move || Inner::open(options)).await;
    let inner = opened.map_err(|error| OpenError::Node(error.to_string()))??;
    let inner = Arc::new(inner);
    let weak = Arc::downgrade(&inner);
    let marks = inner.progress.marks.clone();
    let tasks = [
        tokio::spawn(sweep::run(weak.clone(), inner.progress.clone())),
        tokio::spawn(retention::run(weak.clone())),
        tokio::spawn(policies::run(weak.clone())),
        tokio::spawn(holds::run(weak.clone())),
        tokio::spawn(restores::run(weak.clone(), inner.progress.clone())),
        tokio::spawn(erasures::run(weak.clone(), inner.progress.clone())),
        tokio::spawn(erased::run(weak.clone(), inner.progress.clone())),
        tokio::spawn(light_erased::run(weak.clone())),
        tokio::spawn(checkpoints::run(weak.clone(), inner.progress.clone())),
        tokio::spawn(rescue::run(Arc::downgrade(&inner.rescuer))),
        tokio::spawn(compare::run(Arc::downgrade(&inner.comparer), marks)),
        tokio::spawn(upkeep::run(weak.clone())),
        tokio::spawn(reads::run(weak.clone(), logins_every)),
        tokio::spawn(refusals::run(weak.clone())),
        tokio::spawn(scrub::run(weak.clone())),
        tokio::spawn(contact::run(weak)),
    ];
    tasks.iter().for_each(|task| inner.tasks.add(task.abort_handle()));
    inner.checkpoints.opened(&inner);
    if inner.trims {
        light_erased::serve(&inner);
    }
    let store = Mailstore { inner };
    begin_at_own_level(&store, level).await?;
    remove_lost(&store).await?;
    Ok(store)
}

/// A store that nobody has used yet has no older program to wait for.
async fn begin_at_own_level(store: &Mailstore, level: u32) -> Result<(), OpenError> {
    if store.membership().joined || store.node().cluster().members.len() > 1 {
        return Ok(());
    }
    let failed = |error: String| OpenError::Views(error);
    let view = store.inner.local_view().map_err(|error| failed(error.to_string()))?;
    let read = move || Ok((view.level()?, view.domains()?.is_empty()));
    let read = store.inner.work(read).await.map_err(|error| failed(error.to_string()))?;
    let (now, unused): (u32, bool) = read.map_err(|error: StoreError| failed(error.to_string()))?;
    if !unused || now >= level {
        return Ok(());
    }
    let change = Change::Version(Version { apply: level });
    let done = store.submit(&Actor::SYSTEM, OperationId::random(), change).await;
    done.map(drop).map_err(|error| OpenError::Node(error.to_string()))
}

/// After `cluster recover`: the members that were lost are none any more.
async fn remove_lost(store: &Mailstore) -> Result<(), OpenError> {
    let lost = store.membership().lost;
    if lost.is_empty() {
        return Ok(());
    }
    for node in lost {
        let change = Change::NodeRemove(NodeRemove { node });
        let done = store.submit(&Actor::SYSTEM, OperationId::random(), change).await;
        done.map_err(|error| OpenError::Node(error.to_string()))?;
    }
    let store = store.clone();
    let kept = tokio::task::spawn_blocking(move || store.forget_lost()).await;
    kept.map_err(|error| OpenError::Node(error.to_string()))?
}

/// What lies on the disk, opened and checked for itself.
struct Ground {
    layout: Layout,
    lock: Arc<Lock>,
    identity: NodeFile,
    membership: ClusterFile,
    log: SegmentLog,
}

impl Ground {
    fn open(options: &Options) -> Result<Self, OpenError> {
        let layout = Layout::new(&options.data);
        let lock = Arc::new(Lock::take(&layout)?);
        layout.prepare()?;
        layout::empty_spool(&layout)?;
        let membership = ClusterFile::begin(&layout)?;
        let identity = NodeFile::load_or_make(&layout)?;
        let opened = SegmentLog::open(options.disk.clone(), &layout.log(), options.log.clone());
        let (log, recovered) = opened.map_err(not_opened)?;
        if let Some(cut) = &recovered.cut {
            tracing::warn!(
                ?cut,
                "the last write to the log was torn by a crash and never acknowledged"
            );
        }
        refuse_if_wiped(&membership, &log)?;
        Ok(Self { layout, lock, identity, membership, log })
    }
}

fn not_opened(error: LogError) -> OpenError {
    match error {
        LogError::Damaged { .. } | LogError::Missing { .. } => {
            OpenError::LogDamaged(error.to_string())
        }
        _ => OpenError::Log(error.to_string()),
    }
}

/// A member whose log is gone has forgotten its votes and what it has acknowledged. The one
/// that founded the cluster would found it once more, and lead alone beside the others.
fn refuse_if_wiped(membership: &ClusterFile, log: &SegmentLog) -> Result<(), OpenError> {
    let member = membership.joined && membership.joining.is_none() || membership.has_others;
    match member && log.last().is_none() {
        true => Err(OpenError::Wiped),
        false => Ok(()),
    }
}

fn refuse_if_older(storage: &RocksStorage, options: &Options) -> Result<(), OpenError> {
    let level = view::level(storage).map_err(|error| OpenError::Views(error.to_string()))?;
    match level > options.level {
        true => Err(OpenError::TooOld { level, supported: options.level }),
        false => Ok(()),
    }
}

fn node_options(
    layout: &Layout,
    identity: &NodeFile,
    membership: &ClusterFile,
    options: &Options,
) -> NodeOptions {
    let peers = options.peers.as_ref().map(|peers| PeerOptions {
        cluster: identity.lineage.clone(),
        incarnation: membership.incarnation,
        address: peers.address.clone(),
        level: options.level,
        seen: layout.seen(),
        dialer: peers.dialer.clone(),
        incoming: layout.incoming(),
    });
    let start = if membership.joined { Start::Join } else { Start::Found };
    let light = membership.light;
    let transfer_rate = options.transfer_rate;
    NodeOptions { peers, start, light, transfer_rate, ..NodeOptions::new(identity.node, SHARD) }
}

/// What the log is applied to, and the views that come of it: none on a light voter.
fn state(
    ground: &Ground,
    options: &Options,
    feeds: &Arc<Feeds>,
    progress: &Arc<Progress>,
) -> Result<(Box<dyn StateMachine>, RocksStorage), OpenError> {
    let Ground { layout, lock, log, membership, .. } = ground;
    if membership.light {
        let path = layout.light();
        let state = LightState::open(options.disk.clone(), &path);
        let state = state.map_err(|error| OpenError::io(&path, error))?;
        let machine = LightMachine::new(state, progress.clone(), lock.clone());
        return Ok((Box::new(machine), RocksStorage::absent()));
    }
    let storage = views::open(layout, options, log)?;
    refuse_if_older(&storage, options)?;
    let machine = machine(&storage, feeds, progress, options, layout, lock);
    Ok((Box::new(machine), storage))
}

impl Inner {
    fn open(options: Options) -> Result<Self, OpenError> {
        let ground = Ground::open(&options)?;
        let secret = ShardSecret::load_or_make(&ground.layout, ground.log.last().is_some())?;
        let tolerant = with_peers(&ground.layout, &ground.membership, &options);
        let blobs = open_blobs(&ground.layout, &tolerant)?;
        blobs.hold(ground.lock.clone());
        let (feeds, progress) = (Arc::<Feeds>::default(), Arc::<Progress>::default());
        let (alarms, marks) = (Alarms::default(), progress.marks.clone());
        let (machine, storage) = state(&ground, &options, &feeds, &progress)?;
        let Ground { layout, lock, identity, membership, log } = ground;
        let bases = options.bases.clone().filter(|_| !membership.light);
        let ending = Ending::default();
        let checkpoints = checkpoints::Checkpoints::new(bases, &options.disk, &ending);
        let node_options = node_options(&layout, &identity, &membership, &options);
        let node_options = NodeOptions { images: checkpoints.images(), ..node_options };
        let node = Node::open(node_options, log.clone(), blobs.clone(), machine);
        let node = node.map_err(not_started)?;
        let comparer = Comparer::new(&node, &blobs, &alarms, marks, layout.marks(), &ending);
        if !membership.light {
            node.know_dead(Arc::new(retention::Dead::new(storage.clone(), lock.clone())));
        }
        let source = Arc::new(node.clone());
        let rescuer = Arc::new(Rescuer::new(source, blobs.clone(), alarms.clone()));
        let schedule = scrub::Schedule { every: options.scrub_every, rate: options.scrub_rate };
        let scrubber = scrub::Scrubber::new(schedule, layout.scrub());
        let reserve = Arc::new(reserve::Reserve::new(options.disk.clone(), layout.blobs()));
        let cache = Arc::new(ParsedCache::new(storage.clone(), options.parsed_cache));
        let outlines = OutlineCache::new(storage.clone());
        let ingest = Arc::new(Ingest {
            blobs: blobs.clone(),
            cache: cache.clone(),
            keys: KeyedHashes::new(&secret),
            reserve: reserve.clone(),
        });
        let spools = Arc::new(SpoolRoom::new(
            layout.spool(),
            options.max_message,
            options.ingest_memory,
            reserve.clone(),
        ));
        Ok(Self {
            node,
            contact: contact::Contact::new(options.waits),
            storage,
            blobs,
            cache,
            outlines,
            sheets: Shelf::new(options.sort_cache),
            ingest,
            feeds,
            progress,
            alarms,
            rescuer,
            comparer,
            compare_every: options.compare_every,
            scrubber,
            log,
            spools,
            reserve,
            auth: Authenticator::new().map_err(|error| OpenError::Node(error.to_string()))?,
            workers: workers::Workers::start().map_err(|e| OpenError::Node(e.to_string()))?,
            gates: Default::default(),
            flight: Default::default(),
            proposals: Default::default(),
            recent: Default::default(),
            logins: reads::LoginCounts::new(options.record_logins_every),
            refusals: refusals::Refusals::default(),
            reaching: erased::Places::default(),
            checkpoints,
            archive_gate: options.archive_gate,
            ending,
            keep_log: options.keep_log,
            keep_log_for: options.keep_log_for,
            keep_history: options.keep_history,
            trims: !membership.light,
            policies_every: options.policies_every,
            policies_seen: Default::default(),
            opened: std::time::Instant::now(),
            identity,
            membership: parking_lot::Mutex::new(membership),
            layout,
            tasks: Tasks::default(),
            _lock: lock,
        })
    }

    pub(super) async fn shutdown(&self) {
        self.tasks.end();
        self.ending.begin();
        self.reaching.clear();
        self.scrubber.end();
        self.comparer.end();
        self.flight.close(PATIENCE).await;
        if let Err(error) = self.node.shutdown().await {
            tracing::error!(%error, "the shutdown did not end well; the log has everything");
        }
    }
}

/// Where peers have what is damaged here, damage does not keep the node from starting.
fn with_peers(layout: &Layout, membership: &ClusterFile, options: &Options) -> Options {
    let mut options = options.clone();
    let others = membership.joined || layout.seen().exists();
    options.blobs.tolerate_damage |= options.peers.is_some() && others;
    options
}

pub(super) fn open_blobs(layout: &Layout, options: &Options) -> Result<BlobStore, OpenError> {
    let opened = BlobStore::open(options.disk.clone(), &layout.blobs(), options.blobs.clone());
    let (blobs, report) = opened.map_err(|error| OpenError::Blobs(error.to_string()))?;
    tracing::info!(?report, "blobs");
    Ok(blobs)
}

fn machine(
    storage: &RocksStorage,
    feeds: &Arc<Feeds>,
    progress: &Arc<Progress>,
    options: &Options,
    layout: &Layout,
    lock: &Arc<Lock>,
) -> Machine {
    Machine {
        storage: storage.clone(),
        feeds: feeds.clone(),
        progress: progress.clone(),
        bases: options.bases.clone(),
        checkpoint_every: options.checkpoint_every,
        level: options.level,
        unsettled: true,
        layout: layout.clone(),
        rocks: views::rocks(options),
        lock: lock.clone(),
    }
}

fn not_started(error: raft::OpenError) -> OpenError {
    match error {
        raft::OpenError::Blob { .. } => OpenError::Blobs(error.to_string()),
        raft::OpenError::Log(_) => OpenError::Log(error.to_string()),
        _ => OpenError::Node(error.to_string()),
    }
}

/// What a rebuild came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// The index that the views have come to: that known to be committed.
    pub index: Option<LogIndex>,
    /// The state's hash there.
    pub state_hash: Hash,
    /// Entries that were applied.
    pub entries: u64,
}

/// Throws the views away and builds them anew while no server runs: from the
/// newest sound checkpoint and the log, or from the log alone. Blocks.
///
/// # Errors
/// [`OpenError::DoesNotJoin`] when neither reaches; the views are then gone, the
/// ground state is as it was.
pub fn rebuild(options: &Options, from_base: bool) -> Result<Rebuilt, OpenError> {
    let Ground { layout, lock, log, .. } = Ground::open(options)?;
    place::clear(&layout).map_err(|error| OpenError::io(&layout.views(), error))?;
    let storage = views::rebuild(&layout, options, &log, from_base)?;
    let options = Options { checkpoint_every: 0, ..options.clone() };
    let (feeds, progress) = (Arc::default(), Arc::default());
    let mut machine = machine(&storage, &feeds, &progress, &options, &layout, &lock);
    let replayed = raft::replay(&log, log.committed(), &mut machine);
    let entries = replayed.map_err(|error| OpenError::Views(error.to_string()))?;
    storage.flush().map_err(|error| OpenError::Views(error.to_string()))?;
    let state_hash = StateHash::stored(&storage).map_err(|e| OpenError::Views(e.to_string()))?;
    let index = machine.progress.applied();
    Ok(Rebuilt { index, state_hash: state_hash.digest(), entries })
}
