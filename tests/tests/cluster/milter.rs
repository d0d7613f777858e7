//! Mail that is sent is shown to the milter of any node: it is captured once, or not sent.

use std::time::Instant;

use redoubt_tests::cluster::{Cluster, PATIENCE, until};
use redoubt_tests::milter::{Verdict, show};

use super::http::{BOUND, WAIT};
use super::mail::{ALICE, alice, set, tokens_of};

const ARCHIVE: &str = "archive@example.org";
const TO: [&str; 2] = ["bob@example.net", "secret@example.net"];

fn sent(cluster: &Cluster, n: usize, subject: &str) -> Verdict {
    let shown = show(cluster.node(n).address("milter"), ALICE, &TO, subject);
    shown.unwrap_or_else(|error| panic!("node {n} answers nothing to {subject}: {error}"))
}

fn sent_until_taken(cluster: &Cluster, n: usize, subject: &str) {
    let taken = until(PATIENCE, || match sent(cluster, n, subject) {
        Verdict::Accepted => Some(()),
        other => {
            assert!(other.is_temporary(), "{other:?}");
            None
        }
    });
    assert!(taken.is_some(), "{subject} was not taken through node {n}");
}

#[test]
fn what_is_sent_is_captured_through_any_node_or_put_off() {
    let mut cluster = Cluster::with(3, &[WAIT, ("REDOUBT_LISTEN_MILTER", "127.0.0.1:0")]);
    alice(&cluster);
    let add = ["account", "add", ARCHIVE, "--archive", "--password-stdin"];
    assert!(cluster.node(0).run_with_input(&add, b"secret\n").status.success());
    cluster.node(0).verb(&["capture", "rule", "add", "--account", ALICE, "--into", ARCHIVE]);
    cluster.caught_up();
    for n in 0..3 {
        assert_eq!(sent(&cluster, n, &format!("node {n}")), Verdict::Accepted);
    }
    // The leader dies: who asks meanwhile waits for the next one, or is told to come again.
    let leader = cluster.leader();
    let stays = cluster.follower();
    cluster.node_mut(leader).kill();
    sent_until_taken(&cluster, stays, "during an election");
    // No majority: nothing is sent, and the answer comes in its time.
    let other = (0..3).find(|n| *n != leader && *n != stays).unwrap();
    cluster.node_mut(other).kill();
    let began = Instant::now();
    let refused = sent(&cluster, stays, "without a majority");
    assert!(refused.is_temporary(), "{refused:?}");
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    for n in [leader, other] {
        cluster.node_mut(n).start_again();
    }
    sent_until_taken(&cluster, stays, "without a majority");
    cluster.caught_up();
    let all = set(["node 0", "node 1", "node 2", "during an election", "without a majority"]);
    for n in 0..3 {
        assert_eq!(tokens_of(&cluster, n, ARCHIVE), all, "node {n}");
    }
}
