//! The one thread that syncs, makes packs and seals them.
//!
//! Many wait, one sync serves them: a round covers everything written when it
//! began, and then tells everyone whose blobs that were.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::draft::{Draft, WriteFailure};
use super::error::BlobError;
use super::frame::{Entry, Kind, Lane, PACK_HEADER, PackKey, Totals, Trailer, encode_footer};
use super::index::Covered;
use super::packs::Pack;
use super::repair;
use super::shared::{Active, Roll, Shared, State, Waiter, footer_room};
use crate::id::BlobId;
use crate::world;

/// A file to be synced, and how far it was written when the round began.
struct Target {
    pack: Pack,
    end: u64,
}

/// What there is to do.
struct Work {
    rolls: Vec<Roll>,
    waiters: Vec<Waiter>,
    closing: bool,
}

pub(super) async fn run(shared: Arc<Shared>) {
    let shared = &*shared;
    loop {
        let work = next(shared).await;
        for roll in work.rolls {
            let made = make_room(shared, roll.lane, roll.size, roll.above);
            drop(roll.reply.send(made));
        }
        serve(shared, work.waiters).await;
        if work.closing {
            return close(shared).await;
        }
        if let Err(error) = tidy(shared) {
            shared.poison(&error.to_string());
        }
    }
}

/// Waits for work.
async fn next(shared: &Shared) -> Work {
    loop {
        if let Some(work) = take(&mut shared.state.lock()) {
            return work;
        }
        shared.work.notified().await;
    }
}

fn take(state: &mut State) -> Option<Work> {
    if state.rolls.is_empty() && state.waiters.is_empty() && !state.closing {
        return None;
    }
    let (rolls, waiters) = (std::mem::take(&mut state.rolls), std::mem::take(&mut state.waiters));
    Some(Work { rolls, waiters, closing: state.closing })
}

async fn serve(shared: &Shared, waiters: Vec<Waiter>) {
    if waiters.is_empty() {
        return;
    }
    let result = match needs_round(shared, &waiters) {
        Ok(true) => round(shared).await,
        known => known.map(drop),
    };
    for waiter in waiters {
        let answer = result.clone().and_then(|()| all_in_index(shared, &waiter.ids));
        (waiter.done)(answer);
    }
}

fn needs_round(shared: &Shared, waiters: &[Waiter]) -> Result<bool, BlobError> {
    let state = shared.state.lock();
    state.check()?;
    Ok(waiters.iter().flat_map(|waiter| &waiter.ids).any(|id| state.pending.contains_key(id)))
}

fn all_in_index(shared: &Shared, ids: &[BlobId]) -> Result<(), BlobError> {
    ids.iter().try_for_each(|id| {
        let found = shared.durable_location(id)?;
        found.map(drop).ok_or(BlobError::Missing(*id))
    })
}

/// Syncs everything written so far, then shows it in the index.
async fn round(shared: &Shared) -> Result<(), BlobError> {
    let (targets, upto) = capture(shared);
    world::before_sync().await;
    for target in &targets {
        sync(shared, &target.pack)?;
    }
    publish(shared, &targets, upto).inspect_err(|error| shared.poison(&error.to_string()))
}

/// Both lanes at one moment: every number up to the one returned lies below an end returned.
fn capture(shared: &Shared) -> (Vec<Target>, u64) {
    let [first, second] = &shared.lanes;
    let (first, second) = (first.lock(), second.lock());
    let sealing = shared.sealing.lock();
    let all = first.iter().chain(second.iter()).chain(sealing.iter());
    let targets = all
        .filter(|active| active.is_dirty())
        .map(|active| Target { pack: active.pack.clone(), end: active.end })
        .collect();
    (targets, shared.state.lock().written)
}

pub(super) fn sync(shared: &Shared, pack: &Pack) -> Result<(), BlobError> {
    if shared.options.unsafe_skip_sync {
        return Ok(());
    }
    let begun = Instant::now();
    pack.sync().map_err(|error| {
        shared.poison(&error.to_string());
        BlobError::Poisoned(error.to_string())
    })?;
    shared.state.lock().syncs.add(begun.elapsed());
    Ok(())
}

fn publish(shared: &Shared, targets: &[Target], upto: u64) -> Result<(), BlobError> {
    let done: Vec<Entry> = {
        let state = shared.state.lock();
        let covered = state.pending.iter().filter(|(_, pending)| pending.number <= upto);
        covered.map(|(id, pending)| Entry { id: *id, at: pending.at }).collect()
    };
    let covered: Vec<(u64, Covered)> = targets.iter().map(covered).collect();
    shared.index.add(&done, &covered).map_err(BlobError::Index)?;
    let mut state = shared.state.lock();
    state.pending.retain(|_, pending| pending.number > upto);
    drop(state);
    repair::became_durable(shared, &done)?;
    for target in targets {
        with_active(shared, target.pack.key, |active| active.synced = target.end);
    }
    Ok(())
}

fn covered(target: &Target) -> (u64, Covered) {
    (target.pack.key.id, Covered { salt: target.pack.key.salt, to: target.end })
}

fn with_active(shared: &Shared, key: PackKey, change: impl Fn(&mut Active)) {
    let mut slot = shared.lane(key.lane).lock();
    let mut sealing = shared.sealing.lock();
    let mut all = slot.iter_mut().chain(sealing.iter_mut());
    if let Some(active) = all.find(|active| active.pack.key.id == key.id) {
        change(active);
    }
}

