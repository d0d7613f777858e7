//! How fast images and blobs are given away, so that mail does not wait for them.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// While syncs of this node's own log take no longer, nobody waits for what is given away.
const CALM: Duration = Duration::from_millis(10);
/// The most that one piece waits for the disk.
const LONGEST: Duration = Duration::from_millis(250);

/// Syncs of the log so far, and how long they took together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Syncs {
    pub(crate) count: u64,
    pub(crate) micros: u64,
}

impl Syncs {
    /// How long one took of those since `before`; nothing when there was none.
    fn each_since(self, before: Self) -> Duration {
        let micros = self.micros.saturating_sub(before.micros);
        let each = micros.checked_div(self.count.saturating_sub(before.count));
        Duration::from_micros(each.unwrap_or(0))
    }
}

/// At most so many bytes a second, over all who fetch; fewer while the disk is slow.
#[derive(Debug)]
pub(super) struct Pace {
    rate: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    free: Option<Instant>,
    seen: Syncs,
}

impl Pace {
    /// 0 is no bound.
    pub(super) fn new(rate: u64) -> Self {
        Self { rate, state: Mutex::default() }
    }

    /// Waits for this one's turn to move so many bytes.
    pub(super) async fn turn(&self, bytes: usize, syncs: Syncs) {
        if let Some(at) = self.book(bytes as u64, syncs) {
            sleep_until(at).await;
        }
    }

    fn book(&self, bytes: u64, syncs: Syncs) -> Option<Instant> {
        let micros = bytes.saturating_mul(1_000_000).checked_div(self.rate)?;
        let now = Instant::now();
        let mut state = self.state.lock();
        let sync = syncs.each_since(std::mem::replace(&mut state.seen, syncs));
        let slow = if sync > CALM { sync.min(LONGEST) } else { Duration::ZERO };
        let at = state.free.map_or(now, |free| free.max(now));
        state.free = Some(at + Duration::from_micros(micros).max(slow));
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Syncs = Syncs { count: 0, micros: 0 };

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_rate_goes_over_any_time() {
        let (pace, began) = (Pace::new(1000), Instant::now());
        for _ in 0..11 {
            pace.turn(100, NONE).await;
        }
        assert_eq!(began.elapsed().as_millis(), 1000);
        Pace::new(0).turn(usize::MAX, NONE).await;
        assert_eq!(began.elapsed().as_millis(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn less_goes_while_syncs_are_slow() {
        let (pace, began) = (Pace::new(1_000_000), Instant::now());
        // Calm, then 40 ms each, then hung, then calm again.
        let syncs = [(10, 10_000), (12, 90_000), (13, 9_000_000), (20, 9_001_000), (21, 9_002_000)];
        let mut waits = Vec::new();
        for (count, micros) in syncs {
            pace.turn(1000, Syncs { count, micros }).await;
            waits.push(began.elapsed().as_millis());
        }
        assert_eq!(waits, [0, 1, 41, 291, 292]);
    }
}
