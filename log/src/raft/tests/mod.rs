//! Replicas over a simulated disk, with a toy for a state.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod apply;
mod cluster;
mod conformance;
mod dead;
mod encoding;
mod failure;
mod fence;
mod gate;
mod group;
mod light;
mod look;
mod open;
mod proposals;
mod recorder;
mod toy;
mod watch;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::blob::{BlobOptions, BlobStore, IndexKind};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::id::{BlobId, NodeId, OperationId, ShardId, Timestamp};
use crate::raft::gate::Gate;
use crate::raft::{Node, NodeOptions, OpenError};
use crate::record::{Actor, Change, Record, Version, Why};
use crate::segment::{SegmentLog, SegmentOptions};

use toy::Toy;

/// A machine: what a restart finds again.
struct World {
    disk: Arc<dyn Disk>,
    views: toy::Views,
}

impl World {
    fn new(disk: &SimDisk) -> Self {
        Self { disk: Arc::new(disk.clone()), views: toy::Views::default() }
    }

    fn log(&self) -> SegmentLog {
        let options =
            SegmentOptions { segment_bytes: 1 << 20, idle_mark: None, ..SegmentOptions::default() };
        SegmentLog::open(self.disk.clone(), Path::new("/log"), options).unwrap().0
    }

    fn blobs(&self) -> BlobStore {
        let options =
            BlobOptions { pack_bytes: 1 << 20, index: IndexKind::Memory, ..BlobOptions::default() };
        BlobStore::open(self.disk.clone(), Path::new("/blobs"), options).unwrap().0
    }

    fn open_toy(&self, toy: Toy) -> Result<Node, OpenError> {
        Node::open(options(), self.log(), self.blobs(), Box::new(toy))
    }

    fn open(&self) -> Node {
        self.open_toy(self.views.toy()).unwrap()
    }

    /// Over a log and a gate of the test's own.
    fn open_with(&self, log: SegmentLog, gate: Gate, toy: Toy) -> Node {
        Node::open_with(options(), log, gate, Box::new(toy)).unwrap()
    }
}

fn options() -> NodeOptions {
    NodeOptions::new(NodeId(1), ShardId(0))
}

/// A record told apart by its operation.
fn record(number: u64) -> Record {
    let mut operation = [0; 16];
    operation[..8].copy_from_slice(&number.to_le_bytes());
    Record {
        stamp: Timestamp(1_000_000),
        operation: OperationId(operation),
        actor: Actor::SYSTEM,
        why: Why::default(),
        change: Change::Version(Version { apply: 1 }),
    }
}

/// One that names a blob.
fn record_with(number: u64, blob: BlobId) -> Record {
    Record { why: Why { policy: None, reason: Some(blob) }, ..record(number) }
}

/// Far enough away that only what hangs gets there.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}
