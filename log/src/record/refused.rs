//! Records of the audit group that say what was tried and not let through.

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, Timestamp};

/// See [`Change::Refused`](super::Change::Refused). Who tried is the record's actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Where it was tried.
    pub node: NodeId,
    /// What was tried: a verb, or a call. Empty where many that differ are counted.
    pub verb: String,
    /// What on, as whoever tried named it.
    pub object: String,
    /// Why it was refused.
    pub reason: String,
    /// When first, by that node's clock.
    pub since: Timestamp,
    /// When last.
    pub until: Timestamp,
    /// How often in that time.
    pub times: u64,
}

/// The most octets of each text of a [`Refused`].
pub const MAX_REFUSED_TEXT: usize = 300;
