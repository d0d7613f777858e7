//! The gate for blobs: no entry's bytes are queued for a segment before every
//! blob that it names is durable here.

use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lru::LruCache;
use parking_lot::Mutex;

use crate::blob::{BlobError, BlobStore, Exported, Exporter, Using};
use crate::id::{BlobId, LogIndex};
use crate::raft::types::{Entry, Proposal};
use crate::world::{self, Mutation};

/// Blobs that are remembered to be durable.
const HELD: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 16) - 1);

/// Blobs that are remembered to have died, while entries from before are taken.
const DEAD: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 20) - 1);

/// What the gate asks of a blob store.
pub(crate) trait Blobs: Debug + Send + Sync + 'static {
    /// Resolves when these, and the parts of their recipes, are durable.
    fn durable(&self, ids: Vec<BlobId>) -> BoxFuture<'static, Result<(), BlobError>>;

    /// Why nothing more is taken.
    fn poisoned(&self) -> Option<String>;

    /// Whether it is here, durable or not. Blocks.
    fn contains(&self, id: &BlobId) -> Result<bool, BlobError> {
        Err(BlobError::Missing(*id))
    }

    /// A blob as it is stored, to be read piece by piece. Blocks.
    fn exporter(&self, id: &BlobId) -> Result<Exporter, BlobError> {
        Err(BlobError::Missing(*id))
    }

    /// Stores what another node exported. Blocks.
    fn import(&self, blob: &Exported) -> Result<(), BlobError> {
        Err(BlobError::Missing(blob.head.id))
    }

    /// A blob that should be here is not, and is to be fetched from a peer.
    fn note_missing(&self, _: &BlobId) -> Result<(), BlobError> {
        Ok(())
    }

    /// How often something was found that cannot be read any more.
    fn times_damaged(&self) -> u64 {
        0
    }

    /// While it is held nothing goes that is found here.
    fn using(&self) -> Option<Using> {
        None
    }

    /// The store itself, where there is one.
    fn store(&self) -> Option<BlobStore> {
        None
    }

    /// Resolves with that reason as soon as there is one.
    fn failure(&self) -> BoxFuture<'static, String> {
        std::future::pending().boxed()
    }
}

impl Blobs for BlobStore {
    fn durable(&self, ids: Vec<BlobId>) -> BoxFuture<'static, Result<(), BlobError>> {
        Self::durable(self, ids).boxed()
    }

    fn poisoned(&self) -> Option<String> {
        Self::poisoned(self)
    }

    fn contains(&self, id: &BlobId) -> Result<bool, BlobError> {
        Self::contains(self, id)
    }

    fn exporter(&self, id: &BlobId) -> Result<Exporter, BlobError> {
        Self::exporter(self, id)
    }

    fn import(&self, blob: &Exported) -> Result<(), BlobError> {
        Self::import(self, blob).map(drop)
    }

    fn note_missing(&self, id: &BlobId) -> Result<(), BlobError> {
        Self::note_missing(self, id)
    }

    fn times_damaged(&self) -> u64 {
        Self::times_damaged(self)
    }

    fn using(&self) -> Option<Using> {
        Some(Self::using(self))
    }

    fn store(&self) -> Option<BlobStore> {
        Some(self.clone())
    }

    fn failure(&self) -> BoxFuture<'static, String> {
        Self::failure(self).boxed()
    }
}

/// Blobs that were lately found durable. That they stay, until one decays: what is then
/// stored anew in its place is not durable at once.
#[derive(Debug)]
struct Held {
    blobs: LruCache<BlobId, ()>,
    /// [`Blobs::times_damaged`] when they were found so.
    damaged: u64,
}

impl Held {
    /// Those of some that are not known to be durable.
    fn unknown(&mut self, mut ids: Vec<BlobId>, damaged: u64) -> Vec<BlobId> {
        if self.damaged != damaged {
            self.blobs.clear();
            self.damaged = damaged;
        }
        ids.retain(|id| self.blobs.get(id).is_none());
        ids
    }

    fn note(&mut self, durable: Vec<BlobId>, damaged: u64) {
        if self.damaged == damaged {
            for id in durable {
                self.blobs.put(id, ());
            }
        }
    }
}

/// Lets entries through whose blobs are durable. A proposer passes it before
/// Raft sees the record, so that Raft's core does not wait; what comes any
/// other way is checked when it is appended.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    blobs: Arc<dyn Blobs>,
    held: Arc<Mutex<Held>>,
    /// Blobs that peers say died by an entry: no entry before it needs them.
    dead: Arc<Mutex<LruCache<BlobId, LogIndex>>>,
    /// Mutation for the tests of this gate: everything passes unchecked.
    #[cfg(test)]
    pub(crate) open: bool,
}

