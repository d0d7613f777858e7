//! What was erased goes from the backup repository. The node that feeds it does it: keys of
//! blobs are forgotten, bases that have rows go once one without them is there. The others take
//! its word.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redoubt_log::dump::rfc3339;
use redoubt_log::id::{BlobId, LogIndex, NodeId, OperationId, Timestamp};
use redoubt_log::record::ErasePlace;
use redoubt_store::mailstore::{Erased, Mailstore, Reached, Reaches, Reaching};

use super::known::Known;
use super::run::{ArchiveState, Watcher};
use super::send::source;
use super::{BaseState, BaseWatcher};
use crate::expire::{ExpireError, expire, without};
use crate::repo::forget::Lying;
use crate::repo::names::BaseName;
use crate::repo::sweep::GRACE;
use crate::repo::{RepoError, Repository};

/// How long what waits is left alone, at first and at most.
const FIRST_WAIT: Duration = Duration::from_secs(4);
const LONGEST_WAIT: Duration = Duration::from_secs(1800);
/// Rounds of naming and removing where nothing has to be waited for.
const ROUNDS: usize = 3;

/// What forgets in a repository, beside the archive that goes on.
#[derive(Debug, Clone)]
pub struct Forgetter {
    pub(super) store: Mailstore,
    pub(super) repository: Repository,
    pub(super) lineage: String,
    pub(super) known: Arc<Known>,
}

/// How far it has come with one erasure.
#[derive(Debug, Clone, Default)]
pub struct Forgetting {
    /// What stays of blobs, once the others are forgotten.
    blobs: Option<u64>,
    /// Whether the last look went as far as the repository.
    looked: bool,
}

