//! A group of replicas in one process, with streams in memory that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::{World, soon};
use crate::blob::BlobStore;
use crate::disk::sim::SimDisk;
use crate::id::{LogIndex, NodeId, ShardId};
use crate::raft::{Dialer, LEVEL, Node, NodeOptions, PeerOptions, PeerStream, ProposeError, Start};
use crate::record::{Outcome, Record};
use crate::segment::SegmentLog;

/// Streams between nodes: to whom they go, and who is cut off.
#[derive(Debug, Clone, Default)]
pub(super) struct Net(Arc<Mutex<Wires>>);

#[derive(Debug, Default)]
struct Wires {
    nodes: BTreeMap<NodeId, Node>,
    cut: BTreeSet<NodeId>,
    /// Where nodes are reached that are not where they were to begin with.
    moved: BTreeMap<NodeId, String>,
    /// Ends the streams of a node.
    alive: BTreeMap<NodeId, tokio::sync::watch::Sender<()>>,
}

impl Net {
    pub(super) fn cut(&self, node: NodeId) {
        let mut wires = self.0.lock();
        wires.cut.insert(node);
        wires.alive.remove(&node);
    }

    pub(super) fn heal(&self, node: NodeId) {
        self.0.lock().cut.remove(&node);
    }

    /// From its next start on a node is reached here, and nowhere else.
    pub(super) fn moves(&self, node: NodeId, address: &str) {
        self.0.lock().moved.insert(node, address.to_owned());
    }

    fn address(&self, node: NodeId) -> String {
        self.0.lock().moved.get(&node).cloned().unwrap_or_else(|| format!("node{node}:1"))
    }

    fn plug(&self, node: NodeId, replica: &Node) {
        self.0.lock().nodes.insert(node, replica.clone());
    }

    fn unplug(&self, node: NodeId) {
        let mut wires = self.0.lock();
        wires.nodes.remove(&node);
        wires.alive.remove(&node);
    }

    fn connect(&self, from: NodeId, to: NodeId) -> io::Result<Box<dyn PeerStream>> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let mut wires = self.0.lock();
        if wires.cut.contains(&from) || wires.cut.contains(&to) {
            return Err(refused());
        }
        let node = wires.nodes.get(&to).cloned().ok_or_else(refused)?;
        let mut ends: Vec<_> = [from, to]
            .into_iter()
            .map(|node| wires.alive.entry(node).or_default().subscribe())
            .collect();
        let (here, there) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            let (first, second) = ends.split_at_mut(1);
            tokio::select! {
                biased;
                // First: what comes behind a cut is not served any more.
                _ = first[0].changed() => {}
                _ = second[0].changed() => {}
                () = node.serve_peer(Box::new(there), Some(from)) => {}
            }
        });
        Ok(Box::new(here))
    }
}

#[derive(Debug)]
struct Wire {
    net: Net,
    from: NodeId,
}

impl Dialer for Wire {
    fn dial(
        &self,
        peer: NodeId,
        address: &str,
    ) -> BoxFuture<'static, io::Result<Box<dyn PeerStream>>> {
        let stream = match self.net.address(peer) == address {
            true => self.net.connect(self.from, peer),
            false => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
        };
        async move { stream }.boxed()
    }
}

/// A node and its machine.
pub(super) struct Member {
    pub(super) id: NodeId,
    pub(super) disk: SimDisk,
    pub(super) world: World,
    pub(super) log: SegmentLog,
    pub(super) blobs: BlobStore,
    pub(super) node: Node,
}

/// How a node is opened otherwise than usual.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) start: Start,
    pub(super) incarnation: u64,
    pub(super) level: u32,
}

pub(super) const JOIN: Way = Way { start: Start::Join, incarnation: 1, level: LEVEL };
pub(super) const FOUND: Way = Way { start: Start::Found, ..JOIN };

/// A later start.
pub(super) fn again(incarnation: u64) -> Way {
    Way { incarnation, ..JOIN }
}

/// Opens a node over what is on the disk.
pub(super) fn open(net: &Net, id: u64, disk: &SimDisk, world: World, way: Way) -> Member {
    let toy = world.views.toy();
    open_with(net, id, disk, world, way, toy)
}

