//! Watches who leads, from beside the run, for the picture.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::rig::members::Sight;

/// How often it looks.
const PACE: Duration = Duration::from_millis(200);

/// A leader, from when to when it was seen to lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reign {
    /// Its id in the cluster.
    pub leader: u64,
    /// Its term.
    pub term: u64,
    /// When it was seen first, since the start of the run.
    pub from: Duration,
    /// When it was seen last.
    pub until: Duration,
}

/// The admin sockets to ask, kept up by the run.
pub type Sockets = Arc<Mutex<Vec<PathBuf>>>;

/// A thread that looks.
#[derive(Debug)]
pub struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Reign>>,
}

impl Watch {
    /// Begins to look.
    pub fn start(sockets: &Sockets, origin: Instant) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (sockets, until) = (sockets.clone(), over.clone());
        let thread = std::thread::spawn(move || look(&sockets, origin, &until));
        Self { over, thread }
    }

    /// Ends it; who led.
    pub fn stop(self) -> Vec<Reign> {
        self.over.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        self.thread.join().unwrap_or_default()
    }
}

fn look(sockets: &Sockets, origin: Instant, over: &AtomicBool) -> Vec<Reign> {
    let mut reigns = Vec::new();
    while !over.load(Ordering::SeqCst) {
        let all = sockets.lock().unwrap().clone();
        let seen = all.iter().filter_map(|socket| Sight::of(socket));
        note(&mut reigns, seen, origin.elapsed());
        std::thread::park_timeout(PACE);
    }
    reigns
}

/// Only who leads by its own word counts, in the newest term of those.
fn note(reigns: &mut Vec<Reign>, seen: impl Iterator<Item = Sight>, now: Duration) {
    let leading = seen.filter(|sight| sight.leader == Some(sight.id));
    let Some(sight) = leading.max_by_key(|sight| sight.term) else { return };
    match reigns.last_mut() {
        Some(last) if (last.leader, last.term) == (sight.id, sight.term) => last.until = now,
        Some(last) if last.term > sight.term => {}
        _ => {
            let (leader, term) = (sight.id, sight.term);
            reigns.push(Reign { leader, term, from: now, until: now });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(id: u64, leader: u64, term: u64) -> Sight {
        Sight { id, leader: Some(leader), term, ..Sight::default() }
    }

    #[test]
    fn a_deposed_leader_that_does_not_know_it_is_passed_over() {
        let mut reigns = Vec::new();
        let at = Duration::from_secs;
        note(&mut reigns, [sight(1, 1, 3), sight(2, 1, 3)].into_iter(), at(1));
        note(&mut reigns, [sight(1, 1, 3), sight(2, 2, 4)].into_iter(), at(2));
        note(&mut reigns, [sight(1, 1, 3)].into_iter(), at(3));
        note(&mut reigns, [sight(2, 2, 4)].into_iter(), at(4));
        let told: Vec<_> = reigns.iter().map(|r| (r.leader, r.term, r.from, r.until)).collect();
        assert_eq!(told, [(1, 3, at(1), at(1)), (2, 4, at(2), at(4))]);
    }
}
