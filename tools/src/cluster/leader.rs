//! Wishes find the leader: this node, or a call to another.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use redoubt_log::id::NodeId;
use redoubt_log::raft::{Service, topic};
use redoubt_log::record::Actor;
use tokio::time::Instant;

use super::wire::{LeaderAnswer, LeaderCall, LeaderWish};
use super::{Cluster, FOR_A_LEADER, Refusal, WeakCluster};

/// Wishes to the leader.
const TOPIC: u16 = topic::TOOLS;
/// How long the leader may take: a removal waits for a commit, a transfer for an election.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks for a leader.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers the other nodes' wishes.
struct Wishes(WeakCluster);

pub(super) fn register(cluster: &Cluster) {
    cluster.node().register(TOPIC, Arc::new(Wishes(cluster.weak())));
}

impl Service for Wishes {
    fn call(&self, from: NodeId, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let cluster = self.0.clone();
        Box::pin(async move {
            let cluster = cluster.get()?;
            // One that was removed keeps its certificate for a while.
            if cluster.node().cluster().member(from).is_none() {
                return Err(format!("node {from} is no member of this cluster"));
            }
            let call: LeaderCall = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
            let answer = cluster.lead(&call).await;
            serde_json::to_vec(&answer).map(Bytes::from).map_err(|e| e.to_string())
        })
    }
}

impl Cluster {
    /// Has the leader do it, whoever that is.
    pub(crate) async fn on_leader(
        &self,
        actor: &Actor,
        wish: LeaderWish,
    ) -> Result<LeaderAnswer, Refusal> {
        let call = LeaderCall { actor: actor.clone(), wish };
        let deadline = Instant::now() + FOR_A_LEADER;
        loop {
            let tried = match self.node().leader() {
                Some(leader) if leader == self.id() => self.lead(&call).await,
                Some(leader) => self.ask(leader, &call).await,
                None => Err(Refusal::NotLeader),
            };
            match tried {
                Err(Refusal::NotLeader) if Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(Refusal::NotLeader) => return Err(nobody_leads()),
                other => return other,
            }
        }
    }

    pub(super) async fn ask(
        &self,
        leader: NodeId,
        call: &LeaderCall,
    ) -> Result<LeaderAnswer, Refusal> {
        use redoubt_log::raft::CallError as E;
        let body = serde_json::to_vec(call).map_err(|error| Refusal::Failed(error.to_string()))?;
        match self.node().call(leader, TOPIC, body.into(), PATIENCE).await {
            Ok(answer) => serde_json::from_slice(&answer)
                .map_err(|error| Refusal::Failed(format!("the leader's answer: {error}")))?,
            // It may be about to lose the leadership, and this node to learn of it.
            Err(E::Unreachable { .. }) => Err(Refusal::NotLeader),
            Err(error) => Err(Refusal::Unavailable(error.to_string())),
        }
    }
}

fn nobody_leads() -> Refusal {
    Refusal::Unavailable(format!(
        "no leader was reached within {FOR_A_LEADER:?}: a majority of the voters must run and \
         reach each other; `redoubt cluster status` shows who does"
    ))
}
