//! IMAP SEARCH (RFC 9051 section 6.4.4, RFC 3501 section 6.4.4): what is asked,
//! and by scan what matches. The grammar that makes the keys lies in protocols;
//! an index will name candidates, and this confirms them.
//!
//! Strings are searched as substrings under i;unicode-casemap (RFC 5051), in
//! decoded text: header fields unfolded and RFC 2047 decoded, bodies without
//! transfer encoding and charset, HTML by its text. TEXT looks into the headers
//! of all parts and nested messages, and into bodies; BODY only into bodies.
//! Line breaks stay: a word cut by one is not found whole.
//!
//! SORT and THREAD (RFC 5256) put what was found into its order.

mod casemap;
mod evaluate;
mod fuzzy;
mod key;
mod query;
mod relevancy;
mod scripts;
mod set;
mod sheet;
mod sort;
mod texts;
mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use redoubt_log::id::{BlobId, ModSeq, Uid};

use crate::mailstore::{Mailstore, StoreError};
use crate::mime::Parsed;
use crate::view::Placement;

pub use casemap::casemap;
pub use fuzzy::Word as FuzzyWord;
pub use key::{Day, SearchKey};
pub use query::{Hints, Leaf, NoHints, Outline, Query, Scope};
pub use scripts::stands_alone;
pub use set::{SequenceSet, SetNumber, SetRange};
pub(crate) use sheet::Shelf;
pub use sheet::{Facts, Head, MAX_SORT_TEXT, SharedSheet, Sheet, ranked};
pub use sort::{SortCriterion, SortKey};
pub use texts::{Named, Place, texts};
pub use thread::{Forest, Step, ThreadAlgorithm, Walk};

/// Where messages are read from.
pub trait Reader {
    /// A message taken apart, from the cache where it is there. Blocks.
    ///
    /// # Errors
    /// When it cannot be read.
    fn parsed(&self, blob: &BlobId) -> Result<Arc<Parsed>, StoreError>;
    /// A message's octets. Blocks.
    ///
    /// # Errors
    /// When it cannot be read.
    fn content(&self, blob: &BlobId) -> Result<Bytes, StoreError>;
}

/// For queries that open no messages.
#[derive(Debug, Clone, Copy)]
pub struct NoReader;

impl Reader for NoReader {
    fn parsed(&self, _: &BlobId) -> Result<Arc<Parsed>, StoreError> {
        Err(StoreError::Stopped("a message was asked for where none is read".into()))
    }
    fn content(&self, blob: &BlobId) -> Result<Bytes, StoreError> {
        self.parsed(blob).map(|_| Bytes::new())
    }
}

impl Reader for Mailstore {
    fn parsed(&self, blob: &BlobId) -> Result<Arc<Parsed>, StoreError> {
        Mailstore::parsed(self, blob)
    }
    fn content(&self, blob: &BlobId) -> Result<Bytes, StoreError> {
        self.blob(blob)
    }
}

/// A message that may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its standing in the mailbox.
    pub placement: Placement,
    /// Its message sequence number.
    pub sequence: u32,
    /// Whether it is `\Recent` in the session (RFC 3501).
    pub recent: bool,
}

/// A message that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// Its UID.
    pub uid: Uid,
    /// Its message sequence number.
    pub sequence: u32,
    /// Its MODSEQ, for RFC 7162 section 3.1.5's answer.
    pub modseq: ModSeq,
}

/// A search gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SearchError {
    /// The cancellation flag was set.
    #[error("the search was cancelled")]
    Cancelled,
    /// A message cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What messages say of themselves is more than is sorted or threaded at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the messages' headers are too much to be sorted or threaded at one time")]
pub struct TooMuch;

/// The candidates that match, in their order. Blocks: call it on the blocking
/// pool, with as many candidates at a time as one piece shall be; `cancel` is
/// looked at before each of them.
///
/// # Errors
/// [`SearchError::Cancelled`], or when candidates or messages cannot be read.
pub fn search(
    reader: &impl Reader,
    candidates: impl IntoIterator<Item = Result<Candidate, StoreError>>,
    query: &Query,
    cancel: &AtomicBool,
) -> Result<Vec<Match>, SearchError> {
    let mut found = Vec::new();
    for candidate in candidates {
        if cancel.load(Ordering::Relaxed) {
            return Err(SearchError::Cancelled);
        }
        let candidate = candidate?;
        if query.matches(reader, &candidate)? {
            let Placement { uid, modseq, .. } = candidate.placement;
            found.push(Match { uid, sequence: candidate.sequence, modseq });
        }
    }
    Ok(found)
}
