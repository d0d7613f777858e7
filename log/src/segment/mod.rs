//! The log of a shard: append-only segment files, group commit, recovery.
//!
//! One ordered stream of frames (entry, vote, committed, truncate, purge, reset,
//! seal) in files of 64 MiB; docs/format.md, "Segments", has it byte by byte.
//!
//! Invariants: a batch is written only after the one before it was synced; what
//! is behind the last batch of the newest segment is zero; a segment is sealed
//! only when the next one exists; only the last batch of the last segment may
//! ever be cut, and only if nothing valid follows.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::MutexGuard;

use crate::chain::{self, Head};
use crate::disk::Disk;
use crate::id::{Hash, LogIndex, Term};
use crate::world::Worker;

mod core;
mod error;
mod file;
pub mod format;
mod mend;
mod read_only;
mod reader;
mod recovery;
mod repair;
mod scan;
mod types;
mod writer;

use self::core::{Core, Place, Work, index_of};
use self::writer::{Shared, Writer};

pub use error::LogError;
pub use read_only::ReadOnlyLog;
pub use repair::EntrySource;
pub use types::{
    BATCH_BUCKETS, Cut, Done, EntryKind, LATENCY_BUCKETS_US, LogEntry, LogId, NewEntry, Recovered,
    Reserve, SegmentOptions, SegmentStats,
};

