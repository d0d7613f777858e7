//! Stores that are replicas of each other, over streams in memory: one joins from
//! a snapshot, one that was cut off goes on from one, and one keeps no views.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "../../store/tests/support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use redoubt_log::disk::RealDisk;
use redoubt_log::id::{AccountId, LogIndex, NodeId, OperationId};
use redoubt_log::raft::{Dialer, Node, PeerStream, Role};
use redoubt_snapshot::BaseDir;
use redoubt_store::checkpoint::Bases;
use redoubt_store::mailbox::INBOX;
use redoubt_store::mailstore::{
    ClusterFile, Joining, Layout, Mailstore, NodeFile, Peers, StoreError,
};
use support::*;

type Dialed = Pin<Box<dyn Future<Output = io::Result<Box<dyn PeerStream>>> + Send>>;

/// Who is reached by whom.
#[derive(Debug, Clone, Default)]
struct Net(Arc<Mutex<Wires>>);

#[derive(Debug, Default)]
struct Wires {
    nodes: BTreeMap<NodeId, Node>,
    cut_off: BTreeSet<NodeId>,
    /// Ends the streams of one node.
    streams: BTreeMap<NodeId, Vec<tokio::task::AbortHandle>>,
}

#[derive(Debug)]
struct From(NodeId, Net);

impl Dialer for From {
    fn dial(&self, peer: NodeId, _: &str) -> Dialed {
        let (from, net) = (self.0, self.1.clone());
        Box::pin(async move {
            let mut wires = net.0.lock().unwrap();
            let node = wires.nodes.get(&peer).cloned();
            let reached = !wires.cut_off.contains(&from) && !wires.cut_off.contains(&peer);
            let node = node.filter(|_| reached).ok_or(io::ErrorKind::ConnectionRefused)?;
            let (ours, mut near) = tokio::io::duplex(1 << 20);
            let (mut far, theirs) = tokio::io::duplex(1 << 20);
            tokio::spawn(async move { node.serve_peer(Box::new(theirs), Some(from)).await });
            let cable = tokio::spawn(async move {
                drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
            });
            for end in [from, peer] {
                wires.streams.entry(end).or_default().push(cable.abort_handle());
            }
            Ok(Box::new(ours) as Box<dyn PeerStream>)
        })
    }
}

impl Net {
    fn cut_off(&self, node: NodeId) {
        let mut wires = self.0.lock().unwrap();
        wires.cut_off.insert(node);
        wires.streams.remove(&node).into_iter().flatten().for_each(|stream| stream.abort());
    }

    fn heal(&self, node: NodeId) {
        self.0.lock().unwrap().cut_off.remove(&node);
    }

    fn forget(&self, node: NodeId) {
        self.cut_off(node);
        self.0.lock().unwrap().nodes.remove(&node);
    }
}

struct Replica {
    id: NodeId,
    world: World,
    bases: Arc<BaseDir>,
    store: Mailstore,
    net: Net,
}

fn prepare(net: &Net, id: u64) -> (World, Arc<BaseDir>) {
    let mut bases = None;
    let world = World::with(|options| {
        let dir = BaseDir::new(Arc::new(RealDisk), options.data.join("shards/0/base"));
        options.bases = Some(bases.insert(Arc::new(dir)).clone());
        options.checkpoint_every = 0;
        options.disk = SmallDisk::roomy();
        let dialer = Arc::new(From(NodeId(id), net.clone()));
        options.peers = Some(Peers { dialer, address: format!("node-{id}") });
    });
    (world, bases.unwrap())
}

impl Replica {
    async fn found(net: &Net) -> Self {
        let (world, bases) = prepare(net, 1);
        Self::open(net, 1, world, bases).await
    }

    async fn open(net: &Net, id: u64, world: World, bases: Arc<BaseDir>) -> Self {
        let (store, id) = (world.open().await, NodeId(id));
        net.0.lock().unwrap().nodes.insert(id, store.node().clone());
        net.heal(id);
        Self { id, world, bases, store, net: net.clone() }
    }

    /// A node with an id and nothing else.
    async fn newcomer(&self, id: u64, light: bool) -> Self {
        let (world, bases) = prepare(&self.net, id);
        let layout = Layout::new(world.data());
        layout.prepare().unwrap();
        let lineage = self.store.identity().lineage.clone();
        NodeFile { node: NodeId(id), lineage }.save(&layout).unwrap();
        let (joiner, members) = (OperationId([0; 16]), Vec::new());
        let joining = Some(Joining { joiner, token: String::new(), members });
        ClusterFile { light, joined: true, joining, ..ClusterFile::default() }
            .save(&layout)
            .unwrap();
        let secret = self.world.data().join("keys/shard-0.secret");
        std::fs::copy(secret, world.data().join("keys/shard-0.secret")).unwrap();
        Self::open(&self.net, id, world, bases).await
    }

    /// Takes another node in, and gives it a vote.
    async fn admit(&self, other: &Self, light: bool) {
        let node = self.store.node();
        node.add_learner(other.id, format!("node-{}", other.id), light).await.unwrap();
        node.promote(other.id).await.unwrap();
    }

    async fn shrink_log(&self) -> LogIndex {
        let base = self.store.checkpoint().await.unwrap();
        self.store.node().purge(base.index()).await.unwrap();
        base.index()
    }

    fn begins(&self) -> Option<LogIndex> {
        self.store.node().status().purged.map(|id| id.index)
    }

