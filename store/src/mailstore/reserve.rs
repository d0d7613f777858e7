//! The disk's reserve: below it nothing grows, so that what shrinks always can.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use redoubt_log::disk::{Disk, Space};

use super::WriteError;

/// One segment, kept beside 5% of the disk.
const SEGMENT: u64 = 64 << 20;

/// Watches the room on the disk that holds the log and the blobs.
#[derive(Debug)]
pub(crate) struct Reserve {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// What was seen last.
    seen: Mutex<(u64, u64)>,
}

impl Reserve {
    /// Looks for the first time. Blocks.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        let reserve = Self { disk, dir, seen: Mutex::default() };
        drop(reserve.room());
        reserve
    }

    /// Bytes free and bytes kept. Asks the system each time, a microsecond on a healthy disk;
    /// blocks for as long as one hangs.
    pub(crate) fn room(&self) -> Result<(u64, u64), WriteError> {
        let Space { free, total } = self.disk.space(&self.dir).map_err(|error| {
            WriteError::Unavailable(format!("the room on the disk cannot be read: {error}"))
        })?;
        let seen = (free, SEGMENT + total / 20);
        *self.seen.lock() = seen;
        Ok(seen)
    }

    /// Bytes free and bytes kept, as they were seen last: some seconds ago at the most, and
    /// under load a moment ago.
    pub(crate) fn seen(&self) -> (u64, u64) {
        *self.seen.lock()
    }

    /// Whether there is room for something to grow. Blocks.
    ///
    /// # Errors
    /// [`WriteError::DiskFull`].
    pub(crate) fn check(&self) -> Result<(), WriteError> {
        match self.room()? {
            (free, reserve) if free < reserve => Err(WriteError::DiskFull { free, reserve }),
            _ => Ok(()),
        }
    }

    /// The refusal, with the numbers that were seen last.
    pub(crate) fn full(&self) -> WriteError {
        let (free, reserve) = self.seen();
        WriteError::DiskFull { free, reserve }
    }
}
