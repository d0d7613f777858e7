//! The files of an index, written so that the log does not wait for them: a little at a time, each
//! piece on the disk before the next. What tantivy writes at one go, a merge of many segments
//! above all, would else be one burst, and all the disk had to do before the log's next sync. A
//! thread of usual priority writes for those of an index, which have none.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::mem::take;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, TerminatingWrite,
    WatchCallback, WatchHandle, WritePtr,
};

use super::scribe;

/// Octets that may wait for the disk.
const PIECE: usize = 1024 * 1024;
/// The longest rest behind a piece.
const LONGEST: Duration = Duration::from_millis(100);

/// Octets of a sum behind what is written at one go.
const SUM: usize = 64;

/// A folder whose files are written piece by piece, and whose lists of them have a sum, which
/// tantivy gives to all its other files; everything else is [`MmapDirectory`]'s.
#[derive(Debug, Clone)]
pub(super) struct Gentle {
    inner: MmapDirectory,
    root: PathBuf,
}

impl Gentle {
    /// # Errors
    /// The folder is none, or cannot be read.
    pub(super) fn open(root: &Path) -> tantivy::Result<Self> {
        Ok(Self { inner: MmapDirectory::open(root)?, root: root.to_owned() })
    }
}

/// Octets with their sum behind them.
fn sealed(octets: &[u8]) -> Vec<u8> {
    [octets, blake3::hash(octets).to_hex().as_bytes()].concat()
}

/// What [`sealed`] gave; `None` for anything else.
fn unsealed(mut octets: Vec<u8>) -> Option<Vec<u8>> {
    let sum = octets.split_off(octets.len().checked_sub(SUM)?);
    (blake3::hash(&octets).to_hex().as_bytes() == sum).then_some(octets)
}

/// A file that is being written.
struct Pieces {
    file: Arc<File>,
    waiting: Vec<u8>,
}

impl Pieces {
    fn put_down(&mut self) -> io::Result<()> {
        let (file, mut octets) = (self.file.clone(), take(&mut self.waiting));
        self.waiting = scribe::ask(move || {
            (&*file).write_all(&octets)?;
            file.sync_data()?;
            octets.clear();
            Ok(octets)
        })?;
        Ok(())
    }
}

impl Write for Pieces {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let room = PIECE.saturating_sub(self.waiting.len());
        let taken = octets.get(..room).unwrap_or(octets);
        self.waiting.extend_from_slice(taken);
        if self.waiting.len() >= PIECE {
            let begun = Instant::now();
            self.put_down()?;
            // As long as the disk had to do, it is left to others.
            sleep(begun.elapsed().min(LONGEST));
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TerminatingWrite for Pieces {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        self.put_down()
    }
}

impl Directory for Gentle {
    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let whole = self.root.join(path);
        let made = scribe::ask(move || OpenOptions::new().write(true).create_new(true).open(whole));
        let file = made.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => OpenWriteError::FileAlreadyExists(path.to_owned()),
            _ => OpenWriteError::wrap_io_error(error, path.to_owned()),
        })?;
        Ok(BufWriter::new(Box::new(Pieces { file: Arc::new(file), waiting: Vec::new() })))
    }

    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.inner.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        let (inner, name) = (self.inner.clone(), path.to_owned());
        let deleted = scribe::ask(move || Ok(inner.delete(&name)));
        let failed = |error: io::Error| DeleteError::IoError {
            io_error: Arc::new(error),
            filepath: path.to_owned(),
        };
        deleted.map_err(failed)?
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.inner.exists(path)
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        unsealed(self.inner.atomic_read(path)?).ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::InvalidData, "its sum does not fit");
            OpenReadError::wrap_io_error(error, path.to_owned())
        })
    }

    fn atomic_write(&self, path: &Path, octets: &[u8]) -> io::Result<()> {
        let (inner, name, octets) = (self.inner.clone(), path.to_owned(), sealed(octets));
        scribe::ask(move || inner.atomic_write(&name, &octets))
    }

    fn sync_directory(&self) -> io::Result<()> {
        let inner = self.inner.clone();
        scribe::ask(move || inner.sync_directory())
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.inner.acquire_lock(lock)
    }

    fn watch(&self, changed: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.inner.watch(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let folder = Gentle::open(root.path()).unwrap();
        let (path, name) = (root.path().join("list"), Path::new("list"));
        folder.atomic_write(name, b"{ }").unwrap();
        assert_eq!(folder.atomic_read(name).unwrap(), b"{ }");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut octets = whole.clone();
            octets[at] ^= 0x10;
            std::fs::write(&path, octets).unwrap();
            folder.atomic_read(name).unwrap_err();
            std::fs::write(&path, &whole[..at]).unwrap();
            folder.atomic_read(name).unwrap_err();
        }
    }

    #[test]
    fn what_is_written_in_pieces_is_what_is_read() {
        let root = tempfile::tempdir().unwrap();
        let folder = Gentle::open(root.path()).unwrap();
        let octets: Vec<u8> = (0..5 * PIECE / 2).map(|n| (n % 251) as u8).collect();
        let mut file = folder.open_write(Path::new("some")).unwrap();
        for part in octets.chunks(PIECE / 3 + 7) {
            file.write_all(part).unwrap();
        }
        file.terminate().unwrap();
        assert_eq!(
            folder.open_read(Path::new("some")).unwrap().read_bytes().unwrap().as_slice(),
            octets
        );
        let again = folder.open_write(Path::new("some")).err();
        assert!(matches!(again, Some(OpenWriteError::FileAlreadyExists(_))), "{again:?}");
    }
}
