//! Load: real clients that record what they do.

use std::time::Instant;

use crate::history::History;
use crate::target::Targets;

/// A kind of load.
pub trait Workload: Send {
    /// Its name in the report.
    fn name(&self) -> &'static str;

    /// Addresses of the accounts that it needs; their password is `secret`.
    fn accounts(&self) -> Vec<String>;

    /// Starts its clients. They connect to any of the targets, connect anew when a connection
    /// ends, and never panic because of what a server does or does not. `origin` is the zero of
    /// the history's times.
    fn start(&self, targets: &Targets, origin: Instant, seed: u64) -> Box<dyn Running>;
}

/// Load that runs.
pub trait Running: Send {
    /// Ends it, within seconds, and gives what was recorded. What hangs becomes unknown.
    fn stop(self: Box<Self>) -> History;
}

/// What a run uses unless told otherwise.
pub fn all() -> Vec<Box<dyn Workload>> {
    Vec::new()
}
