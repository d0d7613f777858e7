//! What a committed log is applied to: a small trait, implemented by `store`.

use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::chain::{Head, Tree};
use crate::id::{Hash, Timestamp};
use crate::record::{Outcome, Record};
use crate::segment::{LogEntry, LogId};

/// Why a node cannot go on with a shard: an I/O error, corruption, or a record
/// that it does not know. Never a rejection, which is the same on every replica.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fatal(pub String);

impl Fatal {
    /// From an error or a sentence that says what to do.
    pub fn new(what: impl ToString) -> Self {
        Self(what.to_string())
    }
}

/// How far a state has come: written in the same batch as what an entry changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedState {
    /// The last entry applied.
    pub id: LogId,
    /// The group's membership after it, in this module's own bytes.
    pub membership: Bytes,
    /// The running chain after it: two replicas at one index have the same.
    pub chain: Hash,
    /// Its effective time.
    pub time: Timestamp,
}

/// A state and the head after its last entry, as files and messages have them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredState {
    /// The last entry applied.
    pub id: LogId,
    membership: Vec<u8>,
    chain: Hash,
    time: Timestamp,
    leaves: u64,
    peaks: Vec<Hash>,
}

impl StoredState {
    /// Of a state and its head.
    pub fn of(state: &AppliedState, head: &Head) -> Self {
        let AppliedState { id, membership, chain, time } = state;
        let (leaves, peaks) = (head.tree.size(), head.tree.peaks().to_vec());
        let membership = membership.to_vec();
        Self { id: *id, membership, chain: *chain, time: *time, leaves, peaks }
    }

    /// Both again; `None` where the tree is none, or has not a leaf for each entry.
    pub fn read(&self) -> Option<(AppliedState, Head)> {
        let Self { id, chain, time, leaves, .. } = *self;
        let tree = Tree::from_parts(leaves, self.peaks.clone())?;
        let membership = Bytes::copy_from_slice(&self.membership);
        let whole = leaves == id.index.0.checked_add(1)?;
        let state = AppliedState { id, membership, chain, time };
        whole.then_some((state, Head { chain, time, tree }))
    }
}

/// A committed entry, durable in this node's own log with every blob it names.
#[derive(Debug, Clone)]
pub struct Committed {
    /// As the log has it: id, kind, effective time, chain after it.
    pub entry: LogEntry,
    /// The decoded record; `None` for Raft's own entries (blank, membership),
    /// which change nothing but [`Committed::state`].
    pub record: Option<Record>,
    /// The group's membership after this entry; opaque.
    pub membership: Bytes,
}

impl Committed {
    /// What [`StateMachine::applied`] says once this entry is applied.
    pub fn state(&self) -> AppliedState {
        AppliedState {
            id: self.entry.id,
            membership: self.membership.clone(),
            chain: self.entry.chain,
            time: self.entry.time,
        }
    }
}

/// A state image, durable and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Read from inside the finished image.
    pub state: AppliedState,
    /// Chain, time and tree after its last entry ([`Node::head_at`](super::Node::head_at)):
    /// a log may begin behind it.
    pub head: Head,
    /// Where it lies.
    pub location: PathBuf,
}

/// What the log is applied to. All calls come from one thread of this node's
/// own, in order, and may block.
pub trait StateMachine: Send + 'static {
    /// How far the state has come; at the start, how far it was flushed. `None`
    /// for a state to which nothing was applied.
    ///
    /// # Errors
    /// When the state cannot be read: the node does not start.
    fn applied(&mut self) -> Result<Option<AppliedState>, Fatal>;

    /// Applies one entry and writes [`Committed::state`] in the same batch. What
    /// it did is visible to readers when it returns. Never called twice for an
    /// index at or below [`StateMachine::applied`].
    ///
    /// The outcome goes to the proposer; for an entry without a record it is
    /// not looked at.
    ///
    /// # Errors
    /// Any stops the shard on this node.
    fn apply(&mut self, entry: Committed) -> Result<Option<Outcome>, Fatal>;

    /// The level that the state is at: what [`Change::level`](crate::record::Change::level)
    /// may be at most. Asked at the start; later the records themselves say it.
    ///
    /// # Errors
    /// Any stops the shard on this node.
    fn level(&mut self) -> Result<u32, Fatal> {
        Ok(super::LEVEL)
    }

    /// Whether [`StateMachine::apply`] gives outcomes: a state without views has none,
    /// and a node with it proposes nothing.
    fn has_outcomes(&self) -> bool {
        true
    }

    /// Makes everything applied so far durable. Called before a shutdown ends.
    ///
    /// # Errors
    /// Any stops the shard on this node.
    fn flush(&mut self) -> Result<(), Fatal>;

    /// The newest durable, verified checkpoint, if there is one: the log is
    /// purged up to it at most.
    ///
    /// # Errors
    /// Any stops the shard on this node.
    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, Fatal> {
        Ok(None)
    }

    /// The checkpoint from a peer with which [`StateMachine::install`] replaced the
    /// state, as long as the log may not have begun anew behind it. No other
    /// state may be ahead of the log.
    ///
    /// # Errors
    /// Any stops the shard on this node.
    fn installed(&mut self) -> Result<Option<Checkpoint>, Fatal> {
        Ok(None)
    }

    /// Replaces the state by a checkpoint that came from a peer, with every blob
    /// that it names durable here. A crash leaves the old state or the new one;
    /// until the next [`StateMachine::apply`] the new one is also what
    /// [`StateMachine::installed`] says.
    ///
    ///
    /// # Errors
    /// Any stops the shard on this node.
    fn install(&mut self, checkpoint: &Checkpoint) -> Result<(), Fatal> {
        Err(Fatal(format!(
            "installing the checkpoint at {:?} is not supported",
            checkpoint.location
        )))
    }
}
