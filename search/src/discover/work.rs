//! What works on the jobs of a node, to their end, and goes on after a restart.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redoubt_log::id::{Hash, LogIndex, OperationId, Timestamp};
use redoubt_log::record::{Approves, DiscoveryEnd, DiscoveryEnded, DiscoveryWork};
use redoubt_store::mailstore::{DiscoveryAsked, Mailstore};
use tokio::sync::{OnceCell, Semaphore};

use super::export::Exporting;
use super::folder::{Folder, Phase, State};
use super::judge::read;
use super::pace::Effort;
use super::scan::Scan;
use super::texts::Extracting;
use super::{Asked, DiscoverError, ExportAsked, SearchAsked, Work};
use crate::export::{Closed, Manifest};
use crate::heads::{Prover, Signer};
use crate::index::Index;

/// Jobs that work at one time; more wait.
pub(super) const AT_ONCE: usize = 2;
/// How long to wait when there is no leader, or this node is behind.
const RETRY: Duration = Duration::from_secs(2);

/// The jobs of a node, and what they work with.
pub(super) struct Inner {
    pub(super) store: Mailstore,
    pub(super) data: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) texts: Extracting,
    pub(super) index: Option<Index>,
    pub(super) prover: Prover,
    pub(super) signer: OnceCell<Arc<Signer>>,
    pub(super) turns: Semaphore,
    pub(super) running: Mutex<HashMap<OperationId, Running>>,
    pub(super) ending: AtomicBool,
}

/// A job that works.
#[derive(Clone, Default)]
pub(super) struct Running {
    pub(super) stop: Arc<AtomicBool>,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) state: Arc<Mutex<Option<State>>>,
    /// Since when it works, and how much was done then.
    pub(super) begun: Arc<Mutex<Option<(Instant, Effort)>>>,
}

impl Running {
    fn tell(&self, state: &State) {
        let mut begun = self.begun.lock();
        if begun.is_none() {
            *begun = Some((Instant::now(), state.effort));
        }
        drop(begun);
        *self.state.lock() = Some(state.clone());
    }
}

impl Inner {
    pub(super) async fn signer(&self) -> Result<Arc<Signer>, DiscoverError> {
        let made = self.signer.get_or_try_init(|| async {
            let (data, lineage) = (self.data.clone(), self.store.identity().lineage.clone());
            let signer = blocking(move || Ok(Signer::load_or_make(&data, &lineage)?)).await?;
            signer.make_known(&self.store).await?;
            Ok::<_, DiscoverError>(Arc::new(signer))
        });
        made.await.cloned()
    }

