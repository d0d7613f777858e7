//! Rows of matters, of searches and exports, and of what a second person decides.

use redoubt_log::id::{BlobId, LogIndex, MatterId, OperationId, Timestamp};
use redoubt_log::record::{DiscoveryEnded, DiscoveryWork, MatterRole, MatterSettings, Principal};
use serde::{Deserialize, Serialize};

/// A matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatterRow {
    /// What people call it.
    pub name: String,
    /// What holds for it.
    pub settings: MatterSettings,
    /// When it was made.
    pub opened: Timestamp,
    /// By whom.
    pub by: Principal,
    /// The number of its next note, from 1.
    pub next_note: u64,
}

/// A member of a matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatterMemberRow {
    /// What it may do.
    pub role: MatterRole,
    /// Since when.
    pub since: Timestamp,
}

/// That something is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinceRow {
    /// Since when.
    pub since: Timestamp,
}

/// A note of a matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatterNoteRow {
    /// Who wrote it.
    pub by: Principal,
    /// When.
    pub time: Timestamp,
    /// What.
    pub text: String,
}

/// A search or export of any node, as the log tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// The matter that it is of.
    pub matter: Option<MatterId>,
    /// What is done.
    pub work: DiscoveryWork,
    /// The search that an export is of.
    pub of: Option<OperationId>,
    /// Who asked.
    pub by: Principal,
    /// When.
    pub begun: Timestamp,
    /// A salted blob with what was asked.
    pub asked: BlobId,
    /// The index that it is pinned to.
    pub pinned: LogIndex,
    /// How it ended, once it has.
    pub end: Option<JobEnd>,
}

/// How a search or export ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    /// Emails found, or exported.
    pub found: u64,
    /// Those that could not be.
    pub failed: u64,
    /// How.
    pub ended: DiscoveryEnded,
    /// When.
    pub time: Timestamp,
}

/// What a second person has to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRow {
    /// Who asked for it.
    pub by: Principal,
    /// When.
    pub asked: Timestamp,
    /// What came of it.
    pub state: ApprovalState,
}

/// What came of something that needs a second person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApprovalState {
    /// Nothing yet.
    Waits,
    /// Somebody has decided.
    Decided(Decision),
    /// It ended otherwise: since when nobody has to decide any more.
    Over(Timestamp),
}

impl ApprovalRow {
    /// What was decided, once somebody has.
    pub fn decision(&self) -> Option<&Decision> {
        match &self.state {
            ApprovalState::Decided(decision) => Some(decision),
            _ => None,
        }
    }
}

/// What a second person has decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether it may be.
    pub given: bool,
    /// Who says so.
    pub by: Principal,
    /// When.
    pub time: Timestamp,
    /// Why.
    pub note: String,
}
