//! The bytes of packs: header, frame, footer, trailer. docs/format.md, "Packs".

use crate::id::BlobId;

/// The first octets of a pack.
pub const PACK_MAGIC: [u8; 8] = *b"RDBTPACK";
/// The first octets of a sealed pack's trailer.
pub const TRAILER_MAGIC: [u8; 8] = *b"RDBTSEAL";
/// The first octets of a frame.
pub const FRAME_MAGIC: [u8; 4] = [b'R', b'B', b'F', 0xF1];
/// The version of the pack format.
pub const PACK_VERSION: u16 = 1;
/// Octets of a pack's header; the first frame follows.
pub const PACK_HEADER: usize = 64;
/// Octets of a frame's header.
pub const FRAME_HEADER: usize = 84;
/// Octets of an item of a frame's chunk table.
pub const TABLE_ITEM: usize = 8;
/// Uncompressed octets of every chunk but a frame's last.
pub const CHUNK: usize = 256 << 10;
/// Octets of a footer's item.
pub const FOOTER_ITEM: usize = 57;
/// Octets of a sealed pack's trailer: its last.
pub const TRAILER: usize = 48;
/// In a chunk table: the chunk is stored as it is.
pub const STORED_RAW: u32 = 1 << 31;

const CRC: usize = 4;

/// Reads numbers and arrays off the front of octets.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[octet]| octet)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Adds the checksum of what is there, seeded.
fn closed(mut octets: Vec<u8>, seed: u32) -> Vec<u8> {
    let crc = crc32c::crc32c_append(seed, &octets);
    octets.extend_from_slice(&crc.to_le_bytes());
    octets
}

/// The octets without their checksum, if that fits.
fn opened(octets: &[u8], len: usize, seed: u32) -> Option<Fields<'_>> {
    let (body, crc) = octets.get(..len)?.split_last_chunk::<CRC>()?;
    (crc32c::crc32c_append(seed, body) == u32::from_le_bytes(*crc)).then_some(Fields(body))
}

/// Which blobs a pack is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Blobs up to the limit of [`super::BlobOptions::large`].
    Shared,
    /// Larger ones.
    Large,
}

impl Lane {
    pub(super) const ALL: [Self; 2] = [Self::Shared, Self::Large];

    fn from_octet(octet: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| *lane as u8 == octet)
    }
}

/// What identifies a pack and seeds its checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PackKey {
    pub(super) id: u64,
    pub(super) lane: Lane,
    /// Random: nobody can send octets that would pass for a frame of this pack.
    pub(super) salt: [u8; 16],
}

impl PackKey {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(PACK_HEADER);
        octets.extend_from_slice(&PACK_MAGIC);
        octets.extend_from_slice(&PACK_VERSION.to_le_bytes());
        octets.push(self.lane as u8);
        octets.extend_from_slice(&[0; 5]);
        octets.extend_from_slice(&self.id.to_le_bytes());
        octets.extend_from_slice(&self.salt);
        octets.resize(PACK_HEADER - CRC, 0);
        closed(octets, 0)
    }

    pub(super) fn decode(octets: &[u8]) -> Option<Self> {
        let mut fields = opened(octets, PACK_HEADER, 0)?;
        let known = fields.array()? == PACK_MAGIC && fields.u16()? == PACK_VERSION;
        let lane = Lane::from_octet(fields.u8()?)?;
        fields.array::<5>()?;
        known.then_some(Self { lane, id: fields.u64()?, salt: fields.array()? })
    }

    /// The seed of the checksums of what lies at this offset.
    pub(super) fn seed(&self, offset: u64) -> u32 {
        let crc = crc32c::crc32c(&self.salt);
        let crc = crc32c::crc32c_append(crc, &self.id.to_le_bytes());
        crc32c::crc32c_append(crc, &offset.to_le_bytes())
    }

    pub(super) fn file_name(&self) -> String {
        file_name(self.id)
    }
}

pub(super) fn file_name(id: u64) -> String {
    format!("{id:016x}.pack")
}

