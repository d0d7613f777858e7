//! Opening: packs are listed, torn tails cut, the index brought up to date.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::draft::WriteFailure;
use super::error::BlobError;
use super::frame::{
    Entry, Kind, PACK_HEADER, PackKey, TRAILER, Totals, Trailer, decode_footer, id_of_file_name,
};
use super::index::{BlobIndex, Covered, MemoryIndex, RocksIndex};
use super::known::{Bad, Hole, Known};
use super::options::{BlobOptions, IndexKind};
use super::packs::{Pack, Packs, io_error};
use super::read::FrameReader;
use super::reader::steps;
use super::reclaim::parts_in;
use super::repair;
use super::scan::{Scan, scan};
use super::scrub::contents_of;
use super::shared::{Active, Shared};
use super::stats::{BlobReport, Cut};
use crate::disk::Disk;
use crate::id::BlobId;

/// A pack as it was found.
struct Found {
    pack: Pack,
    state: FoundState,
}

enum FoundState {
    Sealed(Trailer),
    Unsealed(Scan),
}

pub(super) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: BlobOptions,
) -> Result<(Shared, BlobReport), BlobError> {
    disk.create_dir_all(dir).map_err(|error| io_error(&dir.to_string_lossy(), error))?;
    let packs = Packs::new(disk, dir, options.open_packs);
    let (mut report, saved) = (BlobReport::default(), packs.known()?);
    let mut known = saved.clone();
    let mut found = find(&packs, options.tolerate_damage, &mut known)?;
    let index = open_index(&dir.join("index"), options.index, &found, &mut report)?;
    let before = Before(index.covered().map_err(BlobError::Index)?);
    add_sealed(&*index, &mut found, &mut report, options.tolerate_damage)?;
    note(&found, &mut known);
    repair::resolve(&*index, &mut known)?;
    // Before anything is changed that would let the next start forget it.
    if known != saved {
        packs.save(known.list()).map_err(|error| io_error(super::known::FILE, error))?;
    }
    cut_incomplete(&*index, &mut found)?;
    let shared = Shared::new(options, packs, index);
    *shared.known.write() = known;
    shared.next_pack.fetch_max(shared.packs.behind_all()?, Ordering::Relaxed);
    let added = before.added(&found);
    for pack in found {
        let from = before.upto(&pack.pack);
        adopt(&shared, pack, from, &mut report)?;
    }
    leave_out(&shared, &added, &report)?;
    repair::settle(&shared)?;
    let known = shared.known.read();
    (report.damaged, report.holes) = (known.bad.len() as u64, known.holes.len() as u64);
    drop(known);
    report.packs = shared.packs.count();
    Ok((shared, report))
}

// ------------------------------------------------------------- the packs

fn find(packs: &Packs, tolerate: bool, known: &mut Known) -> Result<Vec<Found>, BlobError> {
    let mut found = Vec::new();
    for name in packs.list()? {
        let Some(id) = id_of_file_name(&name) else { continue };
        match find_one(packs, &name, id, tolerate) {
            Ok(Some(pack)) => found.push(pack),
            Ok(None) => packs.remove(&name)?,
            Err(error) if !tolerate => return Err(error),
            Err(error) => {
                tracing::error!(%error, pack = name, "a pack is put aside; peers have its blobs");
                known.add_hole(Hole { pack: id, from: 0, to: u64::MAX });
                packs.save(known.list()).map_err(|error| io_error(super::known::FILE, error))?;
                packs.put_aside(&name)?;
            }
        }
    }
    Ok(found)
}

/// Notes what was found damaged.
fn note(found: &[Found], known: &mut Known) {
    for (_, scan) in unsealed(found) {
        scan.holes.iter().for_each(|hole| known.add_hole(*hole));
        for (entry, what) in &scan.bad {
            let bad = Bad { at: Some(entry.at), what: what.clone(), whole: false };
            let whole = known.bad.get(&entry.id).is_some_and(|bad| bad.whole);
            known.bad.insert(entry.id, Bad { whole, ..bad });
        }
    }
}

/// `None` for a pack that was never finished being made: no frame was ever in it.
fn find_one(
    packs: &Packs,
    name: &str,
    id: u64,
    tolerate: bool,
) -> Result<Option<Found>, BlobError> {
    let file = packs.open_file(name)?;
    let mut octets = vec![0; PACK_HEADER];
    let len = file.len().map_err(|error| io_error(name, error))?;
    if len >= PACK_HEADER as u64 {
        file.read_exact_at(&mut octets, 0).map_err(|error| io_error(name, error))?;
    }
    let key = PackKey::decode(&octets).filter(|key| key.id == id);
    let Some(key) = key else {
        return nothing_in(&*file, name, len).map(|()| None);
    };
    packs.remember(key, Arc::clone(&file));
    let pack = Pack { key, file };
    let sealed = match trailer(&pack, len) {
        Err(_) if tolerate => None,
        sealed => sealed?,
    };
    let state = match sealed {
        Some(trailer) => FoundState::Sealed(trailer),
        None => FoundState::Unsealed(scan(&pack, 0, tolerate)?),
    };
    Ok(Some(Found { pack, state }))
}

