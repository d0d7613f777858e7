//! The tree at any size that it ever had: roots, inclusion and consistency proofs.
//!
//! Of 256 leaves only the root over them is kept, and what stands above: a quarter of an octet
//! for each leaf. The leaves themselves are asked for where a proof goes down to them. Where the
//! log's beginning is purged, the peaks that were kept stand for it: nothing that is purged can
//! be proven, all that follows can.

use std::ops::Range;

use super::{Hash, Tree, node};

/// Leaves that one kept node stands for, as a power of two.
const KEPT: u32 = 8;
/// Leaves that are asked for at one time.
pub const BLOCK: u64 = 1 << KEPT;

/// Nodes of one level, from one on.
#[derive(Debug, Clone, Default)]
struct Level {
    first: u64,
    nodes: Vec<Hash>,
}

/// Gives the leaves at these positions, which lie within one block and are in the grove.
pub type Leaves<'a, E> = &'a mut dyn FnMut(Range<u64>) -> Result<Vec<Hash>, E>;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Grove {
    base: Tree,
    tree: Tree,
    levels: Vec<Level>,
}

impl Grove {
    /// Begins with the tree over what is purged.
    pub fn new(base: Tree) -> Self {
        Self { tree: base.clone(), base, levels: Vec::new() }
    }

    /// Leaves in all.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The first leaf that can be proven.
    pub fn first(&self) -> u64 {
        self.base.size()
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let position = self.tree.size();
        let mut left: Vec<Hash> = self.tree.peaks().to_vec();
        self.tree.push(leaf);
        let mut top = leaf;
        for level in 1..=position.trailing_ones() {
            top = node(&left.pop().unwrap_or_default(), &top);
            if level >= KEPT {
                self.keep(level, position >> level, top);
            }
        }
    }

    fn keep(&mut self, level: u32, number: u64, hash: Hash) {
        let place = (level - KEPT) as usize;
        if self.levels.len() <= place {
            self.levels.resize_with(place + 1, Level::default);
        }
        if let Some(level) = self.levels.get_mut(place) {
            if level.nodes.is_empty() {
                level.first = number;
            }
            level.nodes.push(hash);
        }
    }

    /// The root over the first `size` leaves; `None` where the tree never had that size, or what
    /// it needs is purged.
    ///
    /// # Errors
    /// Those of `leaves`.
    pub fn root<E>(&self, size: u64, leaves: Leaves<'_, E>) -> Result<Option<Hash>, E> {
        match size {
            0 => Ok(Some(Tree::default().root())),
            _ => self.over(&(0..size), leaves),
        }
    }

    /// The hashes that lead from the leaf at `position` to the root over the first `size` leaves,
    /// the lowest first (RFC 6962 section 2.1.1). `None` where there is no such leaf, or it is
    /// purged.
    ///
    /// # Errors
    /// Those of `leaves`.
    pub fn inclusion<E>(
        &self,
        position: u64,
        size: u64,
        leaves: Leaves<'_, E>,
    ) -> Result<Option<Vec<Hash>>, E> {
        if position >= size || size > self.size() || position < self.first() {
            return Ok(None);
        }
        self.all(&siblings(position, size), leaves)
    }

    /// The hashes that show that the tree of `old` leaves is the beginning of that of `size`
    /// (RFC 6962 section 2.1.2). `None` where there are no such trees, or what it needs is purged.
    ///
    /// # Errors
    /// Those of `leaves`.
    pub fn consistency<E>(
        &self,
        old: u64,
        size: u64,
        leaves: Leaves<'_, E>,
    ) -> Result<Option<Vec<Hash>>, E> {
        if old == 0 || old > size || size > self.size() {
            return Ok(None);
        }
        self.all(&pillars(old, size), leaves)
    }

    fn all<E>(&self, ranges: &[Range<u64>], leaves: Leaves<'_, E>) -> Result<Option<Vec<Hash>>, E> {
        let mut found = Vec::with_capacity(ranges.len());
        for range in ranges {
            let Some(hash) = self.over(range, leaves)? else { return Ok(None) };
            found.push(hash);
        }
        Ok(Some(found))
    }

    /// The root over leaves of which the first stands where a subtree of that many begins.
    fn over<E>(&self, range: &Range<u64>, leaves: Leaves<'_, E>) -> Result<Option<Hash>, E> {
        if range.end > self.size() {
            return Ok(None);
        }
        let mut peaks = Vec::new();
        let mut from = range.start;
        while from < range.end {
            let level = (range.end - from).ilog2();
            let Some(peak) = self.node(level, from >> level, leaves)? else { return Ok(None) };
            peaks.push(peak);
            from += 1 << level;
        }
        let mut peaks = peaks.into_iter().rev();
        let last = peaks.next();
        Ok(last.map(|last| peaks.fold(last, |right, left| node(&left, &right))))
    }

    /// A complete subtree's root.
    fn node<E>(&self, level: u32, number: u64, leaves: Leaves<'_, E>) -> Result<Option<Hash>, E> {
        if let Some(peak) = self.purged(level, number) {
            return Ok(Some(peak));
        }
        if ((number + 1) << level) <= self.first() {
            return Ok(None);
        }
        if level >= KEPT {
            return Ok(self.kept(level, number));
        }
        if level == 0 {
            return Ok(leaves(number..number + 1)?.first().copied());
        }
        let range = (number << level)..((number + 1) << level);
        if range.start >= self.first() {
            let below = leaves(range.clone())?;
            return Ok(
                (below.len() as u64 == range.end - range.start).then(|| super::root_of(&below))
            );
        }
        let left = self.node(level - 1, number * 2, leaves)?;
        let right = self.node(level - 1, number * 2 + 1, leaves)?;
        Ok(left.zip(right).map(|(left, right)| node(&left, &right)))
    }

    fn kept(&self, level: u32, number: u64) -> Option<Hash> {
        let level = self.levels.get((level - KEPT) as usize)?;
        let place = number.checked_sub(level.first)?;
        level.nodes.get(usize::try_from(place).ok()?).copied()
    }

    /// A peak over what is purged.
    fn purged(&self, level: u32, number: u64) -> Option<Hash> {
        let size = self.base.size();
        if size & (1 << level) == 0 || number != (size >> level) - 1 {
            return None;
        }
        let higher = (size >> level >> 1).count_ones() as usize;
        self.base.peaks().get(higher).copied()
    }
}

/// The subtrees beside the way from a leaf up, the lowest first.
fn siblings(position: u64, size: u64) -> Vec<Range<u64>> {
    let (mut found, mut range) = (Vec::new(), 0..size);
    while range.end - range.start > 1 {
        let middle = range.start + split(range.end - range.start);
        if position < middle {
            found.push(middle..range.end);
            range.end = middle;
        } else {
            found.push(range.start..middle);
            range.start = middle;
        }
    }
    found.reverse();
    found
}

/// The subtrees of a consistency proof, in its order.
fn pillars(old: u64, size: u64) -> Vec<Range<u64>> {
    let (mut found, mut range, mut whole) = (Vec::new(), 0..size, true);
    while range.end != old {
        let middle = range.start + split(range.end - range.start);
        if old <= middle {
            found.push(middle..range.end);
            range.end = middle;
        } else {
            found.push(range.start..middle);
            range.start = middle;
            whole = false;
        }
    }
    if !whole {
        found.push(range);
    }
    found.reverse();
    found
}

/// The largest power of two below `len`, for `len` of at least 2.
fn split(len: u64) -> u64 {
    1 << (len - 1).ilog2()
}
