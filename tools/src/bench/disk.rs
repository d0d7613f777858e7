//! The yardstick: a bare loop that writes the same octets with as many syncs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use redoubt_log::disk::{Disk, DiskFile, RealDisk};

use super::mix::{Mix, Random, Sizes};
use super::report::{Cell, Table};

/// What a file is preallocated with, as packs are.
const FILE: u64 = 256 << 20;
/// About what a delivery takes in the log.
const RECORD: usize = 320;

/// Messages a second of the bare loop, by writers that share a sync.
#[derive(Debug, Clone, Default)]
pub(super) struct Yardstick(Vec<(usize, f64)>);

impl Yardstick {
    pub(super) fn rate(&self, writers: usize) -> Option<f64> {
        self.0.iter().find(|(found, _)| *found == writers).map(|(_, rate)| *rate)
    }
}

/// A file that is preallocated, and begun anew when it is full.
struct Ahead<'a> {
    dir: &'a Path,
    file: Arc<dyn DiskFile>,
    end: u64,
    number: u32,
}

impl<'a> Ahead<'a> {
    fn new(dir: &'a Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        Ok(Self { dir, file: make(dir, 0)?, end: 0, number: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        if self.end + bytes.len() as u64 > FILE {
            std::fs::remove_file(self.dir.join(self.number.to_string()))?;
            self.number += 1;
            self.file = make(self.dir, self.number)?;
            self.end = 0;
        }
        self.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

fn make(dir: &Path, number: u32) -> anyhow::Result<Arc<dyn DiskFile>> {
    let path = dir.join(number.to_string());
    let file = RealDisk.create(&path).with_context(|| path.display().to_string())?;
    file.allocate(FILE)?;
    file.sync_data()?;
    Ok(file)
}

/// How the loop went.
struct Run {
    messages: u64,
    bytes: u64,
    elapsed: Duration,
    syncs: Vec<Duration>,
}

impl Run {
    fn rate(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64()
    }
}

/// Measures with each number of writers, content before log, as a delivery is written.
pub(super) fn measure(
    dir: &Path,
    mix: &Mix,
    writers: &[usize],
    time: Duration,
) -> anyhow::Result<(Table, Yardstick)> {
    let columns = ["writers", "messages/s", "MB/s", "batches/s", "fdatasync p50 ms", "p99 ms"];
    let note = "A bare loop in one thread, nothing but `write` and `fdatasync` into preallocated \
        files: for each batch of as many messages as there are writers their octets as sent, \
        synced, then 320 octets a message into a second file, synced. The yardstick of the \
        deliveries below.";
    let mut table = Table::new("disk", "The disk", note, &columns);
    let mut yardstick = Yardstick::default();
    for writers in writers {
        let run = bare_loop(dir, mix, *writers, time)?;
        let at = |part| Cell::Number(super::millis(super::quantile(&run.syncs, part)), 2);
        let batches = run.rate() / *writers as f64;
        table.row(vec![
            Cell::text(writers.to_string()),
            Cell::Number(run.rate(), 0),
            Cell::Number(run.bytes as f64 / 1e6 / run.elapsed.as_secs_f64(), 1),
            Cell::Number(batches, 0),
            at(0.5),
            at(0.99),
        ]);
        yardstick.0.push((*writers, run.rate()));
    }
    Ok((table, yardstick))
}

fn bare_loop(dir: &Path, mix: &Mix, writers: usize, time: Duration) -> anyhow::Result<Run> {
    let (content, log) = (dir.join("content"), dir.join("log"));
    let (mut content, mut log) = (Ahead::new(&content)?, Ahead::new(&log)?);
    let mut random = Random::new(3);
    let (mut messages, mut bytes, mut syncs) = (0, 0, Vec::new());
    let began = Instant::now();
    while began.elapsed() < time {
        let mut batch = Vec::new();
        for _ in 0..writers {
            batch.extend(mix.message(&mut random, "disk", "disk", Sizes::Mail.of(messages)));
            messages += 1;
        }
        bytes += batch.len() as u64;
        content.write(&batch)?;
        syncs.push(synced(&content)?);
        log.write(&vec![1; RECORD * writers])?;
        syncs.push(synced(&log)?);
    }
    let elapsed = began.elapsed();
    syncs.sort_unstable();
    for folder in [content.dir, log.dir] {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(Run { messages, bytes, elapsed, syncs })
}

fn synced(file: &Ahead<'_>) -> anyhow::Result<Duration> {
    let began = Instant::now();
    file.file.sync_data()?;
    Ok(began.elapsed())
}
