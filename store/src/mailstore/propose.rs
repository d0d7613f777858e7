//! The one way into the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redoubt_log::id::{OperationId, Timestamp};
use redoubt_log::raft::ProposeError;
use redoubt_log::record::{Actor, Change, Done, Outcome, Record, Why};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout_at;

use super::archived::brings_mail;
use super::{Inner, StoreError, WriteError};

/// Records on their way at one time; more wait.
const IN_FLIGHT: u32 = 8192;

/// Counts what is on its way, so that a shutdown can wait for it.
#[derive(Debug)]
pub(super) struct Flight {
    slots: Arc<Semaphore>,
}

impl Default for Flight {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(IN_FLIGHT as usize)) }
    }
}

impl Flight {
    async fn board(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, WriteError> {
        let refused = |why: &str| WriteError::Unavailable(why.to_owned());
        let slot = timeout_at(deadline.into(), self.slots.acquire()).await;
        slot.map_err(|_| refused("too many records wait for the log"))?
            .map_err(|_| refused("the node is shutting down"))
    }

    /// Lets nobody aboard any more and waits, at most `patience`, until all have landed.
    pub(super) async fn close(&self, patience: Duration) {
        let all = self.slots.acquire_many(IN_FLIGHT);
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("some writes had no outcome before the shutdown");
        }
        self.slots.close();
    }
}

impl Inner {
    /// Proposes a change, at whichever node leads, and waits until it is applied here. During an
    /// election it waits, and a record whose fate is not known is proposed again with the same
    /// operation id, which gets the first outcome. A record that `apply`
    /// rejects as a whole is an error. Below the disk's reserve what grows is refused.
    pub(super) async fn propose(
        &self,
        actor: &Actor,
        operation: OperationId,
        change: Change,
    ) -> Result<Outcome, WriteError> {
        self.propose_why(actor, operation, change, Why::default()).await
    }

    /// The same, with why it is done.
    pub(super) async fn propose_why(
        &self,
        actor: &Actor,
        operation: OperationId,
        change: Change,
        why: Why,
    ) -> Result<Outcome, WriteError> {
        let deadline = self.contact.deadline();
        let _aboard = self.flight.board(deadline).await?;
        let stamp = Timestamp::now();
        let record = Record { stamp, operation, actor: actor.clone(), why, change };
        let brings = brings_mail(&record.change);
        let began = Instant::now();
        let outcome = self.node.propose(record, deadline).await;
        let outcome = outcome.map_err(|error| {
            self.proposals.failed();
            self.not_proposed(error)
        })?;
        self.proposals.applied_after(began.elapsed());
        self.archived(brings, outcome.index).await?;
        match outcome.result {
            Err(rejection) => Err(WriteError::Rejected(rejection)),
            Ok(_) => Ok(outcome),
        }
    }

    /// Runs what blocks on the store's own threads.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.workers.run(work).await.map_err(|gone| StoreError::Stopped(gone.to_string()))
    }

    fn not_proposed(&self, error: ProposeError) -> WriteError {
        let text = error.to_string();
        match error {
            ProposeError::Unavailable | ProposeError::Clock { .. } => WriteError::Unavailable(text),
            ProposeError::Level { .. } => WriteError::Invalid(text),
            ProposeError::Unknown(_) => WriteError::Unknown(text),
            ProposeError::TooLarge(_) => WriteError::Invalid(text),
            ProposeError::DiskFull => self.reserve.full(),
            ProposeError::Blob { blob, .. } => StoreError::Blob(blob, text).into(),
            ProposeError::Stopped { .. } => StoreError::Stopped(text).into(),
        }
    }
}

/// What a record answered, if it is of the wanted kind; anything else is a bug of `apply`.
pub(super) fn answer<T>(
    outcome: Outcome,
    wanted: impl FnOnce(Done) -> Option<T>,
) -> Result<T, WriteError> {
    let other = || StoreError::Views("apply gave an answer of the wrong kind".to_owned()).into();
    wanted(outcome.result?).ok_or_else(other)
}
