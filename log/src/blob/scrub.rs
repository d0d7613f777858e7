//! Reading everything to see whether it is still right.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::BlobError;
use super::frame::{Entry, PACK_HEADER, PackKey};
use super::open::{footer, sealed_at};
use super::packs::{Pack, io_error};
use super::read::FrameReader;
use super::reader::BlobReader;
use super::repair;
use super::scan::scan;
use super::shared::{Active, Shared};
use super::stats::{ScrubAt, ScrubReport};

/// More damage than this is counted as one.
const MOST_DAMAGED: usize = 10_000;

/// Told where the scrub goes on and how many octets the last frame had; may sleep.
pub(super) type Pace<'a> = &'a mut dyn FnMut(ScrubAt, u64) -> ControlFlow<()>;

/// Verifies every frame of every pack from a place on. Damage is noted and
/// reported, and does not end it; what can be written anew from memory is.
pub(super) fn scrub(
    shared: &Arc<Shared>,
    from: ScrubAt,
    pace: Pace<'_>,
) -> Result<ScrubReport, BlobError> {
    let mut report = ScrubReport::default();
    for id in shared.packs.ids().into_iter().filter(|id| *id >= from.pack) {
        let pack = match shared.packs.get(id) {
            // It was written anew meanwhile.
            Err(_) if shared.packs.key(id).is_none() => continue,
            pack => pack?,
        };
        let start = if id == from.pack { from.offset } else { 0 };
        if start == 0 {
            check_header(&pack, &mut report)?;
        }
        for entry in contents(shared, &pack, &mut report)? {
            if entry.at.offset < start {
                continue;
            }
            check(shared, &pack, &entry, &mut report)?;
            report.frames += 1;
            report.octets += entry.at.size;
            let next = ScrubAt { pack: id, offset: entry.at.offset + entry.at.size };
            if pace(next, entry.at.size).is_break() {
                return Ok(report);
            }
        }
    }
    report.complete = true;
    Ok(report)
}

/// The header is in memory since the start: where it does not read it is written again.
fn check_header(pack: &Pack, report: &mut ScrubReport) -> Result<(), BlobError> {
    let octets = pack.read(0, PACK_HEADER);
    if octets.is_ok_and(|octets| PackKey::decode(&octets) == Some(pack.key)) {
        return Ok(());
    }
    let name = pack.key.file_name();
    let written = pack.file.write_all_at(&pack.key.encode(), 0);
    written.and_then(|()| pack.file.sync_data()).map_err(|error| io_error(&name, error))?;
    report.rewritten.push(name);
    Ok(())
}

fn contents(
    shared: &Shared,
    pack: &Pack,
    report: &mut ScrubReport,
) -> Result<Vec<Entry>, BlobError> {
    if let Some(entries) = written(shared, pack) {
        return Ok(entries);
    }
    let sealed = sealed_at(pack).unwrap_or_default();
    if let Some(Ok(entries)) = sealed.map(|offset| footer(pack, offset)) {
        return Ok(entries);
    }
    let mut whole = scan(pack, sealed.unwrap_or(0), true)?;
    if shared.being_sealed.load(Ordering::Acquire) == pack.key.id {
        return Ok(whole.entries);
    }
    // It was being sealed when it was looked at first.
    if let Ok(Some(Ok(entries))) = sealed_at(pack).map(|at| at.map(|at| footer(pack, at))) {
        return Ok(entries);
    }
    repair::note_holes(shared, &whole.holes)?;
    whole.entries = shared.known.read().with_bad(pack.key.id, whole.entries);
    let entries = whole.entries.clone();
    report.rewritten.push(pack.key.file_name());
    let end = whole.end;
    let active = Active {
        pack: pack.clone(),
        end,
        data_end: end,
        synced: end,
        capacity: end,
        entries: whole.entries,
    };
    shared.seal_again(active);
    Ok(entries)
}

/// What is in a pack; `None` while it is being sealed.
pub(super) fn contents_of(shared: &Shared, pack: &Pack) -> Result<Option<Vec<Entry>>, BlobError> {
    if let Some(entries) = written(shared, pack) {
        return Ok(Some(entries));
    }
    sealed_at(pack)?.map(|offset| footer(pack, offset)).transpose()
}

/// What is in a pack that is still written to.
fn written(shared: &Shared, pack: &Pack) -> Option<Vec<Entry>> {
    let slot = shared.lane(pack.key.lane).lock();
    let sealing = shared.sealing.lock();
    let mut all = slot.iter().chain(sealing.iter());
    let active = all.find(|active| active.pack.key.id == pack.key.id)?;
    Some(active.entries.clone())
}

/// Whether a frame is nobody's: it goes when its pack is written anew.
fn is_forgotten(shared: &Shared, entry: &Entry) -> Result<bool, BlobError> {
    let known = shared.known.read().bad.contains_key(&entry.id);
    Ok(!known
        && shared.index.get(&entry.id).map_err(BlobError::Index)?.is_none()
        && !shared.state.lock().pending.contains_key(&entry.id))
}

fn check(
    shared: &Arc<Shared>,
    pack: &Pack,
    entry: &Entry,
    report: &mut ScrubReport,
) -> Result<(), BlobError> {
    if repair::is_superseded(shared, &entry.id, &entry.at) || is_forgotten(shared, entry)? {
        return Ok(());
    }
    let checked = FrameReader::open(pack.clone(), &entry.id, &entry.at).and_then(|frame| {
        frame.verify()?;
        let reader = BlobReader::over(shared, frame)?;
        reader.for_each_chunk(0, u64::MAX, &mut |_| ControlFlow::Continue(()))
    });
    let Err(error) = checked else { return repair::reads_again(shared, entry) };
    // The recipe is whole: its part has a frame of its own, or none.
    match error {
        BlobError::Part { .. } => drop(repair::examine(shared, &entry.id)?),
        _ => repair::note(shared, &entry.id, &error, false)?,
    }
    if report.damaged.len() < MOST_DAMAGED {
        report.damaged.push(error);
    }
    Ok(())
}
