//! What the store's callers and its sync thread share, and the way of a frame
//! into a pack.
//!
//! Invariants: a pack that holds a frame has a durable header and name; a blob is
//! in the index only once it and (for a recipe) its parts are durable; until then
//! it is in `pending`, whose numbers rise in the order of writing, so that a sync
//! that covers a recipe's number covers its parts'. Locks are taken in the order
//! lanes (shared, large), state; none is held while compressing or syncing.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, OnceLock};

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::Notify;

use super::draft::{Draft, WriteFailure};
use super::error::BlobError;
use super::frame::{Entry, FOOTER_ITEM, FRAME_HEADER, Kind, Lane, Location, TRAILER, Totals};
use super::index::BlobIndex;
use super::known::Known;
use super::options::BlobOptions;
use super::packs::{Pack, Packs};
use super::read::FrameReader;
use super::reader::steps;
use super::recipe::Step;
use super::reclaim::Doom;
use super::stats::SyncHistogram;
use crate::id::BlobId;
use crate::world::{self, watch};

/// A pack that is written to, or waits to be sealed.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) pack: Pack,
    /// Where the next frame goes.
    pub(super) end: u64,
    /// Where the last frame that holds a blob ends.
    pub(super) data_end: u64,
    /// How far completed syncs reach.
    pub(super) synced: u64,
    /// Frames and footer stay below this.
    pub(super) capacity: u64,
    pub(super) entries: Vec<Entry>,
}

/// Octets that a footer and trailer of so many items take at most.
pub(super) fn footer_room(items: usize) -> u64 {
    let payload = items * FOOTER_ITEM;
    let table = payload.div_ceil(super::frame::CHUNK) * super::frame::TABLE_ITEM;
    (FRAME_HEADER + table + payload + TRAILER) as u64
}

impl Active {
    pub(super) fn fits(&self, size: u64) -> bool {
        let room = footer_room(self.entries.len() + 1);
        self.end.saturating_add(size).saturating_add(room) <= self.capacity
    }

    /// Whether a frame of this size may stand in it: not before a damaged one of the same blob.
    pub(super) fn takes(&self, size: u64, above: u64) -> bool {
        self.pack.key.id >= above && self.fits(size)
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.data_end > self.synced
    }

    fn write_at(&self, octets: &[u8], offset: u64) -> Result<(), WriteFailure> {
        let written = self.pack.file.write_all_at(octets, offset);
        written.map_err(|error| WriteFailure::of(&self.pack.key.file_name(), &error))
    }

    fn write_rest(&self, draft: &Draft, frame: u64, mut at: u64) -> Result<(), WriteFailure> {
        while let Some(piece) = draft.more(at).map_err(WriteFailure::Unread)? {
            self.write_at(&piece, frame + at)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Writes a frame at the end. One that is not whole is written over by the next.
    pub(super) fn write(&mut self, draft: &mut Draft) -> Result<Entry, WriteFailure> {
        let offset = self.end;
        let (header, octets) = draft.place(&self.pack.key, offset, self.synced);
        let written = octets.len() as u64;
        self.write_at(octets, offset)?;
        self.write_rest(draft, offset, written)?;
        self.end += header.size();
        let entry = Entry::of(&header, self.pack.key.id, offset);
        if entry.is_blob() {
            self.data_end = self.end;
            self.entries.push(entry);
        }
        Ok(entry)
    }
}

/// A blob that no completed sync covers yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) at: Location,
    /// Its number in the order of writing, from 1.
    pub(super) number: u64,
}

/// Told once whether what it waited for is done.
pub(super) type Done = Box<dyn FnOnce(Result<(), BlobError>) + Send>;

/// Someone who waits until blobs are durable.
pub(super) struct Waiter {
    pub(super) ids: Vec<BlobId>,
    pub(super) done: Done,
}

/// Someone who waits for a pack with room.
pub(super) struct Roll {
    pub(super) lane: Lane,
    pub(super) size: u64,
    /// The lowest pack that will do.
    pub(super) above: u64,
    pub(super) reply: SyncSender<Result<(), BlobError>>,
}

/// What is under the one short lock.
#[derive(Default)]
pub(super) struct State {
    /// The number of the blob written last.
    pub(super) written: u64,
    pub(super) pending: HashMap<BlobId, Pending>,
    /// Blobs that a thread is storing right now.
    claimed: HashSet<BlobId>,
    /// Blobs that go unless somebody looks for them.
    pub(super) doom: Doom,
    pub(super) waiters: Vec<Waiter>,
    pub(super) rolls: Vec<Roll>,
    pub(super) poisoned: Option<String>,
    pub(super) closing: bool,
    pub(super) totals: Totals,
    pub(super) sealed: u64,
    pub(super) syncs: SyncHistogram,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({} written, {} pending)", self.written, self.pending.len())
    }
}

