//! The workers: few, started when there is something to read, and again when one was stopped.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use thiserror::Error;

use super::child::{Child, Death, Job, Killer};
use super::sandbox::InForce;
use crate::{Document, Extracted, Limits, Status};

/// How often a document is tried again when something else ended its worker.
const TRIES: u32 = 3;

/// What is started, and what bounds it.
#[derive(Debug, Clone)]
pub struct Options {
    /// What becomes the worker: by default this program.
    pub program: PathBuf,
    /// Its arguments: by default the hidden verb.
    pub arguments: Vec<OsString>,
    /// Processes at one time, at least one.
    pub workers: usize,
    /// How long one document may take.
    pub wall: Duration,
    /// Octets of memory of a worker, beyond the program itself.
    pub memory: u64,
    /// Octets of the largest document that is read.
    pub document: u64,
    /// Octets of documents in this process's memory, for all that ask [`Pool::room`].
    pub queued: u64,
    /// Of each document.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            // Also there when the file was replaced by a newer one.
            program: "/proc/self/exe".into(),
            arguments: vec!["extract-worker".into()],
            workers: 1,
            wall: Duration::from_secs(20),
            memory: 512 * 1024 * 1024,
            document: 64 * 1024 * 1024,
            queued: 128 * 1024 * 1024,
            limits: Limits::default(),
        }
    }
}

/// Why a document was not tried: it may be tried again.
#[derive(Debug, Error)]
pub enum PoolError {
    /// The pool is closed.
    #[error("no more documents are read: the server is being stopped")]
    Closed,
    /// No worker stays alive.
    #[error("no worker for documents can be started ({0}): look at limits of processes and memory")]
    Start(String),
}

/// What the workers did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Documents by status, as [`Status::ALL`].
    pub documents: [u64; 5],
    /// Workers started.
    pub started: u64,
    /// Workers killed because a document took too long.
    pub slow: u64,
    /// Workers that a document ended: memory, processor time, a reader's fault.
    pub ended: u64,
}

/// The parent's side. Clones share the workers; all calls block.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Child>,
    busy: usize,
    queued: u64,
    closed: bool,
    in_force: Option<InForce>,
    counts: Counts,
    /// Those in use, to be ended by who closes the pool.
    working: Vec<Killer>,
}

/// Octets that may be in memory while this lives.
#[derive(Debug)]
pub struct Room {
    pool: Pool,
    octets: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.pool.0.state.lock().queued -= self.octets;
        self.pool.0.changed.notify_all();
    }
}

