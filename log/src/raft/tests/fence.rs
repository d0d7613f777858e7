//! Disks that were restored from older images: whatever the moment at which the image
//! was taken and the node came back, it is refused, and nobody else ends.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::group::{
    FOUND, Member, Net, Way, a_moment, again, group, leader_of, open, until, within,
};
use super::{World, record, soon, toy};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::id::{LogIndex, NodeId, Term};
use crate::raft::Stopped;
use crate::raft::network::answer_for_test;
use crate::raft::seen::{Life, Seen, Shown, Trace};
use crate::raft::wire::{AppendAnswer, Refusal};
use crate::segment::LogId;

// ------------------------------------------------------------------ the rules

fn id(term: u64, index: u64) -> LogId {
    LogId { term: Term(term), index: LogIndex(index) }
}

const fn life(incarnation: u64, nonce: u64) -> Life {
    Life { incarnation, nonce }
}

fn said(life: Life, term: u64, durable: u64) -> Trace {
    Trace { life, durable: Some(id(term, durable)), term: Term(term) }
}

const NODE: NodeId = NodeId(3);
const FIRST: Life = life(1, 11);
const NEXT: Life = life(2, 22);

fn fresh() -> (SimDisk, Seen) {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/")).unwrap();
    let seen = Seen::open(Arc::new(disk.clone()), Path::new("/seen"));
    assert!(seen.greeted(NODE, FIRST, Term(1)));
    (disk, seen)
}

fn reopened(disk: &SimDisk, seen: &Seen) -> Seen {
    seen.save();
    Seen::open(Arc::new(disk.worst()), Path::new("/seen"))
}

fn check(seen: &Seen, trace: &Trace) -> Result<(), Refusal> {
    seen.check(NODE, trace, &|_| false)
}

#[test]
fn what_a_start_has_shown_is_held_against_the_next_and_never_against_itself() {
    let (disk, seen) = fresh();
    seen.note(NODE, FIRST, &Shown::acked(Term(5), Some(id(5, 100))));
    // Its greeting was on its way when it acknowledged more.
    assert_eq!(check(&seen, &said(FIRST, 1, 90)), Ok(()));
    for seen in [&seen, &reopened(&disk, &seen)] {
        assert_eq!(check(seen, &said(NEXT, 5, 100)), Ok(()));
        let lost = check(seen, &said(NEXT, 5, 99));
        assert!(matches!(lost, Err(Refusal::Restored { .. })), "{lost:?}");
        let forgot = check(seen, &said(NEXT, 4, 100));
        assert!(matches!(forgot, Err(Refusal::Forgot { .. })), "{forgot:?}");
    }
}

#[test]
fn a_later_leader_may_have_cut_off_what_was_not_committed() {
    let (_, seen) = fresh();
    seen.note(NODE, FIRST, &Shown::acked(Term(5), Some(id(5, 100))));
    let cut = said(NEXT, 6, 90);
    assert_eq!(seen.check(NODE, &cut, &|_| false), Ok(()));
    let lost = seen.check(NODE, &cut, &|id| id.index == LogIndex(100));
    assert!(matches!(lost, Err(Refusal::Restored { .. })), "{lost:?}");
    // Once it is known to be committed, it is known for good.
    seen.settle(&|_| true);
    assert!(seen.check(NODE, &cut, &|_| false).is_err());
    // In a later term less may be acknowledged; an older image has no vote of that term.
    seen.note(NODE, FIRST, &Shown::acked(Term(7), Some(id(7, 95))));
    assert_eq!(seen.acked(NODE, Term(5)), None);
    assert_eq!(seen.acked(NODE, Term(7)), Some(id(7, 95)));
    assert!(matches!(check(&seen, &said(NEXT, 6, 200)), Err(Refusal::Forgot { .. })));
}

#[test]
fn two_starts_that_count_as_one_are_told_apart() {
    let (disk, seen) = fresh();
    for seen in [&seen, &reopened(&disk, &seen)] {
        let copy = check(seen, &said(life(1, 12), 9, 900));
        assert_eq!(copy, Err(Refusal::Twice { node: NODE, incarnation: 1, seen: 11 }));
        assert_eq!(check(seen, &said(life(1, 0), 1, 0)), Ok(()), "an older program says nothing");
        let older = check(seen, &said(life(0, 13), 9, 900));
        assert!(matches!(older, Err(Refusal::Incarnation { seen: 1, said: 0, .. })), "{older:?}");
    }
    assert!(seen.greeted(NODE, NEXT, Term(1)));
    assert!(!seen.greeted(NODE, NEXT, Term(1)));
    // What the first start did is heard late: it counts against those that come.
    seen.note(NODE, FIRST, &Shown::acked(Term(5), Some(id(5, 100))));
    assert!(check(&seen, &said(NEXT, 5, 99)).is_err());
}

