//! Threads for what would hold up tokio's workers: hashing, parsing, reading views.
//!
//! As many as there are processors: more would only take them from each other.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    work: Mutex<(VecDeque<Work>, bool)>,
    came: Condvar,
}

/// A few threads of our own. They end when this goes, what was queued done before.
pub(crate) struct Workers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

/// The work panicked, or the threads have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a worker thread gave up")]
pub(crate) struct Gone;

impl Workers {
    pub(crate) fn start() -> std::io::Result<Self> {
        let wanted = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 32);
        let mut workers = Self { queue: Arc::default(), threads: Vec::new() };
        for n in 0..wanted {
            let queue = workers.queue.clone();
            let thread = std::thread::Builder::new()
                .name(format!("store-{n}"))
                .spawn(move || queue.run())?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Runs `work` on one of the threads. Once queued it runs to its end, waited for or not.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (tell, told) = oneshot::channel();
        self.queue.push(Box::new(move || drop(tell.send(work()))));
        told.await.map_err(|_| Gone)
    }
}

impl Queue {
    fn push(&self, work: Work) {
        self.work.lock().0.push_back(work);
        self.came.notify_one();
    }

    fn run(&self) {
        while let Some(work) = self.next() {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                tracing::error!(what = text(&*panic), "a worker thread caught a panic");
            }
        }
    }

    fn next(&self) -> Option<Work> {
        let mut work = self.work.lock();
        loop {
            match work.0.pop_front() {
                None if work.1 => return None,
                None => self.came.wait(&mut work),
                some => return some,
            }
        }
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown")
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue.work.lock().1 = true;
        self.queue.came.notify_all();
        let here = std::thread::current().id();
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != here) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn work_is_done_and_a_panic_takes_no_thread() {
        let workers = Workers::start().unwrap();
        for _ in 0..100 {
            assert_eq!(workers.run(|| -> u8 { panic!("on purpose") }).await, Err(Gone));
        }
        assert_eq!(workers.run(|| 7).await, Ok(7));
    }

    #[test]
    fn what_is_queued_is_done_before_the_end() {
        let done = Arc::new(Mutex::new(0));
        let workers = Workers::start().unwrap();
        for _ in 0..100 {
            let done = done.clone();
            workers.queue.push(Box::new(move || *done.lock() += 1));
        }
        drop(workers);
        assert_eq!(*done.lock(), 100);
    }
}
