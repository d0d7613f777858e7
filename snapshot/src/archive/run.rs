//! The archiver at work beside a node: whose turn it is, how often, what is said of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redoubt_log::id::{LogIndex, NodeId, OperationId, Timestamp};
use redoubt_log::raft::{Cluster, Role};
use redoubt_log::record::{Actor, Archived, Change};
use redoubt_store::alarms::AlarmKind;
use redoubt_store::mailstore::{ArchiveGate, Mailstore};
use serde::{Deserialize, Serialize};

use super::checks::{CheckSchedule, CheckWatcher};
use super::expiring::{ExpireSchedule, ExpireStatus, ExpireWatcher, Expiring};
use super::rollup::RollUp;
use super::schedule::Schedule;
use super::{Archiver, BaseRun, BaseWatcher, CheckStatus, Checks, Forgetter, Reached, Step};
use crate::repo::{KeyWish, Objects, Place, RepoError, Repository};

/// A member that was heard within this is there.
const PRESENT: Duration = Duration::from_secs(5);
/// The longest wait after failures in a row.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often the lag is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Looks that are remembered while all that they saw is not archived: those of an hour.
const LOOKS: usize = 36_000;
/// The level of the cluster from which on the log can say what is archived.
const MARK_LEVEL: u32 = 3;

/// Which node feeds the repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Feeder {
    /// A follower where there is one, so that the leader's disk is not read.
    #[default]
    Follower,
    /// The leader.
    Leader,
    /// This node, whatever it is.
    Any,
}

/// How a node archives.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to.
    pub place: Place,
    /// How it is encrypted.
    pub key: KeyWish,
    /// How often it looks for what has come.
    pub interval: Duration,
    /// Who feeds.
    pub feeder: Feeder,
    /// Beyond this lag there is an alarm.
    pub alarm_lag: Duration,
    /// How often the log is told what is archived.
    pub mark_every: Duration,
    /// How long after one base the next is taken; nothing: only when somebody asks, and where
    /// nothing can be recovered without.
    pub base_every: Duration,
    /// When the repository is verified.
    pub checks: Checks,
    /// When what need not stay goes.
    pub expiring: Expiring,
}

/// How the archive is, as this node knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArchiveState {
    /// Nothing was tried yet.
    #[default]
    Starting,
    /// This node feeds it.
    Feeding,
    /// Another node does.
    Waiting,
    /// It does not work; the error says why.
    Failing,
}

/// Numbers of the archive, as this node knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveStatus {
    /// Where it lies.
    pub repository: String,
    /// How it is.
    pub state: ArchiveState,
    /// Who feeds it, where that is another node.
    #[serde(default)]
    pub feeder: Option<NodeId>,
    /// The last entry that it holds.
    pub index: Option<LogIndex>,
    /// That entry's effective time.
    pub time: Option<Timestamp>,
    /// Entries that are applied here and not archived.
    pub lag_records: u64,
    /// How old the oldest entry is that is not archived, in milliseconds.
    pub lag_ms: u64,
    /// Entries that this process archived.
    pub entries: u64,
    /// Blobs that it sent.
    pub blobs: u64,
    /// Octets of blobs that it sent.
    pub bytes: u64,
    /// Tries that failed since the last that did not.
    pub failures: u64,
    /// Why the last one failed.
    pub error: Option<String>,
    /// The base under way here, or the last one of this process.
    #[serde(default)]
    pub base: BaseRun,
    /// What came of verifying the repository.
    #[serde(default)]
    pub verify: CheckStatus,
    /// What went by itself.
    #[serde(default)]
    pub expire: ExpireStatus,
}

/// What is shared with whoever asks how the archive is.
#[derive(Debug, Clone, Default)]
pub struct Watcher(
    Arc<Mutex<Watched>>,
    BaseWatcher,
    CheckWatcher,
    ExpireWatcher,
    Arc<Mutex<Option<Forgetter>>>,
);

