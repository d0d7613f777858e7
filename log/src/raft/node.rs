//! One shard's replica on this node, as the rest of the program sees it.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::id::{BlobId, Hash, LogIndex, NodeId, ShardId, Term};
use crate::raft::state_machine::StateMachine;
use crate::raft::types::{LogEntry, LogId};
use crate::record::{Outcome, Record};

/// How a replica runs.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// This node.
    pub node: NodeId,
    /// The shard, for names of threads and messages.
    pub shard: ShardId,
    /// A leader's heartbeat.
    pub heartbeat: Duration,
    /// The shortest and longest time without one after which a node stands for election.
    pub election: Range<Duration>,
    /// How long [`Node::open`] may take until the committed index is recovered
    /// and applied; replay after a crash is part of it.
    pub recovery: Duration,
}

impl NodeOptions {
    /// With the usual times: heartbeat 100 ms, election 300–500 ms.
    pub fn new(node: NodeId, shard: ShardId) -> Self {
        Self {
            node,
            shard,
            heartbeat: Duration::from_millis(100),
            election: Duration::from_millis(300)..Duration::from_millis(500),
            recovery: Duration::from_secs(600),
        }
    }
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
    /// A blob that the record names is not here.
    #[error("the record names blob {0}, which this node does not hold")]
    MissingBlob(BlobId),
    /// The disk has too little room for anything that grows.
    #[error("the disk is too full for mail to grow")]
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

/// Why a read has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Another node leads, or a quorum does not answer.
    #[error("this node does not lead the shard, or no quorum answers")]
    NotLeader,
    /// The log does not reach there (purged), or a file of it is bad.
    #[error("the log cannot be read: {0}")]
    Log(String),
    /// The replica has stopped.
    #[error("the shard has stopped on this node: {0}")]
    Stopped(String),
}

/// Why a replica stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It was told to.
    Shutdown,
    /// It could not go on; what to do is in the text.
    Fatal(String),
}

/// How a replica is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The shard.
    pub shard: ShardId,
    /// This node.
    pub node: NodeId,
    /// The current term.
    pub term: Term,
    /// Who leads, where that is known.
    pub leader: Option<NodeId>,
    /// The last entry in the log.
    pub last: Option<LogId>,
    /// The last entry known to be committed.
    pub committed: Option<LogIndex>,
    /// The last entry applied.
    pub applied: Option<LogIndex>,
    /// The last entry purged.
    pub purged: Option<LogId>,
    /// The chain after the last entry applied.
    pub chain: Option<Hash>,
    /// Why it has stopped, if it has.
    pub stopped: Option<Stopped>,
}

/// One shard's replica on this node. Clones are handles on the same one.
#[derive(Debug, Clone)]
pub struct Node {}

impl Node {
    /// Proposes a record and waits until it is committed by a quorum, durable
    /// there with its blobs, and applied here.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(
        &self,
        record: Record,
        deadline: Instant,
    ) -> Result<Outcome, ProposeError> {
        let _ = (record, deadline);
        Err(ProposeError::Unavailable)
    }

    /// Waits until everything committed before this call is applied here, and
    /// gives that index. Calls that wait together cost one round.
    ///
    /// # Errors
    /// [`ReadError::NotLeader`], [`ReadError::Stopped`].
    pub async fn read_index(&self) -> Result<LogIndex, ReadError> {
        Err(ReadError::NotLeader)
    }

    /// Applied entries of a range, as many as fit into `max_bytes` and at least
    /// one, every checksum verified. Blocks on files.
    ///
    /// # Errors
    /// [`ReadError::Log`], [`ReadError::Stopped`].
    pub fn read(
        &self,
        range: Range<LogIndex>,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, ReadError> {
        let _ = (range, max_bytes);
        Ok(Vec::new())
    }

    /// How the replica is.
    pub fn status(&self) -> Option<Status> {
        None
    }

    /// Purges the log up to and with `upto`, never past the newest checkpoint.
    ///
    /// # Errors
    /// [`ReadError::Log`], [`ReadError::Stopped`].
    pub async fn purge(&self, upto: LogIndex) -> Result<(), ReadError> {
        let _ = upto;
        Ok(())
    }

    /// Resolves when the replica has stopped, for whatever reason.
    pub async fn stopped(&self) -> Stopped {
        std::future::pending().await
    }

    /// Leaves Raft, applies what was handed to the apply thread, and flushes.
    ///
    /// # Errors
    /// When the flush fails.
    pub async fn shutdown(&self) -> Result<(), ReadError> {
        Ok(())
    }
}

fn _object_safe(_: Box<dyn StateMachine>) {}
