//! Reads a whole segment from its first batch to its last, and checks each
//! step against what was before. Pure.

use bytes::Bytes;

use super::format::{
    BATCH_ALIGN, Batch, BatchHeader, EntryFrame, Frame, Part, Run, SEGMENT_HEADER_BYTES, Seal,
    SegmentId, State, could_be_torn, decode_batch,
};
use super::{EntryKind, LogId};
use crate::chain;
use crate::id::{Hash, LogIndex, Timestamp};

/// A run is closed once it is this many bytes long.
const RUN_BYTES: u64 = 64 * 1024;

impl State {
    /// The index of the next entry.
    pub(super) fn next_index(&self) -> LogIndex {
        self.last.map_or(LogIndex(0), |last| LogIndex(last.index.0 + 1))
    }

    /// Whether an entry with this id may be the next.
    pub(super) fn takes(&self, id: LogId) -> bool {
        id.index == self.next_index() && self.last.is_none_or(|last| id.term >= last.term)
    }

    /// The time that an entry with this stamp has if it is the next.
    pub(super) fn effective_time(&self, stamp: Timestamp) -> Timestamp {
        self.head.time.max(stamp)
    }

    /// Goes one step on.
    fn apply(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        match frame {
            Frame::Start(_) => return Err("a segment begins within another".into()),
            Frame::Entry(entry) => return self.apply_entry(entry),
            Frame::Vote(vote) => self.vote = Some(Bytes::copy_from_slice(vote)),
            Frame::Committed(committed) => self.committed = *committed,
            Frame::Truncate { last, head } => {
                self.last = *last;
                self.head = head.clone();
            }
            Frame::Purge { upto, head } => {
                self.purged = Some(*upto);
                self.purged_head = head.clone();
            }
            Frame::Reset { last, head } => self.reset(*last, head.clone()),
            Frame::Seal(seal) if seal.state != *self => {
                return Err("the footer does not agree with what is before it".into());
            }
            Frame::Seal(_) | Frame::Mark => {}
        }
        Ok(())
    }

    /// As if all up to `last` had been appended and purged.
    pub(super) fn reset(&mut self, last: LogId, head: chain::Head) {
        (self.last, self.purged) = (Some(last), Some(last));
        self.purged_head = head.clone();
        self.head = head;
    }

    fn apply_entry(&mut self, entry: &EntryFrame<'_>) -> Result<(), String> {
        if !self.takes(entry.id) {
            return Err(format!("entry {} does not follow on {:?}", entry.id, self.last));
        }
        if entry.time != self.effective_time(entry.stamp) {
            return Err(format!("entry {} has a wrong effective time", entry.id));
        }
        let leaf = leaf_of(entry.id, entry.kind, entry.time, &chain::content(entry.payload));
        self.head.push(entry.time, &leaf);
        self.last = Some(entry.id);
        Ok(())
    }
}

/// The leaf of an entry.
pub(super) fn leaf_of(id: LogId, kind: EntryKind, time: Timestamp, content: &Hash) -> Hash {
    chain::leaf(id.term, id.index, kind as u8, time, content)
}

/// Where entries stand in a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Runs {
    runs: Vec<Run>,
    broken: bool,
}

impl Runs {
    pub(super) fn from_seal(runs: Vec<Run>) -> Self {
        Self { runs, broken: false }
    }

    pub(super) fn as_slice(&self) -> &[Run] {
        &self.runs
    }

    /// A batch at `offset` has the entry `first` as its first.
    pub(super) fn note(&mut self, first: LogIndex, offset: u64) {
        let near = self.runs.last().is_some_and(|run| offset - run.offset < RUN_BYTES);
        if self.broken || !near {
            self.runs.push(Run { first, offset });
            self.broken = false;
        }
    }

    /// Entries behind `last` are gone.
    pub(super) fn clip(&mut self, last: Option<LogIndex>) {
        self.runs.retain(|run| last.is_some_and(|last| run.first <= last));
        self.broken = true;
    }
}

/// What is known from the segments before.
#[derive(Debug, Clone)]
pub(super) struct Before {
    pub(super) state: State,
    pub(super) next_batch: u64,
    /// Where the last batch ended: segment and offset.
    pub(super) end: (u64, u64),
}