#[test]
fn the_file_of_the_release_before_is_read() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    disk.create_dir_all(Path::new("/")).unwrap();
    let nodes = std::collections::BTreeMap::from([(NODE, (4_u64, Some(id(2, 50)), Term(3)))]);
    let mut octets = crate::codec::to_bytes(&nodes).unwrap();
    octets.extend(crc32c::crc32c(&octets).to_le_bytes());
    disk.create(Path::new("/seen")).unwrap().write_all_at(&octets, 0).unwrap();
    let seen = Seen::open(disk, Path::new("/seen"));
    assert_eq!(check(&seen, &said(life(4, 44), 3, 50)), Ok(()));
    assert!(matches!(check(&seen, &said(life(4, 44), 3, 49)), Err(Refusal::Restored { .. })));
    assert!(matches!(check(&seen, &said(life(5, 1), 2, 50)), Err(Refusal::Forgot { .. })));
    assert!(matches!(check(&seen, &said(life(3, 1), 3, 50)), Err(Refusal::Incarnation { .. })));
}

// ------------------------------------------------------------- in real groups

/// What a backup of a running machine's disk holds.
struct Image {
    disk: SimDisk,
    views: toy::State,
}

fn image(member: &Member) -> Image {
    Image { disk: member.disk.worst(), views: member.world.views.flushed() }
}

/// The node comes back with what is on the image.
fn restore(net: &Net, id: u64, image: Image, way: Way) -> Member {
    let world = World { disk: Arc::new(image.disk.clone()), views: toy::Views::default() };
    world.views.set_flushed(image.views);
    open(net, id, &image.disk, world, way)
}

async fn condemned(member: &Member) -> String {
    match within(member.node.stopped()).await {
        Stopped::Fatal(why) => why,
        Stopped::Shutdown => panic!("it was shut down"),
    }
}

fn shown(by: &Member, node: u64) -> Shown {
    by.node.hub().seen.as_ref().unwrap().of(NodeId(node))
}

