//! What a replica asks of the way to its peers: streams, services, options.
//! Streams are abstract here; what makes them (TLS over TCP, a simulation) is
//! elsewhere and knows nothing of what goes over them.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::id::{BlobId, LogIndex, NodeId};

/// What this build supports: kinds of records, and what `apply` does with them.
/// 1 is the first durable node, 2 came with clusters, 3 with restores, floors and holds.
pub const LEVEL: u32 = 3;

/// Knows which blobs are dead. Its calls block.
pub trait Deadness: Debug + Send + Sync + 'static {
    /// Since which applied entry nothing refers to a blob; `None` for one that lives, or was
    /// never heard of.
    fn since(&self, blob: &BlobId) -> Option<LogIndex>;
}

/// The most octets of a call's body, and of its answer.
pub const MAX_CALL_BYTES: usize = 8 << 20;

/// Topics of calls between nodes. 1 to 99 are this crate's own.
pub mod topic {
    /// How a node is.
    pub const PING: u16 = 1;
    /// A record for the leader to propose.
    pub const PROPOSE: u16 = 2;
    /// A read index, asked of the leader.
    pub const READ_INDEX: u16 = 3;
    /// A blob's stored octets, a piece of them.
    pub const BLOB: u16 = 4;
    /// Blobs given ahead of the entry or proposal that names them.
    pub const GIVE_BLOB: u16 = 5;
    /// Entries of the log.
    pub const ENTRIES: u16 = 6;
    /// A member that has handed leadership over asks to be removed.
    pub const REMOVE: u16 = 7;
    /// Snapshots: offers and what is fetched for them.
    pub const SNAPSHOT: u16 = 10;
    /// The first of the store's.
    pub const STORE: u16 = 100;
    /// The first of the tools'.
    pub const TOOLS: u16 = 200;
}

/// Octets both ways, in order, between two nodes that know who the other is.
pub trait PeerStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> PeerStream for T {}

/// Makes streams to peers.
pub trait Dialer: Debug + Send + Sync + 'static {
    /// A new stream to `peer`, whose certificate must say that it is `peer`. The
    /// caller drops the future when it takes too long.
    fn dial(
        &self,
        peer: NodeId,
        address: &str,
    ) -> BoxFuture<'static, io::Result<Box<dyn PeerStream>>>;
}

/// How a replica is reached by its peers and reaches them.
#[derive(Debug, Clone)]
pub struct PeerOptions {
    /// The group of nodes: the lineage. Another one is refused.
    pub cluster: String,
    /// Raised and synced at every start of this node.
    pub incarnation: u64,
    /// Where peers reach this node.
    pub address: String,
    /// What this node supports, [`LEVEL`] but in tests.
    pub level: u32,
    /// The small file of what was seen of peers.
    pub seen: PathBuf,
    /// Makes streams to peers.
    pub dialer: Arc<dyn Dialer>,
    /// The folder for snapshots that are not complete yet.
    pub incoming: PathBuf,
}

/// What a replica does with an empty log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// Makes a group of one voter, this node.
    #[default]
    Found,
    /// Waits until a group adds it.
    Join,
}

/// Answers calls of other nodes on one topic.
pub trait Service: Send + Sync + 'static {
    /// Answers a call of `from`. The text of an error goes to the caller.
    fn call(&self, from: NodeId, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>>;
}
