//! How fast images and blobs are given away, so that mail does not wait for them.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// At most so many bytes a second, over all who fetch.
#[derive(Debug)]
pub(super) struct Pace {
    rate: u64,
    free: Mutex<Option<Instant>>,
}

impl Pace {
    /// 0 is no bound.
    pub(super) fn new(rate: u64) -> Self {
        Self { rate, free: Mutex::default() }
    }

    /// Waits for this one's turn to move so many bytes.
    pub(super) async fn turn(&self, bytes: usize) {
        if let Some(at) = self.book(bytes as u64) {
            sleep_until(at).await;
        }
    }

    fn book(&self, bytes: u64) -> Option<Instant> {
        let micros = bytes.saturating_mul(1_000_000).checked_div(self.rate)?;
        let now = Instant::now();
        let mut free = self.free.lock();
        let at = free.map_or(now, |free| free.max(now));
        *free = Some(at + Duration::from_micros(micros));
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_rate_goes_over_any_time() {
        let (pace, began) = (Pace::new(1000), Instant::now());
        for _ in 0..11 {
            pace.turn(100).await;
        }
        assert_eq!(began.elapsed().as_millis(), 1000);
        Pace::new(0).turn(usize::MAX).await;
        assert_eq!(began.elapsed().as_millis(), 1000);
    }
}
