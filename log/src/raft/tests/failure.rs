//! A disk that fails ends an idle replica at once, not at the next proposal.

use std::time::Duration;

use super::{World, record, soon};
use crate::disk::sim::SimDisk;
use crate::raft::{Node, Stopped};

async fn stopped(node: &Node) -> String {
    let stopped = tokio::time::timeout(Duration::from_secs(60), node.stopped()).await.unwrap();
    assert!(matches!(&stopped, Stopped::Fatal(_)), "{stopped}");
    stopped.to_string()
}

#[tokio::test]
async fn a_failed_sync_of_a_pack_is_noticed_by_an_idle_node() {
    let disk = SimDisk::new(1);
    let world = World::new(&disk);
    let blobs = world.blobs();
    let gate = crate::raft::gate::Gate::new(std::sync::Arc::new(blobs.clone()));
    let node = world.open_with(world.log(), gate, world.views.toy());
    let put = blobs.put(b"a message").unwrap();
    disk.fail_syncs_after(0);
    blobs.wait_durable(&[put.id]).unwrap_err();
    assert!(stopped(&node).await.contains("was made to fail"));
    assert!(node.propose(record(1), soon()).await.is_err());
}

#[tokio::test]
async fn a_failed_sync_of_the_log_is_noticed_by_an_idle_node() {
    let disk = SimDisk::new(1);
    let world = World::new(&disk);
    let log = world.log();
    let gate = crate::raft::gate::Gate::new(std::sync::Arc::new(world.blobs()));
    let node = world.open_with(log.clone(), gate, world.views.toy());
    node.propose(record(1), soon()).await.unwrap();
    disk.fail_syncs_after(0);
    // What an idle log writes by itself: its mark.
    log.close().unwrap_err();
    assert!(stopped(&node).await.contains("was made to fail"));
}
