//! Two full nodes and a light voter: log and blobs, no views.

use std::path::Path;

use redoubt_tests::cluster::{Cluster, member};

use super::mail::{agree, alice, deliver, deliver_until_taken, set};
use super::purge::{PURGING, deliver_past, forgotten, took_a_checkpoint};

/// Nodes 0 and 1 are full, this one is light.
const LIGHT: usize = 2;

fn two_and_a_light_one(settings: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::with(2, settings);
    alice(&cluster);
    let token = cluster.token(0, &["--light"]);
    let mut node = cluster.joiner(0, &token, &["--light"]);
    node.start_again();
    assert_eq!(cluster.take_in(node), LIGHT);
    cluster
}

fn size(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let each = entries.map(|entry| entry.unwrap());
    each.map(|entry| match entry.path() {
        path if path.is_dir() => size(&path),
        _ => entry.metadata().map_or(0, |metadata| metadata.len()),
    })
    .sum()
}

#[test]
fn it_votes_for_either_full_node_and_never_leads_for_long() {
    let mut cluster = two_and_a_light_one(&[]);
    let mut taken = vec!["before".to_owned()];
    deliver(&cluster, 0, "before");
    for round in 0..2 {
        for gone in 0..2 {
            let live = 1 - gone;
            cluster.caught_up();
            cluster.node_mut(gone).kill();
            let token = format!("{round} without {gone}");
            deliver_until_taken(&cluster, live, &token);
            taken.push(token);
            assert_eq!(cluster.leader(), live, "only a full node leads");
            cluster.node_mut(gone).start_again();
        }
        cluster.node_mut(LIGHT).stop();
        deliver_until_taken(&cluster, 0, &format!("{round} without it"));
        taken.push(format!("{round} without it"));
        cluster.node_mut(LIGHT).start_again();
    }
    agree(&cluster, &[0, 1], &set(&taken));
}

#[test]
fn it_serves_nobody_and_says_so() {
    let cluster = two_and_a_light_one(&[]);
    (0..5).for_each(|n| deliver(&cluster, 0, &format!("mail {n}")));
    for service in ["lmtp", "imap", "imaps", "socketmap"] {
        assert!(cluster.node(0).serves(service), "{service} of a full node");
        assert!(!cluster.node(LIGHT).serves(service), "{service} of a light voter");
    }
    let status = cluster.status(LIGHT).expect("it knows the members");
    let line = member(&status, cluster.id(LIGHT)).unwrap();
    assert_eq!((&line["light"], &line["role"]), (&true.into(), &"voter".into()));
    let table = cluster.node(0).verb(&["cluster", "status"]);
    assert!(table.contains("light voter"), "{table}");
    let (code, said) = cluster.verb(LIGHT, &["account", "list"]);
    assert!(code == 4 || code == 5, "{code}: {said}");
    assert!(said.contains("light voter"), "{said}");
    let id = cluster.id(LIGHT).to_string();
    let (code, said) = cluster.verb(0, &["cluster", "transfer", &id]);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("light voter"), "{said}");
    let shard = cluster.node(LIGHT).data().join("shards/0");
    assert_eq!((size(&shard.join("views")), size(&shard.join("base"))), (0, 0));
    assert!(size(&shard.join("blobs")) > 0 && size(&shard.join("log")) > 0);
}

#[test]
fn it_goes_on_behind_a_purged_log() {
    let mut cluster = two_and_a_light_one(&PURGING);
    // It keeps up, and so keeps nobody from purging.
    let mut taken = deliver_past(&cluster, &[0, 1], 0);
    cluster.caught_up();
    cluster.node_mut(LIGHT).kill();
    let had = forgotten(&cluster, LIGHT);
    taken.extend(deliver_past(&cluster, &[0, 1], had));
    cluster.node_mut(LIGHT).start_again();
    cluster.caught_up();
    assert!(took_a_checkpoint(&cluster, LIGHT), "the log cannot have brought it here");
    // Its vote counts again.
    let gone = cluster.leader();
    cluster.node_mut(gone).kill();
    deliver_until_taken(&cluster, 1 - gone, "with its vote");
    taken.push("with its vote".to_owned());
    cluster.node_mut(gone).start_again();
    agree(&cluster, &[0, 1], &set(&taken));
}
