//! The time that a leader stamps records with. The log's time never goes back, so
//! a wall clock that has jumped ahead must not be believed before others confirm
//! it: until then time goes on as the monotonic clock says.
//!
//! Invariant: the wall clock is stamped with only while it goes as the monotonic
//! clock does from a moment on at which it was agreed upon.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::id::Timestamp;
use crate::raft::hub::Hub;
use crate::world::{self, Mutation};

/// Between two looks the clocks may part by so much: more is a jump, less is how
/// time services correct a clock.
const STEP_MS: i64 = 500;
/// A voter that is alone believes a clock that has jumped when it has stood by it for so long.
const STANDS: Duration = Duration::from_secs(300);
/// One that is alone never believes a longer jump by itself.
const LONGEST_MS: i64 = 24 * 3600 * 1000;
/// A node that has just started believes its clock when after so long no majority says otherwise.
const UNHEARD: Duration = Duration::from_secs(5);
/// Between two looks whether the clock is agreed upon.
const LOOK: Duration = Duration::from_millis(100);

/// What is thought of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    /// Nobody has confirmed it since the start.
    New {
        since: Instant,
    },
    Agreed,
    /// It has jumped by so many milliseconds.
    Jumped {
        since: Instant,
        by: i64,
    },
}

/// A wall clock and what it is compared with. Pure: who calls says what the clocks show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// A moment, and the time of day then.
    anchor: (Instant, Timestamp),
    belief: Belief,
}

impl Line {
    pub(crate) fn new(mono: Instant, wall: Timestamp) -> Self {
        Self { anchor: (mono, wall), belief: Belief::New { since: mono } }
    }

    /// The time of day, had the wall clock gone on as it did.
    fn straight(&self, mono: Instant) -> Timestamp {
        let gone = mono.saturating_duration_since(self.anchor.0).as_millis();
        let gone = i64::try_from(gone).unwrap_or(i64::MAX);
        Timestamp(self.anchor.1.0.saturating_add(gone))
    }

    /// Compares the clocks.
    pub(crate) fn look(&mut self, mono: Instant, wall: Timestamp, alone: bool) {
        let by = wall.0.saturating_sub(self.straight(mono).0);
        let near = |other: i64| by.saturating_sub(other).saturating_abs() <= STEP_MS;
        self.belief = match self.belief {
            Belief::New { since } if !near(0) => Belief::New { since: mono.max(since) },
            Belief::Jumped { by: before, since } if !near(0) && near(before) => {
                Belief::Jumped { since, by }
            }
            Belief::Agreed | Belief::Jumped { .. } if !near(0) => {
                tracing::error!(by_ms = by, "the clock of this machine has jumped");
                Belief::Jumped { since: mono, by }
            }
            Belief::Jumped { .. } => Belief::Agreed,
            as_before => as_before,
        };
        let stood = |since: Instant, time| mono.saturating_duration_since(since) >= time;
        match self.belief {
            Belief::Agreed => self.anchor = (mono, wall),
            Belief::New { since } if alone || stood(since, UNHEARD) => self.agree(mono, wall),
            Belief::New { .. } => self.anchor = (mono, wall),
            Belief::Jumped { since, by } => {
                let short = by.saturating_abs() <= LONGEST_MS;
                if alone && short && stood(since, STANDS) {
                    self.agree(mono, wall);
                }
            }
        }
    }

    /// The wall clock is believed from now on.
    pub(crate) fn agree(&mut self, mono: Instant, wall: Timestamp) {
        if let Belief::Jumped { by, .. } = self.belief {
            tracing::warn!(by_ms = by, "the clock of this machine is believed again");
        }
        (self.anchor, self.belief) = ((mono, wall), Belief::Agreed);
    }

