//! SELECT and EXAMINE with their parameters (RFC 7162).

use redoubt_log::id::{ModSeq, UidValidity};

use super::{MailboxName, SequenceSet};

/// SELECT or EXAMINE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// Which mailbox.
    pub mailbox: MailboxName,
    /// EXAMINE: nothing of it can be changed.
    pub read_only: bool,
    /// `(CONDSTORE)` (RFC 7162 section 3.1.8)
    pub condstore: bool,
    /// `(QRESYNC (…))` (RFC 7162 section 3.2.5); BAD unless QRESYNC was enabled.
    pub qresync: Option<Qresync>,
}

/// What the client knows of the mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qresync {
    /// The last UIDVALIDITY; when it is another now, the rest is ignored.
    pub uid_validity: UidValidity,
    /// The last MODSEQ; at least 1.
    pub mod_seq: ModSeq,
    /// The UIDs that it knows; `None` is all. Has no `*`.
    pub known_uids: Option<SequenceSet>,
    /// A match of sequence numbers and UIDs (RFC 7162 section 3.2.5.2).
    pub sequence_match: Option<SequenceMatch>,
}

/// Sequence numbers and their UIDs as the client has them, pair by pair, both
/// rising, without `*`, of one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceMatch {
    /// Sequence numbers.
    pub numbers: SequenceSet,
    /// UIDs.
    pub uids: SequenceSet,
}
