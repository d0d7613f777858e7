//! Starts: after a shutdown, after a crash, and those that must be refused.

use std::sync::Arc;

use super::{World, record, record_with, soon, toy};
use crate::disk::sim::SimDisk;
use crate::id::{BlobId, Hash, LogIndex, Term};
use crate::raft::types::Proposal;
use crate::raft::{OpenError, ReadError};
use crate::segment::{EntryKind, LogId, NewEntry, SegmentLog};

#[tokio::test]
async fn after_a_shutdown_nothing_is_applied_again() {
    let world = World::new(&SimDisk::new(1));
    let node = world.open();
    node.propose(record(1), soon()).await.unwrap();
    let before = node.status();
    node.shutdown().await.unwrap();
    node.shutdown().await.unwrap();
    assert_eq!(world.views.flushed().seen.len(), 1);
    drop(node);

    let node = world.open();
    let after = node.status();
    assert!(after.term > before.term, "a restarted node proposes only in a new term");
    assert_eq!(world.views.now().seen.len(), 1);
    let outcome = node.propose(record(2), soon()).await.unwrap();
    assert_eq!(outcome.index.0, before.last.unwrap().index.0 + 2, "behind one blank entry");
    let expected = [(LogIndex(2), record(1).operation), (outcome.index, record(2).operation)];
    assert_eq!(world.views.now().seen, expected);
}

#[tokio::test]
async fn a_crash_loses_nothing_that_was_answered() {
    let mut disk = SimDisk::new(7);
    let mut views = toy::Views::default();
    let mut answered = Vec::new();
    for round in 0..5u64 {
        let world = World { disk: Arc::new(disk.clone()), views: views.clone() };
        let node = world.open();
        assert_eq!(world.views.now().seen, answered, "replayed before anything is served");
        for n in 0..10 {
            let record = record(round * 100 + n);
            let outcome = node.propose(record.clone(), soon()).await.unwrap();
            answered.push((outcome.index, record.operation));
            if n == 4 {
                world.views.flush();
            }
        }
        disk = disk.crash();
        let flushed = world.views.flushed();
        views = toy::Views::default();
        views.set_flushed(flushed);
        node.kill();
    }
}

#[tokio::test]
async fn a_restart_over_segments_already_purged_goes_on_from_the_checkpoint() {
    let world = World::new(&SimDisk::new(1));
    let node = world.open();
    let outcome = node.propose(record(1), soon()).await.unwrap();
    assert_eq!(node.purge(outcome.index).await, Err(ReadError::NoCheckpoint(outcome.index)));
    node.shutdown().await.unwrap();

    let with_checkpoints = || {
        let mut toy = world.views.toy();
        toy.checkpoints = true;
        toy
    };
    let node = world.open_toy(with_checkpoints()).unwrap();
    node.purge(outcome.index).await.unwrap();
    assert_eq!(node.status().purged.map(|id| id.index), Some(outcome.index));
    assert!(node.read(LogIndex(0)..LogIndex(2), 100).is_err());
    node.shutdown().await.unwrap();

    let node = world.open_toy(with_checkpoints()).unwrap();
    node.propose(record(2), soon()).await.unwrap();
    node.shutdown().await.unwrap();

    world.views.set_flushed(toy::State::default());
    let empty = world.open_toy(world.views.toy());
    assert!(matches!(empty, Err(OpenError::Gap { applied: None, .. })), "{empty:?}");
}

#[tokio::test]
async fn views_of_another_history_are_refused() {
    let world = World::new(&SimDisk::new(1));
    let node = world.open();
    node.propose(record(1), soon()).await.unwrap();
    node.shutdown().await.unwrap();
    let good = world.views.flushed();

    let mut other = good.clone();
    other.applied.as_mut().unwrap().chain = Hash([1; 32]);
    world.views.set_flushed(other);
    assert!(matches!(world.open_toy(world.views.toy()), Err(OpenError::OtherHistory { .. })));

    let mut ahead = good.clone();
    ahead.applied.as_mut().unwrap().id.index = LogIndex(99);
    world.views.set_flushed(ahead);
    assert!(matches!(world.open_toy(world.views.toy()), Err(OpenError::AheadOfLog { .. })));

    world.views.set_flushed(good);
    world.open();
}

pub(super) fn append(log: &SegmentLog, term: u64, index: u64, payload: Vec<u8>) {
    let (tell, told) = std::sync::mpsc::channel();
    let id = LogId { term: Term(term), index: LogIndex(index) };
    let stamp = record(0).stamp;
    let entry = NewEntry { id, kind: EntryKind::Record, stamp, payload: payload.into() };
    log.append(vec![entry], Box::new(move |result| tell.send(result).unwrap())).unwrap();
    told.recv().unwrap().unwrap();
}

#[tokio::test]
async fn a_record_of_a_newer_program_stops_the_start() {
    let world = World::new(&SimDisk::new(1));
    let node = world.open();
    node.shutdown().await.unwrap();
    let last = node.status().last.unwrap();
    let log = world.log();
    append(&log, last.term.0, last.index.0 + 1, [vec![0; 16], vec![0xff, 0x7f, 1, 0]].concat());
    log.close().unwrap();
    let refused = world.open_toy(world.views.toy());
    assert!(matches!(refused, Err(OpenError::Entry { index: Some(_), .. })), "{refused:?}");
}

#[tokio::test]
async fn a_log_that_names_a_blob_that_is_gone_is_refused() {
    let world = World::new(&SimDisk::new(1));
    let node = world.open();
    node.shutdown().await.unwrap();
    let last = node.status().last.unwrap();
    let log = world.log();
    let blob = BlobId::of(b"gone");
    let proposal = Proposal::new(&record_with(1, blob)).unwrap();
    append(&log, last.term.0, last.index.0 + 1, proposal.payload().to_vec());
    log.close().unwrap();
    let refused = world.open_toy(world.views.toy());
    assert!(matches!(refused, Err(OpenError::Blob { .. })), "{refused:?}");
}

#[tokio::test]
async fn dropping_a_node_is_a_crash_and_no_panic() {
    let world = World::new(&SimDisk::new(1));
    let node = world.open();
    node.propose(record(1), soon()).await.unwrap();
    drop(node);
    assert_eq!(world.views.flushed().seen, []);
}
