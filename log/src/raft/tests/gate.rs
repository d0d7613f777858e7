//! No entry without its blobs, in this order on the disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};

use super::recorder::Recorder;
use super::{World, record, record_with, soon};
use crate::blob::BlobError;
use crate::disk::sim::SimDisk;
use crate::id::{BlobId, LogIndex, Term};
use crate::raft::ProposeError;
use crate::raft::apply::AppliedCell;
use crate::raft::gate::{Blobs, Gate};
use crate::raft::stop::StopCell;
use crate::raft::storage::LogStore;
use crate::raft::types::{Entry, Proposal, to_raft};
use crate::segment::LogId;

/// A blob store whose syncs do not end.
#[derive(Debug)]
struct Stuck;

impl Blobs for Stuck {
    fn durable(&self, _: Vec<BlobId>) -> BoxFuture<'static, Result<(), BlobError>> {
        std::future::pending().boxed()
    }

    fn poisoned(&self) -> Option<String> {
        None
    }
}

/// A blob store that has failed.
#[derive(Debug)]
struct Broken;

impl Blobs for Broken {
    fn durable(&self, _: Vec<BlobId>) -> BoxFuture<'static, Result<(), BlobError>> {
        async { Err(BlobError::Poisoned("sync".to_owned())) }.boxed()
    }

    fn poisoned(&self) -> Option<String> {
        Some("sync".to_owned())
    }
}

/// The order of a pack's sync and a segment's write for one proposal, with the
/// gate shut as it should be, or open.
async fn order(open: bool) -> Option<bool> {
    let recorder = Recorder::new(Arc::new(SimDisk::new(1)));
    let world = World { disk: Arc::new(recorder.clone()), ..World::new(&SimDisk::new(1)) };
    let blobs = world.blobs();
    let mut gate = Gate::new(Arc::new(blobs.clone()));
    gate.open = open;
    let node = world.open_with(world.log(), gate, world.views.toy());
    let blob = blobs.put(b"a message").unwrap().id;
    node.propose(record_with(1, blob), soon()).await.unwrap();
    recorder.pack_is_synced_first(blob)
}

#[tokio::test]
async fn an_unsynced_blob_is_synced_before_the_segment_is_written() {
    assert_eq!(order(false).await, Some(true));
}

#[tokio::test]
async fn an_open_gate_is_seen() {
    assert_eq!(order(true).await, Some(false));
}

#[tokio::test]
async fn a_missing_blob_is_refused_and_nothing_is_written() {
    let world = World::new(&SimDisk::new(1));
    let node = world.open();
    let before = node.status().last;
    let missing = BlobId::of(b"nowhere");
    let answer = node.propose(record_with(1, missing), soon()).await;
    assert!(
        matches!(answer, Err(ProposeError::Blob { blob, .. }) if blob == missing),
        "{answer:?}"
    );
    assert_eq!(node.status().last, before);
    node.propose(record(2), soon()).await.unwrap();
}

#[tokio::test]
async fn append_itself_refuses_and_waits() {
    let recorder = Recorder::new(Arc::new(SimDisk::new(1)));
    let world = World { disk: Arc::new(recorder.clone()), ..World::new(&SimDisk::new(1)) };
    let (log, blobs) = (world.log(), world.blobs());
    let gate = Gate::new(Arc::new(blobs.clone()));
    let (applied, stop) = (Arc::new(AppliedCell::default()), StopCell::new());
    let mut store = LogStore::new(log.clone(), gate, applied, stop).unwrap();
    let blob = blobs.put(b"a message").unwrap().id;
    store.blocking_append([entry(0, blob)]).await.unwrap();
    assert_eq!(recorder.pack_is_synced_first(blob), Some(true));

    let missing = store.blocking_append([entry(1, BlobId::of(b"nowhere"))]).await;
    assert!(missing.unwrap_err().to_string().contains("not here"));
    assert_eq!(log.last().map(|id| id.index), Some(LogIndex(0)));
    let state = store.get_log_state().await.unwrap();
    assert_eq!(state.last_log_id.map(|id| id.index), Some(0));
}

fn entry(index: u64, blob: BlobId) -> Entry {
    use openraft::entry::RaftEntry;
    let proposal = Proposal::new(&record_with(index, blob)).unwrap();
    let id = LogId { term: Term(1), index: LogIndex(index) };
    Entry::new_normal(to_raft(id), proposal)
}

#[tokio::test]
async fn a_deadline_before_the_hand_over_means_that_nothing_happened() {
    let world = World::new(&SimDisk::new(1));
    let node = world.open_with(world.log(), Gate::new(Arc::new(Stuck)), world.views.toy());
    let before = node.status().last;
    let deadline = Instant::now() + Duration::from_millis(5);
    let answer = node.propose(record_with(1, BlobId::of(b"x")), deadline).await;
    assert_eq!(answer, Err(ProposeError::Unavailable));
    assert_eq!(node.status().last, before);
}

#[tokio::test]
async fn a_poisoned_blob_store_leaves_raft() {
    let world = World::new(&SimDisk::new(1));
    let node = world.open_with(world.log(), Gate::new(Arc::new(Broken)), world.views.toy());
    let answer = node.propose(record(1), soon()).await;
    assert!(matches!(answer, Err(ProposeError::Stopped { .. })), "{answer:?}");
    node.stopped().await;
    assert!(node.read_index(soon()).await.is_err());
}

#[tokio::test]
async fn what_is_stored_anew_in_the_place_of_a_decayed_frame_is_synced_again() {
    let disk = SimDisk::new(1);
    let world = World::new(&disk);
    let (log, blobs) = (world.log(), world.blobs());
    let node = world.open_with(log, Gate::new(Arc::new(blobs.clone())), world.views.toy());
    let blob = blobs.put(b"a message").unwrap().id;
    node.propose(record_with(1, blob), soon()).await.unwrap();
    let pack = disk.files().into_iter().find(|path| path.extension().is_some_and(|e| e == "pack"));
    let pack = pack.unwrap();
    let place = disk.bytes(&pack).unwrap().windows(32).position(|window| window == blob.0).unwrap();
    disk.flip(&pack, place, 1).unwrap();
    assert_eq!(blobs.examine(&blob).unwrap(), [blob]);
    assert!(blobs.put(b"a message").unwrap().new);
    node.propose(record_with(2, blob), soon()).await.unwrap();
    assert!(blobs.holds_durably(&blob).unwrap());
}
