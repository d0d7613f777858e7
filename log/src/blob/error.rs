//! What can go wrong with blobs.

use std::io;
use std::sync::Arc;

use crate::id::BlobId;

/// An error of the blob store. Clones go to everyone who waited for one sync.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BlobError {
    /// No such blob here.
    #[error("blob {0} is not here")]
    Missing(BlobId),
    /// Octets in a pack do not fit their checksum or hash. Never cut away.
    #[error("pack {pack} is damaged at offset {offset}{}: {what}; restore the pack from a backup or a peer", named(.blob))]
    Damaged {
        /// The pack's file name.
        pack: String,
        /// The offset of the frame in it.
        offset: u64,
        /// Whose octets, where that is known.
        blob: Option<BlobId>,
        /// What does not fit.
        what: String,
    },
    /// A blob that a message's recipe names is not here or damaged.
    #[error("blob {blob} cannot be put together: {cause}")]
    Part {
        /// The message.
        blob: BlobId,
        /// What is wrong with its part.
        cause: Box<BlobError>,
    },
    /// What another store sent is not the blob that it claims to be.
    #[error("what came for blob {blob} is not it: {what}")]
    Foreign {
        /// The blob that it was to be.
        blob: BlobId,
        /// What does not fit.
        what: String,
    },
    /// No room; nothing was stored, and it works again once there is room.
    #[error("no room on the disk for a blob of {len} octets")]
    DiskFull {
        /// Octets that were to be stored.
        len: u64,
    },
    /// The blob is longer than the caller wanted to read at once.
    #[error("blob {blob} has {len} octets, more than the {limit} asked for")]
    TooLong {
        /// Which.
        blob: BlobId,
        /// Its octets.
        len: u64,
        /// Octets allowed.
        limit: u64,
    },
    /// A write or sync failed: nothing more is taken until the node starts again.
    #[error("the blob store has stopped after a failed write: {0}; check the disk, then restart")]
    Poisoned(String),
    /// The index, a cache, cannot be read.
    #[error("the blob index cannot be read: {0}; stop the node and remove blobs/index")]
    Index(String),
    /// A file could not be read or opened.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: String,
        /// The system's error.
        error: Arc<io::Error>,
    },
}

fn named(blob: &Option<BlobId>) -> String {
    blob.map(|id| format!(" (blob {id})")).unwrap_or_default()
}
