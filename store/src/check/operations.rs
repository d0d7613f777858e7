//! The table of operations: every outcome has its end, every end its outcome.

use super::{Checked, Checker};
use crate::keys::{Bytes, Parts, ordered};
use crate::rows::{ItemRow, OperationRow, RecordRow};
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
