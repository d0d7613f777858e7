//! Snapshots for replicas: offered by the leader, pulled by the receiver.

use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{StreamingError, Unreachable};
use openraft::raft::SnapshotResponse;

use crate::id::NodeId;
use crate::raft::state_machine::Checkpoint;
use crate::raft::types::TypeConfig;

/// Brings a receiver to a snapshot, and returns when it has installed it.
pub(crate) async fn offer(
    peer: NodeId,
    _vote: VoteOf<TypeConfig>,
    _snapshot: SnapshotOf<TypeConfig, Checkpoint>,
) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
    let why = format!("node {peer}: this version sends no snapshots yet");
    Err(StreamingError::Unreachable(Unreachable::from_string(why)))
}
