//! A message on its way in: in memory while small, in a spool file beyond.
//!
//! What all messages together take in memory is bounded. Nobody waits for room
//! while holding some: a message that finds none goes to a file at once, and
//! waits for room, holding nothing, when it is taken in.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::mailstore::WriteError;
use crate::mailstore::reserve::Reserve;

/// Larger messages go to a file.
const IN_MEMORY: usize = 1 << 20;
/// Octets gathered before they are written to the file.
const CHUNK: usize = 128 * 1024;
/// What one permit stands for, in octets.
const UNIT: usize = 4096;

/// Where messages wait, and how many octets of them may be in memory.
#[derive(Debug)]
pub(crate) struct SpoolRoom {
    dir: PathBuf,
    max_message: u64,
    units: usize,
    memory: Arc<Semaphore>,
    reserve: Arc<Reserve>,
    names: AtomicU64,
}

impl SpoolRoom {
    pub(crate) fn new(
        dir: PathBuf,
        max_message: u64,
        ingest_memory: u64,
        reserve: Arc<Reserve>,
    ) -> Self {
        let units = usize::try_from(ingest_memory / UNIT as u64).unwrap_or(usize::MAX);
        let units = units.clamp(IN_MEMORY / UNIT, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let memory = Arc::new(Semaphore::new(units));
        Self { dir, max_message, units, memory, reserve, names: AtomicU64::new(0) }
    }

    /// Octets of the largest message.
    pub(crate) fn max_message(&self) -> u64 {
        self.max_message
    }

    pub(crate) fn spool(self: &Arc<Self>) -> Spool {
        let memory = Memory { bytes: Vec::new(), room: None };
        Spool { room: self.clone(), len: 0, state: State::Memory(memory) }
    }

    /// An open file without a name: the system frees it when it is closed, however that comes.
    fn nameless(&self) -> io::Result<File> {
        let name = self.names.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{}-{name}", std::process::id()));
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    }

    /// A disk without room is refused as such, whatever the reserve said before.
    fn failed(&self, error: io::Error) -> WriteError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => self.reserve.full(),
            _ => failed(error),
        }
    }

    /// Room for a whole message; one larger than everything takes everything.
    async fn wait_for(&self, octets: u64) -> Result<OwnedSemaphorePermit, WriteError> {
        let units = usize::try_from(octets).unwrap_or(usize::MAX).div_ceil(UNIT).min(self.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let stopped = |_| WriteError::Unavailable("the node is shutting down".to_owned());
        self.memory.clone().acquire_many_owned(units).await.map_err(stopped)
    }
}

/// A message on its way in.
#[derive(Debug)]
pub struct Spool {
    room: Arc<SpoolRoom>,
    len: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Memory(Memory),
    File(Spilled),
    /// An error was told, or a write was given up half way.
    Broken,
}

#[derive(Debug)]
struct Memory {
    bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Spilled {
    file: File,
    written: u64,
    pending: Vec<u8>,
}

impl Spool {
    /// Octets written.
    pub fn len(&self) -> u64 {
        self.len
    }
    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds octets.
    ///
    /// # Errors
    /// [`WriteError::TooLarge`] past the limit (the rest may be skipped), [`WriteError::DiskFull`],
    /// [`WriteError::Unavailable`] when the spool file cannot be written, and on a spool that
    /// failed before.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.len = self.len.saturating_add(bytes.len() as u64);
        if self.len > self.room.max_message {
            self.state = State::Broken;
            return Err(WriteError::TooLarge { size: self.len, limit: self.room.max_message });
        }
        if let State::Memory(memory) = &mut self.state {
            if memory.takes(bytes, &self.room) {
                return Ok(());
            }
            self.spill().await?;
        }
        self.write_to_file(bytes).await
    }

    async fn write_to_file(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let State::File(spilled) = &mut self.state else { return Err(broken()) };
        spilled.pending.extend_from_slice(bytes);
        if spilled.pending.len() < CHUNK {
            return Ok(());
        }
        self.flush().await
    }

    async fn spill(&mut self) -> Result<(), WriteError> {
        let State::Memory(memory) = std::mem::replace(&mut self.state, State::Broken) else {
            return Err(broken());
        };
        let room = self.room.clone();
        let spilled = blocking(move || {
            room.reserve.check()?;
            let file = room.nameless().map_err(|error| room.failed(error))?;
            Ok(Spilled { file, written: 0, pending: memory.bytes })
        });
        self.state = State::File(spilled.await?);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), WriteError> {
        let State::File(mut spilled) = std::mem::replace(&mut self.state, State::Broken) else {
            return Err(broken());
        };
        let room = self.room.clone();
        let spilled = blocking(move || {
            room.reserve.check()?;
            let written = spilled.file.write_all_at(&spilled.pending, spilled.written);
            written.map_err(|error| room.failed(error))?;
            spilled.written += spilled.pending.len() as u64;
            spilled.pending = Vec::new();
            Ok(spilled)
        });
        self.state = State::File(spilled.await?);
        Ok(())
    }

