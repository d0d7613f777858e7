//! The data directory: where things lie, its lock, the node's name and the shard's secret.
//!
//! These few small files are written by the operating system's calls and not
//! through the seam of the file layer: none of them changes once it is made.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redoubt_log::disk::replace_private;
use redoubt_log::id::NodeId;
use rustix::fs::{FlockOperation, flock};

use super::OpenError;

/// Where things lie in a data directory.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The lay-out of the data directory at `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }
    /// The data directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Segments of the one shard of this node.
    pub fn log(&self) -> PathBuf {
        self.shard().join("log")
    }
    /// Packs.
    pub fn blobs(&self) -> PathBuf {
        self.shard().join("blobs")
    }
    /// Verified checkpoints.
    pub fn base(&self) -> PathBuf {
        self.shard().join("base")
    }
    /// Views; always safe to remove while the server is stopped.
    pub fn views(&self) -> PathBuf {
        self.shard().join("views")
    }
    /// How far a light voter has come.
    pub fn light(&self) -> PathBuf {
        self.shard().join("light")
    }
    /// Messages taken apart; always safe to remove while the server is stopped.
    pub fn parsed(&self) -> PathBuf {
        self.shard().join("parsed")
    }
    /// Messages on their way in; emptied at each start.
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }
    /// What was seen of peers.
    pub fn seen(&self) -> PathBuf {
        self.shard().join("seen")
    }
    /// How far a scrub has come.
    pub fn scrub(&self) -> PathBuf {
        self.shard().join("scrub.json")
    }
    /// What the state hashed to at the last marks.
    pub fn marks(&self) -> PathBuf {
        self.shard().join("marks.json")
    }
    /// Snapshots of peers that are not complete yet.
    pub fn incoming(&self) -> PathBuf {
        self.shard().join("incoming")
    }
    fn shard(&self) -> PathBuf {
        self.root.join("shards").join("0")
    }
    fn secret(&self) -> PathBuf {
        self.root.join("keys").join("shard-0.secret")
    }

    /// Makes the folders that are not there, readable by the owner alone.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn prepare(&self) -> Result<(), OpenError> {
        for dir in [self.shard(), self.root.join("keys"), self.spool()] {
            make_private(&dir).map_err(|error| OpenError::io(&dir, error))?;
        }
        Ok(())
    }
}

