//! Message content beside the log: content-addressed by BLAKE3, deduplicated,
//! compressed, in append-only packs. Ground state; only `index/` is a cache.
//!
//! The bytes are in docs/format.md, "Packs". All calls block, but for
//! [`BlobStore::durable`].

use std::any::Any;
use std::future::Future;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

use crate::disk::{Disk, DiskFile};
use crate::id::BlobId;
use crate::world::{Worker, worker};

mod base64_lines;
mod body;
mod compact;
mod draft;
mod error;
mod export;
pub mod frame;
mod index;
mod known;
mod open;
mod options;
mod packs;
mod put;
mod read;
mod reader;
pub mod recipe;
mod reclaim;
mod repair;
mod scan;
mod scrub;
mod shared;
mod stats;
mod syncer;
#[cfg(test)]
mod tests;

pub use compact::{Compaction, Next, Reclaimed};
pub use error::BlobError;
pub use export::{Exported, ExportedHead, ExportedKind, Exporter, MAX_EXPORTED};
pub use options::{BlobOptions, IndexKind};
pub use reader::BlobReader;
pub use reclaim::{Doomed, Using};
pub use stats::{BlobReport, BlobStats, Cut, Damage, ScrubAt, ScrubReport, SyncHistogram};

use body::Body;
use shared::Shared;

/// Octets of a message that may be a blob of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartHint {
    /// The first octet.
    pub start: u64,
    /// How many; hints below [`BlobOptions::part_threshold`] are passed over.
    pub len: u64,
    /// How the octets are encoded.
    pub encoding: PartEncoding,
}

/// The transfer encoding of a hinted part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartEncoding {
    /// As they are.
    Identity,
    /// Base64 (RFC 2045 section 6.8): decoded where encoding again gives back the exact octets.
    Base64,
}

/// What became of octets that were put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// Their id.
    pub id: BlobId,
    /// False when they were there already.
    pub new: bool,
}

/// The blobs of one shard. Clones share it; the last one that goes makes
/// everything durable and ends the sync thread.
#[derive(Debug, Clone)]
pub struct BlobStore {
    shared: Arc<Shared>,
    _syncer: Arc<Syncer>,
}

#[derive(Debug)]
struct Syncer {
    shared: Arc<Shared>,
    worker: Worker<()>,
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_one();
        self.worker.join();
    }
}