impl Before {
    /// Before the first batch of all.
    pub(super) fn nothing() -> Self {
        Self { state: State::default(), next_batch: 1, end: (1, SEGMENT_HEADER_BYTES as u64) }
    }
}

/// A segment up to its last good batch.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) state: State,
    pub(super) next_batch: u64,
    /// Behind the last good batch.
    pub(super) end: u64,
    pub(super) runs: Runs,
    /// The last entry and the chain before the segment, and its first batch's number.
    pub(super) before: Option<LogId>,
    pub(super) chain_before: Hash,
    pub(super) first_batch: u64,
    pub(super) sealed: bool,
    /// Whether the last good batch says that all before it was synced and has nothing else.
    pub(super) marked: bool,
    /// Cut-offs that reach back before this segment, in their order.
    pub(super) clips: Vec<Option<LogIndex>>,
    /// What stands behind the last good batch, if that is not zeros.
    pub(super) rest: Option<Rest>,
}

/// Bytes behind the last good batch that are no batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rest {
    /// Bytes up to the last that is not zero.
    pub(super) bytes: u64,
    /// What does not read, and where.
    pub(super) what: String,
    pub(super) at: u64,
    /// The place of a valid batch header behind it.
    pub(super) followed_by: Option<u64>,
    /// All of it was once written whole.
    pub(super) whole: bool,
}

/// What is wrong, and at which offset: something that no crash leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) offset: u64,
    pub(super) what: String,
}

/// Reads a segment's batches. Without `before` (the segments before were
/// purged) the segment's own start is believed.
pub(super) fn scan(
    segment: &SegmentId,
    bytes: &[u8],
    before: Option<&Before>,
) -> Result<Scan, Wrong> {
    let mut scan = Scan::at_start(before);
    let mut end = before.map(|before| before.end);
    loop {
        let rest = bytes.get(to_usize(scan.end)..).unwrap_or_default();
        match decode_batch(segment, scan.end, rest) {
            Ok(batch) => {
                scan.take(&batch, before, end).map_err(|what| Wrong { offset: scan.end, what })?;
                scan.end += batch.header.batch_len() as u64;
                end = Some((segment.number, scan.end));
            }
            Err(part) => {
                scan.rest = rest_of(segment, scan.end, rest, part);
                return Ok(scan);
            }
        }
    }
}

