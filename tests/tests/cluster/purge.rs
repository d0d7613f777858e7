//! The log is purged behind checkpoints: who was away for too long, and who is new,
//! gets a checkpoint instead of it.

use redoubt_tests::cluster::{Cluster, PATIENCE, member, until};
use redoubt_tests::lmtp::Lmtp;
use redoubt_tests::messages::message;

use super::mail::{ALICE, alice, all_agree, set};

/// Checkpoints come often, and nobody who is silent keeps the log.
pub(crate) const PURGING: [(&str, &str); 3] = [
    ("REDOUBT_STORE_KEEP_LOG", "checkpoint"),
    ("REDOUBT_STORE_KEEP_LOG_HOURS", "0"),
    ("REDOUBT_STORE_CHECKPOINT_RECORDS", "12"),
];

/// How far the log of a node is known to be purged.
fn purged(cluster: &Cluster, n: usize) -> u64 {
    let log = std::fs::read_to_string(cluster.node(n).log_file()).unwrap();
    let purges = log.lines().filter(|line| line.contains("the log is purged up to a checkpoint"));
    let upto = purges.filter_map(|line| line.rsplit_once("upto=")?.1.trim().parse().ok());
    upto.max().unwrap_or(0)
}

/// Whether a node went on from a checkpoint of another.
pub(crate) fn took_a_checkpoint(cluster: &Cluster, n: usize) -> bool {
    let log = std::fs::read_to_string(cluster.node(n).log_file()).unwrap();
    log.contains("fetching a snapshot")
}

/// Waits until a node was silent for so long that it keeps no log any more; the last entry
/// that it has.
pub(crate) fn forgotten(cluster: &Cluster, n: usize) -> u64 {
    let (id, running) = (cluster.id(n), cluster.leader());
    let status = cluster.wait(running, "without it for long", |status| {
        let seconds = member(status, id).and_then(|m| m["last_contact_seconds"].as_f64());
        seconds.is_some_and(|seconds| seconds > 10.0)
    });
    member(&status, id).unwrap()["matched"].as_u64().unwrap()
}

/// Delivers until every node that runs has purged its log past an entry; what was delivered.
pub(crate) fn deliver_past(cluster: &Cluster, nodes: &[usize], entry: u64) -> Vec<String> {
    let mut lmtp = Lmtp::connect(cluster.node(cluster.leader()).lmtp()).unwrap();
    let mut taken = Vec::new();
    let far = until(PATIENCE, || {
        let token = format!("past {entry} {}", taken.len());
        let answers = lmtp.deliver("s@example.net", &[ALICE], &message(&token, 3000)).unwrap();
        assert_eq!(answers[0].code, 250, "{token}: {}", answers[0].text);
        taken.push(token);
        nodes.iter().all(|n| purged(cluster, *n) > entry).then_some(())
    });
    assert!(far.is_some(), "not purged past {entry} after {} deliveries", taken.len());
    taken
}

#[test]
fn who_was_away_for_too_long_or_is_new_goes_on_from_a_checkpoint() {
    let mut cluster = Cluster::with(3, &PURGING);
    alice(&cluster);
    let leader = cluster.leader();
    let away = cluster.follower();
    let other = 3 - leader - away;
    let mut taken = deliver_past(&cluster, &[leader], 0);
    cluster.caught_up();
    cluster.node_mut(away).kill();
    let had = forgotten(&cluster, away);
    taken.extend(deliver_past(&cluster, &[leader, other], had));
    cluster.node_mut(away).start_again();
    all_agree(&cluster, &set(&taken));
    assert!(took_a_checkpoint(&cluster, away), "the log cannot have brought it here");
    let new = cluster.join(other);
    assert!(took_a_checkpoint(&cluster, new), "the log cannot have brought it here");
    // Both are as good as any: the others may go.
    cluster.node_mut(leader).stop();
    let left = cluster.leader();
    taken.extend(deliver_past(&cluster, &[left], 0));
    cluster.node_mut(leader).start_again();
    all_agree(&cluster, &set(&taken));
}
