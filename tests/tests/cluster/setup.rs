//! Set up from nothing, and used through any node.

use redoubt_tests::cluster::{member, members};
use redoubt_tests::imap::Imap;

use super::mail::{ALICE, alice, all_agree, deliver, set, tokens, with_alice};
use redoubt_tests::cluster::Cluster;

#[test]
fn three_nodes_from_nothing_serve_through_any() {
    let cluster = with_alice(3);
    let status = cluster.wait(1, "a cluster of three", |status| {
        let all = members(status);
        all.len() == 3 && all.iter().all(|m| m["level"].is_u64() && m["disk_free_bytes"].is_u64())
    });
    assert_eq!(members(&status).iter().filter(|m| m["role"] == "leader").count(), 1);
    assert_eq!(members(&status).iter().filter(|m| m["role"] == "voter").count(), 2);
    for n in 0..3 {
        let line = member(&status, cluster.id(n)).unwrap();
        assert_eq!(line["address"], cluster.peer_address(n));
        assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(line["light"], false);
    }
    for n in 0..3 {
        deliver(&cluster, n, &format!("through {n}"));
        // What was acknowledged on one is there on every other, at once.
        (0..3).for_each(|other| {
            let token = format!("through {n}");
            assert!(tokens(&cluster, other).contains(&token), "{token} on {other}");
        });
    }
    all_agree(&cluster, &set(["through 0", "through 1", "through 2"]));
}

#[test]
fn verbs_work_on_every_node() {
    let cluster = with_alice(3);
    let follower = cluster.follower();
    cluster.node(follower).account("bob@example.org");
    let bob = |n: usize| cluster.verb(n, &["account", "show", "bob@example.org"]).0;
    assert_eq!((0..3).map(bob).collect::<Vec<_>>(), [0, 0, 0]);
    let table = cluster.node(follower).verb(&["cluster", "status"]);
    for expected in ["leader", "voter", "LAG", &cluster.peer_address(0), "ALARMS"] {
        assert!(table.contains(expected), "{expected} is missing:\n{table}");
    }
    let mut imap = Imap::login(cluster.node(follower).imap(), "bob@example.org").unwrap();
    imap.ok("CREATE Work/2026").unwrap();
    let other = (0..3).find(|n| *n != follower).unwrap();
    let mut elsewhere = Imap::login(cluster.node(other).imap(), "bob@example.org").unwrap();
    elsewhere.ok("SELECT Work/2026").unwrap();
}

#[test]
fn a_cluster_that_was_stopped_as_a_whole_starts_again() {
    let mut cluster = with_alice(3);
    deliver(&cluster, 0, "before");
    (0..3).for_each(|n| cluster.node_mut(n).stop());
    // None is ready alone: they need each other.
    (0..3).for_each(|n| cluster.node_mut(n).start_again());
    cluster.leader();
    deliver(&cluster, 2, "after");
    all_agree(&cluster, &set(["before", "after"]));
}

#[test]
fn a_node_that_was_alone_becomes_a_cluster() {
    let mut cluster = Cluster::of(1);
    alice(&cluster);
    (0..20).for_each(|n| deliver(&cluster, 0, &format!("alone {n}")));
    let mut session = Imap::login(cluster.node(0).imap(), ALICE).unwrap();
    session.ok("SELECT INBOX").unwrap();
    cluster.join(0);
    // The next joins through the one that has just joined.
    let third = cluster.join(1);
    session.ok("NOOP").unwrap();
    assert_eq!(tokens(&cluster, third).len(), 20);
    all_agree(&cluster, &set((0..20).map(|n| format!("alone {n}"))));
}
