//! A disk in memory that forgets what was not synced, for tests.
//!
//! [`SimDisk::crash`] gives the disk as it might be found after power loss: of
//! what was written and not synced some is there, some is not, some is torn; of
//! names that were not made durable with their folder likewise. Everything
//! random comes from a seed. The old disk lives on beside the new one, so that
//! threads that still write to it disturb nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::{Disk, DiskFile, Space};

mod power;
#[cfg(test)]
mod tests;

const DEFAULT_TOTAL: u64 = 1 << 40;

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// By number. Each has a name, may have one after a crash, or is open.
    files: BTreeMap<usize, Contents>,
    /// What is seen now, and what a crash is sure to leave.
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    name_changes: Vec<NameChange>,
    folders: BTreeSet<PathBuf>,
    faults: Faults,
    total: u64,
    syncs: u64,
    rng: SmallRng,
}

#[derive(Debug, Default)]
struct Faults {
    power_off_after: Option<u64>,
    fail_syncs_after: Option<u64>,
    ignored_syncs: Option<String>,
    failing_reads: Option<String>,
    hanging_syncs: Option<Arc<Hang>>,
}

/// Syncs that wait until they are let go.
#[derive(Debug, Default)]
struct Hang {
    part: String,
    over: Mutex<bool>,
    changed: Condvar,
}

impl Hang {
    fn wait(&self) {
        let mut over = self.over.lock();
        self.changed.wait_while(&mut over, |over| !*over);
    }

    fn end(&self) {
        *self.over.lock() = true;
        self.changed.notify_all();
    }
}

/// A file's bytes: as seen now, as a crash is sure to leave them, and what lies between.
#[derive(Debug, Default)]
struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// Shared with each handle.
    open: Arc<()>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Debug, Clone)]
enum NameChange {
    Link(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
    path: PathBuf,
    _open: Arc<()>,
}

impl SimDisk {
    /// An empty disk of a terabyte.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            folders: BTreeSet::new(),
            faults: Faults::default(),
            total: DEFAULT_TOTAL,
            syncs: 0,
            rng: SmallRng::seed_from_u64(seed),
        })))
    }

    /// The disk as it might be found after power loss now, without faults set.
    #[must_use]
    pub fn crash(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().after_power_loss())))
    }

    /// The disk as power loss now may leave it at worst: what was synced, no more.
    #[must_use]
    pub fn worst(&self) -> Self {
        self.worst_in(Path::new("/"))
    }

    /// The same of one folder, with all below it: the others are empty.
    #[must_use]
    pub fn worst_in(&self, dir: &Path) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().at_worst(dir))))
    }

    /// A copy of the disk as it is seen now, all of it durable, without faults set.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().settled())))
    }

    /// After `operations` more writes, syncs and changes of names every call
    /// fails; the last of them may be found done, not done or torn after a crash.
    pub fn power_off_after(&self, operations: u64) {
        self.0.lock().faults.power_off_after = Some(operations);
    }

    /// After `syncs` more syncs of files or folders each one fails.
    pub fn fail_syncs_after(&self, syncs: u64) {
        self.0.lock().faults.fail_syncs_after = Some(syncs);
    }

    /// Syncs of files and folders whose path contains `part` are said to be done and are
    /// not. For tests that must then fail.
    pub fn ignore_syncs_of(&self, part: &str) {
        self.0.lock().faults.ignored_syncs = Some(part.to_owned());
    }

    /// Syncs of files whose path contains `part` wait, each in its thread, until
    /// [`SimDisk::heal`]. Not for a simulation, where all is one thread.
    pub fn hang_syncs_of(&self, part: &str) {
        let hang = Hang { part: part.to_owned(), ..Hang::default() };
        self.0.lock().faults.hanging_syncs = Some(Arc::new(hang));
    }

    /// Reads of files whose path contains `part` fail.
    pub fn fail_reads_of(&self, part: &str) {
        self.0.lock().faults.failing_reads = Some(part.to_owned());
    }

    /// All faults end.
    pub fn heal(&self) {
        let before = std::mem::take(&mut self.0.lock().faults);
        if let Some(hang) = before.hanging_syncs {
            hang.end();
        }
    }

    /// The disk has so many bytes in all from now on.
    pub fn set_total(&self, bytes: u64) {
        self.0.lock().total = bytes;
    }

    /// The disk has so many bytes free from now on.
    pub fn set_room(&self, bytes: u64) {
        let mut state = self.0.lock();
        state.total = state.used() + bytes;
    }

    /// Syncs of files and folders so far.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// The paths of all files, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// A file's bytes as seen now.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.0.lock();
        let file = state.find(path)?;
        Ok(state.files.get(&file).map(|contents| contents.now.clone()).unwrap_or_default())
    }

    /// Turns the bits of `mask` over in one byte, durably, as a decaying disk does.
    ///
    /// # Errors
    /// `NotFound`; `UnexpectedEof` behind the end.
    pub fn flip(&self, path: &Path, offset: usize, mask: u8) -> io::Result<()> {
        let mut state = self.0.lock();
        let file = state.find(path)?;
        let contents = state.contents(file)?;
        let byte = contents.now.get_mut(offset).ok_or(io::ErrorKind::UnexpectedEof)?;
        *byte ^= mask;
        if let Some(byte) = contents.durable.get_mut(offset) {
            *byte ^= mask;
        }
        Ok(())
    }
}

