//! What the calls of time travel answer, as JSON.

use redoubt_log::dump::rfc3339;
use redoubt_store::moment::Then;
use redoubt_store::travel::{Change, Difference, Event, Gone};
use serde::{Deserialize, Serialize};

/// A moment as it is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MomentLine {
    /// The state after this index.
    pub index: u64,
    /// The effective time of the last record up to there: RFC 3339, in UTC.
    pub time: String,
}

impl From<Then> for MomentLine {
    fn from(then: Then) -> Self {
        Self { index: then.index.0, time: rfc3339(then.time) }
    }
}

/// Part of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The moment, or the two that are compared.
    pub moments: Vec<MomentLine>,
    /// What was found.
    pub items: Vec<T>,
    /// Where to go on; absent at the end.
    pub next: Option<String>,
}

/// A mailbox of then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxLine {
    /// Its whole name.
    pub mailbox: String,
    /// Its MAILBOXID.
    pub mailbox_id: String,
    /// Its use.
    pub special_use: Option<redoubt_log::record::SpecialUse>,
    /// False for a name that only has others below it.
    pub selectable: bool,
    /// Emails.
    pub messages: u32,
    /// Those that are not seen.
    pub unseen: u32,
    /// Those that are marked as deleted.
    pub deleted: u32,
    /// Octets.
    pub size: u64,
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// UIDNEXT.
    pub uid_next: u64,
    /// HIGHESTMODSEQ.
    pub highest_modseq: u64,
}

/// An email of then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailLine {
    /// EMAILID.
    pub email_id: String,
    /// THREADID.
    pub thread_id: String,
    /// Its mailbox's name.
    pub mailbox: String,
    /// Its UID.
    pub uid: u32,
    /// MODSEQ.
    pub modseq: u64,
    /// Flags and keywords.
    pub flags: Vec<String>,
    /// Octets.
    pub size: u64,
    /// INTERNALDATE, RFC 3339.
    pub received: String,
    /// SAVEDATE, RFC 3339.
    pub saved: String,
    /// Decoded.
    pub subject: String,
    /// The first author, decoded.
    pub from: String,
    /// Its content.
    pub blob: String,
}

/// An email that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundLine {
    /// The email.
    #[serde(flatten)]
    pub email: EmailLine,
    /// How it went, if it is not there any more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expunged: Option<Told<Gone>>,
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told<T> {
    /// Who and from where, readable.
    pub who: String,
    /// What kind of record did it, readable.
    pub record: String,
    /// What.
    #[serde(flatten)]
    pub item: T,
}

/// An email in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// When it is shown.
    pub as_of: MomentLine,
    /// The email.
    #[serde(flatten)]
    pub email: EmailLine,
    /// Everywhere it stands.
    pub places: Vec<String>,
    /// The Date header.
    pub date: String,
    /// To, decoded.
    pub to: Vec<String>,
    /// Cc, decoded.
    pub cc: Vec<String>,
    /// The Message-ID header.
    pub message_id: String,
    /// The first words.
    pub preview: String,
}

/// Part of a history: of an email its events, of all else what records changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// From when to when.
    pub moments: Vec<MomentLine>,
    /// Whose life it is, if it is an email's.
    pub email_id: Option<String>,
    /// The life of an email.
    pub events: Vec<Told<Event>>,
    /// What records changed.
    pub changes: Vec<Told<Change>>,
    /// Where to go on; absent at the end.
    pub next: Option<String>,
}

/// Part of what is different.
pub type DiffPage = Page<Difference>;
