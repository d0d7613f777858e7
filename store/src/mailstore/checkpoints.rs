//! When checkpoints are taken, and what is done for one, beside the running server.

use std::sync::Arc;
use std::sync::Weak;

use redoubt_log::disk::Disk;
use redoubt_log::id::{LogIndex, OperationId};
use redoubt_log::raft::{Images, Node};
use redoubt_log::record::{Actor, Change, CheckpointMark};

use super::Inner;
use super::images::StoreImages;
use super::machine::Progress;
use crate::checkpoint::{Base, BaseError, Bases, Image};
use crate::storage::{RocksStorage, StorageError};
use crate::{Ending, Pauses};

/// Verified checkpoints that are kept.
pub(super) const KEPT: usize = 2;

/// Where checkpoints are kept; one is taken at a time.
#[derive(Debug)]
pub(super) struct Checkpoints {
    bases: Option<Arc<dyn Bases>>,
    images: Option<Arc<StoreImages>>,
    turn: tokio::sync::Mutex<()>,
    newest: parking_lot::Mutex<Option<LogIndex>>,
}

impl Checkpoints {
    pub(super) fn new(
        bases: Option<Arc<dyn Bases>>,
        disk: &Arc<dyn Disk>,
        ending: &Ending,
    ) -> Self {
        let images = |bases: &Arc<_>| {
            Arc::new(StoreImages::new(Arc::clone(bases), disk.clone(), ending.clone()))
        };
        let images = bases.as_ref().map(images);
        Self {
            bases,
            images,
            turn: tokio::sync::Mutex::default(),
            newest: parking_lot::Mutex::default(),
        }
    }
    /// For the replica, to give and to take.
    pub(super) fn images(&self) -> Option<Arc<dyn Images>> {
        self.images.clone().map(|images| images as Arc<dyn Images>)
    }
    /// From now on a peer can have one taken.
    pub(super) fn opened(&self, store: &Arc<Inner>) {
        self.images.iter().for_each(|images| images.opened(Arc::downgrade(store)));
    }
    pub(super) fn bases(&self) -> Option<Arc<dyn Bases>> {
        self.bases.clone()
    }
    pub(super) fn newest(&self) -> Option<LogIndex> {
        *self.newest.lock()
    }
}

/// Takes one whenever it is due, for as long as the store is there.
pub(super) async fn run(store: Weak<Inner>, progress: Arc<Progress>) {
    loop {
        progress.checkpoint_due.notified().await;
        let Some(inner) = store.upgrade() else { return };
        if let Err(error) = inner.take_checkpoint().await {
            tracing::error!(%error, "no checkpoint was taken; the log alone still rebuilds the views");
        }
    }
}

impl Inner {
    pub(super) async fn take_checkpoint(&self) -> Result<Base, BaseError> {
        let _turn = self.checkpoints.turn.lock().await;
        let nowhere = || failed("no place for checkpoints was configured");
        let bases = self.checkpoints.bases.clone().ok_or_else(nowhere)?;
        let (storage, node) = (self.storage.clone(), self.node.clone());
        let pauses = Pauses::gentle(&self.ending);
        // Minutes for a large store: not on the few threads that others wait for.
        let base =
            tokio::task::spawn_blocking(move || take(&*bases, &storage, &node, &pauses)).await;
        let base = base.map_err(|_| failed("the checkpoint was given up"))??;
        *self.checkpoints.newest.lock() = Some(base.index());
        self.mark(&base).await;
        self.purge_log().await;
        Ok(base)
    }

    /// The leader says in the log that it was taken, for replicas to compare; none the worse
    /// without.
    async fn mark(&self, base: &Base) {
        if !self.node.is_leader() {
            return;
        }
        let mark = CheckpointMark { index: base.index(), state: base.state_hash };
        let change = Change::CheckpointMark(mark);
        if let Err(error) = self.propose(&Actor::SYSTEM, OperationId::random(), change).await {
            tracing::warn!(%error, "the checkpoint is not marked in the log");
        }
    }
}

fn failed(what: &str) -> BaseError {
    StorageError::Io { table: "all", error: what.to_owned() }.into()
}

/// All of it is read through once, before it gets its name.
fn take(
    bases: &dyn Bases,
    storage: &RocksStorage,
    node: &Node,
    pauses: &Pauses,
) -> Result<Base, BaseError> {
    let place = bases.place()?;
    storage.checkpoint(&place)?;
    let image = Image::examine(&place, pauses)?;
    let index = image.state.id.index;
    let head = node.head_at(index).map_err(|error| failed(&error.to_string()))?;
    let kept = bases.list()?.into_iter().find(|base| base.index() == index);
    let base = match kept {
        Some(base) => bases.verify(base.index(), pauses)?,
        None => bases.keep(&image, head, pauses)?,
    };
    bases.keep_newest(KEPT)?;
    Ok(base)
}
