//! Files of indexes are read again now and then: what has decayed since they were opened is found
//! before a query meets it.

use std::time::{Duration, Instant};

use super::folder::{Home, Part};
use super::read::ReadError;
use super::shelf::{Shelf, guarded};

/// No longer between two rounds.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A round over all files, one at a time.
#[derive(Debug)]
pub(super) struct Scrub {
    every: Duration,
    /// Octets a second.
    rate: u64,
    homes: Vec<Home>,
    /// Of one of them.
    parts: Vec<(Home, Part)>,
    next: Instant,
    round: Instant,
}

impl Scrub {
    /// The first round begins when one is due: what is opened until then is checked as it is.
    pub(super) fn new(every: Duration, rate: u64) -> Self {
        let (now, every) = (Instant::now(), every.min(LONGEST));
        let (homes, parts) = (Vec::new(), Vec::new());
        Self { every, rate: rate.max(1), homes, parts, next: now + every, round: now + every }
    }

    /// Checks the next file, if its time has come.
    pub(super) fn turn(&mut self, shelf: &Shelf) {
        let now = Instant::now();
        if self.every.is_zero() || now < self.next {
            return;
        }
        if self.parts.is_empty() && self.homes.is_empty() && now >= self.round {
            self.homes = shelf.known();
            self.round = now + self.every;
        }
        if self.parts.is_empty()
            && let Some(home) = self.homes.pop()
        {
            self.parts = parts(shelf, home);
        }
        if let Some((home, part)) = self.parts.pop() {
            check(shelf, home, &part);
            self.next = now + Duration::from_secs_f64(part.len as f64 / self.rate as f64);
        }
    }

    /// Checks all files at once.
    pub(super) fn all(shelf: &Shelf) {
        for home in shelf.known() {
            parts(shelf, home).iter().for_each(|(home, part)| check(shelf, *home, part));
        }
    }
}

/// The files of one that was opened since the start; the others are checked when they are.
fn parts(shelf: &Shelf, home: Home) -> Vec<(Home, Part)> {
    let Some(folder) = shelf.folder(home) else { return Vec::new() };
    folder.shown().files.iter().map(|part| (home, part.clone())).collect()
}

fn check(shelf: &Shelf, home: Home, part: &Part) {
    let Some(folder) = shelf.folder(home) else { return };
    if let Err(error) = guarded(|| folder.check(part)) {
        shelf.condemn(home, &error);
    }
}

/// Condemns the indexes that are gone, and the open ones of which a file is gone or not as long as
/// it was.
pub(super) fn missing(shelf: &Shelf) {
    for home in shelf.known() {
        let whole = match shelf.is_there(home) {
            true => shelf.opened(home).map_or(Ok(true), |folder| guarded(|| folder.is_whole())),
            false => Ok(false),
        };
        match whole {
            Ok(true) => {}
            Ok(false) => shelf.condemn(home, &ReadError::Odd("its files are gone, or cut")),
            Err(error) => shelf.condemn(home, &error),
        }
    }
}
