//! Finds out what a log is from its files.
//!
//! The rule: only the last batch of the last segment may be cut, and only if
//! nothing valid follows. A later batch or segment proves that a sync had
//! completed; damage before it is never a torn write and stops the shard. What
//! can and cannot be told apart is in docs/format.md, "What recovery can tell".

use std::path::Path;
use std::sync::Arc;

use super::file::{SegmentFile, TEMPORARY};
use super::format::{SEGMENT_HEADER_BYTES, SegmentId, file_name, file_number};
use super::scan::{Before, Rest, Runs, Scan, scan};
use super::{Cut, LogError, LogId, SegmentOptions};
use crate::disk::Disk;
use crate::id::LogIndex;

/// A segment with what is known of its entries.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) file: Arc<SegmentFile>,
    pub(super) runs: Runs,
    /// The last entry before it, and at its end where it is sealed.
    pub(super) before: Option<LogId>,
    pub(super) end: Option<LogIndex>,
    /// The chain before it and its first batch, for its footer.
    pub(super) chain_before: crate::id::Hash,
    pub(super) first_batch: u64,
}

/// A log as it was found, ready to go on.
#[derive(Debug)]
pub(super) struct Found {
    /// The oldest first; the last is written to.
    pub(super) segments: Vec<Segment>,
    pub(super) spare: Option<Arc<SegmentFile>>,
    pub(super) before: Before,
    /// Where the next batch goes.
    pub(super) offset: u64,
    pub(super) marked: bool,
    pub(super) cut: Option<Cut>,
}

/// Recovers the log in `dir`, or makes an empty one.
pub(super) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    options: &SegmentOptions,
) -> Result<Found, LogError> {
    disk.create_dir_all(dir).map_err(LogError::io(dir, "make the folder"))?;
    remove_unfinished(disk, dir)?;
    let mut files = open_all(disk, dir)?;
    if files.is_empty() {
        let first = fresh_id(1, 0, options);
        files.push(Arc::new(SegmentFile::make(disk, dir, first)?));
    }
    disk.sync_dir(dir).map_err(LogError::io(dir, "sync the folder"))?;
    let found = follow(files, dir)?;
    check_lowest(&found, dir)?;
    found.settle()?;
    Ok(found)
}

/// What a log is, without a write: also beside a node that runs.
pub(super) fn look(disk: &dyn Disk, dir: &Path) -> Result<Found, LogError> {
    let found = follow(open_all(disk, dir)?, dir)?;
    check_lowest(&found, dir)?;
    Ok(found)
}

/// The id of a segment to be made.
pub(super) fn fresh_id(number: u64, previous: u64, options: &SegmentOptions) -> SegmentId {
    let capacity = options.segment_bytes.max(2 * SEGMENT_HEADER_BYTES as u64);
    SegmentId { number, id: crate::world::random(), previous, capacity }
}

fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    let names = disk.list(dir).map_err(LogError::io(dir, "list the folder"))?;
    for name in names.iter().filter(|name| name.ends_with(TEMPORARY)) {
        let path = dir.join(name);
        disk.remove(&path).map_err(LogError::io(&path, "remove an unfinished segment"))?;
    }
    Ok(())
}

fn open_all(disk: &dyn Disk, dir: &Path) -> Result<Vec<Arc<SegmentFile>>, LogError> {
    let names = disk.list(dir).map_err(LogError::io(dir, "list the folder"))?;
    let mut files: Vec<Arc<SegmentFile>> = Vec::new();
    for number in names.iter().filter_map(|name| file_number(name)) {
        let file = SegmentFile::open(disk, dir.join(file_name(number)), number)?;
        if let Some(last) = files.last() {
            check_neighbours(last, &file, dir)?;
        }
        files.push(Arc::new(file));
    }
    Ok(files)
}

fn check_neighbours(last: &SegmentFile, next: &SegmentFile, dir: &Path) -> Result<(), LogError> {
    if next.id.number != last.id.number + 1 {
        return Err(LogError::Missing {
            file: dir.join(file_name(last.id.number + 1)),
            what: format!("segment {} is there, behind it", next.id.number),
        });
    }
    match next.id.previous == last.id.id {
        true => Ok(()),
        false => Err(next.damaged(32, "this segment belongs to another log")),
    }
}

/// Goes through the segments, the oldest first.
fn follow(files: Vec<Arc<SegmentFile>>, dir: &Path) -> Result<Found, LogError> {
    let newest = newest_used(&files)?;
    let count = files.len();
    let mut files = files.into_iter();
    let mut known = Known::default();
    for file in files.by_ref().take(newest) {
        match sealed(file, known.before.as_ref())? {
            Sealed::Yes(segment, next) => known.add(*segment, *next),
            Sealed::No(error) => return Err(blame(files.next(), error)?),
        }
    }
    let mut last = files.next().ok_or_else(|| missing_all(dir))?;
    let mut scan = known.scan_last(&last, dir)?;
    let mut active = newest;
    if scan.sealed {
        known.add_scanned(last, scan);
        last = files.next().ok_or_else(|| known.missing_next(dir))?;
        scan = known.scan_last(&last, dir)?;
        active += 1;
    }
    match count > active + 2 {
        true => Err(last.damaged(scan.end, "no footer, and two segments were begun behind it")),
        false => Ok(known.finish(last, files.next(), scan)),
    }
}

