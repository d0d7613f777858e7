//! Leaders that had better not lead: a disk that hangs or fails, a clock that jumps.

use super::group::{Net, group, leader_of, shortly, until, within};
use super::{record, soon};
use crate::id::{LogIndex, NodeId};
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
