//! Reading everything to see whether it is still right.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::error::BlobError;
use super::frame::Entry;
use super::open::{footer, sealed_at};
use super::packs::Pack;
use super::read::FrameReader;
use super::reader::BlobReader;
use super::scan::scan;
use super::shared::Shared;
use super::stats::ScrubReport;

/// Verifies every frame of every pack; damage is reported and does not end it.
pub(super) fn scrub(
    shared: &Arc<Shared>,
    pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<ScrubReport, BlobError> {
    let mut report = ScrubReport::default();
    for id in shared.packs.ids() {
        let pack = shared.packs.get(id)?;
        for entry in contents(shared, &pack, &mut report)? {
            check(shared, &pack, &entry, &mut report);
            report.frames += 1;
            report.octets += entry.at.size;
            if pace(entry.at.size).is_break() {
                return Ok(report);
            }
        }
    }
    report.complete = true;
    Ok(report)
}

fn contents(
    shared: &Shared,
    pack: &Pack,
    report: &mut ScrubReport,
) -> Result<Vec<Entry>, BlobError> {
    if let Some(entries) = written(shared, pack) {
        return Ok(entries);
    }
    let listed = match sealed_at(pack)? {
        Some(offset) => footer(pack, offset),
        None => scan(pack, 0).map(|scan| scan.entries),
    };
    listed.or_else(|error| match error {
        BlobError::Io { .. } => Err(error),
        damage => {
            report.damaged.push(damage);
            let floor = sealed_at(pack)?.unwrap_or(0);
            Ok(scan(pack, floor).map(|scan| scan.entries).unwrap_or_default())
        }
    })
}

/// What is in a pack that is still written to.
fn written(shared: &Shared, pack: &Pack) -> Option<Vec<Entry>> {
    let slot = shared.lane(pack.key.lane).lock();
    let sealing = shared.sealing.lock();
    let mut all = slot.iter().chain(sealing.iter());
    let active = all.find(|active| active.pack.key.id == pack.key.id)?;
    Some(active.entries.clone())
}

fn check(shared: &Arc<Shared>, pack: &Pack, entry: &Entry, report: &mut ScrubReport) {
    let checked = FrameReader::open(pack.clone(), &entry.id, &entry.at).and_then(|frame| {
        frame.verify()?;
        let reader = BlobReader::over(shared, frame)?;
        reader.for_each_chunk(0, u64::MAX, &mut |_| ControlFlow::Continue(()))
    });
    report.damaged.extend(checked.err());
}
