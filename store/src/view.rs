//! A consistent view for readers: everything in it is as of one log index.
//!
//! All methods block (RocksDB reads): protocols call them on the blocking pool,
//! many at a time. A view pins a RocksDB snapshot: hold it for one command (or
//! one bounded piece of it), never over a wait for a client.

use redoubt_log::id::{
    AccountId, BlobId, EmailId, LogIndex, MailboxId, ModSeq, Sequence, ThreadId, Timestamp, Uid,
    UidValidity,
};
use redoubt_log::record::{AccountSettings, Address, DomainSettings, Flags, Keyword, SpecialUse};

use crate::mailstore::StoreError;
use crate::uids::UidSet;

/// A domain as it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub settings: DomainSettings,
}

/// An account as it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Account {
    /// Its id, for ever.
    pub id: AccountId,
    /// Its address now.
    pub address: Address,
    /// Its settings.
    pub settings: AccountSettings,
    /// Bytes of live emails, each once.
    pub used_bytes: u64,
    /// Live emails.
    pub emails: u64,
    /// The quota in force (its own or its domain's), in bytes; `None` is no limit.
    pub quota: Option<u64>,
    /// When it was made.
    pub created: Timestamp,
    /// What its sequence is above the log index.
    pub base: u64,
}

/// A mailbox as it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mailbox {
    /// Its id, for ever.
    pub id: MailboxId,
    /// The whole name with its parents', `/` between; `INBOX` for the inbox.
    pub name: String,
    /// Its parent.
    pub parent: Option<MailboxId>,
    /// Its use.
    pub special_use: Option<SpecialUse>,
    /// False for a name that only has children.
    pub selectable: bool,
    /// Whether another mailbox names it as parent.
    pub has_children: bool,
    /// UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// UIDNEXT; 2^32 when the last UID is used.
    pub uid_next: u64,
    /// HIGHESTMODSEQ.
    pub highest_modseq: ModSeq,
    /// Placements.
    pub messages: u32,
    /// Placements without `\Seen` (the owner's).
    pub unseen: u32,
    /// Placements with `\Deleted`.
    pub deleted: u32,
    /// Octets of its placements: STATUS=SIZE.
    pub size: u64,
    /// Every keyword used in it so far.
    pub keywords: Vec<Keyword>,
}

/// An email's standing in a mailbox, with what FETCH asks for most.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Placement {
    /// Its UID.
    pub uid: Uid,
    /// Its email.
    pub email: EmailId,
    /// Its thread.
    pub thread: ThreadId,
    /// Its content.
    pub blob: BlobId,
    /// RFC822.SIZE.
    pub size: u64,
    /// INTERNALDATE.
    pub received: Timestamp,
    /// SAVEDATE.
    pub saved: Timestamp,
    /// System flags, `\Seen` as the asking reader sees it.
    pub flags: Flags,
    /// Keywords.
    pub keywords: Vec<Keyword>,
    /// MODSEQ.
    pub modseq: ModSeq,
}

/// What an address stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// It delivers to this account; `detail` is the subaddress, if that is how it was found.
    Account {
        /// Which account.
        account: Box<Account>,
        /// The part behind the separator.
        detail: Option<String>,
    },
    /// The domain is ours, the address is nobody's.
    NoSuchUser,
    /// The domain is not ours.
    NoSuchDomain,
    /// It does not read as an address.
    Invalid,
}

/// What changed in a mailbox above a MODSEQ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailboxChanges {
    /// Live placements that are new or changed, with their MODSEQ, by rising UID.
    pub changed: Vec<(Uid, ModSeq)>,
    /// UIDs expunged since, rising.
    pub vanished: Vec<Uid>,
    /// False when the mailbox's memory does not reach back that far: `vanished`
    /// is then incomplete and every absent UID must be taken for vanished.
    pub complete: bool,
}

/// Everything as of one log index.
#[derive(Debug)]
pub struct View {}

#[allow(unused_variables)]
impl View {
    /// The index that this view is of.
    pub fn index(&self) -> LogIndex {
        todo!()
    }
    /// All domains.
    pub fn domains(&self) -> Result<Vec<Domain>, StoreError> {
        todo!()
    }
    /// One domain.
    pub fn domain(&self, name: &str) -> Result<Option<Domain>, StoreError> {
        todo!()
    }
    /// Accounts by rising id, from the first above `after`.
    pub fn accounts(
        &self,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<Account>, StoreError> {
        todo!()
    }
    /// One account.
    pub fn account(&self, account: AccountId) -> Result<Option<Account>, StoreError> {
        todo!()
    }
    /// Aliases of one account, or all.
    pub fn aliases(
        &self,
        account: Option<AccountId>,
    ) -> Result<Vec<(Address, AccountId)>, StoreError> {
        todo!()
    }
    /// What an address stands for: exact account, alias, subaddress, catch-all.
    pub fn resolve(&self, address: &str, default_domain: &str) -> Result<Resolved, StoreError> {
        todo!()
    }
    /// The account that a login name means (no subaddress, no catch-all).
    pub fn login(&self, name: &str, default_domain: &str) -> Result<Option<Account>, StoreError> {
        todo!()
    }
    /// An account's mailboxes, by name.
    pub fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>, StoreError> {
        todo!()
    }
    /// One mailbox; `None` if it is deleted.
    pub fn mailbox(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Option<Mailbox>, StoreError> {
        todo!()
    }
    /// A mailbox by its whole name; `INBOX` in any case.
    pub fn mailbox_named(
        &self,
        account: AccountId,
        name: &str,
    ) -> Result<Option<Mailbox>, StoreError> {
        todo!()
    }
    /// Names that are subscribed to, sorted.
    pub fn subscriptions(&self, account: AccountId) -> Result<Vec<String>, StoreError> {
        todo!()
    }
    /// The UIDs of a mailbox.
    pub fn uids(&self, account: AccountId, mailbox: MailboxId) -> Result<UidSet, StoreError> {
        todo!()
    }
    /// The UIDs that `reader` has not seen.
    pub fn unseen(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        reader: AccountId,
    ) -> Result<UidSet, StoreError> {
        todo!()
    }
    /// One placement.
    pub fn placement(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        reader: AccountId,
        uid: Uid,
    ) -> Result<Option<Placement>, StoreError> {
        todo!()
    }
    /// Placements with UIDs from `first` to `last`, rising, at most `limit`.
    pub fn placements(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        reader: AccountId,
        first: Uid,
        last: Uid,
        limit: usize,
    ) -> Result<Vec<Placement>, StoreError> {
        todo!()
    }
    /// Every standing of one email.
    pub fn placements_of(
        &self,
        account: AccountId,
        email: EmailId,
    ) -> Result<Vec<(MailboxId, Uid)>, StoreError> {
        todo!()
    }
    /// What changed in a mailbox above `since`.
    pub fn changed_since(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        since: ModSeq,
    ) -> Result<MailboxChanges, StoreError> {
        todo!()
    }
    /// The account's sequence at this view's index: JMAP's state.
    pub fn sequence(&self, account: AccountId) -> Result<Sequence, StoreError> {
        todo!()
    }
}
