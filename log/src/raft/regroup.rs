//! A group made anew of one survivor, when the majority of its members is lost
//! for good. Offline, and against all that Raft promises: what the lost members
//! had acknowledged without this one is gone, and nobody can say what it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;

use openraft::Membership;

use crate::id::{LogIndex, NodeId, Term, Timestamp};
use crate::raft::types::{
    Member, RaftMembership, decode_membership, decode_vote, encode_membership, encode_vote,
    vote_for,
};
use crate::segment::{Done, EntryKind, LogEntry, LogError, LogId, NewEntry, SegmentLog};

/// Entries looked at together, in bytes.
const LOOK: usize = 4 << 20;

/// What a survivor's log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Its last entry.
    pub last: Option<LogId>,
    /// The effective time of that.
    pub time: Option<Timestamp>,
    /// The last entry that it knows to be committed: later ones may or may not
    /// have been acknowledged, and all of them are kept.
    pub committed: Option<LogId>,
    /// Who voted, as far as the log still says.
    pub voters: Vec<NodeId>,
}

/// Why no group was made.
#[derive(Debug, thiserror::Error)]
pub enum RegroupError {
    /// The log cannot be read or written.
    #[error("the log: {0}")]
    Log(#[from] LogError),
    /// An entry or the vote does not decode.
    #[error("the log holds what this program does not read: {0}")]
    Entry(#[from] crate::codec::CodecError),
    /// There is nothing to go on from.
    #[error("the log is empty: there is nothing to recover from")]
    Empty,
    /// The writer has ended.
    #[error("the log was not written to the end")]
    Ended,
    /// Not a group.
    #[error("no group of node {0}: {1}")]
    Group(NodeId, String),
}

/// What a survivor's log holds. Reads all of it from behind `from`, where a
/// checkpoint says the voters, and blocks.
///
/// # Errors
/// See [`RegroupError`].
pub fn survey(log: &SegmentLog) -> Result<Survey, RegroupError> {
    let (last, committed) = (log.last(), log.committed());
    let begin = log.purged().map_or(0, |purged| purged.index.0 + 1);
    let end = last.map_or(0, |last| last.index.0 + 1);
    let (mut next, mut time, mut voters) = (begin, None, Vec::new());
    while next < end {
        for entry in log.read(LogIndex(next)..LogIndex(end), LOOK)? {
            next = entry.id.index.0 + 1;
            time = Some(entry.time);
            voters = voters_after(&entry)?.unwrap_or(voters);
        }
    }
    Ok(Survey { last, time, committed, voters })
}

fn voters_after(entry: &LogEntry) -> Result<Option<Vec<NodeId>>, RegroupError> {
    if entry.kind != EntryKind::Membership {
        return Ok(None);
    }
    Ok(Some(decode_membership(&entry.payload)?.voter_ids().map(NodeId).collect()))
}

/// Makes a group of `node` alone of what its log holds: everything in it counts
/// as committed when the node starts next. Blocks.
///
/// # Errors
/// See [`RegroupError`]; after any of them it can be called again.
pub fn regroup(log: &SegmentLog, node: NodeId, address: &str) -> Result<LogId, RegroupError> {
    let last = log.last().ok_or(RegroupError::Empty)?;
    let vote = log.vote().map(|bytes| decode_vote(&bytes)).transpose()?;
    let voted = vote.map_or(0, |vote| vote.leader_id.term);
    let term = last.term.0.max(voted) + 1;
    let group = group_of(node, address)?;
    let id = LogId { term: Term(term), index: LogIndex(last.index.0 + 1) };
    let entry = NewEntry {
        id,
        kind: EntryKind::Membership,
        stamp: crate::world::now(),
        payload: encode_membership(&group)?,
    };
    let vote = encode_vote(&vote_for(term, node.0));
    written(|done| log.save_vote(vote, done))?;
    written(|done| log.append(vec![entry], done))?;
    Ok(id)
}

fn group_of(node: NodeId, address: &str) -> Result<RaftMembership, RegroupError> {
    let member = Member { address: address.to_owned(), ..Member::default() };
    let nodes = BTreeMap::from([(node.0, member)]);
    Membership::new(vec![BTreeSet::from([node.0])], nodes)
        .map_err(|error| RegroupError::Group(node, error.to_string()))
}

fn written(write: impl FnOnce(Done) -> Result<(), LogError>) -> Result<(), RegroupError> {
    let (tell, told) = mpsc::channel();
    write(Box::new(move |done| drop(tell.send(done))))?;
    Ok(told.recv().map_err(|_| RegroupError::Ended)??)
}
