//! The realtime archive: committed and applied entries and the blobs that they
//! name, blobs first, into the repository.
//!
//! Two nodes may archive at one time, after a failover or because they see the
//! cluster differently. Both write what the one chain of the one history holds, so
//! ranges overlap and never conflict; nothing has to be agreed on. Whoever begins
//! makes sure that its own chain continues what the repository holds.

mod base;
mod checks;
mod erased;
mod expiring;
mod known;
mod rollup;
mod run;
mod schedule;
mod send;

use std::sync::Arc;

use redoubt_log::chain;
use redoubt_log::id::{Hash, LogIndex, Timestamp};
use redoubt_log::raft::LogEntry;
use redoubt_store::mailstore::Mailstore;

pub use base::{BasePhase, BaseRun, BaseState, BaseWatcher, Job};
pub use checks::{CheckStatus, Checked, Checks};
pub use erased::{Erasing, Forgetter, Forgetting};
pub use expiring::{ExpireStatus, Expired, Expiring};
pub use rollup::{Rolled, roll_up};
pub use run::{ArchiveState, ArchiveStatus, Feeder, Settings, Watcher, run};

use crate::repo::names::RangeName;
use crate::repo::range::{MAX_ENTRIES, Range};
use crate::repo::{RepoError, Repository};
use known::Known;
use send::{Named, Sent, named, send, source};

/// Octets of entries in one range.
const BATCH: usize = 4 << 20;
/// Entries in one range.
const MOST: u64 = MAX_ENTRIES;

/// Up to where the repository holds a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The last entry.
    pub index: LogIndex,
    /// The chain after it.
    pub chain: Hash,
    /// Its effective time.
    pub time: Timestamp,
}

/// What one step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Entries that were archived.
    pub entries: u64,
    /// Blobs that were sent.
    pub blobs: u64,
    /// Their octets.
    pub bytes: u64,
    /// Whether there was anything but the archive's own marks.
    pub news: bool,
}

/// Carries one node's log into the repository.
#[derive(Debug)]
pub struct Archiver {
    store: Mailstore,
    repository: Repository,
    lineage: String,
    reached: Option<Reached>,
    known: Arc<Known>,
    secret: [u8; 32],
}

impl Archiver {
    /// Goes on behind what the repository holds of this node's history.
    ///
    /// # Errors
    /// [`RepoError::OtherHistory`] when the two do not fit; [`RepoError::Unreachable`].
    pub async fn open(store: Mailstore, repository: Repository) -> Result<Self, RepoError> {
        let lineage = store.identity().lineage.clone();
        let known = store.local_view().ok().and_then(|view| view.archived().ok()?);
        let known = known.map_or(LogIndex(0), |archived| archived.index);
        let reached = reached_behind(&repository, &lineage, known).await?;
        let its = store.clone();
        let secret = tokio::task::spawn_blocking(move || its.secret()).await;
        let secret = *secret.map_err(source)?.map_err(source)?.bytes();
        let known = Arc::new(Known::new());
        let archiver = Self { store, repository, lineage, reached, known, secret };
        archiver.check_joined().await?;
        archiver.repository.put_secret(&archiver.lineage, &secret).await?;
        archiver.known.refresh(&archiver.repository).await?;
        Ok(archiver)
    }

    /// Up to where the repository holds this history, as far as this node knows.
    pub fn reached(&self) -> Option<Reached> {
        self.reached
    }

    /// Takes bases of this node's state, beside the archive.
    pub fn job(&self) -> Job {
        let (store, repository) = (self.store.clone(), self.repository.clone());
        Job::new(store, repository, self.lineage.clone(), self.known.clone(), &self.secret)
    }

    /// What forgets in the repository what was erased, beside the archive.
    pub fn forgetter(&self) -> Forgetter {
        let (store, repository) = (self.store.clone(), self.repository.clone());
        Forgetter { store, repository, lineage: self.lineage.clone(), known: self.known.clone() }
    }

    /// Why nothing can be recovered of this history yet, if so: its first entries are in no
    /// range, and there is no base.
    pub(crate) async fn lacks_beginning(&self) -> Result<Option<String>, RepoError> {
        if !self.repository.bases(&self.lineage).await?.is_empty() {
            return Ok(None);
        }
        let names = self.repository.ranges(&self.lineage, None).await?;
        let first = match names.iter().map(|name| name.first).min() {
            Some(first) => first,
            None => self.begin().await?.map_or(LogIndex(0), |(index, ..)| index),
        };
        let text = format!(
            "the archive of this history begins at entry {first}, and nothing can be recovered of \
             it before its first base is there: one is being taken"
        );
        Ok((first > LogIndex(0)).then_some(text))
    }

    /// A node that lags behind the archive waits until it has come there.
    async fn check_joined(&self) -> Result<(), RepoError> {
        let Some(Reached { index, chain, .. }) = self.reached else { return Ok(()) };
        let purged = self.store.node().status().purged.map(|id| id.index);
        if self.applied() < Some(index) || purged > Some(index) {
            return Ok(());
        }
        match self.chain_at(index).await? == chain {
            true => Ok(()),
            false => Err(other_history(index)),
        }
    }

    fn applied(&self) -> Option<LogIndex> {
        self.store.node().status().applied.map(|state| state.id.index)
    }

    async fn chain_at(&self, index: LogIndex) -> Result<Hash, RepoError> {
        let node = self.store.node().clone();
        let head = tokio::task::spawn_blocking(move || node.head_at(index)).await;
        head.map_err(source)?.map(|head| head.chain).map_err(source)
    }

