//! A disk that writes down what is done to it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile, Space};
use crate::id::BlobId;

/// What was done to a file.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Write(PathBuf, Vec<u8>),
    Sync(PathBuf),
}

/// A disk and its trace.
#[derive(Debug, Clone)]
pub(super) struct Recorder {
    disk: Arc<dyn Disk>,
    events: Arc<Mutex<Vec<Event>>>,
}

#[derive(Debug)]
struct File {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Recorder {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, events: Arc::default() }
    }

    /// Whether, before the first segment write that names the blob, the packs in
    /// which it was written were synced. `None` when no segment names it.
    pub(super) fn pack_is_synced_first(&self, blob: BlobId) -> Option<bool> {
        let names = |bytes: &[u8]| bytes.windows(32).any(|window| window == blob.0);
        let (mut unsynced, mut packs) = (Vec::new(), 0);
        for event in self.events.lock().iter() {
            match event {
                Event::Write(path, bytes) if names(bytes) => {
                    if path.starts_with("/log") {
                        return Some(packs > 0 && unsynced.is_empty());
                    }
                    packs += 1;
                    unsynced.push(path.clone());
                }
                Event::Write(..) => {}
                Event::Sync(path) => unsynced.retain(|other| other != path),
            }
        }
        None
    }

    fn wrap(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(File { file, path: path.to_owned(), events: self.events.clone() })
    }
}

impl Disk for Recorder {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(path).map(|file| self.wrap(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path).map(|file| self.wrap(path, file))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.disk.space(dir)
    }
}

impl DiskFile for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.events.lock().push(Event::Write(self.path.clone(), bytes.to_vec()));
        self.file.write_all_at(bytes, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        self.events.lock().push(Event::Sync(self.path.clone()));
        Ok(())
    }
}
