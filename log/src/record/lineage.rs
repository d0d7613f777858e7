//! Records of the system group that tie a history to its backups, and to the
//! history that it goes on from.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, Hash, LogIndex, MailboxId, NodeId};

/// See [`Change::Archived`](super::Change::Archived).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// The last entry that the backup repository holds, with all before it and
    /// every blob that they name.
    pub index: LogIndex,
    /// The chain after it, as the archive has it.
    pub chain: Hash,
}

/// Between a history and the account whose part of it goes on, in [`NewLineage::from`].
pub const PART: char = '/';

/// See [`Change::NewLineage`](super::Change::NewLineage).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLineage {
    /// The history that ends: 32 hexadecimal digits; [`PART`] and an account's id behind them
    /// where only that account's part of it goes on.
    pub from: String,
    /// Its last entry that counts.
    pub index: LogIndex,
    /// The history that begins.
    pub to: String,
    /// The node that it begins with: no node of the old history had this id.
    pub node: NodeId,
}

/// See [`Change::Renumber`](super::Change::Renumber).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renumber {
    /// Whose mailboxes.
    pub account: AccountId,
    /// Which; at most [`MAX_CHANGES`](super::MAX_CHANGES).
    pub mailboxes: Vec<MailboxId>,
    /// UIDs that are passed over: clients may have seen them in what was lost.
    pub skip: u32,
    /// Whether each gets a new UIDVALIDITY. One whose UIDs do not suffice gets one anyway.
    pub validity: bool,
}
