//! Holds that were released end when their delay is over, and what is judged of queries comes
//! into the log. By the leader alone; that two do so about an election does no harm.

use std::sync::Weak;
use std::time::Duration;

use redoubt_log::id::{HoldId, OperationId, Timestamp};
use redoubt_log::record::{Actor, Change, Done, HoldEnd, HoldMarks, Rejection};

use super::rounds::{Leads, system};
use super::{Inner, Mailstore, WriteError};
use crate::view::View;

/// How often it is looked whether a delay is over.
const LOOK: Duration = Duration::from_secs(1);

/// Works, for as long as the store is there.
pub(super) async fn run(store: Weak<Inner>) {
    loop {
        let Some(inner) = store.upgrade() else { return };
        if let Err(error) = inner.end_released().await {
            tracing::debug!(%error, "released holds end later");
        }
        drop(inner);
        tokio::time::sleep(LOOK).await;
    }
}

impl Inner {
    async fn end_released(&self) -> Result<(), WriteError> {
        if !self.node.is_leader() {
            return Ok(());
        }
        end_those_over(self, self.local_view()?).await
    }
}

/// Ends holds whose delay is over.
pub(crate) async fn end_those_over<L: Leads>(leader: &L, view: View) -> Result<(), WriteError> {
    for hold in leader.work(move || over(&view, Timestamp::now())).await?? {
        let end = || Change::HoldEnd(HoldEnd { hold });
        while system(leader, end()).await? == Some(Done::More(true)) {}
    }
    Ok(())
}

/// Holds whose delay is over.
fn over(view: &View, now: Timestamp) -> Result<Vec<HoldId>, super::StoreError> {
    let ended = |hold: &crate::view::Hold| {
        hold.releasing.is_some_and(|releasing| releasing.ending || releasing.until <= now)
    };
    Ok(view.holds()?.into_iter().filter(ended).map(|hold| hold.id).collect())
}

impl Mailstore {
    /// Puts into the log what a query was found to hold; an answer for each account.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn hold_marks(
        &self,
        marks: HoldMarks,
    ) -> Result<Vec<Result<(), Rejection>>, WriteError> {
        let change = Change::HoldMarks(marks);
        let outcome = self.inner.propose(&Actor::SYSTEM, OperationId::random(), change).await?;
        match outcome.result {
            Ok(Done::Marked(answers)) => Ok(answers),
            Ok(_) => Ok(Vec::new()),
            Err(rejection) => Err(WriteError::Rejected(rejection)),
        }
    }
}
