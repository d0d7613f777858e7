//! History that is older than is to be kept goes in pieces, and with it what only it needed.
//!
//! The leader proposes floors, what they let go, and which blobs are dead by that; each node
//! then takes the bytes of dead blobs out of its own packs. Off unless the configuration, a class of
//! service or an account asks for it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redoubt_log::blob::Reclaimed;
use redoubt_log::id::{AccountId, BlobId, LogIndex, Timestamp};
use redoubt_log::raft::Deadness;
use redoubt_log::record::{
    BlobsDead, Change, CountReferences, Done, HistoryFloor, HistoryTrim, Limits,
};

use super::layout::Lock;
use super::rounds::{Leads, system};
use super::{Inner, StoreError, WriteError};
use crate::Ending;
use crate::keys::DIRECTORY;
use crate::reclaim::{Reclaimer, State};
use crate::storage::RocksStorage;
use crate::view::{TrimAt, View};

/// Rows looked at for one record.
const ROWS: usize = 5000;
/// Places that one record trims.
const PIECE: usize = 500;
/// How often it is asked whether a class wants less history.
const LOOK: Duration = Duration::from_secs(5);
/// Blobs in one record.
const BLOBS: usize = 1000;
/// Packs are written anew when so many of a hundred octets are of nobody.
const SHARE: u64 = 25;
/// Octets a second that are moved to other packs, at most.
const RATE: u64 = 32 << 20;

/// How often: often enough that what is kept is not much more than was asked for.
fn every(keep: Duration) -> Duration {
    (keep / 30).clamp(Duration::from_secs(1), Duration::from_secs(24 * 3600))
}

/// When the next round is due, and what the last one knew.
#[derive(Debug)]
struct Due {
    at: Option<Instant>,
    /// Where classes changed last.
    classes: Option<LogIndex>,
}

/// Works, for as long as the store is there; looks on now and then where all history is kept.
pub(super) async fn run(store: Weak<Inner>) {
    let mut due = None;
    loop {
        let Some(inner) = store.upgrade().filter(|inner| inner.trims) else { return };
        let now = Instant::now();
        let due = due.get_or_insert_with(|| Due { at: inner.first_round(now), classes: None });
        let pause = due.at.map_or(LOOK, |at| at.saturating_duration_since(now).min(LOOK));
        drop(inner);
        tokio::time::sleep(pause).await;
        let Some(inner) = store.upgrade() else { return };
        let classes = inner.classes_changed().await;
        let news = classes != due.classes;
        if !news && due.at.is_none_or(|at| at > Instant::now()) {
            continue;
        }
        due.classes = classes;
        let keep = inner.keep_history;
        match inner.retain(keep).await {
            Ok(shortest) => due.at = shortest.map(|keep| Instant::now() + every(keep)),
            Err(error) => {
                tracing::debug!(%error, "history is trimmed later");
                due.at = Some(Instant::now() + keep.map_or(LOOK, every));
            }
        }
        if let Err(error) = inner.reclaim().await {
            tracing::warn!(%error, "the bytes of dead blobs stay for now");
        }
    }
}

/// What the views say of dead blobs, for peers. Who has it has them open, and the lock goes
/// behind them.
#[derive(Debug)]
pub(super) struct Dead {
    storage: RocksStorage,
    _lock: Arc<Lock>,
}

impl Dead {
    pub(super) fn new(storage: RocksStorage, lock: Arc<Lock>) -> Self {
        Self { storage, _lock: lock }
    }
}

impl Deadness for Dead {
    fn since(&self, blob: &BlobId) -> Option<LogIndex> {
        View::new(Arc::new(self.storage.snapshot().ok()?)).ok()?.dead_since(blob).ok()?
    }
}

impl Inner {
    fn first_round(&self, now: Instant) -> Option<Instant> {
        self.keep_history.map(|keep| now + every(keep))
    }

