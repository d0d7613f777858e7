//! How fast a job goes, and how long it still takes.

use std::time::{Duration, Instant};

use redoubt_log::id::AccountId;
use redoubt_store::view::View;
use serde::{Deserialize, Serialize};

use super::DiscoverError;

/// How much there is to do: emails, as far as they can be counted before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effort {
    /// What is done of it.
    pub done: u64,
    /// All of it; 0 while nobody knows.
    pub all: u64,
}

/// How a job that works now goes on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pace {
    /// Emails a second, since it works without a break.
    pub per_second: f64,
    /// Seconds until it is done, if it goes on so.
    pub seconds_left: u64,
}

impl Pace {
    /// `None` until anything is done, and where nobody knows how much there is.
    pub(super) fn of(begun: (Instant, Effort), now: Effort) -> Option<Self> {
        let (since, then) = begun;
        Self::after(since.elapsed(), now.done.saturating_sub(then.done), now)
    }

    fn after(took: Duration, done: u64, now: Effort) -> Option<Self> {
        if done == 0 || now.all == 0 || took.is_zero() {
            return None;
        }
        let per_second = done as f64 / took.as_secs_f64();
        let left = now.all.saturating_sub(now.done);
        Some(Self { per_second, seconds_left: (left as f64 / per_second).ceil() as u64 })
    }
}

/// What accounts weigh: their live emails, and each itself.
pub(super) fn weights(view: &View, accounts: &[AccountId]) -> Result<Vec<u64>, DiscoverError> {
    let weigh = |id: &AccountId| {
        let account = view.account(*id)?;
        Ok(account.map_or(1, |account| account.emails.saturating_add(1)))
    };
    accounts.iter().map(weigh).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_takes_as_long_as_what_is_done() {
        let pace = |done, now: Effort| Pace::after(Duration::from_secs(2), done, now);
        let found = pace(10, Effort { done: 30, all: 100 });
        assert_eq!(found, Some(Pace { per_second: 5.0, seconds_left: 14 }));
        assert_eq!(pace(0, Effort { done: 30, all: 100 }), None);
        assert_eq!(pace(10, Effort { done: 10, all: 0 }), None);
        let over = pace(200, Effort { done: 200, all: 100 });
        assert_eq!(over.map(|pace| pace.seconds_left), Some(0));
    }
}
