//! Reads entries back from segment files, every checksum and the chain verified.

use bytes::Bytes;

use super::core::Place;
use super::file::SegmentFile;
use super::format::{Batch, EntryFrame, Frame, Part, decode_batch};
use super::scan::leaf_of;
use super::{LogEntry, LogError};
use crate::chain::{Head, content, link};
use crate::id::{Hash, LogIndex};

/// Entries from `from` on that stand in a place, at least one; stops at the
/// place's end, at `end`, or when `max_bytes` of payload are there.
pub(super) fn read_place(
    place: &Place,
    from: LogIndex,
    end: LogIndex,
    max_bytes: usize,
) -> Result<Vec<LogEntry>, LogError> {
    let mut reading = Reading {
        next: from,
        end: end.min(place.end),
        room: max_bytes,
        entries: Vec::new(),
        chain: None,
    };
    let mut offset = place.offset;
    while reading.wants_more() {
        offset += reading.take_batch(&place.file, offset)?;
    }
    Ok(reading.entries)
}

struct Reading {
    next: LogIndex,
    end: LogIndex,
    room: usize,
    entries: Vec<LogEntry>,
    /// The chain after the batch before.
    chain: Option<Hash>,
}

impl Reading {
    fn wants_more(&self) -> bool {
        self.next < self.end && (self.entries.is_empty() || self.room > 0)
    }

    /// Reads one batch; gives its length.
    fn take_batch(&mut self, file: &SegmentFile, offset: u64) -> Result<u64, LogError> {
        let (header, bytes) = file.batch_bytes(offset)?;
        let batch =
            decode_batch(&file.id, offset, &bytes).map_err(|part| broken(file, offset, part))?;
        if self.chain.is_some_and(|chain| chain != header.chain) {
            return Err(file.damaged(offset, "the chain is broken before this batch"));
        }
        self.take_frames(&batch).ok_or_else(|| {
            let what = format!("entry {} should stand here and does not", self.next);
            file.damaged(offset, &what)
        })?;
        Ok(bytes.len() as u64)
    }

    /// `None` when an entry is not where it must be.
    fn take_frames(&mut self, batch: &Batch<'_>) -> Option<()> {
        let (mut chain, mut position) = (batch.header.chain, batch.header.tree_size);
        for frame in &batch.frames {
            match frame {
                Frame::Entry(entry) => {
                    let leaf = leaf_of(entry.id, entry.kind, entry.time, &content(entry.payload));
                    chain = link(&chain, &leaf);
                    self.take_entry(entry, chain, position)?;
                    position += 1;
                }
                Frame::Truncate { head, .. } | Frame::Reset { head, .. } => {
                    (chain, position) = (head.chain, head.tree.size());
                }
                Frame::Seal(_) => return None,
                _ => {}
            }
        }
        self.chain = Some(chain);
        Some(())
    }

    fn take_entry(&mut self, entry: &EntryFrame<'_>, chain: Hash, position: u64) -> Option<()> {
        if entry.id.index < self.next || !self.wants_more() {
            return Some(());
        }
        if entry.id.index != self.next {
            return None;
        }
        let cost = entry.payload.len();
        if cost > self.room && !self.entries.is_empty() {
            self.room = 0;
            return Some(());
        }
        self.room = self.room.saturating_sub(cost);
        self.entries.push(LogEntry {
            id: entry.id,
            kind: entry.kind,
            time: entry.time,
            stamp: entry.stamp,
            payload: Bytes::copy_from_slice(entry.payload),
            chain,
            position,
        });
        self.next = LogIndex(self.next.0 + 1);
        Some(())
    }
}

fn broken(file: &SegmentFile, offset: u64, part: Part) -> LogError {
    let place = match part {
        Part::Header | Part::End => 0,
        Part::Frame(place) | Part::Trailer(place) => place,
    };
    file.damaged(offset + place as u64, "a batch that was synced does not read")
}

/// The head after the entry `index`, which stands in this place, from the
/// segment's start on.
pub(super) fn head_in_place(place: &Place, index: LogIndex) -> Result<Head, LogError> {
    let file = &place.file;
    let mut head: Option<Head> = None;
    let mut offset = super::format::SEGMENT_HEADER_BYTES as u64;
    loop {
        let (_, bytes) = file.batch_bytes(offset)?;
        let batch =
            decode_batch(&file.id, offset, &bytes).map_err(|part| broken(file, offset, part))?;
        for frame in &batch.frames {
            let found = step(&mut head, frame) == Some(index) && offset >= place.offset;
            if let (true, Some(head)) = (found, &head) {
                return Ok(head.clone());
            }
            if matches!(frame, Frame::Seal(_)) {
                return Err(file.damaged(offset, &format!("entry {index} is not in the segment")));
            }
        }
        offset += bytes.len() as u64;
    }
}

/// Gives the index where the frame is an entry.
fn step(head: &mut Option<Head>, frame: &Frame<'_>) -> Option<LogIndex> {
    match frame {
        Frame::Start(state) => *head = Some(state.head.clone()),
        Frame::Truncate { head: after, .. } | Frame::Reset { head: after, .. } => {
            *head = Some(after.clone());
        }
        Frame::Entry(entry) => {
            let leaf = leaf_of(entry.id, entry.kind, entry.time, &content(entry.payload));
            head.as_mut()?.push(entry.time, &leaf);
            return Some(entry.id.index);
        }
        _ => {}
    }
    None
}
