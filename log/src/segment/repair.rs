//! Sealed segments checked and, where they are damaged, made whole again while
//! the log runs: written beside, synced, renamed, and only then read.

use std::path::PathBuf;
use std::sync::Arc;

use super::file::{SegmentFile, TEMPORARY};
use super::format::{Frame, SEGMENT_HEADER_BYTES, SegmentId, decode_batch};
use super::mend::{After, mend};
use super::recovery::whole;
use super::scan::{Before, Runs};
use super::{LogEntry, LogError, SegmentLog};
use crate::disk::Disk;
use crate::id::LogIndex;

/// Brings entries of a range from elsewhere, all of them, verified by the chain.
pub type EntrySource<'a> = &'a mut dyn FnMut(LogIndex, LogIndex) -> Result<Vec<LogEntry>, String>;

/// A sealed segment between its neighbours.
struct Sealed {
    file: Arc<SegmentFile>,
    previous: Option<Arc<SegmentFile>>,
    next: Arc<SegmentFile>,
}

impl SegmentLog {
    /// The numbers of the sealed segments, the oldest first.
    pub fn sealed(&self) -> Vec<u64> {
        let core = self.core();
        let sealed = core.segments.len().saturating_sub(1);
        core.segments.iter().take(sealed).map(|segment| segment.file.id.number).collect()
    }

    /// Has the segment that is written to sealed with the next batch, which an idle log
    /// writes by itself; gives its number. Only what is sealed can be mended.
    pub fn seal_soon(&self) -> Option<u64> {
        let mut core = self.core();
        core.seal_wanted = true;
        core.segments.last().map(|segment| segment.file.id.number)
    }

    /// The first entry behind the sealed segments.
    pub fn unsealed_from(&self) -> LogIndex {
        let core = self.core();
        let before = core.segments.last().and_then(|segment| segment.before);
        before.map_or(LogIndex(0), |before| LogIndex(before.index.0 + 1))
    }

    /// Reads a sealed segment from its first byte to its last; says how many bytes
    /// that was, none when it is there no more. Blocks.
    ///
    /// # Errors
    /// [`LogError::Damaged`] names what is wrong, [`LogError::Io`].
    pub fn check_sealed(&self, number: u64) -> Result<u64, LogError> {
        let Some(Sealed { file, previous, next }) = self.find_sealed(number) else { return Ok(0) };
        let id = reread(&file)?;
        let (before, after) = (before(previous.as_deref())?, after(&file, &next)?);
        let scan = whole(&file, before.as_ref())?;
        let joins = scan.sealed && scan.end == after.end && scan.state == after.state;
        match joins && id == file.id {
            true => Ok(scan.end),
            false => Err(file.damaged(scan.end, "the next segment goes on from another log")),
        }
    }

    /// Makes a damaged sealed segment whole with entries that somebody brings.
    /// Nothing is changed unless the result reads from end to end and fits its
    /// neighbours. Blocks.
    ///
    /// # Errors
    /// [`LogError::Damaged`] with what stands in the way; [`LogError::Io`].
    pub fn repair_sealed(&self, number: u64, source: EntrySource<'_>) -> Result<(), LogError> {
        let Some(Sealed { file, previous, next }) = self.find_sealed(number) else { return Ok(()) };
        let (before, after) = (before(previous.as_deref())?, after(&file, &next)?);
        let damaged = read_lossy(&file)?;
        let mended = mend(&file.id, &damaged, before.as_ref(), &after, source);
        let mended =
            mended.map_err(|why| file.damaged(0, &format!("it was not repaired: {why}")))?;
        let shared = &self.handle.shared;
        let made = replace(&*shared.disk, &file, &mended)?;
        let runs = whole(&made, before.as_ref())?.runs;
        if !self.take_over(number, made, runs) {
            // It was purged meanwhile: a file of its name would be one too many at the next start.
            let gone =
                shared.disk.remove(&file.path).and_then(|()| shared.disk.sync_dir(&shared.dir));
            gone.or_else(not_there).map_err(LogError::io(&file.path, "remove a purged segment"))?;
        }
        Ok(())
    }