    /// Ends the writing and waits until there is room for the whole in memory.
    pub(crate) async fn settle(mut self) -> Result<Settled, WriteError> {
        let len = self.len;
        if matches!(self.state, State::File(_)) {
            self.flush().await?;
        }
        let (source, room) = match self.state {
            State::Memory(memory) => (Source::Memory(memory.bytes), memory.room),
            State::File(spilled) => {
                (Source::File(spilled.file), Some(self.room.wait_for(len).await?))
            }
            State::Broken => return Err(broken()),
        };
        Ok(Settled { source, len, _room: room })
    }
}

impl Memory {
    /// Adds octets if there is room for them; nothing is held by who gets none.
    fn takes(&mut self, bytes: &[u8], room: &SpoolRoom) -> bool {
        let needed = self.bytes.len() + bytes.len();
        if needed > IN_MEMORY || !self.reserve(needed, room) {
            return false;
        }
        self.bytes.extend_from_slice(bytes);
        true
    }

    fn reserve(&mut self, needed: usize, room: &SpoolRoom) -> bool {
        if needed <= self.bytes.capacity() {
            return true;
        }
        let capacity = needed.next_power_of_two().clamp(UNIT, IN_MEMORY);
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from((capacity / UNIT).saturating_sub(held)).unwrap_or(u32::MAX);
        let Ok(permit) = room.memory.clone().try_acquire_many_owned(more) else { return false };
        match &mut self.room {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        self.bytes.reserve_exact(capacity - self.bytes.len());
        true
    }
}

/// A whole message, with room in memory for it until this goes.
#[derive(Debug)]
pub(crate) struct Settled {
    source: Source,
    len: u64,
    _room: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum Source {
    Memory(Vec<u8>),
    File(File),
}

impl Settled {
    /// The octets behind `prefix`. Blocks.
    pub(crate) fn read(&mut self, prefix: &[u8]) -> Result<Vec<u8>, WriteError> {
        match &mut self.source {
            Source::Memory(bytes) if prefix.is_empty() => Ok(std::mem::take(bytes)),
            Source::Memory(bytes) => Ok([prefix, bytes.as_slice()].concat()),
            Source::File(file) => read_behind(file, self.len, prefix).map_err(failed),
        }
    }
}

fn read_behind(file: &File, len: u64, prefix: &[u8]) -> io::Result<Vec<u8>> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(prefix.len() + len);
    bytes.extend_from_slice(prefix);
    bytes.resize(prefix.len() + len, 0);
    let (_, rest) = bytes.split_at_mut(prefix.len());
    file.read_exact_at(rest, 0)?;
    Ok(bytes)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WriteError> + Send + 'static,
) -> Result<T, WriteError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(broken()))
}

fn failed(error: io::Error) -> WriteError {
    WriteError::Unavailable(format!("the spool file cannot be written or read: {error}"))
}

fn broken() -> WriteError {
    WriteError::Unavailable("the message was not taken in whole".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use redoubt_log::disk::RealDisk;

    use super::*;

    fn room(dir: &std::path::Path, memory: u64) -> Arc<SpoolRoom> {
        let reserve = Arc::new(Reserve::new(Arc::new(RealDisk), dir.to_path_buf()));
        Arc::new(SpoolRoom::new(dir.to_path_buf(), 8 << 20, memory, reserve))
    }

    fn octets(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n / 7 % 251) as u8).collect()
    }

    async fn back(spool: Spool, prefix: &[u8]) -> Vec<u8> {
        spool.settle().await.unwrap().read(prefix).unwrap()
    }

    #[tokio::test]
    async fn any_size_comes_back_behind_its_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let room = room(dir.path(), 64 << 20);
        for len in [0, 1, 5000, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY + 17] {
            let message = octets(len);
            for piece in [1000, 200_000] {
                let mut spool = room.spool();
                for bytes in message.chunks(piece) {
                    spool.write(bytes).await.unwrap();
                }
                assert_eq!(spool.len(), len as u64);
                assert_eq!(
                    back(spool, b"Trace: x\r\n").await,
                    [b"Trace: x\r\n", &message[..]].concat()
                );
            }
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(room.memory.available_permits(), room.units);
    }

    #[tokio::test]
    async fn a_message_above_the_limit_is_refused_and_holds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let room = room(dir.path(), 64 << 20);
        let mut spool = room.spool();
        spool.write(&octets(8 << 20)).await.unwrap();
        let refused = spool.write(b"x").await;
        assert!(matches!(refused, Err(WriteError::TooLarge { limit, .. }) if limit == 8 << 20));
        assert_eq!(room.memory.available_permits(), room.units);
        assert!(spool.settle().await.is_err());
    }

    #[tokio::test]
    async fn who_finds_no_room_in_memory_goes_to_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let room = room(dir.path(), 1 << 20);
        let mut spools = Vec::new();
        for _ in 0..8 {
            let mut spool = room.spool();
            spool.write(&octets(300_000)).await.unwrap();
            spools.push(spool);
        }
        let files = spools.iter().filter(|spool| matches!(spool.state, State::File(_))).count();
        assert_eq!(files, 6);
        for spool in spools {
            assert_eq!(back(spool, b"").await, octets(300_000));
        }
    }
}
