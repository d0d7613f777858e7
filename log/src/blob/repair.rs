//! Damaged blobs: found, noted, and replaced by good ones that somebody brings.
//!
//! A blob that is noted counts as absent for whoever stores or asks, so that its
//! octets, put or imported again, are stored anew; the new frame stands behind
//! the damaged one in the order of packs and offsets, and so wins in the index.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLockWriteGuard;
use rustix::io::Errno;

use super::Put;
use super::body::Body;
use super::error::BlobError;
use super::export::{self, ExportedHead};
use super::frame::{Entry, Kind, Location};
use super::index::BlobIndex;
use super::known::{Bad, Hole, Known};
use super::read::FrameReader;
use super::reader::{BlobReader, steps};
use super::shared::Shared;
use super::stats::Damage;
use crate::id::BlobId;

/// Reads a blob and its parts through, and notes those that do not read. None
/// when all is well.
pub(super) fn examine(shared: &Arc<Shared>, id: &BlobId) -> Result<Vec<BlobId>, BlobError> {
    let frame = match open(shared, id) {
        Ok(frame) => frame,
        Err(error) => return note(shared, id, &error, false).map(|()| vec![*id]),
    };
    let parts = match frame.header().kind {
        Kind::Recipe => match steps(&frame) {
            Ok(steps) => steps.iter().filter_map(super::recipe::Step::part).collect(),
            Err(error) => return note(shared, id, &error, false).map(|()| vec![*id]),
        },
        _ => Vec::new(),
    };
    let mut bad = Vec::new();
    for (part, len) in parts {
        if !bad.contains(&part) && !examine_part(shared, &part, len)? {
            bad.push(part);
        }
    }
    if !bad.is_empty() {
        return Ok(bad);
    }
    match hashed(shared, frame) {
        Ok(()) => Ok(bad),
        Err(error) => note(shared, id, &error, false).map(|()| vec![*id]),
    }
}

/// Opens a blob's frame and verifies all of it.
fn open(shared: &Shared, id: &BlobId) -> Result<FrameReader, BlobError> {
    let frame = shared.frame(id)?;
    frame.verify()?;
    Ok(frame)
}

fn examine_part(shared: &Arc<Shared>, part: &BlobId, len: u64) -> Result<bool, BlobError> {
    let checked = open(shared, part).and_then(|frame| {
        let fits = frame.header().kind == Kind::Content && frame.payload() == len;
        fits.then_some(frame).ok_or_else(|| BlobError::Foreign {
            blob: *part,
            what: "a recipe needs it as a part of another kind or length".into(),
        })
    });
    match checked.and_then(|frame| hashed(shared, frame)) {
        Ok(()) => Ok(true),
        Err(error) => note(shared, part, &error, true).map(|()| false),
    }
}

fn hashed(shared: &Arc<Shared>, frame: FrameReader) -> Result<(), BlobError> {
    let reader = BlobReader::over(shared, frame)?;
    reader.for_each_chunk(0, u64::MAX, &mut |_| ControlFlow::Continue(()))
}

/// Notes that a blob does not read. Durable before anything relies on it.
///
/// # Errors
/// [`BlobError::Poisoned`], [`BlobError::Index`], and [`BlobError::Io`] where the process has no
/// descriptors or memory left: `error` then says nothing of the blob.
pub(super) fn note(
    shared: &Shared,
    id: &BlobId,
    error: &BlobError,
    whole: bool,
) -> Result<(), BlobError> {
    if matches!(error, BlobError::Poisoned(_) | BlobError::Index(_)) || is_passing(error) {
        return Err(error.clone());
    }
    // What waits for its sync was written a moment ago, and will be looked at again.
    if shared.state.lock().pending.contains_key(id) {
        return Ok(());
    }
    let at = shared.index.get(id).map_err(BlobError::Index)?;
    let mut known = shared.known.write();
    let before = known.bad.get(id);
    let whole = whole
        || before.is_some_and(|bad| bad.whole)
        || at.is_some_and(|at| at.kind == Kind::Content);
    if before.is_some_and(|bad| bad.at == at && bad.whole == whole) {
        return Ok(());
    }
    tracing::error!(%id, %error, "a blob is damaged");
    known.bad.insert(*id, Bad { at, what: error.to_string(), whole });
    // While nobody else sees it: who stores the blob anew finds the count raised.
    shared.times_damaged.fetch_add(1, Ordering::Release);
    save(shared, known)
}

/// What is wrong with the process and not with the disk.
fn is_passing(error: &BlobError) -> bool {
    let BlobError::Io { error, .. } = error else { return false };
    let known = Errno::from_io_error(error);
    known.is_some_and(|errno| [Errno::MFILE, Errno::NFILE, Errno::NOMEM].contains(&errno))
}

/// A frame reads: what kept it from that before is over.
pub(super) fn reads_again(shared: &Shared, entry: &Entry) -> Result<(), BlobError> {
    // A recipe that must be stored whole is not bad because it does not read.
    let over = |known: &Known| {
        let bad = known.bad.get(&entry.id).filter(|bad| bad.at == Some(entry.at));
        bad.is_some_and(|bad| entry.at.kind == Kind::Content || !bad.whole)
    };
    if !over(&shared.known.read()) {
        return Ok(());
    }
    let mut known = shared.known.write();
    if !over(&known) {
        return Ok(());
    }
    tracing::warn!(id = %entry.id, "a blob that did not read reads again");
    known.bad.remove(&entry.id);
    save(shared, known)
}

