//! Texts, each kept once and known by its number; and their order.
//!
//! Invariants: number 0 is the empty text; a text keeps its number; `ranks` are of the first
//! texts, as many as were there when they were ranked last, and agree with their octets' order.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// Texts by number.
#[derive(Debug)]
pub(super) struct Texts {
    octets: Vec<u8>,
    ends: Vec<u32>,
    numbers: HashTable<u32>,
    hasher: RandomState,
    /// Numbers in the order of their texts.
    order: Vec<u32>,
    ranks: Vec<u32>,
}

impl Default for Texts {
    fn default() -> Self {
        let mut texts = Self {
            octets: Vec::new(),
            ends: Vec::new(),
            numbers: HashTable::new(),
            hasher: RandomState::new(),
            order: Vec::new(),
            ranks: Vec::new(),
        };
        texts.number(b"");
        texts
    }
}

impl Texts {
    /// A text's number.
    pub(super) fn number(&mut self, text: &[u8]) -> u32 {
        let Self { octets, ends, numbers, hasher, .. } = self;
        let hash = hasher.hash_one(text);
        if let Some(number) = numbers.find(hash, |number| piece(octets, ends, *number) == text) {
            return *number;
        }
        let number = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        octets.extend_from_slice(text);
        ends.push(u32::try_from(octets.len()).unwrap_or(u32::MAX));
        let rehash = |number: &u32| hasher.hash_one(piece(octets, ends, *number));
        numbers.insert_unique(hash, number, rehash);
        number
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Octets of all of them.
    pub(super) fn octets(&self) -> usize {
        self.octets.len()
    }

    /// Whether [`Texts::rank`] knows all of them.
    pub(super) fn are_ranked(&self) -> bool {
        self.ranks.len() == self.ends.len()
    }

    /// Puts those that are new into the order of the others.
    pub(super) fn rank_all(&mut self) {
        if self.are_ranked() {
            return;
        }
        let (first, len) = (as_number(self.ranks.len()), as_number(self.ends.len()));
        let text = |number: &u32| piece(&self.octets, &self.ends, *number);
        let mut new: Vec<u32> = (first..len).collect();
        // By their first octets, at hand in a number, before the texts are looked up.
        new.sort_by_cached_key(|number| (head(text(number)), Reading(text(number))));
        let mut order = Vec::with_capacity(self.ends.len());
        let mut rest = self.order.as_slice();
        for number in new {
            let (before, behind) =
                rest.split_at(rest.partition_point(|other| text(other) < text(&number)));
            order.extend_from_slice(before);
            order.push(number);
            rest = behind;
        }
        order.extend_from_slice(rest);
        self.ranks.resize(self.ends.len(), 0);
        for (rank, number) in (0..).zip(&order) {
            if let Some(to) = self.ranks.get_mut(*number as usize) {
                *to = rank;
            }
        }
        self.order = order;
    }

    /// Where a text stands among all.
    pub(super) fn rank(&self, number: u32) -> u32 {
        self.ranks.get(number as usize).copied().unwrap_or(u32::MAX)
    }

    /// What they take in memory, about.
    pub(super) fn memory(&self) -> usize {
        let words = self.ends.capacity() + self.order.capacity() + self.ranks.capacity();
        // Of eight places one at the least is free, and each has an octet beside it.
        self.octets.capacity() + 4 * words + self.numbers.capacity() * 8 / 7 * 5
    }
}

/// Compares by what it borrows.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Reading<'a>(&'a [u8]);

fn as_number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The first eight octets, such that they compare as the text does.
fn head(text: &[u8]) -> u64 {
    let mut octets = [0; 8];
    octets.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(octets)
}

fn piece<'a>(octets: &'a [u8], ends: &[u32], number: u32) -> &'a [u8] {
    let end = |at: usize| ends.get(at).map_or(0, |end| *end as usize);
    let at = number as usize;
    let start = at.checked_sub(1).map_or(0, end);
    octets.get(start..end(at)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranks_are_those_of_the_texts_however_they_came(
            parts in prop::collection::vec(prop::collection::vec("[a-c\u{0}é]{0,12}", 0..9), 0..6),
        ) {
            let mut texts = Texts::default();
            let mut all: Vec<(String, u32)> = vec![(String::new(), 0)];
            for text in parts.iter().flatten() {
                all.push((text.clone(), texts.number(text.as_bytes())));
                if text.len() > 10 {
                    texts.rank_all();
                }
            }
            texts.rank_all();
            for (one, a) in &all {
                for (other, b) in &all {
                    prop_assert_eq!(one.cmp(other), texts.rank(*a).cmp(&texts.rank(*b)));
                    prop_assert_eq!(one == other, a == b);
                }
            }
        }
    }
}
