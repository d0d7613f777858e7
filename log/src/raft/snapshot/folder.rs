//! An image that comes in: one folder, a file under its name once it is whole and
//! durable, under that and `.part` before.
//!
//! Invariant: a file without `.part` had its length and hash when it got its name.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::wire::Description;
use crate::blob::ExportedHead;
use crate::disk::{Disk, DiskFile};
use crate::id::Hash;
use crate::raft::images::ImageFile;

const READ_BYTES: usize = 1 << 20;
const PART: &str = "part";
/// Where large blobs are put together, beside the images.
const BLOBS: &str = "blobs";
/// Bytes that are written to a file between two syncs: one of much more would hold up the disk.
const SYNC_BYTES: u64 = 2 << 20;

/// Where an image is put together.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl Folder {
    /// The folder for this image under `incoming`. What others there have in
    /// common with it is taken over, the rest of them removed. Blocks.
    pub(super) fn prepare(
        disk: Arc<dyn Disk>,
        incoming: &Path,
        image: &Description,
    ) -> io::Result<Self> {
        let Hash([a, b, c, d, ..]) = image.digest();
        let tag = u32::from_le_bytes([a, b, c, d]);
        let name = format!("{:020}-{tag:08x}", image.id().index.0);
        let folder = Self { disk, dir: incoming.join(&name) };
        folder.disk.create_dir_all(&folder.dir)?;
        for other in folder.disk.list(incoming)? {
            if other != name && other != BLOBS {
                folder.take_over(&incoming.join(other), &image.files)?;
            }
        }
        folder.disk.sync_dir(&folder.dir)?;
        folder.refuse_if_full(image)?;
        Ok(folder)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn refuse_if_full(&self, image: &Description) -> io::Result<()> {
        let space = self.disk.space(&self.dir)?;
        let (total, reserve) = (image.total(), space.total / 20);
        match total.saturating_add(reserve) > space.free.saturating_add(self.bytes()?) {
            false => Ok(()),
            true => Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("an image of {total} bytes does not fit: {} are free", space.free),
            )),
        }
    }

    /// Bytes that are there.
    fn bytes(&self) -> io::Result<u64> {
        let mut sum = 0;
        for name in self.disk.list(&self.dir)? {
            sum += self.disk.open(&self.dir.join(name))?.len()?;
        }
        Ok(sum)
    }

    fn take_over(&self, other: &Path, files: &[ImageFile]) -> io::Result<()> {
        let Ok(names) = self.disk.list(other) else { return Ok(()) };
        for name in names {
            let path = other.join(&name);
            let wanted = files.iter().find(|file| file.name == name);
            let same = match wanted {
                Some(wanted) if !self.has(wanted)? => matches(&*self.disk, &path, wanted)?,
                _ => false,
            };
            match same {
                true => self.disk.rename(&path, &self.dir.join(&name))?,
                false => self.disk.remove(&path)?,
            }
        }
        remove_empty(other);
        Ok(())
    }

    /// Whether a file is whole.
    pub(super) fn has(&self, file: &ImageFile) -> io::Result<bool> {
        match self.disk.open(&self.dir.join(&file.name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            found => Ok(found?.len()? == file.size),
        }
    }

    /// A file of which something may be there.
    pub(super) fn partial(&self, file: &ImageFile) -> io::Result<Partial> {
        Partial::open(&*self.disk, &self.part(file), file.size)
    }

    fn part(&self, file: &ImageFile) -> PathBuf {
        self.dir.join(format!("{}.{PART}", file.name))
    }

    /// Gives a file that has come its name, durably. `false` when it is not what
    /// it was to be: it is gone then. Blocks.
    pub(super) fn finish(&self, file: &ImageFile) -> io::Result<bool> {
        let part = self.part(file);
        if !matches(&*self.disk, &part, file)? {
            self.disk.remove(&part)?;
            return Ok(false);
        }
        self.disk.open(&part)?.sync_data()?;
        self.disk.rename(&part, &self.dir.join(&file.name))?;
        self.disk.sync_dir(&self.dir)?;
        Ok(true)
    }

    /// Removes all of it.
    pub(super) fn remove(&self) -> io::Result<()> {
        for name in self.disk.list(&self.dir)? {
            self.disk.remove(&self.dir.join(name))?;
        }
        remove_empty(&self.dir);
        Ok(())
    }
}

/// Removes all that came in and is not needed any more.
pub(super) fn clear(disk: &Arc<dyn Disk>, incoming: &Path) -> io::Result<()> {
    let names = match disk.list(incoming) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names?,
    };
    for name in names {
        Folder { disk: disk.clone(), dir: incoming.join(name) }.remove()?;
    }
    Ok(())
}

/// The seam of the file layer knows no removing of folders, which do no harm.
fn remove_empty(dir: &Path) {
    drop(std::fs::remove_dir(dir));
}

/// A large blob that comes in, as it is stored: what came before is kept.
#[derive(Debug, Clone)]
pub(super) struct LargeBlob {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl LargeBlob {
    /// Its file, with what is there of it. Blocks.
    pub(super) fn begin(
        disk: Arc<dyn Disk>,
        incoming: &Path,
        head: &ExportedHead,
    ) -> io::Result<(Self, Partial)> {
        let dir = incoming.join(BLOBS);
        disk.create_dir_all(&dir)?;
        let path = dir.join(format!("{}.{}.{PART}", head.id, head.stored));
        let partial = Partial::open(&*disk, &path, head.stored)?;
        Ok((Self { disk, path }, partial))
    }

    /// It is not needed any more. Blocks.
    pub(super) fn remove(&self) -> io::Result<()> {
        match self.disk.remove(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// A file that is on its way.
#[derive(Debug, Clone)]
pub(super) struct Partial {
    file: Arc<dyn DiskFile>,
    /// Bytes that are there.
    pub(super) have: u64,
}

impl Partial {
    fn open(disk: &dyn Disk, path: &Path, size: u64) -> io::Result<Self> {
        let file = match disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(path),
            open => open,
        }?;
        let mut have = file.len()?;
        if have > size {
            file.set_len(0)?;
            have = 0;
        }
        Ok(Self { file, have })
    }

    /// What is there.
    pub(super) fn file(&self) -> Arc<dyn DiskFile> {
        self.file.clone()
    }

    /// Adds a piece behind what is there. Blocks.
    pub(super) fn push(mut self, piece: &[u8]) -> io::Result<Self> {
        self.file.write_all_at(piece, self.have)?;
        let before = self.have / SYNC_BYTES;
        self.have += piece.len() as u64;
        if self.have / SYNC_BYTES > before {
            self.file.sync_data()?;
        }
        Ok(self)
    }
}

fn matches(disk: &dyn Disk, path: &Path, wanted: &ImageFile) -> io::Result<bool> {
    let file = disk.open(path)?;
    if file.len()? != wanted.size {
        return Ok(false);
    }
    let (mut hasher, mut offset) = (blake3::Hasher::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
    while offset < wanted.size {
        let len = usize::try_from(wanted.size - offset).map_or(READ_BYTES, |n| n.min(READ_BYTES));
        let piece = buffer.get_mut(..len).unwrap_or_default();
        file.read_exact_at(piece, offset)?;
        hasher.update(piece);
        offset += len as u64;
    }
    Ok(hasher.finalize().as_bytes() == &wanted.blake3.0)
}