impl State {
    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn contents(&mut self, file: usize) -> io::Result<&mut Contents> {
        self.files.get_mut(&file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used(&self) -> u64 {
        let len = |file: &usize| self.files.get(file).map_or(0, |c| c.now.len() as u64);
        self.names.values().map(len).sum()
    }

    /// Files that nobody has open and that no name leads to, whatever a crash keeps, are
    /// gone: disks of long runs would grow without end.
    fn forget_nameless(&mut self) {
        let linked = self.name_changes.iter().filter_map(|change| match change {
            NameChange::Link(_, file) => Some(file),
            NameChange::Rename(..) | NameChange::Unlink(_) => None,
        });
        let named = self.names.values().chain(self.durable_names.values()).chain(linked);
        let named: BTreeSet<usize> = named.copied().collect();
        let is_open = |file: &Contents| Arc::strong_count(&file.open) > 1;
        self.files.retain(|number, file| named.contains(number) || is_open(file));
    }

    /// Whether the power is still on, for something that changes nothing.
    fn powered(&self) -> io::Result<()> {
        match self.faults.power_off_after {
            Some(0) => Err(power_is_off()),
            _ => Ok(()),
        }
    }

    /// Counts a change: `Ok(true)` when it is the last one, which is begun and not finished.
    fn step(&mut self) -> io::Result<bool> {
        self.powered()?;
        if let Some(left) = &mut self.faults.power_off_after {
            *left -= 1;
        }
        Ok(self.faults.power_off_after == Some(0))
    }

    /// Counts a sync: `Ok(false)` when it is to be skipped in silence.
    fn sync_step(&mut self, path: &Path) -> io::Result<bool> {
        if self.step()? {
            return Err(power_is_off());
        }
        match &mut self.faults.fail_syncs_after {
            Some(0) => return Err(io::Error::other("the sync was made to fail")),
            Some(left) => *left -= 1,
            None => {}
        }
        self.syncs += 1;
        Ok(!matches(&self.faults.ignored_syncs, path))
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        let last = self.step()?;
        change.apply(&mut self.names);
        self.name_changes.push(change);
        if last { Err(power_is_off()) } else { Ok(()) }
    }

    fn change(&mut self, file: usize, change: Change) -> io::Result<()> {
        let last = self.step()?;
        let len = self.contents(file)?.now.len();
        let grows = change.end().saturating_sub(len) as u64;
        if grows > 0 && self.used() + grows > self.total {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let contents = self.contents(file)?;
        change.apply(&mut contents.now);
        contents.pending.push(change);
        if last { Err(power_is_off()) } else { Ok(()) }
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

fn matches(part: &Option<String>, path: &Path) -> bool {
    part.as_ref().is_some_and(|part| path.to_string_lossy().contains(part.as_str()))
}

impl Change {
    fn end(&self) -> usize {
        match self {
            Self::Write { offset, bytes } => offset + bytes.len(),
            Self::Length(len) => *len,
        }
    }

    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Length(len) => file.resize(*len, 0),
            Self::Write { offset, bytes } => {
                if file.len() < self.end() {
                    file.resize(self.end(), 0);
                }
                if let Some(place) = file.get_mut(*offset..self.end()) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, file) => drop(names.insert(path.clone(), *file)),
            Self::Unlink(path) => drop(names.remove(path)),
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        match self {
            Self::Link(path, _) | Self::Unlink(path) => path.parent() == Some(dir),
            Self::Rename(from, to) => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.powered()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if path.parent().is_none_or(|dir| !state.folders.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = state.files.last_key_value().map_or(0, |(last, _)| last + 1);
        let open = state.files.entry(file).or_default().open.clone();
        state.change_name(NameChange::Link(path.to_owned(), file))?;
        Ok(self.handle(file, path, open))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.powered()?;
        let file = state.find(path)?;
        let open = state.contents(file)?.open.clone();
        Ok(self.handle(file, path, open))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        state.powered()?;
        if !state.folders.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let paths = state.names.keys().chain(&state.folders);
        let names = paths.filter(|path| path.parent() == Some(dir)).filter_map(|p| p.file_name());
        let mut names: Vec<String> = names.map(|n| n.to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.powered()?;
        state.folders.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.find(from)?;
        state.change_name(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.find(path)?;
        state.change_name(NameChange::Unlink(path.to_owned()))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        if state.sync_step(dir)? {
            let durable = &mut state.durable_names;
            state.name_changes.retain(|change| {
                let done = change.is_in(dir);
                if done {
                    change.apply(durable);
                }
                !done
            });
            state.forget_nameless();
        }
        Ok(())
    }

    fn space(&self, _dir: &Path) -> io::Result<Space> {
        let state = self.0.lock();
        state.powered()?;
        Ok(Space { free: state.total.saturating_sub(state.used()), total: state.total })
    }
}

impl SimDisk {
    fn handle(&self, file: usize, path: &Path, open: Arc<()>) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { disk: self.clone(), file, path: path.to_owned(), _open: open })
    }
}

impl DiskFile for SimFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.powered()?;
        if matches(&state.faults.failing_reads, &self.path) {
            return Err(io::Error::other("the read was made to fail"));
        }
        let start = to_usize(offset)?;
        let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::InvalidInput)?;
        let contents = state.contents(self.file)?;
        let bytes = contents.now.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = to_usize(offset)?;
        self.disk.0.lock().change(self.file, Change::Write { offset, bytes: bytes.to_vec() })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match self.len()? < len {
            true => self.set_len(len),
            false => Ok(()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = to_usize(len)?;
        self.disk.0.lock().change(self.file, Change::Length(len))
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.0.lock();
        state.powered()?;
        Ok(state.contents(self.file)?.now.len() as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        let hang = self.disk.0.lock().faults.hanging_syncs.clone();
        let hang = hang.filter(|hang| self.path.to_string_lossy().contains(&hang.part));
        hang.inspect(|hang| hang.wait());
        let mut state = self.disk.0.lock();
        if state.sync_step(&self.path)? {
            let contents = state.contents(self.file)?;
            let pending = std::mem::take(&mut contents.pending);
            pending.iter().for_each(|change| change.apply(&mut contents.durable));
        }
        Ok(())
    }
}

fn to_usize(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput.into())
}
