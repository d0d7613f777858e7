//! Mail on disk as other programs keep it: mbox, Maildir (with Dovecot's
//! uidlist), trees of EML files. Only reading; `cmd/import.rs` sends it on.

pub mod maildir;
pub mod mbox;
pub mod source;
pub mod tree;
pub mod uidlist;

use std::path::PathBuf;

use redoubt_log::id::Timestamp;
use redoubt_log::record::Flags;

pub use source::{Source, detect};

/// One message to import, not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The mailbox it belongs into, `/` between levels.
    pub mailbox: String,
    /// Where its octets lie.
    pub place: Place,
    /// Flags.
    pub flags: Flags,
    /// Keywords.
    pub keywords: Vec<String>,
    /// INTERNALDATE; `None` for the one in its header or the file's time.
    pub received: Option<Timestamp>,
    /// The UID it had.
    pub uid: Option<u32>,
}

/// Where a message's octets lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A whole file.
    File(PathBuf),
    /// A part of an mbox file, `>From ` still quoted.
    Mbox {
        /// The file.
        path: PathBuf,
        /// The first octet behind the From_ line.
        start: u64,
        /// How many, without the blank line that ends it.
        len: u64,
    },
}

impl Place {
    /// A name for reports, unique in the source.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Mbox { path, start, .. } => format!("{}@{start}", path.display()),
        }
    }
}

/// A message that could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unreadable {
    /// Where it is.
    pub place: String,
    /// Why.
    pub reason: String,
}
