//! Text of attachments: extracted once for each content, kept on this node, derived.
//!
//! What is kept lies in `index/texts` of the shard and may be removed at any time. A text is
//! named by the hash of the octets it was made of, so that a document that many mails and users
//! have is extracted once; where a part is a blob of its own, that hash is its id.

mod cache;
mod fill;
mod parts;
mod sweep;

use std::fmt::Debug;
use std::sync::Arc;

use redoubt_extract::{Extracted, PoolError};
use redoubt_log::id::{BlobId, LogIndex};
use redoubt_store::mailstore::StoreError;
use redoubt_store::mime::Part;
use thiserror::Error;

pub use cache::CacheError;
pub use fill::{Options, TextStats, TextStore};
pub use parts::{Attachment, attachments, document};

/// A text was not to be had.
#[derive(Debug, Error)]
pub enum TextsError {
    /// The message cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No worker reads it.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// What was extracted cannot be kept.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The text of one attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartText {
    /// Its number (RFC 9051 section 6.4.5.1), for `Parsed::part`.
    pub number: Vec<u32>,
    /// What was extracted.
    pub extracted: Arc<Extracted>,
}

/// How much of a message's attachments could be read: `indexed:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Indexed {
    /// All text that there is; also where there are no attachments.
    All,
    /// Of some attachment only a part.
    Partial,
    /// Of some attachment nothing: it failed, is encrypted, or was not tried yet.
    None,
}

impl Indexed {
    /// Of what [`Texts::of`] answered.
    pub fn of(texts: Option<&[PartText]>) -> Self {
        use redoubt_extract::Status;
        let Some(texts) = texts else { return Self::None };
        let each = texts.iter().map(|text| match text.extracted.status {
            Status::Ok | Status::Skipped => Self::All,
            Status::Partial => Self::Partial,
            Status::Failed | Status::Encrypted => Self::None,
        });
        each.max().unwrap_or(Self::All)
    }
}

/// Where texts of attachments come from.
///
/// Attachments are what [`attachments`] names: all parts that are not the message's own text.
pub trait Texts: Debug + Send + Sync {
    /// The texts of all attachments of a message, in its order; none for a message without
    /// attachments. `None` while some were not tried yet, or are no longer kept. Blocks on files.
    ///
    /// # Errors
    /// The message cannot be read.
    fn of(&self, message: &BlobId) -> Result<Option<Vec<PartText>>, TextsError>;
    /// The same, extracted now where it is not there. Blocks as long as that takes, which is
    /// bounded for each attachment.
    ///
    /// # Errors
    /// The message cannot be read, or no worker can be started.
    fn now(&self, message: &BlobId) -> Result<Vec<PartText>, TextsError>;
    /// Shows what was extracted of each attachment, one in memory at a time where that can be.
    /// `false` where [`Texts::of`] answers `None`; some were shown then. Blocks on files.
    ///
    /// # Errors
    /// The message cannot be read.
    fn each(&self, message: &BlobId, look: &mut dyn FnMut(&Extracted)) -> Result<bool, TextsError> {
        let texts = self.of(message)?;
        texts.iter().flatten().for_each(|text| look(&text.extracted));
        Ok(texts.is_some())
    }
    /// Attachments of everything up to this entry of the log were tried; `None` while nobody
    /// follows it.
    fn position(&self) -> Option<LogIndex> {
        None
    }
    /// The text of one part whose octets are at hand, their transfer encoding undone; extracted
    /// now where it is not there. Blocks.
    ///
    /// # Errors
    /// No worker can be started.
    fn of_octets(&self, part: &Part, octets: &[u8]) -> Result<Arc<Extracted>, TextsError>;
}

/// Texts where extraction is off: nothing was ever tried.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTexts;

impl Texts for NoTexts {
    fn of(&self, _: &BlobId) -> Result<Option<Vec<PartText>>, TextsError> {
        Ok(None)
    }
    fn now(&self, _: &BlobId) -> Result<Vec<PartText>, TextsError> {
        Err(TextsError::Pool(PoolError::Closed))
    }
    fn of_octets(&self, _: &Part, _: &[u8]) -> Result<Arc<Extracted>, TextsError> {
        Err(TextsError::Pool(PoolError::Closed))
    }
}
