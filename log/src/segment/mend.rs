//! A damaged sealed segment made whole again from entries that a peer has. Pure:
//! bytes in, bytes out.
//!
//! What still reads stays as it is. Each damaged stretch lies between a batch that
//! reads and the next one (or the end), whose header says how many batches and
//! which entries stood in between; these are written anew in exactly that room,
//! filled up with marks. The result must read from end to end, with every
//! checksum and the whole chain, and leave the log as the next segment says it
//! found it: whatever does not is refused, and the segment stays as it was.

use std::collections::BTreeMap;

use super::format::{
    BATCH_ALIGN, BatchBuffer, BatchHeader, EntryFrame, Frame, SEGMENT_HEADER_BYTES, Seal,
    SegmentId, State,
};
use super::scan::{Before, Scan, leaf_of, scan};
use super::{LogEntry, LogId};
use crate::chain::{Head, content};
use crate::id::LogIndex;

/// Stretches that are mended in one segment.
const MOST_STRETCHES: usize = 64;
/// Marks and notes of what is committed that fill a stretch up.
const MOST_FILLERS: usize = 4096;

/// What stands behind a sealed segment.
#[derive(Debug, Clone)]
pub(super) struct After {
    /// The log as the next segment found it.
    pub(super) state: State,
    /// The number of that segment's first batch.
    pub(super) next_batch: u64,
    /// Where this segment ends.
    pub(super) end: u64,
}

/// Entries of a range from its first to that before its last.
type Fetched = BTreeMap<(LogIndex, LogIndex), Result<Vec<LogEntry>, String>>;

/// Gives entries of a range, all of them, verified.
pub(super) type Fetch<'a> = &'a mut dyn FnMut(LogIndex, LogIndex) -> Result<Vec<LogEntry>, String>;

/// The segment that is mended, and what is known of what stands around it.
#[derive(Clone, Copy)]
struct Case<'a> {
    id: &'a SegmentId,
    before: Option<&'a Before>,
    after: &'a After,
    extras: Extras,
}

/// What a stretch may have to say beside entries, so that the log ends as it must.
#[derive(Debug, Clone, Copy, Default)]
struct Extras {
    vote: bool,
    committed: bool,
    purged: bool,
}

/// The segment's bytes as they must have been, as far as that matters.
///
/// # Errors
/// Why it cannot be made whole.
pub(super) fn mend(
    id: &SegmentId,
    damaged: &[u8],
    before: Option<&Before>,
    after: &After,
    fetch: Fetch<'_>,
) -> Result<Vec<u8>, String> {
    let mut bytes = damaged.to_vec();
    bytes.resize(usize::try_from(after.end).map_err(|_| "it is too long")?, 0);
    let header = id.encode();
    bytes.get_mut(..SEGMENT_HEADER_BYTES).ok_or("it is too short")?.copy_from_slice(&header);
    let (mut why, mut fetched) = (String::new(), Fetched::new());
    // Each choice needs what the one before it needed.
    let fetch: Fetch<'_> = &mut |first, behind| {
        fetched.entry((first, behind)).or_insert_with(|| fetch(first, behind)).clone()
    };
    for choice in 0..8u8 {
        let extras =
            Extras { committed: choice & 1 > 0, vote: choice & 2 > 0, purged: choice & 4 > 0 };
        match (Case { id, before, after, extras }).mend(bytes.clone(), fetch) {
            Ok(whole) => return Ok(whole),
            Err(error) if why.is_empty() => why = error,
            Err(_) => {}
        }
    }
    Err(why)
}

impl Case<'_> {
    fn mend(&self, mut bytes: Vec<u8>, fetch: Fetch<'_>) -> Result<Vec<u8>, String> {
        let Self { id, before, after, .. } = *self;
        for _ in 0..MOST_STRETCHES {
            let read = scan(id, &bytes, before).map_err(|wrong| wrong.what)?;
            if read.sealed && read.end == after.end && read.rest.is_none() {
                let fits = read.state == after.state && read.next_batch == after.next_batch;
                return if fits { Ok(bytes) } else { Err("it ends with another log".to_owned()) };
            }
            let stretch = Stretch::after(self, &bytes, &read)?;
            let written = stretch.write(self, &bytes, fetch)?;
            let place = to_usize(stretch.from)..to_usize(stretch.to);
            bytes.get_mut(place).ok_or("it does not fit")?.copy_from_slice(&written);
        }
        Err("too much of it is damaged".to_owned())
    }
}

/// What does not read, and what must have been there.
struct Stretch {
    from: u64,
    to: u64,
    batches: u64,
    entries: u64,
    /// Whether the footer was in it.
    seals: bool,
    /// The log before it.
    state: State,
    number: u64,
    synced: (u64, u64),
    known_runs: usize,
}

