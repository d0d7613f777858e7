//! The seam of the file layer: segments, packs and manifests reach the disk
//! only through [`Disk`], so that tests can lose, tear and reorder what was not
//! synced, fill the disk, or make a sync fail.
//!
//! All calls block. They are made on threads of our own or on tokio's blocking
//! pool, never on a tokio worker.

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::world::watch;

mod real;
#[cfg(any(test, feature = "sim"))]
pub mod sim;

pub use real::{RealDisk, replace_private};

/// Files under some root, named by paths.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Makes a new file, empty. The name is durable only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// When it exists already, or the disk is full.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// The names (not paths) of the files and folders in a folder, sorted.
    ///
    /// # Errors
    /// `NotFound` when there is no such folder.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a folder and those above it, durably.
    ///
    /// # Errors
    /// Those of the system.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file another name in place of what has it, at once. Durable only
    /// after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// Those of the system; after one the store is poisoned.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Room on the disk that holds `dir`.
    ///
    /// # Errors
    /// Those of the system.
    fn space(&self, dir: &Path) -> io::Result<Space>;
}

/// Resolves with the reason once somebody says that the disk has failed.
pub(crate) async fn failure(mut failed: watch::Receiver<Option<String>>) -> String {
    loop {
        if let Some(why) = failed.borrow_and_update().clone() {
            return why;
        }
        if failed.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Puts a file with these bytes in the place of what has the name `path`, if anything:
/// written at `beside` in the same folder, synced, renamed. A crash leaves the old one
/// or the new one; it is durable when this returns.
///
/// # Errors
/// Those of the system; the old file is then there, or the new one.
pub fn replace(disk: &dyn Disk, path: &Path, beside: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(disk, path, beside, bytes, |beside| disk.create(beside))
}

fn replace_with(
    disk: &dyn Disk,
    path: &Path,
    beside: &Path,
    bytes: &[u8],
    create: impl FnOnce(&Path) -> io::Result<Arc<dyn DiskFile>>,
) -> io::Result<()> {
    match disk.remove(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = create(beside)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    disk.rename(beside, path)?;
    disk.sync_dir(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Bytes of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may still be written.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// An open file; offsets are absolute, nothing moves a cursor.
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`; durable only after [`DiskFile::sync_data`].
    ///
    /// # Errors
    /// `StorageFull` when there is no room.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reserves room so that the file is at least `len` bytes, new ones zero.
    ///
    /// # Errors
    /// `StorageFull` when there is no room.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Cuts or extends the file to `len` bytes.
    ///
    /// # Errors
    /// Those of the system.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Bytes in the file.
    ///
    /// # Errors
    /// Those of the system.
    fn len(&self) -> io::Result<u64>;

    /// Whether there is nothing in the file.
    ///
    /// # Errors
    /// Those of the system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Makes everything written durable (`fdatasync`, length included).
    ///
    /// # Errors
    /// After any, what was written since the last success may be lost: the
    /// caller is poisoned and never tries again.
    fn sync_data(&self) -> io::Result<()>;
}
