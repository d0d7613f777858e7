//! A state image at an index: how it is made, proven and put in place of views.
//!
//! The images and their manifests are kept by an implementation of [`Bases`]
//! (crate `snapshot`); here is what only the store knows: how an image is read.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use redoubt_log::chain::Head;
use redoubt_log::id::{Hash, LogIndex};
use redoubt_log::raft::{AppliedState, Checkpoint, ImageFile, Pin};

use crate::Pauses;
use crate::hash::StateHash;
use crate::mailstore::machine::applied_state;
use crate::storage::{RocksOptions, RocksStorage, StorageError, Table, applied, applied_in};

/// A state image with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// How far it has come, read from inside it.
    pub state: AppliedState,
    /// Chain, time and tree after its last entry: a log may begin behind it.
    pub head: Head,
    /// The state's hash, recomputed from its rows when it was made.
    pub state_hash: Hash,
    /// Where it lies.
    pub dir: PathBuf,
}

impl Base {
    /// The index that it is of.
    pub fn index(&self) -> LogIndex {
        self.state.id.index
    }

    /// As the node wants to know it.
    pub fn checkpoint(self) -> Checkpoint {
        Checkpoint { state: self.state, head: self.head, location: self.dir }
    }
}

/// What goes wrong with state images.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The operating system's answer.
    #[error("{path}: {error}")]
    Io {
        /// Which file or folder.
        path: String,
        /// The system's answer.
        error: io::Error,
    },
    /// It is not what its manifest says.
    #[error("the checkpoint {path} is damaged: {problem}; it is not used")]
    Damaged {
        /// Where it lies.
        path: String,
        /// What does not fit.
        problem: String,
    },
    /// There is none of that index.
    #[error("there is no checkpoint of index {0}")]
    NoSuch(LogIndex),
    /// The views or the image cannot be read.
    #[error("a state image cannot be made or read: {0}")]
    Image(#[from] StorageError),
}

impl BaseError {
    /// The operating system's answer about `path`.
    pub fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.display().to_string(), error }
    }

    /// Something in `path` is not what its manifest says.
    pub fn damaged(path: &Path, problem: impl ToString) -> Self {
        Self::Damaged { path: path.display().to_string(), problem: problem.to_string() }
    }
}

/// Keeps state images. Implemented by `redoubt-snapshot`. All calls block.
pub trait Bases: Debug + Send + Sync + 'static {
    /// Where the next image is to be written: a path where nothing is, on the
    /// file system of the views. What an unfinished one left is removed.
    ///
    /// # Errors
    /// Those of the system.
    fn place(&self) -> Result<PathBuf, BaseError>;

    /// Gives the image at [`Bases::place`] its name and manifest, durably. A
    /// crash before the end leaves no image.
    ///
    /// # Errors
    /// Those of the system; an image of that index is there already.
    fn keep(&self, image: &Image, head: Head, pauses: &Pauses) -> Result<Base, BaseError>;

    /// All whose manifest reads, the newest first.
    ///
    /// # Errors
    /// Those of the system.
    fn list(&self) -> Result<Vec<Base>, BaseError>;

    /// Reads all files of an image, and its state, and compares them with its manifest.
    ///
    /// # Errors
    /// [`BaseError::Damaged`], [`BaseError::NoSuch`].
    fn verify(&self, index: LogIndex, pauses: &Pauses) -> Result<Base, BaseError>;

    /// Removes all but the newest `count` images, and those that are pinned.
    ///
    /// # Errors
    /// Those of the system.
    fn keep_newest(&self, count: usize) -> Result<(), BaseError>;

    /// Keeps an image from being removed for as long as what it answers is held;
    /// and its files, the manifest among them.
    ///
    /// # Errors
    /// [`BaseError::NoSuch`], [`BaseError::Damaged`].
    fn pin(&self, index: LogIndex) -> Result<(Pin, Vec<ImageFile>), BaseError>;

    /// As [`Bases::verify`], for a folder that came from a peer and is not kept yet.
    ///
    /// # Errors
    /// [`BaseError::Damaged`].
    fn examine(&self, dir: &Path, pauses: &Pauses) -> Result<Base, BaseError>;

    /// Takes over a folder that [`Bases::examine`] found sound, by one rename, and
    /// keeps in mind that it is from a peer and ahead of the log.
    ///
    /// # Errors
    /// Those of the system; [`BaseError::Damaged`] when it has no manifest.
    fn adopt(&self, dir: &Path) -> Result<Base, BaseError>;

    /// The newest that was taken over from a peer since [`Bases::settle`].
    ///
    /// # Errors
    /// Those of the system.
    fn received(&self) -> Result<Option<Base>, BaseError>;

    /// The log has begun anew behind what was [`received`](Bases::received), or
    /// that is not to be used: it is an image like any other from now on.
    ///
    /// # Errors
    /// Those of the system.
    fn settle(&self) -> Result<(), BaseError>;

    /// The newest.
    ///
    /// # Errors
    /// Those of the system.
    fn newest(&self) -> Result<Option<Base>, BaseError> {
        Ok(self.list()?.into_iter().next())
    }
}

/// An image that was read through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Where it lies.
    pub dir: PathBuf,
    /// How far it has come.
    pub state: AppliedState,
    /// Its state's hash, from its rows.
    pub state_hash: Hash,
}

impl Image {
    /// Reads an image without changing it: all tables must have come equally far,
    /// and the hash of all rows must be the one that `apply` kept.
    ///
    /// # Errors
    /// [`BaseError::Damaged`], [`BaseError::Image`].
    pub fn examine(dir: &Path, pauses: &Pauses) -> Result<Self, BaseError> {
        let storage = RocksStorage::open_read_only(dir, &RocksOptions::default())?;
        let damaged = |problem: &str| BaseError::damaged(dir, problem);
        let state = applied_state(&storage)?.ok_or_else(|| damaged("nothing was applied to it"))?;
        let reached = applied(&storage)?;
        for table in Table::ALL {
            if applied_in(&storage, table)? != reached {
                return Err(damaged(&format!("table {table} has not come as far as the others")));
            }
        }
        let state_hash = StateHash::recompute_with(&storage, pauses)?.digest();
        if state_hash != StateHash::stored(&storage)?.digest() {
            return Err(damaged("its rows do not have the hash that was kept with them"));
        }
        Ok(Self { dir: dir.to_path_buf(), state, state_hash })
    }
}

/// Beside an image from a peer, until the log goes on behind it.
pub const RECEIVED: &str = "received";

/// Whether a file is part of an image; what RocksDB writes beside one when it
/// reads it, and [`RECEIVED`], are not.
pub fn is_part_of_image(name: &str) -> bool {
    let log = name == "LOG" || name.starts_with("LOG.old");
    !log && name != "LOCK" && name != "IDENTITY" && name != RECEIVED
}

/// Puts an image where views are to be, durably; nothing may be there. Tables,
/// which RocksDB never changes in place, are linked; everything else is copied.
///
/// # Errors
/// Those of the system.
pub(crate) fn install(base: &Path, views: &Path) -> io::Result<()> {
    fs::create_dir_all(views)?;
    for entry in fs::read_dir(base)? {
        let name = entry?.file_name();
        let (from, to) = (base.join(&name), views.join(&name));
        let text = name.to_string_lossy();
        let part = is_part_of_image(&text) && !text.starts_with("base.manifest");
        let table = text.ends_with(".sst");
        if part && !(table && fs::hard_link(&from, &to).is_ok()) {
            fs::copy(&from, &to)?;
            File::open(&to)?.sync_all()?;
        }
    }
    File::open(views)?.sync_all()
}