    async fn close(self) -> (World, Arc<BaseDir>) {
        self.net.forget(self.id);
        self.store.shutdown().await;
        drop(self.store);
        self.world.wait_until_free().await;
        (self.world, self.bases)
    }
}

/// Two replicas that have applied the same have the same state.
async fn agree(one: &Replica, two: &Replica) {
    let target = one.store.applied();
    until("the other has applied it", || two.store.applied() >= target).await;
    let (a, b) = (one.store.view().await.unwrap(), two.store.view().await.unwrap());
    assert_eq!(a.index(), b.index());
    assert_eq!(a.state_hash().unwrap(), b.state_hash().unwrap());
}

async fn leader_with_mail(net: &Net, mails: usize) -> (Replica, AccountId) {
    let leader = Replica::found(net).await;
    let account = alice(&leader.store).await;
    fill(&leader.store, inbox(account), mails).await;
    (leader, account)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_where_the_log_does_not_reach_back_any_more() {
    let net = Net::default();
    let (leader, account) = leader_with_mail(&net, 30).await;
    let arrival = deliver(&leader.store, account, &mail_with_attachment(100_000)).await;
    let base = leader.shrink_log().await;
    fill(&leader.store, inbox(account), 10).await;
    let other = leader.newcomer(2, false).await;
    leader.admit(&other, false).await;
    assert_eq!(other.begins(), Some(base));
    assert!(other.store.node().read(LogIndex(0)..LogIndex(9), 1000).is_err());
    agree(&leader, &other).await;
    assert_eq!(other.store.check(10).await.unwrap(), []);
    let (ours, theirs) = (
        read_back(&leader.store, account, &arrival).await,
        read_back(&other.store, account, &arrival).await,
    );
    assert_eq!(ours, theirs);
    fill(&other.store, inbox(account), 5).await;
    agree(&leader, &other).await;

    let (world, bases) = other.close().await;
    let other = Replica::open(&net, 2, world, bases).await;
    agree(&leader, &other).await;
    assert_eq!(count(&other.store, account, INBOX).await, 46);
    assert_eq!(other.bases.received().unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_cut_off_gets_new_views_under_its_readers() {
    let net = Net::default();
    let (leader, account) = leader_with_mail(&net, 10).await;
    let (two, three) = (leader.newcomer(2, false).await, leader.newcomer(3, false).await);
    leader.admit(&two, false).await;
    leader.admit(&three, false).await;
    agree(&leader, &three).await;
    let reader = three.store.view().await.unwrap();
    let mut watch = three.store.watch(account);
    net.cut_off(three.id);
    fill(&leader.store, inbox(account), 20).await;
    let base = leader.shrink_log().await;
    fill(&leader.store, inbox(account), 3).await;
    net.heal(three.id);
    until("the views are replaced", || three.begins() == Some(base)).await;
    watch.changed().await;
    agree(&leader, &three).await;
    let views = three.world.data().join("shards/0/views");
    assert_eq!(reader.mailbox(account, INBOX).unwrap().unwrap().messages, 10);
    assert!(views.exists(), "somebody reads them");
    assert_eq!(count(&three.store, account, INBOX).await, 33);
    drop(reader);
    until("the old views are removed", || !views.exists()).await;
    assert_eq!(three.store.check(10).await.unwrap(), []);
    let (world, bases) = three.close().await;
    let three = Replica::open(&net, 3, world, bases).await;
    assert!(views.exists(), "the new ones have their name");
    agree(&leader, &three).await;
    agree(&leader, &two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_light_voter_keeps_blobs_and_votes_and_does_not_lead() {
    let net = Net::default();
    let (leader, account) = leader_with_mail(&net, 20).await;
    let two = leader.newcomer(2, false).await;
    leader.admit(&two, false).await;
    leader.shrink_log().await;
    fill(&leader.store, inbox(account), 5).await;
    let light = leader.newcomer(3, true).await;
    leader.admit(&light, true).await;
    let target = leader.store.applied();
    until("it has the log", || light.store.applied() >= target).await;
    let blobs = leader.store.blobs().ids(None, 1000).unwrap();
    assert!(blobs.len() >= 20);
    assert!(blobs.iter().all(|id| light.store.blobs().holds_durably(id).unwrap()));
    assert!(!light.world.data().join("shards/0/views").exists());
    assert!(matches!(light.store.view().await, Err(StoreError::Unavailable(_))));
    let (member, node) = (light.id, leader.store.node());
    assert!(node.cluster().member(member).unwrap().light);

    drop(node.transfer(Some(light.id)).await);
    until("somebody with views leads", || {
        let leads = |replica: &Replica| replica.store.node().is_leader();
        (leads(&leader) || leads(&two)) && !leads(&light)
    })
    .await;
    fill(&two.store, inbox(account), 1).await;

    let (_world, _) = leader.close().await;
    until("the other leads", || two.store.node().is_leader()).await;
    fill(&two.store, inbox(account), 4).await;
    assert_eq!(count(&two.store, account, INBOX).await, 30);
    let role = two.store.node().cluster().member(light.id).unwrap().role;
    assert_eq!(role, Role::Voter);

    let (world, bases) = light.close().await;
    let light = Replica::open(&net, 3, world, bases).await;
    fill(&two.store, inbox(account), 1).await;
    let target = two.store.applied();
    until("it goes on", || light.store.applied() >= target).await;
}
