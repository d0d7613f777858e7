//! Blobs on their way to another store, as they are stored: compressed once.
//!
//! What comes is believed only when its octets hash to its id. A recipe is taken
//! only when its parts are there.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Put;
use super::body::Body;
use super::draft::{Draft, expand};
use super::error::BlobError;
use super::frame::{CHUNK, ChunkRef, FRAME_HEADER, FrameHeader, Kind, TABLE_ITEM, decode_table};
use super::read::FrameReader;
use super::reader::{BlobReader, steps};
use super::recipe::{self, MAX_INSTRUCTIONS, Source, Step};
use super::reclaim::Using;
use super::shared::{Lookup, Shared};
use crate::id::BlobId;

/// The most octets of a blob that travels, and of what it is stored as.
pub const MAX_EXPORTED: u64 = 1 << 30;

/// How a blob is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportedKind {
    /// Its octets.
    Whole,
    /// How they are put together from literals and other blobs.
    Recipe,
}

/// What is said of a blob before its stored octets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedHead {
    /// Its id.
    pub id: BlobId,
    /// Octets of it.
    pub len: u64,
    /// How it is stored.
    pub kind: ExportedKind,
    /// Octets of what is stored, uncompressed.
    pub payload: u64,
    /// Octets of what is stored: chunk table and compressed chunks.
    pub stored: u64,
    /// The blobs that it is put together from, each once; none of them a recipe.
    pub parts: Vec<BlobId>,
}

/// A blob as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// What it is.
    pub head: ExportedHead,
    /// [`ExportedHead::stored`] octets.
    pub body: Bytes,
}

/// A blob that is being read as it is stored, piece by piece.
#[derive(Debug)]
pub struct Exporter {
    head: ExportedHead,
    frame: FrameReader,
}

impl Exporter {
    pub(super) fn open(shared: &Arc<Shared>, id: &BlobId) -> Result<Self, BlobError> {
        let frame = shared.frame(id)?;
        let (kind, parts) = match frame.header().kind {
            Kind::Recipe => (ExportedKind::Recipe, parts_of(&steps(&frame)?)),
            _ => (ExportedKind::Whole, Vec::new()),
        };
        let FrameHeader { id, len, payload, body, .. } = *frame.header();
        let head = ExportedHead { id, len, kind, payload, stored: body, parts };
        Ok(Self { head, frame })
    }

    /// What it is.
    pub fn head(&self) -> &ExportedHead {
        &self.head
    }

    /// Stored octets from `offset`, at most `limit`; none at the end. Not
    /// verified here: who imports them does.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn piece(&self, offset: u64, limit: usize) -> Result<Bytes, BlobError> {
        self.frame.body_at(offset, limit).map(Bytes::from)
    }

    /// As [`Exporter::piece`], behind what is in `into`.
    ///
    /// # Errors
    /// As [`Exporter::piece`]; what is in `into` stays.
    pub fn piece_into(
        &self,
        offset: u64,
        limit: usize,
        into: &mut Vec<u8>,
    ) -> Result<(), BlobError> {
        let before = into.len();
        let read = self.frame.body_into(offset, limit, into);
        if read.is_err() {
            into.truncate(before);
        }
        read
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`Exporter::piece`]; [`BlobError::TooLong`] above [`MAX_EXPORTED`].
    pub fn whole(self) -> Result<Exported, BlobError> {
        let limit = MAX_EXPORTED;
        match usize::try_from(self.head.stored) {
            Ok(stored) if self.head.stored <= limit => {
                let body = self.piece(0, stored)?;
                Ok(Exported { head: self.head, body })
            }
            _ => Err(BlobError::TooLong { blob: self.head.id, len: self.head.stored, limit }),
        }
    }
}

fn parts_of(steps: &[Step]) -> Vec<BlobId> {
    let mut parts: Vec<BlobId> =
        steps.iter().filter_map(|step| step.part().map(|(id, _)| id)).collect();
    parts.sort_unstable();
    parts.dedup();
    parts
}

