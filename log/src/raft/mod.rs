//! One shard's Raft group on this node: the only place that imports openraft,
//! and nothing of its types leaves here.
//!
//! - [`state_machine`] our small trait, and the thread that applies
//! - [`node`] what the rest of the program sees: propose, read, shut down
//! - `storage` the segment log as openraft's log, behind the gate for blobs
//! - `network` the way to peers
//!
//! Invariants: a node holds an entry only when it holds every blob that the
//! entry names; nothing is applied before it is durable in this node's own log;
//! nothing is served before the committed index is recovered.

pub mod node;
pub mod state_machine;
pub mod types;

pub use node::{Node, NodeOptions, ProposeError, ReadError, Status, Stopped};
pub use state_machine::{AppliedState, Checkpoint, Committed, Fatal, StateMachine};
pub use types::{EntryKind, Head, LogEntry, LogId};
