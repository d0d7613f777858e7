//! What the log takes from the world around it: threads, tasks, the time of day,
//! randomness. One seam, so that a simulation gives all of it from one
//! thread and a seed; everything else in this crate asks here.
//!
//! In a node these are tokio's tasks, threads of our own, the wall clock and the
//! system's randomness, and nothing stands in between.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rand::distr::{Distribution, StandardUniform};
use tokio::task::{AbortHandle, JoinHandle};

use crate::id::Timestamp;

#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod watch;
mod worker;

pub(crate) use worker::{Worker, worker};

/// Why a task has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It panicked.
    #[error("a task has panicked")]
    Panicked,
    /// It was aborted, or its runtime is gone.
    #[error("a task was ended before it was done")]
    Aborted,
}

/// A task that runs by itself; dropping this does not end it.
pub struct Task<T>(Running<T>);

enum Running<T> {
    Tokio(JoinHandle<T>),
    #[cfg(any(test, feature = "sim"))]
    Simulated(sim::Job<T>),
}

/// Ends a task at its next point of waiting.
#[derive(Debug, Clone)]
pub struct Abort(Aborting);

#[derive(Debug, Clone)]
enum Aborting {
    Tokio(AbortHandle),
    #[cfg(any(test, feature = "sim"))]
    Simulated(sim::JobId),
}

impl<T> Task<T> {
    /// What ends it.
    pub fn abort_handle(&self) -> Abort {
        Abort(match &self.0 {
            Running::Tokio(task) => Aborting::Tokio(task.abort_handle()),
            #[cfg(any(test, feature = "sim"))]
            Running::Simulated(job) => Aborting::Simulated(job.id()),
        })
    }

    /// Ends it at its next point of waiting.
    pub fn abort(&self) {
        self.abort_handle().abort();
    }
}

impl Abort {
    /// Ends the task at its next point of waiting.
    pub fn abort(&self) {
        match &self.0 {
            Aborting::Tokio(task) => task.abort(),
            #[cfg(any(test, feature = "sim"))]
            Aborting::Simulated(job) => job.abort(),
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Ended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Running::Tokio(task) => Pin::new(task)
                .poll(context)
                .map_err(|error| if error.is_panic() { Ended::Panicked } else { Ended::Aborted }),
            #[cfg(any(test, feature = "sim"))]
            Running::Simulated(job) => job.poll(context),
        }
    }
}

/// Runs a task beside the caller's, on the caller's runtime. What is spawned in
/// this crate is spawned here.
#[track_caller]
pub fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Task<T> {
    #[cfg(any(test, feature = "sim"))]
    if let Some(host) = sim::here() {
        return host.spawn(task);
    }
    Task(Running::Tokio(tokio::spawn(task)))
}

/// Does work that blocks, off the runtime's workers.
///
/// # Errors
/// When it panics, or the runtime ends first.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    #[cfg(any(test, feature = "sim"))]
    if let Some(host) = sim::here() {
        host.hesitate().await;
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// The time of day.
pub fn now() -> Timestamp {
    #[cfg(any(test, feature = "sim"))]
    if let Some(host) = sim::here() {
        return host.time_of_day();
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
}

/// Something random: salts, ids.
pub fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    #[cfg(any(test, feature = "sim"))]
    if let Some(host) = sim::here() {
        return host.random();
    }
    rand::random()
}

/// Between a write and its sync: in a simulation time passes, and a crash may come.
pub(crate) async fn before_sync() {
    #[cfg(any(test, feature = "sim"))]
    if let Some(host) = sim::here() {
        host.before_sync().await;
    }
}

/// A rule that a test breaks on purpose, to see that a simulation notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Batches of the log are not synced.
    SegmentUnsynced,
    /// Entries pass the gate without their blobs.
    GateOpen,
    /// Votes are not saved.
    VoteUnsaved,
    /// Reads do not ask a quorum.
    ReadUnasked,
    /// The log is written first, and only then the packs are synced.
    PackLast,
    /// What is applied is applied again when it comes again.
    AppliedTwice,
    /// Who comes back with an older disk than it had is let in.
    RestoredLetIn,
    /// The level is raised without asking the members.
    LevelUnasked,
    /// A snapshot is installed before the blobs that it names are synced.
    SnapshotBlobsUnsynced,
    /// Records are stamped with a time that is to come.
    StampedAhead,
    /// A pack goes before what lives in it is durable elsewhere.
    MovedUnsynced,
    /// Holds keep nothing.
    HoldsIgnored,
    /// A floor is over an email only for as long as it stands where the policy is over.
    FloorLeaves,
    /// What shortens acts at once.
    PolicyUnwaited,
}

/// Whether a rule is broken on purpose: only ever in a simulation.
pub fn breaks(rule: Mutation) -> bool {
    #[cfg(any(test, feature = "sim"))]
    return sim::here().is_some_and(|host| host.breaks(rule));
    #[cfg(not(any(test, feature = "sim")))]
    {
        let _ = rule;
        false
    }
}

/// Whether entries come to be applied once more, which must do nothing.
pub(crate) fn repeats() -> bool {
    #[cfg(any(test, feature = "sim"))]
    return sim::here().is_some_and(|host| host.pick(0..16) == 0);
    #[cfg(not(any(test, feature = "sim")))]
    false
}

/// Whether what would block must be done at once, since nobody else runs.
pub(crate) fn is_simulated() -> bool {
    #[cfg(any(test, feature = "sim"))]
    return sim::here().is_some();
    #[cfg(not(any(test, feature = "sim")))]
    false
}
