//! Messages taken apart, by blob: in memory the most recent ones, beside the
//! views all of them. Derived from content alone; any of it may be lost.

use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use redoubt_log::codec;
use redoubt_log::id::BlobId;

use crate::mime::{Outline, Parsed};
use crate::storage::{RocksStorage, StorageError};

/// Raised when [`Parsed`] or what `mime` makes of a message changes: older values are not found.
const FORMAT: u8 = 1;
/// The same of [`Outline`]; never a value of [`FORMAT`], whose keys lie beside.
const OUTLINE_FORMAT: u8 = 0x80;
/// What a parsed message takes in memory beside its encoded bytes, about.
const OVERHEAD: usize = 600;

/// Parsed messages.
#[derive(Debug)]
pub(crate) struct ParsedCache {
    storage: RocksStorage,
    recent: Mutex<Recent<Parsed>>,
}

#[derive(Debug)]
struct Recent<T> {
    entries: LruCache<BlobId, (Arc<T>, usize)>,
    bytes: usize,
    limit: usize,
}

impl ParsedCache {
    pub(crate) fn new(storage: RocksStorage, limit: usize) -> Self {
        Self { storage, recent: Mutex::new(Recent::new(limit)) }
    }

    /// What is known of a message. A value that does not read counts as none.
    pub(crate) fn get(&self, blob: &BlobId) -> Option<Arc<Parsed>> {
        if let Some((parsed, _)) = self.recent.lock().entries.get(blob) {
            return Some(parsed.clone());
        }
        let bytes = self.storage.cached(&key(FORMAT, blob)).ok().flatten()?;
        let parsed = Arc::new(codec::from_bytes::<Parsed>(&bytes).ok()?);
        self.recent.lock().put(*blob, parsed.clone(), 2 * bytes.len() + OVERHEAD);
        Some(parsed)
    }

    /// Forgets messages, with what is sorted and threaded by: in memory, and beside the views.
    /// Whether anything was there.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn forget(&self, blobs: &[BlobId]) -> Result<bool, StorageError> {
        let mut found = false;
        for blob in blobs {
            self.recent.lock().forget(blob);
            for key in Self::keys(blob) {
                found |= self.storage.cached(&key)?.is_some();
                self.storage.uncache(&key)?;
            }
        }
        Ok(found)
    }

    /// Whether anything is known of one of these messages, in memory or beside the views.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn knows(&self, blobs: &[BlobId]) -> Result<bool, StorageError> {
        for blob in blobs {
            for key in Self::keys(blob) {
                if self.storage.cached(&key)?.is_some() {
                    return Ok(true);
                }
            }
        }
        Ok(blobs.iter().any(|blob| self.recent.lock().entries.contains(blob)))
    }

    /// The keys of what is beside the views of a message.
    pub(crate) fn keys(blob: &BlobId) -> [[u8; 33]; 2] {
        [key(FORMAT, blob), key(OUTLINE_FORMAT, blob)]
    }

    /// Keeps what a message was found to be made of. A failure to is none of the caller's.
    pub(crate) fn put(&self, blob: &BlobId, parsed: &Arc<Parsed>) {
        let Ok(bytes) = codec::to_bytes(&**parsed) else { return };
        if let Err(error) = self.storage.cache(&key(FORMAT, blob), &bytes) {
            tracing::warn!(%error, "a parsed message is not kept");
        }
        self.recent.lock().put(*blob, parsed.clone(), 2 * bytes.len() + OVERHEAD);
    }
}

impl<T> Recent<T> {
    fn new(limit: usize) -> Self {
        Self { entries: LruCache::unbounded(), bytes: 0, limit }
    }

    fn forget(&mut self, blob: &BlobId) {
        let bytes = self.entries.pop(blob).map_or(0, |(_, bytes)| bytes);
        self.bytes -= bytes;
    }

    fn put(&mut self, blob: BlobId, value: Arc<T>, bytes: usize) {
        if bytes > self.limit / 4 {
            return;
        }
        let old = self.entries.put(blob, (value, bytes));
        self.bytes = self.bytes + bytes - old.map_or(0, |(_, bytes)| bytes);
        while self.bytes > self.limit {
            let Some((_, (_, bytes))) = self.entries.pop_lru() else { return };
            self.bytes -= bytes;
        }
    }
}

/// What SORT and THREAD ask of messages, kept beside the views of each that was asked for once.
/// In memory it is in the sheets of mailboxes.
#[derive(Debug)]
pub(crate) struct OutlineCache {
    storage: RocksStorage,
}

impl OutlineCache {
    pub(crate) fn new(storage: RocksStorage) -> Self {
        Self { storage }
    }

    /// What is known of a message. A value that does not read counts as none.
    pub(crate) fn get(&self, blob: &BlobId) -> Option<Outline> {
        let bytes = self.storage.cached(&key(OUTLINE_FORMAT, blob)).ok().flatten()?;
        codec::from_bytes::<Outline>(&bytes).ok()
    }

    /// Keeps it. A failure to is none of the caller's.
    pub(crate) fn put(&self, blob: &BlobId, outline: &Outline) {
        let Ok(bytes) = codec::to_bytes(outline) else { return };
        if let Err(error) = self.storage.cache(&key(OUTLINE_FORMAT, blob), &bytes) {
            tracing::warn!(%error, "a message's sort keys are not kept");
        }
    }
}

fn key(format: u8, blob: &BlobId) -> [u8; 33] {
    let mut key = [format; 33];
    key.iter_mut().skip(1).zip(blob.0).for_each(|(to, from)| *to = from);
    key
}
