//! Checkpoints of a simulated node, as files on its disk: what `base/` is to a real one.
//!
//! Invariant: a folder with a manifest has every file that it names, durable before it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use redoubt_log::chain::Head;
use redoubt_log::codec;
use redoubt_log::disk::{Disk, replace};
use redoubt_log::id::{Hash, LogIndex};
use redoubt_log::raft::{
    AppliedState, Checkpoint, ImageFile, Images, LogId, PinnedImage, StoredState,
};
use redoubt_log::segment::SegmentLog;
use redoubt_log::world::sim;
use serde::{Deserialize, Serialize};

use super::SimViews;
use crate::StateHash;
use crate::mailstore::machine::applied_state;
use crate::storage::{KeyRange, MemStorage, Read, Storage, Table, Write};

const MANIFEST: &str = "manifest";
const RECEIVED: &str = "received";
/// Checkpoints that are kept.
const KEPT: usize = 2;
/// About how many octets of rows are in one file: small, so that there are many.
const FILE: usize = 4 << 10;

type Taken = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Rows = Vec<(u8, Vec<u8>, Vec<u8>)>;

/// Checkpoints on a simulated disk. Clones are the same.
#[derive(Debug, Clone)]
pub struct SimBases {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    views: SimViews,
    log: SegmentLog,
    pins: Arc<Mutex<BTreeMap<LogIndex, Weak<()>>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// What stands in a manifest, behind its BLAKE3.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    applied: StoredState,
    state: Hash,
    files: Vec<ImageFile>,
}

impl SimBases {
    /// In a folder of a disk, of these views and this log.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, views: &SimViews, log: &SegmentLog) -> Self {
        Self {
            disk,
            dir: dir.to_path_buf(),
            views: views.clone(),
            log: log.clone(),
            pins: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// All whose manifest reads, the newest first.
    ///
    /// # Errors
    /// In words: the disk's.
    pub fn list(&self) -> Result<Vec<Checkpoint>, String> {
        let names = match self.disk.list(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names.map_err(said)?,
        };
        let mut all = Vec::new();
        for name in names.iter().rev().filter(|name| *name != RECEIVED) {
            let dir = self.dir.join(name);
            all.extend(self.manifest(&dir)?.map(|manifest| manifest.checkpoint(&dir)).transpose()?);
        }
        Ok(all)
    }

    /// The newest.
    ///
    /// # Errors
    /// As [`SimBases::list`].
    pub fn newest(&self) -> Result<Option<Checkpoint>, String> {
        Ok(self.list()?.into_iter().next())
    }

    /// The tables of a checkpoint, every file read and compared.
    ///
    /// # Errors
    /// In words: what does not fit.
    pub fn tables(&self, base: &Checkpoint) -> Result<MemStorage, String> {
        let manifest = self.manifest(&base.location)?.ok_or("no manifest")?;
        let mut tables = MemStorage::new();
        for file in &manifest.files {
            let bytes = read(&*self.disk, &base.location.join(&file.name)).map_err(said)?;
            if Hash(*blake3::hash(&bytes).as_bytes()) != file.blake3 {
                return Err(format!("{}/{} is damaged", base.location.display(), file.name));
            }
            tables.write(batch(&bytes)?).map_err(said)?;
        }
        let state = StateHash::recompute(&tables).map_err(said)?.digest();
        let applied = applied_state(&tables).map_err(said)?;
        match state == manifest.state && applied.as_ref() == Some(&base.state) {
            true => Ok(tables),
            false => Err(format!("{} is not what it says", base.location.display())),
        }
    }

    /// Takes over what came from a peer, and remembers that the log does not go on
    /// behind it yet.
    ///
    /// # Errors
    /// In words: the disk's, or it is damaged.
    pub fn adopt(&self, came: &Checkpoint) -> Result<Checkpoint, String> {
        let manifest = self.manifest(&came.location)?.ok_or("it has no manifest")?;
        let dir = self.place(came.state.id);
        self.disk.create_dir_all(&dir).map_err(said)?;
        let take =
            |name: &str| self.disk.rename(&came.location.join(name), &dir.join(name)).map_err(said);
        manifest.files.iter().try_for_each(|file| take(&file.name))?;
        self.disk.sync_dir(&dir).map_err(said)?;
        take(MANIFEST)?;
        self.disk.sync_dir(&dir).map_err(said)?;
        let mark = codec::to_bytes(&came.state.id.index).map_err(said)?;
        self.replace(&self.dir, RECEIVED, &mark).map_err(said)?;
        Ok(Checkpoint { location: dir, ..came.clone() })
    }

    /// What was taken over since [`SimBases::settle`].
    ///
    /// # Errors
    /// In words: the disk's.
    pub fn received(&self) -> Result<Option<Checkpoint>, String> {
        let mark = match read(&*self.disk, &self.dir.join(RECEIVED)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            mark => mark.map_err(said)?,
        };
        let index: LogIndex = codec::from_bytes(&mark).map_err(said)?;
        Ok(self.list()?.into_iter().find(|base| base.state.id.index == index))
    }

    /// The log goes on behind what was received.
    ///
    /// # Errors
    /// In words: the disk's.
    pub fn settle(&self) -> Result<(), String> {
        match self.disk.remove(&self.dir.join(RECEIVED)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| self.disk.sync_dir(&self.dir)).map_err(said),
        }
    }

