//! The admin API on a follower, and what balancers ask, while nobody leads.

use std::process::Command;
use std::time::{Duration, Instant};

use redoubt_tests::cluster::{Cluster, PATIENCE, until};

use super::mail::{alice, with_alice};

pub(crate) const WAIT: (&str, &str) = ("REDOUBT_LIMITS_LEADER_WAIT_SECONDS", "3");
/// What comes on top of the bound on a busy machine.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

fn get(cluster: &Cluster, n: usize, path: &str) -> (String, String) {
    let url = format!("https://{}{path}", cluster.node(n).address("admin_https"));
    let arguments = ["-sk", "--noproxy", "*", "--max-time", "30", "-w", "\n%{http_code}", &url];
    let output = Command::new("curl").args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, code) = text.rsplit_once('\n').unwrap();
    (code.to_owned(), body.to_owned())
}

fn code(cluster: &Cluster, n: usize, path: &str) -> String {
    get(cluster, n, path).0
}

/// Calls that come in while there is no leader wait for the next one, and are done once.
#[test]
fn calls_on_a_follower_wait_for_the_next_leader() {
    let mut cluster = with_alice(3);
    for round in 0..2 {
        let leader = cluster.leader();
        let follower = cluster.follower();
        cluster.node_mut(leader).kill();
        let name = format!("user{round}@example.org");
        cluster.node(follower).account(&name);
        let shown = cluster.node(follower).verb(&["account", "show", &name]);
        assert!(shown.contains(&format!("user{round}")), "{shown}");
        let token = cluster.node(follower).verb(&["cluster", "token"]);
        assert!(token.starts_with("redoubt-join-"), "{token}");
        let message = b"Subject: during\r\n\r\nan election\r\n";
        let deliver = ["deliver", "--to", &name, "-"];
        let taken = cluster.node(follower).run_with_input(&deliver, message);
        assert!(taken.status.success(), "{taken:?}");
        let ready =
            until(PATIENCE, || (code(&cluster, follower, "/readyz") == "200").then_some(()));
        assert!(ready.is_some());
        cluster.node_mut(leader).start_again();
        cluster.caught_up();
        let list = cluster.node(leader).verb(&["account", "list"]);
        assert_eq!(list.matches(&name).count(), 1, "{list}");
    }
}

#[test]
fn without_a_majority_calls_fail_in_their_time_and_monitoring_answers() {
    let mut cluster = Cluster::with(3, &[WAIT]);
    alice(&cluster);
    cluster.caught_up();
    let stays = cluster.follower();
    assert_eq!(code(&cluster, stays, "/readyz"), "200");
    (0..3).filter(|n| *n != stays).for_each(|n| cluster.node_mut(n).kill());
    for verb in [
        &["account", "list"][..],
        &["account", "add", "bob@example.org"],
        &["domain", "add", "example.net"],
        &["cluster", "token"],
    ] {
        let began = Instant::now();
        let (exit, said) = cluster.verb(stays, verb);
        assert_eq!(exit, 4, "{verb:?}: {said}");
        assert!(began.elapsed() < BOUND, "{verb:?} took {:?}", began.elapsed());
    }
    let began = Instant::now();
    assert_eq!(code(&cluster, stays, "/livez"), "200");
    let (ready, why) = get(&cluster, stays, "/readyz");
    assert!(ready == "503" && !why.is_empty(), "{ready} {why}");
    let (status, metrics) = get(&cluster, stays, "/metrics");
    assert!(status == "200", "{status}");
    for line in
        ["redoubt_cluster_is_leader 0", "redoubt_cluster_leader -1", "redoubt_cluster_voters 3"]
    {
        assert!(
            metrics.lines().any(|there| there == line || there == format!("{line}.0")),
            "{line}: {metrics}"
        );
    }
    assert_eq!(cluster.verb(stays, &["status"]).0, 0);
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    (0..3).filter(|n| *n != stays).for_each(|n| cluster.node_mut(n).start_again());
    let added = until(PATIENCE, || {
        (cluster.verb(stays, &["domain", "add", "example.net", "--if-missing"]).0 == 0)
            .then_some(())
    });
    assert!(added.is_some());
}
