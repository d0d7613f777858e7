//! What each node does of an erasure beyond its views' rows: nothing of it may stay in files.
//! Each node reports for itself, place by place; what cannot go yet is tried again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use redoubt_log::blob::{BlobError, Reclaimed};
use redoubt_log::id::{AccountId, BlobId, EmailId, LogIndex, NodeId, OperationId};
use redoubt_log::record::{Actor, Change, ErasePlace, EraseReached, EraseReport};

use super::machine::Progress;
use super::retention::Here;
use super::{Inner, Mailstore, StoreError, WriteError, not_whole};
use crate::cache::ParsedCache;
use crate::keys::Bytes;
use crate::reclaim::Reclaimer;
use crate::rows::{EraseReportRow, ErasureState};
use crate::storage::{KeyRange, Table};
use crate::view::View;

/// How often what waits is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// Emails of an erasure that are read in one go.
const PAGE: usize = 5000;
/// Beyond so many blobs the whole cache is written anew, and not the part about each.
const SINGLY: usize = 256;
/// Images that are taken at most until none is from before.
const IMAGES: usize = 3;
/// Tables whose rows tell of single emails, by account.
const TABLES: [Table; 6] = [
    Table::Placement,
    Table::Email,
    Table::EmailPlacement,
    Table::UidMap,
    Table::Change,
    Table::History,
];

/// What was erased, for whoever has more of it than the store.
#[derive(Debug, Clone)]
pub struct Erased {
    /// By which erasure.
    pub erasure: OperationId,
    /// Whose.
    pub account: AccountId,
    /// Emails.
    pub emails: Vec<EmailId>,
    /// Messages and envelopes that are nobody's any more.
    pub dead: Vec<BlobId>,
    /// Those that others have too.
    pub shared: u64,
    /// The entry from which on the state says all of that.
    pub since: LogIndex,
    /// The first record that made any of it, 0 where that is not known: no state of before has
    /// anything of it.
    pub first: LogIndex,
    /// What nodes have said of it so far.
    pub reports: BTreeMap<NodeId, EraseReportRow>,
}

impl Erased {
    /// Whether an image that a node took has rows of it, or may have, also such as were deleted:
    /// by the image's last entry.
    pub fn is_in_image(&self, node: NodeId, index: LogIndex) -> bool {
        let cleared = self.reports.get(&node).and_then(|report| report.cleared);
        index >= self.first && cleared.is_none_or(|cleared| index <= cleared)
    }

    /// Whether another node has said that a place is done which all share.
    pub fn is_reached_elsewhere(&self, node: NodeId, place: ErasePlace) -> bool {
        let mut others = self.reports.iter().filter(|(other, _)| **other != node);
        let reached = |it: &EraseReached| it.place == place && it.pending.is_none();
        others.any(|(_, report)| report.places.iter().any(reached))
    }
}

/// What came of a try.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    /// What stays there because others have it too.
    pub stays: u64,
    /// What it waits for, if anything of it may still be there.
    pub pending: Option<String>,
}

impl Reached {
    /// It has to wait.
    pub fn pending(why: impl Into<String>) -> Self {
        Self { stays: 0, pending: Some(why.into()) }
    }
}

/// A try under way.
pub type Reaching = Pin<Box<dyn Future<Output = Result<Reached, String>> + Send>>;

/// A place that the store does not know: an index, texts, a repository.
pub trait Reaches: Debug + Send + Sync + 'static {
    /// Which.
    fn place(&self) -> ErasePlace;
    /// Makes sure that nothing of it is there. It may be asked again.
    fn reach(&self, erased: Arc<Erased>) -> Reaching;
}

/// The places that were made known.
#[derive(Debug, Default)]
pub(super) struct Places {
    known: parking_lot::Mutex<Vec<Arc<dyn Reaches>>>,
    /// Bytes are taken out of packs by one at a time.
    pub(super) reclaims: tokio::sync::Mutex<()>,
    /// What messages were put together from that go, by erasure: what is still here when they
    /// are gone is another's too.
    parts: parking_lot::Mutex<HashMap<OperationId, BTreeSet<BlobId>>>,
    /// How much was written to the views when all of it was deleted there, by erasure.
    written: parking_lot::Mutex<HashMap<OperationId, u64>>,
    /// The last entry that was applied when its files were first without it, by erasure.
    cleared: parking_lot::Mutex<HashMap<OperationId, LogIndex>>,
}

