//! Snapshots between two or three nodes whose calls are broken, lost and damaged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Weak;

use super::*;
use crate::blob::{BlobOptions, IndexKind, PartEncoding, PartHint};
use crate::chain::Head;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::id::{BlobId, Hash, Term, Timestamp};
use crate::raft::images::{ImageFile, PinnedImage};
use crate::raft::state_machine::AppliedState;

/// The calls between all nodes, and what is wrong with them.
#[derive(Debug, Default)]
struct Wires {
    nodes: Mutex<HashMap<NodeId, Weak<Shared>>>,
    trouble: Mutex<Trouble>,
    asked: Mutex<Vec<(NodeId, Ask)>>,
    /// Blobs that were sent.
    sent: Mutex<Vec<BlobId>>,
}

#[derive(Debug, Default)]
struct Trouble {
    /// Questions, but for offers, that are still answered.
    calls_left: Option<usize>,
    /// Pieces that come with a bit turned over.
    damaged: usize,
    /// Who does not answer at all.
    gone: Vec<NodeId>,
}

/// Calls of one node.
#[derive(Debug)]
struct From(NodeId, Arc<Wires>);

impl Calls for From {
    fn call(
        &self,
        peer: NodeId,
        body: Bytes,
        _: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let (from, wires) = (self.0, self.1.clone());
        async move {
            let ask: Ask = codec::from_bytes(&body).unwrap();
            let failed = |why: &str| CallError::Failed { node: peer, why: why.to_owned() };
            // An error that is not tried again: nobody has to wait for it.
            let broken = || CallError::NoService { node: peer, topic: 0 };
            wires.admit(peer, &ask).map_err(|_| broken())?;
            wires.asked.lock().push((peer, ask.clone()));
            let node = wires.nodes.lock()[&peer].upgrade().ok_or_else(broken)?;
            let answer = node.answer(from, ask.clone()).await.map_err(|why| failed(&why))?;
            if let Ask::Blobs { .. } = ask {
                let blobs = wire::unpack_blobs(&answer).unwrap();
                wires.sent.lock().extend(blobs.iter().map(|(head, _)| head.id));
            }
            Ok(wires.on_the_way(&ask, answer))
        }
        .boxed()
    }
}

impl Wires {
    fn admit(&self, peer: NodeId, ask: &Ask) -> Result<(), &'static str> {
        let mut trouble = self.trouble.lock();
        if trouble.gone.contains(&peer) {
            return Err("gone");
        }
        match (&mut trouble.calls_left, ask) {
            (_, Ask::Offer { .. }) | (None, _) => Ok(()),
            (Some(0), _) => Err("broken"),
            (Some(left), _) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn on_the_way(&self, ask: &Ask, answer: Bytes) -> Bytes {
        let mut trouble = self.trouble.lock();
        if trouble.damaged == 0 || !matches!(ask, Ask::Chunk { .. } | Ask::BlobPiece { .. }) {
            return answer;
        }
        trouble.damaged -= 1;
        let mut damaged = answer.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        damaged.into()
    }

    fn forget_asked(&self) -> Vec<(NodeId, Ask)> {
        std::mem::take(&mut *self.asked.lock())
    }
}

/// No member.
const STRANGER: NodeId = NodeId(9);

/// How far a node has come, and with what.
#[derive(Debug, Default)]
struct Toy(Mutex<Option<Checkpoint>>);

impl Replica for Toy {
    fn reached(&self) -> Option<LogId> {
        self.0.lock().as_ref().map(|checkpoint| checkpoint.state.id)
    }

    fn vote(&self) -> Vec<u8> {
        b"vote".to_vec()
    }

    fn knows(&self, node: NodeId) -> bool {
        node != STRANGER
    }