/// Stores a blob that another store exported, unless it is there; with `whole`
/// never as a recipe.
pub(super) fn import(
    shared: &Arc<Shared>,
    head: &ExportedHead,
    body: &Body,
    whole: bool,
) -> Result<Put, BlobError> {
    let _using = Using::begin(shared);
    let id = head.id;
    if shared.location(&id)?.is_some() {
        shared.state.lock().check()?;
        return Ok(Put { id, new: false });
    }
    let received = Received::check(head, body)?;
    let draft = match head.kind {
        ExportedKind::Whole => received.whole()?,
        ExportedKind::Recipe => received.recipe(shared, whole)?,
    };
    match shared.claim(&id)? {
        Lookup::Stored(_) => Ok(Put { id, new: false }),
        Lookup::Absent(claim) => {
            shared.store_draft(&claim, draft, head.len)?;
            Ok(Put { id, new: true })
        }
    }
}

/// Stored octets that came from elsewhere, in the form that they must have.
struct Received<'a> {
    header: FrameHeader,
    body: &'a Body,
    table: Bytes,
    chunks: Vec<ChunkRef>,
}

impl<'a> Received<'a> {
    fn check(head: &ExportedHead, body: &'a Body) -> Result<Self, BlobError> {
        let wrong = |what: &str| foreign(&head.id, what);
        let found = header_of(head, body)?;
        let (header, table) = found.ok_or_else(|| wrong("its lengths do not fit"))?;
        let chunks = decode_table(&header, &table, 0).ok_or_else(|| wrong("its table"))?;
        Ok(Self { header, body, table, chunks })
    }

    fn wrong(&self, what: &str) -> BlobError {
        foreign(&self.header.id, what)
    }

    fn chunk(&self, index: usize) -> Result<Vec<u8>, BlobError> {
        let place = self.chunks.get(index).ok_or_else(|| self.wrong("it ends too early"))?;
        let start = place.start.saturating_sub(FRAME_HEADER as u64);
        let stored = self.body.get(&self.header.id, start, place.stored)?;
        let stored = stored.ok_or_else(|| self.wrong("it ends inside a chunk"))?;
        expand(place, &stored).map_err(|what| self.wrong(what))
    }

    /// The octets themselves: what hashes to the id.
    fn whole(self) -> Result<Draft, BlobError> {
        let mut hasher = blake3::Hasher::new();
        for index in 0..self.chunks.len() {
            hasher.update(&self.chunk(index)?);
        }
        self.hashed(&hasher)?;
        Ok(Draft::received(self.header, &self.table, self.body))
    }

    fn hashed(&self, hasher: &blake3::Hasher) -> Result<(), BlobError> {
        match hasher.finalize().as_bytes() == &self.header.id.0 {
            true => Ok(()),
            false => Err(self.wrong("its octets do not hash to its id")),
        }
    }

    /// A recipe: what it gives with its parts hashes to the id. Where a part is
    /// stored here in a way that a recipe cannot use, it is stored whole.
    fn recipe(self, shared: &Arc<Shared>, whole: bool) -> Result<Draft, BlobError> {
        let steps = self.steps()?;
        let usable = usable(shared, &steps)? && !whole;
        let (mut hasher, mut whole) = (blake3::Hasher::new(), Vec::new());
        let mut payload = Payload { received: &self, last: None };
        for step in &steps {
            let mut give = |piece: &[u8]| {
                hasher.update(piece);
                if !usable {
                    whole.extend_from_slice(piece);
                }
            };
            payload.step(shared, step, &mut give)?;
        }
        self.hashed(&hasher)?;
        match usable {
            true => Ok(Draft::received(self.header, &self.table, self.body)),
            false => {
                let FrameHeader { id, len, .. } = self.header;
                Ok(Draft::new(Kind::Content, id, len, &whole, shared.options.level))
            }
        }
    }

    fn steps(&self) -> Result<Vec<Step>, BlobError> {
        let wrong = || self.wrong("its recipe does not read");
        let mut payload = Payload { received: self, last: None };
        let head = payload.exactly(0, size_of::<u32>())?;
        let len = super::frame::Fields(&head).u32().ok_or_else(wrong)? as usize;
        if len > MAX_INSTRUCTIONS {
            return Err(wrong());
        }
        let instructions = payload.exactly(size_of::<u32>() as u64, len)?;
        recipe::decode(&instructions, self.header.len, self.header.payload).ok_or_else(wrong)
    }
}

/// Whether all parts are there, none itself a recipe.
fn usable(shared: &Shared, steps: &[Step]) -> Result<bool, BlobError> {
    let mut usable = true;
    for (id, len) in steps.iter().filter_map(Step::part) {
        let at = shared.location(&id)?.ok_or(BlobError::Missing(id))?;
        if at.len != len {
            return Err(foreign(&id, "a recipe needs it with another length"));
        }
        usable &= at.kind == Kind::Content;
    }
    Ok(usable)
}

