//! A node's disk: a file system of a fixed size, which can be filled up and emptied again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The disk of one node.
#[derive(Debug, Clone)]
pub struct Disk {
    folder: PathBuf,
    /// Whether it is a file system of its own, which may be filled.
    own: bool,
}

/// Written at a time.
const PIECE: usize = 1 << 20;

impl Disk {
    /// The disk mounted at a folder, or a folder on the machine's disk.
    pub fn new(folder: PathBuf, own: bool) -> Self {
        Self { folder, own }
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it may be filled: never the machine's own.
    pub fn can_fill(&self) -> bool {
        self.own
    }

    /// Bytes that are free.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn free(&self) -> io::Result<u64> {
        let told = rustix::fs::statvfs(&self.folder)?;
        Ok(told.f_bavail * told.f_frsize)
    }

    /// Whether it was filled and not emptied since.
    pub fn is_filled(&self) -> bool {
        self.filler().exists()
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Fills it up to the last byte.
    ///
    /// # Errors
    /// When it is the machine's own disk, or what is wrong but its being full.
    pub fn fill(&self) -> io::Result<()> {
        if !self.own {
            return Err(io::Error::other("the machine's own disk is not filled"));
        }
        let mut file = OpenOptions::new().create(true).append(true).open(self.filler())?;
        let piece = vec![0x55; PIECE];
        pour(&mut file, &piece).and_then(|()| pour(&mut file, &piece[..4096]))
    }

    /// Takes the filling out.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn empty(&self) -> io::Result<()> {
        match std::fs::remove_file(self.filler()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

/// Writes until there is no room.
fn pour(file: &mut File, piece: &[u8]) -> io::Result<()> {
    loop {
        match file.write(piece) {
            Ok(written) if written < piece.len() => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
