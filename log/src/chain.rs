//! The hash chain and the Merkle tree over a shard's entries.
//!
//! Pure: both are functions of the entries alone, so that all replicas agree.
//! The tree is that of RFC 6962 section 2.1 with BLAKE3 in place of SHA-256.
//! docs/format.md, "Chain", has the hashed bytes one by one.
//!
//! Invariants of a [`Head`]: its tree has as many leaves as entries were ever
//! appended to this lineage, and one peak for each bit of that number.

use crate::id::{Hash, LogIndex, Term, Timestamp};

mod grove;
mod proof;

pub use grove::{BLOCK, Grove, Leaves};
pub use proof::{inclusion_proof, root_of, verify_consistency, verify_inclusion};

/// Separates leaves, nodes, links and contents: the first byte of what is hashed.
/// RFC 6962 section 2.1 has the first two.
pub const LEAF_PREFIX: u8 = 0;
/// See [`LEAF_PREFIX`].
pub const NODE_PREFIX: u8 = 1;
/// See [`LEAF_PREFIX`].
pub const LINK_PREFIX: u8 = 2;
/// See [`LEAF_PREFIX`].
pub const CONTENT_PREFIX: u8 = 3;

/// The hash of a payload. For a record the payload begins with its salt, so
/// that whoever has the hash alone cannot guess the record.
pub fn content(payload: &[u8]) -> Hash {
    hash(&[&[CONTENT_PREFIX], payload])
}

/// The hash that stands for an entry in the chain and in the tree.
pub fn leaf(term: Term, index: LogIndex, kind: u8, time: Timestamp, content: &Hash) -> Hash {
    hash(&[
        &[LEAF_PREFIX],
        &term.0.to_le_bytes(),
        &index.0.to_le_bytes(),
        &[kind],
        &time.0.to_le_bytes(),
        &content.0,
    ])
}

/// The chain after an entry, from the chain before it.
pub fn link(before: &Hash, leaf: &Hash) -> Hash {
    hash(&[&[LINK_PREFIX], &before.0, &leaf.0])
}

/// An inner node of the tree.
fn node(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[NODE_PREFIX], &left.0, &right.0])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    Hash(*hasher.finalize().as_bytes())
}

/// Everything that the next entry's time and hashes depend on: the state of
/// the chain after some entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// The running chain; all zero before the first entry.
    pub chain: Hash,
    /// The effective time of the last entry; that of the next is never before it.
    pub time: Timestamp,
    /// The tree over all leaves.
    pub tree: Tree,
}

impl Head {
    /// Goes on by one entry.
    pub fn push(&mut self, time: Timestamp, leaf: &Hash) {
        self.chain = link(&self.chain, leaf);
        self.time = time;
        self.tree.push(*leaf);
    }

    /// The Merkle tree's root (RFC 6962 section 2.1).
    pub fn root(&self) -> Hash {
        self.tree.root()
    }
}

/// An append-only Merkle tree, of which only the peaks are kept: the roots of
/// the complete subtrees, the largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    size: u64,
    peaks: Vec<Hash>,
}

impl Tree {
    /// From what [`Tree::size`] and [`Tree::peaks`] gave; `None` when they do not fit.
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// Leaves in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The peaks, as many as [`Tree::size`] has bits set.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut top = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().unwrap_or_default();
            top = node(&left, &top);
        }
        self.peaks.push(top);
        self.size += 1;
    }

    /// The root; of an empty tree the hash of nothing (RFC 6962 section 2.1).
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return hash(&[]) };
        peaks.fold(*last, |right, left| node(left, &right))
    }
}

#[cfg(test)]
mod tests;
