//! Nodes are replaced, removed, moved.

use redoubt_tests::cluster::{Cluster, free_port, member, members};

use super::mail::{all_agree, deliver, deliver_until_taken, set, tokens, with_alice};

#[test]
fn a_dead_node_is_replaced() {
    let mut cluster = with_alice(3);
    deliver(&cluster, 0, "before");
    let dead = cluster.leader();
    cluster.node_mut(dead).kill();
    let live = (0..3).find(|n| *n != dead).unwrap();
    deliver_until_taken(&cluster, live, "two left");
    let id = cluster.id(dead).to_string();
    // Without --yes it only says what it would do.
    let (code, plan) = cluster.verb(live, &["cluster", "remove", &id]);
    assert_eq!(code, 6, "{plan}");
    assert!(plan.contains("2 voters stay") && plan.contains("--yes"), "{plan}");
    cluster.node(live).verb(&["cluster", "remove", &id, "--yes"]);
    // Should it come up after all, it learns that it is none any more.
    cluster.node_mut(dead).begin();
    let (code, said) = cluster.node_mut(dead).ended();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("was removed from the cluster"), "{said}");
    let new = cluster.join(live);
    assert_eq!(cluster.id(new), 4, "an id is used once");
    let status = cluster.wait(new, "three again", |status| members(status).len() == 3);
    assert_eq!(member(&status, cluster.id(dead)), None);
    assert_eq!(tokens(&cluster, new), set(["before", "two left"]));
    all_agree(&cluster, &set(["before", "two left"]));
}

#[test]
fn a_wiped_node_never_comes_back_under_its_old_id() {
    let mut cluster = with_alice(3);
    deliver(&cluster, 0, "kept");
    let wiped = (1..3).find(|n| *n != cluster.leader()).unwrap();
    cluster.node_mut(wiped).kill();
    let shards = cluster.node(wiped).data().join("shards");
    std::fs::remove_dir_all(shards).unwrap();
    cluster.node_mut(wiped).begin();
    let (code, said) = cluster.node_mut(wiped).ended();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("its log is gone") && said.contains("cluster remove"), "{said}");
    // As it says: removed, emptied, joined anew.
    let id = cluster.id(wiped).to_string();
    cluster.node(0).verb(&["cluster", "remove", &id, "--yes"]);
    let new = cluster.join(0);
    assert_ne!(cluster.id(new).to_string(), id);
    all_agree(&cluster, &set(["kept"]));
}

#[test]
fn the_founder_that_was_wiped_does_not_found_the_cluster_once_more() {
    let mut cluster = with_alice(2);
    cluster.node_mut(0).kill();
    std::fs::remove_dir_all(cluster.node(0).data().join("shards")).unwrap();
    cluster.node_mut(0).begin();
    let (code, said) = cluster.node_mut(0).ended();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("its log is gone"), "{said}");
}

#[test]
fn a_copy_of_an_old_disk_is_refused() {
    let mut cluster = with_alice(3);
    deliver(&cluster, 0, "old");
    let odd = cluster.follower();
    cluster.node_mut(odd).stop();
    let data = cluster.node(odd).data().to_path_buf();
    let image = cluster.home().join("image");
    copy_folder(&data, &image);
    // Started once since: the copy will count as many starts, and be another one.
    cluster.node_mut(odd).start_again();
    deliver_until_taken(&cluster, odd, "new");
    cluster.node_mut(odd).kill();
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&image, &data).unwrap();
    cluster.node_mut(odd).begin();
    let (code, said) = cluster.node_mut(odd).ended();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("refuses this node"), "{said}");
    let live = (0..3).find(|n| *n != odd).unwrap();
    assert_eq!(tokens(&cluster, live), set(["old", "new"]));
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy_folder(&path, &to),
            false if path.extension().is_some_and(|end| end == "sock") => {}
            false => drop(std::fs::copy(&path, &to).unwrap()),
        }
    }
}

#[test]
fn a_removal_that_would_stop_the_cluster_is_refused() {
    let mut cluster = with_alice(3);
    let leader = cluster.leader();
    let gone = (0..3).find(|n| *n != leader).unwrap();
    let other = 3 - leader - gone;
    cluster.node_mut(gone).kill();
    let id = cluster.id(gone);
    cluster.wait(leader, "aware that one is gone", |status| {
        let seconds = member(status, id).and_then(|m| m["last_contact_seconds"].as_f64());
        seconds.is_none_or(|seconds| seconds > 3.0)
    });
    let id = cluster.id(other).to_string();
    let (code, said) = cluster.verb(leader, &["cluster", "remove", &id, "--yes"]);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("no majority"), "{said}");
    let (code, said) = cluster.verb(leader, &["cluster", "remove", "77", "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(members(&cluster.status(leader).unwrap()).len(), 3);
}

/// To other machines, one by one, without a pause for users.
#[test]
fn a_cluster_moves_to_other_machines() {
    let mut cluster = with_alice(3);
    deliver(&cluster, 0, "at the old place");
    for old in 0..3 {
        let new = cluster.join(old);
        deliver(&cluster, new, &format!("through {new}"));
        let id = cluster.id(old).to_string();
        // The leader too: it hands over first.
        cluster.node(new).verb(&["cluster", "remove", &id, "--yes"]);
        cluster.node_mut(old).kill();
    }
    let status = cluster.wait(5, "at the new place", |status| members(status).len() == 3);
    let ids: Vec<u64> = members(&status).iter().map(|m| m["node"].as_u64().unwrap()).collect();
    assert_eq!(ids, [4, 5, 6]);
    let expected = set(["at the old place", "through 3", "through 4", "through 5"]);
    all_agree(&cluster, &expected);
}

#[test]
fn a_node_that_moves_is_found_at_its_new_address() {
    let mut cluster = with_alice(3);
    let moved = cluster.follower();
    cluster.node_mut(moved).stop();
    let address = free_port().to_string();
    cluster.node_mut(moved).set("REDOUBT_LISTEN_PEER", &address);
    cluster.node_mut(moved).start_again();
    let (leader, id) = (cluster.leader(), cluster.id(moved));
    cluster.wait(leader, "aware of the new address", |status| {
        member(status, id).is_some_and(|member| member["address"] == address.as_str())
    });
    cluster.caught_up();
    // It counts: with it and one other there is a majority.
    let other = (0..3).find(|n| *n != moved && *n != leader).unwrap();
    cluster.node_mut(other).kill();
    deliver_until_taken(&cluster, moved, "at the new address");
    cluster.node_mut(other).start_again();
    all_agree(&cluster, &set(["at the new address"]));
}

#[test]
fn a_node_that_is_removed_while_it_runs_ends() {
    let soon =
        [("REDOUBT_LIMITS_LEADER_WAIT_SECONDS", "2"), ("REDOUBT_LIMITS_CUT_OFF_SECONDS", "2")];
    let mut cluster = Cluster::with(3, &soon);
    let removed = cluster.follower();
    let id = cluster.id(removed).to_string();
    let leader = cluster.leader();
    cluster.node(leader).verb(&["cluster", "remove", &id, "--yes"]);
    let (code, said) = cluster.node_mut(removed).ended();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("was removed from the cluster"), "{said}");
}

#[test]
fn a_single_node_is_not_removed() {
    let cluster = Cluster::of(1);
    let (code, said) = cluster.verb(0, &["cluster", "remove", "1", "--yes"]);
    assert_eq!(code, 5, "{said}");
}