/// What is known while going through the segments.
#[derive(Default)]
struct Known {
    segments: Vec<Segment>,
    before: Option<Before>,
}

impl Known {
    fn add(&mut self, segment: Segment, next: Before) {
        clip_older(&mut self.segments, &segment, &next);
        self.segments.push(segment);
        self.before = Some(next);
    }

    fn add_scanned(&mut self, file: Arc<SegmentFile>, scan: Scan) {
        let (segment, next) = from_scan(file, scan);
        self.add(segment, next);
    }

    fn missing_next(&self, dir: &Path) -> LogError {
        let number = self.before.as_ref().map_or(0, |before| before.end.0);
        LogError::Missing {
            file: dir.join(file_name(number + 1)),
            what: format!("segment {number} was sealed, and that only after the next was made"),
        }
    }

    fn scan_last(&mut self, file: &Arc<SegmentFile>, dir: &Path) -> Result<Scan, LogError> {
        if self.before.is_none() && file.id.number == 1 {
            self.before = Some(Before::nothing());
        }
        let scan = last_segment(file, self.before.as_ref())?;
        match self.before.is_none() && scan.is_blank() {
            true => Err(LogError::Missing {
                file: dir.join(file_name(file.id.number - 1)),
                what: "the first segment that is there has nothing in it".into(),
            }),
            false => Ok(scan),
        }
    }

    fn finish(
        mut self,
        last: Arc<SegmentFile>,
        spare: Option<Arc<SegmentFile>>,
        scan: Scan,
    ) -> Found {
        for clip in &scan.clips {
            self.segments.iter_mut().for_each(|segment| segment.runs.clip(*clip));
        }
        found(self.segments, last, spare, scan, self.before.map(|before| before.end))
    }
}

fn missing_all(dir: &Path) -> LogError {
    LogError::Missing { file: dir.join(file_name(1)), what: "there is no segment".into() }
}

fn found(
    mut segments: Vec<Segment>,
    last: Arc<SegmentFile>,
    spare: Option<Arc<SegmentFile>>,
    scan: Scan,
    before_end: Option<(u64, u64)>,
) -> Found {
    let here = (last.id.number, scan.end);
    let end = if scan.is_blank() { before_end.unwrap_or(here) } else { here };
    let cut = scan.rest.as_ref().map(|rest| Cut {
        file: last.path.clone(),
        offset: scan.end,
        bytes: rest.bytes,
    });
    segments.push(Segment {
        file: last,
        runs: scan.runs,
        before: scan.before,
        end: None,
        chain_before: scan.chain_before,
        first_batch: scan.first_batch,
    });
    let before = Before { state: scan.state, next_batch: scan.next_batch, end };
    Found { segments, spare, before, offset: scan.end, marked: scan.marked, cut }
}

/// The newest segment that has anything in it, or the first.
fn newest_used(files: &[Arc<SegmentFile>]) -> Result<usize, LogError> {
    for (i, file) in files.iter().enumerate().rev() {
        if !file.is_blank()? {
            return Ok(i);
        }
    }
    Ok(0)
}

/// What a segment is behind which another has something in it.
enum Sealed {
    Yes(Box<Segment>, Box<Before>),
    /// It reads well and has no footer.
    No(LogError),
}

impl Sealed {
    fn of((segment, next): (Segment, Before)) -> Self {
        Self::Yes(Box::new(segment), Box::new(next))
    }
}

/// A segment without a footer, or garbage in the next, which was never begun?
fn blame(next: Option<Arc<SegmentFile>>, error: LogError) -> Result<LogError, LogError> {
    match next {
        Some(next) if !next.is_begun()? => Ok(next.damaged(
            SEGMENT_HEADER_BYTES as u64,
            "something stands in a segment that was made ahead and never begun",
        )),
        _ => Ok(error),
    }
}

/// A segment that must have its footer.
fn sealed(file: Arc<SegmentFile>, before: Option<&Before>) -> Result<Sealed, LogError> {
    let first = Before::nothing();
    let before = before.or((file.id.number == 1).then_some(&first));
    let Some((seal, number)) = file.footer()? else { return sealed_by_scan(file, before) };
    let joins = before.is_none_or(|before| {
        seal.before == before.state.last
            && seal.chain_before == before.state.head.chain
            && seal.first_batch == before.next_batch
    });
    if !joins {
        let what = "the footer does not go on where the segment before ended";
        return Err(file.damaged(file.len()?, what));
    }
    let end = (file.id.number, file.len()?);
    let next = Before { state: seal.state, next_batch: number + 1, end };
    let segment = Segment {
        runs: Runs::from_seal(seal.runs),
        before: seal.before,
        end: next.state.last.map(|last| last.index),
        chain_before: seal.chain_before,
        first_batch: seal.first_batch,
        file,
    };
    Ok(Sealed::of((segment, next)))
}

