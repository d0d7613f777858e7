//! Why the store did not do as it was asked.

use redoubt_log::dump::rfc3339;
use redoubt_log::id::{BlobId, LogIndex, Timestamp};
use redoubt_log::record::Rejection;

/// Reading failed: corruption or the disk, never the caller's fault.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The views cannot be read.
    #[error("the views cannot be read: {0}; stop the server, then run `redoubt rebuild`")]
    Views(String),
    /// History does not go back that far any more.
    #[error("history begins at {} (entry {floor}): ask for a later moment", rfc3339(*since))]
    BelowFloor {
        /// The oldest index of which there is a view.
        floor: LogIndex,
        /// The effective time there.
        since: Timestamp,
    },
    /// A blob is missing or does not hash right.
    #[error("blob {0} is damaged or missing: {1}; run `redoubt check`, restore it from a backup")]
    Blob(BlobId, String),
    /// No leader, no quorum, or this node is far behind: try later, or at another node.
    #[error("not available: {0}; try again later")]
    Unavailable(String),
    /// The node stopped this shard after an error of the disk.
    #[error("this node has stopped: {0}")]
    Stopped(String),
}

/// A write did not happen, or it is not known whether it did.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// `apply` rejected it, on every replica.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The disk's reserve is reached: what grows is refused, what shrinks passes.
    #[error("{}", which_disk(*free, *reserve))]
    DiskFull {
        /// Bytes free.
        free: u64,
        /// Bytes kept.
        reserve: u64,
    },
    /// A message above the limit.
    #[error("the message has {size} octets, the limit is {limit}")]
    TooLarge {
        /// Octets.
        size: u64,
        /// Octets allowed.
        limit: u64,
    },
    /// The request itself is wrong (a name, a number of items).
    #[error("{0}")]
    Invalid(String),
    /// No leader, shutting down, or overloaded: nothing happened, try later.
    #[error("not available: {0}; try again later")]
    Unavailable(String),
    /// It was proposed, and what came of it is not known: the operation id makes a retry safe.
    #[error("the outcome is not known yet: {0}; try again")]
    Unknown(String),
    /// Reading failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why nobody is logged in. Never says which of name and password was wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthError {
    /// Wrong name or password.
    #[error("wrong user name or password")]
    Denied,
    /// The right password, but the account's state forbids it.
    #[error("this account may not log in")]
    State,
    /// Too many failures from there or for that name.
    #[error("too many failed logins; try again later")]
    TooMany,
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A data directory that does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{path} is in use by another process ({holder}): stop that one first")]
    InUse {
        /// The lock file.
        path: String,
        /// What the holder wrote into it.
        holder: String,
    },
    /// The operating system's answer to something done with a path.
    #[error("{path}: {error}")]
    Io {
        /// The path.
        path: String,
        /// The system's answer.
        error: std::io::Error,
    },
    /// A small file of the data directory does not read.
    #[error("{path} is damaged: {problem}; restore it from a backup")]
    Damaged {
        /// The path.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The log does not open.
    #[error("the log does not open: {0}")]
    Log(String),
    /// A part of the log that was synced is damaged or gone.
    #[error(
        "the log does not open: {0}. Nothing was changed, and nothing is cut off: what it had \
         acknowledged may be in the damaged part. A node of a cluster: on another node run \
         `redoubt cluster remove NODE --yes` (its id is in node.toml) and `redoubt cluster token`, \
         move this data directory aside, start `redoubt serve --join HOST:PORT --join-token TOKEN` \
         with an empty one, and remove the old one when the new node votes. A single node: put \
         the file back from a copy of the disk"
    )]
    LogDamaged(String),
    /// The blobs do not open, or some that the log names are missing.
    #[error("the blobs are not whole: {0}; restore them from a backup, nothing was changed")]
    Blobs(String),
    /// The views are missing or damaged and nothing joins the log.
    #[error("the views cannot be rebuilt: {0}")]
    DoesNotJoin(String),
    /// The views do not open.
    #[error("the views do not open: {0}")]
    Views(String),
    /// The log of a member is gone, and with it its votes.
    #[error(
        "this node belongs to a cluster, and its log is gone: it must not come back under its old \
         id. On another node run `redoubt cluster remove` for it and `redoubt cluster token`, \
         empty this data directory, and let it join as a new node"
    )]
    Wiped,
    /// A newer program has written here.
    #[error(
        "this data directory is at level {level}, this program supports {supported} at most: run \
         the newer version"
    )]
    TooOld {
        /// The level of the state.
        level: u32,
        /// What this program supports.
        supported: u32,
    },
    /// The node does not start.
    #[error("the node does not start: {0}")]
    Node(String),
}

impl OpenError {
    /// An answer of the operating system about `path`.
    pub(crate) fn io(path: &std::path::Path, error: std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), error }
    }
}
/// Where there is room here, the nodes that have none are others.
fn which_disk(free: u64, reserve: u64) -> String {
    if free < reserve {
        return format!("the disk is full: {free} bytes are free, {reserve} are kept in reserve");
    }
    "no majority of the nodes has room on its disk: `redoubt cluster status` shows which is full"
        .into()
}
