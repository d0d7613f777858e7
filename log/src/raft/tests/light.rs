//! A replica whose state keeps nothing of what the log says.

use std::path::Path;
use std::sync::Arc;

use super::{World, options, record};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::raft::types::Proposal;
use crate::raft::{LightState, Node, OpenError, StateMachine};

const PATH: &str = "/light";

fn state(world: &World) -> std::io::Result<LightState> {
    LightState::open(world.disk.clone(), Path::new(PATH))
}

fn open(world: &World) -> Result<Node, OpenError> {
    let machine = Box::new(state(world).unwrap());
    Node::open(options(), world.log(), world.blobs(), machine)
}

/// As a leader of others' records would: committed and applied, without an outcome.
async fn commit(node: &Node, number: u64) {
    let raft = node.hub().raft().unwrap();
    let done = raft.client_write(Proposal::new(&record(number)).unwrap()).await.unwrap();
    assert!(done.data.0.is_none());
    assert_eq!(node.status().applied.unwrap().id, node.status().last.unwrap());
}

#[tokio::test]
async fn it_goes_on_where_it_was_and_from_the_start_without_its_file() {
    let disk = SimDisk::new(1);
    let world = World::new(&disk);
    let node = open(&world).unwrap();
    commit(&node, 1).await;
    let applied = node.status().applied;
    node.shutdown().await.unwrap();
    assert_eq!(state(&world).unwrap().applied().unwrap(), applied);
    let head = state(&world).unwrap().checkpoint().unwrap().unwrap().head;
    let last = applied.clone().unwrap();
    assert_eq!((head.chain, head.tree.size()), (last.chain, last.id.index.0 + 1));

    let node = open(&world).unwrap();
    commit(&node, 2).await;
    let applied = node.status().applied;
    node.kill();
    assert_ne!(state(&world).unwrap().applied().unwrap(), applied, "a crash loses what is cheap");

    disk.remove(Path::new(PATH)).unwrap();
    let node = open(&world).unwrap();
    assert!(node.status().applied.map(|state| state.id) > applied.map(|state| state.id));
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn it_can_begin_its_log_anew_and_open_again() {
    let world = World::new(&SimDisk::new(1));
    let node = open(&world).unwrap();
    commit(&node, 1).await;
    let upto = node.status().applied.unwrap().id.index;
    node.purge(upto).await.unwrap();
    node.shutdown().await.unwrap();
    let node = open(&world).unwrap();
    assert_eq!(node.status().purged.map(|id| id.index), Some(upto));
    commit(&node, 2).await;
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_said_to_be_and_one_ahead_of_the_log_refused() {
    let disk = SimDisk::new(1);
    let world = World::new(&disk);
    let node = open(&world).unwrap();
    commit(&node, 1).await;
    node.shutdown().await.unwrap();
    disk.flip(Path::new(PATH), 40, 1).unwrap();
    assert!(state(&world).unwrap_err().to_string().contains("is damaged"));
    disk.flip(Path::new(PATH), 40, 1).unwrap();

    let ahead = state(&world).unwrap().checkpoint().unwrap().unwrap();
    let other = World { disk: Arc::new(SimDisk::new(2)), views: Default::default() };
    other.disk.create_dir_all(Path::new("/")).unwrap();
    state(&other).unwrap().install(&ahead).unwrap();
    let node = open(&other).unwrap();
    let begins = node.status().purged;
    assert_eq!(begins, Some(ahead.state.id), "installed: the log begins behind it");
    node.shutdown().await.unwrap();

    let third = World { disk: Arc::new(SimDisk::new(3)), views: Default::default() };
    third.disk.create_dir_all(Path::new("/")).unwrap();
    let (from, to) = (Path::new(PATH), third.disk.create(Path::new(PATH)).unwrap());
    to.write_all_at(&disk.bytes(from).unwrap(), 0).unwrap();
    assert!(matches!(open(&third), Err(OpenError::AheadOfLog { .. })));
}
