//! Reading a blob: verified, in bounded memory, any range.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::BlobError;
use super::frame::{CHUNK, Kind};
use super::read::FrameReader;
use super::recipe::{self, MAX_INSTRUCTIONS, Source, Step};
use super::shared::Shared;
use crate::id::BlobId;

/// Reads one blob in bounded memory: a chunk or two of 256 KiB. Every chunk's
/// checksum is verified before an octet of it is given out, and the hash of the
/// whole before the last octets of a read that covers the whole. All calls block.
pub struct BlobReader {
    id: BlobId,
    frame: FrameReader,
    recipe: Option<Recipe>,
}

struct Recipe {
    shared: Arc<Shared>,
    steps: Vec<Step>,
    /// The part read last.
    part: Mutex<Option<(BlobId, Arc<FrameReader>)>>,
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobReader({}, {} octets)", self.id, self.len())
    }
}

impl BlobReader {
    pub(super) fn open(shared: &Arc<Shared>, id: &BlobId) -> Result<Self, BlobError> {
        Self::over(shared, shared.frame(id)?)
    }

    /// Reads the blob of this frame, whatever the index says of it.
    pub(super) fn over(shared: &Arc<Shared>, frame: FrameReader) -> Result<Self, BlobError> {
        let recipe = match frame.header().kind {
            Kind::Recipe => Some(Recipe {
                shared: Arc::clone(shared),
                steps: steps(&frame)?,
                part: Mutex::new(None),
            }),
            _ => None,
        };
        Ok(Self { id: frame.header().id, frame, recipe })
    }

    /// Octets of the blob.
    pub fn len(&self) -> u64 {
        self.frame.header().len
    }

    /// Whether it is the blob of no octets.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets from `offset`: at least one unless at the end, at most `limit` and
    /// 256 KiB. For readers that stream: call it again behind what it gave.
    ///
    /// # Errors
    /// [`BlobError::Damaged`] naming blob, pack and offset; [`BlobError::Part`]; [`BlobError::Io`].
    pub fn piece_at(&self, offset: u64, limit: usize) -> Result<Vec<u8>, BlobError> {
        let piece = self.raw_piece(offset, limit)?;
        if offset == 0 && piece.len() as u64 == self.len() {
            self.check(blake3::hash(&piece))?;
        }
        Ok(piece)
    }

    /// Octets from `offset`, at most `len`; fewer only at the end.
    ///
    /// # Errors
    /// As [`BlobReader::piece_at`].
    pub fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, BlobError> {
        let mut octets = Vec::with_capacity(len.min(CHUNK));
        self.for_each_chunk(offset, len as u64, &mut |piece| {
            octets.extend_from_slice(piece);
            ControlFlow::Continue(())
        })?;
        Ok(octets)
    }

    /// The whole, its hash verified.
    ///
    /// # Errors
    /// [`BlobError::TooLong`] when it is longer than `limit`; else as [`BlobReader::piece_at`].
    pub fn read_all(&self, limit: u64) -> Result<Vec<u8>, BlobError> {
        let (blob, len) = (self.id, self.len());
        match usize::try_from(len) {
            Ok(octets) if len <= limit => self.read_at(0, octets),
            _ => Err(BlobError::TooLong { blob, len, limit }),
        }
    }

    /// Gives octets from `offset`, at most `limit`, piece by piece, until `give` has enough.
    ///
    /// # Errors
    /// As [`BlobReader::piece_at`]; what was given before the error was right.
    pub fn for_each_chunk(
        &self,
        offset: u64,
        limit: u64,
        give: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), BlobError> {
        let end = offset.saturating_add(limit).min(self.len());
        let whole = offset == 0 && end == self.len();
        let (mut at, mut hasher) = (offset, blake3::Hasher::new());
        while at < end {
            let limit = usize::try_from(end - at).unwrap_or(usize::MAX);
            let piece = self.raw_piece(at, limit)?;
            at += piece.len() as u64;
            if whole {
                hasher.update(&piece);
                if at == end {
                    self.check(hasher.finalize())?;
                }
            }
            if give(&piece).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn check(&self, hash: blake3::Hash) -> Result<(), BlobError> {
        if hash.as_bytes() == &self.id.0 {
            return Ok(());
        }
        Err(self.frame.damaged("the octets do not hash to the blob's id"))
    }

    fn raw_piece(&self, offset: u64, limit: usize) -> Result<Vec<u8>, BlobError> {
        let limit = limit.min(CHUNK);
        let Some(recipe) = &self.recipe else { return self.frame.piece_at(offset, limit) };
        let index = recipe.steps.partition_point(|step| step.range.end <= offset);
        let Some(step) = recipe.steps.get(index) else { return Ok(Vec::new()) };
        let end = step.range.end.min(offset.saturating_add(limit as u64));
        let inside = offset - step.range.start..end - step.range.start;
        let octets = self.step_piece(recipe, step, inside)?;
        if octets.is_empty() && limit > 0 {
            return Err(self.frame.damaged("a part of the recipe is shorter than it says"));
        }
        Ok(octets)
    }

    /// Octets of a range inside one step; perhaps not all.
    fn step_piece(
        &self,
        recipe: &Recipe,
        step: &Step,
        inside: std::ops::Range<u64>,
    ) -> Result<Vec<u8>, BlobError> {
        let len = (inside.end - inside.start) as usize;
        if let Source::Literal { at } = step.source {
            return self.frame.piece_at(at + inside.start, len);
        }
        recipe.part_piece(step, inside, len).map_err(|cause| match cause {
            BlobError::Io { .. } => cause,
            _ => BlobError::Part { blob: self.id, cause: Box::new(cause) },
        })
    }
}

impl Recipe {
    fn part_piece(
        &self,
        step: &Step,
        inside: std::ops::Range<u64>,
        len: usize,
    ) -> Result<Vec<u8>, BlobError> {
        let Some((id, part_len)) = step.part() else { return Ok(Vec::new()) };
        let part = self.part(&id, part_len)?;
        let Source::Base64 { layout, .. } = step.source else {
            return part.piece_at(inside.start, len);
        };
        let source = layout.source(&inside, part_len);
        let octets = part.exactly(source.start, (source.end - source.start) as usize)?;
        Ok(layout.encode(&inside, &octets))
    }

    /// A part is never itself a recipe, so that there is no depth and no circle.
    fn part(&self, id: &BlobId, len: u64) -> Result<Arc<FrameReader>, BlobError> {
        if let Some((has, part)) = &*self.part.lock()
            && has == id
        {
            return Ok(Arc::clone(part));
        }
        let part = Arc::new(self.shared.frame(id)?);
        if part.header().kind != Kind::Content || part.payload() != len {
            return Err(
                part.damaged("a recipe needs this blob as a part of another kind or length")
            );
        }
        *self.part.lock() = Some((*id, Arc::clone(&part)));
        Ok(part)
    }
}

/// The steps of a recipe's frame.
pub(super) fn steps(frame: &FrameReader) -> Result<Vec<Step>, BlobError> {
    let wrong = || frame.damaged("the recipe does not read");
    let head = frame.exactly(0, size_of::<u32>())?;
    let len = super::frame::Fields(&head).u32().ok_or_else(wrong)? as usize;
    if len > MAX_INSTRUCTIONS {
        return Err(wrong());
    }
    let instructions = frame.exactly(size_of::<u32>() as u64, len)?;
    recipe::decode(&instructions, frame.header().len, frame.payload()).ok_or_else(wrong)
}