    /// The latest time that may be stamped, and whether it is another than the wall
    /// clock's; `None` while that is not known.
    fn time(&self, mono: Instant) -> Option<(Timestamp, bool)> {
        let jumped = matches!(self.belief, Belief::Jumped { .. });
        let known = !matches!(self.belief, Belief::New { .. });
        known.then(|| (self.straight(mono), jumped))
    }

    /// Since when the clock waits to be confirmed.
    fn doubted_since(&self) -> Option<Instant> {
        match self.belief {
            Belief::New { since } | Belief::Jumped { since, .. } => Some(since),
            Belief::Agreed => None,
        }
    }

    fn trouble(&self, alone: bool) -> Option<String> {
        let Belief::Jumped { by, .. } = self.belief else { return None };
        let what = match (alone, by.saturating_abs() > LONGEST_MS) {
            (false, _) => "it is believed when a majority of the clocks agrees",
            (true, false) => "it is believed when it has stood so for 5 minutes",
            (true, true) => "so far it is not believed: set it right, or restart this node",
        };
        Some(format!(
            "the clock of this machine has jumped by {by} ms; records get the time that it would \
             have had without, and {what}: look at its time service"
        ))
    }
}

/// This node's clock.
#[derive(Debug)]
pub(crate) struct Clock {
    line: Mutex<Line>,
    agreed: Notify,
    /// Milliseconds that the wall clock has jumped, in a test.
    #[cfg(test)]
    pub(crate) ahead: std::sync::atomic::AtomicI64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let line = Line::new(Instant::now(), world::now());
        Self {
            line: Mutex::new(line),
            agreed: Notify::new(),
            #[cfg(test)]
            ahead: std::sync::atomic::AtomicI64::new(0),
        }
    }

    /// What this machine's wall clock shows.
    pub(crate) fn wall(&self) -> Timestamp {
        #[cfg(test)]
        return Timestamp(world::now().0 + self.ahead.load(std::sync::atomic::Ordering::Relaxed));
        #[cfg(not(test))]
        world::now()
    }

    fn looked(&self, alone: bool) -> Line {
        let mut line = self.line.lock();
        line.look(Instant::now(), self.wall(), alone);
        line.clone()
    }
}

impl Hub {
    fn is_alone(&self) -> bool {
        self.peers().is_none() || self.voters().len() <= 1
    }

    /// Compares this machine's clocks, and with those of the others where they have part.
    pub(crate) fn settle_clock(&self) {
        let line = self.clock.looked(self.is_alone());
        if line.doubted_since().is_some_and(|since| self.clocks_agree(since)) {
            self.clock.line.lock().agree(Instant::now(), self.clock.wall());
        }
        self.clock.agreed.notify_waiters();
    }

    /// Whether the clock has jumped, and time goes on without it.
    pub(crate) fn clock_has_jumped(&self) -> bool {
        let line = self.clock.looked(self.is_alone());
        line.time(Instant::now()).is_some_and(|(_, jumped)| jumped)
    }

    /// What is wrong with this machine's clock.
    pub(crate) fn clock_trouble(&self) -> Option<String> {
        let alone = self.is_alone();
        self.clock.looked(alone).trouble(alone)
    }

