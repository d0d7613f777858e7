//! Records of the system group that say who belongs to the cluster.

use serde::{Deserialize, Serialize};

use crate::id::{Hash, NodeId, OperationId, Timestamp};

/// See [`Change::TokenAdd`](super::Change::TokenAdd).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenAdd {
    /// The hash of the token's secret; the secret itself is never in the log.
    pub token: Hash,
    /// From when on it is good for nothing.
    pub expires: Timestamp,
    /// Whether it admits a light voter, and nothing else.
    pub light: bool,
}

/// See [`Change::NodeAdd`](super::Change::NodeAdd).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAdd {
    /// The hash of the secret that the joiner has shown.
    pub token: Hash,
    /// What the joiner calls itself until it has an id: the same joiner gets the
    /// same id again, anybody else finds the token used.
    pub joiner: OperationId,
    /// Where its peers reach it, as it said.
    pub address: String,
    /// Whether it is a light voter.
    pub light: bool,
}

/// See [`Change::NodeRemove`](super::Change::NodeRemove).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRemove {
    /// Which node.
    pub node: NodeId,
}
