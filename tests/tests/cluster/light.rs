//! Two full nodes and a light voter: log and blobs, no views.

use std::path::Path;

use redoubt_tests::cluster::{Cluster, PATIENCE, member, until};
use redoubt_tests::traces::Traces;
use serde_json::Value;

use super::mail::{ALICE, agree, alice, deliver, deliver_until_taken, set};
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

/// It keeps no views, and the packs all the same: what is erased goes out of them, and a full
/// node says so for it.
#[test]
fn what_is_erased_goes_from_its_packs() {
    const TOKEN: &str = "quincemarmoset4471";
    let mut cluster = two_and_a_light_one(&[]);
    deliver(&cluster, 0, TOKEN);
    deliver(&cluster, 0, "another");
    cluster.caught_up();
    let data = cluster.node(LIGHT).data().to_owned();
    let held = Traces::of(&data, false).having(TOKEN).len();
    assert!(held > 0, "it has what was delivered");
    let wish = ["erase", "begin", ALICE, TOKEN, "--reason", "x", "--yes", "--json"];
    let begun: Value = serde_json::from_str(cluster.node(0).verb(&wish).trim()).unwrap();
    let erasure = begun["erasure"].as_str().unwrap().to_owned();
    let mut last = Value::Null;
    let complete = until(2 * PATIENCE, || {
        let said = cluster.node(0).run(&["erase", "show", &erasure, "--json"]).stdout;
        last = serde_json::from_slice(&said).unwrap_or_default();
        (last["complete"] == true).then_some(())
    });
    assert!(complete.is_some(), "{last}");
    assert_eq!(last["nodes"].as_array().unwrap().len(), 3);
    let held = Traces::of(&data, false);
    assert!(held.having(TOKEN).is_empty(), "{:?}", held.having(TOKEN));
    assert!(!held.having("another").is_empty());
    // What it applies again names what is not here any more.
    cluster.node_mut(LIGHT).kill();
    cluster.node_mut(LIGHT).start_again();
    cluster.caught_up();
    deliver(&cluster, 0, "afterwards");
    cluster.caught_up();
}
