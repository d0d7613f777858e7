//! What was seen of peers: a node whose disk was restored from an older image, or
//! copied, says less than it once said, and is refused.
//!
//! Invariant: only what can never be taken back is kept: how often a node was
//! started, entries that are committed and durable there, the term of a durable vote.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::disk::Disk;
use crate::id::{NodeId, Term};
use crate::raft::wire::Refusal;
use crate::segment::LogId;

/// The most octets of the file.
const MAX_FILE: u64 = 1 << 20;

/// What a node once said of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trace {
    /// How often it was started.
    pub(crate) incarnation: u64,
    /// The last entry known to be committed and durable there.
    pub(crate) durable: Option<LogId>,
    /// The term of its durable vote.
    pub(crate) term: Term,
}

/// The file, and what is in it.
#[derive(Debug)]
pub(crate) struct Seen {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    state: Mutex<State>,
    /// One writer at a time.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    traces: BTreeMap<NodeId, Trace>,
    dirty: bool,
}

impl Seen {
    /// Reads the file, if there is one. Blocks. A damaged one is begun anew: it
    /// guards against mistakes of others, and a fresh one is filled within seconds.
    pub(crate) fn open(disk: Arc<dyn Disk>, path: &Path) -> Self {
        let traces = match read(&*disk, path) {
            Ok(traces) => traces,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "what was seen of peers is begun anew");
                BTreeMap::new()
            }
        };
        let state = Mutex::new(State { traces, dirty: false });
        Self { disk, path: path.to_owned(), state, writing: Mutex::default() }
    }

    /// What was seen of a node.
    pub(crate) fn of(&self, node: NodeId) -> Trace {
        self.state.lock().traces.get(&node).copied().unwrap_or_default()
    }

    /// Whether what a node says of itself may be.
    ///
    /// # Errors
    /// Why the node is to be refused.
    pub(crate) fn check(&self, node: NodeId, said: &Trace) -> Result<(), Refusal> {
        let seen = self.of(node);
        if said.incarnation < seen.incarnation {
            let (seen, said) = (seen.incarnation, said.incarnation);
            return Err(Refusal::Incarnation { node, seen, said });
        }
        if let Some(durable) = seen.durable
            && said.durable.map(|id| id.index) < Some(durable.index)
        {
            return Err(Refusal::Restored { node, seen: durable, said: said.durable });
        }
        match said.term < seen.term {
            true => Err(Refusal::Forgot { node, seen: seen.term, said: said.term }),
            false => Ok(()),
        }
    }

    /// Remembers; says whether the node was started anew since.
    pub(crate) fn note(&self, node: NodeId, now: Trace) -> bool {
        let mut state = self.state.lock();
        let trace = state.traces.entry(node).or_default();
        let before = *trace;
        trace.incarnation = trace.incarnation.max(now.incarnation);
        trace.durable = trace.durable.max(now.durable);
        trace.term = trace.term.max(now.term);
        let (changed, anew) = (*trace != before, trace.incarnation != before.incarnation);
        state.dirty |= changed;
        anew
    }

    /// Writes the file, if there is anything new. Blocks.
    pub(crate) fn save(&self) {
        let _one = self.writing.lock();
        let traces = {
            let mut state = self.state.lock();
            if !std::mem::take(&mut state.dirty) {
                return;
            }
            state.traces.clone()
        };
        if let Err(error) = write(&*self.disk, &self.path, &traces) {
            tracing::warn!(file = %self.path.display(), %error, "what was seen of peers is not kept");
            self.state.lock().dirty = true;
        }
    }
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<BTreeMap<NodeId, Trace>> {
    let file = disk.open(path)?;
    let len = file.len()?.min(MAX_FILE);
    let mut octets = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_exact_at(&mut octets, 0)?;
    let wrong = || io::Error::other("it is damaged");
    let (body, crc) = octets.split_last_chunk::<4>().ok_or_else(wrong)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(wrong());
    }
    codec::from_bytes(body).map_err(io::Error::other)
}

fn write(disk: &dyn Disk, path: &Path, traces: &BTreeMap<NodeId, Trace>) -> io::Result<()> {
    let mut octets = codec::to_bytes(traces).map_err(io::Error::other)?;
    octets.extend_from_slice(&crc32c::crc32c(&octets).to_le_bytes());
    let (new, dir) = (path.with_extension("new"), path.parent().unwrap_or(Path::new("/")));
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&new)?;
    file.write_all_at(&octets, 0)?;
    file.sync_data()?;
    disk.rename(&new, path)?;
    disk.sync_dir(dir)
}