/// A shard's log. Clones share it; when the last one goes, what is queued is
/// still written and synced.
#[derive(Clone)]
pub struct SegmentLog {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    writer: Worker<()>,
}

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
        let found = recovery::recover(&*disk, dir, &options)?;
        let recovered = recovered(&found);
        let shared = Arc::new(Shared::new(disk, dir, options, &found));
        shared.look_at_room();
        let writer = Writer::start(shared.clone(), found, dir)?;
        let handle = Handle { shared, writer };
        Ok((Self { handle: Arc::new(handle) }, recovered))
    }

    /// Appends entries, at least one, that follow on the last: readable at once, durable when
    /// `done` is called (on the writer's thread, in order; it must not block).
    ///
    /// # Errors
    /// Nothing was appended and `done` is dropped: not consecutive, too large,
    /// poisoned or closed.
    pub fn append(&self, entries: Vec<NewEntry>, done: Done) -> Result<(), LogError> {
        self.append_chained(entries, &[], done)
    }

    /// [`SegmentLog::append`] of entries that another log has with these chains
    /// behind them, where they are known.
    ///
    /// # Errors
    /// Nothing was appended: [`LogError::OtherChain`] when the two logs are not
    /// one; else as [`SegmentLog::append`].
    pub fn append_chained(
        &self,
        entries: Vec<NewEntry>,
        chains: &[Option<Hash>],
        done: Done,
    ) -> Result<(), LogError> {
        let max = MAX_PAYLOAD_BYTES;
        if let Some(entry) = entries.iter().find(|entry| entry.payload.len() > max) {
            return Err(LogError::TooLarge { bytes: entry.payload.len(), max });
        }
        let contents: Vec<Hash> = entries.iter().map(|e| chain::content(&e.payload)).collect();
        self.change(|core| core.append(entries, &contents, chains, done))
    }

    /// Keeps Raft's vote (opaque here, at most 4 KiB); `done` when it is durable.
    ///
    /// # Errors
    /// As [`SegmentLog::append`].
    pub fn save_vote(&self, vote: Bytes, done: Done) -> Result<(), LogError> {
        if vote.len() > MAX_VOTE_BYTES {
            return Err(LogError::TooLarge { bytes: vote.len(), max: MAX_VOTE_BYTES });
        }
        self.change(|core| {
            core.tip.vote = Some(vote.clone());
            core.enqueue(Work::Vote(vote), done);
            Ok(())
        })
    }

    /// Notes how far the log is known to be committed. Written with the next
    /// batch or when idle, never synced for its own sake: after a crash it may be older.
    ///
    /// # Errors
    /// Poisoned or closed.
    pub fn save_committed(&self, committed: Option<LogId>) -> Result<(), LogError> {
        let mut core = self.core();
        core.check()?;
        core.committed_changed |= core.tip.committed != committed;
        core.tip.committed = committed;
        Ok(())
    }

    /// Drops the entries behind `last` (all of them for `None`); `done` when that is durable.
    ///
    /// # Errors
    /// As [`SegmentLog::append`]; also when `last` is not in the log.
    pub fn truncate_after(&self, last: Option<LogId>, done: Done) -> Result<(), LogError> {
        let head = self.head_after(last)?;
        self.change(|core| {
            core.cut(last, head.clone());
            core.enqueue(Work::Truncate { last, head }, done);
            Ok(())
        })
    }

    /// Entries up to `upto` are not read any more, and segment files that hold
    /// nothing else are removed. `done` when that is durable.
    ///
    /// # Errors
    /// As [`SegmentLog::append`]; also when `upto` is not in the log: past its
    /// end, [`SegmentLog::reset`] is meant.
    pub fn purge(&self, upto: LogId, done: Done) -> Result<(), LogError> {
        let upto = self.purged().filter(|purged| purged.index >= upto.index).unwrap_or(upto);
        let head = self.head_after(Some(upto))?;
        self.change(|core| {
            (core.tip.purged, core.tip.purged_head) = (Some(upto), head.clone());
            core.enqueue(Work::Purge { upto, head }, done);
            Ok(())
        })
    }

    /// The log goes on behind `last` with this head, as if all up to it had been
    /// appended and purged: a snapshot was installed. Removes no files.
    ///
    /// # Errors
    /// As [`SegmentLog::append`].
    pub fn reset(&self, last: LogId, head: Head, done: Done) -> Result<(), LogError> {
        self.change(|core| {
            if index_of(core.tip.purged) > Some(last.index) {
                return Err(LogError::NoSuchEntry { id: last });
            }
            core.reset(last, head.clone());
            core.enqueue(Work::Reset { last, head }, done);
            Ok(())
        })
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
        let mut reading = Reading { next: range.start, room: max_bytes, entries: Vec::new() };
        while reading.next < range.end {
            let Some(place) = self.read_memory(&mut reading, range.end)? else { break };
            let more = reader::read_place(&place, reading.next, range.end, reading.room)?;
            let wanted = more.len();
            more.into_iter().for_each(|entry| {
                let _ = reading.push(entry);
            });
            if wanted == 0 || reading.room == 0 {
                break;
            }
        }
        Ok(reading.entries)
    }

    /// The last entry, durable or not; the last purged one when nothing is behind it.
    pub fn last(&self) -> Option<LogId> {
        self.core().tip.last
    }

    /// The last entry that was purged or that a reset stands for.
    pub fn purged(&self) -> Option<LogId> {
        self.core().tip.purged
    }

    /// The last entry that is durable on this disk.
    pub fn durable(&self) -> Option<LogId> {
        self.core().durable
    }

    /// The id of an entry and the chain after it, if it is near the end or the
    /// last purged one: reads no file.
    pub fn recent(&self, index: LogIndex) -> Option<(LogId, Hash)> {
        self.core().recent(index)
    }

    /// The disk that it lies on.
    pub fn disk(&self) -> Arc<dyn Disk> {
        self.handle.shared.disk.clone()
    }

    /// What [`SegmentLog::save_committed`] said last.
    pub fn committed(&self) -> Option<LogId> {
        self.core().tip.committed
    }

    /// What [`SegmentLog::save_vote`] said last.
    pub fn vote(&self) -> Option<Bytes> {
        self.core().tip.vote.clone()
    }

    /// The term of an entry, without reading it where that is possible.
    ///
    /// # Errors
    /// As [`SegmentLog::read`].
    pub fn term_at(&self, index: LogIndex) -> Result<Term, LogError> {
        match self.purged().filter(|purged| purged.index == index) {
            Some(purged) => Ok(purged.term),
            None => Ok(self.entry_at(index)?.id.term),
        }
    }

    /// The running chain after an entry: cheap near the end, one batch read elsewhere.
    /// The last purged entry has one too.
    ///
    /// # Errors
    /// As [`SegmentLog::read`].
    pub fn chain_at(&self, index: LogIndex) -> Result<Hash, LogError> {
        let core = self.core();
        core.check()?;
        match &core.tip {
            tip if index_of(tip.purged) == Some(index) => Ok(tip.purged_head.chain),
            _ => {
                drop(core);
                Ok(self.entry_at(index)?.chain)
            }
        }
    }

    /// Chain, time and tree after an entry: cheap near the end; elsewhere up to one segment
    /// is read.
    ///
    /// # Errors
    /// As [`SegmentLog::read`].
    pub fn head_at(&self, index: LogIndex) -> Result<Head, LogError> {
        let place = {
            let core = self.core();
            core.check()?;
            if index_of(core.tip.purged) != Some(index) {
                core.check_index(index)?;
            }
            if let Some(head) = core.head_in_memory(index) {
                return Ok(head);
            }
            core.place_of(index).ok_or_else(|| self.lost(index))?
        };
        reader::head_in_place(&place, index)
    }

    /// Why the log takes nothing any more, if a sync or write failed.
    pub fn poisoned(&self) -> Option<LogError> {
        self.core().check_poison().err()
    }

    /// Resolves with the reason once a write or sync has failed; never, else.
    pub fn failure(&self) -> impl Future<Output = String> + Send + 'static {
        crate::disk::failure(self.handle.shared.failed.subscribe())
    }

    /// Whether the reserve (one segment and 5% of the disk) is there. Without it
    /// growth is refused; records that shrink and the system's own still pass. Blocks.
    pub fn reserve(&self) -> Reserve {
        let shared = &self.handle.shared;
        let space = shared.look_at_room();
        shared.reserve(space, self.core().has_spare())
    }

    /// Whether records that let the mail grow may be proposed. Blocks.
    pub fn growth_allowed(&self) -> bool {
        self.reserve().growth_allowed()
    }

    /// The same as it was when somebody looked last, and how long ago that was: asks the
    /// disk for nothing. Each batch that is written looks.
    pub fn growth_was_allowed(&self) -> (bool, Duration) {
        let (room, next_segment) = {
            let core = self.core();
            (core.room, core.has_spare())
        };
        let Some((space, at)) = room else { return (false, Duration::MAX) };
        (self.handle.shared.reserve(space, next_segment).growth_allowed(), at.elapsed())
    }

    /// Counters since the log was opened.
    pub fn stats(&self) -> SegmentStats {
        let core = self.core();
        let running = core.sync_began.map_or(0, |began| began.elapsed().as_micros());
        SegmentStats {
            sync_running_us: u64::try_from(running).unwrap_or(u64::MAX),
            segments: core.segments.len() as u64 + u64::from(core.spare.is_some()),
            ..core.stats
        }
    }

    /// About how many octets an entry takes in the log near an index; `None` where too little was
    /// written to say.
    pub fn density(&self, index: LogIndex) -> Option<f64> {
        self.core().density(index)
    }

    /// Writes and syncs what is queued, marks the log as completely synced and
    /// ends the writer. Later calls fail with [`LogError::Closed`]. Blocks.
    ///
    /// # Errors
    /// The failure that poisoned the log.
    pub fn close(&self) -> Result<(), LogError> {
        self.handle.end();
        self.core().check_poison()
    }

    /// [`SegmentLog::close`] for tasks.
    ///
    /// # Errors
    /// As [`SegmentLog::close`].
    pub async fn closed(&self) -> Result<(), LogError> {
        self.handle.tell();
        drop(self.handle.writer.ended().await);
        self.core().check_poison()
    }
}

