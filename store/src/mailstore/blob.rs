//! A message's octets, for readers.

use bytes::Bytes;
use redoubt_log::blob::BlobStore;
use redoubt_log::id::BlobId;

use super::{StoreError, not_whole};

/// The most octets that are read into memory at once.
const WHOLE: u64 = 1 << 30;

/// A message's octets, piece by piece.
#[derive(Debug)]
pub struct BlobReader {
    id: BlobId,
    reader: redoubt_log::blob::BlobReader,
}

impl BlobReader {
    pub(super) fn open(blobs: &BlobStore, id: BlobId) -> Result<Self, StoreError> {
        let reader = blobs.reader(&id).map_err(|error| not_whole(id, &error))?;
        Ok(Self { id, reader })
    }
    /// Octets in all.
    pub fn len(&self) -> u64 {
        self.reader.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// At most `limit` octets from `offset`: at least one unless at the end. Blocks.
    ///
    /// # Errors
    /// When they do not hash right.
    pub fn read(&self, offset: u64, limit: usize) -> Result<Bytes, StoreError> {
        let piece = self.reader.piece_at(offset, limit);
        piece.map(Bytes::from).map_err(|error| not_whole(self.id, &error))
    }
    /// All of it, the hash verified. Blocks.
    pub(super) fn all(&self) -> Result<Bytes, StoreError> {
        let all = self.reader.read_all(WHOLE);
        all.map(Bytes::from).map_err(|error| not_whole(self.id, &error))
    }
}
