//! Search keys as values.

use redoubt_log::id::ModSeq;
use redoubt_log::record::{Flags, Keyword};

use super::SequenceSet;

/// A calendar day: days since 1970-01-01. Which day an instant falls on is
/// judged in UTC for INTERNALDATE and SAVEDATE, and as written for the Date
/// header (RFC 9051 section 6.4.4: time and zone are disregarded).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

/// A search key (RFC 9051 section 6.4.4). Keys that only abbreviate are written
/// out: `NEW` is `RECENT` and not `\Seen`, `UNSEEN` is not `\Seen`.
///
/// Strings are decoded from the command's CHARSET. An empty string is in every text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchKey {
    /// Every message.
    All,
    /// All of these; none given is [`SearchKey::All`].
    And(Vec<SearchKey>),
    /// One of these at least.
    Or(Box<SearchKey>, Box<SearchKey>),
    /// All but these.
    Not(Box<SearchKey>),
    /// These, where strings need not stand exactly so (RFC 6203); of other keys it says nothing.
    Fuzzy(Box<SearchKey>),
    /// Message sequence numbers.
    Sequence(SequenceSet),
    /// UIDs.
    Uid(SequenceSet),
    /// `$`, the saved result of an earlier SEARCH (RFC 5182), as [`super::Query::with_saved`] has
    /// it.
    Saved,
    /// All of these system flags are set.
    Flags(Flags),
    /// The keyword is set; compared without case in ASCII.
    Keyword(Keyword),
    /// `\Recent` is set (RFC 3501).
    Recent,
    /// In the Bcc header.
    Bcc(String),
    /// In the Cc header.
    Cc(String),
    /// In the From header.
    From(String),
    /// In the To header.
    To(String),
    /// In the Subject header.
    Subject(String),
    /// In a header of this name; an empty value asks for the header's presence.
    Header {
        /// The header's name, compared without case.
        name: String,
        /// What it contains.
        value: String,
    },
    /// In the body.
    Body(String),
    /// In header or body.
    Text(String),
    /// INTERNALDATE earlier than the day.
    Before(Day),
    /// INTERNALDATE within the day.
    On(Day),
    /// INTERNALDATE within or later than the day.
    Since(Day),
    /// The Date header's day is earlier.
    SentBefore(Day),
    /// The Date header's day is this.
    SentOn(Day),
    /// The Date header's day is this or later.
    SentSince(Day),
    /// SAVEDATE earlier than the day (RFC 8514 section 4.2).
    SavedBefore(Day),
    /// SAVEDATE within the day.
    SavedOn(Day),
    /// SAVEDATE within or later than the day.
    SavedSince(Day),
    /// INTERNALDATE at least this many seconds ago (RFC 5032).
    Older(u32),
    /// INTERNALDATE at most this many seconds ago (RFC 5032).
    Younger(u32),
    /// The mailbox keeps SAVEDATE (RFC 8514 section 4.3): every message, since all of ours do.
    SaveDateSupported,
    /// More octets than this.
    Larger(u64),
    /// Fewer octets than this.
    Smaller(u64),
    /// MODSEQ at least this (RFC 7162 section 3.1.5). The entry name and type
    /// that a client may give select nothing here: one MODSEQ serves all metadata.
    ModSeq(ModSeq),
    /// This EMAILID (RFC 8474 section 6); text that reads as no id matches nothing.
    EmailId(String),
    /// This THREADID.
    ThreadId(String),
}

impl SearchKey {
    /// Whether any part of it is `matching`; depth is bounded by the grammar.
    pub fn any(&self, matching: &impl Fn(&SearchKey) -> bool) -> bool {
        matching(self)
            || match self {
                Self::And(keys) => keys.iter().any(|key| key.any(matching)),
                Self::Or(left, right) => left.any(matching) || right.any(matching),
                Self::Not(key) | Self::Fuzzy(key) => key.any(matching),
                _ => false,
            }
    }

    /// Whether MODSEQ is searched: the answer then has the highest MODSEQ found
    /// (RFC 7162 section 3.1.5), and the session is aware of CONDSTORE.
    pub fn asks_modseq(&self) -> bool {
        self.any(&|key| matches!(key, Self::ModSeq(_)))
    }
}
