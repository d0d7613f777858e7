//! Batches: what one write and one sync bring.

use super::{
    BATCH_ALIGN, BATCH_END, BATCH_HEADER_BYTES, BATCH_MAGIC, BATCH_TRAILER_BYTES, Cursor,
    FRAME_HEADER_BYTES, Frame, SegmentId, length,
};
use crate::id::Hash;

/// What stands before a batch's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::segment) struct BatchHeader {
    /// Bytes of its frames.
    pub(in crate::segment) frames_len: u32,
    /// How many they are.
    pub(in crate::segment) frames: u32,
    /// Its place among the log's batches; the first is 1.
    pub(in crate::segment) number: u64,
    /// Where the last sync that had completed when this was written ended: segment and offset.
    pub(in crate::segment) synced: (u64, u64),
    /// Leaves in the tree before its first frame.
    pub(in crate::segment) tree_size: u64,
    /// The chain before its first frame.
    pub(in crate::segment) chain: Hash,
}

/// Bytes of a batch with so many bytes of frames.
pub(in crate::segment) fn batch_len(frames_len: u32) -> usize {
    let frames = BATCH_HEADER_BYTES + frames_len as usize;
    frames.next_multiple_of(BATCH_ALIGN) + BATCH_TRAILER_BYTES
}

impl BatchHeader {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BATCH_HEADER_BYTES);
        out.extend_from_slice(&self.frames_len.to_le_bytes());
        out.extend_from_slice(&self.frames.to_le_bytes());
        for number in [self.number, self.synced.0, self.synced.1, self.tree_size] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.chain.0);
        out
    }

    /// The header at `offset`; `None` when the bytes there are not one.
    pub(in crate::segment) fn decode(
        segment: &SegmentId,
        offset: u64,
        bytes: &[u8],
    ) -> Option<Self> {
        let mut read = Cursor(bytes.get(..BATCH_HEADER_BYTES)?);
        if read.array()? != BATCH_MAGIC || read.u32()? != segment.checksum(offset, read.0) {
            return None;
        }
        Some(Self {
            frames_len: read.u32()?,
            frames: read.u32()?,
            number: read.u64()?,
            synced: (read.u64()?, read.u64()?),
            tree_size: read.u64()?,
            chain: read.hash()?,
        })
    }

    /// Bytes of the whole batch.
    pub(in crate::segment) fn batch_len(&self) -> usize {
        batch_len(self.frames_len)
    }
}

/// A batch whose checksums all fit.
#[derive(Debug)]
pub(in crate::segment) struct Batch<'a> {
    pub(in crate::segment) header: BatchHeader,
    pub(in crate::segment) frames: Vec<Frame<'a>>,
}

/// The part of a batch that does not read, and where it begins in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::segment) enum Part {
    /// No header, so that nothing is known of the rest.
    Header,
    /// The file ends before the batch does.
    End,
    /// A frame.
    Frame(usize),
    /// What is behind the frames.
    Trailer(usize),
}

/// The batch at the front of `bytes`, which stand at `offset` of the segment.
pub(in crate::segment) fn decode_batch<'a>(
    segment: &SegmentId,
    offset: u64,
    bytes: &'a [u8],
) -> Result<Batch<'a>, Part> {
    let header = BatchHeader::decode(segment, offset, bytes).ok_or(Part::Header)?;
    let whole = bytes.get(..header.batch_len()).ok_or(Part::End)?;
    let end = BATCH_HEADER_BYTES + header.frames_len as usize;
    let (front, behind) = whole.split_at_checked(end).ok_or(Part::End)?;
    if behind != trailer(header.frames_len) {
        return Err(Part::Trailer(end));
    }
    let mut frames = Vec::new();
    let mut place = BATCH_HEADER_BYTES;
    while place < end {
        let rest = front.get(place..).unwrap_or_default();
        let (frame, len) =
            decode_frame(segment, offset + place as u64, rest).ok_or(Part::Frame(place))?;
        frames.push(frame);
        place += len;
    }
    match frames.len() == header.frames as usize {
        true => Ok(Batch { header, frames }),
        false => Err(Part::Trailer(end)),
    }
}

fn decode_frame<'a>(
    segment: &SegmentId,
    offset: u64,
    bytes: &'a [u8],
) -> Option<(Frame<'a>, usize)> {
    let mut read = Cursor(bytes);
    let (checksum, len) = (read.u32()?, read.u32()? as usize);
    let total = FRAME_HEADER_BYTES.checked_add(len)?;
    if segment.checksum(offset, bytes.get(4..total)?) != checksum {
        return None;
    }
    let kind = read.u8()?;
    let frame = Cursor(read.take(len)?).frame(kind)?;
    Some((frame, total))
}

