//! What is old goes: bases and ranges at once, packs and pieces that nothing names any more
//! a day later, so that nobody has to be locked out (see [`crate::repo::sweep`]).
//!
//! A sweep is written before anything is removed, so that a run that was broken off is told
//! from damage, and the next one goes on with it. Of a base its description goes first, of a
//! pack its index: what is half removed is not there.

mod live;
mod policy;
mod without;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redoubt_log::id::LogIndex;
use serde::Serialize;

pub use policy::{Cut, Keep, Known, cut};
pub use without::without;

use crate::plan::{Histories, cover};
use crate::repo::base::Description;
use crate::repo::names::{self, BaseName};
use crate::repo::sweep::{GRACE, MOST, Sweep, Sweeps};
use crate::repo::{Listed, RepoError, Repository};
use live::{Live, garbage, indexes, may_go};

/// For how long an object may be written to before it counts as left by a crash.
const UNFINISHED: Duration = Duration::from_secs(24 * 3600);
/// The floor of a history that goes as a whole.
const WHOLE: LogIndex = LogIndex(u64::MAX);

/// What is to be expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// What is to stay.
    pub keep: Keep,
    /// A base that is to go.
    pub base: Option<(String, BaseName)>,
    /// A history that is to go as a whole.
    pub history: Option<String>,
    /// Although moments can then not be had any more that are to stay.
    pub force: bool,
    /// Now, in milliseconds since 1970.
    pub now: i64,
    /// How long packs and pieces are named before they are removed.
    pub grace: Duration,
}

impl Default for Wishes {
    fn default() -> Self {
        let now = redoubt_log::id::Timestamp::now().0;
        let keep = Keep::default();
        Self { keep, base: None, history: None, force: false, now, grace: GRACE }
    }
}

/// Why nothing is expired.
#[derive(Debug, thiserror::Error)]
pub enum ExpireError {
    /// The repository does not give what is needed.
    #[error(transparent)]
    Repository(#[from] RepoError),
    /// What would remain is not sound.
    #[error(
        "history {lineage} is not sound behind entry {from}: {problem}; nothing is removed. Look \
         with `redoubt backup verify`, and take a base with `redoubt backup start`"
    )]
    Unsound {
        /// The history.
        lineage: String,
        /// Where it would begin.
        from: LogIndex,
        /// What is wrong.
        problem: String,
    },
    /// Moments would be lost that are to stay.
    #[error("{0}; --force does it all the same")]
    Needed(String),
    /// There is no such thing.
    #[error("{0}")]
    NoSuch(String),
    /// Another one is at work.
    #[error("another one expires at this moment: nothing was removed by this one")]
    Busy,
}

/// What goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Bases, by their whole names.
    pub bases: BTreeSet<String>,
    /// Up to and with which entry the log of a history goes.
    pub floors: BTreeMap<String, LogIndex>,
    /// Ranges of logs, with their octets.
    pub ranges: BTreeMap<String, u64>,
    /// Packs and pieces that nothing names then, with their octets: named now, removed after
    /// the grace.
    pub later: BTreeMap<String, u64>,
    /// Packs and pieces that were named long enough ago, with their octets: removed now.
    pub now: BTreeMap<String, u64>,
    /// What was named and is needed again.
    pub spared: BTreeSet<String>,
    /// Histories that go as a whole.
    pub histories: BTreeSet<String>,
    /// Where each history begins afterwards.
    pub begins: BTreeMap<String, LogIndex>,
    /// What was named too short a time ago.
    pub waiting: BTreeSet<String>,
    #[serde(skip)]
    indexes: BTreeMap<String, Vec<String>>,
    #[serde(skip)]
    sweeps: Sweeps,
}

impl Plan {
    /// Whether there is nothing to be done.
    pub fn is_empty(&self) -> bool {
        let Self { bases, floors, ranges, later, now, histories, .. } = self;
        let none = bases.is_empty() && floors.is_empty() && ranges.is_empty();
        none && later.is_empty() && now.is_empty() && histories.is_empty()
    }

    /// Octets that are removed now.
    pub fn bytes(&self) -> u64 {
        self.ranges.values().chain(self.now.values()).sum()
    }
}

