//! Rows of now, and versions of then.

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use redoubt_log::id::{AccountId, EmailId, LogIndex, Timestamp};
use serde::de::DeserializeOwned;

use super::{
    Applied, EmailData, EmailRow, Key, KeyRange, Object, Order, Read, RecordRow, StorageError,
    Table, Version, applied, decode,
};
use crate::keys::{Parts, parse_history, parse_object, split_history};
use crate::rows::FloorRow;
use crate::storage::{Step, successor};

/// Where a view reads from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) reader: Arc<dyn Read>,
    pub(super) applied: Option<Applied>,
    /// A past index; `None` is now.
    past: Option<LogIndex>,
    /// The floor that was looked at last, and whose it is.
    floor: Arc<Mutex<LastFloor>>,
}

/// A floor and whose it is, `None` before any was looked at.
type LastFloor = Option<(AccountId, Option<FloorRow>)>;

/// Looks at the newest version of one object of then, by the object's bytes.
type Newest<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<bool, StorageError>;

/// Looks at one object of then.
pub(super) type Witness<'a> = &'a mut dyn FnMut(Object, &[u8]) -> Result<bool, StorageError>;

impl Source {
    pub(super) fn new(reader: Arc<dyn Read>) -> Result<Self, StorageError> {
        let applied = applied(reader.as_ref())?;
        Ok(Self { reader, applied, past: None, floor: Arc::default() })
    }

    pub(super) fn at(&self, index: LogIndex) -> Self {
        let now = self.applied.map_or(LogIndex(0), |applied| applied.index);
        Self { past: (index < now).then_some(index), ..self.clone() }
    }

    pub(super) fn index(&self) -> LogIndex {
        self.past.unwrap_or(self.applied.map_or(LogIndex(0), |applied| applied.index))
    }

    pub(super) fn is_past(&self) -> bool {
        self.past.is_some()
    }

    /// Where the history of an account, or of the directory, begins.
    pub(super) fn floor(&self, account: AccountId) -> Result<Option<FloorRow>, StorageError> {
        if let Some((whose, floor)) = *self.floor.lock()
            && whose == account
        {
            return Ok(floor);
        }
        let floor = self.get(&Key::Floor(account))?;
        *self.floor.lock() = Some((account, floor));
        Ok(floor)
    }

    /// Refuses what the history does not reach back to.
    pub(super) fn reaches(&self, account: AccountId, index: LogIndex) -> Result<(), StorageError> {
        match self.floor(account)? {
            Some(row) if index < row.floor => {
                Err(StorageError::BelowFloor { wished: index, floor: row.floor, since: row.time })
            }
            _ => Ok(()),
        }
    }

    /// A current row, whatever the view's index.
    pub(super) fn get<T: DeserializeOwned>(
        &self,
        key: &Key<'_>,
    ) -> Result<Option<T>, StorageError> {
        let bytes = key.bytes();
        let Some(value) = self.reader.get(key.table(), &bytes)? else { return Ok(None) };
        decode(key.table(), &bytes, &value).map(Some)
    }

    /// The bytes of an object as of this view.
    pub(super) fn raw(
        &self,
        key: &Key<'_>,
        object: &Object,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        match self.past {
            None => self.reader.get(key.table(), &key.bytes()),
            Some(index) => self.then(object, index),
        }
    }

    /// An object as of this view, where row and version have the same bytes.
    pub(super) fn row<T: DeserializeOwned>(
        &self,
        key: &Key<'_>,
        object: &Object,
    ) -> Result<Option<T>, StorageError> {
        let Some(bytes) = self.raw(key, object)? else { return Ok(None) };
        decode(key.table(), &key.bytes(), &bytes).map(Some)
    }

    pub(super) fn email(
        &self,
        account: AccountId,
        email: EmailId,
    ) -> Result<Option<EmailData>, StorageError> {
        let Some(index) = self.past else {
            let row: Option<EmailRow> = self.get(&Key::Email(account, email))?;
            return Ok(row.map(|row| row.data));
        };
        let object = Object::Email(account, email);
        let Some(bytes) = self.then(&object, index)? else { return Ok(None) };
        decode(Table::History, &object.bytes(), &bytes).map(Some)
    }

