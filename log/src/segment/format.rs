//! The bytes of a segment file; docs/format.md, "Segments", draws them.
//!
//! Pure. All numbers are little-endian. Every checksum is CRC32C over a seed of
//! segment number, segment id and offset, then the bytes, so that bytes of
//! another file or place never pass.

use bytes::Bytes;

use super::{EntryKind, LogId, MAX_PAYLOAD_BYTES, MAX_VOTE_BYTES};
use crate::chain::{Head, Tree};
use crate::id::{Hash, LogIndex, Term, Timestamp};

/// The newest format that this program knows.
pub const FORMAT: u32 = 1;
/// The first bytes of a segment.
pub const SEGMENT_MAGIC: [u8; 8] = *b"RDBTSEG\n";
/// Octets of a segment's header, padding included: the first batch is behind it.
pub const SEGMENT_HEADER_BYTES: usize = 4096;
/// The first bytes of a batch; none of them is zero.
pub const BATCH_MAGIC: [u8; 4] = *b"RBAT";
/// Octets of a batch's header.
pub const BATCH_HEADER_BYTES: usize = 80;
/// The last bytes of a batch; none of them is zero.
pub const BATCH_END: [u8; 4] = *b"REND";
/// Octets behind a batch's frames and their padding: its length and [`BATCH_END`].
pub const BATCH_TRAILER_BYTES: usize = 8;
/// Batches begin and end at multiples of this.
pub const BATCH_ALIGN: usize = 8;
/// Octets of a frame before its body: checksum, length, kind.
pub const FRAME_HEADER_BYTES: usize = 9;
/// Octets of an entry's frame before its payload: term, index, kind, stamp, time.
pub const ENTRY_FIXED_BYTES: usize = 33;

const USED_HEADER_BYTES: usize = 48;
/// More peaks than a number of 64 bits has.
const MAX_PEAKS: u32 = 64;

/// A segment's name among the files of a log.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:016x}.seg")
}

/// The number in a segment's name; `None` for other files.
pub(super) fn file_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (file_name(number) == name).then_some(number)
}

/// What a segment is, and the seed of its checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentId {
    /// Its place among the segments; the first is 1.
    pub(super) number: u64,
    /// Random, so that no bytes from outside can be a valid batch.
    pub(super) id: u64,
    /// That of the segment before, 0 for the first.
    pub(super) previous: u64,
    /// Bytes that the file was preallocated with.
    pub(super) capacity: u64,
}

impl SegmentId {
    fn checksum(&self, offset: u64, bytes: &[u8]) -> u32 {
        let mut seed = [0; 24];
        let parts = [self.number, self.id, offset];
        for (place, part) in seed.chunks_exact_mut(8).zip(parts) {
            place.copy_from_slice(&part.to_le_bytes());
        }
        crc32c::crc32c_append(crc32c::crc32c(&seed), bytes)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        for number in [self.number, self.id, self.previous, self.capacity] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        let mut bytes = SEGMENT_MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&header_checksum(FORMAT, &body).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes.resize(SEGMENT_HEADER_BYTES, 0);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut read = Cursor(bytes);
        let magic = read.take(8).ok_or(HeaderError::Damaged)?;
        let format = read.u32().ok_or(HeaderError::Damaged)?;
        let checksum = read.u32().ok_or(HeaderError::Damaged)?;
        let body = bytes.get(16..USED_HEADER_BYTES).ok_or(HeaderError::Damaged)?;
        if magic != SEGMENT_MAGIC || checksum != header_checksum(format, body) {
            return Err(HeaderError::Damaged);
        }
        if format != FORMAT {
            return Err(HeaderError::Newer(format));
        }
        read.segment_id().filter(|_| all_zero(read.0)).ok_or(HeaderError::Damaged)
    }
}

fn header_checksum(format: u32, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&format.to_le_bytes()), body)
}

/// Why a segment's header was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// It is not one.
    Damaged,
    /// It is one of a format to come.
    Newer(u32),
}

pub(super) fn all_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

// ----------------------------------------------------------------- contents

