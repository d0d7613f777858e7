//! What can go wrong with a log, with what to do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::LogId;
use crate::id::LogIndex;

/// Why a log was not opened, written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The system refused.
    #[error("{}: cannot {action}: {source}", file.display())]
    Io {
        /// Which file or folder.
        file: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// Nothing was written; the log is as it was before and goes on once there is room.
    #[error("{}: the disk is full: free some space or enlarge the disk", file.display())]
    StorageFull {
        /// Which file was to grow or to be made.
        file: PathBuf,
    },
    /// Bytes that were synced do not read back.
    #[error(
        "{}: damaged at offset {offset}: {what}; nothing was changed: \
         repair this shard from a peer or a backup", file.display()
    )]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// What is wrong, and what proves that this is no torn write.
        what: String,
    },
    /// A segment is not there.
    #[error(
        "{}: missing: {what}; nothing was changed: put the file back, or repair this shard \
         from a peer or a backup", file.display()
    )]
    Missing {
        /// Which file.
        file: PathBuf,
        /// Why it must have been there.
        what: String,
    },
    /// A newer program wrote it.
    #[error(
        "{}: written in format {found}, this program knows up to {known}: run a newer version",
        file.display()
    )]
    NewerFormat {
        /// Which file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// A write or sync failed earlier; the log takes and gives nothing until it is opened anew.
    #[error("the log is stopped since an earlier failure: {reason}")]
    Poisoned {
        /// That failure.
        reason: Arc<str>,
    },
    /// [`super::SegmentLog::close`] was called.
    #[error("the log is closed")]
    Closed,
    /// The entry does not follow on the last one.
    #[error("entry {found} does not follow on {last:?}")]
    NotConsecutive {
        /// The last entry.
        last: Option<LogId>,
        /// The one that was to be appended.
        found: LogId,
    },
    /// The entry or vote is larger than any may be.
    #[error("{bytes} bytes are more than the {max} that fit")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Another log has another chain there: one of the two is damaged.
    #[error(
        "entry {id} came with another chain than this log has: one of the two is damaged; \
         nothing was changed. Compare both with a third node, remove the wrong one and join it \
         again under a new id"
    )]
    OtherChain {
        /// The entry.
        id: LogId,
    },
    /// There is no such entry.
    #[error("entry {id} is not in the log")]
    NoSuchEntry {
        /// The one that was named.
        id: LogId,
    },
    /// The entry is gone.
    #[error("entry {index} was purged: the log begins behind {purged}")]
    Purged {
        /// The one asked for.
        index: LogIndex,
        /// The last purged one.
        purged: LogId,
    },
    /// The entry is not there yet.
    #[error("entry {index} is behind the end of the log {last:?}")]
    Beyond {
        /// The one asked for.
        index: LogIndex,
        /// The last there is.
        last: Option<LogId>,
    },
}
