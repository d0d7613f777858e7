//! Entries whose blobs have died and gone meanwhile, for who comes late.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use super::group::{Member, Net, a_moment, group, shortly, until};
use super::open::append;
use super::{World, record, record_with};
use crate::blob::BlobStore;
use crate::disk::sim::SimDisk;
use crate::id::{BlobId, LogIndex, NodeId};
use crate::raft::types::Proposal;
use crate::raft::{Deadness, OpenError};
use crate::record::{BlobsDead, Change, Record};

/// What the views of all nodes would say.
#[derive(Debug, Default)]
struct Deaths(Mutex<HashMap<BlobId, LogIndex>>);

impl Deadness for Deaths {
    fn since(&self, blob: &BlobId) -> Option<LogIndex> {
        self.0.lock().get(blob).copied()
    }
}

fn put(member: &Member, octets: &[u8]) -> BlobId {
    let id = member.blobs.put(octets).unwrap().id;
    member.blobs.wait_durable(&[id]).unwrap();
    id
}

async fn lose(store: &BlobStore, blob: BlobId) {
    let doomed = store.doom(&[blob]).unwrap();
    until(|| store.is_quiet(&doomed)).await;
    assert!(store.spare_parts(&doomed, &mut |_| ControlFlow::Continue(())).unwrap());
    assert_eq!(store.forget(&doomed).unwrap(), 1);
}

/// Three nodes, the last of which has not got the entries behind the first; the deaths that
/// they tell of; a blob that the others had, by an entry, and a later entry.
async fn one_late(net: &Net) -> (Vec<Member>, Arc<Deaths>, BlobId, LogIndex) {
    let (members, deaths) = (group(net, 3).await, Arc::new(Deaths::default()));
    members.iter().for_each(|member| member.node.know_dead(deaths.clone()));
    let first = members[0].propose(record(1)).await.unwrap();
    members[2].reaches(first.index).await;
    net.cut(NodeId(3));
    let blob = put(&members[0], b"nobody's soon");
    members[0].propose(record_with(2, blob)).await.unwrap();
    let death = members[0].propose(record(3)).await.unwrap().index;
    members[1].reaches(death).await;
    for member in &members[..2] {
        lose(&member.blobs, blob).await;
    }
    (members, deaths, blob, death)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_late_takes_entries_without_their_dead() {
    let net = Net::default();
    let (members, deaths, blob, death) = one_late(&net).await;
    deaths.0.lock().insert(blob, death);
    net.heal(NodeId(3));
    members[2].reaches(death).await;
    assert!(!members[2].blobs.contains(&blob).unwrap());
    // It comes again: an entry behind its death needs it.
    assert_eq!(put(&members[1], b"nobody's soon"), blob);
    let again = members[1].propose(record_with(4, blob)).await.unwrap().index;
    for member in &members {
        member.reaches(again).await;
        assert!(member.blobs.holds_durably(&blob).unwrap(), "node {}", member.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_of_which_nobody_knows_that_it_is_dead_is_waited_for() {
    let net = Net::default();
    let (members, deaths, blob, death) = one_late(&net).await;
    // A death before the entry says nothing of it.
    deaths.0.lock().insert(blob, LogIndex(1));
    net.heal(NodeId(3));
    let end = shortly();
    while std::time::Instant::now() < end {
        assert!(members[2].log.last().is_none_or(|last| last.index.0 + 1 < death.0));
        a_moment().await;
    }
    deaths.0.lock().insert(blob, death);
    members[2].reaches(death).await;
}

fn dead(blob: BlobId) -> Record {
    let change = Change::BlobsDead(BlobsDead { blobs: vec![blob], decided: LogIndex(0) });
    Record { change, ..record(9) }
}

/// Opens a node over a log with these records behind its first entry.
async fn start_over(records: &[Record]) -> Result<(), OpenError> {
    let world = World::new(&SimDisk::new(1));
    let node = world.open();
    node.shutdown().await.unwrap();
    let last = node.status().last.unwrap();
    let log = world.log();
    for (n, record) in (1..).zip(records) {
        let proposal = Proposal::new(record).unwrap();
        append(&log, last.term.0, last.index.0 + n, proposal.payload().to_vec());
    }
    log.close().unwrap();
    world.open_toy(world.views.toy()).map(drop)
}

#[tokio::test]
async fn a_start_asks_for_no_blob_that_died_later_in_the_log() {
    let blob = BlobId::of(b"gone");
    start_over(&[record_with(1, blob), record(2), dead(blob)]).await.unwrap();
    let before = start_over(&[dead(blob), record_with(1, blob)]).await;
    assert!(matches!(before, Err(OpenError::Blob { .. })), "{before:?}");
    let again = start_over(&[record_with(1, blob), dead(blob), record_with(2, blob)]).await;
    assert!(matches!(again, Err(OpenError::Blob { .. })), "{again:?}");
}
