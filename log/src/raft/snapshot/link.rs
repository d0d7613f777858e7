//! Snapshots on a real replica: calls to its peers, and Raft that installs.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{StreamingError, Unreachable};
use openraft::raft::SnapshotResponse;

use super::pace::Syncs;
use super::{Calls, Replica, SnapshotParts, Snapshots};
use crate::id::{LogIndex, NodeId};
use crate::raft::apply::as_snapshot;
use crate::raft::error::{CallError, MembershipError};
use crate::raft::hub::Hub;
use crate::raft::node::Node;
use crate::raft::peers::topic;
use crate::raft::read_index::Raft;
use crate::raft::state_machine::Checkpoint;
use crate::raft::types::{TypeConfig, decode_vote, encode_vote, from_raft};
use crate::raft::wire::Lane;
use crate::segment::{LogId, SegmentStats};

/// Records behind which an image counts as old, and a node that joins gets a new one.
const FAR: u64 = 50_000;

/// A replica's hub, which is not kept alive.
#[derive(Debug, Clone)]
struct HubLink(Weak<Hub>);

impl Calls for HubLink {
    fn call(
        &self,
        peer: NodeId,
        body: Bytes,
        patience: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let hub = self.0.upgrade();
        async move {
            let why = || "the replica has ended".to_owned();
            let hub = hub.ok_or_else(|| CallError::Unreachable { node: peer, why: why() })?;
            hub.call(peer, Lane::Bulk, topic::SNAPSHOT, body, patience).await
        }
        .boxed()
    }
}

impl Replica for HubLink {
    fn reached(&self) -> Option<LogId> {
        let hub = self.0.upgrade()?;
        let committed = hub.raft().and_then(committed);
        hub.applied.get().map(|state| state.id).max(committed)
    }

    fn vote(&self) -> Vec<u8> {
        let hub = self.0.upgrade();
        let vote = hub.as_ref().and_then(|hub| hub.raft()).map(vote);
        vote.unwrap_or_default()
    }

    fn syncs(&self) -> Syncs {
        let Some(hub) = self.0.upgrade() else { return Syncs::default() };
        let SegmentStats { syncs: count, sync_us: micros, .. } = hub.log.stats();
        Syncs { count, micros }
    }

    fn knows(&self, node: NodeId) -> bool {
        self.0.upgrade().is_some_and(|hub| hub.member(node).is_some())
    }

    fn install(
        &self,
        vote: Vec<u8>,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        let hub = self.0.upgrade();
        async move {
            let hub = hub.ok_or("the replica has ended")?;
            let raft = hub.raft().ok_or("Raft does not run yet")?;
            install(raft, &vote, checkpoint).await
        }
        .boxed()
    }
}

fn vote(raft: &Raft) -> Vec<u8> {
    encode_vote(&raft.metrics().borrow_watched().vote).to_vec()
}

fn committed(raft: &Raft) -> Option<LogId> {
    raft.metrics().borrow_watched().local_committed.map(from_raft)
}

/// What Raft takes for granted of a snapshot is checked first: it would end otherwise.
async fn install(raft: &Raft, vote: &[u8], checkpoint: Checkpoint) -> Result<Vec<u8>, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let vote = decode_vote(vote).map_err(|error| said(&error))?;
    let id = checkpoint.state.id;
    if id.term.0 > vote.leader_id().term || !vote.is_committed() {
        return Err(format!("a snapshot of {id} from a leader that cannot have it"));
    }
    if committed(raft).is_some_and(|committed| id > committed && id.index <= committed.index) {
        return Err(format!("a snapshot of {id}, where this log has committed something else"));
    }
    let snapshot = as_snapshot(checkpoint).map_err(|error| said(&error))?;
    let answer = raft.install_full_snapshot(vote, snapshot).await;
    answer.map(|answer| encode_vote(&answer.vote).to_vec()).map_err(|error| said(&error))
}

impl Hub {
    /// Gives and takes snapshots from now on.
    pub(crate) fn begin_snapshots(self: &Arc<Self>) {
        let (Some(peers), Some(blobs)) = (self.peers(), self.gate.store()) else { return };
        let link = Arc::new(HubLink(Arc::downgrade(self)));
        let snapshots = Snapshots::start(SnapshotParts {
            calls: link.clone(),
            replica: link,
            images: self.options.images.clone(),
            blobs,
            disk: self.log.disk(),
            incoming: peers.incoming.clone(),
            rate: self.options.transfer_rate,
        });
        self.services.lock().insert(topic::SNAPSHOT, Arc::new(snapshots.clone()));
        drop(self.snapshots.set(snapshots));
    }

    /// Brings a follower to the snapshot that Raft wants it to have.
    pub(crate) async fn send_snapshot(
        &self,
        peer: NodeId,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, Checkpoint>,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let sent = async {
            let snapshots = self.snapshots.get().ok_or("this node gives no snapshots")?;
            let vote = encode_vote(&vote).to_vec();
            let vote = snapshots.offer(peer, vote, snapshot.snapshot.state.id).await;
            let vote = vote.map_err(|error| error.to_string())?;
            let vote = decode_vote(&vote).map_err(|error| error.to_string())?;
            Ok::<_, String>(SnapshotResponse::new(vote))
        };
        sent.await.map_err(|why| {
            tracing::warn!(%peer, why, "a snapshot was not sent; it is tried again");
            StreamingError::Unreachable(Unreachable::from_string(why))
        })
    }

    /// Whether a node that has nothing yet is better served by a snapshot than by the log.
    fn is_far(&self) -> bool {
        self.log.purged().is_some() || self.log.last().is_some_and(|last| last.index.0 > FAR)
    }

    /// Gives a snapshot to a node that is to be added, where the log is long. It
    /// goes without where that fails, as long as the log reaches back.
    pub(crate) async fn prepare_joiner(&self, peer: NodeId) {
        if self.member(peer).is_some() || !self.is_far() {
            return;
        }
        if let Err(error) = self.offer_snapshot(peer).await {
            tracing::warn!(%peer, %error, "a node that joins got no snapshot beforehand");
        }
    }

    async fn offer_snapshot(&self, peer: NodeId) -> Result<(), MembershipError> {
        let unreachable = |why: String| MembershipError::Unreachable { node: peer, why };
        let raft = self.raft_as_leader()?;
        let snapshots = self.snapshots.get().ok_or(MembershipError::Alone)?;
        let last = self.applied.index().unwrap_or_default();
        let id = snapshots.fresh(last, FAR).await.map_err(unreachable)?;
        let given = snapshots.offer(peer, vote(raft), id).await;
        given.map(drop).map_err(|error| unreachable(error.to_string()))
    }
}

impl Node {
    /// Brings a node, which need not be a member yet, to a recent snapshot, and
    /// returns when it has installed it. May last as long as all blobs need. Only on
    /// the leader; the node must have been heard, or its address be known.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn offer_snapshot(&self, peer: NodeId) -> Result<(), MembershipError> {
        self.hub().offer_snapshot(peer).await
    }

    /// The oldest index that a node needs which fetches a snapshot from here right
    /// now: the log must not be purged past it.
    pub fn snapshot_floor(&self) -> Option<LogIndex> {
        self.hub().snapshots.get().and_then(Snapshots::floor)
    }
}