impl Forgetter {
    /// What of this node has to come before anything in the repository, which nobody has to
    /// look at for that. `archived` is the last entry that the repository holds.
    fn waits_here(
        &self,
        erased: &Erased,
        archived: Option<LogIndex>,
        so_far: &Forgetting,
    ) -> Result<Option<&'static str>, RepoError> {
        if archived < Some(erased.since) {
            return Ok(Some("the archive has not come to it yet"));
        }
        let dead = || erased.dead.iter().copied().collect();
        let here = so_far.blobs.is_none() && self.here(&dead())? > 0;
        Ok(here.then_some("this node's own packs have it still"))
    }

    /// Does what can be done now, where nothing of this node has to come before.
    ///
    /// # Errors
    /// [`RepoError`]: it is to be called again.
    async fn reach(
        &self,
        erased: &Erased,
        bases: &BaseWatcher,
        grace: Duration,
        so_far: &mut Forgetting,
    ) -> Result<Reached, RepoError> {
        so_far.looked = true;
        let stays = match so_far.blobs {
            Some(stays) => stays,
            None => self.blobs(erased).await?,
        };
        so_far.blobs = Some(stays);
        let pending = match self.bases(erased, bases, grace).await? {
            Some(why) => Some(why),
            None => self.versions(erased).await?,
        };
        Ok(Reached { stays, pending })
    }

    /// Forgets what nobody has any more; gives how much others have too.
    async fn blobs(&self, erased: &Erased) -> Result<u64, RepoError> {
        let dead: BTreeSet<BlobId> = erased.dead.iter().copied().collect();
        let lying = self.repository.lying().await?;
        let (wanted, shared) = self.wanted(erased, &lying, dead).await?;
        // From here on the archive sends again what comes again.
        let had: BTreeSet<BlobId> =
            wanted.iter().filter(|blob| self.known.has(blob)).copied().collect();
        self.known.forget(&wanted);
        let (wanted, again) = self.still_dead(wanted)?;
        let forgotten = self.repository.forget(&lying, erased.erasure, erased.since, &wanted).await;
        // What came again meanwhile is there as it was.
        again.intersection(&had).for_each(|blob| self.known.add(blob));
        self.known.replaced(&forgotten?);
        Ok(erased.shared.saturating_add(shared))
    }

    /// Messages, envelopes, and the parts that no other message has, neither on this node nor in
    /// the repository; and how many parts others have.
    async fn wanted(
        &self,
        erased: &Erased,
        lying: &Lying,
        dead: BTreeSet<BlobId>,
    ) -> Result<(BTreeSet<BlobId>, u64), RepoError> {
        let mut parts = lying.parts(&dead);
        // Where the messages went before their parts, what was said then is what is known.
        let before = self.repository.forgotten().await?.into_iter();
        for before in before.filter(|before| before.erasure == erased.erasure) {
            let left = before.blobs.into_iter().filter(|blob| !dead.contains(blob));
            for blob in left {
                parts.entry(blob).or_insert(false);
            }
        }
        let (mut wanted, mut shared) = (dead, 0);
        for (part, others) in parts {
            match others || self.here(&BTreeSet::from([part]))? > 0 {
                true => shared += 1,
                false => drop(wanted.insert(part)),
            }
        }
        Ok((wanted, shared))
    }

    /// How many of some blobs this node has.
    fn here(&self, blobs: &BTreeSet<BlobId>) -> Result<usize, RepoError> {
        let mut here = 0;
        for blob in blobs {
            here += usize::from(self.store.blobs().contains(blob).map_err(source)?);
        }
        Ok(here)
    }

    /// Those that nobody brought again, and the others.
    fn still_dead(
        &self,
        blobs: BTreeSet<BlobId>,
    ) -> Result<(BTreeSet<BlobId>, BTreeSet<BlobId>), RepoError> {
        let view = self.store.local_view().map_err(source)?;
        let (mut dead, mut again) = (BTreeSet::new(), BTreeSet::new());
        for blob in blobs {
            let named = !view.referrers(&blob, 1).map_err(source)?.is_empty();
            let here = named || self.store.blobs().contains(&blob).map_err(source)?;
            (if here { &mut again } else { &mut dead }).insert(blob);
        }
        Ok((dead, again))
    }

    /// Removes bases that have rows of it, once there is one that has none.
    async fn bases(
        &self,
        erased: &Erased,
        bases: &BaseWatcher,
        grace: Duration,
    ) -> Result<Option<String>, RepoError> {
        let report = erased.reports.get(&self.store.identity().node);
        if report.is_none_or(|report| report.cleared.is_none()) {
            return Ok(Some("this node's views come first".to_owned()));
        }
        let Some(_turn) = bases.turn() else {
            return Ok(Some("a base is being taken".to_owned()));
        };
        let (gone, clean) = self.divided(erased).await?;
        let pinned = self.pinned(&gone).await?;
        if let Some((_, base)) = pinned {
            let index = base.index;
            return Ok(Some(format!("the base of entry {index} is pinned: unpin it")));
        }
        let Some(clean) = clean else {
            // What was broken off may have left pieces of states from before.
            if gone.is_empty() {
                return self.pieces(i64::MAX, &gone, grace).await;
            }
            bases.request();
            return Ok(Some("a base without it is taken, then those from before go".to_owned()));
        };
        self.pieces(clean, &gone, grace).await
    }

    /// Bases that have it, or may; and when the newest was finished of this history that has not,
    /// by the clock of where the repository lies.
    async fn divided(
        &self,
        erased: &Erased,
    ) -> Result<(BTreeSet<(String, BaseName)>, Option<i64>), RepoError> {
        let (mut having, mut clean) = (BTreeSet::new(), None);
        let swept = self.repository.sweeps().await?;
        for lineage in self.repository.lineages().await? {
            let listed = self.repository.objects();
            let listed = listed.list(&crate::repo::names::bases_of(&lineage), None).await?;
            for object in listed {
                let Some(name) = BaseName::parse(object.last()) else { continue };
                if swept.open.values().any(|(sweep, _)| sweep.bases.contains(&object.name)) {
                    // A run that was broken off goes on with it.
                    having.insert((lineage.clone(), name));
                    continue;
                }
                let base = match self.repository.base(&lineage, &name).await {
                    Err(RepoError::Missing(_)) => continue,
                    base => base?,
                };
                match erased.is_in_image(base.node, name.index) {
                    true => drop(having.insert((lineage.clone(), name))),
                    false if lineage == self.lineage && name.index >= erased.since => {
                        clean = clean.max(Some(object.made));
                    }
                    false => {}
                }
            }
        }
        Ok((having, clean))
    }

    async fn pinned(
        &self,
        bases: &BTreeSet<(String, BaseName)>,
    ) -> Result<Option<(String, BaseName)>, RepoError> {
        for (lineage, base) in bases {
            if self.repository.pins(lineage).await?.contains(base) {
                return Ok(Some((lineage.clone(), base.clone())));
            }
        }
        Ok(None)
    }

    /// Bases go at once; their pieces when nobody counts on them any more.
    async fn pieces(
        &self,
        made: i64,
        gone: &BTreeSet<(String, BaseName)>,
        grace: Duration,
    ) -> Result<Option<String>, RepoError> {
        let mut gone = gone.clone();
        for _ in 0..ROUNDS {
            let plan = without(&self.repository, &gone, made, grace).await.map_err(plain)?;
            gone.clear();
            if plan.is_empty() {
                return Ok(waits(&plan, grace));
            }
            expire(&self.repository, &plan, &mut |_, _| {}).await.map_err(plain)?;
        }
        let plan = without(&self.repository, &gone, made, grace).await.map_err(plain)?;
        let more = Some("pieces of bases are removed".to_owned());
        Ok(if plan.is_empty() { waits(&plan, grace) } else { more })
    }

    /// What the storage keeps although it was removed.
    async fn versions(&self, erased: &Erased) -> Result<Option<String>, RepoError> {
        let kept = self.repository.kept_versions(erased.erasure).await?;
        Ok(kept.first().map(|first| {
            format!(
                "the storage keeps older versions of {} objects that were removed, until it lets \
                 them go; the first is {first}",
                kept.len()
            )
        }))
    }
}

