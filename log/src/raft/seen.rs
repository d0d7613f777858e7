//! What was seen of peers: a node whose disk was restored from an older image, or
//! copied, says less than it once said or did, and is refused.
//!
//! Invariants: only what can never be taken back by an honest node is kept: how
//! often it was started and by which start, entries that it acknowledged, the term
//! of a durable vote. What one start of a node did is held against later starts
//! only: its own greetings may have been on their way while it did it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::disk::{Disk, replace};
use crate::id::{NodeId, Term};
use crate::raft::wire::Refusal;
use crate::segment::LogId;
use crate::world::{self, Mutation};

/// The most octets of the file.
const MAX_FILE: u64 = 1 << 20;
/// In front of the file's second shape; the first had nothing in front.
const SECOND: &[u8] = b"SEEN2";

/// One start of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Life {
    /// How often the node was started, as its disk says.
    pub(crate) incarnation: u64,
    /// Random; 0 is not known, as of the releases before.
    pub(crate) nonce: u64,
}

impl Life {
    /// Whether both are one start, as far as is known.
    fn is(self, other: Self) -> bool {
        let unknown = self.nonce == 0 || other.nonce == 0;
        self.incarnation == other.incarnation && (unknown || self.nonce == other.nonce)
    }
}

/// What a node says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) life: Life,
    /// The last entry that is durable there.
    pub(crate) durable: Option<LogId>,
    /// The term of its durable vote.
    pub(crate) term: Term,
}

/// What a node has shown that it had on its disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// The highest term that it voted or followed in.
    pub(crate) term: Term,
    /// The last entry that was durable there in that term: no leader of that term
    /// cuts anything off, a later one may, unless it is committed.
    pub(crate) acked: Option<LogId>,
    /// The last entry that was durable there and is committed.
    pub(crate) durable: Option<LogId>,
}

impl Shown {
    /// A vote, or that a leader was followed.
    pub(crate) fn term(term: Term) -> Self {
        Self { term, ..Self::default() }
    }

    /// An entry that is durable there in a term.
    pub(crate) fn acked(term: Term, id: Option<LogId>) -> Self {
        Self { term, acked: id, durable: None }
    }

    fn add(&mut self, more: &Self) {
        // Whoever voted in a later term had all that it acknowledged in an earlier one.
        match more.term.cmp(&self.term) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => self.acked = self.acked.max(more.acked),
            std::cmp::Ordering::Greater => (self.term, self.acked) = (more.term, more.acked),
        }
        self.durable = self.durable.max(more.durable);
    }
}

/// What is known of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Known {
    /// Its latest start.
    life: Life,
    /// What that start has shown.
    now: Shown,
    /// What those before it had shown.
    past: Shown,
    /// Why it is refused from now on, whatever it says.
    condemned: Option<Refusal>,
}

impl Known {
    fn all(&self) -> Shown {
        let mut all = self.past;
        all.add(&self.now);
        all
    }

    /// Another start of the node takes over.
    fn begins(&mut self, life: Life) {
        (self.past, self.now, self.life) = (self.all(), Shown::default(), life);
    }

    fn check(&self, node: NodeId, said: &Trace, committed: &dyn Fn(LogId) -> bool) -> Checked {
        if let Some(why) = &self.condemned {
            return Err(why.clone());
        }
        let (seen, now) = (self.life, said.life);
        if now.incarnation < seen.incarnation {
            let (seen, said) = (seen.incarnation, now.incarnation);
            return Err(Refusal::Incarnation { node, seen, said });
        }
        if now.incarnation == seen.incarnation && !now.is(seen) {
            let (incarnation, seen) = (seen.incarnation, seen.nonce);
            return Err(Refusal::Twice { node, incarnation, seen });
        }
        let shown = if now.is(seen) { self.past } else { self.all() };
        let acked = shown.acked.filter(|id| said.term == shown.term || committed(*id));
        if said.term < shown.term {
            return Err(Refusal::Forgot { node, seen: shown.term, said: said.term });
        }
        match shown.durable.max(acked) {
            Some(seen) if said.durable.map(|id| id.index) < Some(seen.index) => {
                Err(Refusal::Restored { node, seen, said: said.durable })
            }
            _ => Ok(()),
        }
    }
}

type Checked = Result<(), Refusal>;

/// What is kept of one node.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    life: Life,
    shown: Shown,
}

/// What the first shape of the file kept of one node.
#[derive(Debug, Serialize, Deserialize)]
struct KeptFirst {
    incarnation: u64,
    durable: Option<LogId>,
    term: Term,
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
    nodes: BTreeMap<NodeId, Known>,
    dirty: bool,
}

