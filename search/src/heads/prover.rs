//! Records with what proves that the log has them: read from this node's own log, once from its
//! beginning (or from where it was purged) on, and then only what was added.

use std::ops::Range;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use redoubt_log::chain::{self, BLOCK, Grove};
use redoubt_log::id::{Hash, LogIndex, Term, Timestamp};
use redoubt_log::segment::LogEntry;
use redoubt_store::mailstore::Mailstore;
use serde::{Deserialize, Serialize};

use super::keys::HeadError;

/// Octets of the log that are read at one time.
const READ: usize = 4 << 20;
/// Blocks of leaves that are remembered.
const BLOCKS: usize = 8;

/// A record, or why it is not proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// Its index in the log.
    pub index: u64,
    /// What shows that it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// Why there is no proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<String>,
}

/// All that a leaf is made of, and the way from it to a root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The term in which it was proposed.
    pub term: u64,
    /// What its payload is: 2 for a record.
    pub kind: u8,
    /// The effective time in milliseconds of Unix time.
    pub time: i64,
    /// Its place among the leaves.
    pub position: u64,
    /// Salt and encoded record, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// In place of the payload: its hash, which does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Hash>,
    /// The hashes beside the way to the root, the lowest first, in hexadecimal.
    pub path: Vec<Hash>,
}

impl Proof {
    /// The payload's octets; `None` where it is left out, or does not read.
    pub fn octets(&self) -> Option<Vec<u8>> {
        STANDARD.decode(self.payload.as_ref()?).ok()
    }

    /// Leaves the payload out: what is left shows that there is such a record, and not what it
    /// says.
    pub fn withhold(&mut self) {
        if let Some(octets) = self.octets() {
            (self.payload, self.content) = (None, Some(chain::content(&octets)));
        }
    }

    fn leaf_content(&self) -> Option<Hash> {
        match (&self.payload, self.content) {
            (None, Some(content)) => Some(content),
            (Some(_), None) => self.octets().map(|octets| chain::content(&octets)),
            _ => None,
        }
    }

    /// Whether this is the entry with this index under a root over so many leaves.
    pub fn holds(&self, index: LogIndex, size: u64, root: &Hash) -> bool {
        let Some(content) = self.leaf_content() else { return false };
        let leaf = chain::leaf(Term(self.term), index, self.kind, Timestamp(self.time), &content);
        chain::verify_inclusion(&leaf, self.position, size, &self.path, root)
    }
}

/// Proves records of one node's log. Clones share what was read.
#[derive(Clone)]
pub struct Prover {
    store: Mailstore,
    tree: Arc<Mutex<Option<Read>>>,
}

impl std::fmt::Debug for Prover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prover").finish_non_exhaustive()
    }
}

impl Prover {
    /// For this node's log; nothing is read yet.
    pub fn new(store: Mailstore) -> Self {
        Self { store, tree: Arc::default() }
    }

    /// A record with its proof under the head after `upto`. What this node's log has not any
    /// more is said to be unproven. Quickest by rising index. Blocks on files.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn prove(&self, index: LogIndex, upto: LogIndex) -> Result<Proven, HeadError> {
        let mut tree = self.tree.lock();
        let read = Read::reached(&mut tree, &self.store, upto)?;
        let unproven =
            |why: &str| Ok(Proven { index: index.0, proof: None, unproven: Some(why.to_owned()) });
        if index < read.leaves.first_index {
            return unproven("the log of the node that exported does not reach back to it");
        }
        let Some(entry) = entries(&self.store, index..after(index))?.pop() else {
            return unproven("the log has no such entry");
        };
        let size = self.size(upto)?;
        let (grove, leaves) = (&read.grove, &mut read.leaves);
        let path = grove.inclusion(entry.position, size, &mut |r| leaves.of(&self.store, r))?;
        match path {
            Some(path) => {
                Ok(Proven { index: index.0, proof: Some(proof(&entry, path)), unproven: None })
            }
            None => unproven("it came after the head"),
        }
    }

    /// The hashes that show that the tree of `old` leaves is the beginning of that after `upto`;
    /// `None` where the log does not say any more. Blocks on files.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn consistency(&self, old: u64, upto: LogIndex) -> Result<Option<Vec<Hash>>, HeadError> {
        let mut tree = self.tree.lock();
        let read = Read::reached(&mut tree, &self.store, upto)?;
        let size = self.size(upto)?;
        let (grove, leaves) = (&read.grove, &mut read.leaves);
        grove.consistency(old, size, &mut |range| leaves.of(&self.store, range))
    }

    fn size(&self, upto: LogIndex) -> Result<u64, HeadError> {
        let head = self.store.node().head_at(upto);
        Ok(head.map_err(|error| HeadError::Log(error.to_string()))?.tree.size())
    }
}

