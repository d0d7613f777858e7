//! Versions side by side: new kinds of records wait until every node knows them.

use redoubt_log::raft::LEVEL;
use redoubt_tests::cluster::{Cluster, member, members};

use super::mail::{alice, all_agree, deliver, deliver_until_taken, set, tokens};

/// What the release after this one would be.
const NEXT: u32 = LEVEL + 1;

fn newer(cluster: &mut Cluster, n: usize) {
    cluster.node_mut(n).serve_with(&["--act-as-level", &NEXT.to_string()]);
}

fn upgrade(cluster: &mut Cluster, n: usize) {
    cluster.node_mut(n).stop();
    newer(cluster, n);
    cluster.node_mut(n).start_again();
}

#[test]
fn a_rolling_upgrade_mixes_versions_and_goes_back_until_it_is_final() {
    let mut cluster = Cluster::of(3);
    alice(&cluster);
    upgrade(&mut cluster, 0);
    deliver_until_taken(&cluster, 0, "mixed");
    let (id, newer) = (cluster.id(1), cluster.id(0));
    cluster.wait(1, "aware of both", |status| {
        let level = |id| member(status, id).and_then(|m| m["level"].as_u64());
        level(id) == Some(u64::from(LEVEL)) && level(newer) == Some(u64::from(NEXT))
    });
    let (code, said) = cluster.verb(1, &["cluster", "finalize", "--yes"]);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("older version") && said.contains("upgrade it first"), "{said}");
    // A downgrade works: nothing of the new level was written.
    cluster.node_mut(0).stop();
    cluster.node_mut(0).serve_with(&[]);
    cluster.node_mut(0).start_again();
    deliver_until_taken(&cluster, 0, "gone back");
    (0..3).for_each(|n| upgrade(&mut cluster, n));
    let leader = cluster.leader();
    cluster.wait(leader, "ready to be finalized", |status| status["next_level"] == NEXT);
    let (code, plan) = cluster.verb(leader, &["cluster", "finalize"]);
    assert_eq!(code, 6, "{plan}");
    assert!(plan.contains("no way back"), "{plan}");
    let said = cluster.node(leader).verb(&["cluster", "finalize", "--yes"]);
    assert!(said.contains(&format!("at level {NEXT}")), "{said}");
    all_agree(&cluster, &set(["mixed", "gone back"]));
    too_old(&mut cluster);
}

/// From then on the version before is refused, and is told what to do.
fn too_old(cluster: &mut Cluster) {
    cluster.node_mut(1).stop();
    cluster.node_mut(1).serve_with(&[]);
    cluster.node_mut(1).begin();
    let (code, said) = cluster.node_mut(1).ended();
    assert_eq!(code, 1, "{said}");
    let level = format!("level {NEXT}");
    assert!(said.contains(&level) && said.contains("run the newer version"), "{said}");
    newer(cluster, 1);
    cluster.node_mut(1).start_again();
    let token = cluster.token(0, &[]);
    let mut joiner = cluster.joiner(0, &token, &[]);
    joiner.begin();
    let (code, said) = joiner.ended();
    assert_eq!(code, 5, "{said}");
    assert!(said.contains(&format!("at {level}")) && said.contains("install"), "{said}");
    assert_eq!(members(&cluster.status(0).unwrap()).len(), 3);
}

#[test]
fn a_node_of_the_release_before_is_upgraded_and_its_cluster_waits_for_finalize() {
    let mut cluster = Cluster::of(0);
    cluster.found(&["--act-as-level", "1"]);
    alice(&cluster);
    deliver(&cluster, 0, "old");
    cluster.node_mut(0).stop();
    cluster.node_mut(0).serve_with(&[]);
    cluster.node_mut(0).start_again();
    assert_eq!(cluster.status(0).unwrap()["level"], 1);
    let (code, said) = cluster.verb(0, &["cluster", "token"]);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("redoubt cluster finalize"), "{said}");
    // Back to the release before, and on again.
    for level in [1, LEVEL] {
        cluster.node_mut(0).stop();
        cluster.node_mut(0).serve_with(&["--act-as-level", &level.to_string()]);
        cluster.node_mut(0).start_again();
        assert_eq!(tokens(&cluster, 0), set(["old"]));
    }
    cluster.node(0).verb(&["cluster", "finalize", "--yes"]);
    cluster.join(0);
    all_agree(&cluster, &set(["old"]));
}
