//! A log looked at beside the node that writes it.

use std::path::Path;

use super::{World, record, soon};
use crate::disk::sim::SimDisk;
use crate::dump;
use crate::id::LogIndex;
use crate::segment::{LogEntry, ReadOnlyLog};

fn all(log: &ReadOnlyLog) -> Vec<LogEntry> {
    let mut entries: Vec<LogEntry> = Vec::new();
    loop {
        let next = LogIndex(entries.len() as u64);
        let page = log.read(next..LogIndex(u64::MAX), 1000).unwrap();
        if page.is_empty() {
            return entries;
        }
        entries.extend(page);
    }
}

#[tokio::test]
async fn a_log_is_dumped_beside_the_running_node_and_nothing_is_written() {
    let disk = SimDisk::new(1);
    let world = World::new(&disk);
    assert!(ReadOnlyLog::open(&disk, Path::new("/log")).is_err(), "there is none yet");
    let node = world.open();
    for n in 0..100 {
        node.propose(record(n), soon()).await.unwrap();
    }
    let (syncs, files) = (disk.syncs(), disk.files());
    let before: Vec<Vec<u8>> = files.iter().map(|file| disk.bytes(file).unwrap()).collect();
    let entries = all(&ReadOnlyLog::open(&disk, Path::new("/log")).unwrap());
    let after: Vec<Vec<u8>> = files.iter().map(|file| disk.bytes(file).unwrap()).collect();
    assert!(disk.syncs() == syncs && disk.files() == files && before == after);

    assert_eq!(entries, node.read(LogIndex(0)..LogIndex(u64::MAX), 1 << 20).unwrap());
    let lines: Vec<String> = entries.iter().map(|entry| dump::entry(entry).to_string()).collect();
    assert_eq!(lines.len(), 102);
    assert!(lines[0].ends_with("membership: voters 1"), "{}", lines[0]);
    assert!(lines[1].ends_with("blank"), "{}", lines[1]);
    assert!(lines[2].contains("version by system op 0000000000000000"), "{}", lines[2]);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_log_of_many_segments_and_a_torn_end_is_read() {
    let disk = SimDisk::new(3);
    let world = World::new(&disk);
    let node = world.open();
    let mut large = record(1);
    large.change = crate::record::Change::DomainRemove(crate::record::DomainRemove {
        domain: "x".repeat(200_000),
    });
    for _ in 0..12 {
        node.propose(large.clone(), soon()).await.unwrap();
    }
    let log = ReadOnlyLog::open(&disk.crash(), Path::new("/log")).unwrap();
    assert!(all(&log).len() >= 14);
    assert!(log.purged().is_none() && log.last() >= node.status().durable);
    // Two that are sealed, the one that is written to; the next is made beside.
    assert!(disk.files().len() > 2, "several segments: {:?}", disk.files());
}
