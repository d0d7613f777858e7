//! openraft's types filled in with ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use openraft::alias::{LogIdOf, StoredMembershipOf, VoteOf};
use openraft::entry::{RaftEntry, RaftPayload};
use openraft::impls::Vote;
use openraft::impls::leader_id_std::LeaderId;
use openraft::vote::{RaftLeaderId, RaftVote};
use openraft::{EntryPayload, Membership};
use serde::{Deserialize, Serialize};

use crate::blob::Using;
use crate::codec::{self, CodecError};
use crate::id::{BlobId, Hash, LogIndex, NodeId, Term, Timestamp};
use crate::raft::runtime::WorldRuntime;
use crate::raft::wire::Received;
use crate::record::{Outcome, Record};

use crate::segment::{EntryKind, LogEntry, LogId, NewEntry};

openraft::declare_raft_types!(
    /// What our Raft is made of.
    pub(crate) TypeConfig:
        D = Proposal,
        R = Answer,
        NodeId = u64,
        Node = Member,
        Term = u64,
        LeaderId = LeaderId<u64, u64>,
        Vote = Vote<LeaderId<u64, u64>>,
        Payload = Payload,
        Entry = Entry,
        AsyncRuntime = WorldRuntime,
);

pub(crate) type RaftLogId = LogIdOf<TypeConfig>;
pub(crate) type RaftMembership = Membership<u64, Member>;
pub(crate) type RaftStoredMembership = StoredMembershipOf<TypeConfig>;
pub(crate) type RaftVoteType = VoteOf<TypeConfig>;
pub(crate) type Payload = EntryPayload<Proposal, u64, Member>;
type CommittedLeader = <LeaderId<u64, u64> as RaftLeaderId>::Committed;

/// Bytes of salt before each record, so that a leaf of the Merkle tree tells
/// nothing of a record that may be guessed.
pub(crate) const SALT_BYTES: usize = 16;

/// What a membership says of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Where its peers reach it; empty for a node without peers.
    pub(crate) address: String,
    /// Whether it keeps no views and serves nobody.
    pub(crate) light: bool,
}

/// A record on its way into the log: salt, then the encoded record.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    payload: Bytes,
    stamp: Timestamp,
    blobs: Vec<BlobId>,
    held: bool,
    using: Keep,
}

/// Keeps blobs that were found from going, until the log has what names them.
#[derive(Clone, Default)]
struct Keep {
    _using: Option<Arc<Using>>,
}

impl PartialEq for Keep {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Keep {}

impl Proposal {
    /// Salts and encodes a record.
    pub(crate) fn new(record: &Record) -> Result<Self, CodecError> {
        let encoded = codec::encode_record(record)?;
        let mut payload = Vec::with_capacity(SALT_BYTES + encoded.len());
        payload.extend_from_slice(&crate::world::random::<[u8; SALT_BYTES]>());
        payload.extend_from_slice(&encoded);
        let (stamp, blobs) = (record.stamp, record.blobs().into_iter().collect());
        Ok(Self { payload: payload.into(), stamp, blobs, held: false, using: Keep::default() })
    }

    /// One that a peer sent; its blobs are still to be made sure of.
    fn received(payload: Bytes) -> Result<Self, CodecError> {
        let record = record_of(&payload)?;
        let blobs = record.blobs().into_iter().collect();
        Ok(Self { payload, stamp: record.stamp, blobs, held: false, using: Keep::default() })
    }

    /// One that this node's own log holds, and so its blobs.
    fn stored(entry: &LogEntry) -> Self {
        let (payload, stamp) = (entry.payload.clone(), entry.stamp);
        Self { payload, stamp, blobs: Vec::new(), held: true, using: Keep::default() }
    }

    /// The blobs that it names and that are not yet known to be durable here.
    pub(crate) fn unheld(&self) -> &[BlobId] {
        match self.held {
            true => &[],
            false => &self.blobs,
        }
    }

    /// Its octets in the log.
    pub(crate) fn into_payload(self) -> Bytes {
        self.payload
    }

    #[cfg(test)]
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Only the gate says so.
    pub(super) fn set_held(&mut self) {
        self.held = true;
    }