    fn install(
        &self,
        vote: Vec<u8>,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        *self.0.lock() = Some(checkpoint);
        async move { Ok(vote) }.boxed()
    }
}

/// Images and their files.
type Known = Vec<(Checkpoint, Vec<ImageFile>)>;

/// Images in folders of a simulated disk. What is sound is what was once made.
#[derive(Debug)]
struct Album {
    disk: SimDisk,
    made: Mutex<BTreeMap<LogId, (Checkpoint, Vec<ImageFile>)>>,
    pins: Mutex<Vec<Weak<()>>>,
    known: Arc<Mutex<Known>>,
}

impl Album {
    fn make(&self, index: u64, files: &[(&str, Vec<u8>)]) -> LogId {
        let id = LogId { term: Term(1), index: LogIndex(index) };
        let mut head = Head::default();
        for n in 0..=index {
            head.push(Timestamp(7), &Hash([n as u8; 32]));
        }
        let dir = Path::new("/base").join(index.to_string());
        let state =
            AppliedState { id, membership: Bytes::new(), chain: head.chain, time: head.time };
        let checkpoint = Checkpoint { state, head, location: dir.clone() };
        let files =
            files.iter().map(|(name, bytes)| write(&self.disk, &dir, name, bytes)).collect();
        self.made.lock().insert(id, (checkpoint.clone(), Vec::clone(&files)));
        self.known.lock().push((checkpoint, files));
        id
    }

