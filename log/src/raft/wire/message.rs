//! Messages: who speaks, Raft's own, calls. A change of a shape gets a new
//! variant behind the others and a new version.

use bytes::{Buf, Bytes};
use openraft::impls::Vote;
use openraft::impls::leader_id_std::LeaderId;
use openraft::vote::{RaftLeaderId, RaftVote};
use serde::{Deserialize, Serialize};

use super::WireError;
use crate::id::{Hash, LogIndex, NodeId, Term, Timestamp};
use crate::raft::types::RaftVoteType;
use crate::segment::{EntryKind, LogEntry, LogId};

/// What a stream is for, so that nothing large stands before what must not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Lane {
    /// Heartbeats, votes, the hand-over of leadership.
    Votes,
    /// Entries.
    Appends,
    /// Blobs and snapshots.
    Bulk,
    /// Calls.
    Calls,
}

/// Who calls, and what it has. Its shape never changes; what was added since stands
/// behind it as bulk, which older programs do not look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// Versions of the messages that it speaks.
    pub(crate) oldest: u16,
    pub(crate) newest: u16,
    /// The group of nodes.
    pub(crate) cluster: String,
    /// The caller.
    pub(crate) node: NodeId,
    /// Whom it means to have called.
    pub(crate) to: NodeId,
    pub(crate) incarnation: u64,
    pub(crate) level: u32,
    pub(crate) lane: Lane,
    /// Where it is reached itself.
    pub(crate) address: String,
    /// Its last durable entry, and the chain after it where that is at hand.
    pub(crate) last: Option<LogId>,
    pub(crate) chain: Option<Hash>,
    /// The term of its durable vote.
    pub(crate) term: Term,
}

/// What the called one has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Welcome {
    /// The version of the messages to speak from here on.
    pub(crate) version: u16,
    pub(crate) node: NodeId,
    pub(crate) incarnation: u64,
    pub(crate) level: u32,
    pub(crate) last: Option<LogId>,
    pub(crate) chain: Option<Hash>,
    pub(crate) term: Term,
}

/// Why a caller is not served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Refusal {
    /// No version in common.
    #[error("it speaks versions {oldest} to {newest} of the protocol: upgrade the older node")]
    Version { oldest: u16, newest: u16 },
    /// Another cluster.
    #[error("it is of another cluster, {0:?}")]
    Cluster(String),
    /// Another node lives at this address.
    #[error("node {0} is at this address: correct the address")]
    OtherNode(NodeId),
    /// The certificate says another node.
    #[error("the certificate is of node {certificate}, the greeting of node {greeting}")]
    Identity { certificate: NodeId, greeting: NodeId },
    /// The id is used by a later start.
    #[error(
        "node {node} was seen with incarnation {seen}, it now says {said}: its disk was restored \
         from an older image or copied. Remove it from the cluster and join it again under a new id"
    )]
    Incarnation { node: NodeId, seen: u64, said: u64 },
    /// It has lost what it had.
    #[error(
        "node {node} once had the log up to {seen} and now says {said:?}: its disk was restored \
         from an older image. Remove it from the cluster and join it again under a new id"
    )]
    Restored { node: NodeId, seen: LogId, said: Option<LogId> },
    /// It has forgotten a vote.
    #[error(
        "node {node} once voted in term {seen} and now says {said}: its disk was restored from \
         an older image. Remove it from the cluster and join it again under a new id"
    )]
    Forgot { node: NodeId, seen: Term, said: Term },
    /// Its log is another one.
    #[error(
        "the log of node {node} has another chain at {at}: one of the two is damaged. Compare \
         both with a third node, remove the wrong one and join it again"
    )]
    Chain { node: NodeId, at: LogId },
    /// It does not know what is in the log.
    #[error("it supports level {said}, the cluster is at {needed}: run a newer version there")]
    Level { needed: u32, said: u32 },
    /// The called one has stopped.
    #[error("the shard has stopped there: {0}")]
    Stopped(String),
    /// Two starts that the disk counts as one.
    #[error(
        "node {node} was started twice with incarnation {incarnation}: its disk was restored from \
         an older image or copied. Remove it from the cluster and join it again under a new id"
    )]
    Twice { node: NodeId, incarnation: u64, seen: u64 },
}

impl Refusal {
    /// Whether it says that the node's disk is not the one that it once had.
    pub(crate) fn condemns(&self) -> bool {
        matches!(
            self,
            Self::Incarnation { .. }
                | Self::Restored { .. }
                | Self::Forgot { .. }
                | Self::Twice { .. }
        )
    }
}

/// The bulk of a greeting: the nonce of the sender's start.
pub(crate) fn greeting(nonce: u64) -> Bytes {
    Bytes::copy_from_slice(&nonce.to_le_bytes())
}

