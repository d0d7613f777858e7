//! A data directory made of a backup: state and log of a history that ends become
//! those of one that begins.

mod binding;
mod changes;
mod only;
mod replay;
mod rights;

use std::fs::{self, File};
use std::path::PathBuf;

use redoubt_log::blob::BlobStore;
use redoubt_log::id::{AccountId, Hash, LogIndex, NodeId, OperationId, Timestamp};
use redoubt_log::raft::{AppliedState, LogEntry, begin_log, members_of};
use redoubt_log::record::{Actor, Change, NewLineage, Record, Why};
use redoubt_log::segment::SegmentLog;

pub use binding::Binding;
pub use changes::renewal;
pub use only::only_account;
pub use replay::{Replay, Tables};
pub use rights::Rights;

use super::open::open_blobs;
use super::views::rocks;
use super::{ClusterFile, Layout, Lock, NodeFile, OpenError, Options, ShardSecret};
use crate::Pauses;
use crate::checkpoint::{Base, Image, install};
use crate::storage::RocksStorage;
use crate::view::View;

/// The folder of the state that goes on to what comes later than a recovery's moment.
const LATER: &str = "later";
/// The folder of one account's part of the state, while it is made.
const ONLY: &str = "only";

/// A recovery under way. Only the caller has the directory, and no server may
/// start there before [`Recovery::finish`]: `node.toml` is written last.
#[derive(Debug)]
pub struct Recovery {
    options: Options,
    layout: Layout,
    replay: Replay<RocksStorage>,
    blobs: BlobStore,
    lock: Lock,
}

/// How the history begins that a recovery makes.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// The history that it goes on from: 32 hexadecimal digits.
    pub from: String,
    /// The key of every keyed hash in its records.
    pub secret: [u8; 32],
    /// Whether each mailbox gets a new UIDVALIDITY.
    pub validity: bool,
    /// What binds it, though it may have come later than the moment; `None` when nothing did.
    pub binding: Option<Binding>,
}

/// What a recovery came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Who the node is.
    pub identity: NodeFile,
    /// The last entry of the old history.
    pub index: LogIndex,
    /// Its effective time.
    pub time: Timestamp,
    /// The state's hash there.
    pub state_hash: Hash,
    /// The last entry of the new history.
    pub last: LogIndex,
}

fn views(error: impl ToString) -> OpenError {
    OpenError::Views(error.to_string())
}

