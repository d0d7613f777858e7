//! Checkpoints as the log's replica gives them to others and takes them.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};

use redoubt_log::disk::Disk;
use redoubt_log::raft::{Checkpoint, Images, LogId, PinnedImage};

use super::Inner;
use crate::checkpoint::{Base, Bases};
use crate::{Ending, Pauses};

type Taken = std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The bases of a store, for its replica.
pub(super) struct StoreImages {
    bases: Arc<dyn Bases>,
    disk: Arc<dyn Disk>,
    store: OnceLock<Weak<Inner>>,
    ending: Ending,
}

impl fmt::Debug for StoreImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreImages").field("bases", &self.bases).finish_non_exhaustive()
    }
}

impl StoreImages {
    pub(super) fn new(bases: Arc<dyn Bases>, disk: Arc<dyn Disk>, ending: Ending) -> Self {
        Self { bases, disk, store: OnceLock::new(), ending }
    }

    /// The store that takes checkpoints, once it is open.
    pub(super) fn opened(&self, store: Weak<Inner>) {
        drop(self.store.set(store));
    }

    fn find(&self, id: Option<LogId>) -> Result<Option<Base>, String> {
        let list = self.bases.list().map_err(|error| error.to_string())?;
        let wanted = |base: &Base| id.is_none_or(|id| base.state.id == id);
        Ok(list.into_iter().find(wanted))
    }
}

impl Images for StoreImages {
    fn pinned(&self, id: Option<LogId>) -> Result<Option<PinnedImage>, String> {
        let Some(base) = self.find(id)? else { return Ok(None) };
        let (pin, files) = self.bases.pin(base.index()).map_err(|error| error.to_string())?;
        Ok(Some(PinnedImage { checkpoint: base.checkpoint(), files, pin }))
    }

    fn take(&self) -> Taken {
        let store = self.store.get().and_then(Weak::upgrade);
        Box::pin(async move {
            let store = store.ok_or("the store is not open")?;
            store.take_checkpoint().await.map(drop).map_err(|error| error.to_string())
        })
    }

    fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    fn examine(&self, dir: &Path) -> Result<Checkpoint, String> {
        let examined = self.bases.examine(dir, &Pauses::hurried(&self.ending));
        examined.map(Base::checkpoint).map_err(|error| error.to_string())
    }
}
