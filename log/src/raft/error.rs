//! Why a replica was not opened, or did not do what it was asked.

use crate::blob::BlobError;
use crate::codec::CodecError;
use crate::id::{BlobId, LogIndex, NodeId, ShardId};
use crate::raft::state_machine::Fatal;
use crate::segment::{LogError, LogId};

/// Why a replica was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its threads were not started.
    #[error("the threads of the shard were not started: {0}")]
    Threads(#[from] std::io::Error),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The views cannot be read.
    #[error("the views: {0}")]
    Views(#[from] Fatal),
    /// An entry of the log does not decode.
    #[error("entry {index:?} of the log: {error}")]
    Entry {
        /// Where it stands, `None` for the vote.
        index: Option<LogIndex>,
        /// What is wrong.
        error: CodecError,
    },
    /// The views have come to another entry than the log has there.
    #[error(
        "the views have come to {applied}, where the log has another chain: they are of \
         another history. Restore one of both from a backup, or rebuild the views"
    )]
    OtherHistory {
        /// How far the views have come.
        applied: LogId,
    },
    /// The views are ahead of the log.
    #[error("the views have come to {applied}, the log only to {last:?}: the log has lost entries")]
    AheadOfLog {
        /// How far the views have come.
        applied: LogId,
        /// The last entry in the log.
        last: Option<LogId>,
    },
    /// The log begins behind what the views have.
    #[error(
        "the views have come to {applied:?}, the log begins behind {purged}: rebuild the views \
         from a checkpoint at or after {purged}"
    )]
    Gap {
        /// How far the views have come.
        applied: Option<LogId>,
        /// The last entry that is not in the log any more.
        purged: LogId,
    },
    /// A blob that the log names is not here.
    #[error("a blob that the log names from entry {from} on: {error}")]
    Blob {
        /// The first of the entries that were looked at together.
        from: LogIndex,
        /// What is wrong.
        error: BlobError,
    },
    /// Raft did not come up.
    #[error("shard {shard} did not come up: {why}")]
    Raft {
        /// The shard.
        shard: ShardId,
        /// Why.
        why: String,
    },
}

/// Why a proposal has no outcome. All but [`ProposeError::Unknown`] mean that
/// nothing happened and nothing will.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads.
    #[error("this node does not lead shard {shard}; node {leader:?} does")]
    NotLeader {
        /// The shard.
        shard: ShardId,
        /// Who leads, where that is known.
        leader: Option<NodeId>,
    },
    /// The deadline passed before the record was handed in.
    #[error("the log took no record before the deadline")]
    Unavailable,
    /// The record was handed in, and what came of it is not known: a retry with
    /// the same operation id is safe.
    #[error("whether the record was committed is not known: {0}")]
    Unknown(String),
    /// More than one record may have.
    #[error("the record is too large: {0}")]
    TooLarge(String),
    /// A blob that the record names is not here, or not whole.
    #[error("the record names blob {blob}: {why}")]
    Blob {
        /// The blob.
        blob: BlobId,
        /// What is wrong with it.
        why: String,
    },
    /// The disk has too little room for anything that grows.
    #[error("the disk is too full for mail to grow: free some space or enlarge the disk")]
    DiskFull,
    /// The replica has stopped.
    #[error("shard {shard} has stopped on this node: {why}")]
    Stopped {
        /// The shard.
        shard: ShardId,
        /// Why.
        why: String,
    },
}

/// Why a read, purge or shutdown was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Another node leads, or a quorum does not answer.
    #[error("this node does not lead the shard, or no quorum answers")]
    NotLeader,
    /// The log does not reach there (purged), or a file of it is bad.
    #[error("the log cannot be read: {0}")]
    Log(String),
    /// No checkpoint covers what is to be purged.
    #[error("no verified checkpoint covers the log up to entry {0}")]
    NoCheckpoint(LogIndex),
    /// The replica has stopped.
    #[error("the shard has stopped on this node: {0}")]
    Stopped(String),
}
