//! The log of a shard: append-only segment files, group commit, recovery.
//!
//! One ordered stream of frames (entry, vote, committed, truncate, purge, reset,
//! seal) in files of 64 MiB; docs/format.md, "Segments", has it byte by byte.
//!
//! Invariants: a batch is written only after the one before it was synced; what
//! is behind the last batch of the newest segment is zero; a segment is sealed
//! only when the next one exists; only the last batch of the last segment may
//! ever be cut, and only if nothing valid follows.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::chain::Head;
use crate::disk::Disk;
use crate::id::{Hash, LogIndex, Term};

mod error;
mod types;

pub use error::LogError;
pub use types::{
    BATCH_BUCKETS, Cut, Done, EntryKind, LATENCY_BUCKETS_US, LogEntry, LogId, NewEntry, Recovered,
    Reserve, SegmentOptions, SegmentStats,
};

/// A shard's log. Clones share it; when the last one goes, what is queued is
/// still written and synced.
#[derive(Debug, Clone)]
pub struct SegmentLog {}

impl SegmentLog {
    /// Opens the log in `dir`, or makes an empty one, and recovers it. Blocks.
    ///
    /// # Errors
    /// [`LogError::Damaged`] and [`LogError::Missing`] name the file, the offset
    /// and what to do; nothing was changed then.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: SegmentOptions,
    ) -> Result<(Self, Recovered), LogError> {
        todo!("{disk:?} {dir:?} {options:?}")
    }

    /// Appends entries, at least one, that follow on the last: readable at once, durable when
    /// `done` is called (on the writer's thread, in order; it must not block).
    ///
    /// # Errors
    /// Nothing was appended and `done` is dropped: not consecutive, too large,
    /// poisoned or closed.
    pub fn append(&self, entries: Vec<NewEntry>, done: Done) -> Result<(), LogError> {
        todo!("{} {}", entries.len(), std::mem::size_of_val(&done))
    }

    /// Keeps Raft's vote (opaque here, at most 4 KiB); `done` when it is durable.
    ///
    /// # Errors
    /// As [`SegmentLog::append`].
    pub fn save_vote(&self, vote: Bytes, done: Done) -> Result<(), LogError> {
        todo!("{vote:?} {}", std::mem::size_of_val(&done))
    }

    /// Notes how far the log is known to be committed. Written with the next
    /// batch or when idle, never synced for its own sake: after a crash it may be older.
    ///
    /// # Errors
    /// Poisoned or closed.
    pub fn save_committed(&self, committed: Option<LogId>) -> Result<(), LogError> {
        todo!("{committed:?}")
    }

    /// Drops the entries behind `last` (all of them for `None`); `done` when that is durable.
    ///
    /// # Errors
    /// As [`SegmentLog::append`]; also when `last` is not in the log.
    pub fn truncate_after(&self, last: Option<LogId>, done: Done) -> Result<(), LogError> {
        todo!("{last:?} {}", std::mem::size_of_val(&done))
    }

    /// Entries up to `upto` are not read any more, and segment files that hold
    /// nothing else are removed. `done` when that is durable.
    ///
    /// # Errors
    /// As [`SegmentLog::append`]; also when `upto` is not in the log: past its
    /// end, [`SegmentLog::reset`] is meant.
    pub fn purge(&self, upto: LogId, done: Done) -> Result<(), LogError> {
        todo!("{upto:?} {}", std::mem::size_of_val(&done))
    }

    /// The log goes on behind `last` with this head, as if all up to it had been
    /// appended and purged: a snapshot was installed. Removes no files.
    ///
    /// # Errors
    /// As [`SegmentLog::append`].
    pub fn reset(&self, last: LogId, head: Head, done: Done) -> Result<(), LogError> {
        todo!("{last:?} {head:?} {}", std::mem::size_of_val(&done))
    }

    /// The entries of a range, as many from its start as fit in `max_bytes` of
    /// payload, but at least one if the range is not empty. Every checksum and
    /// the chain are verified. May read files: blocks.
    ///
    /// # Errors
    /// [`LogError::Purged`], [`LogError::Beyond`]; [`LogError::Damaged`] stops the shard.
    pub fn read(
        &self,
        range: Range<LogIndex>,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, LogError> {
        todo!("{range:?} {max_bytes}")
    }

    /// The last entry, durable or not; the last purged one when nothing is behind it.
    pub fn last(&self) -> Option<LogId> {
        todo!()
    }

    /// The last entry that was purged or that a reset stands for.
    pub fn purged(&self) -> Option<LogId> {
        todo!()
    }

    /// The last entry that is durable on this disk.
    pub fn durable(&self) -> Option<LogId> {
        todo!()
    }

    /// What [`SegmentLog::save_committed`] said last.
    pub fn committed(&self) -> Option<LogId> {
        todo!()
    }

    /// What [`SegmentLog::save_vote`] said last.
    pub fn vote(&self) -> Option<Bytes> {
        todo!()
    }

    /// The term of an entry, without reading it where that is possible.
    ///
    /// # Errors
    /// As [`SegmentLog::read`].
    pub fn term_at(&self, index: LogIndex) -> Result<Term, LogError> {
        todo!("{index}")
    }

    /// The running chain after an entry: cheap near the end, one batch read elsewhere.
    /// The last purged entry has one too.
    ///
    /// # Errors
    /// As [`SegmentLog::read`].
    pub fn chain_at(&self, index: LogIndex) -> Result<Hash, LogError> {
        todo!("{index}")
    }

    /// Chain, time and tree after an entry: cheap near the end; elsewhere up to one segment
    /// is read.
    ///
    /// # Errors
    /// As [`SegmentLog::read`].
    pub fn head_at(&self, index: LogIndex) -> Result<Head, LogError> {
        todo!("{index}")
    }

    /// Why the log takes nothing any more, if a sync or write failed.
    pub fn poisoned(&self) -> Option<LogError> {
        todo!()
    }

    /// Whether the reserve (one segment and 5% of the disk) is there. Without it
    /// growth is refused; records that shrink and the system's own still pass.
    pub fn reserve(&self) -> Reserve {
        todo!()
    }

    /// Whether records that let the mail grow may be proposed.
    pub fn growth_allowed(&self) -> bool {
        self.reserve().growth_allowed()
    }

    /// Counters since the log was opened.
    pub fn stats(&self) -> SegmentStats {
        todo!()
    }

    /// Writes and syncs what is queued, marks the log as completely synced and
    /// ends the writer. Later calls fail with [`LogError::Closed`]. Blocks.
    ///
    /// # Errors
    /// The failure that poisoned the log.
    pub fn close(&self) -> Result<(), LogError> {
        todo!()
    }
}

/// The most bytes that an entry's payload may have.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;
/// The most bytes that a vote may have.
pub const MAX_VOTE_BYTES: usize = 4096;
