//! Messages in memory, and a reader that counts what it is asked for.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use redoubt_log::id::{BlobId, EmailId, ModSeq, Sequence, ThreadId, Timestamp, Uid};
use redoubt_log::record::Flags;
use redoubt_store::mailstore::StoreError;
use redoubt_store::mime::{Parsed, parse};
use redoubt_store::search::{Candidate, Query, Reader, Scope, SearchKey, search};
use redoubt_store::view::Placement;

pub(crate) const DAY: i64 = 86_400_000;
/// 2024-02-01T12:00:00Z
pub(crate) const NOW: Timestamp = Timestamp(19_754 * DAY + DAY / 2);

/// Messages with the UIDs 10, 20, 30 …
#[derive(Default)]
pub(crate) struct World {
    pub(crate) all: Vec<Candidate>,
    content: HashMap<BlobId, Bytes>,
    pub(crate) parsed: Cell<u32>,
    pub(crate) opened: Cell<u32>,
}

impl World {
    pub(crate) fn of(messages: &[&str]) -> Self {
        let mut world = Self::default();
        for message in messages {
            world.add(message.replace('\n', "\r\n").as_bytes(), |_| {});
        }
        world
    }

    pub(crate) fn add(&mut self, message: &[u8], change: impl Fn(&mut Candidate)) {
        let number = u32::try_from(self.all.len()).unwrap() + 1;
        let blob = BlobId::of(message);
        let email = EmailId { sequence: Sequence(u64::from(number)), ordinal: 0 };
        let placement = Placement {
            uid: Uid::new(number * 10).unwrap(),
            email,
            thread: ThreadId(email),
            blob,
            size: message.len() as u64,
            received: NOW,
            saved: NOW,
            flags: Flags::NONE,
            keywords: Vec::new(),
            modseq: ModSeq(u64::from(number) * 100),
        };
        let mut candidate = Candidate { placement, sequence: number, recent: false };
        change(&mut candidate);
        self.all.push(candidate);
        self.content.insert(blob, Bytes::copy_from_slice(message));
    }

    pub(crate) fn scope(&self) -> Scope {
        let highest = u32::try_from(self.all.len()).unwrap();
        Scope { highest_sequence: highest, highest_uid: highest * 10, now: NOW }
    }

    /// Sequence numbers of what matches.
    pub(crate) fn find(&self, key: SearchKey) -> Vec<u32> {
        let query = Query::new(&key, &self.scope());
        let all = self.all.iter().cloned().map(Ok);
        let found = search(self, all, &query, &AtomicBool::new(false)).unwrap();
        found.into_iter().map(|found| found.sequence).collect()
    }

    /// Whether the only message matches.
    pub(crate) fn has(&self, key: SearchKey) -> bool {
        !self.find(key).is_empty()
    }
}

impl Reader for World {
    fn parsed(&self, blob: &BlobId) -> Result<Arc<Parsed>, StoreError> {
        self.parsed.set(self.parsed.get() + 1);
        Ok(Arc::new(parse(&self.octets(blob)?)))
    }
    fn content(&self, blob: &BlobId) -> Result<Bytes, StoreError> {
        self.opened.set(self.opened.get() + 1);
        self.octets(blob)
    }
}

impl World {
    fn octets(&self, blob: &BlobId) -> Result<Bytes, StoreError> {
        let missing = || StoreError::Blob(*blob, "not in this world".into());
        self.content.get(blob).cloned().ok_or_else(missing)
    }

    pub(crate) fn lose(&mut self, sequence: usize) {
        self.content.remove(&self.all[sequence - 1].placement.blob);
    }
}

pub(crate) fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

pub(crate) fn or(left: SearchKey, right: SearchKey) -> SearchKey {
    SearchKey::Or(Box::new(left), Box::new(right))
}

pub(crate) fn text(value: &str) -> SearchKey {
    SearchKey::Text(value.into())
}

pub(crate) fn body(value: &str) -> SearchKey {
    SearchKey::Body(value.into())
}
