//! A compact set of UIDs with rank and select: IMAP's message sequence numbers.
//!
//! Invariants: chunks rise by number and none is empty; `before[i]` is how many
//! UIDs stand in the chunks before chunk `i`.

use redoubt_log::id::Uid;

use crate::keys::{CHUNK_UIDS, chunk_of};
use crate::rows::Bits;

/// UIDs in rising order, as bitmaps of 1,024: a million take some 130 KB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UidSet {
    numbers: Vec<u32>,
    chunks: Vec<Bits>,
    before: Vec<u32>,
    len: u32,
}

impl UidSet {
    /// How many there are.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds one; false if it was there.
    pub fn insert(&mut self, uid: Uid) -> bool {
        let place = match self.place(uid) {
            Ok(place) => place,
            Err(place) => {
                self.insert_chunk(place, chunk_of(uid));
                place
            }
        };
        match self.chunks.get_mut(place) {
            Some(bits) if !bits.get(uid) => bits.set(uid, true),
            _ => return false,
        }
        self.count_behind(place, u32::wrapping_add);
        true
    }

    /// Removes one; false if it was not there.
    pub fn remove(&mut self, uid: Uid) -> bool {
        let Ok(place) = self.place(uid) else { return false };
        let emptied = match self.chunks.get_mut(place) {
            Some(bits) if bits.get(uid) => {
                bits.set(uid, false);
                bits.is_empty()
            }
            _ => return false,
        };
        self.count_behind(place, u32::wrapping_sub);
        if emptied {
            self.numbers.remove(place);
            self.chunks.remove(place);
            self.before.remove(place);
        }
        true
    }

    /// Whether it is there.
    pub fn contains(&self, uid: Uid) -> bool {
        self.bits(uid).is_some_and(|(_, bits)| bits.get(uid))
    }

    /// The message sequence number (from 1) of a UID that is there.
    pub fn rank(&self, uid: Uid) -> Option<u32> {
        let (place, bits) = self.bits(uid)?;
        let before = *self.before.get(place)?;
        bits.get(uid).then(|| before + count_to(bits, uid.get() % CHUNK_UIDS))
    }

    /// The UID with a message sequence number (from 1).
    pub fn select(&self, sequence_number: u32) -> Option<Uid> {
        let behind = self.before.partition_point(|before| *before < sequence_number);
        let place = behind.checked_sub(1)?;
        let nth = sequence_number.checked_sub(*self.before.get(place)?)?;
        let bit = nth_bit(self.chunks.get(place)?, nth)?;
        uid_at(*self.numbers.get(place)?, bit)
    }

    /// The lowest UID.
    pub fn first(&self) -> Option<Uid> {
        self.iter().next()
    }

    /// The highest UID.
    pub fn last(&self) -> Option<Uid> {
        self.select(self.len)
    }

    /// Those from `first` to `last`, both included, rising.
    pub fn range(&self, first: Uid, last: Uid) -> impl Iterator<Item = Uid> + '_ {
        let (Ok(start) | Err(start)) = self.place(first);
        let chunks = self.numbers.iter().zip(&self.chunks).skip(start);
        chunks
            .take_while(move |(number, _)| **number <= chunk_of(last))
            .flat_map(|(number, bits)| ones(bits).filter_map(|bit| uid_at(*number, bit)))
            .skip_while(move |uid| *uid < first)
            .take_while(move |uid| *uid <= last)
    }

    /// The first one from here on: without looking at those before it, as `range` has to.
    pub fn first_from(&self, uid: Uid) -> Option<Uid> {
        let (Ok(start) | Err(start)) = self.place(uid);
        let chunks = self.numbers.iter().zip(&self.chunks).skip(start);
        chunks.take(2).find_map(|(number, bits)| {
            let from = if *number == chunk_of(uid) { uid.get() % CHUNK_UIDS } else { 0 };
            first_bit(bits, from).and_then(|bit| uid_at(*number, bit))
        })
    }

    /// All, rising.
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        self.range(Uid::MIN, Uid::MAX)
    }

    /// Adds a chunk that lies behind all others; empty ones are left out.
    pub(crate) fn push_chunk(&mut self, number: u32, bits: Bits) {
        if bits.is_empty() || self.numbers.last().is_some_and(|last| *last >= number) {
            return;
        }
        self.numbers.push(number);
        self.chunks.push(bits);
        self.before.push(self.len);
        self.len += bits.0.iter().map(|word| word.count_ones()).sum::<u32>();
    }

    /// The bitmap of a chunk.
    pub(crate) fn chunk(&self, number: u32) -> Bits {
        let place = self.numbers.binary_search(&number).ok();
        place.and_then(|place| self.chunks.get(place)).copied().unwrap_or_default()
    }

    fn place(&self, uid: Uid) -> Result<usize, usize> {
        self.numbers.binary_search(&chunk_of(uid))
    }

    fn bits(&self, uid: Uid) -> Option<(usize, &Bits)> {
        let place = self.place(uid).ok()?;
        Some((place, self.chunks.get(place)?))
    }

    fn insert_chunk(&mut self, place: usize, number: u32) {
        let before = self.before.get(place).copied().unwrap_or(self.len);
        self.numbers.insert(place, number);
        self.chunks.insert(place, Bits::default());
        self.before.insert(place, before);
    }

    fn count_behind(&mut self, place: usize, step: fn(u32, u32) -> u32) {
        self.before.iter_mut().skip(place + 1).for_each(|before| *before = step(*before, 1));
        self.len = step(self.len, 1);
    }
}

