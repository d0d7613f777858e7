//! Workers: a future with a thread of its own, which it may block, or, in a
//! simulation, one task among others.

use std::future::Future;
use std::io;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::Ended;

/// A worker. Dropping this does not end it: how it is told to end is its own matter.
#[derive(Debug)]
pub(crate) struct Worker<T> {
    thread: Mutex<Option<JoinHandle<()>>>,
    ended: Mutex<Option<oneshot::Receiver<T>>>,
}

/// Starts a worker. Everything that it held is dropped before its end is known.
pub(crate) fn worker<T: Send + 'static>(
    name: &str,
    work: impl Future<Output = T> + Send + 'static,
) -> io::Result<Worker<T>> {
    let (tell, ended) = oneshot::channel();
    let ended = Mutex::new(Some(ended));
    let work = async move { drop(tell.send(work.await)) };
    if super::is_simulated() {
        drop(super::spawn(work));
        return Ok(Worker { thread: Mutex::new(None), ended });
    }
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let thread =
        thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(work))?;
    Ok(Worker { thread: Mutex::new(Some(thread)), ended })
}

impl<T> Worker<T> {
    /// Waits for its end and gives its result, once.
    pub(crate) async fn ended(&self) -> Result<T, Ended> {
        let ended = self.ended.lock().take();
        ended.ok_or(Ended::Aborted)?.await.map_err(|_| Ended::Panicked)
    }

    /// Blocks until its thread has ended, but not on itself. In a simulation it
    /// goes on by itself.
    pub(crate) fn join(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        if thread.thread().id() != thread::current().id() {
            drop(thread.join());
        }
    }
}
