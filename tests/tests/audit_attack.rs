//! Somebody with root on all three machines changes a record, hashes everything anew and leaves
//! no trace in the cluster. A head that was kept elsewhere finds it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redoubt_log::codec::{decode_record, encode_record};
use redoubt_log::disk::RealDisk;
use redoubt_log::id::LogIndex;
use redoubt_log::record::{Change, Principal, Record};
use redoubt_log::segment::{EntryKind, LogEntry, NewEntry, SegmentLog, SegmentOptions};
use redoubt_tests::cluster::{Cluster, until};
use serde_json::Value;

const ALICE: &str = "alice@example.org";
/// Whom the attacker blames.
const BLAMED: u32 = 4711;
/// Octets of salt before a record.
const SALT: usize = 16;

/// The attacker's tool: the log's own library.
fn rewrite(data: &Path, change: impl Fn(&mut Record) -> bool) -> usize {
    let (old, new) = (data.join("shards/0/log"), data.join("shards/0/log.new"));
    let disk = Arc::new(RealDisk);
    let (from, found) = SegmentLog::open(disk.clone(), &old, SegmentOptions::default()).unwrap();
    let end = LogIndex(found.last.unwrap().index.0 + 1);
    let (to, _) = SegmentLog::open(disk, &new, SegmentOptions::default()).unwrap();
    let (mut next, mut changed) = (LogIndex(0), 0);
    while next < end {
        let entries = from.read(next..end, 1 << 20).unwrap();
        next = LogIndex(entries.last().unwrap().id.index.0 + 1);
        let entries = entries.into_iter().map(|entry| again(entry, &change, &mut changed));
        to.append(entries.collect(), Box::new(|done| done.unwrap())).unwrap();
    }
    to.save_vote(found.vote.unwrap(), Box::new(|done| done.unwrap())).unwrap();
    to.save_committed(found.committed).unwrap();
    to.close().unwrap();
    from.close().unwrap();
    drop((from, to));
    fs::remove_dir_all(&old).unwrap();
    fs::rename(&new, &old).unwrap();
    // What is derived would tell: it is built anew of the log.
    for derived in ["views", "index", "base"] {
        let folder = data.join("shards/0").join(derived);
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
    }
    changed
}

fn again(entry: LogEntry, change: impl Fn(&mut Record) -> bool, changed: &mut usize) -> NewEntry {
    let LogEntry { id, kind, stamp, mut payload, .. } = entry;
    if kind == EntryKind::Record {
        let mut record = decode_record(&payload[SALT..]).unwrap();
        if change(&mut record) {
            *changed += 1;
            payload = [&payload[..SALT], &encode_record(&record).unwrap()].concat().into();
        }
    }
    NewEntry { id, kind, stamp, payload }
}

fn blame(record: &mut Record) -> bool {
    let found = matches!(&record.change, Change::AccountSet(_));
    if found {
        record.actor.principal = Principal::LocalUser(BLAMED);
    }
    found
}

struct Site {
    cluster: Cluster,
    /// Where nobody of the three machines can write.
    outside: tempfile::TempDir,
}

impl Site {
    fn head(&self, name: &str) -> (PathBuf, u64) {
        let path = self.outside.path().join(name);
        let n = self.cluster.leader();
        self.cluster.node(n).verb(&["audit", "head", "--out", &path.display().to_string()]);
        let text = fs::read_to_string(&path).unwrap();
        let index = text.lines().find_map(|line| line.strip_prefix("index ")).unwrap();
        (path, index.parse().unwrap())
    }

    fn verify(&self, n: usize, more: &[&str]) -> (i32, Value, String) {
        let json = self.cluster.node(n).run(&[&["audit", "verify", "--json"], more].concat());
        let report = serde_json::from_slice(&json.stdout).unwrap();
        let (code, said) = self.cluster.verb(n, &[&["audit", "verify"], more].concat());
        (code, report, said)
    }

    fn who_set(&self, n: usize) -> String {
        let lines =
            self.cluster.node(n).verb(&["audit", "list", "--kind", "account-set", "--json"]);
        let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        line["actor"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_log_that_was_altered_everywhere_is_found_by_a_head_kept_outside() {
    let mut site = Site { cluster: Cluster::of(3), outside: tempfile::tempdir().unwrap() };
    let first = site.cluster.leader();
    site.cluster.node(first).domain("example.org");
    site.cluster.node(first).account(ALICE);
    let keys = site.outside.path().join("keys.txt").display().to_string();
    let (one, one_at) = site.head("one.txt");
    site.cluster.node(first).verb(&["account", "set", ALICE, "--quota", "7M"]);
    let (two, two_at) = site.head("two.txt");
    site.cluster.node(first).verb(&["account", "lock", ALICE]);
    let (three, _) = site.head("three.txt");
    site.cluster.node(first).verb(&["audit", "keys", "--out", &keys]);
    let (one, two, three) =
        (one.display().to_string(), two.display().to_string(), three.display().to_string());
    let heads = ["--from", &one, "--from", &two, "--from", &three, "--key", &keys];
    site.cluster.caught_up();
    let before = site.who_set(first);
    for n in 0..3 {
        let (code, _, said) = site.verify(n, &heads);
        assert_eq!((code, said.contains("begins with every one")), (0, true), "{said}");
    }

    for n in 0..3 {
        site.cluster.node_mut(n).stop();
    }
    for n in 0..3 {
        let data = site.cluster.node(n).data().to_owned();
        assert!(rewrite(&data, blame) >= 1, "node {n} has the record");
    }
    for n in 0..3 {
        site.cluster.node_mut(n).begin();
    }
    let up = until(redoubt_tests::cluster::PATIENCE, || {
        (0..3).all(|n| site.cluster.node(n).run(&["status"]).status.success()).then_some(())
    });
    assert!(up.is_some(), "all three serve what was altered");
    site.cluster.caught_up();

    // From inside all is well: the lie is what everyone tells.
    for n in 0..3 {
        let (code, said) = site.cluster.verb(n, &["check"]);
        assert_eq!(code, 0, "{said}");
        assert_eq!(site.who_set(n), format!("uid {BLAMED}"));
        assert_ne!(site.who_set(n), before);
    }
    let (forged, _) = site.head("forged.txt");
    let (code, _, said) = site.verify(0, &["--from", &forged.display().to_string()]);
    assert_eq!(code, 0, "a head that was made since knows nothing: {said}");

    // A head that was kept elsewhere does not fit, and says between which heads.
    for n in 0..3 {
        for more in [&heads[..], &[&heads[..], &["--offline"]].concat()] {
            let (code, report, said) = site.verify(n, more);
            assert_eq!(code, 1, "{said}");
            assert_eq!(report["difference"]["after"], one_at, "{report}");
            assert_eq!(report["difference"]["upto"], two_at, "{report}");
            assert!(said.contains(&format!("in entries {} to {two_at}", one_at + 1)), "{said}");
        }
    }
    let (code, report, _) = site.verify(0, &["--from", &one, "--key", &keys]);
    assert_eq!((code, &report["difference"]), (0, &Value::Null), "what was before it is untouched");
    for n in 0..3 {
        site.cluster.node_mut(n).kill();
    }
    let (code, report, _) = site.verify(1, &heads);
    assert_eq!((code, &report["difference"]["upto"]), (1, &two_at.into()), "without a server too");
}
