//! The views of a simulated node: the real `apply` over tables in memory.

mod bases;
mod rounds;

use std::sync::Arc;

use parking_lot::Mutex;
use redoubt_log::id::{Hash, LogIndex};
use redoubt_log::raft::{AppliedState, Checkpoint, Committed, Fatal, StateMachine};
use redoubt_log::record::Outcome;

pub use bases::SimBases;
pub use rounds::{Applied, SimLeader};

use crate::StateHash;
use crate::mailstore::machine::{applied_state, apply_entry, follows};
use crate::storage::{MemStorage, StorageError, applied};

/// A node's views: what is seen, and what a crash leaves. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct SimViews(Arc<Mutex<Tables>>);

#[derive(Debug, Clone, Default)]
struct Tables {
    now: MemStorage,
    flushed: MemStorage,
}

impl SimViews {
    /// What a node that starts now finds: what was flushed. It follows records up to
    /// a level, and its checkpoints lie in `bases`.
    pub fn machine(&self, level: u32, bases: Arc<SimBases>) -> SimMachine {
        let mut tables = self.0.lock();
        tables.now = tables.flushed.clone();
        drop(tables);
        SimMachine { views: self.clone(), bases, level, unsettled: false }
    }

    /// The tables as they are now.
    pub fn now(&self) -> MemStorage {
        self.0.lock().now.clone()
    }

    /// The hash of the state as it is now.
    ///
    /// # Errors
    /// When the row that holds it does not read.
    pub fn state_hash(&self) -> Result<Hash, StorageError> {
        StateHash::stored(&self.0.lock().now).map(|hash| hash.digest())
    }

    /// The last index applied.
    ///
    /// # Errors
    /// When the row that says so does not read.
    pub fn applied(&self) -> Result<Option<LogIndex>, StorageError> {
        Ok(applied(&self.0.lock().now)?.map(|applied| applied.index))
    }

    /// The level of what was flushed: a program of a lower one must not open it.
    ///
    /// # Errors
    /// When the row that says so does not read.
    pub fn level(&self) -> Result<u32, StorageError> {
        crate::view::level(&self.0.lock().flushed)
    }

    /// Makes them durable as they are now.
    pub fn flush(&self) {
        let mut tables = self.0.lock();
        tables.flushed = tables.now.clone();
    }

    /// What a crash now would leave, as a thing of its own: the image of a disk.
    #[must_use]
    pub fn image(&self) -> Self {
        let flushed = self.0.lock().flushed.clone();
        Self(Arc::new(Mutex::new(Tables { now: flushed.clone(), flushed })))
    }

    /// The tables are those of an [`SimViews::image`] from now on, durably.
    pub fn restore(&self, image: &Self) {
        let tables = image.0.lock().clone();
        *self.0.lock() = tables;
    }

    /// Other tables in place of these, durably and at once.
    fn replace(&self, tables: MemStorage) {
        *self.0.lock() = Tables { now: tables.clone(), flushed: tables };
    }

    /// As after `rm -r views`: they are those of the newest checkpoint, or empty.
    ///
    /// # Errors
    /// In words: the checkpoint does not read.
    pub fn lose(&self, bases: &SimBases) -> Result<(), String> {
        let newest = bases.newest()?;
        let tables = newest.map(|base| bases.tables(&base)).transpose()?;
        self.replace(tables.unwrap_or_default());
        Ok(())
    }
}

/// The state machine over them.
#[derive(Debug)]
pub struct SimMachine {
    views: SimViews,
    bases: Arc<SimBases>,
    level: u32,
    unsettled: bool,
}

impl StateMachine for SimMachine {
    fn applied(&mut self) -> Result<Option<AppliedState>, Fatal> {
        applied_state(&self.views.0.lock().now).map_err(Fatal::new)
    }

    fn apply(&mut self, entry: Committed) -> Result<Option<Outcome>, Fatal> {
        follows(&entry, self.level).map_err(Fatal::new)?;
        if std::mem::take(&mut self.unsettled) {
            self.bases.settle().map_err(Fatal)?;
        }
        apply_entry(&mut self.views.0.lock().now, &entry).map_err(Fatal::new)
    }

    fn level(&mut self) -> Result<u32, Fatal> {
        crate::view::level(&self.views.0.lock().now).map_err(Fatal::new)
    }

    fn flush(&mut self) -> Result<(), Fatal> {
        self.views.flush();
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, Fatal> {
        self.bases.newest().map_err(Fatal)
    }

    fn installed(&mut self) -> Result<Option<Checkpoint>, Fatal> {
        let received = self.bases.received().map_err(Fatal)?;
        self.unsettled = received.is_some();
        Ok(received)
    }

    fn install(&mut self, checkpoint: &Checkpoint) -> Result<(), Fatal> {
        let base = self.bases.adopt(checkpoint).map_err(Fatal)?;
        self.unsettled = true;
        let tables = self.bases.tables(&base).map_err(Fatal)?;
        self.views.replace(tables);
        Ok(())
    }
}