/// The power goes off at the moment at which the leader has heard an acknowledgement;
/// the image was taken right before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_restored_right_after_its_last_acknowledgement_is_refused() {
    let net = Net::default();
    let mut members = group(&net, 3).await;
    let before = within(members[0].propose(record(1))).await.unwrap();
    members[2].reaches(before.index).await;
    let image = image(&members[2]);
    let outcome = within(members[0].propose(record(2))).await.unwrap();
    let acked = || shown(&members[0], 3).acked.map(|id| id.index);
    within(async {
        while acked() < Some(outcome.index) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(members.pop().unwrap().kill(&net));
    let restored = restore(&net, 3, image, again(2));
    let why = condemned(&restored).await;
    assert!(why.contains("refuses this node") && why.contains("once had the log"), "{why}");
    // Nobody else has ended, and who met it first says why.
    within(members[1].propose(record(3))).await.unwrap();
    let refused: Vec<_> = members.iter().flat_map(|member| member.node.refused()).collect();
    assert!(refused[0].1.contains("restored from an older image"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_from_before_the_last_start_is_refused_for_its_count() {
    let net = Net::default();
    let mut members = group(&net, 3).await;
    within(members[0].propose(record(1))).await.unwrap();
    let dead = members.pop().unwrap();
    let (disk, world) = dead.kill(&net);
    let image = Image { disk: disk.copy(), views: world.views.flushed() };
    let third = open(&net, 3, &disk, world, again(2));
    // It was heard, and no more: nothing is missing on the image but its start.
    until(|| shown(&members[0], 3).term > Term(0)).await;
    third.reaches(third.node.read_index(soon()).await.unwrap()).await;
    drop(third.kill(&net));
    let restored = restore(&net, 3, image, again(2));
    let why = condemned(&restored).await;
    assert!(why.contains("was started twice with incarnation 2"), "{why}");
    within(members[1].propose(record(2))).await.unwrap();
}

/// Who led knows of nobody that it had more: those who followed do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_leader_is_refused_by_its_followers() {
    let net = Net::default();
    let mut members = group(&net, 3).await;
    within(members[0].propose(record(1))).await.unwrap();
    let image = image(&members[0]);
    let outcome = within(members[0].propose(record(2))).await.unwrap();
    let told = |member: &Member| shown(member, 1).acked.map(|id| id.index);
    until(|| members[1..].iter().all(|member| told(member) >= Some(outcome.index))).await;
    drop(members.remove(0).kill(&net));
    let restored = restore(&net, 1, image, Way { incarnation: 2, ..FOUND });
    let why = condemned(&restored).await;
    assert!(why.contains("once had the log"), "{why}");
    let leader = leader_of(&members, Some(NodeId(1))).await;
    let outcome = within(members[leader].propose(record(3))).await.unwrap();
    members[1 - leader].reaches(outcome.index).await;
    assert!(members.iter().all(|member| (1..=3).all(|n| member.has(&record(n)))));
}

/// Its disk has forgotten for whom it voted: it gets no second vote in that term.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_has_forgotten_its_vote_does_not_vote_again() {
    let net = Net::default();
    let mut members = group(&net, 3).await;
    let outcome = within(members[0].propose(record(1))).await.unwrap();
    members[1].reaches(outcome.index).await;
    members[2].reaches(outcome.index).await;
    let image = image(&members[2]);
    let term = members[0].node.status().term;
    within(members[0].node.transfer(Some(NodeId(2)))).await.unwrap();
    until(|| shown(&members[1], 3).term > term).await;
    drop(members.pop().unwrap().kill(&net));
    let restored = restore(&net, 3, image, again(2));
    let why = condemned(&restored).await;
    assert!(why.contains("once voted in term") || why.contains("once had the log"), "{why}");
    within(members[0].propose(record(2))).await.unwrap();
}

/// All are stopped in order, and one of them comes back with an older disk: nobody
/// remembers but the files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_survives_a_stop_of_all() {
    let net = Net::default();
    let mut members = group(&net, 3).await;
    within(members[0].propose(record(1))).await.unwrap();
    let old = image(&members[2]);
    let outcome = within(members[0].propose(record(2))).await.unwrap();
    members[2].reaches(outcome.index).await;
    until(|| shown(&members[0], 3).acked.map(|id| id.index) >= Some(outcome.index)).await;
    let mut disks = Vec::new();
    for member in members.drain(..).rev() {
        within(member.node.shutdown()).await.unwrap();
        disks.push((member.id, member.kill(&net)));
    }
    let restored = restore(&net, 3, old, again(2));
    for (id, (disk, world)) in disks.into_iter().filter(|(id, _)| id.0 != 3) {
        members.push(open(&net, id.0, &disk, world, again(2)));
    }
    let why = condemned(&restored).await;
    assert!(why.contains("refuses this node"), "{why}");
    within(members[0].propose(record(3))).await.unwrap();
    assert!((1..=3).all(|n| members[0].has(&record(n))));
}

/// Connections come and go while records are acknowledged: greetings race with
/// acknowledgements, and nobody is condemned for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_node_is_never_refused_whatever_races() {
    let net = Net::default();
    let members = group(&net, 3).await;
    let asking = members[0].node.clone();
    let enough = Arc::new(AtomicBool::new(false));
    let told = enough.clone();
    let asked = tokio::spawn(async move {
        let mut n = 0;
        while !told.load(Ordering::Relaxed) {
            within(asking.propose(record(n), soon())).await.unwrap();
            n += 1;
        }
        n
    });
    for cut in 0..16 {
        let node = NodeId(2 + cut % 2);
        net.cut(node);
        net.heal(node);
        for _ in 0..8 {
            a_moment().await;
        }
    }
    enough.store(true, Ordering::Relaxed);
    assert!(asked.await.unwrap() > 16);
    for member in &members {
        assert_eq!(member.node.status().stopped, None);
        assert_eq!(member.node.refused(), []);
    }
    within(members[2].propose(record(1_000))).await.unwrap();
}

/// Should one get in all the same, what it takes back never reaches openraft.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_takes_back_what_was_acknowledged_ends_that_peer_only() {
    let net = Net::default();
    let members = group(&net, 3).await;
    let outcome = within(members[0].propose(record(1))).await.unwrap();
    members[2].reaches(outcome.index).await;
    let hub = members[0].node.hub();
    let term = members[0].node.status().term;
    until(|| hub.acked(NodeId(3), term).map(|id| id.index) >= Some(outcome.index)).await;
    let acked = hub.acked(NodeId(3), term).unwrap();
    let behind = LogId { index: LogIndex(acked.index.0 + 1), ..acked };
    // Honest: it has not got what it never acknowledged.
    let honest = answer_for_test(hub, NodeId(3), behind, Some(acked), AppendAnswer::Conflict).await;
    assert!(honest.is_ok());
    assert_eq!(members[0].node.refused(), []);
    // Overtaken: when this was asked it had not acknowledged that yet.
    let late = answer_for_test(hub, NodeId(3), acked, None, AppendAnswer::Conflict).await;
    assert!(late.unwrap_err().contains("overtaken"));
    assert_eq!(members[0].node.refused(), []);
    // It had, and now it has not.
    let lie = answer_for_test(hub, NodeId(3), acked, Some(acked), AppendAnswer::Conflict).await;
    assert!(lie.unwrap_err().contains("once had the log"));
    assert_eq!(members[0].node.refused().len(), 1);
    // It is told, and ends; the leader and the other one go on.
    let why = condemned(&members[2]).await;
    assert!(why.contains("node 1 refuses this node"), "{why}");
    within(members[1].propose(record(2))).await.unwrap();
    assert_eq!(members[0].node.status().leader, Some(NodeId(1)));
    assert_eq!(members[0].node.status().stopped, None);
}