impl Seen {
    /// Reads the file, if there is one. Blocks. A damaged one is begun anew: it
    /// guards against mistakes of others, and a fresh one is filled within seconds.
    pub(crate) fn open(disk: Arc<dyn Disk>, path: &Path) -> Self {
        let nodes = match read(&*disk, path) {
            Ok(nodes) => nodes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "what was seen of peers is begun anew");
                BTreeMap::new()
            }
        };
        let state = Mutex::new(State { nodes, dirty: false });
        Self { disk, path: path.to_owned(), state, writing: Mutex::default() }
    }

    /// Whether what a node says of itself may be. `committed` says whether an entry is
    /// in this node's log and committed.
    ///
    /// # Errors
    /// Why the node is to be refused.
    pub(crate) fn check(
        &self,
        node: NodeId,
        said: &Trace,
        committed: &dyn Fn(LogId) -> bool,
    ) -> Checked {
        if world::breaks(Mutation::RestoredLetIn) {
            return Ok(());
        }
        let known = self.state.lock().nodes.get(&node).cloned().unwrap_or_default();
        known.check(node, said, committed)
    }

    /// A node that was found good has greeted: whether it was started anew since.
    pub(crate) fn greeted(&self, node: NodeId, life: Life, term: Term) -> bool {
        let mut state = self.state.lock();
        let known = state.nodes.entry(node).or_default();
        let anew = !life.is(known.life);
        let before = known.clone();
        match anew {
            true => known.begins(life),
            false => known.life.nonce = known.life.nonce.max(life.nonce),
        }
        known.now.add(&Shown::term(term));
        let changed = *known != before;
        state.dirty |= changed;
        anew
    }

    /// Remembers what a start of a node has shown that it has.
    pub(crate) fn note(&self, node: NodeId, life: Life, shown: &Shown) {
        let mut state = self.state.lock();
        let known = state.nodes.entry(node).or_default();
        let part = if life.is(known.life) { &mut known.now } else { &mut known.past };
        let before = *part;
        part.add(shown);
        let changed = *part != before;
        state.dirty |= changed;
    }

    /// Keeps for good what was acknowledged and is committed by now.
    pub(crate) fn settle(&self, committed: &dyn Fn(LogId) -> bool) {
        let mut state = self.state.lock();
        let State { nodes, dirty } = &mut *state;
        for shown in nodes.values_mut().flat_map(|known| [&mut known.now, &mut known.past]) {
            let settled = shown.acked.filter(|id| Some(*id) > shown.durable && committed(*id));
            *dirty |= settled.is_some();
            shown.durable = shown.durable.max(settled);
        }
    }

    /// What a node has acknowledged to the leader of a term.
    pub(crate) fn acked(&self, node: NodeId, term: Term) -> Option<LogId> {
        if world::breaks(Mutation::RestoredLetIn) {
            return None;
        }
        let state = self.state.lock();
        let all = state.nodes.get(&node).map(Known::all)?;
        all.acked.filter(|_| all.term == term)
    }

    /// All that a node has shown so far.
    #[cfg(test)]
    pub(crate) fn of(&self, node: NodeId) -> Shown {
        self.state.lock().nodes.get(&node).map(Known::all).unwrap_or_default()
    }

    /// Refuses a node until this one is started anew; says whether it was not before.
    pub(crate) fn condemn(&self, node: NodeId, why: Refusal) -> bool {
        let mut state = self.state.lock();
        state.nodes.entry(node).or_default().condemned.replace(why).is_none()
    }

    /// Writes the file, if there is anything new. Blocks.
    pub(crate) fn save(&self) {
        let _one = self.writing.lock();
        let nodes: BTreeMap<NodeId, Kept> = {
            let mut state = self.state.lock();
            if !std::mem::take(&mut state.dirty) {
                return;
            }
            let kept = |known: &Known| Kept { life: known.life, shown: known.all() };
            state.nodes.iter().map(|(node, known)| (*node, kept(known))).collect()
        };
        if let Err(error) = write(&*self.disk, &self.path, &nodes) {
            tracing::warn!(file = %self.path.display(), %error, "what was seen of peers is not kept");
            self.state.lock().dirty = true;
        }
    }
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<BTreeMap<NodeId, Known>> {
    let file = disk.open(path)?;
    let len = file.len()?.min(MAX_FILE);
    let mut octets = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_exact_at(&mut octets, 0)?;
    let wrong = || io::Error::other("it is damaged");
    let (body, crc) = octets.split_last_chunk::<4>().ok_or_else(wrong)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(wrong());
    }
    let kept: BTreeMap<NodeId, Kept> = match body.strip_prefix(SECOND) {
        Some(body) => codec::from_bytes(body).map_err(io::Error::other)?,
        None => of_first(codec::from_bytes(body).map_err(io::Error::other)?),
    };
    let known = |Kept { life, shown }| Known { life, past: shown, ..Known::default() };
    Ok(kept.into_iter().map(|(node, kept)| (node, known(kept))).collect())
}

fn of_first(nodes: BTreeMap<NodeId, KeptFirst>) -> BTreeMap<NodeId, Kept> {
    let kept = |KeptFirst { incarnation, durable, term }| Kept {
        life: Life { incarnation, nonce: 0 },
        shown: Shown { term, acked: None, durable },
    };
    nodes.into_iter().map(|(node, first)| (node, kept(first))).collect()
}

fn write(disk: &dyn Disk, path: &Path, nodes: &BTreeMap<NodeId, Kept>) -> io::Result<()> {
    let mut octets = SECOND.to_vec();
    octets.extend(codec::to_bytes(nodes).map_err(io::Error::other)?);
    octets.extend_from_slice(&crc32c::crc32c(&octets).to_le_bytes());
    replace(disk, path, &path.with_extension("new"), &octets)
}
