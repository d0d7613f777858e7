//! The command and its arguments, but those that fill files of their own.

use std::fmt;

use redoubt_log::id::{ModSeq, Timestamp};
use redoubt_log::record::{FlagChange, SpecialUse};

use super::{
    FetchItem, FlagList, List, ListPattern, MailboxName, MessageSet, PartialRange, Search, Select,
    Sort, StatusItems, Thread,
};
use crate::imap::frame::Literal;

/// What a client calls its command; repeated in the tagged response.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(String);

impl Tag {
    /// `None` when the text is no tag (RFC 9051 section 9).
    pub fn new(text: &str) -> Option<Self> {
        let good = |byte: u8| crate::imap::chars::is_tag_char(byte);
        (!text.is_empty() && text.bytes().all(good)).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One command with its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaggedCommand {
    /// The tag.
    pub tag: Tag,
    /// The command.
    pub command: Command,
}

/// What the numbers of a command are (RFC 9051 section 6.4.9), and those of its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Numbering {
    /// Message sequence numbers.
    Sequence,
    /// UIDs: the command came with `UID` before it.
    Uid,
}

/// A command of RFC 9051 section 6, RFC 3501 section 6 or an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    // -------------------------------------------------------- in any state
    /// CAPABILITY
    Capability,
    /// NOOP
    Noop,
    /// LOGOUT
    Logout,
    /// ID (RFC 2971): the client's fields in order; none for `NIL`.
    Id(Vec<IdField>),
    // ---------------------------------------------------- not authenticated
    /// STARTTLS
    StartTls,
    /// AUTHENTICATE
    Authenticate(Authenticate),
    /// LOGIN
    Login(Login),
    // -------------------------------------------------------- authenticated
    /// ENABLE (RFC 5161)
    Enable(Vec<Enable>),
    /// SELECT and EXAMINE
    Select(Select),
    /// CREATE, with USE (RFC 6154 section 3)
    Create {
        /// Which name; a trailing separator is gone.
        mailbox: MailboxName,
        /// The uses asked for.
        uses: Vec<CreateUse>,
    },
    /// DELETE
    Delete(MailboxName),
    /// RENAME
    Rename {
        /// Its name now.
        from: MailboxName,
        /// Its name from now on.
        to: MailboxName,
    },
    /// SUBSCRIBE
    Subscribe(MailboxName),
    /// UNSUBSCRIBE
    Unsubscribe(MailboxName),
    /// LIST (RFC 5258)
    List(List),
    /// LSUB (RFC 3501 section 6.3.9)
    Lsub {
        /// The reference, decoded; it may be empty.
        reference: String,
        /// The pattern.
        pattern: ListPattern,
    },
    /// NAMESPACE (RFC 2342)
    Namespace,
    /// STATUS
    Status {
        /// Of which mailbox.
        mailbox: MailboxName,
        /// What is asked for.
        items: StatusItems,
    },
    /// APPEND up to its literal; see [`crate::imap::frame::Frame::Append`].
    Append(Append),
    /// IDLE (RFC 2177); DONE follows as a line of its own.
    Idle,
    // ------------------------------------------------------------- selected
    /// CHECK (RFC 3501)
    Check,
    /// CLOSE
    Close,
    /// UNSELECT (RFC 3691)
    Unselect,
    /// EXPUNGE, or UID EXPUNGE (RFC 4315) with its UIDs
    Expunge {
        /// Only these; `None` for EXPUNGE.
        uids: Option<MessageSet>,
    },
    /// SEARCH and UID SEARCH
    Search(Search),
    /// SORT and UID SORT (RFC 5256)
    Sort(Sort),
    /// THREAD and UID THREAD (RFC 5256)
    Thread(Thread),
    /// FETCH and UID FETCH
    Fetch(Fetch),
    /// STORE and UID STORE
    Store(Store),
    /// COPY and UID COPY
    Copy(Copy),
    /// MOVE and UID MOVE (RFC 6851)
    Move(Copy),
}

/// What must not be printed: Debug does not show it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// AUTHENTICATE (RFC 9051 section 6.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticate {
    /// The SASL mechanism's name, in upper case.
    pub mechanism: String,
    /// The initial response (RFC 4959), decoded; `=` is an empty one.
    pub initial: Option<Secret>,
}

/// LOGIN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password's octets.
    pub password: Secret,
}

/// What ENABLE asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enable {
    /// CONDSTORE (RFC 7162)
    CondStore,
    /// QRESYNC (RFC 7162); enables CONDSTORE too
    Qresync,
    /// IMAP4rev2 (RFC 9051)
    Imap4Rev2,
    /// UTF8=ACCEPT (RFC 6855)
    Utf8Accept,
    /// Anything else, in upper case: ignored without error (RFC 5161 section 3.1).
    Other(String),
}

/// A field of ID: its name, and its value if it is not `NIL`. Lossy where it is not UTF-8.
pub type IdField = (String, Option<String>);

/// A use asked for by CREATE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateUse {
    /// One that mailboxes can have here.
    Known(SpecialUse),
    /// Another attribute, as written (`\All`): answered with `NO [USEATTR]` (RFC 6154 section 3).
    Other(String),
}

/// APPEND (RFC 9051 section 6.3.12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Into which mailbox.
    pub mailbox: MailboxName,
    /// The first message; MULTIAPPEND's others come after its literal.
    pub item: AppendItem,
}

/// What stands before a message's literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendItem {
    /// Flags from the start.
    pub flags: FlagList,
    /// INTERNALDATE, to the second; `None` is now.
    pub date: Option<Timestamp>,
    /// The literal that follows.
    pub literal: Literal,
}

/// FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// What the set's numbers are; with UIDs the answers have UID in any case.
    pub numbering: Numbering,
    /// Of which messages.
    pub set: MessageSet,
    /// What, as asked, each once; `ALL`, `FAST` and `FULL` are written out.
    pub items: Vec<FetchItem>,
    /// CHANGEDSINCE (RFC 7162 section 3.1.4.1): the answers have MODSEQ then.
    pub changed_since: Option<ModSeq>,
    /// VANISHED (RFC 7162 section 3.2.6): only with UIDs and CHANGEDSINCE.
    pub vanished: bool,
    /// PARTIAL (RFC 9394 section 3.3): of the messages that it would be, only these.
    pub partial: Option<PartialRange>,
}

/// STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// What the set's numbers are.
    pub numbering: Numbering,
    /// Of which messages.
    pub set: MessageSet,
    /// UNCHANGEDSINCE (RFC 7162 section 3.1.3); 0 is never true of a message.
    pub unchanged_since: Option<ModSeq>,
    /// How.
    pub how: FlagChange,
    /// `.SILENT`
    pub silent: bool,
    /// Which flags.
    pub flags: FlagList,
}

/// COPY or MOVE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What the set's numbers are.
    pub numbering: Numbering,
    /// Which messages.
    pub set: MessageSet,
    /// Where to.
    pub mailbox: MailboxName,
}
