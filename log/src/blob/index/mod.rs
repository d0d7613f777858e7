//! Blob id → place: a cache that the packs' footers can always rebuild.

use std::collections::HashMap;
use std::fmt::Debug;

use super::frame::{Entry, Location};
use crate::id::BlobId;

mod memory;
mod rocks;

pub(super) use memory::MemoryIndex;
pub(super) use rocks::RocksIndex;

/// How much of a pack the index knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Covered {
    /// The pack's salt: another file under the same name is not the same pack.
    pub(super) salt: [u8; 16],
    /// Every blob whose frame begins below this offset is in the index.
    pub(super) to: u64,
}

/// Blob id → place. Holds only durable blobs. Later entries win: they are repairs.
pub(super) trait BlobIndex: Debug + Send + Sync {
    fn get(&self, id: &BlobId) -> Result<Option<Location>, String>;
    /// Adds entries, and with them (not before them) what is now covered.
    fn add(&self, entries: &[Entry], covered: &[(u64, Covered)]) -> Result<(), String>;
    /// Blobs that are here no more, and packs that are about to be removed.
    fn forget(&self, ids: &[BlobId], packs: &[u64]) -> Result<(), String>;
    /// Makes all of it durable.
    fn flush(&self) -> Result<(), String>;
    fn covered(&self) -> Result<HashMap<u64, Covered>, String>;
    /// Ids behind `after`, rising, at most `limit`.
    fn ids(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobId>, String>;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::frame::Kind;
    use super::*;

    fn conforms(index: &dyn BlobIndex) {
        let id = BlobId::of(b"x");
        let at = Location { kind: Kind::Recipe, pack: 3, offset: 64, len: 9, size: 100 };
        let later = Location { kind: Kind::Content, pack: 4, ..at };
        let covered = Covered { salt: [7; 16], to: 164 };
        assert_eq!(index.get(&id), Ok(None));
        index.add(&[Entry { id, at }], &[(3, covered)]).unwrap();
        assert_eq!(index.get(&id), Ok(Some(at)));
        index.add(&[Entry { id, at: later }], &[]).unwrap();
        assert_eq!(index.get(&id), Ok(Some(later)));
        assert_eq!(index.covered(), Ok(HashMap::from([(3, covered)])));
        index
            .add(&[Entry { id: BlobId([0; 32]), at }, Entry { id: BlobId([255; 32]), at }], &[])
            .unwrap();
        assert_eq!(index.ids(None, 2), Ok(vec![BlobId([0; 32]), id]));
        assert_eq!(index.ids(Some(id), 9), Ok(vec![BlobId([255; 32])]));
        assert_eq!(index.ids(Some(BlobId([255; 32])), 9), Ok(vec![]));
        index.add(&[], &[(4, covered)]).unwrap();
        index.forget(&[BlobId([0; 32]), BlobId([1; 32])], &[4]).unwrap();
        index.flush().unwrap();
        assert_eq!(index.get(&BlobId([0; 32])), Ok(None));
        assert_eq!(index.covered(), Ok(HashMap::from([(3, covered)])));
    }

    #[test]
    fn memory_conforms() {
        conforms(&MemoryIndex::default());
    }

    #[test]
    fn rocksdb_conforms_and_keeps() {
        let dir = tempfile::tempdir().unwrap();
        conforms(&RocksIndex::open(dir.path(), 1 << 20).unwrap());
        let again = RocksIndex::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(again.get(&BlobId::of(b"x")).unwrap().unwrap().pack, 4);
        assert_eq!(again.covered().unwrap().len(), 1);
    }
}
