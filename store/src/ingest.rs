//! What is done with a message before it is proposed: hashed, taken apart,
//! stored as blobs. All of it blocks and is done on the store's own threads.

use std::sync::Arc;

use redoubt_log::blob::{BlobError, BlobStore, PartEncoding, PartHint};
use redoubt_log::id::BlobId;
use redoubt_log::record::{JunkHeader, Message};

use crate::cache::ParsedCache;
use crate::keyed::KeyedHashes;
use crate::mailstore::reserve::Reserve;
use crate::mailstore::{StoreError, WriteError};
use crate::mime::{self, Parsed};

/// Takes messages in.
#[derive(Debug)]
pub(crate) struct Ingest {
    pub(crate) blobs: BlobStore,
    pub(crate) cache: Arc<ParsedCache>,
    pub(crate) keys: KeyedHashes,
    pub(crate) reserve: Arc<Reserve>,
}

/// A message that was taken in; its blobs are appended and not yet durable.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) message: Message,
    header: Vec<u8>,
}

impl Ingest {
    /// Takes in a message whose first `trace` octets are ours.
    ///
    /// # Errors
    /// [`WriteError::DiskFull`], or that of a store that has stopped.
    pub(crate) fn take(&self, bytes: &[u8], trace: usize) -> Result<Taken, WriteError> {
        self.reserve.check()?;
        let parsed = Arc::new(mime::parse(bytes));
        let put = self.blobs.put_message(bytes, &hints(&parsed));
        let blob = put.map_err(|error| self.failed(error))?.id;
        self.cache.put(&blob, &parsed);
        let header = mime::slice(bytes, parsed.structure.header);
        let original = match trace {
            0 => blob,
            _ => BlobId::of(bytes.get(trace..).unwrap_or_default()),
        };
        let thread = self.keys.thread(&mime::thread_inputs(header));
        let message = Message { blob, original, size: bytes.len() as u64, thread };
        Ok(Taken { message, header: header.to_vec() })
    }

    /// Stores a small blob with 16 random octets before it, so that nobody who
    /// guesses its content can tell that it is here, and an erasure can reach it.
    pub(crate) fn salted(&self, content: &[u8]) -> Result<BlobId, WriteError> {
        let salt: [u8; 16] = rand::random();
        let put = self.blobs.put(&[&salt, content].concat());
        put.map(|put| put.id).map_err(|error| self.failed(error))
    }

    /// What the blob store's error is to a writer.
    pub(crate) fn failed(&self, error: BlobError) -> WriteError {
        match error {
            BlobError::DiskFull { .. } => self.reserve.full(),
            other => WriteError::Store(StoreError::Stopped(other.to_string())),
        }
    }
}

impl Taken {
    /// Whether a spam filter before us marked it so.
    pub(crate) fn is_junk(&self, rule: &JunkHeader) -> bool {
        let prefix = rule.value_prefix.as_bytes();
        mime::fields(&self.header)
            .filter(|field| field.is(rule.name.as_bytes()))
            .map(|field| mime::unfold(field.value))
            .any(|v| v.get(..prefix.len()).is_some_and(|v| v.eq_ignore_ascii_case(prefix)))
    }
}

/// The parts that may be worth a blob of their own, by rising offset.
fn hints(parsed: &Parsed) -> Vec<PartHint> {
    let hint = |part: mime::PartHint| PartHint {
        start: part.start,
        len: part.len,
        encoding: match part.is_base64 {
            true => PartEncoding::Base64,
            false => PartEncoding::Identity,
        },
    };
    mime::part_hints(parsed).into_iter().map(hint).collect()
}
