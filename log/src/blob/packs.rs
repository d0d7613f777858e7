//! The packs of a store: what is known of each, and its file while it is open.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lru::LruCache;
use parking_lot::{Mutex, RwLock};

use super::error::BlobError;
use super::frame::{PackKey, file_name, id_of_file_name};
use super::known::Known;
use crate::disk::{Disk, DiskFile};
use crate::id::BlobId;

/// What the name of a pack that cannot be read ends with.
const ASIDE: &str = ".damaged";

/// Every pack's key is in memory; files are opened when needed, the least used closed.
#[derive(Debug)]
pub(super) struct Packs {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    keys: RwLock<HashMap<u64, PackKey>>,
    files: Mutex<LruCache<u64, Arc<dyn DiskFile>>>,
}

/// An open pack.
#[derive(Debug, Clone)]
pub(super) struct Pack {
    pub(super) key: PackKey,
    pub(super) file: Arc<dyn DiskFile>,
}

impl Pack {
    pub(super) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, BlobError> {
        let mut octets = vec![0; len];
        self.fill(offset, &mut octets)?;
        Ok(octets)
    }

    /// As [`Pack::read`], behind what is in `into`.
    pub(super) fn read_into(
        &self,
        offset: u64,
        len: usize,
        into: &mut Vec<u8>,
    ) -> Result<(), BlobError> {
        let start = into.len();
        into.resize(start.saturating_add(len), 0);
        let filled = self.fill(offset, into.get_mut(start..).unwrap_or_default());
        if filled.is_err() {
            into.truncate(start);
        }
        filled
    }

    fn fill(&self, offset: u64, octets: &mut [u8]) -> Result<(), BlobError> {
        let read = self.file.read_exact_at(octets, offset);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged(offset, None, "the pack ends before"),
            _ => io_error(&self.key.file_name(), error),
        })
    }

    pub(super) fn len(&self) -> Result<u64, BlobError> {
        self.file.len().map_err(|error| io_error(&self.key.file_name(), error))
    }

    pub(super) fn sync(&self) -> Result<(), BlobError> {
        self.file.sync_data().map_err(|error| io_error(&self.key.file_name(), error))
    }

    pub(super) fn damaged(&self, offset: u64, blob: Option<BlobId>, what: &str) -> BlobError {
        BlobError::Damaged { pack: self.key.file_name(), offset, blob, what: what.into() }
    }
}

pub(super) fn io_error(path: &str, error: io::Error) -> BlobError {
    BlobError::Io { path: path.into(), error: Arc::new(error) }
}

impl Packs {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, open: usize) -> Self {
        let open = NonZeroUsize::new(open).unwrap_or(NonZeroUsize::MIN);
        let files = Mutex::new(LruCache::new(open));
        Self { disk, dir: dir.to_owned(), keys: RwLock::default(), files }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Names of packs on the disk, by rising id.
    pub(super) fn list(&self) -> Result<Vec<String>, BlobError> {
        self.disk.list(&self.dir).map_err(|error| io_error(&self.dir.to_string_lossy(), error))
    }

    pub(super) fn open_file(&self, name: &str) -> Result<Arc<dyn DiskFile>, BlobError> {
        self.disk.open(&self.path(name)).map_err(|error| io_error(name, error))
    }

    pub(super) fn remember(&self, key: PackKey, file: Arc<dyn DiskFile>) {
        self.files.lock().put(key.id, file);
        self.keys.write().insert(key.id, key);
    }

    /// It is about to be removed.
    pub(super) fn forget(&self, id: u64) {
        self.keys.write().remove(&id);
        self.files.lock().pop(&id);
    }

    pub(super) fn key(&self, id: u64) -> Option<PackKey> {
        self.keys.read().get(&id).copied()
    }

    pub(super) fn count(&self) -> u64 {
        self.keys.read().len() as u64
    }

    /// All packs' ids, rising.
    pub(super) fn ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.keys.read().keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn get(&self, id: u64) -> Result<Pack, BlobError> {
        let name = file_name(id);
        let key = self.key(id).ok_or_else(|| BlobError::Damaged {
            pack: name.clone(),
            offset: 0,
            blob: None,
            what: "the index names this pack, and it is not there".into(),
        })?;
        if let Some(file) = self.files.lock().get(&id) {
            return Ok(Pack { key, file: Arc::clone(file) });
        }
        let file = self.open_file(&name)?;
        self.files.lock().put(id, Arc::clone(&file));
        Ok(Pack { key, file })
    }

    /// Makes a pack whose header and name are durable before any frame is in it.
    pub(super) fn create(&self, key: PackKey, room: u64) -> io::Result<Pack> {
        let path = self.path(&key.file_name());
        let file = self.disk.create(&path)?;
        let made = fill(&*file, &key, room).and_then(|()| self.disk.sync_dir(&self.dir));
        if let Err(error) = made {
            // What is left of it is an empty pack, which opening understands.
            drop(self.disk.remove(&path));
            return Err(error);
        }
        self.remember(key, Arc::clone(&file));
        Ok(Pack { key, file })
    }

    /// Keeps a pack that cannot be read under another name, for people to look at.
    pub(super) fn put_aside(&self, name: &str) -> Result<(), BlobError> {
        let aside = self.path(&format!("{name}{ASIDE}"));
        let renamed = self.disk.rename(&self.path(name), &aside);
        renamed.and_then(|()| self.disk.sync_dir(&self.dir)).map_err(|error| io_error(name, error))
    }

    /// An id above those of all packs, those put aside included.
    pub(super) fn behind_all(&self) -> Result<u64, BlobError> {
        let names = self.list()?;
        let ids = names
            .iter()
            .filter_map(|name| id_of_file_name(name.strip_suffix(ASIDE).unwrap_or(name)));
        Ok(ids.max().map_or(1, |id| id.saturating_add(1)))
    }

    /// The list of what is known to be damaged.
    pub(super) fn known(&self) -> Result<Known, BlobError> {
        Known::load(&*self.disk, &self.dir)
    }

    /// Makes that list durable.
    pub(super) fn save(&self, list: Option<Vec<u8>>) -> io::Result<()> {
        Known::save(list, &*self.disk, &self.dir)
    }

    /// Removes a pack that was never finished being made, or in which nothing is left.
    pub(super) fn remove(&self, name: &str) -> Result<(), BlobError> {
        let removed = self.disk.remove(&self.path(name));
        removed.and_then(|()| self.disk.sync_dir(&self.dir)).map_err(|error| io_error(name, error))
    }
}

fn fill(file: &dyn DiskFile, key: &PackKey, room: u64) -> io::Result<()> {
    file.allocate(room)?;
    file.write_all_at(&key.encode(), 0)?;
    file.sync_data()
}