#[derive(Debug, Default)]
struct Watched {
    status: ArchiveStatus,
    /// What was applied at looks since, and is not archived; before the first all was that is
    /// archived now.
    looks: VecDeque<(LogIndex, Instant)>,
    /// The last look at which nothing was there that is not archived now.
    whole: Option<Instant>,
}

impl Watched {
    /// Since when the oldest entry may have been there that is not archived.
    fn behind(&self) -> Option<Instant> {
        let (_, first) = self.looks.front()?;
        Some(self.whole.unwrap_or(*first))
    }

    fn look(&mut self, reached: Option<LogIndex>, applied: LogIndex, now: Instant) {
        while let Some((_, at)) = self.looks.front().filter(|look| Some(look.0) <= reached) {
            self.whole = Some(*at);
            self.looks.pop_front();
        }
        match Some(applied) <= reached {
            true => self.whole = Some(now),
            // A look that is not remembered makes the lag longer, never shorter.
            false if self.looks.len() < LOOKS => self.looks.push_back((applied, now)),
            false => {}
        }
    }
}

impl Watcher {
    /// How the archive is now.
    pub fn status(&self) -> ArchiveStatus {
        let watched = self.0.lock();
        let lag = watched.behind().map_or(0, |since| since.elapsed().as_millis());
        let lag_ms = u64::try_from(lag).unwrap_or(u64::MAX);
        let (base, verify) = (self.1.status(), self.2.lock().clone());
        let expire = self.3.lock().clone();
        ArchiveStatus { lag_ms, base, verify, expire, ..watched.status.clone() }
    }

    /// Bases, and how to ask for one.
    pub fn bases(&self) -> &BaseWatcher {
        &self.1
    }

    /// What forgets in the repository; only where this node feeds it.
    pub(super) fn forgetter(&self) -> Option<Forgetter> {
        self.4.lock().clone()
    }

    fn change(&self, change: impl FnOnce(&mut ArchiveStatus)) {
        change(&mut self.0.lock().status);
    }

    fn look(&self, reached: Option<LogIndex>, applied: LogIndex) {
        let mut watched = self.0.lock();
        let end = |index: Option<LogIndex>| index.map_or(0, |index| index.0.saturating_add(1));
        let lag = end(Some(applied)).saturating_sub(end(reached));
        watched.status.lag_records = lag;
        watched.look(reached, applied, Instant::now());
    }

    fn took(&self, step: &Step, reached: Option<Reached>) {
        self.change(|status| {
            status.index = reached.map(|reached| reached.index);
            status.time = reached.map(|reached| reached.time);
            status.entries += step.entries;
            status.blobs += step.blobs;
            status.bytes += step.bytes;
        });
    }
}

/// Whose turn it is: one rule for all, over what each knows of the others.
/// They may differ for a moment, and then two feed, which does no harm.
fn feeder_of(cluster: &Cluster, feeder: Feeder) -> Option<NodeId> {
    match feeder {
        Feeder::Any => Some(cluster.node),
        Feeder::Leader => cluster.leader,
        Feeder::Follower => chosen_follower(cluster).or(cluster.leader),
    }
}

fn chosen_follower(cluster: &Cluster) -> Option<NodeId> {
    let here = |contact: Option<Duration>| contact.is_some_and(|ago| ago < PRESENT);
    let mut followers = cluster.members.iter().filter(|member| {
        let there = member.node == cluster.node || here(member.last_contact);
        member.role == Role::Voter && !member.light && there
    });
    followers.next().map(|member| member.node)
}

/// One node's archive at work.
struct Worker {
    store: Mailstore,
    settings: Settings,
    watcher: Watcher,
    gate: Option<ArchiveGate>,
    archiver: Option<Archiver>,
    schedule: Schedule,
    checks: CheckSchedule,
    expiring: ExpireSchedule,
    roll_up: RollUp,
    objects: Option<Objects>,
    marked: Instant,
    news: bool,
}

