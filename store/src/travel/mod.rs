//! Time travel: what was, who did it and when, out of the version history alone.
//!
//! Everything here reads a [`View`]: that view's index is the last that is
//! looked at. All functions block. What may be long comes in pages.

mod changes;
mod diff;
mod find;
mod life;
mod names;
mod text;

use redoubt_log::id::{LogIndex, MailboxId, Timestamp, Uid};
use redoubt_log::record::{Actor, Flags, Keyword};
use serde::{Deserialize, Serialize};

use crate::mailstore::StoreError;
use crate::rows::PlacementVersion;
use crate::view::View;

pub use changes::{Change, Changes, MailboxChange, MailboxWhat, changes};
pub use diff::{Difference, Scope, diff, mailbox_differences};
pub use find::{Gone, Hit, Judge, Looked, Search, Which, gone_places};
pub use life::{Event, What, email_at, life};
pub use names::Names;

/// Where an email stands or stood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The mailbox's id.
    #[serde(rename = "mailbox_id")]
    pub mailbox: MailboxId,
    /// Its whole name then.
    #[serde(rename = "mailbox")]
    pub name: String,
    /// The UID.
    pub uid: Uid,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.name, self.uid)
    }
}

/// Where a listing goes on: behind this placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// In this mailbox.
    pub mailbox: MailboxId,
    /// Behind this UID; 0 is from the first on.
    pub uid: u32,
}

impl Cursor {
    /// The first UID behind it in a mailbox; `None` when all are before it.
    fn first_in(after: Option<Self>, mailbox: MailboxId) -> Option<Uid> {
        match after {
            Some(after) if after.mailbox > mailbox => None,
            Some(after) if after.mailbox == mailbox => after.uid.checked_add(1).and_then(Uid::new),
            _ => Some(Uid::MIN),
        }
    }
}

/// Who did something, when, by which record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The record's index.
    pub index: LogIndex,
    /// Its effective time.
    #[serde(with = "text::time")]
    pub time: Timestamp,
    /// Who.
    pub actor: Actor,
    /// The number of the record's kind.
    pub kind: u16,
}

impl By {
    /// What is known of a record; of one that is not known any more only its index.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn of(view: &View, index: LogIndex) -> Result<Self, StoreError> {
        let row = view.record(index)?;
        Ok(match row {
            Some(row) => Self { index, time: row.time, actor: row.actor, kind: row.kind },
            None => Self { index, time: Timestamp::default(), actor: Actor::SYSTEM, kind: 0 },
        })
    }

    /// A word for what the record does.
    pub fn word(&self) -> &'static str {
        match self.kind {
            0x0101..=0x0103 => "domain",
            0x0110 => "account made",
            0x0111 => "account set",
            0x0112 => "account renamed",
            0x0113 => "account deleted",
            0x0114 => "account swept",
            0x0120 | 0x0121 => "alias",
            0x0130 => "password set",
            0x0131 => "password removed",
            0x0140..=0x0142 => "class",
            0x0143 => "class set",
            0x0144 => "domain",
            0x0150 | 0x0151 => "role",
            0x0152 | 0x0153 => "personal token",
            0x0201 => "mailbox created",
            0x0202 => "mailbox renamed",
            0x0203 => "mailbox deleted",
            0x0204 => "subscribed",
            0x0205 => "mailbox renamed or deleted",
            0x0301 => "delivered",
            0x0302 => "appended",
            0x0303 => "copied",
            0x0304 => "moved",
            0x0305 => "flags",
            0x0306 => "expunged",
            0x0400..=0x04ff => "retention",
            0x0500..=0x05ff => "restored",
            0x0602 | 0x0603 | 0x0605 => "discovery",
            0x0604 => "head key",
            0x0606 => "mail read",
            0x0607 => "logins",
            0x0700..=0x07ff => "system",
            _ => "unknown",
        }
    }
}

/// Flags and keywords as IMAP writes them.
pub fn flag_names(flags: Flags, keywords: &[Keyword]) -> Vec<String> {
    let system = [
        (Flags::SEEN, "\\Seen"),
        (Flags::ANSWERED, "\\Answered"),
        (Flags::FLAGGED, "\\Flagged"),
        (Flags::DELETED, "\\Deleted"),
        (Flags::DRAFT, "\\Draft"),
    ];
    let set = system.iter().filter(|(flag, _)| flags.contains(*flag));
    set.map(|(_, name)| (*name).to_owned()).chain(keywords.iter().cloned()).collect()
}

/// Flags that a later version has and an earlier one has not, and the other way round.
fn flags_between(old: &PlacementVersion, new: &PlacementVersion) -> (Vec<String>, Vec<String>) {
    let names = |version: &PlacementVersion| flag_names(version.flags, &version.keywords);
    let (old, new) = (names(old), names(new));
    let only = |these: &[String], those: &[String]| {
        these.iter().filter(|flag| !those.contains(flag)).cloned().collect()
    };
    (only(&new, &old), only(&old, &new))
}
