//! State images in the repository: their files in pieces, each there once however many
//! bases have it, and a description that is written last.
//!
//! Invariant: a description that is there names only pieces that were there before it,
//! and blobs whose packs were.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt, stream};
use redoubt_log::disk::RealDisk;
use redoubt_log::id::{BlobId, LogIndex, NodeId, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::names::{self, BaseName, PIECES, PieceName, short};
use super::seal::{Kind, framed_len};
use super::{RepoError, Repository};
use crate::manifest::{FileEntry, Manifest};

/// The format of descriptions that this program writes.
pub const FORMAT: u32 = 1;
/// The most octets of one piece of a file.
pub const PIECE: usize = 8 << 20;
/// The most blobs that one piece names.
pub const BLOBS: usize = 100_000;
/// Pieces that are on their way at one time.
const AT_ONCE: usize = 4;

/// A piece, and how long its content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PieceRef {
    /// Its name; in JSON the last part of it.
    #[serde(serialize_with = "name_out", deserialize_with = "name_in")]
    pub name: PieceName,
    /// Octets of its content.
    pub size: u32,
}

fn name_out<S: Serializer>(name: &PieceName, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&name.last())
}

fn name_in<'de, D: Deserializer<'de>>(from: D) -> Result<PieceName, D::Error> {
    let text = String::deserialize(from)?;
    PieceName::parse(&text).ok_or_else(|| serde::de::Error::custom("no name of a piece"))
}

/// Blobs that a state names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobList {
    /// How many.
    pub count: u64,
    /// Pieces with the ids of some each, 32 octets one behind the other.
    pub lists: Vec<PieceRef>,
}

/// What a state holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Accounts.
    pub accounts: u64,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Live emails.
    pub emails: u64,
    /// Their octets, each email once in its account.
    pub raw_bytes: u64,
}

/// What a base takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Octets of the image's files.
    pub files: u64,
    /// Octets of pieces that were sent for it.
    pub sent: u64,
    /// Octets of pieces that were there already.
    pub reused: u64,
    /// Octets of blobs that were sent for it.
    pub blobs: u64,
}

/// What a base says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// [`FORMAT`].
    pub format: u32,
    /// The history that it is of.
    pub lineage: String,
    /// Which node took it.
    pub node: NodeId,
    /// By which program.
    pub version: String,
    /// The level of its state: what `apply` does in it.
    pub level: u32,
    /// When it was begun, in milliseconds since 1970.
    pub begun: i64,
    /// When it was finished.
    pub ended: i64,
    /// The image's own manifest.
    pub manifest: Manifest,
    /// The pieces of each of the manifest's files, in its order.
    pub files: Vec<Vec<PieceRef>>,
    /// Blobs that the state names.
    pub blobs: BlobList,
    /// What it holds.
    pub counts: Counts,
    /// What it takes.
    pub sizes: Sizes,
}

impl Description {
    /// The index that it is of.
    pub fn index(&self) -> LogIndex {
        self.manifest.index
    }

    /// That entry's effective time.
    pub fn time(&self) -> Timestamp {
        self.manifest.time
    }

    /// Its name.
    pub fn name(&self) -> BaseName {
        BaseName { index: self.manifest.index, chain: short(&self.manifest.chain) }
    }

    /// Every piece that it needs, each as often as it stands there.
    pub fn pieces(&self) -> impl Iterator<Item = &PieceRef> {
        self.files.iter().flatten().chain(&self.blobs.lists)
    }

    /// Every object that it needs beside packs, with the size that it must have there.
    pub fn objects(&self, encrypted: bool) -> Vec<(String, u64)> {
        let lies =
            |piece: &PieceRef| (piece.name.name(), framed_len(u64::from(piece.size), encrypted));
        self.pieces().map(lies).collect()
    }

    /// What is wrong with it.
    fn wrong(&self, lineage: &str, name: &BaseName) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!("format {} is not known here, only {FORMAT}", self.format));
        }
        if self.lineage != lineage || self.name() != *name {
            return Some("it is of another history or index than its name says".to_owned());
        }
        if self.files.len() != self.manifest.files.len() {
            return Some("it has not the files that its manifest says".to_owned());
        }
        let bad = |(file, pieces): &(&FileEntry, &Vec<PieceRef>)| {
            let octets: u64 = pieces.iter().map(|piece| u64::from(piece.size)).sum();
            octets != file.size || !is_plain(&file.name)
        };
        let bad = self.manifest.files.iter().zip(&self.files).find(bad);
        bad.map(|(file, _)| format!("its file {:?} has not the octets that it says", file.name))
    }
}

/// A name in one folder: whoever can write in the repository must not write elsewhere.
fn is_plain(name: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(known)
}