fn open_with(
    net: &Net,
    id: u64,
    disk: &SimDisk,
    world: World,
    way: Way,
    toy: super::toy::Toy,
) -> Member {
    let node = NodeId(id);
    let mut options = NodeOptions::new(node, ShardId(0));
    options.start = way.start;
    options.peers = Some(PeerOptions {
        cluster: "test".to_owned(),
        incarnation: way.incarnation,
        address: net.address(node),
        level: way.level,
        seen: PathBuf::from("/seen"),
        dialer: Arc::new(Wire { net: net.clone(), from: node }),
        incoming: PathBuf::from("/incoming"),
    });
    let (log, blobs) = (world.log(), world.blobs());
    let replica = Node::open(options, log.clone(), blobs.clone(), Box::new(toy)).unwrap();
    net.plug(node, &replica);
    Member { id: node, disk: disk.clone(), world, log, blobs, node: replica }
}

pub(super) fn fresh(net: &Net, id: u64, way: Way) -> Member {
    let disk = SimDisk::new(id);
    let world = World::new(&disk);
    open(net, id, &disk, world, way)
}

/// A node that joins and applies nothing until the sender is dropped.
pub(super) fn fresh_and_stuck(net: &Net, id: u64) -> (Member, std::sync::mpsc::Sender<()>) {
    let disk = SimDisk::new(id);
    let world = World::new(&disk);
    let (tell, _) = std::sync::mpsc::channel();
    let (open, wait) = std::sync::mpsc::channel();
    let mut toy = world.views.toy();
    toy.before = Some((tell, wait));
    (open_with(net, id, &disk, world, JOIN, toy), open)
}

/// So many voters, the first of which leads to begin with.
pub(super) async fn group(net: &Net, count: u64) -> Vec<Member> {
    let mut members = vec![fresh(net, 1, FOUND)];
    for id in 2..=count {
        let member = fresh(net, id, JOIN);
        let leader = &members[0].node;
        leader.add_learner(member.id, format!("node{id}:1"), false).await.unwrap();
        leader.promote(member.id).await.unwrap();
        members.push(member);
    }
    members
}

impl Member {
    /// Ends it as by a crash of its machine, and gives what its disk keeps.
    pub(super) fn kill(self, net: &Net) -> (SimDisk, World) {
        net.unplug(self.id);
        let Self { disk, world, log, blobs, node, .. } = self;
        node.kill();
        drop((log, blobs));
        let disk = disk.crash();
        let after = World { disk: Arc::new(disk.clone()), views: super::toy::Views::default() };
        after.views.set_flushed(world.views.flushed());
        (disk, after)
    }

    pub(super) async fn propose(&self, record: Record) -> Result<Outcome, ProposeError> {
        self.node.propose(record, soon()).await
    }

    /// Whether a record was applied here.
    pub(super) fn has(&self, record: &Record) -> bool {
        self.world.views.now().seen.iter().any(|(_, operation)| *operation == record.operation)
    }

    /// Waits until everything up to an entry is applied here.
    pub(super) async fn reaches(&self, index: LogIndex) {
        within(self.node.hub().applied.reached(index)).await;
    }
}

/// Fails a test that hangs.
pub(super) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it hangs")
}

/// Waits until one of these leads, other than `not`; gives its place.
pub(super) async fn leader_of(members: &[Member], not: Option<NodeId>) -> usize {
    let known = members.iter().map(|member| {
        Box::pin(async move {
            let mut leader = member.node.watch_leader();
            let known = leader.wait_for(|now| now.is_some() && *now != not).await.unwrap();
            known.unwrap()
        })
    });
    let leader = within(futures_util::future::select_all(known)).await.0;
    members.iter().position(|member| member.id == leader).unwrap()
}

/// A time by which nothing can have been done.
pub(super) fn shortly() -> Instant {
    Instant::now() + Duration::from_millis(1500)
}

/// Later than any test may last.
pub(super) fn far() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

/// Between two looks at what is waited for with a deadline.
pub(super) async fn a_moment() {
    let moment = Duration::from_millis(20);
    tokio::time::interval_at(tokio::time::Instant::now() + moment, moment).tick().await;
}

/// Waits until something is so.
pub(super) async fn until(mut so: impl FnMut() -> bool) {
    within(async {
        while !so() {
            a_moment().await;
        }
    })
    .await;
}
