//! A message's octets, for readers.

use std::sync::Weak;

use bytes::Bytes;
use parking_lot::Mutex;
use redoubt_log::blob::{BlobError, BlobStore};
use redoubt_log::id::BlobId;

use super::rescue::Rescuer;
use super::{StoreError, not_whole};

/// The most octets that are read into memory at once.
const WHOLE: u64 = 1 << 30;

/// A message's octets, piece by piece. What has decayed on this node is brought
/// back from a peer while the reader waits.
#[derive(Debug)]
pub struct BlobReader {
    id: BlobId,
    len: u64,
    blobs: BlobStore,
    rescuer: Weak<Rescuer>,
    reader: Mutex<std::sync::Arc<redoubt_log::blob::BlobReader>>,
}

impl BlobReader {
    pub(super) fn open(
        blobs: &BlobStore,
        rescuer: Weak<Rescuer>,
        id: BlobId,
    ) -> Result<Self, StoreError> {
        let reader = match blobs.reader(&id) {
            Ok(reader) => reader,
            Err(error) => reopen(blobs, &rescuer, id, error)?,
        };
        let (len, reader) = (reader.len(), Mutex::new(reader.into()));
        Ok(Self { id, len, blobs: blobs.clone(), rescuer, reader })
    }
    /// Octets in all.
    pub fn len(&self) -> u64 {
        self.len
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// At most `limit` octets from `offset`: at least one unless at the end. Blocks.
    ///
    /// # Errors
    /// When they do not hash right, and no peer has them.
    pub fn read(&self, offset: u64, limit: usize) -> Result<Bytes, StoreError> {
        self.with(|reader| reader.piece_at(offset, limit))
    }
    /// All of it, the hash verified. Blocks.
    pub(super) fn all(&self) -> Result<Bytes, StoreError> {
        self.with(|reader| reader.read_all(WHOLE))
    }

    fn with(
        &self,
        read: impl Fn(&redoubt_log::blob::BlobReader) -> Result<Vec<u8>, BlobError>,
    ) -> Result<Bytes, StoreError> {
        let reader = self.reader.lock().clone();
        let read = match read(&reader) {
            Err(error) => {
                let again =
                    std::sync::Arc::new(reopen(&self.blobs, &self.rescuer, self.id, error)?);
                *self.reader.lock() = again.clone();
                read(&again)
            }
            read => read,
        };
        read.map(Bytes::from).map_err(|error| not_whole(self.id, &error))
    }
}

/// A reader of the blob once it is whole again; `error` when it is not to be had.
fn reopen(
    blobs: &BlobStore,
    rescuer: &Weak<Rescuer>,
    id: BlobId,
    error: BlobError,
) -> Result<redoubt_log::blob::BlobReader, StoreError> {
    let decayed = !matches!(error, BlobError::Poisoned(_) | BlobError::TooLong { .. });
    let rescuer = rescuer.upgrade().filter(|_| decayed);
    match rescuer.map(|rescuer| rescuer.for_reader(id)) {
        Some(Ok(())) => blobs.reader(&id).map_err(|error| not_whole(id, &error)),
        Some(Err(why)) => {
            tracing::error!(%id, why, "a reader met a blob that is damaged here");
            Err(not_whole(id, &error))
        }
        None => Err(not_whole(id, &error)),
    }
}