/// The uncompressed payload, a chunk at a time.
struct Payload<'a> {
    received: &'a Received<'a>,
    last: Option<(usize, Vec<u8>)>,
}

impl Payload<'_> {
    fn piece(&mut self, offset: u64, limit: usize) -> Result<&[u8], BlobError> {
        let index = usize::try_from(offset / CHUNK as u64).unwrap_or(usize::MAX);
        if self.last.as_ref().is_none_or(|(has, _)| *has != index) {
            self.last = Some((index, self.received.chunk(index)?));
        }
        let chunk = self.last.as_ref().map_or(&[][..], |(_, chunk)| chunk);
        let rest = chunk.get((offset % CHUNK as u64) as usize..).unwrap_or_default();
        Ok(rest.get(..limit).unwrap_or(rest))
    }

    fn exactly(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, BlobError> {
        let mut octets = Vec::with_capacity(len.min(CHUNK));
        while octets.len() < len {
            let wrong = self.received.wrong("it is shorter than it says");
            let piece = self.piece(offset + octets.len() as u64, len - octets.len())?;
            if piece.is_empty() {
                return Err(wrong);
            }
            octets.extend_from_slice(piece);
        }
        Ok(octets)
    }

    /// The octets of a step of the recipe, in pieces.
    fn step(
        &mut self,
        shared: &Arc<Shared>,
        step: &Step,
        give: &mut dyn FnMut(&[u8]),
    ) -> Result<(), BlobError> {
        let len = step.range.end - step.range.start;
        match step.source {
            Source::Literal { at } => self.literal(at, len, give),
            Source::Identity { id } => {
                let mut all = |piece: &[u8]| {
                    give(piece);
                    ControlFlow::Continue(())
                };
                BlobReader::open(shared, &id)?.for_each_chunk(0, u64::MAX, &mut all)
            }
            Source::Base64 { id, len: decoded, layout } => {
                let part = BlobReader::open(shared, &id)?;
                let mut at = 0;
                while at < len {
                    let inside = at..len.min(at + CHUNK as u64);
                    let source = layout.source(&inside, decoded);
                    let wanted = (source.end - source.start) as usize;
                    let octets = part.read_at(source.start, wanted)?;
                    if octets.len() != wanted {
                        return Err(foreign(&id, "it is shorter than a recipe needs"));
                    }
                    give(&layout.encode(&inside, &octets));
                    at = inside.end;
                }
                Ok(())
            }
        }
    }

    fn literal(&mut self, at: u64, len: u64, give: &mut dyn FnMut(&[u8])) -> Result<(), BlobError> {
        let mut done = 0;
        while done < len {
            let limit = usize::try_from(len - done).unwrap_or(CHUNK).min(CHUNK);
            let wrong = self.received.wrong("its literals end too early");
            let piece = self.piece(at + done, limit)?;
            if piece.is_empty() {
                return Err(wrong);
            }
            give(piece);
            done += piece.len() as u64;
        }
        Ok(())
    }
}

/// The header that a frame of this would have, and its chunk table.
fn header_of(head: &ExportedHead, body: &Body) -> Result<Option<(FrameHeader, Bytes)>, BlobError> {
    let ExportedHead { id, len, kind, payload, stored, .. } = *head;
    let fits = len <= MAX_EXPORTED
        && payload <= MAX_EXPORTED
        && stored == body.len()
        && (kind != ExportedKind::Whole || len == payload);
    let Some(chunks) = u32::try_from(payload.div_ceil(CHUNK as u64)).ok().filter(|_| fits) else {
        return Ok(None);
    };
    let Some(table) = body.get(&id, 0, chunks as usize * TABLE_ITEM)? else { return Ok(None) };
    let kind = match kind {
        ExportedKind::Whole => Kind::Content,
        ExportedKind::Recipe => Kind::Recipe,
    };
    let table_crc = crc32c::crc32c(&table);
    let header = FrameHeader { kind, id, len, payload, body: stored, synced: 0, chunks, table_crc };
    Ok(Some((header, table)))
}

fn foreign(id: &BlobId, what: &str) -> BlobError {
    BlobError::Foreign { blob: *id, what: what.to_owned() }
}
