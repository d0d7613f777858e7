//! Blobs that are dead go out of the index; `compact.rs` then takes them out of the packs.
//!
//! Whoever finds a blob here relies on it: a message that names it may be on its way into the
//! log. So a dead blob is first only doomed. A look-up from then on spares it, under the lock
//! under which it would be forgotten; look-ups from before are those of a [`Using`] that is
//! still held, and the caller waits until none is. Parts of messages are in no state: a part
//! goes when no recipe that stays names it.
//!
//! A start that builds the index anew finds forgotten frames again, as long as their packs are
//! there. That does no harm to what is whole; a recipe whose parts have gone is left out.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::draft::{Draft, WriteFailure};
use super::error::BlobError;
use super::frame::{Entry, Kind, Location};
use super::packs::Pack;
use super::read::FrameReader;
use super::reader::steps;
use super::recipe::Step;
use super::scrub::contents_of;
use super::shared::{Active, Shared, State};
use super::syncer::sync;
use crate::id::BlobId;

/// Blobs forgotten under one lock.
const TOGETHER: usize = 256;

/// Whoever holds one may rely on what it found in the store: nothing that was there goes.
#[derive(Debug)]
pub struct Using {
    shared: Arc<Shared>,
    epoch: u64,
}

impl Using {
    pub(super) fn begin(shared: &Arc<Shared>) -> Self {
        let epoch = shared.state.lock().doom.enter();
        Self { shared: Arc::clone(shared), epoch }
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        self.shared.state.lock().doom.leave(self.epoch);
    }
}

/// What is doomed, and who began before that.
#[derive(Debug, Default)]
pub(super) struct Doom {
    blobs: HashSet<BlobId>,
    epoch: u64,
    using: BTreeMap<u64, u64>,
}

impl Doom {
    fn enter(&mut self) -> u64 {
        *self.using.entry(self.epoch).or_default() += 1;
        self.epoch
    }

    fn leave(&mut self, epoch: u64) {
        if let Some(count) = self.using.get_mut(&epoch) {
            *count = count.saturating_sub(1);
        }
        self.using.retain(|_, count| *count > 0);
    }

    /// Somebody finds it, or is about to look.
    pub(super) fn spare(&mut self, id: &BlobId) {
        if !self.blobs.is_empty() {
            self.blobs.remove(id);
        }
    }
}

/// Blobs that are to go, unless somebody looks for them.
#[derive(Debug)]
pub struct Doomed {
    /// Before which everybody must have left.
    epoch: u64,
    /// Those that the caller named, and are here.
    dead: BTreeSet<BlobId>,
    /// What these are put together from.
    parts: BTreeSet<BlobId>,
    recipes: BTreeMap<BlobId, Vec<BlobId>>,
    /// Those that were named, and are not here.
    absent: Vec<BlobId>,
}

impl Doomed {
    /// Parts that go with them. The caller spares those that are blobs in their own right.
    pub fn parts(&self) -> impl Iterator<Item = &BlobId> {
        self.parts.iter()
    }

    /// Whether none of those that were named is here.
    pub fn is_empty(&self) -> bool {
        self.dead.is_empty()
    }
}

/// Dooms those of some dead blobs that are here, and their parts.
pub(super) fn doom(shared: &Shared, dead: &[BlobId]) -> Result<Doomed, BlobError> {
    let (mut here, mut recipes, mut absent) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
    for id in dead {
        let Some(at) = shared.index.get(id).map_err(BlobError::Index)? else {
            absent.push(*id);
            continue;
        };
        here.insert(*id);
        if at.kind == Kind::Recipe
            && let Ok(parts) = parts_at(shared, id, &at)
        {
            recipes.insert(*id, parts);
        }
    }
    let parts: BTreeSet<BlobId> = recipes.values().flatten().copied().collect();
    let mut state = shared.state.lock();
    let epoch = state.doom.epoch;
    state.doom.epoch += 1;
    state.doom.blobs = here.iter().chain(&parts).copied().collect();
    // Who remembers that something is durable asks again. Under the lock: who begins to use
    // the store behind this one remembers nothing from before it.
    shared.times_damaged.fetch_add(1, Ordering::Release);
    drop(state);
    Ok(Doomed { epoch, dead: here, parts, recipes, absent })
}

fn parts_at(shared: &Shared, id: &BlobId, at: &Location) -> Result<Vec<BlobId>, BlobError> {
    parts_in(shared.packs.get(at.pack)?, id, at)
}

/// What a recipe is put together from.
pub(super) fn parts_in(pack: Pack, id: &BlobId, at: &Location) -> Result<Vec<BlobId>, BlobError> {
    let frame = FrameReader::open(pack, id, at)?;
    Ok(steps(&frame)?.iter().filter_map(Step::part).map(|(part, _)| part).collect())
}

/// Whether all who began before have left.
pub(super) fn is_quiet(shared: &Shared, doomed: &Doomed) -> bool {
    shared.state.lock().doom.using.range(..=doomed.epoch).next().is_none()
}

pub(super) fn spare(shared: &Shared, ids: &[BlobId]) {
    let mut state = shared.state.lock();
    ids.iter().for_each(|id| state.doom.spare(id));
}