pub(super) fn id_of_file_name(name: &str) -> Option<u64> {
    let id = u64::from_str_radix(name.strip_suffix(".pack")?, 16).ok()?;
    (file_name(id) == name).then_some(id)
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The blob's octets.
    Content = 1,
    /// How the blob's octets are put together from literals and other blobs.
    Recipe = 2,
    /// Nothing: only tells how far completed syncs reached.
    Mark = 3,
    /// The pack's table of contents.
    Footer = 4,
}

impl Kind {
    pub(super) fn from_octet(octet: u8) -> Option<Self> {
        let kinds = [Self::Content, Self::Recipe, Self::Mark, Self::Footer];
        kinds.into_iter().find(|kind| *kind as u8 == octet)
    }
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) kind: Kind,
    pub(super) id: BlobId,
    /// Octets of the blob.
    pub(super) len: u64,
    /// Octets of the payload, uncompressed: the blob itself, or its recipe.
    pub(super) payload: u64,
    /// Octets behind the header: chunk table and chunks.
    pub(super) body: u64,
    /// How far into the pack completed syncs reached when this was written.
    pub(super) synced: u64,
    pub(super) chunks: u32,
    pub(super) table_crc: u32,
}

impl FrameHeader {
    pub(super) fn encode(&self, seed: u32) -> Vec<u8> {
        let mut octets = Vec::with_capacity(FRAME_HEADER);
        octets.extend_from_slice(&FRAME_MAGIC);
        octets.extend_from_slice(&[self.kind as u8, 0, 0, 0]);
        octets.extend_from_slice(&self.id.0);
        for number in [self.len, self.payload, self.body, self.synced] {
            octets.extend_from_slice(&number.to_le_bytes());
        }
        octets.extend_from_slice(&self.chunks.to_le_bytes());
        octets.extend_from_slice(&self.table_crc.to_le_bytes());
        closed(octets, seed)
    }

    pub(super) fn decode(octets: &[u8], seed: u32) -> Option<Self> {
        if !octets.starts_with(&FRAME_MAGIC) {
            return None;
        }
        let mut fields = opened(octets, FRAME_HEADER, seed)?;
        fields.array::<4>()?;
        let kind = Kind::from_octet(fields.u8()?)?;
        fields.array::<3>()?;
        let header = Self {
            kind,
            id: BlobId(fields.array()?),
            len: fields.u64()?,
            payload: fields.u64()?,
            body: fields.u64()?,
            synced: fields.u64()?,
            chunks: fields.u32()?,
            table_crc: fields.u32()?,
        };
        header.is_consistent().then_some(header)
    }

    fn is_consistent(&self) -> bool {
        let chunks = u64::from(self.chunks);
        self.payload.div_ceil(CHUNK as u64) == chunks
            && self.body >= chunks * TABLE_ITEM as u64
            && (self.kind != Kind::Content || self.len == self.payload)
    }

    /// Octets of the whole frame.
    pub(super) fn size(&self) -> u64 {
        self.body.saturating_add(FRAME_HEADER as u64)
    }

    pub(super) fn table_len(&self) -> usize {
        self.chunks as usize * TABLE_ITEM
    }
}

/// Where a chunk of a frame lies and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkRef {
    /// From the start of the frame.
    pub(super) start: u64,
    pub(super) stored: usize,
    pub(super) raw: bool,
    pub(super) crc: u32,
    /// Uncompressed octets.
    pub(super) len: usize,
}

/// Reads a frame's chunk table; `None` when it does not fit the header.
pub(super) fn decode_table(header: &FrameHeader, table: &[u8], seed: u32) -> Option<Vec<ChunkRef>> {
    if crc32c::crc32c_append(seed, table) != header.table_crc {
        return None;
    }
    let (mut fields, mut left) = (Fields(table), header.payload);
    let mut start = (FRAME_HEADER + header.table_len()) as u64;
    let mut chunks = Vec::with_capacity(table.len() / TABLE_ITEM);
    for _ in 0..header.chunks {
        let (word, crc) = (fields.u32()?, fields.u32()?);
        let stored = (word & !STORED_RAW) as usize;
        let len = usize::try_from(left.min(CHUNK as u64)).ok()?;
        let raw = word & STORED_RAW != 0;
        if stored > len || (raw && stored != len) {
            return None;
        }
        chunks.push(ChunkRef { start, stored, raw, crc, len });
        start = start.checked_add(stored as u64)?;
        left -= len as u64;
    }
    (start == header.size()).then_some(chunks)
}