/// A history and what is known of it.
struct History {
    lineage: String,
    bases: Vec<Description>,
    known: Known,
    last: Option<LogIndex>,
    /// What a run that was broken off has not said yet.
    unsaid: Option<LogIndex>,
}

/// What would go.
///
/// # Errors
/// See [`ExpireError`].
pub async fn plan(repository: &Repository, wishes: &Wishes) -> Result<Plan, ExpireError> {
    let sweeps = repository.sweeps().await?;
    let listed = repository.objects().list("", None).await?;
    let mut plan = Plan { sweeps, indexes: indexes(&listed), ..Plan::default() };
    let mut live = Live::default();
    let histories = histories(repository, &plan.sweeps).await?;
    let needed = needed(repository, &histories).await?;
    refuse_last(&histories, &needed, wishes)?;
    for history in &histories {
        let dropped = history.known.floor == Some(WHOLE);
        if dropped || wishes.history.as_ref() == Some(&history.lineage) {
            plan.drop_history(history);
            continue;
        }
        let cut = match needed.contains(&history.lineage) && !wishes.force {
            true => Cut::default(),
            false => wished(history, wishes)?,
        };
        let floor = cut.floor.max(history.known.floor);
        let gone = |base: &&Description| !cut.bases.contains(&base.name());
        let kept: Vec<&Description> = history.bases.iter().filter(gone).collect();
        if !wishes.force && (!cut.bases.is_empty() || cut.floor.is_some()) {
            sound(repository, history, &kept, floor).await?;
        }
        for base in &kept {
            live.base(repository, base).await?;
        }
        live.log(repository, &history.lineage, floor).await?;
        plan.take(history, cut, floor);
    }
    plan.left_over(&listed);
    live.packs(repository, &plan.sweeps).await?;
    plan.ranges = ranges(&listed, &plan);
    let grace = i64::try_from(wishes.grace.as_millis()).unwrap_or(i64::MAX);
    plan.later = garbage(&listed, &live, &plan.sweeps, grace).into_iter().take(MOST).collect();
    plan.due(&listed, &live, grace);
    Ok(plan)
}

impl Plan {
    fn take(&mut self, history: &History, cut: Cut, floor: Option<LogIndex>) {
        let lineage = &history.lineage;
        self.bases.extend(cut.bases.iter().map(|name| name.name(lineage)));
        if let Some(floor) = cut.floor.max(history.unsaid) {
            self.floors.insert(lineage.clone(), floor);
        }
        self.begins.insert(lineage.clone(), floor.unwrap_or(LogIndex(0)));
    }

    /// What a run that was broken off has not removed yet.
    fn left_over(&mut self, listed: &[Listed]) {
        let there: BTreeSet<&str> = listed.iter().map(|object| object.name.as_str()).collect();
        let open = self.sweeps.open.values().flat_map(|(sweep, _)| &sweep.bases);
        let left = |base: &&String| there.contains(base.as_str()) || there.contains(&*taken(base));
        self.bases.extend(open.filter(left).cloned());
    }

    fn drop_history(&mut self, history: &History) {
        let lineage = &history.lineage;
        self.bases.extend(history.bases.iter().map(|base| base.name().name(lineage)));
        self.floors.insert(lineage.clone(), WHOLE);
        self.histories.insert(lineage.clone());
    }

    /// What was named long enough ago goes, unless something names it again.
    fn due(&mut self, listed: &[Listed], live: &Live, grace: i64) {
        let now = listed.iter().map(|object| object.made).max().unwrap_or(0);
        let there: BTreeMap<&str, u64> =
            listed.iter().map(|object| (object.name.as_str(), object.size)).collect();
        for (sweep, made) in self.sweeps.open.values() {
            for name in sweep.later.iter().filter(|name| may_go(name)) {
                let Some(size) = there.get(name.as_str()) else { continue };
                if live.objects.contains(name) {
                    self.spared.insert(name.clone());
                } else if now.saturating_sub(*made) >= grace {
                    self.now.insert(name.clone(), *size);
                } else {
                    self.waiting.insert(name.clone());
                }
            }
        }
    }
}