/// Spares what a recipe names that is not doomed itself. False when it was to end early.
///
/// Only once it is quiet: a recipe that somebody is about to write is in no pack.
pub(super) fn spare_parts(
    shared: &Shared,
    doomed: &Doomed,
    pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<bool, BlobError> {
    if doomed.parts.is_empty() {
        return Ok(true);
    }
    if !shared.known.read().holes.is_empty() {
        return Ok(false);
    }
    for id in shared.packs.ids() {
        let Ok(pack) = shared.packs.get(id) else { continue };
        // A pack without a table of contents is being sealed right now.
        let Some(entries) = contents_of(shared, &pack)? else { return Ok(false) };
        for entry in entries {
            let other = entry.at.kind == Kind::Recipe && !doomed.recipes.contains_key(&entry.id);
            if !other || !stays(shared, &entry)? {
                continue;
            }
            spare(shared, &parts_in(pack.clone(), &entry.id, &entry.at)?);
            if pace(entry.at.size.min(64 << 10)).is_break() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether a frame is anybody's: it waits for its sync, or the index knows it.
fn stays(shared: &Shared, entry: &Entry) -> Result<bool, BlobError> {
    if shared.state.lock().pending.contains_key(&entry.id) {
        return Ok(true);
    }
    Ok(shared.index.get(&entry.id).map_err(BlobError::Index)? == Some(entry.at))
}

/// Forgets what is doomed still: whoever looks for it finds it absent. Its octets stay until
/// their pack is written anew.
///
/// None of them, and so to be tried again, while something of them is being sealed.
pub(super) fn forget(shared: &Shared, doomed: &Doomed) -> Result<u64, BlobError> {
    if !cover(shared, doomed)? {
        return Ok(0);
    }
    let mut forgotten = 0;
    // Recipes first: what a spared one needs is spared.
    let recipes: Vec<BlobId> = doomed.recipes.keys().copied().collect();
    let others = doomed.dead.iter().chain(&doomed.parts);
    let others: BTreeSet<BlobId> =
        others.filter(|id| !doomed.recipes.contains_key(id)).copied().collect();
    for ids in recipes.chunks(TOGETHER) {
        forgotten += forget_some(shared, ids, |id, state| {
            let parts = doomed.recipes.get(id).into_iter().flatten();
            parts.for_each(|part| state.doom.spare(part));
        })?;
    }
    let others: Vec<BlobId> = others.into_iter().collect();
    for ids in others.chunks(TOGETHER) {
        forgotten += forget_some(shared, ids, |_, _| {})?;
    }
    shared.state.lock().doom.blobs.clear();
    if forgotten > 0 {
        shared.all_below.store(u64::MAX, Ordering::Release);
    }
    let gone = doomed.dead.iter().chain(&doomed.parts).chain(&doomed.absent);
    super::repair::forgotten(shared, gone)?;
    Ok(forgotten)
}

fn forget_some(
    shared: &Shared,
    ids: &[BlobId],
    spared: impl Fn(&BlobId, &mut State),
) -> Result<u64, BlobError> {
    let mut state = shared.state.lock();
    state.check()?;
    let mut going = Vec::with_capacity(ids.len());
    for id in ids {
        if state.doom.blobs.contains(id) && !state.pending.contains_key(id) {
            going.push(*id);
        } else {
            spared(id, &mut state);
        }
    }
    // Under the lock: who looks for one spares it before, or does not find it.
    shared.index.forget(&going, &[]).map_err(BlobError::Index)?;
    Ok(going.len() as u64)
}

/// A start cuts a recipe whose parts are not here, and all behind it, where nothing says that a
/// sync covered it. So before parts go, something says so, durably. False when it cannot be
/// said now.
fn cover(shared: &Shared, doomed: &Doomed) -> Result<bool, BlobError> {
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for id in doomed.recipes.keys() {
        if let Some(at) = shared.index.get(id).map_err(BlobError::Index)? {
            let offset = last.entry(at.pack).or_default();
            *offset = at.offset.max(*offset);
        }
    }
    let mut packs = Vec::new();
    {
        let [first, second] = &shared.lanes;
        let (mut first, mut second) = (first.lock(), second.lock());
        let mut sealing = shared.sealing.lock();
        if last.contains_key(&shared.being_sealed.load(Ordering::Acquire)) {
            return Ok(false);
        }
        for active in first.iter_mut().chain(second.iter_mut()).chain(sealing.iter_mut()) {
            let Some(offset) = last.get(&active.pack.key.id) else { continue };
            if !says(shared, active, *offset)? {
                return Ok(false);
            }
            packs.push(active.pack.clone());
        }
    }
    packs.iter().try_for_each(|pack| sync(shared, pack))?;
    Ok(true)
}

/// Writes a mark behind a frame that a sync has covered.
fn says(shared: &Shared, active: &mut Active, offset: u64) -> Result<bool, BlobError> {
    let mut mark = Draft::mark();
    if active.synced <= offset || !active.fits(mark.size()) {
        return Ok(false);
    }
    match active.write(&mut mark) {
        Ok(_) => Ok(true),
        Err(WriteFailure::Full) => Ok(false),
        Err(failure) => Err(shared.failed(&failure, 0)),
    }
}
