//! The members of the group, and calls between them.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use crate::id::{BlobId, LogIndex, NodeId};
use crate::raft::cluster::{Cluster, ClusterMember, Role};
use crate::raft::error::{CallError, FetchError, MembershipError};
use crate::raft::node::Node;
use crate::raft::peers::{LEVEL, PeerStream, Service};
use crate::segment::LogEntry;

impl Node {
    /// Serves what a peer sends over this stream, until it ends. `identity` is
    /// what the peer's certificate says, where it has one.
    pub async fn serve_peer(&self, stream: Box<dyn PeerStream>, identity: Option<NodeId>) {
        tracing::warn!(?identity, "this version serves no peers yet");
        drop(stream);
    }

    /// Who leads, where that is known.
    pub fn leader(&self) -> Option<NodeId> {
        self.status().leader
    }

    /// Whether this node leads, as far as it knows: a read index makes sure.
    pub fn is_leader(&self) -> bool {
        self.leader() == Some(self.node())
    }

    /// Who leads, whenever that changes.
    pub fn watch_leader(&self) -> watch::Receiver<Option<NodeId>> {
        self.leader_cell().subscribe()
    }

    /// Adds a node that gets the log and has no vote; returns when it has the
    /// log but for what came meanwhile. Only on the leader.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn add_learner(
        &self,
        _node: NodeId,
        _address: String,
        _light: bool,
    ) -> Result<(), MembershipError> {
        Err(MembershipError::Alone)
    }

    /// Gives a learner a vote. Only on the leader.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn promote(&self, _node: NodeId) -> Result<(), MembershipError> {
        Err(MembershipError::Alone)
    }

    /// Removes a member for good. Only on the leader, which hands leadership
    /// over first if it is the one to go.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn remove(&self, _node: NodeId) -> Result<(), MembershipError> {
        Err(MembershipError::Alone)
    }

    /// Hands leadership to a voter, `None` for the one that is furthest; returns
    /// when it leads. Only on the leader.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn transfer(&self, _to: Option<NodeId>) -> Result<(), MembershipError> {
        Err(MembershipError::Alone)
    }

    /// The group, as this node sees it.
    pub fn cluster(&self) -> Cluster {
        let status = self.status();
        let itself = ClusterMember {
            node: status.node,
            address: String::new(),
            role: if self.is_leader() { Role::Leader } else { Role::Voter },
            light: false,
            matched: status.durable.map(|id| id.index),
            applied: status.applied.map(|state| state.id.index),
            lag_records: Some(0),
            lag: Some(Duration::ZERO),
            last_contact: None,
            incarnation: None,
            level: Some(LEVEL),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            clock_offset_ms: Some(0),
            growth_allowed: Some(status.growth_allowed),
            trouble: None,
        };
        let (node, term, leader) = (status.node, status.term, status.leader);
        Cluster { node, term, leader, level: LEVEL, changing: false, members: vec![itself] }
    }

    /// Calls a service on another node.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(
        &self,
        peer: NodeId,
        _topic: u16,
        _body: Bytes,
        _timeout: Duration,
    ) -> Result<Bytes, CallError> {
        Err(CallError::UnknownNode(peer))
    }

    /// Answers calls on this topic from now on.
    pub fn register(&self, topic: u16, service: Arc<dyn Service>) {
        self.services().lock().insert(topic, service);
    }

    /// Fetches a blob, and the parts of its recipe, from any peer that has it,
    /// and makes it durable here. Says who had it.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch_blob(&self, id: BlobId) -> Result<NodeId, FetchError> {
        Err(FetchError::Nobody(format!("blob {id}: there are no peers")))
    }

    /// Applied entries of a range from any peer, as many as fit into `max_bytes`
    /// and at least one, verified by the chain: of an entry here, before or behind.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch_entries(
        &self,
        range: Range<LogIndex>,
        _max_bytes: usize,
    ) -> Result<Vec<LogEntry>, FetchError> {
        Err(FetchError::Nobody(format!("entries {range:?}: there are no peers")))
    }
}

/// Tells whenever another leads.
pub(crate) async fn follow_leader(
    raft: crate::raft::read_index::Raft,
    cell: watch::Sender<Option<NodeId>>,
) {
    let mut metrics = raft.metrics();
    loop {
        let leader = metrics.borrow_watched().current_leader.map(NodeId);
        cell.send_if_modified(|now| std::mem::replace(now, leader) != leader);
        if metrics.changed().await.is_err() {
            return;
        }
    }
}