impl Repository {
    /// Names of a history's bases, by rising index.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn bases(&self, lineage: &str) -> Result<Vec<BaseName>, RepoError> {
        let listed = self.objects().list(&names::bases_of(lineage), None).await?;
        Ok(listed.iter().filter_map(|object| BaseName::parse(object.last())).collect())
    }

    /// What a base says of itself.
    ///
    /// # Errors
    /// [`RepoError::Missing`], [`RepoError::Damaged`].
    pub async fn base(&self, lineage: &str, name: &BaseName) -> Result<Description, RepoError> {
        let text = name.name(lineage);
        let bytes = self.get(Kind::Base, &text).await?;
        let read: Description =
            serde_json::from_slice(&bytes).map_err(|error| RepoError::damaged(&text, error))?;
        match read.wrong(lineage, name) {
            None => Ok(read),
            Some(problem) => Err(RepoError::damaged(&text, problem)),
        }
    }

    /// Writes a description: everything that it names must be there. Of two at one index
    /// the first stays, and is given.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn put_base(&self, base: &Description) -> Result<Description, RepoError> {
        let (lineage, name) = (&base.lineage, base.name());
        let text = name.name(lineage);
        let json = serde_json::to_vec(base).map_err(|error| RepoError::damaged(&text, error))?;
        let there = match self.put(Kind::Base, &text, &json).await {
            Ok(_) => base.clone(),
            Err(RepoError::Conflict(_)) => self.base(lineage, &name).await?,
            Err(error) => return Err(error),
        };
        self.mark(&names::taken(lineage, &name)).await?;
        Ok(there)
    }

    /// Pieces that are there, with their octets as they lie.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn pieces(&self) -> Result<BTreeMap<PieceName, u64>, RepoError> {
        let listed = self.objects().list(PIECES, None).await?;
        let piece = |object: &super::Listed| Some((PieceName::parse(object.last())?, object.size));
        Ok(listed.iter().filter_map(piece).collect())
    }

    /// Of the pieces of a base those that are not there, or not as long as they should be.
    pub fn lacks(&self, base: &Description, there: &BTreeMap<PieceName, u64>) -> Vec<RepoError> {
        let sealed = self.is_encrypted();
        let wrong = |piece: &PieceRef| {
            let name = piece.name.name();
            match there.get(&piece.name) {
                None => Some(RepoError::Missing(name)),
                Some(size) if *size == framed_len(u64::from(piece.size), sealed) => None,
                Some(_) => Some(RepoError::damaged(&name, "it was cut")),
            }
        };
        let all: BTreeSet<&PieceRef> = base.pieces().collect();
        all.into_iter().filter_map(wrong).collect()
    }

    /// The newest base at or below an index that reads, and whose pieces are all there with
    /// the size that they should have. What is passed over is told in `damaged`.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn newest_base(
        &self,
        lineage: &str,
        at: LogIndex,
        damaged: &mut Vec<String>,
    ) -> Result<Option<Description>, RepoError> {
        let mut names = self.bases(lineage).await?;
        names.retain(|name| name.index <= at);
        damaged.extend(self.missing_bases(lineage, at, &names).await?);
        if names.is_empty() {
            return Ok(None);
        }
        let there = self.pieces().await?;
        while let Some(name) = names.pop() {
            let base = match self.base(lineage, &name).await {
                Ok(base) => base,
                Err(error @ (RepoError::Damaged { .. } | RepoError::Missing(_))) => {
                    damaged.push(error.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            };
            let lacks = self.lacks(&base, &there);
            if lacks.is_empty() {
                return Ok(Some(base));
            }
            damaged.extend(lacks.iter().map(ToString::to_string));
        }
        Ok(None)
    }

    /// Bases that were finished once, and have no description.
    async fn missing_bases(
        &self,
        lineage: &str,
        at: LogIndex,
        there: &[BaseName],
    ) -> Result<Vec<String>, RepoError> {
        let marks = self.objects().list(&names::taken_of(lineage), None).await?;
        let missing = marks.iter().filter_map(|mark| BaseName::parse(mark.last()));
        let missing = missing.filter(|name| name.index <= at && !there.contains(name));
        Ok(missing.map(|name| RepoError::Missing(name.name(lineage)).to_string()).collect())
    }

    /// A piece's content.
    ///
    /// # Errors
    /// [`RepoError::Missing`], [`RepoError::Damaged`].
    pub async fn piece_of(&self, piece: &PieceRef) -> Result<Vec<u8>, RepoError> {
        let name = piece.name.name();
        let octets = self.get(Kind::Piece, &name).await?;
        match octets.len() as u64 == u64::from(piece.size) {
            true => Ok(octets),
            false => Err(RepoError::damaged(&name, "it has another length than its base says")),
        }
    }

    /// The blobs that a base's state names, without parts of recipes.
    ///
    /// # Errors
    /// [`RepoError::Missing`], [`RepoError::Damaged`].
    pub async fn base_blobs(&self, base: &Description) -> Result<BTreeSet<BlobId>, RepoError> {
        let mut blobs = BTreeSet::new();
        for piece in &base.blobs.lists {
            blobs.extend(self.list_of(piece).await?);
        }
        match blobs.len() as u64 == base.blobs.count {
            true => Ok(blobs),
            false => {
                let name = base.name().name(&base.lineage);
                Err(RepoError::damaged(&name, "its lists have other blobs than it says"))
            }
        }
    }

    /// The blobs that one list names.
    pub(crate) async fn list_of(&self, piece: &PieceRef) -> Result<Vec<BlobId>, RepoError> {
        let octets = self.piece_of(piece).await?;
        let (ids, rest) = octets.as_chunks::<32>();
        match rest.is_empty() {
            true => Ok(ids.iter().map(|id| BlobId(*id)).collect()),
            false => Err(RepoError::damaged(&piece.name.name(), "it is no list of blobs")),
        }
    }

    /// Writes an image's files into a folder, which is made and must be empty; each has the
    /// length and the hash that its manifest says, and the manifest comes last. `progress`
    /// is told octets done and in all.
    ///
    /// # Errors
    /// [`RepoError`]; what was written stays, for the caller to remove.
    pub async fn fetch_base(
        &self,
        base: &Description,
        dir: &Path,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<(), RepoError> {
        let all = base.sizes.files;
        let mut done = 0;
        local(dir, fs::create_dir_all(dir))?;
        let empty = local(dir, fs::read_dir(dir))?.next().is_none();
        if !empty {
            return Err(RepoError::Source(format!("{} is not empty", dir.display())));
        }
        for (file, pieces) in base.manifest.files.iter().zip(&base.files) {
            let mut writer = FileWriter::new(dir, file)?;
            let got = pieces.clone().into_iter().map(|piece| {
                let repository = self.clone();
                async move { repository.piece_of(&piece).await }
            });
            let mut got = stream::iter(got).buffered(AT_ONCE);
            while let Some(octets) = got.try_next().await? {
                done += octets.len() as u64;
                writer = blocking(move || writer.write(&octets)).await?;
                progress(done, all);
            }
            let name = base.name().name(&base.lineage);
            blocking(move || writer.finish(&name)).await?;
        }
        let (manifest, dir) = (base.manifest.clone(), dir.to_path_buf());
        blocking(move || manifest.write(&RealDisk, &dir).map_err(there)).await
    }
}

fn there(error: impl ToString) -> RepoError {
    RepoError::Source(error.to_string())
}

fn local<T>(path: &Path, done: std::io::Result<T>) -> Result<T, RepoError> {
    done.map_err(|error| RepoError::Source(format!("{}: {error}", path.display())))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RepoError> + Send + 'static,
) -> Result<T, RepoError> {
    tokio::task::spawn_blocking(work).await.map_err(there)?
}

/// A file of an image as it comes.
struct FileWriter {
    path: PathBuf,
    file: File,
    hasher: blake3::Hasher,
    wanted: FileEntry,
}

impl FileWriter {
    fn new(dir: &Path, wanted: &FileEntry) -> Result<Self, RepoError> {
        let path = dir.join(&wanted.name);
        let file = local(&path, File::create_new(&path))?;
        Ok(Self { path, file, hasher: blake3::Hasher::new(), wanted: wanted.clone() })
    }

    fn write(mut self, octets: &[u8]) -> Result<Self, RepoError> {
        self.hasher.update(octets);
        local(&self.path, self.file.write_all(octets))?;
        Ok(self)
    }

    fn finish(self, base: &str) -> Result<(), RepoError> {
        local(&self.path, self.file.sync_all())?;
        match *self.hasher.finalize().as_bytes() == self.wanted.blake3.0 {
            true => Ok(()),
            false => {
                let problem =
                    format!("its file {} has not the hash that it says", self.wanted.name);
                Err(RepoError::damaged(base, problem))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_lead_nowhere_else() {
        for good in ["000012.sst", "MANIFEST-000005", "CURRENT", "OPTIONS-000007"] {
            assert!(is_plain(good), "{good}");
        }
        for wrong in ["", ".", "..", "../x", "a/b", "/etc/x", "a\\b", "a\0", "ä"] {
            assert!(!is_plain(wrong), "{wrong}");
        }
    }
}