    fn pinned_now(&self) -> usize {
        self.pins.lock().iter().filter(|pin| pin.strong_count() > 0).count()
    }
}

fn write(disk: &SimDisk, dir: &Path, name: &str, bytes: &[u8]) -> ImageFile {
    disk.create_dir_all(dir).unwrap();
    let file = disk.create(&dir.join(name)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(dir).unwrap();
    let blake3 = Hash(*blake3::hash(bytes).as_bytes());
    ImageFile { name: name.to_owned(), size: bytes.len() as u64, blake3 }
}

impl Images for Album {
    fn pinned(&self, id: Option<LogId>) -> Result<Option<PinnedImage>, String> {
        let made = self.made.lock();
        let found = match id {
            Some(id) => made.get(&id),
            None => made.values().next_back(),
        };
        Ok(found.map(|(checkpoint, files)| {
            let pin = Arc::new(());
            self.pins.lock().push(Arc::downgrade(&pin));
            PinnedImage { checkpoint: checkpoint.clone(), files: files.clone(), pin }
        }))
    }

    fn take(&self) -> BoxFuture<'static, Result<(), String>> {
        async { Err("nothing is taken here".to_owned()) }.boxed()
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn examine(&self, dir: &Path) -> Result<Checkpoint, String> {
        let whole = |files: &[ImageFile]| {
            files.iter().all(|file| {
                let bytes = self.disk.bytes(&dir.join(&file.name)).unwrap_or_default();
                blake3::hash(&bytes).as_bytes() == &file.blake3.0
            })
        };
        let known = self.known.lock();
        let found = known.iter().rfind(|(_, files)| whole(files)).ok_or("it is no image")?;
        Ok(Checkpoint { location: dir.to_path_buf(), ..found.0.clone() })
    }
}

struct TestNode {
    id: NodeId,
    disk: SimDisk,
    album: Arc<Album>,
    blobs: BlobStore,
    replica: Arc<Toy>,
    snapshots: Snapshots,
}

#[derive(Default)]
struct World {
    wires: Arc<Wires>,
    known: Arc<Mutex<Known>>,
}

impl World {
    fn node(&self, id: u64) -> TestNode {
        self.start(id, SimDisk::new(id), false)
    }

    fn start(&self, id: u64, disk: SimDisk, light: bool) -> TestNode {
        let options = BlobOptions {
            pack_bytes: 16 << 20,
            index: IndexKind::Memory,
            ..BlobOptions::default()
        };
        let blobs =
            BlobStore::open(Arc::new(disk.clone()), Path::new("/blobs"), options).unwrap().0;
        let (id, replica) = (NodeId(id), Arc::<Toy>::default());
        let album = Arc::new(Album {
            disk: disk.clone(),
            made: Mutex::default(),
            pins: Mutex::default(),
            known: self.known.clone(),
        });
        let images = (!light).then(|| album.clone() as Arc<dyn Images>);
        let snapshots = Snapshots::start(SnapshotParts {
            calls: Arc::new(From(id, self.wires.clone())),
            replica: replica.clone(),
            images,
            blobs: blobs.clone(),
            disk: Arc::new(disk.clone()),
            incoming: "/incoming".into(),
            rate: 0,
        });
        self.wires.nodes.lock().insert(id, Arc::downgrade(&snapshots.0));
        TestNode { id, disk, album, blobs, replica, snapshots }
    }
}

impl TestNode {
    /// Some blobs: small ones, a large one, and a message with a part of its own.
    fn fill(&self) -> Vec<BlobId> {
        let mut ids: Vec<_> = (0..300u32).map(|n| self.put(&n.to_le_bytes())).collect();
        ids.push(self.put(&noise(3 << 20, 1)));
        let message = noise(64 << 10, 2);
        let part = PartHint { start: 1000, len: 40 << 10, encoding: PartEncoding::Identity };
        ids.push(self.blobs.put_message(&message, &[part]).unwrap().id);
        self.blobs.wait_durable(&ids).unwrap();
        ids
    }

    fn put(&self, bytes: &[u8]) -> BlobId {
        self.blobs.put(bytes).unwrap().id
    }

    async fn offer(&self, to: &TestNode, id: LogId) -> Result<Vec<u8>, CallError> {
        self.snapshots.offer(to.id, b"leader".to_vec(), id).await
    }

    fn holds_all(&self, ids: &[BlobId]) -> bool {
        ids.iter().all(|id| self.blobs.holds_durably(id).unwrap())
    }

    /// Turns a bit over in the pack that has these octets.
    fn rot(&self, octets: &[u8]) {
        for path in self.disk.files() {
            let file = self.disk.open(&path).unwrap();
            let mut all = vec![0; file.len().unwrap() as usize];
            file.read_exact_at(&mut all, 0).unwrap();
            if let Some(at) = memchr::memmem::find(&all, octets) {
                return self.disk.flip(&path, at, 1).unwrap();
            }
        }
        panic!("no file has these octets");
    }

    fn incoming(&self) -> Vec<String> {
        let files = self.disk.files().into_iter();
        files.filter(|p| p.starts_with("/incoming")).map(|p| p.display().to_string()).collect()
    }
}

fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![("000007.sst", noise((2 << 20) + 5, 3)), ("CURRENT", b"x".to_vec()), ("empty", vec![])]
}

fn chunks(asked: &[(NodeId, Ask)]) -> usize {
    asked.iter().filter(|(_, ask)| matches!(ask, Ask::Chunk { .. })).count()
}

#[tokio::test]
async fn what_was_fetched_is_whole_and_only_what_was_missing_was_asked_for() {
    let world = World::default();
    let (leader, follower) = (world.node(1), world.node(2));
    let ids = leader.fill();
    let known: Vec<_> = (0..200u32).map(|n| follower.put(&n.to_le_bytes())).collect();
    follower.blobs.wait_durable(&known).unwrap();
    let image = leader.album.make(9, &files());
    assert_eq!(leader.offer(&follower, image).await.unwrap(), b"leader");
    let installed = follower.replica.0.lock().clone().unwrap();
    assert_eq!(installed.state, leader.album.made.lock()[&image].0.state);
    assert_eq!(installed.head, leader.album.made.lock()[&image].0.head);
    assert!(follower.holds_all(&ids));
    let asked = world.wires.forget_asked();
    assert_eq!(chunks(&asked), 4);
    let mut sent = std::mem::take(&mut *world.wires.sent.lock());
    let count = sent.len();
    sent.sort();
    sent.dedup();
    assert!(sent.iter().all(|id| !known.contains(id)));
    // A hundred small ones, a large one, a message, and the part of it.
    assert_eq!((sent.len(), count), (103, count));
    assert!(count <= 104, "the part may come beside its message and by itself: {count}");
    assert_eq!(leader.snapshots.floor(), None, "nobody fetches any more");
    assert_eq!(leader.offer(&follower, image).await.unwrap(), b"vote", "it has it already");
    assert_eq!(world.wires.forget_asked().len(), 1);
}

#[tokio::test]
async fn broken_after_every_few_calls_it_goes_on_where_it_was() {
    let world = World::default();
    let (leader, follower) = (world.node(1), world.node(2));
    let ids = leader.fill();
    let image = leader.album.make(9, &files());
    let mut broken = 0;
    loop {
        // The description, a page of ids, and what the largest blob takes.
        world.wires.trouble.lock().calls_left = Some(6);
        match leader.offer(&follower, image).await {
            Ok(_) => break,
            Err(_) => broken += 1,
        }
        assert!(broken < 50, "it does not get further");
    }
    assert!(broken >= 2, "{broken}");
    assert!(follower.holds_all(&ids));
    assert_eq!(chunks(&world.wires.forget_asked()), 4, "no piece was fetched twice");
}

#[tokio::test]
async fn a_restart_of_the_receiver_loses_no_whole_file() {
    let world = World::default();
    let (leader, follower) = (world.node(1), world.node(2));
    let image = leader.album.make(9, &files());
    world.wires.trouble.lock().calls_left = Some(4);
    leader.offer(&follower, image).await.unwrap_err();
    assert_eq!(chunks(&world.wires.forget_asked()), 3);
    let disk = follower.disk.crash();
    drop(follower);
    world.wires.trouble.lock().calls_left = None;
    let follower = world.start(2, disk, false);
    leader.offer(&follower, image).await.unwrap();
    assert_eq!(chunks(&world.wires.forget_asked()), 1);
}

#[tokio::test]
async fn torn_pieces_of_a_crash_are_noticed() {
    for seed in 0..10 {
        let world = World::default();
        let leader = world.node(1);
        let follower = world.start(2, SimDisk::new(seed), false);
        let image = leader.album.make(9, &files());
        world.wires.trouble.lock().calls_left = Some(3);
        leader.offer(&follower, image).await.unwrap_err();
        let disk = follower.disk.crash();
        drop(follower);
        world.wires.trouble.lock().calls_left = None;
        let follower = world.start(2, disk, false);
        let mut tries = 0;
        while let Err(error) = leader.offer(&follower, image).await {
            assert!(error.to_string().contains("came damaged"), "{error}");
            tries += 1;
            assert!(tries < 3);
        }
        assert_eq!(follower.replica.reached(), Some(image));
    }
}

#[tokio::test]
async fn a_damaged_piece_is_asked_for_again_and_a_bad_line_is_given_up() {
    let world = World::default();
    let (leader, follower) = (world.node(1), world.node(2));
    leader.fill();
    let image = leader.album.make(9, &files());
    world.wires.trouble.lock().damaged = 3;
    leader.offer(&follower, image).await.unwrap();
    assert_eq!(chunks(&world.wires.forget_asked()), 4 + 3);
    let other = world.node(3);
    world.wires.trouble.lock().damaged = usize::MAX;
    let error = leader.offer(&other, image).await.unwrap_err();
    assert!(error.to_string().contains("comes damaged"), "{error}");
    assert_eq!(other.replica.reached(), None);
}

#[tokio::test]
async fn a_file_that_decayed_at_the_sender_is_not_installed() {
    let world = World::default();
    let (leader, follower) = (world.node(1), world.node(2));
    let image = leader.album.make(9, &files());
    let path = Path::new("/base/9/000007.sst");
    leader.disk.flip(path, 100, 1).unwrap();
    let error = leader.offer(&follower, image).await.unwrap_err();
    assert!(error.to_string().contains("000007.sst came damaged"), "{error}");
    assert_eq!((follower.replica.reached(), follower.incoming().len()), (None, 0));
    leader.disk.flip(path, 100, 1).unwrap();
    leader.offer(&follower, image).await.unwrap();
}

#[tokio::test]
async fn blobs_that_decayed_at_the_sender_are_noted_and_all_others_come() {
    let world = World::default();
    let (leader, follower) = (world.node(1), world.node(2));
    let ids = leader.fill();
    let large = noise(3 << 20, 1);
    let bad = [leader.put(&noise(3000, 9)), leader.put(&noise(3000, 10)), ids[300]];
    leader.blobs.wait_durable(&bad).unwrap();
    for octets in [&noise(3000, 9), &noise(3000, 10), &large] {
        leader.rot(&octets[2000..2032]);
    }
    // One of them is known to be bad, the others are found by who takes them.
    leader.blobs.examine(&bad[0]).unwrap();
    let image = leader.album.make(9, &files());
    leader.offer(&follower, image).await.unwrap();
    let sound: Vec<_> = ids.into_iter().filter(|id| !bad.contains(id)).collect();
    assert!(follower.holds_all(&sound));
    for id in &bad {
        assert!(!follower.blobs.contains(id).unwrap() && follower.blobs.is_damaged(id));
    }
    assert_eq!(follower.incoming(), Vec::<String>::new());
}

#[tokio::test]
async fn who_cannot_give_most_of_its_blobs_makes_no_replica() {
    let world = World::default();
    let (leader, follower) = (world.node(1), world.node(2));
    let noise: Vec<_> = (0..130).map(|n| noise(1000, n)).collect();
    let octets: Vec<_> = noise.iter().flat_map(|octets| octets.chunks(500)).collect();
    let ids: Vec<_> = octets.iter().map(|octets| leader.put(octets)).collect();
    leader.blobs.wait_durable(&ids).unwrap();
    octets.iter().for_each(|octets| leader.rot(&octets[300..332]));
    let image = leader.album.make(9, &files());
    let error = leader.offer(&follower, image).await.unwrap_err().to_string();
    assert!(error.contains("cannot give more than 256 blobs"), "{error}");
    assert_eq!(follower.replica.reached(), None);
}

#[tokio::test]
async fn another_leader_goes_on_with_what_its_newer_image_has_in_common() {
    let world = World::default();
    let (first, second, follower) = (world.node(1), world.node(2), world.node(3));
    let ids = second.fill();
    let image = first.album.make(9, &files());
    world.wires.trouble.lock().calls_left = Some(4);
    first.offer(&follower, image).await.unwrap_err();
    world.wires.forget_asked();
    let mut newer = files();
    newer.push(("000009.sst", noise(10, 9)));
    let newer = second.album.make(12, &newer);
    *world.wires.trouble.lock() = Trouble { gone: vec![first.id], ..Trouble::default() };
    second.offer(&follower, newer).await.unwrap();
    assert_eq!(follower.replica.reached(), Some(newer));
    assert!(follower.holds_all(&ids));
    assert_eq!(chunks(&world.wires.forget_asked()), 2, "CURRENT and the new table");
    assert!(follower.incoming().iter().all(|path| path.contains("00012-")));
}

#[tokio::test]
async fn an_offer_of_an_older_image_joins_the_newer_one() {
    let world = World::default();
    let (leader, follower) = (world.node(1), world.node(2));
    let older = leader.album.make(5, &files()[..2]);
    let newer = leader.album.make(9, &files());
    let (one, two) = tokio::join!(leader.offer(&follower, newer), leader.offer(&follower, older));
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(follower.replica.reached(), Some(newer));
}

#[tokio::test]
async fn an_image_that_is_no_image_is_removed_and_fetched_anew() {
    let world = World::default();
    let (leader, follower) = (world.node(1), world.node(2));
    let image = leader.album.make(9, &files());
    world.known.lock().clear();
    let error = leader.offer(&follower, image).await.unwrap_err();
    assert!(error.to_string().contains("no image"), "{error}");
    assert_eq!(follower.incoming(), Vec::<String>::new());
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    for name in ["../x", "a/b", ".hidden", "", "x\0y"] {
        let world = World::default();
        let (leader, follower) = (world.node(1), world.node(2));
        let image = leader.album.make(9, &files());
        leader.album.made.lock().get_mut(&image).unwrap().1[1].name = name.to_owned();
        let error = leader.offer(&follower, image).await.unwrap_err();
        assert!(error.to_string().contains("describes no image"), "{name:?}: {error}");
    }
}

#[tokio::test]
async fn a_disk_without_room_for_it_takes_nothing() {
    let world = World::default();
    let (leader, follower) = (world.node(1), world.node(2));
    let image = leader.album.make(9, &files());
    follower.disk.set_total(2 << 20);
    let error = leader.offer(&follower, image).await.unwrap_err();
    assert!(error.to_string().contains("does not fit"), "{error}");
}

#[tokio::test]
async fn a_node_without_views_takes_blobs_and_where_the_log_begins() {
    let world = World::default();
    let (leader, light) = (world.node(1), world.start(2, SimDisk::new(2), true));
    let ids = leader.fill();
    let image = leader.album.make(9, &files());
    leader.offer(&light, image).await.unwrap();
    let installed = light.replica.0.lock().clone().unwrap();
    assert_eq!(installed.head, leader.album.made.lock()[&image].0.head);
    assert!(light.holds_all(&ids));
    assert_eq!(chunks(&world.wires.forget_asked()), 0);
    assert!(light.offer(&leader, image).await.is_err(), "it has none to give");
}

#[tokio::test(start_paused = true)]
async fn an_image_is_kept_for_a_peer_until_it_asks_for_nothing_any_more() {
    let world = World::default();
    let (leader, follower) = (world.node(1), world.node(2));
    let image = leader.album.make(9, &files());
    world.wires.trouble.lock().calls_left = Some(2);
    leader.offer(&follower, image).await.unwrap_err();
    assert_eq!(leader.snapshots.floor(), Some(LogIndex(9)));
    assert_eq!(leader.album.pinned_now(), 1);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(leader.snapshots.floor(), Some(LogIndex(9)));
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(leader.album.pinned_now(), 0, "let go without anybody asking");
    assert_eq!(leader.snapshots.floor(), None);
}

#[tokio::test]
async fn an_old_image_is_not_offered_when_a_new_one_can_be_taken() {
    let world = World::default();
    let leader = world.node(1);
    let image = leader.album.make(9, &files());
    assert_eq!(leader.snapshots.fresh(LogIndex(14), 5).await, Ok(image));
    let taken = leader.snapshots.fresh(LogIndex(15), 5).await;
    assert_eq!(taken, Err("nothing is taken here".to_owned()));
}

#[tokio::test]
async fn who_is_no_member_gets_what_it_is_offered_and_nothing_else() {
    let world = World::default();
    let (leader, stranger) = (world.node(1), world.node(STRANGER.0));
    let ids = leader.fill();
    let ask = encode(&Ask::BlobIds { after: None, limit: 10 }).unwrap();
    let refused = leader.snapshots.call(STRANGER, ask.clone()).await;
    assert_eq!(refused, Err("node 9 is no member".to_owned()));
    let image = leader.album.make(9, &files());
    leader.offer(&stranger, image).await.unwrap();
    assert!(stranger.holds_all(&ids));
    assert!(leader.snapshots.call(STRANGER, ask).await.is_err(), "it has what it wanted");
}
