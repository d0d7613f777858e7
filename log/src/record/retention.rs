//! Records of the retention group: floors, and what may go because of them.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, BlobId, EmailId, LogIndex, MailboxId, ModSeq, Timestamp, Uid};

/// See [`Change::HistoryFloor`](super::Change::HistoryFloor). Views at the floor and above are
/// exact; below it there are none from this record on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryFloor {
    /// Whose history; account 0 is the directory, whose floor is never above an account's.
    pub account: AccountId,
    /// The oldest index that is kept; never lower than before.
    pub floor: LogIndex,
    /// The effective time at that index, for people.
    pub time: Timestamp,
}

/// See [`Change::HistoryTrim`](super::Change::HistoryTrim). Names where there is something to
/// drop; what is dropped `apply` finds out, from the floor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryTrim {
    /// Whose history; account 0 is the directory.
    pub account: AccountId,
    /// What is looked at.
    pub rows: Vec<TrimRow>,
}

/// Something of which a part may lie below the history floor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrimRow {
    /// The versions of an object, by its bytes in the history's keys.
    Versions(Vec<u8>),
    /// Where an email stood.
    Standing(EmailId, MailboxId, Uid),
    /// That a UID vanished.
    Vanished(MailboxId, ModSeq, Uid),
    /// Who did what, by index; of the directory only.
    Record(LogIndex),
}

/// See [`Change::CountReferences`](super::Change::CountReferences). It goes on where the last
/// one ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountReferences {}

/// See [`Change::BlobsDead`](super::Change::BlobsDead).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobsDead {
    /// Which blobs.
    pub blobs: Vec<BlobId>,
    /// The index of the state that the decision was made on: one that was named since, or any
    /// if a hold was set since, does not die.
    pub decided: LogIndex,
}