/// What a log is after some frame, its entries apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    /// The head after the last purged entry.
    pub(super) purged_head: Head,
    pub(super) last: Option<LogId>,
    /// The head after the last entry.
    pub(super) head: Head,
}

/// Where reading for an entry begins: the batch at `offset` has entry `first`,
/// and what follows up to the next run is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: LogIndex,
    pub(super) offset: u64,
}

/// The footer of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seal {
    /// The log at the end of the segment.
    pub(super) state: State,
    /// The last entry before the segment, and the chain there.
    pub(super) before: Option<LogId>,
    pub(super) chain_before: Hash,
    /// The number of its first batch.
    pub(super) first_batch: u64,
    pub(super) runs: Vec<Run>,
}

/// An entry as its frame has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryFrame<'a> {
    pub(super) id: LogId,
    pub(super) kind: EntryKind,
    pub(super) stamp: Timestamp,
    pub(super) time: Timestamp,
    pub(super) payload: &'a [u8],
}

/// One step of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// The first of every segment: all that was before in short.
    Start(State),
    Entry(EntryFrame<'a>),
    Vote(&'a [u8]),
    Committed(Option<LogId>),
    Truncate {
        last: Option<LogId>,
        head: Head,
    },
    Purge {
        upto: LogId,
        head: Head,
    },
    Reset {
        last: LogId,
        head: Head,
    },
    Seal(Box<Seal>),
    /// Nothing: that it stands here shows that what is before it was synced.
    Mark,
}

impl Frame<'_> {
    fn kind(&self) -> u8 {
        match self {
            Self::Start(_) => 1,
            Self::Entry(_) => 2,
            Self::Vote(_) => 3,
            Self::Committed(_) => 4,
            Self::Truncate { .. } => 5,
            Self::Purge { .. } => 6,
            Self::Reset { .. } => 7,
            Self::Seal(_) => 8,
            Self::Mark => 9,
        }
    }

    fn write_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Start(state) => write_state(state, out),
            Self::Entry(entry) => write_entry(entry, out),
            Self::Vote(vote) => out.extend_from_slice(vote),
            Self::Committed(id) => write_optional_id(*id, out),
            Self::Truncate { last, head } => {
                write_optional_id(*last, out);
                write_head(head, out);
            }
            Self::Purge { upto: id, head } | Self::Reset { last: id, head } => {
                write_id(*id, out);
                write_head(head, out);
            }
            Self::Seal(seal) => write_seal(seal, out),
            Self::Mark => {}
        }
    }
}

fn write_id(id: LogId, out: &mut Vec<u8>) {
    out.extend_from_slice(&id.term.0.to_le_bytes());
    out.extend_from_slice(&id.index.0.to_le_bytes());
}

fn write_optional_id(id: Option<LogId>, out: &mut Vec<u8>) {
    out.push(u8::from(id.is_some()));
    write_id(id.unwrap_or_default(), out);
}

fn write_head(head: &Head, out: &mut Vec<u8>) {
    out.extend_from_slice(&head.chain.0);
    out.extend_from_slice(&head.time.0.to_le_bytes());
    out.extend_from_slice(&head.tree.size().to_le_bytes());
    head.tree.peaks().iter().for_each(|peak| out.extend_from_slice(&peak.0));
}

fn write_entry(entry: &EntryFrame<'_>, out: &mut Vec<u8>) {
    write_id(entry.id, out);
    out.push(entry.kind as u8);
    out.extend_from_slice(&entry.stamp.0.to_le_bytes());
    out.extend_from_slice(&entry.time.0.to_le_bytes());
    out.extend_from_slice(entry.payload);
}

fn write_state(state: &State, out: &mut Vec<u8>) {
    let vote = state.vote.as_deref().unwrap_or_default();
    out.push(u8::from(state.vote.is_some()));
    out.extend_from_slice(&length(vote.len()).to_le_bytes());
    out.extend_from_slice(vote);
    write_optional_id(state.committed, out);
    write_optional_id(state.purged, out);
    write_head(&state.purged_head, out);
    write_optional_id(state.last, out);
    write_head(&state.head, out);
}

