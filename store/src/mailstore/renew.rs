//! A data directory made of a backup: state and log of a history that ends become
//! those of one that begins.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use redoubt_log::blob::BlobStore;
use redoubt_log::chain::{self, Head};
use redoubt_log::id::{Hash, LogIndex, NodeId, OperationId, Timestamp};
use redoubt_log::raft::{
    AppliedState, Committed, LogEntry, begin_log, committed_entry, leap, members_of,
};
use redoubt_log::record::{Actor, Change, MAX_CHANGES, NewLineage, Record, Renumber, Version, Why};
use redoubt_log::segment::SegmentLog;

use super::machine::{applied_state, apply_entry, follows};
use super::open::open_blobs;
use super::views::rocks;
use super::{ClusterFile, Layout, Lock, NodeFile, OpenError, Options, ShardSecret};
use crate::Pauses;
use crate::apply::APPLY_VERSION;
use crate::checkpoint::{Base, Image, install};
use crate::hash::StateHash;
use crate::storage::RocksStorage;
use crate::view::View;

/// UIDs that each mailbox passes over: the lost part may have given them.
const SKIP: u32 = 1 << 20;
/// Accounts that are looked at together.
const PAGE: usize = 1000;

/// A recovery under way. Only the caller has the directory, and no server may
/// start there before [`Recovery::finish`]: `node.toml` is written last.
#[derive(Debug)]
pub struct Recovery {
    options: Options,
    layout: Layout,
    storage: RocksStorage,
    blobs: BlobStore,
    state: Option<AppliedState>,
    head: Head,
    lock: Lock,
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
    /// Begins in an empty directory: with a state image, or with nothing. Blocks.
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
        let state = applied_state(&storage).map_err(views)?;
        let blobs = open_blobs(&layout, options)?;
        let head = base.map(|base| base.head.clone()).unwrap_or_default();
        Ok(Self { options: options.clone(), layout, storage, blobs, state, head, lock })
    }

    /// Where blobs are to be put before the entries that name them are applied.
    pub fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// How far it has come.
    pub fn reached(&self) -> Option<&AppliedState> {
        self.state.as_ref()
    }

    /// The state so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn view(&self) -> Result<View, OpenError> {
        View::new(Arc::new(self.storage.snapshot().map_err(views)?)).map_err(views)
    }

    /// The next entry of the old history. Blocks.
    ///
    /// # Errors
    /// [`OpenError::DoesNotJoin`] when it does not continue the chain; a record that this
    /// program does not know.
    pub fn apply(&mut self, entry: LogEntry) -> Result<(), OpenError> {
        let next = self.state.as_ref().map_or(0, |state| state.id.index.0.saturating_add(1));
        let content = chain::content(&entry.payload);
        let kind = entry.kind as u8;
        let leaf = chain::leaf(entry.id.term, entry.id.index, kind, entry.time, &content);
        let mut head = self.head.clone();
        head.push(entry.time, &leaf);
        if entry.id.index.0 != next || head.chain != entry.chain {
            let index = entry.id.index;
            return Err(OpenError::DoesNotJoin(format!("entry {index} does not follow on {next}")));
        }
        let mut membership = self.state.as_ref().map_or(Bytes::new(), |s| s.membership.clone());
        let entry = committed_entry(entry, &mut membership).map_err(views)?;
        self.take(&entry, head)
    }

    fn take(&mut self, entry: &Committed, head: Head) -> Result<(), OpenError> {
        follows(entry, self.options.level).map_err(views)?;
        apply_entry(&mut self.storage, entry).map_err(views)?;
        self.state = Some(entry.state());
        self.head = head;
        Ok(())
    }

    /// Makes the history that begins here: index, chain, node and lineage of its own,
    /// UIDs that the lost part cannot have given, with `validity` new UIDVALIDITYs.
    /// Blocks.
    ///
    /// # Errors
    /// See [`OpenError`]; the directory is then to be removed.
    pub fn finish(
        mut self,
        from: &str,
        secret: [u8; 32],
        validity: bool,
    ) -> Result<Recovered, OpenError> {
        let nothing = || OpenError::DoesNotJoin("nothing was applied".to_owned());
        let old = self.state.clone().ok_or_else(nothing)?;
        let state_hash = StateHash::stored(&self.storage).map_err(views)?.digest();
        let (entry, head) = leap(&old, &self.head).map_err(views)?;
        self.take(&entry, head)?;
        self.keep_image()?;
        let node = self.view()?.next_node().map_err(views)?;
        let identity = NodeFile { node, lineage: NodeFile::new_lineage() };
        let to = identity.lineage.clone();
        let begin = NewLineage { from: from.to_owned(), index: old.id.index, to, node };
        let last = self.write_log(begin, validity)?;
        self.write_names(&old, &identity, secret)?;
        let (index, time) = (old.id.index, old.time);
        Ok(Recovered { identity, index, time, state_hash, last })
    }

    /// Views can then be rebuilt, though the log begins here.
    fn keep_image(&self) -> Result<(), OpenError> {
        self.storage.flush().map_err(views)?;
        let nowhere = || OpenError::Views("no place for checkpoints was configured".to_owned());
        let bases = self.options.bases.as_ref().ok_or_else(nowhere)?;
        let place = bases.place().map_err(views)?;
        self.storage.checkpoint(&place).map_err(views)?;
        let image = Image::examine(&place, &Pauses::none()).map_err(views)?;
        bases.keep(&image, self.head.clone(), &Pauses::none()).map(drop).map_err(views)
    }

    fn write_log(&self, begin: NewLineage, validity: bool) -> Result<LogIndex, OpenError> {
        let path = self.layout.log();
        let wrong = |error: &dyn ToString| OpenError::Log(error.to_string());
        let opened = SegmentLog::open(self.options.disk.clone(), &path, self.options.log.clone());
        let (log, _) = opened.map_err(|error| wrong(&error))?;
        let records = self.records(begin, validity)?;
        let nothing = || OpenError::DoesNotJoin("nothing was applied".to_owned());
        let behind = self.state.as_ref().ok_or_else(nothing)?.id;
        let node = self.view()?.next_node().map_err(views)?;
        let last = begin_log(&log, behind, self.head.clone(), node, &records);
        let last = last.map_err(|error| wrong(&error))?;
        log.close().map_err(|error| wrong(&error))?;
        Ok(last.index)
    }

    fn records(&self, begin: NewLineage, validity: bool) -> Result<Vec<Record>, OpenError> {
        let view = self.view()?;
        let mut changes = Vec::new();
        if view.level().map_err(views)? < APPLY_VERSION {
            changes.push(Change::Version(Version { apply: APPLY_VERSION }));
        }
        changes.push(Change::NewLineage(begin));
        let mut after = None;
        loop {
            let accounts = view.accounts(after, PAGE).map_err(views)?;
            let Some(last) = accounts.last() else { break };
            after = Some(last.id);
            for account in accounts.iter().map(|account| account.id) {
                let mailboxes = view.mailboxes(account).map_err(views)?;
                let ids: Vec<_> = mailboxes.iter().map(|mailbox| mailbox.id).collect();
                changes.extend(ids.chunks(MAX_CHANGES).map(|ids| {
                    let mailboxes = ids.to_vec();
                    Change::Renumber(Renumber { account, mailboxes, skip: SKIP, validity })
                }));
            }
        }
        Ok(changes.into_iter().map(record).collect())
    }

    /// The directory is a node's from the last of these on.
    fn write_names(
        self,
        old: &AppliedState,
        identity: &NodeFile,
        secret: [u8; 32],
    ) -> Result<(), OpenError> {
        let Self { layout, storage, blobs, lock, .. } = self;
        if let Some(why) = blobs.poisoned() {
            return Err(OpenError::Blobs(why));
        }
        // The last one that goes makes everything durable.
        drop(blobs);
        drop(storage);
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

fn lost(members: Vec<NodeId>, node: NodeId) -> Vec<NodeId> {
    members.into_iter().filter(|member| *member != node).collect()
}

fn record(change: Change) -> Record {
    Record {
        stamp: Timestamp::now(),
        operation: OperationId::random(),
        actor: Actor::SYSTEM,
        why: Why::default(),
        change,
    }
}