    /// Takes one of what is applied now, and lets old ones go.
    ///
    /// # Errors
    /// In words: none was taken.
    pub async fn take(&self) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        let tables = self.views.now();
        let state = applied_state(&tables).map_err(said)?.ok_or("nothing is applied yet")?;
        let head = self.log.head_at(state.id.index).map_err(said)?;
        let dir = self.place(state.id);
        if self.manifest(&dir)?.is_some() {
            return Ok(());
        }
        self.disk.create_dir_all(&dir).map_err(said)?;
        self.empty(&dir).map_err(said)?;
        let files = self.write_rows(&dir, &tables).await?;
        let hash = StateHash::stored(&tables).map_err(said)?.digest();
        let manifest = Manifest::of(&state, &head, hash, files);
        self.replace(&dir, MANIFEST, &manifest.bytes()?).map_err(said)?;
        self.tables(&manifest.checkpoint(&dir)?)?;
        // Making a checkpoint flushes the views that it is of.
        self.views.flush();
        self.keep_newest()
    }

    async fn write_rows(&self, dir: &Path, tables: &MemStorage) -> Result<Vec<ImageFile>, String> {
        let mut files = Vec::new();
        for (number, bytes) in pieces(tables)?.into_iter().enumerate() {
            let name = format!("rows-{number:04}");
            let file = self.disk.create(&dir.join(&name)).map_err(said)?;
            file.write_all_at(&bytes, 0).map_err(said)?;
            rest().await;
            file.sync_data().map_err(said)?;
            let blake3 = Hash(*blake3::hash(&bytes).as_bytes());
            files.push(ImageFile { name, size: bytes.len() as u64, blake3 });
        }
        self.disk.sync_dir(dir).map_err(said)?;
        Ok(files)
    }

    fn keep_newest(&self) -> Result<(), String> {
        let old = self.list()?.into_iter().skip(KEPT);
        for base in old.filter(|base| !self.is_pinned(base.state.id.index)) {
            self.empty(&base.location).map_err(said)?;
        }
        Ok(())
    }

    fn is_pinned(&self, index: LogIndex) -> bool {
        self.pins.lock().get(&index).is_some_and(|pin| pin.strong_count() > 0)
    }

    fn place(&self, id: LogId) -> PathBuf {
        self.dir.join(format!("{:020}", id.index.0))
    }

    fn empty(&self, dir: &Path) -> io::Result<()> {
        let mut names = self.disk.list(dir)?;
        names.sort_by_key(|name| name != MANIFEST);
        names.into_iter().try_for_each(|name| self.disk.remove(&dir.join(name)))
    }

    fn replace(&self, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
        replace(&*self.disk, &dir.join(name), &dir.join(format!("{name}.new")), bytes)
    }

    fn manifest(&self, dir: &Path) -> Result<Option<Manifest>, String> {
        match read(&*self.disk, &dir.join(MANIFEST)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => Manifest::parse(&bytes.map_err(said)?).map(Some),
        }
    }
}