fn sealed_by_scan(file: Arc<SegmentFile>, before: Option<&Before>) -> Result<Sealed, LogError> {
    let scan = whole(&file, before)?;
    if !scan.sealed {
        let what = "the footer is not there, and a later segment is";
        return Ok(Sealed::No(file.damaged(scan.end, what)));
    }
    Ok(Sealed::of(from_scan(file, scan)))
}

fn from_scan(file: Arc<SegmentFile>, scan: Scan) -> (Segment, Before) {
    let end = (file.id.number, scan.end);
    let next = Before { state: scan.state, next_batch: scan.next_batch, end };
    let segment = Segment {
        file,
        runs: scan.runs,
        before: scan.before,
        end: next.state.last.map(|last| last.index),
        chain_before: scan.chain_before,
        first_batch: scan.first_batch,
    };
    (segment, next)
}

/// Reads a whole segment in which nothing may be torn.
pub(super) fn whole(file: &SegmentFile, before: Option<&Before>) -> Result<Scan, LogError> {
    scan_synced(file, &file.read_all()?, before)
}

fn scan_synced(
    file: &SegmentFile,
    bytes: &[u8],
    before: Option<&Before>,
) -> Result<Scan, LogError> {
    let scan =
        scan(&file.id, bytes, before).map_err(|wrong| file.damaged(wrong.offset, &wrong.what))?;
    match &scan.rest {
        Some(rest) => Err(file.damaged(
            rest.at,
            &format!("{}, and later segments or batches prove that it was synced", rest.what),
        )),
        None => Ok(scan),
    }
}

/// Checks a sealed segment from its first byte to its last; gives what the next goes on from.
pub(super) fn verify(
    file: &SegmentFile,
    before: Option<Before>,
) -> Result<Option<Before>, LogError> {
    let scan = whole(file, before.as_ref())?;
    if !scan.sealed {
        return Err(file.damaged(scan.end, "the footer is not there"));
    }
    let end = (file.id.number, scan.end);
    Ok(Some(Before { state: scan.state, next_batch: scan.next_batch, end }))
}

/// The same for the segment that is written to, up to the last synced batch.
pub(super) fn verify_active(
    file: &SegmentFile,
    end: u64,
    before: Option<&Before>,
) -> Result<(), LogError> {
    let scan = scan_synced(file, &file.read_to(end)?, before)?;
    match scan.end == end {
        true => Ok(()),
        false => Err(file.damaged(scan.end, "a batch that was synced is not there")),
    }
}

/// Entries of older segments that a newer one has replaced.
fn clip_older(segments: &mut [Segment], newer: &Segment, after: &Before) {
    let first = newer.runs.as_slice().first().map(|run| run.first);
    for segment in segments {
        let last = after.state.last.map(|last| last.index);
        segment.runs.clip(last);
        match first {
            Some(LogIndex(0)) => segment.runs.clip(None),
            Some(first) => segment.runs.clip(Some(LogIndex(first.0 - 1))),
            None => {}
        }
    }
}

/// The only segment of which something may be cut.
fn last_segment(file: &SegmentFile, before: Option<&Before>) -> Result<Scan, LogError> {
    let bytes = file.read_all()?;
    let scan =
        scan(&file.id, &bytes, before).map_err(|wrong| file.damaged(wrong.offset, &wrong.what))?;
    match &scan.rest {
        Some(rest) => judge(file, &scan, rest).map(|()| scan),
        None => Ok(scan),
    }
}

fn judge(file: &SegmentFile, scan: &Scan, rest: &Rest) -> Result<(), LogError> {
    if scan.sealed {
        return Err(file.damaged(rest.at, "something stands behind the footer"));
    }
    if let Some(proof) = rest.followed_by {
        let what = format!("{}; the batch at {proof} proves that it was synced", rest.what);
        return Err(file.damaged(rest.at, &what));
    }
    if rest.whole {
        let what = format!("{}; no part of it is missing, so it was written once", rest.what);
        return Err(file.damaged(rest.at, &what));
    }
    Ok(())
}

/// What the lowest segment builds on must have been purged.
fn check_lowest(found: &Found, dir: &Path) -> Result<(), LogError> {
    let Some(lowest) = found.segments.first() else { return Ok(()) };
    let purged = found.before.state.purged;
    match lowest.before {
        Some(before) if purged.is_none_or(|purged| purged.index < before.index) => {
            Err(LogError::Missing {
                file: dir.join(file_name(lowest.file.id.number - 1)),
                what: format!("entries up to {before} are not purged"),
            })
        }
        _ => Ok(()),
    }
}

impl Found {
    /// Clears what was cut and makes all that was read durable, so that the next
    /// batch may say so.
    fn settle(&self) -> Result<(), LogError> {
        let Some(active) = self.segments.last() else { return Ok(()) };
        let file = &active.file;
        if let Some(cut) = &self.cut {
            let zeros = vec![0; usize::try_from(cut.bytes).unwrap_or(0)];
            let written = file.file.write_all_at(&zeros, cut.offset);
            written.map_err(LogError::io(&file.path, "clear a torn batch"))?;
        }
        file.file.sync_data().map_err(LogError::io(&file.path, "sync"))
    }
}
