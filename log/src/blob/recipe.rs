//! Recipes: how a message is put together from literal octets and other blobs.
//! Pure. Payload: `[octets of instructions u32][instructions][literals]`.

use std::ops::Range;

use super::base64_lines::{self, Ending, Layout};
use super::frame::Fields;
use super::{PartEncoding, PartHint};
use crate::id::BlobId;

/// Parts of one message that may be blobs of their own; more stay in the message.
pub const MAX_PARTS: usize = 2_000;
/// Octets of the longest instruction.
pub const MAX_INSTRUCTION: usize = 46;
/// The most octets of instructions: every part, and a literal around each.
pub const MAX_INSTRUCTIONS: usize = (2 * MAX_PARTS + 1) * MAX_INSTRUCTION;

const LITERAL: u8 = 1;
const IDENTITY: u8 = 2;
const BASE64: u8 = 3;

/// What a stretch of the message is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Octets of the recipe's payload, from this offset in it.
    Literal { at: u64 },
    /// The octets of a blob.
    Identity { id: BlobId },
    /// The octets of a blob of `len`, encoded.
    Base64 { id: BlobId, len: u64, layout: Layout },
}

/// A stretch of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// Where in the message.
    pub(super) range: Range<u64>,
    pub(super) source: Source,
}

impl Step {
    /// The blob that it needs, and how long that must be.
    pub(super) fn part(&self) -> Option<(BlobId, u64)> {
        match self.source {
            Source::Literal { .. } => None,
            Source::Identity { id } => Some((id, self.range.end - self.range.start)),
            Source::Base64 { id, len, .. } => Some((id, len)),
        }
    }
}

/// A part of a message, as it is to be stored.
#[derive(Debug)]
pub(super) struct PlannedPart {
    /// Where in the message.
    pub(super) range: Range<usize>,
    /// The decoded octets and their layout; `None` is as it stands.
    pub(super) decoded: Option<(Vec<u8>, Layout)>,
}

/// Which parts of a message become blobs, by rising place. Hints that overlap,
/// reach beyond the message, are too small or cover it whole are passed over.
pub(super) fn plan(message: &[u8], hints: &[PartHint], threshold: u64) -> Vec<PlannedPart> {
    let mut hints: Vec<&PartHint> = hints.iter().filter(|hint| hint.len >= threshold).collect();
    hints.sort_unstable_by_key(|hint| (hint.start, hint.len));
    let (mut parts, mut free) = (Vec::new(), 0);
    for hint in hints {
        let Some(range) = range_of(hint).filter(|range| range.start >= free) else { continue };
        let Some(octets) = message.get(range.clone()).filter(|o| o.len() < message.len()) else {
            continue;
        };
        if parts.len() == MAX_PARTS || octets.is_empty() {
            break;
        }
        free = range.end;
        parts.push(planned(range, octets, hint.encoding));
    }
    parts
}

fn range_of(hint: &PartHint) -> Option<Range<usize>> {
    let start = usize::try_from(hint.start).ok()?;
    Some(start..start.checked_add(usize::try_from(hint.len).ok()?)?)
}

fn planned(range: Range<usize>, octets: &[u8], encoding: PartEncoding) -> PlannedPart {
    let decoded = match encoding {
        PartEncoding::Identity => None,
        PartEncoding::Base64 => base64_lines::decode(octets),
    };
    match decoded {
        None => PlannedPart { range, decoded: None },
        Some((octets, layout, len)) => {
            PlannedPart { range: range.start..range.start + len, decoded: Some((octets, layout)) }
        }
    }
}

/// Writes a recipe's payload.
pub(super) fn encode(message: &[u8], parts: &[(PlannedPart, BlobId)]) -> Vec<u8> {
    let (mut instructions, mut literals) = (Vec::new(), Vec::new());
    let mut at = 0;
    for (part, id) in parts {
        literal(message, at..part.range.start, &mut instructions, &mut literals);
        instruction(part, id, &mut instructions);
        at = part.range.end;
    }
    literal(message, at..message.len(), &mut instructions, &mut literals);
    let len = u32::try_from(instructions.len()).unwrap_or(u32::MAX);
    [len.to_le_bytes().as_slice(), &instructions, &literals].concat()
}

fn literal(message: &[u8], range: Range<usize>, instructions: &mut Vec<u8>, to: &mut Vec<u8>) {
    let octets = message.get(range).unwrap_or_default();
    if !octets.is_empty() {
        instructions.push(LITERAL);
        instructions.extend_from_slice(&(octets.len() as u64).to_le_bytes());
        to.extend_from_slice(octets);
    }
}

fn instruction(part: &PlannedPart, id: &BlobId, instructions: &mut Vec<u8>) {
    instructions.push(if part.decoded.is_some() { BASE64 } else { IDENTITY });
    instructions.extend_from_slice(&id.0);
    let len = part.decoded.as_ref().map_or(part.range.len(), |(octets, _)| octets.len());
    instructions.extend_from_slice(&(len as u64).to_le_bytes());
    if let Some((_, layout)) = &part.decoded {
        instructions.extend_from_slice(&layout.line.to_le_bytes());
        instructions.push(layout.ending as u8);
    }
}

/// Reads the instructions of a recipe for a message of `len` octets whose payload
/// has `payload` octets; `None` when they do not fit these.
pub(super) fn decode(instructions: &[u8], len: u64, payload: u64) -> Option<Vec<Step>> {
    let mut literals = (size_of::<u32>() + instructions.len()) as u64;
    let (mut fields, mut steps, mut at) = (Fields(instructions), Vec::new(), 0_u64);
    while !fields.0.is_empty() {
        let (octets, source) = step(&mut fields, literals)?;
        if matches!(source, Source::Literal { .. }) {
            literals = literals.checked_add(octets)?;
        }
        let end = at.checked_add(octets)?;
        steps.push(Step { range: at..end, source });
        at = end;
    }
    (at == len && literals == payload).then_some(steps)
}

/// How many octets of the message come next, and from where.
fn step(fields: &mut Fields<'_>, literals: u64) -> Option<(u64, Source)> {
    match fields.u8()? {
        LITERAL => Some((fields.u64()?, Source::Literal { at: literals })),
        IDENTITY => {
            let id = BlobId(fields.array()?);
            Some((fields.u64()?, Source::Identity { id }))
        }
        BASE64 => {
            let (id, len) = (BlobId(fields.array()?), fields.u64()?);
            let line = fields.u32().filter(|line| *line > 0)?;
            let layout = Layout { line, ending: Ending::from_octet(fields.u8()?)? };
            Some((layout.encoded_len(len)?, Source::Base64 { id, len, layout }))
        }
        _ => None,
    }
}