/// Without a whole header only an empty pack may go: anything behind it is damage.
fn nothing_in(file: &dyn crate::disk::DiskFile, name: &str, len: u64) -> Result<(), BlobError> {
    const BLOCK: u64 = 1 << 20;
    let mut at = PACK_HEADER as u64;
    while at < len {
        let mut octets = vec![0; (len - at).min(BLOCK) as usize];
        file.read_exact_at(&mut octets, at).map_err(|error| io_error(name, error))?;
        if octets.iter().any(|octet| *octet != 0) {
            let what = "the pack's header does not fit its checksum".into();
            return Err(BlobError::Damaged { pack: name.into(), offset: 0, blob: None, what });
        }
        at += octets.len() as u64;
    }
    Ok(())
}

fn trailer(pack: &Pack, len: u64) -> Result<Option<Trailer>, BlobError> {
    let at = len.saturating_sub(TRAILER as u64);
    if at < PACK_HEADER as u64 {
        return Ok(None);
    }
    let trailer = Trailer::decode(&pack.read(at, TRAILER)?, pack.key.seed(at));
    Ok(trailer.filter(|trailer| (PACK_HEADER as u64..at).contains(&trailer.footer)))
}

/// A sealed pack's table of contents.
pub(super) fn footer(pack: &Pack, offset: u64) -> Result<Vec<Entry>, BlobError> {
    let frame = FrameReader::open_at(pack.clone(), offset)?;
    let wrong = || frame.damaged("the footer does not read");
    let len = usize::try_from(frame.payload()).map_err(|_| wrong())?;
    let octets = frame.exactly(0, len)?;
    let footer = frame.header().kind == Kind::Footer;
    decode_footer(pack.key.id, &octets).filter(|_| footer).ok_or_else(wrong)
}

/// Where the footer is, if the pack is sealed.
pub(super) fn sealed_at(pack: &Pack) -> Result<Option<u64>, BlobError> {
    Ok(trailer(pack, pack.len()?)?.map(|trailer| trailer.footer))
}

// ------------------------------------------------------------- the index

fn open_index(
    dir: &Path,
    kind: IndexKind,
    found: &[Found],
    report: &mut BlobReport,
) -> Result<Box<dyn BlobIndex>, BlobError> {
    let IndexKind::RocksDb { cache } = kind else {
        report.index_rebuilt = !found.is_empty();
        return Ok(Box::new(MemoryIndex::default()));
    };
    let opened = RocksIndex::open(dir, cache).and_then(|index| Ok((index.covered()?, index)));
    if let Ok((covered, index)) = opened {
        report.missing = missing(&covered, found);
        if !is_stale(&covered, found) {
            report.index_rebuilt = covered.is_empty() && !found.is_empty();
            return Ok(Box::new(index));
        }
    }
    report.index_rebuilt = true;
    tracing::warn!(dir = %dir.display(), "the blob index is damaged or stale: built anew");
    RocksIndex::destroy(dir).map_err(|error| io_error(&dir.to_string_lossy(), error))?;
    let index = RocksIndex::open(dir, cache).map_err(BlobError::Index)?;
    Ok(Box::new(index))
}

fn missing(covered: &HashMap<u64, Covered>, found: &[Found]) -> Vec<String> {
    let here: HashSet<u64> = found.iter().map(|found| found.pack.key.id).collect();
    let mut missing: Vec<u64> = covered.keys().copied().filter(|id| !here.contains(id)).collect();
    missing.sort_unstable();
    missing.into_iter().map(super::frame::file_name).collect()
}

/// Whether the index knows packs that are not these, or more of them than there is.
fn is_stale(covered: &HashMap<u64, Covered>, found: &[Found]) -> bool {
    let stale = |found: &Found| {
        let end = match &found.state {
            FoundState::Sealed(trailer) => trailer.footer,
            FoundState::Unsealed(scan) => scan.end,
        };
        let known = covered.get(&found.pack.key.id);
        known.is_some_and(|known| known.salt != found.pack.key.salt || known.to > end)
    };
    !missing(covered, found).is_empty() || found.iter().any(stale)
}

