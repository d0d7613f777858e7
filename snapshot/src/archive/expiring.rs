//! Expiring by schedule, by the node that feeds the repository: what need not stay goes by
//! itself, as `redoubt backup expire` would do it. Never by force, and not while the last
//! verification found damage: what would go may be what can still be recovered from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redoubt_log::id::Timestamp;
use redoubt_store::alarms::AlarmKind;
use redoubt_store::mailstore::Mailstore;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::Archiver;
use super::checks::CheckWatcher;
use crate::expire::{ExpireError, Keep, Wishes, expire, plan};
use crate::repo::Repository;

/// Behind the beginning, and between tries that came to nothing.
const LOOK: Duration = Duration::from_secs(600);

/// When and what is expired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expiring {
    /// How long after one run the next begins; nothing: never by itself.
    pub every: Duration,
    /// What stays; without any wish nothing goes.
    pub keep: Keep,
}

impl Expiring {
    fn is_wished(&self) -> bool {
        !self.every.is_zero() && (self.keep.window.is_some() || self.keep.bases.is_some())
    }
}

/// What a run removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// When it ended, in milliseconds since 1970.
    pub ended: i64,
    /// Bases that went.
    pub bases: u64,
    /// Objects that went.
    pub objects: u64,
    /// Their octets.
    pub bytes: u64,
}

/// The last run that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireStatus {
    /// Whether one goes on.
    pub running: bool,
    /// The last one of this process.
    pub last: Option<Expired>,
    /// Why the last try came to nothing.
    pub error: Option<String>,
}

/// What is shared with whoever asks.
pub(super) type ExpireWatcher = Arc<Mutex<ExpireStatus>>;

/// The runs of a node that feeds the repository.
#[derive(Debug)]
pub(super) struct ExpireSchedule {
    expiring: Expiring,
    watcher: ExpireWatcher,
    checks: CheckWatcher,
    next: Instant,
    running: Option<JoinHandle<()>>,
}

impl ExpireSchedule {
    pub(super) fn new(expiring: Expiring, watcher: ExpireWatcher, checks: CheckWatcher) -> Self {
        let next = Instant::now() + LOOK.min(expiring.every);
        Self { expiring, watcher, checks, next, running: None }
    }

    /// Begins one where it is due.
    pub(super) fn look(&mut self, archiver: &Archiver) {
        let free = self.running.as_ref().is_none_or(JoinHandle::is_finished);
        if !self.expiring.is_wished() || !free || Instant::now() < self.next {
            return;
        }
        if let Some(why) = self.waits() {
            self.next = Instant::now() + LOOK.min(self.expiring.every);
            self.watcher.lock().error = Some(why);
            return;
        }
        self.next = Instant::now() + self.expiring.every;
        let (store, repository) = (archiver.store.clone(), archiver.repository.clone());
        let (keep, watcher) = (self.expiring.keep, self.watcher.clone());
        watcher.lock().running = true;
        self.running = Some(tokio::spawn(async move {
            let came = run(&repository, keep).await;
            tell(&store, &watcher, came);
        }));
    }

    /// Why nothing goes for now.
    fn waits(&self) -> Option<String> {
        let checks = self.checks.lock();
        let found = checks.last.as_ref().is_some_and(|last| last.findings > 0);
        let text = "nothing goes by itself while the last verification found damage";
        found.then(|| text.to_owned())
    }
}

impl Drop for ExpireSchedule {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// Expires what need not stay.
///
/// # Errors
/// See [`ExpireError`].
pub(super) async fn run(repository: &Repository, keep: Keep) -> Result<Expired, ExpireError> {
    let plan = plan(repository, &Wishes { keep, ..Wishes::default() }).await?;
    let objects = expire(repository, &plan, &mut |_, _| {}).await?;
    let bases = plan.bases.len() as u64;
    Ok(Expired { ended: Timestamp::now().0, bases, objects, bytes: plan.bytes() })
}

fn tell(store: &Mailstore, watcher: &ExpireWatcher, came: Result<Expired, ExpireError>) {
    let mut status = watcher.lock();
    status.running = false;
    status.error = None;
    let alarm = match came {
        Ok(expired) => {
            let Expired { bases, objects, bytes, .. } = expired;
            tracing::info!(bases, objects, bytes, "the repository was expired");
            status.last = Some(expired);
            None
        }
        // Somebody else does the same.
        Err(ExpireError::Busy) => None,
        Err(error) => {
            tracing::warn!(%error, "the repository was not expired");
            status.error = Some(error.to_string());
            Some(format!("the repository was not expired: {error}"))
        }
    };
    drop(status);
    store.alarms().set(AlarmKind::Archive, "expire", alarm);
}
