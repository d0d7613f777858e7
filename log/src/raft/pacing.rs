//! Proposals are held back while a node that joins does not come closer. A learner is in no
//! majority: nothing else slows a leader whose log grows faster than the learner follows, and
//! the join would never end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use crate::codec;
use crate::id::{LogIndex, NodeId};
use crate::raft::hub::Hub;
use crate::raft::members::{NEAR, matched};
use crate::record::Change;

/// How often a leader looks at those who join.
const EVERY: Duration = Duration::from_secs(1);
/// Records that a learner may be behind before proposals are held back for it.
const FAR: u64 = 1000;
/// Octets of a record in the log where the log does not say.
const USUAL: f64 = 512.0;
/// What of a record's octets in the log is beside the change itself, about.
const FRAME: f64 = 128.0;
/// What of a learner's speed proposals are held to: by the rest it comes closer.
const PART: f64 = 0.5;
/// Records a second that are let through however slow a learner is.
const LEAST: f64 = 50.0;
/// Octets of log a second: no learner is faster, what looks so was a state image.
const FASTEST: f64 = 16.0 * 1024.0 * 1024.0;
/// After so many looks without any progress a learner is not waited for.
const STILL: u32 = 10;

/// One that follows the log, as it was at the last look.
#[derive(Debug, Default)]
struct Pursuit {
    at: Option<u64>,
    /// Octets of log a second, while there was always something to follow: a record of a thousand
    /// emails takes as long as hundreds of one.
    speed: Option<f64>,
    still: u32,
    held: bool,
}

impl Pursuit {
    /// What proposals are held to, in octets of log a second, after a look at where a learner is,
    /// how many records that is behind, and how many octets a record has there.
    fn look(&mut self, at: Option<u64>, behind: u64, octets: f64, since: Duration) -> Option<f64> {
        let before = std::mem::replace(&mut self.at, at);
        let (Some(before), Some(at)) = (before, at) else {
            *self = Self { at, ..Self::default() };
            return None;
        };
        let came = at.saturating_sub(before);
        self.still = if came == 0 { self.still.saturating_add(1) } else { 0 };
        self.held = self.still < STILL && behind > if self.held { NEAR } else { FAR };
        // Close behind, it is as slow as what it follows.
        if behind > FAR {
            self.measured(came as f64 * octets, since);
        }
        self.speed.filter(|_| self.held).map(|speed| speed * PART)
    }

    fn measured(&mut self, came: f64, since: Duration) {
        let now = (came / since.as_secs_f64().max(1e-3)).min(FASTEST);
        self.speed = Some(self.speed.map_or(now, |speed| (speed + now) / 2.0));
    }
}

/// When a record may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Now,
    At(Instant),
    /// Not before its deadline.
    Never,
}

/// How fast proposals may come.
#[derive(Debug, Default)]
pub(crate) struct Pacing {
    turns: Mutex<Turns>,
}

#[derive(Debug, Default)]
struct Turns {
    /// Octets of log a second; `None` while nobody is waited for.
    rate: Option<f64>,
    free: Option<Instant>,
}

impl Pacing {
    /// Waits for the turn of one record; false when that is not before the deadline.
    pub(crate) async fn turn(&self, change: &Change, deadline: Instant) -> bool {
        if is_the_systems(change) {
            return true;
        }
        // Not even a sleep that is over: a timer's tick is a millisecond, a delivery half of one.
        let Some(rate) = self.rate() else { return true };
        match self.book(gap(weight(change), rate), deadline) {
            Turn::Now => {}
            Turn::At(at) => sleep_until(at).await,
            Turn::Never => return false,
        }
        true
    }

    fn rate(&self) -> Option<f64> {
        self.turns.lock().rate
    }

    /// The next turn, and so long none behind it.
    fn book(&self, gap: Duration, deadline: Instant) -> Turn {
        let (now, mut turns) = (Instant::now(), self.turns.lock());
        if turns.rate.is_none() {
            return Turn::Now;
        }
        let at = turns.free.map_or(now, |free| free.max(now));
        if at > deadline {
            return Turn::Never;
        }
        turns.free = Some(at + gap);
        Turn::At(at)
    }

    /// Whether anybody is held back.
    #[cfg(test)]
    pub(crate) fn holds(&self) -> bool {
        self.rate().is_some()
    }

    /// Whether that is another state than before.
    fn hold_to(&self, rate: Option<f64>) -> bool {
        let mut turns = self.turns.lock();
        let other = turns.rate.is_some() != rate.is_some();
        turns.rate = rate;
        if rate.is_none() {
            turns.free = None;
        }
        other
    }
}

/// How long the records behind one of so many octets wait.
fn gap(octets: f64, rate: f64) -> Duration {
    Duration::from_secs_f64((octets / rate.max(1.0)).min(1.0 / LEAST))
}

/// About how many octets of log a record takes.
fn weight(change: &Change) -> f64 {
    FRAME + codec::to_bytes(change).map_or(USUAL, |octets| octets.len() as f64)
}

/// Whether it is one of the records that a cluster needs to change its members.
fn is_the_systems(change: &Change) -> bool {
    change.kind() >> 8 == 0x07
}

impl Hub {
    /// Looks at those who join, for ever.
    pub(crate) async fn pace(self: Arc<Self>) {
        let mut pursuits = BTreeMap::new();
        let mut last = Instant::now();
        loop {
            sleep(EVERY).await;
            let since = std::mem::replace(&mut last, Instant::now()).elapsed();
            let rate = self.slowest(&mut pursuits, since);
            if self.pacing.hold_to(rate) {
                match rate {
                    Some(rate) => tracing::info!(rate, "a node that joins is behind: held back"),
                    None => tracing::info!("no node that joins is far behind: not held back"),
                }
            }
        }
    }