    async fn classes_changed(&self) -> Option<LogIndex> {
        let view = self.local_view().ok()?;
        self.work(move || view.classes_changed()).await.ok()?.ok()?
    }

    /// One round, of the leader alone; the shortest history that is asked for.
    async fn retain(&self, keep: Option<Duration>) -> Result<Option<Duration>, WriteError> {
        let view = self.local_view()?;
        let kept = self.work(move || kept(&view, keep)).await??;
        let shortest = kept.values().copied().flatten().chain(keep).min();
        if shortest.is_some() && self.node.is_leader() {
            let_go(self, keep).await?;
        }
        Ok(shortest)
    }

    /// Takes the bytes of dead blobs out of this node's packs.
    pub(super) async fn reclaim(self: &Arc<Self>) -> Result<(), StoreError> {
        // One at a time: who comes while another works has nothing to do.
        let Ok(_turn) = self.reaching.reclaims.try_lock() else { return Ok(()) };
        let state = Arc::new(Here::of(self));
        let (blobs, log) = (self.blobs.clone(), self.log.clone());
        let done = Reclaimer { blobs, log, state, share: SHARE }.round().await?;
        if done.removed > 0 {
            let Reclaimed { packs, removed, moved, .. } = done;
            tracing::info!(packs, removed, moved, "packs are written anew");
        }
        Ok(())
    }

    /// Up to which index blobs that died may go here: every image in `base/` that may be rebuilt
    /// from or given away has their death, and the archive has it.
    pub(super) fn reclaimable(&self) -> Option<LogIndex> {
        let applied = self.progress.applied()?;
        let mut upto = applied;
        if let Some(bases) = self.checkpoints.bases() {
            let oldest = bases.list().ok()?.last().map(crate::checkpoint::Base::index);
            upto = upto.min(oldest.unwrap_or(applied));
        }
        upto = upto.min(self.node.snapshot_floor().unwrap_or(applied));
        Some(self.behind_the_archive(upto))
    }
}

/// Raises the floors of all histories, drops what lies below, and lets die what only that needed.
pub(crate) async fn let_go<L: Leads>(leader: &L, keep: Option<Duration>) -> Result<(), WriteError> {
    count_references(leader).await?;
    let view = leader.view().await?;
    let targets = leader.work(move || targets(&view, keep)).await??;
    for target in targets {
        raise(leader, target).await?;
    }
    let_die(leader).await
}

pub(super) async fn count_references<L: Leads>(leader: &L) -> Result<(), WriteError> {
    loop {
        let view = leader.view().await?;
        if leader.work(move || view.references_counted()).await??.is_some() {
            return Ok(());
        }
        let done = system(leader, Change::CountReferences(CountReferences {})).await?;
        if done.is_none() {
            return Err(WriteError::Unavailable("references are not counted".to_owned()));
        }
    }
}

/// Raises a floor, and drops what lies below, piece by piece.
async fn raise<L: Leads>(leader: &L, target: Target) -> Result<(), WriteError> {
    let Target { account, floor, time } = target;
    let wish = HistoryFloor { account, floor, time };
    // Under a hold, or with an account behind: nothing goes.
    if system(leader, Change::HistoryFloor(wish)).await?.is_none() {
        return Ok(());
    }
    let mut at = Some(TrimAt::default());
    while let Some(from) = at {
        let view = leader.view().await?;
        let look = move || view.trimmable(account, from, ROWS);
        let (rows, next) = leader.work(look).await??;
        at = next;
        for rows in rows.chunks(PIECE) {
            let rows = rows.to_vec();
            system(leader, Change::HistoryTrim(HistoryTrim { account, rows })).await?;
        }
    }
    Ok(())
}

