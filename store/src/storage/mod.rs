//! Ordered key-value tables: the seam between the rules and what keeps their state.
//!
//! Two implementations: [`MemStorage`] for tests and [`RocksStorage`] for a node.
//! Invariant: a [`Batch`] is seen whole or not at all, and so survives a crash;
//! the applied row is the same in every table.

mod database;
mod memory;
mod rocks;

use std::fmt;
use std::ops::ControlFlow;

use redoubt_log::codec;
use redoubt_log::id::{LogIndex, Term, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use database::Hold;
pub use memory::MemStorage;
pub use rocks::{RocksOptions, RocksSnapshot, RocksStorage};

use crate::mailstore::StoreError;

/// One table: a column family of RocksDB. What bounds its growth is said with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Clock, counters, state hash. Bound: a handful of rows.
    Meta,
    /// Domains and addresses. Bound: live domains, accounts and aliases.
    Directory,
    /// Accounts, their usage, credentials, aliases, floors and holds. Bound: accounts ever made,
    /// and holds.
    Account,
    /// Mailboxes, their counters, names and subscriptions. Bound: live ones and their limits.
    Mailbox,
    /// Placements with what FETCH asks for most. Bound: live placements.
    Placement,
    /// Emails. Bound: live emails.
    Email,
    /// Where an email stood, from and until which index, and which emails a blob is of. Bound:
    /// the history floor, and blobs that died since the log began.
    EmailPlacement,
    /// UIDs, `\Seen` and `\Deleted` as bitmaps of 1,024. Bound: live placements.
    UidMap,
    /// `\Seen` of readers that are not the owner. Bound: live chunks of [`Table::UidMap`].
    Seen,
    /// The change feed by MODSEQ. Bound: live placements, and expunges above the history floor.
    Change,
    /// Threads by their keys. Bound: emails ever brought, until threads know their emails.
    Thread,
    /// Outcomes by operation id, and restores. Bound: 24 hours of log time, 90 days for restores.
    Operation,
    /// Who did what and when, by index. Bound: the history floor.
    Record,
    /// Versions of every object. Bound: the history floor.
    History,
    /// Deleted mailboxes whose placements are still to be swept. Bound: live placements.
    Deleting,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 15] = [
        Self::Meta,
        Self::Directory,
        Self::Account,
        Self::Mailbox,
        Self::Placement,
        Self::Email,
        Self::EmailPlacement,
        Self::UidMap,
        Self::Seen,
        Self::Change,
        Self::Thread,
        Self::Operation,
        Self::Record,
        Self::History,
        Self::Deleting,
    ];

    /// Its name: that of the column family.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Directory => "directory",
            Self::Account => "account",
            Self::Mailbox => "mailbox",
            Self::Placement => "placement",
            Self::Email => "email",
            Self::EmailPlacement => "email_placement",
            Self::UidMap => "uidmap",
            Self::Seen => "seen",
            Self::Change => "change",
            Self::Thread => "thread",
            Self::Operation => "operation",
            Self::Record => "record",
            Self::History => "history",
            Self::Deleting => "deleting",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The key of the row in every table that says how far it has come. Sorts before all others.
pub const APPLIED_KEY: &[u8] = &[];

/// The state cannot be read or written: the shard stops on this node.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// The disk, or RocksDB's own checks.
    #[error("table {table}: {error}")]
    Io {
        /// Where.
        table: &'static str,
        /// What RocksDB says.
        error: String,
    },
    /// A row that does not read as what it must be.
    #[error("table {table}, key {key}: {what}")]
    Corrupt {
        /// Where.
        table: Table,
        /// The row's key, in hexadecimal.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// A record at or below what is applied.
    #[error("record {index} came after {applied} was applied")]
    OutOfOrder {
        /// The record's index.
        index: LogIndex,
        /// The applied index.
        applied: LogIndex,
    },
    /// The log was written by a newer program.
    #[error("the log asks for version {0} of apply, this program knows {1}: install a newer one")]
    Version(u32, u32),
    /// A view of an index below the history floor.
    #[error("there is history from entry {floor} on, and entry {wished} was asked for")]
    BelowFloor {
        /// The index that was asked for.
        wished: LogIndex,
        /// The oldest of which there is a view.
        floor: LogIndex,
        /// The effective time there.
        since: Timestamp,
    },
    /// A value that cannot be encoded.
    #[error("a value cannot be written: {0}")]
    Encode(String),
}

impl StorageError {
    /// A row that does not read as what it must be.
    pub(crate) fn corrupt(table: Table, key: &[u8], what: impl ToString) -> Self {
        Self::Corrupt { table, key: hex(key), what: what.to_string() }
    }
}