async fn histories(repository: &Repository, sweeps: &Sweeps) -> Result<Vec<History>, ExpireError> {
    let mut histories = Vec::new();
    for lineage in repository.lineages().await? {
        let mut bases = Vec::new();
        for name in repository.bases(&lineage).await? {
            // One that is half expired is not there.
            let text = name.name(&lineage);
            if !sweeps.open.values().any(|(sweep, _)| sweep.bases.contains(&text)) {
                bases.push(repository.base(&lineage, &name).await?);
            }
        }
        let said = repository.floor(&lineage).await?;
        let begun = sweeps.open.values().filter_map(|(sweep, _)| sweep.floors.get(&lineage));
        let unsaid = begun.copied().max().filter(|begun| Some(*begun) > said);
        let known = Known {
            bases: bases.iter().map(|base| (base.name(), base.time().0)).collect(),
            pins: repository.pins(&lineage).await?,
            floor: said.max(unsaid),
        };
        let last = repository.ranges(&lineage, None).await?.iter().map(|name| name.last).max();
        histories.push(History { lineage, bases, known, last, unsaid });
    }
    Ok(histories)
}

/// Histories that others go on from which have no base of their own.
async fn needed(
    repository: &Repository,
    histories: &[History],
) -> Result<BTreeSet<String>, RepoError> {
    let all = Histories::read(repository).await?;
    let without = histories.iter().filter(|history| history.bases.is_empty());
    let parents = without.filter_map(|history| all.parent(&history.lineage));
    Ok(parents.map(|parent| parent.lineage.clone()).collect())
}

/// The cut by the policy, and by what was named.
fn wished(history: &History, wishes: &Wishes) -> Result<Cut, ExpireError> {
    let mut wanted = cut(&history.known, wishes.keep, wishes.now);
    let Some((lineage, name)) = &wishes.base else { return Ok(wanted) };
    if *lineage != history.lineage {
        return Ok(wanted);
    }
    if history.known.pins.contains(name) {
        let text = format!("the base of entry {} is pinned: unpin it first", name.index);
        return Err(ExpireError::NoSuch(text));
    }
    // The log from a floor on begins with the first base behind it.
    let floor = history.known.floor.max(wanted.floor);
    let behind = |(other, _): &&(BaseName, i64)| other != name && Some(other.index) >= floor;
    let mut others = history.known.bases.iter().filter(behind).map(|(other, _)| other);
    let needed = floor.is_some() && !others.clone().any(|other| other < name);
    if needed && Some(name.index) >= floor {
        if !wishes.force {
            let text = format!("moments from entry {} on need this base", name.index);
            return Err(ExpireError::Needed(text));
        }
        wanted.floor = others.find(|other| *other > name).map(|next| next.index).or(wanted.floor);
    }
    if !wanted.bases.contains(name) {
        wanted.bases.push(name.clone());
    }
    Ok(wanted)
}

/// The history that is being written is never dropped as a whole, nor the last one.
fn refuse_last(
    histories: &[History],
    needed: &BTreeSet<String>,
    wishes: &Wishes,
) -> Result<(), ExpireError> {
    let Some(wish) = &wishes.history else { return Ok(()) };
    let Some(history) = histories.iter().find(|history| history.lineage == *wish) else {
        return Err(ExpireError::NoSuch(format!("there is no history {wish}")));
    };
    if !history.known.pins.is_empty() {
        return Err(ExpireError::NoSuch(format!(
            "history {wish} has pinned bases: unpin them first"
        )));
    }
    if needed.contains(wish) {
        let text = format!("another history goes on from {wish}, and has no base of its own yet");
        return Err(ExpireError::NoSuch(text));
    }
    // An index leaps with each recovery, so that the newest history has the highest.
    let newest = histories.iter().max_by_key(|history| history.last);
    if newest.is_none_or(|newest| newest.lineage == *wish) {
        return Err(ExpireError::NoSuch(format!("history {wish} is the newest: it stays")));
    }
    match wishes.force {
        true => Ok(()),
        false => Err(ExpireError::Needed(format!("all of history {wish} would go"))),
    }
}

