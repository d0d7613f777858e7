//! Messages taken apart, by blob: in memory the most recent ones, beside the
//! views all of them. Derived from content alone; any of it may be lost.

use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use redoubt_log::codec;
use redoubt_log::id::BlobId;

use crate::mime::Parsed;
use crate::storage::RocksStorage;

/// Raised when [`Parsed`] or what `mime` makes of a message changes: older values are not found.
const FORMAT: u8 = 1;
/// What a parsed message takes in memory beside its encoded bytes, about.
const OVERHEAD: usize = 600;

/// Parsed messages.
#[derive(Debug)]
pub(crate) struct ParsedCache {
    storage: RocksStorage,
    recent: Mutex<Recent>,
}

#[derive(Debug)]
struct Recent {
    entries: LruCache<BlobId, (Arc<Parsed>, usize)>,
    bytes: usize,
    limit: usize,
}

impl ParsedCache {
    pub(crate) fn new(storage: RocksStorage, limit: usize) -> Self {
        let recent = Recent { entries: LruCache::unbounded(), bytes: 0, limit };
        Self { storage, recent: Mutex::new(recent) }
    }

    /// What is known of a message. A value that does not read counts as none.
    pub(crate) fn get(&self, blob: &BlobId) -> Option<Arc<Parsed>> {
        if let Some((parsed, _)) = self.recent.lock().entries.get(blob) {
            return Some(parsed.clone());
        }
        let bytes = self.storage.cached(&key(blob)).ok().flatten()?;
        let parsed = Arc::new(codec::from_bytes::<Parsed>(&bytes).ok()?);
        self.recent.lock().put(*blob, parsed.clone(), bytes.len());
        Some(parsed)
    }

    /// Keeps what a message was found to be made of. A failure to is none of the caller's.
    pub(crate) fn put(&self, blob: &BlobId, parsed: &Arc<Parsed>) {
        let Ok(bytes) = codec::to_bytes(&**parsed) else { return };
        if let Err(error) = self.storage.cache(&key(blob), &bytes) {
            tracing::warn!(%error, "a parsed message is not kept");
        }
        self.recent.lock().put(*blob, parsed.clone(), bytes.len());
    }
}

impl Recent {
    fn put(&mut self, blob: BlobId, parsed: Arc<Parsed>, encoded: usize) {
        let bytes = 2 * encoded + OVERHEAD;
        if bytes > self.limit / 4 {
            return;
        }
        let old = self.entries.put(blob, (parsed, bytes));
        self.bytes = self.bytes + bytes - old.map_or(0, |(_, bytes)| bytes);
        while self.bytes > self.limit {
            let Some((_, (_, bytes))) = self.entries.pop_lru() else { return };
            self.bytes -= bytes;
        }
    }
}

fn key(blob: &BlobId) -> [u8; 33] {
    let mut key = [FORMAT; 33];
    key.iter_mut().skip(1).zip(blob.0).for_each(|(to, from)| *to = from);
    key
}
