//! What goes over the admin socket as JSON. docs/operations.md lists the calls.

use std::collections::BTreeMap;

use redoubt_log::dump;
use redoubt_log::id::{AccountId, CaptureId, ClassId, OperationId, Timestamp};
use redoubt_log::record::{
    AccountState, CaptureDirection, ClassSettings, DomainSettings, Limits, SpecialUse,
};
use redoubt_log::segment::LogEntry;
use redoubt_store::rows::CapturedRow;
use serde::{Deserialize, Serialize};

/// Why a call was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong and what to do.
    pub error: String,
}

/// A new domain, or a domain's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainBody {
    /// Its name.
    pub name: String,
    /// Its settings.
    #[serde(default)]
    pub settings: DomainSettings,
}

/// A new class of service, or what it says from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassBody {
    /// What it is called.
    pub name: String,
    /// What it says.
    pub settings: ClassSettings,
}

/// A capture rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureBody {
    /// Whose mail.
    pub scope: ScopeBody,
    /// Which of it.
    pub direction: CaptureDirection,
    /// Into which archive account: an address or an id.
    pub archive: String,
}

/// Whose mail a capture rule is over, by names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeBody {
    /// Everybody's.
    All,
    /// A domain's.
    Domain(String),
    /// That of accounts with a class, by its name or id.
    Class(String),
    /// An account's, by address or id.
    Account(String),
    /// Journal reports to the archive account's own address.
    Journal,
}

/// A capture rule in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureLine {
    /// Its id.
    pub id: CaptureId,
    /// When it was set.
    pub set: Timestamp,
    /// What it says.
    #[serde(flatten)]
    pub rule: CaptureBody,
}

/// What was captured, from the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureStatus {
    /// Of the mail of domains.
    pub domains: Vec<Captured>,
    /// Of the mail of accounts, where there is any.
    pub accounts: Vec<Captured>,
    /// Archive accounts: what journal reports brought.
    pub archives: Vec<Captured>,
}

/// What was captured of the mail of a domain or account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// Its name or address.
    pub name: String,
    /// How much.
    #[serde(flatten)]
    pub captured: CapturedRow,
}

/// A class in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassLine {
    /// Its id.
    pub id: ClassId,
    /// What it is called.
    pub name: String,
    /// What it says.
    pub settings: ClassSettings,
    /// Accounts that have it by themselves.
    pub accounts: u64,
    /// Domains whose accounts have it where they have no other.
    pub domains: Vec<String>,
}

/// The class of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainClassBody {
    /// Its name or id, or `none`.
    pub class: String,
}

/// What changes of an account's class and of its own limits; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountClassPatch {
    /// The class's name or id, or `none` for its domain's.
    pub class: Option<String>,
    /// Its own limits.
    pub limits: LimitsPatch,
}

/// Limits that change; `Some(None)` says nothing any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitsPatch {
    /// Seconds of history.
    #[serde(with = "double_option", skip_serializing_if = "Option::is_none")]
    pub history: Option<Option<u64>>,
    /// Octets of the largest message.
    #[serde(with = "double_option", skip_serializing_if = "Option::is_none")]
    pub largest_message: Option<Option<u64>>,
    /// Mailboxes.
    #[serde(with = "double_option", skip_serializing_if = "Option::is_none")]
    pub mailboxes: Option<Option<u32>>,
}

impl LimitsPatch {
    /// The limits with what changes.
    #[must_use]
    pub fn over(self, now: Limits) -> Limits {
        Limits {
            history: self.history.unwrap_or(now.history),
            largest_message: self.largest_message.unwrap_or(now.largest_message),
            mailboxes: self.mailboxes.unwrap_or(now.mailboxes),
        }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A new account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NewAccount {
    /// Its address.
    pub address: String,
    /// A name for listings.
    pub display_name: String,
    /// Bytes; absent for the domain's default.
    pub quota: Option<u64>,
    /// Its password; without one nobody logs in.
    pub password: Option<String>,
    /// Whether it is an archive, for ever.
    pub archive: bool,
}

/// What changes of an account; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountPatch {
    /// A name for listings.
    pub display_name: Option<String>,
    /// What it may do.
    pub state: Option<AccountState>,
    /// Bytes; `Some(None)` for the domain's default.
    #[serde(with = "double_option", skip_serializing_if = "Option::is_none")]
    pub quota: Option<Option<u64>>,
    /// Its address.
    pub address: Option<String>,
    /// Its password.
    pub password: Option<String>,
}

mod double_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer, T: Serialize + Copy>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.flatten().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}

