//! What the calls about restores take and answer, as JSON. Names and meaning are stable.

use redoubt_log::id::{LogIndex, OperationId};
use redoubt_log::record::{RestoreCounts, RestoreMode};
use redoubt_store::restore::{Summary, Wish};
use serde::{Deserialize, Serialize};

/// What a restore is asked to do. Moments are written as `redoubt ls --at` takes them; without an
/// offset they are in UTC.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestoreAsk {
    /// How.
    pub mode: RestoreMode,
    /// Whose history: an address or id.
    pub account: String,
    /// Emails by id, or as `MAILBOX/UID`.
    #[serde(default)]
    pub emails: Vec<String>,
    /// Whether a rewind is of these emails only.
    #[serde(default)]
    pub only_emails: bool,
    /// A moment.
    pub at: Option<String>,
    /// The beginning of an interval.
    pub since: Option<String>,
    /// The end of an interval; now without it.
    pub until: Option<String>,
    /// By whom: an account, `uid:N`, `mta` or `system`.
    pub by: Option<String>,
    /// Only of this mailbox.
    pub mailbox: Option<String>,
    /// Into this mailbox.
    pub into: Option<String>,
    /// Into this account.
    pub to: Option<String>,
    /// The address of the account that is made, or comes back.
    pub new: Option<String>,
    /// Flags of what is live too.
    #[serde(default)]
    pub flags: bool,
    /// Only flags.
    #[serde(default)]
    pub only_flags: bool,
    /// What came later goes.
    #[serde(default)]
    pub exact: bool,
    /// Beyond the quota too.
    #[serde(default)]
    pub over_quota: bool,
    /// Into INBOX where the target is gone.
    #[serde(default)]
    pub inbox_if_gone: bool,
}

/// A moment as it was resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MomentTold {
    /// Which: `at`, `since`, `until`, `from`, `to`.
    pub what: String,
    /// The state after this index.
    pub index: u64,
    /// The effective time of the last record up to there: RFC 3339, in UTC.
    pub time: String,
}

/// What a restore would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePlan {
    /// The moments that were named.
    pub moments: Vec<MomentTold>,
    /// What is to be done.
    #[serde(flatten)]
    pub summary: Summary,
}

/// A restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreBody {
    /// Its id.
    pub id: OperationId,
    /// How it was asked for.
    pub mode: RestoreMode,
    /// Where things come back.
    pub account: String,
    /// Whose history they come from.
    pub source: String,
    /// `running`, `completed` or `cancelled`.
    pub state: String,
    /// The moment, or the beginning of the interval.
    pub at: Option<LogIndex>,
    /// The end of the interval.
    pub until: Option<LogIndex>,
    /// Steps of the plan.
    pub steps: u64,
    /// Steps taken.
    pub done: u64,
    /// What came of them.
    #[serde(flatten)]
    pub counts: RestoreCounts,
    /// Who asked for it.
    pub by: String,
    /// When it began: RFC 3339, in UTC.
    pub begun: String,
    /// When it ended.
    pub ended: Option<String>,
    /// What was asked for, of one restore only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wish: Option<Wish>,
}

/// What came of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeLine {
    /// Its place in the plan.
    pub step: u64,
    /// What: as in a plan's lines.
    pub what: String,
    /// Of which email, mailbox or account.
    pub of: String,
    /// `created`, `changed`, `merged`, `skipped` or `failed`.
    pub outcome: String,
    /// Why it was skipped or failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// Where the email stands now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mailbox: Option<String>,
    /// Its UID there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uid: Option<u32>,
    /// The email's id, a new one in another account.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email_id: Option<String>,
}
