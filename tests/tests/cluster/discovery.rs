//! Searches and exports of one node of three: its leader goes, it goes itself, and comes back.

use std::collections::BTreeSet;

use redoubt_tests::cluster::Cluster;
use redoubt_tests::scene::ended;
use serde_json::Value;

use super::mail::{deliver, with_alice};

/// Begins a search or export on a node; its id.
fn begun(cluster: &Cluster, n: usize, arguments: &[&str]) -> String {
    let said = cluster.node(n).verb(&[arguments, &["--background", "--json"]].concat());
    let said: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    said["job"].as_str().unwrap().to_owned()
}

fn is_whole(cluster: &Cluster, n: usize, job: &str) {
    let done = ended(cluster.node(n), job);
    assert_eq!((&done["phase"], &done["found"]), (&"completed".into(), &20.into()), "{done}");
}

#[test]
fn jobs_of_a_follower_outlive_its_leader_and_itself() {
    let mut cluster = with_alice(3);
    (0..20).for_each(|n| deliver(&cluster, n % 3, &format!("token {n}")));
    let (leader, asked) = (cluster.leader(), cluster.follower());
    let out = |name: &str| cluster.home().join(name).display().to_string();
    let (first, second, keys) = (out("first"), out("second"), out("keys.txt"));
    // The leader dies with the search under way.
    let search = begun(&cluster, asked, &["discover", "token", "--all"]);
    cluster.node_mut(leader).kill();
    is_whole(&cluster, asked, &search);
    // Leadership goes on to another while an export is written.
    cluster.node_mut(leader).start_again();
    cluster.caught_up();
    let export = begun(&cluster, asked, &["export", &search, "--format", "eml", "--out", &first]);
    let now = cluster.leader();
    let next = (0..3).find(|n| *n != now && *n != asked).unwrap_or(asked);
    cluster.let_lead(next);
    is_whole(&cluster, asked, &export);
    // The asked node itself dies, and there is no majority when it comes back.
    let export = begun(&cluster, asked, &["export", &search, "--format", "mbox", "--out", &second]);
    cluster.node_mut(asked).kill();
    let others: Vec<usize> = (0..3).filter(|n| *n != asked).collect();
    others.iter().for_each(|n| cluster.node_mut(*n).kill());
    (0..3).for_each(|n| cluster.node_mut(n).start_again());
    is_whole(&cluster, asked, &export);
    // Any other node's keys prove what this one has signed, and none but this one has the jobs.
    let other = others[0];
    cluster.node(other).verb(&["audit", "keys", "--out", &keys]);
    for dir in [&first, &second] {
        let (code, said) = cluster.verb(other, &["verify-export", dir, "--key", &keys]);
        assert_eq!(code, 0, "{said}");
    }
    let (code, said) = cluster.verb(other, &["discover", "show", &search]);
    assert_eq!((code, said.contains("on this node")), (1, true), "{said}");
    let log = cluster.node(other).verb(&["dump"]);
    // Who did not hear whether a record was taken says it again, and it counts once.
    let operations = |kind: &str, job: &str| {
        let about = log.lines().filter(|line| line.contains(kind) && line.contains(job));
        let operations = about.map(|line| line.split(" op ").nth(1).and_then(|op| op.get(..32)));
        operations.map(Option::unwrap).collect::<BTreeSet<_>>()
    };
    assert_eq!(operations(" discovery-begin by ", "").len(), 3);
    assert_eq!(operations(" discovery-end by ", &search).len(), 1);
}
