//! Whoever leads, as far as its rounds know it: what they decide on, and where their records go.
//! A node is one; a simulation of years, in which nothing waits for a disk or a peer, is another.

use std::time::Duration;

use redoubt_log::id::OperationId;
use redoubt_log::record::{Actor, Change, Done, Outcome, Why};
use tokio::time::Instant;

use super::{Inner, StoreError, WriteError};
use crate::view::View;

/// Whoever leads.
pub(crate) trait Leads: Send + Sync {
    /// All that was acknowledged.
    fn view(&self) -> impl Future<Output = Result<View, WriteError>> + Send;

    /// Puts a change of the server's own into the log. One that `apply` rejects is an error.
    fn put(
        &self,
        change: Change,
        why: Why,
    ) -> impl Future<Output = Result<Outcome, WriteError>> + Send;

    /// Runs what blocks where it may.
    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;
}

impl Leads for Inner {
    async fn view(&self) -> Result<View, WriteError> {
        Ok(Self::view(self).await?)
    }

    async fn put(&self, change: Change, why: Why) -> Result<Outcome, WriteError> {
        self.propose_why(&Actor::SYSTEM, OperationId::random(), change, why).await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        Self::work(self, work).await
    }
}

/// Proposes, and leaves others as much of the time; `None` where it is refused.
pub(super) async fn system<L: Leads>(
    leader: &L,
    change: Change,
) -> Result<Option<Done>, WriteError> {
    let began = Instant::now();
    let outcome = leader.put(change, Why::default()).await;
    rest(began).await;
    match outcome {
        Ok(outcome) => Ok(outcome.result.ok()),
        Err(WriteError::Rejected(why)) => {
            tracing::debug!(%why, "rounds");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// As long as what was begun took, at most a second.
pub(super) async fn rest(began: Instant) {
    tokio::time::sleep(began.elapsed().min(Duration::from_secs(1))).await;
}
