//! The thread that changes files for those that have the processor only when nobody else wants it.
//!
//! Who changes a file holds the file system's journal for a moment, and the log's next sync waits
//! for that moment to end. It is a long one for a thread that loses the processor in the middle of
//! it to whoever else has work: a second and more while a database was compacted beside it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// One for the process, for as long as that lives: what it works for is one disk.
static JOBS: OnceLock<Sender<Job>> = OnceLock::new();

/// Begins it, where it has not begun, with the priority of the thread that asks.
///
/// # Errors
/// There are no more threads to be had.
pub(super) fn start() -> io::Result<()> {
    if JOBS.get().is_some() {
        return Ok(());
    }
    let (jobs, work) = channel::<Job>();
    let run = move || {
        for job in work {
            // Who waits is told that there is no answer.
            drop(catch_unwind(AssertUnwindSafe(job)));
        }
    };
    thread::Builder::new().name("index-files".into()).spawn(run)?;
    // Where another was first, this one ends for want of a sender.
    drop(JOBS.set(jobs));
    Ok(())
}

/// Has something done there, and waits for it; does it here where nothing was begun.
///
/// # Errors
/// Those of the work, and that it panicked.
pub(super) fn ask<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let Some(jobs) = JOBS.get() else { return work() };
    let ended = || io::Error::other("the thread that writes an index's files did not answer");
    let (done, told) = sync_channel(1);
    jobs.send(Box::new(move || drop(done.send(work())))).map_err(|_| ended())?;
    told.recv().map_err(|_| ended())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::super::pace::yield_to_all;
    use super::*;

    #[test]
    fn files_are_changed_at_the_usual_priority() {
        let priority = || Ok(rustix::process::getpriority_process(None)?);
        let usual = priority().unwrap();
        start().unwrap();
        let behind_all = thread::spawn(move || {
            yield_to_all();
            (priority().unwrap(), ask(priority).unwrap())
        });
        assert_eq!(behind_all.join().unwrap(), (19, usual));
        let refused = ask(|| Err::<(), _>(io::Error::other("no"))).unwrap_err();
        assert_eq!(refused.to_string(), "no");
        ask(|| -> io::Result<()> { panic!("on purpose") }).unwrap_err();
        assert_eq!(ask(|| Ok(7)).unwrap(), 7);
    }
}