fn to_usize(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Scan {
    fn at_start(before: Option<&Before>) -> Self {
        let state = before.map(|before| before.state.clone()).unwrap_or_default();
        let next_batch = before.map_or(0, |before| before.next_batch);
        Self {
            before: state.last,
            chain_before: state.head.chain,
            first_batch: next_batch,
            state,
            next_batch,
            end: SEGMENT_HEADER_BYTES as u64,
            runs: Runs::default(),
            sealed: false,
            marked: false,
            clips: Vec::new(),
            rest: None,
        }
    }

    /// Whether the segment has no batch yet.
    pub(super) fn is_blank(&self) -> bool {
        self.end == SEGMENT_HEADER_BYTES as u64
    }

    fn take(
        &mut self,
        batch: &Batch<'_>,
        before: Option<&Before>,
        end: Option<(u64, u64)>,
    ) -> Result<(), String> {
        if self.sealed {
            return Err("a batch stands behind the footer".into());
        }
        let mut frames = batch.frames.as_slice();
        if self.is_blank() {
            let (start, rest) = frames.split_first().ok_or("a batch without frames")?;
            self.start(start, &batch.header, before)?;
            frames = rest;
        }
        self.check_header(&batch.header, end)?;
        self.note(batch.first_entry(), frames);
        for frame in frames {
            self.step(frame)?;
        }
        self.marked = matches!(batch.frames.as_slice(), [.., Frame::Mark]);
        self.next_batch += 1;
        Ok(())
    }

    fn start(
        &mut self,
        frame: &Frame<'_>,
        header: &BatchHeader,
        before: Option<&Before>,
    ) -> Result<(), String> {
        let Frame::Start(state) = frame else {
            return Err("the segment's first frame is not its start".into());
        };
        match before {
            Some(before) if before.state != *state => {
                return Err("the segment does not go on where the one before ended".into());
            }
            Some(_) => return Ok(()),
            None => {}
        }
        self.state = state.clone();
        (self.before, self.chain_before) = (state.last, state.head.chain);
        (self.first_batch, self.next_batch) = (header.number, header.number);
        Ok(())
    }

    fn check_header(&self, header: &BatchHeader, end: Option<(u64, u64)>) -> Result<(), String> {
        if header.number != self.next_batch {
            return Err(format!("batch {} where {} was due", header.number, self.next_batch));
        }
        if end.is_some_and(|end| end != header.synced) {
            return Err(format!("the sync before it ended at {:?}, not {end:?}", header.synced));
        }
        let head = &self.state.head;
        match header.chain == head.chain && header.tree_size == head.tree.size() {
            true => Ok(()),
            false => Err("the chain is broken before this batch".into()),
        }
    }

    /// Truncations and resets stand before a batch's entries, never behind.
    fn note(&mut self, first: Option<LogIndex>, frames: &[Frame<'_>]) {
        for last in frames.iter().filter_map(Frame::clips) {
            self.runs.clip(last);
            self.clips.push(last);
        }
        if let Some(first) = first {
            self.runs.note(first, self.end);
        }
    }

    fn step(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        if let Frame::Seal(seal) = frame {
            self.check_seal(seal)?;
            self.sealed = true;
        }
        self.state.apply(frame)
    }

    fn check_seal(&self, seal: &Seal) -> Result<(), String> {
        let same = seal.runs == self.runs.as_slice()
            && seal.before == self.before
            && seal.chain_before == self.chain_before
            && seal.first_batch == self.first_batch;
        if same { Ok(()) } else { Err("the footer does not agree with the segment".into()) }
    }
}

impl Batch<'_> {
    /// The index of its first entry.
    pub(super) fn first_entry(&self) -> Option<LogIndex> {
        self.frames.iter().find_map(|frame| match frame {
            Frame::Entry(entry) => Some(entry.id.index),
            _ => None,
        })
    }
}

impl Frame<'_> {
    /// Where it cuts off the entries before it, if it does.
    pub(super) fn clips(&self) -> Option<Option<LogIndex>> {
        match self {
            Self::Truncate { last, .. } => Some(last.map(|last| last.index)),
            Self::Reset { last, .. } => Some(Some(last.index)),
            _ => None,
        }
    }
}

fn rest_of(segment: &SegmentId, offset: u64, bytes: &[u8], part: Part) -> Option<Rest> {
    let used = bytes.iter().rposition(|byte| *byte != 0)? + 1;
    let header = BatchHeader::decode(segment, offset, bytes);
    let extent = header.map_or(used, |header| header.batch_len());
    let skip = header.map_or(BATCH_ALIGN, |header| header.batch_len());
    let (what, at) = describe(part, offset);
    Some(Rest {
        bytes: used as u64,
        what,
        at,
        followed_by: find_header(segment, offset, bytes.get(..used).unwrap_or(bytes), skip),
        whole: bytes.get(..extent).is_some_and(|bytes| !could_be_torn(offset, bytes)),
    })
}

fn describe(part: Part, offset: u64) -> (String, u64) {
    match part {
        Part::Header => ("no batch begins here".into(), offset),
        Part::End => ("the file ends within this batch".into(), offset),
        Part::Frame(place) => {
            let what = format!("a frame of the batch at {offset} does not read");
            (what, offset + place as u64)
        }
        Part::Trailer(place) => {
            (format!("the end of the batch at {offset} does not read"), offset + place as u64)
        }
    }
}

fn find_header(segment: &SegmentId, offset: u64, bytes: &[u8], skip: usize) -> Option<u64> {
    let places = (skip..bytes.len()).step_by(BATCH_ALIGN);
    let found = places.into_iter().find(|place| {
        let rest = bytes.get(*place..).unwrap_or_default();
        BatchHeader::decode(segment, offset + *place as u64, rest).is_some()
    })?;
    Some(offset + found as u64)
}
