//! A history's state, entry by entry, in any tables: what a recovery, its rehearsal and what
//! comes later than its moment share.

use std::sync::Arc;

use bytes::Bytes;
use redoubt_log::chain::{self, Head};
use redoubt_log::id::Hash;
use redoubt_log::raft::{AppliedState, Committed, LogEntry, committed_entry, leap};

use super::super::OpenError;
use super::super::machine::{applied_state, apply_entry, follows};
use super::views;
use crate::apply::APPLY_VERSION;
use crate::hash::StateHash;
use crate::storage::{MemStorage, RocksStorage, Storage};
use crate::view::View;

/// Tables of which there can be a view.
pub trait Tables: Storage {
    /// Everything as it is now.
    ///
    /// # Errors
    /// When it cannot be read.
    fn view(&self) -> Result<View, OpenError>;
}

impl Tables for MemStorage {
    fn view(&self) -> Result<View, OpenError> {
        View::new(Arc::new(self.clone())).map_err(views)
    }
}

impl Tables for RocksStorage {
    fn view(&self) -> Result<View, OpenError> {
        View::new(Arc::new(self.snapshot().map_err(views)?)).map_err(views)
    }
}

/// A state under way. Each entry continues the chain, or is refused.
#[derive(Debug)]
pub struct Replay<S> {
    pub(super) storage: S,
    pub(super) state: Option<AppliedState>,
    pub(super) head: Head,
    level: u32,
}

impl<S: Tables> Replay<S> {
    /// Goes on from what is in some tables; `head` is the chain there.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn new(storage: S, head: Head) -> Result<Self, OpenError> {
        let state = applied_state(&storage).map_err(views)?;
        Ok(Self { storage, state, head, level: APPLY_VERSION })
    }

    /// The same by a program of this level.
    #[must_use]
    pub fn of_level(self, level: u32) -> Self {
        Self { level, ..self }
    }

    /// How far it has come.
    pub fn reached(&self) -> Option<&AppliedState> {
        self.state.as_ref()
    }

    /// The chain there.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The tables.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// The state so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn view(&self) -> Result<View, OpenError> {
        self.storage.view()
    }

    /// The hash of the state so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn state_hash(&self) -> Result<Hash, OpenError> {
        Ok(StateHash::stored(&self.storage).map_err(views)?.digest())
    }

    /// The next entry. Blocks.
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

    /// The entry behind which a history begins that was made of this one here. Blocks.
    ///
    /// # Errors
    /// When nothing was applied, or no index is left.
    pub fn leap(&mut self) -> Result<(), OpenError> {
        let (entry, head) = leap(self.some_state()?, &self.head).map_err(views)?;
        self.take(&entry, head)
    }

    pub(super) fn some_state(&self) -> Result<&AppliedState, OpenError> {
        let nothing = || OpenError::DoesNotJoin("nothing was applied".to_owned());
        self.state.as_ref().ok_or_else(nothing)
    }

    fn take(&mut self, entry: &Committed, head: Head) -> Result<(), OpenError> {
        follows(entry, self.level).map_err(views)?;
        apply_entry(&mut self.storage, entry).map_err(views)?;
        self.state = Some(entry.state());
        self.head = head;
        Ok(())
    }
}
