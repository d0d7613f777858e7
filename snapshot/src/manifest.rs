//! What a state image says of itself: docs/format.md, "Base".
//!
//! One line of JSON, then one line with its BLAKE3 in hexadecimal. It is written
//! last, beside, synced, and then given its name: an image without a manifest is
//! not there.

use std::io;
use std::path::Path;
use std::sync::Arc;

use redoubt_log::chain::{Head, Tree};
use redoubt_log::disk::{Disk, DiskFile, replace};
use redoubt_log::id::{Hash, LogIndex, Term, Timestamp};
use redoubt_log::raft::{AppliedState, ImageFile, LogId};
use redoubt_store::Pauses;
use redoubt_store::checkpoint::{Base, BaseError, Image};
use serde::{Deserialize, Serialize};

/// Its name in the image's folder.
pub const NAME: &str = "base.manifest";
const UNFINISHED: &str = "base.manifest.new";
/// The format that this program writes.
pub const FORMAT: u32 = 1;
/// A manifest is some kilobytes: an image has hundreds of files, not millions.
const MAX_BYTES: u64 = 64 << 20;
const READ_BYTES: usize = 1 << 20;

/// What a state image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The index that it is of.
    pub index: LogIndex,
    /// That entry's term.
    pub term: Term,
    /// That entry's effective time.
    pub time: Timestamp,
    /// The chain after it.
    pub chain: Hash,
    /// The Merkle tree after it.
    pub tree: TreeParts,
    /// The group's membership after it, opaque, in hexadecimal.
    pub membership: String,
    /// The hash of all rows of the state.
    pub state_hash: Hash,
    /// Its files, by name.
    pub files: Vec<FileEntry>,
}

/// A Merkle tree: leaves, and the roots of its complete subtrees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeParts {
    /// Leaves.
    pub size: u64,
    /// Peaks, the largest first.
    pub peaks: Vec<Hash>,
}

/// A file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name in the image's folder.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Their BLAKE3.
    pub blake3: Hash,
}

impl FileEntry {
    /// As it goes to a peer.
    pub fn image_file(&self) -> ImageFile {
        ImageFile { name: self.name.clone(), size: self.size, blake3: self.blake3 }
    }
}

impl Manifest {
    /// Of an image that was read through, and its files.
    pub fn of(image: &Image, head: &Head, files: Vec<FileEntry>) -> Self {
        let AppliedState { id, membership, chain, time } = &image.state;
        let tree = TreeParts { size: head.tree.size(), peaks: head.tree.peaks().to_vec() };
        Self {
            format: FORMAT,
            index: id.index,
            term: id.term,
            time: *time,
            chain: *chain,
            tree,
            membership: membership.iter().map(|byte| format!("{byte:02x}")).collect(),
            state_hash: image.state_hash,
            files,
        }
    }

    /// As the store wants to know it.
    ///
    /// # Errors
    /// [`BaseError::Damaged`] when its parts do not fit each other.
    pub fn base(&self, dir: &Path) -> Result<Base, BaseError> {
        let damaged = |problem: &str| BaseError::damaged(dir, problem);
        let membership = from_hex(&self.membership).ok_or_else(|| damaged("its membership"))?;
        let tree = Tree::from_parts(self.tree.size, self.tree.peaks.clone());
        let tree = tree.ok_or_else(|| damaged("its tree"))?;
        let id = LogId { term: self.term, index: self.index };
        let (chain, time) = (self.chain, self.time);
        Ok(Base {
            state: AppliedState { id, membership: membership.into(), chain, time },
            head: Head { chain, time, tree },
            state_hash: self.state_hash,
            dir: dir.to_path_buf(),
        })
    }

    /// Writes it into an image's folder: durable when this returns, all or nothing.
    ///
    /// # Errors
    /// Those of the system.
    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), BaseError> {
        let (beside, path) = (dir.join(UNFINISHED), dir.join(NAME));
        let text = self.text().map_err(|error| BaseError::damaged(dir, error))?;
        replace(disk, &path, &beside, text.as_bytes()).map_err(|error| BaseError::io(&path, error))
    }

    /// Reads that of an image's folder; `None` when there is none.
    ///
    /// # Errors
    /// [`BaseError::Damaged`] when it does not have its own hash or does not read.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, BaseError> {
        let path = dir.join(NAME);
        let file = match disk.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| BaseError::io(&path, error))?,
        };
        let text = whole(&file).map_err(|error| BaseError::io(&path, error))?;
        Self::parse(&text).map(Some).map_err(|problem| BaseError::damaged(&path, problem))
    }

    fn text(&self) -> serde_json::Result<String> {
        let json = serde_json::to_string(self)?;
        Ok(format!("{json}\n{}\n", blake3::hash(json.as_bytes())))
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
        let (json, hash) = text.split_once('\n').ok_or("it has no second line")?;
        if hash.strip_suffix('\n') != Some(blake3::hash(json.as_bytes()).to_hex().as_str()) {
            return Err("it does not have the hash that it says".to_owned());
        }
        let manifest: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        match manifest.format {
            FORMAT => Ok(manifest),
            other => Err(format!("format {other} is not known here, only {FORMAT}")),
        }
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn whole(file: &Arc<dyn DiskFile>) -> io::Result<Vec<u8>> {
    let len = file.len()?;
    if len > MAX_BYTES {
        return Err(io::Error::other(format!("{len} bytes are too many for a manifest")));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Reads a file through; with `sync` it is durable afterwards.
///
/// # Errors
/// Those of the system.
pub fn entry(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    sync: bool,
    pauses: &Pauses,
) -> Result<FileEntry, BaseError> {
    let path = dir.join(name);
    let read = || {
        let file = disk.open(&path)?;
        if sync {
            file.sync_data()?;
        }
        hash_of(&file, pauses)
    };
    let (size, blake3) = read().map_err(|error| BaseError::io(&path, error))?;
    Ok(FileEntry { name: name.to_owned(), size, blake3 })
}

/// Some octets of a file of an image.
///
/// # Errors
/// Those of the system; also when it has not got them.
pub(crate) fn piece(path: &Path, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut octets = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    std::fs::File::open(path)?.read_exact_at(&mut octets, offset)?;
    Ok(octets)
}

fn hash_of(file: &Arc<dyn DiskFile>, pauses: &Pauses) -> io::Result<(u64, Hash)> {
    let size = file.len()?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut offset = 0;
    while offset < size {
        let wanted = usize::try_from(size - offset).map_or(READ_BYTES, |n| n.min(READ_BYTES));
        let piece = buffer.get_mut(..wanted).unwrap_or_default();
        file.read_exact_at(piece, offset)?;
        hasher.update(piece);
        offset += wanted as u64;
        if pauses.pause().is_break() {
            return Err(io::Error::other("the store is being closed"));
        }
    }
    Ok((size, Hash(*hasher.finalize().as_bytes())))
}