impl Manifest {
    fn of(state: &AppliedState, head: &Head, hash: Hash, files: Vec<ImageFile>) -> Self {
        Self { applied: StoredState::of(state, head), state: hash, files }
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        let text = codec::to_bytes(self).map_err(said)?;
        Ok([blake3::hash(&text).as_bytes().as_slice(), &text].concat())
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (hash, text) = bytes.split_first_chunk::<32>().ok_or("a manifest is cut short")?;
        match blake3::hash(text).as_bytes() == hash {
            true => codec::from_bytes(text).map_err(said),
            false => Err("a manifest is damaged".to_owned()),
        }
    }

    fn checkpoint(&self, dir: &Path) -> Result<Checkpoint, String> {
        let (state, head) = self.applied.read().ok_or("a wrong tree")?;
        Ok(Checkpoint { state, head, location: dir.to_path_buf() })
    }
}

impl Images for SimBases {
    fn pinned(&self, id: Option<LogId>) -> Result<Option<PinnedImage>, String> {
        let wanted = |base: &Checkpoint| id.is_none_or(|id| base.state.id == id);
        let Some(checkpoint) = self.list()?.into_iter().find(wanted) else { return Ok(None) };
        let bytes = read(&*self.disk, &checkpoint.location.join(MANIFEST)).map_err(said)?;
        let mut files = Manifest::parse(&bytes)?.files;
        let blake3 = Hash(*blake3::hash(&bytes).as_bytes());
        files.push(ImageFile { name: MANIFEST.to_owned(), size: bytes.len() as u64, blake3 });
        let mut pins = self.pins.lock();
        let old = pins.get(&checkpoint.state.id.index).and_then(Weak::upgrade);
        let pin = old.unwrap_or_default();
        pins.insert(checkpoint.state.id.index, Arc::downgrade(&pin));
        Ok(Some(PinnedImage { checkpoint, files, pin }))
    }

    fn take(&self) -> Taken {
        let bases = self.clone();
        Box::pin(async move { bases.take().await })
    }

    fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    fn examine(&self, dir: &Path) -> Result<Checkpoint, String> {
        let manifest = self.manifest(dir)?.ok_or("it has no manifest")?;
        let checkpoint = manifest.checkpoint(dir)?;
        self.tables(&checkpoint).map(|_| checkpoint)
    }
}

/// The rows of all tables, in pieces.
fn pieces(tables: &MemStorage) -> Result<Vec<Vec<u8>>, String> {
    let (mut all, mut rows, mut octets) = (Vec::new(), Rows::new(), 0);
    let range = KeyRange { from: Vec::new(), to: None };
    for (number, table) in (0_u8..).zip(Table::ALL) {
        for (key, value) in tables.scan(table, &range, usize::MAX).map_err(said)? {
            octets += key.len() + value.len();
            rows.push((number, key, value));
            if octets > FILE {
                all.push(codec::to_bytes(&std::mem::take(&mut rows)).map_err(said)?);
                octets = 0;
            }
        }
    }
    all.push(codec::to_bytes(&rows).map_err(said)?);
    Ok(all)
}

fn batch(bytes: &[u8]) -> Result<Vec<Write>, String> {
    let rows: Rows = codec::from_bytes(bytes).map_err(said)?;
    let write = |(number, key, value): (u8, Vec<u8>, Vec<u8>)| {
        let table = Table::ALL.get(usize::from(number)).copied().ok_or("an unknown table")?;
        Ok(Write { table, key, value: Some(value) })
    };
    rows.into_iter().map(write).collect()
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or_default()];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Between a write and its sync, so that a crash may fall there.
async fn rest() {
    if let Some(host) = sim::here() {
        host.rest(Duration::from_millis(host.pick(0..3))).await;
    }
}

fn said(error: impl ToString) -> String {
    error.to_string()
}
