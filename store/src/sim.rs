//! The views of a simulated node: the real `apply` over tables in memory.

use std::sync::Arc;

use parking_lot::Mutex;
use redoubt_log::id::{Hash, LogIndex};
use redoubt_log::raft::{AppliedState, Committed, Fatal, StateMachine};
use redoubt_log::record::Outcome;

use crate::StateHash;
use crate::mailstore::machine::{applied_state, apply_entry};
use crate::storage::{MemStorage, StorageError, applied};

/// A node's views: what is seen, and what a crash leaves. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct SimViews(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    now: MemStorage,
    flushed: MemStorage,
}

impl SimViews {
    /// What a node that starts now finds: what was flushed.
    pub fn machine(&self) -> SimMachine {
        let mut tables = self.0.lock();
        tables.now = tables.flushed.clone();
        drop(tables);
        SimMachine(self.clone())
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

    /// Makes them durable as they are now.
    pub fn flush(&self) {
        let mut tables = self.0.lock();
        tables.flushed = tables.now.clone();
    }
}

/// The state machine over them.
#[derive(Debug)]
pub struct SimMachine(SimViews);

impl StateMachine for SimMachine {
    fn applied(&mut self) -> Result<Option<AppliedState>, Fatal> {
        applied_state(&self.0.0.lock().now).map_err(Fatal::new)
    }

    fn apply(&mut self, entry: Committed) -> Result<Option<Outcome>, Fatal> {
        apply_entry(&mut self.0.0.lock().now, &entry).map_err(Fatal::new)
    }

    fn flush(&mut self) -> Result<(), Fatal> {
        self.0.flush();
        Ok(())
    }
}
