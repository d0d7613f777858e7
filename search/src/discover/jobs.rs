//! The jobs of one node: begun, listed, shown, stopped, and gone on with after a restart.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redoubt_log::id::{Hash, LogIndex, OperationId, Timestamp};
use redoubt_log::record::{DiscoveryEnd, DiscoveryEnded, DiscoveryWork};
use redoubt_store::mailstore::{DiscoveryAsked, Mailstore};
use serde::Serialize;
use tokio::sync::{OnceCell, Semaphore};

use super::export::Exporting;
use super::folder::{Folder, Hit, Phase, State, io};
use super::judge::read;
use super::scan::Scan;
use super::texts::Extracting;
use super::{Asked, DiscoverError, ExportAsked, SearchAsked, Work};
use crate::export::{Closed, Manifest};
use crate::heads::{Prover, Signer};
use crate::index::Index;
use crate::texts::Texts;

/// Jobs that work at one time; more wait.
const AT_ONCE: usize = 2;
/// How long to wait when there is no leader, or this node is behind.
const RETRY: Duration = Duration::from_secs(2);
/// Hits of which one call says whether they were purged.
const MAX_PAGE: usize = 5000;

/// What the jobs of a node work with.
pub struct JobsOptions {
    /// The store.
    pub store: Mailstore,
    /// Its data directory.
    pub data: PathBuf,
    /// Where texts of attachments come from, where they are extracted.
    pub texts: Option<Arc<dyn Texts>>,
    /// What narrows searches down, where there is one.
    pub index: Option<Index>,
}

/// The jobs of one node. Clones are one.
#[derive(Clone)]
pub struct Jobs {
    inner: Arc<Inner>,
}

struct Inner {
    store: Mailstore,
    data: PathBuf,
    folder: PathBuf,
    texts: Extracting,
    index: Option<Index>,
    prover: Prover,
    signer: OnceCell<Arc<Signer>>,
    turns: Semaphore,
    running: Mutex<HashMap<OperationId, Running>>,
    ending: AtomicBool,
}

/// A job that works.
#[derive(Clone, Default)]
struct Running {
    stop: Arc<AtomicBool>,
    cancelled: Arc<AtomicBool>,
    state: Arc<Mutex<Option<State>>>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("folder", &self.inner.folder).finish_non_exhaustive()
    }
}

/// A job and how far it is.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// What was asked.
    #[serde(flatten)]
    pub asked: Asked,
    /// How far it is.
    pub state: State,
}

/// Part of what a search found.
#[derive(Debug, Clone)]
pub struct HitsPage {
    /// In the order in which they were found.
    pub hits: Vec<Hit>,
    /// Where to go on; absent at the end of what is found so far.
    pub next: Option<u64>,
}

/// What has left the history since a search found it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// How many emails of the looked at.
    pub count: u64,
    /// Where to go on.
    pub next: Option<u64>,
    /// Which.
    pub hits: Vec<Hit>,
}

impl Jobs {
    /// Goes on with what an earlier run left. Needs a Tokio runtime. Blocks on files.
    ///
    /// # Errors
    /// The folder of jobs cannot be made or read.
    pub fn open(options: JobsOptions) -> Result<Self, DiscoverError> {
        let JobsOptions { store, data, texts, index } = options;
        let folder = data.join("discovery");
        super::folder::make_private(&folder)?;
        let jobs = Self {
            inner: Arc::new(Inner {
                prover: Prover::new(store.clone()),
                store,
                data,
                folder,
                texts: Extracting(texts),
                index,
                signer: OnceCell::new(),
                turns: Semaphore::new(AT_ONCE),
                running: Mutex::default(),
                ending: AtomicBool::new(false),
            }),
        };
        for listed in jobs.list()?.into_iter().rev() {
            if !listed.state.phase.has_ended() {
                jobs.start(listed.asked);
            }
        }
        Ok(jobs)
    }

    /// Lets what works stop where it is; it goes on after the next start.
    pub fn end(&self) {
        self.inner.ending.store(true, Ordering::Relaxed);
        for running in self.inner.running.lock().values() {
            running.stop.store(true, Ordering::Relaxed);
        }
    }

