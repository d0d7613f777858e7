//! Invariants that can be run (mailbox.md, "Checks that can be run").
//!
//! Every row is read once; what another table must say to it is looked up. A row
//! that cannot be read is a violation too, and the check goes on.

mod approvals;
mod directory;
mod emails;
mod history;
mod holds;
mod mailboxes;
mod operations;
mod placements;
mod retention;
mod tables;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, BlobId, LogIndex};
use serde::de::DeserializeOwned;

use crate::hash::StateHash;
use crate::keys::{Key, Parts};
use crate::mailstore::StoreError;
use crate::rows::FloorRow;
use crate::storage::{KeyRange, Order, Read, StorageError, Table, decode, hex};
use crate::view::View;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// Which invariant: a short name.
    pub check: &'static str,
    /// Of which object.
    pub object: String,
    /// What is wrong.
    pub what: String,
}

/// Whether a blob is there and hashes right; what is wrong with it, else.
pub type BlobCheck<'a> = &'a dyn Fn(&BlobId) -> Result<(), String>;

/// Runs every check on the present state and its history; stops after `limit`
/// violations. Reads everything; memory grows with the mailboxes of one
/// account only.
///
/// # Errors
/// The state cannot be read at all.
pub fn check(
    view: &View,
    blobs: BlobCheck<'_>,
    limit: usize,
) -> Result<Vec<Violation>, StoreError> {
    let mut checker = Checker { reader: view.reader(), blobs, limit, found: Vec::new() };
    checker.all()?;
    checker.found.truncate(limit);
    Ok(checker.found)
}

/// Checks, and collects what is wrong.
pub(crate) struct Checker<'a> {
    reader: &'a dyn Read,
    blobs: BlobCheck<'a>,
    limit: usize,
    found: Vec<Violation>,
}

type Checked = Result<(), StorageError>;

impl<'a> Checker<'a> {
    fn all(&mut self) -> Checked {
        self.tables()?;
        self.directory()?;
        self.mailboxes()?;
        self.placements()?;
        self.emails()?;
        self.operations()?;
        self.history()?;
        self.retention()?;
        self.approvals()
    }

    fn wrong(&mut self, check: &'static str, object: impl Display, what: impl Display) {
        if self.found.len() < self.limit {
            self.found.push(Violation {
                check,
                object: object.to_string(),
                what: what.to_string(),
            });
        }
    }

    fn expect(
        &mut self,
        holds: bool,
        check: &'static str,
        object: impl Display,
        what: impl Display,
    ) {
        if !holds {
            self.wrong(check, object, what);
        }
    }

    /// Visits rows whose key and value can be read; reports the others.
    fn rows<K, V: DeserializeOwned>(
        &mut self,
        table: Table,
        range: &KeyRange,
        parse: impl Fn(Parts<'_>) -> Option<K>,
        mut look: impl FnMut(&mut Self, K, V) -> Checked,
    ) -> Checked {
        self.raw_rows(table, range, |checker, key, value| {
            match (parse(Parts::new(key)), decode::<V>(table, key, value)) {
                (Some(parsed), Ok(row)) => look(checker, parsed, row),
                (None, _) => {
                    checker.unreadable(table, key, "the key cannot be read");
                    Ok(())
                }
                (_, Err(error)) => {
                    checker.unreadable(table, key, error);
                    Ok(())
                }
            }
        })
    }

    fn raw_rows(
        &mut self,
        table: Table,
        range: &KeyRange,
        mut look: impl FnMut(&mut Self, &[u8], &[u8]) -> Checked,
    ) -> Checked {
        let reader = self.reader;
        reader.visit(table, range, Order::Rising, &mut |key, value| {
            look(self, key, value)?;
            Ok(match self.found.len() < self.limit {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        })
    }

    fn unreadable(&mut self, table: Table, key: &[u8], what: impl Display) {
        self.wrong("row", format!("{table} {}", hex(key)), what);
    }

    /// A row, as far as it can be read; what cannot is reported where it is visited.
    fn get<T: DeserializeOwned>(&self, key: &Key<'_>) -> Result<Option<T>, StorageError> {
        let bytes = key.bytes();
        let Some(value) = self.reader.get(key.table(), &bytes)? else { return Ok(None) };
        Ok(decode(key.table(), &bytes, &value).ok())
    }

    /// Where an account's history begins: what lies below may be gone, or still be there.
    fn floor(&self, account: AccountId) -> Result<LogIndex, StorageError> {
        let row: Option<FloorRow> = self.get(&Key::Floor(account))?;
        Ok(row.map_or(LogIndex(0), |row| row.floor))
    }

    fn has(&self, key: &Key<'_>) -> Result<bool, StorageError> {
        Ok(self.reader.get(key.table(), &key.bytes())?.is_some())
    }
}

/// The hash over all rows.
fn recomputed(reader: &dyn Read) -> Result<StateHash, StorageError> {
    StateHash::recompute(reader)
}