/// A blob's place in the packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) kind: Kind,
    pub(super) pack: u64,
    pub(super) offset: u64,
    /// Octets of the blob.
    pub(super) len: u64,
    /// Octets of the frame.
    pub(super) size: u64,
}

/// A footer's item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: BlobId,
    pub(super) at: Location,
}

impl Entry {
    pub(super) fn of(header: &FrameHeader, pack: u64, offset: u64) -> Self {
        let (kind, len, size) = (header.kind, header.len, header.size());
        Self { id: header.id, at: Location { kind, pack, offset, len, size } }
    }

    pub(super) fn is_blob(&self) -> bool {
        matches!(self.at.kind, Kind::Content | Kind::Recipe)
    }
}

pub(super) fn encode_footer(entries: &[Entry]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(entries.len() * FOOTER_ITEM);
    for entry in entries {
        octets.push(entry.at.kind as u8);
        octets.extend_from_slice(&entry.id.0);
        for number in [entry.at.offset, entry.at.len, entry.at.size] {
            octets.extend_from_slice(&number.to_le_bytes());
        }
    }
    octets
}

pub(super) fn decode_footer(pack: u64, octets: &[u8]) -> Option<Vec<Entry>> {
    octets.chunks(FOOTER_ITEM).map(|item| decode_footer_item(pack, item)).collect()
}

fn decode_footer_item(pack: u64, octets: &[u8]) -> Option<Entry> {
    let mut fields = Fields(octets);
    let kind = Kind::from_octet(fields.u8()?)?;
    let id = BlobId(fields.array()?);
    let (offset, len, size) = (fields.u64()?, fields.u64()?, fields.u64()?);
    Some(Entry { id, at: Location { kind, pack, offset, len, size } })
}

/// Sums over a pack's blobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) blobs: u64,
    pub(super) raw: u64,
    pub(super) stored: u64,
}

impl Totals {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut totals = Self::default();
        entries.iter().for_each(|entry| totals.add(&entry.at));
        totals
    }

    pub(super) fn add(&mut self, at: &Location) {
        self.join(&Self { blobs: 1, raw: at.len, stored: at.size });
    }

    pub(super) fn take(&mut self, other: &Self) {
        self.blobs = self.blobs.saturating_sub(other.blobs);
        self.raw = self.raw.saturating_sub(other.raw);
        self.stored = self.stored.saturating_sub(other.stored);
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.blobs = self.blobs.saturating_add(other.blobs);
        self.raw = self.raw.saturating_add(other.raw);
        self.stored = self.stored.saturating_add(other.stored);
    }
}

/// The last octets of a sealed pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    /// Where the footer's frame lies.
    pub(super) footer: u64,
    pub(super) totals: Totals,
}

impl Trailer {
    pub(super) fn encode(&self, seed: u32) -> Vec<u8> {
        let mut octets = Vec::with_capacity(TRAILER);
        octets.extend_from_slice(&TRAILER_MAGIC);
        let Totals { blobs, raw, stored } = self.totals;
        for number in [self.footer, blobs, raw, stored] {
            octets.extend_from_slice(&number.to_le_bytes());
        }
        octets.resize(TRAILER - CRC, 0);
        closed(octets, seed)
    }

    pub(super) fn decode(octets: &[u8], seed: u32) -> Option<Self> {
        let mut fields = opened(octets, TRAILER, seed)?;
        let known = fields.array()? == TRAILER_MAGIC;
        let footer = fields.u64()?;
        let totals = Totals { blobs: fields.u64()?, raw: fields.u64()?, stored: fields.u64()? };
        known.then_some(Self { footer, totals })
    }
}
