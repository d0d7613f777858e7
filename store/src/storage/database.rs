//! One open database and the folder that it lies in.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use redoubt_log::databases::Opened;
use rocksdb::{ColumnFamily, DB};

use super::StorageError;

/// What holds the data directory for this process.
pub(crate) type Hold = Arc<dyn Any + Send + Sync>;

/// A database. When it was retired, its folder goes with the last who reads it;
/// until then nobody else gets the data directory.
pub(super) struct Database {
    db: Option<DB>,
    path: PathBuf,
    retired: OnceLock<Hold>,
    /// The last to go.
    opened: Option<Opened>,
}

impl Database {
    /// `opened` was counted before it was.
    pub(super) fn new(db: DB, path: &Path, opened: Opened) -> Self {
        let (path, retired) = (path.to_path_buf(), OnceLock::new());
        Self { db: Some(db), path, retired, opened: Some(opened) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Another is in its place: its folder is not needed once nobody reads it any more.
    pub(super) fn retire(&self, hold: Hold) {
        drop(self.retired.set(hold));
    }

    pub(super) fn db(&self) -> Result<&DB, StorageError> {
        self.db.as_ref().ok_or_else(|| io("all", "it is closed"))
    }

    pub(super) fn family(&self, name: &'static str) -> Result<&ColumnFamily, StorageError> {
        self.db()?.cf_handle(name).ok_or_else(|| io(name, "there is no such table"))
    }
}

impl Drop for Database {
    /// Closing takes long and the last reader may be anybody: not on its thread.
    fn drop(&mut self) {
        let (Some(db), Some(hold)) = (self.db.take(), self.retired.take()) else { return };
        let path = std::mem::take(&mut self.path);
        let opened = self.opened.take();
        let close = move || {
            let _opened = opened;
            let _hold = hold;
            drop(db);
            if let Err(error) = std::fs::remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), %error, "replaced views are removed at the next start");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("views-retire".into()).spawn(close) {
            tracing::warn!(%error, "replaced views are removed at the next start");
        }
    }
}

pub(super) fn io(table: &'static str, error: impl ToString) -> StorageError {
    StorageError::Io { table, error: error.to_string() }
}
