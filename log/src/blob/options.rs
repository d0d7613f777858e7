//! How a blob store is opened.

/// How a blob store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobOptions {
    /// Octets that a pack is preallocated with and does not grow beyond, but for
    /// a single blob that is larger.
    pub pack_bytes: u64,
    /// Blobs above this go to packs of their own.
    pub large: u64,
    /// Parts of a message below this stay in the message.
    pub part_threshold: u64,
    /// zstd's level.
    pub level: i32,
    /// Packs kept open for reading.
    pub open_packs: usize,
    /// Where the index is.
    pub index: IndexKind,
    /// Opens in spite of damage, which is noted and never served: for a node whose
    /// peers have the blobs, or whose operator knows of the loss.
    pub tolerate_damage: bool,
    /// For tests of the tests only: acknowledges without a sync. Never set it.
    #[doc(hidden)]
    pub unsafe_skip_sync: bool,
}

/// Where the blob index is kept. It is a cache: rebuilt from the packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexKind {
    /// A RocksDB in `index/` on the real disk.
    RocksDb {
        /// Octets of its block cache.
        cache: usize,
    },
    /// In memory, rebuilt at each start: for tests over a simulated disk.
    Memory,
}

impl Default for BlobOptions {
    fn default() -> Self {
        Self {
            pack_bytes: 256 << 20,
            large: 1 << 20,
            part_threshold: 16 << 10,
            level: 3,
            open_packs: 256,
            index: IndexKind::RocksDb { cache: 32 << 20 },
            tolerate_damage: false,
            unsafe_skip_sync: false,
        }
    }
}
