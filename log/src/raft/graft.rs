//! A history that goes on from a backup of another: far above its last index, so
//! that nothing that the lost part may have given is given again.

use std::sync::mpsc;

use bytes::Bytes;

use crate::chain::{self, Head};
use crate::id::{LogIndex, NodeId, Term};
use crate::raft::apply::committed;
use crate::raft::regroup::{RegroupError, regroup};
use crate::raft::state_machine::{AppliedState, Committed, Fatal};
use crate::raft::types::{Proposal, decode_stored, membership_of};
use crate::record::Record;
use crate::segment::{EntryKind, LogEntry, LogId, NewEntry, SegmentLog};

/// Indexes between the last entry of the old history and the first of the new one.
pub const LEAP: u64 = 1 << 32;
/// Entries that are written together.
const TOGETHER: usize = 256;

/// An entry from elsewhere, as a state machine takes it. `membership` is the
/// group's before the entry, and after it when this returns.
///
/// # Errors
/// When the entry does not decode.
pub fn committed_entry(entry: LogEntry, membership: &mut Bytes) -> Result<Committed, Fatal> {
    if let Some(after) = membership_of(&entry).map_err(Fatal::new)? {
        *membership = after;
    }
    committed(entry, membership.clone())
}

/// The entry with which the new history begins: it changes nothing but the index,
/// and the chain goes over it like over any other.
///
/// # Errors
/// When there is no room above the old index.
pub fn leap(state: &AppliedState, head: &Head) -> Result<(Committed, Head), Fatal> {
    let full = || Fatal("there is no index left above this history".to_owned());
    let index = LogIndex(state.id.index.0.checked_add(LEAP).ok_or_else(full)?);
    let id = LogId { term: Term(state.id.term.0.saturating_add(1)), index };
    let (time, payload, kind) = (state.time, Bytes::new(), EntryKind::Blank);
    let leaf = chain::leaf(id.term, index, kind as u8, time, &chain::content(&payload));
    let position = head.tree.size();
    let mut head = head.clone();
    head.push(time, &leaf);
    let entry = LogEntry { id, kind, time, stamp: time, payload, chain: head.chain, position };
    Ok((committed(entry, state.membership.clone())?, head))
}

/// Everybody who was a member in a state, voter or not.
///
/// # Errors
/// When the membership does not decode.
pub fn members_of(state: &AppliedState) -> Result<Vec<NodeId>, Fatal> {
    let stored = decode_stored(&state.membership).map_err(Fatal::new)?;
    Ok(stored.nodes().map(|(node, _)| NodeId(*node)).collect())
}

/// Begins an empty log behind an entry that is not in it: a group of `node` alone,
/// then these records. All of it counts as committed when the node starts. Blocks.
///
/// # Errors
/// See [`RegroupError`].
pub fn begin_log(
    log: &SegmentLog,
    behind: LogId,
    head: Head,
    node: NodeId,
    records: &[Record],
) -> Result<LogId, RegroupError> {
    if log.last().is_some() {
        return Err(RegroupError::Group(node, "its log is not empty".to_owned()));
    }
    let (tell, told) = mpsc::channel();
    log.reset(behind, head, Box::new(move |done| drop(tell.send(done))))?;
    told.recv().map_err(|_| RegroupError::Ended)??;
    let mut last = regroup(log, node, "")?;
    for records in records.chunks(TOGETHER) {
        let mut entries = Vec::with_capacity(records.len());
        for record in records {
            last.index = LogIndex(last.index.0.saturating_add(1));
            let payload = Proposal::new(record)?.into_payload();
            let (kind, stamp) = (EntryKind::Record, record.stamp);
            entries.push(NewEntry { id: last, kind, stamp, payload });
        }
        let (tell, told) = mpsc::channel();
        log.append(entries, Box::new(move |done| drop(tell.send(done))))?;
        told.recv().map_err(|_| RegroupError::Ended)??;
    }
    Ok(last)
}
