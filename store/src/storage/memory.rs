//! Tables in memory, for tests.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::{Batch, KeyRange, Order, Read, Step, Storage, StorageError, Table, Visitor, Walker};

/// Octets that snapshots share.
type Octets = Arc<[u8]>;
type Rows = BTreeMap<Octets, Octets>;

/// Tables in memory. A clone is a snapshot: it shares what does not change, since simulations
/// take them all the time.
#[derive(Debug, Clone, Default)]
pub struct MemStorage {
    tables: BTreeMap<Table, Arc<Rows>>,
}

impl MemStorage {
    /// Empty tables.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Read for MemStorage {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.tables.get(&table).and_then(|rows| rows.get(key)).map(|value| value.to_vec()))
    }

    fn visit(
        &self,
        table: Table,
        range: &KeyRange,
        order: Order,
        visitor: Visitor<'_>,
    ) -> Result<(), StorageError> {
        let Some(rows) = self.tables.get(&table) else { return Ok(()) };
        if range.is_empty() {
            return Ok(());
        }
        let to = range.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = rows.range::<[u8], _>((Bound::Included(range.from.as_slice()), to));
        loop {
            let row = match order {
                Order::Rising => rows.next(),
                Order::Falling => rows.next_back(),
            };
            let Some((key, value)) = row else { return Ok(()) };
            if let ControlFlow::Break(()) = visitor(key, value)? {
                return Ok(());
            }
        }
    }

    fn walk(&self, table: Table, range: &KeyRange, walker: Walker<'_>) -> Result<(), StorageError> {
        let Some(all) = self.tables.get(&table).filter(|_| !range.is_empty()) else {
            return Ok(());
        };
        let mut rows = rows_from(all, range, &range.from);
        while let Some((key, value)) = rows.next() {
            rows = match walker(key, value)? {
                Step::Next => continue,
                Step::To(key) => rows_from(all, range, &key),
                Step::BackTo(to) => {
                    let bounds = (Bound::Included(&*range.from), Bound::Included(&*to));
                    let last = all.range::<[u8], _>(bounds).next_back();
                    let Some((last, _)) = last.filter(|(key, _)| range.contains(key)) else {
                        return Ok(());
                    };
                    rows_from(all, range, last)
                }
                Step::Stop => return Ok(()),
            };
        }
        Ok(())
    }
}

type Walk<'a> = std::collections::btree_map::Range<'a, Octets, Octets>;

/// The rows of a range from a key on.
fn rows_from<'a>(rows: &'a Rows, range: &'a KeyRange, from: &[u8]) -> Walk<'a> {
    let from = from.max(range.from.as_slice());
    match range.to.as_deref() {
        Some(to) => rows.range::<[u8], _>((Bound::Included(from.min(to)), Bound::Excluded(to))),
        None => rows.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)),
    }
}

impl Storage for MemStorage {
    fn write(&mut self, batch: Batch) -> Result<(), StorageError> {
        for write in batch {
            let rows = Arc::make_mut(self.tables.entry(write.table).or_default());
            match write.value {
                Some(value) => rows.insert(write.key.into(), value.into()),
                None => rows.remove(&*write.key),
            };
        }
        Ok(())
    }
}