/// Adds what sealed packs hold and the index does not know yet.
fn add_sealed(
    index: &dyn BlobIndex,
    found: &mut [Found],
    report: &mut BlobReport,
    tolerate: bool,
) -> Result<(), BlobError> {
    let known = index.covered().map_err(BlobError::Index)?;
    for Found { pack, state } in found {
        let FoundState::Sealed(trailer) = &*state else { continue };
        let from = known.get(&pack.key.id).map_or(0, |known| known.to);
        if from >= trailer.footer {
            continue;
        }
        match footer(pack, trailer.footer) {
            // In an index that is built anew packs come in their order.
            Ok(entries) if known.is_empty() => add(index, pack, &entries, trailer.footer)?,
            Ok(mut entries) => {
                entries.retain(|entry| entry.at.offset >= from);
                add(index, pack, &newest(index, &entries)?, trailer.footer)?;
            }
            Err(error @ BlobError::Io { .. }) if !tolerate => return Err(error),
            Err(_) => {
                let scan = scan(pack, trailer.footer, tolerate)?;
                report.footers_rebuilt.push(pack.key.file_name());
                *state = FoundState::Unsealed(Scan { footer: true, ..scan });
            }
        }
    }
    Ok(())
}

fn add(index: &dyn BlobIndex, pack: &Pack, entries: &[Entry], to: u64) -> Result<(), BlobError> {
    let covered = Covered { salt: pack.key.salt, to };
    index.add(entries, &[(pack.key.id, covered)]).map_err(BlobError::Index)
}

/// What the index knew before it was brought up to date.
struct Before(HashMap<u64, Covered>);

impl Before {
    /// Up to where it knew a pack: what it has not got of that is nobody's.
    fn upto(&self, pack: &Pack) -> u64 {
        self.0.get(&pack.key.id).map_or(0, |covered| covered.to)
    }

    /// Packs of which it did not know all, and up to where it did.
    fn added(&self, found: &[Found]) -> Vec<(Pack, u64)> {
        let unknown = |found: &Found| {
            let from = self.upto(&found.pack);
            let all = matches!(&found.state, FoundState::Sealed(trailer) if from >= trailer.footer);
            (!all).then(|| (found.pack.clone(), from))
        };
        found.iter().filter_map(unknown).collect()
    }
}

/// A recipe whose parts went when it was nobody's any more is in its pack until that is written
/// anew. Whoever found it would rely on it. Where something is damaged or gone that should be
/// here, that is another matter.
fn leave_out(shared: &Shared, added: &[(Pack, u64)], report: &BlobReport) -> Result<(), BlobError> {
    if !report.missing.is_empty() || !shared.known.read().holes.is_empty() {
        return Ok(());
    }
    for (pack, from) in added {
        for entry in contents_of(shared, pack)?.unwrap_or_default() {
            let asked = entry.at.kind == Kind::Recipe && entry.at.offset >= *from;
            let there = shared.index.get(&entry.id).map_err(BlobError::Index)?;
            if asked && there == Some(entry.at) && lacks_parts(shared, pack, &entry)? {
                tracing::debug!(id = %entry.id, "a forgotten message stays forgotten");
                shared.index.forget(&[entry.id], &[]).map_err(BlobError::Index)?;
            }
        }
    }
    Ok(())
}

