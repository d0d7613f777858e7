//! What is started on one processor, so that others start on others: as if each had a machine.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The calling thread is confined for as long as this is there, with what it starts meanwhile.
#[derive(Debug)]
pub(super) struct Confined {
    before: CpuSet,
}

impl Confined {
    /// To the `nth` of the processors that it may use, counted round.
    pub(super) fn to(nth: usize) -> anyhow::Result<Self> {
        let before = sched_getaffinity(None)?;
        let usable: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|at| before.is_set(*at)).collect();
        let mut only = CpuSet::new();
        let at = nth.checked_rem(usable.len()).and_then(|at| usable.get(at));
        only.set(*at.unwrap_or(&0));
        sched_setaffinity(None, &only)?;
        Ok(Self { before })
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        if let Err(error) = sched_setaffinity(None, &self.before) {
            tracing::warn!(%error, "what is measured from here on has one processor only");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_thread_is_confined_and_let_go() {
        let all = sched_getaffinity(None).unwrap().count();
        for nth in [0, 1, 2] {
            let confined = Confined::to(nth).unwrap();
            assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
            let inherited = std::thread::spawn(|| sched_getaffinity(None).unwrap().count());
            assert_eq!(inherited.join().unwrap(), 1);
            drop(confined);
            assert_eq!(sched_getaffinity(None).unwrap().count(), all);
        }
    }
}