impl From<StorageError> for StoreError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::BelowFloor { floor, since, .. } => Self::BelowFloor { floor, since },
            error => Self::Views(error.to_string()),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A range of keys: `from` is in it, `to` is not; no `to` is the end of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key.
    pub from: Vec<u8>,
    /// The first key behind it.
    pub to: Option<Vec<u8>>,
}

impl KeyRange {
    /// All keys that begin so.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self { from: prefix.to_vec(), to: successor(prefix) }
    }

    /// All keys but the applied row.
    pub fn all() -> Self {
        Self { from: vec![0], to: None }
    }

    /// Whether it holds this key.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.from.as_slice() <= key && self.to.as_deref().is_none_or(|to| key < to)
    }

    /// Whether it can hold no key.
    pub fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }
}

/// The first key that does not begin so; `None` when there is none.
pub(crate) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut next = prefix.to_vec();
    while let Some(last) = next.pop() {
        if let Some(up) = last.checked_add(1) {
            next.push(up);
            return Some(next);
        }
    }
    None
}

/// In which order rows are visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By rising key.
    Rising,
    /// By falling key.
    Falling,
}

/// Looks at one row; breaks when it has seen enough.
pub type Visitor<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StorageError>;

/// Where a walk goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// At the next row.
    Next,
    /// At the first row at or behind this key.
    To(Vec<u8>),
    /// At the last row at or before this key.
    BackTo(Vec<u8>),
    /// Nowhere: enough was seen.
    Stop,
}

/// Looks at one row; says where to go on.
pub type Walker<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<Step, StorageError>;

/// A row: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Tables that can be read.
pub trait Read: Send + Sync + fmt::Debug {
    /// The value of a key.
    ///
    /// # Errors
    /// The disk, or corruption.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// Shows rows to a visitor, one after the other.
    ///
    /// # Errors
    /// The disk, corruption, or what the visitor says.
    fn visit(
        &self,
        table: Table,
        range: &KeyRange,
        order: Order,
        visitor: Visitor<'_>,
    ) -> Result<(), StorageError>;

    /// Shows rows by rising key, and leaps where the walker says. Ends with the range.
    ///
    /// # Errors
    /// The disk, corruption, or what the walker says.
    fn walk(&self, table: Table, range: &KeyRange, walker: Walker<'_>) -> Result<(), StorageError>;

    /// At most `limit` rows by rising key.
    ///
    /// # Errors
    /// As [`Read::visit`].
    fn scan(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Row>, StorageError> {
        let mut rows = Vec::new();
        if limit == 0 {
            return Ok(rows);
        }
        self.visit(table, range, Order::Rising, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            Ok(if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(rows)
    }

    /// The row with the highest key in the range.
    ///
    /// # Errors
    /// As [`Read::visit`].
    fn last(&self, table: Table, range: &KeyRange) -> Result<Option<Row>, StorageError> {
        let mut found = None;
        self.visit(table, range, Order::Falling, &mut |key, value| {
            found = Some((key.to_vec(), value.to_vec()));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }
}

/// One change: a new value, or the row goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// In which table.
    pub table: Table,
    /// Which row.
    pub key: Vec<u8>,
    /// Its value from now on.
    pub value: Option<Vec<u8>>,
}

/// What one record writes, at once.
pub type Batch = Vec<Write>;

/// Tables that can be written too.
pub trait Storage: Read {
    /// Writes a batch, whole.
    ///
    /// # Errors
    /// The disk.
    fn write(&mut self, batch: Batch) -> Result<(), StorageError>;
}

/// How far a table has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The last entry.
    pub index: LogIndex,
    /// Its term.
    pub term: Term,
    /// Its effective time.
    pub time: Timestamp,
}

/// How far the state has come; `None` when nothing was applied.
///
/// # Errors
/// The disk, or corruption.
pub fn applied(reader: &dyn Read) -> Result<Option<Applied>, StorageError> {
    applied_in(reader, Table::Meta)
}

/// How far one table has come.
///
/// # Errors
/// The disk, or corruption.
pub fn applied_in(reader: &dyn Read, table: Table) -> Result<Option<Applied>, StorageError> {
    let Some(bytes) = reader.get(table, APPLIED_KEY)? else { return Ok(None) };
    decode(table, APPLIED_KEY, &bytes).map(Some)
}

/// Reads a value.
pub(crate) fn decode<T: DeserializeOwned>(
    table: Table,
    key: &[u8],
    bytes: &[u8],
) -> Result<T, StorageError> {
    codec::from_bytes(bytes).map_err(|e| StorageError::corrupt(table, key, e))
}

/// Writes a value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StorageError> {
    codec::to_bytes(value).map_err(|e| StorageError::Encode(e.to_string()))
}