impl Gate {
    pub(crate) fn new(blobs: Arc<dyn Blobs>) -> Self {
        let held = Held { blobs: LruCache::new(HELD), damaged: blobs.times_damaged() };
        Self {
            blobs,
            held: Arc::new(Mutex::new(held)),
            dead: Arc::new(Mutex::new(LruCache::new(DEAD))),
            #[cfg(test)]
            open: false,
        }
    }

    /// Waits until a proposal's blobs are durable.
    ///
    /// # Errors
    /// [`BlobError::Missing`] and others: the proposal must not be handed in.
    pub(crate) async fn pass(&self, proposal: &mut Proposal) -> Result<(), BlobError> {
        if world::breaks(Mutation::PackLast) {
            return Ok(());
        }
        proposal.keep(self.using());
        self.hold(proposal.unheld().to_vec()).await?;
        proposal.set_held();
        Ok(())
    }

    /// Waits until the blobs of entries that are about to be appended are durable.
    ///
    /// # Errors
    /// As [`Gate::pass`]: none of the entries may be appended.
    pub(crate) async fn admit(&self, entries: &[Entry]) -> Result<(), BlobError> {
        let needed = entries.iter().flat_map(|entry| self.needed(entry)).collect();
        self.hold(needed).await
    }

    /// Blobs that an entry needs here: not those that died later in the log.
    pub(crate) fn needed(&self, entry: &Entry) -> Vec<BlobId> {
        let unheld = entry.unheld();
        let mut dead = self.dead.lock();
        if dead.is_empty() {
            return unheld.to_vec();
        }
        let index = entry.index();
        let died = |id: &BlobId, dead: &mut LruCache<BlobId, LogIndex>| {
            dead.get(id).is_some_and(|since| since.0 > index)
        };
        unheld.iter().filter(|id| !died(id, &mut dead)).copied().collect()
    }

    /// A peer says that a blob died, by an entry that is committed.
    pub(crate) fn note_dead(&self, id: BlobId, since: LogIndex) {
        let mut dead = self.dead.lock();
        let since = dead.get(&id).map_or(since, |known| since.max(*known));
        dead.put(id, since);
    }

    /// While it is held nothing goes that is found here.
    pub(crate) fn using(&self) -> Option<Arc<Using>> {
        self.blobs.using().map(Arc::new)
    }

    /// Waits until blobs are durable.
    pub(crate) async fn hold(&self, ids: Vec<BlobId>) -> Result<(), BlobError> {
        #[cfg(test)]
        if self.open {
            return Ok(());
        }
        if world::breaks(Mutation::GateOpen) {
            return Ok(());
        }
        let damaged = self.blobs.times_damaged();
        let unknown = self.held.lock().unknown(ids, damaged);
        if !unknown.is_empty() {
            self.blobs.durable(unknown.clone()).await?;
            self.held.lock().note(unknown, damaged);
        }
        Ok(())
    }

    /// Whether a blob is here, durable or not. Blocks.
    pub(crate) fn contains(&self, id: &BlobId) -> Result<bool, BlobError> {
        self.blobs.contains(id)
    }

    /// A blob as it is stored. Blocks.
    pub(crate) fn exporter(&self, id: &BlobId) -> Result<Exporter, BlobError> {
        self.blobs.exporter(id)
    }

    /// Stores what another node exported. Blocks.
    pub(crate) fn import(&self, blob: &Exported) -> Result<(), BlobError> {
        self.blobs.import(blob)
    }

    /// Waits until blobs are durable, and notes those that are not here: peers have them.
    pub(crate) async fn hold_or_note(&self, ids: Vec<BlobId>) -> Result<(), BlobError> {
        for id in ids {
            match self.hold(vec![id]).await {
                Err(BlobError::Missing(_) | BlobError::Part { .. }) => {
                    self.blobs.note_missing(&id)?;
                }
                held => held?,
            }
        }
        Ok(())
    }

    /// Resolves when the blob store takes nothing more.
    pub(crate) fn failure(&self) -> BoxFuture<'static, String> {
        self.blobs.failure()
    }

    /// The blob store, where there is one.
    pub(crate) fn store(&self) -> Option<BlobStore> {
        self.blobs.store()
    }

    /// Why the blob store takes nothing more.
    pub(crate) fn poisoned(&self) -> Option<String> {
        self.blobs.poisoned()
    }
}