    /// Archives what has come since; a bounded part of it at a time.
    ///
    /// # Errors
    /// See [`RepoError`]: nothing is skipped, and the next step tries the same again.
    pub async fn step(&mut self) -> Result<Step, RepoError> {
        let Some((range, named)) = self.next().await? else {
            return Ok(Step { entries: 0, blobs: 0, bytes: 0, news: false });
        };
        let store = self.store.blobs().clone();
        self.known.fresh(&self.repository).await?;
        if self.skips(&range) {
            let before = LogIndex(range.first().0.saturating_sub(1));
            self.repository.put_floor(&self.lineage, before).await?;
        }
        let sent = send(&self.repository, &store, &self.known, named.blobs).await?;
        self.repository.put_range(&self.lineage, &range).await?;
        self.reached = range.ends().map(|(_, last)| of_entry(last));
        let Sent { blobs, bytes, reclaimed, .. } = sent;
        if reclaimed > 0 {
            tracing::info!(reclaimed, "blobs were reclaimed before they were archived");
        }
        Ok(Step { entries: range.entries.len() as u64, blobs, bytes, news: named.news })
    }

    /// Whether entries before it are in no range, and will not be.
    fn skips(&self, range: &Range) -> bool {
        let next = self.reached.map_or(0, |reached| reached.index.0.saturating_add(1));
        range.first().0 > next
    }

    /// The entries behind what the repository holds, which continue its chain, and what they name.
    async fn next(&self) -> Result<Option<(Range, Named)>, RepoError> {
        let Some((from, before, time_before)) = self.begin().await? else { return Ok(None) };
        let end = self.applied().map_or(0, |index| index.0.saturating_add(1));
        let end = LogIndex(end.min(from.0.saturating_add(MOST)));
        if from >= end {
            return Ok(None);
        }
        let node = self.store.node().clone();
        let read = move || {
            let entries = node.read(from..end, BATCH).map_err(source)?;
            named(&entries).map(|named| (entries, named))
        };
        let read = tokio::task::spawn_blocking(read).await;
        let (entries, named) = read.map_err(source)??;
        let Some(first) = entries.first() else { return Ok(None) };
        if first.id.index != from || follow(&before, first) != first.chain {
            return Err(other_history(from));
        }
        Ok(Some((Range { before, time_before, entries }, named)))
    }

    /// Where to go on: behind what the repository holds, or where this node's log begins.
    async fn begin(&self) -> Result<Option<(LogIndex, Hash, Timestamp)>, RepoError> {
        let purged = self.store.node().status().purged;
        if let Some(Reached { index, chain, time }) = self.reached {
            if purged.is_none_or(|purged| purged.index <= index) {
                return Ok(Some((LogIndex(index.0.saturating_add(1)), chain, time)));
            }
            self.check_purged(index).await?;
        }
        let Some(purged) = purged else {
            return Ok(Some((LogIndex(0), Hash::default(), Timestamp(0))));
        };
        let (node, index) = (self.store.node().clone(), purged.index);
        let head = tokio::task::spawn_blocking(move || node.head_at(index)).await;
        let head = head.map_err(source)?.map_err(source)?;
        Ok(Some((LogIndex(index.0.saturating_add(1)), head.chain, head.time)))
    }

    /// With a base behind the gap all goes on from there.
    async fn check_purged(&self, reached: LogIndex) -> Result<(), RepoError> {
        let purged = self.store.node().status().purged.map(|id| id.index);
        let bases = self.repository.bases(&self.lineage).await?;
        match bases.iter().any(|base| Some(base.index) >= purged) {
            true => Ok(()),
            false => Err(RepoError::Source(format!(
                "the repository ends at entry {reached}, and this node's log begins behind it: \
                 let another node feed it, or take a base here: `redoubt backup start --here`"
            ))),
        }
    }
}

fn follow(before: &Hash, entry: &LogEntry) -> Hash {
    let content = chain::content(&entry.payload);
    let (id, kind) = (entry.id, entry.kind as u8);
    chain::link(before, &chain::leaf(id.term, id.index, kind, entry.time, &content))
}

fn of_entry(entry: &LogEntry) -> Reached {
    Reached { index: entry.id.index, chain: entry.chain, time: entry.time }
}

fn other_history(index: LogIndex) -> RepoError {
    RepoError::OtherHistory(format!(
        "at entry {index} the repository holds another history than this node: it is of another \
         cluster, or of this one before a restore; give this one a repository of its own"
    ))
}

/// Up to where a repository holds a history. Ranges are read from the newest on; one
/// that is damaged is passed over, and what it had is archived again.
///
/// # Errors
/// [`RepoError::Unreachable`].
pub async fn reached(repository: &Repository, lineage: &str) -> Result<Option<Reached>, RepoError> {
    reached_behind(repository, lineage, LogIndex(0)).await
}

/// The same where it is known that an entry is there: so that not all of the log is listed.
async fn reached_behind(
    repository: &Repository,
    lineage: &str,
    known: LogIndex,
) -> Result<Option<Reached>, RepoError> {
    // No range is longer, so that the one with the entry begins behind this.
    let from = LogIndex(known.0.saturating_sub(MOST));
    let mut names = repository.ranges_from(lineage, from).await?;
    names.sort_by_key(|name: &RangeName| name.last);
    while let Some(name) = names.pop() {
        match repository.range(lineage, &name).await {
            Ok(range) => return Ok(range.ends().map(|(_, last)| of_entry(last))),
            Err(error @ RepoError::Damaged { .. }) => {
                tracing::error!(%error, "a range of the archive is passed over");
            }
            Err(error) => return Err(error),
        }
    }
    match from {
        LogIndex(0) => Ok(None),
        _ => Box::pin(reached(repository, lineage)).await,
    }
}
