//! Hashes of tables and of runs of rows, and the first row in which two states
//! differ. What is asked of the other state comes through a function, so that
//! this knows nothing of nodes.

use std::ops::ControlFlow;

use redoubt_log::id::Hash;
use serde::{Deserialize, Serialize};

use crate::Pauses;
use crate::hash::{StateHash, is_hashed};
use crate::storage::{KeyRange, Order, Read, StorageError, Table, hex};

/// Rows of a run, from the first look to the last.
const STEPS: [u32; 4] = [65_536, 1_024, 32, 1];
/// Runs in one answer.
const MOST_RUNS: usize = 4096;
/// Octets of keys in one answer.
const MOST_OCTETS: usize = 4 << 20;

/// What is asked: hashes of the runs of so many rows in a range of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ask {
    pub(super) table: u8,
    pub(super) from: Vec<u8>,
    pub(super) to: Option<Vec<u8>>,
    pub(super) rows: u32,
}

/// Consecutive rows: the last one's key and the hash of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) last: Vec<u8>,
    pub(super) hash: Hash,
}

/// Where two states differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) table: Table,
    pub(super) key: Vec<u8>,
    pub(super) what: &'static str,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "table {}, key {} ({})", self.table, hex(&self.key), self.what)
    }
}

/// The hash of each table, by its place in [`Table::ALL`], and of all rows.
pub(super) fn tables(
    reader: &dyn Read,
    pauses: &Pauses,
) -> Result<(Vec<Hash>, Hash), StorageError> {
    let (mut all, mut each) = (StateHash::default(), Vec::new());
    for table in Table::ALL {
        let mut hash = StateHash::default();
        let mut rows = 0u32;
        reader.visit(table, &KeyRange::all(), Order::Rising, &mut |key, value| {
            if is_hashed(table, key) {
                hash.add(table, key, value);
                all.add(table, key, value);
            }
            rows = rows.wrapping_add(1);
            if rows.is_multiple_of(4096) {
                pauses.between_rows()?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        each.push(hash.digest());
    }
    Ok((each, all.digest()))
}

/// Answers [`Ask`]: the runs from the range's start on, as many as fit.
pub(super) fn runs(reader: &dyn Read, ask: &Ask) -> Result<Vec<Run>, StorageError> {
    let Some(table) = Table::ALL.get(usize::from(ask.table)).copied() else {
        return Ok(Vec::new());
    };
    let range = KeyRange { from: ask.from.clone(), to: ask.to.clone() };
    let (mut runs, mut octets) = (Vec::new(), 0);
    let (mut hash, mut rows, mut last) = (StateHash::default(), 0, Vec::new());
    reader.visit(table, &range, Order::Rising, &mut |key, value| {
        if !is_hashed(table, key) {
            return Ok(ControlFlow::Continue(()));
        }
        hash.add(table, key, value);
        (rows, last) = (rows + 1, key.to_vec());
        if rows < ask.rows.max(1) {
            return Ok(ControlFlow::Continue(()));
        }
        octets += last.len() + size_of::<Hash>();
        runs.push(Run { last: std::mem::take(&mut last), hash: hash.digest() });
        (hash, rows) = (StateHash::default(), 0);
        let full = runs.len() >= MOST_RUNS || octets >= MOST_OCTETS;
        Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if rows > 0 {
        runs.push(Run { last, hash: hash.digest() });
    }
    Ok(runs)
}

/// How a narrowing goes on.
pub(super) enum Step {
    Ask(Ask),
    Found(Option<Place>),
}

/// Narrows a difference down to a row, question by question.
#[derive(Debug)]
pub(super) struct Narrowing {
    table: u8,
    range: KeyRange,
    step: usize,
}

impl Narrowing {
    pub(super) fn new(table: u8) -> Self {
        Self { table, range: KeyRange::all(), step: 0 }
    }

    pub(super) fn ask(&self) -> Ask {
        let KeyRange { from, to } = self.range.clone();
        Ask { table: self.table, from, to, rows: self.rows() }
    }

    fn rows(&self) -> u32 {
        STEPS.get(self.step).copied().unwrap_or(1)
    }

    /// Takes the other's answer; compares it with what is here.
    pub(super) fn take(&mut self, reader: &dyn Read, answer: &[Run]) -> Result<Step, StorageError> {
        let Some(table) = Table::ALL.get(usize::from(self.table)).copied() else {
            return Ok(Step::Found(None));
        };
        for run in answer {
            let behind = [run.last.as_slice(), &[0]].concat();
            let range = KeyRange { from: self.range.from.clone(), to: Some(behind.clone()) };
            if hash_of(reader, table, &range)? == run.hash {
                self.range.from = behind;
                continue;
            }
            self.range = range;
            if self.rows() == 1 {
                let found = place(reader, table, &self.range, &run.last)?;
                return Ok(Step::Found(Some(found)));
            }
            self.step += 1;
            return Ok(Step::Ask(self.ask()));
        }
        // All that it has is here too: either there is more of it, or here is more.
        match answer.is_empty() {
            false => Ok(Step::Ask(self.ask())),
            true => {
                let first = reader.scan(table, &self.range, 1)?.into_iter().next();
                let extra = |(key, _)| Place { table, key, what: "the other has no such row" };
                Ok(Step::Found(first.map(extra)))
            }
        }
    }
}

fn hash_of(reader: &dyn Read, table: Table, range: &KeyRange) -> Result<Hash, StorageError> {
    let mut hash = StateHash::default();
    reader.visit(table, range, Order::Rising, &mut |key, value| {
        if is_hashed(table, key) {
            hash.add(table, key, value);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(hash.digest())
}

/// The other's only row in the range has the key `there`.
fn place(
    reader: &dyn Read,
    table: Table,
    range: &KeyRange,
    there: &[u8],
) -> Result<Place, StorageError> {
    let first = reader.scan(table, range, 1)?.into_iter().next().map(|(key, _)| key);
    Ok(match first {
        Some(here) if here.as_slice() < there => {
            Place { table, key: here, what: "the other has no such row" }
        }
        Some(here) => Place { table, key: here, what: "another value" },
        None => Place { table, key: there.to_vec(), what: "only the other has this row" },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::storage::{MemStorage, Storage, Write};

    fn state() -> MemStorage {
        let mut state = MemStorage::default();
        let row = |table, n: u32| Write {
            table,
            key: [vec![1], n.to_be_bytes().to_vec()].concat(),
            value: Some(n.to_string().into_bytes()),
        };
        let batch =
            (0..3000).map(|n| row(Table::Email, n)).chain((0..7).map(|n| row(Table::Seen, n)));
        state.write(batch.collect()).unwrap();
        state
    }

    fn find(here: &dyn Read, there: &dyn Read) -> Option<Place> {
        let ((ours, all), (theirs, theirs_all)) =
            (tables(here, &Pauses::none()).unwrap(), tables(there, &Pauses::none()).unwrap());
        let table = ours.iter().zip(&theirs).position(|(a, b)| a != b);
        assert_eq!(table.is_some(), all != theirs_all);
        let mut narrowing = Narrowing::new(u8::try_from(table?).unwrap());
        let mut ask = narrowing.ask();
        for _ in 0..20 {
            match narrowing.take(here, &runs(there, &ask).unwrap()).unwrap() {
                Step::Ask(next) => ask = next,
                Step::Found(place) => return place,
            }
        }
        panic!("it does not end: {narrowing:?}");
    }

    #[test]
    fn any_row_that_was_changed_is_named() {
        let good = state();
        assert_eq!(find(&good, &good), None);
        for n in [0u32, 1, 31, 32, 33, 1023, 1024, 2999, 5000] {
            let key = [vec![1], n.to_be_bytes().to_vec()].concat();
            for value in [None, Some(b"other".to_vec())] {
                let there = good.get(Table::Email, &key).unwrap().is_some();
                if value.is_none() && !there {
                    continue;
                }
                let mut bad = state();
                let write = Write { table: Table::Email, key: key.clone(), value: value.clone() };
                bad.write(vec![write]).unwrap();
                for (here, other) in [(&good, &bad), (&bad, &good)] {
                    let place = find(here, other).unwrap();
                    assert_eq!((place.table, &place.key), (Table::Email, &key), "{place}");
                    assert_eq!(place.what == "another value", there && value.is_some());
                }
            }
        }
    }

    #[test]
    fn an_answer_is_bounded() {
        let ask = Ask { table: 5, from: vec![0], to: None, rows: 1 };
        assert_eq!(Table::ALL.get(5), Some(&Table::Email));
        assert_eq!(runs(&state(), &ask).unwrap().len(), 3000);
        assert!(runs(&state(), &Ask { table: 200, ..ask }).unwrap().is_empty());
    }
}
