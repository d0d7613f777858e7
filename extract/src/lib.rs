//! Text out of documents: octets of one part in, text and a status out.
//!
//! Imports nothing of Redoubt. What parses hostile octets runs in a process of its own: [`Pool`]
//! is the parent's side, [`worker::main`] the child's. docs/extraction.md says what is read, by
//! what, and within which limits.

mod decode;
mod formats;
mod gather;
mod process;
mod sniff;

pub use formats::extract;
pub use process::{Counts, InForce, Options, Pool, PoolError, Room, worker};
pub use sniff::class;

/// What the readers make of a document may differ between two of these: what was kept under
/// another is extracted again.
pub const VERSION: u32 = 2;

/// What came of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// All text that there is was read.
    Ok = 0,
    /// Nothing was read, for there is no text in what it is: a picture, sound, a signature.
    Skipped = 1,
    /// Some text was read, and some may be missing.
    Partial = 2,
    /// It, or all that is in it, needs a password.
    Encrypted = 3,
    /// Nothing could be read: damaged, of an unknown kind, or beyond a limit.
    Failed = 4,
}

impl Status {
    /// All of them, as they are numbered.
    pub const ALL: [Self; 5] =
        [Self::Ok, Self::Skipped, Self::Partial, Self::Encrypted, Self::Failed];

    /// By its number.
    pub fn from_octet(octet: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as u8 == octet)
    }

    /// Its name in listings and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Partial => "partial",
            Self::Encrypted => "encrypted",
            Self::Failed => "failed",
        }
    }

    /// Whether no text may be missing.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Ok | Self::Skipped)
    }
}

/// The text of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// What came of it.
    pub status: Status,
    /// What was read, with the names of an archive's members.
    pub text: String,
    /// Why it is not all.
    pub why: Option<String>,
    /// Whether a bound of the process ended it (time, memory, a largest size): another try may
    /// read more. All else comes out alike each time.
    pub stopped: bool,
}

impl Extracted {
    /// One of which nothing was read.
    pub fn failed(why: impl Into<String>) -> Self {
        let why = Some(why.into());
        Self { status: Status::Failed, text: String::new(), why, stopped: false }
    }

    /// One of which a bound of the process kept everything back.
    pub fn stopped(why: impl Into<String>) -> Self {
        Self { stopped: true, ..Self::failed(why) }
    }
}

/// What a message says of a part. Octets that tell for themselves what they are win over it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// `type/subtype`, in any case; empty when nothing was said.
    pub media_type: String,
    /// The file's name; empty when there is none.
    pub name: String,
    /// The charset parameter; empty when there is none.
    pub charset: String,
}

/// What bounds the reading of one document, beside the process's own limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of text.
    pub text: u64,
    /// Octets that archives and compressed documents may expand to, all levels together.
    pub expanded: u64,
    /// How many times its own size a document may expand to, above [`FREE_EXPANSION`].
    pub ratio: u64,
    /// Archives in archives.
    pub depth: u32,
    /// Members of archives, all levels together.
    pub members: u32,
}

/// Octets to which any document may expand, however small it is.
pub const FREE_EXPANSION: u64 = 16 * 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            text: 8 * 1024 * 1024,
            expanded: 128 * 1024 * 1024,
            ratio: 100,
            depth: 12,
            members: 10_000,
        }
    }
}

/// As many whole characters from the beginning as fit into so many octets.
pub fn cut(text: &str, octets: usize) -> &str {
    let end = (0..=octets.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
