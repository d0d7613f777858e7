//! A state out of the log, stage by stage.

use redoubt_log::id::LogIndex;
use redoubt_log::raft::LogEntry;
use redoubt_store::mailstore::{OpenError, Replay, Tables};

use super::{RecoverError, blocking};
use crate::plan::{PlanError, Stage};
use crate::repo::Repository;

/// Applies the entries of some stages; `progress` is told how many so far.
///
/// # Errors
/// See [`RecoverError`].
pub async fn replay<S: Tables + Send + 'static>(
    repository: &Repository,
    stages: &[Stage],
    state: Replay<S>,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Replay<S>, RecoverError> {
    run(repository, stages, state, |state| state, progress).await
}

/// The same where the state is a part of something.
pub(super) async fn run<S, W>(
    repository: &Repository,
    stages: &[Stage],
    mut work: W,
    of: fn(&mut W) -> &mut Replay<S>,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<W, RecoverError>
where
    S: Tables + Send + 'static,
    W: Send + 'static,
{
    let mut done = 0;
    for stage in stages {
        if stage.leaps {
            work = blocking(move || Ok(of(&mut work).leap().map(|()| work)?)).await?;
        }
        for name in &stage.ranges {
            let entries = repository.range(&stage.lineage, name).await?.entries;
            let upto = stage.upto;
            let applied;
            (work, applied) = blocking(move || {
                let applied = apply(of(&mut work), entries, upto)?;
                Ok((work, applied))
            })
            .await?;
            done += applied;
            progress(done);
        }
        let next = next(of(&mut work));
        if next <= stage.upto.0 {
            let (index, damaged) = (LogIndex(next), Vec::new());
            return Err(PlanError::Gap { index, damaged }.into());
        }
    }
    Ok(work)
}

fn next<S: Tables>(state: &Replay<S>) -> u64 {
    state.reached().map_or(0, |state| state.id.index.0.saturating_add(1))
}

/// Of entries that may overlap with what was applied, those up to one.
fn apply<S: Tables>(
    state: &mut Replay<S>,
    entries: Vec<LogEntry>,
    upto: LogIndex,
) -> Result<u64, OpenError> {
    let from = next(state);
    let mut applied = 0;
    for entry in entries {
        if (from..=upto.0).contains(&entry.id.index.0) {
            state.apply(entry)?;
            applied += 1;
        }
    }
    Ok(applied)
}