impl State {
    pub(super) fn check(&self) -> Result<(), BlobError> {
        self.poisoned.as_ref().map_or(Ok(()), |why| Err(BlobError::Poisoned(why.clone())))
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: BlobOptions,
    pub(super) packs: Packs,
    pub(super) known: RwLock<Known>,
    /// Changes of what is known, and up to which of them the file has it.
    known_changes: AtomicU64,
    known_saved: Mutex<u64>,
    /// Blobs whose damaged or missing frame a good one has taken the place of, since the start.
    pub(super) repaired: AtomicU64,
    /// How often something was noted as damaged.
    pub(super) times_damaged: AtomicU64,
    pub(super) index: Box<dyn BlobIndex>,
    pub(super) lanes: [Mutex<Option<Active>>; 2],
    /// Full packs, by rising age of their last frame.
    pub(super) sealing: Mutex<Vec<Active>>,
    pub(super) state: Mutex<State>,
    /// Wakes the sync thread.
    pub(super) work: Notify,
    /// Tells who watches that the store is poisoned.
    pub(super) failed: watch::Sender<Option<String>>,
    /// Wakes those who wait for another thread's claim.
    unclaimed: Condvar,
    pub(super) next_pack: AtomicU64,
    /// The pack whose footer is being written, 0 for none.
    pub(super) being_sealed: AtomicU64,
    /// Since something was forgotten no pack was found of which so many of a hundred octets
    /// are nobody's; [`u64::MAX`] when that is not known.
    pub(super) all_below: AtomicU64,
    pub(super) dedup_hits: AtomicU64,
    pub(super) dedup_bytes: AtomicU64,
    /// The last to go: who waits for it finds packs and index closed.
    pub(super) held: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// The right and duty to store a blob; gone when dropped.
pub(super) struct Claim<'a> {
    shared: &'a Shared,
    id: BlobId,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.shared.state.lock().claimed.remove(&self.id);
        self.shared.unclaimed.notify_all();
    }
}

/// Whether a blob has to be stored.
pub(super) enum Lookup<'a> {
    Stored(Location),
    Absent(Claim<'a>),
}

impl Shared {
    pub(super) fn new(options: BlobOptions, packs: Packs, index: Box<dyn BlobIndex>) -> Self {
        Self {
            options,
            packs,
            known: RwLock::default(),
            known_changes: AtomicU64::new(0),
            known_saved: Mutex::new(0),
            repaired: AtomicU64::new(0),
            times_damaged: AtomicU64::new(0),
            index,
            lanes: Default::default(),
            sealing: Mutex::default(),
            state: Mutex::default(),
            work: Notify::new(),
            failed: watch::Sender::new(None),
            unclaimed: Condvar::new(),
            next_pack: AtomicU64::new(1),
            being_sealed: AtomicU64::new(0),
            all_below: AtomicU64::new(u64::MAX),
            dedup_hits: AtomicU64::new(0),
            dedup_bytes: AtomicU64::new(0),
            held: OnceLock::new(),
        }
    }

    pub(super) fn lane(&self, lane: Lane) -> &Mutex<Option<Active>> {
        let [shared, large] = &self.lanes;
        match lane {
            Lane::Shared => shared,
            Lane::Large => large,
        }
    }

    /// Where a blob is, durable or not. One that is known to be damaged is not here.
    pub(super) fn location(&self, id: &BlobId) -> Result<Option<Location>, BlobError> {
        if let Some(pending) = self.state.lock().pending.get(id) {
            return Ok(Some(pending.at));
        }
        self.durable_location(id)
    }