/// Blobs die that nothing refers to.
pub(super) async fn let_die<L: Leads>(leader: &L) -> Result<(), WriteError> {
    loop {
        let view = leader.view().await?;
        let decided = view.index();
        let blobs = leader.work(move || view.unreferenced(None, BLOBS)).await??;
        if blobs.is_empty() {
            return Ok(());
        }
        let done = system(leader, Change::BlobsDead(BlobsDead { blobs, decided })).await?;
        match done {
            Some(Done::Dead(answers)) if answers.iter().any(Result::is_ok) => {}
            _ => return Ok(()),
        }
    }
}

/// The state of a store, as long as it is there.
pub(super) struct Here {
    store: Weak<Inner>,
    ending: Ending,
}

impl std::fmt::Debug for Here {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Here")
    }
}

impl Here {
    pub(super) fn of(store: &Arc<Inner>) -> Self {
        Self { store: Arc::downgrade(store), ending: store.ending.clone() }
    }

    fn store(&self) -> Result<Arc<Inner>, StoreError> {
        self.store.upgrade().ok_or_else(|| StoreError::Stopped("the store is closed".to_owned()))
    }
}

impl State for Here {
    fn view(&self) -> Result<View, StoreError> {
        self.store()?.local_view()
    }

    fn applied(&self) -> Option<LogIndex> {
        self.store().ok()?.progress.applied()
    }

    fn bound(&self) -> Option<LogIndex> {
        self.store().ok()?.reclaimable()
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(self.store()?.storage.flush()?)
    }

    /// Sleeps, so that others get at the disk.
    fn pace(&self, octets: u64) -> ControlFlow<()> {
        std::thread::sleep(Duration::from_micros(octets.saturating_mul(1_000_000) / RATE));
        match self.ending.has_begun() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// Where a history is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    account: AccountId,
    floor: LogIndex,
    time: Timestamp,
}

/// For how long the history of each account is to be kept; `None` is for ever.
fn kept(
    view: &View,
    keep: Option<Duration>,
) -> Result<BTreeMap<AccountId, Option<Duration>>, StoreError> {
    let of = |said: Option<u64>| match said {
        Some(Limits::FOREVER) => None,
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => keep,
    };
    Ok(view.histories()?.into_iter().map(|(account, said)| (account, of(said))).collect())
}

/// For each account the newest index that is older than what it keeps; the directory's last, where
/// no account keeps more.
fn targets(view: &View, keep: Option<Duration>) -> Result<Vec<Target>, StoreError> {
    let (mut found, mut all) = (Vec::new(), true);
    let mut known = BTreeMap::new();
    for (account, keep) in kept(view, keep)? {
        let target = match known.get(&keep) {
            Some(target) => *target,
            None => target(view, keep)?,
        };
        known.insert(keep, target);
        all &= target.is_some();
        found.extend(target.map(|(floor, time)| Target { account, floor, time }));
    }
    let lowest = match found.iter().min_by_key(|target| target.floor) {
        Some(lowest) => Some((lowest.floor, lowest.time)),
        None => target(view, keep)?,
    };
    let lowest = lowest.filter(|_| all);
    found.extend(lowest.map(|(floor, time)| Target { account: DIRECTORY, floor, time }));
    // What a hold is over would be refused, each time on record.
    let mut free = Vec::with_capacity(found.len());
    for target in found {
        if view.held_by(target.account)?.is_none() {
            free.push(target);
        }
    }
    Ok(free)
}

fn target(
    view: &View,
    keep: Option<Duration>,
) -> Result<Option<(LogIndex, Timestamp)>, StoreError> {
    let (Some(applied), Some(keep)) = (view.applied(), keep) else { return Ok(None) };
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let time = Timestamp(applied.time.0.saturating_sub(keep));
    Ok(view.index_at(time)?.map(|floor| (floor, time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_come_as_often_as_is_needed() {
        assert_eq!(every(Duration::from_secs(2)), Duration::from_secs(1));
        assert_eq!(every(Duration::from_secs(30 * 3600)), Duration::from_secs(3600));
        assert_eq!(every(Duration::from_secs(3600 * 24 * 365)), Duration::from_secs(24 * 3600));
    }
}
