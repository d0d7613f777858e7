//! The state of a light voter: how far the log was applied, and nothing of what it
//! says. It lets a node without views keep log and blobs, vote, and begin its log
//! anew behind a snapshot.
//!
//! Invariants: the file is never ahead of the log, but for a checkpoint that was
//! installed; the head is that of the entries alone, and equals the log's chain.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::chain::{self, Head};
use crate::codec;
use crate::disk::{Disk, replace};
use crate::raft::state_machine::{
    AppliedState, Checkpoint, Committed, Fatal, StateMachine, StoredState,
};
use crate::record::Outcome;

/// Entries after which the file is written anew: what a start applies again.
const EVERY: u64 = 10_000;
/// The file is some hundreds of bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A state that keeps no views.
#[derive(Debug)]
pub struct LightState {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    now: Option<Progress>,
    saved: Option<Progress>,
    /// The last checkpoint from a peer, until an entry behind it is applied.
    installed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Progress {
    state: AppliedState,
    head: Head,
}

impl Progress {
    fn checkpoint(&self) -> Checkpoint {
        let Self { state, head } = self.clone();
        Checkpoint { state, head, location: PathBuf::new() }
    }
}

/// What is in the file, behind its BLAKE3. A change of its shape gets a new number.
#[derive(Serialize, Deserialize)]
enum Saved {
    V1 { state: StoredState, installed: bool },
}

impl LightState {
    /// As the last process left it in this file, which need not be there. Blocks.
    ///
    /// # Errors
    /// The disk's; also when the file is damaged: remove it, the log is then read
    /// from its start.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> io::Result<Self> {
        let read = match read(&*disk, path)? {
            None => None,
            Some(bytes) => Some(parse(&bytes).ok_or_else(|| {
                let what = "is damaged: remove it, and the log is read from its start";
                io::Error::other(format!("{} {what}", path.display()))
            })?),
        };
        let (saved, installed) = read.map_or((None, false), |(p, installed)| (Some(p), installed));
        Ok(Self { disk, path: path.to_path_buf(), now: saved.clone(), saved, installed })
    }

    fn save(&mut self) -> Result<(), Fatal> {
        if self.now != self.saved {
            let written = self.now.as_ref().map(|now| self.write(now)).transpose();
            written.map_err(|error| Fatal(format!("{}: {error}", self.path.display())))?;
            self.saved = self.now.clone();
        }
        Ok(())
    }

    fn write(&self, now: &Progress) -> io::Result<()> {
        let state = StoredState::of(&now.state, &now.head);
        let saved = Saved::V1 { state, installed: self.installed };
        let text = codec::to_bytes(&saved).map_err(io::Error::other)?;
        let bytes = [blake3::hash(&text).as_bytes().as_slice(), &text].concat();
        replace(&*self.disk, &self.path, &self.path.with_extension("new"), &bytes)
    }

    fn due(&self) -> bool {
        let index = |progress: &Option<Progress>| {
            progress.as_ref().map_or(0, |progress| progress.state.id.index.0 + 1)
        };
        index(&self.now) >= index(&self.saved) + EVERY
    }
}

impl StateMachine for LightState {
    fn applied(&mut self) -> Result<Option<AppliedState>, Fatal> {
        Ok(self.now.as_ref().map(|now| now.state.clone()))
    }

    fn apply(&mut self, entry: Committed) -> Result<Option<Outcome>, Fatal> {
        let (state, entry) = (entry.state(), &entry.entry);
        let mut head = self.now.take().map(|now| now.head).unwrap_or_default();
        let content = chain::content(&entry.payload);
        let leaf =
            chain::leaf(entry.id.term, entry.id.index, entry.kind as u8, entry.time, &content);
        head.push(entry.time, &leaf);
        if head.chain != state.chain {
            return Err(Fatal(format!(
                "at {} the log has another chain than was applied",
                state.id
            )));
        }
        self.installed = false;
        self.now = Some(Progress { state, head });
        match self.due() {
            true => self.save().map(|()| None),
            false => Ok(None),
        }
    }

    fn has_outcomes(&self) -> bool {
        false
    }

    fn flush(&mut self) -> Result<(), Fatal> {
        self.save()
    }

    /// Where the log may begin. It cannot be given to others.
    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, Fatal> {
        self.save()?;
        Ok(self.saved.as_ref().map(Progress::checkpoint))
    }

    fn installed(&mut self) -> Result<Option<Checkpoint>, Fatal> {
        Ok(self.saved.as_ref().filter(|_| self.installed).map(Progress::checkpoint))
    }

    fn install(&mut self, checkpoint: &Checkpoint) -> Result<(), Fatal> {
        let (state, head) = (checkpoint.state.clone(), checkpoint.head.clone());
        self.now = Some(Progress { state, head });
        self.installed = true;
        self.save()
    }
}

fn parse(bytes: &[u8]) -> Option<(Progress, bool)> {
    let (hash, text) = bytes.split_first_chunk::<32>()?;
    if blake3::hash(text).as_bytes() != hash {
        return None;
    }
    let Saved::V1 { state, installed } = codec::from_bytes(text).ok()?;
    let (state, head) = state.read()?;
    Some((Progress { state, head }, installed))
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let len = file.len()?.min(MAX_BYTES);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Some(bytes))
}
