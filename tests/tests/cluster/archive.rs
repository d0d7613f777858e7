//! One repository for three nodes: whoever feeds it may die, several may feed it at once, and
//! what is recovered is the cluster's state.

use redoubt_tests::cluster::{Cluster, PATIENCE, until};
use redoubt_tests::imap::Imap;
use redoubt_tests::process::Redoubt;
use serde_json::Value;

use super::mail::{ALICE, agree, alice, deliver, deliver_until_taken, set, state_hash, subjects};

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_default()
}

fn archive(cluster: &Cluster, n: usize) -> Value {
    json(&cluster.node(n).run(&["archive", "status", "--json"]).stdout)
}

/// The node that feeds the repository, once it has all that is applied there.
fn feeder(cluster: &Cluster) -> usize {
    let found = until(PATIENCE, || {
        cluster.running().find(|n| {
            let status = json(&cluster.node(*n).run(&["status", "--json"]).stdout);
            let archive = archive(cluster, *n);
            let all = archive["index"].as_u64() >= status["store"]["applied"].as_u64();
            archive["state"] == "feeding" && all
        })
    });
    found.expect("somebody feeds the repository")
}

/// Sound to the last octet.
fn verifies(cluster: &Cluster, n: usize) {
    let (code, said) = cluster.verb(n, &["backup", "verify", "--level", "data"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn whoever_feeds_the_repository_may_die() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).display().to_string();
    let mut cluster = Cluster::with(
        3,
        &[
            ("REDOUBT_BACKUP_REPOSITORY", &path("repository")),
            ("REDOUBT_BACKUP_KEY_FILE", "none"),
            ("REDOUBT_BACKUP_INTERVAL_MS", "20"),
        ],
    );
    alice(&cluster);
    let through = cluster.leader();
    deliver(&cluster, through, "first");
    let first = feeder(&cluster);
    assert_ne!(first, cluster.leader(), "a follower does it");
    cluster.node_mut(first).kill();
    deliver_until_taken(&cluster, through, "second");
    let second = feeder(&cluster);
    assert_ne!(second, first);
    // The leader goes next; then all three feed at once.
    cluster.node_mut(first).set("REDOUBT_BACKUP_FEEDER", "any");
    cluster.node_mut(first).start_again();
    let leader = cluster.leader();
    cluster.node_mut(leader).kill();
    let through = (0..3).find(|n| *n != leader).unwrap();
    deliver_until_taken(&cluster, through, "third");
    for n in 0..3 {
        cluster.node_mut(n).set("REDOUBT_BACKUP_FEEDER", "any");
        if n == leader {
            cluster.node_mut(n).start_again();
        }
    }
    let other = (0..3).find(|n| *n != leader && *n != first).unwrap();
    cluster.node_mut(other).kill();
    cluster.node_mut(other).start_again();
    let mut expected = set(["first", "second", "third"]);
    for n in 0..9 {
        let token = format!("together{n}");
        deliver_until_taken(&cluster, n % 3, &token);
        expected.insert(token);
    }
    agree(&cluster, &[0, 1, 2], &expected);
    let caught_up =
        until(PATIENCE, || (0..3).all(|n| archive(&cluster, n)["lag_records"] == 0).then_some(()));
    assert!(caught_up.is_some(), "all three have nothing left to archive");
    verifies(&cluster, other);
    let (index, hash) = state_hash(&cluster, other);
    let recovered = cluster.node(other).verb(&[
        "recover",
        "--at",
        &format!("@{index}"),
        "--into",
        &path("new"),
        "--yes",
        "--json",
    ]);
    assert_eq!(json(recovered.as_bytes())["state_hash"], hash);
    (0..3).for_each(|n| cluster.node_mut(n).kill());
    let new = Redoubt::start(&home.path().join("new"));
    assert_eq!(subjects(&mut Imap::login(new.imap(), ALICE).unwrap()), expected);
}
