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
    let (state, stopped) = run(repository, stages, state, |state| state, progress).await?;
    stopped.map_or(Ok(state), |error| Err(error.into()))
}

/// The same where the state is a part of something, as far as it goes: what was applied, and
/// why the next entry was not.
pub(super) async fn run<S, W>(
    repository: &Repository,
    stages: &[Stage],
    mut work: W,
    of: fn(&mut W) -> &mut Replay<S>,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<(W, Option<OpenError>), RecoverError>
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
            let entries = repository.range_or_larger(&stage.lineage, name).await?.entries;
            let (upto, applied, stopped);
            upto = stage.upto;
            (work, applied, stopped) = blocking(move || {
                let (applied, stopped) = apply(of(&mut work), entries, upto);
                Ok((work, applied, stopped))
            })
            .await?;
            done += applied;
            progress(done);
            if stopped.is_some() {
                return Ok((work, stopped));
            }
        }
        let next = next(of(&mut work));
        if next <= stage.upto.0 {
            let (index, damaged) = (LogIndex(next), Vec::new());
            return Err(PlanError::Gap { index, damaged }.into());
        }
    }
    Ok((work, None))
}

/// The index behind what was applied.
pub(super) fn next<S: Tables>(state: &Replay<S>) -> u64 {
    state.reached().map_or(0, |state| state.id.index.0.saturating_add(1))
}

/// Of entries that may overlap with what was applied, those up to one.
fn apply<S: Tables>(
    state: &mut Replay<S>,
    entries: Vec<LogEntry>,
    upto: LogIndex,
) -> (u64, Option<OpenError>) {
    let (from, mut applied) = (next(state), 0);
    for entry in entries {
        if !(from..=upto.0).contains(&entry.id.index.0) {
            continue;
        }
        if let Err(error) = state.apply(entry) {
            return (applied, Some(error));
        }
        applied += 1;
    }
    (applied, None)
}