/// Archives for as long as it is polled. `objects` is where, if not where the settings say.
pub async fn run(
    store: Mailstore,
    settings: Settings,
    watcher: Watcher,
    gate: Option<ArchiveGate>,
    objects: Option<Objects>,
) {
    watcher.change(|status| status.repository.clone_from(&settings.place.repository));
    let (archiver, marked, news) = (None, Instant::now(), false);
    let schedule = Schedule::new(watcher.bases().clone(), settings.base_every);
    let checks = CheckSchedule::new(settings.checks.clone(), watcher.2.clone());
    let (expired, checked) = (watcher.3.clone(), watcher.2.clone());
    let expiring = ExpireSchedule::new(settings.expiring, expired, checked);
    let roll_up = RollUp::new();
    let mut worker = Worker {
        store,
        settings,
        watcher,
        gate,
        archiver,
        schedule,
        checks,
        expiring,
        roll_up,
        objects,
        marked,
        news,
    };
    let lag = worker.lag();
    let mut wait = worker.settings.interval;
    loop {
        let began = Instant::now();
        let interval = worker.settings.interval;
        let rest = match lag.watched(worker.turn()).await {
            Ok(()) => {
                wait = interval;
                rest_after(interval, began.elapsed())
            }
            Err(_) => {
                wait = (wait * 2).min(LONGEST_WAIT).max(interval);
                wait
            }
        };
        lag.alarm();
        lag.watched(worker.rest(rest)).await;
    }
}

/// How long to rest after a turn, so that nothing waits for longer than the interval. What comes
/// just behind a turn's beginning waits for its end, this rest, and the next turn, which may take
/// longer; and it is known only to the next look that it came.
fn rest_after(interval: Duration, turn: Duration) -> Duration {
    let most = interval.saturating_mul(4) / 5;
    most.saturating_sub(turn.saturating_mul(2)).max(interval / 20)
}

/// What is told of the lag, also while the repository hangs.
struct Lag {
    store: Mailstore,
    watcher: Watcher,
    every: Duration,
    limit: Duration,
}

impl Lag {
    /// Looks now and then for as long as some work takes.
    async fn watched<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(self.every) => self.look(),
            }
        }
    }

    fn look(&self) {
        let status = self.watcher.status();
        if status.state != ArchiveState::Waiting {
            self.watcher.look(status.index, self.store.applied());
            self.alarm();
        }
    }

    fn alarm(&self) {
        let status = self.watcher.status();
        let limit = u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX);
        let text = (status.lag_ms > limit).then(|| {
            let why = status.error.map_or(String::new(), |error| format!(": {error}"));
            let (records, seconds) = (status.lag_records, status.lag_ms / 1000);
            format!("{records} records of {seconds} s are not in the repository{why}")
        });
        self.store.alarms().set(AlarmKind::Archive, "lag", text);
    }
}

impl Worker {
    fn lag(&self) -> Lag {
        let (store, watcher) = (self.store.clone(), self.watcher.clone());
        Lag { store, watcher, every: LOOK, limit: self.settings.alarm_lag }
    }

    /// Until it is time again, or a delivery waits for the archive. After a failure it is
    /// time that counts.
    async fn rest(&self, wait: Duration) {
        let rest = tokio::time::sleep(wait);
        match self.gate.as_ref().filter(|_| wait <= self.settings.interval) {
            None => rest.await,
            Some(gate) => {
                tokio::select! {
                    () = rest => {}
                    () = gate.wanted() => {}
                }
            }
        }
    }

    async fn turn(&mut self) -> Result<(), RepoError> {
        let cluster = self.store.node().cluster();
        let feeder = feeder_of(&cluster, self.settings.feeder);
        if feeder != Some(cluster.node) {
            self.set_archiver(None);
            self.wait_for_others(feeder);
            return self.base_here().await;
        }
        let fed = self.feed().await;
        match &fed {
            Ok(()) => self.went_well(),
            Err(error) => self.went_wrong(error),
        }
        fed
    }

    /// A base of this node, though another one feeds the archive: somebody asked for it.
    async fn base_here(&mut self) -> Result<(), RepoError> {
        if self.schedule.wanted() {
            let repository = self.repository().await?;
            let archiver = Archiver::open(self.store.clone(), repository).await?;
            self.schedule.begin(&archiver);
        }
        Ok(())
    }

