//! One shard's Raft group on this node: the only place that imports openraft,
//! and nothing of its types leaves here.
//!
//! - [`StateMachine`] our small trait; `apply` the thread that calls it
//! - [`Node`] what the rest of the program sees: propose, read, shut down
//! - `storage` the segment log as openraft's log, behind the `gate` for blobs
//! - `network` openraft's way to peers; `conn`, `link` and `serve` the two ends
//!   of a stream, `wire` what goes over it, `hub` what they share
//! - `clock` the time of records; `carry` blobs, ahead of the entries that name them
//! - `forward` proposals to whoever leads; `members` who belongs to the group
//! - `seen`, `fence` and `history` who is refused, and when this node must stop
//!
//! Invariants: a node holds an entry only when it holds every blob that the
//! entry names; nothing is applied before it is durable in this node's own log;
//! nothing is served before the committed index is recovered.

mod apply;
mod carry;
mod clock;
mod cluster;
mod conn;
mod entries;
mod error;
mod fence;
mod forward;
mod gate;
mod graft;
mod guard;
mod heard;
mod history;
mod hub;
mod images;
mod light;
mod link;
mod members;
mod network;
mod node;
mod open;
mod pacing;
mod peers;
mod read_index;
mod regroup;
mod replay;
mod runtime;
mod seen;
mod serve;
mod snapshot;
mod state_machine;
mod stop;
mod storage;
#[cfg(test)]
mod tests;
mod types;
mod watching;
pub mod wire;

pub use cluster::{Cluster, ClusterMember, Role};
pub use error::{CallError, FetchError, MembershipError, OpenError, ProposeError, ReadError};
pub use graft::{LEAP, begin_log, committed_entry, leap, members_of};
pub use images::{ImageFile, Images, Pin, PinnedImage};
pub use light::LightState;
pub use node::{Node, NodeOptions, Status};
pub use peers::{
    Deadness, Dialer, LEVEL, MAX_CALL_BYTES, PeerOptions, PeerStream, Service, Start, topic,
};
pub use regroup::{RegroupError, Survey, regroup, survey};
pub use replay::replay;
pub use state_machine::{AppliedState, Checkpoint, Committed, Fatal, StateMachine, StoredState};
pub use stop::Stopped;
pub use types::{record_of, voters_of};

pub use crate::chain::Head;
pub use crate::segment::{EntryKind, LogEntry, LogId};