/// Padding, length and end mark: all that stands behind the frames.
fn trailer(frames_len: u32) -> Vec<u8> {
    let total = batch_len(frames_len);
    let used = BATCH_HEADER_BYTES + frames_len as usize + BATCH_TRAILER_BYTES;
    let mut out = vec![0; total.saturating_sub(used)];
    out.extend_from_slice(&length(total).to_le_bytes());
    out.extend_from_slice(&BATCH_END);
    out
}

/// Whether a damaged batch may be what a crash leaves of a write over zeros,
/// where of each sector of 512 bytes a front or an end may be missing and reads
/// as zero. `bytes` are the batch, as far as it is known, at `offset`.
///
/// `false` is certain: all pieces are there, so what is wrong was once written
/// otherwise. `true` decides nothing.
pub(in crate::segment) fn could_be_torn(offset: u64, bytes: &[u8]) -> bool {
    const SECTOR: usize = 512;
    if !bytes.ends_with(&BATCH_END) {
        return true;
    }
    let first = SECTOR - usize::try_from(offset % SECTOR as u64).unwrap_or(0);
    let (head, rest) = bytes.split_at_checked(first).unwrap_or((bytes, &[]));
    let mut pieces = std::iter::once(head).chain(rest.chunks(SECTOR));
    pieces.any(|piece| piece.first() == Some(&0) || piece.last() == Some(&0))
}

/// Builds a batch in a buffer that is used again and again.
#[derive(Debug, Default)]
pub(in crate::segment) struct BatchBuffer {
    bytes: Vec<u8>,
    frames: u32,
}

impl BatchBuffer {
    /// Begins a batch; nothing of the last one is kept.
    pub(in crate::segment) fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.resize(BATCH_HEADER_BYTES, 0);
        self.frames = 0;
    }

    /// Adds a frame; its checksum comes with [`BatchBuffer::finish`].
    pub(in crate::segment) fn push(&mut self, frame: &Frame<'_>) {
        let start = self.bytes.len();
        self.bytes.resize(start + 8, 0);
        self.bytes.push(frame.kind());
        frame.write_body(&mut self.bytes);
        let len = length(self.bytes.len() - start - FRAME_HEADER_BYTES);
        overwrite(&mut self.bytes, start + 4, &len.to_le_bytes());
        self.frames += 1;
    }

    /// Bytes of the batch as it stands.
    pub(in crate::segment) fn len(&self) -> usize {
        batch_len(self.frames_len())
    }

    fn frames_len(&self) -> u32 {
        length(self.bytes.len() - BATCH_HEADER_BYTES)
    }

    /// The batch's bytes for `offset` of the segment. `header` says everything
    /// but lengths and counts.
    pub(in crate::segment) fn finish(
        &mut self,
        segment: &SegmentId,
        offset: u64,
        mut header: BatchHeader,
    ) -> &[u8] {
        header.frames_len = self.frames_len();
        header.frames = self.frames;
        self.seal_frames(segment, offset);
        let fields = header.encode();
        let checksum = segment.checksum(offset, &fields);
        overwrite(&mut self.bytes, 0, &BATCH_MAGIC);
        overwrite(&mut self.bytes, 4, &checksum.to_le_bytes());
        overwrite(&mut self.bytes, 8, &fields);
        self.bytes.extend_from_slice(&trailer(header.frames_len));
        &self.bytes
    }

    fn seal_frames(&mut self, segment: &SegmentId, offset: u64) {
        let mut place = BATCH_HEADER_BYTES;
        while let Some(len) = self.frame_len(place) {
            let body = self.bytes.get(place + 4..place + len).unwrap_or_default();
            let checksum = segment.checksum(offset + place as u64, body);
            overwrite(&mut self.bytes, place, &checksum.to_le_bytes());
            place += len;
        }
    }

    fn frame_len(&self, place: usize) -> Option<usize> {
        let mut read = Cursor(self.bytes.get(place + 4..)?);
        read.u32().map(|len| len as usize + FRAME_HEADER_BYTES)
    }
}

fn overwrite(bytes: &mut [u8], place: usize, with: &[u8]) {
    if let Some(room) = bytes.get_mut(place..place + with.len()) {
        room.copy_from_slice(with);
    }
}
