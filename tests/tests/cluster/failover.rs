//! The leader dies, hangs, or hands over.

use std::sync::atomic::{AtomicBool, Ordering};

use redoubt_tests::cluster::{Cluster, PATIENCE, member, until};
use redoubt_tests::imap::Imap;
use redoubt_tests::lmtp::Lmtp;
use redoubt_tests::messages::message;

use super::mail::{ALICE, all_agree, deliver, deliver_until_taken, set, subjects, with_alice};

#[test]
fn the_leader_is_killed_and_the_others_go_on() {
    let mut cluster = with_alice(3);
    deliver(&cluster, 0, "before");
    let leader = cluster.leader();
    let other = cluster.follower();
    let mut session = Imap::login(cluster.node(other).imap(), ALICE).unwrap();
    session.ok("EXAMINE INBOX").unwrap();
    cluster.node_mut(leader).kill();
    deliver_until_taken(&cluster, other, "during");
    // The session on a node that lives never noticed.
    assert_eq!(subjects(&mut session), set(["before", "during"]));
    assert_ne!(cluster.leader(), leader);
    cluster.node_mut(leader).start_again();
    deliver_until_taken(&cluster, leader, "after");
    all_agree(&cluster, &set(["before", "during", "after"]));
}

#[test]
fn a_leader_that_was_paused_serves_nothing_old() {
    let mut cluster = with_alice(3);
    let leader = cluster.leader();
    let other = cluster.follower();
    let mut session = Imap::login(cluster.node(leader).imap(), ALICE).unwrap();
    session.ok("EXAMINE INBOX").unwrap();
    cluster.node_mut(leader).pause();
    deliver_until_taken(&cluster, other, "while it slept");
    cluster.node_mut(leader).resume();
    assert_eq!(subjects(&mut session), set(["while it slept"]), "read after it was acknowledged");
    all_agree(&cluster, &set(["while it slept"]));
}

/// Delivers without a pause until it is told to stop; what was acknowledged.
/// One connection for all: a transfer must not cost it.
fn load(cluster: &Cluster, n: usize, stop: &AtomicBool) -> Vec<String> {
    let mut lmtp = Lmtp::connect(cluster.node(n).lmtp()).unwrap();
    let mut taken = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let token = format!("load {n} {}", taken.len());
        let answers = lmtp.deliver("s@example.net", &[ALICE], &message(&token, 1000)).unwrap();
        assert_eq!(answers[0].code, 250, "{token}: {}", answers[0].text);
        taken.push(token);
    }
    taken
}

#[test]
fn a_transfer_under_load_drops_no_session_and_loses_nothing() {
    let cluster = with_alice(3);
    let mut sessions: Vec<Imap> = (0..3)
        .map(|n| {
            let mut session = Imap::login(cluster.node(n).imap(), ALICE).unwrap();
            session.ok("SELECT INBOX").unwrap();
            session
        })
        .collect();
    let stop = AtomicBool::new(false);
    let taken = std::thread::scope(|scope| {
        let loads: Vec<_> = (0..3)
            .map(|n| {
                scope.spawn({
                    let (cluster, stop) = (&cluster, &stop);
                    move || load(cluster, n, stop)
                })
            })
            .collect();
        for _ in 0..3 {
            let leader = cluster.leader();
            let to = (leader + 1) % 3;
            let id = cluster.id(to).to_string();
            let said = cluster.node(leader).verb(&["cluster", "transfer", &id]);
            assert!(said.contains(&format!("node {id} leads")), "{said}");
            assert_eq!(cluster.leader(), to);
        }
        stop.store(true, Ordering::Relaxed);
        let done = loads.into_iter().map(|load| load.join().unwrap());
        done.flatten().collect::<Vec<String>>()
    });
    sessions.iter_mut().for_each(|session| drop(session.ok("NOOP").unwrap()));
    assert!(taken.len() > 20, "only {} deliveries", taken.len());
    all_agree(&cluster, &set(taken));
}

#[test]
fn a_transfer_goes_where_it_can_and_says_why_not() {
    let mut cluster = with_alice(3);
    let leader = cluster.leader();
    let follower = cluster.follower();
    let third = 3 - leader - follower;
    // From any node, to any other.
    let id = cluster.id(follower).to_string();
    cluster.node(third).verb(&["cluster", "transfer", &id]);
    assert_eq!(cluster.leader(), follower);
    let said = cluster.verb(follower, &["cluster", "transfer", "99"]);
    assert_eq!(said.0, 1, "{}", said.1);
    cluster.node_mut(third).kill();
    let gone = cluster.id(third);
    cluster.wait(follower, "aware that one is gone", |status| {
        let seconds = member(status, gone).and_then(|m| m["last_contact_seconds"].as_f64());
        seconds.is_none_or(|seconds| seconds > 3.0)
    });
    let said = cluster.verb(follower, &["cluster", "transfer", &gone.to_string()]);
    assert_eq!(said.0, 5, "{}", said.1);
    assert!(said.1.contains("not heard"), "{}", said.1);
    cluster.node_mut(third).start_again();
    // Without a name the one that is furthest; and who is asked twice does nothing.
    cluster.node(leader).verb(&["cluster", "transfer"]);
    assert_ne!(cluster.leader(), follower);
}

#[test]
fn without_a_majority_nothing_is_taken_and_it_says_so() {
    let mut cluster = with_alice(3);
    deliver(&cluster, 0, "before");
    let leader = cluster.leader();
    (0..3).filter(|n| *n != leader).for_each(|n| cluster.node_mut(n).kill());
    let none = until(PATIENCE, || {
        let status = cluster.status(leader)?;
        status["leader"].is_null().then_some(())
    });
    assert!(none.is_some(), "it still believes that it leads");
    let (code, table) = cluster.verb(leader, &["cluster", "status"]);
    assert_eq!(code, 3, "{table}");
    assert!(table.contains("nobody leads"), "{table}");
    let (code, said) = cluster.verb(leader, &["cluster", "finalize", "--yes"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("a majority of the voters must run"), "{said}");
    (0..3).filter(|n| *n != leader).for_each(|n| cluster.node_mut(n).start_again());
    deliver_until_taken(&cluster, leader, "after");
    all_agree(&cluster, &set(["before", "after"]));
}
