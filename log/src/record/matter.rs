//! Records of matters: what is looked into, who works on it, whose mail it is about.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, MatterId};

/// See [`Change::MatterAdd`](super::Change::MatterAdd). A person who makes one leads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatterAdd {
    /// What people call it; no other matter is called so.
    pub name: String,
    /// What holds for it.
    pub settings: MatterSettings,
}

/// What holds for a matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatterSettings {
    /// What it is about, for people.
    pub about: String,
    /// Whether a second person approves each export.
    pub review_exports: bool,
    /// Whether nothing is done in it any more.
    pub closed: bool,
}

/// See [`Change::MatterSet`](super::Change::MatterSet).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatterSet {
    /// Which matter.
    pub matter: MatterId,
    /// What people call it from now on.
    pub name: String,
    /// What holds for it from now on.
    pub settings: MatterSettings,
}

/// What a member of a matter may do in it. New ones come at the end: their numbers are in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MatterRole {
    /// Sees it: notes, searches, and what they found.
    Reader,
    /// Searches the custodians' mail too, exports, and writes notes.
    Reviewer,
    /// Says who its members are too, and closes it.
    Lead,
}

impl MatterRole {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Reviewer => "reviewer",
            Self::Lead => "lead",
        }
    }
}

impl std::fmt::Display for MatterRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// See [`Change::MatterMember`](super::Change::MatterMember).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatterMember {
    /// Which matter.
    pub matter: MatterId,
    /// Who.
    pub account: AccountId,
    /// What it may do; `None`: nothing any more.
    pub role: Option<MatterRole>,
}

/// See [`Change::MatterCustodian`](super::Change::MatterCustodian).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatterCustodian {
    /// Which matter.
    pub matter: MatterId,
    /// Whose mail; also that of a deleted account.
    pub account: AccountId,
    /// Whether it is a custodian from now on.
    pub is: bool,
}

/// See [`Change::MatterNote`](super::Change::MatterNote).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatterNote {
    /// Which matter.
    pub matter: MatterId,
    /// What is to be remembered, at most 10,000 octets.
    pub text: String,
}
