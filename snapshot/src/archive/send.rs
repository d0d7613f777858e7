//! Blobs on their way into the repository, before the range that names them.

use std::collections::BTreeSet;

use redoubt_log::blob::{BlobError, BlobStore, Exporter};
use redoubt_log::id::BlobId;
use redoubt_log::raft::{EntryKind, LogEntry, record_of};
use redoubt_log::record::Change;

use super::known::Known;
use crate::repo::pack::{Draft, PIECE, pieces_of};
use crate::repo::{RepoError, Repository};

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
    let mut sent = Sent::default();
    let mut draft = Draft::new(repository.is_encrypted());
    let (mut whole, mut queue) = (Vec::new(), wanted);
    while let Some(id) = queue.pop_first() {
        if known.has(&id) || whole.contains(&id) {
            continue;
        }
        let Some(exporter) = exporter(store, id).await? else {
            sent.reclaimed += 1;
            continue;
        };
        queue.extend(exporter.head().parts.iter().filter(|part| !known.has(part)));
        let exporter = std::sync::Arc::new(exporter);
        for number in 0..pieces_of(exporter.head().stored) {
            let piece = piece(&exporter, number).await?;
            sent.bytes += piece.len() as u64;
            draft.add(exporter.head(), number, &piece)?;
            if draft.is_full() {
                put(repository, &mut draft, &mut sent).await?;
                whole.drain(..).for_each(|id| known.add(&id));
            }
        }
        sent.blobs += 1;
        whole.push(id);
    }
    put(repository, &mut draft, &mut sent).await?;
    whole.iter().for_each(|id| known.add(id));
    Ok(sent)
}

async fn put(repository: &Repository, draft: &mut Draft, sent: &mut Sent) -> Result<(), RepoError> {
    if draft.is_empty() {
        return Ok(());
    }
    let full = std::mem::replace(draft, Draft::new(repository.is_encrypted()));
    sent.packs += 1;
    repository.put_pack(full).await
}

/// `None` for a blob that is gone in order: an entry is held only with its blobs, and
/// what decays is noted, so what is absent without a note was reclaimed.
async fn exporter(store: &BlobStore, id: BlobId) -> Result<Option<Exporter>, RepoError> {
    let store = store.clone();
    let open = move || match store.exporter(&id) {
        Err(BlobError::Missing(_)) if !store.is_damaged(&id) => Ok(None),
        opened => opened.map(Some).map_err(source),
    };
    tokio::task::spawn_blocking(open).await.map_err(source)?
}

async fn piece(exporter: &std::sync::Arc<Exporter>, number: u32) -> Result<Vec<u8>, RepoError> {
    let exporter = exporter.clone();
    let read = move || {
        let start = u64::from(number) * PIECE as u64;
        let left = exporter.head().stored.saturating_sub(start).min(PIECE as u64);
        let mut octets = Vec::new();
        while (octets.len() as u64) < left {
            let wanted = usize::try_from(left).unwrap_or(PIECE) - octets.len();
            let more = exporter.piece(start + octets.len() as u64, wanted).map_err(source)?;
            if more.is_empty() {
                return Err(source(format!("blob {} was cut", exporter.head().id)));
            }
            octets.extend_from_slice(&more);
        }
        Ok(octets)
    };
    tokio::task::spawn_blocking(read).await.map_err(source)?
}
