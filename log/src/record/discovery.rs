//! Records of the audit group: who searched and exported, and which keys sign heads.

use serde::{Deserialize, Serialize};

use crate::id::{BlobId, Hash, LogIndex, MatterId, NodeId, OperationId};

/// See [`Change::DiscoveryBegin`](super::Change::DiscoveryBegin). Nothing that was found is
/// answered before this is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryBegin {
    /// The search or export, by which it is asked for.
    pub job: OperationId,
    /// What is done.
    pub work: DiscoveryWork,
    /// The search that an export takes its emails from.
    pub of: Option<OperationId>,
    /// A salted blob with what was asked: query, scope, reason.
    pub asked: BlobId,
    /// The index that the search is pinned to.
    pub pinned: LogIndex,
    /// The matter that it is of.
    pub matter: Option<MatterId>,
}

/// What discovery does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiscoveryWork {
    /// Emails are looked for.
    Search,
    /// Emails are written out.
    Export,
}

/// See [`Change::DiscoveryEnd`](super::Change::DiscoveryEnd).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryEnd {
    /// Which search or export.
    pub job: OperationId,
    /// Emails found, or exported.
    pub found: u64,
    /// Emails that could not be read, or exported.
    pub failed: u64,
    /// How it ended.
    pub ended: DiscoveryEnded,
    /// BLAKE3 of an export's manifest.
    pub manifest: Option<Hash>,
}

/// How a search or export ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiscoveryEnded {
    /// All was looked at, or written.
    Completed,
    /// Somebody stopped it.
    Cancelled,
    /// It could not go on.
    Failed,
}

/// See [`Change::DiscoveryRemove`](super::Change::DiscoveryRemove).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryRemove {
    /// Which search or export.
    pub job: OperationId,
}

/// See [`Change::DiscoveryLook`](super::Change::DiscoveryLook). Nothing is shown before this is
/// committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryLook {
    /// The search.
    pub job: OperationId,
    /// The place in its list from which on.
    pub after: u64,
    /// How many emails at most.
    pub limit: u32,
}

/// See [`Change::HeadKey`](super::Change::HeadKey).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadKey {
    /// Whose key it is.
    pub node: NodeId,
    /// The public half (RFC 8032, Ed25519).
    pub key: Hash,
}