impl BlobStore {
    /// Opens the packs in `dir`, makes it if it is not there, cuts torn tails, and
    /// brings the index up to date.
    ///
    /// # Errors
    /// [`BlobError::Damaged`] when octets that a sync covered have changed, in the
    /// part that is read here (headers, footers, packs that are not sealed).
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: BlobOptions,
    ) -> Result<(Self, BlobReport), BlobError> {
        let (shared, report) = open::open(disk, dir, options)?;
        let shared = Arc::new(shared);
        let worker = worker("blob-sync", syncer::run(Arc::clone(&shared)));
        let worker = worker.map_err(|error| packs::io_error("a thread", error))?;
        let syncer = Arc::new(Syncer { shared: Arc::clone(&shared), worker });
        Ok((Self { shared, _syncer: syncer }, report))
    }

    /// Keeps `guard` until the last file of the packs and the index is closed, whoever
    /// still holds a clone: a lock on the directory, that the next owner waits for. The
    /// first one stays.
    pub fn hold(&self, guard: Arc<dyn Any + Send + Sync>) {
        self.shared.held.get_or_init(|| guard);
    }

    /// Stores octets, unless they are there. Not yet durable.
    ///
    /// # Errors
    /// [`BlobError::DiskFull`] (nothing was stored), [`BlobError::Poisoned`], [`BlobError::Index`].
    pub fn put(&self, bytes: &[u8]) -> Result<Put, BlobError> {
        put::put(&self.shared, bytes)
    }

    /// Stores a message, its large parts as blobs of their own that other messages
    /// share. Not yet durable.
    ///
    /// # Errors
    /// As [`BlobStore::put`]. Parts may have been stored.
    pub fn put_message(&self, bytes: &[u8], parts: &[PartHint]) -> Result<Put, BlobError> {
        put::put_message(&self.shared, bytes, parts)
    }

    /// Blocks until these are durable, and the parts of those that are recipes.
    ///
    /// # Errors
    /// [`BlobError::Missing`] for one that was never put, [`BlobError::Poisoned`] when the sync
    /// failed.
    pub fn wait_durable(&self, ids: &[BlobId]) -> Result<(), BlobError> {
        let (done, answer) = mpsc::sync_channel(1);
        self.shared.wait(ids.to_vec(), Box::new(move |result| drop(done.send(result))));
        answer.recv().unwrap_or_else(|_| Err(shut_down()))
    }

    /// [`BlobStore::wait_durable`] for tasks. The sync begins when this is called,
    /// not when it is polled; dropping the future is safe.
    pub fn durable(
        &self,
        ids: Vec<BlobId>,
    ) -> impl Future<Output = Result<(), BlobError>> + Send + 'static {
        let (done, answer) = tokio::sync::oneshot::channel();
        self.shared.wait(ids, Box::new(move |result| drop(done.send(result))));
        async { answer.await.unwrap_or_else(|_| Err(shut_down())) }
    }

    /// Whether the blob is here, durable or not.
    ///
    /// # Errors
    /// [`BlobError::Index`].
    pub fn contains(&self, id: &BlobId) -> Result<bool, BlobError> {
        Ok(self.shared.location(id)?.is_some())
    }

    /// Whether the blob is here and a completed sync covers it and its parts.
    ///
    /// # Errors
    /// [`BlobError::Index`].
    pub fn holds_durably(&self, id: &BlobId) -> Result<bool, BlobError> {
        Ok(self.shared.durable_location(id)?.is_some())
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::Damaged`], [`BlobError::Io`].
    pub fn reader(&self, id: &BlobId) -> Result<BlobReader, BlobError> {
        BlobReader::open(&self.shared, id)
    }

    /// Opens a blob to be read as it is stored, for another store.
    ///
    /// # Errors
    /// As [`BlobStore::reader`].
    pub fn exporter(&self, id: &BlobId) -> Result<Exporter, BlobError> {
        Exporter::open(&self.shared, id)
    }

    /// A blob as it is stored, for another store. Its parts are blobs of their own.
    ///
    /// # Errors
    /// As [`BlobStore::reader`]; [`BlobError::TooLong`] above [`MAX_EXPORTED`].
    pub fn export(&self, id: &BlobId) -> Result<Exported, BlobError> {
        self.exporter(id)?.whole()
    }

    /// Stores a blob that another store exported, unless it is there and not known
    /// to be damaged, once its octets hash to its id. Not yet durable.
    ///
    /// # Errors
    /// [`BlobError::Foreign`] when it is not what it claims to be,
    /// [`BlobError::Missing`] for a recipe's part that is not here; as [`BlobStore::put`].
    pub fn import(&self, exported: &Exported) -> Result<Put, BlobError> {
        let Exported { head, body } = exported;
        repair::repair(&self.shared, head, &Body::Memory(body.clone()))
    }

    /// The same for one whose stored octets lie in a file: never all of it is in memory.
    ///
    /// # Errors
    /// As [`BlobStore::import`]; [`BlobError::Io`] when the file cannot be read.
    pub fn import_file(
        &self,
        head: &ExportedHead,
        file: Arc<dyn DiskFile>,
    ) -> Result<Put, BlobError> {
        repair::repair(&self.shared, head, &Body::File(file, head.stored))
    }

    /// Reads a blob and its parts through, and gives those of them that are damaged
    /// or missing. They are noted durably, and count as absent until they are put
    /// or imported.
    ///
    /// # Errors
    /// [`BlobError::Poisoned`], [`BlobError::Index`].
    pub fn examine(&self, id: &BlobId) -> Result<Vec<BlobId>, BlobError> {
        repair::examine(&self.shared, id)
    }

    /// Notes a blob that should be here and is not, durably.
    ///
    /// # Errors
    /// As [`BlobStore::examine`].
    pub fn note_missing(&self, id: &BlobId) -> Result<(), BlobError> {
        repair::note(&self.shared, id, &BlobError::Missing(*id), false)
    }

    /// Whether a blob is known to be damaged or missing.
    pub fn is_damaged(&self, id: &BlobId) -> bool {
        self.shared.known.read().bad.contains_key(id)
    }

    /// How often something was found damaged since the start: what was durable before the
    /// last time may have been stored anew, and not be durable yet.
    pub fn times_damaged(&self) -> u64 {
        self.shared.times_damaged.load(Ordering::Acquire)
    }

    /// Blobs known to be damaged or missing, at most `limit`.
    pub fn damaged(&self, limit: usize) -> Vec<Damage> {
        repair::damaged(&self.shared, limit)
    }

    /// Whether blobs may be missing that are in no list: parts of packs do not read.
    /// All that peers have and this store has not must then be fetched.
    pub fn has_holes(&self) -> bool {
        !self.shared.known.read().holes.is_empty()
    }

    /// Everything that was in such parts is here again, durably.
    ///
    /// # Errors
    /// [`BlobError::Poisoned`].
    pub fn holes_filled(&self) -> Result<(), BlobError> {
        repair::holes_filled(&self.shared)
    }

    /// Ids of durable blobs behind `after`, rising, at most `limit`. Found, as by any look-up.
    ///
    /// # Errors
    /// [`BlobError::Index`].
    pub fn ids(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobId>, BlobError> {
        let ids = self.shared.index.ids(after, limit).map_err(BlobError::Index)?;
        reclaim::spare(&self.shared, &ids);
        Ok(ids)
    }

    /// Its numbers.
    pub fn stats(&self) -> BlobStats {
        let known = self.shared.known.read();
        let (damaged, holes) = (known.bad.len() as u64, known.holes.len() as u64);
        drop(known);
        let state = self.shared.state.lock();
        BlobStats {
            blobs: state.totals.blobs,
            raw_bytes: state.totals.raw,
            stored_bytes: state.totals.stored,
            dedup_hits: self.shared.dedup_hits.load(Ordering::Relaxed),
            dedup_bytes: self.shared.dedup_bytes.load(Ordering::Relaxed),
            packs: self.shared.packs.count(),
            sealed_packs: state.sealed,
            syncs: state.syncs.clone(),
            damaged,
            holes,
            repaired: self.shared.repaired.load(Ordering::Relaxed),
        }
    }

    /// Reads and verifies everything. `pace` is told after each frame how many
    /// octets that was; it may sleep, and may end the scrub. Blocks for long.
    ///
    /// # Errors
    /// [`BlobError::Io`] when a pack cannot be read at all. Damage is in the report.
    pub fn scrub(
        &self,
        pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<ScrubReport, BlobError> {
        scrub::scrub(&self.shared, ScrubAt::default(), &mut |_, octets| pace(octets))
    }

    /// [`BlobStore::scrub`] from a place on; `pace` is told where it would go on.
    ///
    /// # Errors
    /// As [`BlobStore::scrub`].
    pub fn scrub_from(
        &self,
        from: ScrubAt,
        pace: &mut dyn FnMut(ScrubAt, u64) -> ControlFlow<()>,
    ) -> Result<ScrubReport, BlobError> {
        scrub::scrub(&self.shared, from, pace)
    }

    /// Nothing that is found here from now on goes while what this answers is held: for whoever
    /// looks for blobs, until the record that names them is applied, or will never be.
    pub fn using(&self) -> Using {
        Using::begin(&self.shared)
    }

    /// Dooms those of some dead blobs that are here, and what only they are put together from.
    /// One caller at a time: what was doomed before is not any more.
    ///
    /// # Errors
    /// [`BlobError::Index`].
    pub fn doom(&self, dead: &[BlobId]) -> Result<Doomed, BlobError> {
        reclaim::doom(&self.shared, dead)
    }

    /// Whether everybody has left who may have found one of these before it was doomed.
    pub fn is_quiet(&self, doomed: &Doomed) -> bool {
        reclaim::is_quiet(&self.shared, doomed)
    }

    /// These are needed after all.
    pub fn spare(&self, ids: &[BlobId]) {
        reclaim::spare(&self.shared, ids);
    }

    /// Spares what messages that stay are put together from. Once it [`is
    /// quiet`](Self::is_quiet). False when `pace` ended it, or when damage keeps it from being
    /// known: nothing may be forgotten then.
    ///
    /// # Errors
    /// As [`BlobStore::reader`].
    pub fn spare_parts(
        &self,
        doomed: &Doomed,
        pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<bool, BlobError> {
        reclaim::spare_parts(&self.shared, doomed, pace)
    }

    /// Takes it that blobs which are nobody's any more are not missed here either.
    ///
    /// # Errors
    /// [`BlobError::Index`], [`BlobError::Poisoned`].
    pub fn forgive(&self, ids: &[BlobId]) -> Result<(), BlobError> {
        repair::forgotten(&self.shared, ids.iter())
    }

    /// Whatever is doomed still is here no more; how many that were. Once
    /// [`spare_parts`](Self::spare_parts) was true, and the state was asked again. None while
    /// it cannot be now; then it is to be doomed again.
    ///
    /// # Errors
    /// [`BlobError::Index`], [`BlobError::Poisoned`].
    pub fn forget(&self, doomed: &Doomed) -> Result<u64, BlobError> {
        reclaim::forget(&self.shared, doomed)
    }

    /// Goes on writing packs anew, until something must become durable; `pace` is told the
    /// octets moved, and may sleep or end it. Blocks for long. One caller at a time.
    ///
    /// # Errors
    /// As [`BlobStore::put`] and [`BlobStore::reader`].
    pub fn compact(
        &self,
        compaction: &mut Compaction,
        pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Next, BlobError> {
        compaction.step(&self.shared, pace)
    }

    /// Why nothing more is taken, if a write or sync has failed.
    pub fn poisoned(&self) -> Option<String> {
        self.shared.state.lock().poisoned.clone()
    }

    /// Resolves with the reason once a write or sync has failed; never, else.
    pub fn failure(&self) -> impl Future<Output = String> + Send + 'static {
        crate::disk::failure(self.shared.failed.subscribe())
    }
}

fn shut_down() -> BlobError {
    BlobError::Poisoned("the blob store was shut down".into())
}