    /// What an email is or was at any time: it never changes.
    pub(super) fn email_ever(
        &self,
        account: AccountId,
        email: EmailId,
    ) -> Result<Option<EmailData>, StorageError> {
        let row: Option<EmailRow> = self.get(&Key::Email(account, email))?;
        if let Some(row) = row {
            return Ok(Some(row.data));
        }
        let range = Object::Email(account, email).versions();
        let mut data = None;
        self.reader.visit(Table::History, &range, Order::Falling, &mut |key, value| {
            data = version(key, value)?.map(|v| decode(Table::History, key, v)).transpose()?;
            Ok(if data.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(data)
    }

    /// The newest version of an object at or before an index.
    fn then(&self, object: &Object, index: LogIndex) -> Result<Option<Vec<u8>>, StorageError> {
        self.reaches(object.account(), index)?;
        let Some((key, value)) = self.reader.last(Table::History, &object.versions_to(index))?
        else {
            return Ok(None);
        };
        Ok(version(&key, &value)?.map(<[u8]>::to_vec))
    }

    /// Shows the objects in a range of the history that are there as of this
    /// view, until the witness says false.
    pub(super) fn objects(
        &self,
        range: &KeyRange,
        witness: Witness<'_>,
    ) -> Result<(), StorageError> {
        self.newest(range, &mut |_| None, &mut |object, value| {
            let object = parse_object(object)
                .ok_or_else(|| StorageError::corrupt(Table::History, object, "no object"))?;
            witness(object, value)
        })
    }

    /// Shows the newest version of each object in a range as of this view, by the
    /// object's bytes. `leap` may say of an object that is met where to go on instead.
    pub(super) fn newest(
        &self,
        range: &KeyRange,
        leap: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
        witness: Newest<'_>,
    ) -> Result<(), StorageError> {
        if let Some(account) = Parts::new(&range.from).account() {
            self.reaches(account, self.index())?;
        }
        let mut held = Held::new(self.index());
        let mut more = true;
        self.reader.walk(Table::History, range, &mut |key, value| {
            let (object, index) = split_history(key)
                .ok_or_else(|| StorageError::corrupt(Table::History, key, "no object"))?;
            if held.object != object {
                more = held.show(witness)?;
                if !more {
                    return Ok(Step::Stop);
                }
                if let Some(next) = leap(object) {
                    return Ok(Step::To(next));
                }
                held.begin(object);
            }
            held.take(index, version(key, value)?)
        })?;
        if more {
            held.show(witness)?;
        }
        Ok(())
    }

    pub(super) fn history(&self, object: &Object) -> Result<Vec<Version>, StorageError> {
        let mut versions = Vec::new();
        let range = object.versions_to(self.index());
        self.reader.visit(Table::History, &range, Order::Rising, &mut |key, value| {
            let (_, from) = parse_history(key)
                .ok_or_else(|| StorageError::corrupt(Table::History, key, "no object"))?;
            let value = version(key, value)?.map(<[u8]>::to_vec);
            versions.push(Version { from, value });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(versions)
    }

    /// Times rise with the index: halves the range until one is left.
    pub(super) fn index_at(&self, time: Timestamp) -> Result<Option<LogIndex>, StorageError> {
        let (mut low, mut high) = (0, self.index().0.saturating_add(1));
        let mut best = None;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.record_from(middle)? {
                Some((index, row)) if index.0 < high && row.time <= time => {
                    best = Some(index);
                    low = index.0 + 1;
                }
                _ => high = middle,
            }
        }
        Ok(best)
    }

    /// The last record up to an index.
    pub(super) fn record_to(
        &self,
        index: LogIndex,
    ) -> Result<Option<(LogIndex, RecordRow)>, StorageError> {
        let to = index.0.checked_add(1).map(|next| Key::Record(LogIndex(next)).bytes());
        let range = KeyRange { from: Key::Record(LogIndex(0)).bytes(), to };
        let Some((key, value)) = self.reader.last(Table::Record, &range)? else {
            return Ok(None);
        };
        record(&key, &value).map(Some)
    }

    /// The first record from an index on.
    pub(super) fn record_from(
        &self,
        index: u64,
    ) -> Result<Option<(LogIndex, RecordRow)>, StorageError> {
        let range = KeyRange { from: Key::Record(LogIndex(index)).bytes(), to: None };
        let Some((key, value)) = self.reader.scan(Table::Record, &range, 1)?.into_iter().next()
        else {
            return Ok(None);
        };
        record(&key, &value).map(Some)
    }
}

fn record(key: &[u8], value: &[u8]) -> Result<(LogIndex, RecordRow), StorageError> {
    let index = crate::keys::Parts::new(key)
        .u64()
        .ok_or_else(|| StorageError::corrupt(Table::Record, key, "no index"))?;
    Ok((LogIndex(index), decode(Table::Record, key, value)?))
}

/// Versions of one object that are stepped over one by one before a leap.
const NEAR: u32 = 6;

/// The newest version of one object up to an index, as far as it was seen.
struct Held {
    at: LogIndex,
    object: Vec<u8>,
    value: Vec<u8>,
    is_there: bool,
    steps: u32,
}

impl Held {
    fn new(at: LogIndex) -> Self {
        Self { at, object: Vec::new(), value: Vec::new(), is_there: false, steps: 0 }
    }

    fn begin(&mut self, object: &[u8]) {
        self.object.clear();
        self.object.extend_from_slice(object);
        self.is_there = false;
        self.steps = 0;
    }

    /// A version of it; says where the next one worth a look stands.
    fn take(&mut self, index: LogIndex, value: Option<&[u8]>) -> Result<Step, StorageError> {
        self.steps += 1;
        if index <= self.at {
            self.is_there = value.is_some();
            self.value.clear();
            self.value.extend_from_slice(value.unwrap_or_default());
        }
        if index > self.at || self.steps > NEAR {
            // What follows is younger than the view.
            let next = || successor(&self.object).map_or(Step::Stop, Step::To);
            return Ok(if self.steps >= NEAR { next() } else { Step::Next });
        }
        if self.steps < NEAR {
            return Ok(Step::Next);
        }
        let mut key = self.object.clone();
        key.extend_from_slice(&self.at.0.to_be_bytes());
        Ok(Step::BackTo(key))
    }

    fn show(&mut self, witness: Newest<'_>) -> Result<bool, StorageError> {
        if !std::mem::take(&mut self.is_there) {
            return Ok(true);
        }
        witness(&self.object, &self.value)
    }
}

fn version<'v>(key: &[u8], value: &'v [u8]) -> Result<Option<&'v [u8]>, StorageError> {
    Version::decode(value).ok_or_else(|| StorageError::corrupt(Table::History, key, "no version"))
}
