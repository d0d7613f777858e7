//! How long records took from being proposed to being applied here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redoubt_log::segment::LATENCY_BUCKETS_US;

const BUCKETS: usize = LATENCY_BUCKETS_US.len() + 1;

/// Counters since the start.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    answered: [AtomicU64; BUCKETS],
    micros: AtomicU64,
    failed: AtomicU64,
}

/// Records proposed since the start, in plain numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProposalStats {
    /// Those that were applied, by how long that took; bounds in [`LATENCY_BUCKETS_US`].
    pub latency: [u64; BUCKETS],
    /// Microseconds of all of them together.
    pub micros: u64,
    /// Those that were refused, or whose outcome is not known.
    pub failed: u64,
}

impl Proposals {
    pub(super) fn applied_after(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BUCKETS_US.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.answered.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> ProposalStats {
        ProposalStats {
            latency: std::array::from_fn(|n| {
                self.answered.get(n).map_or(0, |bucket| bucket.load(Ordering::Relaxed))
            }),
            micros: self.micros.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_falls_into_its_bucket() {
        let proposals = Proposals::default();
        for micros in [1, 100, 101, 2_000_000] {
            proposals.applied_after(Duration::from_micros(micros));
        }
        proposals.failed();
        let stats = proposals.stats();
        assert_eq!((stats.latency[0], stats.latency[1], stats.latency[BUCKETS - 1]), (2, 1, 1));
        assert_eq!((stats.micros, stats.failed), (2_000_202, 1));
    }
}
