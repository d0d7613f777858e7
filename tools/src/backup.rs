//! What the configuration says of the backup repository, and the archive at work.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use redoubt_snapshot::archive::{ArchiveState, Checks, Erasing, Expiring, Settings, Watcher, run};
use redoubt_snapshot::repo::{KeyWish, MasterKey, Place};
use redoubt_store::mailstore::{ArchiveGate, Mailstore};
use serde::Deserialize;
use tokio::task::JoinHandle;

use crate::config::Backup;

/// How often the log is told what is archived.
const MARK_EVERY: Duration = Duration::from_secs(30);
/// How long an orderly stop waits for what is not archived yet.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Keys to a bucket, in a file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
}

/// Where the repository of `backup` lies; `None` when there is none.
///
/// # Errors
/// When the file with credentials does not read.
pub fn place(backup: &Backup) -> anyhow::Result<Option<Place>> {
    if backup.repository.is_empty() {
        return Ok(None);
    }
    let credentials = match backup.credentials_file.as_str() {
        "" => Credentials::default(),
        path => {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("backup.credentials_file {path}"))?;
            // Not the error's own text: it may show the line.
            toml::from_str(&text).map_err(|_| {
                let lines = "access_key_id = \"...\" and secret_access_key = \"...\"";
                anyhow::anyhow!("backup.credentials_file {path}: write {lines}")
            })?
        }
    };
    Ok(Some(Place {
        repository: backup.repository.clone(),
        endpoint: backup.endpoint.clone(),
        region: backup.region.clone(),
        access_key_id: credentials.access_key_id,
        secret_access_key: credentials.secret_access_key,
    }))
}

/// The key that a file holds; `none` is no encryption, nothing is no key.
///
/// # Errors
/// When the file does not read as a key.
pub fn key(key_file: &str) -> anyhow::Result<KeyWish> {
    Ok(match key_file {
        "" => KeyWish::Absent,
        "none" => KeyWish::Plain,
        path => KeyWish::With(MasterKey::read(Path::new(path))?),
    })
}

/// What deliveries and the log's purging ask; `None` where nothing is backed up.
pub fn gate(backup: &Backup) -> Option<ArchiveGate> {
    let patience = Duration::from_secs(backup.ack_seconds);
    let wait = backup.ack_after_archive.then_some(patience);
    (!backup.repository.is_empty()).then(|| ArchiveGate::new(wait))
}

fn hours(count: u64) -> Duration {
    Duration::from_secs(count.saturating_mul(3600))
}

/// The archive of a running node.
#[derive(Debug)]
pub struct Archive {
    task: JoinHandle<()>,
    watcher: Watcher,
}

impl Archive {
    /// Starts it, where one is configured. A key that does not read is an alarm, and
    /// no reason to keep mail from being served.
    ///
    /// # Errors
    /// When the file with credentials does not read.
    pub fn start(
        backup: &Backup,
        data: &Path,
        mailstore: &Mailstore,
        gate: Option<ArchiveGate>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(place) = place(backup)?.filter(|_| !mailstore.is_light()) else {
            return Ok(None);
        };
        let key = key(&backup.key_file).unwrap_or_else(|error| {
            tracing::error!("backup.key_file: {error:#}");
            KeyWish::Absent
        });
        let settings = Settings {
            place,
            key,
            interval: Duration::from_millis(backup.interval_ms.max(10)),
            feeder: backup.feeder,
            alarm_lag: Duration::from_secs(backup.alarm_lag_seconds),
            mark_every: MARK_EVERY,
            base_every: hours(backup.base_every_hours),
            checks: Checks {
                every: hours(backup.verify_every_hours),
                level: backup.verify_level,
                scratch: data.join("scratch"),
            },
            expiring: Expiring { every: hours(backup.expire_every_hours), keep: backup.keep() },
        };
        let watcher = Watcher::default();
        mailstore.reaches(Arc::new(Erasing::new(mailstore.clone(), watcher.clone())));
        let task = tokio::spawn(run(mailstore.clone(), settings, watcher.clone(), gate, None));
        Ok(Some(Self { task, watcher }))
    }

    /// Whoever wants to know how it is.
    pub fn watcher(&self) -> Watcher {
        self.watcher.clone()
    }

    /// Ends it, once all is archived where that is quick.
    pub async fn end(mut self) {
        let end = Instant::now() + LAST_WORDS;
        let mut look = tokio::time::interval(Duration::from_millis(50));
        while Instant::now() < end {
            look.tick().await;
            let status = self.watcher.status();
            if status.lag_records == 0 || status.state != ArchiveState::Feeding {
                break;
            }
        }
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.task.abort();
    }
}
