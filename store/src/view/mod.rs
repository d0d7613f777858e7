//! A consistent view for readers: everything in it is as of one log index.
//!
//! All methods block (RocksDB reads): protocols call them on the blocking pool,
//! many at a time. A view pins a RocksDB snapshot: hold it for one command (or
//! one bounded piece of it), never over a wait for a client.
//!
//! A view of the present reads the current rows; a view of a past index reads
//! the newest version of each object at or before it. Both answer alike.

mod audit;
mod captures;
mod changes;
mod classes;
mod cluster;
mod directory;
mod effect;
mod erasures;
mod holds;
mod mailboxes;
mod matters;
mod named;
mod parts;
mod placements;
mod policies;
mod restores;
mod retention;
mod roles;
mod source;
#[cfg(test)]
mod tests;
mod then;

use std::sync::Arc;

use redoubt_log::id::{
    AccountId, BlobId, EmailId, Hash, LogIndex, MailboxId, ModSeq, Sequence, ThreadId, Timestamp,
    Uid, UidValidity,
};
use redoubt_log::record::{AccountSettings, Address, DomainSettings, Flags, Keyword, SpecialUse};

use crate::hash::StateHash;
use crate::keys::{Key, Object, Parts};
use crate::mailstore::StoreError;
use crate::moment::Then;
use crate::rows::{AccountRow, EmailData, EmailRow, RecordRow, Version};
use crate::storage::{Applied, KeyRange, Order, Read, Row, StorageError, Table, applied, decode};
pub use captures::CaptureRuleShown;
pub use classes::Class;
pub(crate) use cluster::level;
pub use effect::{MonthEffect, PolicyEffect};
pub use holds::{Hold, HoldCounts};
pub use retention::TrimAt;
pub(crate) use roles::grant_of;
use source::Source;

/// A domain as it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub settings: DomainSettings,
}

/// An account as it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
    /// The quota in force (its own, its class's or its domain's), in bytes; `None` is no limit.
    pub quota: Option<u64>,
    /// When it was made.
    pub created: Timestamp,
    /// What its sequence is above the log index.
    pub base: u64,
}

/// A mailbox as it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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

/// A password of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// `password` for the main one, or an app password's name.
    pub name: String,
    /// A PHC string (argon2id).
    pub phc: String,
    /// When it was set.
    pub set: Timestamp,
}

/// Everything as of one log index. Clones share the snapshot.
#[derive(Debug, Clone)]
pub struct View {
    source: Source,
}

impl View {
    /// Everything as of a snapshot's applied index.
    ///
    /// # Errors
    /// The snapshot cannot be read.
    pub fn new(reader: Arc<dyn Read>) -> Result<Self, StoreError> {
        Ok(Self { source: Source::new(reader)? })
    }

    /// Everything as it was at an index; one that is not applied yet means now. What lies below
    /// the history floor of an account is not to be had: reading it is
    /// [`StoreError::BelowFloor`].
    #[must_use]
    pub fn at(&self, index: LogIndex) -> Self {
        Self { source: self.source.at(index) }
    }

    /// The index that this view is of; 0 when nothing was applied.
    pub fn index(&self) -> LogIndex {
        self.source.index()
    }

    /// The snapshot's last entry; `None` when nothing was applied.
    pub fn applied(&self) -> Option<Applied> {
        self.source.applied
    }

    /// What is below, for `check` and the mailstore's own rows.
    pub fn reader(&self) -> &dyn Read {
        self.source.reader.as_ref()
    }

    /// The hash of the present state.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn state_hash(&self) -> Result<Hash, StoreError> {
        Ok(StateHash::stored(self.reader())?.digest())
    }

    /// The account's sequence at this view's index: JMAP's state. 0 for no account.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn sequence(&self, account: AccountId) -> Result<Sequence, StoreError> {
        let row: Option<AccountRow> =
            self.source.row(&Key::Account(account), &Object::Account(account))?;
        Ok(row.map_or(Sequence(0), |row| row.sequence(self.index())))
    }

    /// What an email is; `None` once it is expunged.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn email(
        &self,
        account: AccountId,
        email: EmailId,
    ) -> Result<Option<EmailData>, StoreError> {
        Ok(self.source.email(account, email)?)
    }

    /// Who did what a record did, and when; `None` for one that changed nothing.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn record(&self, index: LogIndex) -> Result<Option<RecordRow>, StoreError> {
        Ok(self.source.get(&Key::Record(index))?)
    }

    /// Every version of an object up to this view's index, oldest first.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn history(&self, object: &Object) -> Result<Vec<Version>, StoreError> {
        Ok(self.source.history(object)?)
    }

    /// The last index whose effective time is at or before `time`, of records
    /// that changed something; `None` when all are later.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn index_at(&self, time: Timestamp) -> Result<Option<LogIndex>, StoreError> {
        Ok(self.source.index_at(time)?)
    }

    /// The effective time of the last record that changed something, up to an index; `None`
    /// when all are later.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn time_at(&self, index: LogIndex) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.source.record_to(index)?.map(|(_, row)| row.time))
    }

    /// The first record that changed something.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn first_record(&self) -> Result<Option<Then>, StoreError> {
        let first = self.source.record_from(0)?;
        Ok(first.map(|(index, row)| Then { index, time: row.time }))
    }

    /// Deleted mailboxes whose placements are still to be expunged: the
    /// mailstore's sweep. At most `limit`, as they are now whatever the view's index.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn sweeps(&self, limit: usize) -> Result<Vec<(AccountId, MailboxId)>, StoreError> {
        let rows = self.reader().scan(Table::Deleting, &KeyRange::all(), limit)?;
        let parse = |key: &[u8]| {
            let mut parts = Parts::new(key);
            Some((parts.account()?, parts.mailbox()?))
        };
        let read = |(key, _): Row| {
            parse(&key).ok_or_else(|| StorageError::corrupt(Table::Deleting, &key, "no mailbox"))
        };
        Ok(rows.into_iter().map(read).collect::<Result<_, _>>()?)
    }

    /// A mailbox of an account that has placements, whether it is shown or not: what the next
    /// record of an account's sweep takes.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) fn first_filled(&self, account: AccountId) -> Result<Option<MailboxId>, StoreError> {
        let range = crate::keys::Bytes::account(account).range();
        let row = self.reader().scan(Table::Placement, &range, 1)?.pop();
        Ok(row.and_then(|(key, _)| Parts::new(key.get(8..).unwrap_or_default()).mailbox()))
    }

    /// UIDs of a mailbox that is being swept, rising, at most `limit`: what the
    /// next record of the sweep expunges.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn sweep_uids(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        limit: usize,
    ) -> Result<Vec<Uid>, StoreError> {
        let range = crate::keys::Bytes::mailbox(account, mailbox).range();
        let rows = self.reader().scan(Table::Placement, &range, limit)?;
        let uid = |(key, _): Row| {
            Parts::new(key.get(12..).unwrap_or_default())
                .uid()
                .ok_or_else(|| StorageError::corrupt(Table::Placement, &key, "no UID"))
        };
        Ok(rows.into_iter().map(uid).collect::<Result<_, _>>()?)
    }
}
