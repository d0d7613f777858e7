//! What FETCH asks for (RFC 9051 section 6.4.5).

use std::num::{NonZeroU32, NonZeroU64};

/// A data item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FetchItem {
    /// BODY: the structure without extension data.
    Body,
    /// BODYSTRUCTURE
    BodyStructure,
    /// ENVELOPE
    Envelope,
    /// FLAGS
    Flags,
    /// INTERNALDATE
    InternalDate,
    /// RFC822: answered under this name; sets `\Seen`.
    Rfc822,
    /// RFC822.HEADER: answered under this name; does not set `\Seen`.
    Rfc822Header,
    /// RFC822.SIZE
    Rfc822Size,
    /// RFC822.TEXT: answered under this name; sets `\Seen`.
    Rfc822Text,
    /// UID
    Uid,
    /// MODSEQ (RFC 7162)
    ModSeq,
    /// EMAILID (RFC 8474)
    EmailId,
    /// THREADID (RFC 8474)
    ThreadId,
    /// SAVEDATE (RFC 8514)
    SaveDate,
    /// `BODY[…]<…>` and `BODY.PEEK[…]<…>`
    Section {
        /// Which part.
        section: Section,
        /// Only these octets of it.
        partial: Option<Partial>,
        /// `.PEEK`: `\Seen` is not set.
        peek: bool,
    },
}

impl FetchItem {
    /// Whether `\Seen` is set by asking for it.
    pub fn sets_seen(&self) -> bool {
        matches!(self, Self::Rfc822 | Self::Rfc822Text | Self::Section { peek: false, .. })
    }
}

/// A part of a message: `[1.2.HEADER.FIELDS (Date)]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Section {
    /// The part's numbers; none for the message itself.
    pub part: Vec<NonZeroU32>,
    /// What of the part; `None` is all of it (its body, or with no numbers the whole message).
    pub text: Option<SectionText>,
}

/// What of a part.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SectionText {
    /// HEADER: of the message, or of the message in the part.
    Header,
    /// HEADER.FIELDS: names as written, for the echo; compared without case.
    HeaderFields(Vec<String>),
    /// HEADER.FIELDS.NOT
    HeaderFieldsNot(Vec<String>),
    /// TEXT
    Text,
    /// MIME: the part's own header; only with numbers.
    Mime,
}

/// `<first.count>`; the answer echoes `<first>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Partial {
    /// The first octet, from 0.
    pub first: u64,
    /// At most so many.
    pub count: NonZeroU64,
}
