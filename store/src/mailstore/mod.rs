//! The read and write interface that every caller shares. Only this module proposes.
//!
//! Writers wait until their record is committed, durable with every blob it
//! names, and applied here; then the views show it.

use std::sync::Arc;

use bytes::Bytes;
use redoubt_log::id::{AccountId, BlobId, LogIndex, MailboxId, ModSeq, OperationId, Uid};
use redoubt_log::record::{Actor, Arrival, Change, Outcome, Rejection, SpecialUse};

use crate::changes::Watch;
use crate::mime::Parsed;
use crate::view::{Account, Mailbox, View};

mod error;
mod gate;
mod layout;
mod names;
mod request;
pub(crate) mod reserve;
mod workers;

pub use crate::spool::Spool;
pub use error::{AuthError, OpenError, StoreError, WriteError};
pub use layout::{Layout, Lock, NodeFile, ShardSecret};
pub use names::MailboxPath;
pub use request::{DeliveryRecipient, Envelope, FlagUpdate, MailboxRef, NewMessage, Options};

/// A message's octets, piece by piece.
#[derive(Debug)]
pub struct BlobReader {}

#[allow(unused_variables)]
impl BlobReader {
    /// Octets in all.
    pub fn len(&self) -> u64 {
        todo!()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// At most `limit` octets from `offset`; fewer only at the end. Blocks.
    ///
    /// # Errors
    /// When they do not hash right.
    pub fn read(&self, offset: u64, limit: usize) -> Result<Bytes, StoreError> {
        todo!()
    }
}

/// The mailstore of one node. Clones share it.
#[derive(Debug, Clone)]
pub struct Mailstore {}

#[allow(unused_variables)]
impl Mailstore {
    // ---------------------------------------------------------- life cycle

    /// Opens a data directory, made if it is not there; ready to serve when it returns.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed but what a crash left half done.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        todo!()
    }
    /// Lets what was proposed end, flushes the views and gives the directory free.
    /// Calls that come later get [`WriteError::Unavailable`].
    pub async fn shutdown(&self) {
        todo!()
    }

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
    /// All octets of a message, verified. Blocks. For large ones use [`Mailstore::open_blob`].
    pub fn blob(&self, blob: &BlobId) -> Result<Bytes, StoreError> {
        todo!()
    }
    /// A message's octets piece by piece, verified, in bounded memory. Blocks.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn open_blob(&self, blob: &BlobId) -> Result<BlobReader, StoreError> {
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