/// The tree as far as it was read.
struct Read {
    grove: Grove,
    leaves: LeavesRead,
    /// The entry that is read next.
    next: LogIndex,
}

impl Read {
    /// The tree up to and with an entry; begun anew where the log was purged in the meantime.
    fn reached<'t>(
        tree: &'t mut Option<Self>,
        store: &Mailstore,
        upto: LogIndex,
    ) -> Result<&'t mut Self, HeadError> {
        let purged = store.node().status().purged.map(|purged| purged.index);
        let held = tree.take().filter(|read| purged.is_none_or(|p| p < read.leaves.first_index));
        let read = tree.insert(match held {
            Some(read) => read,
            None => Self::begin(store, purged)?,
        });
        read.go_on(store, upto)?;
        Ok(read)
    }

    fn begin(store: &Mailstore, purged: Option<LogIndex>) -> Result<Self, HeadError> {
        let base = match purged {
            Some(purged) => {
                let head = store.node().head_at(purged);
                head.map_err(|error| HeadError::Log(error.to_string()))?.tree
            }
            None => chain::Tree::default(),
        };
        let first_index = purged.map_or(LogIndex(0), after);
        let leaves = LeavesRead { first_index, first_position: base.size(), blocks: Vec::new() };
        Ok(Self { grove: Grove::new(base), leaves, next: first_index })
    }

    fn go_on(&mut self, store: &Mailstore, upto: LogIndex) -> Result<(), HeadError> {
        while self.next <= upto {
            let read = entries(store, self.next..after(upto))?;
            if read.is_empty() {
                return Err(HeadError::Log(format!("entry {} is not there", self.next)));
            }
            for entry in &read {
                self.grove.push(leaf(entry));
                self.next = after(entry.id.index);
            }
        }
        Ok(())
    }
}

/// Leaves by their places, a few blocks of them remembered.
struct LeavesRead {
    /// The first entry that can be read, and its place.
    first_index: LogIndex,
    first_position: u64,
    blocks: Vec<(u64, Vec<Hash>)>,
}

impl LeavesRead {
    /// Leaves of one block.
    fn of(&mut self, store: &Mailstore, range: Range<u64>) -> Result<Vec<Hash>, HeadError> {
        if let Some(found) = self.remembered(&range) {
            return Ok(found);
        }
        let begin = (range.start - range.start % BLOCK).max(self.first_position);
        let leaves = self.read(store, begin)?;
        self.blocks.retain(|(first, _)| *first != begin);
        if self.blocks.len() >= BLOCKS {
            self.blocks.remove(0);
        }
        self.blocks.push((begin, leaves));
        Ok(self.remembered(&range).unwrap_or_default())
    }

    fn remembered(&self, range: &Range<u64>) -> Option<Vec<Hash>> {
        self.blocks.iter().find_map(|(first, leaves)| {
            let from = usize::try_from(range.start.checked_sub(*first)?).ok()?;
            let to = usize::try_from(range.end.checked_sub(*first)?).ok()?;
            Some(leaves.get(from..to)?.to_vec())
        })
    }

    /// From a place to the end of its block, or of the log.
    fn read(&self, store: &Mailstore, begin: u64) -> Result<Vec<Hash>, HeadError> {
        let index = |position: u64| LogIndex(self.first_index.0 + (position - self.first_position));
        let (mut next, end) = (index(begin), index(begin - begin % BLOCK + BLOCK));
        let mut leaves = Vec::new();
        while next < end {
            let read = entries(store, next..end)?;
            let Some(last) = read.last() else { break };
            next = after(last.id.index);
            leaves.extend(read.iter().map(leaf));
        }
        Ok(leaves)
    }
}

fn after(index: LogIndex) -> LogIndex {
    LogIndex(index.0.saturating_add(1))
}

fn entries(store: &Mailstore, range: Range<LogIndex>) -> Result<Vec<LogEntry>, HeadError> {
    store.node().read(range, READ).map_err(|error| HeadError::Log(error.to_string()))
}

fn leaf(entry: &LogEntry) -> Hash {
    let content = chain::content(&entry.payload);
    chain::leaf(entry.id.term, entry.id.index, entry.kind as u8, entry.time, &content)
}

fn proof(entry: &LogEntry, path: Vec<Hash>) -> Proof {
    Proof {
        term: entry.id.term.0,
        kind: entry.kind as u8,
        time: entry.time.0,
        position: entry.position,
        payload: Some(STANDARD.encode(&entry.payload)),
        content: None,
        path,
    }
}
