//! What callers hand in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redoubt_log::blob::BlobOptions;
use redoubt_log::disk::{Disk, RealDisk};
use redoubt_log::id::{AccountId, LogIndex, MailboxId, ModSeq, OperationId, Timestamp, Uid};
use redoubt_log::record::{FlagChange, Flags, Keyword};

use redoubt_log::segment::SegmentOptions;

use super::{ArchiveGate, KeepLog, Peers, Waits};
use crate::apply::APPLY_VERSION;
use crate::checkpoint::Bases;
use crate::spool::Spool;

/// Where and how a mailstore lives.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory.
    pub data: PathBuf,
    /// The seam of the file layer.
    pub disk: Arc<dyn Disk>,
    /// Bytes of RocksDB's block cache.
    pub block_cache: usize,
    /// Bytes of parsed messages kept in memory.
    pub parsed_cache: usize,
    /// Bytes of what SORT and THREAD compare of messages, kept in memory.
    pub sort_cache: usize,
    /// The most octets that one message may have.
    pub max_message: u64,
    /// Bytes of messages that may be taken in at one time; more wait.
    pub ingest_memory: u64,
    /// A checkpoint into `base/` is taken after this many records; 0 is never.
    pub checkpoint_every: u64,
    /// What is done with the log behind checkpoints.
    pub keep_log: KeepLog,
    /// A member that was heard within this keeps the log from being purged past what it needs.
    pub keep_log_for: Duration,
    /// How long history is kept; `None` is for ever.
    pub keep_history: Option<Duration>,
    /// How often it is looked for what policies take.
    pub policies_every: Duration,
    /// How often logins are put into the log; zero is never.
    pub record_logins_every: Duration,
    /// Where checkpoints are kept; without it none is taken and the log alone rebuilds.
    pub bases: Option<Arc<dyn Bases>>,
    /// How long calls wait for a leader.
    pub waits: Waits,
    /// How the log's segments are written.
    pub log: SegmentOptions,
    /// How blobs are stored.
    pub blobs: BlobOptions,
    /// How often everything is read to see whether it is still right; zero is never.
    pub scrub_every: Duration,
    /// Octets a second that this may read.
    pub scrub_rate: u64,
    /// How often replicas are compared, where something has changed; zero is only when asked.
    pub compare_every: Duration,
    /// The way to other nodes; `None` for a node that is alone.
    pub peers: Option<Peers>,
    /// Bytes a second given to a node that is far behind, at most; 0 is no bound.
    pub transfer_rate: u64,
    /// How far a backup repository has come, where there is one.
    pub archive_gate: Option<ArchiveGate>,
    /// The level that this program acts as: [`APPLY_VERSION`], or less to try an upgrade.
    pub level: u32,
}

impl Options {
    /// The defaults over the operating system's files.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            disk: Arc::new(RealDisk),
            block_cache: 128 << 20,
            parsed_cache: 64 << 20,
            sort_cache: 64 << 20,
            max_message: 100 << 20,
            ingest_memory: 256 << 20,
            checkpoint_every: 1_000_000,
            keep_log: KeepLog::Forever,
            keep_log_for: Duration::from_secs(24 * 3600),
            keep_history: None,
            policies_every: Duration::from_secs(600),
            record_logins_every: Duration::ZERO,
            bases: None,
            waits: Waits::default(),
            log: SegmentOptions::default(),
            blobs: BlobOptions::default(),
            scrub_every: Duration::from_secs(7 * 24 * 3600),
            scrub_rate: 8 << 20,
            compare_every: Duration::from_secs(3600),
            peers: None,
            transfer_rate: 0,
            archive_gate: None,
            level: APPLY_VERSION,
        }
    }
}

/// The SMTP envelope of a delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// MAIL FROM without the brackets; empty for `<>`.
    pub sender: String,
    /// Body type, SMTPUTF8 and other parameters, as given.
    pub parameters: Vec<String>,
    /// What the client called itself (LHLO).
    pub client_name: String,
    /// Its address, if it came over TCP.
    pub client_address: Option<std::net::IpAddr>,
    /// Whether it came over TLS.
    pub tls: bool,
}

/// A message that somebody sends, as an MTA's milter shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Its envelope; the client is that of the MTA.
    pub envelope: Envelope,
    /// Who has logged in to send it.
    pub authenticated: Option<String>,
    /// All recipients that the MTA has accepted.
    pub recipients: Vec<String>,
    /// Where a name without a domain belongs.
    pub default_domain: String,
}

/// One accepted RCPT of a delivery.
#[derive(Debug, Clone)]
pub struct DeliveryRecipient {
    /// The address as given in RCPT.
    pub address: String,
    /// Whose it is.
    pub account: AccountId,
    /// Detail of a subaddress: files into the mailbox of that name if it exists. `None` is INBOX.
    pub detail: Option<String>,
}

/// What flags STORE changes.
#[derive(Debug, Clone)]
pub struct FlagUpdate {
    /// How.
    pub how: FlagChange,
    /// System flags.
    pub flags: Flags,
    /// Keywords.
    pub keywords: Vec<Keyword>,
    /// RFC 7162's UNCHANGEDSINCE.
    pub unchanged_since: Option<ModSeq>,
}

/// What came of a change of one email's flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flagged {
    /// Its MODSEQ: of this record, or an older one if nothing was to be changed.
    pub modseq: ModSeq,
    /// The record.
    pub index: LogIndex,
}

/// One message to append.
#[derive(Debug)]
pub struct NewMessage {
    /// Its octets.
    pub content: Spool,
    /// INTERNALDATE; `None` is now.
    pub received: Option<Timestamp>,
    /// Flags.
    pub flags: Flags,
    /// Keywords.
    pub keywords: Vec<Keyword>,
    /// The UID that an import wants to keep.
    pub uid: Option<Uid>,
    /// Makes an import's retry safe.
    pub operation: Option<OperationId>,
}

/// A mailbox of an account, for writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MailboxRef {
    /// In which account.
    pub account: AccountId,
    /// Which mailbox.
    pub mailbox: MailboxId,
}
