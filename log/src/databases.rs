//! How many databases this process has open. RocksDB's threads and its static
//! parts are one: a process that ends while a database is open or being closed may
//! be aborted in the middle of that, so that its end waits for all of them.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

static OPEN: Mutex<usize> = Mutex::new(0);
static CLOSED: Condvar = Condvar::new();

/// A database is open for as long as this is there: to be dropped behind it.
#[derive(Debug)]
pub struct Opened(());

impl Opened {
    /// One more.
    pub fn count() -> Self {
        *OPEN.lock() += 1;
        Self(())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        *OPEN.lock() -= 1;
        CLOSED.notify_all();
    }
}

/// Blocks until none is open any more; false when one still is after `patience`.
pub fn all_closed_within(patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    let mut open = OPEN.lock();
    while *open > 0 {
        if CLOSED.wait_until(&mut open, deadline).timed_out() {
            return *open == 0;
        }
    }
    true
}