    /// What another node has archived is known from the log.
    fn wait_for_others(&self, feeder: Option<NodeId>) {
        let archived = self.store.local_view().ok().and_then(|view| view.archived().ok()?);
        self.watcher.change(|status| {
            status.state = ArchiveState::Waiting;
            status.feeder = feeder;
            status.index = archived.map(|archived| archived.index);
            status.error = None;
        });
        // Marks come now and then: what they lack is no lag.
        self.watcher.look(Some(self.store.applied()), self.store.applied());
        self.store.alarms().clear(AlarmKind::Archive, "repository");
    }

    async fn feed(&mut self) -> Result<(), RepoError> {
        if self.archiver.is_none() {
            let repository = self.repository().await?;
            let archiver = Archiver::open(self.store.clone(), repository).await?;
            let text = archiver.lacks_beginning().await?;
            self.store.alarms().set(AlarmKind::Archive, "beginning", text);
            self.set_archiver(Some(archiver));
        }
        // What comes meanwhile is for the next turn: under load it would be object upon object.
        let end = self.store.applied();
        loop {
            let Some(archiver) = &mut self.archiver else { return Ok(()) };
            self.watcher.look(archiver.reached().map(|at| at.index), self.store.applied());
            let step = archiver.step().await?;
            let reached = archiver.reached();
            self.watcher.took(&step, reached);
            if let (Some(gate), Some(reached)) = (&self.gate, reached) {
                gate.reached(reached.index);
            }
            self.news |= step.news;
            self.mark(reached).await;
            if let Some(archiver) = &self.archiver {
                self.schedule.look(archiver).await?;
                self.checks.look(archiver).await?;
                self.expiring.look(archiver);
                self.roll_up.look(archiver);
            }
            if step.entries == 0 || reached.is_some_and(|at| at.index >= end) {
                self.watcher.look(reached.map(|at| at.index), self.store.applied());
                return Ok(());
            }
        }
    }

    /// Who feeds the repository forgets in it too.
    fn set_archiver(&mut self, archiver: Option<Archiver>) {
        *self.watcher.4.lock() = archiver.as_ref().map(Archiver::forgetter);
        self.archiver = archiver;
    }

    async fn repository(&self) -> Result<Repository, RepoError> {
        let objects = match &self.objects {
            Some(objects) => objects.clone(),
            None => {
                let place = self.settings.place.clone();
                let made = tokio::task::spawn_blocking(move || place.objects(true)).await;
                made.map_err(super::send::source)??
            }
        };
        Repository::open_or_make(objects, &self.settings.key).await
    }

    /// The log is told now and then: what is archived may be purged and reclaimed.
    async fn mark(&mut self, reached: Option<Reached>) {
        let due = self.news && self.marked.elapsed() >= self.settings.mark_every;
        let Some(Reached { index, chain, .. }) = reached.filter(|_| due) else { return };
        if self.store.node().cluster().level < MARK_LEVEL {
            return;
        }
        (self.marked, self.news) = (Instant::now(), false);
        let change = Change::Archived(Archived { index, chain });
        let told = self.store.submit(&Actor::SYSTEM, OperationId::random(), change).await;
        if let Err(error) = told {
            tracing::debug!(%error, "the log is told later what is archived");
        }
    }

    fn went_well(&self) {
        self.watcher.change(|status| {
            (status.state, status.feeder) = (ArchiveState::Feeding, None);
            (status.failures, status.error) = (0, None);
        });
        self.store.alarms().clear(AlarmKind::Archive, "repository");
    }

    /// What passes by itself is an alarm when it lasts; all else is one at once.
    fn went_wrong(&mut self, error: &RepoError) {
        if !error.is_passing() {
            self.set_archiver(None);
        }
        self.watcher.look(self.watcher.status().index, self.store.applied());
        self.watcher.change(|status| {
            status.state = ArchiveState::Failing;
            status.failures += 1;
            status.error = Some(error.to_string());
        });
        tracing::warn!(%error, "nothing was archived");
        if !error.is_passing() {
            let alarms = self.store.alarms();
            alarms.raise(AlarmKind::Archive, "repository", error.to_string());
        }
    }
}

