//! Proposals: each answered once, in order, or not known.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{World, record, soon};
use crate::disk::sim::SimDisk;
use crate::id::{LogIndex, NodeId, Timestamp};
use crate::raft::{ProposeError, Stopped};

const BOTH: usize = 2;

#[tokio::test]
async fn a_first_start_makes_a_group_of_one() {
    let world = World::new(&SimDisk::new(1));
    let node = world.open();
    let status = node.status();
    assert_eq!(status.leader, Some(NodeId(1)));
    // The membership and the blank entry of the first term.
    assert_eq!(status.applied.map(|state| state.id.index), Some(LogIndex(1)));
    let outcome = node.propose(record(1), soon()).await.unwrap();
    assert_eq!(outcome.index, LogIndex(2));
    assert!(node.read_index(soon()).await.unwrap() >= outcome.index);
    assert_eq!(world.views.now().seen, [(LogIndex(2), record(1).operation)]);
}

#[tokio::test]
async fn time_never_goes_back() {
    let node = World::new(&SimDisk::new(1)).open();
    let mut first = record(1);
    first.stamp = Timestamp(i64::MAX / 2);
    let time = node.propose(first, soon()).await.unwrap().time;
    assert!(time <= Timestamp::now(), "no caller's clock takes the log's time ahead: {time:?}");
    assert_eq!(node.propose(record(2), soon()).await.unwrap().time, time);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_proposals_are_each_answered_once_in_order() {
    let world = World::new(&SimDisk::new(1));
    let node = world.open();
    let proposers = (0..16u64).map(|proposer| {
        let node = node.clone();
        tokio::spawn(async move {
            let mut indexes = Vec::new();
            for n in 0..100 {
                let outcome = node.propose(record(proposer * 1000 + n), soon()).await.unwrap();
                indexes.push((outcome.index, record(proposer * 1000 + n).operation));
            }
            assert!(indexes.is_sorted());
            indexes
        })
    });
    let mut answered: Vec<_> =
        join_all(proposers).await.into_iter().flat_map(Result::unwrap).collect();
    answered.sort_unstable();
    assert_eq!(answered.len(), 1600);
    assert_eq!(world.views.now().seen, answered);
    let all = read_all(&node);
    assert_eq!(all, (0..1602).map(LogIndex).collect::<Vec<_>>());
}

fn read_all(node: &crate::raft::Node) -> Vec<LogIndex> {
    let mut indexes: Vec<LogIndex> = Vec::new();
    loop {
        let next = indexes.last().map_or(0, |index| index.0 + 1);
        let page = node.read(LogIndex(next)..LogIndex(u64::MAX), 4096).unwrap();
        if page.is_empty() {
            return indexes;
        }
        indexes.extend(page.iter().map(|entry| entry.id.index));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_after_the_hand_over_is_unknown_and_the_record_may_stand() {
    let world = World::new(&SimDisk::new(1));
    let (mut toy, (comes, coming), (go, wait)) =
        (world.views.toy(), mpsc::channel(), mpsc::channel());
    toy.before = Some((comes, wait));
    let node = world.open_toy(toy).unwrap();
    let deadline = Instant::now() + Duration::from_millis(50);
    let answer = node.propose(record(1), deadline).await;
    assert!(matches!(answer, Err(ProposeError::Unknown(_))), "{answer:?}");
    assert_eq!(coming.recv().unwrap(), LogIndex(2));
    // Committed, not applied: not served.
    assert_eq!(node.read(LogIndex(0)..LogIndex(9), 1 << 20).unwrap().len(), BOTH);
    go.send(()).unwrap();
    assert_eq!(node.read_index(soon()).await.unwrap(), LogIndex(2));
    assert_eq!(world.views.now().seen.len(), 1);
    assert_eq!(node.read(LogIndex(0)..LogIndex(9), 1 << 20).unwrap().len(), BOTH + 1);
}

#[tokio::test]
async fn a_state_that_cannot_go_on_stops_the_shard() {
    let world = World::new(&SimDisk::new(1));
    let mut toy = world.views.toy();
    toy.fail_at = Some(record(2).operation);
    let node = world.open_toy(toy).unwrap();
    node.propose(record(1), soon()).await.unwrap();
    let answer = node.propose(record(2), soon()).await;
    assert!(matches!(answer, Err(ProposeError::Unknown(_))), "{answer:?}");
    assert_eq!(node.stopped().await, Stopped::Fatal("the toy is broken".to_owned()));
    let answer = node.propose(record(3), soon()).await;
    assert!(matches!(&answer, Err(ProposeError::Stopped { why, .. }) if why.contains("toy")));
    assert!(node.shutdown().await.is_err());
    assert_eq!(world.views.flushed().seen, [], "nothing is flushed after a failure");
}

#[tokio::test]
async fn a_failed_sync_stops_the_shard_and_what_waits_is_unknown() {
    let disk = SimDisk::new(1);
    let world = World::new(&disk);
    let node = world.open();
    node.propose(record(1), soon()).await.unwrap();
    disk.fail_syncs_after(0);
    let answer = node.propose(record(2), soon()).await;
    assert!(matches!(answer, Err(ProposeError::Unknown(_))), "{answer:?}");
    assert!(matches!(node.stopped().await, Stopped::Fatal(_)));
    let answer = node.propose(record(3), soon()).await;
    assert!(matches!(answer, Err(ProposeError::Stopped { .. })), "{answer:?}");
    assert!(node.read_index(soon()).await.is_err());
    assert_eq!(world.views.now().seen.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_takes_what_shrinks() {
    let disk = SimDisk::new(1);
    let world = World::new(&disk);
    let node = world.open();
    disk.set_total(3 << 20);
    let mut growing = record(1);
    growing.change = crate::record::Change::DomainAdd(crate::record::DomainAdd {
        domain: "example.org".to_owned(),
        settings: crate::record::DomainSettings::default(),
    });
    while node.status().growth_allowed {
        // The log looks at the disk from time to time; each record gives it the occasion.
        node.propose(record(2), soon()).await.unwrap();
    }
    assert_eq!(node.propose(growing, soon()).await, Err(ProposeError::DiskFull));
    node.propose(record(3), soon()).await.unwrap();
}

#[tokio::test]
async fn too_large_a_record_is_refused() {
    let node = World::new(&SimDisk::new(1)).open();
    let mut large = record(1);
    large.change = crate::record::Change::DomainRemove(crate::record::DomainRemove {
        domain: "x".repeat(crate::record::MAX_RECORD_BYTES),
    });
    let answer = node.propose(large, soon()).await;
    assert!(matches!(answer, Err(ProposeError::TooLarge(_))), "{answer:?}");
}

#[tokio::test]
async fn reads_that_wait_together_are_answered_together() {
    let node = World::new(&SimDisk::new(1)).open();
    let outcome = node.propose(record(1), soon()).await.unwrap();
    let reads = join_all((0..100).map(|_| node.read_index(soon()))).await;
    assert!(reads.into_iter().all(|read| read.unwrap() == outcome.index));
}