/// Reads [`greeting`]; what newer programs add behind it is left alone. 0 where an
/// older program says nothing.
pub(crate) fn nonce_of(bulk: &[u8]) -> u64 {
    bulk.first_chunk().map_or(0, |octets| u64::from_le_bytes(*octets))
}

/// A vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoteBytes {
    term: u64,
    node: u64,
    committed: bool,
}

impl VoteBytes {
    pub(crate) fn of(vote: &RaftVoteType) -> Self {
        let leader = vote.leader_id();
        Self { term: leader.term, node: leader.voted_for, committed: vote.is_committed() }
    }

    pub(crate) fn vote(self) -> RaftVoteType {
        Vote::from_leader_id(LeaderId::new(self.term, self.node), self.committed)
    }
}

/// A candidate's request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoteHead {
    pub(crate) vote: VoteBytes,
    pub(crate) last: Option<LogId>,
    /// Whether the leader itself wants this election.
    pub(crate) transfer: bool,
}

/// An entry; its payload is in the bulk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryHead {
    term: Term,
    kind: u8,
    stamp: Timestamp,
    /// The chain after it, as the sender's log has it.
    chain: Hash,
    len: u32,
}

impl EntryHead {
    pub(crate) fn of(entry: &LogEntry) -> Self {
        Self {
            term: entry.id.term,
            kind: entry.kind as u8,
            stamp: entry.stamp,
            chain: entry.chain,
            len: u32::try_from(entry.payload.len()).unwrap_or(u32::MAX),
        }
    }
}

/// Entries behind one that the receiver must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppendHead {
    pub(crate) vote: VoteBytes,
    pub(crate) prev: Option<LogId>,
    /// The chain after `prev` in the sender's log, where that is at hand.
    pub(crate) prev_chain: Option<Hash>,
    pub(crate) commit: Option<LogId>,
    pub(crate) entries: Vec<EntryHead>,
}

/// An entry that came from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) id: LogId,
    pub(crate) kind: EntryKind,
    pub(crate) stamp: Timestamp,
    pub(crate) chain: Hash,
    pub(crate) payload: Bytes,
}

impl AppendHead {
    /// The entries, with their payloads from the bulk.
    pub(crate) fn entries(&self, bulk: &Bytes) -> Result<Vec<Received>, WireError> {
        let mut bulk = bulk.clone();
        let mut index = self.prev.map_or(0, |prev| prev.index.0.saturating_add(1));
        let mut entries = Vec::with_capacity(self.entries.len());
        for head in &self.entries {
            if head.len as usize > bulk.remaining() {
                return Err(WireError::Malformed("an entry is cut short"));
            }
            // They are kept for long; a slice would keep all of what was read with it.
            let payload = Bytes::copy_from_slice(&bulk.split_to(head.len as usize));
            let kind = EntryKind::from_number(head.kind);
            let kind = kind.ok_or(WireError::Malformed("an entry of an unknown kind"))?;
            let id = LogId { term: head.term, index: LogIndex(index) };
            let EntryHead { stamp, chain, .. } = *head;
            entries.push(Received { id, kind, stamp, chain, payload });
            index = index.saturating_add(1);
        }
        match bulk.is_empty() {
            true => Ok(entries),
            false => Err(WireError::Malformed("octets are left over behind the entries")),
        }
    }
}

/// What is asked of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Entries, or a heartbeat without.
    Append(AppendHead),
    /// For a vote.
    Vote(VoteHead),
    /// Whether it would vote.
    PreVote(VoteHead),
    /// Leadership goes to `to`.
    Transfer { from: VoteBytes, to: NodeId, last: Option<LogId> },
    /// A service; the bulk is the body.
    Call { topic: u16 },
    /// Entries, or a heartbeat without, and what is durable at the leader that sends
    /// them. From version 2 on.
    AppendFrom { head: AppendHead, durable: Option<LogId> },
}

/// What came of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AppendAnswer {
    /// All are durable there.
    Success,
    /// Those up to this one are.
    Partial(Option<LogId>),
    /// It has not got the one before them.
    Conflict,
    /// It follows another.
    Higher(VoteBytes),
}

/// What came of handing over leadership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TransferAnswer {
    Accepted,
    VoteChanged { expected: VoteBytes, actual: VoteBytes },
    NotFlushed { expected: Option<LogId>, actual: Option<LogId> },
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CallFailure {
    /// Nobody answers on this topic.
    NoService(u16),
    /// The service's text.
    Failed(String),
}

/// What a peer answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Append(AppendAnswer),
    Vote {
        vote: VoteBytes,
        granted: bool,
        last: Option<LogId>,
    },
    Transfer(TransferAnswer),
    /// The bulk is the body.
    Call(Result<(), CallFailure>),
    /// It could not be done there; not known how far it came.
    Failed(String),
}
