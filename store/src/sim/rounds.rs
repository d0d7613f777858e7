//! The rounds of whoever leads, over tables in memory and by a simulated clock.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redoubt_log::id::{LogIndex, OperationId, Term, Timestamp};
use redoubt_log::record::{AccountSweep, Actor, Change, Expunge, Outcome, Record, Why};

use crate::apply::{Position, apply};
use crate::mailstore::policies::{Accounts, look_through, taking};
use crate::mailstore::rounds::Leads;
use crate::mailstore::sweep::{Swept, next};
use crate::mailstore::{PolicyRound, StoreError, WriteError, holds, retention};
use crate::retention::Policy;
use crate::storage::MemStorage;
use crate::view::View;

/// A leader whose log is memory: the real `apply` and the real rounds, by the world's clock.
#[derive(Debug, Default)]
pub struct SimLeader {
    state: Mutex<State>,
    known: tokio::sync::Mutex<Accounts>,
}

#[derive(Debug, Default)]
struct State {
    tables: MemStorage,
    index: u64,
    done: Vec<Applied>,
}

/// A record, and what came of it.
#[derive(Debug, Clone)]
pub struct Applied {
    /// What was to be done.
    pub change: Change,
    /// What was, where and when.
    pub outcome: Outcome,
}

impl SimLeader {
    /// Applies a change now.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn submit(&self, actor: &Actor, change: Change, why: Why) -> Result<Outcome, StoreError> {
        let mut state = self.state.lock();
        state.index += 1;
        let (index, time) = (LogIndex(state.index), Timestamp::now());
        let operation = OperationId(u128::from(index.0).to_le_bytes());
        let actor = actor.clone();
        let record = Record { stamp: time, operation, actor, why, change: change.clone() };
        let position = Position { index, term: Term(1), time, mark: Vec::new() };
        let outcome = apply(&mut state.tables, &position, &record)?;
        state.done.push(Applied { change, outcome: outcome.clone() });
        Ok(outcome)
    }

    /// What was applied since this was asked last.
    pub fn applied(&self) -> Vec<Applied> {
        std::mem::take(&mut self.state.lock().done)
    }

    /// The state as it is.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn now(&self) -> Result<View, StoreError> {
        View::new(Arc::new(self.state.lock().tables.clone()))
    }

    /// Takes what policies take.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn policies(&self) -> Result<PolicyRound, WriteError> {
        let policies: Arc<[Policy]> = taking(&self.now()?)?.into();
        let mut known = self.known.lock().await;
        if policies.is_empty() {
            *known = Accounts::default();
            return Ok(PolicyRound::default());
        }
        look_through(self, &policies, &mut known).await
    }

    /// Lets go history that is older than is to be kept.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn history(&self, keep: Duration) -> Result<(), WriteError> {
        retention::let_go(self, Some(keep)).await
    }

    /// Ends holds whose delay is over.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn holds(&self) -> Result<(), WriteError> {
        holds::end_those_over(self, self.now()?).await
    }

    /// Empties what was deleted.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn sweep(&self) -> Result<(), WriteError> {
        while let Some((swept, uids)) = next(&self.now()?)? {
            let change = match swept {
                Swept::Mailbox(at) => Change::Expunge(Expunge {
                    account: at.account,
                    mailbox: at.mailbox,
                    uids,
                    only_deleted: false,
                }),
                Swept::Account(at) => Change::AccountSweep(AccountSweep {
                    account: at.account,
                    mailbox: at.mailbox,
                    uids,
                }),
            };
            self.put(change, Why::default()).await?;
        }
        Ok(())
    }
}

impl Leads for SimLeader {
    async fn view(&self) -> Result<View, WriteError> {
        Ok(self.now()?)
    }

    async fn put(&self, change: Change, why: Why) -> Result<Outcome, WriteError> {
        let outcome = self.submit(&Actor::SYSTEM, change, why)?;
        match outcome.result {
            Err(rejection) => Err(WriteError::Rejected(rejection)),
            Ok(_) => Ok(outcome),
        }
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        Ok(work())
    }
}