impl SegmentLog {
    /// Reads all segment files from the first byte to the last and checks each
    /// checksum and the whole chain. Blocks, and takes a segment's bytes of memory.
    ///
    /// # Errors
    /// [`LogError::Damaged`] for the first thing that is wrong.
    pub fn verify(&self) -> Result<(), LogError> {
        let (files, end) = {
            let core = self.core();
            core.check()?;
            let files = core.segments.iter().map(|segment| segment.file.clone());
            (files.collect::<Vec<_>>(), core.written_to)
        };
        let Some((active, sealed)) = files.split_last() else { return Ok(()) };
        let before = sealed.iter().try_fold(None, |before, f| recovery::verify(f, before))?;
        recovery::verify_active(active, end, before.as_ref())
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.handle.shared.core.lock()
    }

    /// Changes what is promised and wakes the writer.
    fn change(
        &self,
        change: impl FnOnce(&mut Core) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let mut core = self.core();
        core.check()?;
        change(&mut core)?;
        self.handle.shared.wake.notify_one();
        Ok(())
    }

    /// The head after an entry that is named by its id; of an empty log for `None`.
    fn head_after(&self, id: Option<LogId>) -> Result<Head, LogError> {
        let Some(id) = id else {
            return match self.purged() {
                Some(purged) => Err(LogError::Purged { index: LogIndex(0), purged }),
                None => Ok(Head::default()),
            };
        };
        match self.term_at(id.index)? == id.term {
            true => self.head_at(id.index),
            false => Err(LogError::NoSuchEntry { id }),
        }
    }