impl Recovery {
    /// Begins in an empty directory: with a state image, or with nothing. Blobs may be there
    /// of an earlier try. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn begin(options: &Options, base: Option<&Base>) -> Result<Self, OpenError> {
        let layout = Layout::new(&options.data);
        let lock = Lock::take(&layout)?;
        layout.prepare()?;
        if let Some(base) = base {
            let path = layout.views();
            install(&base.dir, &path).map_err(|error| OpenError::io(&path, error))?;
        }
        let storage = RocksStorage::open(&layout.views(), &rocks(options)).map_err(views)?;
        let blobs = open_blobs(&layout, options)?;
        let head = base.map(|base| base.head.clone()).unwrap_or_default();
        let replay = Replay::new(storage, head)?.of_level(options.level);
        Ok(Self { options: options.clone(), layout, replay, blobs, lock })
    }

    /// Where the blobs are to be put that the state names.
    pub fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// How far it has come.
    pub fn reached(&self) -> Option<&AppliedState> {
        self.replay.reached()
    }

    /// The state so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn view(&self) -> Result<View, OpenError> {
        self.replay.view()
    }

    /// The state under way, for the next entries of the old history.
    pub fn replay(&mut self) -> &mut Replay<RocksStorage> {
        &mut self.replay
    }

    /// The next entry of the old history. Blocks.
    ///
    /// # Errors
    /// As [`Replay::apply`].
    pub fn apply(&mut self, entry: LogEntry) -> Result<(), OpenError> {
        self.replay.apply(entry)
    }

    /// The state so far as one of its own, to see what came later. To be dropped before
    /// [`Recovery::finish`]. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn later(&self) -> Result<Replay<RocksStorage>, OpenError> {
        let path = self.later_dir();
        clear(&path)?;
        self.replay.storage.checkpoint(&path).map_err(views)?;
        let storage = RocksStorage::open(&path, &rocks(&self.options)).map_err(views)?;
        Ok(Replay::new(storage, self.replay.head.clone())?.of_level(self.options.level))
    }

    /// Leaves out all but one account. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`]; the directory is then to be removed.
    pub fn only(self, account: AccountId) -> Result<Self, OpenError> {
        let Self { options, layout, replay, blobs, lock } = self;
        let (beside, path, rocks) = (layout.root().join(ONLY), layout.views(), rocks(&options));
        clear(&beside)?;
        let Replay { storage, head, .. } = replay;
        let mut only = RocksStorage::open(&beside, &rocks).map_err(views)?;
        only_account(&storage, &mut only, account).map_err(views)?;
        only.flush().map_err(views)?;
        drop((storage, only));
        clear(&path)?;
        fs::rename(&beside, &path).map_err(|error| OpenError::io(&path, error))?;
        let storage = RocksStorage::open(&path, &rocks).map_err(views)?;
        let replay = Replay::new(storage, head)?.of_level(options.level);
        Ok(Self { options, layout, replay, blobs, lock })
    }

    fn later_dir(&self) -> PathBuf {
        self.layout.root().join(LATER)
    }

    /// Makes the history that begins here: index, chain, node and lineage of its own,
    /// UIDs that the lost part cannot have given, and what binds it. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`]; the directory is then to be removed.
    pub fn finish(mut self, wish: &Renewal) -> Result<Recovered, OpenError> {
        clear(&self.later_dir())?;
        let old = self.replay.some_state()?.clone();
        let state_hash = self.replay.state_hash()?;
        let binding = match &wish.binding {
            Some(binding) => binding.clone(),
            None => Binding::of(&self.view()?).map_err(views)?,
        };
        self.replay.leap()?;
        self.keep_image()?;
        let node = self.view()?.next_node().map_err(views)?;
        let identity = NodeFile { node, lineage: NodeFile::new_lineage() };
        let to = identity.lineage.clone();
        let begin = NewLineage { from: wish.from.clone(), index: old.id.index, to, node };
        let changes = renewal(&self.view()?, begin, wish.validity, &binding).map_err(views)?;
        let by = |change: &Change| binding.asker(change).unwrap_or(Actor::SYSTEM);
        let records = changes.into_iter().map(|change| record(by(&change), change));
        let records: Vec<Record> = records.collect();
        let last = self.write_log(node, &records)?;
        self.write_names(&old, &identity, wish.secret)?;
        let (index, time) = (old.id.index, old.time);
        Ok(Recovered { identity, index, time, state_hash, last })
    }

    /// Views can then be rebuilt, though the log begins here.
    fn keep_image(&self) -> Result<(), OpenError> {
        self.replay.storage.flush().map_err(views)?;
        let nowhere = || OpenError::Views("no place for checkpoints was configured".to_owned());
        let bases = self.options.bases.as_ref().ok_or_else(nowhere)?;
        let place = bases.place().map_err(views)?;
        self.replay.storage.checkpoint(&place).map_err(views)?;
        let image = Image::examine(&place, &Pauses::none()).map_err(views)?;
        bases.keep(&image, self.replay.head.clone(), &Pauses::none()).map(drop).map_err(views)
    }

    fn write_log(&self, node: NodeId, records: &[Record]) -> Result<LogIndex, OpenError> {
        let path = self.layout.log();
        let wrong = |error: &dyn ToString| OpenError::Log(error.to_string());
        let opened = SegmentLog::open(self.options.disk.clone(), &path, self.options.log.clone());
        let (log, _) = opened.map_err(|error| wrong(&error))?;
        let behind = self.replay.some_state()?.id;
        let last = begin_log(&log, behind, self.replay.head.clone(), node, records);
        let last = last.map_err(|error| wrong(&error))?;
        log.close().map_err(|error| wrong(&error))?;
        Ok(last.index)
    }

    /// The directory is a node's from the last of these on.
    fn write_names(
        self,
        old: &AppliedState,
        identity: &NodeFile,
        secret: [u8; 32],
    ) -> Result<(), OpenError> {
        let Self { layout, replay, blobs, lock, .. } = self;
        if let Some(why) = blobs.poisoned() {
            return Err(OpenError::Blobs(why));
        }
        // The last one that goes makes everything durable.
        drop(blobs);
        drop(replay);
        ShardSecret::save(&layout, secret)?;
        let members = members_of(old).map_err(views)?;
        let lost = lost(members, identity.node);
        ClusterFile { lost, ..ClusterFile::default() }.save(&layout)?;
        identity.save(&layout)?;
        let root = layout.root();
        let synced = File::open(root).and_then(|folder| folder.sync_all());
        drop(lock);
        synced.map_err(|error| OpenError::io(root, error))
    }
}

fn clear(path: &PathBuf) -> Result<(), OpenError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(OpenError::io(path, error))
        }
        _ => Ok(()),
    }
}

fn lost(members: Vec<NodeId>, node: NodeId) -> Vec<NodeId> {
    members.into_iter().filter(|member| *member != node).collect()
}

fn record(actor: Actor, change: Change) -> Record {
    Record {
        stamp: Timestamp::now(),
        operation: OperationId::random(),
        actor,
        why: Why::default(),
        change,
    }
}
