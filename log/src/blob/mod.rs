//! Message content beside the log: content-addressed, deduplicated, compressed,
//! in append-only packs. Ground state; only `index/` is a cache.

use std::future::Future;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::id::BlobId;

mod error;
mod options;
mod stats;

pub use error::BlobError;
pub use options::{BlobOptions, IndexKind};
pub use stats::{BlobReport, BlobStats, Cut, ScrubReport, SyncHistogram};

/// Octets of a message that may be a blob of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartHint {
    /// The first octet.
    pub start: u64,
    /// How many; hints below [`BlobOptions::part_threshold`] are passed over.
    pub len: u64,
    /// How the octets are encoded.
    pub encoding: PartEncoding,
}

/// The transfer encoding of a hinted part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartEncoding {
    /// As they are.
    Identity,
    /// Base64 (RFC 2045 section 6.8): decoded where encoding again gives back the exact octets.
    Base64,
}

/// What became of octets that were put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// Their id.
    pub id: BlobId,
    /// False when they were there already.
    pub new: bool,
}

/// The blobs of one shard. Clones share it; the last one that goes ends its thread.
#[derive(Debug, Clone)]
pub struct BlobStore {}

#[allow(unused_variables, missing_docs, clippy::todo)]
impl BlobStore {
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: BlobOptions,
    ) -> Result<(Self, BlobReport), BlobError> {
        todo!()
    }
    /// Appends; not yet durable. Blocks.
    pub fn put(&self, bytes: &[u8]) -> Result<Put, BlobError> {
        todo!()
    }
    /// Appends a message, its large parts as blobs of their own; not yet durable. Blocks.
    pub fn put_message(&self, bytes: &[u8], parts: &[PartHint]) -> Result<Put, BlobError> {
        todo!()
    }
    /// Blocks until these are durable, with the parts of their recipes.
    pub fn wait_durable(&self, ids: &[BlobId]) -> Result<(), BlobError> {
        todo!()
    }
    /// Like [`BlobStore::wait_durable`], for tasks. The sync begins when this is called.
    pub fn durable(
        &self,
        ids: Vec<BlobId>,
    ) -> impl Future<Output = Result<(), BlobError>> + Send + 'static {
        async { todo!() }
    }
    pub fn contains(&self, id: &BlobId) -> Result<bool, BlobError> {
        todo!()
    }
    pub fn holds_durably(&self, id: &BlobId) -> Result<bool, BlobError> {
        todo!()
    }
    pub fn reader(&self, id: &BlobId) -> Result<BlobReader, BlobError> {
        todo!()
    }
    pub fn stats(&self) -> BlobStats {
        todo!()
    }
    /// Verifies everything; `pace` is told the octets read, may sleep, and may end it.
    pub fn scrub(
        &self,
        pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<ScrubReport, BlobError> {
        todo!()
    }
    pub fn poisoned(&self) -> Option<String> {
        todo!()
    }
}

/// Reads one blob in bounded memory. All calls block.
#[derive(Debug)]
pub struct BlobReader {}

#[allow(unused_variables, missing_docs, clippy::todo)]
impl BlobReader {
    pub fn len(&self) -> u64 {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Octets from `offset`: at least one unless at the end, at most `limit` and 256 KiB.
    pub fn piece_at(&self, offset: u64, limit: usize) -> Result<Vec<u8>, BlobError> {
        todo!()
    }
    /// Octets from `offset`, all of `len` that there are.
    pub fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, BlobError> {
        todo!()
    }
    /// The whole, its hash verified; refused when it is longer than `limit`.
    pub fn read_all(&self, limit: u64) -> Result<Vec<u8>, BlobError> {
        todo!()
    }
    /// Octets from `offset`, at most `limit`, piece by piece.
    pub fn for_each_chunk(
        &self,
        offset: u64,
        limit: u64,
        give: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), BlobError> {
        todo!()
    }
}
