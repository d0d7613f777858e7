//! The disk's reserve: below it nothing grows, so that what shrinks always can.

use std::path::PathBuf;
use std::sync::Arc;

use redoubt_log::disk::{Disk, Space};

use super::WriteError;

/// One segment, kept beside 5% of the disk.
const SEGMENT: u64 = 64 << 20;

/// Watches the room on the disk that holds the log and the blobs.
#[derive(Debug)]
pub(crate) struct Reserve {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl Reserve {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self { disk, dir }
    }

    /// Bytes free and bytes kept. Asks the system each time: a microsecond on a healthy disk.
    pub(crate) fn room(&self) -> Result<(u64, u64), WriteError> {
        let Space { free, total } = self.disk.space(&self.dir).map_err(|error| {
            WriteError::Unavailable(format!("the room on the disk cannot be read: {error}"))
        })?;
        Ok((free, SEGMENT + total / 20))
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

    /// The refusal, with the numbers of now.
    pub(crate) fn full(&self) -> WriteError {
        let (free, reserve) = self.room().unwrap_or_default();
        WriteError::DiskFull { free, reserve }
    }
}
