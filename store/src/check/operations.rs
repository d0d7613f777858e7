//! The table of operations: every outcome has its end, every end its outcome.

use redoubt_log::id::{AccountId, OperationId};
use redoubt_log::record::RestoreCounts;

use super::{Checked, Checker};
use crate::keys::{Bytes, Key, Parts, ordered, restore_pieces};
use crate::rows::{ItemRow, OperationRow, RecordRow, RestoreMadeRow, RestorePieceRow, RestoreRow};
use crate::storage::{KeyRange, Table, decode, hex};

impl Checker<'_> {
    pub(super) fn operations(&mut self) -> Checked {
        self.raw_rows(Table::Operation, &KeyRange::all(), |c, key, value| match key.first() {
            Some(b'r') => {
                let row = decode::<OperationRow>(Table::Operation, key, value);
                c.ends(key, row.ok().map(|row| row.expires.0))
            }
            Some(b'i') => {
                let row = decode::<ItemRow>(Table::Operation, key, value);
                c.ends(key, row.ok().map(|row| row.expires.0))
            }
            Some(b'q') => c.restore(key, value),
            Some(b'a') => c.restoring(key, value),
            Some(b'm') => {
                let row = decode::<RestoreMadeRow>(Table::Operation, key, value);
                c.ends(key, row.ok().map(|row| row.expires.0))
            }
            Some(b'p') => {
                let row = decode::<RestorePieceRow>(Table::Operation, key, value);
                c.ends(key, row.ok().map(|row| row.expires.0))
            }
            Some(b'x') => {
                let row = key.get(9..).unwrap_or_default();
                let there = c.reader.get(Table::Operation, row)?.is_some();
                c.expect(
                    there && value.is_empty(),
                    "operation",
                    hex(row),
                    "an end without an outcome",
                );
                Ok(())
            }
            _ => {
                c.unreadable(Table::Operation, key, "no such kind of row");
                Ok(())
            }
        })?;
        self.records()
    }

    fn ends(&mut self, key: &[u8], expires: Option<i64>) -> Checked {
        let Some(expires) = expires else {
            self.unreadable(Table::Operation, key, "the row cannot be read");
            return Ok(());
        };
        let time = ordered(redoubt_log::id::Timestamp(expires));
        let end = Bytes::default().u8(b'x').u64(time).raw(key).done();
        let there = self.reader.get(Table::Operation, &end)?.is_some();
        self.expect(there, "operation", hex(key), "an outcome without an end");
        Ok(())
    }

    /// One that goes on is its account's only one; what is counted came of its steps.
    fn restore(&mut self, key: &[u8], value: &[u8]) -> Checked {
        let id = Parts::new(key.get(1..).unwrap_or_default()).operation();
        let (Some(id), Ok(row)) = (id, decode::<RestoreRow>(Table::Operation, key, value)) else {
            self.unreadable(Table::Operation, key, "not a restore");
            return Ok(());
        };
        let active: Option<OperationId> = self.get(&Key::Restoring(row.account))?;
        let right = row.ended.is_none() == (active == Some(id));
        let what = format!("account {} goes on with {active:?}", row.account);
        self.expect(right, "restore", id, what);
        match row.ended {
            Some(end) => self.ends(key, Some(end.expires.0)),
            None => self.steps_counted(id, &row),
        }
    }

    fn steps_counted(&mut self, id: OperationId, row: &RestoreRow) -> Checked {
        let mut counts = RestoreCounts::default();
        self.raw_rows(Table::Operation, &restore_pieces(id).range(), |_, key, value| {
            let piece = decode::<RestorePieceRow>(Table::Operation, key, value);
            piece.iter().flat_map(|piece| &piece.outcomes).for_each(|step| counts.count(step));
            Ok(())
        })?;
        let right = counts == row.counts && counts.total() == row.done && row.done <= row.steps;
        let what =
            format!("{} steps of {} done, {:?}; {counts:?}", row.done, row.steps, row.counts);
        self.expect(right, "restore", id, what);
        Ok(())
    }

    fn restoring(&mut self, key: &[u8], value: &[u8]) -> Checked {
        let account = Parts::new(key.get(1..).unwrap_or_default()).account();
        let id = decode::<OperationId>(Table::Operation, key, value);
        let (Some(account), Ok(id)) = (account, id) else {
            self.unreadable(Table::Operation, key, "not an account's restore");
            return Ok(());
        };
        let row: Option<RestoreRow> = self.get(&Key::Restore(id))?;
        let right = row.is_some_and(|row| row.account == account && row.ended.is_none());
        self.goes_on(account, id, right);
        Ok(())
    }

    fn goes_on(&mut self, account: AccountId, id: OperationId, right: bool) {
        self.expect(right, "restore", id, format!("account {account} waits for it"));
    }

    /// Times never go back.
    fn records(&mut self) -> Checked {
        let mut last = i64::MIN;
        let index = |mut parts: Parts<'_>| parts.u64();
        self.rows(Table::Record, &KeyRange::all(), index, |c, index, row: RecordRow| {
            let what = format!("its time {} is before {last}", row.time.0);
            c.expect(row.time.0 >= last, "record", index, what);
            last = row.time.0;
            Ok(())
        })
    }
}
