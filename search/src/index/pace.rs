//! How the threads that index, and that judge what is held, leave the processor to others.

use std::thread::sleep;
use std::time::{Duration, Instant};

use preempt_rt::sched::{Pid, Scheduler, SchedulerParams, set_scheduler};
use redoubt_log::id::LogIndex;

/// Records a second from which on others are at work.
const BUSY: u64 = 20;
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long it works until it rests, and how many times as long the rest is.
const WORK: Duration = Duration::from_millis(5);
const SHARE: u32 = 4;
/// The longest rest.
const LONGEST: Duration = Duration::from_millis(100);

/// Nothing waits for this thread, nor for those that begin from it: they run where no other wants
/// the processor, and leave it at once to one that wakes. Where that is refused, the lowest
/// priority is what remains.
pub(crate) fn yield_to_all() {
    let _ = rustix::process::setpriority_process(None, 19);
    let none = SchedulerParams { priority: 0 };
    if let Err(error) = set_scheduler(Pid::current_thread(), Scheduler::SCHED_IDLE, none) {
        tracing::debug!(%error, "a thread in the background is not scheduled as idle");
    }
}

/// Work and rests by turns, as long as records come.
#[derive(Debug)]
pub(crate) struct Pace {
    working: Instant,
    looked: (Instant, LogIndex),
    busy: bool,
}

impl Pace {
    pub(crate) fn new(applied: LogIndex) -> Self {
        let now = Instant::now();
        Self { working: now, looked: (now, applied), busy: false }
    }

    /// It begins to work.
    pub(crate) fn begin(&mut self) {
        self.working = Instant::now();
    }

    /// Called every few milliseconds of work: rests, if others are at work and nobody waits.
    pub(crate) fn rest(&mut self, applied: LogIndex, hurry: bool) {
        let now = Instant::now();
        self.look(now, applied);
        let worked = now - self.working;
        if worked < WORK {
            return;
        }
        if self.busy && !hurry {
            sleep((worked * SHARE).min(LONGEST));
        }
        self.begin();
    }

    fn look(&mut self, now: Instant, applied: LogIndex) {
        let (since, before) = self.looked;
        let passed = now.saturating_duration_since(since);
        if passed >= LOOK {
            let came = applied.0.saturating_sub(before.0) as f64;
            self.busy = came > passed.as_secs_f64() * BUSY as f64;
            self.looked = (now, applied);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_while_records_come() {
        let mut pace = Pace::new(LogIndex(100));
        let later = |millis| pace_start(&pace) + Duration::from_millis(millis);
        let (soon, second, third) = (later(100), later(1000), later(2000));
        pace.look(soon, LogIndex(1000));
        assert!(!pace.busy, "too soon to say");
        pace.look(second, LogIndex(1000));
        assert!(pace.busy);
        pace.look(third, LogIndex(1010));
        assert!(!pace.busy);
    }

    fn pace_start(pace: &Pace) -> Instant {
        pace.looked.0
    }

    #[test]
    fn a_rest_is_longer_than_the_work() {
        let mut pace = Pace { busy: true, ..Pace::new(LogIndex(0)) };
        let long_ago = Instant::now().checked_sub(WORK).unwrap();
        for (hurry, rests) in [(false, true), (true, false)] {
            (pace.working, pace.busy) = (long_ago, true);
            let began = Instant::now();
            pace.rest(LogIndex(0), hurry);
            assert_eq!(began.elapsed() >= WORK * SHARE, rests);
        }
    }
}
