//! One open database and the folder that it lies in.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rocksdb::{ColumnFamily, DB};

use super::StorageError;

/// A database. When it was retired, its folder goes with the last who reads it.
pub(super) struct Database {
    db: Option<DB>,
    path: PathBuf,
    retired: AtomicBool,
}

impl Database {
    pub(super) fn new(db: DB, path: &Path) -> Self {
        Self { db: Some(db), path: path.to_path_buf(), retired: AtomicBool::new(false) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Another is in its place: its folder is not needed once nobody reads it any more.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
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
        let (Some(db), true) = (self.db.take(), self.retired.load(Ordering::Acquire)) else {
            return;
        };
        let path = std::mem::take(&mut self.path);
        let close = move || {
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
