//! What the calls of matters take and answer, as JSON.

use redoubt_log::id::{MatterId, OperationId};
use redoubt_log::record::{DiscoveryWork, MatterRole};
use redoubt_store::rows::JobEnd;
use serde::{Deserialize, Serialize};

use super::super::holds_wire::HoldLine;

/// A matter to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatterWish {
    /// What it is called.
    pub name: String,
    /// What it is about.
    #[serde(default)]
    pub about: String,
    /// Whether a second person approves each export.
    #[serde(default)]
    pub review_exports: bool,
}

/// What changes of a matter; what is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatterPatch {
    /// What it is called.
    pub name: Option<String>,
    /// What it is about.
    pub about: Option<String>,
    /// Whether a second person approves each export.
    pub review_exports: Option<bool>,
    /// Whether nothing is done in it any more.
    pub closed: Option<bool>,
}

/// A matter in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatterLine {
    /// Its id, for ever.
    pub id: MatterId,
    /// What it is called.
    pub name: String,
    /// Whether nothing is done in it any more.
    pub closed: bool,
    /// When it was made.
    pub opened: String,
    /// By whom.
    pub by: String,
    /// What the caller may do in it, as a member.
    pub own: Option<MatterRole>,
}

/// All of a matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatterWhole {
    /// As in a list.
    #[serde(flatten)]
    pub line: MatterLine,
    /// What it is about.
    pub about: String,
    /// Whether a second person approves each export.
    pub review_exports: bool,
    /// Who works on it.
    pub members: Vec<MemberLine>,
    /// Whose mail it is about.
    pub custodians: Vec<CustodianLine>,
    /// Holds that are for it, as long as they are in force.
    pub holds: Vec<HoldLine>,
    /// What was searched and exported in it, on whichever node.
    pub jobs: Vec<MatterJobLine>,
    /// Its notes, the oldest first.
    pub notes: Vec<NoteLine>,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberLine {
    /// Who.
    pub account: String,
    /// What it may do.
    pub role: MatterRole,
    /// Since when.
    pub since: String,
}

/// A custodian.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodianLine {
    /// Whose mail.
    pub account: String,
    /// Its id.
    pub account_id: u64,
    /// Since when.
    pub since: String,
}

/// A search or export of a matter, as the log tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatterJobLine {
    /// By which it is asked for.
    pub job: OperationId,
    /// What is done.
    pub work: DiscoveryWork,
    /// The search that an export is of.
    pub of: Option<OperationId>,
    /// Who asked.
    pub by: String,
    /// When.
    pub begun: String,
    /// The index that it is pinned to.
    pub pinned: u64,
    /// How it ended, once it has.
    pub end: Option<JobEnd>,
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteLine {
    /// Its number in the matter, from 1.
    pub number: u64,
    /// Who wrote it.
    pub by: String,
    /// When.
    pub time: String,
    /// What.
    pub text: String,
}

/// A note to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteWish {
    /// What.
    pub text: String,
}

/// Somebody who becomes a member, or ceases to be one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberWish {
    /// Who: an address or id.
    pub account: String,
    /// What it may do; absent: nothing any more.
    pub role: Option<MatterRole>,
}

/// Somebody who becomes a custodian, or ceases to be one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodianWish {
    /// Whose mail, deleted accounts' too: an address or id.
    pub account: String,
    /// Whether it is one from now on.
    pub is: bool,
}