fn save(shared: &Shared, changed: RwLockWriteGuard<'_, Known>) -> Result<(), BlobError> {
    let change = shared.known_changed();
    drop(changed);
    shared.save_known(change)
}

/// Takes what somebody else has of a blob, verified by its hash, in the place of
/// a damaged or missing frame. Not yet durable.
pub(super) fn repair(
    shared: &Arc<Shared>,
    head: &ExportedHead,
    body: &Body,
) -> Result<Put, BlobError> {
    let id = head.id;
    let whole = shared.known.read().bad.get(&id).is_some_and(|bad| bad.whole);
    export::import(shared, head, body, whole)
}

/// Good frames are durable and in the index: whose they are is damaged no more.
pub(super) fn became_durable(shared: &Shared, done: &[Entry]) -> Result<(), BlobError> {
    if shared.known.read().bad.is_empty() {
        return Ok(());
    }
    let mut known = shared.known.write();
    let before = known.bad.len();
    for entry in done {
        if known.bad.get(&entry.id).is_some_and(|bad| bad.at != Some(entry.at)) {
            known.bad.remove(&entry.id);
        }
    }
    let repaired = before - known.bad.len();
    if repaired == 0 {
        return Ok(());
    }
    shared.repaired.fetch_add(repaired as u64, Ordering::Relaxed);
    save(shared, known)
}

/// Who is not here any more, and is nobody's, is missed by nobody.
pub(super) fn forgotten<'a>(
    shared: &Shared,
    ids: impl Iterator<Item = &'a BlobId>,
) -> Result<(), BlobError> {
    let mut known = shared.known.write();
    let before = known.bad.len();
    for id in ids {
        if known.bad.contains_key(id) && shared.index.get(id).map_err(BlobError::Index)?.is_none() {
            known.bad.remove(id);
        }
    }
    if known.bad.len() == before { Ok(()) } else { save(shared, known) }
}

/// Notes parts of packs that do not read.
pub(super) fn note_holes(shared: &Shared, holes: &[Hole]) -> Result<(), BlobError> {
    if holes.is_empty() {
        return Ok(());
    }
    let mut known = shared.known.write();
    holes.iter().for_each(|hole| known.add_hole(*hole));
    resolve(&*shared.index, &mut known)?;
    shared.times_damaged.fetch_add(1, Ordering::Release);
    save(shared, known)
}

/// Notes the blobs that the index has in holes. A hole of which nothing else is
/// left is none any more.
pub(super) fn resolve(index: &dyn BlobIndex, known: &mut Known) -> Result<(), BlobError> {
    const PAGE: usize = 10_000;
    if known.holes.is_empty() {
        return Ok(());
    }
    let mut unexplained: BTreeMap<Hole, u64> =
        known.holes.iter().map(|hole| (*hole, hole.to - hole.from)).collect();
    let mut after = None;
    loop {
        let ids = index.ids(after, PAGE).map_err(BlobError::Index)?;
        let Some(last) = ids.last() else { break };
        after = Some(*last);
        for id in ids {
            let Some(at) = index.get(&id).map_err(BlobError::Index)? else { continue };
            let hole = unexplained.iter_mut().find(|(hole, _)| hole.has(&at));
            if let Some((_, octets)) = hole {
                *octets = octets.saturating_sub(at.size);
                let (what, whole) = ("its frame does not read".into(), at.kind == Kind::Content);
                known.bad.entry(id).or_insert(Bad { at: Some(at), what, whole });
            }
        }
    }
    known.holes.retain(|hole| unexplained.get(hole) != Some(&0));
    Ok(())
}

/// After a start: whose frame has a later one in its place is damaged no more.
pub(super) fn settle(shared: &Shared) -> Result<(), BlobError> {
    let mut known = shared.known.write();
    let before = known.bad.len();
    let mut good = Vec::new();
    for (id, bad) in &known.bad {
        let there = shared.index.get(id).map_err(BlobError::Index)?;
        if there.is_some() && there != bad.at {
            good.push(*id);
        }
    }
    good.iter().for_each(|id| drop(known.bad.remove(id)));
    if known.bad.len() == before { Ok(()) } else { save(shared, known) }
}

/// What was in the parts of packs that do not read is here again.
pub(super) fn holes_filled(shared: &Shared) -> Result<(), BlobError> {
    let mut known = shared.known.write();
    if known.holes.is_empty() {
        return Ok(());
    }
    known.holes.clear();
    save(shared, known)
}

/// Blobs known to be damaged or missing, at most `limit`.
pub(super) fn damaged(shared: &Shared, limit: usize) -> Vec<Damage> {
    let known = shared.known.read();
    let first = known.bad.iter().take(limit);
    first.map(|(id, bad)| Damage { id: *id, what: bad.what.clone() }).collect()
}

/// Whether a frame has a later one in its place, so that nobody reads it.
pub(super) fn is_superseded(shared: &Shared, id: &BlobId, at: &Location) -> bool {
    let newest = shared.index.get(id).ok().flatten();
    newest.is_some_and(|newest| (newest.pack, newest.offset) > (at.pack, at.offset))
}
