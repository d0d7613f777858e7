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
    /// The leader's clock is far from those of the others: a record would get a wrong time.
    #[error("the leader's clock is {offset_ms} ms off the others': set the clocks (NTP)")]
    Clock {
        /// The leader's clock minus the median of a quorum's, in milliseconds.
        offset_ms: i64,
    },
    /// The group is not at the record's level yet.
    #[error(
        "the record needs level {needed}, the cluster is at {level}: upgrade every node, then \
         run `redoubt cluster finalize`"
    )]
    Level {
        /// What the record needs.
        needed: u32,
        /// What the group is at.
        level: u32,
    },
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
    /// No leader answered, or it was not applied here, before the deadline.
    #[error("no leader was heard before the deadline")]
    Unavailable,
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

/// Why the members were not changed, or leadership was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// Another node leads: ask it.
    #[error("this node does not lead; node {leader:?} does")]
    NotLeader {
        /// Who leads, where that is known.
        leader: Option<NodeId>,
    },
    /// Another change is under way.
    #[error("another change of the members is under way: wait until it is done")]
    InProgress,
    /// The node has no way to peers.
    #[error("this node was started without peers: set listen.peer and restart it")]
    Alone,
    /// No such member.
    #[error("node {0} is not a member")]
    UnknownNode(NodeId),
    /// An id is used once.
    #[error("node {0} is a member already, with another address or another part")]
    AlreadyMember(NodeId),
    /// The group would have no voter left.
    #[error("node {0} is the only voter: a group of none cannot decide anything")]
    LastVoter(NodeId),
    /// It has to have the log first.
    #[error("node {node} is {lag} records behind: wait until it has caught up")]
    NotCaughtUp {
        /// The member.
        node: NodeId,
        /// Records.
        lag: u64,
    },
    /// The member is not heard.
    #[error("node {node} is not reached: {why}")]
    Unreachable {
        /// The member.
        node: NodeId,
        /// Why.
        why: String,
    },
    /// It was not done in time; it may be done yet. The status of the cluster tells.
    #[error("it is not known whether this was done: {0}")]
    Unknown(String),
    /// The replica has stopped.
    #[error("the shard has stopped on this node: {0}")]
    Stopped(String),
}

/// Why a call to another node has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It is not reached, or it refuses this node.
    #[error("node {node} is not reached: {why}")]
    Unreachable {
        /// The peer.
        node: NodeId,
        /// Why.
        why: String,
    },
    /// No answer in time; the call may have been done.
    #[error("node {0} did not answer in time")]
    Timeout(NodeId),
    /// The connection ended before the answer; the call may have been done.
    #[error("node {node} was lost before it answered: {why}")]
    Lost {
        /// The peer.
        node: NodeId,
        /// Why.
        why: String,
    },
    /// Nobody answers there on this topic: it runs an older version.
    #[error("node {node} knows no topic {topic}: it runs another version")]
    NoService {
        /// The peer.
        node: NodeId,
        /// The topic.
        topic: u16,
    },
    /// The service there gave an error.
    #[error("node {node}: {why}")]
    Failed {
        /// The peer.
        node: NodeId,
        /// Its text.
        why: String,
    },
    /// The body is longer than [`MAX_CALL_BYTES`](super::MAX_CALL_BYTES).
    #[error("a call of {0} bytes is too long")]
    TooLong(usize),
}

/// Why something was not fetched from a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No peer gave it.
    #[error("no peer has it: {0}")]
    Nobody(String),
    /// It came and could not be stored here.
    #[error("it could not be stored: {0}")]
    Store(String),
}