impl Stretch {
    fn after(case: &Case<'_>, bytes: &[u8], read: &Scan) -> Result<Self, String> {
        let Case { id, before, after, .. } = *case;
        let from = read.end;
        let blank = read.is_blank();
        let (state, number) = match (blank, before) {
            (false, _) => (read.state.clone(), read.next_batch),
            (true, Some(before)) => (before.state.clone(), before.next_batch),
            (true, None) => return Err("what was before this segment is not known".to_owned()),
        };
        let synced = match before.filter(|_| blank) {
            Some(before) => before.end,
            None => (id.number, from),
        };
        let next = next_batch(id, bytes, from, after.end);
        let (to, upto, size) = match &next {
            Some((place, header)) => (*place, header.number, header.tree_size),
            None => (after.end, after.next_batch, after.state.head.tree.size()),
        };
        let wrong = || "entries were cut off where it is damaged".to_owned();
        let batches = upto.checked_sub(number).filter(|n| *n > 0).ok_or_else(wrong)?;
        let entries = size.checked_sub(state.head.tree.size()).ok_or_else(wrong)?;
        let (seals, known_runs) = (next.is_none(), read.runs.as_slice().len());
        Ok(Self { from, to, batches, entries, seals, state, number, synced, known_runs })
    }

    fn write(&self, case: &Case<'_>, bytes: &[u8], fetch: Fetch<'_>) -> Result<Vec<u8>, String> {
        let first = self.state.next_index();
        let behind = LogIndex(first.0 + self.entries);
        let entries = if self.entries > 0 { fetch(first, behind)? } else { Vec::new() };
        let in_order = (first.0..behind.0).eq(entries.iter().map(|entry| entry.id.index.0));
        if !in_order {
            return Err(format!("entries {first} to {behind} did not come whole"));
        }
        if !self.seals {
            return self.fill(case, &entries, self.batches, self.to);
        }
        // How long the footer is depends on how many runs it lists.
        for runs in self.known_runs..=self.known_runs + to_usize(self.batches) {
            let sealed = self.with_footer(case, bytes, &entries, runs);
            if let Some(sealed) = sealed {
                return Ok(sealed);
            }
        }
        Err("its footer does not fit where it was".to_owned())
    }

    fn with_footer(
        &self,
        case: &Case<'_>,
        bytes: &[u8],
        entries: &[LogEntry],
        runs: usize,
    ) -> Option<Vec<u8>> {
        let Case { id, before, after, .. } = *case;
        let last = self.batches.checked_sub(1)?;
        let footer = batch_of(&[Frame::Seal(Box::new(seal_of(after, runs)))]).len() as u64;
        let place = self.to.checked_sub(footer).filter(|place| *place >= self.from)?;
        let mut front = bytes.get(..to_usize(self.from))?.to_vec();
        if last > 0 {
            front.extend(self.fill(case, entries, last, place).ok()?);
        }
        let read = scan(id, &front, before).ok()?;
        if read.end != place || read.runs.as_slice().len() != runs {
            return None;
        }
        let seal = Seal {
            state: read.state.clone(),
            before: read.before,
            chain_before: read.chain_before,
            first_batch: read.first_batch,
            runs: read.runs.as_slice().to_vec(),
        };
        let mut buffer = batch_of(&[Frame::Seal(Box::new(seal))]);
        let header = BatchHeader {
            frames_len: 0,
            frames: 0,
            number: read.next_batch,
            synced: if read.is_blank() { self.synced } else { (id.number, place) },
            tree_size: read.state.head.tree.size(),
            chain: read.state.head.chain,
        };
        let footer = buffer.finish(id, place, header).to_vec();
        let data = front.get(to_usize(self.from)..)?;
        Some([data, &footer].concat())
    }

    /// So many batches with these entries, from the stretch's start to exactly `to`.
    fn fill(
        &self,
        case: &Case<'_>,
        entries: &[LogEntry],
        batches: u64,
        to: u64,
    ) -> Result<Vec<u8>, String> {
        let mut groups = self.groups(entries, case.after, case.extras, to_usize(batches));
        let used: usize = groups.iter().map(|group| batch_of(group).len()).sum();
        let room = to_usize(to - self.from);
        let slack = room.checked_sub(used).ok_or("what stood there is longer than its room")?;
        let last = groups.last_mut().ok_or("no batch stood there")?;
        pad(last, slack, &self.state).ok_or("the room that it had cannot be filled")?;
        Ok(self.encode(case.id, &groups))
    }