    /// `false` when it is no segment of this log any more.
    fn take_over(&self, number: u64, made: SegmentFile, mut runs: Runs) -> bool {
        let mut core = self.core();
        let Some(place) = core.segments.iter().position(|s| s.file.id.number == number) else {
            return false;
        };
        // What newer segments have replaced of it stays replaced.
        for newer in core.segments.iter().skip(place + 1) {
            if let Some(run) = newer.runs.as_slice().first() {
                runs.clip(run.first.0.checked_sub(1).map(LogIndex));
            }
        }
        if let Some(segment) = core.segments.get_mut(place) {
            (segment.file, segment.runs) = (Arc::new(made), runs);
        }
        true
    }

    fn find_sealed(&self, number: u64) -> Option<Sealed> {
        let core = self.core();
        let place = core.segments.iter().position(|s| s.file.id.number == number)?;
        let file = |place: usize| core.segments.get(place).map(|s| s.file.clone());
        let previous = place.checked_sub(1).and_then(file);
        Some(Sealed { file: file(place)?, previous, next: file(place + 1)? })
    }
}

/// The log before a segment: where the one before it ended. Of the first of all
/// that is known; without one before, the segment's own start is believed.
fn before(previous: Option<&SegmentFile>) -> Result<Option<Before>, LogError> {
    let Some(previous) = previous else { return Ok(None) };
    let footer = previous.footer()?;
    let (seal, number) = footer.ok_or_else(|| {
        previous.damaged(0, "its footer does not read: repair this segment first")
    })?;
    let end = (previous.id.number, previous.len()?);
    Ok(Some(Before { state: seal.state, next_batch: number + 1, end }))
}

/// The log behind a segment: how the next one began.
fn after(file: &SegmentFile, next: &SegmentFile) -> Result<After, LogError> {
    let offset = SEGMENT_HEADER_BYTES as u64;
    let (header, bytes) = match next.batch_bytes(offset) {
        Ok(first) => first,
        // Nothing was written to it yet: this one's own footer is all that there is.
        Err(_) if next.is_blank()? => return own_end(file),
        Err(error) => return Err(error),
    };
    let batch = decode_batch(&next.id, offset, &bytes)
        .map_err(|_| next.damaged(offset, "its first batch does not read: repair it first"))?;
    match batch.frames.first() {
        Some(Frame::Start(state)) if header.synced.0 == file.id.number => {
            Ok(After { state: state.clone(), next_batch: header.number, end: header.synced.1 })
        }
        _ => Err(next.damaged(offset, "it does not say where the segment before it ended")),
    }
}

fn own_end(file: &SegmentFile) -> Result<After, LogError> {
    let wrong = || file.damaged(0, "its footer does not read, and nothing stands behind it");
    let (seal, number) = file.footer()?.ok_or_else(wrong)?;
    Ok(After { state: seal.state, next_batch: number + 1, end: file.len()? })
}

/// The segment's header as it is on the disk now.
fn reread(file: &SegmentFile) -> Result<SegmentId, LogError> {
    let mut header = vec![0; SEGMENT_HEADER_BYTES];
    file.file.read_exact_at(&mut header, 0).map_err(LogError::io(&file.path, "read"))?;
    SegmentId::decode(&header).map_err(|_| file.damaged(0, "the segment's header is damaged"))
}

/// All bytes that the disk still gives, zeros for the rest.
fn read_lossy(file: &SegmentFile) -> Result<Vec<u8>, LogError> {
    const SECTOR: u64 = 4096;
    if let Ok(bytes) = file.read_all() {
        return Ok(bytes);
    }
    let len = file.len()?;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < len {
        let mut sector = vec![0; (len - bytes.len() as u64).min(SECTOR) as usize];
        if file.file.read_exact_at(&mut sector, bytes.len() as u64).is_err() {
            sector.fill(0);
        }
        bytes.extend(sector);
    }
    Ok(bytes)
}

fn not_there(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Written beside and renamed: a crash leaves the damaged one or the good one.
fn replace(disk: &dyn Disk, file: &SegmentFile, bytes: &[u8]) -> Result<SegmentFile, LogError> {
    let mut beside = file.path.clone().into_os_string();
    beside.push(TEMPORARY);
    let beside = PathBuf::from(beside);
    let written = crate::disk::replace(disk, &file.path, &beside, bytes);
    written.map_err(LogError::io(&file.path, "write the repaired segment"))?;
    SegmentFile::open(disk, file.path.clone(), file.id.number)
}
