//! Reading one frame's payload: no octet is given out before its chunk's checksum fits.

use std::sync::Arc;

use parking_lot::Mutex;

use super::draft::expand;
use super::error::BlobError;
use super::frame::{CHUNK, ChunkRef, FRAME_HEADER, FrameHeader, Location, decode_table};
use super::packs::Pack;
use crate::id::BlobId;

/// A small frame comes with one read.
const FIRST_READ: u64 = 64 << 10;

/// The payload of one frame.
#[derive(Debug)]
pub(super) struct FrameReader {
    pack: Pack,
    offset: u64,
    header: FrameHeader,
    chunks: Vec<ChunkRef>,
    /// The first octets of the frame.
    first: Vec<u8>,
    /// The chunk expanded last.
    last: Mutex<Option<(usize, Arc<Vec<u8>>)>>,
}

impl FrameReader {
    /// Opens the frame that must be there: of this blob, of this kind and lengths.
    pub(super) fn open(pack: Pack, id: &BlobId, at: &Location) -> Result<Self, BlobError> {
        let named = |error| name_blob(error, id);
        let first = pack.read(at.offset, at.size.min(FIRST_READ) as usize).map_err(named)?;
        let reader = Self::parse(pack, at.offset, first).map_err(named)?;
        let header = &reader.header;
        let found = (header.id, header.kind, header.len, header.size());
        if found != (*id, at.kind, at.len, at.size) {
            return Err(reader.damaged("the frame is another than the index says"));
        }
        Ok(reader)
    }

    /// Reads the frame that begins at `offset`, whatever it is.
    pub(super) fn open_at(pack: Pack, offset: u64) -> Result<Self, BlobError> {
        let left = pack.len()?.saturating_sub(offset);
        let first = pack.read(offset, left.min(FRAME_HEADER as u64) as usize)?;
        Self::parse(pack, offset, first)
    }

    fn parse(pack: Pack, offset: u64, first: Vec<u8>) -> Result<Self, BlobError> {
        let seed = pack.key.seed(offset);
        let header = FrameHeader::decode(&first, seed).ok_or_else(|| {
            pack.damaged(offset, None, "a frame's header does not fit its checksum")
        })?;
        let named = |what| pack.damaged(offset, Some(header.id), what);
        if pack.len()?.saturating_sub(offset) < header.size() {
            return Err(named("the pack ends inside the frame"));
        }
        let whole = FRAME_HEADER..FRAME_HEADER + header.table_len();
        let table = match first.get(whole) {
            Some(table) => table.to_vec(),
            None => pack.read(offset + FRAME_HEADER as u64, header.table_len())?,
        };
        let chunks = decode_table(&header, &table, seed)
            .ok_or_else(|| named("a chunk table does not fit its checksum"))?;
        Ok(Self { pack, offset, header, chunks, first, last: Mutex::new(None) })
    }

    pub(super) fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// Octets of the payload.
    pub(super) fn payload(&self) -> u64 {
        self.header.payload
    }

    pub(super) fn damaged(&self, what: &str) -> BlobError {
        self.pack.damaged(self.offset, Some(self.header.id), what)
    }

    /// Verifies every chunk.
    pub(super) fn verify(&self) -> Result<(), BlobError> {
        (0..self.chunks.len()).try_for_each(|index| self.chunk(index).map(drop))
    }

    /// Payload octets from `offset` to the end of their chunk, at most `limit`; none at the end.
    pub(super) fn piece_at(&self, offset: u64, limit: usize) -> Result<Vec<u8>, BlobError> {
        let index = usize::try_from(offset / CHUNK as u64).unwrap_or(usize::MAX);
        if offset >= self.payload() {
            return Ok(Vec::new());
        }
        let chunk = self.chunk(index)?;
        let start = (offset % CHUNK as u64) as usize;
        let rest = chunk.get(start..).unwrap_or_default();
        Ok(rest.get(..limit).unwrap_or(rest).to_vec())
    }

    /// Octets behind the header as they are stored, from `offset`, at most `limit`;
    /// none at the end. Not verified.
    pub(super) fn body_at(&self, offset: u64, limit: usize) -> Result<Vec<u8>, BlobError> {
        let mut octets = Vec::new();
        self.body_into(offset, limit, &mut octets)?;
        Ok(octets)
    }

    /// As [`FrameReader::body_at`], behind what is in `into`.
    pub(super) fn body_into(
        &self,
        offset: u64,
        limit: usize,
        into: &mut Vec<u8>,
    ) -> Result<(), BlobError> {
        let left = self.header.body.saturating_sub(offset);
        let len = usize::try_from(left).unwrap_or(limit).min(limit);
        let start = (FRAME_HEADER as u64).saturating_add(offset);
        let first = usize::try_from(start).ok().and_then(|at| self.first.get(at..));
        let first = first.map_or(&[][..], |first| first.get(..len).unwrap_or(first));
        into.reserve(len);
        into.extend_from_slice(first);
        match len - first.len() {
            0 => Ok(()),
            rest => self.pack.read_into(self.offset + start + first.len() as u64, rest, into),
        }
    }

    /// Payload octets from `offset`, exactly `len`.
    pub(super) fn exactly(&self, offset: u64, len: usize) -> Result<Vec<u8>, BlobError> {
        let mut octets = Vec::with_capacity(len.min(CHUNK));
        while octets.len() < len {
            let piece = self.piece_at(offset + octets.len() as u64, len - octets.len())?;
            if piece.is_empty() {
                return Err(self.damaged("the frame is shorter than it must be"));
            }
            octets.extend_from_slice(&piece);
        }
        Ok(octets)
    }

    fn chunk(&self, index: usize) -> Result<Arc<Vec<u8>>, BlobError> {
        if let Some((has, chunk)) = &*self.last.lock()
            && *has == index
        {
            return Ok(Arc::clone(chunk));
        }
        let place = self.chunks.get(index).ok_or_else(|| self.damaged("a chunk is missing"))?;
        let octets = expand(place, &self.stored(place)?).map_err(|what| self.damaged(what))?;
        let octets = Arc::new(octets);
        *self.last.lock() = Some((index, Arc::clone(&octets)));
        Ok(octets)
    }

    fn stored(&self, place: &ChunkRef) -> Result<Vec<u8>, BlobError> {
        let start = place.start as usize;
        match self.first.get(start..start.saturating_add(place.stored)) {
            Some(stored) => Ok(stored.to_vec()),
            None => self.pack.read(self.offset + place.start, place.stored),
        }
        .map_err(|error| name_blob(error, &self.header.id))
    }
}

fn name_blob(error: BlobError, id: &BlobId) -> BlobError {
    match error {
        BlobError::Damaged { pack, offset, blob: None, what } => {
            BlobError::Damaged { pack, offset, blob: Some(*id), what }
        }
        other => other,
    }
}
