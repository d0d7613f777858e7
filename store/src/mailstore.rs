//! The read and write interface that every caller shares. Only this file proposes.
//!
//! Writers wait until their record is committed, durable with every blob it
//! names, and applied here; then the views show it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use redoubt_log::disk::Disk;
use redoubt_log::id::{
    AccountId, BlobId, LogIndex, MailboxId, ModSeq, OperationId, Timestamp, Uid,
};
use redoubt_log::record::{
    Actor, Arrival, Change, FlagChange, Flags, Keyword, Outcome, Rejection, SpecialUse,
};

use crate::changes::Watch;
use crate::mime::Parsed;
use crate::view::{Account, Mailbox, View};

/// Where and how a mailstore lives.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory.
    pub data: PathBuf,
    /// The seam of the file layer.
    pub disk: Arc<dyn Disk>,
    /// Bytes of RocksDB's block cache.
    pub block_cache: usize,
    /// Parsed messages kept in memory.
    pub parsed_cache: usize,
    /// The most octets that one message may have.
    pub max_message: u64,
    /// Bytes of messages that may be taken in at one time; more wait.
    pub ingest_memory: u64,
    /// A checkpoint into `base/` is taken after this many records.
    pub checkpoint_every: u64,
}

/// Reading failed: corruption or the disk, never the caller's fault.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The views cannot be read.
    #[error("the views cannot be read: {0}; stop the server, then run `redoubt rebuild`")]
    Views(String),
    /// A blob is missing or does not hash right.
    #[error("blob {0} is damaged or missing: {1}; run `redoubt check`, restore it from a backup")]
    Blob(BlobId, String),
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
    #[error("the disk is full: {free} bytes are free, {reserve} are kept in reserve")]
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

/// A message on its way in: in memory while small, in a spool file beyond.
#[derive(Debug)]
pub struct Spool {}

#[allow(unused_variables)]
impl Spool {
    /// Octets written.
    pub fn len(&self) -> u64 {
        todo!()
    }
    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Adds octets. Waits while too much is being taken in at one time.
    ///
    /// # Errors
    /// [`WriteError::TooLarge`] past the limit (the rest may be skipped), [`WriteError::DiskFull`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        todo!()
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

/// The mailstore of one node. Clones share it.
#[derive(Debug, Clone)]
pub struct Mailstore {}

#[allow(unused_variables)]
impl Mailstore {
    // ------------------------------------------------------------- reading

    /// Everything as of now, linearizable: no answer older than what any client was told.
    ///
    /// # Errors
    /// When this node cannot be sure (no leader) or has stopped.
    pub async fn view(&self) -> Result<View, StoreError> {
        todo!()
    }
    /// Wakes when something of the account changed.
    pub fn watch(&self, account: AccountId) -> Watch {
        todo!()
    }
    /// Envelope, structure and headers of a message, from the cache where it is there. Blocks.
    pub fn parsed(&self, blob: &BlobId) -> Result<Arc<Parsed>, StoreError> {
        todo!()
    }
    /// A message's octets from `offset`, at most `limit`, verified. Blocks.
    /// Readers that stream call it for one piece after the other; use [`Mailstore::open_blob`].
    pub fn blob(&self, blob: &BlobId) -> Result<Bytes, StoreError> {
        todo!()
    }

    // --------------------------------------------------------------- login

    /// Checks a password; waits longer after failures. Never blocks a worker.
    pub async fn authenticate(
        &self,
        name: &str,
        password: &[u8],
        default_domain: &str,
        from: Option<std::net::IpAddr>,
    ) -> Result<Account, AuthError> {
        todo!()
    }
    /// A PHC string (argon2id) for a new password.
    pub async fn hash_password(&self, password: &[u8]) -> Result<String, WriteError> {
        todo!()
    }

    // -------------------------------------------------------------- writing

    /// Proposes a small change (directory, mailbox, subscription) as it is.
    pub async fn submit(
        &self,
        actor: &Actor,
        operation: OperationId,
        change: Change,
    ) -> Result<Outcome, WriteError> {
        todo!()
    }
    /// A place for a message that comes in.
    pub fn spool(&self) -> Spool {
        todo!()
    }
    /// Delivers one message: one record for all recipients, an answer for each in their order.
    /// `trace` is what we put before the message (Return-Path, Received).
    pub async fn deliver(
        &self,
        actor: &Actor,
        envelope: Envelope,
        trace: Bytes,
        content: Spool,
        recipients: Vec<DeliveryRecipient>,
    ) -> Result<Vec<Result<Arrival, Rejection>>, WriteError> {
        todo!()
    }
    /// Appends messages to a mailbox, all or none.
    pub async fn append(
        &self,
        actor: &Actor,
        to: MailboxRef,
        items: Vec<NewMessage>,
    ) -> Result<Vec<Result<Arrival, Rejection>>, WriteError> {
        todo!()
    }
    /// Makes a mailbox, and those above it that are not there (RFC 9051 section 6.3.4).
    pub async fn create_mailbox(
        &self,
        actor: &Actor,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<Mailbox, WriteError> {
        todo!()
    }
    /// Renames a mailbox; INBOX's mail moves into a new one (RFC 9051 section 6.3.6).
    pub async fn rename_mailbox(
        &self,
        actor: &Actor,
        account: AccountId,
        from: &str,
        to: &str,
    ) -> Result<(), WriteError> {
        todo!()
    }
    /// Deletes a mailbox; its emails go in pieces behind the scene.
    pub async fn delete_mailbox(
        &self,
        actor: &Actor,
        account: AccountId,
        name: &str,
    ) -> Result<(), WriteError> {
        todo!()
    }
    /// Changes flags of any number of emails, in bounded records. Answers by UID in the given order.
    pub async fn set_flags(
        &self,
        actor: &Actor,
        mailbox: MailboxRef,
        reader: AccountId,
        uids: Vec<Uid>,
        update: FlagUpdate,
    ) -> Result<Vec<(Uid, Result<ModSeq, Rejection>)>, WriteError> {
        todo!()
    }
    /// More placements in another mailbox of the account, all or none where they fit one record.
    /// Answers pairs of source and new UID; what is gone is left out.
    pub async fn copy(
        &self,
        actor: &Actor,
        from: MailboxRef,
        to: MailboxId,
        uids: Vec<Uid>,
    ) -> Result<Vec<(Uid, Arrival)>, WriteError> {
        todo!()
    }
    /// Like copy, and the source's placements go in the same record (RFC 6851).
    pub async fn move_to(
        &self,
        actor: &Actor,
        from: MailboxRef,
        to: MailboxId,
        uids: Vec<Uid>,
    ) -> Result<Vec<(Uid, Arrival)>, WriteError> {
        todo!()
    }
    /// Placements go; with `only_deleted` only those that have `\Deleted`. Answers those that went.
    pub async fn expunge(
        &self,
        actor: &Actor,
        mailbox: MailboxRef,
        uids: Vec<Uid>,
        only_deleted: bool,
    ) -> Result<Vec<(Uid, ModSeq)>, WriteError> {
        todo!()
    }
    /// The highest UID that a session with the right to reset `\Recent` has been told of; raises it
    /// when `claim`. Soft state (RFC 3501 section 2.3.2).
    pub fn recent(&self, mailbox: MailboxRef, last: Option<Uid>, claim: bool) -> Option<Uid> {
        todo!()
    }
    /// The index applied here.
    pub fn applied(&self) -> LogIndex {
        todo!()
    }
}
