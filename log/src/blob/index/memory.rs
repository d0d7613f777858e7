//! The index in memory, for tests over a simulated disk.

use std::collections::HashMap;

use parking_lot::RwLock;

use super::{BlobIndex, Covered, Entry, Location};
use crate::id::BlobId;

/// All places in a map.
#[derive(Debug, Default)]
pub(in super::super) struct MemoryIndex {
    places: RwLock<HashMap<BlobId, Location>>,
    covered: RwLock<HashMap<u64, Covered>>,
}

impl BlobIndex for MemoryIndex {
    fn get(&self, id: &BlobId) -> Result<Option<Location>, String> {
        Ok(self.places.read().get(id).copied())
    }

    fn add(&self, entries: &[Entry], covered: &[(u64, Covered)]) -> Result<(), String> {
        self.places.write().extend(entries.iter().map(|entry| (entry.id, entry.at)));
        self.covered.write().extend(covered.iter().copied());
        Ok(())
    }

    fn forget(&self, ids: &[BlobId], packs: &[u64]) -> Result<(), String> {
        let mut places = self.places.write();
        for id in ids {
            places.remove(id);
        }
        let mut covered = self.covered.write();
        for pack in packs {
            covered.remove(pack);
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), String> {
        Ok(())
    }

    fn covered(&self) -> Result<HashMap<u64, Covered>, String> {
        Ok(self.covered.read().clone())
    }

    fn ids(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobId>, String> {
        let places = self.places.read();
        let mut ids: Vec<BlobId> = places.keys().filter(|id| Some(**id) > after).copied().collect();
        ids.sort_unstable();
        ids.truncate(limit);
        Ok(ids)
    }
}
