//! Linearizable reads by ReadIndex (Raft dissertation, section 6.4), one round
//! for all who wait.

use openraft::ReadPolicy;
use openraft::errors::RaftError;
use tokio::sync::{mpsc, oneshot};

use crate::id::LogIndex;
use crate::raft::apply::Applier;
use crate::raft::error::ReadError;
use crate::raft::types::TypeConfig;

pub(crate) type Raft = openraft::Raft<TypeConfig, Applier>;
type Waiter = oneshot::Sender<Result<LogIndex, ReadError>>;

/// Gathers those who wait; the task behind it ends with the last handle.
#[derive(Debug, Clone)]
pub(crate) struct ReadIndex(mpsc::UnboundedSender<Waiter>);

impl ReadIndex {
    /// Starts the task on the current runtime.
    pub(crate) fn start(raft: Raft) -> Self {
        let (waiters, mut queue) = mpsc::unbounded_channel::<Waiter>();
        crate::world::spawn(async move {
            let mut waiting = Vec::new();
            // Who comes while a round runs is not covered by it and waits for the next.
            while queue.recv_many(&mut waiting, usize::MAX).await > 0 {
                let index = round(&raft).await;
                for waiter in waiting.drain(..) {
                    drop(waiter.send(index.clone()));
                }
            }
        });
        Self(waiters)
    }

    /// `None` when the task has ended.
    pub(crate) async fn read(&self) -> Option<Result<LogIndex, ReadError>> {
        let (waiter, index) = oneshot::channel();
        self.0.send(waiter).ok()?;
        index.await.ok()
    }
}

/// One round: waits until everything committed before it is applied here.
pub(crate) async fn round(raft: &Raft) -> Result<LogIndex, ReadError> {
    match raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
        Ok(read) => Ok(LogIndex(read.log_id().index)),
        Err(RaftError::APIError(_)) => Err(ReadError::NotLeader),
        Err(RaftError::Fatal(error)) => Err(ReadError::Stopped(error.to_string())),
    }
}