    fn entry_at(&self, index: LogIndex) -> Result<LogEntry, LogError> {
        let entries = self.read(index..LogIndex(index.0.saturating_add(1)), 0)?;
        entries.into_iter().next().ok_or_else(|| self.lost(index))
    }

    /// Takes what the tail has; gives where to read the next, if it has not got that.
    fn read_memory(&self, reading: &mut Reading, end: LogIndex) -> Result<Option<Place>, LogError> {
        let core = self.core();
        core.check()?;
        if index_of(core.tip.last) < Some(reading.next) && !reading.entries.is_empty() {
            return Ok(None);
        }
        core.check_index(reading.next)?;
        while let Some(entry) = core.in_tail(reading.next).filter(|_| reading.next < end) {
            if !reading.push(entry.clone()) {
                return Ok(None);
            }
        }
        match reading.next < end && index_of(core.tip.last) >= Some(reading.next) {
            true => core.place_of(reading.next).map(Some).ok_or_else(|| self.lost(reading.next)),
            false => Ok(None),
        }
    }

    fn lost(&self, index: LogIndex) -> LogError {
        let what = format!("no segment has entry {index}");
        LogError::Missing { file: self.handle.shared.dir.clone(), what }
    }
}

struct Reading {
    next: LogIndex,
    room: usize,
    entries: Vec<LogEntry>,
}

impl Reading {
    /// `false` when there is no room for it.
    fn push(&mut self, entry: LogEntry) -> bool {
        let cost = entry.payload.len();
        if !self.entries.is_empty() && cost > self.room {
            self.room = 0;
            return false;
        }
        self.room = self.room.saturating_sub(cost);
        self.next = LogIndex(self.next.0 + 1);
        self.entries.push(entry);
        true
    }
}

impl fmt::Debug for SegmentLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = &self.handle.shared.dir;
        f.debug_struct("SegmentLog").field("dir", dir).field("last", &self.last()).finish()
    }
}

impl Handle {
    /// Lets the writer finish and waits for it, unless this is its own thread.
    fn end(&self) {
        self.tell();
        self.writer.join();
    }

    fn tell(&self) {
        self.shared.core.lock().closing = true;
        self.shared.wake.notify_one();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}

fn recovered(found: &recovery::Found) -> Recovered {
    let state = &found.before.state;
    Recovered {
        vote: state.vote.clone(),
        committed: state.committed,
        purged: state.purged,
        last: state.last,
        cut: found.cut.clone(),
    }
}

/// The most bytes that an entry's payload may have.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;
/// The most bytes that a vote may have.
pub const MAX_VOTE_BYTES: usize = 4096;

#[cfg(test)]
mod tests;