fn lacks_parts(shared: &Shared, pack: &Pack, entry: &Entry) -> Result<bool, BlobError> {
    // One that does not read is damaged, and looked after as such.
    let Ok(parts) = parts_in(pack.clone(), &entry.id, &entry.at) else { return Ok(false) };
    for part in parts {
        if shared.index.get(&part).map_err(BlobError::Index)?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

// ------------------------------------------------------------- torn tails

/// Cuts tails at recipes whose parts a crash has lost: no sync covered such a
/// recipe, or it would have covered its parts, nor anything behind it.
fn cut_incomplete(index: &dyn BlobIndex, found: &mut [Found]) -> Result<(), BlobError> {
    let mut changed = true;
    while changed {
        changed = false;
        let here: HashSet<BlobId> = unsealed(found).flat_map(|(_, scan)| ids(scan)).collect();
        let has = |id: &BlobId| -> Result<bool, BlobError> {
            Ok(here.contains(id) || index.get(id).map_err(BlobError::Index)?.is_some())
        };
        for Found { pack, state } in &mut *found {
            let FoundState::Unsealed(scan) = state else { continue };
            changed |= cut_at_incomplete(pack, scan, &has)?;
        }
    }
    Ok(())
}

fn unsealed(found: &[Found]) -> impl Iterator<Item = (&Pack, &Scan)> {
    found.iter().filter_map(|found| match &found.state {
        FoundState::Unsealed(scan) => Some((&found.pack, scan)),
        FoundState::Sealed(_) => None,
    })
}

fn ids(scan: &Scan) -> impl Iterator<Item = BlobId> {
    scan.entries.iter().map(|entry| entry.id)
}

fn cut_at_incomplete(
    pack: &Pack,
    scan: &mut Scan,
    has: &dyn Fn(&BlobId) -> Result<bool, BlobError>,
) -> Result<bool, BlobError> {
    for (index, entry) in scan.entries.iter().enumerate() {
        let unsure = entry.at.kind == Kind::Recipe && entry.at.offset >= scan.mark;
        if unsure && !is_complete(pack, entry, has)? {
            let cut = entry.at.offset;
            scan.junk = scan.end + scan.junk - cut;
            scan.end = cut;
            scan.entries.truncate(index);
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_complete(
    pack: &Pack,
    entry: &Entry,
    has: &dyn Fn(&BlobId) -> Result<bool, BlobError>,
) -> Result<bool, BlobError> {
    let frame = FrameReader::open(pack.clone(), &entry.id, &entry.at)?;
    for (id, _) in steps(&frame)?.iter().filter_map(super::recipe::Step::part) {
        if !has(&id)? {
            return Ok(false);
        }
    }
    Ok(true)
}

// ------------------------------------------------------------- taking over

fn adopt(
    shared: &Shared,
    found: Found,
    from: u64,
    report: &mut BlobReport,
) -> Result<(), BlobError> {
    let id = found.pack.key.id;
    shared.next_pack.fetch_max(id.saturating_add(1), Ordering::Relaxed);
    match found.state {
        FoundState::Sealed(trailer) => {
            let mut state = shared.state.lock();
            state.sealed += 1;
            state.totals.join(&trailer.totals);
            Ok(())
        }
        FoundState::Unsealed(scan) => resume(shared, found.pack, scan, from, report),
    }
}

/// Frames of a process that was killed may not be durable yet: the sync here makes them so.
/// What the index has not got of those before `from` was forgotten.
fn resume(
    shared: &Shared,
    pack: Pack,
    mut scan: Scan,
    from: u64,
    report: &mut BlobReport,
) -> Result<(), BlobError> {
    let name = pack.key.file_name();
    if scan.junk > 0 {
        pack.file.set_len(scan.end).map_err(|error| io_error(&name, error))?;
        report.cut.push(Cut { pack: name.clone(), offset: scan.end, octets: scan.junk });
    }
    pack.sync()?;
    let new: Vec<Entry> =
        scan.entries.iter().filter(|entry| entry.at.offset >= from).copied().collect();
    add(&*shared.index, &pack, &newest(&*shared.index, &new)?, scan.end)?;
    shared.state.lock().totals.join(&Totals::of(&scan.entries));
    let capacity = capacity(shared, &pack, &scan)?;
    let (end, damaged) = (scan.end, scan.is_damaged());
    let entries = match damaged {
        true => shared.known.read().with_bad(pack.key.id, std::mem::take(&mut scan.entries)),
        false => scan.entries,
    };
    let lane = pack.key.lane;
    let active = Active { pack, end, data_end: end, synced: end, capacity, entries };
    // A damaged pack takes nothing more: once sealed it is not read as a whole again.
    if scan.footer || damaged {
        shared.sealing.lock().push(active);
    } else {
        let older = shared.lane(lane).lock().replace(active);
        shared.sealing.lock().extend(older);
    }
    Ok(())
}

/// Entries of blobs that have no later frame in a pack that was added before.
fn newest(index: &dyn BlobIndex, entries: &[Entry]) -> Result<Vec<Entry>, BlobError> {
    let mut newest = Vec::with_capacity(entries.len());
    for entry in entries {
        let there = index.get(&entry.id).map_err(BlobError::Index)?;
        if there.is_none_or(|at| (at.pack, at.offset) <= (entry.at.pack, entry.at.offset)) {
            newest.push(*entry);
        }
    }
    Ok(newest)
}

/// Room for more frames. None on a full disk: then the next blob asks for a new pack.
fn capacity(shared: &Shared, pack: &Pack, scan: &Scan) -> Result<u64, BlobError> {
    let name = pack.key.file_name();
    let capacity = pack.len()?.max(shared.options.pack_bytes);
    if scan.footer || scan.is_damaged() {
        return Ok(scan.end);
    }
    match pack.file.allocate(capacity) {
        Ok(()) => Ok(capacity),
        Err(error) => match WriteFailure::of(&name, &error) {
            WriteFailure::Full => Ok(scan.end),
            WriteFailure::Broken(_) | WriteFailure::Unread(_) => Err(io_error(&name, error)),
        },
    }
}