/// What stays must be able to be recovered, before anything else goes.
async fn sound(
    repository: &Repository,
    history: &History,
    kept: &[&Description],
    floor: Option<LogIndex>,
) -> Result<(), ExpireError> {
    let from = floor.unwrap_or(LogIndex(0));
    let unsound =
        |problem: String| ExpireError::Unsound { lineage: history.lineage.clone(), from, problem };
    let there = repository.pieces().await?;
    for base in kept.iter().filter(|base| base.index() >= from) {
        if let Some(error) = repository.lacks(base, &there).first() {
            return Err(unsound(error.to_string()));
        }
    }
    let Some(floor) = floor else { return Ok(()) };
    if !kept.iter().any(|base| base.index() >= floor) {
        return Err(unsound("no base is left there".to_owned()));
    }
    let Some(last) = history.last.filter(|last| *last > floor) else { return Ok(()) };
    let names = repository.ranges(&history.lineage, None).await?;
    let first = kept.iter().map(|base| base.index()).find(|index| *index >= floor);
    let next = LogIndex(first.unwrap_or(floor).0.saturating_add(1));
    match cover(&names, next, last) {
        _ if next > last => Ok(()),
        Ok(_) => Ok(()),
        Err(index) => Err(unsound(format!("entry {index} is in no range"))),
    }
}

/// Ranges that end at or below the floors.
fn ranges(listed: &[Listed], plan: &Plan) -> BTreeMap<String, u64> {
    let goes = |object: &&Listed| {
        let mut parts = object.name.split('/');
        let (folder, lineage) = (parts.next(), parts.next().unwrap_or_default());
        let floor = plan.begins.get(lineage).filter(|floor| floor.0 > 0);
        let floor = floor.or_else(|| plan.floors.get(lineage));
        let name = names::RangeName::parse(object.last()).filter(|_| folder == Some("log"));
        name.zip(floor).is_some_and(|(name, floor)| name.last <= *floor)
    };
    listed.iter().filter(goes).map(|object| (object.name.clone(), object.size)).collect()
}

/// Does what was planned; `progress` is told objects done and in all. After an error, or a
/// kill, the next plan and run go on.
///
/// # Errors
/// [`ExpireError::Busy`], [`RepoError::Unreachable`].
pub async fn expire(
    repository: &Repository,
    plan: &Plan,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<u64, ExpireError> {
    if let Err(error) = repository.objects().sweep_staged(UNFINISHED).await {
        tracing::warn!(%error, "what crashes left in the repository stays");
    }
    if plan.is_empty() {
        return Ok(0);
    }
    let sweep = Sweep {
        bases: plan.bases.clone(),
        floors: plan.floors.clone(),
        later: plan.later.keys().cloned().collect(),
    };
    let number = plan.sweeps.newest.saturating_add(1);
    match repository.begin_sweep(number, &sweep).await {
        Err(RepoError::Conflict(_)) => return Err(ExpireError::Busy),
        begun => begun?,
    }
    let order = order(plan);
    let all = order.len() as u64;
    for (lineage, floor) in &plan.floors {
        repository.put_floor(lineage, *floor).await?;
    }
    for (done, name) in (1..).zip(&order) {
        repository.objects().delete(name).await?;
        progress(done, all);
    }
    for lineage in &plan.histories {
        forget(repository, lineage).await?;
    }
    close(repository, plan).await?;
    Ok(all)
}

/// What is removed, in this order.
fn order(plan: &Plan) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    for base in &plan.bases {
        // Its description, then what says that there was one.
        order.extend([base.clone(), taken(base)]);
    }
    order.extend(plan.ranges.keys().cloned());
    for name in plan.now.keys() {
        order.extend(plan.indexes.get(name).into_iter().flatten().cloned());
        order.push(name.clone());
    }
    order
}

/// What says that a base was finished, by the base's whole name.
fn taken(base: &str) -> String {
    base.replacen("bases/", "taken/", 1)
}

/// The last of a history that goes as a whole. Its secret comes last: without it there is
/// no history.
async fn forget(repository: &Repository, lineage: &str) -> Result<(), RepoError> {
    for object in repository.objects().list(&names::floors_of(lineage), None).await? {
        repository.objects().delete(&object.name).await?;
    }
    repository.objects().delete(&names::secret_of(lineage)).await
}

/// Sweeps that are done go; the one of this run stays, whose number the next counts from.
async fn close(repository: &Repository, plan: &Plan) -> Result<(), RepoError> {
    for (number, (sweep, _)) in &plan.sweeps.open {
        if sweep.later.iter().all(|name| !plan.waiting.contains(name)) {
            repository.objects().delete(&names::sweep(*number)).await?;
        }
    }
    Ok(())
}
