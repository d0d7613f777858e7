//! Commands as values: what a client said, with nothing left to read.

mod command;
mod fetch;
mod mailbox;
mod search;
mod select;

pub use command::{
    Append, AppendItem, Authenticate, Command, Copy, CreateUse, Enable, Fetch, IdField, Login,
    Numbering, Secret, Store, Tag, TaggedCommand,
};
pub use fetch::{FetchItem, Partial, Section, SectionText};
pub use mailbox::{
    List, ListPattern, ListReturn, ListSelection, MailboxName, StatusItem, StatusItems,
};
pub use redoubt_store::search::{
    Day, SearchKey, SequenceSet, SetNumber, SetRange, SortCriterion, SortKey, ThreadAlgorithm,
};
pub use search::{MessageSet, PartialRange, Search, SearchReturn, Sort, Thread};
pub use select::{Qresync, Select, SequenceMatch};

use redoubt_log::record::{Flags, Keyword};

/// Flags as a client gives them (RFC 9051 section 2.3.2); `\Recent` cannot be given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlagList {
    /// System flags.
    pub flags: Flags,
    /// Keywords, each once, without case in ASCII; as first written.
    pub keywords: Vec<Keyword>,
}