fn make_private(dir: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Holds a data directory for this process; another is refused. Given free on drop.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes `LOCK`, or says who has it.
    ///
    /// # Errors
    /// [`OpenError::InUse`], [`OpenError::Io`].
    pub fn take(layout: &Layout) -> Result<Self, OpenError> {
        let path = layout.root().join("LOCK");
        make_private(layout.root()).map_err(|error| OpenError::io(layout.root(), error))?;
        let mut file = open_lock(&path).map_err(|error| OpenError::io(&path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(in_use(&path, &mut file)),
            Err(error) => return Err(OpenError::io(&path, error.into())),
        }
        write_pid(&mut file).map_err(|error| OpenError::io(&path, error))?;
        Ok(Self { _file: file })
    }
}

fn open_lock(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn in_use(path: &Path, file: &mut File) -> OpenError {
    let mut holder = String::new();
    let _ = file.take(80).read_to_string(&mut holder);
    let holder = match holder.trim() {
        "" => "unknown".to_owned(),
        pid => format!("process {pid}"),
    };
    OpenError::InUse { path: path.display().to_string(), holder }
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

/// Who this node is; `node.toml`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFile {
    /// The node's id in its cluster.
    pub node: NodeId,
    /// 32 hexadecimal digits: which history of the shard this is. A restore makes a new one.
    pub lineage: String,
}

impl NodeFile {
    /// Reads `node.toml`, where it is there.
    ///
    /// # Errors
    /// [`OpenError::Damaged`], [`OpenError::Io`].
    pub fn load(layout: &Layout) -> Result<Option<Self>, OpenError> {
        let path = layout.root().join("node.toml");
        let parse = |bytes: Vec<u8>| Self::parse(&bytes).map_err(|problem| damaged(&path, problem));
        read_small(&path)?.map(parse).transpose()
    }

    /// Writes `node.toml`: at a join, and when a group is made anew.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn save(&self, layout: &Layout) -> Result<(), OpenError> {
        write_small(&layout.root().join("node.toml"), self.text().as_bytes())
    }

    /// A name for a history that begins here: 32 hexadecimal digits.
    pub fn new_lineage() -> String {
        hex(&rand::random::<[u8; 16]>())
    }

    /// Reads `node.toml`, or makes it at the first start.
    ///
    /// # Errors
    /// [`OpenError::Damaged`], [`OpenError::Io`].
    pub fn load_or_make(layout: &Layout) -> Result<Self, OpenError> {
        if let Some(file) = Self::load(layout)? {
            return Ok(file);
        }
        let file = Self { node: NodeId(1), lineage: Self::new_lineage() };
        file.save(layout)?;
        Ok(file)
    }

    fn text(&self) -> String {
        format!(
            "# Written at the first start. Never edit or copy it.\nnode = {}\nlineage = \"{}\"\n",
            self.node, self.lineage
        )
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        toml::from_str(text).map_err(|error| error.to_string())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key of every keyed hash that goes into the shard's records. Part of the
/// truth: without it threads and retries of old mail are not recognised.
#[derive(Clone)]
pub struct ShardSecret(pub(crate) [u8; 32]);

impl std::fmt::Debug for ShardSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShardSecret(..)")
    }
}

impl ShardSecret {
    /// The secret as it goes to a node that joins.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Writes what a cluster gave to this node when it joined.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn save(layout: &Layout, secret: [u8; 32]) -> Result<(), OpenError> {
        write_small(&layout.secret(), &secret)
    }

    /// Reads `keys/shard-0.secret`, or makes it at the first start.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] when it is not 32 bytes, and when it is missing beside a log
    /// that was written with it.
    pub fn load_or_make(layout: &Layout, log_has_entries: bool) -> Result<Self, OpenError> {
        let path = layout.secret();
        match read_small(&path)? {
            Some(bytes) => bytes
                .try_into()
                .map(Self)
                .map_err(|_| damaged(&path, "it is not 32 bytes long".to_owned())),
            None if log_has_entries => Err(damaged(&path, "it is missing".to_owned())),
            None => {
                let secret = Self(rand::random());
                write_small(&path, &secret.0)?;
                Ok(secret)
            }
        }
    }
}

pub(super) fn damaged(path: &Path, problem: String) -> OpenError {
    OpenError::Damaged { path: path.display().to_string(), problem }
}

const SMALL: u64 = 64 * 1024;

pub(super) fn read_small(path: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(SMALL).read_to_end(&mut bytes).map(|_| Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
    .map_err(|error| OpenError::io(path, error))
}

/// Written beside, synced, then renamed: a crash leaves the whole file or none.
pub(super) fn write_small(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    replace_private(path, bytes, 0o600).map_err(|error| OpenError::io(path, error))
}

/// Removes what an earlier run left in the spool.
pub(crate) fn empty_spool(layout: &Layout) -> Result<(), OpenError> {
    let dir = layout.spool();
    let empty = || {
        for entry in fs::read_dir(&dir)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    };
    empty().map_err(|error| OpenError::io(&dir, error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn layout() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(&dir.path().join("data"));
        layout.prepare().unwrap();
        (dir, layout)
    }

    #[test]
    fn a_second_holder_is_refused_by_name() {
        let (_dir, layout) = layout();
        let first = Lock::take(&layout).unwrap();
        let refused = Lock::take(&layout).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        Lock::take(&layout).unwrap();
    }

    #[test]
    fn the_node_keeps_its_name_and_the_shard_its_secret() {
        let (_dir, layout) = layout();
        let node = NodeFile::load_or_make(&layout).unwrap();
        assert_eq!(NodeFile::load_or_make(&layout).unwrap(), node);
        let secret = ShardSecret::load_or_make(&layout, false).unwrap();
        assert_eq!(ShardSecret::load_or_make(&layout, true).unwrap().0, secret.0);
        let mode = fs::metadata(layout.secret()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_lost_or_short_secret_is_an_error() {
        let (_dir, layout) = layout();
        assert!(ShardSecret::load_or_make(&layout, true).is_err());
        fs::write(layout.secret(), [0; 31]).unwrap();
        assert!(ShardSecret::load_or_make(&layout, false).is_err());
    }
}
