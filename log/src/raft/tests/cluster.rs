//! Three replicas: elections, blobs, forwarding, members, and those that must be
//! refused or must stop.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::time::Instant;

use super::group::{
    FOUND, JOIN, Net, Way, a_moment, far, fresh, fresh_and_stuck, group, leader_of, open, shortly,
    until, within,
};
use super::{record, record_with, soon};
use crate::blob::{PartEncoding, PartHint};
use crate::id::{BlobId, LogIndex, NodeId, Term};
use crate::raft::heard::{Heard, Pulse};
use crate::raft::types::Proposal;
use crate::raft::{CallError, MembershipError, ProposeError, ReadError, Role, Service, Stopped};
use crate::segment::{EntryKind, LogId, NewEntry};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_proposed_anywhere_is_applied_everywhere() {
    let net = Net::default();
    let members = group(&net, 3).await;
    for (n, member) in members.iter().enumerate() {
        let record = record(n as u64);
        let outcome = within(member.propose(record.clone())).await.unwrap();
        // The answer means: applied where it was proposed.
        assert!(member.has(&record));
        for other in &members {
            other.reaches(outcome.index).await;
            assert!(other.has(&record));
        }
    }
    let chains: Vec<_> = members.iter().map(|member| member.log.chain_at(LogIndex(5))).collect();
    let first = chains[0].as_ref().unwrap();
    assert!(chains.iter().all(|chain| chain.as_ref().unwrap() == first));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_reads_what_was_written_before() {
    let net = Net::default();
    let members = group(&net, 3).await;
    for n in 0..20 {
        let outcome = members[n % 3].propose(record(n as u64)).await.unwrap();
        let reader = &members[(n + 1) % 3];
        assert!(reader.node.read_index(soon()).await.unwrap() >= outcome.index);
        assert!(reader.has(&record(n as u64)));
    }
    let reads = join_all((0..100).map(|_| members[1].node.read_index(soon()))).await;
    assert!(reads.into_iter().all(|read| read.is_ok()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_arrive_with_what_names_them() {
    let net = Net::default();
    let members = group(&net, 3).await;
    let small = members[0].blobs.put(b"small").unwrap().id;
    let large = members[1].blobs.put(&noise(3 << 20)).unwrap().id;
    // A recipe and its part, put at a follower.
    let part = noise(40_000);
    let message = [b"Subject: x\r\n\r\n".as_slice(), &part, b"end"].concat();
    let hint = PartHint { start: 14, len: 40_000, encoding: PartEncoding::Identity };
    let recipe = members[2].blobs.put_message(&message, &[hint]).unwrap().id;
    for (n, (member, blob)) in members.iter().zip([small, large, recipe]).enumerate() {
        let outcome = within(member.propose(record_with(n as u64, blob))).await.unwrap();
        for other in &members {
            other.reaches(outcome.index).await;
            assert!(other.blobs.holds_durably(&blob).unwrap());
        }
    }
    for member in &members {
        assert!(member.blobs.holds_durably(&BlobId::of(&part)).unwrap());
        let whole = member.blobs.reader(&recipe).unwrap().read_all(1 << 20).unwrap();
        assert_eq!(whole, message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_has_decayed_at_the_leader_comes_from_another() {
    let net = Net::default();
    let members = group(&net, 3).await;
    net.cut(NodeId(3));
    let (rotten, sound) = (noise(2_000), noise(2 << 20));
    let mut last = LogIndex(0);
    for (n, octets) in [&rotten, &sound].into_iter().enumerate() {
        let blob = members[0].blobs.put(octets).unwrap().id;
        last = within(members[0].propose(record_with(n as u64, blob))).await.unwrap().index;
    }
    // Nobody has noticed when it is given, or it is known before.
    for noticed in [false, true] {
        let octets = noise(3_000 + usize::from(noticed));
        let blob = members[0].blobs.put(&octets).unwrap().id;
        let record = record_with(10 + u64::from(noticed), blob);
        last = within(members[0].propose(record)).await.unwrap().index.max(last);
        decay(&members[0].disk, blob);
        if noticed {
            assert_eq!(members[0].blobs.examine(&blob).unwrap(), [blob]);
        }
    }
    decay(&members[0].disk, BlobId::of(&rotten));
    members[1].reaches(last).await;
    net.heal(NodeId(3));
    members[2].reaches(last).await;
    let blobs = [rotten, sound, noise(3_000), noise(3_001)];
    assert!(blobs.iter().all(|b| members[2].blobs.holds_durably(&BlobId::of(b)).unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_slows_down_for_a_learner_that_does_not_keep_up() {
    let net = Net::default();
    let leader = fresh(&net, 1, FOUND);
    let (learner, gate) = fresh_and_stuck(&net, 2);
    within(leader.node.add_learner(learner.id, "node2:1".to_owned(), false)).await.unwrap();
    let proposed = join_all((0..2000).map(|n| leader.node.propose(record(n), far()))).await;
    assert!(proposed.iter().all(Result::is_ok));
    // It has them all in its log, and not in its state.
    let hub = leader.node.hub();
    until(|| hub.backlog(learner.id) > 1000).await;
    let mut vote = Box::pin(leader.node.promote(learner.id));
    until(|| {
        assert!((&mut vote).now_or_never().is_none(), "it has no vote before it has caught up");
        hub.pacing.holds()
    })
    .await;
    drop(gate);
    within(vote).await.unwrap();
    until(|| !hub.pacing.holds()).await;
    assert!(within(leader.propose(record(5000))).await.is_ok());
}

/// Turns over the last octet of a frame of some 2,000 octets.
fn decay(disk: &crate::disk::sim::SimDisk, blob: BlobId) {
    let is_pack = |path: &&std::path::PathBuf| path.extension().is_some_and(|e| e == "pack");
    for pack in disk.files().iter().filter(is_pack) {
        let octets = disk.bytes(pack).unwrap();
        if let Some(place) = octets.windows(32).position(|window| window == blob.0) {
            return disk.flip(pack, place + 1_500, 1).unwrap();
        }
    }
    panic!("no pack has it");
}

fn noise(len: usize) -> Vec<u8> {
    use rand::{Rng, SeedableRng};
    let mut rng = rand::rngs::SmallRng::seed_from_u64(len as u64);
    (0..len).map(|_| rng.random()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_nobody_has_is_refused_and_one_that_is_missing_is_fetched() {
    let net = Net::default();
    let members = group(&net, 3).await;
    let nowhere = BlobId::of(b"nowhere");
    let answer = members[1].propose(record_with(1, nowhere)).await;
    assert!(matches!(answer, Err(ProposeError::Blob { blob, .. }) if blob == nowhere));
    let there = members[2].blobs.put(b"there").unwrap().id;
    members[2].blobs.wait_durable(&[there]).unwrap();
    assert_eq!(members[0].node.fetch_blob(there).await, Ok(NodeId(3)));
    assert!(members[0].blobs.holds_durably(&there).unwrap());
    assert!(members[0].node.fetch_blob(nowhere).await.is_err());
    let outcome = members[0].propose(record(2)).await.unwrap();
    let range = LogIndex(0)..LogIndex(outcome.index.0 + 1);
    members[1].reaches(outcome.index).await;
    let entries = members[1].node.fetch_entries(range.clone(), 1 << 20).await.unwrap();
    assert_eq!(entries, members[0].node.read(range, 1 << 20).unwrap());
}

/// More than one page of them, by the chain before the first alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_fetched_however_many_there_are() {
    let net = Net::default();
    let members = group(&net, 2).await;
    let asked = join_all((0..1_500).map(|n| members[0].propose(record(n)))).await;
    let last = asked.into_iter().map(|outcome| outcome.unwrap().index).max().unwrap();
    members[1].reaches(last).await;
    let range = LogIndex(3)..LogIndex(last.0 + 1);
    let entries = within(members[1].node.fetch_all_entries(range.clone())).await.unwrap();
    assert_eq!(entries.len() as u64, last.0 - 2);
    assert_eq!(entries, members[0].node.read(range, usize::MAX).unwrap());
    let beyond = LogIndex(3)..LogIndex(last.0 + 10);
    assert!(within(members[1].node.fetch_all_entries(beyond)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_dies_and_the_others_go_on() {
    let net = Net::default();
    let mut members = group(&net, 3).await;
    let before = members[0].propose(record(1)).await.unwrap();
    let dead = members.remove(0);
    let id = dead.id;
    // One that asks through a follower hardly notices.
    let asking = members[0].node.clone();
    let asked = tokio::spawn(async move { asking.propose(record(2), soon()).await });
    let (disk, world) = dead.kill(&net);
    let outcome = within(asked).await.unwrap().unwrap();
    assert!(outcome.index > before.index);
    let leader = leader_of(&members, Some(id)).await;
    let outcome = members[leader].propose(record(3)).await.unwrap();
    // It comes back, and has everything.
    let back = open(&net, id.0, &disk, world, Way { incarnation: 2, ..FOUND });
    back.reaches(outcome.index).await;
    assert!((1..=3).all(|n| back.has(&record(n))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_acknowledges_and_serves_nothing() {
    let net = Net::default();
    let members = group(&net, 3).await;
    members[0].propose(record(1)).await.unwrap();
    net.cut(NodeId(1));
    let (asked, read) = tokio::join!(
        members[0].node.propose(record(2), shortly()),
        members[0].node.read_index(shortly()),
    );
    assert!(
        matches!(asked, Err(ProposeError::Unknown(_) | ProposeError::Unavailable)),
        "{asked:?}"
    );
    assert_eq!(read, Err(ReadError::Unavailable));
    let leader = leader_of(&members[1..], Some(NodeId(1))).await + 1;
    let outcome = within(members[leader].propose(record(3))).await.unwrap();
    net.heal(NodeId(1));
    members[0].reaches(outcome.index).await;
    assert!(members[0].has(&record(3)));
    let seen = members[0].world.views.now().seen;
    members[3 - leader].reaches(outcome.index).await;
    assert_eq!(seen, members[leader].world.views.now().seen[..seen.len()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_has_moved_is_found_where_it_says_and_written_down() {
    let net = Net::default();
    let mut members = group(&net, 3).await;
    members[0].propose(record(1)).await.unwrap();
    let (disk, world) = members.pop().unwrap().kill(&net);
    net.moves(NodeId(3), "elsewhere:1");
    let moved = open(&net, 3, &disk, world, Way { incarnation: 2, ..JOIN });
    let outcome = within(members[0].propose(record(2))).await.unwrap();
    moved.reaches(outcome.index).await;
    within(async {
        let address = || members[1].node.cluster().member(NodeId(3)).unwrap().address.clone();
        while address() != "elsewhere:1" {
            a_moment().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_loses_nothing() {
    let net = Net::default();
    let members = group(&net, 3).await;
    let asking = members[2].node.clone();
    let asked = tokio::spawn(async move {
        let mut outcomes = Vec::new();
        for n in 0..60 {
            outcomes.push(asking.propose(record(n), soon()).await.unwrap().index);
        }
        outcomes
    });
    for to in [2, 1, 2] {
        // Where threads wait long for a processor, an election of its own may come between.
        let leader = loop {
            let leader = leader_of(&members, Some(NodeId(to))).await;
            match within(members[leader].node.transfer(Some(NodeId(to)))).await {
                Err(MembershipError::NotLeader { .. }) => a_moment().await,
                handed_over => break handed_over.map(|()| leader).unwrap(),
            }
        };
        assert_eq!(members[leader].node.leader(), Some(NodeId(to)));
    }
    let outcomes = within(asked).await.unwrap();
    assert!(outcomes.is_sorted());
    assert!((0..60).all(|n| members[2].has(&record(n))));
    let answer = members[1].node.transfer(Some(NodeId(9))).await;
    assert_eq!(answer, Err(MembershipError::UnknownNode(NodeId(9))));
    let answer = members[0].node.transfer(None).await;
    assert_eq!(answer, Err(MembershipError::NotLeader { leader: Some(NodeId(2)) }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_change_of_the_members_at_a_time() {
    let net = Net::default();
    let members = group(&net, 2).await;
    let (node, address) = (&members[0].node, || "node3:1".to_owned());
    let _third = fresh(&net, 3, JOIN);
    let first = members[0].node.hub().changing.lock().await;
    let second = node.add_learner(NodeId(3), address(), false).await;
    assert_eq!(second, Err(MembershipError::InProgress));
    assert!(node.cluster().changing);
    drop(first);
    within(node.add_learner(NodeId(3), address(), true)).await.unwrap();
    within(node.add_learner(NodeId(3), address(), true)).await.unwrap();
    let other = node.add_learner(NodeId(3), "elsewhere:1".to_owned(), true).await;
    assert_eq!(other, Err(MembershipError::AlreadyMember(NodeId(3))));
    let cluster = node.cluster();
    assert_eq!(cluster.member(NodeId(3)).unwrap().role, Role::Learner);
    assert!(cluster.member(NodeId(3)).unwrap().light);
    assert_eq!(node.promote(NodeId(4)).await, Err(MembershipError::UnknownNode(NodeId(4))));
    within(node.promote(NodeId(3))).await.unwrap();
    assert_eq!(node.cluster().voters().count(), 3);
    let answer = members[1].node.promote(NodeId(3)).await;
    assert_eq!(answer, Err(MembershipError::NotLeader { leader: Some(NodeId(1)) }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_voters_that_was_given_up_half_way_is_finished() {
    let net = Net::default();
    let members = group(&net, 2).await;
    let third = fresh(&net, 3, JOIN);
    let (node, hub) = (&members[0].node, members[0].node.hub());
    within(node.add_learner(third.id, "node3:1".to_owned(), false)).await.unwrap();
    let mut metrics = hub.raft().unwrap().metrics();
    let joint = async {
        while !hub.is_joint() {
            metrics.changed().await.unwrap();
        }
    };
    // The first half is not decided before it is seen. Whoever wanted it is gone before the second.
    net.cut(NodeId(2));
    within(async {
        tokio::select! {
            biased;
            () = joint => {}
            promoted = node.promote(third.id) => panic!("{promoted:?} came too soon"),
        }
    })
    .await;
    net.heal(NodeId(2));
    within(async {
        while node.cluster().changing {
            a_moment().await;
        }
    })
    .await;
    assert!(!hub.is_joint());
    assert_eq!(node.cluster().voters().count(), 3);
    // One majority decides, and any of the three may go.
    net.cut(NodeId(2));
    within(members[0].propose(record(1))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_only_begun_to_join_says_nothing_of_who_was_removed() {
    let net = Net::default();
    let members = group(&net, 1).await;
    let hub = members[0].node.hub();
    let joined = hub.membership().log_id().unwrap().index();
    let said = |applied: Option<u64>| async move {
        let now = Instant::now();
        let applied = applied.map(LogIndex);
        let pulse = Pulse { knows: false, applied, ..hub.pulse(None).await };
        let heard = Heard { last: Some((now, pulse)), asked: Some(now), ..Heard::default() };
        hub.heard.lock().insert(NodeId(2), heard);
        hub.is_removed()
    };
    // It counts once this node has known itself for a while.
    within(async {
        while !said(Some(joined + 1)).await {
            a_moment().await;
        }
    })
    .await;
    for behind in [None, Some(0), Some(joined)] {
        assert!(!said(behind).await, "{behind:?} knows less than this node");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_voter_is_served_no_more_and_the_leader_may_remove_itself() {
    let net = Net::default();
    let members = group(&net, 3).await;
    within(members[0].node.remove(NodeId(3))).await.unwrap();
    assert!(members[0].node.cluster().member(NodeId(3)).is_none());
    // It is told at once, not when its patience is at an end.
    let answer = within(members[2].node.propose(record(1), far())).await;
    let Err(ProposeError::Stopped { why, .. }) = answer else { panic!("{answer:?}") };
    assert!(why.contains("was removed from the cluster"), "{why}");
    let read = within(members[2].node.read_index(far())).await;
    assert!(matches!(read, Err(ReadError::Stopped(_))), "{read:?}");
    assert!(!members[0].has(&record(1)));
    // The leader goes: the other one leads alone.
    within(members[0].node.remove(NodeId(1))).await.unwrap();
    until(|| members[1].node.cluster().member(NodeId(1)).is_none()).await;
    until(|| members[1].node.leader() == Some(NodeId(2))).await;
    assert_eq!(members[1].node.leader(), Some(NodeId(2)));
    within(members[1].propose(record(2))).await.unwrap();
    let last = members[1].node.remove(NodeId(2)).await;
    assert_eq!(last, Err(MembershipError::LastVoter(NodeId(2))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_restored_from_an_old_image_is_refused_and_stops() {
    let net = Net::default();
    let mut members = group(&net, 3).await;
    members[0].propose(record(1)).await.unwrap();
    let dead = members.pop().unwrap();
    // The image is taken, then life goes on.
    dead.reaches(dead.node.read_index(soon()).await.unwrap()).await;
    let (image, views) = (dead.disk.crash(), dead.world.views.flushed());
    let outcome = members[0].propose(record(2)).await.unwrap();
    dead.reaches(outcome.index).await;
    // What it acknowledges counts at once.
    within(async {
        let seen = members[0].node.hub().seen.as_ref().unwrap();
        while seen.of(NodeId(3)).acked.map(|id| id.index) < Some(outcome.index) {
            a_moment().await;
        }
    })
    .await;
    drop(dead.kill(&net));
    let world = super::World { disk: Arc::new(image.clone()), views: super::toy::Views::default() };
    world.views.set_flushed(views);
    let restored = open(&net, 3, &image, world, Way { incarnation: 2, ..JOIN });
    let Stopped::Fatal(why) = within(restored.node.stopped()).await else { panic!() };
    assert!(why.contains("restored"), "{why}");
    // The others go on without it.
    within(members[1].propose(record(3))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_start_of_the_same_node_is_refused() {
    let net = Net::default();
    let mut members = group(&net, 3).await;
    members[0].propose(record(1)).await.unwrap();
    let (disk, world) = members.pop().unwrap().kill(&net);
    let third = open(&net, 3, &disk, world, Way { incarnation: 5, ..JOIN });
    third.reaches(third.node.read_index(soon()).await.unwrap()).await;
    let (disk, world) = third.kill(&net);
    let third = open(&net, 3, &disk, world, Way { incarnation: 4, ..JOIN });
    let Stopped::Fatal(why) = within(third.node.stopped()).await else { panic!() };
    assert!(why.contains("incarnation 5"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_with_another_chain_stops() {
    let net = Net::default();
    let mut members = group(&net, 3).await;
    members[0].propose(record(1)).await.unwrap();
    let last = members[0].log.last().unwrap();
    members[2].reaches(last.index).await;
    net.cut(NodeId(3));
    let (disk, world) = members.pop().unwrap().kill(&net);
    // The next entry has the id that the leader's will have, and other octets.
    let log = world.log();
    let (tell, told) = std::sync::mpsc::channel();
    let id = LogId { term: last.term, index: LogIndex(last.index.0 + 1) };
    let payload = Proposal::new(&record(7)).unwrap().payload().to_vec();
    let entry =
        NewEntry { id, kind: EntryKind::Record, stamp: record(7).stamp, payload: payload.into() };
    log.append(vec![entry], Box::new(move |done| tell.send(done).unwrap())).unwrap();
    told.recv().unwrap().unwrap();
    log.close().unwrap();
    let outcome = members[0].propose(record(2)).await.unwrap();
    assert_eq!(outcome.index, id.index);
    let bad = open(&net, 3, &disk, world, Way { incarnation: 2, ..JOIN });
    net.heal(NodeId(3));
    // Either the greeting or the first append tells; never is anything cut off.
    members[0].propose(record(3)).await.unwrap();
    let told = async {
        loop {
            let trouble = members[0].node.cluster().member(NodeId(3)).unwrap().trouble.clone();
            if trouble.is_some_and(|why| why.contains("chain"))
                || bad.node.status().stopped.is_some()
            {
                return;
            }
            a_moment().await;
        }
    };
    within(told).await;
    assert!(!bad.has(&record(2)) && !bad.has(&record(3)));
    assert_eq!(bad.log.last().map(|last| last.index), Some(id.index));
}

#[tokio::test]
async fn entries_of_another_history_are_never_taken() {
    let net = Net::default();
    let member = fresh(&net, 1, FOUND);
    let outcome = member.propose(record(1)).await.unwrap();
    let hub = member.node.hub();
    let entries = member.log.read(outcome.index..LogIndex(outcome.index.0 + 1), 0).unwrap();
    let term = entries[0].id.term;
    let head = |index: u64, chain| crate::raft::wire::AppendHead {
        vote: crate::raft::wire::VoteBytes::of(&openraft::impls::Vote::new_committed(
            term.0 + 1,
            9,
        )),
        prev: Some(LogId { term, index: LogIndex(index) }),
        prev_chain: chain,
        commit: None,
        entries: Vec::new(),
    };
    let chain = Some(entries[0].chain);
    assert_eq!(hub.check_history(&head(outcome.index.0, chain), &[]), Ok(()));
    let wrong = Some(crate::id::Hash([7; 32]));
    assert!(hub.check_history(&head(outcome.index.0, wrong), &[]).is_err());
    // Another entry in the place of one that is committed.
    let other = crate::raft::wire::Received {
        id: LogId { term: Term(term.0 + 1), index: outcome.index },
        kind: EntryKind::Blank,
        stamp: record(1).stamp,
        chain: crate::id::Hash([7; 32]),
        payload: Bytes::new(),
    };
    assert!(hub.check_history(&head(outcome.index.0 - 1, None), &[other]).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_level_is_raised_only_when_all_support_it() {
    let net = Net::default();
    let members = group(&net, 2).await;
    let old = fresh(&net, 3, Way { level: 1, ..JOIN });
    let hub = members[0].node.hub();
    hub.applied.set_level(1);
    within(members[0].node.add_learner(old.id, "node3:1".to_owned(), false)).await.unwrap();
    let mut raise = record(1);
    raise.change = crate::record::Change::Version(crate::record::Version { apply: 2 });
    let answer = members[0].propose(raise.clone()).await;
    assert_eq!(answer, Err(ProposeError::Level { needed: 2, level: 1 }));
    within(members[0].node.remove(old.id)).await.unwrap();
    within(async {
        while members[0].node.cluster().common_level().is_none() {
            a_moment().await;
        }
    })
    .await;
    members[0].propose(raise).await.unwrap();
    assert_eq!(members[0].node.cluster().level, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_hands_over_first() {
    let net = Net::default();
    let members = group(&net, 3).await;
    within(async {
        while members[0].node.cluster().members.iter().any(|member| member.version.is_none()) {
            a_moment().await;
        }
    })
    .await;
    let term = members[0].node.cluster().term;
    within(members[0].node.shutdown()).await.unwrap();
    let leader = leader_of(&members[1..], Some(NodeId(1))).await + 1;
    within(members[leader].propose(record(1))).await.unwrap();
    assert_eq!(members[leader].node.cluster().term, Term(term.0 + 1), "one election, no other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_clock_no_quorum_agrees_with_proposes_nothing() {
    let net = Net::default();
    let members = group(&net, 3).await;
    let hub = members[0].node.hub();
    within(async {
        while hub.cluster().members.iter().any(|member| member.version.is_none()) {
            a_moment().await;
        }
    })
    .await;
    let off = |nodes: &[u64]| {
        let mut heard = hub.heard.lock();
        for (node, heard) in heard.iter_mut() {
            heard.offset_ms = if nodes.contains(&node.0) { 9000 } else { 0 };
        }
        drop(heard);
        hub.clock_is_off()
    };
    assert_eq!(off(&[2]), None);
    assert_eq!(off(&[2, 3]), Some(-9000));
    let refused = hub.may_propose(&record(1).change, false);
    assert!(matches!(refused, Err(ProposeError::Clock { offset_ms: -9000 })), "{refused:?}");
    assert_eq!(off(&[]), None);
    hub.may_propose(&record(1).change, true).unwrap();
    for full in [NodeId(2), NodeId(3)] {
        hub.may_propose(&record(1).change, true).unwrap();
        hub.heard.lock().get_mut(&full).unwrap().last.as_mut().unwrap().1.growth_allowed = false;
    }
    // One of three may be full, two may not.
    assert_eq!(hub.may_propose(&record(1).change, true), Err(ProposeError::DiskFull));
    assert_eq!(hub.may_propose(&record(1).change, false), Ok(()));
}

struct Echo;

impl Service for Echo {
    fn call(&self, from: NodeId, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let answer = match body.is_empty() {
            true => Err("nothing was said".to_owned()),
            false => Ok([format!("{from}: ").as_bytes(), &body].concat().into()),
        };
        async move { answer }.boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_or_say_why_not() {
    let net = Net::default();
    let members = group(&net, 2).await;
    members[1].node.register(200, Arc::new(Echo));
    let patience = Duration::from_secs(30);
    let call = async |topic, body: &'static [u8]| {
        members[0].node.call(NodeId(2), topic, Bytes::from_static(body), patience).await
    };
    assert_eq!(call(200, b"hello").await.unwrap(), "1: hello");
    let why = "nothing was said".to_owned();
    assert_eq!(call(200, b"").await, Err(CallError::Failed { node: NodeId(2), why }));
    let none = CallError::NoService { node: NodeId(2), topic: 201 };
    assert_eq!(call(201, b"x").await, Err(none));
    let nobody = members[0].node.call(NodeId(7), 200, Bytes::new(), patience).await;
    assert!(matches!(nobody, Err(CallError::Unreachable { .. })), "{nobody:?}");
    let cluster = within(async {
        loop {
            let cluster = members[0].node.cluster();
            if cluster.members.iter().all(|member| member.clock_offset_ms.is_some()) {
                return cluster;
            }
            a_moment().await;
        }
    })
    .await;
    let other = cluster.member(NodeId(2)).unwrap();
    assert_eq!((other.role, other.incarnation), (Role::Voter, Some(1)));
    assert!(other.clock_offset_ms.unwrap().abs() < 2000);
    assert_eq!(other.growth_allowed, Some(true));
}
