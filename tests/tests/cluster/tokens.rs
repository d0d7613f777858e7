//! Who may join, and who may not.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use redoubt_tests::cluster::{Cluster, PATIENCE, members, until};

use super::mail::{deliver, set, tokens, with_alice};

/// Starts a joiner that must give up with this code; what it said.
fn refused(cluster: &mut Cluster, token: &str, serve: &[&str], code: i32) -> String {
    let mut node = cluster.joiner(0, token, serve);
    node.begin();
    let (found, log) = node.ended();
    assert_eq!(found, code, "{log}");
    log
}

/// A token that is good for a second, when that is over.
fn expired(cluster: &Cluster) -> String {
    let made = cluster.token(0, &["--valid", "1s", "--json"]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let expires = u128::try_from(made["expires"].as_i64().unwrap()).unwrap();
    let over = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        (now > expires).then_some(())
    };
    assert_eq!(until(PATIENCE, over), Some(()));
    made["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_is_good_once_for_its_time_and_its_kind() {
    let mut cluster = Cluster::of(1);
    let used = cluster.token(0, &[]);
    let mut node = cluster.joiner(0, &used, &[]);
    node.start_again();
    cluster.take_in(node);
    let said = refused(&mut cluster, &used, &[], 5);
    assert!(said.contains("has been used"), "{said}");
    let late = expired(&cluster);
    let said = refused(&mut cluster, &late, &[], 5);
    assert!(said.contains("has expired"), "{said}");
    let light = cluster.token(0, &["--light"]);
    let said = refused(&mut cluster, &light, &[], 5);
    assert!(said.contains("light voter only"), "{said}");
    let full = cluster.token(1, &[]);
    let said = refused(&mut cluster, &full, &["--light"], 5);
    assert!(said.contains("full node only"), "{said}");
    let cut = full.get(..full.len() - 3).unwrap().to_owned();
    let said = refused(&mut cluster, &cut, &[], 2);
    assert!(said.contains("no join token"), "{said}");
    assert_eq!(members(&cluster.status(0).unwrap()).len(), 2, "nobody else came in");
}

#[test]
fn a_token_leads_to_its_own_cluster_only() {
    let mut cluster = Cluster::of(1);
    let other = Cluster::of(1);
    let token = other.token(0, &[]);
    let said = refused(&mut cluster, &token, &[], 5);
    assert!(said.contains("not of the cluster that the token is for"), "{said}");
    // A directory that holds something is never joined with.
    let token = cluster.token(0, &[]);
    let mut node = cluster.joiner(0, &token, &[]);
    let founded = std::fs::create_dir_all(node.data().join("shards/0/log"));
    founded.unwrap();
    std::fs::write(node.data().join("node.toml"), node_file()).unwrap();
    node.begin();
    let (code, said) = node.ended();
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("a store of its own"), "{said}");
}

fn node_file() -> &'static str {
    "node = 1\nlineage = \"00112233445566778899aabbccddeeff\"\n"
}

/// A joiner is killed again and again at any moment, and the member that it asks
/// once: what comes of it is one node with one id.
#[test]
fn a_join_goes_on_after_any_crash() {
    let mut cluster = with_alice(1);
    (0..30).for_each(|n| deliver(&cluster, 0, &format!("mail {n}")));
    let token = cluster.token(0, &[]);
    let mut node = cluster.joiner(0, &token, &[]);
    for millis in [30, 60, 120, 200, 300, 450] {
        node.start_and_kill(std::time::Duration::from_millis(millis));
    }
    cluster.node_mut(0).kill();
    node.begin();
    cluster.node_mut(0).start_again();
    // Whether it had begun with the join or not: the same command goes on.
    node.kill();
    node.start_again();
    let joined = cluster.take_in(node);
    assert_eq!(members(&cluster.status(joined).unwrap()).len(), 2);
    assert_eq!(cluster.id(joined), 2, "one id was given, once");
    assert_eq!(tokens(&cluster, joined), set((0..30).map(|n| format!("mail {n}"))));
    // From now on it just starts, and the old arguments do no harm.
    cluster.node_mut(joined).stop();
    cluster.node_mut(joined).serve_with(&[]);
    cluster.node_mut(joined).start_again();
    cluster.caught_up();
}

/// Its key is not the cluster's any more: nobody speaks with it, and it is said why.
#[test]
fn a_node_with_another_authority_is_refused() {
    let mut cluster = with_alice(3);
    let other = Cluster::of(1);
    let odd = cluster.follower();
    cluster.node_mut(odd).stop();
    for file in ["tls/peer-ca.pem", "keys/peer-ca.key"] {
        copy(other.node(0).data(), cluster.node(odd).data(), file);
    }
    cluster.node_mut(odd).begin();
    let log = |n: usize| std::fs::read_to_string(cluster.node(n).log_file()).unwrap();
    let said = until(PATIENCE, || {
        let known = (0..3).any(|n| log(n).contains("not from this cluster's authority"));
        known.then_some(())
    });
    assert!(said.is_some(), "nobody says why");
    let leader = (0..3).find(|n| *n != odd).unwrap();
    let gone = cluster.id(odd);
    cluster.wait(leader, "aware of its trouble", |status| {
        let line = redoubt_tests::cluster::member(status, gone);
        line.is_some_and(|line| line["trouble"].is_string())
    });
    deliver(&cluster, leader, "two are enough");
}

fn copy(from: &Path, to: &Path, file: &str) {
    std::fs::copy(from.join(file), to.join(file)).unwrap();
}