    /// [`Jobs::end`], and waits until nothing works any more, at most `patience`.
    pub async fn ended(&self, patience: Duration) {
        self.end();
        let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
        let none = self.inner.turns.acquire_many(all);
        if tokio::time::timeout(patience, none).await.is_err() {
            tracing::warn!("searches or exports still work; they go on after the next start");
        }
        self.inner.turns.close();
    }

    /// Begins a job: it is on the disk when this returns.
    ///
    /// # Errors
    /// [`DiscoverError`].
    pub async fn begin(&self, asked: Asked) -> Result<OperationId, DiscoverError> {
        if let Work::Search(search) = &asked.work {
            read(&search.query, asked.begun, search.zone.as_deref())?;
        }
        let (folder, to_make) = (Folder::of(&self.inner.folder, asked.job), asked.clone());
        blocking(move || folder.make(&to_make)).await?;
        let job = asked.job;
        self.start(asked);
        Ok(job)
    }

    fn start(&self, asked: Asked) {
        let running = Running::default();
        self.inner.running.lock().insert(asked.job, running.clone());
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let job = asked.job;
            inner.work(asked, &running).await;
            inner.running.lock().remove(&job);
        });
    }

    /// All jobs of this node, the newest first. Blocks.
    ///
    /// # Errors
    /// [`DiscoverError::Io`], [`DiscoverError::Damaged`].
    pub fn list(&self) -> Result<Vec<Listed>, DiscoverError> {
        let mut found = Vec::new();
        let folder = &self.inner.folder;
        for entry in fs::read_dir(folder).map_err(io(folder))? {
            let name = entry.map_err(io(folder))?.file_name();
            let Some(job) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Ok(listed) = self.show(job) {
                found.push(listed);
            }
        }
        found.sort_by_key(|listed| std::cmp::Reverse((listed.asked.begun, listed.asked.job)));
        Ok(found)
    }

    /// One job. Blocks.
    ///
    /// # Errors
    /// [`DiscoverError::NoSuchJob`] and those of files.
    pub fn show(&self, job: OperationId) -> Result<Listed, DiscoverError> {
        let folder = Folder::of(&self.inner.folder, job);
        let asked = folder.asked()?.ok_or(DiscoverError::NoSuchJob(job))?;
        let running = self.inner.running.lock().get(&job).cloned();
        let told = running.and_then(|running| running.state.lock().clone());
        let state = match told {
            Some(state) => state,
            None => folder.state()?,
        };
        Ok(Listed { asked, state })
    }

    /// What a search found, from a place on, at most `limit`. Blocks.
    ///
    /// # Errors
    /// [`DiscoverError::NoSuchJob`], [`DiscoverError::NotNow`] and those of files.
    pub fn hits(
        &self,
        job: OperationId,
        after: u64,
        limit: usize,
    ) -> Result<HitsPage, DiscoverError> {
        self.search(job)?;
        let folder = Folder::of(&self.inner.folder, job);
        let state = folder.state()?;
        let mut lines = folder.lines(after, state.hits)?;
        let hits = lines.by_ref().take(limit).collect::<Result<Vec<_>, _>>()?;
        let next = Some(lines.at()).filter(|at| *at < state.hits);
        Ok(HitsPage { hits, next })
    }

    /// Of what a search found, from a place on, what is in the history no more. Blocks.
    ///
    /// # Errors
    /// As [`Jobs::hits`], and when the state cannot be read.
    pub fn purged(&self, job: OperationId, after: u64) -> Result<Purged, DiscoverError> {
        let page = self.hits(job, after, MAX_PAGE)?;
        let view = self.inner.store.local_view()?;
        let mut purged = Purged { next: page.next, ..Purged::default() };
        for hit in page.hits {
            if view.email_ever(hit.account, hit.email)?.is_none() {
                purged.count += 1;
                purged.hits.push(hit);
            }
        }
        Ok(purged)
    }

    /// What a search was asked. Blocks.
    ///
    /// # Errors
    /// [`DiscoverError::NoSuchJob`], [`DiscoverError::NotNow`] for an export.
    pub fn search(&self, job: OperationId) -> Result<SearchAsked, DiscoverError> {
        match self.show(job)?.asked.work {
            Work::Search(search) => Ok(search),
            Work::Export(_) => {
                Err(DiscoverError::NotNow(format!("{job} is an export: name a search")))
            }
        }
    }

    /// Stops a job; what it found stays, what it exported goes. Blocks.
    ///
    /// # Errors
    /// [`DiscoverError::NoSuchJob`], [`DiscoverError::NotNow`] when it has ended.
    pub fn cancel(&self, job: OperationId) -> Result<(), DiscoverError> {
        let state = self.show(job)?.state;
        let running = self.inner.running.lock().get(&job).cloned();
        match running.filter(|_| !state.phase.has_ended() && state.phase != Phase::Ending) {
            Some(running) => {
                running.cancelled.store(true, Ordering::Relaxed);
                running.stop.store(true, Ordering::Relaxed);
                Ok(())
            }
            None => Err(DiscoverError::NotNow(format!("{job} has ended already"))),
        }
    }

    /// The key by which this node signs heads, made and made known at first use.
    ///
    /// # Errors
    /// [`DiscoverError::Head`].
    pub async fn signer(&self) -> Result<Arc<Signer>, DiscoverError> {
        self.inner.signer().await
    }
}

