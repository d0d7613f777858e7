//! The state's hash: a sum over its rows, so that a batch changes it by what the
//! batch changes, in any order (a multiset hash after Bellare and Micciancio's
//! AdHash, widened to 16 lanes of 64 bits).

use std::ops::ControlFlow;

use redoubt_log::id::Hash;

use crate::keys::{Key, Meta};
use crate::pauses::Pauses;
use crate::storage::{APPLIED_KEY, KeyRange, Order, Read, StorageError, Table};

const LANES: usize = 16;
/// Rows between pauses.
const ROWS: u32 = 4096;

/// A sum of row hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateHash([u64; LANES]);

impl StateHash {
    /// A row comes.
    pub fn add(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.mix(table, key, value, u64::wrapping_add);
    }

    /// A row goes.
    pub fn remove(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.mix(table, key, value, u64::wrapping_sub);
    }

    fn mix(&mut self, table: Table, key: &[u8], value: &[u8], step: fn(u64, u64) -> u64) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(table.name().as_bytes());
        hasher.update(&[0]);
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key);
        hasher.update(value);
        // All at once: each piece would compress its block anew.
        let mut words = [0; LANES * 8];
        hasher.finalize_xof().fill(&mut words);
        for (lane, word) in self.0.iter_mut().zip(words.as_chunks::<8>().0) {
            *lane = step(*lane, u64::from_le_bytes(*word));
        }
    }

    /// The hash as replicas compare it.
    pub fn digest(&self) -> Hash {
        Hash(*blake3::hash(&self.to_bytes()).as_bytes())
    }

    /// As it stands in its row.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|lane| lane.to_le_bytes()).collect()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != LANES * 8 {
            return None;
        }
        let mut hash = Self::default();
        for (lane, word) in hash.0.iter_mut().zip(bytes.chunks_exact(8)) {
            *lane = u64::from_le_bytes(word.try_into().ok()?);
        }
        Some(hash)
    }

    /// The one kept with the state; that of no rows when there is none.
    ///
    /// # Errors
    /// The disk, or corruption.
    pub fn stored(reader: &dyn Read) -> Result<Self, StorageError> {
        let key = Key::Meta(Meta::StateHash).bytes();
        let Some(bytes) = reader.get(Table::Meta, &key)? else { return Ok(Self::default()) };
        Self::from_bytes(&bytes)
            .ok_or_else(|| StorageError::corrupt(Table::Meta, &key, "not a state hash"))
    }

    /// Computes it from all rows.
    ///
    /// # Errors
    /// The disk, or corruption.
    pub fn recompute(reader: &dyn Read) -> Result<Self, StorageError> {
        Self::recompute_with(reader, &Pauses::none())
    }

    /// The same with pauses.
    ///
    /// # Errors
    /// As [`StateHash::recompute`]; also when it is to end early.
    pub fn recompute_with(reader: &dyn Read, pauses: &Pauses) -> Result<Self, StorageError> {
        let (mut hash, mut rows) = (Self::default(), 0_u32);
        for table in Table::ALL {
            reader.visit(table, &KeyRange::all(), Order::Rising, &mut |key, value| {
                if is_hashed(table, key) {
                    hash.add(table, key, value);
                }
                rows = rows.wrapping_add(1);
                if rows.is_multiple_of(ROWS) {
                    pauses.between_rows()?;
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(hash)
    }
}

/// Whether a row is part of the hash: all but the applied rows, the caller's
/// mark and the hash itself, which replicas need not share byte for byte.
pub(crate) fn is_hashed(table: Table, key: &[u8]) -> bool {
    key != APPLIED_KEY
        && (table != Table::Meta
            || (key != Key::Meta(Meta::Mark).bytes() && key != Key::Meta(Meta::StateHash).bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_removing_undoes() {
        let (mut a, mut b) = (StateHash::default(), StateHash::default());
        a.add(Table::Email, b"k", b"1");
        a.add(Table::Change, b"k", b"1");
        b.add(Table::Change, b"k", b"1");
        b.add(Table::Email, b"k", b"2");
        assert_ne!(a.digest(), b.digest());
        b.remove(Table::Email, b"k", b"2");
        b.add(Table::Email, b"k", b"1");
        assert_eq!(a.digest(), b.digest());
        assert_eq!(StateHash::from_bytes(&a.to_bytes()), Some(a));
    }
}