    /// A job, to its end, or until the server ends.
    pub(super) async fn work(self: &Arc<Self>, asked: Asked, running: &Running) {
        loop {
            let tried = match self.may_begin(&asked, running).await {
                Ok(()) => {
                    let Ok(_turn) = self.turns.acquire().await else { return };
                    self.attempt(&asked, running).await
                }
                waits => waits,
            };
            let Err(error) = tried else { return };
            if self.ending.load(Ordering::Relaxed) {
                return;
            }
            let folder = Folder::of(&self.folder, asked.job);
            if !error.passes() {
                tracing::warn!(job = %asked.job, %error, "a search or export does not go on");
                discard(&asked);
                let noted = note_failure(&folder, &error, running);
                if noted.is_err() || self.end(&asked, &folder, None).await.is_ok() {
                    return;
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn attempt(self: &Arc<Self>, asked: &Asked, running: &Running) -> Done {
        let folder = Folder::of(&self.folder, asked.job);
        if is_published(asked) {
            return self.ended(&folder, Phase::Completed);
        }
        let mut manifest = None;
        if folder.state()?.phase == Phase::Running {
            manifest = self.run(asked, &folder, running).await?;
        }
        match manifest {
            Some(closed) => self.publish(asked, &folder, closed).await,
            None => self.end(asked, &folder, None).await.map(drop),
        }
    }

    /// The record comes first; and, where a second person has to let it be, that.
    async fn may_begin(&self, asked: &Asked, running: &Running) -> Done {
        let folder = Folder::of(&self.folder, asked.job);
        if is_published(asked) {
            return Ok(());
        }
        if folder.state()?.phase == Phase::Asked {
            self.begin(asked, &folder).await?;
        }
        if asked.matter.is_none() || matches!(asked.work, Work::Search(_)) {
            return Ok(());
        }
        while folder.state()?.phase == Phase::Running && !self.is_approved(asked, &folder)? {
            if self.ending.load(Ordering::Relaxed) {
                return Err(DiscoverError::Stopped);
            }
            if running.cancelled.load(Ordering::Relaxed) {
                let mut state = folder.state()?;
                (state.phase, state.ends) = (Phase::Ending, Phase::Cancelled);
                return folder.save(&state);
            }
            tokio::time::sleep(RETRY).await;
        }
        Ok(())
    }

    /// Whether an export may be: nobody has to approve it, or somebody has.
    fn is_approved(&self, asked: &Asked, folder: &Folder) -> Result<bool, DiscoverError> {
        let (view, mut state) = (self.store.local_view()?, folder.state()?);
        // What this node has not applied yet may say that somebody has to.
        if state.record > view.applied().map(|applied| applied.index) {
            return Ok(false);
        }
        let Some(row) = view.approval(Approves::Export(asked.job))? else { return Ok(true) };
        match row.decision() {
            Some(decision) if decision.given => {
                state.why = None;
                folder.save(&state)?;
                Ok(true)
            }
            Some(decision) => {
                let note = &decision.note;
                Err(DiscoverError::NotNow(format!("a second person has refused it: {note}")))
            }
            None => {
                let text = format!(
                    "a second person has to approve it: `redoubt approval give {}`",
                    asked.job
                );
                if state.why.as_ref() != Some(&text) {
                    state.why = Some(text);
                    folder.save(&state)?;
                }
                Ok(false)
            }
        }
    }

    /// The record comes before anything is looked at. A retry after a crash is recognised.
    async fn begin(&self, asked: &Asked, folder: &Folder) -> Done {
        let (work, of) = match &asked.work {
            Work::Search(_) => (DiscoveryWork::Search, None),
            Work::Export(export) => (DiscoveryWork::Export, Some(export.search)),
        };
        let text = serde_json::to_vec(asked);
        let text = text.map_err(|error| DiscoverError::NotNow(error.to_string()))?;
        let (job, pinned) = (asked.job, asked.work.pinned());
        let asked_of_log =
            DiscoveryAsked { job, work, of, asked: text, pinned, matter: asked.matter };
        let outcome = self.store.discovery_begins(&asked.actor, asked_of_log).await?;
        let mut state = folder.state()?;
        (state.phase, state.record) = (Phase::Running, Some(outcome.index));
        folder.save(&state)
    }

    /// The work itself; the export that it made, if it is one.
    async fn run(
        self: &Arc<Self>,
        asked: &Asked,
        folder: &Folder,
        running: &Running,
    ) -> Result<Option<Closed>, DiscoverError> {
        let (inner, asked, folder, running) =
            (self.clone(), asked.clone(), folder.clone(), running.clone());
        blocking(move || {
            let mut state = folder.state()?;
            let done = match &asked.work {
                Work::Search(search) => {
                    inner.scan(&asked, search, &folder, &running, &mut state).map(|()| None)
                }
                Work::Export(export) => {
                    inner.export(&asked, export, &running, &mut state).map(Some)
                }
            };
            let done = match done {
                Err(DiscoverError::Stopped) if running.cancelled.load(Ordering::Relaxed) => {
                    state = Folder::state(&folder)?;
                    state.ends = Phase::Cancelled;
                    discard(&asked);
                    None
                }
                done => {
                    let closed = done?;
                    state.ends = Phase::Completed;
                    closed
                }
            };
            // An export that is not published yet is begun again after a crash.
            if done.is_none() {
                state.phase = Phase::Ending;
            }
            folder.save(&state)?;
            *running.state.lock() = None;
            Ok(done)
        })
        .await
    }

    fn scan(
        &self,
        asked: &Asked,
        search: &SearchAsked,
        folder: &Folder,
        running: &Running,
        state: &mut State,
    ) -> Done {
        let query = read(&search.query, asked.begun, search.zone.as_deref())?;
        let told = |state: &State| running.tell(state);
        let (store, stop) = (&self.store, &*running.stop);
        let (query, texts, index) = (&query, &self.texts, self.index.as_ref());
        Scan { store, asked: search, query, texts, index, folder, stop, told: &told }.run(state)
    }

    fn export(
        &self,
        asked: &Asked,
        export: &ExportAsked,
        running: &Running,
        state: &mut State,
    ) -> Result<Closed, DiscoverError> {
        let found = Folder::of(&self.folder, export.search);
        let search = found.state()?;
        let told = |state: &State| running.tell(state);
        let exporting = Exporting {
            store: &self.store,
            lineage: &self.store.identity().lineage,
            asked,
            export,
            found: &found,
            search: &search,
            texts: &self.texts,
            stop: &running.stop,
            told: &told,
        };
        exporting.run(state)
    }

    /// The manifest's hash goes into the log, and then everything is proven under a head.
    async fn publish(self: &Arc<Self>, asked: &Asked, folder: &Folder, closed: Closed) -> Done {
        let signer = self.signer().await?;
        let own = self.say(asked, &folder.state()?, Some(closed.manifest())).await?;
        let (inner, noted) = (self.clone(), folder.clone());
        blocking(move || {
            let head = signer.head(&inner.store, own)?;
            let proven =
                closed.prove(&head, own.0, |index| match inner.ending.load(Ordering::Relaxed) {
                    true => Err(DiscoverError::Stopped),
                    false => Ok(inner.prover.prove(LogIndex(index), own)?),
                })?;
            let mut state = noted.state()?;
            state.unproven = proven.unproven();
            noted.save(&state)?;
            Ok(proven.publish()?)
        })
        .await?;
        self.ended(folder, Phase::Completed)
    }

    /// Says in the log how a job ended, and notes it.
    async fn end(&self, asked: &Asked, folder: &Folder, manifest: Option<Hash>) -> Done {
        let state = folder.state()?;
        if state.phase.has_ended() {
            return Ok(());
        }
        self.say(asked, &state, manifest).await?;
        self.ended(folder, state.ends)
    }

    async fn say(
        &self,
        asked: &Asked,
        state: &State,
        manifest: Option<Hash>,
    ) -> Result<LogIndex, DiscoverError> {
        let ended = match state.ends {
            Phase::Cancelled => DiscoveryEnded::Cancelled,
            Phase::Failed => DiscoveryEnded::Failed,
            _ => DiscoveryEnded::Completed,
        };
        let failed = match asked.work {
            Work::Search(_) => state.not_searched_count,
            Work::Export(_) => state.failed,
        };
        let end = DiscoveryEnd { job: asked.job, found: state.found, failed, ended, manifest };
        Ok(self.store.discovery_ends(&asked.actor, end).await?.index)
    }

    fn ended(&self, folder: &Folder, how: Phase) -> Done {
        let mut state = folder.state()?;
        (state.phase, state.ended) = (how, Some(Timestamp::now()));
        folder.save(&state)
    }
}

type Done = Result<(), DiscoverError>;

/// Whether an export is whole and has its name: the server was killed before it was noted.
fn is_published(asked: &Asked) -> bool {
    let Work::Export(export) = &asked.work else { return false };
    let manifest = fs::read(export.out.join("manifest.json")).unwrap_or_default();
    let manifest: Option<Manifest> = serde_json::from_slice(&manifest).ok();
    manifest.is_some_and(|manifest| manifest.about.job == asked.job.to_string())
}

/// What an export that is stopped has written is of no use.
fn discard(asked: &Asked) {
    let Work::Export(export) = &asked.work else { return };
    let beside = crate::export::partial(&export.out, &asked.job.to_string());
    if let Err(error) = fs::remove_dir_all(&beside) {
        tracing::debug!(%error, path = %beside.display(), "nothing of an export to be removed");
    }
}

fn note_failure(folder: &Folder, error: &DiscoverError, running: &Running) -> Done {
    let mut state = folder.state()?;
    (state.phase, state.ends) = (Phase::Ending, Phase::Failed);
    state.why = Some(error.to_string());
    *running.state.lock() = None;
    folder.save(&state)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DiscoverError> + Send + 'static,
) -> Result<T, DiscoverError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(gone) => Err(DiscoverError::NotNow(format!("the work broke off: {gone}"))),
    }
}
