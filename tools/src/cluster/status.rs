//! The cluster for whoever looks: what the leader knows of each, and what each
//! says of itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use redoubt_log::id::NodeId;
use redoubt_log::raft::{CallError, Service, topic};
use redoubt_log::record::Actor;

use super::wire::{LeaderAnswer, LeaderCall, LeaderWish};
use super::{Cluster, ClusterBody, Facts, MemberLine, Part, WeakCluster};

/// What only a node itself can say.
const TOPIC: u16 = topic::TOOLS + 1;
/// How long a node may take to say it.
const PATIENCE: Duration = Duration::from_secs(1);

struct Tells(WeakCluster);

pub(super) fn register(cluster: &Cluster) {
    cluster.node().register(TOPIC, Arc::new(Tells(cluster.weak())));
}

impl Service for Tells {
    fn call(&self, _from: NodeId, _body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let facts = self.0.get().map(|cluster| cluster.facts());
        Box::pin(async move {
            serde_json::to_vec(&facts?).map(Bytes::from).map_err(|error| error.to_string())
        })
    }
}

impl Cluster {
    /// The cluster as the leader sees it, or as this node does while nobody leads.
    pub async fn status(&self) -> ClusterBody {
        let mut body = self.of_leader().await.unwrap_or_else(|| self.look());
        body.leader = body.followed_leader();
        body.node = self.id();
        let told = join_all(body.members.iter().map(|member| self.told_by(member.node))).await;
        for (member, facts) in body.members.iter_mut().zip(told) {
            match facts {
                Ok(facts) => {
                    member.disk_free_bytes = Some(facts.disk_free_bytes);
                    member.alarms = facts.alarms;
                }
                Err(why) => member.trouble = member.trouble.take().or(Some(why)),
            }
        }
        self.joining(&mut body).await;
        body
    }

    async fn of_leader(&self) -> Option<ClusterBody> {
        let leader = self.node().leader().filter(|leader| *leader != self.id())?;
        let call = LeaderCall { actor: Actor::SYSTEM, wish: LeaderWish::Look };
        match tokio::time::timeout(PATIENCE, self.ask(leader, &call)).await {
            Ok(Ok(LeaderAnswer::Cluster(body))) => Some(*body),
            _ => None,
        }
    }

    fn facts(&self) -> Facts {
        let status = self.0.mailstore.status();
        Facts {
            disk_free_bytes: status.disk_free,
            alarms: status.alarms.iter().map(ToString::to_string).collect(),
        }
    }

    async fn told_by(&self, node: NodeId) -> Result<Facts, String> {
        if node == self.id() {
            return Ok(self.facts());
        }
        let answer = self.node().call(node, TOPIC, Bytes::new(), PATIENCE).await;
        let answer = answer.map_err(|error| match error {
            CallError::Unreachable { why, .. } => format!("not reached: {why}"),
            other => other.to_string(),
        })?;
        serde_json::from_slice(&answer).map_err(|error| error.to_string())
    }

    /// Those who have an id and are no members yet; only while somebody leads.
    async fn joining(&self, body: &mut ClusterBody) {
        let Ok(Ok(view)) = tokio::time::timeout(PATIENCE, self.0.mailstore.view()).await else {
            return;
        };
        let read = tokio::task::spawn_blocking(move || view.nodes()).await;
        let Ok(Ok(nodes)) = read else { return };
        for (node, row) in nodes {
            if row.removed.is_none() && row.joiner.is_some() && body.member(node).is_none() {
                body.members.push(waiting(node, row.address, row.light));
            }
        }
        body.members.sort_by_key(|member| member.node);
    }
}

fn waiting(node: NodeId, address: String, light: bool) -> MemberLine {
    MemberLine {
        node,
        address,
        role: Part::Joining,
        light,
        matched: None,
        applied: None,
        lag_records: None,
        lag_seconds: None,
        last_contact_seconds: None,
        incarnation: None,
        level: None,
        version: None,
        clock_offset_ms: None,
        disk_free_bytes: None,
        growth_allowed: None,
        trouble: None,
        alarms: Vec::new(),
    }
}