    /// Where a blob is that a completed sync covers.
    pub(super) fn durable_location(&self, id: &BlobId) -> Result<Option<Location>, BlobError> {
        // Before it is looked for: it is then there, and stays, or is not.
        self.state.lock().doom.spare(id);
        let at = self.index.get(id).map_err(BlobError::Index)?;
        Ok(at.filter(|at| !self.known.read().is_bad(id, at)))
    }

    /// Where a blob is that who brings its octets need not store. One of whose parts a
    /// damaged frame is known is stored anew, and the part with it.
    pub(super) fn sound_location(&self, id: &BlobId) -> Result<Option<Location>, BlobError> {
        if let Some(pending) = self.state.lock().pending.get(id) {
            return Ok(Some(pending.at));
        }
        self.sound_and_durable(id)
    }

    fn sound_and_durable(&self, id: &BlobId) -> Result<Option<Location>, BlobError> {
        Ok(self.durable_location(id)?.filter(|at| !self.lacks_a_part(id, at)))
    }

    /// Parts that wait for their sync count as lacking: a recipe written behind them is
    /// durable only when they are.
    fn lacks_a_part(&self, id: &BlobId, at: &Location) -> bool {
        let all_here = {
            let known = self.known.read();
            known.bad.is_empty() && known.holes.is_empty()
        };
        if at.kind != Kind::Recipe || all_here {
            return false;
        }
        let frame = self.packs.get(at.pack).and_then(|pack| FrameReader::open(pack, id, at));
        let Ok(steps) = frame.and_then(|frame| steps(&frame)) else { return true };
        let mut parts = steps.iter().filter_map(Step::part);
        parts.any(|(part, _)| !matches!(self.durable_location(&part), Ok(Some(_))))
    }

    /// Notes that what is known has changed, under its lock; the number of the change.
    pub(super) fn known_changed(&self) -> u64 {
        self.known_changes.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Makes durable what is known up to a change. Holds up neither who reads what is
    /// known nor who adds to it, and of many who wait one writes for all.
    pub(super) fn save_known(&self, change: u64) -> Result<(), BlobError> {
        let mut saved = self.known_saved.lock();
        if *saved >= change {
            return Ok(());
        }
        let (upto, list) = {
            let known = self.known.read();
            (self.known_changes.load(Ordering::Acquire), known.list())
        };
        self.packs.save(list).map_err(|error| {
            self.poison(&error.to_string());
            BlobError::Poisoned(error.to_string())
        })?;
        *saved = upto;
        Ok(())
    }

    /// Where a blob is, for a reader; why it cannot be read, else.
    pub(super) fn find(&self, id: &BlobId) -> Result<Location, BlobError> {
        let at = self.location(id)?;
        at.ok_or_else(|| self.known.read().error(id).unwrap_or(BlobError::Missing(*id)))
    }

    /// Opens a blob's frame. Its pack may be written anew meanwhile: then it is elsewhere.
    pub(super) fn frame(&self, id: &BlobId) -> Result<FrameReader, BlobError> {
        loop {
            let at = self.find(id)?;
            let pack = self.packs.get(at.pack);
            let opened = pack.and_then(|pack| FrameReader::open(pack, id, &at));
            if opened.is_ok() || self.find(id)? == at {
                return opened;
            }
        }
    }

    /// Finds a blob or claims it, so that of many who bring it at one time one stores it.
    pub(super) fn claim(&self, id: &BlobId) -> Result<Lookup<'_>, BlobError> {
        let mut state = self.state.lock();
        loop {
            state.check()?;
            if let Some(pending) = state.pending.get(id) {
                return Ok(Lookup::Stored(pending.at));
            }
            if state.claimed.insert(*id) {
                break;
            }
            self.unclaimed.wait(&mut state);
        }
        drop(state);
        let claim = Claim { shared: self, id: *id };
        let stored = self.sound_and_durable(id)?;
        Ok(stored.map_or(Lookup::Absent(claim), Lookup::Stored))
    }

