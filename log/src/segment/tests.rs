#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::mpsc;

use super::*;
use crate::disk::sim::SimDisk;
use crate::id::Timestamp;

mod crash;
mod document;
mod flips;
mod mend;
mod spare;
mod stories;

fn dir() -> PathBuf {
    PathBuf::from("/shard/log")
}

fn options(segment_bytes: u64) -> SegmentOptions {
    SegmentOptions { segment_bytes, idle_mark: None, ..SegmentOptions::default() }
}

fn try_open(disk: &SimDisk, bytes: u64) -> Result<(SegmentLog, Recovered), LogError> {
    SegmentLog::open(Arc::new(disk.clone()), &dir(), options(bytes))
}

fn open(disk: &SimDisk, bytes: u64) -> (SegmentLog, Recovered) {
    try_open(disk, bytes).unwrap()
}

fn id(term: u64, index: u64) -> LogId {
    LogId { term: Term(term), index: LogIndex(index) }
}

fn entry(term: u64, index: u64, payload: &[u8]) -> NewEntry {
    NewEntry {
        id: id(term, index),
        kind: EntryKind::Record,
        stamp: Timestamp(1000 + i64::try_from(index % 7).unwrap()),
        payload: Bytes::copy_from_slice(payload),
    }
}

fn payload(index: u64) -> Vec<u8> {
    format!("a payload for {index}, of some length; ").repeat(3).into_bytes()
}

/// Starts something and waits until it is durable or has failed.
fn wait(start: impl FnOnce(Done) -> Result<(), LogError>) -> Result<(), LogError> {
    let (send, receive) = mpsc::channel();
    start(Box::new(move |result| send.send(result).unwrap()))?;
    receive.recv().expect("every callback is called")
}

fn eventually(mut is_so: impl FnMut() -> bool, else_what: &str) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed().as_secs() < 30, "{else_what}");
        std::thread::yield_now();
    }
}

fn append(log: &SegmentLog, term: u64, range: Range<u64>) {
    for index in range {
        wait(|done| log.append(vec![entry(term, index, &payload(index))], done)).unwrap();
    }
}

fn all(log: &SegmentLog) -> Vec<LogEntry> {
    let start = log.purged().map_or(0, |purged| purged.index.0 + 1);
    match log.last() {
        Some(last) if last.index.0 >= start => {
            log.read(LogIndex(start)..LogIndex(last.index.0 + 1), usize::MAX).unwrap()
        }
        _ => Vec::new(),
    }
}

fn ids(log: &SegmentLog) -> Vec<LogId> {
    all(log).iter().map(|entry| entry.id).collect()
}
