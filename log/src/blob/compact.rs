//! Packs of which much is nobody's any more are written anew: what lives in them is appended to
//! the packs that are written to, and then they go.
//!
//! A crash at any point leaves a frame twice, and never not at all: what is moved is durable in
//! its new place before the index names that, and the index says durably that the old pack is
//! none before its file goes.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::body::Body;
use super::draft::Draft;
use super::error::BlobError;
use super::frame::{Entry, Lane, Totals};
use super::open::{footer, sealed_at};
use super::packs::Pack;
use super::read::FrameReader;
use super::repair;
use super::shared::Shared;
use crate::id::BlobId;
use crate::world::{self, Mutation};

/// Octets of moved frames that one sync covers, about.
const MOVED: u64 = 8 << 20;

/// What went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Packs that were removed.
    pub packs: u64,
    /// Octets of packs that were removed.
    pub removed: u64,
    /// Octets of what stayed of them, written anew.
    pub moved: u64,
    /// Whether all packs were looked at.
    pub complete: bool,
}

/// Where one pass over the packs has come to.
#[derive(Debug)]
pub struct Compaction {
    /// Of a hundred octets of a pack so many must be nobody's.
    share: u64,
    /// `None` before packs that are written to were looked at.
    packs: Option<VecDeque<u64>>,
    moving: Option<Moving>,
    /// Some pack could not be looked at now.
    passed_over: bool,
    done: Reclaimed,
}

/// A pack that is being written anew.
#[derive(Debug)]
struct Moving {
    pack: Pack,
    entries: Vec<Entry>,
    left: VecDeque<Entry>,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Next {
    /// To wait until these are durable, and then to go on.
    Wait(Vec<BlobId>),
    /// Nothing more.
    Done(Reclaimed),
}

impl Compaction {
    /// Packs are written anew of which at least `share` of a hundred octets are nobody's.
    pub fn new(share: u64) -> Self {
        let (packs, moving, done) = (None, None, Reclaimed::default());
        Self { share, packs, moving, passed_over: false, done }
    }

