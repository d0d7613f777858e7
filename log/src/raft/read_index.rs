//! Linearizable reads by ReadIndex (Raft dissertation, section 6.4), one round
//! for all who wait; a follower asks the leader, and waits until it has applied
//! as far itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::ReadPolicy;
use openraft::errors::RaftError;
use tokio::sync::{mpsc, oneshot};

use crate::codec;
use crate::id::{LogIndex, NodeId};
use crate::raft::apply::Applier;
use crate::raft::error::ReadError;
use crate::raft::forward::REMOVED;
use crate::raft::hub::Hub;
use crate::raft::peers::{Service, topic};
use crate::raft::types::TypeConfig;
use crate::raft::wire::Lane;
use crate::world;

pub(crate) type Raft = openraft::Raft<TypeConfig, Applier>;
type Waiter = oneshot::Sender<Result<LogIndex, ReadError>>;

/// How long the leader may take to answer; then it is asked again, if it still leads.
const PATIENCE: Duration = Duration::from_secs(2);
/// The wait before the next try, where nothing else says when.
const AGAIN: Duration = Duration::from_millis(25);

/// Gathers those who wait; the task behind it ends with the last handle.
#[derive(Debug, Clone)]
pub(crate) struct ReadIndex(mpsc::UnboundedSender<Waiter>);

impl ReadIndex {
    /// Starts the task on the current runtime.
    pub(crate) fn start(hub: Arc<Hub>) -> Self {
        let (waiters, queue) = mpsc::unbounded_channel::<Waiter>();
        world::spawn(rounds(hub, queue));
        Self(waiters)
    }

    /// `None` when the task has ended.
    pub(crate) async fn read(&self) -> Option<Result<LogIndex, ReadError>> {
        let (waiter, index) = oneshot::channel();
        self.0.send(waiter).ok()?;
        index.await.ok()
    }
}

async fn rounds(hub: Arc<Hub>, mut queue: mpsc::UnboundedReceiver<Waiter>) {
    let mut waiting = Vec::new();
    // Who comes while a round runs is not covered by it and waits for the next.
    while queue.recv_many(&mut waiting, usize::MAX).await > 0 {
        let answer = loop {
            match attempt(&hub).await {
                Try::Done(answer) => break answer,
                Try::Again => again(&hub).await,
            }
            waiting.retain(|waiter: &Waiter| !waiter.is_closed());
            if waiting.is_empty() {
                break Err(ReadError::Unavailable);
            }
            // Covered by the next try as well as those before.
            while let Ok(waiter) = queue.try_recv() {
                waiting.push(waiter);
            }
        };
        waiting.drain(..).for_each(|waiter| drop(waiter.send(answer.clone())));
    }
}

enum Try {
    Done(Result<LogIndex, ReadError>),
    Again,
}

/// One round; what it gives is applied here.
async fn attempt(hub: &Arc<Hub>) -> Try {
    if let Some(why) = hub.stop.get() {
        return Try::Done(Err(ReadError::Stopped(why.to_string())));
    }
    if hub.is_removed() {
        return Try::Done(Err(ReadError::Stopped(REMOVED.to_owned())));
    }
    let leader = *hub.leader.borrow();
    let index = match (leader, hub.raft()) {
        (Some(leader), Some(raft)) if leader == hub.me() => {
            let answer = round(raft).await.transpose();
            return answer.map_or(Try::Again, Try::Done);
        }
        (Some(leader), Some(_)) => ask(hub, leader).await,
        _ => None,
    };
    let Some(index) = index else { return Try::Again };
    tokio::select! {
        biased;
        () = hub.applied.reached(index) => Try::Done(Ok(index)),
        why = hub.stop.wait() => Try::Done(Err(ReadError::Stopped(why.to_string()))),
    }
}

/// Waits a little, or until another leads.
async fn again(hub: &Hub) {
    let mut leader = hub.leader.subscribe();
    drop(tokio::time::timeout(AGAIN, leader.changed()).await);
}

async fn ask(hub: &Hub, leader: NodeId) -> Option<LogIndex> {
    let asked = hub.call(leader, Lane::Calls, topic::READ_INDEX, Bytes::new(), PATIENCE);
    // One that hangs is not waited for once another leads.
    let mut leads = hub.leader.subscribe();
    let moved = leads.wait_for(|now| now.is_some_and(|now| now != leader));
    tokio::select! {
        biased;
        asked = asked => codec::from_bytes(&asked.ok()?).ok(),
        _ = moved => None,
    }
}

/// One round on the leader: waits until everything committed before it is applied here.
/// `None` where another leads by now, or no quorum answers.
pub(crate) async fn round(raft: &Raft) -> Result<Option<LogIndex>, ReadError> {
    match raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
        Ok(read) => Ok(Some(LogIndex(read.log_id().index))),
        Err(RaftError::APIError(_)) => Ok(None),
        Err(RaftError::Fatal(error)) => Err(ReadError::Stopped(error.to_string())),
    }
}

/// Answers followers, who gather their own readers.
pub(crate) struct ReadIndexService(pub(crate) std::sync::Weak<Hub>);

impl Service for ReadIndexService {
    fn call(&self, from: NodeId, _: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let hub = self.0.upgrade();
        async move {
            let hub = hub.ok_or("the replica has ended")?;
            hub.must_be_member(from)?;
            let raft = hub.raft().ok_or("Raft does not run yet")?;
            // Not applied here is no matter: the asker waits for itself.
            let read = raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
            let read = read.map_err(|error| error.to_string())?;
            let index = LogIndex(read.read_log_id().index());
            codec::to_bytes(&index).map(Bytes::from).map_err(|error| error.to_string())
        }
        .boxed()
    }
}
