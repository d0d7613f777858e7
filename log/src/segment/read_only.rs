//! A log to look at: without a lock and without a write, also beside a node
//! that runs.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::core::{Core, index_of};
use super::{Cut, LogEntry, LogError, LogId, reader, recovery};
use crate::chain::Head;
use crate::disk::Disk;
use crate::id::LogIndex;

/// The log as it stood when it was opened. Beside a node that runs, a batch that
/// was being written just then counts as torn, and a segment that was being
/// begun or removed makes opening or reading fail: open it anew.
pub struct ReadOnlyLog {
    core: Core,
    dir: PathBuf,
    cut: Option<Cut>,
}

impl ReadOnlyLog {
    /// Reads what a start would read, and changes nothing. Blocks.
    ///
    /// # Errors
    /// As [`SegmentLog::open`](super::SegmentLog::open); also when there is no log.
    pub fn open(disk: &dyn Disk, dir: &Path) -> Result<Self, LogError> {
        let found = recovery::look(disk, dir)?;
        Ok(Self { core: Core::new(&found), dir: dir.to_owned(), cut: found.cut })
    }

    /// The last entry; the last purged one when nothing is behind it.
    pub fn last(&self) -> Option<LogId> {
        self.core.tip.last
    }

    /// The last entry that was purged.
    pub fn purged(&self) -> Option<LogId> {
        self.core.tip.purged
    }

    /// Chain, time and tree after the last entry that was purged; before any entry, where none was.
    pub fn base(&self) -> Head {
        self.core.tip.purged.map_or_else(Head::default, |_| self.core.tip.purged_head.clone())
    }

    /// The last entry known to be committed; may be older than the truth.
    pub fn committed(&self) -> Option<LogId> {
        self.core.tip.committed
    }

    /// A torn batch at the end, which a start would cut off.
    pub fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// As [`SegmentLog::read`](super::SegmentLog::read), but that a range which
    /// reaches beyond the end is read up to there.
    ///
    /// # Errors
    /// [`LogError::Purged`], [`LogError::Damaged`].
    pub fn read(
        &self,
        range: Range<LogIndex>,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, LogError> {
        let end = index_of(self.last()).map_or(LogIndex(0), |last| LogIndex(last.0 + 1));
        let range = range.start..range.end.min(end);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.core.check_index(range.start)?;
        let place = self.core.place_of(range.start).ok_or_else(|| LogError::Missing {
            file: self.dir.clone(),
            what: format!("no segment has entry {}", range.start),
        })?;
        reader::read_place(&place, range.start, range.end, max_bytes)
    }
}

impl std::fmt::Debug for ReadOnlyLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadOnlyLog").field("dir", &self.dir).field("last", &self.last()).finish()
    }
}
