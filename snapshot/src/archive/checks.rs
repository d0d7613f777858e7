//! Verifying by schedule, by the node that feeds the repository: what came of it is told in
//! status and metrics, kept in the repository, and is an alarm where anything was found.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redoubt_log::id::Timestamp;
use redoubt_store::alarms::AlarmKind;
use redoubt_store::mailstore::Mailstore;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::Archiver;
use super::schedule::is_past;
use crate::repo::names;
use crate::repo::seal::Kind;
use crate::repo::{RepoError, Repository};
use crate::verify::{Level, Report, Restored, verify, verify_restored};

/// How often the repository is asked whether one is due.
const LOOK: Duration = Duration::from_secs(600);
/// Results that are kept.
const KEPT: usize = 20;

/// When and how the repository is verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks {
    /// How long after one verification the next begins; nothing: never by itself.
    pub every: Duration,
    /// How much is looked at.
    pub level: Level,
    /// Where a scratch restore is made.
    pub scratch: PathBuf,
}

/// What came of verifying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// How much was looked at.
    pub level: Level,
    /// When it was begun, in milliseconds since 1970.
    pub begun: i64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How much is wrong.
    pub findings: u64,
    /// The first thing that is wrong, and what it affects.
    pub first: Option<String>,
    /// What a scratch restore came to.
    pub restored: Option<Restored>,
}

impl Checked {
    fn of(level: Level, begun: i64, report: &Report) -> Self {
        let first = report.findings.first().map(|finding| {
            let affects = finding.affects.as_ref();
            let affects = affects.map_or_else(String::new, |what| format!(" (affects {what})"));
            format!("{}: {}{affects}", finding.object, finding.problem)
        });
        let took = Timestamp::now().0.saturating_sub(begun);
        Self {
            level,
            begun,
            took_ms: u64::try_from(took).unwrap_or(0),
            findings: report.findings.len() as u64,
            first,
            restored: report.restored.clone(),
        }
    }

    fn alarm(&self) -> Option<String> {
        let first = self.first.as_deref().unwrap_or_default();
        let count = self.findings;
        (count > 0).then(|| format!("the repository is damaged in {count} places: {first}"))
    }
}

/// The last verification that is known, and whether one goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckStatus {
    /// Whether one goes on.
    pub running: bool,
    /// The last one.
    pub last: Option<Checked>,
    /// Why the last try came to nothing.
    pub error: Option<String>,
}

/// What is shared with whoever asks.
pub(super) type CheckWatcher = Arc<Mutex<CheckStatus>>;

/// The verifications of a node that feeds the repository.
#[derive(Debug)]
pub(super) struct CheckSchedule {
    checks: Checks,
    watcher: CheckWatcher,
    looked: Option<Instant>,
    running: Option<JoinHandle<()>>,
}

impl CheckSchedule {
    pub(super) fn new(checks: Checks, watcher: CheckWatcher) -> Self {
        Self { checks, watcher, looked: None, running: None }
    }

    /// Begins one where it is due.
    pub(super) async fn look(&mut self, archiver: &Archiver) -> Result<(), RepoError> {
        let free = self.running.as_ref().is_none_or(JoinHandle::is_finished);
        let early = self.looked.is_some_and(|at| at.elapsed() < LOOK.min(self.checks.every));
        if self.checks.every.is_zero() || !free || early {
            return Ok(());
        }
        let last = last(&archiver.repository).await?;
        let due = match &last {
            Some(last) => is_past(last.begun, self.checks.every),
            None => archiver.is_old(self.checks.every).await?,
        };
        self.looked = Some(Instant::now());
        if let Some(last) = last {
            tell(&archiver.store, &self.watcher, last);
        }
        if due {
            self.begin(archiver);
        }
        Ok(())
    }

    fn begin(&mut self, archiver: &Archiver) {
        let (store, repository) = (archiver.store.clone(), archiver.repository.clone());
        let (checks, watcher) = (self.checks.clone(), self.watcher.clone());
        watcher.lock().running = true;
        self.running = Some(tokio::spawn(async move {
            let came = check(&repository, &checks).await;
            watcher.lock().running = false;
            match came {
                Ok(checked) => {
                    watcher.lock().error = None;
                    tell(&store, &watcher, checked);
                }
                Err(error) => {
                    tracing::warn!(%error, "the repository was not verified");
                    watcher.lock().error = Some(error.to_string());
                }
            }
        }));
    }
}

impl Drop for CheckSchedule {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

fn tell(store: &Mailstore, watcher: &CheckWatcher, checked: Checked) {
    store.alarms().set(AlarmKind::Archive, "verify", checked.alarm());
    watcher.lock().last = Some(checked);
}

/// Verifies, and keeps what came of it in the repository.
///
/// # Errors
/// [`RepoError::Unreachable`].
pub(super) async fn check(repository: &Repository, checks: &Checks) -> Result<Checked, RepoError> {
    let begun = Timestamp::now().0;
    let report = match checks.level {
        Level::Restore => verify_restored(repository, None, &checks.scratch).await?,
        level => verify(repository, level, None).await?,
    };
    let checked = Checked::of(checks.level, begun, &report);
    let name = names::check(begun);
    let json = serde_json::to_vec(&checked).map_err(|error| RepoError::damaged(&name, error))?;
    match repository.put(Kind::Mark, &name, &json).await {
        // Two nodes at one millisecond: either says enough.
        Ok(_) | Err(RepoError::Conflict(_)) => {}
        Err(error) => return Err(error),
    }
    let listed = repository.objects().list(names::CHECKS, None).await?;
    for old in listed.iter().rev().skip(KEPT) {
        repository.objects().delete(&old.name).await?;
    }
    Ok(checked)
}

/// The newest result in the repository that reads.
async fn last(repository: &Repository) -> Result<Option<Checked>, RepoError> {
    for object in repository.objects().list(names::CHECKS, None).await?.iter().rev() {
        match repository.get(Kind::Mark, &object.name).await {
            Ok(json) => {
                if let Ok(checked) = serde_json::from_slice(&json) {
                    return Ok(Some(checked));
                }
            }
            Err(RepoError::Damaged { .. } | RepoError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
