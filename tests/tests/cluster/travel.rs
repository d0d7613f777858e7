//! The past is the same on every node, also when the one that led is gone.

use redoubt_tests::cluster::Cluster;
use redoubt_tests::imap::Imap;
use serde_json::Value;

use super::mail::{ALICE, deliver, with_alice};

/// What a node has applied.
fn applied(cluster: &Cluster, n: usize) -> u64 {
    let status: Value = serde_json::from_str(&cluster.node(n).verb(&["status", "--json"])).unwrap();
    status["store"]["applied"].as_u64().unwrap()
}

/// What each verb that looks back says on a node.
fn told(cluster: &Cluster, n: usize, email: &str, at: &str, until: &str) -> Vec<String> {
    let inbox = format!("{ALICE}/INBOX");
    let asked: [&[&str]; 7] = [
        &["ls", ALICE, "--at", at],
        &["ls", &inbox, "--at", at],
        &["ls", &inbox, "--at", until],
        &["find", ALICE, "number", "--at", at],
        &["show", ALICE, email, "--at", at],
        &["history", ALICE, email, "--to", until],
        &["diff", ALICE, at, until],
    ];
    let said = |verb: &&[&str]| {
        let said = cluster.node(n).verb(&[verb, &["--json"][..]].concat());
        assert!(!said.trim().is_empty(), "node {n} says nothing to {verb:?}");
        said
    };
    asked.iter().map(said).collect()
}

#[test]
fn the_past_is_the_same_on_every_node_and_after_a_failover() {
    let mut cluster = with_alice(3);
    (0..3).for_each(|n| deliver(&cluster, n, &format!("number {n}")));
    let leader = cluster.leader();
    let at = format!("@{}", applied(&cluster, leader));
    let listed = cluster.node(leader).verb(&["ls", &format!("{ALICE}/INBOX"), "--json"]);
    let first: Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    let email = first["email_id"].as_str().unwrap().to_owned();
    let mut imap = Imap::login(cluster.node(cluster.follower()).imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("UID STORE 2 +FLAGS (\\Flagged)").unwrap();
    imap.ok("UID MOVE 1 Archive").unwrap();
    imap.ok("UID STORE 3 +FLAGS (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();
    drop(imap);
    let until = format!("@{}", applied(&cluster, cluster.leader()));
    let expected = told(&cluster, leader, &email, &at, &until);
    assert_eq!(expected[1].lines().count(), 3, "{}", expected[1]);
    assert_eq!(expected[2].lines().count(), 1, "{}", expected[2]);
    for n in (0..3).filter(|n| *n != leader) {
        assert_eq!(told(&cluster, n, &email, &at, &until), expected, "node {n}");
    }
    cluster.node_mut(leader).kill();
    for n in cluster.running().collect::<Vec<_>>() {
        assert_eq!(told(&cluster, n, &email, &at, &until), expected, "node {n}");
        let name = format!("#history/{at}/INBOX");
        let mut imap = Imap::login(cluster.node(n).imap(), ALICE).unwrap();
        let said = imap.ok(&format!("SELECT {name}")).unwrap();
        assert!(said.untagged.iter().any(|line| line == b"3 EXISTS"), "node {n}: {said:?}");
    }
}
