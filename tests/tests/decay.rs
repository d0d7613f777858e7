//! What decays on one node of three is found, repaired from the others and said.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use redoubt_store::storage::{KeyRange, Read, RocksOptions, RocksStorage, Storage, Table, Write};
use redoubt_tests::cluster::{Cluster, PATIENCE, until};
use serde_json::Value;

const MAILS: usize = 5;

fn mail(n: usize) -> Vec<u8> {
    let body: String = (0..400).map(|line| format!("line {line} of {n}\r\n")).collect();
    format!("From: a@example.net\r\nSubject: {n}\r\n\r\n{body}").into_bytes()
}

/// Three nodes that have some mail.
fn cluster() -> Cluster {
    let cluster = Cluster::of(3);
    let leader = cluster.leader();
    cluster.node(leader).domain("example.org");
    cluster.node(leader).account("alice@example.org");
    for n in 0..MAILS {
        let to = ["deliver", "--to", "alice@example.org", "-"];
        let output = cluster.node(leader).run_with_input(&to, &mail(n));
        assert!(output.status.success(), "{output:?}");
    }
    cluster.caught_up();
    cluster
}

/// Turns over an octet in the chunks of the first frame of this kind of size in a node's pack.
fn damage(data: &Path) {
    let path = data.join("shards/0/blobs/0000000000000001.pack");
    let pack = File::options().read(true).write(true).open(&path).unwrap();
    let octets = std::fs::read(&path).unwrap();
    let frames = octets.windows(5).enumerate();
    // The magic of a frame, and the kind of content; then the octets behind its header.
    let place = frames
        .filter(|(_, window)| *window == [0x52, 0x42, 0x46, 0xF1, 1])
        .map(|(place, _)| place)
        .find(|place| octets[place + 56..place + 60] > [0, 1, 0, 0][..] && octets[place + 57] > 0)
        .expect("a frame of more than 256 octets");
    let at = place + 84 + 100;
    pack.write_all_at(&[octets[at] ^ 0x55], at as u64).unwrap();
}

fn store(cluster: &Cluster, n: usize) -> Value {
    let output = cluster.node(n).run(&["status", "--json"]);
    serde_json::from_slice::<Value>(&output.stdout)
        .map_or(Value::Null, |body| body["store"].clone())
}

fn repaired(cluster: &Cluster, n: usize) {
    let mut last = Value::Null;
    let done = until(PATIENCE, || {
        last = store(cluster, n);
        let blobs = &last["blobs"];
        (blobs["damaged"] == 0 && blobs["repaired"].as_u64() > Some(0)).then_some(())
    });
    assert!(done.is_some(), "not repaired: {last:#}");
    assert_eq!(last["alarms"].as_array().map(Vec::len), Some(0), "{last:#}");
    let (code, said) = cluster.verb(n, &["check"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_damaged_pack_is_repaired_under_a_running_node_and_at_a_start() {
    let mut cluster = cluster();
    let n = cluster.follower();
    let data = cluster.node(n).data().to_path_buf();
    damage(&data);
    let (code, said) = cluster.verb(n, &["check", "--repair"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("0000000000000001.pack is damaged"), "{said}");
    repaired(&cluster, n);

    let other = (0..3).find(|other| *other != n && *other != cluster.leader()).unwrap_or(n);
    cluster.node_mut(other).kill();
    let data = cluster.node(other).data().to_path_buf();
    damage(&data);
    cluster.node_mut(other).start_again();
    repaired(&cluster, other);
}

#[test]
fn a_row_that_differs_on_one_of_three_is_named() {
    let mut cluster = cluster();
    let odd = cluster.follower();
    let id = cluster.id(odd);
    cluster.node_mut(odd).stop();
    let key = {
        let views = cluster.node(odd).data().join("shards/0/views");
        let mut rows = RocksStorage::open(&views, &RocksOptions::default()).unwrap();
        let (key, mut value) = rows.scan(Table::Email, &KeyRange::all(), 3).unwrap().remove(2);
        value[0] ^= 1;
        let write = Write { table: Table::Email, key: key.clone(), value: Some(value) };
        rows.write(vec![write]).unwrap();
        rows.flush().unwrap();
        key.iter().map(|octet| format!("{octet:02x}")).collect::<String>()
    };
    cluster.node_mut(odd).start_again();
    cluster.caught_up();
    let leader = cluster.leader();
    let (code, said) = cluster.verb(leader, &["check", "--peers"]);
    assert_eq!(code, 1, "{said}");
    let wanted = [format!("node {id}"), "at index ".into(), format!("table email, key {key}")];
    assert!(wanted.iter().all(|wanted| said.contains(wanted.as_str())), "{said}");
    // Everybody says so.
    for n in 0..3 {
        let told = until(PATIENCE, || {
            let alarms = store(&cluster, n)["alarms"].clone();
            let alarm = alarms.as_array()?.iter().find(|alarm| alarm["kind"] == "state")?.clone();
            (alarm["subject"] == format!("node {id}")).then_some(alarm)
        });
        let text = told.expect("an alarm")["text"].to_string();
        assert!(text.contains(&key) && text.contains("redoubt rebuild"), "{text}");
    }
    // What the text says helps.
    cluster.node_mut(odd).stop();
    assert_eq!(cluster.verb(odd, &["rebuild"]).0, 0);
    cluster.node_mut(odd).start_again();
    cluster.caught_up();
    let (code, said) = cluster.verb(cluster.leader(), &["check", "--peers"]);
    assert_eq!(code, 0, "{said}");
}