    /// The time for a record that was made at `stamp`: never later than is believed.
    /// Waits until something is. `None` after the deadline, and when another leads.
    pub(crate) async fn stamp(
        self: &Arc<Self>,
        stamp: Timestamp,
        deadline: Instant,
    ) -> Option<Timestamp> {
        loop {
            let agreed = self.clock.agreed.notified();
            match self.clock.looked(self.is_alone()).time(Instant::now()) {
                Some((time, true)) => return Some(time),
                Some((time, false)) if world::breaks(Mutation::StampedAhead) => {
                    return Some(Timestamp(time.0 + 60_000));
                }
                Some((time, false)) => return Some(stamp.min(time)),
                None => {}
            }
            let late = Instant::now() >= deadline || *self.leader.borrow() != Some(self.me());
            if late || self.clock_is_off().is_some() {
                return None;
            }
            drop(timeout_at(deadline.min(Instant::now() + LOOK), agreed).await);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const T0: i64 = 1_700_000_000_000;

    struct Rig {
        start: Instant,
        line: Line,
    }

    impl Rig {
        fn new(alone: bool) -> Self {
            let start = Instant::now();
            let mut rig = Self { start, line: Line::new(start, Timestamp(T0)) };
            rig.at(0, 0, alone);
            rig
        }

        /// Milliseconds of both clocks since the start; what may be stamped then.
        fn at(&mut self, mono: u64, wall: i64, alone: bool) -> Option<i64> {
            let now = self.start + Duration::from_millis(mono);
            self.line.look(now, Timestamp(T0 + wall), alone);
            self.line.time(now).map(|(time, _)| time.0 - T0)
        }

        fn agree(&mut self, mono: u64, wall: i64) {
            self.line.agree(self.start + Duration::from_millis(mono), Timestamp(T0 + wall));
        }
    }

    #[test]
    fn a_clock_that_nobody_has_confirmed_is_waited_with() {
        let mut rig = Rig::new(false);
        assert_eq!(rig.at(100, 100, false), None);
        rig.agree(200, 200);
        assert_eq!(rig.at(300, 300, false), Some(300));
        let mut rig = Rig::new(false);
        assert_eq!(rig.at(4_999, 4_999, false), None);
        assert_eq!(rig.at(5_000, 5_000, false), Some(5_000), "nobody says otherwise");
        assert_eq!(Rig::new(true).at(1, 1, true), Some(1), "who is alone has nobody to ask");
    }

    #[test]
    fn a_jump_is_not_stamped_until_it_is_confirmed_or_over() {
        let mut rig = Rig::new(true);
        rig.agree(0, 0);
        assert_eq!(rig.at(1_000, 3_601_000, false), Some(1_000));
        assert_eq!(rig.at(9_000_000, 12_600_000, false), Some(9_000_000), "however long it stands");
        let mut back = Rig { start: rig.start, line: rig.line.clone() };
        rig.agree(9_000_000, 12_600_000);
        assert_eq!(rig.at(9_000_100, 12_600_100, false), Some(12_600_100));
        assert_eq!(back.at(9_000_100, 9_000_100, false), Some(9_000_100));
        assert_eq!(back.line.trouble(false), None);
        // Back in time is a jump too: the log's time goes on.
        assert_eq!(back.at(9_000_200, 0, false), Some(9_000_200));
        assert!(back.line.trouble(false).unwrap().contains("jumped by -9000200 ms"));
    }

    #[test]
    fn what_a_time_service_does_is_no_jump() {
        let mut rig = Rig::new(true);
        for look in 1..100 {
            let wall = i64::try_from(look).unwrap() * 1_050;
            assert_eq!(rig.at(look * 1_000, wall, true), Some(wall));
        }
    }

    #[test]
    fn one_that_is_alone_believes_a_short_jump_after_a_while_and_a_long_one_never() {
        let mut rig = Rig::new(true);
        assert_eq!(rig.at(1_000, 3_601_000, true), Some(1_000));
        assert!(rig.line.trouble(true).unwrap().contains("5 minutes"));
        assert_eq!(rig.at(300_000, 3_900_000, true), Some(300_000));
        // It jumps once more: the wait begins anew.
        assert_eq!(rig.at(300_100, 7_200_000, true), Some(300_100));
        assert_eq!(rig.at(600_000, 7_499_900, true), Some(600_000));
        assert_eq!(rig.at(600_200, 7_500_100, true), Some(7_500_100));
        let day = LONGEST_MS + 10_000;
        let mut rig = Rig::new(true);
        assert_eq!(rig.at(1_000, day, true), Some(1_000));
        assert_eq!(rig.at(3_600_000, day + 3_599_000, true), Some(3_600_000));
        assert!(rig.line.trouble(true).unwrap().contains("restart this node"));
    }
}
