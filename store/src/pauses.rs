//! What long work over many rows asks now and then: whether it is to go on. While
//! the node serves, others are left half of the time.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::storage::StorageError;

/// The longest pause.
const LONGEST: Duration = Duration::from_millis(50);

/// Says to long work that the store is being closed. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Ending(Arc<AtomicBool>);

impl Ending {
    /// From now on long work ends early.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The pauses of one piece of long work.
#[derive(Debug)]
pub struct Pauses {
    ending: Ending,
    gentle: bool,
    since: Cell<Instant>,
}

impl Pauses {
    /// None, and nothing ends the work early.
    pub fn none() -> Self {
        Self::hurried(&Ending::default())
    }

    /// None, until the end of the store.
    pub fn hurried(ending: &Ending) -> Self {
        Self { ending: ending.clone(), gentle: false, since: Cell::new(Instant::now()) }
    }

    /// As long as the work itself, until the end of the store.
    pub fn gentle(ending: &Ending) -> Self {
        Self { gentle: true, ..Self::hurried(ending) }
    }

    /// Called every few milliseconds of work; breaks when it is to end. Blocks.
    pub fn pause(&self) -> ControlFlow<()> {
        if self.ending.has_begun() {
            return ControlFlow::Break(());
        }
        if self.gentle {
            std::thread::sleep(self.since.get().elapsed().min(LONGEST));
            self.since.set(Instant::now());
        }
        ControlFlow::Continue(())
    }

    /// The same for work over rows.
    ///
    /// # Errors
    /// When it is to end.
    pub fn between_rows(&self) -> Result<(), StorageError> {
        match self.pause() {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ended()),
        }
    }
}

/// The work was given up.
fn ended() -> StorageError {
    StorageError::Io { table: "all", error: "the store is being closed".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_goes_on_until_the_end_begins() {
        let ending = Ending::default();
        let (hurried, gentle) = (Pauses::hurried(&ending), Pauses::gentle(&ending));
        assert!(hurried.pause().is_continue() && gentle.between_rows().is_ok());
        ending.begin();
        assert!(hurried.pause().is_break() && gentle.between_rows().is_err());
        assert!(Pauses::none().pause().is_continue());
    }
}