impl Places {
    /// They have the store, and it must not have them for ever.
    pub(super) fn clear(&self) {
        self.known.lock().clear();
    }
}

impl Mailstore {
    /// From now on erasures reach this place too.
    pub fn reaches(&self, place: Arc<dyn Reaches>) {
        self.inner.reaching.known.lock().push(place);
        self.inner.progress.reach_due.notify_one();
    }
}

/// Reaches what it can, and says so, for as long as the store is there.
pub(super) async fn run(store: Weak<Inner>, progress: Arc<Progress>) {
    loop {
        tokio::select! {
            () = progress.reach_due.notified() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
        let Some(inner) = store.upgrade().filter(|inner| inner.trims) else { return };
        if let Err(error) = inner.reach_all().await {
            tracing::debug!(%error, "what was erased is reached later");
        }
    }
}

impl Inner {
    async fn reach_all(self: &Arc<Self>) -> Result<(), WriteError> {
        let (view, node) = (self.local_view()?, self.identity.node);
        let due = self.work(move || -> Result<Vec<OperationId>, StoreError> {
            let mut due = Vec::new();
            for (id, row) in view.erasures()? {
                let reported = view.erase_reports(id)?.remove(&node);
                let over = reported.is_some_and(|row| is_complete(&row));
                if row.state == ErasureState::Done && row.erased > 0 && !over {
                    due.push(id);
                }
            }
            Ok(due)
        });
        for erasure in due.await?? {
            if self.ending.has_begun() {
                break;
            }
            self.reach(erasure).await?;
        }
        Ok(())
    }

    async fn reach(self: &Arc<Self>, erasure: OperationId) -> Result<(), WriteError> {
        let (view, node) = (self.local_view()?, self.identity.node);
        let before = view.erase_reports(erasure)?.remove(&node);
        let Some(erased) = self.work(move || erased(&view, erasure)).await?? else {
            return Ok(());
        };
        let erased = Arc::new(erased);
        let reached = |place: ErasePlace| {
            let mut places = before.iter().flat_map(|before| &before.places);
            places.find(|it| it.place == place && it.pending.is_none()).cloned()
        };
        let mut places = Vec::new();
        let others = self.reaching.known.lock().clone();
        // What is gone here must not come into the repository again: that is asked last.
        let last = |other: &Arc<dyn Reaches>| other.place() == ErasePlace::Repository;
        let (last, others): (Vec<_>, Vec<_>) = others.into_iter().partition(last);
        for other in others {
            places.push(asked(&*other, reached(other.place()), &erased).await);
        }
        let own = [ErasePlace::Views, ErasePlace::Bases, ErasePlace::Packs].map(&reached);
        match own {
            // Where its bytes are gone nobody can look at them any more.
            [Some(views), Some(bases), Some(packs)] => places.extend([views, bases, packs]),
            [views, ..] => {
                let again = self.clear_views(&erased, views.is_some()).await;
                places.push(said(ErasePlace::Views, again));
                places.push(said(ErasePlace::Bases, self.clear_bases(&erased).await));
                let stood = stays_of(before.as_ref(), ErasePlace::Packs);
                places.push(said(ErasePlace::Packs, self.clear_packs(&erased, stood).await));
            }
        }
        for other in last {
            places.push(asked(&*other, reached(other.place()), &erased).await);
        }
        places.sort_by_key(|reached| reached.place);
        if before.is_some_and(|before| before.places == places) {
            return Ok(());
        }
        self.report(EraseReport { erasure, node, places }).await
    }

    pub(super) async fn report(&self, report: EraseReport) -> Result<(), WriteError> {
        let change = Change::EraseReport(report);
        self.propose(&Actor::SYSTEM, OperationId::random(), change).await.map(drop)
    }

    /// What is kept beside the views of messages, and files of rows that went.
    async fn clear_views(
        self: &Arc<Self>,
        erased: &Arc<Erased>,
        before: bool,
    ) -> Result<Reached, String> {
        let (this, erased) = (self.clone(), erased.clone());
        let clear = move || {
            this.sheets.forget(erased.account);
            let forgot = this.cache.forget(&erased.dead)?;
            if !forgot && before {
                return Ok(Reached::default());
            }
            this.comparer.let_go(erased.since);
            if this.is_read(erased.erasure, forgot)? {
                return Ok(Reached::pending("somebody looks at the state of before"));
            }
            this.storage.rewrite(None, &of_cache(&erased.dead))?;
            let account = [Bytes::account(erased.account).range()];
            TABLES.iter().try_for_each(|table| this.storage.rewrite(Some(*table), &account))?;
            let applied = this.progress.applied().unwrap_or_default();
            this.reaching.cleared.lock().entry(erased.erasure).or_insert(applied);
            Ok::<_, StoreError>(Reached::default())
        };
        blocking(clear).await
    }

    /// No image is from before; two are kept, as always.
    async fn clear_bases(self: &Arc<Self>, erased: &Arc<Erased>) -> Result<Reached, String> {
        let Some(bases) = self.checkpoints.bases() else { return Ok(Reached::default()) };
        let said = erased.reports.get(&self.identity.node).and_then(|report| report.cleared);
        let known = self.reaching.cleared.lock().get(&erased.erasure).copied();
        let Some(cleared) = known.or(said) else {
            return Ok(Reached::pending("the views come first"));
        };
        for _ in 0..IMAGES {
            let list = bases.list().map_err(|error| error.to_string())?;
            let old = list.iter().filter(|base| base.index() <= cleared).count();
            if old == 0 {
                return Ok(Reached::default());
            }
            if list.first().is_some_and(|newest| Some(newest.index()) == self.progress.applied()) {
                // An image of its own needs an entry of its own.
                self.still(erased.erasure).await.map_err(|error| error.to_string())?;
            }
            self.take_checkpoint().await.map_err(|error| error.to_string())?;
        }
        Ok(Reached::pending("an older state image is in use: a peer or the archive takes it"))
    }

    /// Says again what was said.
    async fn still(&self, erasure: OperationId) -> Result<(), WriteError> {
        let (view, node) = (self.local_view()?, self.identity.node);
        let places = view.erase_reports(erasure)?.remove(&node);
        let places = places.map(|row| row.places).unwrap_or_default();
        self.report(EraseReport { erasure, node, places }).await
    }

    /// Whether somebody reads a state of before it was deleted: files cannot be without it then.
    fn is_read(&self, erasure: OperationId, more: bool) -> Result<bool, StoreError> {
        let now = self.storage.written()?;
        let mut written = self.reaching.written.lock();
        let since = written.entry(erasure).or_insert(now);
        if more {
            *since = now;
        }
        Ok(self.storage.is_read_before(*since)?)
    }

    /// What the messages that go are put together from, as long as they are here.
    fn note_parts(&self, erased: &Erased) -> Result<(), StoreError> {
        let mut parts = BTreeSet::new();
        for blob in &erased.dead {
            match self.blobs.exporter(blob) {
                Ok(exporter) => parts.extend(exporter.head().parts.iter().copied()),
                Err(BlobError::Missing(_)) => {}
                Err(error) => return Err(not_whole(*blob, &error)),
            }
        }
        self.reaching.parts.lock().entry(erased.erasure).or_default().extend(parts);
        Ok(())
    }

    /// Packs with octets of it are written anew, however little that is of them.
    /// What was said before to stay is no less after a restart, which forgets what went.
    async fn clear_packs(
        self: &Arc<Self>,
        erased: &Arc<Erased>,
        stood: u64,
    ) -> Result<Reached, String> {
        let (this, of) = (self.clone(), erased.clone());
        blocking(move || this.note_parts(&of)).await?;
        let stays = erased.shared.max(stood);
        if self.reclaimable().is_none_or(|upto| upto < erased.since) {
            let why = "the archive, a transfer or a state image needs what was before";
            return Ok(Reached { stays, pending: Some(why.to_owned()) });
        }
        let _turn = self.reaching.reclaims.lock().await;
        let state = Arc::new(Here::of(self));
        let (blobs, log) = (self.blobs.clone(), self.log.clone());
        let round = Reclaimer { blobs, log, state, share: 0 }.round().await;
        let Reclaimed { complete, .. } = round.map_err(|error| error.to_string())?;
        let (this, erased, shared) = (self.clone(), erased.clone(), erased.shared);
        let left = move || {
            let here = |blob: &&BlobId| this.blobs.contains(blob).unwrap_or(true);
            let left = erased.dead.iter().filter(here).count();
            // Somebody may have looked at one before it went.
            let cached = this.cache.knows(&erased.dead)?;
            let parts = this.reaching.parts.lock().get(&erased.erasure).cloned();
            let parts = parts.unwrap_or_default();
            let parts = parts.iter().filter(here).count() as u64;
            Ok::<_, StoreError>((left, cached, parts))
        };
        let (left, cached, parts) = blocking(left).await?;
        // Of what is not gone yet nobody can tell whether it stays.
        let stays =
            if left == 0 && complete { stays.max(shared.saturating_add(parts)) } else { stays };
        let pending = match (left, complete, cached) {
            (0, true, false) => None,
            (0, true, true) => Some("a message was looked at meanwhile".to_owned()),
            (0, false, _) => Some("a pack is written to, or damaged".to_owned()),
            (left, ..) => Some(format!("{left} blobs are in use")),
        };
        Ok(Reached { stays, pending })
    }
}

async fn asked(
    other: &dyn Reaches,
    reached: Option<EraseReached>,
    erased: &Arc<Erased>,
) -> EraseReached {
    match reached {
        Some(reached) => reached,
        None => said(other.place(), other.reach(erased.clone()).await),
    }
}

fn stays_of(report: Option<&EraseReportRow>, place: ErasePlace) -> u64 {
    let mut places = report.into_iter().flat_map(|report| &report.places);
    places.find(|it| it.place == place).map_or(0, |it| it.stays)
}

pub(super) fn is_complete(row: &EraseReportRow) -> bool {
    !row.places.is_empty() && row.places.iter().all(|place| place.pending.is_none())
}

fn said(place: ErasePlace, reached: Result<Reached, String>) -> EraseReached {
    let Reached { stays, pending } = reached.unwrap_or_else(Reached::pending);
    EraseReached { place, stays, pending }
}

/// What an erasure came to; `None` while blobs of it wait for their death.
pub(super) fn erased(view: &View, erasure: OperationId) -> Result<Option<Erased>, StoreError> {
    let Some(row) = view.erasure(erasure)? else { return Ok(None) };
    let (mut emails, mut after) = (Vec::new(), None);
    loop {
        let page = view.erased(row.account, after, PAGE)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        emails.extend(page.iter().filter(|(_, by)| *by == erasure).map(|(email, _)| *email));
    }
    let (mut dead, mut shared, mut since) = (Vec::new(), 0, row.last);
    for blob in view.erased_blobs(erasure)? {
        match view.dead_since(&blob)? {
            Some(died) => {
                since = since.max(died);
                dead.push(blob);
            }
            None if view.referrers(&blob, 1)?.is_empty() => return Ok(None),
            None => shared += 1,
        }
    }
    let (account, first, reports) = (row.account, row.first, view.erase_reports(erasure)?);
    Ok(Some(Erased { erasure, account, emails, dead, shared, since, first, reports }))
}

/// Where the cache has what it has of these.
fn of_cache(blobs: &[BlobId]) -> Vec<KeyRange> {
    if blobs.len() > SINGLY {
        return vec![KeyRange::all()];
    }
    let keys: BTreeSet<[u8; 33]> = blobs.iter().flat_map(ParsedCache::keys).collect();
    keys.iter().map(|key| KeyRange::prefix(key)).collect()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}