impl Pool {
    /// Starts nothing yet.
    pub fn new(options: Options) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Inner { options, state, changed: Condvar::new() }))
    }

    /// What bounds it.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Waits until there is room for so many octets; whoever wants more than there is at all
    /// gets it alone. `None` once the pool is closed.
    pub fn room(&self, octets: u64) -> Option<Room> {
        let mut state = self.0.state.lock();
        let most = self.0.options.queued;
        while state.queued > 0 && state.queued.saturating_add(octets) > most && !state.closed {
            self.0.changed.wait(&mut state);
        }
        if state.closed {
            return None;
        }
        state.queued += octets;
        Some(Room { pool: self.clone(), octets })
    }

    /// The text of a document. Whatever the document does, this answers within the limits.
    ///
    /// # Errors
    /// [`PoolError`]: nothing is known of the document.
    pub fn extract(&self, document: &Document, octets: Vec<u8>) -> Result<Extracted, PoolError> {
        let limit = self.0.options.document;
        if octets.len() as u64 > limit {
            return Ok(self.counted(Extracted::stopped(format!("larger than {limit} octets"))));
        }
        let octets = Arc::new(octets);
        let mut why = String::new();
        for _ in 0..TRIES {
            let mut worker = self.worker()?;
            let job = Job::Extract(document.clone(), octets.clone());
            match worker.ask(job, self.0.options.wall) {
                Ok(extracted) => return Ok(self.counted(extracted)),
                Err(Death::Other(other)) => why = other,
                Err(death) => return Ok(self.counted(self.killed(&death))),
            }
        }
        Err(PoolError::Start(why))
    }

    /// Has a worker try what it must not be able to do; answers what it could do, which is
    /// nothing.
    ///
    /// # Errors
    /// [`PoolError`].
    pub fn probe(&self) -> Result<String, PoolError> {
        let answer = self.worker()?.ask(Job::Probe, self.0.options.wall);
        answer.map(|tried| tried.text).map_err(|death| PoolError::Start(format!("{death:?}")))
    }

    /// What the kernel holds workers to; `None` before the first was started.
    pub fn in_force(&self) -> Option<InForce> {
        self.0.state.lock().in_force
    }

    /// What they did.
    pub fn counts(&self) -> Counts {
        self.0.state.lock().counts
    }

    /// Ends workers that have nothing to do.
    pub fn rest(&self) {
        let idle = std::mem::take(&mut self.0.state.lock().idle);
        drop(idle);
    }

    /// Ends all workers, and lets nobody in any more. What was being read is not known.
    pub fn close(&self) {
        let working = {
            let mut state = self.0.state.lock();
            state.closed = true;
            std::mem::take(&mut state.working)
        };
        working.iter().for_each(Killer::kill);
        self.0.changed.notify_all();
        self.rest();
    }

    fn killed(&self, death: &Death) -> Extracted {
        let mut state = self.0.state.lock();
        match death {
            Death::Ended(why) => {
                state.counts.ended += 1;
                Extracted::stopped(why.as_str())
            }
            _ => {
                state.counts.slow += 1;
                let wall = self.0.options.wall.as_secs_f32();
                Extracted::stopped(format!("it took longer than {wall} s"))
            }
        }
    }

    fn counted(&self, extracted: Extracted) -> Extracted {
        let mut state = self.0.state.lock();
        let at = Status::ALL.iter().position(|status| *status == extracted.status);
        if let Some(count) = at.and_then(|at| state.counts.documents.get_mut(at)) {
            *count += 1;
        }
        extracted
    }

    /// Waits for one that is free, or starts one.
    fn worker(&self) -> Result<Worker<'_>, PoolError> {
        let child = self.place()?;
        // From here on the place is given back, whatever happens.
        let mut worker = Worker { pool: self, child };
        if worker.child.is_none() {
            worker.start()?;
        }
        worker.is_working()?;
        Ok(worker)
    }

    fn place(&self) -> Result<Option<Child>, PoolError> {
        let mut state = self.0.state.lock();
        while state.busy >= self.0.options.workers.max(1) && !state.closed {
            self.0.changed.wait(&mut state);
        }
        if state.closed {
            return Err(PoolError::Closed);
        }
        state.busy += 1;
        Ok(state.idle.pop())
    }
}

/// A worker in use, and its place.
struct Worker<'p> {
    pool: &'p Pool,
    child: Option<Child>,
}

impl Worker<'_> {
    fn start(&mut self) -> Result<(), PoolError> {
        let child = Child::start(&self.pool.0.options);
        let child = child.map_err(|death| PoolError::Start(format!("{death:?}")))?;
        let mut state = self.pool.0.state.lock();
        state.counts.started += 1;
        state.in_force = Some(child.in_force);
        self.child = Some(child);
        Ok(())
    }

    /// From here on whoever closes the pool ends it.
    fn is_working(&self) -> Result<(), PoolError> {
        let mut state = self.pool.0.state.lock();
        if state.closed {
            return Err(PoolError::Closed);
        }
        state.working.extend(self.child.as_ref().map(Child::killer));
        Ok(())
    }

    /// One that answers stays, unless it said that it ends.
    fn ask(&mut self, job: Job, patience: Duration) -> Result<Extracted, Death> {
        let Some(mut child) = self.child.take() else {
            return Err(Death::Other("it is gone".into()));
        };
        let killer = child.killer();
        let answer = child.ask(job, patience);
        self.pool.0.state.lock().working.retain(|one| !one.is_same(&killer));
        let answer = answer?;
        if !answer.last {
            self.child = Some(child);
        }
        Ok(answer.extracted)
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.0.state.lock();
        state.busy -= 1;
        let closed = state.closed;
        let child = self.child.take();
        let (kept, over) = if closed { (None, child) } else { (child, None) };
        state.idle.extend(kept);
        drop(state);
        drop(over);
        self.pool.0.changed.notify_all();
    }
}