impl Inner {
    async fn signer(&self) -> Result<Arc<Signer>, DiscoverError> {
        let made = self.signer.get_or_try_init(|| async {
            let (data, lineage) = (self.data.clone(), self.store.identity().lineage.clone());
            let signer = blocking(move || Ok(Signer::load_or_make(&data, &lineage)?)).await?;
            signer.make_known(&self.store).await?;
            Ok::<_, DiscoverError>(Arc::new(signer))
        });
        made.await.cloned()
    }

    /// A job, to its end, or until the server ends.
    async fn work(self: &Arc<Self>, asked: Asked, running: &Running) {
        let Ok(_turn) = self.turns.acquire().await else { return };
        loop {
            let Err(error) = self.attempt(&asked, running).await else { return };
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
        if folder.state()?.phase == Phase::Asked {
            self.begin(asked, &folder).await?;
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

    /// The record comes before anything is looked at. A retry after a crash is recognised.
    async fn begin(&self, asked: &Asked, folder: &Folder) -> Done {
        let (work, of) = match &asked.work {
            Work::Search(_) => (DiscoveryWork::Search, None),
            Work::Export(export) => (DiscoveryWork::Export, Some(export.search)),
        };
        let text = serde_json::to_vec(asked);
        let text = text.map_err(|error| DiscoverError::NotNow(error.to_string()))?;
        let (job, pinned) = (asked.job, asked.work.pinned());
        let asked_of_log = DiscoveryAsked { job, work, of, asked: text, pinned };
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
        let told = |state: &State| *running.state.lock() = Some(state.clone());
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
        let told = |state: &State| *running.state.lock() = Some(state.clone());
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
        let inner = self.clone();
        blocking(move || {
            let head = signer.head(&inner.store, own)?;
            closed.publish(&head, own.0, |index| match inner.ending.load(Ordering::Relaxed) {
                true => Err(DiscoverError::Stopped),
                false => Ok(inner.prover.prove(LogIndex(index), own)?),
            })
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DiscoverError> + Send + 'static,
) -> Result<T, DiscoverError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(gone) => Err(DiscoverError::NotNow(format!("the work broke off: {gone}"))),
    }
}

/// Whether a path can be an export's place: absolute, with a name, and nothing there.
///
/// # Errors
/// [`DiscoverError::NotNow`] with what to write instead.
pub fn check_place(out: &Path) -> Result<(), DiscoverError> {
    let wrong = |what: &str| Err(DiscoverError::NotNow(format!("{}: {what}", out.display())));
    if !out.is_absolute() || out.file_name().is_none() {
        return wrong("name a folder with its whole path");
    }
    if out.symlink_metadata().is_ok() {
        return wrong("is there already: name a folder that is not there");
    }
    match out.parent().is_some_and(Path::is_dir) {
        true => Ok(()),
        false => wrong("the folder above it is not there"),
    }
}
