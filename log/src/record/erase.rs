//! Records of erasures: mail that goes for good, on the word of a person, with what shows it.
//!
//! An erasure is a list of emails (in blobs, ids alone), a record that begins it, a second
//! person's word where that is asked for, pieces of the list in their order, and a report of
//! each node. `apply` refuses each email that is kept by a hold or a floor when its piece is
//! applied.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, BlobId, EmailId, NodeId, OperationId, Timestamp};

/// See [`Change::EraseBegin`](super::Change::EraseBegin).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EraseBegin {
    /// Its id.
    pub erasure: OperationId,
    /// Whose emails; a deleted account's, too.
    pub account: AccountId,
    /// A salted blob with what was asked for and why, as JSON.
    pub asked: BlobId,
    /// Salted blobs with the ids of the emails, in their order.
    pub list: Vec<BlobId>,
    /// How many emails.
    pub emails: u64,
    /// Whether it waits for a second person.
    pub review: bool,
}

impl EraseBegin {
    /// Every blob that it names.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> + '_ {
        std::iter::once(self.asked).chain(self.list.iter().copied())
    }
}

/// See [`Change::ErasePiece`](super::Change::ErasePiece).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasePiece {
    /// Of which erasure.
    pub erasure: OperationId,
    /// Whose emails.
    pub account: AccountId,
    /// The place of the first one in the list.
    pub first: u64,
    /// Which, in the order of the list.
    pub emails: Vec<EmailId>,
}

/// See [`Change::EraseReport`](super::Change::EraseReport).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EraseReport {
    /// Of which erasure.
    pub erasure: OperationId,
    /// Which node.
    pub node: NodeId,
    /// Each place where something of it may lie, once.
    pub places: Vec<EraseReached>,
}

/// One place on a node, or one that a node takes care of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EraseReached {
    /// Which.
    pub place: ErasePlace,
    /// What stays there because mail that was not erased has it too: messages, envelopes, parts.
    pub stays: u64,
    /// `None` once nothing else is there any more; else what it waits for.
    pub pending: Option<String>,
}

/// Where something of an email may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErasePlace {
    /// The views' rows, and what is kept beside them of messages taken apart.
    Views,
    /// State images in `base/`.
    Bases,
    /// The packs of blobs.
    Packs,
    /// The index for search.
    Index,
    /// Texts that were extracted from attachments.
    Texts,
    /// What searches over accounts keep of what they found.
    Discovery,
    /// The backup repository.
    Repository,
}

impl ErasePlace {
    /// All of them, as a report lists them.
    pub const ALL: [Self; 7] = [
        Self::Views,
        Self::Bases,
        Self::Packs,
        Self::Index,
        Self::Texts,
        Self::Discovery,
        Self::Repository,
    ];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Views => "views",
            Self::Bases => "bases",
            Self::Packs => "packs",
            Self::Index => "index",
            Self::Texts => "texts",
            Self::Discovery => "discovery",
            Self::Repository => "repository",
        }
    }
}

/// See [`Change::ErasuresKept`](super::Change::ErasuresKept).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasuresKept {
    /// Which erasure.
    pub erasure: OperationId,
    /// Whose emails.
    pub account: AccountId,
    /// When it was begun.
    pub begun: Timestamp,
    /// Those that were erased; at most [`MAX_CHANGES`](super::MAX_CHANGES).
    pub emails: Vec<EmailId>,
}
