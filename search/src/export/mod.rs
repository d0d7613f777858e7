//! Exports: emails as they are, with what proves where they come from.
//!
//! An export is written beside its place and renamed into it when all of it is on the disk: a
//! folder of that name is a whole export. `manifest.json` says what was asked and what came of
//! it, `files.jsonl` lists every other file with its hashes, `emails.jsonl` every email;
//! `proof/head.txt` is a signed head of the log, and `proof/records.jsonl` has the emails'
//! records, and that which names the manifest's hash, each with its way to that head's root.
//! docs/format.md, "Exports".

mod brought;
mod dat;
mod files;
mod item;
mod list;
mod manifest;
mod mbox;
mod publish;
mod text;
mod verify;
mod write;

pub use brought::brings;
pub use files::{Digests, FileLine};
pub use item::{Envelope, Expunged, Item, PartLine};
pub use manifest::{About, Counts, FORMAT, Manifest, VERSION};
pub use publish::{Closed, Whole};
pub use text::{AttachmentText, NoText, Text};
pub use verify::{Report, Trust, Verdict, verify};
pub use write::{Export, partial};

use std::path::Path;

use serde::{Deserialize, Serialize};

/// How emails are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A file for each email, and one beside it that says what it is.
    Eml,
    /// An mbox file (mboxrd) for each account.
    Mbox,
    /// A Concordance load file with natives and texts.
    Dat,
    /// The list alone.
    Csv,
}

/// Why an export is not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The disk's answer.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: String,
        /// The system's answer.
        error: std::io::Error,
    },
    /// The place is taken.
    #[error("{0} is there already: name a folder that is not there")]
    Exists(String),
    /// A line or text that cannot be written.
    #[error("{0}")]
    Text(String),
}

impl ExportError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |error| Self::Io { path, error }
    }
}

impl From<serde_json::Error> for ExportError {
    fn from(error: serde_json::Error) -> Self {
        Self::Text(error.to_string())
    }
}