fn waits(plan: &crate::expire::Plan, grace: Duration) -> Option<String> {
    let due = plan.last_due(grace)?;
    let (count, until) = (plan.waiting_pieces(), rfc3339(Timestamp(due)));
    Some(format!("until {until}: {count} pieces of bases that are gone, which others may count on"))
}

fn plain(error: ExpireError) -> RepoError {
    match error {
        ExpireError::Repository(error) => error,
        other => RepoError::Source(other.to_string()),
    }
}

/// A base of before that comes while all else goes.
fn under_way(erased: &Erased, node: NodeId, bases: &BaseWatcher) -> Option<String> {
    let run = bases.status();
    let before = run.index.is_none_or(|index| erased.is_in_image(node, index));
    let running = run.state == BaseState::Running && before;
    running.then(|| "a base is being taken that may have it".to_owned())
}

/// What of this node a look depends on: when it changes the next look is due at once.
type Before = (bool, BaseState, Option<LogIndex>);

/// A look at the repository, what came of it, and when the next is due.
#[derive(Debug, Clone)]
struct Look {
    before: Before,
    reached: Reached,
    at: Instant,
    wait: Duration,
    so_far: Forgetting,
}

/// The repository, as a place that erasures ask.
#[derive(Debug, Clone)]
pub struct Erasing {
    store: Mailstore,
    watcher: Watcher,
    looks: Arc<Mutex<HashMap<OperationId, Look>>>,
}

impl Erasing {
    /// Of the repository that a node's archive is in.
    pub fn new(store: Mailstore, watcher: Watcher) -> Self {
        Self { store, watcher, looks: Arc::default() }
    }

    async fn look(&self, erased: &Erased, so_far: &mut Forgetting) -> Result<Reached, String> {
        let (node, status) = (self.store.identity().node, self.watcher.status());
        let Some(forgetter) = self.watcher.forgetter() else {
            return Ok(self.elsewhere(erased, status.state, status.error));
        };
        let waits = forgetter.waits_here(erased, status.index, so_far);
        if let Some(why) = waits.map_err(|error| error.to_string())? {
            return Ok(Reached::pending(why));
        }
        // Only this node writes there, and it takes no base now.
        let cluster = self.store.node().cluster();
        let alone = cluster.members.iter().all(|member| member.node == node);
        let grace = if alone { Duration::ZERO } else { GRACE };
        let bases = self.watcher.bases();
        let reached = forgetter.reach(erased, bases, grace, so_far).await;
        reached.map_err(|error| error.to_string())
    }

    /// Another node feeds the repository, and says when it is done.
    fn elsewhere(&self, erased: &Erased, state: ArchiveState, error: Option<String>) -> Reached {
        let node = self.store.identity().node;
        if let Some(why) = under_way(erased, node, self.watcher.bases()) {
            return Reached::pending(why);
        }
        match (erased.is_reached_elsewhere(node, ErasePlace::Repository), state, error) {
            (true, ..) => Reached { stays: erased.shared, pending: None },
            (false, ArchiveState::Failing, Some(error)) => Reached::pending(error),
            (false, ..) => Reached::pending("the node that feeds the repository does it"),
        }
    }

    /// What is known from a look of a short time ago.
    fn known(&self, erasure: OperationId, before: Before) -> Option<Reached> {
        let looks = self.looks.lock();
        let look = looks.get(&erasure).filter(|look| look.before == before)?;
        (look.at.elapsed() < look.wait).then(|| look.reached.clone())
    }

    fn before(&self, erased: &Erased) -> Before {
        let report = erased.reports.get(&self.store.identity().node);
        let base = self.watcher.bases().status();
        (report.is_some_and(|report| report.cleared.is_some()), base.state, base.index)
    }

    async fn reached(&self, erased: &Erased) -> Result<Reached, String> {
        let before = self.before(erased);
        if let Some(reached) = self.known(erased.erasure, before) {
            return Ok(reached);
        }
        let last = self.looks.lock().get(&erased.erasure).cloned();
        let mut so_far = last.as_ref().map(|look| look.so_far.clone()).unwrap_or_default();
        so_far.looked = false;
        let reached = self.look(erased, &mut so_far).await.unwrap_or_else(Reached::pending);
        let same = last.filter(|look| look.reached == reached && look.before == before);
        let wait = same.map_or(FIRST_WAIT, |look| (look.wait * 2).min(LONGEST_WAIT));
        // A node that waits for another one's word, or for its own packs, has looked at nothing
        // but its own state.
        let wait = if so_far.looked { wait } else { Duration::ZERO };
        let look = Look { before, reached: reached.clone(), at: Instant::now(), wait, so_far };
        self.looks.lock().insert(erased.erasure, look);
        Ok(reached)
    }
}

impl Reaches for Erasing {
    fn place(&self) -> ErasePlace {
        ErasePlace::Repository
    }

    fn reach(&self, erased: Arc<Erased>) -> Reaching {
        let this = self.clone();
        Box::pin(async move { this.reached(&erased).await })
    }
}
