//! The values that go into and come out of a log.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::LogError;
use crate::id::{Hash, LogIndex, Term, Timestamp};

/// Called once when something is durable or has failed, on the writer's thread:
/// it must not block.
pub type Done = Box<dyn FnOnce(Result<(), LogError>) + Send>;

/// What names an entry.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct LogId {
    /// The term in which it was proposed.
    pub term: Term,
    /// Its position.
    pub index: LogIndex,
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.term, self.index)
    }
}

/// What an entry's payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// Nothing: a new leader's first entry.
    Blank = 0,
    /// The members of the Raft group, opaque here.
    Membership = 1,
    /// A salt of 16 bytes and an encoded record.
    Record = 2,
}

impl EntryKind {
    /// From its number in the files.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Blank, Self::Membership, Self::Record].into_iter().find(|k| *k as u8 == number)
    }
}

/// An entry to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// Its id; the index follows on the last entry's.
    pub id: LogId,
    /// What its payload is.
    pub kind: EntryKind,
    /// The leader's clock.
    pub stamp: Timestamp,
    /// At most [`super::MAX_PAYLOAD_BYTES`].
    pub payload: Bytes,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its id.
    pub id: LogId,
    /// What its payload is.
    pub kind: EntryKind,
    /// The effective time: the stamp, but never before the previous entry's time.
    pub time: Timestamp,
    /// The leader's clock.
    pub stamp: Timestamp,
    /// As it was appended.
    pub payload: Bytes,
    /// The running chain after this entry.
    pub chain: Hash,
    /// Its place among the leaves of the Merkle tree; the first is 0.
    pub position: u64,
}

/// How a log is kept.
#[derive(Debug, Clone)]
pub struct SegmentOptions {
    /// Bytes that a segment file is preallocated with; a batch that does not fit begins the next.
    pub segment_bytes: u64,
    /// Bytes of payload that are kept in memory behind the last entry.
    pub tail_bytes: usize,
    /// Bytes of frames that a batch may have before it ends.
    pub batch_bytes: usize,
    /// After so long without work the last sync is marked as completed, so that
    /// damage to the last batch is never mistaken for a torn write. `None` marks
    /// only at [`super::SegmentLog::close`].
    pub idle_mark: Option<Duration>,
    /// Free bytes of the disk, in per cent, below which growth is refused.
    pub reserve_percent: u64,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            tail_bytes: 32 << 20,
            batch_bytes: 1 << 20,
            idle_mark: Some(Duration::from_secs(1)),
            reserve_percent: 5,
        }
    }
}

/// What was found when a log was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Raft's vote.
    pub vote: Option<Bytes>,
    /// The last known committed entry; may be older than the truth.
    pub committed: Option<LogId>,
    /// The last purged entry.
    pub purged: Option<LogId>,
    /// The last entry, or the last purged one.
    pub last: Option<LogId>,
    /// What was cut off: a batch whose sync had never completed.
    pub cut: Option<Cut>,
}

/// A batch whose write was torn by a crash: nobody had been told that it was durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// In which file.
    pub file: PathBuf,
    /// Where the batch began.
    pub offset: u64,
    /// Bytes from there to the last that was not zero.
    pub bytes: u64,
}

/// Room on the disk beside what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserve {
    /// Bytes free on the disk.
    pub free: u64,
    /// Bytes below which growth is refused.
    pub wanted: u64,
    /// Whether the next segment is there, preallocated, or being made right now.
    pub next_segment: bool,
}

impl Reserve {
    /// Whether records that let the mail grow may be proposed.
    pub fn growth_allowed(&self) -> bool {
        self.next_segment && self.free >= self.wanted
    }
}

/// Upper bounds of the buckets of [`SegmentStats::sync_latency`], in microseconds;
/// one more bucket has what is above.
pub const LATENCY_BUCKETS_US: [u64; 12] =
    [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000];
/// Upper bounds of the buckets of [`SegmentStats::batch_entries`]; one more
/// bucket has what is above.
pub const BATCH_BUCKETS: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 1024];

/// Counters since the log was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SegmentStats {
    /// Batches written and synced.
    pub syncs: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of them, headers and padding included.
    pub bytes: u64,
    /// Microseconds of all syncs together.
    pub sync_us: u64,
    /// Syncs by how long they took; bounds in [`LATENCY_BUCKETS_US`].
    pub sync_latency: [u64; LATENCY_BUCKETS_US.len() + 1],
    /// Batches by their number of entries; bounds in [`BATCH_BUCKETS`].
    pub batch_entries: [u64; BATCH_BUCKETS.len() + 1],
    /// Microseconds that the running sync has taken so far, 0 when none runs:
    /// above a second leadership should go elsewhere.
    pub sync_running_us: u64,
    /// Payload bytes appended and not yet durable.
    pub backlog_bytes: u64,
    /// Segment files, the preallocated next one included.
    pub segments: u64,
}

impl SegmentStats {
    pub(super) fn note_sync(&mut self, took_us: u64) {
        self.syncs += 1;
        self.sync_us = self.sync_us.saturating_add(took_us);
        count(&mut self.sync_latency, &LATENCY_BUCKETS_US, took_us);
    }

    pub(super) fn note_batch(&mut self, entries: u64, bytes: u64) {
        self.entries += entries;
        self.bytes += bytes;
        count(&mut self.batch_entries, &BATCH_BUCKETS, entries);
    }
}

fn count(buckets: &mut [u64], bounds: &[u64], value: u64) {
    if let Some(bucket) = buckets.get_mut(bounds.partition_point(|bound| *bound < value)) {
        *bucket += 1;
    }
}
