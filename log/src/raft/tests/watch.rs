//! Leaders that had better not lead: a disk that hangs or fails, a clock that jumps.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::group::{FOUND, Net, a_moment, fresh, group, leader_of, shortly, until, within};
use super::{record, soon};
use crate::id::{LogIndex, NodeId, Timestamp};
use crate::raft::{ReadError, Stopped};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_sync_hangs_hands_over_and_acknowledges_nothing_wrongly() {
    let net = Net::default();
    let mut members = group(&net, 3).await;
    within(members[0].propose(record(1))).await.unwrap();
    members[0].disk.hang_syncs_of("/log");
    let asking = members[0].node.clone();
    let asked = tokio::spawn(async move { asking.propose(record(2), soon()).await });
    // Nobody but the watchdog ends this leadership: its heartbeats go on.
    let began = std::time::Instant::now();
    let leader = leader_of(&members[1..], Some(NodeId(1))).await + 1;
    let took = began.elapsed();
    assert!(took.as_millis() >= 1_000, "a sync may take a second: {took:?}");
    assert!(took.as_secs() < 15, "{took:?}");
    let outcome = within(members[leader].propose(record(3))).await.unwrap();
    assert!(!asked.is_finished(), "what is not durable there is not acknowledged there");
    let stale = members[0].node.read_index(shortly()).await;
    assert!(!matches!(stale, Ok(index) if index < outcome.index), "{stale:?}");
    members[0].disk.heal();
    // Whatever it is told then is so everywhere.
    let told = within(asked).await.unwrap().unwrap();
    members[0].reaches(outcome.index).await;
    for member in &members {
        member.reaches(told.index.max(outcome.index)).await;
        assert!((1..=3).all(|n| member.has(&record(n))));
    }
    let end = members[0].log.last().unwrap().index;
    let chain = members[0].log.chain_at(end).unwrap();
    assert!(members.iter().all(|member| member.log.chain_at(end).unwrap() == chain));
    // And it is so after a crash of it right then.
    let (disk, world) = members.remove(0).kill(&net);
    let back = super::group::open(&net, 1, &disk, world, super::group::again(2));
    back.reaches(told.index).await;
    assert!(back.has(&record(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_fails_leaves_raft_at_once() {
    let net = Net::default();
    let members = group(&net, 3).await;
    let before = within(members[0].propose(record(1))).await.unwrap();
    members[0].disk.fail_syncs_after(0);
    let asked = members[0].propose(record(2)).await;
    assert!(asked.is_err(), "{asked:?}");
    let Stopped::Fatal(why) = within(members[0].node.stopped()).await else { panic!() };
    assert!(why.contains("was made to fail"), "{why}");
    assert_eq!(members[0].node.read_index(soon()).await, Err(ReadError::Stopped(why)));
    let leader = leader_of(&members[1..], Some(NodeId(1))).await + 1;
    let outcome = within(members[leader].propose(record(3))).await.unwrap();
    assert!(outcome.index > before.index);
    // What it did not acknowledge may have reached the others, once.
    let seen = members[leader].world.views.now().seen;
    let twos = seen.iter().filter(|(_, operation)| *operation == record(2).operation).count();
    assert!(twos <= 1);
    assert!(members[0].log.durable().map(|id| id.index) >= Some(LogIndex(before.index.0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_does_not_say_that_it_leads() {
    let net = Net::default();
    let members = group(&net, 3).await;
    within(members[0].propose(record(1))).await.unwrap();
    let says = |n: usize| {
        let node = &members[n].node;
        assert_eq!(node.cluster().leader, node.status().leader);
        node.status().leader
    };
    until(|| says(0) == Some(NodeId(1))).await;
    net.cut(NodeId(1));
    until(|| says(0).is_none()).await;
    assert!(!members[0].node.is_leader());
    net.heal(NodeId(1));
    until(|| says(0).is_some() && says(0) == says(1)).await;
}

const DAY: i64 = 24 * 3_600_000;

/// Its clock jumps, and a record comes before anybody could have told it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_of_the_leaders_clock_never_gets_into_the_log() {
    let net = Net::default();
    let members = group(&net, 3).await;
    within(members[0].propose(record(0))).await.unwrap();
    let asked = |n: usize| {
        let heard = members[n].node.hub().heard.lock();
        heard.values().filter(|heard| heard.asked.is_some()).count()
    };
    until(|| (0..3).all(|n| asked(n) == 2)).await;
    members[0].node.hub().clock.ahead.store(DAY, Ordering::Relaxed);
    let new =
        |n: u64| crate::record::Record { stamp: Timestamp(Timestamp::now().0 + DAY), ..record(n) };
    let soon_after = |time: Timestamp| time.0 < Timestamp::now().0 + 5_000;
    let first = within(members[0].propose(new(1))).await.unwrap();
    assert!(soon_after(first.time), "{:?}", first.time);
    // No majority agrees: it hands over, and nobody is refused meanwhile.
    let mut number = 2;
    while members[1].node.leader() == Some(NodeId(1)) || members[1].node.leader().is_none() {
        let outcome = within(members[2].propose(new(number))).await.unwrap();
        assert!(soon_after(outcome.time), "{:?}", outcome.time);
        number += 1;
        a_moment().await;
    }
    let trouble = members[0].node.clock_trouble().unwrap();
    assert!(trouble.contains("has jumped"), "{trouble}");
    let outcome = within(members[0].propose(new(number))).await.unwrap();
    assert!(soon_after(outcome.time) && outcome.time >= first.time, "{:?}", outcome.time);
    // Set right again, it is believed.
    members[0].node.hub().clock.ahead.store(0, Ordering::Relaxed);
    assert_eq!(members[0].node.clock_trouble(), None);
}

/// All clocks jump, as after a long sleep of all machines: a majority confirms it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_majority_of_the_clocks_says_is_believed() {
    let net = Net::default();
    let members = group(&net, 3).await;
    within(members[0].propose(record(0))).await.unwrap();
    for member in &members {
        member.node.hub().clock.ahead.store(DAY, Ordering::Relaxed);
    }
    until(|| members.iter().all(|member| member.node.clock_trouble().is_none())).await;
    let stamp = Timestamp(Timestamp::now().0 + DAY);
    let late = crate::record::Record { stamp, ..record(1) };
    let outcome = within(members[0].propose(late)).await.unwrap();
    assert!((outcome.time.0 - stamp.0).abs() < 1_000, "{:?}", outcome.time);
}

/// Who is alone has nobody to ask: it goes on straight, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_alone_does_not_follow_a_jump_at_once() {
    let net = Net::default();
    let member = fresh(&net, 1, FOUND);
    within(member.propose(record(0))).await.unwrap();
    member.node.hub().clock.ahead.store(DAY / 2, Ordering::Relaxed);
    let stamp = Timestamp(Timestamp::now().0 + DAY / 2);
    let outcome = within(member.propose(crate::record::Record { stamp, ..record(1) })).await;
    let gone = Duration::from_secs(60).as_millis() as i64;
    assert!(outcome.unwrap().time.0 < Timestamp::now().0 + gone);
    let trouble = member.node.clock_trouble().unwrap();
    assert!(trouble.contains("5 minutes"), "{trouble}");
}
