//! The log's types as the state machine sees them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::{Hash, LogIndex, Term, Timestamp};

/// A position in the log and the term that wrote it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct LogId {
    /// The term of the leader that wrote it.
    pub term: Term,
    /// Where it stands.
    pub index: LogIndex,
}

/// What an entry is to Raft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Begins a term.
    Blank,
    /// Changes the group's members.
    Membership,
    /// Carries a record.
    Record,
}

/// The chain after an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The running hash.
    pub chain: Hash,
    /// The Merkle tree's root (RFC 6962 section 2.1).
    pub root: Hash,
}

/// An entry as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Where it stands.
    pub id: LogId,
    /// What it is.
    pub kind: EntryKind,
    /// Its effective time.
    pub time: Timestamp,
    /// The leader's clock when it was written.
    pub stamp: Timestamp,
    /// For a record: 16 bytes of salt, then the record.
    pub payload: Bytes,
    /// The chain after it.
    pub head: Head,
}