    fn slowest(&self, pursuits: &mut BTreeMap<NodeId, Pursuit>, since: Duration) -> Option<f64> {
        let learners = self.learners();
        pursuits.retain(|node, _| learners.contains(node));
        let limits = learners.into_iter().filter_map(|node| {
            let raft = self.raft()?;
            let at = matched(raft, node).map(|at| at.saturating_sub(self.backlog(node)));
            let octets = at.and_then(|at| self.log.density(LogIndex(at))).unwrap_or(USUAL);
            pursuits.entry(node).or_default().look(at, self.behind(raft, node), octets, since)
        });
        limits.reduce(f64::min)
    }

    /// Members without a vote, while this node leads.
    fn learners(&self) -> Vec<NodeId> {
        match *self.leader.borrow() == Some(self.me()) {
            true => self.others().into_iter().filter(|node| !self.is_voter(*node)).collect(),
            false => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Octets of the records in these tests.
    const EACH: f64 = 500.0;

    /// A learner that takes in `speed` records a second beside a leader that would write `full`;
    /// how many seconds it took to come near, and the most that was let through meanwhile.
    fn chase(speed: u64, full: u64, mut behind: u64) -> (u64, Vec<u64>) {
        let (mut pursuit, mut at, mut rate) = (Pursuit::default(), 0, None);
        let mut rates = Vec::new();
        for second in 0..3600 {
            let written = rate.map_or(full, |rate: f64| full.min((rate / EACH).max(LEAST) as u64));
            rates.push(written);
            let came = speed.min(behind + written);
            (at, behind) = (at + came, behind + written - came);
            rate = pursuit.look(Some(at), behind, EACH, SECOND);
            if rate.is_none() && behind <= NEAR {
                return (second, rates);
            }
        }
        (u64::MAX, rates)
    }

    #[test]
    fn a_learner_that_is_slower_than_its_leader_comes_near() {
        let (seconds, rates) = chase(1000, 5000, 50_000);
        assert!((90..200).contains(&seconds), "{seconds}");
        assert_eq!(rates.iter().min(), Some(&500), "it is slowed to a part of what it takes in");
    }

    #[test]
    fn one_that_is_faster_costs_little_time_and_one_that_is_close_none() {
        let (seconds, _) = chase(5000, 1000, 50_000);
        assert!(seconds < 15, "{seconds}");
        let (_, rates) = chase(1000, 900, 0);
        assert!(rates.iter().all(|rate| *rate == 900), "{rates:?}");
    }

    #[test]
    fn the_last_records_do_not_slow_it_further() {
        let mut pursuit = Pursuit::default();
        let mut look = |at, behind| pursuit.look(Some(at), behind, EACH, SECOND);
        look(0, 9000);
        assert_eq!(look(1000, 8000), Some(500.0 * EACH));
        // From here on it takes in what there is.
        assert_eq!(look(1100, 900), Some(500.0 * EACH));
        assert_eq!(look(1105, 17), Some(500.0 * EACH));
        assert_eq!(look(1110, 16), None);
        assert_eq!(look(1115, 900), None);
    }

    #[test]
    fn who_waits_for_an_image_or_is_gone_holds_nobody_back() {
        let mut pursuit = Pursuit::default();
        for _ in 0..100 {
            assert_eq!(pursuit.look(None, 1_000_000, EACH, SECOND), None);
        }
        let mut look = |at| pursuit.look(Some(at), 9000, EACH, SECOND);
        look(5);
        assert_eq!(look(6), Some(PART * EACH));
        let stuck: Vec<_> = (0..12).map(|_| look(6)).collect();
        assert_eq!(stuck.iter().flatten().count(), 9);
        assert_eq!(stuck.last(), Some(&None));
    }

    #[test]
    fn a_learner_of_large_records_lets_small_ones_through() {
        // Ten records a second, of a thousand emails each.
        let (large, small) = (300.0 * 1000.0, 400.0);
        let mut pursuit = Pursuit::default();
        pursuit.look(Some(0), 9000, large, SECOND);
        let rate = pursuit.look(Some(10), 9000, large, SECOND).unwrap();
        let a_second = |octets| gap(octets, rate).as_secs_f64().recip();
        assert!(a_second(small) > 3000.0, "{}", a_second(small));
        // However large a record and however slow a learner, some go through.
        assert!((a_second(1e9) - LEAST).abs() < 0.1);
        assert!((gap(small, 0.0).as_secs_f64().recip() - LEAST).abs() < 0.1);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_evenly_and_those_past_the_deadline_not_at_all() {
        let (pacing, began) = (Pacing::default(), Instant::now());
        let change = Change::Expunge(crate::record::Expunge {
            account: crate::id::AccountId(1),
            mailbox: crate::id::MailboxId(1),
            uids: Vec::new(),
            only_deleted: false,
        });
        assert!(pacing.turn(&change, began).await);
        let rate = 100.0 * weight(&change);
        assert!(pacing.hold_to(Some(rate)));
        assert!(!pacing.hold_to(Some(rate)));
        let deadline = began + Duration::from_millis(45);
        for turn in 0..5 {
            assert!(pacing.turn(&change, deadline).await);
            assert_eq!(began.elapsed().as_millis(), turn * 10);
        }
        assert!(!pacing.turn(&change, deadline).await);
        assert!(pacing.hold_to(None));
        assert!(pacing.turn(&change, deadline).await);
    }
}
