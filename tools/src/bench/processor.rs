//! What is started on one processor, so that others start on others: as if each had a machine.

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// What others leave of a processor: as nearly a machine of its own as one more can have.
const LEFT_OVER: i32 = 19;

/// The calling thread is confined for as long as this is there, with what it starts meanwhile.
#[derive(Debug)]
pub(super) struct Confined {
    before: CpuSet,
    priority: i32,
}

impl Confined {
    /// To the `nth` of the processors that it may use; behind the last of them to what others
    /// leave of that one.
    pub(super) fn to(nth: usize) -> anyhow::Result<Self> {
        let confined =
            Self { before: sched_getaffinity(None)?, priority: getpriority_process(None)? };
        let usable = (0..CpuSet::MAX_CPU).filter(|at| confined.before.is_set(*at));
        let usable: Vec<usize> = usable.collect();
        let mut only = CpuSet::new();
        only.set(usable.get(nth).or(usable.last()).copied().unwrap_or_default());
        sched_setaffinity(None, &only)?;
        if nth >= usable.len() {
            setpriority_process(None, LEFT_OVER)?;
        }
        Ok(confined)
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        let whole = sched_setaffinity(None, &self.before);
        let first = setpriority_process(None, self.priority);
        if let Err(error) = whole.and(first) {
            tracing::warn!(%error, "what is measured from here on is confined too");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_thread_is_confined_and_let_go() {
        let processors = || sched_getaffinity(None).unwrap().count();
        let priority = || getpriority_process(None).unwrap();
        let (all, usual) = (processors(), priority());
        for nth in [0, all as usize - 1] {
            let confined = Confined::to(nth).unwrap();
            assert_eq!((processors(), priority()), (1, usual));
            let inherited = std::thread::spawn(|| sched_getaffinity(None).unwrap().count());
            assert_eq!(inherited.join().unwrap(), 1);
            drop(confined);
            assert_eq!((processors(), priority()), (all, usual));
        }
        // Who lowers its priority may need a privilege to raise it again: a thread for it.
        let confined = std::thread::spawn(move || {
            let _confined = Confined::to(all as usize);
            (processors(), priority(), std::thread::spawn(priority).join().unwrap())
        });
        assert_eq!(confined.join().unwrap(), (1, LEFT_OVER, LEFT_OVER));
    }
}