    /// Compresses and appends a blob that is claimed.
    pub(super) fn store(
        &self,
        claim: &Claim<'_>,
        kind: Kind,
        id: BlobId,
        len: u64,
        payload: &[u8],
    ) -> Result<(), BlobError> {
        self.store_draft(claim, Draft::new(kind, id, len, payload, self.options.level), len)
    }

    /// Appends a blob that is claimed and compressed.
    pub(super) fn store_draft(
        &self,
        _claim: &Claim<'_>,
        draft: Draft,
        len: u64,
    ) -> Result<(), BlobError> {
        self.append_draft(draft, len)
    }

    /// Appends a frame, whoever has its blob.
    pub(super) fn append_draft(&self, draft: Draft, len: u64) -> Result<(), BlobError> {
        let large = draft.payload() > self.options.large;
        self.append(if large { Lane::Large } else { Lane::Shared }, draft, len)
    }

    fn append(&self, lane: Lane, mut draft: Draft, len: u64) -> Result<(), BlobError> {
        let above = self.behind(&draft.id())?;
        loop {
            let mut slot = self.lane(lane).lock();
            let usable = slot.as_mut().filter(|active| active.takes(draft.size(), above));
            if let Some(active) = usable {
                return self.write(active, &mut draft, len);
            }
            drop(slot);
            self.roll(lane, draft.size(), above)?;
        }
    }

    /// The first pack that a new frame of a blob may stand in: later frames win.
    fn behind(&self, id: &BlobId) -> Result<u64, BlobError> {
        let above = {
            let known = self.known.read();
            if known.bad.is_empty() {
                return Ok(0);
            }
            known.above(id)
        };
        let there = self.index.get(id).map_err(BlobError::Index)?;
        Ok(above.max(there.map_or(0, |at| at.pack)))
    }

    /// Under the lane's lock, so that numbers rise with offsets.
    fn write(&self, active: &mut Active, draft: &mut Draft, len: u64) -> Result<(), BlobError> {
        self.state.lock().check()?;
        let entry = active.write(draft).map_err(|failure| self.failed(&failure, len))?;
        let mut state = self.state.lock();
        state.written += 1;
        let number = state.written;
        state.pending.insert(entry.id, Pending { at: entry.at, number });
        state.totals.add(&entry.at);
        Ok(())
    }

    pub(super) fn failed(&self, failure: &WriteFailure, len: u64) -> BlobError {
        if let WriteFailure::Broken(why) = failure {
            self.poison(why);
        }
        failure.error(len)
    }

    pub(super) fn poison(&self, why: &str) {
        let mut state = self.state.lock();
        if state.poisoned.is_none() {
            tracing::error!(why, "the blob store stops: a write or sync failed");
            state.poisoned = Some(why.to_owned());
            self.failed.send_replace(Some(why.to_owned()));
        }
        self.work.notify_one();
    }

    /// Waits for a pack of the lane that has room.
    fn roll(&self, lane: Lane, size: u64, above: u64) -> Result<(), BlobError> {
        if world::is_simulated() {
            return super::syncer::make_room(self, lane, size, above);
        }
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        {
            let mut state = self.state.lock();
            state.check()?;
            state.rolls.push(Roll { lane, size, above, reply });
            self.work.notify_one();
        }
        answer.recv().unwrap_or_else(|_| Err(BlobError::Poisoned("it is shut down".into())))
    }

    /// A sealed pack gets a new footer and trailer.
    pub(super) fn seal_again(&self, active: Active) {
        {
            let mut state = self.state.lock();
            state.sealed = state.sealed.saturating_sub(1);
        }
        self.sealing.lock().push(active);
        self.wait(Vec::new(), Box::new(drop));
    }

    pub(super) fn hit(&self, len: u64) {
        self.dedup_hits.fetch_add(1, Ordering::Relaxed);
        self.dedup_bytes.fetch_add(len, Ordering::Relaxed);
    }

    pub(super) fn wait(&self, ids: Vec<BlobId>, done: Done) {
        let mut state = self.state.lock();
        if let Err(error) = state.check() {
            drop(state);
            return done(Err(error));
        }
        state.waiters.push(Waiter { ids, done });
        self.work.notify_one();
    }
}
