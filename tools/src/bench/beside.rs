//! The disk by itself, beside what is measured: a bare loop that does little and tells when the
//! disk, and not the server, stood still.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::Mutex;
use redoubt_log::disk::{Disk, RealDisk};

/// What is written at once.
const PIECE: [u8; 4096] = [7; 4096];
/// What the file is preallocated with: enough for ten minutes, so that what is written was never
/// written before, as in packs and in the log.
const FILE: u64 = 256 << 20;
/// Between two syncs.
const REST: Duration = Duration::from_millis(10);

/// A thread that writes 4 KiB into a preallocated file and syncs them, a hundred times a second.
#[derive(Debug)]
pub(super) struct Beside {
    ends: Arc<AtomicBool>,
    syncs: Arc<Mutex<Vec<(Instant, Duration)>>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Beside {
    /// Begins, in a file of its own.
    pub(super) fn start(path: &Path) -> anyhow::Result<Self> {
        let file = RealDisk.create(path).with_context(|| path.display().to_string())?;
        file.allocate(FILE)?;
        file.sync_data()?;
        let (ends, syncs) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (end, all) = (ends.clone(), syncs.clone());
        let work = move || -> anyhow::Result<()> {
            let mut at = 0;
            while !end.load(Ordering::Relaxed) {
                file.write_all_at(&PIECE, at)?;
                at = (at + PIECE.len() as u64) % FILE;
                let began = Instant::now();
                file.sync_data()?;
                all.lock().push((began, began.elapsed()));
                std::thread::sleep(REST);
            }
            Ok(())
        };
        let thread = std::thread::Builder::new().name("beside".to_owned()).spawn(work)?;
        Ok(Self { ends, syncs, thread: Some(thread) })
    }

    /// The longest sync of those that ended in a time.
    pub(super) fn longest(&self, from: Instant, to: Instant) -> Duration {
        let syncs = self.syncs.lock();
        let within = syncs.iter().filter(|(began, took)| (from..to).contains(&(*began + *took)));
        within.map(|(_, took)| *took).max().unwrap_or(to - from)
    }

    /// Ends.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        self.ends.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => anyhow::bail!("the bare loop beside panicked"),
            Some(Ok(ended)) => ended,
            None => Ok(()),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_ended_in_a_time_counts() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let syncs = [(0, 5), (20, 40), (70, 2)]
            .map(|(began, took)| (at(began), Duration::from_millis(took)));
        let syncs = Arc::new(Mutex::new(syncs.to_vec()));
        let beside = Beside { ends: Arc::default(), syncs, thread: None };
        let longest = |from, to| beside.longest(at(from), at(to)).as_millis();
        assert_eq!((longest(0, 50), longest(0, 61), longest(61, 100)), (5, 40, 2));
        assert_eq!(longest(10, 15), 5, "one that never ended is as long as that");
    }

    #[test]
    fn it_syncs_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (began, beside) = (Instant::now(), Beside::start(&dir.path().join("x")).unwrap());
        let syncs = beside.syncs.clone();
        while syncs.lock().len() < 3 {
            std::thread::yield_now();
        }
        assert!(beside.longest(began, Instant::now()) > Duration::ZERO);
        beside.end().unwrap();
    }
}