impl Drop for Worker {
    /// Nobody holds the store for the sake of what it may have to forget.
    fn drop(&mut self) {
        self.set_archiver(None);
    }
}

#[cfg(test)]
mod tests {
    use redoubt_log::id::Term;
    use redoubt_log::raft::ClusterMember;

    use super::*;

    fn is_mine(cluster: &Cluster, feeder: Feeder) -> bool {
        feeder_of(cluster, feeder) == Some(cluster.node)
    }

    fn member(node: u64, role: Role, light: bool, contact_s: Option<u64>) -> ClusterMember {
        ClusterMember {
            node: NodeId(node),
            address: String::new(),
            role,
            light,
            matched: None,
            applied: None,
            lag_records: None,
            lag: None,
            last_contact: contact_s.map(Duration::from_secs),
            incarnation: None,
            level: None,
            version: None,
            clock_offset_ms: None,
            growth_allowed: None,
            trouble: None,
        }
    }

    #[test]
    fn the_lag_is_the_age_of_the_oldest_entry_that_is_not_archived() {
        let (mut watched, zero) = (Watched::default(), Instant::now());
        let at = |seconds| zero + Duration::from_secs(seconds);
        let since = |watched: &Watched| watched.behind().map(|since| (since - zero).as_secs());
        watched.look(None, LogIndex(4), at(1));
        assert_eq!(since(&watched), Some(1), "nothing was archived ever");
        watched.look(Some(LogIndex(4)), LogIndex(4), at(2));
        assert_eq!(since(&watched), None);
        watched.look(Some(LogIndex(4)), LogIndex(6), at(10));
        watched.look(Some(LogIndex(4)), LogIndex(8), at(11));
        assert_eq!(since(&watched), Some(2), "it came behind that look");
        watched.look(Some(LogIndex(6)), LogIndex(9), at(12));
        assert_eq!(since(&watched), Some(10), "though it never had all of it");
        watched.look(Some(LogIndex(9)), LogIndex(9), at(13));
        assert_eq!(since(&watched), None);
    }

    fn cluster(node: u64, leader: Option<u64>, members: Vec<ClusterMember>) -> Cluster {
        let (node, leader) = (NodeId(node), leader.map(NodeId));
        Cluster { node, term: Term(1), leader, level: 3, changing: false, members }
    }

    #[test]
    fn one_follower_that_is_there_feeds_and_the_leader_where_there_is_none() {
        use Role::{Leader, Learner, Voter};
        let turn = |me, members: &[ClusterMember]| {
            is_mine(&cluster(me, Some(1), members.to_vec()), Feeder::Follower)
        };
        let of = |two: Option<u64>, three: Option<u64>| {
            vec![
                member(1, Leader, false, Some(0)),
                member(2, Voter, false, two),
                member(3, Voter, false, three),
                member(4, Learner, false, Some(0)),
                member(5, Voter, true, Some(0)),
            ]
        };
        let whose = |members: &[ClusterMember], ids: &[u64]| {
            ids.iter().copied().filter(|id| turn(*id, members)).collect::<Vec<_>>()
        };
        assert_eq!(whose(&of(Some(0), Some(0)), &[1, 2, 3, 4, 5]), [2]);
        assert_eq!(whose(&of(Some(60), Some(0)), &[1, 3]), [3]);
        assert_eq!(whose(&of(Some(60), None), &[1]), [1]);
        let alone = cluster(1, Some(1), vec![member(1, Leader, false, None)]);
        assert!(is_mine(&alone, Feeder::Follower) && is_mine(&alone, Feeder::Leader));
        let nobody = cluster(2, None, vec![member(2, Voter, false, None)]);
        assert!(is_mine(&nobody, Feeder::Follower) && !is_mine(&nobody, Feeder::Leader));
    }
}