fn write_seal(seal: &Seal, out: &mut Vec<u8>) {
    write_state(&seal.state, out);
    write_optional_id(seal.before, out);
    out.extend_from_slice(&seal.chain_before.0);
    out.extend_from_slice(&seal.first_batch.to_le_bytes());
    out.extend_from_slice(&length(seal.runs.len()).to_le_bytes());
    for run in &seal.runs {
        out.extend_from_slice(&run.first.0.to_le_bytes());
        out.extend_from_slice(&run.offset.to_le_bytes());
    }
}

/// All lengths are bounded far below this where they come in.
pub(super) fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Reads numbers off the front of some bytes.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*front)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.array().map(i64::from_le_bytes).map(Timestamp)
    }

    fn hash(&mut self) -> Option<Hash> {
        self.array().map(Hash)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn id(&mut self) -> Option<LogId> {
        Some(LogId { term: Term(self.u64()?), index: LogIndex(self.u64()?) })
    }

    fn optional_id(&mut self) -> Option<Option<LogId>> {
        let present = self.flag()?;
        let id = self.id()?;
        (present || id == LogId::default()).then_some(present.then_some(id))
    }

    fn head(&mut self) -> Option<Head> {
        let (chain, time, size) = (self.hash()?, self.time()?, self.u64()?);
        let count = size.count_ones().min(MAX_PEAKS);
        let peaks = (0..count).map(|_| self.hash()).collect::<Option<Vec<_>>>()?;
        Some(Head { chain, time, tree: Tree::from_parts(size, peaks)? })
    }

    fn state(&mut self) -> Option<State> {
        let voted = self.flag()?;
        let len = self.u32()? as usize;
        let vote = self.take(len).filter(|vote| vote.len() <= MAX_VOTE_BYTES)?;
        Some(State {
            vote: voted.then(|| Bytes::copy_from_slice(vote)),
            committed: self.optional_id()?,
            purged: self.optional_id()?,
            purged_head: self.head()?,
            last: self.optional_id()?,
            head: self.head()?,
        })
    }

    fn seal(&mut self) -> Option<Seal> {
        let (state, before, chain_before) = (self.state()?, self.optional_id()?, self.hash()?);
        let (first_batch, count) = (self.u64()?, self.u32()? as usize);
        if count != self.0.len() / 16 {
            return None;
        }
        let run = |_| Some(Run { first: LogIndex(self.u64()?), offset: self.u64()? });
        let runs = (0..count).map(run).collect::<Option<Vec<_>>>()?;
        Some(Seal { state, before, chain_before, first_batch, runs })
    }

    fn entry(&mut self) -> Option<EntryFrame<'a>> {
        let id = self.id()?;
        let kind = EntryKind::from_number(self.u8()?)?;
        let (stamp, time) = (self.time()?, self.time()?);
        let payload = self.take(self.0.len()).filter(|bytes| bytes.len() <= MAX_PAYLOAD_BYTES)?;
        Some(EntryFrame { id, kind, stamp, time, payload })
    }

    fn frame(&mut self, kind: u8) -> Option<Frame<'a>> {
        let frame = match kind {
            1 => Frame::Start(self.state()?),
            2 => Frame::Entry(self.entry()?),
            3 => Frame::Vote(self.take(self.0.len())?),
            4 => Frame::Committed(self.optional_id()?),
            5 => Frame::Truncate { last: self.optional_id()?, head: self.head()? },
            6 => Frame::Purge { upto: self.id()?, head: self.head()? },
            7 => Frame::Reset { last: self.id()?, head: self.head()? },
            8 => Frame::Seal(Box::new(self.seal()?)),
            9 => Frame::Mark,
            _ => return None,
        };
        self.0.is_empty().then_some(frame)
    }

    fn segment_id(&mut self) -> Option<SegmentId> {
        Some(SegmentId {
            number: self.u64()?,
            id: self.u64()?,
            previous: self.u64()?,
            capacity: self.u64()?,
        })
    }
}

mod batch;

pub(super) use batch::{Batch, BatchBuffer, BatchHeader, Part, could_be_torn, decode_batch};
