//! A frame on its way into a pack: compressed and summed before any lock is taken.

use std::cell::RefCell;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};

use super::body::Body;
use super::error::BlobError;
use super::frame::{
    CHUNK, ChunkRef, FRAME_HEADER, FrameHeader, Kind, PackKey, STORED_RAW, TABLE_ITEM,
};
use crate::id::BlobId;

thread_local! {
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Octets of a file that are in memory at one time.
const PIECE: usize = 1 << 20;

/// A frame whose place is not known yet.
#[derive(Debug)]
pub(super) struct Draft {
    header: FrameHeader,
    octets: Vec<u8>,
    /// What lies in a file and stands behind `octets`: the body behind its table.
    rest: Option<Body>,
}

impl Draft {
    /// Compresses `payload`; `len` is the blob's own length.
    pub(super) fn new(kind: Kind, id: BlobId, len: u64, payload: &[u8], level: i32) -> Self {
        let chunks = payload.len().div_ceil(CHUNK);
        let mut octets = vec![0; FRAME_HEADER];
        octets.reserve(chunks * TABLE_ITEM + payload.len() / 2);
        octets.resize(FRAME_HEADER + chunks * TABLE_ITEM, 0);
        let mut table = Vec::with_capacity(chunks * TABLE_ITEM);
        for chunk in payload.chunks(CHUNK) {
            let before = octets.len();
            let raw = !compress_into(&mut octets, chunk, level);
            let stored = octets.get(before..).unwrap_or_default();
            let flag = if raw { STORED_RAW } else { 0 };
            let word = u32::try_from(stored.len()).unwrap_or(0) | flag;
            table.extend_from_slice(&word.to_le_bytes());
            table.extend_from_slice(&crc32c::crc32c(stored).to_le_bytes());
        }
        let body = (octets.len() - FRAME_HEADER) as u64;
        let chunks = u32::try_from(chunks).unwrap_or(u32::MAX);
        let payload = payload.len() as u64;
        let (synced, table_crc) = (0, 0);
        overwrite(&mut octets, FRAME_HEADER, &table);
        let header = FrameHeader { kind, id, len, payload, body, synced, chunks, table_crc };
        Self { header, octets, rest: None }
    }

    /// A frame whose chunk table and chunks came from another store, verified.
    pub(super) fn received(header: FrameHeader, table: &[u8], body: &Body) -> Self {
        let mut octets = vec![0; FRAME_HEADER];
        let rest = match body {
            Body::Memory(body) => {
                octets.extend_from_slice(body);
                None
            }
            Body::File(..) => {
                octets.extend_from_slice(table);
                Some(body.clone())
            }
        };
        Self { header, octets, rest }
    }

    /// Octets of the payload, uncompressed.
    pub(super) fn payload(&self) -> u64 {
        self.header.payload
    }

    /// A frame that only tells how far completed syncs reached.
    pub(super) fn mark() -> Self {
        Self::new(Kind::Mark, BlobId([0; 32]), 0, &[], 0)
    }

    pub(super) fn id(&self) -> BlobId {
        self.header.id
    }

    pub(super) fn size(&self) -> u64 {
        self.header.size()
    }

    /// What comes behind the octets of [`Draft::place`], a piece at a time; `None` at its end.
    pub(super) fn more(&self, offset: u64) -> Result<Option<Bytes>, BlobError> {
        let Some(body) = &self.rest else { return Ok(None) };
        let start = offset.saturating_sub(FRAME_HEADER as u64);
        let left = usize::try_from(body.len().saturating_sub(start)).unwrap_or(PIECE);
        match left.min(PIECE) {
            0 => Ok(None),
            len => body.get(&self.header.id, start, len),
        }
    }

    /// The frame's octets for this place.
    pub(super) fn place(
        &mut self,
        key: &PackKey,
        offset: u64,
        synced: u64,
    ) -> (FrameHeader, &[u8]) {
        let seed = key.seed(offset);
        let table = FRAME_HEADER..FRAME_HEADER + self.header.table_len();
        let table = self.octets.get(table).unwrap_or_default();
        self.header.table_crc = crc32c::crc32c_append(seed, table);
        self.header.synced = synced;
        let header = self.header.encode(seed);
        overwrite(&mut self.octets, 0, &header);
        (self.header, &self.octets)
    }
}

fn overwrite(octets: &mut [u8], at: usize, with: &[u8]) {
    if let Some(target) = octets.get_mut(at..at + with.len()) {
        target.copy_from_slice(with);
    }
}

/// Appends the chunk, compressed if that makes it shorter; says whether it was.
fn compress_into(octets: &mut Vec<u8>, chunk: &[u8], level: i32) -> bool {
    match compress(chunk, level) {
        Some(shorter) => {
            octets.extend_from_slice(&shorter);
            true
        }
        None => {
            octets.extend_from_slice(chunk);
            false
        }
    }
}

/// `None` when it does not shrink.
fn compress(chunk: &[u8], level: i32) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(has, _)| *has != level) {
            *slot = Compressor::new(level).ok().map(|compressor| (level, compressor));
        }
        let (_, compressor) = slot.as_mut()?;
        compressor.compress(chunk).ok().filter(|shorter| shorter.len() < chunk.len())
    })
}

/// A stored chunk's octets as they were put; why not, if they do not fit.
pub(super) fn expand(chunk: &ChunkRef, stored: &[u8]) -> Result<Vec<u8>, &'static str> {
    if crc32c::crc32c(stored) != chunk.crc {
        return Err("a chunk does not fit its checksum");
    }
    if chunk.raw {
        return Ok(stored.to_vec());
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Decompressor::new().ok();
        }
        let decompressor = slot.as_mut().ok_or("no memory to decompress")?;
        let octets = decompressor.decompress(stored, chunk.len);
        octets.ok().filter(|octets| octets.len() == chunk.len).ok_or("a chunk does not decompress")
    })
}

/// The disk is full, or the store cannot go on.
pub(super) enum WriteFailure {
    Full,
    Broken(String),
    /// What was to be written cannot be read; nothing is wrong here.
    Unread(BlobError),
}

impl WriteFailure {
    pub(super) fn of(path: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Self::Full,
            _ => Self::Broken(format!("{path}: {error}")),
        }
    }

    pub(super) fn error(&self, len: u64) -> BlobError {
        match self {
            Self::Full => BlobError::DiskFull { len },
            Self::Broken(why) => BlobError::Poisoned(why.clone()),
            Self::Unread(error) => error.clone(),
        }
    }
}
