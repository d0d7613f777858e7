//! Erasures: the ledger of what was erased, and how far nodes have reached. All as of now.

use std::collections::BTreeMap;

use redoubt_log::id::{AccountId, BlobId, EmailId, NodeId, OperationId};
use redoubt_log::record::Rejection;

use super::{Key, Parts, StorageError, StoreError, Table, View, decode};
use crate::keys::{erase_kept, erase_reports, erased_blobs, erased_of, erasures};
use crate::rows::{EraseReportRow, ErasedRow, ErasureRow};

/// Octets of a key before what follows an erasure's id, and before that id.
const BEHIND_ID: usize = 25;
const BEFORE_ID: usize = 9;

fn corrupt(key: &[u8]) -> StorageError {
    StorageError::corrupt(Table::Account, key, "no row of an erasure")
}

impl View {
    /// An erasure.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn erasure(&self, id: OperationId) -> Result<Option<ErasureRow>, StoreError> {
        Ok(self.source.get(&Key::Erasure(id))?)
    }

    /// All erasures, the newest first.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn erasures(&self) -> Result<Vec<(OperationId, ErasureRow)>, StoreError> {
        let mut found = Vec::new();
        for (key, value) in self.reader().scan(Table::Account, &erasures().range(), usize::MAX)? {
            let id = Parts::new(key.get(BEFORE_ID..).unwrap_or_default()).operation();
            let row: ErasureRow = decode(Table::Account, &key, &value)?;
            found.push((id.ok_or_else(|| corrupt(&key))?, row));
        }
        found.sort_by_key(|(_, row)| std::cmp::Reverse(row.index));
        Ok(found)
    }

    /// By which erasure an email went.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn erased_by(
        &self,
        account: AccountId,
        email: EmailId,
    ) -> Result<Option<OperationId>, StoreError> {
        let row: Option<ErasedRow> = self.source.get(&Key::Erased(account, email))?;
        Ok(row.map(|row| row.erasure))
    }

    /// Emails of an account that were erased, with the erasure, behind one, at most `limit`.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn erased(
        &self,
        account: AccountId,
        after: Option<EmailId>,
        limit: usize,
    ) -> Result<Vec<(EmailId, OperationId)>, StoreError> {
        let mut range = erased_of(account).range();
        if let Some(after) = after {
            range.from = Key::Erased(account, after).bytes();
            range.from.push(0);
        }
        let mut found = Vec::new();
        for (key, value) in self.reader().scan(Table::Account, &range, limit)? {
            let email = Parts::new(key.get(BEFORE_ID..).unwrap_or_default()).email();
            let row: ErasedRow = decode(Table::Account, &key, &value)?;
            found.push((email.ok_or_else(|| corrupt(&key))?, row.erasure));
        }
        Ok(found)
    }

    /// Emails that an erasure's list has and that were kept, with the reason, behind one, at most
    /// `limit`.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn erase_kept(
        &self,
        id: OperationId,
        after: Option<EmailId>,
        limit: usize,
    ) -> Result<Vec<(EmailId, Rejection)>, StoreError> {
        let mut range = erase_kept(id).range();
        if let Some(after) = after {
            range.from = Key::EraseKept(id, after).bytes();
            range.from.push(0);
        }
        let mut found = Vec::new();
        for (key, value) in self.reader().scan(Table::Account, &range, limit)? {
            let email = Parts::new(key.get(BEHIND_ID..).unwrap_or_default()).email();
            let why = decode(Table::Account, &key, &value)?;
            found.push((email.ok_or_else(|| corrupt(&key))?, why));
        }
        Ok(found)
    }

    /// Blobs that an erasure's emails had, each once: dead, about to die, or another's as well.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn erased_blobs(&self, id: OperationId) -> Result<Vec<BlobId>, StoreError> {
        let rows = self.reader().scan(Table::Account, &erased_blobs(id).range(), usize::MAX)?;
        let blob = |(key, _): &(Vec<u8>, Vec<u8>)| {
            let blob = Parts::new(key.get(BEHIND_ID..).unwrap_or_default()).blob();
            blob.ok_or_else(|| corrupt(key))
        };
        Ok(rows.iter().map(blob).collect::<Result<_, _>>()?)
    }

    /// What each node said that it has reached.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn erase_reports(
        &self,
        id: OperationId,
    ) -> Result<BTreeMap<NodeId, EraseReportRow>, StoreError> {
        let rows = self.reader().scan(Table::Account, &erase_reports(id).range(), usize::MAX)?;
        let row = |(key, value): (Vec<u8>, Vec<u8>)| {
            let node = Parts::new(key.get(BEHIND_ID..).unwrap_or_default()).u64();
            let node = NodeId(node.ok_or_else(|| corrupt(&key))?);
            Ok((node, decode(Table::Account, &key, &value)?))
        };
        Ok(rows.into_iter().map(row).collect::<Result<_, StorageError>>()?)
    }
}
