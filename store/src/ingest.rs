//! What is done with a message before it is proposed: hashed, taken apart,
//! stored as blobs. All of it blocks and is done on the store's own threads.

use std::sync::Arc;

use redoubt_log::blob::{BlobError, BlobStore, PartEncoding, PartHint};
use redoubt_log::id::BlobId;
use redoubt_log::record::{JunkHeader, Message, ThreadKeys};

use crate::cache::ParsedCache;
use crate::mailstore::reserve::Reserve;
use crate::mailstore::{StoreError, WriteError};
use crate::mime::{self, Parsed, Part, header};
use crate::thread_keys::{Ids, KeyedHashes};

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
        let put = self.blobs.put_message(bytes, &hints(&parsed.structure));
        let blob = put.map_err(|error| self.failed(error))?.id;
        self.cache.put(&blob, &parsed);
        let header = header_octets(bytes, &parsed);
        let original = match trace {
            0 => blob,
            _ => BlobId::of(bytes.get(trace..).unwrap_or_default()),
        };
        let thread = self.thread(header, &parsed);
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

    fn thread(&self, head: &[u8], parsed: &Parsed) -> ThreadKeys {
        let value = |name| header::first(head, name).map_or(&b""[..], |field| field.value);
        let ids = Ids {
            message_id: value("Message-ID"),
            in_reply_to: value("In-Reply-To"),
            references: value("References"),
        };
        self.keys.thread(ids, parsed.envelope.subject.as_deref().unwrap_or_default())
    }
}

impl Taken {
    /// Whether a spam filter before us marked it so.
    pub(crate) fn is_junk(&self, rule: &JunkHeader) -> bool {
        let prefix = rule.value_prefix.as_bytes();
        header::fields(&self.header)
            .filter(|field| field.is(rule.name.as_bytes()))
            .map(|field| header::unfold(field.value))
            .any(|v| v.get(..prefix.len()).is_some_and(|v| v.eq_ignore_ascii_case(prefix)))
    }
}

fn header_octets<'a>(bytes: &'a [u8], parsed: &Parsed) -> &'a [u8] {
    let end = usize::try_from(parsed.structure.header.len).unwrap_or(usize::MAX);
    bytes.get(..end).unwrap_or(bytes)
}

/// The parts that may be worth a blob of their own, by rising offset.
fn hints(part: &Part) -> Vec<PartHint> {
    let mut hints = Vec::new();
    collect(part, &mut hints);
    hints
}

fn collect(part: &Part, hints: &mut Vec<PartHint>) {
    if let Some(nested) = &part.message {
        return collect(&nested.structure, hints);
    }
    if !part.children.is_empty() {
        return part.children.iter().for_each(|child| collect(child, hints));
    }
    let base64 = part.encoding.eq_ignore_ascii_case(b"base64");
    let encoding = if base64 { PartEncoding::Base64 } else { PartEncoding::Identity };
    hints.push(PartHint { start: part.body.start, len: part.body.len, encoding });
}