impl FromIterator<Uid> for UidSet {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        let mut set = Self::default();
        for uid in uids {
            set.insert(uid);
        }
        set
    }
}

fn uid_at(chunk: u32, bit: u32) -> Option<Uid> {
    Uid::new(chunk.checked_mul(CHUNK_UIDS)?.checked_add(bit)?)
}

/// How many bits are set up to this one, itself included.
fn count_to(bits: &Bits, bit: u32) -> u32 {
    let word = (bit / 64) as usize;
    let whole: u32 = bits.0.iter().take(word).map(|w| w.count_ones()).sum();
    let part = bits.0.get(word).map_or(0, |w| (w & (u64::MAX >> (63 - bit % 64))).count_ones());
    whole + part
}

/// The place of the nth bit that is set (from 1).
fn nth_bit(bits: &Bits, mut nth: u32) -> Option<u32> {
    for (number, word) in (0u32..).zip(bits.0) {
        let ones = word.count_ones();
        if nth <= ones {
            return ones_of(word).nth(nth.checked_sub(1)? as usize).map(|bit| number * 64 + bit);
        }
        nth -= ones;
    }
    None
}

/// The first bit that is set, from this one on.
fn first_bit(bits: &Bits, from: u32) -> Option<u32> {
    let first = from / 64;
    (first..).zip(bits.0.iter().skip(first as usize)).find_map(|(number, word)| {
        let mask = if number == first { u64::MAX << (from % 64) } else { u64::MAX };
        let rest = word & mask;
        (rest != 0).then(|| number * 64 + rest.trailing_zeros())
    })
}

fn ones(bits: &Bits) -> impl Iterator<Item = u32> + '_ {
    (0u32..).zip(bits.0).flat_map(|(number, word)| ones_of(word).map(move |bit| number * 64 + bit))
}

fn ones_of(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros());
        word &= word.wrapping_sub(1);
        bit
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    fn uid(n: u32) -> Uid {
        Uid::new(n).unwrap()
    }

    #[test]
    fn agrees_with_a_plain_set() {
        let mut set = UidSet::default();
        let mut plain = BTreeSet::new();
        let mut seed = 7u32;
        for step in 0..6000u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let wide = if step % 50 == 0 { u32::MAX } else { 9000 };
            let n = uid(seed % wide + 1);
            if step % 3 == 2 {
                assert_eq!(set.remove(n), plain.remove(&n));
            } else {
                assert_eq!(set.insert(n), plain.insert(n));
            }
        }
        assert_eq!(set.len() as usize, plain.len());
        assert!(set.iter().eq(plain.iter().copied()));
        for (number, n) in (1..).zip(&plain) {
            assert_eq!(set.rank(*n), Some(number));
            assert_eq!(set.select(number), Some(*n));
        }
        assert_eq!(set.last(), plain.last().copied());
        assert_eq!(set.first(), plain.first().copied());
        assert_eq!((set.select(0), set.select(set.len() + 1)), (None, None));
        let middle = set.range(uid(1000), uid(5000));
        assert!(middle.eq(plain.range(uid(1000)..=uid(5000)).copied()));
        assert_eq!(set, plain.iter().copied().collect());
        for n in (1..9100).chain([1 << 20, u32::MAX - 1, u32::MAX]).map(uid) {
            assert_eq!(set.first_from(n), plain.range(n..).next().copied(), "{n}");
        }
    }

    #[test]
    fn the_ends_of_the_numbers() {
        let mut set = UidSet::default();
        assert_eq!((set.rank(Uid::MIN), set.select(1), set.last()), (None, None, None));
        assert!(set.insert(Uid::MAX) && set.insert(Uid::MIN) && !set.insert(Uid::MAX));
        assert_eq!(set.rank(Uid::MAX), Some(2));
        assert!(set.remove(Uid::MIN) && !set.remove(Uid::MIN));
        assert_eq!(set.iter().collect::<Vec<_>>(), [Uid::MAX]);
    }

    #[test]
    fn a_million_are_quick() {
        let set: UidSet = (1..=1_000_000).map(uid).collect();
        for number in 1..=1_000_000 {
            assert_eq!(set.rank(set.select(number).unwrap()), Some(number));
        }
    }
}
