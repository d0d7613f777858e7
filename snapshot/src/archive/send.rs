//! Blobs on their way into the repository, before the range that names them.

use std::collections::BTreeSet;
use std::sync::Arc;

use redoubt_log::blob::{BlobError, BlobStore, ExportedHead, Exporter};
use redoubt_log::id::BlobId;
use redoubt_log::raft::{EntryKind, LogEntry, record_of};
use redoubt_log::record::Change;

use super::known::Known;
use crate::repo::pack::{Draft, PIECE, pieces_of};
use crate::repo::{RepoError, Repository};

/// Blobs that are looked for at a time.
const TOGETHER: usize = 512;

/// What a batch of entries named.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Every blob, each once.
    pub(super) blobs: BTreeSet<BlobId>,
    /// Whether anything but marks of the archive itself is among the records.
    pub(super) news: bool,
}

pub(super) fn named(entries: &[LogEntry]) -> Result<Named, RepoError> {
    let mut named = Named::default();
    for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Record) {
        let record = record_of(&entry.payload).map_err(source)?;
        named.news |= !matches!(record.change, Change::Archived(_));
        named.blobs.extend(record.blobs());
    }
    Ok(named)
}

pub(super) fn source(error: impl ToString) -> RepoError {
    RepoError::Source(error.to_string())
}

/// What came of sending.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) blobs: u64,
    pub(super) bytes: u64,
    pub(super) packs: u64,
    /// Blobs that this node does not have any more: they were reclaimed.
    pub(super) reclaimed: u64,
}

/// Sends what the repository has not, a pack at a time; all of it is there when this returns.
pub(super) async fn send(
    repository: &Repository,
    store: &BlobStore,
    known: &Known,
    wanted: BTreeSet<BlobId>,
) -> Result<Sent, RepoError> {
    let (whole, sent) = (BTreeSet::new(), Sent::default());
    let draft = Draft::new(repository.is_encrypted());
    let mut sending = Sending { repository, store, known, queue: wanted, draft, whole, sent };
    while sending.some().await? {}
    sending.put().await?;
    Ok(sending.sent)
}

/// Blobs on their way.
struct Sending<'a> {
    repository: &'a Repository,
    store: &'a BlobStore,
    known: &'a Known,
    queue: BTreeSet<BlobId>,
    draft: Draft,
    /// Those that the draft has to the end.
    whole: BTreeSet<BlobId>,
    sent: Sent,
}

impl Sending<'_> {
    /// Some more; false when there are none.
    async fn some(&mut self) -> Result<bool, RepoError> {
        let ids = self.next();
        if ids.is_empty() {
            return Ok(false);
        }
        let draft = self.take_draft();
        let store = self.store.clone();
        // One turn of a thread for many: a message has several blobs, most of them small.
        let filled = tokio::task::spawn_blocking(move || fill(&store, ids, draft)).await;
        let Filled { draft, added, reclaimed, left, large } = filled.map_err(source)??;
        self.draft = draft;
        self.sent.reclaimed += reclaimed;
        self.queue.extend(left);
        for (head, octets) in added {
            self.sent.bytes += octets;
            self.added(&head);
        }
        if let Some(exporter) = large {
            self.large(&exporter).await?;
        }
        if self.draft.is_full() {
            self.put().await?;
        }
        Ok(true)
    }

    fn take_draft(&mut self) -> Draft {
        std::mem::replace(&mut self.draft, Draft::new(self.repository.is_encrypted()))
    }

    fn next(&mut self) -> Vec<BlobId> {
        let mut ids = Vec::new();
        while ids.len() < TOGETHER {
            let Some(id) = self.queue.pop_first() else { break };
            if !self.known.has(&id) && !self.whole.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    fn added(&mut self, head: &ExportedHead) {
        self.queue.extend(head.parts.iter().filter(|part| !self.known.has(part)));
        self.sent.blobs += 1;
        self.whole.insert(head.id);
    }

    /// One of several pieces, each of which may fill a pack.
    async fn large(&mut self, exporter: &Arc<Exporter>) -> Result<(), RepoError> {
        for number in 0..pieces_of(exporter.head().stored) {
            let (its, mut draft) = (exporter.clone(), self.take_draft());
            let job = move || add(&mut draft, &its, number).map(|octets| (draft, octets));
            let (draft, octets) = tokio::task::spawn_blocking(job).await.map_err(source)??;
            self.draft = draft;
            self.sent.bytes += octets;
            if self.draft.is_full() {
                self.put().await?;
            }
        }
        self.added(exporter.head());
        Ok(())
    }

    async fn put(&mut self) -> Result<(), RepoError> {
        if !self.draft.is_empty() {
            let full = self.take_draft();
            self.sent.packs += 1;
            self.repository.put_pack(full).await?;
        }
        std::mem::take(&mut self.whole).iter().for_each(|id| self.known.add(id));
        Ok(())
    }
}

/// What one turn of a thread brought.
struct Filled {
    draft: Draft,
    added: Vec<(ExportedHead, u64)>,
    /// How many are gone in order.
    reclaimed: u64,
    /// Those that were not come to.
    left: Vec<BlobId>,
    /// One that is longer than a piece; nothing of it is in the draft.
    large: Option<Arc<Exporter>>,
}

/// Adds blobs to a draft until that is full, or one is large.
fn fill(store: &BlobStore, ids: Vec<BlobId>, draft: Draft) -> Result<Filled, RepoError> {
    let (added, left) = (Vec::new(), Vec::new());
    let mut filled = Filled { draft, added, reclaimed: 0, left, large: None };
    let mut ids = ids.into_iter();
    while !filled.draft.is_full() && filled.large.is_none() {
        let Some(id) = ids.next() else { break };
        match exporter(store, id)? {
            None => filled.reclaimed += 1,
            Some(exporter) if pieces_of(exporter.head().stored) > 1 => {
                filled.large = Some(Arc::new(exporter));
            }
            Some(exporter) => {
                let octets = add(&mut filled.draft, &exporter, 0)?;
                filled.added.push((exporter.head().clone(), octets));
            }
        }
    }
    filled.left = ids.collect();
    Ok(filled)
}

/// `None` for a blob that is gone in order: an entry is held only with its blobs, and
/// what decays is noted, so what is absent without a note was reclaimed.
fn exporter(store: &BlobStore, id: BlobId) -> Result<Option<Exporter>, RepoError> {
    match store.exporter(&id) {
        Err(BlobError::Missing(_)) if !store.is_damaged(&id) => Ok(None),
        opened => opened.map(Some).map_err(source),
    }
}

/// Adds a piece to a draft; gives its octets.
fn add(draft: &mut Draft, exporter: &Exporter, number: u32) -> Result<u64, RepoError> {
    let start = u64::from(number).saturating_mul(PIECE as u64);
    let wanted = exporter.head().stored.saturating_sub(start).min(PIECE as u64);
    let added = draft.add_with(exporter.head(), number, |into| {
        let before = into.len();
        exporter.piece_into(start, PIECE, into).map_err(source)?;
        match (into.len() - before) as u64 == wanted {
            true => Ok(()),
            false => Err(source(format!("blob {} was cut", exporter.head().id))),
        }
    });
    added.map(u64::from)
}
