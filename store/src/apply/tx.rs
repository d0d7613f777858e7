//! One record's reads and writes: reads see the record's own writes, nothing is
//! written before the end.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use redoubt_log::id::LogIndex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::hash::{StateHash, is_hashed};
use crate::holds::Rows;
use crate::keys::{Key, Object};
use crate::rows::Version;
use crate::storage::{Batch, KeyRange, Order, Read, Row, StorageError, Table, Write};
use crate::storage::{decode, encode};

/// What a record writes over what is there.
#[derive(Debug)]
pub(crate) struct Tx<'a> {
    base: &'a dyn Read,
    index: LogIndex,
    rows: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(base: &'a dyn Read, index: LogIndex) -> Self {
        Self { base, index, rows: BTreeMap::new() }
    }

    /// The state before the record, for walks through the history.
    pub(crate) fn base(&self) -> &dyn Read {
        self.base
    }

    /// Forgets every write.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
    }

    /// Whether nothing is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn get_raw(&self, key: &Key<'_>) -> Result<Option<Vec<u8>>, StorageError> {
        self.value(key.table(), &key.bytes())
    }

    pub(crate) fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        match self.rows.get(&(table, key.to_vec())) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(table, key),
        }
    }

    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        key: &Key<'_>,
    ) -> Result<Option<T>, StorageError> {
        let Some(bytes) = self.get_raw(key)? else { return Ok(None) };
        decode(key.table(), &key.bytes(), &bytes).map(Some)
    }

    /// A row without which the state is damaged.
    pub(crate) fn need<T: DeserializeOwned>(&self, key: &Key<'_>) -> Result<T, StorageError> {
        self.get(key)?
            .ok_or_else(|| StorageError::corrupt(key.table(), &key.bytes(), "the row is missing"))
    }

    pub(crate) fn put_raw(&mut self, key: &Key<'_>, value: Vec<u8>) {
        self.rows.insert((key.table(), key.bytes()), Some(value));
    }

    pub(crate) fn put<T: Serialize>(
        &mut self,
        key: &Key<'_>,
        value: &T,
    ) -> Result<(), StorageError> {
        self.put_raw(key, encode(value)?);
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: &Key<'_>) {
        self.delete_raw(key.table(), key.bytes());
    }

    pub(crate) fn delete_raw(&mut self, table: Table, key: Vec<u8>) {
        self.rows.insert((table, key), None);
    }

    /// A new version of an object, in the history only.
    pub(crate) fn remember<T: Serialize>(
        &mut self,
        object: &Object,
        value: &T,
    ) -> Result<(), StorageError> {
        let version = Version::encode(Some(&encode(value)?));
        self.put_raw(&Key::History(object, self.index), version);
        Ok(())
    }

    /// The object is gone from here on.
    pub(crate) fn end(&mut self, object: &Object) {
        self.put_raw(&Key::History(object, self.index), Version::encode(None));
    }

    /// A new version of an object, now and in the history.
    pub(crate) fn save<T: Serialize>(
        &mut self,
        key: &Key<'_>,
        object: &Object,
        value: &T,
    ) -> Result<(), StorageError> {
        self.put(key, value)?;
        self.remember(object, value)
    }

    /// As [`Tx::save`], of bytes that are no value of the codec.
    pub(crate) fn save_raw(&mut self, key: &Key<'_>, object: &Object, value: Vec<u8>) {
        let version = Version::encode(Some(&value));
        self.put_raw(&Key::History(object, self.index), version);
        self.put_raw(key, value);
    }

    /// The object goes, now and in the history.
    pub(crate) fn drop(&mut self, key: &Key<'_>, object: &Object) {
        self.delete(key);
        self.end(object);
    }

    /// At most `limit` rows by rising key, the record's own writes among them.
    pub(crate) fn scan(
        &self,
        table: Table,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<Row>, StorageError> {
        let own: BTreeMap<&[u8], &Option<Vec<u8>>> = self.own(table, range).collect();
        let mut rows: Vec<Row> =
            own.iter().filter_map(|(k, v)| Some((k.to_vec(), (*v).clone()?))).collect();
        let mut others = 0;
        self.base.visit(table, range, Order::Rising, &mut |key, value| {
            if own.contains_key(key) {
                return Ok(ControlFlow::Continue(()));
            }
            others += 1;
            rows.push((key.to_vec(), value.to_vec()));
            Ok(if others < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        rows.sort();
        rows.truncate(limit);
        Ok(rows)
    }

    /// The row with the highest key of a range, as it was before this record.
    pub(crate) fn last_before(
        &self,
        table: Table,
        range: &KeyRange,
    ) -> Result<Option<Row>, StorageError> {
        self.base.last(table, range)
    }

    fn own<'s>(
        &'s self,
        table: Table,
        range: &'s KeyRange,
    ) -> impl Iterator<Item = (&'s [u8], &'s Option<Vec<u8>>)> {
        self.rows
            .range((table, range.from.clone())..)
            .take_while(move |((t, key), _)| *t == table && range.contains(key))
            .map(|((_, key), value)| (key.as_slice(), value))
    }

    /// The batch, and the state's hash after it.
    pub(crate) fn finish(self) -> Result<(Batch, StateHash), StorageError> {
        let mut hash = StateHash::stored(self.base)?;
        let mut batch = Batch::with_capacity(self.rows.len());
        for ((table, key), value) in self.rows {
            let before = match table {
                // Rows with this record's index in the key: they cannot be there yet.
                Table::History | Table::Record if value.is_some() => None,
                _ => self.base.get(table, &key)?,
            };
            if before == value {
                continue;
            }
            if is_hashed(table, &key) {
                before.iter().for_each(|old| hash.remove(table, &key, old));
                value.iter().for_each(|new| hash.add(table, &key, new));
            }
            batch.push(Write { table, key, value });
        }
        Ok((batch, hash))
    }
}

impl Rows for Tx<'_> {
    fn raw(&self, key: &Key<'_>) -> Result<Option<Vec<u8>>, StorageError> {
        self.get_raw(key)
    }
    fn some(&self, table: Table, range: &KeyRange, n: usize) -> Result<Vec<Row>, StorageError> {
        self.scan(table, range, n)
    }
}