    /// Goes on until something must become durable. `pace` is told the octets moved, and may
    /// sleep or end it.
    pub(super) fn step(
        &mut self,
        shared: &Arc<Shared>,
        pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Next, BlobError> {
        if shared.all_below.load(Ordering::Acquire) <= self.share {
            return Ok(Next::Done(Reclaimed { complete: true, ..self.done }));
        }
        if self.packs.is_none() {
            self.packs = Some(shared.packs.ids().into());
            if let Some(unsynced) = retire(shared, self.share)? {
                self.passed_over = true;
                return Ok(Next::Wait(unsynced));
            }
        }
        loop {
            if let Some(moving) = self.moving.take() {
                if let Some(next) = self.go_on(shared, moving, pace)? {
                    return Ok(next);
                }
                continue;
            }
            let Some(id) = self.packs.as_mut().and_then(VecDeque::pop_front) else {
                return Ok(Next::Done(self.end(shared)));
            };
            self.moving = self.worth(shared, id)?;
        }
    }

    fn end(&mut self, shared: &Shared) -> Reclaimed {
        if !self.passed_over {
            shared.all_below.store(self.share, Ordering::Release);
        }
        Reclaimed { complete: !self.passed_over, ..self.done }
    }

    /// Moves some, or removes the pack when all are moved.
    fn go_on(
        &mut self,
        shared: &Arc<Shared>,
        mut moving: Moving,
        pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Option<Next>, BlobError> {
        let unsynced = world::breaks(Mutation::MovedUnsynced);
        if moving.left.is_empty() {
            // Whatever happened meanwhile: nothing goes that the index has only there.
            if unsynced || live(shared, &moving.entries)?.is_empty() {
                self.done.removed += moving.pack.len()?;
                self.done.packs += 1;
                remove(shared, &moving.pack, &Totals::of(&moving.entries))?;
            }
            return Ok(None);
        }
        let (mut moved, mut octets) = (Vec::new(), 0);
        while octets < MOVED
            && let Some(entry) = moving.left.pop_front()
        {
            let draft = match copy(&moving.pack, &entry) {
                Err(damage @ BlobError::Damaged { .. }) => {
                    repair::note(shared, &entry.id, &damage, false)?;
                    self.passed_over = true;
                    return Ok(Some(Next::Wait(moved)));
                }
                draft => draft?,
            };
            shared.append_draft(draft, entry.at.len)?;
            moved.push(entry.id);
            octets += entry.at.size;
            self.done.moved += entry.at.size;
            if pace(entry.at.size).is_break() {
                return Ok(Some(Next::Done(self.done)));
            }
        }
        self.moving = Some(moving);
        Ok(if unsynced { None } else { Some(Next::Wait(moved)) })
    }

    /// A pack of which enough is nobody's.
    fn worth(&mut self, shared: &Shared, id: u64) -> Result<Option<Moving>, BlobError> {
        let Some((pack, entries)) = sealed(shared, id)? else {
            self.passed_over |= !is_written(shared, id);
            return Ok(None);
        };
        let left = live(shared, &entries)?;
        if !is_worth(&entries, &left, self.share) {
            return Ok(None);
        }
        Ok(Some(Moving { pack, entries, left: left.into() }))
    }
}

fn is_worth(entries: &[Entry], left: &[Entry], share: u64) -> bool {
    let (whole, kept) = (Totals::of(entries).stored, Totals::of(left).stored);
    let dead = whole.saturating_sub(kept);
    dead > 0 && dead.saturating_mul(100) >= whole.saturating_mul(share)
}

/// A pack that can be written anew: nobody writes to it, and all of it is known.
fn sealed(shared: &Shared, id: u64) -> Result<Option<(Pack, Vec<Entry>)>, BlobError> {
    let damaged = {
        let known = shared.known.read();
        let bad = known.bad.values().any(|bad| bad.at.is_some_and(|at| at.pack == id));
        bad || known.holes.iter().any(|hole| hole.pack == id || hole.pack == 0)
    };
    let Ok(pack) = shared.packs.get(id) else { return Ok(None) };
    if damaged || is_written(shared, id) || is_on_its_way(shared, id) {
        return Ok(None);
    }
    let Ok(Some(at)) = sealed_at(&pack) else { return Ok(None) };
    Ok(footer(&pack, at).ok().map(|entries| (pack, entries)))
}

fn is_written(shared: &Shared, id: u64) -> bool {
    let written = |lane: Lane| {
        let slot = shared.lane(lane).lock();
        slot.as_ref().is_some_and(|active| active.pack.key.id == id)
    };
    Lane::ALL.into_iter().any(written)
}

/// Whether it will be sealed soon.
fn is_on_its_way(shared: &Shared, id: u64) -> bool {
    let sealing = shared.sealing.lock();
    let waits = sealing.iter().any(|active| active.pack.key.id == id);
    waits || shared.being_sealed.load(Ordering::Acquire) == id
}

/// Frames that the index has: no later one is in their place, and nobody forgot them.
fn live(shared: &Shared, entries: &[Entry]) -> Result<Vec<Entry>, BlobError> {
    let mut live = Vec::with_capacity(entries.len());
    for entry in entries {
        let there = shared.index.get(&entry.id).map_err(BlobError::Index)?;
        if there == Some(entry.at) {
            live.push(*entry);
        }
    }
    Ok(live)
}

/// Packs that are written to are sealed out of turn when much of them is dead: by the sync
/// thread, when nobody waits. Gives what is not durable in them yet; `None` of none.
fn retire(shared: &Shared, share: u64) -> Result<Option<Vec<BlobId>>, BlobError> {
    let mut retired: Vec<Option<BlobId>> = Vec::new();
    for lane in Lane::ALL {
        let written = |active: &super::shared::Active| (active.pack.key.id, active.entries.clone());
        let Some((id, entries)) = shared.lane(lane).lock().as_ref().map(written) else { continue };
        if !is_worth(&entries, &here(shared, &entries)?, share) {
            continue;
        }
        let mut slot = shared.lane(lane).lock();
        let full = slot.take_if(|active| active.pack.key.id == id);
        retired.extend(full.as_ref().map(|full| full.entries.last().map(|entry| entry.id)));
        // Under the lane's lock, so that no round misses it between the two.
        shared.sealing.lock().extend(full);
    }
    if retired.is_empty() {
        return Ok(None);
    }
    let state = shared.state.lock();
    let unsynced = retired.into_iter().flatten().filter(|id| state.pending.contains_key(id));
    Ok(Some(unsynced.collect()))
}

/// [`live`], of frames that may not be durable yet.
fn here(shared: &Shared, entries: &[Entry]) -> Result<Vec<Entry>, BlobError> {
    let pending: HashSet<BlobId> = {
        let state = shared.state.lock();
        let pending = entries.iter().filter(|entry| state.pending.contains_key(&entry.id));
        pending.map(|entry| entry.id).collect()
    };
    let mut kept = live(shared, entries)?;
    kept.extend(entries.iter().filter(|entry| pending.contains(&entry.id)));
    Ok(kept)
}

/// A frame for another place, its octets verified.
fn copy(pack: &Pack, entry: &Entry) -> Result<Draft, BlobError> {
    let frame = FrameReader::open(pack.clone(), &entry.id, &entry.at)?;
    frame.verify()?;
    let header = *frame.header();
    let len = usize::try_from(header.body).map_err(|_| frame.damaged("it is too large"))?;
    let body = frame.body_at(0, len)?;
    let table = body.get(..header.table_len()).unwrap_or_default().to_vec();
    Ok(Draft::received(header, &table, &Body::Memory(Bytes::from(body))))
}

/// Nothing in a pack is anybody's any more. Who reads it has it open, and reads on.
fn remove(shared: &Shared, pack: &Pack, whole: &Totals) -> Result<(), BlobError> {
    let id = pack.key.id;
    shared.index.forget(&[], &[id]).map_err(BlobError::Index)?;
    shared.index.flush().map_err(BlobError::Index)?;
    shared.packs.forget(id);
    let mut state = shared.state.lock();
    state.totals.take(whole);
    state.sealed = state.sealed.saturating_sub(1);
    drop(state);
    shared.packs.remove(&pack.key.file_name())
}
