//! One segment file: made, opened, read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LogError;
use super::format::{
    BATCH_END, BATCH_HEADER_BYTES, BATCH_TRAILER_BYTES, BatchHeader, Frame, HeaderError,
    SEGMENT_HEADER_BYTES, Seal, SegmentId, all_zero, decode_batch, file_name,
};
use crate::disk::{Disk, DiskFile};

/// What a segment is called while it is being made.
pub(super) const TEMPORARY: &str = ".new";

/// An open segment.
#[derive(Debug)]
pub(super) struct SegmentFile {
    pub(super) path: PathBuf,
    pub(super) id: SegmentId,
    pub(super) file: Arc<dyn DiskFile>,
}

impl LogError {
    /// A system's error, with what was tried.
    pub(super) fn io(file: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::StorageFull { file },
            _ => Self::Io { file, action, source: Arc::new(source) },
        }
    }
}

impl SegmentFile {
    /// Makes a segment durably: whole under its name, or not at all.
    pub(super) fn make(disk: &dyn Disk, dir: &Path, id: SegmentId) -> Result<Self, LogError> {
        let path = dir.join(file_name(id.number));
        let temporary = dir.join(format!("{}{TEMPORARY}", file_name(id.number)));
        match fill(disk, &temporary, &id) {
            Ok(file) => {
                disk.rename(&temporary, &path).map_err(LogError::io(&path, "name the segment"))?;
                disk.sync_dir(dir).map_err(LogError::io(dir, "sync the folder"))?;
                Ok(Self { path, id, file })
            }
            Err(error) => {
                let _ = disk.remove(&temporary);
                Err(LogError::io(&path, "make the segment")(error))
            }
        }
    }

    /// Opens a segment and checks its header.
    pub(super) fn open(disk: &dyn Disk, path: PathBuf, number: u64) -> Result<Self, LogError> {
        let file = disk.open(&path).map_err(LogError::io(&path, "open"))?;
        let mut header = vec![0; SEGMENT_HEADER_BYTES];
        match file.read_exact_at(&mut header, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damaged(&path, 0, "the file is too short for a segment's header"));
            }
            read => read.map_err(LogError::io(&path, "read"))?,
        }
        match SegmentId::decode(&header) {
            Ok(id) if id.number == number => Ok(Self { path, id, file }),
            Ok(id) => Err(damaged(&path, 16, &format!("this is segment {}", id.number))),
            Err(HeaderError::Damaged) => Err(damaged(&path, 0, "the segment's header is damaged")),
            Err(HeaderError::Newer(found)) => {
                Err(LogError::NewerFormat { file: path, found, known: super::format::FORMAT })
            }
        }
    }

    /// Fills `buffer` from `offset`; `None` when the file ends before.
    fn read(&self, offset: u64, len: usize) -> Result<Option<Vec<u8>>, LogError> {
        let mut buffer = vec![0; len];
        match self.file.read_exact_at(&mut buffer, offset) {
            Ok(()) => Ok(Some(buffer)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(LogError::io(&self.path, "read")(error)),
        }
    }

    pub(super) fn len(&self) -> Result<u64, LogError> {
        self.file.len().map_err(LogError::io(&self.path, "read the length"))
    }

    /// The whole file.
    pub(super) fn read_all(&self) -> Result<Vec<u8>, LogError> {
        self.read_to(self.len()?)
    }

    /// The file up to `len`.
    pub(super) fn read_to(&self, len: u64) -> Result<Vec<u8>, LogError> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.read(0, len)?.ok_or_else(|| self.damaged(0, "the file became shorter"))
    }

    /// Whether nothing stands behind the header.
    pub(super) fn is_blank(&self) -> Result<bool, LogError> {
        const PIECE: u64 = 1 << 20;
        let (mut offset, len) = (SEGMENT_HEADER_BYTES as u64, self.len()?);
        while offset < len {
            let piece = PIECE.min(len - offset);
            let bytes = self.read(offset, usize::try_from(piece).unwrap_or(0))?;
            if !bytes.is_some_and(|bytes| all_zero(&bytes)) {
                return Ok(false);
            }
            offset += piece;
        }
        Ok(true)
    }

    /// Whether the header of a first batch can be read.
    pub(super) fn is_begun(&self) -> Result<bool, LogError> {
        let offset = SEGMENT_HEADER_BYTES as u64;
        let header = self.read(offset, BATCH_HEADER_BYTES)?.unwrap_or_default();
        Ok(BatchHeader::decode(&self.id, offset, &header).is_some())
    }

    /// The bytes of the batch at `offset`, whose header is good.
    ///
    /// # Errors
    /// [`LogError::Damaged`]: the caller knows that a synced batch is there.
    pub(super) fn batch_bytes(&self, offset: u64) -> Result<(BatchHeader, Vec<u8>), LogError> {
        let gone = || self.damaged(offset, "a batch that was synced does not read");
        let header = self.read(offset, BATCH_HEADER_BYTES)?.ok_or_else(gone)?;
        let header = BatchHeader::decode(&self.id, offset, &header).ok_or_else(gone)?;
        if offset.saturating_add(header.batch_len() as u64) > self.len()? {
            return Err(self.damaged(offset, "the file ends within a batch that was synced"));
        }
        Ok((header, self.read(offset, header.batch_len())?.ok_or_else(gone)?))
    }

    /// The footer and the number of the batch that it stands in, if the file
    /// ends with it; `None` says nothing.
    pub(super) fn footer(&self) -> Result<Option<(Seal, u64)>, LogError> {
        let len = self.len()?;
        let trailer_at = len.saturating_sub(BATCH_TRAILER_BYTES as u64);
        let Some(trailer) = self.read(trailer_at, BATCH_TRAILER_BYTES)? else { return Ok(None) };
        let Some((size, end)) = trailer.split_first_chunk::<4>() else { return Ok(None) };
        let size = u64::from(u32::from_le_bytes(*size));
        if end != BATCH_END || size > len {
            return Ok(None);
        }
        let bytes = self.read(len - size, usize::try_from(size).unwrap_or(0))?.unwrap_or_default();
        Ok(decode_batch(&self.id, len - size, &bytes).ok().and_then(|batch| {
            let number = batch.header.number;
            match batch.frames.into_iter().next_back() {
                Some(Frame::Seal(seal)) => Some((*seal, number)),
                _ => None,
            }
        }))
    }

    pub(super) fn damaged(&self, offset: u64, what: &str) -> LogError {
        damaged(&self.path, offset, what)
    }
}

fn fill(disk: &dyn Disk, path: &Path, id: &SegmentId) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.create(path)?;
    file.allocate(id.capacity)?;
    file.write_all_at(&id.encode(), 0)?;
    file.sync_data()?;
    Ok(file)
}

pub(super) fn damaged(file: &Path, offset: u64, what: &str) -> LogError {
    LogError::Damaged { file: file.to_owned(), offset, what: what.to_owned() }
}