    /// Keeps what was found for it as long as it is on its way.
    pub(super) fn keep(&mut self, using: Option<Arc<Using>>) {
        self.using = Keep { _using: using };
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record of {} bytes", self.payload.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a proposer gets; `None` for Raft's own entries.
#[derive(Debug, Clone)]
pub(crate) struct Answer(pub(crate) Option<Outcome>);

/// An entry, as openraft handles it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    id: RaftLogId,
    payload: Payload,
    stamp: Timestamp,
    stored: Option<LogEntry>,
    sent: Option<Sent>,
}

/// What a peer's log says of an entry: its very octets, and the chain behind it.
#[derive(Debug, Clone)]
struct Sent {
    payload: Bytes,
    chain: Hash,
}

impl Entry {
    /// As a peer sent it.
    pub(crate) fn from_peer(entry: Received) -> Result<Self, CodecError> {
        let Received { id, kind, stamp, chain, payload } = entry;
        let decoded = match kind {
            EntryKind::Blank => EntryPayload::Blank,
            EntryKind::Membership => EntryPayload::Membership(decode_membership(&payload)?),
            EntryKind::Record => EntryPayload::Normal(Proposal::received(payload.clone())?),
        };
        let sent = Some(Sent { payload, chain });
        Ok(Self { id: to_raft(id), payload: decoded, stamp, stored: None, sent })
    }

    /// Keeps what is found for it as long as it is on its way into the log.
    pub(crate) fn keep(&mut self, using: Option<Arc<Using>>) {
        if let EntryPayload::Normal(proposal) = &mut self.payload {
            proposal.keep(using);
        }
    }

    /// The chain behind it in the log of the peer that sent it.
    pub(crate) fn chain(&self) -> Option<Hash> {
        self.sent.as_ref().map(|sent| sent.chain)
    }

    /// As read from this node's own log.
    pub(crate) fn from_log(entry: LogEntry) -> Result<Self, CodecError> {
        let payload = match entry.kind {
            EntryKind::Blank => EntryPayload::Blank,
            EntryKind::Membership => EntryPayload::Membership(decode_membership(&entry.payload)?),
            EntryKind::Record => EntryPayload::Normal(Proposal::stored(&entry)),
        };
        let (id, stamp) = (to_raft(entry.id), entry.stamp);
        Ok(Self { id, payload, stamp, stored: Some(entry), sent: None })
    }

    /// As the log takes it.
    pub(crate) fn to_new(&self) -> Result<NewEntry, CodecError> {
        let (kind, payload) = match &self.payload {
            EntryPayload::Blank => (EntryKind::Blank, Bytes::new()),
            EntryPayload::Membership(membership) => {
                (EntryKind::Membership, encode_membership(membership)?)
            }
            EntryPayload::Normal(proposal) => (EntryKind::Record, proposal.payload.clone()),
        };
        // Another version may write a membership in other octets: those of the sender count.
        let payload = self.sent.as_ref().map_or(payload, |sent| sent.payload.clone());
        Ok(NewEntry { id: from_raft(self.id), kind, stamp: self.stamp, payload })
    }

    /// Where it stands in the log.
    pub(crate) fn index(&self) -> u64 {
        self.id.index
    }

    /// Blobs that it names and that are not yet known to be durable here.
    pub(crate) fn unheld(&self) -> &[BlobId] {
        match &self.payload {
            EntryPayload::Normal(proposal) => proposal.unheld(),
            _ => &[],
        }
    }

    /// What this node's own log says of it, where it was read from there.
    pub(crate) fn stored(&self) -> Option<&LogEntry> {
        self.stored.as_ref()
    }

    /// [`Entry::stored`], taken.
    pub(crate) fn into_stored(self) -> Option<LogEntry> {
        self.stored
    }

    #[cfg(test)]
    pub(crate) fn with_stored(mut self, stored: LogEntry) -> Self {
        self.stored = Some(stored);
        self
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.payload)
    }
}

impl RaftEntry for Entry {
    type CommittedLeaderId = CommittedLeader;
    type Payload = Payload;

    fn new(id: RaftLogId, payload: Payload) -> Self {
        let stamp = match &payload {
            EntryPayload::Normal(proposal) => proposal.stamp,
            // Raft's own entries are made before it is known whether the clock is right:
            // the log's time stands still with them.
            _ => Timestamp(0),
        };
        Self { id, payload, stamp, stored: None, sent: None }
    }

    fn log_id_parts(&self) -> (&CommittedLeader, u64) {
        (&self.id.leader_id, self.id.index)
    }

    fn set_log_id(&mut self, id: RaftLogId) {
        self.id = id;
        (self.stored, self.sent) = (None, None);
    }

