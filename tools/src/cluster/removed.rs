//! A node that was removed, or was away when it was, learns it from the others, and
//! ends: it would wait for a leader for ever.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use redoubt_log::id::NodeId;
use redoubt_log::raft::{Service, topic};

use super::{Cluster, WeakCluster};

/// Am I still one of you?
const TOPIC: u16 = topic::TOOLS + 2;
/// How often a node that knows no leader asks.
const LEADERLESS: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(2);
const REMOVED: &[u8] = b"removed";

struct Answers(WeakCluster);

pub(super) fn register(cluster: &Cluster) {
    cluster.node().register(TOPIC, Arc::new(Answers(cluster.weak())));
}

impl Service for Answers {
    fn call(&self, from: NodeId, _body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let cluster = self.0.clone();
        Box::pin(async move {
            let view = cluster.get()?.mailstore().view().await;
            let view = view.map_err(|error| error.to_string())?;
            let read = tokio::task::spawn_blocking(move || view.nodes()).await;
            let nodes = read.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
            let gone = nodes.iter().any(|(node, row)| *node == from && row.removed.is_some());
            Ok(if gone { Bytes::from_static(REMOVED) } else { Bytes::new() })
        })
    }
}

impl Cluster {
    /// Resolves with what to do when a member says that this node is removed.
    pub async fn removed(&self) -> String {
        let leader = self.node().watch_leader();
        let cut_off = self.mailstore().cut_off();
        loop {
            tokio::time::sleep(LEADERLESS).await;
            // While somebody leads there is nothing to ask; who was removed keeps the leader
            // that it last heard of.
            if leader.borrow().is_some() && !cut_off.is_now() {
                continue;
            }
            if let Some(who) = self.told_to_be_removed().await {
                return format!(
                    "node {who} says that this node ({}) was removed from the cluster: empty its \
                     data directory, and let it join with a new token",
                    self.id()
                );
            }
        }
    }

    async fn told_to_be_removed(&self) -> Option<NodeId> {
        for member in self.node().cluster().members {
            if member.node == self.id() {
                continue;
            }
            let answer = self.node().call(member.node, TOPIC, Bytes::new(), PATIENCE).await;
            if answer.is_ok_and(|answer| answer == REMOVED) {
                return Some(member.node);
            }
        }
        None
    }
}