/// An alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasBody {
    /// The other name.
    pub alias: String,
    /// The account's address (or id) that it stands for.
    pub account: String,
}

/// A new mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMailbox {
    /// The whole name, `/` between levels.
    pub name: String,
    /// Its use.
    #[serde(default)]
    pub special_use: Option<SpecialUse>,
}

/// Another name for a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameMailbox {
    /// The name now.
    pub from: String,
    /// The name wished.
    pub to: String,
}

/// What came of a delivery, an object a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The address as given.
    pub recipient: String,
    /// Whether it is delivered.
    pub delivered: bool,
    /// The email.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_id: Option<String>,
    /// Its UID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The head of one message of an import; `size` octets follow it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportHead {
    /// Octets of the message that follow.
    pub size: u64,
    /// System flags as bits.
    pub flags: u8,
    /// Keywords.
    pub keywords: Vec<String>,
    /// INTERNALDATE.
    pub received: Option<Timestamp>,
    /// The UID it had; a new one is given where that is taken.
    pub uid: Option<u32>,
    /// Makes a retry safe.
    pub operation: OperationId,
}

/// What came of one message of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The email, unless it failed.
    pub email_id: Option<String>,
    /// Its UID.
    pub uid: Option<u32>,
    /// Why it failed.
    pub error: Option<String>,
}

/// An account with its numbers, for listings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLine {
    /// Its id.
    pub id: AccountId,
    /// Its address.
    pub address: String,
    /// A name.
    pub display_name: String,
    /// What it may do.
    pub state: AccountState,
    /// Live emails.
    pub emails: u64,
    /// Their bytes.
    pub used_bytes: u64,
    /// The quota in force.
    pub quota: Option<u64>,
}

/// The server's state; names and meaning are stable, more may come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusBody {
    /// The program's version.
    pub version: String,
    /// Its clock: RFC 3339, in UTC.
    #[serde(default)]
    pub time: String,
    /// Seconds since it took connections.
    pub uptime_seconds: u64,
    /// `serving`, or why it does not.
    pub state: String,
    /// Where it listens, by protocol.
    pub listen: BTreeMap<String, Vec<String>>,
    /// Connections now, by protocol.
    pub sessions: BTreeMap<String, u64>,
    /// What the store says of itself.
    pub store: serde_json::Value,
    /// How the archive is, where there is a repository.
    #[serde(default)]
    pub archive: Option<redoubt_snapshot::archive::ArchiveStatus>,
    /// Texts of attachments, where they are extracted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<serde_json::Value>,
    /// How the indexes for search are, where the node keeps any.
    #[serde(default)]
    pub index: Option<redoubt_search::index::Status>,
}

/// Indexes that are to be built anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RebuildIndex {
    /// Address or id of the account; absent for all.
    pub account: Option<String>,
}

/// Entries of the log, readable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPiece {
    /// A line an entry, as text or as JSON.
    pub lines: Vec<String>,
    /// The index to go on from; absent when there is nothing more.
    pub next: Option<u64>,
}

impl LogPiece {
    /// These entries, as JSON or as text.
    ///
    /// # Errors
    /// Never in practice.
    pub fn of(entries: &[LogEntry], json: bool) -> serde_json::Result<Self> {
        let line = |entry| match json {
            true => dump::json(entry),
            false => Ok(dump::entry(entry).to_string()),
        };
        Ok(Self {
            lines: entries.iter().map(line).collect::<serde_json::Result<_>>()?,
            next: entries.last().map(|entry| entry.id.index.0 + 1),
        })
    }
}