    /// The frames of each batch.
    fn groups<'a>(
        &self,
        entries: &'a [LogEntry],
        after: &'a After,
        extras: Extras,
        batches: usize,
    ) -> Vec<Vec<Frame<'a>>> {
        let each = entries.len().div_ceil(batches.max(1)).max(1);
        let mut pieces = entries.chunks(each);
        let mut groups: Vec<Vec<Frame<'a>>> = Vec::with_capacity(batches);
        for n in 0..batches {
            let mut group = Vec::new();
            if n == 0 && self.from == SEGMENT_HEADER_BYTES as u64 {
                group.push(Frame::Start(self.state.clone()));
            }
            if n == 0 {
                group.extend(extra_frames(after, extras));
            }
            let piece = pieces.next().unwrap_or_default();
            group.extend(piece.iter().map(|entry| Frame::Entry(frame_of(entry))));
            if group.is_empty() {
                group.push(Frame::Mark);
            }
            groups.push(group);
        }
        groups
    }

    fn encode(&self, id: &SegmentId, groups: &[Vec<Frame<'_>>]) -> Vec<u8> {
        let (mut out, mut head) = (Vec::new(), self.state.head.clone());
        let (mut number, mut synced) = (self.number, self.synced);
        for group in groups {
            let offset = self.from + out.len() as u64;
            let header = BatchHeader {
                frames_len: 0,
                frames: 0,
                number,
                synced,
                tree_size: head.tree.size(),
                chain: head.chain,
            };
            out.extend_from_slice(batch_of(group).finish(id, offset, header));
            group.iter().for_each(|frame| push(&mut head, frame));
            number += 1;
            synced = (id.number, self.from + out.len() as u64);
        }
        out
    }
}

fn push(head: &mut Head, frame: &Frame<'_>) {
    if let Frame::Entry(entry) = frame {
        let leaf = leaf_of(entry.id, entry.kind, entry.time, &content(entry.payload));
        head.push(entry.time, &leaf);
    }
}

fn frame_of(entry: &LogEntry) -> EntryFrame<'_> {
    let LogEntry { id, kind, time, stamp, payload, .. } = entry;
    EntryFrame { id: *id, kind: *kind, stamp: *stamp, time: *time, payload }
}

fn extra_frames(after: &After, extras: Extras) -> Vec<Frame<'_>> {
    let state = &after.state;
    let mut frames = Vec::new();
    if extras.committed {
        frames.push(Frame::Committed(state.committed));
    }
    if let Some(vote) = state.vote.as_deref().filter(|_| extras.vote) {
        frames.push(Frame::Vote(vote));
    }
    if let Some(upto) = state.purged.filter(|_| extras.purged) {
        frames.push(Frame::Purge { upto, head: state.purged_head.clone() });
    }
    frames
}

fn batch_of(frames: &[Frame<'_>]) -> BatchBuffer {
    let mut buffer = BatchBuffer::default();
    buffer.begin();
    frames.iter().for_each(|frame| buffer.push(frame));
    buffer
}

/// A footer of the right length; its contents come later.
fn seal_of(after: &After, runs: usize) -> Seal {
    let run = super::format::Run { first: LogIndex(0), offset: 0 };
    Seal {
        state: after.state.clone(),
        before: None::<LogId>,
        chain_before: after.state.head.chain,
        first_batch: 0,
        runs: vec![run; runs],
    }
}

/// Makes a batch longer by exactly `slack` bytes, with frames that say nothing new.
fn pad<'a>(group: &mut Vec<Frame<'a>>, slack: usize, state: &State) -> Option<()> {
    if slack == 0 {
        return Some(());
    }
    let target = batch_of(group).len() + slack;
    // A note of what is committed stands before entries as well as behind them.
    for notes in 0..BATCH_ALIGN + 1 {
        let mut longer = group.clone();
        longer.extend((0..notes).map(|_| Frame::Committed(state.committed)));
        while batch_of(&longer).len() < target && longer.len() < group.len() + MOST_FILLERS {
            let missing = target - batch_of(&longer).len();
            let marks = (missing / 9).max(1);
            longer.extend((0..marks.min(MOST_FILLERS)).map(|_| Frame::Mark));
        }
        if batch_of(&longer).len() == target {
            *group = longer;
            return Some(());
        }
    }
    None
}

/// The next batch whose header reads.
fn next_batch(id: &SegmentId, bytes: &[u8], from: u64, end: u64) -> Option<(u64, BatchHeader)> {
    let places = (to_usize(from) + BATCH_ALIGN..to_usize(end)).step_by(BATCH_ALIGN);
    places.into_iter().find_map(|place| {
        let header = BatchHeader::decode(id, place as u64, bytes.get(place..)?)?;
        Some((place as u64, header))
    })
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
