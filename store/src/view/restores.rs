//! Restores, always as of now: what was asked for, how far it has come, what came of it.

use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, OperationId};
use redoubt_log::record::Restored;

use super::{Key, Order, Parts, StorageError, StoreError, Table, View, decode};
use crate::keys::{restore_pieces, restores, restoring};
use crate::rows::{RestorePieceRow, RestoreRow};

/// Outcomes of one page at most.
const MAX_OUTCOMES: usize = 10_000;

impl View {
    /// A restore.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn restore(&self, id: OperationId) -> Result<Option<RestoreRow>, StoreError> {
        Ok(self.source.get(&Key::Restore(id))?)
    }

    /// All restores that are not forgotten, the newest first.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn restores(&self) -> Result<Vec<(OperationId, RestoreRow)>, StoreError> {
        let mut found = Vec::new();
        for (key, value) in self.reader().scan(Table::Operation, &restores(), usize::MAX)? {
            let id = Parts::new(key.get(1..).unwrap_or_default()).operation();
            let id = id.ok_or_else(|| StorageError::corrupt(Table::Operation, &key, "no id"))?;
            let row: RestoreRow = decode(Table::Operation, &key, &value)?;
            found.push((id, row));
        }
        found.sort_by_key(|(_, row)| std::cmp::Reverse(row.index));
        Ok(found)
    }

    /// The restores that are not done, by account.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn restoring(&self) -> Result<Vec<(AccountId, OperationId)>, StoreError> {
        let mut found = Vec::new();
        for (key, value) in self.reader().scan(Table::Operation, &restoring(), usize::MAX)? {
            let account = Parts::new(key.get(1..).unwrap_or_default()).account();
            let corrupt = || StorageError::corrupt(Table::Operation, &key, "no account");
            found.push((account.ok_or_else(corrupt)?, decode(Table::Operation, &key, &value)?));
        }
        Ok(found)
    }

    /// What came of a restore's steps from the place `from` in its plan on, at most
    /// 10,000.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn restore_outcomes(
        &self,
        id: OperationId,
        from: u64,
    ) -> Result<Vec<(u64, Restored)>, StoreError> {
        let mut found = Vec::new();
        let range = restore_pieces(id).range();
        self.reader().visit(Table::Operation, &range, Order::Rising, &mut |key, value| {
            let first = Parts::new(key.get(17..).unwrap_or_default()).u64();
            let corrupt = || StorageError::corrupt(Table::Operation, key, "no place in a plan");
            let row: RestorePieceRow = decode(Table::Operation, key, value)?;
            let outcomes = (first.ok_or_else(corrupt)?..).zip(row.outcomes);
            found.extend(outcomes.filter(|(place, _)| *place >= from));
            Ok(match found.len() < MAX_OUTCOMES {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        })?;
        found.truncate(MAX_OUTCOMES);
        Ok(found)
    }
}
