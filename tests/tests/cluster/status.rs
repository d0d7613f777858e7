//! What `cluster status` shows of a member that is dead, late, light, or well.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use redoubt_tests::cluster::{Cluster, member, members};
use redoubt_tests::process::binary;
use serde_json::Value;

use super::mail::{alice, deliver, deliver_until_taken};

/// The line of a member in the table: its cells.
fn cells(table: &str, id: u64) -> Vec<String> {
    let id = id.to_string();
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(&id));
    let line = line.unwrap_or_else(|| panic!("node {id} is not in:\n{table}"));
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(String::from).collect()
}

const HEADING: [&str; 13] = [
    "NODE",
    "ROLE",
    "MATCH",
    "LAG",
    "BEHIND",
    "HEARD",
    "CLOCK",
    "DISK FREE",
    "LEVEL",
    "VERSION",
    "STARTS",
    "ADDRESS",
    "ALARMS",
];

#[test]
fn each_column_says_what_is_so() {
    let mut cluster = Cluster::of(2);
    alice(&cluster);
    let light = cluster.join_with(0, &["--light"]);
    cluster.let_lead(0);
    cluster.node_mut(1).stop();
    cluster.node_mut(1).start_again();
    cluster.caught_up();
    let again = cluster.id(1);
    let told = |status: &Value| {
        let all = members(status).iter().all(|m| m["disk_free_bytes"].is_u64());
        all && member(status, again).unwrap()["incarnation"].as_u64() > Some(1)
    };
    cluster.wait(0, "told of by all", told);
    let table = cluster.node(0).verb(&["cluster", "status"]);
    let heading: Vec<_> = table.lines().nth(1).unwrap().split("  ").map(str::trim).collect();
    assert_eq!(heading.into_iter().filter(|cell| !cell.is_empty()).collect::<Vec<_>>(), HEADING);
    assert!(table.starts_with("cluster ") && table.contains(": node 1 leads, level "), "{table}");
    let starts = |n: usize| cells(&table, cluster.id(n))[10].parse::<u64>().unwrap();
    assert!(starts(1) > starts(0), "{table}");
    for (n, role) in [(0, "leader"), (1, "voter"), (light, "light voter")] {
        let cells = cells(&table, cluster.id(n));
        assert_eq!((cells[1].as_str(), cells[3].as_str()), (role, "0"), "{table}");
        assert_eq!((cells[4].as_str(), cells[12].as_str()), ("0.0 s", "-"), "{table}");
        assert_eq!((cells[9].as_str(), &cells[11]), (version(), &cluster.peer_address(n)));
        assert!(cells[6].ends_with(" ms") && cells[7].ends_with('B'), "{table}");
    }
}

fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// One that hangs falls behind and is not heard; one that is dead is said to be.
#[test]
fn who_hangs_or_is_dead_is_told_from_who_is_well() {
    let mut cluster = Cluster::of(3);
    alice(&cluster);
    deliver(&cluster, 0, "before");
    cluster.let_lead(0);
    cluster.node_mut(2).pause();
    (0..3).for_each(|n| deliver_until_taken(&cluster, 0, &format!("behind {n}")));
    let id = cluster.id(2);
    let late = |status: &Value| {
        let line = member(status, id).unwrap();
        let heard = line["last_contact_seconds"].as_f64() > Some(2.0);
        heard && line["lag_records"].as_u64() >= Some(3) && line["trouble"].is_string()
    };
    let status = cluster.wait(0, "aware of one that hangs", late);
    assert!(member(&status, id).unwrap()["lag_seconds"].as_f64() > Some(0.0), "{status:#}");
    let leader = member(&status, cluster.id(0)).unwrap();
    let hangs = member(&status, id).unwrap();
    assert!(hangs["matched"].as_u64() < leader["matched"].as_u64(), "{status:#}");
    // A follower says the same.
    cluster.wait(1, "aware of one that hangs", late);
    cluster.node_mut(2).resume();
    cluster.caught_up();
    cluster.wait(0, "well again", |status| member(status, id).unwrap()["trouble"].is_null());
    cluster.node_mut(2).kill();
    cluster.wait(0, "aware of one that is dead", |status| {
        let line = member(status, id).unwrap();
        line["last_contact_seconds"].as_f64() > Some(2.0) && line["trouble"].is_string()
    });
    let (code, table) = cluster.verb(0, &["cluster", "status"]);
    assert_eq!(code, 0, "{table}");
    let row = cells(&table, id);
    assert_ne!(row[12], "-", "{table}");
    assert!(table.lines().any(|line| line.starts_with(&format!("node {id}: "))), "{table}");
}

#[test]
fn watching_looks_again() {
    let cluster = Cluster::of(1);
    for (more, first) in [(&["--json"][..], "{"), (&[], "\u{1b}[H\u{1b}[Jcluster ")] {
        let mut watch = Command::new(binary())
            .arg("--data")
            .arg(cluster.node(0).data())
            .args(["cluster", "status", "--watch"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(watch.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert_eq!(lines.filter(|line| line.starts_with(first)).take(2).count(), 2);
        watch.kill().unwrap();
        watch.wait().unwrap();
    }
}
