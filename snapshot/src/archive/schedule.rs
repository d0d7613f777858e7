//! When a base is taken: when somebody asks, when the last one is old, and at once where
//! nothing can be recovered without.

use std::time::{Duration, Instant};

use redoubt_log::id::Timestamp;
use redoubt_store::Ending;
use redoubt_store::alarms::AlarmKind;
use redoubt_store::mailstore::Mailstore;
use tokio::task::JoinHandle;

use super::{Archiver, BaseWatcher};
use crate::repo::RepoError;

/// How often the repository is asked whether one is due.
const LOOK: Duration = Duration::from_secs(600);

/// The bases of a node that feeds the repository.
#[derive(Debug)]
pub(super) struct Schedule {
    watcher: BaseWatcher,
    every: Duration,
    looked: Option<Instant>,
    running: Option<JoinHandle<()>>,
    ending: Ending,
}

impl Schedule {
    /// With nothing for `every` only when somebody asks or nothing can be recovered without.
    pub(super) fn new(watcher: BaseWatcher, every: Duration) -> Self {
        Self { watcher, every, looked: None, running: None, ending: Ending::default() }
    }

    /// Whether somebody asked, and none is being taken.
    pub(super) fn wanted(&self) -> bool {
        self.is_free() && self.watcher.wanted()
    }

    fn is_free(&self) -> bool {
        self.running.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Begins one where it is due.
    pub(super) async fn look(&mut self, archiver: &Archiver) -> Result<(), RepoError> {
        if !self.is_free() {
            return Ok(());
        }
        let asked = self.watcher.wanted();
        if !asked && self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return Ok(());
        }
        let due = asked || archiver.is_base_due(self.every).await?;
        self.looked = Some(Instant::now());
        if due {
            self.begin(archiver);
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, archiver: &Archiver) {
        let (job, watcher, store) = (archiver.job(), self.watcher.clone(), archiver.store.clone());
        self.ending = job.ending().clone();
        self.running = Some(tokio::spawn(async move {
            match job.take(&watcher).await {
                Ok(base) => {
                    let (index, sizes) = (base.index(), base.sizes);
                    tracing::info!(%index, sent = sizes.sent, "a base is in the repository");
                    store.alarms().clear(AlarmKind::Archive, "base");
                    store.alarms().clear(AlarmKind::Archive, "beginning");
                }
                Err(error) => failed(&store, &error),
            }
        }));
    }
}

fn failed(store: &Mailstore, error: &RepoError) {
    tracing::error!(%error, "no base was taken");
    store.alarms().raise(AlarmKind::Archive, "base", format!("no base was taken: {error}"));
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.ending.begin();
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

impl Archiver {
    /// Whether the newest base is older than `every`, or nothing can be recovered without one.
    async fn is_base_due(&self, every: Duration) -> Result<bool, RepoError> {
        let bases = self.repository.bases(&self.lineage).await?;
        let Some(newest) = bases.last() else {
            return Ok(self.lacks_beginning().await?.is_some() || self.is_old(every).await?);
        };
        match self.repository.base(&self.lineage, newest).await {
            Ok(base) => Ok(is_past(base.ended, every)),
            Err(RepoError::Damaged { .. } | RepoError::Missing(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether the archive's first range is older than `every`.
    pub(super) async fn is_old(&self, every: Duration) -> Result<bool, RepoError> {
        let names = self.repository.ranges(&self.lineage, None).await?;
        let Some(first) = names.iter().min() else { return Ok(false) };
        let range = match self.repository.range(&self.lineage, first).await {
            Err(RepoError::Damaged { .. }) => return Ok(true),
            range => range?,
        };
        Ok(range.ends().is_some_and(|(first, _)| is_past(first.time.0, every)))
    }
}

/// Whether a moment is so long ago; never where `every` is nothing.
pub(super) fn is_past(moment: i64, every: Duration) -> bool {
    let ago = Timestamp::now().0.saturating_sub(moment);
    !every.is_zero() && u64::try_from(ago).is_ok_and(|ago| u128::from(ago) >= every.as_millis())
}