    fn get_membership(&self) -> Option<RaftMembership> {
        self.payload.get_membership()
    }
}

/// openraft's log id as ours.
pub(crate) fn from_raft(id: RaftLogId) -> LogId {
    LogId { term: Term(id.leader_id.term), index: LogIndex(id.index) }
}

/// Our log id as openraft's.
pub(crate) fn to_raft(id: LogId) -> RaftLogId {
    RaftLogId::new(CommittedLeader::new(id.term.0), id.index.0)
}

/// The vote in the log: term, node (both `u64` LE), 1 if a quorum granted it.
pub(crate) fn encode_vote(vote: &RaftVoteType) -> Bytes {
    let mut bytes = Vec::with_capacity(VOTE_BYTES);
    bytes.extend_from_slice(&vote.leader_id().term.to_le_bytes());
    bytes.extend_from_slice(&vote.leader_id().voted_for.to_le_bytes());
    bytes.push(u8::from(vote.is_committed()));
    bytes.into()
}

/// A vote of a node for itself that no quorum has granted.
pub(crate) fn vote_for(term: u64, node: u64) -> RaftVoteType {
    Vote::from_leader_id(LeaderId::new(term, node), false)
}

const VOTE_BYTES: usize = 17;

/// Reads what [`encode_vote`] writes.
pub(crate) fn decode_vote(bytes: &[u8]) -> Result<RaftVoteType, CodecError> {
    let wrong = || CodecError::Malformed(format!("a vote of {} bytes", bytes.len()));
    let (term, rest) = bytes.split_first_chunk().ok_or_else(wrong)?;
    let (node, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
    let committed = match rest {
        [0] => false,
        [1] => true,
        _ => return Err(wrong()),
    };
    let leader = LeaderId::new(u64::from_le_bytes(*term), u64::from_le_bytes(*node));
    Ok(Vote::from_leader_id(leader, committed))
}

/// A membership in the log and in applied states. A change of its shape gets a
/// new number in front.
#[derive(Serialize, Deserialize)]
enum MembershipBytes {
    V1 { configs: Vec<BTreeSet<u64>>, nodes: BTreeMap<u64, String> },
    V2 { configs: Vec<BTreeSet<u64>>, nodes: BTreeMap<u64, Member> },
}

/// A membership's bytes in an entry.
pub(crate) fn encode_membership(membership: &RaftMembership) -> Result<Bytes, CodecError> {
    let nodes: BTreeMap<u64, Member> =
        membership.nodes().map(|(id, node)| (*id, node.clone())).collect();
    let configs = membership.get_joint_config().clone();
    // The older shape where it says all, so that an older program reads it.
    let bytes = match nodes.values().any(|node| node.light) {
        true => MembershipBytes::V2 { configs, nodes },
        false => {
            let nodes = nodes.into_iter().map(|(id, node)| (id, node.address)).collect();
            MembershipBytes::V1 { configs, nodes }
        }
    };
    codec::to_bytes(&bytes).map(Bytes::from)
}

/// Reads what [`encode_membership`] writes.
pub(crate) fn decode_membership(bytes: &[u8]) -> Result<RaftMembership, CodecError> {
    let (configs, nodes) = match codec::from_bytes(bytes)? {
        MembershipBytes::V1 { configs, nodes } => {
            let member = |(id, address)| (id, Member { address, light: false });
            (configs, nodes.into_iter().map(member).collect())
        }
        MembershipBytes::V2 { configs, nodes } => (configs, nodes),
    };
    Membership::new(configs, nodes).map_err(|error| CodecError::Malformed(error.to_string()))
}

/// What an [`AppliedState`](super::AppliedState) says of the membership after
/// this entry, `None` where the entry changes none: its id and its payload.
/// Before the first there is nothing, not one byte.
pub(crate) fn membership_of(entry: &LogEntry) -> Result<Option<Bytes>, CodecError> {
    match entry.kind {
        EntryKind::Membership => {
            let bytes = codec::to_bytes(&(entry.id, entry.payload.as_ref()))?;
            Ok(Some(bytes.into()))
        }
        EntryKind::Blank | EntryKind::Record => Ok(None),
    }
}

/// Reads what [`membership_of`] writes, or nothing.
pub(crate) fn decode_stored(bytes: &[u8]) -> Result<RaftStoredMembership, CodecError> {
    if bytes.is_empty() {
        return Ok(RaftStoredMembership::default());
    }
    let (id, membership): (LogId, Vec<u8>) = codec::from_bytes(bytes)?;
    Ok(RaftStoredMembership::new(Some(to_raft(id)), decode_membership(&membership)?))
}

/// The record in an entry's payload, behind its salt.
///
/// # Errors
/// Those of [`codec::decode_record`].
pub fn record_of(payload: &[u8]) -> Result<Record, CodecError> {
    let encoded = payload.get(SALT_BYTES..).unwrap_or_default();
    codec::decode_record(encoded)
}

/// The nodes that vote after a membership entry with this payload.
///
/// # Errors
/// When the payload does not read as a membership.
pub fn voters_of(payload: &[u8]) -> Result<Vec<NodeId>, CodecError> {
    Ok(decode_membership(payload)?.voter_ids().map(NodeId).collect())
}
