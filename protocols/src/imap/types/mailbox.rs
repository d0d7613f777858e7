//! Names, patterns, LIST and STATUS.

use std::fmt;

/// A mailbox's name in Unicode, already decoded from what the session speaks.
/// `INBOX` in any case is `INBOX`, as first level too. Not yet checked for what
/// the store allows (empty levels, NFC, length of levels).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MailboxName(String);

impl MailboxName {
    /// Takes a decoded name; INBOX in any case becomes `INBOX`.
    pub fn new(name: &str) -> Self {
        match name.get(..5) {
            Some(first) if first.eq_ignore_ascii_case("INBOX") => {
                let rest = name.get(5..).unwrap_or_default();
                let whole_level = rest.is_empty() || rest.starts_with('/');
                Self(if whole_level { format!("INBOX{rest}") } else { name.to_owned() })
            }
            _ => Self(name.to_owned()),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// CREATE's name may end with a separator, which is no part of it (RFC 9051 section 6.3.4).
    #[must_use]
    pub fn without_trailing_separator(self) -> Self {
        Self(self.0.strip_suffix('/').map_or_else(|| self.0.clone(), str::to_owned))
    }

    /// Whether it is the inbox.
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name with wildcards, decoded: `*` is anything, `%` anything but the separator.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListPattern(pub String);

/// LIST (RFC 5258, RFC 9051 section 6.3.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Which mailboxes.
    pub selection: ListSelection,
    /// The reference, decoded; it may be empty.
    pub reference: String,
    /// One or more patterns; an empty one asks for the separator when it is alone.
    pub patterns: Vec<ListPattern>,
    /// What about them.
    pub returns: ListReturn,
    /// Whether any of RFC 5258's syntax was used (options or a list of patterns).
    pub extended: bool,
}

/// LIST's selection options.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListSelection {
    /// SUBSCRIBED: subscribed names, those too that are no mailbox.
    pub subscribed: bool,
    /// REMOTE: has no effect here.
    pub remote: bool,
    /// RECURSIVEMATCH: parents of what matches too, with CHILDINFO. Only with another option.
    pub recursive_match: bool,
    /// SPECIAL-USE (RFC 6154): only mailboxes with a use.
    pub special_use: bool,
}

/// LIST's return options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListReturn {
    /// SUBSCRIBED
    pub subscribed: bool,
    /// CHILDREN
    pub children: bool,
    /// SPECIAL-USE (RFC 6154)
    pub special_use: bool,
    /// STATUS (RFC 5819)
    pub status: Option<StatusItems>,
}

/// A status data item (RFC 9051 section 6.3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusItem {
    /// MESSAGES
    Messages,
    /// RECENT (RFC 3501)
    Recent,
    /// UIDNEXT
    UidNext,
    /// UIDVALIDITY
    UidValidity,
    /// UNSEEN
    Unseen,
    /// DELETED (RFC 9051)
    Deleted,
    /// SIZE (RFC 8438)
    Size,
    /// HIGHESTMODSEQ (RFC 7162)
    HighestModSeq,
    /// MAILBOXID (RFC 8474)
    MailboxId,
}

/// One or more, each once, as asked.
pub type StatusItems = Vec<StatusItem>;
