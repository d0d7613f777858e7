//! State images on their way between nodes: what a replica asks of whoever keeps them.

use std::any::Any;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::id::Hash;
use crate::raft::state_machine::Checkpoint;
use crate::segment::LogId;

/// A file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Its name in the image's folder.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Their BLAKE3.
    pub blake3: Hash,
}

/// Keeps something from being removed until the last clone of it goes.
pub type Pin = Arc<dyn Any + Send + Sync>;

/// An image that is not removed while this is held.
#[derive(Debug, Clone)]
pub struct PinnedImage {
    /// What it is of, and where it lies.
    pub checkpoint: Checkpoint,
    /// Everything that a receiver needs of its folder.
    pub files: Vec<ImageFile>,
    /// Held for as long as it is sent.
    pub pin: Pin,
}

/// Whoever keeps state images. Implemented by `store`.
pub trait Images: Debug + Send + Sync + 'static {
    /// The image after this entry, or the newest, pinned. Blocks.
    ///
    /// # Errors
    /// In words: it cannot be read.
    fn pinned(&self, id: Option<LogId>) -> Result<Option<PinnedImage>, String>;

    /// Takes an image of what is applied now. May last minutes.
    ///
    /// # Errors
    /// In words: none was taken.
    fn take(&self) -> BoxFuture<'static, Result<(), String>>;

    /// The files of images, and of those that come.
    fn disk(&self) -> Arc<dyn Disk>;

    /// Reads through a folder whose files have all come from a peer, and says what
    /// it is an image of. Blocks.
    ///
    /// # Errors
    /// In words: it is no image, or damaged.
    fn examine(&self, dir: &Path) -> Result<Checkpoint, String>;
}
