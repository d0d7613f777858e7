//! `apply` against the model: random operations, in memory and in RocksDB.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(unreachable_pub)]

mod operations;

use std::path::Path;
use std::sync::Arc;

use operations::{Step, steps, to_record};
use proptest::prelude::*;
use redoubt_log::id::{Hash, LogIndex, OperationId, Term, Timestamp};
use redoubt_log::record::{Actor, Change, DomainAdd, Record, Why};
use redoubt_store::StateHash;
use redoubt_store::apply::{Position, apply, pass};
use redoubt_store::check::check;
use redoubt_store::storage::{MemStorage, Read, RocksOptions, RocksStorage, Storage};
use redoubt_store::view::View;
use redoubt_tests::model::{Model, agree, travels, without_texts};

const SMALL: RocksOptions = RocksOptions { block_cache: 1 << 20, write_buffers: 1 << 20 };

fn position(index: u64, time: Timestamp) -> Position {
    Position { index: LogIndex(index), term: Term(1), time, mark: index.to_le_bytes().to_vec() }
}

fn hash(reader: &dyn Read) -> Hash {
    StateHash::stored(reader).unwrap().digest()
}

fn replay(log: &[(u64, Timestamp, Record)], storage: &mut impl Storage) {
    for (index, time, record) in log {
        apply(storage, &position(*index, *time), record).unwrap();
    }
}

fn view_of(storage: &MemStorage) -> View {
    View::new(Arc::new(storage.clone())).unwrap()
}

fn clean(view: &View) {
    assert_eq!(check(view, &|_| Ok(()), 20).unwrap(), []);
}

fn run(steps: &[Step]) {
    let dir = tempfile::tempdir().unwrap();
    let mut memory = MemStorage::new();
    let mut rocks = RocksStorage::open(dir.path(), &SMALL).unwrap();
    let mut model = Model::new();
    let mut log = Vec::new();
    let mut clock = 1_700_000_000_000;
    for (n, step) in (1..).zip(steps) {
        clock += step.passes();
        let (index, time) = (n * 2, Timestamp(clock));
        let record = to_record(step, &model, n);
        let at = position(index, time);
        let outcome = apply(&mut memory, &at, &record).unwrap();
        assert_eq!(apply(&mut rocks, &at, &record).unwrap(), outcome);
        let expected = model.apply(LogIndex(index), time, &record);
        assert_eq!(without_texts(outcome), without_texts(expected), "{record:#?}");
        assert_eq!(hash(&memory), hash(&rocks));
        log.push((index, time, record));
    }
    compare(&memory, &rocks, &model);
    let mut again = MemStorage::new();
    replay(&log, &mut again);
    assert_eq!(hash(&again), hash(&memory));
    let before = hash(&rocks);
    rocks.flush().unwrap();
    drop(rocks);
    let rocks = RocksStorage::open(dir.path(), &SMALL).unwrap();
    assert_eq!((hash(&rocks), StateHash::recompute(&rocks).unwrap().digest()), (before, before));
}

fn compare(memory: &MemStorage, rocks: &RocksStorage, model: &Model) {
    let view = view_of(memory);
    let rocks_view = View::new(Arc::new(rocks.snapshot().unwrap())).unwrap();
    agree(&view, &model.now);
    agree(&rocks_view, &model.now);
    for (index, state) in &model.past {
        agree(&view.at(*index), state);
    }
    if let Some((index, state)) = model.past.iter().nth(model.past.len() / 2) {
        agree(&rocks_view.at(*index), state);
    }
    travels(&view, model);
    clean(&view);
    clean(&rocks_view);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 400, ..Default::default() })]

    #[test]
    fn apply_does_what_the_model_does(steps in steps(100..160)) {
        run(&steps);
    }
}

#[test]
fn entries_without_records_only_move_the_index() {
    let mut memory = MemStorage::new();
    pass(&mut memory, &position(0, Timestamp(5))).unwrap();
    let before = hash(&memory);
    pass(&mut memory, &position(1, Timestamp(5))).unwrap();
    assert_eq!(hash(&memory), before);
    assert_eq!(view_of(&memory).index(), LogIndex(1));
    let mark = redoubt_store::apply::mark(&memory).unwrap();
    assert_eq!(mark, Some(1u64.to_le_bytes().to_vec()));
    assert!(pass(&mut memory, &position(1, Timestamp(5))).is_err());
}

fn domain(n: u64) -> Record {
    let settings = Default::default();
    let change = DomainAdd { domain: format!("d{n}.example"), settings };
    Record {
        stamp: Timestamp(0),
        operation: OperationId([n as u8; 16]),
        actor: Actor::SYSTEM,
        why: Why::default(),
        change: Change::DomainAdd(change),
    }
}

fn copy_of(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// What a crash leaves is what was flushed: every table at one index.
#[test]
fn a_crash_leaves_the_tables_at_one_index() {
    let (dir, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut rocks = RocksStorage::open(dir.path(), &SMALL).unwrap();
    for n in 1..=5 {
        apply(&mut rocks, &position(n, Timestamp(5)), &domain(n)).unwrap();
    }
    rocks.flush().unwrap();
    let flushed = hash(&rocks);
    for n in 6..=9 {
        apply(&mut rocks, &position(n, Timestamp(5)), &domain(n)).unwrap();
    }
    let whole = hash(&rocks);
    copy_of(dir.path(), crashed.path());
    let mut again = RocksStorage::open(crashed.path(), &SMALL).unwrap();
    let view = View::new(Arc::new(again.snapshot().unwrap())).unwrap();
    assert_eq!((view.index(), view.state_hash().unwrap()), (LogIndex(5), flushed));
    clean(&view);
    for n in 6..=9 {
        apply(&mut again, &position(n, Timestamp(5)), &domain(n)).unwrap();
    }
    assert_eq!(hash(&again), whole);
    // A view stays what it was.
    assert_eq!((view.index(), view.domains().unwrap().len()), (LogIndex(5), 5));
}

#[test]
fn a_checkpoint_is_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let mut rocks = RocksStorage::open(&dir.path().join("views"), &SMALL).unwrap();
    apply(&mut rocks, &position(1, Timestamp(5)), &domain(1)).unwrap();
    let base = dir.path().join("base");
    rocks.checkpoint(&base).unwrap();
    apply(&mut rocks, &position(2, Timestamp(5)), &domain(2)).unwrap();
    let image = RocksStorage::open(&base, &SMALL).unwrap();
    let view = View::new(Arc::new(image.snapshot().unwrap())).unwrap();
    assert_eq!(view.index(), LogIndex(1));
    clean(&view);
    rocks.cache(b"blob", b"parsed").unwrap();
    assert_eq!(rocks.cached(b"blob").unwrap(), Some(b"parsed".to_vec()));
    assert_eq!(hash(&rocks), StateHash::recompute(&rocks).unwrap().digest());
}
