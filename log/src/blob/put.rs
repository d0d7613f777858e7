//! Storing blobs and messages: hashed once, compressed outside every lock.

use std::sync::Arc;

use super::error::BlobError;
use super::frame::Kind;
use super::recipe::{self, PlannedPart};
use super::reclaim::Using;
use super::shared::{Lookup, Shared};
use super::{PartHint, Put};
use crate::id::BlobId;

pub(super) fn put(shared: &Shared, bytes: &[u8]) -> Result<Put, BlobError> {
    let id = BlobId::of(bytes);
    content(shared, id, bytes)
}

fn content(shared: &Shared, id: BlobId, bytes: &[u8]) -> Result<Put, BlobError> {
    let (_, new) = put_content(shared, id, bytes)?;
    if !new {
        shared.hit(bytes.len() as u64);
    }
    Ok(Put { id, new })
}

/// The kind it is stored as, and whether it was stored now.
fn put_content(shared: &Shared, id: BlobId, bytes: &[u8]) -> Result<(Kind, bool), BlobError> {
    match shared.claim(&id)? {
        Lookup::Stored(at) => Ok((at.kind, false)),
        Lookup::Absent(claim) => {
            shared.store(&claim, Kind::Content, id, bytes.len() as u64, bytes)?;
            Ok((Kind::Content, true))
        }
    }
}

pub(super) fn put_message(
    shared: &Arc<Shared>,
    bytes: &[u8],
    hints: &[PartHint],
) -> Result<Put, BlobError> {
    // A part that is found stays until the recipe that names it is there.
    let _using = Using::begin(shared);
    let id = BlobId::of(bytes);
    if let Some(at) = shared.sound_location(&id)? {
        shared.state.lock().check()?;
        shared.hit(at.len);
        return Ok(Put { id, new: false });
    }
    let parts = put_parts(shared, bytes, hints)?;
    if parts.is_empty() {
        return content(shared, id, bytes);
    }
    match shared.claim(&id)? {
        Lookup::Stored(at) => {
            shared.hit(at.len);
            Ok(Put { id, new: false })
        }
        Lookup::Absent(claim) => {
            let payload = recipe::encode(bytes, &parts);
            shared.store(&claim, Kind::Recipe, id, bytes.len() as u64, &payload)?;
            Ok(Put { id, new: true })
        }
    }
}

fn put_parts(
    shared: &Shared,
    message: &[u8],
    hints: &[PartHint],
) -> Result<Vec<(PlannedPart, BlobId)>, BlobError> {
    let mut parts = Vec::new();
    for part in recipe::plan(message, hints, shared.options.part_threshold) {
        let octets = match &part.decoded {
            Some((octets, _)) => octets.as_slice(),
            None => message.get(part.range.clone()).unwrap_or_default(),
        };
        let id = BlobId::of(octets);
        // A message that is attached whole may be a recipe itself: then it stays literal.
        let (kind, new) = put_content(shared, id, octets)?;
        if kind == Kind::Content {
            if !new {
                shared.hit(octets.len() as u64);
            }
            parts.push((part, id));
        }
    }
    Ok(parts)
}
