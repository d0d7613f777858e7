//! What was asked of a job: written once.

use std::path::PathBuf;

use redoubt_log::id::{AccountId, LogIndex, MatterId, OperationId, Timestamp};
use redoubt_log::record::Actor;
use redoubt_store::travel::Which;
use serde::{Deserialize, Serialize};

use crate::export::Form;

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its name, in the log too.
    pub job: OperationId,
    /// Who asked.
    pub actor: Actor,
    /// When.
    pub begun: Timestamp,
    /// Why, as typed.
    pub reason: Option<String>,
    /// The matter that it is of.
    #[serde(default)]
    pub matter: Option<MatterId>,
    /// What is done.
    pub work: Work,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "lowercase")]
pub enum Work {
    /// Emails are looked for.
    Search(SearchAsked),
    /// What a search found is written out.
    Export(ExportAsked),
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchAsked {
    /// As typed.
    pub query: String,
    /// The zone of days and times in it; UTC, if it is not named.
    #[serde(default)]
    pub zone: Option<String>,
    /// Whose mail, as typed.
    pub scope: Vec<String>,
    /// The accounts that this is, as of the pinned index, by rising id.
    pub accounts: Vec<AccountId>,
    /// Which emails.
    pub which: Which,
    /// The index that mail is looked at.
    pub as_of: LogIndex,
    /// The newest index when it was asked: what came later is not in it.
    pub pinned: LogIndex,
    /// That index's time.
    pub pinned_time: Timestamp,
}

/// An export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportAsked {
    /// Of which search.
    pub search: OperationId,
    /// How.
    pub form: Form,
    /// Where, an absolute path on the node.
    pub out: PathBuf,
    /// The time zone of a load file.
    pub zone: String,
    /// Whether what the log's records say stays out of it.
    #[serde(default)]
    pub without_records: bool,
    /// What the search was asked.
    pub of: SearchAsked,
}

impl Work {
    /// The index that it is pinned to.
    pub fn pinned(&self) -> LogIndex {
        match self {
            Self::Search(search) => search.pinned,
            Self::Export(export) => export.of.pinned,
        }
    }
}