/// Gives the lane a pack with room for a frame of this size.
pub(super) fn make_room(
    shared: &Shared,
    lane: Lane,
    size: u64,
    above: u64,
) -> Result<(), BlobError> {
    shared.state.lock().check()?;
    if shared.lane(lane).lock().as_ref().is_some_and(|active| active.takes(size, above)) {
        return Ok(());
    }
    let least = (PACK_HEADER as u64).saturating_add(size).saturating_add(footer_room(1));
    let capacity = shared.options.pack_bytes.max(least);
    let id = shared.next_pack.fetch_add(1, Ordering::Relaxed);
    let key = PackKey { id, lane, salt: world::random() };
    let made = shared.packs.create(key, capacity);
    let pack =
        made.map_err(|error| shared.failed(&WriteFailure::of(&key.file_name(), &error), size))?;
    let (start, entries) = (PACK_HEADER as u64, Vec::new());
    let (end, data_end, synced) = (start, start, start);
    let new = Active { pack, end, data_end, synced, capacity, entries };
    let mut slot = shared.lane(lane).lock();
    let old = slot.replace(new);
    // Under the lane's lock, so that no round misses it between the two.
    shared.sealing.lock().extend(old);
    Ok(())
}

/// When nobody waits: says in the packs how far syncs reached, and seals a full one.
fn tidy(shared: &Shared) -> Result<(), BlobError> {
    if is_busy(&shared.state.lock()) {
        return Ok(());
    }
    Lane::ALL.into_iter().try_for_each(|lane| mark(shared, lane))?;
    while !is_busy(&shared.state.lock()) {
        let Some(active) = take_full(shared) else { break };
        let sealed = seal(shared, active);
        shared.being_sealed.store(0, Ordering::Release);
        sealed?;
    }
    Ok(())
}

fn is_busy(state: &State) -> bool {
    state.poisoned.is_some() || !state.rolls.is_empty() || !state.waiters.is_empty()
}

/// A mark behind the last frame that a sync covered; itself unsynced.
fn mark(shared: &Shared, lane: Lane) -> Result<(), BlobError> {
    let mut slot = shared.lane(lane).lock();
    let mut draft = Draft::mark();
    let Some(active) = slot.as_mut() else { return Ok(()) };
    let last = active.end == active.synced && active.end == active.data_end;
    if !last || active.entries.is_empty() || !active.fits(draft.size()) {
        return Ok(());
    }
    match active.write(&mut draft) {
        Err(WriteFailure::Broken(why)) => Err(BlobError::Poisoned(why)),
        Err(WriteFailure::Unread(error)) => Err(error),
        _ => Ok(()),
    }
}

/// A full pack whose frames are all durable.
fn take_full(shared: &Shared) -> Option<Active> {
    let mut sealing = shared.sealing.lock();
    let index = sealing.iter().position(|active| !active.is_dirty())?;
    let full = sealing.remove(index);
    shared.being_sealed.store(full.pack.key.id, Ordering::Release);
    Some(full)
}

/// Writes footer and trailer; the pack is never written to again. Without room it is tried later.
fn seal(shared: &Shared, mut active: Active) -> Result<(), BlobError> {
    active.synced = active.data_end;
    let (footer, end) = match write_footer(shared, &mut active) {
        Ok(places) => places,
        Err(WriteFailure::Full) => {
            // It stays readable without; the next start seals it.
            tracing::warn!(pack = active.pack.key.file_name(), "no room to seal a pack");
            return Ok(());
        }
        Err(WriteFailure::Broken(why)) => return Err(BlobError::Poisoned(why)),
        Err(WriteFailure::Unread(error)) => return Err(error),
    };
    let name = active.pack.key.file_name();
    let cut = active.pack.file.set_len(end);
    cut.map_err(|error| super::packs::io_error(&name, error))?;
    sync(shared, &active.pack)?;
    let to = Target { pack: active.pack, end: footer };
    shared.index.add(&[], &[covered(&to)]).map_err(BlobError::Index)?;
    shared.state.lock().sealed += 1;
    Ok(())
}

/// Where the footer begins and the trailer ends.
fn write_footer(shared: &Shared, active: &mut Active) -> Result<(u64, u64), WriteFailure> {
    let payload = encode_footer(&active.entries);
    let (footer, len) = (active.end, payload.len() as u64);
    let nobody = BlobId([0; 32]);
    let mut draft = Draft::new(Kind::Footer, nobody, len, &payload, shared.options.level);
    active.write(&mut draft)?;
    let trailer = Trailer { footer, totals: Totals::of(&active.entries) };
    let octets = trailer.encode(active.pack.key.seed(active.end));
    let written = active.pack.file.write_all_at(&octets, active.end);
    let name = active.pack.key.file_name();
    written.map_err(|error| WriteFailure::of(&name, &error))?;
    Ok((footer, active.end + octets.len() as u64))
}

/// The last round: everything durable, its end marked.
async fn close(shared: &Shared) {
    let closed = close_all(shared).await;
    if let Err(error) = closed {
        tracing::warn!(%error, "the blob store did not close cleanly");
    }
}

async fn close_all(shared: &Shared) -> Result<(), BlobError> {
    shared.state.lock().check()?;
    round(shared).await?;
    tidy(shared)?;
    for lane in &shared.lanes {
        let pack = lane.lock().as_ref().map(|active| active.pack.clone());
        pack.map_or(Ok(()), |pack| sync(shared, &pack))?;
    }
    Ok(())
}
